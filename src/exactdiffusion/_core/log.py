"""What a run says of its progress: the logger ``exactdiffusion``.

Results are printed. What a run says beside them (how long it will take, what it reuses) goes to this logger, which is silent
in Python unless a program configures `logging`; the command line shows it on standard error.
"""

import logging
import sys

__all__ = ["log", "show"]

log = logging.getLogger("exactdiffusion")
log.addHandler(logging.NullHandler())


class _Standard(logging.StreamHandler):
    """Writes to the standard error of the moment, which tests and notebooks replace."""

    def __init__(self):
        logging.Handler.__init__(self)

    @property
    def stream(self):
        return sys.stderr


def show() -> None:
    """Show the messages on standard error, once, unless the program has configured the logger itself.

    Examples
    --------
    >>> show()
    >>> log.isEnabledFor(logging.INFO)
    True
    """
    if not any(type(handler) is not logging.NullHandler for handler in log.handlers):
        log.addHandler(_Standard())
        log.propagate = False
    if log.level == logging.NOTSET:
        log.setLevel(logging.INFO)
