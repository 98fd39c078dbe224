"""The mutual information at level delta is at most the logarithm of a covering number plus one half.

(H1) The support of X is covered by a number of balls of radius sqrt(delta). Then

    I(X; X + sqrt(delta) Z)  <=  ln(number) + 1/2.

Source: S. Chewi, Log-Concave Sampling, Eq. (12.3.6) (read); the proof is in the statement.
"""

import math

import numpy as np

from exactdiffusion.statements import ddpm as bound

STATEMENT = bound.information_of_covering.statement
CAUSE = "remainder: 1e-9: quadrature of the entropy"


def covering(points, radius):
    """Least number of intervals of length 2 radius that cover points on a line: greedy from the left is optimal."""
    count, end = 0, -math.inf
    for x in sorted(points):
        if x > end:
            count, end = count + 1, x + 2 * radius
    return count


def test_holds(check, ladder):
    for name in ("two points +-1", "three unequal points"):
        case = ladder(name)
        for delta in (0.01, 0.1, 1.0, 4.0):
            count = covering(np.ravel(case.law.means), math.sqrt(delta))
            larger = bound.information_of_covering(count)
            on = f"{name}, delta = {delta:g}, {count} intervals"
            check.holds(case.mutual_information(delta), larger, tol=1e-9, cause=CAUSE, on=on)


def test_the_two_terms(check, ladder):
    """The proof, term by term: the entropy of the centres, and the mean squared distance over 2 delta."""
    case = ladder("three unequal points")
    delta, points = 0.5, np.ravel(case.law.means)
    count = covering(points, math.sqrt(delta))
    centres = np.array([(-1.0 + 0.2) / 2, (-1.0 + 0.2) / 2, 1.7])
    weights = np.array([0.7, 0.3])
    entropy = -float(weights @ np.log(weights))
    distance = float(case.law.weights @ (points - centres) ** 2) / (2 * delta)
    check.holds(case.mutual_information(delta), entropy + distance, tol=1e-9, cause=CAUSE, on="three points, delta = .5")
    check.holds(entropy, math.log(count), tol=0, cause="exact", on="entropy of two centres", of="first term of the proof")
    check.holds(distance, 0.5, tol=0, cause="exact", on="distance to the centres", of="second term of the proof")
    check.equal(bound.information_of_covering(count), math.log(2) + 0.5, tol=1e-15, cause="rounding: 1e-15", on="two balls")


def test_controls(check, ladder):
    case = ladder("two points +-1")
    on = "two points, delta = .01"
    check.control(
        "(H1) number of balls (1 in place of 2)", case.mutual_information(0.01), bound.information_of_covering(1), on=on
    )
    one = case.mutual_information(1.0)
    check.control("the term 1/2", one, bound.information_of_covering(1) - 0.5, on="two points, delta = 1, one interval")
