"""Eigendecompositions whose small eigenvalues are right to full relative precision.

LAPACK's error is eps |C| in every eigenvalue and eps |C| / gap in the eigenvectors: with a condition number
of 1e8 the smallest variances, and with them the score at small sigma, keep 8 digits. Here C is rotated by
the computed eigenvectors in twice the working precision, and what is left off the diagonal corrects them (T.
Ogita, K. Aishima, Iterative refinement for symmetric eigenvalue decomposition, Japan J. Indust. Appl. Math.
35, 2018). Products are exact by splitting into slices whose products float64 represents (K. Ozaki et al.,
Numer. Algorithms 59, 2012). Rounding the eigenvectors themselves to float64 is harmless: it
moves z = U^T x by eps |x|, as rounding x does.
"""

import math

import numpy as np

from ..base import EPS


def _slices(a, bits, axis):
    """a = sum of slices of ``bits`` bits relative to the largest entry along ``axis``."""
    out = []
    for _ in range(8):
        top = np.max(np.abs(a), axis=axis, keepdims=True)
        if not top.any():
            break
        _, e = np.frexp(top)
        shift = np.where(top > 0, np.ldexp(1.5, e + 52 - bits), 0.0)
        head = (a + shift) - shift
        out.append(head)
        a = a - head
    return out


def _exact_matmul(a, b, start=None):
    """(hi, lo) with hi + lo = start + a @ b, relative to max |a| max |b| right to about 2^-100."""
    d = a.shape[1]
    bits = (51 - math.ceil(math.log2(max(d, 2)))) // 2
    A, B = _slices(a, bits, 1), _slices(b, bits, 0)
    hi = np.zeros((a.shape[0], b.shape[1])) if start is None else np.array(start)
    lo = np.zeros_like(hi)
    for i, j in sorted(np.ndindex(len(A), len(B)), key=sum):
        p = A[i] @ B[j]
        s = hi + p
        v = s - hi
        lo += (hi - (s - v)) + (p - v)
        hi = s
    s = hi + lo
    return s, lo - (s - hi)


def refine(C, lam, U, rounds=8):
    """Eigenpairs (lam (d,), U (d, d)) of a symmetric matrix C, improved from those of
    ``numpy.linalg.eigh``."""
    d = len(lam)
    eye = np.eye(d)
    size = np.max(np.abs(lam))
    # Scaled by a power of 2, so that no slice under- or overflows.
    unit = 2.0 ** -math.frexp(size)[1]
    C = C * unit
    for _ in range(rounds):
        hi, lo = _exact_matmul(C, U)
        S, rest = _exact_matmul(U.T, hi)
        rest = rest + U.T @ lo
        R = sum(_exact_matmul(-U.T, U, eye))
        diagonal = (np.diag(S) + np.diag(rest)) / (1 - np.diag(R))
        # Entry (i, j) of U^T (C - lam_j) U, whose size against lam_j - lam_i is the angle still to be turned.
        residual = (S + rest) + diagonal * R
        gap = diagonal[None, :] - diagonal[:, None]
        # Pairs too close for a first-order turn are diagonalised as a block, in their own scale.
        off = np.abs(residual) * (1 - eye)
        close = (off > 1e-3 * np.abs(gap)) & (off > 4 * EPS * np.minimum(np.abs(diagonal)[:, None], np.abs(diagonal)))
        if close.any():
            close = close | close.T
            todo = set(np.flatnonzero(close.any(axis=1)).tolist())
            while todo:
                block, front = set(), {todo.pop()}
                while front:
                    i = front.pop()
                    block.add(i)
                    front |= set(np.flatnonzero(close[i]).tolist()) - block
                todo -= block
                g = np.array(sorted(block))
                ix = np.ix_(g, g)
                middle = S[g[0], g[0]]
                # Orthonormal to first order: V^T (I + R / 2)^T S (I + R / 2) V.
                B = (S[ix] - middle * np.eye(len(g))) + rest[ix] + middle * R[ix]
                _, V = np.linalg.eigh((B + B.T) / 2)
                U = U.copy()
                U[:, g] = U[:, g] @ V
            continue
        with np.errstate(divide="ignore", invalid="ignore"):
            E = np.where((off <= 1e-3 * np.abs(gap)) & (gap != 0), residual / gap, R / 2)
        np.fill_diagonal(E, np.diag(R) / 2)
        U = U + U @ E
        if np.max(np.abs(E)) < 1e-9:
            break
    # The last turn leaves its square, and a null space, whose eigenvalues are rounding, may turn to the end: a deviation e
    # of U^T U from 1 would be an error e |z|^2 / v in the exponents.
    for _ in range(3):
        R = sum(_exact_matmul(-U.T, U, eye))
        if np.max(np.abs(R)) <= 4 * EPS:
            break
        U = U + U @ (R / 2)
    order = np.argsort(diagonal)
    return diagonal[order] / unit, U[:, order]
