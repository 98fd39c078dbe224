"""Where theory/ and experiments/ are: the checkout's, or the copies shipped in the wheel."""

from pathlib import Path

__all__ = ["experiments_dir", "project_root", "theory_dir"]

_PACKAGE = Path(__file__).resolve().parents[1]


def project_root() -> Path | None:
    """Root of the checkout this package is imported from, or None for an installed wheel."""
    root = _PACKAGE.parent.parent
    return root if (root / "pyproject.toml").is_file() and (root / "theory").is_dir() else None


def _folder(name):
    root = project_root()
    path = root / name if root is not None else _PACKAGE / f"_{name}"
    if not path.is_dir():
        raise FileNotFoundError(f"{name}/ is neither beside the package (checkout) nor inside it (wheel): looked at {path}")
    return path


def theory_dir() -> Path:
    """Folder of the theorem checks.

    Examples
    --------
    >>> theory_dir().name in ("theory", "_theory")
    True
    """
    return _folder("theory")


def experiments_dir() -> Path:
    """Folder of the figure scripts.

    Examples
    --------
    >>> experiments_dir().name in ("experiments", "_experiments")
    True
    """
    return _folder("experiments")
