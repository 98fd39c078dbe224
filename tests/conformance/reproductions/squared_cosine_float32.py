"""Two-stage schedulers with the squared-cosine table in float32: rounding at the first level, 20291, is enlarged."""

import torch
from diffusers import HeunDiscreteScheduler, KDPM2DiscreteScheduler


def multiplier(kind, dtype, first=0, steps=5, deviation=0.05):
    """Multiplier of the start before the last step, on N(0, deviation^2), without ``first`` levels."""
    scheduler = kind(beta_schedule="squaredcos_cap_v2")
    scheduler.set_timesteps(steps)
    scheduler.set_begin_index(2 * first)  # two timesteps a level
    x = torch.ones(1, dtype=dtype)
    for t in scheduler.timesteps[2 * first : -1]:
        sigma = (scheduler.scale_model_input(torch.ones(1, dtype=torch.float64), t) ** -2 - 1) ** 0.5
        x = scheduler.step((sigma / (sigma**2 + deviation**2)).to(dtype) * x, t, x).prev_sample
    return x.item()


def moved(kind, first):
    """Relative change by float32 states; tables and steps are the same."""
    return multiplier(kind, torch.float32, first) / multiplier(kind, torch.float64, first) - 1


if __name__ == "__main__":
    for kind in (HeunDiscreteScheduler, KDPM2DiscreteScheduler):
        print(kind.__name__, f"as released: {moved(kind, 0):+.2e}; without the first level: {moved(kind, 1):+.2e}")
