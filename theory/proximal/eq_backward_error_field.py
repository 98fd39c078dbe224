"""The exact error field of the backward scheme, term by term.

Let l_t = ln p_t for the law p_t of e^{-t/2} X_0 + sqrt(1 - e^{-t}) Z, let p be the true reverse process (drift x/2 + grad
l_t, unit noise), q the interpolating process of the backward scheme with l_{k-1}, and e the field of `eq_kl_derivative`.
Suppose that

    (H1)  l_{k-1} is three times differentiable and l_t once,
    (H2)  J = 1 - s/2 - s l_{k-1}'' is positive on [0, g].

Then, on a line,

    J e  =  (J - 1) x / 2  +  (J - 1)^2 J^-1 l_t' / 2  +  (l_t' - l_{k-1}')  +  (s/2) J^-2 l_{k-1}''',

and in d dimensions with J^-1 T[J^-1] in the place of J^-2 l''', where T[M]_i = sum_jk d_ijk l M_jk.

Source: derived here; no numbered statement of Fang, Diaz, Buchanan & Sulam. Measured by SymPy for generic functions on a
line, by exact rational arithmetic in the plane, and in floats.
"""

import mpmath as mp
import numpy as np
import pytest
import sympy as sp

from exactdiffusion.statements import proximal as bound

STATEMENT = bound.backward_error_field.statement
EPS = np.finfo(np.float64).eps
x, s = sp.symbols("x s", positive=True)


def definition(log, log_t, score_at_end=True):
    """J e from the definition in the statement of the KL derivative, on a line."""
    d1, d2, d3 = (sp.diff(log, x, k) for k in (1, 2, 3))
    drift, J = bound.interpolating_process(s, x, d1, d2, d3, "proximal_backward")
    A, now = J**-2, sp.diff(log_t, x)
    return J * ((x / 2 + now) - drift - sp.diff(1 - A, x) / 2 - (1 - A) * now / 2), (now, d1, d2, d3)


# -- the theorem holds -----------------------------------------------------------------------------------------------------


def test_on_a_line(check):
    """Generic l_{k-1} and l_t: no choice of potential is involved."""
    Je, (now, d1, d2, d3) = definition(sp.Function("l")(x), sp.Function("m")(x))
    terms = bound.backward_error_field(s, x, now, d1, d2, d3)
    nonzero = float(sp.simplify(Je - sum(terms)) != 0)
    check.equal(nonzero, 0.0, tol=0, cause="exact: SymPy", on="generic functions, d = 1")


def fields(seed, mixed=True):
    """Exact (J e, four terms, idle variant) at a random rational point for random rational cubic potentials, d = 2.

    ``mixed`` False takes T[J^-2] for J^-1 T[J^-1] in the last term.
    """
    rng = np.random.default_rng(seed)
    u = sp.symbols("u0:2")
    monomials = [u[0] ** i * u[1] ** j for i in range(4) for j in range(4 - i)]

    def potential():
        return sum(sp.Rational(int(rng.integers(-5, 6)), int(rng.integers(3, 9))) * m for m in monomials)

    log, log_t = potential(), potential()
    time = sp.Rational(int(rng.integers(1, 5)), 11)
    point = {u[0]: sp.Rational(int(rng.integers(-4, 5)), 5), u[1]: sp.Rational(int(rng.integers(-4, 5)), 3)}
    X = sp.Matrix(u)
    grad, now = sp.Matrix([sp.diff(log, v) for v in u]), sp.Matrix([sp.diff(log_t, v) for v in u])
    force = (1 - time / 2) * X - time * grad
    J = force.jacobian(X)
    inverse = J.inv()
    A = inverse * inverse

    def contract(M):
        return sp.Matrix([sum(sp.diff(log, a, b, c) * M[j, k] for j, b in enumerate(u) for k, c in enumerate(u)) for a in u])

    drift = inverse * (X / 2 + grad + time / 2 * contract(A))
    # Ito: J b = -d_s F - (1/2) sum_jk A_jk d_jk F
    second = sp.Matrix([sum(sp.diff(f, b, c) * A[j, k] for j, b in enumerate(u) for k, c in enumerate(u)) for f in force])
    ito = (J * drift - (X / 2 + grad) + second / 2).subs(point)
    divergence = sp.Matrix([sum(sp.diff(A[i, j], v) for j, v in enumerate(u)) for i in range(2)])
    eye = sp.eye(2)
    e = (X / 2 + now) - drift + divergence / 2 - (eye - A) * now / 2
    last = inverse * contract(inverse) if mixed else contract(A)
    terms = [(J - eye) * X / 2, (J - eye) ** 2 * inverse * now / 2, now - grad, time / 2 * last]
    return (J * e).subs(point), [t.subs(point) for t in terms], ito, J.subs(point).det()


def test_in_the_plane(check):
    """Random rational cubics: both sides are the same rational numbers."""
    for seed in range(3):
        Je, terms, ito, determinant = fields(seed)
        on = f"d = 2, random cubics {seed}"
        check.hypothesis("J invertible", determinant != 0, on=on)
        residual = Je - sum(terms, sp.zeros(2, 1))
        check.equal([float(r) for r in residual], 0.0, tol=0, cause="exact: rational arithmetic", on=on)
        check.equal([float(r) for r in ito], 0.0, tol=0, cause="exact: rational arithmetic", on=f"drift by Ito, {on}")


@pytest.mark.deep
def test_in_the_plane_many(check):
    for seed in range(3, 15):
        Je, terms, _, _ = fields(seed)
        residual = Je - sum(terms, sp.zeros(2, 1))
        check.equal([float(r) for r in residual], 0.0, tol=0, cause="exact: rational arithmetic", on=f"d = 2, cubics {seed}")


def test_floats_of_a_mixture(check):
    """The registered function in float64 against the definition in 30 digits, l a mixture and l_t another one."""
    mixture = sum(
        w * sp.exp(-((x - c) ** 2) / sp.Rational(4, 5)) for w, c in ((sp.Rational(2, 5), -1), (sp.Rational(3, 5), 1))
    )
    noisier = sum(
        w * sp.exp(-((x - c) ** 2) / sp.Rational(6, 5)) for w, c in ((sp.Rational(2, 5), -1), (sp.Rational(3, 5), 1))
    )
    Je, inputs = definition(sp.log(mixture), sp.log(noisier))
    exact = sp.lambdify((x, s), [Je, *inputs], "mpmath", cse=True)
    found, expected, scale = [], [], []
    for at in ("-1.7", "-0.4", "0.1", "1.2"):
        for time in ("0.01", "0.15"):
            with mp.workdps(30):
                value, *numbers = exact(mp.mpf(at), mp.mpf(time))
            terms = bound.backward_error_field(float(time), float(at), *(float(n) for n in numbers))
            found.append(sum(terms))
            expected.append(float(value))
            scale.append(sum(abs(t) for t in terms) + sum(abs(float(n)) for n in numbers))
    cause = "rounding: 32 eps of the terms and inputs"
    check.equal(found, expected, tol=32 * EPS * np.array(scale), cause=cause, on="mixture, 8 points, float64")


# -- every hypothesis counts -----------------------------------------------------------------------------------------------


def test_controls(check):
    """Each term of the field, which score stands where, and what a line cannot tell."""
    Je, (now, d1, d2, d3) = definition(sp.Function("l")(x), sp.Function("m")(x))
    terms = bound.backward_error_field(s, x, now, d1, d2, d3)
    symbols = {d3: sp.Rational(7, 10), d2: sp.Rational(-3, 10), d1: sp.Rational(2, 5), now: sp.Rational(-1, 4)}

    def size(residual):
        """|residual| at one rational point."""
        return abs(float(sp.simplify(residual).subs(symbols).subs({x: sp.Rational(6, 5), s: sp.Rational(1, 5)})))

    # a field without one of its terms
    names = ("(i) drift", "(ii) square", "(iii) change of the score", "(iv) third derivative")
    for name, term in zip(names, terms):
        rest = (Je - sum(terms) + term).subs(sp.diff(d1, x, 3), 0)
        check.control(f"term {name}", size(rest), 0.0, on="generic functions, d = 1")

    # the scores of l_t and l_{k-1} exchanged
    swapped = Je - sum(bound.backward_error_field(s, x, d1, now, d2, d3))
    check.control("which score stands where (l_t and l_{k-1} swapped)", size(swapped), 0.0, on="generic, d = 1")

    # in the plane the last term is not T[J^-2]
    Je, terms, _, _ = fields(0, mixed=False)
    residual = [abs(float(r)) for r in Je - sum(terms, sp.zeros(2, 1))]
    check.control("J^-1 T[J^-1] (T[J^-2] in its place)", residual, 0.0, on="d = 2: invisible on a line")
