"""Fixtures for the tests of a sampler's own project, inert without ``--conform``.

::

    def test_my_sampler(conformance):
        conformance(my_sampler, order=2)          # fails with the table of verdicts where something differs

    def test_its_law(exact_law):
        mean, deviation = exact_law(my_sampler, steps=20)
"""

from collections.abc import Callable

import pytest

__all__ = ["conformance", "exact_law", "pytest_addoption"]


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("exactdiffusion")
    group.addoption("--conform", action="store_true", help="run the tests that judge samplers by their exact output law")


def _needed(request):
    if not request.config.getoption("--conform"):
        pytest.skip("judging samplers needs --conform")


@pytest.fixture
def exact_law(request: pytest.FixtureRequest) -> Callable:
    """``exact_law(sampler, steps, **settings) -> (mean, deviation)`` of the output, per direction of the default target.

    The sampler is named as in ``exactdiffusion conform``, or is a function ``f(denoiser, sigmas, x)`` or a `Subject`.
    """
    _needed(request)
    from .command import subject_of
    from .measurement import measure

    def law(sampler, steps, **settings):
        found = measure(subject_of(sampler, **settings), steps)
        return found.mean[-1], found.deviation[-1]

    return law


@pytest.fixture
def conformance(request: pytest.FixtureRequest) -> Callable:
    """``conformance(sampler, **settings) -> Report``; the test fails where the sampler differs or cannot be judged.

    The sampler is named as in ``exactdiffusion conform``, or is a function or a `Subject`. With ``strict=True`` a declared
    order that could not be read fails too.
    """
    _needed(request)
    from .command import conform

    def judged(sampler, **settings):
        report = conform(sampler, **settings)
        if report.code != 0:
            pytest.fail(report.table(), pytrace=False)
        return report

    return judged
