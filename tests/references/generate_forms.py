"""Reference values of closed forms at 50 significant digits, written to forms.json.

    python tests/references/generate_forms.py

Every function below is a formula written a second time, from its definition, in mpmath: sums over components and joint
Gaussians of all measurements by elimination where the library goes through means, cumulative products where it adds
logarithms, differences of logarithms where it avoids them, derivatives of logarithms of densities by differences. Inputs are
the floats in the file, read exactly.

Every value comes with its ``sensitivity``, the sum over the inputs x of |x| |d value / d x|, by central differences with a
relative step of 1e-20: the error that inputs rounded to eps relative make unavoidable is eps times it. Values given by
``ROUNDED`` inside a formula are rounded there once more by every program that works in float64 (the ratios of cumulative
products in the cosine schedule), and count as inputs.
"""

import itertools
import json
from pathlib import Path

import mpmath as mp

DIGITS = 50
FILE = Path(__file__).with_name("forms.json")
FORMS, CASES = {}, []


def form(name, *cases):
    """File a function under the dotted public name, to be evaluated on each of the cases."""

    def file(function):
        FORMS[name] = function
        CASES.extend((name, case) for case in cases)
        return function

    return file


def exact(value):
    """Floats as mpf, integers and words as they are."""
    if isinstance(value, list):
        return [exact(v) for v in value]
    return mp.mpf(value) if isinstance(value, float) else value


def flattened(value):
    if isinstance(value, (list, tuple)):
        return [v for part in value for v in flattened(part)]
    return [mp.mpf(value)]


def places(value, at=()):
    """Where the floats of an argument are."""
    if isinstance(value, list):
        return [p for i, v in enumerate(value) for p in places(v, (*at, i))]
    return [at] if isinstance(value, float) else []


def moved(value, at, factor):
    if not at:
        return value * factor
    return [moved(v, at[1:], factor) if i == at[0] else v for i, v in enumerate(value)]


def evaluate(name, arguments):
    """Values and sensitivities of one case."""
    function = FORMS[name]
    given = {key: exact(value) for key, value in arguments.items()}
    value = flattened(function(**given))
    sensitivity = [mp.mpf(0)] * len(value)
    step = mp.mpf(10) ** -20
    for key, argument in arguments.items():
        for at in places(argument):
            up, down = (flattened(function(**{**given, key: moved(given[key], at, 1 + s)})) for s in (step, -step))
            sensitivity = [s + abs(a - b) / (2 * step) for s, a, b in zip(sensitivity, up, down)]
    extra = ROUNDED.get(name)
    if extra is not None:
        sensitivity = [s + e for s, e in zip(sensitivity, flattened(extra(**given)))]
    return {"value": [float(v) for v in value], "sensitivity": [float(s) for s in sensitivity]}


ROUNDED = {}

# ---------------------------------------------------------------------------------------------------------- schedules

LEVELS = [1e-6, 1e-3, 0.1, 0.7, 3.0, 40.0, 1e3]
form("schedules.sigma_from_alpha_bar", {"alpha_bar": [1e-8, 0.1, 0.5, 0.99]})(
    lambda alpha_bar: [mp.sqrt(1 / a - 1) for a in alpha_bar]
)
form("schedules.alpha_bar_from_sigma", {"sigma": LEVELS})(lambda sigma: [1 / (1 + s * s) for s in sigma])
form("schedules.integral_from_sigma", {"sigma": LEVELS})(lambda sigma: [mp.log(1 + s * s) for s in sigma])
form("schedules.sigma_from_integral", {"integral": [1e-9, 1e-3, 1.0, 10.0]})(
    lambda integral: [mp.sqrt(mp.exp(b) - 1) for b in integral]
)
form("schedules.alpha_bar_from_integral", {"integral": [1e-9, 1e-3, 1.0, 10.0]})(
    lambda integral: [1 / mp.exp(b) for b in integral]
)
form("schedules.snr_from_sigma", {"sigma": LEVELS})(lambda sigma: [1 / s / s for s in sigma])
form("schedules.sigma_from_snr", {"snr": LEVELS})(lambda snr: [mp.sqrt(1 / s) for s in snr])
form("schedules.snr_db_from_snr", {"snr": LEVELS})(lambda snr: [10 * mp.log(s) / mp.log(10) for s in snr])
form("schedules.snr_from_snr_db", {"snr_db": [-30.0, -1.5, 0.25, 12.0]})(
    lambda snr_db: [mp.exp(s * mp.log(10) / 10) for s in snr_db]
)
form("schedules.snr_db_from_sigma", {"sigma": LEVELS})(lambda sigma: [-20 * mp.log(s) / mp.log(10) for s in sigma])
form("schedules.sigma_from_snr_db", {"snr_db": [-30.0, -1.5, 0.25, 12.0]})(
    lambda snr_db: [mp.exp(-s * mp.log(10) / 20) for s in snr_db]
)
RATES = {"t": [0.0, 1e-5, 0.3, 1.0], "beta_min": 0.1, "beta_max": 20.0}


@form("schedules.vp_linear_rate", RATES)
def rate(t, beta_min, beta_max):
    return [(1 - u) * beta_min + u * beta_max for u in t]


@form("schedules.vp_linear_integral", RATES)
def integral(t, beta_min, beta_max):
    return [mp.quad(lambda s: (1 - s) * beta_min + s * beta_max, [0, u]) for u in t]


@form("schedules.vp_linear_time", {"integral": [1e-6, 0.3, 10.05], "beta_min": 0.1, "beta_max": 20.0})
def time(integral, beta_min, beta_max):
    a = (beta_max - beta_min) / 2
    return [(-beta_min + mp.sqrt(beta_min**2 + 4 * a * b)) / (2 * a) for b in integral]


@form("schedules.alpha_bar_from_beta", {"beta": [1e-4, 0.01, 0.3, 0.5]})
def cumulative(beta):
    return list(itertools.accumulate((1 - b for b in beta), lambda u, v: u * v))


@form("schedules.beta_from_alpha_bar", {"alpha_bar": [0.999, 0.9, 0.3, 0.01]})
def betas(alpha_bar):
    return [1 - b / a for a, b in zip([mp.mpf(1), *alpha_bar], alpha_bar)]


GRID = {"scale": [0.25, 0.5, 0.75, 1.0, 1.0], "sigma": [5.0, 2.0, 0.3, 0.29, 1e-4]}
GRID_FORMS = {
    "noise_ratio": lambda r: r,
    "alpha_bar": lambda r: [1 / (1 + v * v) for v in r],
    "integral": lambda r: [mp.log(1 + v * v) for v in r],
    "snr": lambda r: [1 / v**2 for v in r],
    "snr_db": lambda r: [-20 * mp.log(v) / mp.log(10) for v in r],
    "beta": lambda r: [1 - b / a for a, b in itertools.pairwise(r)],
    "g": lambda r: [mp.log((1 + a * a) / (1 + b * b)) for a, b in itertools.pairwise(r)],
    "ddpm_beta": lambda r: [1 - (1 + b * b) / (1 + a * a) for a, b in itertools.pairwise(r)],
    "to_ve": lambda r: [[1] * len(r), r],
    "to_vp": lambda r: [[1 / mp.sqrt(1 + v * v) for v in r], [v / mp.sqrt(1 + v * v) for v in r]],
}
for _name, _function in GRID_FORMS.items():
    form(f"schedules.Grid.{_name}", GRID)(
        lambda scale, sigma, _function=_function: _function([b / a for a, b in zip(scale, sigma)])
    )


def ve(sigma):
    return [[1] * len(sigma), sigma]


@form(
    "schedules.log_linear",
    {"N": 7, "sigma_max": 40.0, "sigma_min": 0.01, "final_zero": False},
    {"N": 4, "sigma_max": 3.0, "sigma_min": 0.2, "final_zero": True},
)
def log_linear(N, sigma_max, sigma_min, final_zero):
    M = N - final_zero
    return ve([sigma_max * (sigma_min / sigma_max) ** (mp.mpf(i) / M) for i in range(M + 1)] + [mp.mpf(0)] * final_zero)


@form(
    "schedules.edm",
    {"N": 6, "sigma_max": 80.0, "sigma_min": 0.002, "rho": 7.0, "final_zero": True},
    {"N": 5, "sigma_max": 9.0, "sigma_min": 0.1, "rho": 3.0, "final_zero": False},
)
def edm(N, sigma_max, sigma_min, rho, final_zero):
    M = N - final_zero
    a, b = sigma_max ** (1 / rho), sigma_min ** (1 / rho)
    return ve([(a + mp.mpf(i) / M * (b - a)) ** rho for i in range(M + 1)] + [mp.mpf(0)] * final_zero)


@form(
    "schedules.vp_linear",
    {"N": 5, "beta_min": 0.1, "beta_max": 20.0, "eps": 0.001, "vp": True},
    {"N": 4, "beta_min": 2.0, "beta_max": 3.0, "eps": 0.0, "vp": False},
)
def vp_linear(N, beta_min, beta_max, eps, vp):
    times = [1 + mp.mpf(i) / N * (eps - 1) for i in range(N + 1)]
    b = integral(times, beta_min, beta_max)
    sigma = [mp.sqrt(1 - mp.exp(-v)) for v in b]
    scale = [mp.exp(-v / 2) for v in b]
    return [scale, sigma] if vp else ve([t / s for s, t in zip(scale, sigma)])


@form(
    "schedules.admissible",
    {"N": 6, "eta": 0.1, "nu": 2.0, "sigma_max": 40.0, "start_ratio": 1.0},
    {"N": 5, "eta": 0.3, "nu": 1.5, "sigma_max": 7.0, "start_ratio": 1.2},
    {"N": 5, "eta": 0.3, "nu": 1.5, "sigma_max": 7.0, "start_ratio": 0.8},
)
def admissible(N, eta, nu, sigma_max, start_ratio):
    """d_0 = start_ratio sigma_0: the largest constant step for which both d/sigma >= 1/nu and <= nu can be kept."""
    rho = min(1 - (1 / (nu * start_ratio)) ** (mp.mpf(1) / N), (nu / start_ratio) ** (mp.mpf(1) / N) - 1) / eta
    beta = rho / (1 + rho)
    return ve([sigma_max * (1 - beta) ** i for i in range(N + 1)])


def trailing(N, T, table):
    """Times round(T (1 - i / N)) - 1 for i < N, then 0 (no ties for the N and T used here)."""
    return ve([table[int(mp.nint(mp.mpf(T) * (N - i) / N)) - 1] for i in range(N)] + [table[0]])


@form("schedules.ddpm_sigmas", {"T": 12, "beta_start": 1e-4, "beta_end": 0.02})
def ddpm_sigmas(T, beta_start, beta_end):
    return [
        mp.sqrt(1 / a - 1)
        for a in cumulative([beta_start + mp.mpf(i) / (T - 1) * (beta_end - beta_start) for i in range(T)])
    ]


@form("schedules.ddpm", {"N": 6, "T": 100, "beta_start": 1e-4, "beta_end": 0.02})
def ddpm(N, T, beta_start, beta_end):
    return trailing(N, T, ddpm_sigmas(T, beta_start, beta_end))


def _capped(alpha_bar, T, max_beta):
    return [min(1 - alpha_bar(mp.mpf(t + 1) / T) / alpha_bar(mp.mpf(t) / T), max_beta) for t in range(T)]


def _levels(alpha_bar, N, T, max_beta):
    return trailing(N, T, [mp.sqrt(1 / a - 1) for a in cumulative(_capped(alpha_bar, T, max_beta))])


def _each_ratio(alpha_bar, N, T, max_beta):
    """A relative error of each ratio of cumulative products (and of the squares they hold, 4 in all) moves sigma so much."""
    moved = list(itertools.accumulate(mp.mpf(4) for _ in range(T)))
    table = [mp.sqrt(1 / a - 1) for a in cumulative(_capped(alpha_bar, T, max_beta))]
    slope = [m * (1 + s * s) / (2 * s) for m, s in zip(moved, table)]
    ones, rows = trailing(N, T, slope)
    return [[0] * len(ones), rows]


def _cosine(offset):
    return lambda t: mp.cos((t + offset) / (1 + offset) * mp.pi / 2) ** 2


def _sigmoid(start, end, tau):
    return lambda t: 1 / (1 + mp.exp(-end / tau)) - 1 / (1 + mp.exp(-(start + t * (end - start)) / tau))


@form("schedules.cosine", {"N": 6, "T": 100, "offset": 0.008, "max_beta": 0.999})
def cosine(N, T, offset, max_beta):
    return _levels(_cosine(offset), N, T, max_beta)


@form("schedules.sigmoid", {"N": 6, "T": 100, "start": -3.0, "end": 3.0, "tau": 1.0, "max_beta": 0.999})
def sigmoid(N, T, start, end, tau, max_beta):
    return _levels(_sigmoid(start, end, tau), N, T, max_beta)


ROUNDED["schedules.cosine"] = lambda N, T, offset, max_beta: _each_ratio(_cosine(offset), N, T, max_beta)
ROUNDED["schedules.sigmoid"] = lambda N, T, start, end, tau, max_beta: _each_ratio(_sigmoid(start, end, tau), N, T, max_beta)

# --------------------------------------------------------------------------------------------------- grids of the chain


@form(
    "papers.conditional_mean.released_grid",
    {"T": 5, "beta_T": 0.95, "beta_1": 1e-4},
    {"T": 10, "beta_T": 0.7, "beta_1": 1e-4},
)
def released_grid(T, beta_T, beta_1):
    return ve([*ddpm_sigmas(T, beta_1, beta_T)[::-1], 0])


@form(
    "papers.conditional_mean.refined_grid",
    *({"n": 6, "sigma": s, "spacing": p} for s in (0.3, 2.0) for p in ("vp_linear", "linear", "geometric")),
)
def refined_grid(n, sigma, spacing):
    k = [mp.mpf(i) / n for i in range(1, n + 1)]
    if spacing == "linear":
        v = [sigma**2 * u for u in k]
    elif spacing == "geometric":
        v = [sigma**2 * mp.mpf(n) ** (2 * (u - 1)) for u in k]
    else:
        low, high = mp.mpf(0.03), mp.mpf(10)
        last = time([mp.log(1 + sigma**2)], low, high)[0]
        v = [mp.exp(integral([last * u], low, high)[0]) - 1 for u in k]
    return ve([*(mp.sqrt(u) for u in v[::-1]), 0])


@form("papers.conditional_mean.power_grid", {"T": 8, "gamma": 0.5, "sigma": 0.7, "c": 1.0})
def power_grid(T, gamma, sigma, c):
    """beta_t = c' T^-gamma t / T up to the level whose SNR is nearest to sigma's with c' = c; c' puts it there exactly."""
    unit = [mp.mpf(T) ** -gamma * (t + 1) / T for t in range(T)]
    levels = [mp.sqrt(1 / a - 1) for a in cumulative([c * u for u in unit])]
    stop = min(range(T), key=lambda i: abs(mp.log(levels[i] / sigma))) + 1

    def excess(s):
        return mp.fsum(mp.log(1 - s * u) for u in unit[:stop]) + mp.log(1 + sigma**2)

    s = mp.findroot(excess, (c, c * mp.mpf("1.01")), solver="secant")
    return ve([*(mp.sqrt(1 / a - 1) for a in cumulative([s * u for u in unit[:stop]]))][::-1] + [mp.mpf(0)])


# --------------------------------------------------------------------------------- mixtures: posteriors and measurements


def matrix(rows):
    return mp.matrix([[mp.mpf(v) for v in row] for row in rows])


def log_normal(x, cov):
    """Logarithm of the centred normal density, by determinant and linear solve."""
    x = mp.matrix(x)
    quadratic = (x.T * mp.lu_solve(cov, x))[0]
    return -(quadratic + len(x) * mp.log(2 * mp.pi) + mp.log(mp.det(cov))) / 2


def blocks(C, m, sigma):
    """Covariance of m measurements x + sigma n, and their covariance (d, m d) with x, for x of covariance C."""
    d = C.rows
    S, cross = mp.matrix(m * d), mp.matrix(d, m * d)
    for s, t, i, j in itertools.product(range(m), range(m), range(d), range(d)):
        S[s * d + i, t * d + j] = C[i, j] + (sigma**2 if s == t and i == j else 0)
        cross[i, t * d + j] = C[i, j]
    return S, cross


class Joint:
    """Responsibilities, posterior moments and density of a mixture after all measurements, by joint conditioning."""

    def __init__(self, weights, means, covariances, ys, sigma):
        d, m = len(means[0]), len(ys)
        self.d, self.m = d, m
        y = [v for row in ys for v in row]
        logs, self.means, self.covs, self.scores, self.precisions = [], [], [], [], []
        for w, mu, C in zip(weights, means, covariances):
            S, cross = blocks(matrix(C), m, sigma)
            a = mp.matrix([v - mu[i % d] for i, v in enumerate(y)])
            P = S**-1
            logs.append(mp.log(w / mp.fsum(weights)) + log_normal(list(a), S))
            shift = cross * P * a
            self.means.append([mu[i] + shift[i] for i in range(d)])
            self.covs.append(matrix(C) - cross * P * cross.T)
            self.scores.append(-(P * a))
            self.precisions.append(P)
        top = max(logs)
        e = [mp.exp(v - top) for v in logs]
        self.log_density = top + mp.log(mp.fsum(e))
        self.r = [v / mp.fsum(e) for v in e]

    def average(self, parts):
        return mp.fsum(r * p for r, p in zip(self.r, parts))

    @property
    def mean(self):
        return [self.average([m[i] for m in self.means]) for i in range(self.d)]

    @property
    def covariance(self):
        mean = self.mean
        return [
            [
                self.average([c[i, j] + (m[i] - mean[i]) * (m[j] - mean[j]) for m, c in zip(self.means, self.covs)])
                for j in range(self.d)
            ]
            for i in range(self.d)
        ]

    @property
    def score(self):
        return [self.average([s[i] for s in self.scores]) for i in range(self.m * self.d)]

    @property
    def hessian(self):
        n, g = self.m * self.d, self.score
        return [
            [
                self.average([s[i] * s[j] - P[i, j] for s, P in zip(self.scores, self.precisions)]) - g[i] * g[j]
                for j in range(n)
            ]
            for i in range(n)
        ]


LAW = {
    "weights": [0.25, 0.75], "means": [[-1.0, 0.5], [0.75, 0.25]],
    "covariances": [[[0.5, 0.2], [0.2, 0.3]], [[1.25, -0.5], [-0.5, 0.75]]],
}  # fmt: skip
TOTAL, NEXT, YS = [1.5, -0.7], [0.3, 0.9], [[0.3, 0.9], [-0.4, 0.2], [1.1, -1.3]]
MEASURED = [{**LAW, "total": TOTAL, "m": m, "sigma": s} for m, s in ((1, 0.6), (3, 0.8), (4, 2.5))]
FURTHER = [{**case, "y": NEXT} for case in MEASURED]
JOINT = [{**LAW, "y": YS, "sigma": s} for s in (0.4, 1.5)]


def equal_shares(total, m):
    """m measurements with this sum: the posterior does not depend on which."""
    return [[v / m + (i - mp.mpf(m - 1) / 2) / 8 for v in total] for i in range(m)]


def after(weights, means, covariances, total, m, sigma, y=None):
    ys = equal_shares(total, m)
    return Joint(weights, means, covariances, ys if y is None else [*ys, y], sigma)


form("papers.log_concavity.measurements.posterior_mean", *MEASURED)(lambda **a: after(**a).mean)
form("papers.log_concavity.measurements.posterior_covariance", *MEASURED)(lambda **a: after(**a).covariance)


@form("papers.log_concavity.measurements.predictive_covariance", *MEASURED)
def predictive_covariance(**a):
    return [
        [v + (a["sigma"] ** 2 if i == j else 0) for j, v in enumerate(row)] for i, row in enumerate(after(**a).covariance)
    ]


@form("papers.log_concavity.measurements.posterior_mixture", *MEASURED)
def posterior_mixture(**a):
    """Weights, means, covariances."""
    q = after(**a)
    return [q.r, q.means, [c.tolist() for c in q.covs]]


@form("papers.log_concavity.measurements.predictive_mixture", *MEASURED)
def predictive_mixture(**a):
    q = after(**a)
    return [q.r, q.means, [(c + a["sigma"] ** 2 * mp.eye(q.d)).tolist() for c in q.covs]]


@form("papers.log_concavity.measurements.conditional_log_density", *FURTHER)
def conditional_log_density(y, **a):
    return after(**a, y=y).log_density - after(**a).log_density


form("papers.log_concavity.measurements.conditional_score", *FURTHER)(lambda **a: after(**a).score[-2:])
form("papers.log_concavity.measurements.conditional_hessian", *FURTHER)(
    lambda **a: [row[-2:] for row in after(**a).hessian[-2:]]
)
form("papers.log_concavity.measurements.joint_log_density", *JOINT)(
    lambda y, sigma, **law: Joint(**law, ys=y, sigma=sigma).log_density
)
form("papers.log_concavity.measurements.joint_score", *JOINT)(lambda y, sigma, **law: Joint(**law, ys=y, sigma=sigma).score)
form("papers.log_concavity.measurements.joint_hessian", *JOINT)(
    lambda y, sigma, **law: Joint(**law, ys=y, sigma=sigma).hessian
)

OBSERVED = [{**LAW, "y": NEXT, "sigma": s} for s in (0.1, 0.7, 4.0)]
AT = [{**LAW, "x": NEXT}, {**LAW, "x": [-2.5, 4.0]}]
form("laws.GaussianMixture.log_density", *AT)(lambda x, **law: Joint(**law, ys=[x], sigma=mp.mpf(0)).log_density)
form("laws.GaussianMixture.score", *AT)(lambda x, **law: Joint(**law, ys=[x], sigma=mp.mpf(0)).score)
form("laws.GaussianMixture.hessian", *AT)(lambda x, **law: Joint(**law, ys=[x], sigma=mp.mpf(0)).hessian)

form("papers.conditional_mean.cme", *OBSERVED)(lambda y, sigma, **law: Joint(**law, ys=[y], sigma=sigma).mean)


@form("papers.conditional_mean.posterior_variance", *OBSERVED)
def posterior_variance(y, sigma, **law):
    return mp.fsum(row[i] for i, row in enumerate(Joint(**law, ys=[y], sigma=sigma).covariance))


def moments(weights, means, covariances):
    total = mp.fsum(weights)
    d = range(len(means[0]))
    mean = [mp.fsum(w * m[i] for w, m in zip(weights, means)) / total for i in d]
    cov = [
        [
            mp.fsum(w * (C[i][j] + (m[i] - mean[i]) * (m[j] - mean[j])) for w, m, C in zip(weights, means, covariances))
            / total
            for j in d
        ]
        for i in d
    ]
    return mean, cov


form("laws.GaussianMixture.mean", LAW)(lambda **law: moments(**law)[0])
form("laws.GaussianMixture.covariance", LAW)(lambda **law: moments(**law)[1])


@form("papers.conditional_mean.lmmse", *OBSERVED)
def lmmse(y, sigma, **law):
    mean, cov = moments(**law)
    C = matrix(cov)
    solved = mp.lu_solve(C + sigma**2 * mp.eye(C.rows), mp.matrix([a - b for a, b in zip(y, mean)]))
    return [m + v for m, v in zip(mean, C * solved)]


@form("papers.conditional_mean.denoiser_laplacian", *({**LAW, "z": NEXT, "v": v} for v in (0.3, 2.0)))
def denoiser_laplacian(z, v, **law):
    """Second differences of the conditional mean itself, order 2 with step 1e-12: truncation 1e-24, rounding 1e-26."""
    h = mp.mpf(10) ** -12

    def at(x):
        return Joint(**law, ys=[x], sigma=mp.sqrt(v)).mean

    centre, total = at(z), [mp.mpf(0)] * len(z)
    for i in range(len(z)):
        up, down = (at([u + s * (j == i) for j, u in enumerate(z)]) for s in (h, -h))
        total = [t + (a - 2 * c + b) / h**2 for t, a, b, c in zip(total, up, down, centre)]
    return total


@form("papers.conditional_mean.reverse_kernel", *({**LAW, "z": NEXT, "v": 1.5, "v_next": u} for u in (0.0, 0.4)))
def reverse_kernel(weights, means, covariances, z, v, v_next):
    """Weights, means, covariances, by conditioning x + sqrt(v') n' on that plus an independent sqrt(v - v') n."""
    d, logs, out_means, out_covs = len(z), [], [], []
    for w, mu, C in zip(weights, means, covariances):
        A = matrix(C) + v_next * mp.eye(d)
        B = matrix(C) + v * mp.eye(d)
        gap = mp.matrix([a - b for a, b in zip(z, mu)])
        gain = A * B**-1
        logs.append(mp.log(w) + log_normal(list(gap), B))
        out_means.append([m + s for m, s in zip(mu, gain * gap)])
        out_covs.append((A - gain * A).tolist())
    e = [mp.exp(u - max(logs)) for u in logs]
    return [[u / mp.fsum(e) for u in e], out_means, out_covs]


@form("papers.conditional_mean.normalised", {**LAW, "power": 2.0})
def normalised(power, **law):
    """Means and covariances of the mixture with mean 0 and E |x|^2 = power."""
    mean, cov = moments(**law)
    s2 = power / mp.fsum(cov[i][i] for i in range(len(cov)))
    return [
        [[mp.sqrt(s2) * (a - b) for a, b in zip(m, mean)] for m in law["means"]],
        [[[s2 * v for v in row] for row in C] for C in law["covariances"]],
    ]


# ------------------------------------------------------------------------------------------- points, sets, one Gaussian

POINTS = {"points": [[0.0, 1.0], [2.0, 0.5], [-1.0, -1.5]], "weights": [0.2, 0.3, 0.5]}


def cloud_moments(points, weights):
    zero = [[mp.mpf(0)] * len(points[0]) for _ in points[0]]
    return moments(weights, points, [zero] * len(points))


form("laws.PointCloud.mean", POINTS)(lambda **c: cloud_moments(**c)[0])
form("laws.PointCloud.covariance", POINTS)(lambda **c: cloud_moments(**c)[1])


@form(
    "papers.log_concavity.certificates.largest_posterior_variance", *({**POINTS, "y": NEXT, "sigma2": s} for s in (0.3, 2.0))
)
def largest_posterior_variance(points, weights, y, sigma2):
    zero = [[mp.mpf(0)] * 2] * 2
    C = matrix(Joint(weights, points, [zero] * 3, [y], mp.sqrt(sigma2)).covariance)
    return max(mp.eigsy(C, eigvals_only=True))


@form("laws.GaussianMixture.prox", {"x": [1.5, -0.7], "lam": 0.3, **LAW}, {"x": [0.1, 0.4], "lam": 0.2, **LAW})
def prox_of_a_mixture(x, lam, weights, means, covariances):
    """Minimiser of |u - x|^2 / 2 - lam log p(u): Newton's method from the best of 25 starts."""
    d = len(x)

    def gradient(*u):
        q = Joint(weights, means, covariances, [list(u)], mp.mpf(0))
        return [u[i] - x[i] - lam * q.score[i] for i in range(d)]

    def objective(u):
        q = Joint(weights, means, covariances, [u], mp.mpf(0))
        return mp.fsum((a - b) ** 2 for a, b in zip(u, x)) / 2 - lam * q.log_density

    starts = [[x[0] + mp.mpf(i) / 2, x[1] + mp.mpf(j) / 2] for i in range(-2, 3) for j in range(-2, 3)]
    best = min(starts, key=objective)
    return list(mp.findroot(gradient, best, tol=1e-80))


# Noised measures on sets: all methods of one level from moments of the posterior, {name: value}

NOISED = ("log_density", "score", "hessian", "denoise", "posterior_covariance")


def noised(name, cases, moments_of, methods=NOISED):
    """File the methods of ``laws.<name>.noised``; ``moments_of`` gives (log density, mean, covariance) of X given x.

    Score and Hessian follow by differentiating under the integral: E (s X - x) / sigma^2 and so on.
    """
    for method in methods:

        def function(x, scale, sigma, method=method, **law):
            log, mean, cov = moments_of(x=x, scale=scale, sigma=sigma, **law)
            d = range(len(x))
            return {
                "log_density": lambda: log,
                "denoise": lambda: mean,
                "posterior_covariance": lambda: cov,
                "score": lambda: [(scale * mean[i] - x[i]) / sigma**2 for i in d],
                "hessian": lambda: [[scale**2 * cov[i][j] / sigma**4 - (i == j) / sigma**2 for j in d] for i in d],
            }[method]()

        form(f"laws.{name}.noised.{method}", *cases)(function)


def torus(radii, center, x, scale, sigma, nodes=160):
    """Averages over ``nodes`` angles of each circle: the error of the rule is I_160(kappa), below 1e-60 for kappa <= 10."""
    d, m = len(x), len(radii)
    log = mp.fsum(mp.log(1 / (sigma * mp.sqrt(2 * mp.pi))) for _ in range(d))
    log -= mp.fsum(((x[i] - scale * center[i]) / sigma) ** 2 for i in range(2 * m, d)) / 2
    mean, cov = [center[i] for i in range(d)], [[mp.mpf(0)] * d for _ in range(d)]
    for k, R in enumerate(radii):
        total, first, second = mp.mpf(0), [mp.mpf(0)] * 2, [[mp.mpf(0)] * 2 for _ in range(2)]
        for angle in range(nodes):
            u = [R * mp.cos(2 * mp.pi * angle / nodes), R * mp.sin(2 * mp.pi * angle / nodes)]
            gap = [x[2 * k + i] - scale * (center[2 * k + i] + u[i]) for i in range(2)]
            w = mp.exp(-(gap[0] ** 2 + gap[1] ** 2) / (2 * sigma**2)) / nodes
            total += w
            first = [f + w * v for f, v in zip(first, u)]
            second = [[s + w * u[i] * u[j] for j, s in enumerate(row)] for i, row in enumerate(second)]
        log += mp.log(total)
        first = [f / total for f in first]
        for i in range(2):
            mean[2 * k + i] += first[i]
            for j in range(2):
                cov[2 * k + i][2 * k + j] = second[i][j] / total - first[i] * first[j]
    return log, mean, cov


def subspace(basis, offset, x, scale, sigma, covariance=None):
    """Coefficients given x, as a Gaussian linear model in them: prior precision plus B^T B s^2 / sigma^2."""
    if covariance is None:
        return flat(basis, offset, x, scale, sigma)
    B, C, d = matrix(basis), matrix(covariance), len(x)
    gap = [a - scale * b for a, b in zip(x, offset)]
    S = scale**2 * B * C * B.T + sigma**2 * mp.eye(d)
    within = (C**-1 + (scale / sigma) ** 2 * B.T * B) ** -1
    mean = B * (within * (B.T * mp.matrix(gap))) * (scale / sigma**2)
    return log_normal(gap, S), [a + b for a, b in zip(offset, mean)], (B * within * B.T).tolist()


def flat(basis, offset, x, scale, sigma):
    """The same without a prior: least squares."""
    B = matrix(basis)
    inverse = (B.T * B) ** -1
    coefficients = inverse * (B.T * mp.matrix([a / scale - b for a, b in zip(x, offset)]))
    mean = [a + b for a, b in zip(offset, B * coefficients)]
    return None, mean, ((sigma / scale) ** 2 * B * inverse * B.T).tolist()


def noised_mixture(weights, means, covariances, x, scale, sigma):
    q = Joint(
        weights,
        [[scale * v for v in m] for m in means],
        [[[scale**2 * v for v in row] for row in C] for C in covariances],
        [x],
        sigma,
    )
    return q.log_density, [v / scale for v in q.mean], [[v / scale**2 for v in row] for row in q.covariance]


def noised_cloud(points, weights, x, scale, sigma):
    zero = [[mp.mpf(0)] * len(x)] * len(x)
    return noised_mixture(weights, points, [zero] * len(points), x, scale, sigma)


def noised_sphere(radius, dim, x, scale, sigma):
    """In R^3, where the Bessel functions are elementary."""
    assert dim == len(x) == 3
    r = mp.sqrt(mp.fsum(v * v for v in x))
    u, c = [v / r for v in x], scale * radius * r / sigma**2
    A = mp.coth(c) - 1 / c
    log = mp.log(mp.sinh(c) / c) - (r**2 + (scale * radius) ** 2) / (2 * sigma**2) - 3 * mp.log(2 * mp.pi * sigma**2) / 2
    along, across = radius**2 * (1 - A**2 - 2 * A / c), radius**2 * A / c
    cov = [[(along - across) * u[i] * u[j] + (i == j) * across for j in range(3)] for i in range(3)]
    return log, [radius * A * v for v in u], cov


SCALES = ((1.0, 0.5), (0.7, 1.5))
noised("GaussianMixture", [{**LAW, "x": NEXT, "scale": s, "sigma": t} for s, t in SCALES], noised_mixture)
noised("PointCloud", [{**POINTS, "x": NEXT, "scale": s, "sigma": t} for s, t in SCALES], noised_cloud)
noised(
    "Sphere", [{"radius": 1.5, "dim": 3, "x": [0.5, -1.0, 0.25], "scale": s, "sigma": t} for s, t in SCALES], noised_sphere
)
noised(
    "Torus",
    [
        {
            "radii": [1.0, 0.5],
            "center": [0.25, 0.0, -0.5, 0.125, 1.0],
            "x": [0.5, 0.75, -0.5, 0.25, 0.75],
            "scale": s,
            "sigma": t,
        }
        for s, t in ((1.0, 0.5), (0.7, 1.5))
    ],
    torus,
)
PLANE = {"basis": [[1.0, 0.5], [0.0, 2.0], [-1.0, 0.25]], "offset": [0.5, 0.0, 1.0], "x": [0.25, -1.5, 0.75]}
noised(
    "Subspace",
    [{**PLANE, "covariance": [[2.0, 0.3], [0.3, 0.5]], "scale": s, "sigma": t} for s, t in ((1.0, 0.4), (0.6, 1.3))],
    subspace,
)
noised("Subspace", [{**PLANE, "scale": s, "sigma": t} for s, t in ((1.0, 0.4), (0.6, 1.3))], subspace, NOISED[1:])
PRIOR = {**{k: v for k, v in PLANE.items() if k != "x"}, "covariance": [[2.0, 0.3], [0.3, 0.5]], "scale": 0.6, "sigma": 1.3}


@form("laws.Subspace.noised.mean", PRIOR)
def subspace_mean(basis, offset, covariance, scale, sigma):
    return [scale * v for v in offset]


@form("laws.Subspace.noised.covariance", PRIOR)
def subspace_covariance(basis, offset, covariance, scale, sigma):
    """Entry by entry: sum of s^2 B_ik C_kl B_jl, and sigma^2 on the diagonal."""
    d, m = range(len(offset)), range(len(covariance))
    return [
        [
            scale**2 * mp.fsum(basis[i][k] * covariance[k][l] * basis[j][l] for k in m for l in m) + (i == j) * sigma**2
            for j in d
        ]
        for i in d
    ]


# ----------------------------------------------------------------------------------------------------- distances, errors


@form("distances.mse", {"estimate": [[1.0, 0.3], [0.2, 0.5], [0.0, 1.0]], "truth": [[0.5, 0.1], [0.4, 0.5], [2.0, -1.0]]})
def mse(estimate, truth):
    """Value and standard error of the mean of the squared row errors."""
    e = [mp.fsum((a - b) ** 2 for a, b in zip(u, v)) for u, v in zip(estimate, truth)]
    n, mean = len(e), mp.fsum(e) / len(e)
    return [mean, mp.sqrt(mp.fsum((v - mean) ** 2 for v in e) / (n - 1) / n)]


@form("distances.coupling_bound", {"x": [[1.0, 0.3], [0.2, 0.5]], "y": [[0.5, 0.1], [0.4, 0.5]], "weights": [0.25, 0.75]})
def coupling_bound(x, y, weights):
    return mp.sqrt(mp.fsum(w * mp.fsum((a - b) ** 2 for a, b in zip(u, v)) for w, u, v in zip(weights, x, y)))


@form("distances.wasserstein_1d", *({"x": [0.3, 2.0, -1.0], "y": [0.1, 0.7], "p": p} for p in (2, 1)))
def wasserstein_1d(x, y, p):
    """Sorted rows, each split into equal shares of 1 / (n m)."""
    u = [v for v in sorted(x) for _ in y]
    v = [v for v in sorted(y) for _ in x]
    return (mp.fsum(abs(a - b) ** p for a, b in zip(u, v)) / len(u)) ** (mp.mpf(1) / p)


# ------------------------------------------------------------------------------------------------ walks on one Gaussian


@form(
    "papers.log_concavity.walk_jump.ULA.linear", {"k": 1.3, "unit": 1.0, "step": 0.2}, {"k": 0.2, "unit": 2.5, "step": 0.2}
)
def ula_linear(k, unit, step):
    """y' = y - h u k y + sqrt(2 h u) z: factor, and variance of the noise."""
    return [1 - step * unit * k, 2 * step * unit]


# --------------------------------------------------------------------------------------------------------------- bounds

BETAS = {"beta": [0.1, 0.3, 0.25, 0.05], "eta": 0.4}


@form("statements.projection.smallest_admissible_nu", BETAS)
def smallest_admissible_nu(beta, eta):
    """The largest ratio of both inequalities of Definition 4.1 over all partial products."""
    found, under, middle, over = mp.mpf(1), mp.mpf(1), mp.mpf(1), mp.mpf(1)
    for b in beta:
        under, middle, over = under * (1 + b * (eta - 1)), middle * (1 - b), over * (1 - b * (1 + eta))
        found = max(found, under / middle, middle / over)
    return found


form("statements.projection.admissibility_excess", {**BETAS, "nu": 1.2}, {**BETAS, "nu": 3.0})(
    lambda beta, eta, nu: mp.log(smallest_admissible_nu(beta, eta) / nu)
)


@form("statements.projection.largest_admissible_eta", {"beta": BETAS["beta"], "nu": 1.5})
def largest_admissible_eta(beta, nu):
    return mp.findroot(lambda eta: mp.log(smallest_admissible_nu(beta, eta) / nu), (mp.mpf("0.3"), mp.mpf("0.5")))


@form("statements.projection.admissible_limit_rates", {"eta": 0.3, "nu": 2.0})
def admissible_limit_rates(eta, nu):
    """N (log product_N - its limit) at N = 2^80, in 120 digits: the remainder is O(1/N)."""
    with mp.workdps(120):
        N = mp.mpf(2) ** 80
        rho = (1 - nu ** (-1 / N)) / eta
        beta = rho / (1 + rho)
        limit = mp.log(nu) / eta
        factors = ((1 - beta, 1), (1 - beta * (1 + eta), 1 + eta), (1 + beta * (eta - 1), 1 - eta))
        return [N * (N * mp.log(f) + limit * share) for f, share in factors]


@form("statements.projection.band_usage", {"distance": [0.3, 5.0], "sigma": [1.0, 1.0], "dimension": 3})
def band_usage(distance, sigma, dimension):
    r = [mp.sqrt(dimension) * s / d for s, d in zip(sigma, distance)]
    return [mp.exp(abs(mp.log(v))) for v in r]


@form("statements.projection.relative_error", {"estimate": [[0.3, 0.1]], "projection": [[0.0, 0.25]], "distance": [2.0]})
def relative_error(estimate, projection, distance):
    return [mp.hypot(a[0] - b[0], a[1] - b[1]) / d for a, b, d in zip(estimate, projection, distance)]


@form("statements.projection.half_smoothed_distance", {"half_squares": [[0.5, 0.7, 3.0], [1.0, 1.0, 200.0]], "sigma": 0.4})
def half_smoothed_distance(half_squares, sigma):
    return [-(sigma**2) * mp.log(mp.fsum(mp.exp(-h / sigma**2) for h in row)) for row in half_squares]


@form("statements.projection.smoothed_distance_hessian", {"covariance": [[[0.5, 0.1], [0.1, 0.2]]], "sigma": 0.7})
def smoothed_distance_hessian(covariance, sigma):
    return [[[(i == j) - v / sigma**2 for j, v in enumerate(row)] for i, row in enumerate(C)] for C in covariance]


@form(
    "statements.projection.near_set_error",
    {"distances": [[1.0, 1.5, 4.0]], "to_projection": [[0.0, 2.0, 4.5]], "alpha": 2.0, "eta": 0.1},
)
def near_set_error(distances, to_projection, alpha, eta):
    return [eta * min(d) + max(t for s, t in zip(d, p) if s <= alpha * min(d)) for d, p in zip(distances, to_projection)]


@form("statements.proximal.two_mode_curvature", {"m": 1.5, "v": 0.4})
def two_mode_curvature(m, v):
    """Second derivative of the logarithm of the equal mixture at 0, by differences in 50 digits."""
    h = mp.mpf(10) ** -12

    def log(x):
        return mp.log(mp.exp(-((x - m) ** 2) / (2 * v)) + mp.exp(-((x + m) ** 2) / (2 * v)))

    return (log(h) - 2 * log(mp.mpf(0)) + log(-h)) / h**2


@form("statements.foundations.ddim_gaussian_deviation", {"sigma": [3.0, 1.0, 0.4, 0.0], "s": 0.7})
def ddim_gaussian_deviation(sigma, s):
    return mp.fsum((a - b) ** 2 * s**2 / (2 * mp.sqrt(s * s + b * b) ** 3) for a, b in itertools.pairwise(sigma))


@form(
    "statements.conditional_mean.two_point_plateau",
    *({"snr": s} for s in (1e-3, 0.7, 6.3, 30.0, 143.0, 150.0, 200.0, 700.0, 1400.0)),
)
def two_point_plateau(snr):
    """By w = snr + sqrt(snr) g, times e^(snr/2): the quadrature stops at an absolute accuracy, and the values are small."""

    def lost(w):
        return mp.npdf(w, snr, mp.sqrt(snr)) * mp.exp(snr / 2) * (1 - mp.tanh(w))

    reach = min(16 * mp.sqrt(snr), 120)
    with mp.extradps(120):  # 1 - tanh cancels up to e^-240
        mmse = mp.exp(-snr / 2) * mp.quad(lost, mp.linspace(-reach, reach, 17))
    return [4 * mp.ncdf(-mp.sqrt(snr)), mmse]


@form("statements.log_concavity.discrete_prior_mmse", {**POINTS, "m": 3.0, "sigma": 2.0})
def discrete_prior_mmse(points, weights, m, sigma):
    total = mp.mpf(0)
    for (i, a), (j, b) in itertools.product(enumerate(points), repeat=2):
        r = mp.sqrt(mp.fsum((u - v) ** 2 for u, v in zip(a, b)))
        if i != j:
            total += weights[i] * r**2 * mp.quad(lambda t: mp.exp(-t * t / 2), [mp.sqrt(m) * r / (2 * sigma), mp.inf])
    return total / mp.sqrt(2 * mp.pi)


@form(
    "statements.log_concavity.ula_log_sobolev",
    {"k": [0.0, 5.0, 100.0], "h": 0.01, "a": 0.5, "L": 2.0, "dim": 3, "kl_start": 4.0},
)
def ula_log_sobolev(k, h, a, L, dim, kl_start):
    return [kl_start / mp.exp(a * h) ** v + 6 * dim * h * L * L / a for v in k]


@form("statements.log_concavity_thresholds.jung_radius", {"D": 2.0, "d": 1}, {"D": 3.0, "d": 4})
def jung_radius(D, d):
    """Circumradius of the regular simplex with d + 1 vertices e_i D / sqrt 2: the distance of one to their mean."""
    a = D / mp.sqrt(2)
    return mp.sqrt((a - a / (d + 1)) ** 2 + d * (a / (d + 1)) ** 2)


@form("statements.log_concavity_thresholds.curvature_bounds", {"m": [1.0, 2.0, 7.0], "sigma2": 0.8, "tau2": 0.5, "R": 1.2})
def curvature_bounds(m, sigma2, tau2, R):
    """1/sigma^2 - Cov[X | Y_1..m] / sigma^4 between Cov = tau2 sigma2 / (sigma2 + m tau2), Z constant, and Var Z = R^2."""
    low, high = [], []
    for k in m:
        within = 1 / (1 / tau2 + k / sigma2)
        gain = sigma2 / (sigma2 + k * tau2)
        high.append((1 - within / sigma2) / sigma2)
        low.append((1 - (within + (gain * R) ** 2) / sigma2) / sigma2)
    return [low, high]


def main():
    mp.mp.dps = DIGITS
    entries = [{"name": name, "arguments": case, **evaluate(name, case)} for name, case in CASES]
    text = json.dumps(entries, separators=(",", ":")).replace('},{"name"', '},\n{"name"')
    FILE.write_text(text + "\n", encoding="utf-8")
    print(f"{len(entries)} cases of {len(FORMS)} forms, {len(text) / 1e3:.0f} kB")


if __name__ == "__main__":
    main()
