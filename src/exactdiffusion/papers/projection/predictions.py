r"""Denoisers in the conventions of others: what a network predicts, how it names the noise level, which arrays it takes.

The audit asks for the estimate :math:`\hat x_0` of the clean point at :math:`x = x_0 + \sigma z`. :class:`Convention` makes
it from a prediction of the noise z, of :math:`v = \sqrt{\bar\alpha}\,z - \sqrt{1-\bar\alpha}\,x_0`, or of the score; from
a function of sigma, of :math:`\bar\alpha = 1/(1+\sigma^2)` or of a training time t. A function of :math:`\bar\alpha` or t
is asked at the variance-preserving point :math:`\sqrt{\bar\alpha}\,x`. :func:`likely_prediction` says what the answers look
like.
"""

import math
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

import numpy as np

from ... import schedules
from ..._core.arrays import to_numpy
from ..._core.typing import Array, ArrayLike
from ..._core.validation import choice, fail, no_mask, real_array
from ...laws import PointCloud

__all__ = ["INDICES", "PREDICTS", "Convention", "likely_prediction"]

#: what the function returns -> in words
PREDICTS = {
    "x0": "the clean point x0",
    "noise": "the unit noise z",
    "v": "v = sqrt(alpha_bar) z - sqrt(1 - alpha_bar) x0",
    "score": "the score, the gradient of the log-density of its argument",
}
#: what the function is given beside x -> in words
INDICES = {
    "sigma": "x = x0 + sigma z and sigma",
    "alpha_bar": "sqrt(alpha_bar) x0 + sqrt(1 - alpha_bar) z and alpha_bar",
    "t": "sqrt(alpha_bar) x0 + sqrt(1 - alpha_bar) z and whole times t",
}


def _from_prediction(predicts, index, x, sigma, out):
    """The estimate of x0 at x = x0 + sigma z (n, d), sigma (n, 1), from a prediction (n, d)."""
    if predicts == "x0":
        return out
    if predicts == "noise":
        return x - sigma * out
    if predicts == "v":
        return (x - sigma * np.sqrt(1 + sigma**2) * out) / (1 + sigma**2)
    # the score at the variance-preserving point is sqrt(1 + sigma^2) times the score at x
    return x + sigma**2 * out / (1.0 if index == "sigma" else np.sqrt(1 + sigma**2))


@dataclass(frozen=True)
class Convention:
    """What a denoiser predicts (`PREDICTS`) and by what it is indexed (`INDICES`).

    Parameters
    ----------
    predicts, index : str
    alphas : (T,) array, optional
        alpha_bar of the times t = 0, ..., T - 1, decreasing (``scheduler.alphas_cumprod``); default: linear DDPM, T = 1000.

    Raises
    ------
    ValueError
        naming an unknown convention, or ``alphas`` that do not decrease inside (0, 1).

    Examples
    --------
    >>> fn = Convention("noise").denoiser(lambda x, sigma: x / sigma[:, None])  # all of x is noise
    >>> float(fn(np.ones((2, 3)), np.array([1.0, 2.0])).max())
    0.0
    """

    predicts: str = "x0"
    index: str = "sigma"
    alphas: ArrayLike | None = None

    def __post_init__(self):
        choice("predicts", self.predicts, tuple(PREDICTS))
        choice("index", self.index, tuple(INDICES))
        if self.alphas is not None:
            if self.index != "t":
                fail("alphas", self.alphas, "index='t' beside it")
            given = real_array("alphas", to_numpy(self.alphas), "alpha_bar of the times t = 0, 1, ...")
            if given.ndim != 1 or len(given) < 2 or not (np.all((given > 0) & (given < 1)) and np.all(np.diff(given) < 0)):
                fail("alphas", self.alphas, "a (T,) array that decreases inside (0, 1), such as scheduler.alphas_cumprod")

    @property
    def text(self) -> str:
        """The convention in words, for a report."""
        return f"fn is given {INDICES[self.index]}; it predicts {PREDICTS[self.predicts]}"

    @property
    def levels(self) -> np.ndarray:
        """(T,) sigma of the times t = 0, 1, ..., for index 't'."""
        if self.alphas is None:
            return np.sqrt(1 / np.cumprod(1 - np.linspace(1e-4, 0.02, 1000)) - 1)
        return np.asarray(schedules.sigma_from_alpha_bar(to_numpy(self.alphas)))

    def times(self, sigma: ArrayLike) -> np.ndarray:
        """The time whose level is nearest to each sigma, by ratio."""
        log = np.log(self.levels)
        at = np.log(np.asarray(sigma, dtype=np.float64))
        right = np.clip(np.searchsorted(log, at), 1, len(log) - 1)
        return np.where(at - log[right - 1] < log[right] - at, right - 1, right)

    def ask(self, fn: Callable[..., Any], x: Array, sigma: Any) -> Any:
        """The prediction itself at x (n, d) and sigma (a number or (n,)), in arrays of the kind that ``fn`` takes."""
        level = np.asarray(sigma, dtype=np.float64)
        if self.index != "sigma":
            alpha_bar = 1 / (1 + level**2)
            x = x * np.sqrt(alpha_bar.reshape(-1, 1) if level.ndim else alpha_bar)
            level = alpha_bar if self.index == "alpha_bar" else self.times(level)
        if not _is_torch_module(fn):
            return fn(x, level.copy() if level.ndim else level.item())

        # a torch module: its own device and precision, no gradient, one level for each row
        torch, module = sys.modules["torch"], cast(Any, fn)
        like = next(
            (p for p in [*module.parameters(), *module.buffers()] if p.is_floating_point()),
            torch.zeros(1, dtype=torch.float64),
        )
        rows = torch.as_tensor(np.broadcast_to(level, len(x)).copy(), device=like.device)
        rows = rows.long() if self.index == "t" else rows.to(like.dtype)
        with torch.no_grad():
            return fn(torch.as_tensor(x, device=like.device, dtype=like.dtype), rows)

    def denoiser(self, fn: Callable[..., Any]) -> Callable[[Array, Any], Array]:
        """``fn`` as a function of (x = x0 + sigma z, sigma) that returns the estimate of x0."""

        def denoise(x, sigma):
            given = self.ask(fn, x.copy(), sigma)
            if self.predicts == "x0":
                return given if isinstance(given, np.ndarray) or not hasattr(given, "shape") else to_numpy(given)
            no_mask("fn (its result)", given)
            out = real_array("its result", to_numpy(given) if hasattr(given, "shape") else given, finite=False)
            column = np.asarray(sigma, dtype=np.float64).reshape(-1, 1) if np.ndim(sigma) else sigma
            return _from_prediction(self.predicts, self.index, x, column, out) if out.shape == x.shape else out

        return denoise


def _is_torch_module(fn):
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(fn, torch.nn.Module)


def likely_prediction(
    denoise: Callable[[Array, Any], Array], convention: Convention, law: PointCloud, *, pairs: int = 64, seed: int = 0
) -> str | None:
    r"""What the answers look like, where it is not what the convention says; None where it is, or where nothing fits.

    At known pairs :math:`(x_0, x_0 + \sigma z)`, for sigma from a tenth to ten times the spread of the points, the answers
    are read as each kind of prediction. A kind is named if its squared error is within a factor 4 of the best *linear*
    denoiser's, below a quarter of the error of the kind assumed, and below half of what the answer 0 would give when read
    in this way; all three in the geometric mean over the levels.

    Parameters
    ----------
    denoise : callable
        The estimate of x0 under ``convention``.

    Examples
    --------
    >>> law = PointCloud(np.random.default_rng(0).normal(size=(50, 4)))
    >>> def noise(x, sigma):
    ...     return (x - law.noised(1.0, sigma).denoise(x)) / np.reshape(sigma, (-1, 1))
    >>> likely_prediction(noise, Convention(), law)
    'noise'
    """
    rng = np.random.default_rng(seed)
    clean, z = law.points[rng.integers(len(law.points), size=pairs)], rng.standard_normal((pairs, law.dim))
    spread = math.sqrt(float(np.mean(np.var(law.points, axis=0))))
    if spread == 0:
        return None

    # the answers, taken out of the assumed convention and read in each; and the same for answers of 0
    logs: dict[str, list[float]] = {kind: [] for kind in PREDICTS}
    zero: dict[str, list[float]] = {kind: [] for kind in PREDICTS}
    for sigma in spread * np.array([0.1, 0.3, 1.0, 3.0, 10.0]):
        if convention.index == "t":
            sigma = convention.levels[convention.times(sigma)]
        x = clean + sigma * z
        raw = _prediction_of(convention, x, sigma, denoise(x, np.full(pairs, sigma)))
        linear = law.dim * (spread * sigma) ** 2 / (spread**2 + sigma**2)
        for kind in PREDICTS:
            for found, answers in ((logs, raw), (zero, np.zeros_like(raw))):
                error = _from_prediction(kind, convention.index, x, sigma, answers) - clean
                found[kind].append(math.log(np.mean(np.sum(error**2, axis=1)) / linear + 1e-300))

    # the best reading, if it is another one and explains the answers
    mean = {kind: float(np.mean(values)) for kind, values in logs.items()}
    best = min(mean, key=lambda kind: mean[kind])
    limit = min(math.log(4), mean[convention.predicts] - math.log(4), float(np.mean(zero[best])) - math.log(2))
    return best if best != convention.predicts and mean[best] < limit else None


def _prediction_of(convention, x, sigma, estimate):
    """The prediction from which `_from_prediction` made an estimate."""
    if convention.predicts == "x0":
        return estimate
    if convention.predicts == "noise":
        return (x - estimate) / sigma
    if convention.predicts == "v":
        return (x - (1 + sigma**2) * estimate) / (sigma * math.sqrt(1 + sigma**2))
    return (estimate - x) / sigma**2 * (1.0 if convention.index == "sigma" else math.sqrt(1 + sigma**2))
