"""DPMSolverMultistepScheduler with a squared-cosine table and Karras levels: the first timesteps round to one number."""

import torch
from diffusers import DPMSolverMultistepScheduler


def levels_used(begin, steps=20):
    """Indices of the levels at which the steps are made."""
    scheduler = DPMSolverMultistepScheduler(beta_schedule="squaredcos_cap_v2", use_karras_sigmas=True)
    scheduler.set_timesteps(steps)
    if begin:
        scheduler.set_begin_index(0)
    used = []
    x = torch.ones(1)
    for t in scheduler.timesteps:
        x = scheduler.step(torch.zeros(1), t, x).prev_sample
        used.append(scheduler.step_index - 1)
    return used


if __name__ == "__main__":
    try:
        print("as released:", levels_used(False))
    except IndexError as error:
        print("as released: IndexError:", error)
    print("with set_begin_index(0):", levels_used(True))
