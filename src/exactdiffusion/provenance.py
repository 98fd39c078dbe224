"""Where a number comes from: versions, commit, digest of the code, machine."""

import contextlib
import hashlib
import os
import platform
import subprocess
from functools import cache
from importlib import metadata
from pathlib import Path

from .resources import project_root

_PACKAGE = Path(__file__).resolve().parent
# Code that no number depends on; an edit there must not make a long sweep start over. Of the statements in bounds/, which
# are text and closed forms, only the modules that other code computes with count (a test compares with the imports).
_BOUNDS = {"__init__.py", "_statement.py", "projection.py", "proximal.py"}
_WITHOUT_NUMBERS = {
    "_theory", "_experiments", "cli.py", "curves.py", "demo.py", "figures.py", "ledger.py", "plot.py", "report.py",
    "sweepfile.py", "__main__.py", "_markup.py", "_progress.py", "_pytest_plugin.py", "provenance.py", "records.py",
    "resources.py",
}


def _counts(relative):
    first, *rest = relative.parts
    return rest[-1] in _BOUNDS if first == "bounds" else first not in _WITHOUT_NUMBERS


@cache
def source_digest():
    """SHA-256 over the Python files that numbers depend on: two equal digests ran the same code."""
    digest = hashlib.sha256()
    for path in sorted(_PACKAGE.rglob("*.py")):
        relative = path.relative_to(_PACKAGE)
        if _counts(relative):
            digest.update(relative.as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()


@cache
def versions():
    """Versions of Python, of this package and of the libraries that numbers depend on."""
    names = ("exactdiffusion", "numpy", "scipy", "scikit-learn", "POT", "matplotlib")
    found = {"python": platform.python_version(), **{name: metadata.version(name) for name in names}}
    with contextlib.suppress(metadata.PackageNotFoundError):
        found["numba"] = metadata.version("numba")  # optional, and its kernels round otherwise than NumPy's
    return found


@cache
def commit():
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
    done = subprocess.run(
        ["git", "-C", str(root), *arguments], capture_output=True, text=True, check=True, timeout=20)
    return done.stdout.strip()


def machine():
    """What the run ran on, without the host's name."""
    return {"system": platform.system(), "machine": platform.machine(), "cpus": os.cpu_count()}


def provenance():
    """The part of a provenance record that every output shares."""
    return {
        "versions": versions(), "commit": commit(), "source_sha256": source_digest(), "machine": machine(),
    }
