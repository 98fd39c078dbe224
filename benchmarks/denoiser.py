"""Point-cloud denoiser against the naive form and against its arithmetic limit, in one run.

Usage: python benchmarks/denoiser.py [--quick] [--output benchmarks/results/denoiser.json]

The limit is two matrix products of the case's shape and one exponential per pair, timed between the runs of ours; for
images it is the two products alone. Times are CPU times, ratios medians over interleaved pairs. ``numpy`` is the ratio of
ours without numba. ``error`` is the largest error of a few rows against long double differences, relative to the largest
coordinate of the cloud; ``MB`` what a call takes at its peak beyond data and result. Clouds: the dino (142 atoms, 2-D; a
closed curve of as many points where the data set is missing), the 1797 digits in 64 dimensions, 1/f noise images in 3072
dimensions (synthetic: no image data set is needed).
"""

import argparse
import tracemalloc
from functools import partial
from pathlib import Path
from unittest.mock import patch

import numpy as np
from _common import machine, seconds, timed, write_record
from threadpoolctl import threadpool_limits

from exactdiffusion import PointCloud, datasets
from exactdiffusion.laws._kernels import softmax
from exactdiffusion.laws._kernels import tree as _neighbours


def dino():
    """The 142 points of the dino, or as many on a curve of the same size."""
    try:
        points = datasets.dino()
    except datasets.DatasetUnavailable:
        angle = np.linspace(0, 2 * np.pi, 143)[:142]
        return "circle", np.stack([np.cos(angle), np.sin(2 * angle)], axis=1)
    return "dino", np.asarray(getattr(points, "points", points), dtype=np.float64)


def digits():
    """The 1797 digits, (1797, 64)."""
    points = datasets.digits()
    return "digits", np.asarray(getattr(points, "points", points), dtype=np.float64)


def images(M, side=32, seed=0):
    """M images of 3 x side x side pixels, spectrum 1/f, standard deviation 1/2."""
    rng = np.random.default_rng(seed)
    f = np.fft.fftfreq(side)
    k = np.hypot(f[:, None], f[None])
    k[0, 0] = 1 / side
    out = np.empty((M, 3 * side * side))
    for a in range(0, M, 1000):
        z = rng.standard_normal((min(1000, M - a), 3, side, side))
        out[a : a + 1000] = np.fft.ifft2(np.fft.fft2(z) / k).real.reshape(len(z), -1)
    out *= 0.5 / np.std(out[:1000])
    return "images", out


def queries(P, n, sigma, seed=1):
    """Atoms drawn at random plus noise."""
    rng = np.random.default_rng(seed)
    return P[rng.integers(0, len(P), n)] + sigma * rng.standard_normal((n, P.shape[1]))


def naive(P, x, sigma):
    """Broadcast differences (n, M, d), in chunks of 100 rows; one full matrix of expanded squares above 1000 dimensions."""
    if P.shape[1] > 1000:
        h = 0.5 * np.sum(x * x, axis=1)[:, None] + 0.5 * np.sum(P * P, axis=1)[None] - x @ P.T
        e = np.exp(-(h - h.min(axis=1, keepdims=True)) / sigma**2)
        return e @ P / e.sum(axis=1, keepdims=True)
    out = []
    for i in range(0, len(x), 100):
        h = 0.5 * np.sum((x[i : i + 100, None] - P[None]) ** 2, axis=-1)
        e = np.exp(-(h - h.min(axis=1, keepdims=True)) / sigma**2)
        out.append(e @ P / e.sum(axis=1, keepdims=True))
    return np.concatenate(out)


def reference(P, x, sigma):
    """Long double differences."""
    out = []
    for row in x.astype(np.longdouble):
        h = np.concatenate(
            [0.5 * np.sum((row - P[a : a + 500].astype(np.longdouble)) ** 2, axis=1) for a in range(0, len(P), 500)]
        )
        w = np.exp(-(h - h.min()) / np.longdouble(sigma) ** 2)
        keep = np.flatnonzero(w > 1e-30)
        out.append((w[keep] @ P[keep].astype(np.longdouble)) / w.sum())
    return np.array(out)


def peak(function):
    """Peak of the memory that one call takes, without its result, in MB."""
    softmax._STORE.__dict__.clear()
    tracemalloc.start()
    try:
        out = function()
        return (tracemalloc.get_traced_memory()[1] - out.nbytes) / 2**20
    finally:
        tracemalloc.stop()


class Limit:
    """Two products of the shape (n, M, d), and one exponential per pair unless the products are all that counts."""

    def __init__(self, P, x, exponentials=True):
        n, M = len(x), len(P)
        self.P, self.x, self.exponentials = P, x, exponentials
        rows = n if n * M <= 1 << 22 else max(64, (6 << 20) // M)
        self.rows, self.W, self.out = rows, np.full((rows, M), 0.5), np.empty((n, P.shape[1]))
        self.L, self.E = np.linspace(-20, 0, rows * M).reshape(rows, M), np.empty((rows, M))

    def __call__(self):
        for i in range(0, len(self.x), self.rows):
            z = self.x[i : i + self.rows]
            np.matmul(z, self.P.T, out=self.E[: len(z)])
            np.matmul(self.W[: len(z)], self.P, out=self.out[i : i + self.rows])
            if self.exponentials:
                np.exp(self.L[: len(z)], out=self.E[: len(z)])


def case(name, P, n, sigma, repeats, exact_rows, with_naive=True):
    """One row of the table: ours with and without the compiled kernels, naive, limit."""
    cloud = PointCloud(P, copy=False)
    x = queries(P, n, sigma)
    law, limit = cloud.noised(1.0, sigma), Limit(P, x, P.shape[1] < 1000)
    times = {k: [] for k in ("ours", "numpy", "naive", "limit", "score")}
    out = law.denoise(x)
    has = softmax.compiled() is not None and P.shape[1] < 1000
    for k in range(repeats):
        times["ours"].append(seconds(lambda: law.denoise(x)))
        times["limit"].append(seconds(limit))
        if k == 0 or P.shape[1] < 1000:
            times["score"].append(seconds(lambda: law.score(x)))
        if has:
            with patch.object(softmax, "compiled", lambda: None):
                times["numpy"].append(seconds(lambda: law.denoise(x)))
        if with_naive and k < (3 if P.shape[1] < 1000 else 1):
            times["naive"].append(seconds(lambda: naive(P, x, sigma)))
    if not has:
        times["numpy"] = times["ours"]
    some = np.linspace(0, n - 1, exact_rows).astype(int)
    error = float(np.max(np.abs(out[some] - reference(P, x[some], sigma)))) / float(max(P.max(), -P.min()))
    t = {k: np.array(v) for k, v in times.items()}
    row = {
        "case": name,
        "queries": n,
        "atoms": len(P),
        "dim": P.shape[1],
        "sigma": sigma,
        **{f"{k}_ms": float(np.median(v)) * 1e3 if len(v) else None for k, v in t.items()},
        "ratio": float(np.median(t["ours"] / t["limit"])),
        "numpy_ratio": float(np.median(t["numpy"] / t["limit"])),
        "score_ratio": float(np.median(t["score"] / t["limit"][: len(t["score"])])),
        "compiled": has,
        "naive_ratio": float(np.median(t["naive"]) / np.median(t["limit"])) if with_naive else None,
        "gemm_gflops": 4e-9 * n * len(P) * P.shape[1] / float(np.median(t["limit"])) if P.shape[1] > 1000 else None,
        "error": error,
        "memory_mb": peak(lambda: law.denoise(x)),
    }
    naive_ms = f"{row['naive_ms']:10.2f}{row['naive_ratio']:8.1f}" if with_naive else f"{'-':>10}{'-':>8}"
    print(
        f"{f'{name} ({n},{len(P)},{P.shape[1]})':<26}{sigma:7.3g}{row['ours_ms']:10.2f}{row['limit_ms']:10.2f}"
        f"{row['ratio']:7.2f}{row['numpy_ratio']:7.2f}{row['score_ratio']:7.2f}{naive_ms}{error:10.1e}{row['memory_mb']:8.1f}",
        flush=True,
    )
    return row


def pruning(P, n, sigmas, repeats):
    """Pruned against unpruned (every column, float64), same call otherwise."""
    print(f"\npruning, {len(P)} atoms, {n} queries: {'sigma':>8}{'full ms':>10}{'ours ms':>10}{'gain':>7}{'error':>10}")
    cloud, rows = PointCloud(P, copy=False), []

    def everything(law, E, name):
        return E @ law._p._host[name]

    for sigma in sigmas:
        x, law = queries(P, n, sigma), cloud.noised(1.0, sigma)
        ours, full = [], []
        for _ in range(repeats):
            took, got = timed(partial(law.denoise, x))
            ours.append(took)
            with patch.object(softmax, "sums", everything):
                took, want = timed(partial(law.denoise, x))
            full.append(took)
        gain = float(np.median(np.array(full) / np.array(ours)))
        error = float(np.max(np.abs(got - want)) / max(P.max(), -P.min()))
        rows.append(
            {
                "sigma": sigma,
                "full_ms": 1e3 * float(np.median(full)),
                "ours_ms": 1e3 * float(np.median(ours)),
                "gain": gain,
                "error": error,
            }
        )
        print(
            f"{'':32}{sigma:8.3g}{rows[-1]['full_ms']:10.1f}{rows[-1]['ours_ms']:10.1f}{gain:7.2f}{error:10.1e}", flush=True
        )
    return rows


def curve(M, seed=2):
    """M points about a closed curve in the plane, standard deviation 0.02."""
    rng = np.random.default_rng(seed)
    angle = rng.uniform(0, 2 * np.pi, M)
    return np.stack([np.cos(angle), np.sin(2 * angle)], axis=1) + 0.02 * rng.standard_normal((M, 2))


def trees(shapes, sigmas, repeats):
    """Large clouds in few dimensions: ours, by the tree where it serves, against the same call without it.

    ``served`` is the share of rows that the tree answers; the tree is made before (``tree_ms``; ``law_ms`` is what making
    the law takes). sigma 0 is the nearest atom.
    """
    print(f"\n{'trees':<26}{'sigma':>8}{'dense ms':>10}{'ours ms':>10}{'gain':>8}{'served':>8}{'error':>10}{'MB':>8}")
    rows = []
    for name, P, n in shapes:
        made, cloud = timed(partial(PointCloud, P))
        tree = seconds(partial(_neighbours.tree, cloud))
        for sigma in sigmas:
            x, law = queries(P, n, sigma), cloud.noised(1.0, sigma)
            ours, dense = [], []
            for _ in range(repeats):
                took, got = timed(partial(law.denoise, x))
                ours.append(took)
                with patch.object(_neighbours, "applies", lambda law, n: False):
                    took, want = timed(partial(law.denoise, x))
                dense.append(took)
            precision, zero = np.full(n, (sigma or 1.0) ** -2.0), np.full(n, sigma == 0)
            row = {
                "case": name,
                "queries": n,
                "atoms": len(P),
                "dim": P.shape[1],
                "sigma": sigma,
                "dense_ms": 1e3 * float(np.median(dense)),
                "ours_ms": 1e3 * float(np.median(ours)),
                "gain": float(np.median(np.array(dense) / np.array(ours))),
                "served": float(_neighbours.search(cloud, x, precision, zero, "mean")[0].mean()),
                "error": float(np.max(np.abs(got - want)) / np.abs(P).max()),
                "memory_mb": peak(partial(law.denoise, x)),
                "tree_ms": 1e3 * tree,
                "law_ms": 1e3 * made,
            }
            rows.append(row)
            print(
                f"{f'{name} ({n},{len(P)},{P.shape[1]})':<26}{sigma:8.3g}{row['dense_ms']:10.1f}{row['ours_ms']:10.1f}"
                f"{row['gain']:8.2f}{row['served']:8.2f}{row['error']:10.1e}{row['memory_mb']:8.1f}",
                flush=True,
            )
    return rows


def near_ties(name, P, sigma, n=200):
    """Queries on bisectors of an atom and its nearest neighbour up to sigma^2 / gap: errors of four forms."""
    rng = np.random.default_rng(3)
    a = rng.integers(0, len(P), n)
    near = []
    for i in a:
        d2 = np.sum((P - P[i]) ** 2, axis=1)
        d2[d2 == 0] = np.inf
        near.append(int(np.argmin(d2)))
    gap = P[near] - P[a]
    size = np.linalg.norm(gap, axis=1, keepdims=True)
    x = (P[a] + P[near]) / 2 + gap / size * (sigma**2 / size) * rng.uniform(-1, 1, (n, 1))
    want = reference(P, x, sigma)

    def soft(h):
        e = np.exp(-(h - h.min(axis=1, keepdims=True)) / sigma**2)
        return e @ P / e.sum(axis=1, keepdims=True)

    def expanded(c):
        p, y = P - c, x - c
        return soft(0.5 * np.sum(p * p, axis=1)[None] - y @ p.T)

    direct = np.concatenate([0.5 * np.sum((x[i : i + 50, None] - P[None]) ** 2, axis=-1) for i in range(0, n, 50)])
    forms = {
        "differences": soft(direct),
        "expansion": expanded(0.0),
        "centred": expanded(P.mean(axis=0)),
        "ours": PointCloud(P).noised(1.0, sigma).denoise(x),
    }
    errors = {k: float(np.max(np.abs(v - want))) for k, v in forms.items()}
    # What rounding of differences costs: eps gap^2 / sigma^2 in the logit of the neighbour, times gap; eps |x| of the mean.
    eps = float(np.finfo(float).eps)
    allowed = 4 * eps * (np.abs(P).max() + float(np.max(size)) ** 3 / sigma**2)
    print(f"{name:<24}{sigma:8.0e}" + "".join(f"{errors[k]:14.1e}" for k in forms) + f"{allowed:14.1e}", flush=True)
    return {"case": name, "sigma": sigma, **errors, "allowed": float(allowed)}


def exponents(repeats=5):
    """Slopes of log time over the upper half of a range of n, M and d (each with the other two fixed), and times by d.

    ``by_dimension``: milliseconds of 400 queries and 2,000 atoms at sigma 1 in each dimension from 1 to 64, over which the
    fast forms change.
    """
    rng = np.random.default_rng(5)
    out = {}
    for label, shapes in (
        ("queries", [(n, 2000, 64) for n in (250, 500, 1000, 2000)]),
        ("atoms", [(500, M, 64) for M in (1000, 2000, 4000, 8000)]),
        ("queries, plane", [(n, 142, 2) for n in (2500, 5000, 10_000, 20_000)]),
        ("atoms, plane", [(400, M, 2) for M in (1000, 2000, 4000, 8000)]),
        ("dimension", [(500, 2000, d) for d in (64, 128, 256, 512)]),
    ):
        times = _times(rng, shapes, repeats)
        size = [shape[("queries", "atoms", "dimension").index(label.partition(",")[0])] for shape in shapes]
        out[label] = float(np.polyfit(np.log(size), np.log(times), 1)[0])
    print("\ngrowth exponents: " + ", ".join(f"{k} {v:.2f}" for k, v in out.items()))

    dims = (1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 16, 32, 64)
    out["by_dimension"] = dict(zip(map(str, dims), 1e3 * _times(rng, [(400, 2000, d) for d in dims], repeats), strict=True))
    print("ms by dimension: " + ", ".join(f"{d}: {v:.1f}" for d, v in out["by_dimension"].items()))
    return out


def _times(rng, shapes, repeats):
    """Median seconds of denoising at sigma 1, for shapes (queries, atoms, dimension), in interleaved repetitions."""
    laws = [(PointCloud(rng.standard_normal((M, d))).noised(1.0, 1.0), rng.standard_normal((n, d))) for n, M, d in shapes]
    times = [[seconds(partial(law.denoise, x)) for law, x in laws] for _ in range(repeats + 1)]
    return np.median(np.array(times)[1:], axis=0)


def run(options):
    """Run the cases, print the tables, write the JSON record."""
    small, medium = dino(), digits()
    print(
        f"{'case':<26}{'sigma':>7}{'ours ms':>10}{'limit ms':>10}{'ratio':>7}{'numpy':>7}{'score':>7}"
        f"{'naive ms':>10}{'ratio':>8}{'error':>10}{'MB':>8}"
    )
    rows = [case(*small, 1000, s, 51, 100) for s in (1.0, 0.1, 0.01, 1e-3)]
    rows += [case(*medium, 1000, s, 15, 20, with_naive=s in (1.0, 0.05)) for s in (3.0, 1.0, 0.3, 0.05)]
    if not options.quick:
        cloud = images(50000)
        rows += [case(*cloud, 256, s, 3, 2, with_naive=s == 3.0) for s in (10.0, 3.0, 0.3)]
        del cloud
    pruned = pruning(images(20000)[1], 128, (0.05, 0.3, 0.5, 0.7, 1.0, 2.0, 3.0, 10.0), 3)
    rng = np.random.default_rng(4)
    levels = (0.0, 1e-4, 1e-3, 1e-2, 0.03, 0.1, 1.0)
    searched = trees(
        [
            ("curve", curve(200_000), 1000),
            ("cube", rng.uniform(size=(100_000, 3)), 1000),
            ("circle", np.stack([np.cos(a := rng.uniform(0, 7, 20_000)), np.sin(a)], axis=1), 1000),
        ],
        levels,
        3,
    )
    print(
        f"\nnear ties, largest error{'sigma':>8}{'differences':>14}{'expansion':>14}{'centred':>14}"
        f"{'ours':>14}{'rounding':>14}"
    )
    ties = []
    for sigma in (1e-3, 1e-6):
        ties += [near_ties(small[0], small[1], sigma), near_ties(f"{small[0]} + 1000", small[1] + 1000, sigma)]
    ties.append(near_ties("digits", medium[1], 1e-4))
    growth = exponents()
    # Roundings of the same kind and size as those of explicit differences, in another order.
    assert all(r["ours"] <= min(r["allowed"], 4 * r["differences"]) for r in ties)
    record = {
        "cases": rows,
        "pruning": pruned,
        "trees": searched,
        "near_ties": ties,
        "exponents": growth,
        "machine": machine(),
    }
    write_record(options.output, record)
    return rows


def main(argv=None):
    """Options, and one thread for everything."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="leave out the cloud of 50,000 images")
    parser.add_argument("--output", type=Path, default=Path(__file__).parent / "results" / "denoiser.json")
    options = parser.parse_args(argv)
    with threadpool_limits(1):
        return run(options)


if __name__ == "__main__":
    main()
