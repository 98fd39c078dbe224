"""Times the operations that users wait for, in an older tree and in this one, beside a peer and the arithmetic limit.

    python benchmarks/before_after.py [--tag 6c1cf4d] [--repeats 5] [--only TEXT]

The tree of the tag is checked out into a temporary folder, which is removed in any case. Both trees run in processes of
their own, one thread each, and take turns: row by row, repetition by repetition, in CPU time. Printed are medians; the
ratios are the medians of the ratios within a repetition. Microseconds belong to the machine, ratios carry over.

The peer is what a user would write or install instead; the limit is the work that cannot be avoided (matrix products and
exponentials, or the eigendecomposition). Columns are empty where a row has none.
"""

import argparse
import contextlib
import itertools
import json
import math
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
ROWS = {}
#: seconds below which a call is repeated, and the mean is taken
SHORTEST = 0.02


def row(name, aim="", peer=None, limit=None, scale=1):
    """File a row: ``make()`` returns the call to time; ``scale`` is what the time is divided by."""

    def add(make):
        ROWS[name] = {"make": make, "aim": aim, "peer": peer, "limit": limit, "scale": scale}
        return make

    return add


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


def _plain_small():
    import numpy as np

    weights, means, variances = np.array([0.3, 0.7]), np.array([[-1.0], [1.0]]), np.array([0.2, 0.5])
    x, s, t = np.array([[0.4]]), 0.9, 0.6

    def call():
        v = s * s * variances + t * t
        difference = x[:, None, :] - s * means
        log = np.log(weights) - 0.5 * np.log(v) - 0.5 * np.sum(difference**2, axis=2) / v
        r = np.exp(log - log.max(axis=1, keepdims=True))
        r /= r.sum(axis=1, keepdims=True)
        return np.sum(r[:, :, None] * (means + (s * variances / v)[:, None] * difference), axis=1)

    return call


@row("small mixture (K 2, d 1), one row: noised().denoise", "<= 2 x plain", peer=_plain_small)
def small():
    import numpy as np

    from exactdiffusion import GaussianMixture

    law = GaussianMixture([0.3, 0.7], [[-1.0], [1.0]], [0.2, 0.5])
    x = np.array([[0.4]])
    return lambda: law.noised(0.9, 0.6).denoise(x)


def _products(n, K, d, exponentials=True):
    import numpy as np

    rng = np.random.default_rng(2)
    x, m, r = rng.standard_normal((n, d)), rng.standard_normal((d, K)), rng.standard_normal((n, K))
    return lambda: (x @ m, r @ m.T, np.exp(r) if exponentials else None)


for _kind in ("isotropic", "diagonal"):
    for _sigma in (0.3, 3.0):

        @row(f"{_kind} mixture K 128, d 784, sigma {_sigma:g}: denoise, a row", "<= 4 x limit",
             limit=lambda: _products(200, 128, 784), scale=200)  # fmt: skip
        def wide(kind=_kind, sigma=_sigma):
            law, noised, _ = _mixture(128, 784, kind, sigma)
            import numpy as np

            rng = np.random.default_rng(3)
            x = law.sample(200, rng) + sigma * rng.standard_normal((200, 784))
            return lambda: noised.denoise(x)


for _kind in ("isotropic", "full"):

    @row(f"{_kind} mixture K 128, d 2, sigma .5: denoise, a row", "<= 4 x limit",
         limit=lambda: _products(2000, 128, 2), scale=2000)  # fmt: skip
    def flat(kind=_kind):
        _, noised, rng = _mixture(128, 2, kind, 0.5)
        x = 2 * rng.standard_normal((2000, 2))
        return lambda: noised.denoise(x)


def _eigh(K, d):
    import numpy as np

    a = np.random.default_rng(1).standard_normal((K, d, d)) / math.sqrt(d)
    a = a @ np.swapaxes(a, 1, 2) + 0.1 * np.eye(d)
    return lambda: [np.linalg.eigh(c) for c in a]


@row("full mixture K 10, d 784: set-up", "<= 3 s", limit=lambda: _eigh(10, 784))
def setup():
    import numpy as np

    from exactdiffusion import GaussianMixture

    rng = np.random.default_rng(1)
    a = rng.standard_normal((10, 784, 784)) / 28
    covariances, means = a @ np.swapaxes(a, 1, 2) + 0.1 * np.eye(784), rng.standard_normal((10, 784))
    x = rng.standard_normal((1, 784))
    return lambda: GaussianMixture(None, means, covariances).noised(1.0, 0.5).denoise(x)


# -- point clouds ----------------------------------------------------------------------------------------------------------

for _d in (2, 3, 4, 8, 32):

    @row(f"cloud M 2,000, n 400, sigma 1, d {_d}: denoise", "monotone in d within 2 x",
         limit=lambda d=_d: _products(400, 2000, d))  # fmt: skip
    def cloud(d=_d):
        import numpy as np

        from exactdiffusion import PointCloud

        rng = np.random.default_rng(4)
        noised = PointCloud(rng.standard_normal((2000, d))).noised(1.0, 1.0)
        x = rng.standard_normal((400, d)) * math.sqrt(2)
        return lambda: noised.denoise(x)


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


for _name, _n in (("142 points in the plane", 10000), ("digits", 1000)):

    @row(f"DDIM, 20 steps, {_name}, n {_n:,}: a call of the denoiser", "2 x ahead of the peer",
         peer=lambda name=_name, n=_n: _softmax(name, n), scale=20)  # fmt: skip
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


for _size, _m, _weighted in ((500, 500, False), (1000, 1000, False), (1000, 142, True), (50000, 142, True)):

    @row(f"w2 {_size:,} x {_m}" + (", weighted" if _weighted else ""), "<= 6 s" if _size > 10000 else "the faster solver",
         peer=lambda n=_size, m=_m, w=_weighted: _emd(n, m, w))  # fmt: skip
    def w2(n=_size, m=_m, weighted=_weighted):
        from exactdiffusion import distances

        x, y, b = _clouds(n, m)
        return lambda: distances.w2(x, y, weights_y=b if weighted else None)


for _atoms in (12, 48):

    @row(f"log_concavity_threshold, {_atoms} atoms in the plane", "exponent <= 2")
    def threshold(atoms=_atoms):
        import numpy as np

        from exactdiffusion import PointCloud
        from exactdiffusion.papers.log_concavity import certificates

        clouds = [np.random.default_rng([7, atoms, i]).standard_normal((atoms, 2)) for i in range(100)]
        turn = iter(clouds)  # a new cloud each time: thresholds are remembered
        return lambda: certificates.log_concavity_threshold(PointCloud(next(turn)))


for _apart in (8, 32, 128):

    @row(f"law of DDPM on a line, 40 steps, modes {_apart} deviations apart", "exponent about 1")
    def propagate(apart=_apart):
        from exactdiffusion import GaussianMixture, schedules
        from exactdiffusion.output_laws import line

        law = GaussianMixture([0.5, 0.5], [[-1.0], [1.0]], (2 / apart) ** 2)
        return lambda: line.propagate(law, schedules.vp_linear(40)[:-1], "ddpm")


@row("law of DDIM on a Gaussian, full covariance, d 512, 20 steps", "1.3 x limit", limit=lambda: _eigh(1, 512))
def full_law():
    import numpy as np

    from exactdiffusion import Grid, output_laws

    a = np.random.default_rng(8).standard_normal((512, 512)) / 22
    covariance, mean = a @ a.T + 0.1 * np.eye(512), np.zeros(512)
    grid = Grid(np.ones(21), np.geomspace(40, 0.02, 21))
    return lambda: output_laws.gaussian("ddim", mean, covariance, grid)


@row("printed audit of the ideal denoiser on the digits", "<= 3 s")
def audited():
    from exactdiffusion import datasets
    from exactdiffusion.papers.projection.audit import audit

    points = datasets.digits()
    return lambda: audit("ideal", points).text()


# -- running ---------------------------------------------------------------------------------------------------------------


def worker():
    """Serve ``name kind`` lines on standard input: one timed call each, a JSON number or an error on standard output."""
    calls = {}
    for line in sys.stdin:
        name, kind = json.loads(line)
        make = ROWS[name]["make" if kind == "ours" else kind]
        try:
            if (name, kind) not in calls:
                call = make()
                start = time.process_time()
                call()
                calls[name, kind] = call, max(1, math.ceil(SHORTEST / max(time.process_time() - start, 1e-9)))
            call, count = calls[name, kind]
            start = time.process_time()
            for _ in range(min(count, 1000)):
                call()
            answer = (time.process_time() - start) / min(count, 1000)
        # a refusal of the older tree, or a peer that is not installed, is an answer
        except Exception as error:
            answer = f"{type(error).__name__}: {error}"[:60]
        print(json.dumps(answer), flush=True)


@contextlib.contextmanager
def tree(root):
    """A function (name, kind) -> seconds, served by a process that imports the package of ``root``."""
    threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"), "1")
    environment = {
        **os.environ,
        **threads,
        "PYTHONPATH": os.pathsep.join([str(root / "src"), os.environ.get("PYTHONPATH", "")]),
    }
    command = [sys.executable, str(Path(__file__).resolve()), "--worker"]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment)

    def ask(name, kind="ours"):
        process.stdin.write(json.dumps([name, kind]) + "\n")
        process.stdin.flush()
        return json.loads(process.stdout.readline())

    try:
        yield ask
    finally:
        process.stdin.close()
        process.wait(timeout=60)


def cell(values, scale):
    """Median in a unit that suits it, or what went wrong."""
    numbers = [v for v in values if isinstance(v, float)]
    if not numbers:
        return values[0].partition(":")[0] if values else ""
    value = statistics.median(numbers) / scale
    for unit, size in (("s", 1), ("ms", 1e-3), ("us", 1e-6), ("ns", 1e-9)):
        if value >= size:
            return f"{value / size:.3g} {unit}"
    return "0"


def quotient(a, b):
    """Median of the ratios within a repetition."""
    pairs = [x / y for x, y in zip(a, b) if isinstance(x, float) and isinstance(y, float) and y > 0]
    return f"{statistics.median(pairs):.2f}" if pairs else ""


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tag", default="6c1cf4d", help="the older tree: a tag or commit")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--only", default="", help="rows whose name contains TEXT", metavar="TEXT")
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        return worker()

    git = ["git", "-C", str(ROOT), "worktree"]
    with tempfile.TemporaryDirectory() as folder:
        old = Path(folder) / "old"
        added = subprocess.run([*git, "add", "--detach", "--quiet", str(old), options.tag], capture_output=True, text=True)
        if added.returncode:
            print(f"no older tree ({added.stderr.strip()}): --tag takes a commit that this clone has", file=sys.stderr)
            with tree(ROOT) as after:
                return report(lambda *_: "absent", after, options)
        try:
            with tree(old) as before, tree(ROOT) as after:
                report(before, after, options)
        finally:
            subprocess.run([*git, "remove", "--force", str(old)], check=True)


def report(before, after, options):
    head = ("before", "after", "peer", "limit", "after/before", "after/peer", "after/limit", "aim")
    print(f"{'':72}" + "".join(f"{text:>14}" for text in head))
    for name, entry in ROWS.items():
        if options.only not in name:
            continue
        times = {kind: [] for kind in ("before", "after", "peer", "limit")}
        for _ in range(options.repeats):
            times["before"].append(before(name))
            times["after"].append(after(name))
            for kind in ("peer", "limit"):
                if entry[kind] is not None:
                    times[kind].append(after(name, kind))

        cells = [cell(values, entry["scale"]) for values in times.values()]
        ratios = [quotient(times["after"], times[kind]) for kind in ("before", "peer", "limit")]
        print(f"{name:72}" + "".join(f"{text:>14}" for text in (*cells, *ratios)) + f"  {entry['aim']}", flush=True)


if __name__ == "__main__":
    main()
