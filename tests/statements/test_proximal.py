"""Closed forms of the proximal paper: identities by SymPy, constants by recursions, bounds against exact laws."""

import math

import mpmath as mp
import numpy as np
import pytest
import sympy as sp

from exactdiffusion import GaussianMixture, schedules
from exactdiffusion.output_laws import line
from exactdiffusion.output_laws.subspace import gaussian_line
from exactdiffusion.papers.proximal import budgets
from exactdiffusion.statements import proximal as bound

EPS = float(np.finfo(float).eps)


def uniform(N, T):
    return schedules.vp_linear(N, beta_min=T, beta_max=T)


# ------------------------------------------------------------------------------------------------- the statements


def test_every_statement_is_filed():
    import ast
    import inspect

    from exactdiffusion.statements import REGISTRY

    tree = ast.parse(inspect.getsource(bound))
    decorated = [
        f.name
        for f in tree.body
        if isinstance(f, ast.FunctionDef) and any(ast.unparse(d).startswith("statement(") for d in f.decorator_list)
    ]
    assert len(decorated) >= 16
    for name in decorated:
        entry = getattr(bound, name).statement
        assert REGISTRY[f"proximal/{name}"] is entry
        for part in ("**Hypotheses.**", "**Conclusion", "**Source.**", ":math:"):
            assert part in entry.doc, (name, part)


# -------------------------------------------------------------------------------------------------------- updates


@pytest.mark.parametrize("scheme", ["proximal_backward", "proximal_hybrid"])
def test_update_is_stationarity(scheme):
    """Symbolically: y - u + lam l'(u) = 0 is a multiple of the implicit equation."""
    u, x, z, g, score = sp.symbols("u x z g score", positive=True)
    if scheme == "proximal_backward":
        implicit = u - x - g * (u / 2 + score) - sp.sqrt(g) * z
        y, lam = 2 / (2 - g) * (x + sp.sqrt(g) * z), 2 * g / (2 - g)
        factor = (2 - g) / 2
    else:
        implicit = u - x - g * (x / 2 + score) - sp.sqrt(g) * z
        y, lam = (1 + g / 2) * x + sp.sqrt(g) * z, g
        factor = 1
    assert sp.simplify(factor * (u - y - lam * score) - implicit) == 0
    found = bound.prox_update(0.7, -0.4, 0.3, scheme)
    expected = [float(e.subs({x: 0.7, z: -0.4, g: 0.3})) for e in (y, sp.sympify(lam))]
    np.testing.assert_allclose(found, expected, rtol=4 * EPS)


def test_update_agrees_with_the_propagated_scheme():
    """F(prox) = argument, for the map that the grid propagates."""
    law, g = GaussianMixture(None, [[-0.5], [0.5]], 0.5), 0.2
    end = line.Level(law)
    u = np.linspace(-2, 2, 9)
    for scheme in ("proximal_backward", "proximal_hybrid"):
        step = line.SCHEMES[scheme](end, end, g)
        force = step.forward(u)[0]
        x = force / step.slope
        y, lam = bound.prox_update(x, 0.0, g, scheme)
        np.testing.assert_allclose(u - lam * end.score(u), y, rtol=0, atol=16 * EPS)


# ------------------------------------------------------------------------------- interpolating processes (SymPy)


def test_error_field_and_drift_symbolically():
    """Ito on F_s(X_s) gives the drift; Je of the definition equals the four terms, for generic l and l_t."""
    x, s = sp.symbols("x s", positive=True)
    log, log_t = sp.Function("l")(x), sp.Function("m")(x)
    F = (1 - s / 2) * x - s * sp.diff(log, x)
    J = sp.diff(F, x)
    d1, d2, d3 = (sp.diff(log, x, k) for k in (1, 2, 3))
    drift, found_J = bound.interpolating_process(s, x, d1, d2, d3, "proximal_backward")
    assert sp.simplify(found_J - J) == 0
    # d F_s(X) = F_s' b ds + dot F ds + F'' J^-2 / 2 ds + dW must be dW
    assert sp.simplify(J * drift + sp.diff(F, s) + sp.diff(J, x) / (2 * J**2)) == 0
    A = J**-2
    score_t = sp.diff(log_t, x)
    e = (x / 2 + score_t) - drift - sp.diff(1 - A, x) / 2 - (1 - A) * score_t / 2
    terms = bound.backward_error_field(s, x, score_t, d1, d2, d3)
    assert sp.simplify(J * e - sum(terms)) == 0
    for i in range(4):  # no term is idle
        assert sp.simplify(J * e - sum(terms) + terms[i]) != 0


def test_hybrid_error_field_symbolically():
    x, s, Z = sp.symbols("x s Z", positive=True)
    log, log_t = sp.Function("l")(x), sp.Function("m")(x)
    y = sp.exp(-s / 2) * x + sp.sqrt(1 - sp.exp(-s)) * Z
    a = sp.exp(-s / 2) / sp.sqrt(1 - sp.exp(-s))
    d1, d2, d3 = (sp.diff(log, x, k) for k in (1, 2, 3))
    J = 1 - s * d2
    drift = (y / 2 + d1 + s / 2 * d3 / J**2) / J
    conditional = sp.diff(log_t, x) + a * Z  # score of X_s given y
    A = J**-2
    e = (x / 2 + sp.diff(log_t, x)) - drift - sp.diff(1 - A, x) / 2 - (1 - A) * conditional / 2
    values = {d3: sp.Rational(7, 10), d2: sp.Rational(-3, 10), d1: sp.Rational(2, 5), sp.diff(log_t, x): sp.Rational(-1, 4)}
    exact = (J * e).subs(values).subs({x: sp.Rational(6, 5), s: sp.Rational(1, 5)})
    constant, factor = bound.hybrid_error_field(0.2, 1.2, -0.25, 0.4, -0.3, 0.7)
    for z in (0.0, 1.7):
        assert float(exact.subs(Z, z)) == pytest.approx(constant + factor * z, rel=1e-13)


def test_kl_derivative_of_two_gaussians():
    """p: variance 1 + s, q: variance 2 + 3 s, means 0 and s: closed-form derivative of KL."""
    s = 0.4
    x = np.linspace(-14, 14, 1401)
    p = np.exp(-0.5 * x**2 / (1 + s)) / math.sqrt(2 * math.pi * (1 + s))
    r = -x / (1 + s) + (x - s) / (2 + 3 * s)
    e = (0 - 1) - 0.5 * (1 - 3) * (-x / (1 + s))
    derivative, upper = bound.kl_derivative(p * (x[1] - x[0]), r, e, 3.0)
    t = sp.symbols("t")
    kl = (sp.log((2 + 3 * t) / (1 + t)) + ((1 + t) + t**2) / (2 + 3 * t) - 1) / 2
    assert derivative == pytest.approx(float(sp.diff(kl, t).subs(t, s)), rel=1e-12)
    assert derivative <= upper


# ---------------------------------------------------------------------------------------------------- closed bounds


def test_forward_convergence_is_attained_by_a_dirac():
    for T, x0 in ((0.3, 1.7), (0.68, 0.0), (0.7, 0.0), (2.2, 0.0), (2.31, 0.0), (5.0, 0.0), (12.0, 2.0), (1e-5, 0.0)):
        with mp.workdps(40):
            a = mp.exp(-mp.mpf(T))
            exact = (a * mp.mpf(x0) ** 2 + 3 * (-a - mp.log(1 - a))) / 2
        assert bound.forward_convergence(T, x0**2, 3) == pytest.approx(float(exact), rel=8 * 2.0**-52)
    law = GaussianMixture([0.3, 0.7], [[-1.0], [0.5]], 0.2)
    value = budgets.trajectory_kl(law, uniform(4, 2.0), "euler_maruyama", "normal").initial
    moment = 0.3 * 1.0 + 0.7 * 0.25 + 0.2
    assert 0 < value < bound.forward_convergence(2.0, moment, 1)
    # control: e^{-2T} in place of e^{-T} is below the exact value of the Dirac
    assert bound.forward_convergence(4.0, 2.25, 1) < bound.forward_convergence(2.0, 2.25, 1)


@pytest.mark.parametrize("v", [0.3, 0.5])
def test_closed_bounds_dominate_budgets(v):
    """Theorems with certified L and H against the exact budgets; times 1e-5 the backward one must fail."""
    R, T, N = 1.0, 4.0, 128
    law, grid = GaussianMixture([0.4, 0.6], [[-0.5], [0.5]], v), uniform(N, T)
    L, H = bound.mixture_constants(v, R, T)
    moment = 0.25 + v
    exact = budgets.budget(law, grid).total
    closed = bound.backward_kl(grid.g, 1, moment, L, H)
    assert exact <= closed
    assert exact > 1e-5 * closed
    assert budgets.conditional_budget(law, grid, "proximal_hybrid").total <= bound.hybrid_trajectory_kl(
        grid.g, 1, moment, L, H
    )
    em = budgets.conditional_budget(law, grid, "euler_maruyama").total
    assert em <= bound.euler_maruyama_trajectory_kl(grid.g, 1, moment, L)
    assert em > 0.01 * bound.euler_maruyama_trajectory_kl(grid.g, 1, moment, L)


def test_closed_bound_term_by_term():
    """The lemma behind each term, by quadrature, over one step of a mixture with certified constants."""
    v, R, g = 0.5, 1.0, 0.15
    law = GaussianMixture([0.4, 0.6], [[-0.5], [0.5]], v)
    L, H = bound.mixture_constants(v, R)
    D = max(1.0, 0.25 + v)
    assert g * (L + 0.5) <= 0.5
    t_k = 0.4
    end = budgets._at(law, t_k - g)
    x = np.linspace(-9, 9, 1201)
    h = x[1] - x[0]
    for s in (0.3 * g, g):
        here = budgets._at(law, t_k - s)
        p = h * np.exp(here.log_density(x))
        terms = bound.backward_error_field(s, x, here.score(x), end.score(x), end.curvature(x), end.third(x))
        square = [float(np.sum(p * f * f)) for f in terms]
        assert square[0] <= s**2 * (L + 0.5) ** 2 * D / 4
        assert square[1] <= s**2 * (L + 0.5) ** 2 * L / 4
        assert square[2] <= 3 * (g - s) ** 2 * ((L + 0.5) ** 2 * (3 * L + D / 8) + L**2 * D / 4 + H**2 / 4) + 1e-28
        assert square[3] <= 4 * s**2 * H**2


def test_step_counts_reach_the_accuracy():
    L, H, T = 3.0, 2.0, 5.0
    for eps, d in ((1e-2, 4), (1e-5, 100)):
        N = bound.backward_steps(eps, T, d, float(d), L, H)
        assert bound.backward_kl(np.full(N, T / N), d, float(d), L, H) <= eps * (1 + 8 * EPS)
        assert math.ceil(2 * T * (L + 0.5)) == N or bound.backward_kl(np.full(N - 1, T / (N - 1)), d, float(d), L, H) > eps
    # d / sqrt(eps), for large d and small eps
    ratio = bound.backward_steps(1e-8, T, 4000, 4000.0, L, H) / bound.backward_steps(1e-8, T, 2000, 2000.0, L, H)
    assert ratio == pytest.approx(2, rel=0.02)
    ratio = bound.backward_steps(1e-8, T, 10, 10.0, L, H) / bound.backward_steps(1e-6, T, 10, 10.0, L, H)
    assert ratio == pytest.approx(10, rel=1e-3)


# ------------------------------------------------------------------------------------------------ Gaussian constants


def recursion(scheme, S, mu, N, T):
    """Output mean and variance of N equal steps from the exact start, in plain floats."""
    g = T / N
    E = math.exp(g / 2)
    v, s = math.exp(-T) * S - math.expm1(-T), math.exp(-T / 2)
    m, V = s * mu, v
    for k in range(N):
        t = T * (N - 1 - k) / N
        w, r = math.exp(-t) * S - math.expm1(-t), math.exp(-t / 2)
        if scheme == "euler_maruyama":
            a, b, c = 1 + g / 2 - g / v, g / v * s * mu, g
        elif scheme == "exponential_integrator":
            a, b, c = E - 2 * (E - 1) / v, 2 * (E - 1) / v * s * mu, math.expm1(g)
        elif scheme == "ddpm":
            a, b, c = E * (1 + math.expm1(-g) / v), -E * math.expm1(-g) / v * s * mu, -math.expm1(-g)
        elif scheme == "probability_flow":
            a, b, c = 1 + g / 2 - g / 2 / v, g / 2 / v * s * mu, 0.0
        else:
            backward = scheme == "proximal_backward"
            D = 1 - (g / 2 if backward else 0.0) + g / w
            a, b, c = (1.0 if backward else 1 + g / 2) / D, g / w * r * mu / D, g / D**2
        m, V, v, s = a * m + b, a * a * V + c, w, r
    return m, V


@pytest.mark.parametrize("scheme", bound.SCHEMES)
@pytest.mark.parametrize(("S", "mu"), [(0.25, 1.0), (1.0, 0.5), (3.0, -2.0), (1.0 + 1e-7, 1.0)])
def test_gaussian_first_order_errors(scheme, S, mu):
    """Recursions at two step counts, extrapolated to g = 0 (T = 24: terms of order e^-T are below 1e-9)."""
    T, values = 24.0, []
    for N in (6000, 12000):
        m, v = recursion(scheme, S, mu, N, T)
        values.append(np.array([v - S, m - mu]) * N / T)
    found = 2 * values[1] - values[0]
    # remainder of the extrapolation: second differences of order g^2 with constants of order (1 + mu) / min(S, 1)^2
    slack = 40 * (T / 12000) ** 2 * (1 + abs(mu)) * max(S, 1 / S) ** 2
    np.testing.assert_allclose(found, bound.gaussian_errors(scheme, S, mu), rtol=0, atol=slack)


def test_gaussian_leading_kl():
    T, N = 12.0, 4096
    for scheme in ("euler_maruyama", "proximal_backward", "proximal_hybrid"):
        m, v = recursion(scheme, 0.25, 1.0, N, T)
        kl = 0.5 * (0.25 / v - 1 - math.log(0.25 / v) + (m - 1) ** 2 / v)
        assert kl / bound.gaussian_leading_kl(scheme, T / N, 0.25, 1.0) == pytest.approx(1, abs=0.02)
    assert bound.gaussian_leading_kl("euler_maruyama", 0.1, np.ones(5)) == pytest.approx(5 * 0.01 / 64, rel=8 * EPS)
    assert bound.gaussian_leading_kl("proximal_hybrid", 0.1, np.ones(5)) == pytest.approx(45 * 0.01 / 64, rel=8 * EPS)
    # the curve N^2 KL / T^2 of N(1, 1/4): .8945
    assert bound.gaussian_leading_kl("euler_maruyama", 1.0, 0.25, 1.0) == pytest.approx(0.8945, abs=5e-5)


@pytest.mark.parametrize(("scheme", "g"), [("euler_maruyama", 0.4), ("proximal_backward", 1.9), ("proximal_hybrid", 2.5)])
def test_standard_normal_recursion(scheme, g):
    T = 6 * g
    assert gaussian_line(0.0, 1.0, uniform(6, T), scheme, "normal")[1] == pytest.approx(
        bound.standard_normal_variance(scheme, g, 6), rel=64 * EPS
    )
    if scheme == "proximal_hybrid":  # control: 1 + g/4 in place of 1 + 3g/4
        assert abs(bound.standard_normal_variance(scheme, g, 200) - 1 / (1 + g / 4)) > 0.1


def test_local_weak_errors():
    """One step on f(x) = x^3 - x, drift autonomous, from a point: moments by Gauss-Hermite, truth by the generator."""
    x = sp.symbols("x")
    drift = sp.sin(x) / 2 - x / 3
    f = x**3 - x
    generator = lambda u: drift * sp.diff(u, x) + sp.diff(u, x, 2) / 2  # noqa: E731
    numeric = {
        k: sp.lambdify(x, e, "math")
        for k, e in {
            "b": drift,
            "b1": sp.diff(drift, x),
            "b2": sp.diff(drift, x, 2),
            "f1": sp.diff(f, x),
            "f2": sp.diff(f, x, 2),
            "L1": generator(f),
            "L2": generator(generator(f)),
            "L3": generator(generator(generator(f))),
            "f": f,
        }.items()
    }
    x0 = 0.7
    nodes, weights = np.polynomial.hermite_e.hermegauss(60)
    weights = weights / math.sqrt(2 * math.pi)
    arguments = [numeric[k](x0) for k in ("b", "b1", "b2")] + [0.0] + [numeric[k](x0) for k in ("f1", "f2")]
    ratios = {}
    for g in (0.01, 0.005):
        true = numeric["f"](x0) + g * numeric["L1"](x0) + g**2 / 2 * numeric["L2"](x0) + g**3 / 6 * numeric["L3"](x0)
        euler, backward = [], []
        for z in nodes:
            euler.append(numeric["f"](x0 + g * numeric["b"](x0) + math.sqrt(g) * z))
            u = x0
            for _ in range(60):
                u = x0 + math.sqrt(g) * z + g * numeric["b"](u)
            backward.append(numeric["f"](u))
        for scheme, values in (("euler_maruyama", euler), ("proximal_backward", backward)):
            error = float(weights @ np.array(values)) - true
            ratios.setdefault(scheme, []).append(error / float(bound.local_weak_error(scheme, g, *arguments)))
    for scheme, (coarse, fine) in ratios.items():
        assert 2 * fine - coarse == pytest.approx(1, abs=3e-3), scheme  # extrapolated; remainder of order g^2


# -------------------------------------------------------------------------------------- certified constants, steps


def test_certified_constants_bound_mixtures():
    rng = np.random.default_rng(7)
    worst = 0.0
    for _ in range(60):
        K = int(rng.integers(2, 6))
        v, centres = float(rng.uniform(0.05, 3.0)), rng.uniform(-1.5, 1.5, (K, 1))
        law = GaussianMixture(rng.dirichlet(np.ones(K)), centres, v)
        R, t = float(np.ptp(centres)), float(rng.choice([0.0, 0.3, 2.0]))
        L, H = bound.mixture_lipschitz(v, R, t)
        here = budgets._at(law, t) if t else line.Level(law)
        x = np.linspace(-4, 4, 4001)
        assert np.max(np.abs(here.curvature(x))) <= L * (1 + 1e-12)
        assert np.max(np.abs(here.third(x))) <= H * (1 + 1e-9) + 1e-9  # finite differences
        worst = max(worst, float(np.max(np.abs(here.third(x)))) / H if H > 1e-3 else 0.0)
    assert 0.5 <= worst <= 1 + 1e-6  # the bound is reached on some of them; finite differences


def test_certified_constants_are_attained_by_two_equal_modes():
    m, v = 1.0, 0.25
    law = line.Level(GaussianMixture(None, [[-m], [m]], v))
    L, H = bound.mixture_lipschitz(v, 2 * m)
    x = np.linspace(-1, 1, 20001)
    assert np.max(np.abs(law.curvature(x))) == pytest.approx(L, rel=1e-12)
    assert np.max(np.abs(law.third(x))) == pytest.approx(H, rel=1e-6)  # nodes 1e-4 apart
    assert pytest.approx(4 * m**3 / (3 * math.sqrt(3) * v**3), rel=8 * EPS) == H
    assert pytest.approx(bound.two_mode_curvature(m, v), rel=8 * EPS) == L


def test_suprema_over_time_in_closed_form(accuracy):
    rng = np.random.default_rng(8)
    for _ in range(200):
        v, R = float(10 ** rng.uniform(-2, 1.5)), float(10 ** rng.uniform(-1, 1.5))
        T = float(rng.choice([0.5, 3.0, 30.0]))
        L, H = bound.mixture_constants(v, R, T)
        times = np.linspace(0, T, 4001)
        a = np.array([math.exp(-t) for t in times])
        w = a * v + (1 - a)
        curve = np.array([np.maximum(1 / w, a * R**2 / (4 * w**2) - 1 / w), R**3 * a**1.5 / (6 * np.sqrt(3) * w**3)])
        for i in rng.integers(0, 4001, 20):
            assert bound.mixture_lipschitz(v, R, times[i]) == pytest.approx(tuple(curve[:, i]), rel=64 * EPS)
        top = curve.max(axis=1)
        assert top[0] <= L * (1 + 1e-14)
        assert top[1] <= H * (1 + 1e-14)
        # nodes in t
        accuracy("statements.proximal.mixture_constants", np.abs(top / [L, H] - 1), 2e-3, "largest over 4001 times")


def test_matching_bias():
    """Mode of a smoothed two-component posterior, against the leading term: order zeta^2."""
    w, c, v = np.array([0.45, 0.55]), np.array([-0.4, 0.7]), 0.5
    x = sp.symbols("x")
    density = sum(wi * sp.exp(-((x - ci) ** 2) / (2 * v)) for wi, ci in zip(w, c))
    log = sp.log(density)
    first, second, third = (sp.lambdify(x, sp.diff(log, x, k), "mpmath") for k in (1, 2, 3))

    def mode(variance):
        def gradient(u):
            r = [wi * mp.exp(-((u - ci) ** 2) / (2 * variance)) for wi, ci in zip(w, c)]
            return sum(ri * (ci - u) for ri, ci in zip(r, c)) / sum(r)

        return mp.findroot(gradient, (0.0, 0.4), solver="anderson")

    with mp.workdps(30):
        base = mode(mp.mpf(v))
        assert abs(first(base)) < mp.mpf(10) ** -25
        ratios = []
        for zeta in (0.04, 0.02):
            shift = mode(mp.mpf(v) + mp.mpf(zeta) ** 2 / 2) - base
            ratios.append(float(shift) / float(bound.matching_bias(zeta, 1, float(second(base)), float(third(base)))[0]))
    assert abs(ratios[1] - 1) < 0.3 * abs(ratios[0] - 1)
    assert ratios[1] == pytest.approx(1, abs=2e-3)


# ------------------------------------------------------------------------------------------------------ bad input


@pytest.mark.parametrize(
    ("name", "call"),
    [
        ("g", lambda: bound.prox_update(0.0, 0.0, 2.0, "proximal_backward")),
        ("g", lambda: bound.prox_update(0.0, 0.0, 0.0, "proximal_hybrid")),
        ("scheme", lambda: bound.prox_update(0.0, 0.0, 1.0, "ddpm")),
        ("g", lambda: bound.backward_kl(0.2, 1, 1.0, 3.0, 0.0)),
        ("g", lambda: bound.hybrid_trajectory_kl([0.1, -0.1], 1, 1.0, 1.0, 0.0)),
        ("L", lambda: bound.backward_kl(0.2, 1, 1.0, -1.0, 0.0)),
        ("T", lambda: bound.forward_convergence(0.0, 1.0, 1)),
        ("d", lambda: bound.forward_convergence(1.0, 1.0, 0)),
        ("S", lambda: bound.gaussian_errors("ddpm", 0.0)),
        ("scheme", lambda: bound.gaussian_errors("heun", 1.0)),
        ("g", lambda: bound.standard_normal_variance("euler_maruyama", 4.0, 3)),
        ("y", lambda: bound.interpolating_process(0.1, 0.0, 0.0, 0.0, 0.0, "proximal_hybrid")),
        ("variance", lambda: bound.mixture_lipschitz(-1.0, 1.0)),
        ("eps", lambda: bound.backward_steps(0.0, 1.0, 1, 1.0, 1.0, 1.0)),
        ("T", lambda: bound.backward_steps(1.0, -1e155, 2, 1.0, 0.0, 1.0)),
    ],
)
def test_bad_input_names_the_argument(name, call):
    with pytest.raises(ValueError, match=rf"^{name}\b"):
        call()
