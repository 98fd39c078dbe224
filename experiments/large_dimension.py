"""Oracles and samplers in large dimension on NumPy, torch or CuPy: seconds, shares of the ceilings, agreement with the CPU.

Usage: python experiments/large_dimension.py --backend {numpy,torch,cupy} [--device cuda] [--scale 1] [--cases NAME,...]

Four cases, all in float64, all through the public functions:

denoiser      ideal denoiser of a cloud of 50,000 images of 32 x 32 x 3 (n = 3,072) at 256 and 4,096 queries; and the same
              by a float32 (on a GPU tf32) product that only chooses candidates, which explicit float64 differences decide
trajectories  DDIM, gradient estimation and DPM-Solver++(2M) on that cloud with 256 and 4,096 queries
mixtures      chains of 300 conditional means, 128 components, dimensions 64 to 1,024, 10,000 samples
curves        relative projection error along DDIM and W2 distance to the support against the number of steps, at n = 3,072
              and 12,288

The images are random with the 1/f amplitudes of photographs: no claim about a data set follows from them. Ceilings are
measured in the same run: the matrix products that the case cannot do without (two of queries x atoms x n; two of
samples x n x K n for mixtures, once per level), timed between the repetitions, and the copy rate. Agreement: a few rows are
computed again by the NumPy functions on the CPU and by explicit differences; largest difference over the largest entry, at
most 1e-10. ``--scale`` shrinks everything, for tests and for the CPU. The record goes to
``benchmarks/results/gpu-<device>.json``, without a GPU to ``large-dimension-cpu.json``, one entry per backend. Without the
GPU that was asked for the script says so and ends with status 3.
"""

import argparse
import json
import math
import re
import sys
import time
import warnings
from pathlib import Path

import array_api_compat
import numpy as np

from exactdiffusion import GaussianMixture, Noise, PointCloud, distances, samplers, schedules
from exactdiffusion._core import files
from exactdiffusion._core.provenance import provenance
from exactdiffusion.papers import conditional_mean

TOLERANCE = 1e-10
SAMPLERS = ("ddim", "gradient_estimation", "dpm_solver_pp")
CASES = ("denoiser", "trajectories", "mixtures", "curves")
RESULTS = Path(__file__).resolve().parent.parent / "benchmarks" / "results"


class Unavailable(Exception):
    """The backend or its device is not here."""


class Device:
    """Arrays of one backend on one device: transfer, synchronisation, name."""

    def __init__(self, backend, device=None):
        self.backend, self.gpu = backend, False
        if backend == "numpy":
            if device not in (None, "cpu"):
                raise Unavailable(f"--device {device}: NumPy has the CPU only")
            self.where, self.name, self.version = "cpu", "cpu", np.__version__
            self.xp = array_api_compat.array_namespace(np.empty(0))
        elif backend == "torch":
            self._torch(device)
        else:
            self._cupy(device)

    def _torch(self, device):
        try:
            import torch
        except ImportError:
            raise Unavailable("torch is not installed: pip install torch==2.13.0") from None
        device = device or ("cuda" if torch.cuda.is_available() else "cpu")
        if device.startswith("cuda") and not torch.cuda.is_available():
            raise Unavailable(f"--device {device}: torch {torch.__version__} finds no GPU; --device cpu runs without one")
        self.module, self.where, self.version = torch, torch.device(device), torch.__version__
        self.gpu = self.where.type == "cuda"
        self.name = torch.cuda.get_device_name(self.where) if self.gpu else "cpu"
        self.xp = array_api_compat.array_namespace(torch.empty(0))
        if self.gpu:  # the default, said aloud: float32 products round to float32 unless `coarse` lets them not
            torch.backends.cuda.matmul.allow_tf32 = False

    def _cupy(self, device):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # it warns where it finds no driver, which is reported below
                import cupy
        except ImportError as error:
            raise Unavailable(f"CuPy is not installed ({error}): pip install 'exactdiffusion[gpu]'") from None
        if device is not None and not re.fullmatch(r"cuda(:\d+)?", device):
            raise Unavailable(f"--device {device}: CuPy has cuda or cuda:N only")
        try:
            count = cupy.cuda.runtime.getDeviceCount()
        except cupy.cuda.runtime.CUDARuntimeError as error:
            raise Unavailable(f"CuPy {cupy.__version__} finds no GPU ({error}); --backend torch runs without") from None
        number = int(device.partition(":")[2] or 0) if device else 0
        if number >= count:
            raise Unavailable(f"--device {device}: there are {count} GPUs")
        self.module, self.where, self.version, self.gpu = cupy, cupy.cuda.Device(number), cupy.__version__, True
        self.name = cupy.cuda.runtime.getDeviceProperties(number)["name"].decode()
        self.where.use()
        self.xp = array_api_compat.array_namespace(cupy.empty(0))

    def put(self, a):
        return self.xp.asarray(np.array(a, order="C"), device=self.where)

    def get(self, a):
        if self.backend == "numpy":
            return a
        return a.get() if self.backend == "cupy" else a.cpu().numpy()

    def synchronise(self):
        if self.gpu:
            self.module.cuda.synchronize(self.where) if self.backend == "torch" else self.where.synchronize()

    def coarse(self, on):
        """Let float32 products use tf32 (GPU only); the unit roundoff that they then have."""
        if self.gpu and self.backend == "torch":
            self.module.backends.cuda.matmul.allow_tf32 = on
        elif self.gpu:
            core = self.module._core
            core.set_compute_type(np.float32, 3 if on else 0)  # COMPUTE_TYPE_TF32, _DEFAULT
        return 2.0**-11 if self.gpu else 2.0**-24

    def seconds(self, *functions, repeats):
        """Median seconds of each function over interleaved repetitions, after one call that is not counted.

        Wall time on a GPU, processor time on a CPU, which other programs share.
        """
        clock = time.perf_counter if self.gpu else time.process_time
        record = [[] for _ in functions]
        for repeat in range(repeats + 1):
            for function, times in zip(functions, record):
                self.synchronise()
                begin = clock()
                function()
                self.synchronise()
                if repeat:
                    times.append(clock() - begin)
        return [float(np.median(times)) for times in record]


def sizes(scale):
    """All numbers that the cases depend on."""
    if not 0 < scale <= 1:
        raise ValueError(f"scale: got {scale}; expected a number in (0, 1]")
    small, root = scale < 0.01, math.sqrt(scale)
    return {
        "scale": scale, "atoms": max(150, round(50_000 * scale)), "side": 8 if small else 32,
        "queries": [max(8, round(256 * scale)), max(24, round(4096 * scale))], "sigmas": [0.1, 1.0, 5.0],
        "steps": 20 if scale == 1 else max(4, round(20 * scale**0.25)),
        "dimensions": [16, 32] if small else [64, 128, 256] if scale < 0.5 else [64, 128, 256, 512, 1024],
        "components": max(4, round(128 * root)), "samples": max(40, round(10_000 * scale)),
        "levels": 8 if small else round(300 * root),
        "curve_queries": max(8, round(256 * scale)), "curve_steps": [5, 10] if small else [5, 10, 20, 50],
        "check_rows": 4, "seed": 20240721,
    }  # fmt: skip


def images(count, side, seed):
    """Random images (count, 3 side^2) whose amplitudes fall as 1/f, root mean square 1/2 per pixel."""
    frequency = np.hypot(np.fft.fftfreq(side)[:, None], np.fft.rfftfreq(side)) * side
    amplitude = 1 / np.maximum(frequency, 1.0)
    out = np.empty((count, 3 * side * side))
    for start in range(0, count, 1000):
        rng = np.random.default_rng([seed, start])
        white = rng.standard_normal((min(1000, count - start), 3, side, side))
        block = np.fft.irfft2(np.fft.rfft2(white) * amplitude, s=(side, side))
        out[start : start + 1000] = block.reshape(len(block), -1)
    return 0.5 * out / math.sqrt(np.mean(out[:1000] ** 2))


def relative(a, b):
    """Largest difference over the largest entry."""
    return float(np.max(np.abs(a - b)) / np.max(np.abs(b)))


def by_differences(points, x, sigma):
    """Ideal denoiser of a few rows by explicit differences on the CPU, one row at a time: nothing is expanded."""
    out = np.empty_like(x)
    for i, row in enumerate(x):
        h = np.concatenate([0.5 * np.sum((points[a : a + 1000] - row) ** 2, axis=1) for a in range(0, len(points), 1000)])
        w = np.exp(-(h - h.min()) / sigma**2)
        out[i] = (w / w.sum()) @ points
    return out


class Filter:
    """Ideal denoiser by a single-precision product that only chooses candidates.

    With unit roundoff u of the factors (2^-24, tf32 2^-11) and accumulation in float32, a product of centred rows is off by
    at most ``delta = (2 u + u^2 + 2 n 2^-24) |x| max |p|`` (Cauchy-Schwarz; half of the last term is for what comes after
    the product). An atom whose numerator is below the row's best by more than ``T sigma^2 + 2 delta``, T = 40 + log M,
    has a weight below e^-40 / M of the best one; all others are recomputed by explicit float64 differences. The answer moves
    by less than e^-40 diameters.
    """

    most = 64  # candidates per row; where there are more, the float64 products are the right tool

    def __init__(self, device, points):
        xp = self.xp = device.xp
        self.device, self.points = device, device.put(points)
        self.centre = xp.mean(self.points, axis=0)
        centred = self.points - self.centre
        self.half = 0.5 * xp.sum(centred * centred, axis=1)
        self.radius = math.sqrt(2 * float(xp.max(self.half)))
        self.single = xp.astype(centred, xp.float32)

    def denoise(self, x, sigma):
        """(n, d), or None where too many atoms remain."""
        xp, n = self.xp, self.points.shape[1]
        block = max(1, (1 << 26 if self.device.gpu else 1 << 20) // len(self.points))
        out = []
        for start in range(0, x.shape[0], block):
            rows = self._rows(x[start : start + block, :], sigma, n)
            if rows is None:
                return None
            out.append(rows)
        return xp.concat(out, axis=0)

    def _rows(self, x, sigma, n):
        xp, m = self.xp, self.points.shape[0]
        y = x - self.centre
        u = self.device.coarse(True)
        try:
            product = xp.matmul(xp.astype(y, xp.float32), self.single.T)
        finally:
            self.device.coarse(False)
        a = xp.astype(product, xp.float64) - self.half
        size = xp.sqrt(xp.sum(y * y, axis=1))
        delta = (2 * u + u * u + 2 * n * 2.0**-24) * size * self.radius
        cut = xp.max(a, axis=1) - (40 + math.log(m)) * sigma**2 - 2 * delta
        i, j = xp.nonzero(a >= cut[:, None])
        counts = xp.sum(xp.astype(a >= cut[:, None], xp.int64), axis=1)
        most = int(xp.max(counts))
        if most > self.most:
            return None
        rank = xp.arange(i.shape[0], device=i.device) - xp.take(xp.cumulative_sum(counts) - counts, i, axis=0)
        h = xp.full((x.shape[0], most), xp.inf, dtype=xp.float64, device=x.device)
        chunk = max(1, (1 << 24 if self.device.gpu else 1 << 20) // n)
        for start in range(0, i.shape[0], chunk):
            c = slice(start, start + chunk)
            d = xp.take(x, i[c], axis=0) - xp.take(self.points, j[c], axis=0)
            h[i[c], rank[c]] = 0.5 * xp.sum(d * d, axis=1)
        w = xp.exp(-(h - xp.min(h, axis=1, keepdims=True)) / sigma**2)
        w = w / xp.sum(w, axis=1, keepdims=True)
        out = xp.zeros_like(x)
        for r in range(most):  # a row occurs once per rank
            (k,) = xp.nonzero(rank == r)
            rows, atoms = xp.take(i, k, axis=0), xp.take(j, k, axis=0)
            out[rows] = xp.take(out, rows, axis=0) + w[rows, r][:, None] * xp.take(self.points, atoms, axis=0)
        return out


def ceilings(device, size):
    """Copy rate in GB/s and rate of a square float64 product in GFlop/s."""
    xp = device.xp
    count = (1 << 27) if device.gpu else (1 << 24)
    side = 8192 if device.gpu else 1024
    vector = device.put(np.ones(count))
    matrix = device.put(np.random.default_rng(0).standard_normal((side, side)))
    copy, product = device.seconds(lambda: vector + 1.0, lambda: xp.matmul(matrix, matrix), repeats=5)
    return {"copy_GB_per_s": 16e-9 * count / copy, "gemm_GFlop_per_s": 2e-9 * side**3 / product}


def products(device, law, x):
    """The two products of queries x atoms x n, in blocks of queries where the whole matrix is over 2 GiB."""
    xp, points = device.xp, device.put(law.points)
    rows = max(1, (1 << 28) // len(law.points))

    def run():
        for start in range(0, x.shape[0], rows):
            w = xp.matmul(x[start : start + rows, :], points.T)
            xp.matmul(w, points)

    return run, 4e-9 * x.shape[0] * math.prod(law.points.shape)


def row(case, **values):
    text = (f"{k} {v:.3g}" if isinstance(v, float) else f"{k} {v}" for k, v in values.items())
    print(f"{case:<13}" + "  ".join(text), flush=True)
    return {"case": case, **values}


def denoiser(device, law, size, repeats):
    rows, k = [], size["check_rows"]
    filtered = Filter(device, law.points)
    for count in size["queries"]:
        rng = np.random.default_rng([size["seed"], count])
        chosen = law.points[rng.integers(len(law.points), size=count)]
        for sigma in size["sigmas"]:
            host = chosen + sigma * rng.standard_normal(chosen.shape)
            x, level = device.put(host), law.noised(1.0, sigma)
            gemm, flops = products(device, law, x)
            seconds, least = device.seconds(lambda: level.denoise(x), gemm, repeats=repeats)  # noqa: B023
            answer = level.denoise(x)
            few = device.get(answer[:k, :])
            values = {
                "queries": count, "sigma": sigma, "seconds": seconds, "products_seconds": least,
                "products_GFlop_per_s": flops / least, "share_of_products": least / seconds,
                "agreement_cpu": relative(few, level.denoise(host[:k])),
                "agreement_differences": relative(few, by_differences(law.points, host[:k], sigma)),
            }  # fmt: skip
            quick = filtered.denoise(x, sigma)
            if quick is not None:
                (values["filter_seconds"],) = device.seconds(lambda: filtered.denoise(x, sigma), repeats=repeats)  # noqa: B023
                values["filter_agreement"] = relative(device.get(quick), device.get(answer))
            rows.append(row("denoiser", **values))
    return rows


def _run(name, law, grid, x):
    return samplers.final(samplers.REGISTRY[name].function(law, grid, x))


def trajectories(device, law, size, repeats):
    rows, k = [], size["check_rows"]
    grid = schedules.log_linear(size["steps"], sigma_max=40.0, sigma_min=0.05)
    for count in size["queries"]:
        host = grid.sigma[0] * Noise(size["seed"]).initial(count, law.dim)
        x = device.put(host)
        gemm, _ = products(device, law, x)
        for name in SAMPLERS:
            seconds, least = device.seconds(lambda: _run(name, law, grid, x), gemm, repeats=max(1, repeats // 2))  # noqa: B023
            states = _run(name, law, grid, x)
            few = device.get(states[:k, :])
            rows.append(row(
                "trajectories", sampler=name, queries=count, steps=grid.N, seconds=seconds,
                products_seconds=grid.N * least, share_of_products=grid.N * least / seconds,
                agreement_cpu=relative(few, _run(name, law, grid, host[:k])),
                w2_to_support=distances.w2_to_set(states, law)))  # fmt: skip
    return rows


def mixture(components, dim, seed):
    """Full covariances with condition number 100 and random axes, made in their eigenbasis.

    Decomposing 128 matrices of 1,024 columns takes minutes and is not what is timed.
    """
    rng = np.random.default_rng([seed, dim])
    axes = np.stack([np.linalg.qr(rng.standard_normal((dim, dim)))[0] for _ in range(components)])
    values = 10.0 ** rng.uniform(-2, 0, (components, dim))
    means = rng.standard_normal((components, dim)) / math.sqrt(dim)
    return GaussianMixture._from_eigen(rng.dirichlet(np.ones(components)), means, "full", values, axes)


def mixtures(device, size, repeats):
    rows, k = [], size["check_rows"]
    components, count = size["components"], size["samples"]
    for dim in size["dimensions"]:
        law = mixture(components, dim, size["seed"])
        rng = np.random.default_rng([size["seed"], dim, 1])
        host = law.sample(count, rng) + rng.standard_normal((count, dim))
        x, grid = device.put(host), conditional_mean.refined_grid(size["levels"], 1.0)
        part = min(count, max(1, (1 << 27) // (components * dim)))
        wide = device.put(rng.standard_normal((dim, components * dim)))
        some = x[:part, :]

        def gemm():
            device.xp.matmul(device.xp.matmul(some, wide), wide.T)  # noqa: B023

        (least,) = device.seconds(gemm, repeats=3)
        least *= grid.N * count / part
        (seconds,) = device.seconds(lambda: conditional_mean.denoise(law, grid, x), repeats=1)  # noqa: B023
        few = device.get(conditional_mean.denoise(law, grid, x[:k, :]))
        rows.append(row(
            "mixtures", dimension=dim, components=components, samples=count, levels=grid.N, seconds=seconds,
            products_seconds=least, share_of_products=least / seconds,
            # one (K, samples, n) array written and read once per level
            copy_bound_seconds=16e-9 * components * count * dim * grid.N / size["copy"],
            agreement_cpu=relative(few, conditional_mean.denoise(law, grid, host[:k]))))  # fmt: skip
    return rows


def curves(device, law, size):
    rows = []
    for factor in (1, 2):
        if factor == 2:
            law = PointCloud(images(max(50, len(law.points) // 4), 2 * size["side"], size["seed"]))
        start = Noise(size["seed"] + 1).initial(size["curve_queries"], law.dim)
        for name in SAMPLERS:
            for steps in size["curve_steps"]:
                grid = schedules.log_linear(steps, sigma_max=40.0, sigma_min=0.01)
                final = _run(name, law, grid, device.put(grid.sigma[0] * start))
                rows.append(row(
                    "curves", curve="distance to support", dimension=law.dim, atoms=len(law.points), sampler=name,
                    steps=steps, w2_to_support=distances.w2_to_set(final, law)))  # fmt: skip
        grid = schedules.log_linear(size["curve_steps"][-1], sigma_max=40.0, sigma_min=0.01)
        for i, x in enumerate(samplers.ddim(law, grid, device.put(grid.sigma[0] * start))):
            if i == grid.N:
                break
            xp, nearest = device.xp, law.project(x)
            gap = law.noised(1.0, float(grid.sigma[i])).denoise(x) - nearest
            error = xp.sqrt(xp.sum(gap * gap, axis=1)) / law.distance(x)
            rows.append(row(
                "curves", curve="relative projection error", dimension=law.dim, atoms=len(law.points), sampler="ddim",
                steps=grid.N, sigma=float(grid.sigma[i]), mean=float(xp.mean(error)),
                largest=float(xp.max(error))))  # fmt: skip
    return rows


def disagreements(rows):
    """Rows whose agreement is beyond the tolerance."""
    names = ("agreement_cpu", "agreement_differences", "filter_agreement")
    return [(r, n) for r in rows for n in names if n in r and not r[n] <= TOLERANCE]


def run(device, size, cases=CASES, repeats=3):
    """All rows of the cases, and the ceilings."""
    limits = ceilings(device, size)
    print(
        f"{device.backend} {device.version} on {device.name}: product {limits['gemm_GFlop_per_s']:.0f} GFlop/s, "
        f"copy {limits['copy_GB_per_s']:.1f} GB/s",
        flush=True,
    )
    size = {**size, "copy": limits["copy_GB_per_s"]}
    rows = []
    law = None
    if {"denoiser", "trajectories", "curves"} & set(cases):
        law = PointCloud(images(size["atoms"], size["side"], size["seed"]))
    for case in cases:
        if case == "denoiser":
            rows += denoiser(device, law, size, repeats)
        elif case == "trajectories":
            rows += trajectories(device, law, size, repeats)
        elif case == "mixtures":
            rows += mixtures(device, size, repeats)
        else:
            rows += curves(device, law, size)
    return limits, rows


def main(argv=None):
    """Run, print, write the record; status 0, 1 (disagreement) or 3 (no such backend or device)."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--backend", choices=("numpy", "torch", "cupy"), required=True)
    parser.add_argument("--device", help="cpu, cuda, cuda:1; by default the GPU where there is one")
    parser.add_argument("--scale", type=float, default=1.0, help="share of the full size, in (0, 1]")
    parser.add_argument("--cases", default=",".join(CASES), help="comma-separated: " + ", ".join(CASES))
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--output", type=Path, help="JSON record; other backends' entries in it are kept")
    options = parser.parse_args(argv)
    cases = options.cases.split(",")
    if unknown := sorted(set(cases) - set(CASES)):
        parser.error(f"--cases: {', '.join(unknown)} is none of {', '.join(CASES)}")
    try:
        size = sizes(options.scale)
    except ValueError as error:
        parser.error(str(error))
    try:
        device = Device(options.backend, options.device)
    except Unavailable as error:
        print(f"large_dimension: {error}", file=sys.stderr)
        return 3
    begin = time.perf_counter()
    limits, rows = run(device, size, cases, options.repeats)
    bad = disagreements(rows)
    slug = re.sub(r"[^a-z0-9]+", "-", device.name.lower()).strip("-")
    path = options.output or RESULTS / (f"gpu-{slug}.json" if device.gpu else "large-dimension-cpu.json")
    record = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    record[options.backend] = {
        "device": device.name, "backend": f"{options.backend} {device.version}", "ceilings": limits, "sizes": size,
        "tolerance": TOLERANCE, "agrees": not bad, "seconds": round(time.perf_counter() - begin, 1), "rows": rows,
        **provenance(),
    }  # fmt: skip
    path.parent.mkdir(parents=True, exist_ok=True)
    files.write_whole(path, files.json_text(record))
    for r, name in bad:
        print(f"large_dimension: {name} {r[name]:.3g} is over {TOLERANCE:g}: {r}", file=sys.stderr)
    print(f"wrote {path}")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
