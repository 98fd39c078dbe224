"""DDIMScheduler(set_alpha_to_one=False) with its default steps_offset=0: the last step starts and ends at the same level."""

from diffusers import DDIMScheduler


def last_step(offset, steps=20):
    """How far the last step moves the state, with the exact noise prediction of data that are one point (0)."""
    scheduler = DDIMScheduler(clip_sample=False, set_alpha_to_one=False, steps_offset=offset)
    scheduler.set_timesteps(steps)
    sigma = (1 - scheduler.alphas_cumprod.double()) ** 0.5
    x = sigma[scheduler.timesteps[0]].reshape(1)
    for t in scheduler.timesteps:
        new = scheduler.step(x / sigma[t], t, x).prev_sample
        moved, x = (new - x).abs().item(), new
    return moved, int(scheduler.timesteps[-1])


if __name__ == "__main__":
    for offset in (0, 1):
        moved, timestep = last_step(offset)
        print(f"steps_offset={offset}: last timestep {timestep}, the last step moves the state by {moved:.3g}")
