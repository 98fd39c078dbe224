"""One progress bar for everything: on a terminal and after 5 seconds, silent otherwise."""

import sys
from collections.abc import Iterable
from typing import TypeVar

_Item = TypeVar("_Item")

__all__ = ["progress"]


def progress(iterable: Iterable[_Item], description: str, total: int | None = None) -> Iterable[_Item]:
    """``iterable`` with a tqdm bar on standard error, from 5 seconds on, when that is a terminal; else the iterable.

    Examples
    --------
    >>> sum(progress([1, 2, 3], "numbers"))
    6
    """
    if not sys.stderr.isatty():
        return iterable
    from tqdm import tqdm

    return tqdm(iterable, desc=description, total=total, leave=False, delay=5)
