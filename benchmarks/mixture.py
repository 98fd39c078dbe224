"""Gaussian-mixture oracles against the arithmetic limit and against other ways to compute the same thing, in one run.

    python benchmarks/mixture.py [--samples 1000] [--components 128] [--dim 64] [--repeats 7] [--output FILE]

Full covariances, the random mixture of the conditional-mean paper. One thread; process CPU time; every repetition runs all
methods of a case one after the other, and a ratio is the median of the ratios within repetitions, because rates drift on a
shared machine.

The limit of the score, the denoiser and the log density is two stacked matrix products, ``(B, d) @ (d, K d)`` and
``(B, K d) @ (K d, d)``: 4 B K d^2 operations. Where the one-product form is accurate enough ours needs only one of them and
can be below 1. The parts of the Hessian are three products of 2 B K d^2 operations, timed in blocks of 64 rows. Everything
computes the same quantity except scikit-learn, which gives responsibilities alone (about half of the work of a denoiser).

Accuracy: largest error relative to the largest entry, against Cholesky factors in extended precision (``numpy.longdouble``).
A second table holds the error of the log density of exactly singular covariances against exact rational arithmetic.
"""

import argparse
import math
import tracemalloc
from fractions import Fraction
from pathlib import Path

import numpy as np
from _common import interleaved, machine, write_record
from threadpoolctl import threadpool_limits

from exactdiffusion import GaussianMixture, datasets, distances
from exactdiffusion.laws._kernels import mixture

# ------------------------------------------------------------------------------------------------------ other ways


def naive(law, x, sigma, what):
    """Einsum over precision matrices, no blocks: (B, K, d) temporaries."""
    C = law.covariances + sigma**2 * np.eye(law.dim)
    P, a = np.linalg.inv(C), x[:, None] - law.means
    solved = np.einsum("kij,nkj->nki", P, a)
    logits = np.log(law.weights) - 0.5 * (np.einsum("nki,nki->nk", a, solved) + np.linalg.slogdet(C)[1])
    top = logits.max(axis=1, keepdims=True)
    r = np.exp(logits - top)
    total = r.sum(axis=1, keepdims=True)
    if what == "log_density":
        return (top + np.log(total))[:, 0] - 0.5 * law.dim * np.log(2 * np.pi)
    r /= total
    if what == "denoise":
        return np.einsum("nk,nki->ni", r, law.means + np.einsum("kij,nkj->nki", law.covariances, solved))
    score = -np.einsum("nk,nki->ni", r, solved)
    if what == "score":
        return score
    D = solved + score[:, None]
    return np.einsum("nk,nki,nkj->nij", r, D, D, optimize=True) - np.einsum("nk,kij->nij", r, P)


def scikit(law, sigma):
    """scikit-learn's mixture with the parameters of the noised law; ``predict_proba`` loops over the components."""
    from sklearn.mixture import GaussianMixture as Fit

    C = law.covariances + sigma**2 * np.eye(law.dim)
    fit = Fit(law.n_components, covariance_type="full")
    fit.weights_, fit.means_, fit.covariances_ = law.weights, law.means, C
    fit.precisions_cholesky_ = np.swapaxes(np.linalg.inv(np.linalg.cholesky(C)), 1, 2)
    return fit


def autograd(law, sigma):
    """Score by torch's automatic differentiation of its own mixture; None without torch."""
    try:
        import torch
    except ImportError:
        return None
    torch.set_num_threads(1)
    D = torch.distributions
    C = torch.as_tensor(law.covariances + sigma**2 * np.eye(law.dim))
    parts = D.MultivariateNormal(torch.tensor(law.means), covariance_matrix=C, validate_args=False)
    mixture = D.MixtureSameFamily(D.Categorical(torch.tensor(law.weights)), parts, validate_args=False)

    def score(x):
        leaf = torch.as_tensor(x).clone().requires_grad_()
        return torch.autograd.grad(mixture.log_prob(leaf).sum(), leaf)[0].numpy()

    return score


def reference(law, x, sigma, what):
    """The same in extended precision: Cholesky factors of C + sigma^2 I, differences, no blocks."""
    T = np.longdouble
    d, S = law.dim, law.covariances.astype(T) + T(sigma) ** 2 * np.eye(law.dim, dtype=T)
    L = np.zeros_like(S)
    for j in range(d):
        rest = S[:, j:, j] - np.sum(L[:, j:, :j] * L[:, j : j + 1, :j], axis=2)
        L[:, j:, j] = rest / np.sqrt(rest[:, :1])
    a = x.astype(T)[:, None] - law.means.astype(T)
    w = np.zeros_like(a)
    for i in range(d):
        w[:, :, i] = (a[:, :, i] - np.sum(L[:, i, :i] * w[:, :, :i], axis=2)) / L[:, i, i]
    logits = np.log(law.weights.astype(T)) - np.sum(w * w, axis=2) / 2
    logits -= np.sum(np.log(np.diagonal(L, axis1=1, axis2=2)), axis=1)
    top = logits.max(axis=1, keepdims=True)
    r = np.exp(logits - top)
    total = r.sum(axis=1, keepdims=True)
    if what == "log_density":
        return (top + np.log(total))[:, 0] - T(d) / 2 * np.log(2 * T(np.pi) + T(2.4492935982947064e-16))
    r /= total
    g = np.zeros_like(w)
    for i in range(d - 1, -1, -1):
        g[:, :, i] = (w[:, :, i] - np.sum(L[:, i + 1 :, i] * g[:, :, i + 1 :], axis=2)) / L[:, i, i]
    score = -np.sum(r[:, :, None] * g, axis=1)
    if what == "score":
        return score
    return x.astype(T) + T(sigma) ** 2 * score


# ---------------------------------------------------------------------------------------------------------- timing


def peak(function):
    """Bytes allocated at the peak beyond the result."""
    tracemalloc.start()
    out = function()
    _, top = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return top - out.nbytes


def form_of(law, sigma, what, x):
    """The form that the first block takes."""
    k = law._stack()
    level = mixture.Level(k, np.array([1.0]), np.array([sigma]), what, len(x), x)
    return level.form(np.max(np.linalg.norm(x[: mixture.ROWS] - k.c, axis=1))).__name__.lower()


def forced(function):
    """The same call with the one-product forms switched off."""

    def run():
        kept, mixture.PRECISE = mixture.PRECISE, 0.0
        try:
            return function()
        finally:
            mixture.PRECISE = kept

    return run


def summary(name, times, B, extra):
    """Row of the table from interleaved times: column 0 the limit, column 1 ours, the others named."""
    ratios = times / times[:, :1]
    limit, ours = 1e6 * np.median(times[:, :2], axis=0) / B
    row = {
        "case": name,
        "limit_us": float(limit),
        "ours_us": float(ours),
        "ratio": float(np.median(ratios[:, 1])),
        "ratio_min": float(np.min(ratios[:, 1])),
    }
    for i, peer in enumerate(extra, start=2):
        row[peer] = 1e6 * float(np.median(times[:, i])) / B
        row[f"{peer}_over_ours"] = float(np.median(times[:, i] / times[:, 1]))
    return row


# ----------------------------------------------------------------------------------------------------------- cases


def vectors(law, what, sigma, rng, a, form=None):
    """Score, denoiser or log density at one level against two products."""
    B, K, d = a.samples, law.n_components, law.dim
    x = law.noised(1.0, sigma).sample(B, rng)
    left, right, middle = rng.standard_normal((d, K * d)), rng.standard_normal((K * d, d)), np.empty((B, K * d))

    def limit():
        np.matmul(x, left, out=middle)
        return middle @ right

    ours = lambda: getattr(law.noised(1.0, sigma), what)(x)  # noqa: E731
    if form == "eigen":
        ours = forced(ours)
    found = form or form_of(law, sigma, what, x)
    few = x[: max(1, B // 8)]
    fit = scikit(law, sigma)
    tasks = [limit, ours, lambda: naive(law, few, sigma, what), lambda: fit.predict_proba(x)]
    names = ["naive_us", "scikit_us"]
    gradient = autograd(law, sigma) if what == "score" else None
    if gradient is not None:
        tasks.append(lambda: gradient(few))
        names.append("autograd_us")
    times = interleaved(tasks, a.repeats, warm=True)
    times[:, [i + 2 for i, name in enumerate(names) if name != "scikit_us"]] *= B / len(few)
    row = summary(f"{what}, sigma {sigma:g}, {found}", times, B, names)
    exact = reference(law, x[:8], sigma, what)
    row["error"] = float(np.max(np.abs(ours()[:8] - exact)) / np.max(np.abs(exact)))
    row["rate"] = 4e-3 * K * d * d / row["limit_us"]
    return row | {"form": found, "peak_bytes": peak(ours), "goal": 1.5 if found == "eigen" else 1.0}


def matrices(law, what, sigma, rng, a, form=None):
    """Hessian or posterior covariance against the products it is made of."""
    B, K, d, b = max(64, a.samples // 4), law.n_components, law.dim, 64
    x = law.noised(1.0, sigma).sample(B, rng)
    left, right = rng.standard_normal((d, K * d)), rng.standard_normal((K, d * d))
    middle, r = np.empty((b, K * d)), rng.random((b, K))
    sums, out = np.empty((b, d * d)), np.empty((b, d, d))

    def parts():
        for i in range(0, B, b):
            n = min(b, B - i)
            np.matmul(x[i : i + n], left, out=middle[:n])
            np.matmul(r[:n], right, out=sums[:n])
            g = middle[:n].reshape(n, K, d)
            np.matmul(np.swapaxes(g, 1, 2), g, out=out[:n])

    ours = lambda: getattr(law.noised(1.0, sigma), what)(x)  # noqa: E731
    if form == "eigen" and what == "hessian":
        ours = forced(ours)
    found = "eigen" if what != "hessian" else form or form_of(law, sigma, what, x)
    tasks, names = [parts, ours], []
    if what == "hessian":
        tasks.append(lambda: naive(law, x[:16], sigma, what))
        names.append("naive_us")
    times = interleaved(tasks, a.repeats, warm=True)
    times[:, 2:] *= B / 16
    row = summary(f"{what}, sigma {sigma:g}, {found}", times, B, names)
    # The Jacobian of the extended-precision score (or denoiser) along one direction, by central differences of order 4.
    T = np.longdouble
    h, v = T(1e-4 * sigma), np.ones(d, dtype=T) / np.sqrt(T(d))
    one = "score" if what == "hessian" else "denoise"
    f = {c: reference(law, x[:4].astype(T) + c * h * v, sigma, one) for c in (-2, -1, 1, 2)}
    slope = (8 * (f[1] - f[-1]) - (f[2] - f[-2])) / (12 * h)
    exact = slope if what == "hessian" else sigma**2 * slope
    row["error"] = float(np.max(np.abs(ours()[:4] @ v - exact)) / np.max(np.abs(exact)))
    row["rate"] = 6e-3 * K * d * d / row["limit_us"]
    return row | {"form": found, "peak_bytes": peak(ours), "goal": 2.5}


def others(a, rng):
    """Levels per row, and diagonal covariances (which have no rotations), against two products and two small ones."""
    K, d, B, rows = a.components, a.dim, a.samples, []
    law = datasets.random_mixture(K, d)
    sigma = np.exp(rng.uniform(np.log(0.05), np.log(3), B))
    x = law.noised(1.0, sigma).sample(B, rng)
    left, right, middle = rng.standard_normal((d, K * d)), rng.standard_normal((K * d, d)), np.empty((B, K * d))

    def limit():
        np.matmul(x, left, out=middle)
        return middle @ right

    ours = lambda: law.noised(1.0, sigma).denoise(x)  # noqa: E731
    row = summary("denoise, a level per row, eigen", interleaved([limit, ours], a.repeats, warm=True), B, [])
    exact = np.concatenate([reference(law, x[i : i + 1], sigma[i], "denoise") for i in range(4)])
    row["error"] = float(np.max(np.abs(ours()[:4] - exact)) / np.max(np.abs(exact)))
    row |= {"rate": 4e-3 * K * d * d / row["limit_us"], "form": "eigen", "peak_bytes": peak(ours), "goal": None}
    rows.append(row)
    law = GaussianMixture(law.weights, law.means, np.diagonal(law.covariances, axis1=1, axis2=2), covariance_type="diag")
    x, flat = law.noised(1.0, 1.0).sample(B, rng), rng.standard_normal((d, K))
    tasks = [lambda: (x @ flat) @ flat.T, lambda: law.noised(1.0, 1.0).denoise(x)]
    row = summary("denoise, sigma 1, diagonal", interleaved(tasks, a.repeats, warm=True), B, [])
    full = GaussianMixture(law.weights, law.means, np.stack([np.diag(v) for v in law.covariances]))
    exact = reference(full, x[:8], 1.0, "denoise")
    row["error"] = float(np.max(np.abs(tasks[1]()[:8] - exact)) / np.max(np.abs(exact)))
    row |= {"rate": 4e-3 * K * d / row["limit_us"], "form": "diagonal", "peak_bytes": peak(tasks[1]), "goal": None}
    return [*rows, row]


def plain(law, scale, sigma, x):
    """The conditional mean of a diagonal mixture in eight lines of NumPy, on arrays (n, K, d)."""
    C = law.covariances if law.kind == "diagonal" else np.repeat(law.covariances[:, None], law.dim, axis=1)
    v, z = scale**2 * C + sigma**2, x[:, None] - scale * law.means
    logits = np.log(law.weights) - 0.5 * np.sum(z * z / v, axis=2) - 0.5 * np.sum(np.log(v), axis=1)
    logits -= logits.max(axis=1, keepdims=True)
    r = np.exp(logits)
    r /= r.sum(axis=1, keepdims=True)
    own, prior = scale * C / v, sigma**2 / v
    return np.sum(r[:, :, None] * (own * x[:, None] + prior * law.means), axis=1)


def drawn(kind, K, d, rng):
    """A random mixture with covariances of that kind and variances .1 to 1 or, if full, eigenvalues from .1."""
    means = rng.standard_normal((K, d))
    if kind == "full":
        A = rng.standard_normal((K, d, d))
        return GaussianMixture(None, means, np.matmul(A, np.swapaxes(A, 1, 2)) / d + 0.1 * np.eye(d), covariance_type="full")
    C = rng.uniform(0.1, 1, (K, d) if kind == "diag" else K)
    return GaussianMixture(None, means, C, covariance_type=kind)


def kinds(a, rng):
    """Denoisers of few rows, few dimensions, and simple covariances at every noise, and what making a law costs.

    The limit of few rows is `plain`; of other denoisers two products and, without rotations, one exponential per component;
    of making a law the eigendecompositions. The peer is `plain`, or torch's gradient, or torch's Cholesky factors.
    """
    cases = [
        ("spherical", 2, 1, 1, 0.5, 2),
        ("diag", 2, 1, 64, 0.5, 2),
        ("diag", 10, 3, 1, 0.5, 2),
        ("diag", 10, 3, 64, 0.5, 2),
    ]
    cases += [("spherical", 128, 784, 400, s, 4) for s in (0.05, 0.3, 1.0, 3.0)]
    cases += [("diag", 128, 784, 400, s, 4) for s in (0.05, 0.3, 3.0)]
    cases += [("full", 10, 2, 1000, 0.5, 4), ("full", 128, 2, 1000, 0.5, 4), ("spherical", 128, 2, 1000, 0.5, 4)]
    rows = []
    for kind, K, d, n, sigma, goal in cases:
        law = drawn(kind, K, d, rng)
        x = law.noised(1.0, sigma).sample(n, rng)
        left = rng.standard_normal((d, K * (d if kind == "full" else 1)))

        def limit(x=x, left=left, exponentials=kind != "full" or d < 8):
            middle = x @ left
            if exponentials:
                np.exp(np.clip(middle, -700, 0, out=middle), out=middle)
            return middle @ left.T

        ours = lambda law=law, sigma=sigma, x=x: law.noised(1.0, sigma).denoise(x)  # noqa: E731
        peer = lambda law=law, sigma=sigma, x=x: plain(law, 1.0, sigma, x)  # noqa: E731
        if n <= 64:
            limit = peer
        elif kind == "full":
            few, gradient = x[:100], autograd(law, sigma)
            peer = (
                (lambda few=few, f=gradient: f(few))
                if gradient
                else (lambda few=few, law=law, s=sigma: naive(law, few, s, "score"))
            )
        else:
            peer = lambda law=law, sigma=sigma, x=x[:20]: plain(law, 1.0, sigma, x)  # noqa: E731
        many = max(1, 2000 // n) if n <= 64 else 1
        times = interleaved([repeated(f, many) for f in (limit, ours, peer)], a.repeats, warm=True) / many
        scale = 1.0 if n <= 64 else n / (100 if kind == "full" else 20)
        rows.append(kind_row(f"denoise, {kind}, K {K}, d {d}, n {n}, sigma {sigma:g}", times, scale, n, goal))
    d, K = a.setup_dim, 10
    law = drawn("full", K, d, rng)
    C, means = law.covariances, law.means
    tasks = [lambda: np.linalg.eigh(C), lambda: GaussianMixture(None, means, C), lambda: np.linalg.cholesky(C)]
    rows.append(kind_row(f"making a law, full, K {K}, d {d}", interleaved(tasks, 1), 1.0, 1, None))
    return rows


def repeated(function, many):
    """``many`` calls in one: the clock of short calls is coarse."""

    def run():
        for _ in range(many):
            function()

    return run


def kind_row(case, times, scale, n, goal):
    """Row of the table of `kinds` from times (repeats, 3) of limit, ours and peer, which had n / ``scale`` rows."""
    limit, ours, peer = 1e6 * np.median(times, axis=0) * (1.0, 1.0, scale) / n
    ratio = float(np.median(times[:, 1] / times[:, 0]))
    return {"case": case, "ours_us": ours, "limit_us": limit, "ratio": ratio, "goal": goal, "peer_us": peer}


def singular():
    """Six exactly singular covariances in 12 dimensions, in pairs on one subspace: integers, so that fractions are exact."""
    rng = np.random.default_rng(1)
    B = np.repeat(rng.integers(-2, 3, (3, 12, 5)), 2, axis=0).astype(float)
    means = np.repeat(rng.integers(-3, 4, (3, 12)), 2, axis=0) + np.matmul(B, rng.integers(-1, 2, (6, 5, 1)))[:, :, 0]
    return GaussianMixture(np.array([1, 3, 5, 2, 4, 1]) / 16, means, np.matmul(B, np.swapaxes(B, 1, 2)))


def exact_log_density(law, x, sigma):
    """Rational elimination of C + sigma^2 I; only the last logarithms are rounded."""
    factors, out = [], []
    for C in law.covariances:
        S = [[Fraction(v) + (Fraction(sigma) ** 2 if i == j else 0) for j, v in enumerate(row)] for i, row in enumerate(C)]
        steps, pivots = [], []
        for j in range(law.dim):
            pivots.append(S[j][j])
            steps.append([S[i][j] / S[j][j] for i in range(j + 1, law.dim)])
            for i in range(j + 1, law.dim):
                factor = steps[-1][i - j - 1]
                S[i] = [u - factor * v for u, v in zip(S[i], S[j], strict=True)]
        factors.append((steps, pivots))
    for row in x:
        terms = []
        for w, mu, (steps, pivots) in zip(law.weights, law.means, factors, strict=True):
            z = [Fraction(p) - Fraction(m) for p, m in zip(row, mu, strict=True)]
            for j, step in enumerate(steps):
                for i, factor in enumerate(step):
                    z[j + 1 + i] -= factor * z[j]
            q = sum((v * v / p for v, p in zip(z, pivots, strict=True)), Fraction(0))
            terms.append((q / 2, math.log(w) - sum(math.log(p) for p in pivots) / 2))
        least = min(q for q, _ in terms)
        total = math.fsum(math.exp(c - float(q - least)) for q, c in terms)
        out.append(math.log(total) - float(least) - law.dim / 2 * math.log(2 * math.pi))
    return np.array(out)


def small_noise():
    """Errors of the log density of a singular mixture, ours and with the one-product form everywhere."""
    law, rows = singular(), []
    kept = mixture.PRECISE
    for sigma in (1e-1, 1e-3, 1e-5, 1e-7):
        x = law.noised(1.0, sigma).sample(400, 4)
        exact = exact_log_density(law, x[:4], sigma)
        row = {"sigma": sigma, "form": form_of(law, sigma, "log_density", x)}
        for name, limit in (("ours", kept), ("precision_form", math.inf)):
            mixture.PRECISE = limit
            row[name] = float(np.max(np.abs(law.noised(1.0, sigma).log_density(x)[:4] - exact)))
        mixture.PRECISE = kept
        # What rounding of x alone does: its gradient, sqrt(d - rank) / sigma.
        row["input_rounding"] = float(np.finfo(float).eps * np.max(np.abs(x)) * math.sqrt(law.dim) / sigma)
        rows.append(row)
    return rows


def growth(a, rng):
    """Exponents of the time of a denoiser in K, d and n, each from four sizes timed in turn."""
    found = {}
    for name, cells in (
        ("K", [(k, 64, 500) for k in (16, 32, 64, 128)]),
        ("d", [(32, d, 500) for d in (32, 64, 128, 256)]),
        ("n", [(32, 64, n) for n in (500, 1000, 2000, 4000)]),
    ):
        tasks = []
        for K, d, n in cells:
            law = datasets.random_mixture(K, d)
            x = law.noised(1.0, 1.0).sample(n, rng)
            tasks.append(forced(lambda law=law, x=x: law.noised(1.0, 1.0).denoise(x)))
        times = np.median(interleaved(tasks, a.repeats, warm=True), axis=0)
        sizes = [dict(zip("Kdn", cell, strict=True))[name] for cell in cells]
        fit = distances.fit_slope(sizes, times)
        found[name] = {"sizes": sizes, "seconds": times.tolist(), "exponent": fit.slope, "low": fit.low, "high": fit.high}
    return found


def line(row):
    """One row as text."""
    peers = "".join(f"{row[p]:10.1f}" if p in row else f"{'-':>10}" for p in ("naive_us", "scikit_us", "autograd_us"))
    goal = f"{row['goal']:g}" if row["goal"] else "-"
    return (
        f"{row['case']:<42}{row['ours_us']:8.1f}{row['limit_us']:8.1f}{row['rate']:7.1f}{row['ratio']:7.2f}{goal:>6}"
        f"{100 / row['ratio']:7.0f} %{peers}{row['error']:10.1e}{row['peak_bytes'] / 2**20:8.1f}"
    )


def main(argv=None):
    """Run the cases, print the tables, write the JSON record."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name, default in (("samples", 1000), ("components", 128), ("dim", 64), ("repeats", 7), ("setup-dim", 784)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--output", type=Path, default=Path(__file__).parent / "results" / "mixture.json")
    a = parser.parse_args(argv)
    law, rng, rows = datasets.random_mixture(a.components, a.dim), np.random.default_rng(0), []
    print(
        f"B = {a.samples}, K = {a.components}, d = {a.dim}; microseconds of CPU time per sample, one thread, medians of "
        f"{a.repeats}"
    )
    print(
        f"{'case':<42}{'ours':>8}{'limit':>8}{'GF/s':>7}{'ratio':>7}{'goal':>6}{'of limit':>9}{'naive':>10}"
        f"{'sklearn r':>10}{'autograd':>10}{'error':>10}{'MiB':>8}"
    )
    with threadpool_limits(1):
        chosen = (("denoise", 10.0), ("denoise", 1.0), ("denoise", 0.3), ("score", 1.0), ("log_density", 1.0))
        cases = [lambda what=what, s=s: vectors(law, what, s, rng, a) for what, s in chosen]
        cases += [
            lambda what=what, s=s: vectors(law, what, s, rng, a, "eigen")
            for what, s in (("denoise", 1.0), ("denoise", 0.01), ("score", 0.01), ("log_density", 0.01))
        ]
        cases += [
            lambda: matrices(law, "hessian", 1.0, rng, a),
            lambda: matrices(law, "hessian", 0.01, rng, a, "eigen"),
            lambda: matrices(law, "posterior_covariance", 1.0, rng, a),
        ]
        for case in cases:
            rows.append(case())
            print(line(rows[-1]), flush=True)
        for row in others(a, rng):
            rows.append(row)
            print(line(row), flush=True)
        few = kinds(a, rng)
        print(f"\n{'microseconds per row':<58}{'ours':>12}{'limit':>12}{'ratio':>7}{'goal':>6}{'peer':>12}")
        for r in few:
            goal = f"{r['goal']:g}" if r["goal"] else "-"
            numbers = f"{r['ours_us']:12.2f}{r['limit_us']:12.2f}{r['ratio']:7.2f}{goal:>6}{r['peer_us']:12.2f}"
            print(f"{r['case']:<58}{numbers}", flush=True)
        table = small_noise()
        print("\nabsolute error of the log density, exactly singular covariances (K = 6, d = 12)")
        print(f"{'sigma':>8}{'form':>11}{'ours':>10}{'precision form':>16}{'rounding of x':>15}")
        for r in table:
            print(f"{r['sigma']:8.0e}{r['form']:>11}{r['ours']:10.1e}{r['precision_form']:16.1e}{r['input_rounding']:15.1e}")
        exponents = growth(a, rng)
    print(
        "\ngrowth of the time of a denoiser (eigen form): "
        + ", ".join(f"{name}^{e['exponent']:.2f} ({e['low']:.2f} to {e['high']:.2f})" for name, e in exponents.items())
    )
    missed = [r["case"] for r in [*rows, *few] if r["goal"] and r["ratio"] > r["goal"]]
    print("goals: all met" if not missed else f"goals missed: {'; '.join(missed)}")
    record = {
        "cases": rows,
        "kinds": few,
        "singular": table,
        "growth": exponents,
        "samples": a.samples,
        "components": a.components,
        "dim": a.dim,
        "repeats": a.repeats,
        "machine": machine(),
    }
    return write_record(a.output, record)


if __name__ == "__main__":
    main()
