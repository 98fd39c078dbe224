"""DPMSolverMultistepScheduler(rescale_betas_zero_snr=True) with 320 steps: the first level is below the second one."""

from diffusers import DPMSolverMultistepScheduler


def first_levels(steps, alpha_bar=None):
    """The first two levels; ``alpha_bar`` replaces the value that stands for 0 at the last training timestep."""
    scheduler = DPMSolverMultistepScheduler(rescale_betas_zero_snr=True)
    if alpha_bar is not None:
        scheduler.alphas_cumprod[-1] = alpha_bar  # as released: 2^-24, larger than alpha_bar one or two timesteps before
    scheduler.set_timesteps(steps)
    return [round(sigma, 1) for sigma in scheduler.sigmas[:2].tolist()]


if __name__ == "__main__":
    for steps in (160, 320):
        print(steps, "as released:", first_levels(steps), "with 2^-28:", first_levels(steps, 2**-28))
