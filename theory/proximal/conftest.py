"""Targets on a line, equal steps in t = int beta, and exact KL values shared by the checks (computed once per session)."""

import numpy as np
import pytest

from exactdiffusion import GaussianMixture, schedules
from exactdiffusion.output_laws import line
from exactdiffusion.statements import proximal as bound

#: name -> (weights, centres, variance): equal variances, so L and H are certified
TWO_SIDED = {
    "two modes, +-.6, v .4": ([0.5, 0.5], [-0.6, 0.6], 0.4),
    "two modes, +-1, v .25": ([0.5, 0.5], [-1.0, 1.0], 0.25),
    "three modes, unequal weights": ([0.2, 0.5, 0.3], [-0.9, 0.1, 0.8], 0.3),
}


@pytest.fixture(scope="session")
def uniform():
    """``uniform(N, T)``: N equal steps in t = int beta, from T down to 0."""
    return lambda N, T: schedules.vp_linear(N, beta_min=T, beta_max=T)


@pytest.fixture(scope="session")
def targets():
    """Name -> (law, variance, diameter of the centres, second moment)."""
    out = {}
    for name, (w, c, v) in TWO_SIDED.items():
        w, c = np.array(w), np.array(c)
        out[name] = GaussianMixture(w, c[:, np.newaxis], v), v, float(np.ptp(c)), float(w @ c**2 + v)
    return out


@pytest.fixture(scope="session")
def marginal_kl(uniform):
    """``marginal_kl(law, scheme, N, T)``: KL(p_0 | q_0) of the output from the exact start, on a quadrature grid."""
    memo = {}

    def kl(law, scheme, N, T):
        key = id(law), scheme, N, T
        if key not in memo:
            run = line.propagate(law, uniform(N, T), scheme, **bound.OPTIONS.get(scheme, {}))
            # the law is kept in the memo, so that its id stays its own
            memo[key] = law, line.divergences(run.target, run.law).kl
        return memo[key][1]

    return kl
