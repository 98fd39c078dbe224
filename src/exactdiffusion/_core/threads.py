"""One BLAS thread per process: the matrices are small, and several processes with a thread per core slow each other down."""

import os
import sys

__all__ = ["VARIABLES", "one_thread"]

VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS")


def one_thread() -> None:
    """Set one BLAS thread for this process and its children, unless the environment already names a number."""
    if "OMP_NUM_THREADS" in os.environ or "OPENBLAS_NUM_THREADS" in os.environ:
        return
    for name in VARIABLES:
        os.environ.setdefault(name, "1")
    if "numpy" in sys.modules:  # its BLAS has read the environment already
        from threadpoolctl import threadpool_limits

        threadpool_limits(1)
