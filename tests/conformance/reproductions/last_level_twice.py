"""EulerDiscreteScheduler with Karras levels that end at sigma_min: the last level stands twice."""

import torch
from diffusers import EulerDiscreteScheduler


def last_step(kind):
    scheduler = EulerDiscreteScheduler(use_karras_sigmas=True, final_sigmas_type=kind)
    scheduler.set_timesteps(20)
    x = torch.ones(1)
    moved = 0.0
    for t, s in zip(scheduler.timesteps, scheduler.sigmas):
        scheduler.scale_model_input(x, t)
        new = scheduler.step(x * s / (1 + s**2), t, x).prev_sample  # exact noise prediction of N(0, 1)
        moved, x = (new - x).abs().item(), new
    return scheduler.sigmas[-3:].tolist(), moved


if __name__ == "__main__":
    for kind in ("sigma_min", "zero"):
        print(kind, "last levels and length of the last step:", *last_step(kind))
