"""The smallest number of steps with a guarantee, and the limit below which no number of steps helps."""

from exactdiffusion.statements import projection

eta, nu = 0.2, 2.0  # relative projection error of the denoiser, width of the band
sigma, lower, distance = projection.admissible_limits(eta, nu)
print(f"no N brings sigma below {sigma:.4g} of its start, or guarantees d(x_0)/d(x_N) below {distance:.4g}")
for level in (10.0, 5.0, 2.5):
    print(f"from sigma = 40 to {level:g}: N = {projection.smallest_steps(eta, nu, level / 40, of='sigma')}")
for ratio in (0.5, 0.1, 0.07):
    print(f"d(x_0)/d(x_N) <= {ratio:g}: N = {projection.smallest_steps(eta, nu, ratio)}")
