"""Reference values of the laws at 50 significant digits, written to laws.json.

    python tests/references/generate_laws.py

Mixtures and clouds are evaluated from their definition, in the precision form: ``S = s^2 C + sigma^2 I`` by
Cholesky, no eigenvectors, no shifts, numbers of 60 digits (what cancels is at most 1e24 against 1, and the
smallest weights e^-(1e24) need no digits of their own). Inputs are the floats stored in the file, read
exactly.

Every output comes with ``condition``, its sensitivity to relative perturbations of size 1 of the inputs,
evaluated at the same precision. With o_k the contribution of component k (its score g_k, posterior mean m_k,
or second moment about the mean), r_k its
responsibility, q_k = (x - s mu_k)^T S_k^-1 (x - s mu_k):

    condition = 1 + [ sum_k r_k |o_k - o| dl_k + sum_k r_k do_k ] / |o|

where do_k is the direct sensitivity of o_k to x and mu_k, and dl_k that of its logit: |g_k - g| |x| for the
query (the common part of the gradients moves all logits alike), and for the law's own numbers

    clouds    s |p|_max |g_k - g|:  together the eps (|x| + |p|) |p_1 - p_2| / sigma^2 of a tie
    mixtures  s |mu_k| |g_k| + q_k: means and the scale of covariances, which are independent inputs.

The condition number of a covariance matrix itself is never charged.
"""

import json
import sys
from pathlib import Path

import mpmath as mp
import numpy as np

DIGITS = 60
FILE = Path(__file__).with_name("laws.json")


def vec(a):
    return [mp.mpf(float(v)) for v in a]


def sub(a, b):
    return [u - v for u, v in zip(a, b)]


def norm(a):
    return mp.sqrt(mp.fdot(a, a))


def cholesky(S):
    n = len(S)
    L = [[mp.mpf(0)] * n for _ in range(n)]
    for i in range(n):
        for j in range(i + 1):
            v = S[i][j] - mp.fdot(L[i][:j], L[j][:j])
            L[i][j] = mp.sqrt(v) if i == j else v / L[j][j]
    return L


def inverse(L):
    """(L L^T)^-1."""
    n = len(L)
    M = [[mp.mpf(0)] * n for _ in range(n)]  # M = L^-T, stored by rows of L^-1 transposed: M[j][i] = (L^-1)[i][j]
    for j in range(n):
        for i in range(j, n):
            e = mp.mpf(1 if i == j else 0)
            M[j][i] = (e - mp.fdot(L[i][j:i], M[j][j:i])) / L[i][i]
    return [[mp.fdot(M[i], M[j]) for j in range(n)] for i in range(n)]


def times(A, v):
    return [mp.fdot(row, v) for row in A]


def frobenius(A):
    return mp.sqrt(mp.fsum(v * v for row in A for v in row))


def full(C, d):
    """Covariance of one component as a full matrix of mpf."""
    C = np.asarray(C, dtype=float)
    if C.ndim == 0:
        C = np.full(d, float(C))
    if C.ndim == 1:
        return [[mp.mpf(float(C[i])) if i == j else mp.mpf(0) for j in range(d)] for i in range(d)]
    return [[mp.mpf(float(C[i, j])) for j in range(d)] for i in range(d)]


class Level:
    """Components of a law at one noise level."""

    def __init__(self, law, scale, sigma):
        d = law["dim"]
        self.d, self.cloud = d, law["kind"] == "cloud"
        self.s, self.t = mp.mpf(scale), mp.mpf(sigma)
        s2, t2 = self.s**2, self.t**2
        self.w = vec(law["weights"])
        total = mp.fsum(self.w)
        self.w = [v / total for v in self.w]
        self.mu = [vec(m) for m in law["means"]]
        self.parts = []
        for k in range(len(self.w)):
            C = 0.0 if self.cloud else law["covariances"] if np.ndim(law["covariances"]) == 0 else law["covariances"][k]
            diagonal = np.ndim(C) < 2
            C = full(C, d)
            S = [[s2 * C[i][j] + (t2 if i == j else 0) for j in range(d)] for i in range(d)]
            if diagonal:
                P = [[1 / S[i][i] if i == j else mp.mpf(0) for j in range(d)] for i in range(d)]
                logdet = mp.fsum(mp.log(S[i][i]) for i in range(d))
            else:
                L = cholesky(S)
                P, logdet = inverse(L), 2 * mp.fsum(mp.log(L[i][i]) for i in range(d))
            # Posterior covariance of one component: C - s^2 C S^-1 C = (sigma^2 / s^2) (I - sigma^2 P) for s
            # > 0.
            V = [[(t2 / s2) * ((1 if i == j else 0) - t2 * P[i][j]) for j in range(d)] for i in range(d)]
            self.parts.append((P, logdet, V, frobenius(P)))

    def evaluate(self, x, probes):
        s, t, d = self.s, self.t, self.d
        x = vec(x)
        K = range(len(self.w))
        g, q, logits = [], [], []
        for k in K:
            P, logdet, _, _ = self.parts[k]
            z = sub(x, [s * v for v in self.mu[k]])
            Pz = times(P, z)
            g.append([-v for v in Pz])
            q.append(mp.fdot(z, Pz))
            logits.append(mp.log(self.w[k]) - (q[k] + logdet) / 2 if self.w[k] > 0 else mp.mpf("-inf"))
        top = max(logits)
        e = [mp.exp(v - top) if v > -mp.inf else mp.mpf(0) for v in logits]
        Z = mp.fsum(e)
        r = [v / Z for v in e]
        logp = top + mp.log(Z) - mp.mpf(d) / 2 * mp.log(2 * mp.pi)
        m = [[(xi + t**2 * gi) / s for xi, gi in zip(x, g[k])] for k in K]

        def average(o):
            return [mp.fsum(r[k] * o[k][i] for k in K) for i in range(len(o[0]))]

        score, mean = average(g), average(m)
        moment = []
        for k in K:
            V, D = self.parts[k][2], sub(m[k], mean)
            moment.append([V[i][j] + D[i] * D[j] for i in range(d) for j in range(d)])
        cov = average(moment)
        nx, top_mu = norm(x), max(norm(v) for v in self.mu)
        spread = [norm(sub(g[k], score)) for k in K]
        if self.cloud:
            dl = [spread[k] * (nx + s * top_mu) for k in K]
        else:
            dl = [spread[k] * nx + s * norm(self.mu[k]) * norm(g[k]) + q[k] for k in K]

        def condition(o, out, direct):
            a = mp.fsum(r[k] * norm(sub(o[k], out)) * dl[k] for k in K) + mp.fsum(r[k] * direct[k] for k in K)
            size = norm(out)
            return float(1 + a / size) if size else 0.0

        P_norm = [self.parts[k][3] for k in K]
        nmu = [norm(v) for v in self.mu]
        # m_k = (s C S^-1) x + (sigma^2 S^-1) mu, both factors at most 1/s and 1 in norm.
        dm = [min(1, t**2 * P_norm[k]) * nmu[k] + (frobenius(self.parts[k][2]) * s / t**2) * nx for k in K]
        # log p itself moves with its gradient, and by the scale of the terms that are added up.
        common = norm(score) * (nx + s * top_mu)
        logs = common + mp.fsum(r[k] * (dl[k] + q[k] + abs(self.parts[k][1]) + abs(logits[k])) for k in K if r[k] > 0) + d
        D = [norm(sub(m[k], mean)) for k in K]
        C = [cov[i * d : (i + 1) * d] for i in range(d)]
        return {
            "log_density": [float(logp)],
            "score": [float(v) for v in score],
            "denoise": [float(v) for v in mean],
            "posterior_covariance": [float(v) for p in probes for v in times(C, vec(p))],
            "condition": {
                "log_density": float(1 + logs / abs(logp)),
                "score": condition(g, score, [P_norm[k] * (nx + s * nmu[k]) for k in K]),
                "denoise": condition(m, mean, dm),
                "posterior_covariance": condition(moment, cov, [2 * D[k] * dm[k] for k in K]),
            },
        }


def probes(d):
    """The identity for small d; beyond, two sign vectors (the file holds C @ v for every row v)."""
    if d <= 8:
        return np.eye(d).tolist()
    i = np.arange(d)
    return [[1.0 - 2.0 * (v % 3 == 0) for v in i], [1.0 - 2.0 * ((v * v) % 7 < 3) for v in i]]


def bessel(k, kappa):
    """(A / kappa, A', log mean of exp(kappa (u_1 - 1))) for the sphere in R^k, from I_v at 50 digits more
    than what cancels."""
    with mp.workdps(110):
        v, c = mp.mpf(k) / 2, mp.mpf(kappa)
        below = mp.besseli(v - 1, c, maxterms=10**7)
        A = mp.besseli(v, c, maxterms=10**7) / below
        log = mp.log(mp.gamma(v) * (2 / c) ** (v - 1) * below) - c
        return [float(A / c), float(1 - A * A - (k - 1) * A / c), float(log)]


def sphere(n, radius, scale, sigma, r):
    """Sphere of R^n about 0 at a query of norm r: length of the denoiser, Cov along and across x, log
    density, conditions."""
    with mp.workdps(110):
        R, s, t, r, d = mp.mpf(radius), mp.mpf(scale), mp.mpf(sigma), mp.mpf(r), mp.mpf(n)
        c, v = s * R * r / t**2, d / 2
        below = mp.besseli(v - 1, c, maxterms=10**7)
        A = mp.besseli(v, c, maxterms=10**7) / below
        mean = mp.log(mp.gamma(v) * (2 / c) ** (v - 1) * below)
        logp = mean - (r * r + (s * R) ** 2) / (2 * t * t) - d / 2 * mp.log(2 * mp.pi * t * t)
        slope = abs(s * R * A - r) / t**2
        # Logarithms of sizes (d / 2) log and of the Bessel function are added up; the rest is the gradient.
        terms = slope * (r + s * R) + abs(mean - c) + d / 2 * abs(mp.log(2 * mp.pi * t * t)) + d
        return {
            "length": float(R * A),
            "along": float(R**2 * (1 - A * A - (d - 1) * A / c)),
            "across": float(R**2 * A / c),
            "log_density": float(logp),
            "condition": float(1 + terms / abs(logp)),
        }


def spd(rng, d, condition, size=1.0):
    Q, _ = np.linalg.qr(rng.normal(size=(d, d)))
    lam = size * np.geomspace(1.0, 1.0 / condition, d) if d > 1 else np.array([size])
    C = (Q * lam) @ Q.T
    return (C + C.T) / 2


def singular(rng, d):
    """Exactly singular: A A^T with small integers, divided by a power of 2."""
    A = rng.randint(-3, 4, size=(d, max(1, d // 2))).astype(float)
    return A @ A.T / 16


def laws():
    rng = np.random.RandomState(20240611)
    out = []
    tiny = [1e-12, 0.3, 0.7 - 1e-12]

    def add(name, kind, weights, means, covariances=None):
        means = np.asarray(means)
        out.append(
            {
                "name": name,
                "kind": kind,
                "dim": means.shape[1],
                "weights": [float(v) for v in weights],
                "means": means.tolist(),
                "covariances": None if covariances is None else np.asarray(covariances).tolist(),
            }
        )

    for d in (1, 2, 3, 8):
        mu = rng.normal(size=(3, d))
        add("full-1e2", "mixture", [0.2, 0.3, 0.5], mu, [spd(rng, d, 1e2) for _ in range(3)])
        add("full-1e8", "mixture", tiny, 3 * mu, [spd(rng, d, c) for c in (1e4, 1e8, 1e8)])
        add(
            "singular",
            "mixture",
            [0.25, 0.25, 0.5],
            mu,
            [singular(rng, d), np.zeros((d, d)), spd(rng, d, 10)],
        )
        add("diagonal", "mixture", tiny, mu, np.exp(rng.uniform(-9, 9, size=(3, d))) * (rng.rand(3, d) > 0.2))
        add("isotropic", "mixture", [0.2, 0.3, 0.5], mu, [0.0, 1e-4, 2.0])
        add("atoms", "mixture", tiny, mu, 0.0)
        w = rng.rand(12)
        w[:2] = 1e-12, 1e-6
        add("cloud", "cloud", w / w.sum(), rng.normal(size=(12, d)))
        shifted = 1000 + rng.normal(size=(12, d))
        shifted[1] = shifted[0] + 1e-3
        add("cloud-shifted", "cloud", np.full(12, 1 / 12), shifted)
    d = 64
    mu = rng.normal(size=(2, d))
    add("full-1e8", "mixture", [1e-12, 1 - 1e-12], mu, [spd(rng, d, 1e8), spd(rng, d, 1e6)])
    add("diagonal", "mixture", [0.4, 0.6], mu, np.exp(rng.uniform(-9, 9, size=(2, d))))
    add("isotropic", "mixture", [0.4, 0.6], mu, [0.0, 0.5])
    add("cloud", "cloud", np.full(8, 1 / 8), rng.randint(0, 17, size=(8, d)) / 16.0)
    return out


def draw(law, rng, scale, sigma, how):
    """A query: "typical" is a draw of the noised law, "far" off it by several widths, "tie" near equal
    distance of two means."""
    w, mu, d = np.asarray(law["weights"]), np.asarray(law["means"]), law["dim"]
    k = int(np.searchsorted(np.cumsum(w), rng.rand()))
    k = min(k, len(w) - 1)
    z = rng.normal(size=d)
    if how == "tie":
        a, b = mu[-1], mu[-2]
        near = sigma**2 / max(np.linalg.norm(a - b), 1e-300)
        return scale * (a + b) / 2 + min(near, 0.3) * z
    C = law["covariances"]
    if C is None:
        base = mu[k]
    else:
        C = np.asarray(C)
        C = C if C.ndim == 0 else C[k]
        e = rng.normal(size=d)
        base = mu[k] + (np.linalg.cholesky(C + 1e-13 * np.eye(d)) @ e if C.ndim == 2 else np.sqrt(C) * e)
    return scale * base + sigma * z * (1.0 if how == "typical" else 5.0)


def cases(all_laws):
    rng = np.random.RandomState(7)
    out = []
    for i, law in enumerate(all_laws):
        d = law["dim"]
        exponents = (-6, -3, -1, 0, 1, 3, 6) if d == 64 else range(-6, 7)
        for e in exponents:
            for how in ("typical", "tie") if d == 64 else ("typical", "far", "tie"):
                if d == 8 and how == "far":
                    continue
                scale = 1.0 if rng.rand() < 0.7 else float(np.round(rng.uniform(0.05, 1.5), 3))
                sigma = 10.0**e
                out.append(
                    {
                        "law": i,
                        "scale": scale,
                        "sigma": sigma,
                        "how": how,
                        "x": draw(law, rng, scale, sigma, how).tolist(),
                    }
                )
    return out


def solve(all_laws, case, cache):
    law = all_laws[case["law"]]
    key = (case["law"], case["scale"], case["sigma"])
    if key not in cache:
        cache.clear()
        cache[key] = Level(law, case["scale"], case["sigma"])
    return cache[key].evaluate(case["x"], probes(law["dim"]))


def main():
    mp.mp.dps = DIGITS
    all_laws = laws()
    todo = cases(all_laws)
    cache = {}
    for n, case in enumerate(todo):
        case |= solve(all_laws, case, cache)
        if n % 100 == 0:
            print(n, len(todo), file=sys.stderr)
    ratios = [
        {"k": k, "kappa": kappa, "value": bessel(k, kappa)}
        for k in (2, 3, 8, 64, 3072)
        for kappa in (1e-8, 1e-3, 0.1, 1.0, 7.0, 31.9, 32.1, 50.0, 300.0, 1e3, 1e4, 1e5, 1e6, 1e8)
    ]
    spheres = []
    for n, r in (
        (4, 0.5),
        (64, 4.0),
        (1024, 24.0),
        (3136, 7.0),
    ):  # queries with all coordinates r / sqrt(n), exact floats
        for e in range(-3, 7):
            for scale in (1.0, 0.625):
                entry = {
                    "n": n,
                    "radius": 1.5,
                    "scale": scale,
                    "sigma": 10.0**e,
                    "coordinate": r / float(np.sqrt(n)),
                }
                spheres.append(entry | sphere(n, 1.5, scale, 10.0**e, r))
    text = json.dumps({"laws": all_laws, "cases": todo, "bessel": ratios, "spheres": spheres}, separators=(",", ":"))
    FILE.write_text(text.replace("},{", "},\n{") + "\n", encoding="utf-8")
    print(f"{len(todo)} cases, {len(text) / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
