"""The kernels of the mode search against its definition, and its two ascents against each other."""

import numpy as np
import pytest
from scipy.special import logsumexp, softmax

from exactdiffusion.prox import modes as kernels
from exactdiffusion.prox.mean_shift import mean_shift
from exactdiffusion.prox.modes import Modes


def _problem(r, size, shared, rows=5, seed=0):
    rng = np.random.default_rng([seed, r, size])
    c = rng.standard_normal((size, r) if shared else (rows, size, r))
    log_w = rng.standard_normal((rows, size))
    log_w -= log_w.max(1)[:, None]
    return Modes(c, log_w, rng.uniform(0.5, 2.0, rows)), rng.standard_normal((7, r)), rng.integers(rows, size=7)


@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize("r", [1, 3, 4, 16, 17])
def test_value_gradient_and_covariance_are_the_definitions(r, shared):
    """Products, coordinates and differences: which of them is taken depends on r and on ``direct``."""
    modes, z, row = _problem(r, 40, shared)
    c = np.broadcast_to(modes.c, (modes.rows, 40, r))[row]
    logits = modes.log_w[row] - 0.5 * modes.ik[row][:, None] * np.square(c - z[:, None, :]).sum(2)
    p = softmax(logits, axis=1)
    mean = np.einsum("pa,par->pr", p, c)
    centred = c - mean[:, None, :]
    cov = np.einsum("pa,par,pas->prs", p, centred, centred)
    for direct in (False, True):
        assert modes.expanded == (shared and r <= 16)
        g, dm, found, _ = modes.evaluate(z, row, direct=direct)
        # rounding of expanded squares of size |z|^2 / kappa
        np.testing.assert_allclose(g, logsumexp(logits, axis=1), rtol=0, atol=1e-12)
        np.testing.assert_allclose(dm, mean - z, rtol=0, atol=1e-12)
        np.testing.assert_allclose(found, cov, rtol=0, atol=1e-11)
        g, dm, _, weights = modes.evaluate(z, row, direct=direct, second=False, weights=True)
        np.testing.assert_allclose(dm, mean - z, rtol=0, atol=1e-12)
        np.testing.assert_allclose(weights, p, rtol=0, atol=1e-12)


def test_blocks_of_components_change_nothing(monkeypatch):
    """More numbers than fit: one query at a time, its components in blocks."""
    modes, z, row = _problem(17, 40, True)
    whole = modes.evaluate(z, row, direct=True, second=False, weights=True)
    monkeypatch.setattr(kernels, "_MOST", 100)
    parts = modes.evaluate(z, row, direct=True, second=False, weights=True)
    for a, b in zip(whole, parts):
        if a is not None:
            np.testing.assert_allclose(a, b, rtol=0, atol=1e-14)


@pytest.mark.parametrize("r", [2, 6, 20])
def test_newton_and_mean_shift_reach_the_same_modes(r):
    """From every component, without dropping a start: each ends at a mode, and both at the same values."""
    modes, _, _ = _problem(r, 12, True, seed=1)
    modes = Modes(modes.c, modes.log_w, np.full(modes.rows, 0.7 / r))
    row = np.repeat(np.arange(modes.rows), 12)
    begin = np.tile(modes.c, (modes.rows, 1))
    ends = [modes.newton(begin, row, {}, drop=False), mean_shift(modes, begin, row, {}, iterations=500, drop=False)]
    for _, value, norm in ends:
        assert np.all(norm <= 1e-12 * modes.scale[row])
        assert np.all(np.isfinite(value))
    best = [np.array([value[row == k].max() for k in range(modes.rows)]) for _, value, _ in ends]
    np.testing.assert_allclose(best[0], best[1], rtol=0, atol=1e-12)
