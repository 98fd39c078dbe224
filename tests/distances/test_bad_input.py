"""Bad input of the measures: a ValueError that names the argument."""

import math
import re

import numpy as np
import pytest

from exactdiffusion import distances as m

X = np.arange(6.0).reshape(3, 2)
LINE = np.arange(3.0)
NAN = np.array([[0.0, np.nan]])
INF = np.array([[0.0, np.inf]])


class NoLaw:
    pass


CASES = [
    ("x", lambda: m.w2(LINE, X)),
    ("x", lambda: m.w2(NAN, X)),
    ("x", lambda: m.w2(X * 1j, X)),
    ("x", lambda: m.w2(np.zeros((0, 2)), X)),
    ("x", lambda: m.w2("cloud", X)),
    ("y", lambda: m.w2(X, INF)),
    ("y", lambda: m.w2(X, X[:, :1])),
    ("y", lambda: m.w2(X, np.zeros((3, 0)))),
    ("x, y", lambda: m.w2([[0.0, 0.0]], [[1e200, 0.0]])),
    ("x, y", lambda: m.w2([[-1.7e308]], [[1.7e308]])),
    ("weights_x", lambda: m.w2(X, X, [0.5, 0.5])),
    ("weights_x", lambda: m.w2(X, X, [0.5, 0.6, 0.0])),
    ("weights_y", lambda: m.w2(X, X, None, [-0.5, 1.0, 0.5])),
    ("weights_y", lambda: m.w2(X, X, None, [np.nan, 0.5, 0.5])),
    ("weights_y", lambda: m.w2(X, X, weights_y=[0.0, 0.0, 0.0])),
    ("method", lambda: m.w2(X, X, method="sinkhorn")),
    ("method", lambda: m.w2(X, X, method="sorted")),
    ("method", lambda: m.w2(X, X[:2], method="assignment")),
    ("method", lambda: m.w2(X, X, [0.2, 0.2, 0.6], method="assignment")),
    ("max_bytes", lambda: m.w2(X, X, max_bytes=0)),
    ("max_bytes", lambda: m.w2(X, X, max_bytes=1e9)),
    ("x, y", lambda: m.w2(X, X, max_bytes=10)),
    ("x", lambda: m.wasserstein_1d(X, LINE)),
    ("y", lambda: m.wasserstein_1d(LINE, [])),
    ("p", lambda: m.wasserstein_1d(LINE, LINE, p=3)),
    ("p", lambda: m.wasserstein_1d(LINE, LINE, p=1.5)),
    ("weights_y", lambda: m.wasserstein_1d(LINE, LINE, 1, None, [1.0])),
    ("law", lambda: m.w2_to_set(X, NoLaw())),
    ("x", lambda: m.w2_to_set(NAN, NoLaw())),
    ("mean2", lambda: m.bures_w2([0.0, 0.0], 1.0, [0.0], 1.0)),
    ("mean1", lambda: m.bures_w2([[0.0]], 1.0, [0.0], 1.0)),
    ("cov1", lambda: m.bures_w2([0.0], -1.0, [0.0], 1.0)),
    ("cov1", lambda: m.bures_w2([0.0, 0.0], [[1.0, 0.5], [0.0, 1.0]], [0.0, 0.0], 1.0)),
    ("cov2", lambda: m.bures_w2([0.0, 0.0], 1.0, [0.0, 0.0], [[1.0, 2.0], [2.0, 1.0]])),
    ("cov2", lambda: m.bures_w2([0.0, 0.0], 1.0, [0.0, 0.0], [1.0, np.inf])),
    ("cov2", lambda: m.gaussian_kl([0.0, 0.0], 1.0, [0.0, 0.0], np.eye(3))),
    ("cov1", lambda: m.gaussian_kl([0.0, 0.0], np.diag([1.0, -1.0]), [0.0, 0.0], 1.0)),
    ("mean2", lambda: m.gaussian_kl([0.0, 0.0], 1.0, [0.0, np.nan], 1.0)),
    # the squares of two coordinates fit into a float, their sum does not
    ("mean1, cov1, mean2, cov2", lambda: m.bures_w2([1e154], 1e308, [0.0], 0.0)),
    ("x, y", lambda: m.gelbrich([[1e154, -0.95e154], [1e154, 0.95e154]], [[0.0, 0.0]])),
    ("x", lambda: m.gelbrich(LINE, X)),
    ("y", lambda: m.gelbrich(X, np.zeros((4, 3)))),
    ("y", lambda: m.gelbrich(X, (np.zeros(2),))),
    ("y[1]", lambda: m.gelbrich(X, (np.zeros(2), -1.0))),
    ("weights_x", lambda: m.gelbrich(X, X, [1.0])),
    ("y", lambda: m.coupling_bound(X, X[:2])),
    ("weights", lambda: m.coupling_bound(X, X, [1.0, 1.0, 1.0])),
    ("target", lambda: m.exact_draws(NoLaw(), 5, X)),
    ("target", lambda: m.exact_draws(lambda n, rng: np.zeros((n + 1, 2)), 5, X)),
    ("target", lambda: m.exact_draws(lambda n, rng: np.zeros((n, 3)), 5, X)),
    ("repeats", lambda: m.exact_draws(lambda n, rng: np.zeros((n, 2)), 5, X, repeats=1)),
    ("n", lambda: m.exact_draws(lambda n, rng: np.zeros((n, 2)), 0, X)),
    ("level", lambda: m.exact_draws(lambda n, rng: np.zeros((n, 2)), 5, X, level=1.0)),
    ("p", lambda: m.kl_quadrature([-0.1, 0.2], [0.1, 0.2], [1.0, 1.0])),
    ("q", lambda: m.kl_quadrature([0.1, 0.2], [0.1, np.nan], [1.0, 1.0])),
    ("q", lambda: m.kl_quadrature([0.1, 0.2], [0.1], [1.0, 1.0])),
    ("weights", lambda: m.kl_quadrature([0.1, 0.2], [0.1, 0.2], [1.0, -1.0])),
    ("p", lambda: m.kl_quadrature([math.inf, 0.2], [0.1, 0.2], [1.0, 1.0], log=True)),
    ("p", lambda: m.kl_quadrature(["a", "b"], [0.1, 0.2], [1.0, 1.0], log=True)),
    ("p", lambda: m.tv_quadrature(X, X, X)),
    ("log", lambda: m.tv_quadrature([1.0], [1.0], [1.0], log="yes")),
    ("truth", lambda: m.mse(X, X[:2])),
    ("estimate", lambda: m.mse(LINE, LINE)),
    ("truth", lambda: m.nmse(X, 0 * X)),
    ("power", lambda: m.nmse(X, X, power=0.0)),
    ("mmse", lambda: m.excess_error(X, X, mmse=-1.0)),
    ("conditional_mean", lambda: m.excess_error(X, NAN)),
    ("level", lambda: m.mse(X, X).interval(0.0)),
    ("x", lambda: m.fit_slope([1.0, 2.0], [1.0, 2.0])),
    ("x", lambda: m.fit_slope([0.0, 1.0, 2.0], [1.0, 2.0, 3.0])),
    ("y", lambda: m.fit_slope([1.0, 2.0, 3.0], [1.0, -2.0, 3.0])),
    ("y", lambda: m.fit_slope([1.0, 2.0, 3.0], [1.0, 2.0])),
    ("x", lambda: m.fit_slope([2.0, 2.0, 2.0], [1.0, 2.0, 3.0])),
    ("level", lambda: m.fit_slope([1.0, 2.0, 3.0], [1.0, 2.0, 3.0], level=95)),
    ("last", lambda: m.fit_slope([1.0, 2.0, 3.0], [1.0, 2.0, 3.0], last=0)),
    ("last", lambda: m.fit_slope([1.0, 2.0, 3.0], [1.0, 2.0, 3.0], log=False, last=2)),
    ("log", lambda: m.fit_slope([1.0, 2.0, 3.0], [1.0, 2.0, 3.0], log=None)),
    ("x", lambda: m.local_slopes([1.0, 3.0, 2.0], [1.0, 2.0, 3.0])),
    ("x", lambda: m.local_slopes([1.0], [1.0])),
]


@pytest.mark.parametrize(("name", "call"), CASES, ids=[f"{i}-{name}" for i, (name, _) in enumerate(CASES)])
def test_value_error_names_the_argument(name, call):
    with pytest.raises(ValueError, match=r"^" + re.escape(name) + r"(\.\w+)?( \(.*\))?:") as info:
        call()
    assert "expected" in str(info.value) or "max_bytes" in str(info.value)
