"""Exponents of the backward scheme's marginal KL and of its bound: one row per exponent, fitted over five octaves.

Usage: python experiments/exponents.py

Each row changes one quantity by factors of two and holds the others. The slope of the exact KL comes with its 95 % Student
interval; on a deterministic curve the interval measures the curvature of the curve, not chance. "attained" says whether the
exact KL has the exponent of the bound on this family of laws. Gaussians are closed recursions; the laws of the row for d are
scale mixtures, which are no products, with the exact law of their radius.
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


def main():
    print(f"{'exponent of':<15}{'law':<54}{'exact KL':>9}  {'interval':<18}{'bound':>8}  attained")
    for name, law, exact, bound in table():
        interval = f"[{exact.low:.3f}, {exact.high:.3f}]"
        said = "yes" if abs(exact.slope - bound.slope) < 0.05 else "no"
        print(f"{name:<15}{law:<54}{exact.slope:>9.3f}  {interval:<18}{bound.slope:>8.3f}  {said}")
    print("H: the exact KL is bounded without H to leading order (theory/proximal/thm_backward_kl_dimension.py): no.")


if __name__ == "__main__":
    main()
