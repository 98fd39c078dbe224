r"""Exact laws of Langevin chains and of Langevin diffusion on a line, on fixed nodes, without Monte Carlo.

:func:`ula` pushes a density through ``x' = x + h (log p)'(x) + sqrt(2 h) z`` (a trapezoidal sum of Gaussian kernels,
spectrally accurate); :func:`proximal_sampler` through the two exact halves of the proximal sampler; :class:`Diffusion` is a
reversible birth-death chain whose law converges to that of the Langevin diffusion, with an error of order (spacing)^2.
Source: textbook; the diagonalisation is our own.
"""

import math
from collections.abc import Iterable

import numpy as np

from .._core.arrays import to_numpy
from .._core.fixed import Fixed
from .._core.typing import ArrayLike, Density
from .._core.validation import fail, integer, real_array, scalar
from ..distances.divergence import MASS
from ..laws import GaussianMixture
from .line import MAX_NODES, NodeLaw, _from_log, _gauss_sum, discretise, support

__all__ = ["Diffusion", "line_nodes", "proximal_sampler", "ula"]


def line_nodes(law: GaussianMixture, other: GaussianMixture | None = None, *, step: float, pad: float = 0.0) -> np.ndarray:
    """Uniform nodes covering one or two 1-D mixtures and ``pad`` more on either side, at most ``step`` apart.

    ValueError where they would be more than ``line.MAX_NODES``.

    Examples
    --------
    >>> x = line_nodes(GaussianMixture(None, [[0.0]], 1.0), step=0.1)
    >>> len(x), round(float(x[-1]), 4)
    (201, 10.0)
    """
    low, high = support(law)
    if other is not None:
        a, b = support(other)
        low, high = min(low, a), max(high, b)
    low, high = low - pad, high + pad
    count = math.ceil((high - low) / scalar("step", step, low=0, low_open=True)) + 1
    if count > MAX_NODES:
        fail("step", step, f"at least {(high - low) / MAX_NODES:.3g}, for {MAX_NODES} nodes on [{low:.3g}, {high:.3g}]")
    return np.linspace(low, high, count)


def _nodes(nodes, law, h=math.inf, name=""):
    """The nodes as an array, their weights and the log density of ``law`` there; nodes that do not fit are refused.

    ``h``: variance that they must resolve, called ``name``.
    """
    x = np.array(to_numpy(real_array("nodes", nodes)))
    if x.ndim != 1 or len(x) < 3 or not np.all(np.diff(x) > 0):
        fail(f"nodes (shape {x.shape})", nodes, "shape (n,), n >= 3, increasing")
    dx = (x[-1] - x[0]) / (len(x) - 1)
    # what rounding of places and of a linspace leaves
    if np.max(np.abs(np.diff(x) - dx)) > 1e-9 * dx + 8 * np.spacing(np.max(np.abs(x))):
        fail("nodes", nodes, "uniform nodes, as those of line_nodes")
    if dx > math.sqrt(h) / 2:
        fail("nodes", nodes, f"nodes at most sqrt({name})/2 = {math.sqrt(h) / 2:.3g} apart")
    w, log_p = np.full(len(x), dx), law.log_density(x[:, np.newaxis])
    _holds(nodes, "law", math.fsum(w * np.exp(log_p)))
    return x, w, log_p


def _holds(nodes, name, mass):
    """Refuse nodes that end before a law or step over one of its modes: what they see of the rest is another law."""
    if not abs(mass - 1) <= MASS:
        text = f"nodes that hold the mass of {name} within {MASS:g} (here it is {mass:.7g})"
        fail("nodes", nodes, f"{text}: that reach all of it, several to each of its narrowest peaks")


def _start(start, x):
    if isinstance(start, NodeLaw):
        return start
    q = discretise(start, x)
    _holds(x, "start", q.mass)
    return q


def ula(law: GaussianMixture, start: Density | NodeLaw, h: float, steps: Iterable[int], nodes: ArrayLike) -> list[NodeLaw]:
    r"""Laws of the unadjusted Langevin chain after each of the step counts ``steps``.

    .. math:: x_{k+1} = x_k + h\,(\log p)'(x_k) + \sqrt{2h}\; z_k

    Parameters
    ----------
    law : GaussianMixture, dim 1, with a density
    start : NodeLaw on ``nodes``, or a law with a density
    h : float > 0
        Step; nodes must resolve the kernel, ``spacing <= sqrt(2 h) / 2``.
    steps : sequence of int, increasing
    nodes : (n,) uniform nodes

    Returns
    -------
    list of NodeLaw

    Raises
    ------
    ValueError
        Naming the argument; mass lost through the ends of the nodes (more than 1e-10) names ``nodes``, and so do nodes that
        are not uniform or on which the mass of ``law`` or ``start`` is not 1 within 1e-6.

    Examples
    --------
    >>> law, start = GaussianMixture(None, [[0.0]], 1.0), GaussianMixture(None, [[2.0]], 1.0)
    >>> (after,) = ula(law, start, h=0.5, steps=[40], nodes=line_nodes(law, start, step=0.2))
    >>> round(after.mean, 8), round(after.variance, 8)  # the stationary variance is 1/(1 - h/2)
    (0.0, 1.33333333)
    """
    h = scalar("h", h, low=0, low_open=True)
    x, w, _ = _nodes(nodes, law, 2 * h, "2 h")
    centres = x + h * law.score(x[:, np.newaxis])[:, 0]
    q, out, done = _start(start, x), [], 0
    for k in (integer("steps", int(k), low=0) for k in steps):
        for _ in range(k - done):
            q = _from_log(x, w, _gauss_sum(x, centres, w * q.density, 2 * h)[1])
        done = k
        if not abs(q.mass - 1) <= 1e-10:
            fail("nodes", nodes, f"nodes that hold the chain's mass ({q.mass - 1:+.3g} after {k} steps)")
        out.append(q)
    return out


def proximal_sampler(
    law: GaussianMixture, start: Density | NodeLaw, h: float, steps: Iterable[int], nodes: ArrayLike
) -> list[NodeLaw]:
    r"""Laws after each of the step counts ``steps`` of the proximal sampler: ``y = x + sqrt(h) z``, then x from the density
    proportional to ``p(x) exp(-|x - y|^2/(2h))`` (the restricted Gaussian oracle). Arguments as in :func:`ula`.

    Examples
    --------
    >>> law, start = GaussianMixture(None, [[0.0]], 1.0), GaussianMixture(None, [[2.0]], 1.0)
    >>> (after,) = proximal_sampler(law, start, h=1.0, steps=[2], nodes=line_nodes(law, start, step=0.2))
    >>> round(after.mean, 8), round(after.variance, 8)  # the mean halves in each step
    (0.5, 1.0)
    """
    h = scalar("h", h, low=0, low_open=True)
    x, w, log_p = _nodes(nodes, law, h, "h")
    smoothed = _gauss_sum(x, x, w * np.exp(log_p), h)[1]
    q, out, done = _start(start, x), [], 0
    for k in (integer("steps", int(k), low=0) for k in steps):
        for _ in range(k - done):
            y = _gauss_sum(x, x, w * q.density, h)[1]
            back = _gauss_sum(x, x, w * np.exp(y - smoothed), h)[1]
            q = _from_log(x, w, log_p + back)
        done = k
        if not abs(q.mass - 1) <= 1e-10:
            fail("nodes", nodes, f"nodes that hold the chain's mass ({q.mass - 1:+.3g} after {k} steps)")
        out.append(q)
    return out


class Diffusion(Fixed):
    r"""Langevin diffusion ``dX = (log p)'(X) dt + sqrt(2) dB`` on uniform nodes, as a reversible birth-death chain.

    Rates ``sqrt(p_{i+1}/p_i)/dx^2`` upwards and their inverse downwards: detailed balance with p holds exactly, so the
    entropy inequalities of the chain are those of the diffusion up to O(dx^2).

    Parameters
    ----------
    law : GaussianMixture, dim 1, with a density
    nodes : (n,) uniform nodes

    Attributes
    ----------
    eigenvalues : (n,)
        Of minus the generator, increasing; the first is 0, the second the spectral gap.

    Raises
    ------
    ValueError
        Nodes that are not uniform, or on which the mass of the law is not 1 within 1e-6.

    Examples
    --------
    >>> law = GaussianMixture(None, [[0.0]], 1.0)
    >>> round(float(Diffusion(law, line_nodes(law, step=0.05)).gap), 3)  # the Ornstein-Uhlenbeck process has gap 1
    1.0
    """

    def __init__(self, law: GaussianMixture, nodes: ArrayLike) -> None:
        from scipy.linalg import eigh_tridiagonal

        x, weights, log_p = _nodes(nodes, law)
        dx = weights[0]
        up = np.exp(0.5 * np.diff(log_p)) / dx**2
        down = np.exp(-0.5 * np.diff(log_p)) / dx**2
        diagonal = np.zeros(len(x))
        diagonal[:-1] += up
        diagonal[1:] += down
        # the generator is self-adjoint in L2(p): conjugated by sqrt(p) its off-diagonal is -sqrt(up down) = -1/dx^2
        self.eigenvalues, self._vectors = eigh_tridiagonal(diagonal, np.full(len(x) - 1, -1 / dx**2))
        self.nodes, self._log_p, self._weights = x, log_p, weights
        self._fix()

    @property
    def gap(self) -> float:
        """Spectral gap."""
        return float(self.eigenvalues[1])

    def law(self, start: Density | NodeLaw, t: float) -> NodeLaw:
        """Law at time t >= 0 of the diffusion started from ``start`` (a law with a density, or a NodeLaw on the nodes)."""
        t = scalar("t", t, low=0)
        root = np.exp(0.5 * self._log_p)
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            ratio = _start(start, self.nodes).density / root
        if not np.all(np.isfinite(ratio)):
            worst = int(np.argmin(self._log_p))
            fail(
                "nodes",
                f"density exp({self._log_p[worst]:.4g}) at {self.nodes[worst]:.4g}",
                "nodes at which the law's density does not underflow: modes nearer to each other, or nodes that end earlier",
            )
        decayed = self._vectors @ (np.exp(-t * np.maximum(self.eigenvalues, 0)) * (self._vectors.T @ ratio))
        density = np.maximum(decayed * root, 0.0)
        with np.errstate(divide="ignore"):
            return _from_log(self.nodes, self._weights, np.log(density))

    def stationary(self) -> NodeLaw:
        """The density p on the nodes."""
        return _from_log(self.nodes, self._weights, self._log_p)
