"""Output law of a sampler on the line: nodes chosen per level against one fixed grid.

    python benchmarks/law1d.py [--steps 16 64 256 1024] [--nodes 1000] [--fine 2000] [--repeats 3] [--output FILE]

Target: two modes; sampler: Euler-Maruyama of the reverse SDE. ``ours`` is `output_laws.line.propagate`. The peer multiplies
the density on one fixed grid of [-8, 8] by the full matrix of kernels in every step; its score is by the same formulas.
The limit is ours without the sums: the score on its nodes. ``accuracy`` is the error of ours: its density on the same last
nodes against four times as many nodes at every level, relative to the largest density; ``peer_accuracy`` that of the fixed
grid against the same reference. ``fine`` nodes of the fixed grid are used with 256 steps only. One thread, process CPU time,
and the ratio of wall times beside it, which other load on the machine disturbs; all methods of a case one after the other in
every repetition.
"""

import math

import numpy as np
from _common import exponent, interleaved_both, machine, options, peak, ratio, show, write
from threadpoolctl import threadpool_limits

from exactdiffusion import GaussianMixture, schedules
from exactdiffusion.output_laws import line

COLUMNS = (
    "case",
    "ours_ms",
    "peer_ms",
    "limit_ms",
    "peer_over_ours",
    "peer_over_ours_wall",
    "ours_over_limit",
    "accuracy",
    "peer_accuracy",
    "nodes",
    "ours_MB",
    "peer_MB",
)
LAW = GaussianMixture(None, [[-0.6], [0.6]], 0.4)


def chain(N):
    """N equal steps in t, from 6 to 0."""
    return schedules.vp_linear(N, beta_min=6.0, beta_max=6.0)


def fixed(N, nodes):
    """The peer: densities on one grid, kernel matrix times vector in every step."""
    grid = chain(N)
    x = np.linspace(-8.0, 8.0, nodes)
    h = x[1] - x[0]
    levels = [line.Level(LAW, float(a), float(s)) for a, s in zip(grid.scale, grid.sigma)]
    q = np.exp(levels[0].log_density(x))
    for k in range(N):
        g = float(grid.g[k])
        centres = x + g * (x / 2 + levels[k].score(x))
        kernel = np.exp(np.square(x[:, np.newaxis] - centres) / (-2 * g))
        q = kernel @ q * (h / math.sqrt(2 * math.pi * g))
    return x, q


def ours(N):
    return line.propagate(LAW, chain(N), "euler_maruyama")


def scores(N, run):
    """What no method can leave out: the score on nodes as many as ours."""
    for report, level in zip(run.steps, run.levels):
        level.score(np.linspace(report.low, report.high, report.nodes))


def case(N, nodes, repeats):
    """Ours against the fixed grid."""
    run = ours(N)
    times, wall = 1e3 * interleaved_both([lambda: ours(N), lambda: scores(N, run), lambda: fixed(N, nodes)], repeats)
    x, q = fixed(N, nodes)
    exact = line.propagate(LAW, chain(N), "euler_maruyama", refine=4.0, nodes=x).law.density
    found = line.propagate(LAW, chain(N), "euler_maruyama", nodes=x).law.density
    top = float(exact.max())
    return {
        "case": f"N = {N}, fixed grid of {nodes}",
        "N": N,
        "repeats": repeats,
        "nodes": max(s.nodes for s in run.steps),
        "ours_ms": float(np.median(times[:, 0])),
        "limit_ms": float(np.median(times[:, 1])),
        "peer_ms": float(np.median(times[:, 2])),
        "ours_over_limit": ratio(times, 0, 1),
        "peer_over_ours": ratio(times, 2, 0),
        "peer_over_ours_wall": ratio(wall, 2, 0),
        "accuracy": float(np.max(np.abs(found - exact))) / top,
        "peer_accuracy": float(np.max(np.abs(q - exact))) / top,
        "ours_MB": peak(ours, (2,), N),
        "peer_MB": peak(fixed, (2, 20), N, nodes),
    }


def main(argv=None):
    """Run the cases, print the table and the exponents, write the record."""
    o = options(__doc__, "law1d", steps=[16, 64, 256, 1024], nodes=1000, fine=2000, repeats=3)
    o = o.parse_args(argv)
    rows, growth = [], {}
    with threadpool_limits(1):
        ours(2)
        fixed(2, 20)
        for N in o.steps:
            rows.append(case(N, o.nodes, o.repeats if N <= 64 else 1))
        rows.append(case(max(N for N in o.steps if N <= 256), o.fine, o.repeats))
    show(rows, COLUMNS)
    some = [r for r in rows if "limit_ms" in r][:-1]
    if len(some) > 2:
        for key in ("ours_ms", "peer_ms"):
            growth[f"{key} in N"] = exponent([r["N"] for r in some], [r[key] for r in some])
    for key, value in growth.items():
        print(f"exponent of {key}: {value:.2f}")
    return write(o.output, COLUMNS, rows, growth, machine=machine())


if __name__ == "__main__":
    main()
