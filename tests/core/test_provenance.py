"""The machine a number was made on: what its last bits depend on, and not whose machine it is."""

import json
import os
import platform
import subprocess
import sys

import numpy as np
import pytest
from threadpoolctl import threadpool_info, threadpool_limits

from exactdiffusion._core import provenance

ENTRIES = {"system", "machine", "cpus", "processor", "blas", "blas_threads", "simd", "libm"}


def test_machine_names_what_last_bits_depend_on():
    found = provenance.machine()
    assert set(found) == ENTRIES
    assert all(found.values()), "an entry is empty"
    assert json.loads(json.dumps(found)) == found
    assert platform.node() not in found.values(), "the record names the host"
    kernels = [pool["architecture"] for pool in threadpool_info() if "architecture" in pool]
    assert all(kernel in found["blas"] for kernel in kernels), "the BLAS kernel is not named"


def test_machine_counts_the_threads_of_now():
    if not any(pool["user_api"] == "blas" for pool in threadpool_info()):
        pytest.skip("this NumPy uses a BLAS that threadpoolctl does not know")
    with threadpool_limits(1, "blas"):
        assert provenance.machine()["blas_threads"] == 1


def test_machine_sees_lowered_features():
    dispatched = np.show_config(mode="dicts")["SIMD Extensions"].get("found", [])
    if not dispatched:
        pytest.skip("this NumPy uses no more than its baseline of instructions here")
    lowered = subprocess.run(
        [sys.executable, "-c", "from exactdiffusion._core.provenance import machine; print(machine()['simd'])"],
        text=True,
        env={**os.environ, "NPY_DISABLE_CPU_FEATURES": " ".join(dispatched)},
        capture_output=True,
        check=True,
    ).stdout.strip()
    assert provenance.machine()["simd"] == dispatched[-1]
    assert lowered not in dispatched


def test_a_machine_without_proc_is_named_by_python(monkeypatch):
    monkeypatch.setattr(provenance.Path, "read_text", lambda *_, **__: (_ for _ in ()).throw(FileNotFoundError))
    assert provenance._processor() == (platform.processor() or platform.machine())
