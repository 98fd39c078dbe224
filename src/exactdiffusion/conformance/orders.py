"""The order of a sampler: local orders of its error, and what they allow to conclude."""

from dataclasses import dataclass

import numpy as np

__all__ = ["ABOVE_FLOOR", "Order", "local_orders", "order_of"]

#: errors within this many rounding floors are not used
ABOVE_FLOOR = 10.0
#: all further moves together are at most this many times the last one, where each is at most 2/3 of the one before
AHEAD = 2.0


@dataclass(frozen=True)
class Order:
    """What a sequence of local orders says of its limit.

    Attributes
    ----------
    value : float
        The limit if every further move is half of the one before, as an expansion of the error in powers of the step length
        gives it; the last local order where the moves do not shrink.
    low, high : float
        Bounds of the limit if every further move is at most 2/3 of the one before.

    Examples
    --------
    >>> Order(value=2.0, low=1.9, high=2.1).below(3.0), Order(value=2.0, low=1.9, high=2.1).reaches(1.6)
    (True, True)
    """

    value: float
    low: float
    high: float

    def below(self, order: float) -> bool:
        """The limit is below this order."""
        return self.high < order

    def reaches(self, order: float) -> bool:
        """The limit is at least this order."""
        return self.low >= order


def local_orders(steps: np.ndarray, errors: np.ndarray, floor: np.ndarray) -> np.ndarray:
    """Local orders between neighbouring step counts; nan where one of the two errors is not above its floor.

    Parameters
    ----------
    steps : ndarray, shape (k,) or (k, d)
        Numbers of steps, or reciprocal lengths of a step.
    errors, floor : ndarray, shape (k, d)

    Returns
    -------
    ndarray, shape (k - 1, d)

    Examples
    --------
    >>> errors = np.array([[1e-2], [2.5e-3], [1e-17]])
    >>> print(local_orders(np.array([10.0, 20.0, 40.0]), errors, np.full((3, 1), 1e-14)).ravel().round(12))
    [ 2. nan]
    """
    steps = steps if steps.ndim == 2 else steps[:, np.newaxis]
    with np.errstate(divide="ignore", invalid="ignore"):
        orders = np.log(errors[:-1] / errors[1:]) / np.log(steps[1:] / steps[:-1])
    return np.where((errors[1:] > floor[1:]) & (errors[:-1] > floor[:-1]), orders, np.nan)


def order_of(orders: np.ndarray) -> Order | None:
    """The order to which local orders tend, read from the last three; None where they do not say it.

    Where the last move is smaller than the one before, the limit lies ahead of it; otherwise it may lie on both sides.
    Bounds a whole order apart say nothing: local orders of an error that changes its sign jump, and would be read as a
    lower order.

    Examples
    --------
    Local orders that halve their distance to 2, and local orders that run away:

    >>> order_of(np.array([1.6, 1.8, 1.9]))
    Order(value=2.0, low=1.9, high=2.1)
    >>> order_of(np.array([1.6, 1.8, 2.4])) is None
    True
    """
    last = orders[np.isfinite(orders)][-3:]
    moves = np.diff(last)
    if len(moves) == 0:
        return None
    shrinks = len(moves) == 2 and abs(moves[1]) < abs(moves[0])
    far = AHEAD * (moves[-1] if shrinks else np.max(np.abs(moves)))
    ends = (last[-1] + far, last[-1] if shrinks else last[-1] - far)
    low, high = (round(float(end), 12) for end in sorted(ends))
    value = last[-1] + (moves[-1] if shrinks else 0.0)
    return Order(round(float(value), 12), low, high) if high - low < 1.0 else None
