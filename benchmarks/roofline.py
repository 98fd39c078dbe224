"""What the oracles do on a GPU, counted, and the share of its ceiling that this allows: a prediction, not a measurement.

Usage: roofline.py [--gemm 67e12] [--bandwidth 4.8e12] [--launch 1e-5] [--scale 1] [--check] [--output FILE]

The public functions run on torch's meta device (shapes, no numbers, no memory) along the path of a GPU, at the full sizes of
`experiments/large_dimension.py`; the few numbers that Python asks of the device are those of a small run of the same case.
Every operation of torch that is dispatched is counted: floating-point operations of matrix products, bytes of its arguments
and results (an array that is expanded counts what it stores; views are free), and numbers that Python waited for.

An operation takes the largest of flops / gemm, bytes / bandwidth and 3 us, on a device that does one after the other; Python
launches one every ``launch`` seconds and runs ahead until it asks for a number. The case cannot do without two products of
queries x atoms x n (mixtures: samples x n x K n, per level), which take flops / gemm. The prediction is the quotient: that
the method fits the machine. It knows nothing of how near a library's products come to ``gemm``, of clocks and of caches.
Measured shares are for `large_dimension.py` on a device to tell.
"""

import argparse
import contextlib
import math
import sys
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

import numpy as np
from _common import write_record

from exactdiffusion import GaussianMixture, PointCloud
from exactdiffusion.laws._kernels import mixture as kernel
from exactdiffusion.laws._kernels import softmax
from exactdiffusion.papers import conditional_mean

GOAL = 0.6
# Of an H200: products of float64 by tensor cores, memory; seconds per operation that Python launches.
GEMM, BANDWIDTH, LAUNCH = 67e12, 4.8e12, 1e-5
# Least seconds of an operation on the device; name of a number that Python waits for.
LEAST, READ = 3e-6, "read"
# Free memory that the full size asks for (it takes 8 GB), and the share of the sizes where there is less.
MEMORY, SHORT = 10e9, 0.125
# Results that share the memory of an argument without saying so in their schema, or hold nothing yet.
FREE = {"_unsafe_view", "lift_fresh", "detach", "empty", "empty_like", "empty_strided", "new_empty"}


@dataclass
class Operation:
    """One dispatched operation: flops of products, bytes read and written, shape of its largest tensor."""

    name: str
    flops: int
    bytes: int
    largest: tuple

    def seconds(self, gemm, bandwidth, least):
        return max(self.flops / gemm, self.bytes / bandwidth, least)


def stored(tensor):
    """Bytes that a tensor refers to: an expanded dimension counts once."""
    count = math.prod(n for n, stride in zip(tensor.shape, tensor.stride(), strict=True) if stride)
    return 0 if not tensor.numel() else count * tensor.element_size()


def flops(name, arguments):
    """Of a matrix product, a multiplication and an addition each; 0 of everything else."""
    tensors = [a for a in arguments if hasattr(a, "shape")]
    if name in ("addmm", "baddbmm", "addmv"):
        tensors = tensors[1:]
    elif name not in ("mm", "bmm", "mv", "dot"):
        return 0
    a, b = tensors[:2]
    return 2 * a.numel() * (b.shape[-1] if b.ndim > 1 and name != "mv" else 1)


def counting(answers=None):
    """A torch dispatch mode with ``operations`` and ``reads`` (numbers that Python asked for).

    With ``answers`` it answers those by the given ones, in order, in the place of tensors without numbers; a last one
    that is true or false serves all further blocks.
    """
    from torch.utils._python_dispatch import TorchDispatchMode
    from torch.utils._pytree import tree_leaves

    class Counting(TorchDispatchMode):
        def __init__(self):
            super().__init__()
            self.operations, self.reads, self.left = [], [], None if answers is None else list(answers)

        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            kwargs = kwargs or {}
            name = func.overloadpacket.__name__
            if name == "_local_scalar_dense":
                if self.left is None:
                    value = func(*args, **kwargs)
                else:
                    if not self.left and not (self.reads and isinstance(self.reads[-1], bool)):
                        raise RuntimeError("more numbers are asked of the device than in the small run: another path")
                    value = self.left.pop(0) if self.left else self.reads[-1]
                self.reads.append(value)
                self.operations.append(Operation(READ, 0, 0, ()))
                return value
            out = func(*args, **kwargs)
            inner = list({id(a): a for a in tree_leaves((args, kwargs)) if hasattr(a, "stride")}.values())
            results = [a for a in tree_leaves(out) if hasattr(a, "stride")]
            view = any(r.alias_info is not None and not r.alias_info.is_write for r in func._schema.returns)
            if not view and name not in FREE and results:
                unread = name in ("fill_", "zero_", "copy_", "zeros_like", "ones_like", "full_like")
                moved = sum(stored(a) for a in (inner[1:] if unread else inner)) + sum(stored(a) for a in results)
                if name == "index_put_":  # touches the indexed entries only
                    moved = sum(2 * stored(a) for a in inner[1:])
                if name in ("index", "index_select", "gather"):
                    moved = 2 * sum(stored(a) for a in results) + sum(stored(a) for a in inner[1:])
                largest = max((tuple(a.shape) for a in (*inner, *results)), key=math.prod)
                self.operations.append(Operation(name, flops(name, args), moved, largest))
            return out

    return Counting()


@contextlib.contextmanager
def path_of_a_gpu():
    """Tensors of the CPU go the way that those of a GPU go."""
    with contextlib.ExitStack() as patches:
        for module in (softmax, kernel):
            patches.enter_context(mock.patch.object(module, "on_accelerator", return_value=True))
            patches.enter_context(mock.patch.object(module, "workspace", return_value=1 << 27))
        yield


def count(small, large):
    """Operations of ``large(tensor)`` on the meta device; ``small`` and ``large`` are (function of a tensor, NumPy array or
    shape). Both must take the same path: the same numbers are asked for, the last one again by every further block."""
    import torch

    function, x = small
    with path_of_a_gpu(), counting() as first:
        function(torch.asarray(np.array(x)))
    function, shape = large
    x = torch.empty(shape, dtype=torch.float64, device="meta")
    for _ in range(2):  # the first transfers the law's parameters, once and for all
        with counting(first.reads) as second:
            function(x)
        if second.left:
            raise RuntimeError("fewer numbers are asked of the device than in the small run: another path")
    return second


def predict(operations, gemm=GEMM, bandwidth=BANDWIDTH, launch=LAUNCH):
    """Seconds of the operations: Python launches one after the other while the device computes, and waits at a read."""
    python = device = 0.0
    for operation in operations:
        if operation.name == READ:
            python = max(python, device) + launch
        else:
            python += launch
            device = max(python, device) + operation.seconds(gemm, bandwidth, LEAST)
    return max(python, device)


def traffic(operations, shape):
    """Times that an array of that shape is read or written, by products and all else; smaller arrays count by their size."""
    return sum(o.bytes for o in operations) / (8 * math.prod(shape))


def cloud(atoms, dim, seed=1):
    rng = np.random.default_rng(seed)
    return PointCloud(rng.standard_normal((atoms, dim)))


def mixture(components, dim, seed=1):
    """Condition number 100 along the axes: the work does not depend on where they point, and they are quickly made."""
    rng = np.random.default_rng(seed)
    axes = np.broadcast_to(np.eye(dim), (components, dim, dim))
    values = 10.0 ** rng.uniform(-2, 0, (components, dim))
    means = rng.standard_normal((components, dim)) / math.sqrt(dim)
    return GaussianMixture._from_eigen(np.full(components, 1 / components), means, "full", values, axes)


def clouds(size):
    """(name, operations, flops needed, reads, shape of the large array) of the ideal denoiser."""
    atoms, dim = size["atoms"], size["dim"]
    law, few = cloud(atoms, dim), cloud(min(atoms, 300), dim)
    for queries in size["queries"]:
        for sigma in (0.1, 5.0):
            x = few.points[:4] + sigma * np.random.default_rng(2).standard_normal((4, dim))
            done = count((few.noised(1.0, sigma).denoise, x), (law.noised(1.0, sigma).denoise, (queries, dim)))
            yield f"cloud {queries} x {atoms} x {dim}, sigma {sigma:g}", done, 4 * queries * atoms * dim, (queries, atoms)


def mixtures(size):
    """The same of conditional means of a mixture at the first, the middle and the last level of a chain."""
    components, samples = size["components"], size["samples"]
    chain = conditional_mean.refined_grid(300, 1.0)
    for dim in size["dimensions"]:
        law = mixture(components, dim)
        host = law.sample(min(samples, max(2 * dim, 64 * 16)), np.random.default_rng(3))
        for at in (0, 150, 300):
            sigma = float(chain.sigma[at])
            level = law.noised(1.0, sigma)
            x = host + sigma * np.random.default_rng(4).standard_normal(host.shape)
            done = count((level.denoise, x), (level.denoise, (samples, dim)))
            name = f"mixture {samples} x {components} x {dim}, sigma {sigma:.2g}"
            yield name, done, 4 * samples * components * dim**2, (samples, components, dim)


def sizes(scale):
    """Those of the two large cases, or smaller."""
    return {
        "atoms": max(300, round(50_000 * scale)), "dim": 3072 if scale > 0.01 else 64,
        "queries": [max(8, round(256 * scale)), max(16, round(4096 * scale))], "components": max(4, round(128 * scale)),
        "samples": max(64, round(10_000 * scale)), "dimensions": [64, 256, 1024] if scale > 0.1 else [16, 32],
    }  # fmt: skip


def default_scale(path=Path("/proc/meminfo")):
    """1, or a smaller share where the system does not say that it has memory for that."""
    try:
        free = next(line.split()[1] for line in path.read_text().splitlines() if line.startswith("MemAvailable:"))
    except (OSError, StopIteration):
        return SHORT
    return 1.0 if 1024 * int(free) >= MEMORY else SHORT


def row(case, done, needed, shape, gemm, bandwidth, launch):
    operations = done.operations
    seconds = predict(operations, gemm, bandwidth, launch)
    return {
        "case": case, "products": sum(o.flops for o in operations) / (needed / 2), "traffic": traffic(operations, shape),
        "operations": len(operations) - len(done.reads), "reads": len(done.reads), "predicted_ms": 1e3 * seconds,
        "predicted_share": needed / gemm / seconds,
    }  # fmt: skip


def run(size, gemm, bandwidth, launch):
    rows = []
    for cases in (clouds, mixtures):
        for name, done, needed, shape in cases(size):
            rows.append(row(name, done, needed, shape, gemm, bandwidth, launch))
            r = rows[-1]
            print(
                f"{name:<41}{r['products']:6.3f} products {r['traffic']:5.1f} x array {r['operations']:4d} operations "
                f"{r['reads']:2d} read {r['predicted_ms']:8.3f} ms predicted share {r['predicted_share']:.3f}",
                flush=True,
            )
    return rows


def main(argv=None):
    """Count, predict, print. Status 0; with ``--check`` 1 below the goal of full size, 3 if torch is missing."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--gemm", type=float, default=GEMM, help="flop/s of float64 matrix products")
    parser.add_argument("--bandwidth", type=float, default=BANDWIDTH, help="bytes/s")
    parser.add_argument("--launch", type=float, default=LAUNCH, help="seconds in which Python launches an operation")
    parser.add_argument("--scale", type=float, help=f"share of the full size; default 1, {SHORT:g} where memory is short")
    parser.add_argument("--check", action="store_true", help="fail where a prediction is missed or nothing can be counted")
    parser.add_argument("--output", type=Path, help="JSON record")
    options = parser.parse_args(argv)
    scale = default_scale() if options.scale is None else options.scale
    try:
        import torch
    except ImportError:
        print("roofline: left out, torch is not installed: pip install torch==2.13.0 (CPU build)", file=sys.stderr)
        return 3 if options.check else 0
    print(f"predicted, not measured: {options.gemm / 1e12:g} TFlop/s, {options.bandwidth / 1e12:g} TB/s, "
          f"{options.launch * 1e6:g} us per operation; torch {torch.__version__}; {scale:g} of the full size")  # fmt: skip
    rows = run(sizes(scale), options.gemm, options.bandwidth, options.launch)
    least = min(r["predicted_share"] for r in rows)
    missed = scale == 1 and least < GOAL
    print(f"least predicted share {least:.3f}; goal {GOAL} at full size{': missed' if missed else ''}")
    if options.output:
        record = {"cases": rows, "predicted": True, "gemm": options.gemm, "bandwidth": options.bandwidth,
                  "launch": options.launch, "scale": scale, "torch": torch.__version__}  # fmt: skip
        write_record(options.output, record)
    return int(options.check and missed)


if __name__ == "__main__":
    sys.exit(main())
