"""Proximal maps of noised clouds against a quasi-Newton solver per query, in one run.

Usage: python benchmarks/prox.py [--queries 1000] [--peers 40] [--output benchmarks/results/prox.json]

Cases: the dino (142 atoms, 2-D; needs the data set, see ``exactdiffusion.datasets.dino``) at the second step of the VP
schedule with N = 20 and others, and the 1797 digits in 64 dimensions. Queries are those of the hybrid sampler: x drawn from
the law at t_k, the prox taken at t_{k-1}. The peers minimise the same objective, one query at a time, with scipy's
L-BFGS-B from u = x: vectorised over the atoms with the exact gradient, vectorised with finite differences, and with
finite differences of an objective that loops over the atoms in Python, as one writes it down (a few queries: milliseconds to
seconds each). They are local solvers; the table says how often they miss the minimum. Rates are medians of interleaved
repetitions of process time on the same queries; ``residual`` is the largest relative residual of ours, ``peer dist`` the
largest distance of the peer's points to ours where both found the same minimum. Ours is compared with itself from every
atom as a start: ``worse`` counts the queries where that found a lower value.

Growth: the time of 100 queries of normal clouds, at noise 1 and theta = lam / sigma^2 = 0.5, against the number of atoms M
(d = 2 and 8) and against the dimension d (M = 2,000). The exponent between two sizes is log(time ratio) / log(size ratio);
the last one of a row is that of the two largest sizes.
"""

import argparse
import math
from functools import partial
from pathlib import Path

import numpy as np
from _common import interleaved, machine, timed, write_record
from scipy.optimize import minimize
from threadpoolctl import threadpool_limits

from exactdiffusion import PointCloud, datasets, schedules


def objective(points, scale, sigma, x, lam):
    """F and its gradient at u (d,), vectorised over the atoms."""
    atoms, variance = scale * points, sigma**2
    constant = lam * (np.log(len(points)) + 0.5 * points.shape[1] * np.log(2 * np.pi * variance))

    def function(u):
        e = np.square(u - atoms).sum(1) / (-2 * variance)
        top = e.max()
        e = np.exp(e - top)
        total = e.sum()
        value = 0.5 * np.square(u - x).sum() - lam * (np.log(total) + top) + constant
        return value, (u - x) + lam / variance * (u - e @ atoms / total)

    return function


def looped(points, scale, sigma, x, lam):
    """F at u (d,), atom by atom in Python, log-sum-exp with a running maximum."""
    atoms, variance = list(scale * points), sigma**2
    constant = lam * (math.log(len(points)) + 0.5 * points.shape[1] * math.log(2 * math.pi * variance))

    def function(u):
        top, total = -math.inf, 0.0
        for atom in atoms:
            difference = u - atom
            e = float(difference @ difference) / (-2 * variance)
            if e > top:
                top, total = e, total * math.exp(top - e) + 1.0
            else:
                total += math.exp(e - top)
        difference = u - x
        return 0.5 * float(difference @ difference) - lam * (math.log(total) + top) + constant

    return function


def valued(points, scale, sigma, x, lam):
    """`objective` without its gradient, which L-BFGS-B then takes by differences."""
    function = objective(points, scale, sigma, x, lam)
    return lambda u: function(u)[0]


def descents(form, points, scale, sigma, x, lam):
    """Results of L-BFGS-B from each row of x (n, d) on that row's function of ``form``."""
    return [minimize(form(points, scale, sigma, z, lam), z, jac=form is objective, method="L-BFGS-B") for z in x]


def queries(cloud, grid, i, n, seed):
    """Hybrid-sampler queries of the step from level i to i + 1 and lam."""
    rng = np.random.default_rng(seed)
    g = float(grid.g[i])
    x = cloud.noised(float(grid.scale[i]), float(grid.sigma[i])).sample(n, rng)
    return (1 + g / 2) * x + np.sqrt(g) * rng.standard_normal(x.shape), g


def case(name, cloud, N, k, n, peers, repeats=5):
    """Rates of ours and of the two peers for the prox at t = (k-1)/N."""
    grid = schedules.vp_linear(N)
    i = N - k
    y, lam = queries(cloud, grid, i, n, seed=N + k)
    scale, sigma = float(grid.scale[i + 1]), float(grid.sigma[i + 1])
    law = cloud.noised(scale, sigma)
    law.prox(y[:10], lam)
    points = np.asarray(cloud.points)
    some = np.linspace(0, n - 1, min(peers, n)).astype(int)
    ours, exact, differences, plain, found = [], [], [], [], {}
    for _ in range(repeats):
        took, u = timed(partial(law.prox, y, lam))
        ours.append(took / n)
        for gradient, record in ((True, exact), (False, differences)):
            chosen = some if gradient else some[: max(1, len(some) // (1 if points.shape[1] <= 3 else 8))]
            form = objective if gradient else valued
            took, solutions = timed(partial(descents, form, points, scale, sigma, y[chosen], lam))
            record.append(took / len(chosen))
            found[gradient] = chosen, solutions
        chosen = some[:: max(1, len(some) // 4)][: 4 if points.shape[1] <= 3 else 1]
        took, _ = timed(partial(descents, looped, points, scale, sigma, y[chosen], lam))
        plain.append(took / len(chosen))
    proof = law.prox(y, lam, certificate=True)
    row = {
        "case": name,
        "N": N,
        "k": k,
        "sigma": sigma / scale,
        "theta": lam / sigma**2,
        "atoms": len(points),
        "dim": points.shape[1],
        "queries": n,
        "seconds": float(np.median(ours)),
        "residual": float(proof.residual.max()),
        "status": {str(s): int(np.sum(proof.status == s)) for s in np.unique(proof.status)},
        "scores_per_query": proof.calls.get("score", 0) / n,
    }
    f = np.array([objective(points, scale, sigma, y[j], lam)(u[j])[0] for j in range(n)])
    every = np.arange(n) if points.shape[1] <= 3 else some[:: max(1, len(some) // 8)]
    best = law.prox(y[every], lam, starts=None, certificate=True).objective
    row["all_starts"] = {"queries": len(every), "worse": int(np.sum(f[every] > best + 1e-9 * (1 + np.abs(best))))}
    row["python"] = {
        "seconds": float(np.median(plain)),
        "ratio": float(np.median(np.array(plain) / np.array(ours))),
        "queries": len(chosen),
    }
    row["worse_than_certified"] = int(np.sum(f > proof.objective + 1e-10 * (1 + np.abs(proof.objective))))
    for gradient, record, label in ((True, exact, "gradient"), (False, differences, "differences")):
        chosen, solutions = found[gradient]
        excess = np.array([s.fun - f[j] for j, s in zip(chosen, solutions)])
        same = excess < 1e-6 * (1 + np.abs(f[chosen]))
        distance = [np.linalg.norm(s.x - u[j]) for j, s, ok in zip(chosen, solutions, same) if ok]
        row[label] = {
            "seconds": float(np.median(record)),
            "ratio": float(np.median(np.array(record) / np.array(ours))),
            "queries": len(chosen),
            "missed": int(np.sum(~same)),
            "better_than_ours": int(np.sum(excess < -1e-9)),
            "distance": float(max(distance, default=np.nan)),
            "evaluations": float(np.mean([s.nfev for s in solutions])),
        }
    return row


#: atoms at a fixed dimension, and dimensions at 2,000 atoms; above d = 32 nearly every query has one component that counts
GROWTH = (("M", 2, (200, 800, 3200, 12800)), ("M", 8, (200, 800, 3200, 12800)), ("d", 2000, (1, 2, 3, 4, 6, 8, 16, 32)))


def growth(repeats=3, queries=100, theta=0.5):
    """Seconds and exponents of the rows of GROWTH; all sizes of a row are timed in turn in every repetition."""
    rows = []
    for varied, fixed, sizes in GROWTH:
        tasks = []
        for size in sizes:
            atoms, d = (size, fixed) if varied == "M" else (fixed, size)
            cloud = PointCloud(np.random.default_rng([d, atoms]).standard_normal((atoms, d)))
            law = cloud.noised(1.0, 1.0)
            tasks.append(partial(law.prox, law.sample(queries, np.random.default_rng(1)), theta))
        seconds = np.median(interleaved(tasks, repeats, warm=True), axis=0)
        exponents = np.diff(np.log(seconds)) / np.diff(np.log(sizes))
        rows.append(
            {"varied": varied, "fixed": fixed, "sizes": sizes, "seconds": seconds.tolist(), "exponents": exponents.tolist()}
        )
        print(f"{varied} at {'d' if varied == 'M' else 'M'} = {fixed}")
        for size, took, exponent in zip(sizes, seconds, [math.nan, *exponents]):
            print(f"{size:10d}{1e3 * took:9.1f} ms{exponent:8.2f}", flush=True)
    return rows


def run(options):
    """Run the cases, print the table, write the JSON record."""
    cases = []
    try:
        dino = datasets.dino()
        dino = dino if hasattr(dino, "noised") else PointCloud(dino)
        cases += [("dino", dino, N, k, options.queries) for N, k in ((20, 2), (5, 2), (10, 2), (40, 2), (20, 11))]
    except datasets.DatasetUnavailable as error:
        print(f"dino left out: {error}")
    digits = datasets.digits()
    digits = digits if hasattr(digits, "noised") else PointCloud(digits)
    cases += [("digits", digits, N, k, options.queries // 5) for N, k in ((20, 2), (20, 4), (20, 8))]
    head = (
        f"{'case':<16}{'sigma':>7}{'theta':>7}{'ours us':>9}{'grad us':>9}{'ratio':>7}{'diff us':>10}{'ratio':>8}"
        f"{'loop us':>10}{'ratio':>8}{'missed':>8}{'worse':>9}{'residual':>10}{'peer dist':>10}  status"
    )
    print(head)
    rows = []
    for name, cloud, N, k, n in cases:
        r = case(name, cloud, N, k, n, options.peers)
        rows.append(r)
        g, d, p, w = r["gradient"], r["differences"], r["python"], r["all_starts"]
        print(
            f"{name + f' N={N} k={k}':<16}{r['sigma']:7.3f}{r['theta']:7.2f}{1e6 * r['seconds']:9.1f}"
            f"{1e6 * g['seconds']:9.0f}{g['ratio']:7.1f}{1e6 * d['seconds']:10.0f}{d['ratio']:8.1f}"
            f"{1e6 * p['seconds']:10.0f}{p['ratio']:8.0f}"
            f"{g['missed']:4d}/{g['queries']:<3d}{w['worse']:4d}/{w['queries']:<4d}"
            f"{r['residual']:10.1e}{g['distance']:10.1e}  {r['status']}",
            flush=True,
        )
        assert r["worse_than_certified"] == 0
        assert g["better_than_ours"] == d["better_than_ours"] == 0
    write_record(options.output, {"cases": rows, "growth": growth(), "machine": machine()})
    first = rows[0]
    if first["case"] == "dino":
        g, d = (first[q]["ratio"] for q in ("gradient", "differences"))
        print(
            f"dino N=20 k=2: {1 / first['seconds']:.0f} samples/s; {g:.0f} x L-BFGS-B with gradient (goal 5 x), "
            f"{d:.0f} x with finite differences, {first['python']['ratio']:.0f} x with a Python loop (goal 100 x)"
        )
    print(
        f"lower from every atom: {sum(r['all_starts']['worse'] for r in rows)} of "
        f"{sum(r['all_starts']['queries'] for r in rows)} queries"
    )
    return rows


def main(argv=None):
    """Options, and one thread for everything."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--queries", type=int, default=1000)
    parser.add_argument("--peers", type=int, default=40, help="queries given to the peers (they are slow)")
    parser.add_argument("--output", type=Path, default=Path(__file__).parent / "results" / "prox.json")
    options = parser.parse_args(argv)
    with threadpool_limits(1):
        return run(options)


if __name__ == "__main__":
    main()
