"""One step is the conditional mean (derived).

Suppose that

    (H1)  the chain has one step, t_hat = 1,
    (H2)  it starts at the level of the observation, v_1 = v_hat.

Then for every prior with a finite mean

    f(y)  =  D_{v_hat}(y)  =  E[x | y],

because the last step has rho = v_0 / v_1 = 0.

Measured on mixtures, a point cloud and a sphere: bit by bit against the denoiser, and against a posterior mean that is
computed from matrix inverses.
"""

import numpy as np

from exactdiffusion import PointCloud, Sphere
from exactdiffusion.papers import conditional_mean as cm
from exactdiffusion.statements import conditional_mean as bound

STATEMENT = bound.one_step_exact.statement
EPS = np.finfo(np.float64).eps


def laws(line, mixtures):
    rng = np.random.default_rng(1)
    return line.priors | mixtures | {"cloud": PointCloud(rng.standard_normal((30, 3))), "sphere": Sphere(1.0, 4, 3)}


# -- the theorem holds -----------------------------------------------------------------------------------------------------


def test_one_step(check, line, mixtures):
    for name, law in laws(line, mixtures).items():
        for sigma in (10.0, 1.0, 0.1, 0.01):
            y = law.noised(1.0, sigma).sample(50, np.random.default_rng(2))
            f = cm.denoise(law, cm.refined_grid(1, sigma), y, sigma)
            expected = bound.one_step_exact(law.noised(1.0, sigma).denoise(y))
            check.equal(f, expected, tol=0, cause="exact: rho = 0", on=f"{name}, sigma = {sigma:g}")


def test_against_the_posterior_from_matrices(check, line, mixtures):
    """The same mean from matrix inverses instead of eigenbases."""
    for name, law in (line.priors | mixtures).items():
        for sigma in (3.0, 0.3):
            y = law.noised(1.0, sigma).sample(50, np.random.default_rng(3))
            f = cm.denoise(law, cm.refined_grid(1, sigma), y, sigma)
            other = cm.reverse_kernel(law, y, sigma**2, 0.0).mean
            top = float(np.max(np.linalg.eigvalsh(law.covariance))) + np.max(np.sum(law.means**2, axis=1))
            tol = 64 * EPS * (1 + top / sigma**2) * np.max(np.abs(y)) * law.dim
            cause = "rounding: 64 d eps |y| times the condition of C + sigma^2"
            check.equal(f, other, tol=tol, cause=cause, on=f"{name}, {sigma:g}")


# -- every hypothesis counts -----------------------------------------------------------------------------------------------


def test_controls(check, line):
    """Each hypothesis dropped in turn: f is no longer the CME."""
    # (H1) two steps
    for name in ("gmm2", "gmm3", "scale mixture", "two points"):
        value = line.chain_excess(name, 1.0, cm.refined_grid(2, 1.0))
        check.control("one step (two steps)", value, 0.0, tol=1e-9, on=f"{name}, 0 dB")

    # (H2) a start at 1.1 sigma
    value = line.chain_excess("gmm2", 1.0, cm.refined_grid(1, 1.1).to_ve())
    check.control("the level of the observation (10 % off)", value, 0.0, tol=1e-9, on="gmm2, 0 dB")
