"""The origin of a number: versions, commit, digest of the code, machine."""

import contextlib
import hashlib
import os
import platform
import subprocess
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

from .paths import project_root

__all__ = ["commit", "machine", "provenance", "source_digest", "versions"]

_PACKAGE = Path(__file__).resolve().parents[1]
# Code that no number depends on; an edit there must not make a long sweep start over. Of statements/, which is text and
# closed forms, only the modules that other code computes with count (a test compares with the imports).
_STATEMENTS = {"__init__.py", "_domain.py", "_statement.py", "projection.py", "proximal.py"}
_WITHOUT_NUMBERS = {
    "_theory",
    "_experiments",
    "cli.py",
    "__main__.py",
    "_core/files.py",
    "_core/paths.py",
    "_core/progress.py",
    "_core/provenance.py",
    "checks/ledger.py",
    "checks/pytest_plugin.py",
    "studies/demo.py",
    "studies/figures.py",
    "studies/plot.py",
    "studies/print_style.py",
    "studies/report.py",
    "studies/results.py",
    "studies/sweepfile.py",
}


def _counts(relative):
    first, *rest = relative.parts
    return rest[-1] in _STATEMENTS if first == "statements" else not {first, relative.as_posix()} & _WITHOUT_NUMBERS


@cache
def source_digest() -> str:
    """SHA-256 over the Python files that numbers depend on: two equal digests ran the same code.

    Examples
    --------
    >>> len(source_digest())
    64
    """
    digest = hashlib.sha256()
    for path in sorted(_PACKAGE.rglob("*.py")):
        relative = path.relative_to(_PACKAGE)
        if _counts(relative):
            digest.update(relative.as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()


@cache
def versions() -> dict[str, str]:
    """Versions of Python, of this package and of the libraries that numbers depend on.

    Examples
    --------
    >>> sorted(versions())[:3]
    ['POT', 'exactdiffusion', 'matplotlib']
    """
    names = ("exactdiffusion", "numpy", "scipy", "scikit-learn", "POT", "matplotlib")
    found = {"python": platform.python_version(), **{name: metadata.version(name) for name in names}}
    with contextlib.suppress(metadata.PackageNotFoundError):
        found["numba"] = metadata.version("numba")  # optional, and its kernels round otherwise than NumPy's
    return found


@cache
def commit() -> str | None:
    """Git commit of the checkout, ``+changes`` appended when tracked code differs; None outside a checkout."""
    root = project_root()
    if root is None or not (root / ".git").exists():
        return None
    try:
        head = _git(root, "rev-parse", "HEAD")
        changed = _git(root, "status", "--porcelain", "--untracked-files=no", "--", "src", "experiments")
    except (OSError, subprocess.SubprocessError):
        return None
    return head + ("+changes" if changed else "")


def _git(root, *arguments):
    done = subprocess.run(["git", "-C", str(root), *arguments], capture_output=True, text=True, check=True, timeout=20)
    return done.stdout.strip()


def machine() -> dict[str, Any]:
    """The machine of the run, without the host's name.

    Last bits of a number depend on ``processor``, ``blas`` (library, version, kernel), ``blas_threads`` (of this process,
    now), ``simd`` (the highest set of instructions that NumPy's own loops use) and ``libm``. Records show these entries;
    nothing compares them.

    Examples
    --------
    >>> {"system", "blas", "libm"} <= set(machine())
    True
    """
    import numpy as np
    from threadpoolctl import threadpool_info

    config = np.show_config(mode="dicts")
    simd = config.get("SIMD Extensions", {})
    pools = [pool for pool in threadpool_info() if pool["user_api"] == "blas"]
    names = {" ".join(str(pool[k]) for k in ("internal_api", "version", "architecture") if pool.get(k)) for pool in pools}
    return {
        "system": platform.system(),
        "machine": platform.machine(),
        "cpus": os.cpu_count(),
        "processor": _processor(),
        # threadpoolctl sees no pool of Apple's Accelerate
        "blas": ", ".join(sorted(names)) or config["Build Dependencies"]["blas"]["name"],
        "blas_threads": max((pool["num_threads"] for pool in pools), default=None),
        "simd": ([*simd.get("baseline", []), *simd.get("found", [])] or ["baseline"])[-1],
        "libm": " ".join(platform.libc_ver()).strip() or platform.system(),
    }


def _processor():
    """Name, family and model: under a hypervisor the name alone ("AMD EPYC") says little."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").split("\n\n")[0].splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    entries = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in lines)}
    name = entries.get("model name") or platform.processor() or platform.machine()
    return f"{name} (family {entries['cpu family']}, model {entries['model']})" if "cpu family" in entries else name


def provenance() -> dict[str, Any]:
    """The part of a provenance record that every output shares.

    Examples
    --------
    >>> sorted(provenance())
    ['commit', 'machine', 'source_sha256', 'versions']
    """
    return {
        "versions": versions(),
        "commit": commit(),
        "source_sha256": source_digest(),
        "machine": machine(),
    }
