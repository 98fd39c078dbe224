"""Growth of the cost with the size of the problem, in an older tree and in this one: exponents with their intervals.

    python benchmarks/growth.py [--tag 6c1cf4d] [--repeats 3] [--only TEXT]

Sizes double, or grow more slowly where times are erratic, over three octaves or more; where the older tree, or this
one, takes longer than `MOST` seconds for a call it is not asked for larger sizes. Times are medians of CPU time, and both
trees take turns (`_trees.py`); where the cost depends on the cloud, the time of a size is the mean over clouds, one call
each. The exponent is the slope of log time against log size by least squares, with its Student interval of level 95 %. A
call has a part that does not grow, so that an exponent over small sizes is below that of the large ones.
"""

import itertools
import math

import before_after
import numpy as np
from _common import timed
from _trees import Answer, both, middle, options, seconds, serve
from scipy import stats

ROWS = {}
#: seconds of a call above which larger sizes are left out
MOST = 6.0


def row(name, sizes, aim, most=math.inf, longest=MOST):
    """File a row: ``make(size)`` returns the call to time; ``most``: the largest exponent that meets the aim.

    ``longest``: seconds of a call above which larger sizes are left out.
    """

    def add(make):
        ROWS[name] = {"make": make, "sizes": sizes, "aim": aim, "most": most, "longest": longest}
        return make

    return add


def doubling(low, high, between=0):
    """low, 2 low, ..., high, with so many sizes between neighbours."""
    steps = between + 1
    return [round(low * 2 ** (k / steps)) for k in range(round(steps * math.log2(high / low)) + 1)]


# -- denoisers -------------------------------------------------------------------------------------------------------------


def _denoise(points, n):
    from exactdiffusion import PointCloud

    noised = PointCloud(points).noised(1.0, 1.0)
    x = math.sqrt(2) * np.random.default_rng(1).standard_normal((n, points.shape[1]))
    return lambda: noised.denoise(x)


def _cloud(M, d):
    return np.random.default_rng(0).standard_normal((M, d))


@row("denoise, digits, sigma 1, in n", doubling(64, 2048), "1", 1.1)
def queries(n):
    return _denoise(before_after._points("digits"), n)


@row("denoise, n 200, d 64, sigma 1, in M", doubling(500, 16000), "1", 1.1)
def atoms(M):
    return _denoise(_cloud(M, 64), 200)


@row("denoise, n 200, d 2, sigma 1, in M", doubling(1000, 32000), "1", 1.1)
def atoms_of_a_plane(M):
    return _denoise(_cloud(M, 2), 200)


@row("denoise, n 400, M 2,000, sigma 1, in d", doubling(2, 512), "<= 1", 1.0)
def dimension(d):
    return _denoise(_cloud(2000, d), 400)


# -- distances and proximal maps -------------------------------------------------------------------------------------------


@row("w2 of two clouds in the plane, in n", doubling(500, 8000), "2", 2.1)
def coupling(n):
    return before_after.w2(n, n, False)


@row("w2 of n samples to 142 weighted atoms, in n", doubling(1000, 16000), "1", 1.1)
def semidiscrete(n):
    return before_after.w2(n, 142, True)


def _prox(M, d):
    from exactdiffusion import PointCloud

    noised = PointCloud(_cloud(M, d)).noised(1.0, 0.5)
    x = math.sqrt(1.25) * np.random.default_rng(2).standard_normal((100, d))
    return lambda: noised.prox(x, 1.0)


@row("prox, theta 4, 100 rows, d 2, in M", doubling(200, 6400), "1", 1.1)
def prox_atoms(M):
    return _prox(M, 2)


@row("prox, theta 4, 100 rows, M 200, in d", doubling(2, 64), "<= 1", 1.0)
def prox_dimension(d):
    return _prox(200, d)


# -- laws on a line --------------------------------------------------------------------------------------------------------


def _propagate(sampler, N, apart):
    from exactdiffusion import GaussianMixture, schedules
    from exactdiffusion.output_laws import line

    law = GaussianMixture([0.5, 0.5], [[-apart / 2], [apart / 2]], 1.0)
    more = {"nonconvex": "contact"} if sampler == "proximal_backward" else {}
    return lambda: line.propagate(law, schedules.vp_linear(N)[:-1], sampler, **more)


for _sampler in ("ddpm", "probability_flow", "proximal_backward"):

    @row(f"law of {_sampler}, modes 4 deviations apart, in N", doubling(20, 320), "1", 1.1)
    def steps(N, sampler=_sampler):
        return _propagate(sampler, N, 4)


for _sampler in ("ddpm", "proximal_backward"):

    @row(f"law of {_sampler}, 40 steps, in the deviations between the modes", doubling(8, 128, 3), "about 1", 1.2)
    def separation(apart, sampler=_sampler):
        return _propagate(sampler, 40, apart)


# -- certificates ----------------------------------------------------------------------------------------------------------


def _mean(atoms, clouds, task):
    """A call that answers the mean time of ``task`` over clouds in the plane, one call each after one that imports."""
    from exactdiffusion import PointCloud

    laws = [PointCloud(np.random.default_rng([7, atoms, i]).standard_normal((atoms, 2))) for i in range(clouds + 1)]
    return lambda: Answer(np.mean([timed(call)[0] for call in map(task, laws)][1:]))


@row("log_concavity_threshold, mean of 12 plane clouds, in atoms", doubling(6, 96, 1), "<= 2", 2.0, longest=3.0)
def threshold(count):
    from exactdiffusion.papers.log_concavity import certificates

    return _mean(count, 12, lambda law: lambda: certificates.log_concavity_threshold(law))


@row("certify_log_concavity 5 % above the lower side, mean of 24 plane clouds, in atoms", doubling(12, 192, 1),
     "<= 2", 2.0, longest=3.0)  # fmt: skip
def certificate(count):
    from exactdiffusion.papers.log_concavity import certificates

    def task(law):
        variance = 1.05 * certificates.log_concavity_threshold(law, certify=False).lower
        return lambda: certificates.certify_log_concavity(law, variance)

    return _mean(count, 24, task)


# -- running ---------------------------------------------------------------------------------------------------------------


def measure(name, before, after, repeats):
    """Median times of both trees by size, {"before": {size: seconds}, "after": ...}; and what ended a series."""
    found, ended, longest = {"before": {}, "after": {}}, {}, ROWS[name]["longest"]
    for size in ROWS[name]["sizes"]:
        answers = {"before": [], "after": []}
        for _, (kind, ask) in itertools.product(range(repeats), (("before", before), ("after", after))):
            if kind not in ended and (not answers[kind] or answers[kind][-1] < longest / 2):
                answer = ask(name, size)
                if isinstance(answer, str):
                    ended[kind] = f"{answer.partition(':')[0]} at {size}"
                else:
                    answers[kind].append(answer)
        for kind, values in answers.items():
            if kind not in ended and values:
                found[kind][size] = middle(values)
                if found[kind][size] > longest:
                    ended[kind] = f"{seconds(found[kind][size])} at {size}"
    return found, ended


def exponent(times):
    """(slope, half of the 95 % interval) of log time against log size; NaN below three sizes."""
    if len(times) < 3:
        return math.nan, math.nan
    fit = stats.linregress(np.log(list(times)), np.log(list(times.values())))
    return fit.slope, stats.t.ppf(0.975, len(times) - 2) * fit.stderr


def describe(times, ended):
    """Exponent, sizes and times of one tree."""
    slope, half = exponent(times)
    if not times:
        return ended or "-"
    low, high = min(times), max(times)
    stop = f", {ended}" if ended else ""
    return f"{slope:5.2f} +- {half:.2f} ({low}: {seconds(times[low])}, {high}: {seconds(times[high])}{stop})"


def main():
    given = options(__doc__, repeats=3)
    if given.worker:
        return serve(lambda name, size: ROWS[name]["make"](size))

    print(f"{'exponents':84}{'before':58}{'after':58}aim")
    with both(given.tag) as (before, after):
        for name, entry in ROWS.items():
            if given.only not in name:
                continue
            times, ended = measure(name, before, after, given.repeats)
            old, new = (describe(times[kind], ended.get(kind)) for kind in ("before", "after"))
            slope, half = exponent(times["after"])
            verdict = "met" if slope - half <= entry["most"] else "MISSED"
            print(f"{name:84}{old:58}{new:58}{entry['aim']}: {verdict}", flush=True)


if __name__ == "__main__":
    main()
