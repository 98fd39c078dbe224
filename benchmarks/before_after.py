"""Times the operations that users wait for, in an older tree and in this one, beside a peer and the arithmetic limit.

    python benchmarks/before_after.py [--tag 6c1cf4d] [--repeats 5] [--only TEXT]

The tree of the tag is checked out into a temporary folder, which is removed in any case. Both trees run in processes of
their own, one thread each, and take turns: row by row, repetition by repetition, in CPU time. Printed are medians; the
ratios are the medians of the ratios within a repetition. Microseconds belong to the machine, ratios carry over. A row that
takes longer than `LONG` seconds is repeated less.

The peer is what a user would write or install instead; the limit is the work that cannot be avoided (matrix products and
exponentials, or the eigendecomposition; for W2 the faster of our two solvers, asked for by name). Columns are empty where a
row has none. A row that misses its aim says why; the reason was measured when the row was written.
"""

import itertools
import math
import time

from _trees import Answer, both, middle, options, seconds, serve

ROWS = {}
#: seconds of a row after which it is not repeated again
LONG = 20.0


def row(name, aim="", met=None, why="", *, peer=None, limit=None, scale=1, plain=False, unit="s"):
    """File a row: ``make()`` returns the call to time, and ``scale`` is what the time is divided by.

    ``met(ratio, time, times)`` judges the medians: ``ratio`` has the keys "before", "peer" and "limit", ``times`` the times
    of this tree by the names of the rows so far. ``why`` is printed where it is not met; in it {limit_of_peer} is the limit
    over the peer. ``plain``: without compiled kernels. ``unit``: "s", or empty for a number.
    """

    def add(make):
        ROWS[name] = {"ours": make, "aim": aim, "met": met, "why": why, "peer": peer, "limit": limit, "scale": scale}
        ROWS[name] |= {"plain": plain, "unit": unit}
        return make

    return add


def at_most(factor, of):
    """Judge of a row: no more than ``factor`` times the peer or the limit."""
    return lambda ratio, *_: ratio[of] <= factor


def within(most):
    """Judge of a row: no more than so many seconds."""
    return lambda ratio, time, times: time <= most


# -- mixtures --------------------------------------------------------------------------------------------------------------


def _mixture(K, d, kind, sigma):
    import numpy as np

    from exactdiffusion import GaussianMixture

    rng = np.random.default_rng(1)
    if kind == "full":
        a = rng.standard_normal((K, d, d)) / math.sqrt(d)
        covariances = a @ np.swapaxes(a, 1, 2) + 0.1 * np.eye(d)
    else:
        covariances = rng.uniform(0.5, 1.5, K) if kind == "isotropic" else rng.uniform(0.5, 1.5, (K, d))
    law = GaussianMixture(rng.dirichlet(np.ones(K)), 2 * rng.standard_normal((K, d)), covariances)
    return law, law.noised(1.0, sigma), rng


def _plain_small(rows):
    import numpy as np

    weights, means, variances = np.array([0.3, 0.7]), np.array([[-1.0], [1.0]]), np.array([0.2, 0.5])
    x, s, t = np.linspace(-2.0, 2.0, rows)[:, None], 0.9, 0.6

    def call():
        v = s * s * variances + t * t
        difference = x[:, None, :] - s * means
        log = np.log(weights) - 0.5 * np.log(v) - 0.5 * np.sum(difference**2, axis=2) / v
        r = np.exp(log - log.max(axis=1, keepdims=True))
        r /= r.sum(axis=1, keepdims=True)
        return np.sum(r[:, :, None] * (means + (s * variances / v)[:, None] * difference), axis=1)

    return call


for _rows in (1, 64):

    @row(f"small mixture (K 2, d 1), rows {_rows}: noised().denoise", "<= 2 x plain", at_most(2, "peer"),
         peer=lambda rows=_rows: _plain_small(rows))  # fmt: skip
    def small(rows=_rows):
        import numpy as np

        from exactdiffusion import GaussianMixture

        law = GaussianMixture([0.3, 0.7], [[-1.0], [1.0]], [0.2, 0.5])
        x = np.linspace(-2.0, 2.0, rows)[:, None]
        return lambda: law.noised(0.9, 0.6).denoise(x)


def _products(n, K, d):
    """Two products and the exponentials, in memory that is there: the pages of new arrays cost up to five times as much."""
    import numpy as np

    rng = np.random.default_rng(2)
    x, m, r = rng.standard_normal((n, d)), rng.standard_normal((d, K)), rng.standard_normal((n, K))
    logits, e, sums = np.empty((n, K)), np.empty((n, K)), np.empty((n, d))
    return lambda: (np.matmul(x, m, out=logits), np.exp(r, out=e), np.matmul(r, m.T, out=sums))


for _kind in ("isotropic", "diagonal"):
    for _sigma in (0.05, 0.3, 3.0):

        @row(f"{_kind} mixture K 128, d 784, sigma {_sigma:g}: denoise, a row", "<= 4 x limit", at_most(4, "limit"),
             "variances that differ by coordinate take four products where the limit has two",
             limit=lambda: _products(200, 128, 784), scale=200)  # fmt: skip
        def wide(kind=_kind, sigma=_sigma):
            law, noised, _ = _mixture(128, 784, kind, sigma)
            import numpy as np

            rng = np.random.default_rng(3)
            x = law.sample(200, rng) + sigma * rng.standard_normal((200, 784))
            return lambda: noised.denoise(x)


for _kind, _K in itertools.product(("isotropic", "full"), (10, 128)):

    @row(f"{_kind} mixture K {_K}, d 2, n 20,000, sigma .5: denoise, a row", "<= 4 x limit", at_most(4, "limit"),
         "a row of the limit takes 13 ns; 3 products and 15 passes over 2 to 20 numbers take .5 to 5 ns each",
         limit=lambda K=_K: _products(20000, K, 2), scale=20000)  # fmt: skip
    def flat(kind=_kind, K=_K):
        _, noised, rng = _mixture(K, 2, kind, 0.5)
        x = 2 * rng.standard_normal((20000, 2))
        return lambda: noised.denoise(x)


def _eigh(K, d):
    import numpy as np

    a = np.random.default_rng(1).standard_normal((K, d, d)) / math.sqrt(d)
    a = a @ np.swapaxes(a, 1, 2) + 0.1 * np.eye(d)
    return lambda: [np.linalg.eigh(c) for c in a]


@row("full mixture K 10, d 784: set-up", "<= 3 s", within(3), limit=lambda: _eigh(10, 784))
def setup():
    import numpy as np

    from exactdiffusion import GaussianMixture

    rng = np.random.default_rng(1)
    a = rng.standard_normal((10, 784, 784)) / 28
    covariances, means = a @ np.swapaxes(a, 1, 2) + 0.1 * np.eye(784), rng.standard_normal((10, 784))
    x = rng.standard_normal((1, 784))
    return lambda: GaussianMixture(None, means, covariances).noised(1.0, 0.5).denoise(x)


# -- point clouds ----------------------------------------------------------------------------------------------------------


def _monotone(what, d):
    """Judge: no smaller dimension takes more than twice the time."""
    return lambda ratio, time, times: all(
        times[name] <= 2 * time for e in _DIMENSIONS if e < d and (name := f"{what}, d {e}") in times
    )


_DIMENSIONS, _CLOUD, _PROX = (2, 3, 4, 8, 32), "cloud M 2,000, n 400, sigma 1: denoise", "cloud M 200, n 100, theta 4: prox"
for _d in _DIMENSIONS:

    @row(f"{_CLOUD}, d {_d}", "monotone in d within 2 x", _monotone(_CLOUD, _d),
         limit=lambda d=_d: _products(400, 2000, d))  # fmt: skip
    def cloud(d=_d):
        import numpy as np

        from exactdiffusion import PointCloud

        rng = np.random.default_rng(4)
        noised = PointCloud(rng.standard_normal((2000, d))).noised(1.0, 1.0)
        x = rng.standard_normal((400, d)) * math.sqrt(2)
        return lambda: noised.denoise(x)


for _d in _DIMENSIONS:

    @row(f"{_PROX}, d {_d}", "monotone in d within 2 x", _monotone(_PROX, _d))
    def prox(d=_d):
        import numpy as np

        from exactdiffusion import PointCloud

        rng = np.random.default_rng(9)
        noised = PointCloud(rng.standard_normal((200, d))).noised(1.0, 0.5)
        x = rng.standard_normal((100, d)) * math.sqrt(1.25)
        return lambda: noised.prox(x, 1.0)


for _what, _d in (("posterior_covariance", 2), ("posterior_covariance", 64), ("gap", 64)):

    @row(f"cloud of {'142 points' if _d == 2 else 'digits'}, n 200: {_what}", "<= 1.1 x before", at_most(1.1, "before"),
         "one kernel for arrays of every kind took the place of four")  # fmt: skip
    def derived(what=_what, d=_d):
        import numpy as np

        from exactdiffusion import PointCloud

        points = _points("digits" if d == 64 else "")
        law = PointCloud(points)
        x = points[:100].repeat(2, axis=0) + 0.5 * np.random.default_rng(10).standard_normal((200, d))
        call = getattr(law if what == "gap" else law.noised(1.0, 0.5), what)
        return lambda: call(x)


@row("full mixture K 2, d 2, 4 rows: hessian", "<= 1.5 x before", at_most(1.5, "before"))
def small_hessian():
    import numpy as np

    _, noised, rng = _mixture(2, 2, "full", 0.5)
    x = rng.standard_normal((4, 2))
    return lambda: noised.hessian(np.array(x))


def _softmax(name, n):
    """DDIM with a torch denoiser of six lines in float64."""
    import numpy as np
    import torch

    points = torch.as_tensor(_points(name))
    squares = (points**2).sum(1)
    sigma = np.geomspace(40, 0.02, 21)
    x = torch.as_tensor(sigma[0] * np.random.default_rng(5).standard_normal((n, points.shape[1])))

    def call():
        y = x
        for a, b in itertools.pairwise(sigma):
            logits = (y @ points.T - squares / 2) / a**2
            clean = torch.softmax(logits, 1) @ points
            y = clean + (b / a) * (y - clean)
        return y

    return call


def _points(name):
    import numpy as np

    from exactdiffusion import datasets

    if name == "digits":
        return datasets.digits()
    angle = np.linspace(0, 2 * np.pi, 142, endpoint=False)
    return np.stack([np.cos(angle) + 0.3 * np.cos(3 * angle), np.sin(angle) - 0.2 * np.sin(2 * angle)], 1)


def _work(name, n):
    """Twenty times the two products of a denoiser and its exponentials, by NumPy or torch, whichever is faster here."""
    import numpy as np
    import torch

    points = _points(name)
    products, x = _products(n, len(points), points.shape[1]), np.random.default_rng(5).standard_normal((n, points.shape[1]))
    here, p, e = torch.as_tensor(x), torch.as_tensor(points), -torch.rand((n, len(points)), dtype=torch.float64)
    once = _quicker([products, lambda: (here @ p.T, torch.exp(e), e @ p)])
    return lambda: [once() for _ in range(20)]


def _quicker(calls):
    """The call that takes less processor time, the second time that it is made."""
    spent = []
    for call in calls:
        call()
        start = time.process_time()
        call()
        spent.append(time.process_time() - start)
    return calls[spent.index(min(spent))]


for _name, _n, _plain in itertools.product(("142 points", "digits"), (0,), (False, True)):
    _n = 1000 if _name == "digits" else 10000

    @row(f"DDIM, 20 steps, {_name}, n {_n:,}, {'NumPy' if _plain else 'compiled'}: a call",
         *(("<= 1.1 x before", at_most(1.1, "before")) if _plain else ("2 x ahead of the peer", at_most(0.5, "peer"))),
         "one kernel for arrays of every kind took the place of four" if _plain else
         "both products and the exponentials are {limit_of_peer:.2f} of the peer, and only 7 of 20 levels need fewer atoms",
         peer=lambda name=_name, n=_n: _softmax(name, n), limit=lambda name=_name, n=_n: _work(name, n),
         scale=20, plain=_plain)  # fmt: skip
    def ddim(name=_name, n=_n):
        import numpy as np

        from exactdiffusion import Grid, PointCloud, samplers

        points = _points(name)
        law, grid = PointCloud(points), Grid(np.ones(21), np.geomspace(40, 0.02, 21))
        x = 40 * np.random.default_rng(5).standard_normal((n, points.shape[1]))
        return lambda: samplers.final(samplers.ddim(law, grid, x))


# -- distances, thresholds, exact laws -------------------------------------------------------------------------------------


def _clouds(n, m, d=2):
    import numpy as np

    rng = np.random.default_rng(6)
    return rng.standard_normal((n, d)), 1.2 * rng.standard_normal((m, d)) + 0.3, rng.dirichlet(np.full(m, 5.0))


def _emd(n, m, weighted):
    import numpy as np
    import ot

    x, y, b = _clouds(n, m)
    a, b = np.full(n, 1 / n), b if weighted else np.full(m, 1 / m)
    return lambda: ot.emd2(a, b, ot.dist(x, y), numItermax=10**9)


def _faster(n, m, weighted):
    """The faster of the dense and the sparse solver, asked for by name."""
    return _quicker([w2(n, m, weighted, method=method) for method in ("emd", "sparse")])


for _size, _m, _weighted in ((500, 500, False), (1000, 1000, False), (1500, 1500, False), (1000, 142, True)):

    @row(f"w2 {_size:,} x {_m}" + (", weighted" if _weighted else ""), "the faster within 20 %", at_most(1.2, "limit"),
         peer=lambda n=_size, m=_m, w=_weighted: _emd(n, m, w),
         limit=lambda n=_size, m=_m, w=_weighted: _faster(n, m, w))  # fmt: skip
    def w2(n=_size, m=_m, weighted=_weighted, **method):
        from exactdiffusion import distances

        x, y, b = _clouds(n, m)
        return lambda: distances.w2(x, y, weights_y=b if weighted else None, **method)


@row("w2 50,000 x 142, weighted, certified", "<= 6 s", within(6), peer=lambda: _emd(50000, 142, True))
def semidiscrete():
    return w2(50000, 142, True)


for _atoms in (12, 48):

    @row(f"log_concavity_threshold, {_atoms} atoms in the plane", "exponent <= 2: growth.py")
    def threshold(atoms=_atoms):
        import numpy as np

        from exactdiffusion import PointCloud
        from exactdiffusion.papers.log_concavity import certificates

        clouds = [np.random.default_rng([7, atoms, i]).standard_normal((atoms, 2)) for i in range(100)]
        turn = itertools.cycle(clouds)  # a new cloud each time: thresholds are remembered
        return lambda: certificates.log_concavity_threshold(PointCloud(next(turn)))


for _apart in (8, 32, 128):

    @row(f"law of DDPM on a line, 40 steps, modes {_apart} deviations apart", "exponent about 1: growth.py")
    def propagate(apart=_apart):
        from exactdiffusion import GaussianMixture, schedules
        from exactdiffusion.output_laws import line

        law = GaussianMixture([0.5, 0.5], [[-apart / 2], [apart / 2]], 1.0)
        return lambda: line.propagate(law, schedules.vp_linear(40)[:-1], "ddpm")


def _eigh_and_products(d):
    """What a start asks for that does not commute: a factor, which shows its sign, taken into the eigenbasis and back."""
    import numpy as np

    eigh, a = _eigh(1, d), np.random.default_rng(1).standard_normal((d, d))
    b = a @ a.T

    def call():
        eigh()
        root = a @ (a.T @ np.linalg.cholesky(b))
        return root @ root.T

    return call


for _start in ("exact", "other"):

    @row(f"law of DDIM on a Gaussian, full covariance, d 512, {_start} start", "1.3 x limit", at_most(1.3, "limit"),
         "half a product brings the covariance back, and 20 steps are probed at 13 points in every direction",
         limit=lambda start=_start: _eigh(1, 512) if start == "exact" else _eigh_and_products(512))  # fmt: skip
    def full_law(start=_start):
        import numpy as np

        from exactdiffusion import Grid, output_laws

        rng = np.random.default_rng(8)
        a, b = rng.standard_normal((2, 512, 512)) / 22
        covariance, mean = a @ a.T + 0.1 * np.eye(512), np.zeros(512)
        grid = Grid(np.ones(21), np.geomspace(40, 0.02, 21))
        other = {} if start == "exact" else {"start_cov": b @ b.T + 1600 * np.eye(512)}
        return lambda: output_laws.gaussian("ddim", mean, covariance, grid, **other)


@row("printed audit of the ideal denoiser on the digits", "<= 3 s", within(3))
def audited():
    from exactdiffusion import datasets
    from exactdiffusion.papers.projection.audit import audit

    points = datasets.digits()
    return lambda: audit("ideal", points).text()


def _cells():
    import sweep

    return lambda: sweep.bare(10, [5], range(20))


@row("sweep, 10 samples, 5 steps, 40 cells: a cell (peer: the bare loop)", peer=_cells, scale=40)
def cells():
    import sweep

    arguments = sweep.arguments(10, [5], 20, exact_draws=0)
    return lambda: sweep.engine.sweep(**arguments)


@row("sweep, 1 sample, 5 steps, 40 cells: a cell beyond the bare loop", "<= .5 x before", at_most(0.5, "before"))
def overhead():
    import numpy as np
    import sweep
    from _common import interleaved

    arguments = sweep.arguments(1, [5], 20, exact_draws=0)

    def call():
        tasks = [lambda: sweep.bare(1, [5], range(20)), lambda: sweep.engine.sweep(**arguments)]
        return Answer(np.median(np.diff(interleaved(tasks, 15, warm=True), axis=1)) / 40)

    return call


def _at_least(least):
    return lambda ratio, time, times: time >= least


@row("sweep --jobs 2: share of what two pinned loops give, wall time", ">= .9", _at_least(0.9),
     "the share is of wall times, which other programs on the two cores disturb: it holds on an idle machine",
     unit="")  # fmt: skip
def workers():
    import sweep

    return lambda: Answer(sweep.scaling(1000, [5, 10, 20], 4, 3)["of_pinned"])


# -- running ---------------------------------------------------------------------------------------------------------------


def quotient(a, b):
    """Median of the ratios within a repetition; NaN without one."""
    found = middle([x / y for x, y in zip(a, b) if isinstance(x, float) and isinstance(y, float) and y > 0])
    return math.nan if found is None else found


def measure(name, before, after, repeats):
    """Answers {"before", "after", "peer", "limit"} of a row: lists, of equal length where there is such a column."""
    entry, start = ROWS[name], time.monotonic()
    times = {kind: [] for kind in ("before", "after", "peer", "limit")}
    for _ in range(repeats):
        times["before"].append(before(name, "ours", entry["plain"]))
        times["after"].append(after(name, "ours", entry["plain"]))
        for kind in ("peer", "limit"):
            if entry[kind] is not None:
                times[kind].append(after(name, kind))
        if time.monotonic() - start > LONG:
            break
    return times


def cell(values, entry):
    """Median in a unit that suits it, or what went wrong."""
    value = middle(values)
    if value is None:
        return str(values[0]).partition(":")[0] if values else ""
    return seconds(value / entry["scale"]) if entry["unit"] else f"{value:.3g}"


def verdict(entry, ratio, time, times):
    """The aim of a row, and whether it is met."""
    if entry["met"] is None:
        return entry["aim"]
    found = time is not None and entry["met"](ratio, time, times)
    why = entry["why"].format(limit_of_peer=ratio["peer"] / ratio["limit"]) or "no reason is known"
    return f"{entry['aim']}: " + ("met" if found else f"MISSED: {why}")


def main():
    given = options(__doc__, repeats=5)
    if given.worker:
        return serve(lambda name, kind: ROWS[name][kind]())

    head = ("before", "after", "peer", "limit", "/ before", "/ peer", "/ limit", "aim")
    print(f"{'':70}" + "".join(f"{text:>11}" for text in head[:-1]) + f"  {head[-1]}")
    done = {}
    with both(given.tag) as (before, after):
        for name, entry in ROWS.items():
            if given.only not in name:
                continue
            times = measure(name, before, after, given.repeats)
            ratio = {kind: quotient(times["after"], times[kind]) for kind in ("before", "peer", "limit")}
            done[name] = middle(times["after"])
            cells = [cell(values, entry) for values in times.values()]
            cells += ["" if math.isnan(value) else f"{value:.2f}" for value in ratio.values()]
            line = f"{name:70}" + "".join(f"{text:>11}" for text in cells)
            print(f"{line}  {verdict(entry, ratio, done[name], done)}", flush=True)


if __name__ == "__main__":
    main()
