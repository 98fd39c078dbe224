"""KDPM2DiscreteScheduler on N(0, 0.2^2): with trailing timesteps its last steps hardly get finer as their number grows."""

import torch
from diffusers import KDPM2DiscreteScheduler


def error_and_step(steps, deviation=0.2, **grid):
    """Relative error of the deviation before the last step, and the mean length of the steps as this target sees them."""
    scheduler = KDPM2DiscreteScheduler(timestep_spacing="trailing", **grid)
    scheduler.set_timesteps(steps)
    x = torch.ones(1, dtype=torch.float64)
    for t in scheduler.timesteps[:-1]:
        sigma = (scheduler.scale_model_input(torch.ones(1, dtype=torch.float64), t) ** -2 - 1) ** 0.5
        x = scheduler.step(sigma / (sigma**2 + deviation**2) * x, t, x).prev_sample  # exact noise prediction
    levels = scheduler.sigmas.double().unique().flip(0)[:-1]
    spread = (levels**2 + deviation**2) ** 0.5
    behind, lengths = (deviation / spread).square().diff(), 2 * (levels[:-1] - levels[1:]) / (levels[:-1] + levels[1:])
    return abs(x * spread[0] / spread[-1] - 1).item(), (behind * lengths**2).sum().sqrt().item()


def ratios(steps, **grid):
    """Factors by which error and mean step fall when the number of steps is doubled."""
    (error, length), (finer, shorter) = error_and_step(steps, **grid), error_and_step(2 * steps, **grid)
    return error / finer, length / shorter


if __name__ == "__main__":
    for grid in ({}, {"use_exponential_sigmas": True}):
        for steps in (40, 80, 160):
            error, length = ratios(steps, **grid)
            print(grid, steps, f"errors fall by {error:.2f}, the mean step by {length:.2f}, its square by {length**2:.2f}")
