"""Lemma 4: how close the noised law is to N(0, I) at time T.

Suppose that

    (H1)  E|X_0|^2 <= M_2,
    (H2)  T > 0, and p_T is the law of e^{-T/2} X_0 + sqrt(1 - e^{-T}) Z in R^d.

Then

    KL(p_T | N(0, I))  <=  e^{-T} M_2 / 2 + (d/2) (-e^{-T} - ln(1 - e^{-T})),

with equality for a Dirac mass.

Source: Lemma 4 of Fang, Diaz, Buchanan & Sulam, "Lemma 9 of Chen et al. 2022" (recalled as <~ (d + M_2) e^{-T}); this
form is derived here. Measured by quadrature on a line, with products for d > 1.
"""

import numpy as np
import sympy as sp

from exactdiffusion import GaussianMixture, PointCloud
from exactdiffusion.output_laws import line
from exactdiffusion.statements import proximal as bound

STATEMENT = bound.forward_convergence.statement
EPS = np.finfo(np.float64).eps
HORIZONS = (0.2, 1.0, 3.0, 6.0, 10.05)
CAUSE = "remainder: 1e-12 relative: trapezoidal sum to rounding; 1e-16 absolute"
NORMAL = GaussianMixture([1.0], [[0.0]], 1.0)


def kl_from_normal(law, T):
    """KL(p_T | N(0, 1)) on a line, to rounding."""
    here = law.noised(np.exp(-T / 2), np.sqrt(-np.expm1(-T)))
    x = np.linspace(-14, 14, 2001)
    return line.divergences(line.discretise(here, x), line.discretise(NORMAL, x)).kl


# -- the theorem holds -----------------------------------------------------------------------------------------------------


def test_holds(check, targets, deep):
    rng = np.random.default_rng(4)
    laws = {name: (law, moment) for name, (law, _, _, moment) in targets.items()}
    laws["N(2, .1)"] = GaussianMixture([1.0], [[2.0]], 0.1), 4.1
    for i in range(20 if deep else 3):
        c, w = rng.uniform(-2, 2, (3, 1)), rng.dirichlet(np.ones(3))
        laws[f"random {i}"] = GaussianMixture(w, c, 0.05), float(w @ c[:, 0] ** 2 + 0.05)
    atoms, weights = np.array([[-2.0], [0.5], [1.0]]), np.array([0.2, 0.3, 0.5])
    laws["three atoms"] = PointCloud(atoms, weights), float(weights @ atoms[:, 0] ** 2)
    for name, (law, moment) in laws.items():
        measured = np.array([kl_from_normal(law, T) for T in HORIZONS])
        larger = np.array([bound.forward_convergence(T, moment, 1) for T in HORIZONS])
        check.holds(measured, larger, tol=1e-12 * larger + 1e-16, cause=CAUSE, on=f"{name}, T = .2 .. 10")


def test_symbolic(check):
    """SymPy: KL(N(e^{-T/2} x, (1-e^-T)) | N(0,1)) is the right side; convexity gives the rest."""
    T, a = sp.symbols("T a", positive=True)
    v = 1 - sp.exp(-T)
    kl = (v + sp.exp(-T) * a**2 - 1 - sp.log(v)) / 2
    right = sp.exp(-T) * a**2 / 2 + (-sp.exp(-T) - sp.log(1 - sp.exp(-T))) / 2
    check.equal(float(sp.simplify(kl - right)), 0.0, tol=0, cause="exact: SymPy", on="Dirac mass at a")


# -- it is tight -----------------------------------------------------------------------------------------------------------


def test_tight(check):
    """A Dirac mass at x0: equality, in one dimension by quadrature and for a product in d by addition."""
    for T in HORIZONS:
        parts = [kl_from_normal(PointCloud(np.array([[a]])), T) for a in (0.0, 1.5, -2.0)]
        ratio = [parts[1] / bound.forward_convergence(T, 2.25, 1), sum(parts) / bound.forward_convergence(T, 6.25, 3)]
        # KL of size e^-T from u of size sqrt(KL), each with 64 eps
        tol = 1e-12 + 64 * EPS / np.sqrt(min(parts[1], sum(parts)))
        check.tight(
            ratio, 1.0, tol=tol, cause="rounding: 1e-12 + 64 eps / sqrt(KL)", on=f"Dirac masses, d = 1 and 3, T = {T}"
        )


def test_rate(check):
    """e^-T with M_2 > 0, e^-2T for a centred Dirac mass: both rates of the two terms."""
    T = np.array([8.0, 10.0, 12.0])
    for moment, slope in ((2.0, -1.0), (0.0, -2.0)):
        values = [np.log(bound.forward_convergence(t, moment, 5)) for t in T]
        check.rate((values[2] - values[1]) / 2, slope, within=0.01, on=f"ln of the bound against T, M_2 = {moment:g}, d = 5")


# -- every hypothesis counts -----------------------------------------------------------------------------------------------


def test_controls(check):
    """(H1) with half of the second moment, and both terms of the bound."""
    dirac = PointCloud(np.array([[1.5]]))
    measured = np.array([kl_from_normal(dirac, T) for T in HORIZONS])
    wrong = {
        "E|X_0|^2 <= M_2 (half of it)": [bound.forward_convergence(T, 1.125, 1) for T in HORIZONS],
        "e^-T (e^-2T in its place)": [bound.forward_convergence(2 * T, 2.25, 1) for T in HORIZONS],
        "the logarithmic term": 0.5 * np.exp(-np.array(HORIZONS)) * 2.25,
    }
    for dropped, larger in wrong.items():
        check.control(dropped, measured, larger, tol=1e-12 * measured, on="Dirac mass at 1.5")
