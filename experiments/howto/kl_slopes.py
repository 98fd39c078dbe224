"""How fast does the KL error of Euler-Maruyama fall? Exact output laws, no samples: the slope with its interval."""

import exactdiffusion as ed
from exactdiffusion import output_laws, schedules
from exactdiffusion.distances import fit_slope

law = ed.GaussianMixture([0.3, 0.7], [[-1.0], [1.5]], 0.25)
steps = [16, 32, 64, 128, 256, 512]
errors = []
for N in steps:
    kl = output_laws.line.study(law, schedules.vp_linear(N, eps=1e-3), "euler_maruyama").divergences.kl
    errors.append(kl.value)
    print(f"N = {N:5}  KL(target | output) = {kl.value:.6e} +- {kl.error:.0e}")

for last in (None, 3):
    fit = fit_slope(steps, errors, last=last)
    over = "all" if last is None else f"the last {last} octaves"
    print(f"slope over {over}: {fit.slope:.3f} [{fit.low:.3f}, {fit.high:.3f}]")
