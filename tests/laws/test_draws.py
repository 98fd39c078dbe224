"""The same seeds give the same draws under another BLAS kernel and another libm, repeated eigenvalues included."""

import os
import platform
import subprocess
import sys

import numpy as np
import pytest

from exactdiffusion._core.random import Noise
from exactdiffusion.laws import GaussianMixture, Subspace
from exactdiffusion.laws.registry import REGISTRY
from exactdiffusion.papers import conditional_mean
from exactdiffusion.papers.log_concavity import measurements

# Read by OpenBLAS, glibc and NumPy when they are loaded; where they have no effect both processes are the same machine.
OTHER = {
    "OPENBLAS_CORETYPE": "Sandybridge",
    "GLIBC_TUNABLES": "glibc.cpu.hwcaps=-AVX2,-FMA",
    "NPY_DISABLE_CPU_FEATURES": "X86_V3",
}
DIM = 24


def _basis():
    """An oblique orthonormal basis of R^24 without rounding, so that every process gets the same matrix.

    Reflections ``I - v v^T / 4`` with eight ones in v: their entries are multiples of 1/4.
    """
    place = np.arange(DIM)
    Q = np.eye(DIM)
    for start in (0, 4, 8, 12, 16):
        v = np.where((start <= place) & (place < start + 8), 1.0, 0.0)
        Q = Q @ (np.eye(DIM) - np.outer(v, v) / 4)
    return Q


def _covariances():
    """Repeated, tied, clustered and singular spectra in that basis; the products are exact too."""
    Q = _basis()
    spectra = {
        "repeated": np.where(np.arange(DIM) < 20, 1.0, 3.0),
        "tied pairs": np.repeat(np.arange(1.0, DIM // 2 + 1), 2),
        "clustered": 1.0 + np.arange(DIM) * 2.0**-40,
        "singular": np.where(np.arange(DIM) < 9, 0.0, np.where(np.arange(DIM) < 20, 1.0, 2.0**-20)),
    }
    return {name: (Q * lam) @ Q.T for name, lam in spectra.items()}


def _spectra():
    covariances = _covariances()
    for name, C in covariances.items():
        yield name, GaussianMixture(None, np.zeros((1, DIM)), C[np.newaxis])
    yield "mixture", GaussianMixture(None, np.arange(4.0 * DIM).reshape(4, DIM) % 5, np.stack(list(covariances.values())))


def _draws():
    """Draws by name, of every law that can be sampled and of all that is drawn through a matrix root."""
    for name, make in REGISTRY.items():
        law = make()
        if hasattr(law, "sample"):
            yield f"law {name}", law.sample(20, 1)
        if not getattr(law, "flat", False):
            yield f"noised law {name}", law.noised(0.8, 0.5).sample(20, 2)
    law = Subspace(_basis()[:, 3:13] / 3, covariance=2.0)
    yield "subspace", law.sample(20, 3)
    yield "subspace as a mixture", law.noised(1.0, 0.5).materialise().sample(20, 3)
    # The second column is a third of the first and something normal to it: Householder's second pivot is rounding, and so
    # is the sign that it gives to a vector of the basis.
    rng = np.random.default_rng(10)
    columns = np.concatenate([rng.uniform(size=(40, DIM)), np.zeros((40, 1))], axis=1)
    bases = np.stack([columns, columns / 3 + np.eye(DIM + 1)[DIM]], axis=2)
    laws = [Subspace(b, covariance=[[2.0, 1.0], [1.0, 1.0]]) for b in bases]
    yield "subspaces with a pivot of 0", np.concatenate([law.sample(3, 3) for law in laws])
    for name, law in _spectra():
        yield f"spectrum {name}", law.sample(20, 4)
        yield f"noised spectrum {name}", law.noised(0.8, 0.5).sample(20, 5)
        z = 2 * Noise(6).initial(20, DIM)
        for v_next in (0.0, 0.5):
            kernel = conditional_mean.reverse_kernel(law, z, 2.0, v_next)
            yield f"reverse kernel {name}, {v_next:g}", kernel.sample(Noise(7).normal(0, 20, DIM + 1))
        yield f"posterior {name}", measurements.posterior_sample(law, 3 * z, 3, 1.5, Noise(8))
        yield f"predictive {name}", measurements.predictive_sample(law, 3 * z, 3, 1.5, Noise(9))


def _draws_under(changes, path):
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1", **changes}
    subprocess.run([sys.executable, __file__, str(path)], env=environment, check=True)
    with np.load(path) as file:
        return dict(file)


@pytest.mark.skipif(platform.machine().lower() not in ("x86_64", "amd64"), reason="kernels of x86 processors")
def test_same_seeds_give_same_draws_on_another_kernel(tmp_path):
    here, there = (_draws_under(changes, tmp_path / f"{len(changes)}.npz") for changes in ({}, OTHER))
    assert here.keys() == there.keys()
    # rounding of products of a few dozen terms, relative to the largest draw
    moved = {name: float(np.max(np.abs(here[name] - there[name])) / np.max(np.abs(here[name]))) for name in here}
    assert {name: value for name, value in moved.items() if not value <= 1e-13} == {}


if __name__ == "__main__":
    np.savez(sys.argv[1], **dict(_draws()))
