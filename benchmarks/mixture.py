"""Mixture denoiser against the arithmetic limit and against other ways to compute the same thing, in one run.

    python benchmarks/mixture.py [--samples 1000] [--components 128] [--dim 64] [--repeats 5]

The limit is two stacked matrix products, ``(B, d) @ (d, K d)`` and ``(B, K d) @ (K d, d)``: 4 B K d^2 operations, timed in
the same loop because rates drift on a shared machine. One thread; process CPU time; medians. Everything computes E[X | x]
except scikit-learn, which computes responsibilities alone (about half of the work).
"""

import argparse
import time

import numpy as np
from threadpoolctl import threadpool_limits

from exactdiffusion import datasets


def naive(law, x, sigma):
    """E[X | x] by einsum over precision matrices, no blocks: (B, K, d) temporaries."""
    C = law.covariances + sigma**2 * np.eye(law.dim)
    P, a = np.linalg.inv(C), x[:, None] - law.means
    solved = np.einsum("kij,nkj->nki", P, a)
    logits = np.log(law.weights) - 0.5 * (np.einsum("nki,nki->nk", a, solved) + np.linalg.slogdet(C)[1])
    r = np.exp(logits - logits.max(axis=1, keepdims=True))
    r /= r.sum(axis=1, keepdims=True)
    return np.einsum("nk,nki->ni", r, law.means + np.einsum("kij,nkj->nki", law.covariances, solved))


def scikit(law, sigma):
    """scikit-learn's mixture with the parameters of the noised law; ``predict_proba`` loops over the components."""
    from sklearn.mixture import GaussianMixture as Fit

    C = law.covariances + sigma**2 * np.eye(law.dim)
    fit = Fit(law.n_components, covariance_type="full")
    fit.weights_, fit.means_, fit.covariances_ = law.weights, law.means, C
    fit.precisions_cholesky_ = np.swapaxes(np.linalg.inv(np.linalg.cholesky(C)), 1, 2)
    return fit


def seconds(function):
    start = time.process_time()
    function()
    return time.process_time() - start


def row(law, sigma, rng, a, left, right, middle):
    """One line of the table."""
    B, K, d = a.samples, a.components, a.dim
    x = law.noised(1.0, sigma).sample(B, rng)
    fit, level = scikit(law, sigma), law.noised(1.0, sigma)

    def limit():
        np.matmul(x, left, out=middle)
        return middle @ right

    tasks = (limit, lambda: level.denoise(x), lambda: naive(law, x, sigma), lambda: fit.predict_proba(x))
    for task in tasks:
        task()
    times = np.median([[seconds(task) for task in tasks] for _ in range(a.repeats)], axis=0) / B
    found = level.denoise(x)
    gap = np.max(np.abs(found - naive(law, x, sigma))) / np.max(np.abs(found))
    t = times * 1e6
    cells = (f"{sigma:g}", f"{t[0]:.1f}", f"{4e-9 * K * d * d / times[0]:.1f}", f"{t[1]:.1f}",
             f"{100 * t[0] / t[1]:.0f} %", f"{t[2]:.1f}", f"{t[3]:.1f}", f"{gap:.1e}")  # fmt: skip
    print("  ".join(f"{c:>14}" for c in cells))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name, default in (("samples", 1000), ("components", 128), ("dim", 64), ("repeats", 5)):
        parser.add_argument(f"--{name}", type=int, default=default)
    a = parser.parse_args()
    law = datasets.random_mixture(a.components, a.dim)
    rng = np.random.default_rng(0)
    B, K, d = a.samples, a.components, a.dim
    left, right = rng.standard_normal((d, K * d)), rng.standard_normal((K * d, d))
    middle = np.empty((B, K * d))
    print(f"B = {B}, K = {K}, d = {d}; microseconds per sample, median of {a.repeats}; one thread, CPU time")
    head = ("sigma", "limit", "GF/s", "denoise", "share of limit", "naive einsum", "scikit-learn (r only)", "difference")
    print("  ".join(f"{h:>14}" for h in head))
    with threadpool_limits(1):
        for sigma in (10.0, 1.0, 0.1):
            row(law, sigma, rng, a, left, right, middle)


if __name__ == "__main__":
    main()
