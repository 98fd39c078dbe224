"""UniPCMultistepScheduler(solver_type="bh1"): NaN or inf in the last step, which goes to level 0."""

import torch
from diffusers import UniPCMultistepScheduler


def last_state(final, steps=20, **settings):
    scheduler = UniPCMultistepScheduler(final_sigmas_type=final, **settings)
    scheduler.set_timesteps(steps)
    x = torch.ones(1, 1)
    for t, s in zip(scheduler.timesteps, scheduler.sigmas):
        x = scheduler.step(x * s / (1 + s**2) ** 0.5, t, x).prev_sample  # exact noise prediction of N(0, 1)
    return x.item()


if __name__ == "__main__":
    for settings in ({"solver_type": "bh1"}, {"lower_order_final": False}):
        for final in ("zero", "sigma_min"):
            print(settings, final, last_state(final, **settings))
