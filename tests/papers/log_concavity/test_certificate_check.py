"""The independent checker of log-concavity certificates accepts those of the certifier and refutes every damaged one."""

import dataclasses
from types import SimpleNamespace

import numpy as np
import pytest

from exactdiffusion import PointCloud
from exactdiffusion.papers.log_concavity.certificates import (
    certify_log_concavity,
    largest_posterior_variance,
    log_concavity_threshold,
)

pytest.importorskip("flint", reason="ball arithmetic needs python-flint: pip install 'exactdiffusion[rigorous]'")

from exactdiffusion.papers.log_concavity.certificate_check import _beyond, _cover, refutation

SQUARE = np.array([[1.0, 1], [1, -1], [-1, 1], [-1, -1]])
PLANE = certify_log_concavity(PointCloud(SQUARE, [0.45, 0.05, 0.05, 0.45]), 2.2, keep_leaves=True)
LINE = certify_log_concavity(PointCloud([[-1.0], [0.2], [1.0]]), 0.5, keep_leaves=True)


def _reason(certificate):
    return str(refutation(certificate))


def _with(certificate, centres, halves):
    return dataclasses.replace(certificate, leaves=(np.asarray(centres), np.asarray(halves)))


def _without(certificate, keep):
    return _with(certificate, *(a[keep] for a in certificate.leaves))


def test_real_certificates_are_accepted_and_claims_beyond_the_truth_are_not():
    """Random clouds. The false claims keep the cover; the supremum is a value at a point, hence none below it is true."""
    rng = np.random.default_rng(0)
    for trial in range(16):
        K, r = int(rng.integers(2, 7)), 1 + trial % 2
        P, w = rng.standard_normal((K, r)), rng.dirichlet(np.full(K, 2.0))
        longest = np.max(np.sum((P[:, np.newaxis] - P) ** 2, axis=2))
        proof = certify_log_concavity(PointCloud(P, w), 0.28 * longest, keep_leaves=True)  # 1/4 is enough for all clouds
        assert proof.status is True
        assert refutation(proof) is None
        # the atoms as stored are those of the law, up to a motion and their order
        gaps = [np.sort(np.sum((Q[:, np.newaxis] - Q) ** 2, axis=2), axis=None) for Q in (P, proof.points)]
        np.testing.assert_allclose(gaps[0], gaps[1], rtol=0, atol=1e-13 * gaps[0][-1])
        np.testing.assert_allclose(np.sort(proof.weights), np.sort(w), rtol=0, atol=1e-15)
        y = proof.leaves[0][rng.integers(len(proof.leaves[0]), size=500)]
        top = np.max(largest_posterior_variance(PointCloud(proof.points, proof.weights), y, proof.variance))
        assert "above the claim" in _reason(dataclasses.replace(proof, bound=0.999 * top))


@pytest.mark.parametrize("K", [6, 24])
def test_certificates_just_above_the_threshold_are_accepted(K):
    """Large radii, weights down to 1e-70 and thousands of cells: two per mille above the lower end of a random cloud."""
    rng = np.random.default_rng([7, K])
    law = PointCloud(rng.standard_normal((K, 2)), rng.dirichlet(np.ones(K)))
    proof = certify_log_concavity(law, log_concavity_threshold(law).upper, keep_leaves=True)
    assert proof.status is True
    assert refutation(proof) is None


@pytest.mark.parametrize("proof", [PLANE, LINE], ids=["plane", "line"])
def test_every_damage_to_the_cover_is_refuted(proof):
    assert proof.recheck()
    centres, halves = proof.leaves
    r, n = centres.shape[1], len(halves)
    assert "no leaf covers" in _reason(_without(proof, []))
    assert not _without(proof, []).recheck()
    inside = np.flatnonzero(np.linalg.norm(centres, axis=1) < 0.9 * proof.radius)
    for k in np.random.default_rng(1).choice(inside, 6):
        assert "no leaf covers" in _reason(_without(proof, np.arange(n) != k))
        corner = np.ones(r) / 2
        # the same once more, a child of it, and a larger one: its parent, or none of the tree
        for place, half in ((0 * corner, 1.0), (corner, 0.5), (corner, 2.0)):
            more = _with(proof, [*centres, centres[k] + place * halves[k]], [*halves, half * halves[k]])
            assert any(text in _reason(more) for text in ("lie in others", "no cell of"))
        for move in (0.01, 0.5, 1.0, 2.0):
            moved = centres + np.where(np.arange(n) == k, move * halves, 0.0)[:, np.newaxis]
            assert any(t in _reason(_with(proof, moved, halves)) for t in ("no cell of", "no leaf covers"))
        assert "no cell of" in _reason(_with(proof, centres, np.where(np.arange(n) == k, halves / 2, halves)))
    assert refutation(dataclasses.replace(proof, radius=proof.radius / 2))
    # a larger disc needs more cells on a line; in the plane the sectors hold there, from their own radii on
    assert (refutation(dataclasses.replace(proof, radius=2 * proof.radius)) is None) == (r == 2)


def test_cells_at_the_rim_are_needed_and_those_outside_the_disc_are_not():
    centres, halves = PLANE.leaves
    far = np.linalg.norm(centres, axis=1) > PLANE.radius
    near = np.linalg.norm(np.maximum(np.abs(centres) - halves[:, np.newaxis], 0), axis=1) < PLANE.radius
    assert (far & near).any()
    assert "no leaf covers" in _reason(_without(PLANE, ~far))  # cells whose centre is outside, but not all of the cell
    corner = PLANE.radius * 15 / 16 * SQUARE
    assert np.linalg.norm(corner[0]) - 2**0.5 * PLANE.radius / 16 > PLANE.radius
    assert refutation(_with(PLANE, [*centres, *corner], [*halves, *[PLANE.radius / 16] * 4])) is None
    for k in np.flatnonzero(far & near)[::5]:
        assert "no leaf covers" in _reason(_without(PLANE, np.arange(len(far)) != k))


def test_cover_of_small_trees_against_counting_of_points():
    """Random sets of cells of three levels, partitions among them, by the points that they contain."""
    rng = np.random.default_rng(2)
    for r in (1, 2):
        cells = [(k, i) for k in range(3) for i in np.ndindex(*[2**k] * r)]
        grid = np.stack(np.meshgrid(*[np.arange(4) + 0.5] * r, indexing="ij"), axis=-1).reshape(-1, r)
        # the disc meets every cell of the finest level: corners of the square are nearest at 1/2 sqrt(2) of the radius
        for _ in range(300):
            if rng.random() < 0.5:  # a true partition, perhaps with one cell more or less
                chosen = [(0, (0,) * r)]
                for _ in range(rng.integers(4)):
                    k, i = chosen.pop(rng.integers(len(chosen)))
                    chosen += [(k, i)] if k == 2 else [(k + 1, tuple(2 * np.array(i) + s)) for s in np.ndindex(*[2] * r)]
                chosen = chosen[rng.integers(2) :] + [cells[j] for j in rng.integers(len(cells), size=rng.integers(2))]
            else:
                chosen = [cells[j] for j in rng.integers(len(cells), size=rng.integers(1, 6))]
            chosen = [(k, tuple(int(a) for a in i)) for k, i in chosen]
            hits = sum(np.all(np.floor(grid / 2 ** (2 - k)) == i, axis=1) for k, i in chosen) if chosen else 0 * grid[:, 0]
            assert (_cover(chosen, r) is None) == bool(np.all(hits == 1)), chosen


def _record(P, w, v, R, centres, halves, tails=()):
    """What the checker reads of a certificate, without a bound."""
    common = {"points": np.asarray(P, dtype=float), "weights": w, "variance": v, "radius": R, "tails": tails}
    return lambda bound: SimpleNamespace(bound=bound, leaves=(np.asarray(centres), np.asarray(halves)), **common)


def _turns(record, value, text):
    """The bound at which the checker's reason changes: refuted for ``text`` just below ``value``, otherwise just above."""
    assert text in _reason(record(value * (1 - 1e-12)))
    assert text not in _reason(record(value * (1 + 1e-12)))


@pytest.mark.parametrize("side", [1.0, -1.0])
def test_bound_of_a_leaf_and_of_the_tail_on_a_line(side):
    """Of the two directions that of ``side`` decides."""
    P, w, v, R = side * np.array([[-1.0], [0.5], [2.0]]), np.array([0.2, 0.5, 0.3]), 3.0, 0.6
    p = w * np.exp(-(P[:, 0] ** 2) / (2 * v))
    p /= p.sum()
    m = p @ P[:, 0]
    leaf = max(p @ ((P[:, 0] - m) ** 2 * np.exp((P[:, 0] - m) * s / v)) for s in (R, -R))
    _turns(_record(P, w, v, R, [[0.0]], [R]), leaf, "leaf")
    tail = 0.0
    for y, top in ((side * R, 2), (-side * R, 0)):
        p = w * np.exp(-((y - P[:, 0]) ** 2) / (2 * v))
        tail = max(tail, p @ (P[:, 0] - P[top, 0]) ** 2 / p[top])
    assert tail > leaf
    _turns(_record(P, w, v, R, [[0.0]], [R]), tail, "sector")


def test_bound_of_a_leaf_and_of_the_sectors_in_the_plane():
    rng = np.random.default_rng(3)
    P, w, v, R = SQUARE + 0.1 * rng.standard_normal((4, 2)), rng.dirichlet(np.full(4, 9.0)), 8.0, 1.0
    p = w * np.exp(-np.sum(P**2, axis=1) / (2 * v))
    p /= p.sum()
    Z = P - p @ P
    tilted = [p * np.exp(Z @ np.array(s) * R / v) for s in ((1, 1), (1, -1), (-1, 1), (-1, -1))]
    leaf = max(np.linalg.eigvalsh((Z * q[:, np.newaxis]).T @ Z)[-1] for q in tilted)
    right, left, up, down = ([k for k in range(4) if P[k] @ u > 0] for u in ((1, 0), (-1, 0), (0, 1), (0, -1)))
    near = np.pi / 4 * np.arange(8)
    clusters = (right, None, up, None, left, None, down, None)
    corner = {1: (1, 1), 3: (-1, 1), 5: (-1, -1), 7: (1, -1)}
    everything, record = (0, 1, 2, 3), None
    for j, (alpha, C) in enumerate(zip(near, clusters)):
        C = C or [k for k in range(4) if np.all(P[k] * corner[j] > 0)]
        t = np.linspace(alpha - np.pi / 8, alpha + np.pi / 8, 2001)
        y = R * np.stack([np.cos(t), np.sin(t)], axis=1)
        values = []
        for base in C:  # the checker takes the heaviest of C in the middle of the sector
            ratio = w / w[base] * np.exp((np.sum(P[base] ** 2) - np.sum(P**2, axis=1)) / (2 * v) + y @ (P - P[base]).T / v)
            values.append((ratio[1000].sum(), ratio.max(axis=0)))
        ratio = min(values, key=lambda a: a[0])[1]
        far = np.max(np.sum((P[:, np.newaxis] - P[C]) ** 2, axis=2), axis=1)
        outside = [k for k in range(4) if k not in C]
        expected = np.max(far[C]) / 4 + ratio[outside] @ far[outside]
        # the other sectors leave out no atom: a quarter of the squared diameter
        tails = [(a, np.pi / 8, tuple(C) if i == j else everything, R) for i, a in enumerate(near)]
        record = _record(P, w, v, R, [[0.0, 0.0]], [R], tuple(tails))
        assert expected > max(leaf, 2.5)
        assert refutation(record(expected * (1 + 1e-9))) is None  # the sectors are examined 1e-12 wider
        assert "sector" in _reason(record(expected * (1 - 1e-9)))
    _turns(record, leaf, "leaf")
    whole = _record(P, w, v, R, [[0.0, 0.0]], [R], tuple((a, np.pi / 8, everything, R) for a in near))
    D2 = max(np.sum((p - q) ** 2) for p in P for q in P)
    assert leaf < D2 / 4
    _turns(whole, D2 / 4, "sector")


def test_every_leaf_is_bounded_wherever_it_stands_in_the_list():
    """Four children replaced by their parent, which the certifier had to split: refuted at the front and at the end."""
    centres, halves = PLANE.leaves
    refuted = 0
    for k in np.flatnonzero(halves == halves.min())[::4]:
        # the centre of the parent: at an odd multiple of twice the half width
        unit = 2 * halves[k]
        parent = (2 * np.floor((centres[k] + PLANE.radius) / (2 * unit)) + 1) * unit - PLANE.radius
        inside = np.all(np.abs(centres - parent) < unit, axis=1)
        if inside.sum() < 4:  # the other children lie beyond the rim
            continue
        reasons = []
        for order in (slice(None), slice(None, None, -1)):
            more = np.concatenate([[parent], centres[~inside]])[order], np.concatenate([[unit], halves[~inside]])[order]
            reasons.append(_reason(_with(PLANE, *more)))
        assert reasons[0] == reasons[1]
        refuted += "leaf" in reasons[0]
    assert refuted >= 4


def test_sectors_must_cover_the_circle_and_name_what_does_not_fade():
    assert PLANE.tails
    for k in range(0, len(PLANE.tails), 4):
        assert "no sector covers" in _reason(dataclasses.replace(PLANE, tails=PLANE.tails[:k] + PLANE.tails[k + 1 :]))
    narrow = [(a, h * (1 - 1e-9), C, radius) for a, h, C, radius in PLANE.tails]
    assert "no sector covers" in _reason(dataclasses.replace(PLANE, tails=tuple(narrow)))
    assert refutation(dataclasses.replace(PLANE, tails=()))
    reasons = []
    for k, (alpha, half, C, radius) in enumerate(PLANE.tails):
        if len(C) > 1:
            fewer = (*PLANE.tails[:k], (alpha, half, C[:1], radius), *PLANE.tails[k + 1 :])
            reasons.append(_reason(dataclasses.replace(PLANE, tails=fewer)))
    assert sum("does not fade" in reason for reason in reasons) >= 4  # the normals of the four sides


def test_sectors_hold_beyond_radii_of_their_own():
    """An atom almost on an edge fades slowly before its normal: only those directions are examined far out."""
    law = PointCloud([[-2.0, 0.0], [2.0, 0.0], [0.1, -0.02], [0.3, 2.5]])
    proof = certify_log_concavity(law, log_concavity_threshold(law).upper, keep_leaves=True)
    radii = np.array([sector[3] for sector in proof.tails])
    assert proof.radius == radii.max() >= 32 * radii.min()
    assert refutation(proof) is None

    def changed(radius, where):
        tails = tuple((*s[:3], radius) if where[k] else s for k, s in enumerate(proof.tails))
        return dataclasses.replace(proof, tails=tails)

    # farther out for all of them cells are missing; nearer for one that needs its distance the sector is refuted
    everywhere = np.ones(len(radii), dtype=bool)
    assert "no leaf covers" in _reason(changed(proof.radius, everywhere))
    assert "sector" in _reason(dataclasses.replace(changed(radii.min(), radii == radii.max()), leaves=proof.leaves))
    for radius in (0.0, 2 * proof.radius):
        assert "radius of a sector" in _reason(changed(radius, radii == radii.max()))


def test_cells_beyond_the_sectors_against_points_in_them():
    """Random sectors with random radii: every point of a cell that needs no leaf is beyond the radius of its own sector."""
    rng, R, beyond = np.random.default_rng(5), 8.0, 0
    unit = np.stack(np.meshgrid(np.linspace(-1, 1, 9), np.linspace(-1, 1, 9)), axis=-1).reshape(-1, 2)
    for _ in range(10):
        ends = np.sort(rng.uniform(0, 2 * np.pi, 12))
        ends = np.append(ends, ends[0] + 2 * np.pi)
        radii = rng.choice([1.0, 3.0, 6.0], 12)
        sectors = [((a + b) / 2, (b - a) / 2, (), r) for a, b, r in zip(ends[:-1], ends[1:], radii)]
        for index in np.ndindex(16, 16):
            if _beyond(4, index, R, sectors):
                beyond += 1
                y = (2 * np.array(index) + 1 - 16 + unit) * R / 16
                own = (
                    np.searchsorted(ends, (np.arctan2(y[:, 1], y[:, 0]) - ends[0]) % (2 * np.pi) + ends[0], side="right") - 1
                )
                assert np.all(np.linalg.norm(y, axis=1) >= radii[np.clip(own, 0, 11)] * (1 - 1e-12))
    assert 500 < beyond < 2200


def test_coarse_cells_are_no_proof_and_a_part_of_the_cells_is_said_to_be_none():
    """The centres of 16 x 16 cells satisfy the claim, their bounds do not; a sample of the leaves still needs the cover."""
    line = PLANE.radius * (2 * np.arange(16) + 1 - 16) / 16
    centres = np.stack(np.meshgrid(line, line), axis=-1).reshape(-1, 2)
    top = largest_posterior_variance(PointCloud(PLANE.points, PLANE.weights), centres, PLANE.variance)
    coarse = dataclasses.replace(PLANE, bound=1.001 * top.max(), leaves=(centres, np.full(256, PLANE.radius / 16)))
    assert "leaf" in _reason(coarse)
    assert PLANE.recheck(every=7)
    assert not _without(PLANE, slice(1, None)).recheck(every=7)


def test_bad_records_are_refuted_and_unclaimed_ones_refused():
    changes = ("weights", -PLANE.weights), ("variance", 0.0), ("radius", np.inf), ("radius", np.nan), ("bound", np.nan)
    for change in ({name: value} for name, value in changes):
        assert refutation(dataclasses.replace(PLANE, **change)), change
    centres, halves = PLANE.leaves
    assert refutation(_with(PLANE, np.where(np.arange(len(halves)) == 3, np.nan, centres.T).T, halves))
    assert refutation(_with(PLANE, centres, halves[:-1]))
    with pytest.raises(ValueError, match="certificate"):
        dataclasses.replace(PLANE, status=None).recheck()
    with pytest.raises(ValueError, match=r"\bevery\b"):
        PLANE.recheck(every=0)


def test_sectors_whose_ends_float64_rounds_do_not_cover_the_circle():
    """At 2^52 ``alpha +- half`` are integers. The long edge has the variance 1 before its normal; the claim is 0.9."""
    P, v, R, n, bound = np.array([[-1, 0.26666666], [0, -0.53333333], [1, 0.26666666]]), 3.0, 14.0, 64, 0.9
    sectors = zip(2.0 * np.arange(4), ((2,), (0,), (0, 1), (2,)), (6.0, 6.0, 14.0, 5.0))
    tails = tuple((4503599627371638.0 + shift, 0.5000001, C, radius) for shift, C, radius in sectors)
    y = np.array([0.0, 40.0])
    assert largest_posterior_variance(PointCloud(P), y[np.newaxis], v)[0] > 0.99 > bound

    # the leaves: all the cells of a grid that the claim allows
    half = R / n
    line = half * (2 * np.arange(n) + 1 - n)
    centres = np.stack(np.meshgrid(line, line), axis=-1).reshape(-1, 2)
    p = np.exp(centres @ P.T / v - np.sum(P**2, axis=1) / (2 * v))
    p /= p.sum(axis=1, keepdims=True)
    Z, top = P - (p @ P)[:, np.newaxis], np.zeros(n * n)
    for signs in SQUARE:
        q = p * np.exp(Z @ (signs * half) / v)
        top = np.maximum(top, np.linalg.eigvalsh(np.swapaxes(Z * q[:, :, np.newaxis], 1, 2) @ Z)[:, -1])
    fine = centres[top < 0.999 * bound]
    assert "[-7, 7]" in _reason(_record(P, np.ones(3), v, R, fine, np.full(len(fine), half), tails)(bound))


@pytest.mark.parametrize("r", [3, 4])
def test_atoms_of_another_dimension_are_refused(r):
    """Two atoms at +-(1, .., 1): the variance r, a claim of little more than half of it, and cells that cover the cube."""
    from exactdiffusion.papers.log_concavity.certificates import Certificate

    n = 8
    line = 5 * (2 * np.arange(n) + 1 - n) / n
    centres = np.stack(np.meshgrid(*[line] * r), axis=-1).reshape(-1, r)
    P, w = np.array([np.ones(r), -np.ones(r)]), np.array([0.5, 0.5])
    record = _record(P, w, 4.0, 5.0, centres, np.full(n**r, 5 / n))(2.2)
    assert f"atoms with {r} coordinates" in _reason(record)
    if r == 4:
        with pytest.raises(ValueError, match=r"points.*\(2, 4\).*on a line, in a plane or in space"):
            Certificate(True, 2.2, 4.0, 0, None, 5.0, record.leaves, P, w).recheck()

    # more coordinates of one atom than of the first: the squared distance is 4.64, a quarter of which is above the claim
    line = certify_log_concavity(PointCloud([[-1.0], [1.0]]), 1.1, keep_leaves=True)
    ragged = _record([[0.0]], line.weights, line.variance, line.radius, *line.leaves)(1.1)
    ragged.points = [[-1.0], [1.0, 0.8]]
    assert "no certificate" in _reason(ragged)


@pytest.mark.parametrize("proof", [PLANE, LINE], ids=["plane", "line"])
def test_each_number_outside_its_range_is_refused(proof):
    """NaN, infinite, negative, zero, rounded, missing: a reason each time, never an error and never a proof."""
    bad = (np.nan, np.inf, -np.inf, -1.0, 0.0, None, "1", 2**60 + 1)
    changes = [{name: value} for name in ("bound", "variance", "radius") for value in bad]
    changes += [{"weights": [value, *proof.weights[1:]]} for value in bad] + [{"weights": proof.weights[1:]}]
    first, *others = proof.points.tolist()
    changes += [{"points": [[value, *first[1:]], *others]} for value in (np.nan, np.inf, None, 2**60 + 1)]
    changes += [{"points": []}, {"points": [[]] * len(proof.points)}, {"points": None}, {"leaves": ()}, {"leaves": None}]
    centres, halves = proof.leaves
    for value in (np.nan, np.inf, -halves[0], 0.0, 5e-324):
        changes.append({"leaves": (centres, np.array([value, *halves[1:]]))})
    changes += [{"leaves": (np.c_[centres, centres], halves)}, {"leaves": (centres, halves[:, np.newaxis])}]
    if proof is PLANE:
        alpha, half, C, radius = proof.tails[0]
        sectors = [(value, half, C, radius) for value in (np.nan, np.inf, 8.0, alpha + 4 * np.pi, None)]
        sectors += [(alpha, value, C, radius) for value in (np.nan, np.inf, -half, 1.0, 4.0, None)]
        sectors += [(alpha, half, value, radius) for value in ((), (-1,), (4,), (0.5,), (*C, C[0]), (np.nan,), None)]
        sectors += [(alpha, half, C, value) for value in (np.nan, np.inf, -radius, 0.0, None)]
        changes += [{"tails": (sector, *proof.tails[1:])} for sector in (*sectors, (alpha, half, C))]
    for change in changes:
        assert refutation(dataclasses.replace(proof, **change)), change
