"""Definition 3.1 and its obstruction: near the middle of a closest pair every continuous denoiser has an error >= 1."""

import math
from functools import cache

import numpy as np
import sympy as sp

from exactdiffusion import PointCloud, Sphere, Subspace, Torus, datasets
from exactdiffusion.papers.projection.adversaries import ApproximateProjection
from exactdiffusion.statements import projection as bound

STATEMENT = bound.continuity_obstruction.statement
EPS = np.finfo(np.float64).eps
OFFSETS = (1e-1, 1e-2, 1e-4, 1e-8)


@cache
def digits_and_pair():
    return datasets.digits(), *closest_pair(datasets.digits())


def closest_pair(points):
    """(p1, p2) nearest to each other: 32 candidates by expanded squares, the winner by exact differences."""
    squares = np.sum(points**2, axis=1)
    i, j = np.triu_indices(len(points), 1)
    table = (squares[:, None] + squares[None, :] - 2 * points @ points.T)[i, j]
    order = np.argpartition(table, min(31, len(table) - 1))[:32]
    i, j = i[order], j[order]
    best = np.argmin(np.sum((points[i] - points[j]) ** 2, axis=1))
    return points[i[best]], points[j[best]]


def ties(rng, clouds):
    """Name -> (closed set, tie x*, its two projections): closest pairs of clouds, centres of spheres and circles."""
    out = {}
    families = {
        "pair {0, 1}": np.array([[0.0], [1.0]]),
        "200 points in R^50": rng.standard_normal((200, 50)),
    }
    for i in range(clouds):
        families[f"cloud {i}"] = rng.standard_normal((int(rng.integers(2, 40)), int(rng.integers(1, 12))))
    for name, points in families.items():
        p1, p2 = closest_pair(points)
        out[name] = (PointCloud(points), (p1 + p2) / 2, p1, p2)
    points, p1, p2 = digits_and_pair()
    out["digits"] = (PointCloud(points), (p1 + p2) / 2, p1, p2)
    sphere, torus = Sphere(radius=1.5, dim=8, sphere_dim=3), Torus(radii=(1.0, 0.6), dim=6)
    pole = np.eye(8)[1] * 1.5
    out["centre of S^2 in R^8"] = (sphere, np.zeros(8), pole, -pole)
    base, shift = np.array([1.0, 0, 0, 0, 0, 0]), 0.6 * np.eye(6)[3]
    out["a circle's centre, T^2 in R^6"] = (torus, base, base + shift, base - shift)
    return out


def denoisers(law):
    """Continuous denoisers: x -> estimate at noise level sigma. Ideal, tempered, linear, constant, identity."""
    yield "ideal", lambda x, s: law.noised(1.0, s).denoise(x)
    yield "ideal, half the noise", lambda x, s: law.noised(1.0, s / 2).denoise(x)
    yield "ideal, 3 times the noise", lambda x, s: law.noised(1.0, 3 * s).denoise(x)
    variance = np.trace(law.covariance) / law.dim
    yield "linear", lambda x, s: law.mean + variance / (variance + s**2) * (x - law.mean)
    yield "mean", lambda x, s: np.broadcast_to(law.mean, x.shape)
    yield "identity", lambda x, s: x


def near(law, tie, p, offset):
    """The point at ``offset`` times D from the tie towards its projection p, and its distance to the set."""
    x = tie + offset * (p - tie)
    return x[None], law.distance(x[None])


def test_the_middle_of_a_closest_pair(check):
    rng = np.random.default_rng(31)
    values, sizes, two_nearest, constant, band = [], [], [], [], []
    for law, tie, p1, p2 in ties(rng, 100).values():
        D = law.distance(tie[None])
        values.append(bound.continuity_obstruction(np.linalg.norm(p1 - p2), D)[0])
        sizes.append(16 * EPS * (np.linalg.norm(p1) + np.linalg.norm(p2)) / np.linalg.norm(p1 - p2))
        if hasattr(law, "gap"):
            d = np.sort(np.linalg.norm(law.points - tie, axis=1))
            third = d[2] if len(d) > 2 else np.inf
            two_nearest.append(d[1] <= d[0] + 8 * EPS * np.linalg.norm(tie) < third)
        for p in (p1, p2):
            x, d = near(law, tie, p, 1e-3)
            constant.append(np.max(np.abs(law.project(x) - p)) < 1e-12)
            band.append(bound.band_ok(d, d / math.sqrt(law.dim), law.dim, 1.001)[0])
    on = f"{len(values)} ties"
    check.hypothesis("x* has two nearest points and no nearer third", two_nearest, on=f"{len(two_nearest)} closest pairs")
    check.hypothesis("p_i is the projection between x* and p_i", constant, on=on)
    check.hypothesis("inside the band, nu = 1.001", band, on=on)
    check.equal(
        np.array(values),
        1.0,
        tol=np.array(sizes),
        cause="rounding: 16 eps (|p1| + |p2|) / |p1 - p2|",
        on="the bound is 1 at these ties",
    )


def test_holds_for_continuous_denoisers(check):
    """With a modulus of continuity in place of the limit: max_i (|xhat(x_i) - p_i| + |xhat(x_i) - xhat(x*)|) >= bound D."""
    rng = np.random.default_rng(32)
    small, large, errors, moduli = [], [], [], []
    for law, tie, p1, p2 in ties(rng, 40).values():
        D = law.distance(tie[None])[0]
        least = bound.continuity_obstruction(np.linalg.norm(p1 - p2), D)
        sigma = D / math.sqrt(law.dim)
        for _, denoise in denoisers(law):
            centre = denoise(tie[None], sigma)
            for offset in OFFSETS:
                reached, relative, modulus = [], [], []
                for p in (p1, p2):
                    x, d = near(law, tie, p, offset)
                    estimate = denoise(x, sigma)
                    step = np.linalg.norm(estimate - centre)
                    reached.append(np.linalg.norm(estimate - p) + step)
                    relative.append(bound.relative_error(estimate, p[None], d)[0])
                    modulus.append(step / D)
                small.append(least * D)
                large.append(max(reached))
            errors.append(max(relative))
            moduli.append(max(modulus))
    scale = 64 * EPS * 20
    cause = "rounding: 64 eps |x|, |x| <= 20"
    check.holds(small, large, tol=scale, cause=cause, on=f"{len(small)} cases: 6 continuous denoisers near 45 ties")
    # at the last offset, 1e-8 D, the modulus is small and eta itself is >= 1 up to it
    check.holds(
        1.0, errors, tol=np.array(moduli) + 1e-7, cause="remainder: measured modulus of continuity", on="eta at x* + 1e-8 D"
    )


def test_attained_by_the_ideal_denoiser(check):
    """The relative error of the ideal denoiser tends to 1, from below for clouds: the constant 1 is the best."""
    rng = np.random.default_rng(33)
    for name in ("pair {0, 1}", "200 points in R^50", "digits", "centre of S^2 in R^8"):
        law, tie, p1, p2 = ties(rng, 0)[name]
        errors = []
        for offset in OFFSETS:
            x, d = near(law, tie, p1, 2 * offset / np.linalg.norm(p1 - p2))  # offsets in units of x, as sigma is
            sigma = d / math.sqrt(law.dim)
            errors.append(bound.relative_error(law.noised(1.0, sigma).denoise(x), p1[None], d)[0])
        detail = "offsets 1e-1, 1e-2, 1e-4, 1e-8: " + ", ".join(f"{e:.4f}" for e in errors)
        check.tight(
            errors[-1],
            1.0,
            tol=1e-4,
            cause="remainder: offset 1e-8 times the slope of the ideal denoiser at the tie, below 1e4",
            on=f"ideal denoiser, {name}",
            detail=detail,
        )
        if name == "pair {0, 1}":
            # tanh in closed form: x = 1/2 + h, sigma = d = 1/2 - h
            h = np.array(OFFSETS)
            exact = (0.5 - 0.5 * np.tanh(h / (2 * (0.5 - h) ** 2))) / (0.5 - h)
            check.equal(errors, exact, tol=16 * EPS / 0.4, cause="rounding", on="pair {0, 1} against tanh")


def test_multiplicity_exceeds_one(check):
    """Weights count: nine atoms at +1 and one at -1 give eta = 1.8 next to the tie, on the side of the single one."""
    law = PointCloud(np.array([[1.0], [-1.0]]), weights=[0.9, 0.1])
    x = np.array([[-1e-6]])
    d = law.distance(x)
    eta = bound.relative_error(law.noised(1.0, d).denoise(x), law.project(x), d)[0]
    check.equal(
        eta, 1.8, tol=1e-5, cause="remainder: offset 1e-6 times the slope of the denoiser", on="nine to one, x = -1e-6"
    )
    check.holds(1.0, eta, tol=0, cause="exact", on="nine to one", of="an example beyond 1, whose value is asserted above")


def test_limit_sympy(check):
    x, s, a = sp.symbols("x sigma a", positive=True)
    weights = [sp.exp(-((x - q) ** 2) / (2 * s**2)) for q in (-a, a)]
    ideal = (a * weights[1] - a * weights[0]) / (weights[0] + weights[1])
    results = [
        sp.simplify((ideal - a * sp.tanh(a * x / s**2)).rewrite(sp.exp)) == 0,
        sp.limit((a - a * sp.tanh(a * x / s**2)) / (a - x), x, 0, "+") == 1,
    ]
    # the two inequalities add up: |c - p1| + |c - p2| >= |p1 - p2|, on a line with c anywhere between
    results.append(sp.simplify((a - x) + (x + a) - 2 * a) == 0)
    check.equal(
        np.array(results, float), 1.0, tol=0, cause="exact: SymPy", on="two atoms: E[x0|x] = a tanh(a x/s^2), limit 1"
    )


def test_controls(check):
    """The two honest ways to satisfy Definition 3.1 with eta < 1: be discontinuous, or let K be convex."""
    rng = np.random.default_rng(34)
    worst, band = [], []
    for law, tie, p1, p2 in ties(rng, 20).values():
        for p in (p1, p2):
            for offset in OFFSETS[:3]:
                x, d = near(law, tie, p, offset)
                for strategy in ("under", "over", "random", "tangential"):
                    sigma = d / math.sqrt(law.dim)
                    oracle = ApproximateProjection(law, 0.3, 2.0, strategy, band_rtol=1e-9)
                    worst.append(bound.relative_error(oracle.noised(1.0, sigma).denoise(x), law.project(x), d)[0])
                    band.append(bound.band_ok(d, sigma, law.dim, 2.0)[0])
    check.hypothesis("inside the band", band, on="discontinuous denoisers at the same ties")
    of = "Definition 3.1 with eta = .3, the hypothesis of the control"
    check.holds(worst, 0.3, tol=1e-9, cause="rounding: rounding next to a tie", on="discontinuous denoisers", of=of)
    check.control("continuity (p(x) + .3 d(x) u)", 1.0, max(worst), on="the same ties", tol=1e-9)
    flat = Subspace(np.linalg.qr(rng.standard_normal((12, 3)))[0])
    x = rng.standard_normal((500, 12))
    d = flat.distance(x)
    eta = bound.relative_error(flat.noised(1.0, d / math.sqrt(12)).denoise(x), flat.project(x), d)
    check.control(
        "two nearest points (K a subspace, flat measure: eta = 0)", 1.0, np.max(eta), on="500 points in R^12", tol=1e-9
    )
