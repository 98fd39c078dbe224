"""The declared domain of a statement: what the grammar admits, what is refused at a call, and in which words."""

import math
import re
from decimal import Decimal

import numpy as np
import pytest

from exactdiffusion import statements
from exactdiffusion.statements import conditional_mean, log_concavity, projection, proximal
from exactdiffusion.statements import log_concavity_thresholds as thresholds
from exactdiffusion.statements._domain import Domain
from exactdiffusion.statements._statement import guarded

NAMES = ("eta", "nu", "N", "a")


def check(text, defaults=None, **arguments):
    return Domain(text, tuple(arguments)).check(arguments, defaults or {})


def test_limits_of_a_declaration():
    domain = Domain("0 <= eta < 1, nu >= 1, N integer >= 1, a number, eta != 0.5, N <= 2 * nu", NAMES)
    found = [(limit.subject, limit.comparison, limit.value) for limit in domain.limits]
    assert found == [
        ("eta", ">=", "0"),
        ("eta", "<", "1"),
        ("nu", ">=", "1"),
        ("N", ">=", "1"),
        ("eta", "!=", "0.5"),
        ("N", "<=", "2 * nu"),
    ]
    assert domain.kinds == {"N": "integer", "a": "number"}
    assert [limit.others for limit in domain.limits][-1] == ("nu",)
    assert [(limit.comparison, limit.value) for limit in Domain("1 > eta", NAMES).limits] == [("<", "1")]


@pytest.mark.parametrize(
    "text",
    ["eta", "0 < 1", "0 < 1 < 2", "x > 0", "eta > x", "eta >", "eta in [0, 1)", "eta + 1 > 0", "eta > max(nu)", "x integer",
     "eta == 1", "0 < eta < nu < 1", "eta > nu.real", "eta > __import__('os')"],
)  # fmt: skip
def test_declarations_that_are_refused(text):
    with pytest.raises(ValueError, match=r"^domain: got "):
        Domain(text, NAMES)


@pytest.mark.parametrize(
    ("text", "arguments", "message"),
    [
        ("0 <= a < 1", {"a": 1.0}, "a: got 1.0; expected 0 <= a < 1"),
        (
            "0 <= a < 1",
            {"a": np.array([0.5, -0.25])},
            "a (entry 1 is -0.25): got array([ 0.5 , -0.25]); expected 0 <= a < 1",
        ),
        ("a > 0", {"a": np.array([[1.0, 2.0], [3.0, 0.0]])}, "a (entry (1, 1) is 0.0): got "),
        ("0 < h <= 2 / (a + L)", {"a": 1.0, "L": 3.0, "h": 0.6}, "expected 0 < h <= 2 / (a + L), where 2 / (a + L) = 0.5"),
        ("b <= a", {"a": np.array([1.0, 2.0]), "b": np.array([1.0, 2.5])}, "b (entry 1 is 2.5): got "),
        ("b <= a", {"a": np.array([1.0, 2.0]), "b": 1.5}, "b: got 1.5; expected b <= a"),
        ("N integer >= 1", {"N": 0}, "N: got 0; expected N >= 1"),
        ("N integer >= 1", {"N": 2.0}, "N: got 2.0; expected an integer"),
        ("a number > 0", {"a": math.inf}, "a: got inf; expected a finite number"),
        ("a number", {"a": np.array([1.0, 2.0])}, "a: got array([1., 2.]); expected a finite number"),
        ("a whole >= 1", {"a": 2.5}, "a: got 2.5; expected a whole number"),
        ("a whole >= 1", {"a": math.inf}, "a: got inf; expected a whole number"),
        ("a whole >= 1", {"a": 0.0}, "a: got 0.0; expected a >= 1"),
        (
            "a whole",
            {"a": np.array([1.0, 1.5])},
            "a (entry 1 is 1.5): got array([1. , 1.5]); expected a whole number in every",
        ),
        (
            "a weights",
            {"a": np.array([2.0, 2.0])},
            "a (sum 4.0): got array([2., 2.]); expected weights that are not negative",
        ),
        ("a weights", {"a": np.array([[0.5, 0.5], [0.5, 0.25]])}, "a (sum 0.75): got "),
        ("a weights", {"a": np.array([1.5, -0.5])}, "a: got array([ 1.5, -0.5]); expected weights that are not negative"),
        ("a weights", {"a": 1.0}, "a: got 1.0; expected weights"),
        (
            "a <= 1 / (b + c)",
            {"a": 0.1, "b": Decimal(1), "c": 1.0},
            "a: got 0.1; expected a <= 1 / (b + c), with numbers of one",
        ),
        ("a <= b**2", {"a": 1.0, "b": 1e200}, "a: got 1.0; expected a <= b**2, where b ** 2 is in the range of floats"),
    ],
)
def test_what_is_refused(text, arguments, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        check(text, **arguments)


def test_what_is_taken():
    assert check("0 <= a < 1", a=0.0) == {"a": 0.0}
    assert check("N integer >= 1", N=np.int64(3)) == {"N": 3}
    assert check("a number", a=np.array(0.5)) == {"a": 0.5}
    assert check("a > 0, b <= a", {"b": None}, a=1.0, b=None)["b"] is None, "an optional argument that is absent"
    assert check("b <= a", {"a": None}, a=None, b=7.0)["b"] == 7.0, "a limit that hangs on it"
    assert check("a whole >= 0, b whole", a=3.0, b=np.array([0.0, 7.0]))["a"] == 3.0
    thirds = np.full((2, 3), 1 / 3)
    assert check("a weights", a=thirds)["a"] is thirds, "a sum that is 1 up to rounding"
    assert check("a weights", {"a": None}, a=None)["a"] is None
    fits = {"a": np.ones(3), "b": np.ones(2)}
    assert check("b <= a", **fits) == fits, "shapes are the business of the formula"
    sympy = pytest.importorskip("sympy")
    symbol = sympy.Symbol("a")
    assert check("a > 0", a=symbol)["a"] is symbol, "a symbol may be anything"
    assert check("a whole", a=symbol)["a"] is symbol
    with pytest.raises(ValueError, match=r"^a: got "):
        check("a > 0", a=sympy.Rational(-1, 3))


def test_arrays_of_other_namespaces_are_checked_where_they_are():
    strict = pytest.importorskip("array_api_strict")
    inside = strict.asarray([0.25, 0.5])
    assert check("0 <= a < 1", a=inside)["a"] is inside
    with pytest.raises(ValueError, match=r"^a \(entry 1 is 1.5\): got "):
        check("0 <= a < 1", a=strict.asarray([0.25, 1.5]))


def test_a_formula_without_its_domain():
    """For controls, which evaluate a bound where a hypothesis is dropped."""
    half = guarded(lambda a: a / 2, domain="a > 0")
    assert half(3.0) == half.formula(3.0) == 1.5
    assert half.formula(-3.0) == -1.5
    with pytest.raises(ValueError, match=r"^a: got -3.0; expected a > 0$"):
        half(-3.0)


@pytest.mark.parametrize(
    "nan", [Decimal("nan"), Decimal("snan"), [Decimal("nan"), Decimal(1)], math.nan, np.array([math.nan])]
)
def test_nan_of_every_kind_of_number_is_refused(nan):
    with pytest.raises(ValueError, match=r"^distance: got .*; expected numbers; NaN is none$"):
        projection.one_step_distance(nan, 0.5, 0.1)


OUTSIDE = {
    "sigma, which increases": ("sigma", lambda: projection.exact_projection_path([[1.0]], [[0.0]], [1.0, 2.0, 0.5])),
    "sigma, which increases, on a subspace": ("sigma", lambda: projection.ddpm_subspace_distance([1.0, 2.0, 3.0], 3)),
    "sigma, 0 before its end": ("sigma", lambda: projection.exact_projection_path([[1.0]], [[0.0]], [1.0, 0.0, 0.0])),
    "separation above the triangle": ("separation", lambda: projection.continuity_obstruction(2.1, 1.0)),
    "L below a": ("L", lambda: log_concavity.ula_log_sobolev(3, 0.05, 100.0, 1.0, 2, 1.0)),
    "mass above 1": ("mass", lambda: thresholds.tunnelling_leak(1.0, 5.0, 0.0, 1.0)),
    "slack above the mass": ("slack", lambda: thresholds.tunnelling_leak(1.0, 0.5, 0.6, 1.0)),
    "unit 0": ("unit", lambda: thresholds.splitting_map(1.0, 1.0, lambda y: -y, 0, 0.1, 0.1, 0.3)),
    "weights with the sum 4": ("weights", lambda: log_concavity.discrete_prior_mmse([[0.0], [1.0]], [2.0, 2.0], 1, 1.0)),
    "atoms without noise": ("t", lambda: proximal.mixture_lipschitz(0.0, 1.0, 0.0)),
    "half a step": ("k", lambda: log_concavity.ula_strongly_log_concave(2.5, 0.1, 1.0, 2.0, 1, 1.0)),
    "half a dimension": ("dim", lambda: log_concavity.ula_strongly_log_concave(2, 0.1, 1.0, 2.0, 1.5, 1.0)),
}


@pytest.mark.parametrize("case", OUTSIDE)
def test_arguments_outside_the_hypotheses(case):
    name, call = OUTSIDE[case]
    with pytest.raises(ValueError, match=rf"^{name}( \(|:)"):
        call()


def test_the_ends_of_hypotheses_that_are_not_strict():
    """A step of length 0, an observation without noise, a law of one point."""
    assert conditional_mean.step_slope_lower(0.5, 0.5) == conditional_mean.mean_step(1.0, 1.0, 0.5, 0.5) == 1.0
    assert conditional_mean.ddim_as_denoiser(0.0, 1.0) == conditional_mean.ddim_as_denoiser(1.0, 0.0) == 0.0
    assert (conditional_mean.generation_collapse(0.0, 1.0), conditional_mean.generation_collapse(1.0, 0.0)) == (1.0, 0.0)
    assert conditional_mean.snr_mismatch(2.0, 0.25, 0.0, 1.0, 1.0) == 0.25
    y = np.array([[1.0, 2.0]])
    assert np.array_equal(conditional_mean.gaussian_chain(y, np.zeros(2), np.ones(2), np.eye(2), 0.0), y)
    assert log_concavity.linear_estimator_mmse([[1.0]], 1, 0.0) == thresholds.gaussian_jump_w2(2, 0.0, [1.0, 2.0]) == 0.0


def test_most_statements_declare_a_domain():
    """The others take vectors and matrices of any sign, or words."""
    assert sum(bool(s.domain) for s in statements.all_statements()) >= 124


def test_rounding_of_a_computed_limit_is_allowed_for():
    """``sigma2 = R^2 - tau2`` holds or not by the last bit of R^2: both neighbours are inside, a real difference is not."""
    domain = Domain("sigma2 >= R**2 - tau2, 0 < h <= 2 / (a + L), eta <= 1", ["sigma2", "R", "tau2", "h", "a", "L", "eta"])
    given = {"R": math.sqrt(27.0), "tau2": 1.0, "h": 0.2, "a": 3.0, "L": 7.0, "eta": 1.0}
    for sigma2 in (26.0, math.nextafter(26.0, 0.0), np.array([26.0, math.nextafter(26.0, 0.0)])):
        for R in (given["R"], math.nextafter(given["R"], 9.0)):
            domain.check({**given, "sigma2": sigma2, "R": R, "h": math.nextafter(0.2, 1.0)}, {})
    with pytest.raises(ValueError, match=r"^sigma2"):
        domain.check({**given, "sigma2": 26.0 * (1 - 1e-12)}, {})
    with pytest.raises(ValueError, match=r"^sigma2 \(entry 1"):
        domain.check({**given, "sigma2": np.array([26.0, 26.0 * (1 - 1e-12)])}, {})
    with pytest.raises(ValueError, match=r"^eta"):  # a number that nobody computed is taken as it is
        domain.check({**given, "sigma2": 26.0, "eta": math.nextafter(1.0, 2.0)}, {})
