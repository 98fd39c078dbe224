"""KDPM2AncestralDiscreteScheduler with the squared-cosine table: sigma_down, a difference of float32 numbers, cancels."""

import torch
from diffusers import KDPM2AncestralDiscreteScheduler


def first_down(steps):
    """sigma_down and sigma_interpol of the first step as released, and both from sigma_down = sigma_next^2 / sigma."""
    scheduler = KDPM2AncestralDiscreteScheduler(beta_schedule="squaredcos_cap_v2")
    scheduler.set_timesteps(steps)
    sigma, then = scheduler.sigmas[:2]
    down = then**2 / sigma
    return (
        scheduler.sigmas_down[0].item(),
        scheduler.sigmas_interpol[0].item(),
        down.item(),
        torch.sqrt(sigma * down).item(),
    )


if __name__ == "__main__":
    for steps in (5, 10, 20, 40, 160):
        print(steps, "released: down {:.4g}, middle {:.4g}; changed: down {:.4g}, middle {:.4g}".format(*first_down(steps)))
