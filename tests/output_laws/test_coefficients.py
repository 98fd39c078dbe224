"""Coefficients of start and noises: exact laws, Brownian increments, and what is refused."""

import importlib.util

import numpy as np
import pytest

from exactdiffusion.output_laws.coefficients import NotRepeatable, Probe, coefficients

M, S = np.array([0.3, -2.0]), np.array([0.5, 3.0])


def test_law_of_a_recursion():
    """x <- a x + c + b z, three times: mean and variance by hand."""
    a, b, c = 0.7, 0.4, 0.1

    def run(probe):
        states = [probe.start(M, S)]
        for _ in range(3):
            states.append(a * states[-1] + c + b * probe.normal(states[-1]))
        return states

    found = coefficients(run)
    mean, variance = found.law(M, S**2)
    by_hand = M, S**2
    for i in range(4):
        np.testing.assert_allclose(mean[i], by_hand[0], rtol=1e-15)
        np.testing.assert_allclose(variance[i], by_hand[1], rtol=1e-14)
        by_hand = a * by_hand[0] + c, a**2 * by_hand[1] + b**2
    assert found.affine.all()
    assert found.noise.shape == (4, 3, 2)


def test_overlapping_intervals_are_correlated():
    """W(2) - W(0), then W(1) - W(0) and W(2) - W(1) taken off: nothing is left."""

    def run(probe):
        x = probe.start(M, S)
        x = x + probe.interval(0.0, 2.0, x)
        x = x - probe.interval(0.0, 1.0, x) + probe.interval(2.0, 1.0, x)
        return [x]

    mean, variance = coefficients(run).law(M, S**2)
    np.testing.assert_allclose(variance[0], S**2, rtol=1e-15)

    def apart(probe):
        x = probe.start(M, S)
        return [x + probe.interval(0.0, 1.0, x) + probe.interval(3.0, 5.5, x)]

    np.testing.assert_allclose(coefficients(apart).law(M, S**2)[1][0], S**2 + 3.5, rtol=1e-15)


def test_a_missed_source_of_noise_is_named():
    def run(probe):
        x = probe.start(M, S)
        return [x + np.random.standard_normal(x.shape)]  # noqa: NPY002 - a global source, not answered

    with pytest.raises(NotRepeatable) as caught:
        coefficients(run)
    assert caught.value.cause == "noise"


def test_a_kept_state_is_named():
    kept = [0.0]

    def run(probe):
        kept[0] += 1.0
        return [probe.start(M, S) + kept[0]]

    with pytest.raises(NotRepeatable) as caught:
        coefficients(run)
    assert caught.value.cause == "state"


@pytest.mark.parametrize(
    ("bend", "affine"),
    [
        (lambda x: np.clip(x, -1.0, 1.0), [False, False]),
        (lambda x: np.clip(x, -3.0, 3.0), [True, False]),  # 0.3 +- 4 * 0.5 stays within
        (lambda x: x + 1e-3 * x**2, [False, False]),
        (lambda x: x - x.mean(axis=1, keepdims=True), [True, True]),  # affine in all directions together, see below
        (lambda x: 2.0 * x + 1.0, [True, True]),
    ],
)
def test_directions_that_are_not_affine_are_found(bend, affine):
    found = coefficients(lambda probe: [bend(probe.start(M, S))])
    if affine == [True, True]:
        # a mixture of directions is no map of one direction: the unit start moves both, the random one differently
        assert found.affine.all() == np.allclose(bend(np.eye(2)) - bend(np.zeros((1, 2))), 2.0 * np.eye(2))
    else:
        assert found.affine.tolist() == affine


def test_requests_that_change_with_the_numbers_are_refused():
    """An adaptive sampler draws once more where its start is large."""

    def run(probe):
        x = probe.start(M, S)
        x = x + probe.normal(x)
        return [x + probe.normal(x)] if len(x) > 4 else [x]

    with pytest.raises(ValueError, match="the same requests in every run"):
        coefficients(run)


def test_states_that_are_not_finite_are_told():
    found = coefficients(lambda probe: [np.where([True, False], probe.start(M, S), np.inf)])
    assert found.finite.tolist() == [True, False]


@pytest.mark.parametrize("precision", ["float32", "float64"])
@pytest.mark.parametrize("library", ["numpy", "torch"])
def test_precision_and_library_are_those_of_the_caller(library, precision):
    if library == "torch" and importlib.util.find_spec("torch") is None:
        pytest.skip("torch is not installed")
    seen = []

    def run(probe):
        x = probe.start(M, S)
        if library == "torch":
            import torch

            x = torch.tensor(x, dtype=getattr(torch, precision))
        else:
            x = x.astype(precision)
        z = probe.normal(x)
        seen.append((type(z).__module__.split(".")[0], str(z.dtype).removeprefix("torch.")))
        return [0.5 * x + z]

    found = coefficients(run)
    assert set(seen) == {(library, precision)}
    assert found.eps == np.finfo(precision).eps
    np.testing.assert_allclose(found.law(M, S**2)[1][0], 0.25 * S**2 + 1.0, rtol=4 * found.eps)


def test_rows_alone_are_those_of_the_batch():
    probe = Probe([None, (0.0, 1.0), (0.5, 2.0)])
    x = probe.start(M, S)
    batch = [probe.normal(x), probe.interval(0.0, 1.0, x), probe.interval(0.5, 2.0, x)]
    some = Probe([None, (0.0, 1.0), (0.5, 2.0)], rows=[6, 1, 3])
    y = some.start(M, S)
    alone = [some.normal(y), some.interval(0.0, 1.0, y), some.interval(0.5, 2.0, y)]
    for a, b in zip([x, *batch], [y, *alone]):
        np.testing.assert_array_equal(a[[6, 1, 3]], b)
    assert probe.K == 4  # one unit noise, and the increments between 0, 0.5, 1 and 2
