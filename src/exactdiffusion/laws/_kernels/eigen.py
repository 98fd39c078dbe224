"""Eigendecompositions whose small eigenvalues are right to full relative precision.

LAPACK's error is eps |C| in every eigenvalue and eps |C| / gap in the eigenvectors: with a condition number of 1e8 the
smallest variances, and with them the score at small sigma, keep 8 digits. Here the residual ``C U - U diag(lam)`` is formed
in more than the working precision, and its components in the basis U correct both (T. Ogita, K. Aishima, Iterative
refinement for symmetric eigenvalue decomposition, Japan J. Indust. Appl. Math. 35, 2018). Products are exact by splitting
into slices whose products float64 represents (K. Ozaki et al., Numer. Algorithms 59, 2012); the number of slices goes by
the condition number. Rounding the eigenvectors themselves to float64 is harmless: it moves z = U^T x by eps |x|, as rounding
x does.
"""

import math

import numpy as np

from ..base import EPS

# Eigenvalues below this share of the largest are not improved further.
_SMALLEST = 1e-24


def _split(a, bits, axis, count):
    """a = sum of ``count`` terms: slices of ``bits`` bits relative to the largest entry along ``axis``, and what is left."""
    out = []
    for _ in range(count - 1):
        top = np.max(np.abs(a), axis=axis, keepdims=True)
        shift = np.where(top > 0, np.ldexp(1.5, np.frexp(top)[1] + 52 - bits), 0.0)
        out.append((a + shift) - shift)
        a = a - out[-1]
    return [*out, a]


def _sum(terms):
    """(hi, lo) with hi + lo the sum of arrays: the rounding errors of the additions are collected (two-sum of Knuth)."""
    hi = lo = 0.0
    for p in terms:
        s = hi + p
        v = s - hi
        lo = lo + ((hi - (s - v)) + (p - v))
        hi = s
    s = hi + lo
    return s, lo - (s - hi)


def _bits(d):
    """Bits of a slice: a product of two such matrices of size d is exact in float64."""
    return (51 - math.ceil(math.log2(max(d, 2)))) // 2


def _products(A, B):
    """Terms whose sum is a @ b, for a and b split into as many terms: exact ones first, the smallest by plain products.

    With n terms of ``bits`` bits n (n + 1) / 2 products are right to about 2^-(bits (n - 1) + 53) of |a| |b|.
    """
    n = len(A)
    rest = [sum(B[j:]) for j in range(n)]
    for i in range(n):
        for j in range(n - 1 - i):
            yield A[i] @ B[j]
        yield (sum(A[i:]) if i == n - 1 else A[i]) @ rest[n - 1 - i]


def product(a, b):
    """(hi, lo) with hi + lo = a @ b, relative to max |a| max |b| right to about 2^-100."""
    bits = _bits(a.shape[1])
    return _sum(_products(_split(a, bits, 1, 4), _split(b, bits, 0, 4)))


def _defect(U):
    """1 - U^T U to about 1e-20."""
    head, rest = _split(U, _bits(len(U)), 0, 2)
    cross = (head + rest / 2).T @ rest
    return (np.eye(U.shape[1]) - head.T @ head) - (cross + cross.T)


def _residual(C, lam, U, count):
    """U^T (C U - U diag(lam)), and 1 - U^T U.

    The two terms of the first factor cancel to the rounding of U; what is left is multiplied by U^T as it is.
    """
    bits = _bits(len(C))
    parts = _split(U, bits, 0, count)
    head, low = _split(lam[None, :], 26, 1, 2)
    shifts = [-parts[0] * head, -parts[0] * low, -(U - parts[0]) * lam]
    return U.T @ _sum([*_products(_split(C, bits, 1, count), parts), *shifts])[0], _defect(U)


def refine(C, lam, U, rounds=8):
    """Eigenpairs of a symmetric matrix, improved from those of ``numpy.linalg.eigh``.

    Parameters
    ----------
    C : array (d, d)
        Symmetric matrix.
    lam, U : arrays (d,), (d, d)
        Its eigenvalues and eigenvectors to the accuracy of LAPACK.
    rounds : int
        Largest number of corrections.

    Returns
    -------
    lam, U : arrays (d,), (d, d)
        Ascending eigenvalues, each right to about eps of itself down to 1e-22 of the largest, and orthonormal vectors.

    Example
    -------
    >>> import numpy as np
    >>> C = np.array([[1.0, 1e-9], [1e-9, 2e-18]])
    >>> lam, _ = refine(C, *np.linalg.eigh(C))
    >>> bool(abs(lam[0] - 1e-18) < 1e-30)
    True
    """
    # Scaled by a power of 2, so that no slice under- or overflows.
    unit = 2.0 ** -math.frexp(np.max(np.abs(lam)))[1]
    C, lam, d = C * unit, lam * unit, len(lam)

    # As many slices as the smallest eigenvalue needs, and 6 bits. Those that are rounding may be anything above `_SMALLEST`.
    least = float(np.min(np.abs(lam[lam != 0])))
    least = least if least > d * EPS else _SMALLEST
    count = 1 + math.ceil((6 - math.log2(least)) / _bits(d))

    for _ in range(rounds):
        # Entry (i, j) of U^T (C - lam_j) U, whose size against lam_j - lam_i is the angle still to be turned.
        T, R = _residual(C, lam, U, count)
        change = np.diag(T) / (1 - np.diag(R))
        lam = lam + change
        residual = T + change * R
        np.fill_diagonal(residual, 0.0)
        off, gap = np.abs(residual), lam[None, :] - lam[:, None]

        # Pairs too close for a turn of first order are diagonalised as a block, in their own scale.
        close = (off > 1e-3 * np.abs(gap)) & (off > 4 * EPS * np.minimum(np.abs(lam)[:, None], np.abs(lam)))
        if close.any():
            U = U.copy()
            for g in _groups(close | close.T):
                ix, middle = np.ix_(g, g), lam[g[0]]
                # Orthonormal to first order: V^T (I + R / 2)^T S (I + R / 2) V.
                B = residual[ix] + (lam[g] - middle) * (np.eye(len(g)) - R[ix])
                _, V = np.linalg.eigh((B + B.T) / 2)
                U[:, g] = U[:, g] @ V
                lam[g] = np.sum(V * ((B + B.T) / 2 @ V), axis=0) + middle
            continue

        # All others are turned by the angle of first order.
        with np.errstate(divide="ignore", invalid="ignore"):
            E = np.where((off <= 1e-3 * np.abs(gap)) & (gap != 0), residual / gap, R / 2)
        np.fill_diagonal(E, np.diag(R) / 2)
        U = U + U @ E
        if np.max(np.abs(E)) < 1e-9:
            break

    # A turn leaves its square, and a null space, whose eigenvalues are rounding, may turn to the end: a deviation e
    # of U^T U from 1 would be an error e |z|^2 / v in the exponents.
    for _ in range(3):
        R = _defect(U)
        if np.max(np.abs(R)) <= 4 * EPS:
            break
        U = U + U @ (R / 2)
    order = np.argsort(lam)
    return lam[order] / unit, U[:, order]


def _groups(close):
    """Sorted indices of each connected group of a symmetric relation (d, d)."""
    todo = set(np.flatnonzero(close.any(axis=1)).tolist())
    while todo:
        block, front = set(), {todo.pop()}
        while front:
            i = front.pop()
            block.add(i)
            front |= set(np.flatnonzero(close[i]).tolist()) - block
        todo -= block
        yield np.array(sorted(block))
