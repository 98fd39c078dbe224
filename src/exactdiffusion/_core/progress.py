"""One progress bar for everything: on a terminal, silent otherwise."""

import sys

__all__ = ["progress"]


def progress(iterable, description, total=None):
    """``iterable`` with a tqdm bar on standard error when that is a terminal; else the iterable."""
    if not sys.stderr.isatty():
        return iterable
    from tqdm import tqdm

    return tqdm(iterable, desc=description, total=total, leave=False)
