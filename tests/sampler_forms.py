r"""Every sampler a second and a third time, on Gaussian targets: what `samplers` and `output_laws.gaussian` are held to.

Nothing here imports a sampler. A recursion gives the exact law of the output on N(mu, S) in floats: per eigenvalue ``lam``
the deviation ``d_i = x_i - s_i mu`` (``s`` the scale) obeys

.. math:: d_i = m_i\, d_0 + k_i\, \mu + \mathcal N(0, q_i),

and the recursions give ``(m_i, k_i, q_i)``. They are written from the papers' scalar formulas (arXiv 2306.04848 for the
sigma family; the reverse-SDE family as ``V <- a^2 V + c``). :func:`published` is a step in 50 digits, in the coordinates of
the publications. A slip of an index or a factor in a sampler shows against both, and mostly nowhere else: a rate test would
not show it.

With ``r`` the noise ratio of the level, ``r'`` that of the next, ``v = s^2 lam + sigma^2`` and ``g = int beta dt``:

==========================  ============================================================  ==========================
sampler                     multiplier of ``d / s`` (sigma family) or of ``d`` (VP-SDE)    added variance
==========================  ============================================================  ==========================
ddim                        ``(lam + r r') / (lam + r^2)``                                 0
ddpm                        ``(lam + r t) / (lam + r^2)``, ``r' = r^mu t^(1-mu)``           ``r'^2 - t^2``
heun                        ``1 + (r'-r)/2 [f + f' (1 + (r'-r) f)]``, ``f = r/(lam+r^2)``   0
gradient_estimation         two-term recursion in ``f_i d_i``                              0
dpm_solver_pp               two-term recursion in ``lam / (lam + r_i^2) d_i``               0
probability_flow            ``1 + g/2 - g/(2 v)``                                          0
euler_maruyama              ``1 + g/2 - g/v``                                              ``g``
exponential_integrator      ``e^(g/2) - 2 (e^(g/2) - 1)/v``                                ``e^g - 1``
proximal_backward           ``1/D``, ``D = 1 - g/2 + g/v'`` (next level's v)               ``g/D^2``
proximal_hybrid             ``(1 + g/2)/D``, ``D = 1 + g/v'``                              ``g/D^2``
==========================  ============================================================  ==========================
"""

import mpmath
import numpy as np

# ------------------------------------------------------------------- recursions in sigma: e = d / s, no mean term


def _sigma_family(grid, lam, multipliers):
    """(m, k, q) of d = s e from the pairs (multiplier of e_0, variance of e) of the levels 1..N."""
    zero = np.zeros_like(lam)
    for i, (gain, variance) in enumerate(multipliers, start=1):
        yield grid.scale[i] / grid.scale[0] * gain, zero, zero + grid.scale[i] ** 2 * variance


def _one_step(grid, lam, step):
    """Multipliers of a one-step scheme: ``step(r, r') -> (multiplier, variance)``."""
    r = grid.noise_ratio
    gain, variance = np.ones_like(lam), np.zeros_like(lam)
    for i in range(grid.N):
        a, c = step(r[i], r[i + 1])
        gain, variance = a * gain, a**2 * variance + c
        yield gain, variance


def _ddim(grid, lam):
    return _sigma_family(grid, lam, _one_step(grid, lam, lambda r, s: ((lam + r * s) / (lam + r**2), 0.0)))


def _ddpm(grid, lam, mu=0.5, variance="small", last_noise=False):
    def step(r, s):
        target = s if mu == 0 else 0.0 if s == 0 else np.exp((np.log(s) - mu * np.log(r)) / (1 - mu))
        if variance == "large":
            beta = -np.expm1(np.log1p(s**2) - np.log1p(r**2))
            noise = (1 + s**2) * beta if s > 0 or last_noise else 0.0
        elif variance == "zero" or mu == 0:
            noise = 0.0
        else:
            noise = (s - target) * (s + target)
        return (lam + r * target) / (lam + r**2), noise

    return _sigma_family(grid, lam, _one_step(grid, lam, step))


def _heun(grid, lam):
    def step(r, s):
        slope = r / (lam + r**2)
        if s == 0:
            return 1 - r * slope, 0.0
        return 1 + 0.5 * (s - r) * (slope + s / (lam + s**2) * (1 + (s - r) * slope)), 0.0

    return _sigma_family(grid, lam, _one_step(grid, lam, step))


def _gradient_estimation(grid, lam, gamma=2.0):
    r = grid.noise_ratio

    def multipliers():
        e, previous = np.ones_like(lam), None
        for i in range(grid.N):
            eps = r[i] / (lam + r[i] ** 2) * e
            weight = gamma
            if i == 0:
                weight, previous = 1.0, eps
            elif isinstance(gamma, str):
                last = r[i - 1] - r[i]
                weight = 1.0 if last == 0 else 1.0 + 0.5 * (r[i] - r[i + 1]) / last
            e = e - (r[i] - r[i + 1]) * (previous + weight * (eps - previous))
            previous = eps
            yield e, 0.0

    return _sigma_family(grid, lam, multipliers())


def _dpm_solver_pp(grid, lam, lower_order_final=None):
    r = grid.noise_ratio
    if lower_order_final is None:
        lower_order_final = grid.N < 10 or r[-1] == 0

    def multipliers():
        e, previous = np.ones_like(lam), None
        for i in range(grid.N):
            clean = lam / (lam + r[i] ** 2) * e
            mixed = clean
            if i > 0 and not (lower_order_final and i == grid.N - 1) and r[i - 1] > r[i]:
                mixed = clean + 0.5 * np.log(r[i] / r[i + 1]) / np.log(r[i - 1] / r[i]) * (clean - previous)
            e = r[i + 1] / r[i] * e + (r[i] - r[i + 1]) / r[i] * mixed
            previous = clean
            yield e, 0.0

    return _sigma_family(grid, lam, multipliers())


# -------------------------------------------------------------------------------------- recursions of the VP-SDE


def _sde_family(grid, lam, grow, score, noise, step="integral", last_noise=True, final="step"):
    """x' = grow(g) x + score(g) grad log p(x) + sqrt(noise(g)) z, with grad log p = -d / v."""
    if isinstance(step, str) and step == "integral":
        g = -np.diff(np.log1p(grid.noise_ratio**2))
    elif isinstance(step, str):
        g = -grid.rate[:-1] * np.diff(grid.time)
    else:
        g = np.asarray(step, dtype=np.float64)
    m, k, q = np.ones_like(lam), np.zeros_like(lam), np.zeros_like(lam)
    for i in range(grid.N):
        s, v = grid.scale[i], grid.scale[i] ** 2 * lam + grid.sigma[i] ** 2
        if final == "denoise" and i == grid.N - 1:
            a, drift, c = grid.scale[-1] * s * lam / v, 0.0, 0.0
        else:
            a, drift = grow(g[i]) - score(g[i]) / v, grow(g[i]) * s - grid.scale[i + 1]
            c = noise(g[i]) if last_noise or i < grid.N - 1 else 0.0
        m, k, q = a * m, a * k + drift, a**2 * q + c
        yield m, k, q


def _euler_maruyama(grid, lam, **options):
    return _sde_family(grid, lam, lambda g: 1 + g / 2, lambda g: g, lambda g: g, **options)


def _exponential_integrator(grid, lam, **options):
    return _sde_family(grid, lam, lambda g: np.exp(g / 2), lambda g: 2 * np.expm1(g / 2), lambda g: np.expm1(g), **options)


def _probability_flow(grid, lam, **options):
    return _sde_family(grid, lam, lambda g: 1 + g / 2, lambda g: g / 2, lambda g: 0.0, **options)


def _implicit_family(grid, lam, factor, divisor):
    """D d' = factor(g) d + (factor(g) s - E s') mu + sqrt(g) z, D = E + g/v' and E = divisor(g) (arXiv 2507.08956)."""
    m, k, q = np.ones_like(lam), np.zeros_like(lam), np.zeros_like(lam)
    for i in range(grid.N):
        g = np.log1p(grid.noise_ratio[i] ** 2) - np.log1p(grid.noise_ratio[i + 1] ** 2)
        v = grid.scale[i + 1] ** 2 * lam + grid.sigma[i + 1] ** 2
        # multiplied through by v: the prox of a law without spread (v = 0) is its mean
        D = divisor(g) * v + g
        a, drift = factor(g) * v / D, (factor(g) * grid.scale[i] - divisor(g) * grid.scale[i + 1]) * v / D
        m, k, q = a * m, a * k + drift, a**2 * q + g * (v / D) ** 2
        yield m, k, q


def _proximal_backward(grid, lam, **options):
    return _implicit_family(grid, lam, lambda g: 1.0, lambda g: 1 - g / 2)


def _proximal_hybrid(grid, lam, **options):
    return _implicit_family(grid, lam, lambda g: 1 + g / 2, lambda g: 1.0)


RECURSIONS = {
    "ddim": _ddim,
    "ddpm": _ddpm,
    "heun": _heun,
    "gradient_estimation": _gradient_estimation,
    "dpm_solver_pp": _dpm_solver_pp,
    "probability_flow": _probability_flow,
    "euler_maruyama": _euler_maruyama,
    "exponential_integrator": _exponential_integrator,
    "proximal_backward": _proximal_backward,
    "proximal_hybrid": _proximal_hybrid,
}
"""Sampler name -> ``recursion(grid, lam, **params)``, an iterator over (m, k, q) at levels 1..N."""


def law(name, mean, cov, grid, start_mean, start_cov, **params):
    """Mean (d,) and covariance (d, d), or variances (d,), of the output on N(mean, cov) from N(start_mean, start_cov)."""
    diagonal = cov.ndim == 1
    lam, basis = (cov, np.eye(len(cov))) if diagonal else np.linalg.eigh(cov)
    start = np.diag(start_cov) if start_cov.ndim == 1 else start_cov
    *_, (m, k, q) = RECURSIONS[name](grid, lam, **params)
    deviation = m * (basis.T @ (start_mean - grid.scale[0] * mean)) + k * (basis.T @ mean)
    spread = m[:, np.newaxis] * (basis.T @ start @ basis) * m + np.diag(q)
    spread = np.diag(spread) if diagonal else basis @ spread @ basis.T
    return grid.scale[-1] * mean + basis @ deviation, spread


# ------------------------------------------------------------------------ 50 digits, published forms, one dimension


def mp(value):
    return mpmath.mpf(float(value))


def published(name, grid, mu, lam, x, noise, params):
    """Output for start x and noises z_k in 50 digits, written in the coordinates of the publications."""
    s, sig = [mp(v) for v in grid.scale], [mp(v) for v in grid.sigma]
    mu, lam, N, half = mp(mu), mp(lam), grid.N, mpmath.mpf(1) / 2

    def denoise(i, x):
        return mu + s[i] * lam / (s[i] ** 2 * lam + sig[i] ** 2) * (x - s[i] * mu)

    def eps(i, x):
        return (x - s[i] * denoise(i, x)) / sig[i]

    def score(i, x):
        return -(x - s[i] * mu) / (s[i] ** 2 * lam + sig[i] ** 2)

    if name in ("probability_flow", "euler_maruyama", "exponential_integrator"):
        step, final, last = params.get("step", "integral"), params.get("final", "step"), params.get("last_noise", True)
        for i in range(N):
            if final == "denoise" and i == N - 1:
                return s[N] * denoise(i, x)
            if isinstance(step, str) and step == "integral":
                g = 2 * mpmath.log(s[i + 1] / s[i])
            elif isinstance(step, str):
                g = mp(grid.rate[i]) * (mp(grid.time[i]) - mp(grid.time[i + 1]))
            else:
                g = mp(step[i])
            z = noise[i] if last or i < N - 1 else 0
            if name == "probability_flow":
                x = x + g / 2 * (x + score(i, x))
            elif name == "euler_maruyama":
                x = x + g * (x / 2 + score(i, x)) + mpmath.sqrt(g) * z
            else:
                grow = mpmath.exp(g / 2)
                x = grow * x + 2 * (grow - 1) * score(i, x) + mpmath.sqrt(mpmath.exp(g) - 1) * z
        return x
    if name.startswith("proximal"):
        for i in range(N):
            g = 2 * mpmath.log(s[i + 1] / s[i])
            m, v = s[i + 1] * mu, s[i + 1] ** 2 * lam + sig[i + 1] ** 2
            if name == "proximal_backward":
                y, step = 2 / (2 - g) * (x + mpmath.sqrt(g) * noise[i]), 2 * g / (2 - g)
            else:
                y, step = (1 + g / 2) * x + mpmath.sqrt(g) * noise[i], g
            x = (v * y + step * m) / (v + step)  # argmin 1/2 (u - y)^2 + step (u - m)^2 / (2 v)
        return x
    previous = None
    for i in range(N):
        if name == "ddim":
            x = s[i + 1] * denoise(i, x) + sig[i + 1] * eps(i, x)
        elif name == "gradient_estimation":
            gamma, e, r = params.get("gamma", 2), eps(i, x), [a / b for a, b in zip(sig, s)]
            if gamma == "variable":
                gamma = 1 + (r[i] - r[i + 1]) / (2 * (r[i - 1] - r[i])) if i > 0 and r[i - 1] != r[i] else 1
            bar = e if previous is None else mp(gamma) * e + (1 - mp(gamma)) * previous
            if not isinstance(gamma, (int, float)):
                bar = e if previous is None else gamma * e + (1 - gamma) * previous
            x, previous = s[i + 1] * (x / s[i] + (r[i + 1] - r[i]) * bar), e
        elif name == "ddpm" and params.get("mu", 0.5) == 0.5:
            # Ho et al.: posterior mean and variance of q(x_{t-1} | x_t, x_0), for X_t = sqrt(abar) X_0 + ...
            a, b = 1 / (1 + (sig[i] / s[i]) ** 2), 1 / (1 + (sig[i + 1] / s[i + 1]) ** 2)
            alpha, vp = a / b, x / s[i] * mpmath.sqrt(a)
            m = mpmath.sqrt(b) * (1 - alpha) / (1 - a) * denoise(i, x) + mpmath.sqrt(alpha) * (1 - b) / (1 - a) * vp
            kind = params.get("variance", "small")
            var = {"small": (1 - b) / (1 - a) * (1 - alpha), "large": 1 - alpha, "zero": 0}[kind]
            if kind == "large" and sig[i + 1] == 0 and not params.get("last_noise", False):
                var = 0
            x = s[i + 1] * (m + mpmath.sqrt(var) * noise[i]) / mpmath.sqrt(b)
        elif name == "ddpm":
            mu_, r, q = mp(params["mu"]), sig[i] / s[i], sig[i + 1] / s[i + 1]
            target = (q / r**mu_) ** (1 / (1 - mu_))
            y = x / s[i] + (target - r) * eps(i, x) + mpmath.sqrt(q**2 - target**2) * noise[i]
            x = s[i + 1] * y
        elif name == "heun":
            r, q, y = sig[i] / s[i], sig[i + 1] / s[i + 1], x / s[i]
            d = (y - denoise(i, x)) / r
            z = y + (q - r) * d
            if q != 0:
                z = y + (q - r) * (half * d + half * (z - denoise(i + 1, s[i + 1] * z)) / q)
            x = s[i + 1] * z
        elif name == "dpm_solver_pp":
            lower = params.get("lower_order_final")
            lower = (N < 10 or sig[N] == 0) if lower is None else lower
            clean = mixed = denoise(i, x)
            if sig[i + 1] == 0:
                x = s[i + 1] * clean
                continue
            lambdas = [mpmath.log(a / b) if b != 0 else mpmath.inf for a, b in zip(s, sig)]
            h = lambdas[i + 1] - lambdas[i]
            if i > 0 and not (lower and i == N - 1):
                ratio = (lambdas[i] - lambdas[i - 1]) / h
                mixed = (1 + 1 / (2 * ratio)) * clean - 1 / (2 * ratio) * previous
            x, previous = sig[i + 1] / sig[i] * x - s[i + 1] * (mpmath.exp(-h) - 1) * mixed, clean
    return x
