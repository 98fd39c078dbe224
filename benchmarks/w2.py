"""Exact W2: column generation on few arcs against POT's network simplex on all pairs; sorting against POT on the line.

    python benchmarks/w2.py [--sizes 1001 2000 5000 10000] [--largest 20000] [--rows 50000] [--repeats 3] [--output FILE]

Ours includes the search of arcs, all pricing and the certificate; the peer includes its cost matrix (scipy's cdist), runs
without its iteration limit (the default stops early) and gives no certificate. The limit is one pass over all pairs: nothing
can prove optimality with less. One thread, process CPU time, and the ratio of wall times beside it, which other load on the
machine disturbs; all methods of a case run one after the other in every repetition; above 5000 points there is one
repetition. ``accuracy`` is the relative difference of the two values. Peak
memory is that of one call in a new process beyond the data; the peer's above 2000 points is not measured again.
"""

import numpy as np
from _common import exponent, interleaved_both, machine, options, peak, ratio, show, write
from scipy.spatial.distance import cdist
from threadpoolctl import threadpool_limits

from exactdiffusion import distances
from exactdiffusion.distances import transport

COLUMNS = (
    "case",
    "method",
    "repeats",
    "ours_s",
    "peer_s",
    "limit_s",
    "peer_over_ours",
    "peer_over_ours_wall",
    "ours_over_limit",
    "accuracy",
    "gap_over_top",
    "ours_MB",
    "peer_MB",
)


def weights(rng, n):
    w = np.exp(rng.normal(size=n))
    return w / w.sum()


def gaussians(rng, n, m, d):
    """Two samples: N(0, I) and N(0.2, 1.21 I)."""
    return rng.normal(size=(n, d)), 1.1 * rng.normal(size=(m, d)) + 0.2


def curve(rng, n):
    """Two samples of one law: a noisy closed curve of the plane."""
    t = rng.uniform(0, 2 * np.pi, n)
    return np.stack([np.cos(t), np.sin(2 * t)], axis=1) + 0.02 * rng.normal(size=(n, 2))


def clusters(rng, n):
    """Ten clusters a hundred widths apart, of random sizes."""
    centres = 10 * np.random.default_rng(0).normal(size=(10, 3))
    return centres[rng.choice(10, size=n, p=weights(rng, 10))] + 0.1 * rng.normal(size=(n, 3))


def peer(x, y, a=None, b=None):
    """POT on the full matrix."""
    from ot.lp import emd

    cost = cdist(x, y, "sqeuclidean")
    a, b = (np.full(len(z), 1 / len(z)) if w is None else w for z, w in ((x, a), (y, b)))
    plan = emd(a, b, cost, numItermax=10**9, check_marginals=False)
    return float(np.sqrt(np.vdot(plan, cost)))


def case(name, x, y, a=None, b=None, repeats=3, dense=True):
    """One row of the table."""
    found = {}
    pairs = transport.Pairs(x, y)
    u, v = np.full(len(x), -np.inf), np.zeros(len(y))

    def ours():
        found["ours"] = distances.w2(x, y, a, b)

    def theirs():
        found["peer"] = peer(x, y, a, b)

    tasks = [ours, lambda: pairs.price(u, v, 0.0)] + [theirs] * dense
    times, wall = interleaved_both(tasks, repeats)
    result, top = found["ours"], float(np.max(np.sum((y - x[0]) ** 2, axis=1)))
    row = {
        "case": name,
        "n": len(x),
        "m": len(y),
        "d": x.shape[1],
        "method": result.method,
        "repeats": repeats,
        "ours_s": float(np.median(times[:, 0])),
        "limit_s": float(np.median(times[:, 1])),
        "ours_over_limit": ratio(times, 0, 1),
        "value": result.value,
        "gap_over_top": result.gap / top,
        "ours_MB": peak(distances.w2, (x[:1100], y[:1100]), x, y, a, b),
    }
    if dense:
        row |= {
            "peer_s": float(np.median(times[:, 2])),
            "peer_over_ours": ratio(times, 2, 0),
            "peer_over_ours_wall": ratio(wall, 2, 0),
            "accuracy": abs(found["peer"] / result.value - 1),
        }
        if len(x) * len(y) <= 2000**2:
            row["peer_MB"] = peak(peer, (x[:9], y[:9]), x, y, a, b)
    return row


def few_atoms(n):
    """Draws near 142 atoms of random weights; the dense simplex would take most of the time of the benchmark."""
    rng = np.random.default_rng(6)
    atoms, b = rng.normal(size=(142, 2)), rng.dirichlet(np.ones(142))
    x = atoms[rng.choice(142, n, p=b)] + rng.normal(size=(n, 2))
    return case(f"{n} rows to 142 weighted atoms, d = 2", x, atoms, None, b, repeats=1, dense=n <= 10_000)


def line(n, repeats):
    """W2 of two samples of the line."""
    import ot

    rng = np.random.default_rng(0)
    x, y = rng.normal(size=n), 1.1 * rng.normal(size=n) + 0.2
    found = {}

    def ours():
        found["ours"] = distances.wasserstein_1d(x, y)

    def theirs():
        found["peer"] = float(np.sqrt(ot.wasserstein_1d(x, y, p=2)))

    times, wall = interleaved_both([ours, lambda: (np.sort(x), np.sort(y)), theirs], repeats)
    certified = distances.w2(x[:, None], y[:, None])
    return {
        "case": f"line, n = {n}",
        "n": n,
        "m": n,
        "d": 1,
        "method": "sorted",
        "repeats": repeats,
        "ours_s": float(np.median(times[:, 0])),
        "limit_s": float(np.median(times[:, 1])),
        "peer_s": float(np.median(times[:, 2])),
        "ours_over_limit": ratio(times, 0, 1),
        "peer_over_ours": ratio(times, 2, 0),
        "peer_over_ours_wall": ratio(wall, 2, 0),
        "value": found["ours"],
        "accuracy": abs(found["ours"] / certified.value - 1),
        "peer_accuracy": abs(found["peer"] / certified.value - 1),
        "gap_over_top": certified.gap / float(np.max(np.abs(x)) ** 2),
        "ours_MB": peak(distances.wasserstein_1d, (x[:9], y[:9]), x, y),
        "peer_MB": peak(ot.wasserstein_1d, (x[:9], y[:9]), x, y),
    }


def fits(rows):
    """Exponents in n of the Gaussian cases."""
    growth = {}
    for d in (2, 64):
        for key in ("ours_s", "peer_s", "ours_MB"):
            some = [(r["n"], r[key]) for r in rows if r["case"].startswith("Gaussians") and r["d"] == d and r.get(key)]
            if len(some) > 2:
                growth[f"{key} in n, d = {d}"] = exponent(*zip(*some))
    return growth


def main(argv=None):
    """Run the cases, print the table and the exponents, write the record."""
    import ot

    o = options(__doc__, "w2", sizes=[1001, 2000, 5000, 10000], largest=20000, other=5000, rows=50000, repeats=3).parse_args(
        argv
    )
    rng = np.random.default_rng
    few = lambda n: o.repeats if n <= 5000 else 1  # noqa: E731
    n, d = o.other, 2
    x, y = gaussians(rng(1), n, 4 * n // 5, d)
    atoms = rng(4).normal(size=(142, d))
    cases = [
        lambda: line(200 * n, max(3, o.repeats)),
        lambda: case(f"{2 * n} rows on 142 atoms, d = 2", atoms[rng(5).integers(142, size=2 * n)], atoms, repeats=o.repeats),
        lambda: few_atoms(o.rows),
        lambda: case(f"weights, {n} x {4 * n // 5}, d = 2", x, y, weights(rng(2), n), weights(rng(3), 4 * n // 5), few(n)),
        lambda: case(f"curve, n = {n}, d = 2", curve(rng(1), n), curve(rng(2), n), repeats=few(n)),
        lambda: case(f"clusters, n = {n}, d = 3", clusters(rng(1), n), clusters(rng(2), n), repeats=few(n)),
        *(lambda k=k, d=d: case(f"Gaussians, n = {k}, d = {d}", *gaussians(rng(0), k, k, d), repeats=few(k),
                                dense=k != o.largest)
          for k in [*o.sizes, o.largest] for d in (2, 64)),
    ]  # fmt: skip
    rows = []
    with threadpool_limits(1):
        distances.w2(x[:1100], y[:1100])  # imports
        peer(x[:9], y[:9])
        for one in cases:
            rows.append(one())
            show(rows[-1:], COLUMNS)
            record = write(o.output, COLUMNS, rows, fits(rows), machine=machine(POT=ot.__version__))
    print()
    show(rows, COLUMNS)
    for key, value in record["growth"].items():
        print(f"exponent of {key}: {value:.2f}")
    for r in rows:
        assert r.get("accuracy", 0) <= 1e-11, r["case"]
        assert r["gap_over_top"] <= 1e-9, r["case"]
    return record


if __name__ == "__main__":
    main()
