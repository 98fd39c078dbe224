"""The stochastic third-order step of DPMSolverMultistepScheduler on N(0, 0.2^2): variance of the output, and the cause."""

import torch
from diffusers import DPMSolverMultistepScheduler


class Changed(DPMSolverMultistepScheduler):
    """The same step with the coefficient of the second difference that falls with the step (- 0.5 became + 0.5)."""

    def multistep_dpm_solver_third_order_update(self, outputs, sample=None, noise=None, **kwargs):
        x = super().multistep_dpm_solver_third_order_update(outputs, sample=sample, noise=noise, **kwargs)
        s = self.sigmas[self.step_index - 2 : self.step_index + 2]
        h1, h0, h = (s[:-1] / s[1:]).log()
        one, two = (outputs[-1] - outputs[-2]) * h / h0, (outputs[-2] - outputs[-3]) * h / h1
        return x + (1 + s[-1] ** 2) ** -0.5 * (one - two) / (h0 / h + h1 / h)


def error(kind, order, steps, deviation=0.2):
    """Relative error of the standard deviation before the last step; row k of the batch carries the k-th noise alone."""
    scheduler = kind(solver_order=order, algorithm_type="sde-dpmsolver++", use_karras_sigmas=True)
    scheduler.set_timesteps(steps)
    scheduler.sigmas = scheduler.sigmas.double()
    sigma = scheduler.sigmas[:-1]
    variance = (deviation**2 + sigma**2) / (1 + sigma**2)
    x = torch.zeros(steps, 1, dtype=torch.float64)
    x[0] = variance[0] ** 0.5
    for k, (t, s, v) in enumerate(zip(scheduler.timesteps[:-1], sigma, variance)):
        noise = torch.zeros_like(x)
        noise[k + 1] = 1.0
        x = scheduler.step(x * s / (1 + s**2) ** 0.5 / v, t, x, variance_noise=noise).prev_sample
    return abs(((x**2).sum() / variance[-1]) ** 0.5 - 1).item()


if __name__ == "__main__":
    for kind, order in ((DPMSolverMultistepScheduler, 2), (DPMSolverMultistepScheduler, 3), (Changed, 3)):
        falls = [f"{error(kind, order, n) / error(kind, order, 2 * n):.2f}" for n in (40, 80, 160)]
        print(kind.__name__, "solver_order", order, "errors fall by", falls)
