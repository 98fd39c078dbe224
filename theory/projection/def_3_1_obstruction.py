r"""The obstruction to Definition 3.1: next to a tie a continuous denoiser has a relative error of at least |p1 - p2| / 2D.

Let K be closed in R^n. Suppose that

    (H1)  the denoiser xhat(x, sigma) is continuous in x (for nu = 1 in both arguments),
    (H2)  x* has two nearest points p1 and p2 in K, at the distance D,
    (H3)  xhat is an (eta, nu)-approximate projection in the sense of Definition 3.1: |xhat(x, sigma) - p(x)| <= eta d(x) for
          all x with a unique projection and all sigma with d(x) / nu <= sqrt(n) sigma <= nu d(x).

Then

    eta  >=  |p1 - p2| / (2 D),

and eta >= 1 for every finite K with two points or more: take for x* the middle of a closest pair. The constant 1 is
attained as a limit, by the ideal denoiser. So the ideal denoiser of a data set never satisfies Definition 3.1 with eta <
1; Theorem 4.2 needs the inequality at the visited states only.

Source: Definition 3.1 was seen on the authors' blog and slides; the obstruction is derived here.
"""

import math
from dataclasses import dataclass

import numpy as np
import sympy as sp

from exactdiffusion import PointCloud, Subspace
from exactdiffusion.papers.projection.adversaries import ApproximateProjection
from exactdiffusion.papers.projection.curved import RevolutionTori, Stiefel, SwissRoll, worst_error
from exactdiffusion.statements import projection as bound

STATEMENT = bound.continuity_obstruction.statement
EPS = np.finfo(np.float64).eps
#: distances from the tie towards a projection, in units of D
OFFSETS = (1e-1, 1e-2, 1e-4, 1e-8)


def continuous_denoisers(law):
    """Denoisers that are continuous in x: ideal, tempered, linear, constant, identity; functions of (x, sigma)."""
    variance = np.trace(law.covariance) / law.dim
    return {
        "ideal": lambda x, s: law.noised(1.0, s).denoise(x),
        "ideal, half the noise": lambda x, s: law.noised(1.0, s / 2).denoise(x),
        "ideal, 3 times the noise": lambda x, s: law.noised(1.0, 3 * s).denoise(x),
        "linear": lambda x, s: law.mean + variance / (variance + s**2) * (x - law.mean),
        "mean": lambda x, s: np.broadcast_to(law.mean, x.shape),
        "identity": lambda x, s: x,
    }


@dataclass(frozen=True)
class NearTie:
    """What a denoiser does at ``offset`` from a tie, at the worse of its two sides."""

    reached: float  # |xhat(x_i) - p_i| + |xhat(x_i) - xhat(x*)|, at least |p1 - p2| / 2 by the triangle inequality
    error: float  # |xhat(x_i) - p_i| / d(x_i)
    modulus: float  # |xhat(x_i) - xhat(x*)| / D: small where the denoiser is continuous and the offset is small


def near_tie(denoise, tie):
    """One `NearTie` for every offset."""
    centre = denoise(tie.middle[None], tie.sigma)
    for offset in OFFSETS:
        reached, error, modulus = [], [], []
        for p in tie.sides:
            x = tie.towards(p, offset)
            estimate = denoise(x, tie.sigma)
            moved = np.linalg.norm(estimate - centre)
            reached.append(np.linalg.norm(estimate - p) + moved)
            error.append(bound.relative_error(estimate, p[None], tie.law.distance(x))[0])
            modulus.append(moved / tie.distance)
        yield NearTie(max(reached), max(error), max(modulus))


# -- the theorem holds -----------------------------------------------------------------------------------------------------


def test_the_middle_of_a_closest_pair(check, ties):
    """(H2) on the instances, and that the points beside a tie are those of which Definition 3.1 speaks; the bound is 1."""
    found = list(ties(np.random.default_rng(31), 100).values())
    two_nearest, projected, band = [], [], []
    for tie in found:
        # the two nearest points of a cloud, and no third as near
        if hasattr(tie.law, "gap"):
            d = np.sort(np.linalg.norm(tie.law.points - tie.middle, axis=1))
            third = d[2] if len(d) > 2 else np.inf
            two_nearest.append(d[1] <= d[0] + 8 * EPS * np.linalg.norm(tie.middle) < third)

        # towards p_i: its projection is p_i, and sigma = d / sqrt(n) is in the band
        for p in tie.sides:
            x = tie.towards(p, 1e-3)
            d = tie.law.distance(x)
            projected.append(np.max(np.abs(tie.law.project(x) - p)) < 1e-12)
            band.append(bound.band_ok(d, d / math.sqrt(tie.law.dim), tie.law.dim, 1.001)[0])

    on = f"{len(found)} ties"
    check.hypothesis("x* has two nearest points and no nearer third", two_nearest, on=f"{len(two_nearest)} closest pairs")
    check.hypothesis("p_i is the projection between x* and p_i", projected, on=on)
    check.hypothesis("inside the band, nu = 1.001", band, on=on)

    values = [bound.continuity_obstruction(tie.apart, tie.distance) for tie in found]
    tol = [16 * EPS * sum(np.linalg.norm(p) for p in tie.sides) / tie.apart for tie in found]
    cause = "rounding: 16 eps (|p1| + |p2|) / |p1 - p2|"
    check.equal(values, 1.0, tol=tol, cause=cause, on="the bound is 1 at these ties")


def test_holds_for_continuous_denoisers(check, ties):
    """With a modulus of continuity in place of the limit: max_i (|xhat(x_i) - p_i| + |xhat(x_i) - xhat(x*)|) >= bound D."""
    least, reached, last = [], [], []
    for tie in ties(np.random.default_rng(32), 40).values():
        smallest = bound.continuity_obstruction(tie.apart, tie.distance) * tie.distance
        for denoise in continuous_denoisers(tie.law).values():
            seen = list(near_tie(denoise, tie))
            least += [smallest] * len(seen)
            reached += [s.reached for s in seen]
            last.append(seen[-1])

    on = f"{len(least)} cases: 6 continuous denoisers near 45 ties"
    check.holds(least, reached, tol=64 * EPS * 20, cause="rounding: 64 eps |x|, |x| <= 20", on=on)

    # at the last offset, 1e-8 D, the modulus is small and eta itself is >= 1 up to it
    errors, tol = [s.error for s in last], np.array([s.modulus for s in last]) + 1e-7
    check.holds(1.0, errors, tol=tol, cause="remainder: measured modulus of continuity", on="eta at x* + 1e-8 D")


def test_multiplicity_exceeds_one(check):
    """Weights count: nine atoms at +1 and one at -1 give eta = 1.8 next to the tie, on the side of the single one."""
    law, x = PointCloud([[1.0], [-1.0]], weights=[0.9, 0.1]), np.array([[-1e-6]])
    d = law.distance(x)
    eta = bound.relative_error(law.noised(1.0, d).denoise(x), law.project(x), d)[0]
    cause = "remainder: offset 1e-6 times the slope of the denoiser"
    check.equal(eta, 1.8, tol=1e-5, cause=cause, on="nine to one, x = -1e-6")
    check.holds(1.0, eta, tol=0, cause="exact", on="nine to one", of="an example beyond 1, whose value is asserted above")


def test_limit_sympy(check):
    """The limit of the relative error next to the tie of two atoms, and the sum of the two inequalities of the proof."""
    x, s, a = sp.symbols("x sigma a", positive=True)
    weights = [sp.exp(-((x - q) ** 2) / (2 * s**2)) for q in (-a, a)]
    ideal = (a * weights[1] - a * weights[0]) / (weights[0] + weights[1])
    results = [
        sp.simplify((ideal - a * sp.tanh(a * x / s**2)).rewrite(sp.exp)) == 0,
        sp.limit((a - a * sp.tanh(a * x / s**2)) / (a - x), x, 0, "+") == 1,
        # |c - p1| + |c - p2| >= |p1 - p2|, on a line with c anywhere between
        sp.simplify((a - x) + (x + a) - 2 * a) == 0,
    ]
    on = "two atoms: E[x0|x] = a tanh(a x/s^2), limit 1"
    check.equal(np.array(results, float), 1.0, tol=0, cause="exact: SymPy", on=on)


def test_continuous_law_on_a_torus_of_revolution(check, deep):
    """A continuous law with a bottleneck, by gradient ascent over the band: the obstruction, and where it ends.

    The ideal denoiser of the uniform law has eta >= 1 as soon as the band holds the centre of the hole, whose nearest points
    are opposite at twice the reach. Below that level eta < 1 in the whole band, and falls.
    """
    nu, starts = 1.2, 48 if deep else 12
    least = bound.continuity_obstruction(2 * 0.4, 0.4)
    for n in (8, 64, 1024) if deep else (8, 1024):
        law = RevolutionTori(1.0, 0.6, n)
        errors = {}
        for level in (1.0, 0.85, 0.6, 0.3):
            errors[level] = worst_error(law, level * law.reach / math.sqrt(n), nu, starts=starts).eta
        cause, on = "remainder: the ascent stops within 1e-6 of the hole's centre", f"torus of revolution in R^{n}, ascent"
        check.holds(least, [errors[1.0], errors[0.85]], tol=1e-5, cause=cause, on=f"{on}, the centre in the band")
        of = "the band without the centre: Definition 3.1 holds with eta = .2"
        outside = [errors[0.6], errors[0.3]]
        check.holds(outside, [0.2, 0.1], tol=0, cause="exact: a stated size", on=on, of=of)


def test_continuous_laws_on_other_sets(check, deep):
    """The same for the group O(2), the rotations of R^3 (deep) and a Swiss roll, whose edges keep eta from falling.

    Half-way between a matrix and its reflection, or between two turns, the nearest points are opposite at twice the reach.
    """
    nu, n = 1.2, 64
    laws = {"O(2)": (Stiefel(2, n), 0.02), "a Swiss roll": (SwissRoll(2.0, 2, 3.0, n), 0.2)}
    if deep:
        laws["rotations"] = Stiefel(3, n), 0.05
    for name, (law, small) in laws.items():
        least = bound.continuity_obstruction(2 * law.reach, law.reach)
        errors = [
            worst_error(law, f * law.reach / math.sqrt(n), nu, starts=12).eta
            for f in ((1.0, 0.6, 0.3) if deep else (1.0, 0.6))
        ]
        cause, on = "remainder: the ascent stops within 1e-6 of the bottleneck", f"{name} in R^{n}, ascent"
        check.holds(least, errors[0], tol=1e-5, cause=cause, on=f"{on}, the bottleneck in the band")
        of = f"the band without the bottleneck: Definition 3.1 holds with eta = {small:g}"
        check.holds(errors[1:], small, tol=0, cause="exact: a stated size", on=on, of=of)


# -- it is tight -----------------------------------------------------------------------------------------------------------


def test_attained_by_the_ideal_denoiser(check, ties):
    """The relative error of the ideal denoiser tends to 1, from below for clouds: the constant 1 is the best."""
    rng = np.random.default_rng(33)
    cause = "remainder: offset 1e-8 times the slope of the ideal denoiser at the tie, below 1e4"
    for name in ("pair {0, 1}", "200 points in R^50", "digits", "centre of S^2 in R^8"):
        tie = ties(rng, 0)[name]
        errors = []
        for offset in OFFSETS:
            x = tie.towards(tie.first, 2 * offset / tie.apart)  # offsets in units of x, as sigma is
            d = tie.law.distance(x)
            estimate = tie.law.noised(1.0, d / math.sqrt(tie.law.dim)).denoise(x)
            errors.append(bound.relative_error(estimate, tie.first[None], d)[0])
        detail = "offsets 1e-1, 1e-2, 1e-4, 1e-8: " + ", ".join(f"{e:.4f}" for e in errors)
        check.tight(errors[-1], 1.0, tol=1e-4, cause=cause, on=f"ideal denoiser, {name}", detail=detail)

        # tanh in closed form: x = 1/2 + h, sigma = d = 1/2 - h
        if name == "pair {0, 1}":
            h = np.array(OFFSETS)
            exact = (0.5 - 0.5 * np.tanh(h / (2 * (0.5 - h) ** 2))) / (0.5 - h)
            check.equal(errors, exact, tol=16 * EPS / 0.4, cause="rounding", on="pair {0, 1} against tanh")


# -- every hypothesis counts -----------------------------------------------------------------------------------------------


def test_controls(check, ties):
    """The two honest ways to satisfy Definition 3.1 with eta < 1: be discontinuous (H1), or have no ties (H2)."""
    rng = np.random.default_rng(34)

    # (H1) discontinuous: p(x) + .3 d(x) u has the error .3 everywhere in the band, which is (H3)
    worst, band = [], []
    for tie in ties(rng, 20).values():
        for p in tie.sides:
            for offset in OFFSETS[:3]:
                x = tie.towards(p, offset)
                d = tie.law.distance(x)
                sigma = d / math.sqrt(tie.law.dim)
                for strategy in ("under", "over", "random", "tangential"):
                    denoiser = ApproximateProjection(tie.law, 0.3, 2.0, strategy, band_rtol=1e-9).noised(1.0, sigma)
                    worst.append(bound.relative_error(denoiser.denoise(x), tie.law.project(x), d)[0])
                    band.append(bound.band_ok(d, sigma, tie.law.dim, 2.0)[0])
    check.hypothesis("inside the band", band, on="discontinuous denoisers at the same ties")
    of = "Definition 3.1 with eta = .3, the hypothesis of the control"
    check.holds(worst, 0.3, tol=1e-9, cause="rounding: rounding next to a tie", on="discontinuous denoisers", of=of)
    check.control("continuity (p(x) + .3 d(x) u)", 1.0, max(worst), on="the same ties", tol=1e-9)

    # (H2) no ties: on a subspace the ideal denoiser of the flat measure is the projection, eta = 0
    flat = Subspace(np.linalg.qr(rng.standard_normal((12, 3)))[0])
    x = rng.standard_normal((500, 12))
    d = flat.distance(x)
    eta = bound.relative_error(flat.noised(1.0, d / math.sqrt(12)).denoise(x), flat.project(x), d)
    dropped = "two nearest points (K a subspace, flat measure: eta = 0)"
    check.control(dropped, 1.0, np.max(eta), on="500 points in R^12", tol=1e-9)
