"""Kernels of the inner walks on pairs of states: detailed balance exactly, what steps carry along, linear forms."""

import math

import numpy as np
import pytest
from scipy.special import logsumexp, ndtri

from exactdiffusion import GaussianMixture
from exactdiffusion.papers.log_concavity.walk_jump import MALA, ULA, Target, Underdamped, conditional_target

W, M, V = np.array([0.3, 0.7]), np.array([[-1.0, 0.5], [1.0, -0.2]]), np.array([0.4, 0.9])


def _log_density(y):
    """Of the mixture, without the library."""
    square = np.sum((y[:, np.newaxis] - M) ** 2, axis=2)
    return logsumexp(np.log(W) - np.log(2 * math.pi * V) - 0.5 * square / V, axis=1)


def _score(y):
    square = np.sum((y[:, np.newaxis] - M) ** 2, axis=2)
    logs = np.log(W) - np.log(V) - 0.5 * square / V
    r = np.exp(logs - logsumexp(logs, axis=1, keepdims=True))
    return np.sum(r[:, :, np.newaxis] * (M - y[:, np.newaxis]) / V[:, np.newaxis], axis=1)


LAW = GaussianMixture(W, M, V)
UNIT = 0.3


class _Given:
    """Draws that are handed out one after the other."""

    def __init__(self, *arrays):
        self.left = list(arrays)

    def __call__(self, n, d, like=None):
        z = self.left.pop(0)
        assert z.shape == (n, d)
        return z


def _proposal(x, y, h):
    """log q(x -> y) of y = x + h score(x) + sqrt(2 h) N, and the noise of it."""
    noise = (y - x - h * _score(x)) / math.sqrt(2 * h)
    return -0.5 * np.sum(noise**2, axis=1), noise


@pytest.mark.parametrize("step", [0.05, 0.5, 3.0])
def test_mala_accepts_with_the_probability_of_detailed_balance(step):
    """pi(x) q(x, y) a(x, y) = pi(y) q(y, x) a(y, x), for the a of the code: accepted just below it, rejected just above."""
    rng = np.random.default_rng(0)
    n, h = 400, step * UNIT
    x = LAW.sample(n, 1)
    y = x + h * _score(x) + math.sqrt(2 * h) * rng.standard_normal((n, 2))
    target, walk = Target(LAW.score, UNIT, LAW.log_density), MALA(1, step)
    balance = _log_density(y) + _proposal(y, x, h)[0] - _log_density(x) - _proposal(x, y, h)[0]
    assert np.sum(balance < -1e-3) > 20
    assert np.sum(balance > 1e-3) > 20
    for a, b, log_ratio in ((x, y, balance), (y, x, -balance)):
        noise = _proposal(a, b, h)[1]
        keep = np.abs(log_ratio) > 1e-6
        for shift, accepted in ((-1e-7, True), (1e-7, False)):
            # the deciding normal of the uniform exp(log ratio + shift); none refuses a ratio of at least 1
            u = np.exp(np.minimum(log_ratio + shift, -1e-12))
            end = walk.run(target, a, _Given(np.column_stack([noise, ndtri(u)])))
            moved = np.all(np.abs(end - b) <= 1e-12 * (1 + np.abs(b)), axis=1)
            stayed = np.all(end == a, axis=1)
            assert np.all(moved | stayed)
            expected = np.full(n, accepted) | (log_ratio > 0)
            assert np.array_equal(moved[keep], expected[keep])


def test_mala_carries_what_a_fresh_evaluation_gives():
    """Nine steps, in which each row both moves and stays, against nine walks of one step."""
    rng = np.random.default_rng(2)
    n, steps = 60, 9
    draws = [rng.standard_normal((n, 3)) for _ in range(steps)]
    target, y = Target(LAW.score, UNIT, LAW.log_density), LAW.sample(n, 3)
    whole, moves = MALA(steps, 2.5).run(target, y, _Given(*draws)), np.zeros((steps, n), dtype=bool)
    for k, z in enumerate(draws):
        new = MALA(1, 2.5).run(target, y, _Given(z))
        moves[k], y = np.any(new != y, axis=1), new
    assert np.mean(np.any(moves[:-1] & ~moves[1:], axis=0) & np.any(~moves[:-1] & moves[1:], axis=0)) > 0.5
    np.testing.assert_array_equal(whole, y)


@pytest.mark.parametrize("walk", [ULA, Underdamped], ids=["ULA", "Underdamped"])
def test_walks_without_rejection_carry_nothing_from_run_to_run(walk):
    """A deterministic step is a function of the state: the same from a longer run."""
    rng = np.random.default_rng(4)
    target, y = Target(LAW.score, UNIT, None), LAW.sample(20, 5)
    draws = [rng.standard_normal((20, 2)) for _ in range(4)]
    if walk is ULA:
        whole = ULA(4, 0.4).run(target, y, _Given(*draws))
        for z in draws:
            y = y + 0.4 * UNIT * _score(y) + math.sqrt(0.8 * UNIT) * z
    else:
        whole = Underdamped(3, 0.7, 0.5).run(target, y, _Given(*draws))
        v, zeta = math.sqrt(UNIT) * draws[0], math.exp(-0.5)
        for z in draws[1:]:
            y = y + 0.35 * v
            v = v + 0.35 * UNIT * _score(y)
            v = zeta * v + math.sqrt(UNIT * (1 - zeta**2)) * z
            v = v + 0.35 * UNIT * _score(y)
            y = y + 0.35 * v
    np.testing.assert_allclose(whole, y, rtol=0, atol=1e-13)


def _underdamped(y, v, z, step, friction):
    """(y', v') of one step of the code: the end of the run, and the velocity that its last drift shows."""
    walk, target = Underdamped(1, step, friction), Target(LAW.score, UNIT, None)
    end = walk.run(target, y, _Given(v / math.sqrt(UNIT), z))
    return end, (end - (y + 0.5 * step * v)) / (0.5 * step)


def test_underdamped_step_is_reversible_up_to_its_kicks():
    """From (y', -v') some noise z' leads back to (y, -v), and the two densities of noise differ by what the middle step,
    which alone is random, does to the kinetic energy: exp(|z|^2/2 - |z'|^2/2) = exp((|b|^2 - |a|^2) / (2 u)), a and b the
    velocities before and after it. A wrong share of friction or noise breaks this; that the drifts and kicks preserve
    volume and reverse is the way back itself."""
    rng = np.random.default_rng(6)
    step, friction = 0.8, 0.6
    y, v, z = LAW.sample(50, 7), math.sqrt(UNIT) * rng.standard_normal((50, 2)), rng.standard_normal((50, 2))
    y1, v1 = _underdamped(y, v, z, step, friction)
    kick = 0.5 * step * UNIT * _score(y + 0.5 * step * v)
    a, b = v + kick, v1 - kick
    zeta = math.exp(-friction)
    back = (-a + zeta * b) / math.sqrt(UNIT * (1 - zeta**2))
    y2, v2 = _underdamped(y1, -v1, back, step, friction)
    np.testing.assert_allclose(y2, y, rtol=0, atol=1e-12)
    np.testing.assert_allclose(v2, -v, rtol=0, atol=1e-12)
    energy = np.sum(b * b - a * a, axis=1) / (2 * UNIT)
    np.testing.assert_allclose(0.5 * np.sum(back**2 - z**2, axis=1), -energy, rtol=0, atol=1e-11)


@pytest.mark.parametrize("walk", [ULA(1, 0.3), Underdamped(1, 0.7, 0.4)], ids=["ULA", "Underdamped"])
def test_linear_form_of_a_walk_is_the_walk(walk):
    """On a line with the score -k y: coefficients of position, velocity and noise, by runs from unit states."""
    k, unit = 1.7, 0.6
    A, Q = walk.linear(k, unit)
    target = Target(lambda y: -k * y, unit, None)
    one, zero = np.ones((1, 1)), np.zeros((1, 1))
    if isinstance(walk, ULA):
        assert walk.run(target, one, _Given(zero))[0, 0] == A[0, 0]
        assert abs(walk.run(target, zero, _Given(one))[0, 0] ** 2 - Q[0, 0]) <= 1e-15
        # and its own invariant variance is that of the documentation, in detailed balance as every scalar chain is
        assert abs(Q[0, 0] / (1 - A[0, 0] ** 2) - 1 / (k * (1 - 0.3 * unit * k / 2))) <= 1e-14
        return
    ends = [walk.run(target, y, _Given(v, z))[0, 0] for y, v, z in ((one, zero, zero), (zero, one, zero), (zero, zero, one))]
    assert abs(ends[0] - A[0, 0]) <= 1e-15
    assert abs(ends[1] - math.sqrt(unit) * A[0, 1]) <= 1e-15
    assert abs(ends[2] ** 2 - Q[0, 0]) <= 1e-15
    # the position's variance is exact, for the covariance that the step keeps
    P = np.linalg.solve(np.eye(4) - np.kron(A, A), Q.ravel()).reshape(2, 2)
    assert abs(P[0, 0] - 1 / k) <= 1e-13
    assert abs(P[0, 1]) <= 1e-13


def test_density_and_score_of_the_conditional_target_belong_together():
    """p(y_3 | y_1 + y_2 = S) of a Gaussian is N(a S, 1/k): differences of the log density, and the score."""
    value, sigma2, S = 0.7, 1.3**2, np.array([[0.4, -2.0]])
    target = conditional_target(GaussianMixture([1.0], [[0.0, 0.0]], value), S, 2, 1.3)
    a, k = value / (sigma2 + 2 * value), (sigma2 + 2 * value) / (sigma2 * (sigma2 + 3 * value))
    y = np.random.default_rng(8).standard_normal((30, 2))
    np.testing.assert_allclose(target.score(y), -k * (y - a * S), rtol=0, atol=1e-13)
    exact = -0.5 * k * np.sum((y - a * S) ** 2, axis=1)
    found = target.log_density(y)
    np.testing.assert_allclose(found - found[0], exact - exact[0], rtol=0, atol=1e-12)
    assert target.unit == sigma2
