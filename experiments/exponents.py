"""Exponents of the backward scheme's marginal KL and of its bound: one row per exponent, fitted over five octaves.

Usage: python experiments/exponents.py

Each row changes one quantity by factors of two and holds the others. Both slopes come with their 95 % Student intervals; on
a deterministic curve the interval measures the curvature of the curve, not chance. "attained" says whether the exact KL has
the exponent of the bound on this family of laws. Gaussians are closed recursions; the laws of the row for d are scale
mixtures, which are no products, with the exact law of their radius; the laws of the row for H carry waves of a growing wave
number, whose second derivative stays bounded.
"""

import numpy as np

from exactdiffusion import GaussianMixture, distances, schedules
from exactdiffusion.output_laws import line, radial
from exactdiffusion.papers.proximal.search import Gaussians
from exactdiffusion.statements import proximal

SCHEME = "proximal_backward"


def gaussian(S, mu, T, N):
    """Exact KL of N(mu, S) with N equal steps, and the bound."""
    x = Gaussians(np.array([S]), np.array([mu]), np.array([T]), np.array([1.0]), int(N))
    bound = proximal.backward_kl(x.g[:, 0], 1, float(x.second_moment[0]), float(x.L[0]), 0.0)
    return float(x.marginal_kl(SCHEME)[0]), bound


def mixture(d, T=0.5, N=16):
    """Exact KL of a scale mixture in d dimensions, and the bound without its term in H."""
    variances = 0.5 * (1 + 0.5 * np.array([-1.0, 0.0, 1.0]) / np.sqrt(d))
    law = GaussianMixture([0.3, 0.4, 0.3], np.zeros((3, d)), variances)
    run = radial.propagate(law, schedules.vp_linear(N, beta_min=T, beta_max=T), SCHEME)
    # one L for the whole family, d = 8 having the largest curvature
    bound = proximal.backward_kl(np.full(N, T / N), d, float(d), 2 / (1 - 0.5 / np.sqrt(8)), 0.0)
    return line.divergences(run.target, run.law).kl, bound


def waves(k, T=1 / 16, N=4):
    """Exact KL of N(0, 1) with waves of wave number k and curvature 1 on it, its H, and the bound.

    A mixture of Gaussians of variance s^2 at the distances 2 pi/k has the density of its envelope times
    1 + 2 exp(-k^2 s^2/2) cos(k x) and smaller waves, and s is such that the first has the amplitude 1/k^2.
    """
    spread, distance = 2 * np.log(2 * k * k) / k**2, 2 * np.pi / k
    reach = int(7 * np.sqrt(1 - spread) / distance) + 1
    centres = distance * np.arange(-reach, reach + 1)
    weights = np.exp(-(centres**2) / 2 / (1 - spread))
    law = GaussianMixture(weights / weights.sum(), centres[:, np.newaxis], spread)

    # the constants at t = 0, where the waves are largest
    level, x = line.Level(law), np.linspace(-4, 4, 4001)
    L, H = np.abs(level.curvature(x)).max(), np.abs(level.third(x)).max()
    run = line.propagate(law, schedules.vp_linear(N, beta_min=T, beta_max=T), SCHEME, refine=max(1.0, k / 40))
    bound = proximal.backward_kl(np.full(N, T / N), 1, float(law.weights @ centres**2 + spread), L, H)
    return H, line.divergences(run.target, run.law).kl, bound


def steps_for(eps):
    """Least number of equal steps with KL <= eps on N(1, .25) over T = 3 (bisection), and the number of the theorem."""
    low, high = 16, 2**16
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if gaussian(0.25, 1.0, 3.0, middle)[0] > eps else (low, middle)
    return high, proximal.backward_steps(eps, 3.0, 1, 1.25, 4.0, 0.0)


def table():
    """Rows (quantity, law, slope of the exact value, slope of the bound)."""
    octaves = 2.0 ** np.arange(6)
    families = (
        ("N", "N(1, .25), T = 3", 256 * octaves, lambda N: gaussian(0.25, 1.0, 3.0, N)),
        ("eps, of N", "N(1, .25), T = 3", 1e-4 / octaves**2, steps_for),
        ("d", "scale mixtures, T = 1/2, N = 16, H = 0 in the bound", 8 * octaves, lambda d: mixture(int(d))),
        ("L at T = 1/L", "N(0, 1/L), N = 64", 1024 * octaves, lambda L: gaussian(1 / L, 0.0, 1 / L, 64)),
        ("L at T = 1", "N(0, 1/L), N = 2^15", 16 * octaves, lambda L: gaussian(1 / L, 0.0, 1.0, 2**15)),
        ("T at T L <= 1", "N(0, 1/256), N = 64", octaves / 2**14, lambda T: gaussian(1 / 256, 0.0, T, 64)),
        ("T at T >= 1", "N(0, 1/4), N = 2^12", octaves, lambda T: gaussian(0.25, 0.0, T, 2**12)),
    )
    for name, law, values, measure in families:
        exact, bound = np.array([measure(v) for v in values]).T
        yield name, law, distances.fit_slope(values, exact), distances.fit_slope(values, bound)
    H, exact, bound = np.array([waves(k) for k in 4 * octaves]).T
    law = "N(0, 1) with waves, k = 4 .. 128, L = 2 or so, N = 4"
    yield "H", law, distances.fit_slope(H, exact), distances.fit_slope(H, bound)


def main():
    print(f"{'exponent of':<15}{'law':<54}{'exact KL':>9}  {'interval':<18}{'bound':>8}  {'interval':<18}attained")
    for name, law, exact, bound in table():
        intervals = [f"[{fit.low:.3f}, {fit.high:.3f}]" for fit in (exact, bound)]
        said = "yes" if abs(exact.slope - bound.slope) < 0.05 else "no"
        print(f"{name:<15}{law:<54}{exact.slope:>9.3f}  {intervals[0]:<18}{bound.slope:>8.3f}  {intervals[1]:<18}{said}")
    print("H: to leading order the exact KL is bounded without H (theory/proximal/thm_backward_kl_dimension.py).")


if __name__ == "__main__":
    main()
