"""DPMSolverMultistepScheduler of order 3 with Karras levels that end at sigma_min: NaN in the last step."""

import torch
from diffusers import DPMSolverMultistepScheduler


def last_state(drop_repeated, steps=20):
    scheduler = DPMSolverMultistepScheduler(solver_order=3, use_karras_sigmas=True, final_sigmas_type="sigma_min")
    scheduler.set_timesteps(steps)
    if drop_repeated:  # the last two levels are one number: leave the step of length zero out
        scheduler.timesteps = scheduler.timesteps[:-1]
    x = torch.ones(1)
    for t, s in zip(scheduler.timesteps, scheduler.sigmas):
        x = scheduler.step(x * s / (1 + s**2) ** 0.5, t, x).prev_sample  # exact noise prediction of N(0, 1)
    return x.item(), scheduler.sigmas[-2:].tolist()


if __name__ == "__main__":
    print("as released:", last_state(False))
    print("without the step of length zero:", last_state(True))
