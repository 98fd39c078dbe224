"""DDIMScheduler with trailing timesteps, on data that are one point (0): the output must have the deviation of its level."""

from diffusers import DDIMScheduler


def ratio(steps, own_step):
    """Deviation before the last step, relative to the level of the last timestep."""
    scheduler = DDIMScheduler(clip_sample=False, timestep_spacing="trailing")
    scheduler.set_timesteps(steps)
    level = (1 - scheduler.alphas_cumprod.double()) ** 0.5
    x = level[scheduler.timesteps[0]].reshape(1)
    for t, then in zip(scheduler.timesteps[:-1], scheduler.timesteps[1:]):
        if own_step:  # step() goes to t - 1000 // steps: give it the number of steps that leads to the next timestep
            scheduler.num_inference_steps = 1000 // int(t - then)
        x = scheduler.step(x / level[t], t, x).prev_sample  # exact noise prediction
    return (x / level[scheduler.timesteps[-1]]).item()


if __name__ == "__main__":
    for steps in (40, 80, 160, 320):
        print(
            steps,
            "as released:",
            f"{ratio(steps, False):.4f}",
            "stepping to the next timestep:",
            f"{ratio(steps, True):.4f}",
        )
