"""Array namespaces and the two transfer functions.

Public functions take NumPy, CuPy or torch arrays (anything that array-api-compat knows) and return arrays of the same
kind on the same device. Real input is computed in float64: float32 and integer arrays are promoted, complex and boolean
arrays are refused. Gradients are not followed: a torch tensor that requires them is detached, and so are results.
"""

from typing import Any

import array_api_compat as _compat
import numpy as np

from .typing import Array, ArrayLike, Namespace

__all__ = ["array_namespace", "device", "from_numpy", "is_numpy", "on_accelerator", "to_numpy", "workspace"]

_NUMPY = _compat.array_namespace(np.empty(0))


def array_namespace(*arrays: Any) -> Namespace:
    """Array-API namespace of the first array argument that has one; NumPy for lists and Python numbers.

    Example
    -------
    >>> import numpy as np
    >>> array_namespace([1.0, 2.0]) is array_namespace(np.ones(2))
    True
    """
    for a in arrays:
        if type(a) is not np.ndarray:
            break
    else:
        return _NUMPY
    found = [a for a in arrays if not isinstance(a, (np.generic, type)) and _compat.is_array_api_obj(a)]
    if not found:
        return _NUMPY
    non_numpy = [a for a in found if not _compat.is_numpy_array(a)]
    return _compat.array_namespace(*(non_numpy or found[:1]))


def is_numpy(xp: Namespace) -> bool:
    """True when ``xp`` is NumPy (directly or through array-api-compat).

    Example
    -------
    >>> is_numpy(array_namespace([0.0]))
    True
    """
    return _compat.is_numpy_namespace(xp)


def on_accelerator(x: Array) -> bool:
    """True for arrays in the memory of a GPU, where small blocks of work leave the device idle.

    Tensors of torch's meta device, shapes without numbers, go the way of a GPU: what it would do is counted on them.

    Example
    -------
    >>> import numpy as np
    >>> on_accelerator(np.ones(2))
    False
    """
    if _compat.is_torch_array(x):
        return x.device.type != "cpu"
    return _compat.is_cupy_array(x)


def workspace(x: Array) -> int:
    """Doubles of one temporary array of a blocked kernel on the device of x.

    A block of the CPU is 8 MB, so that the handful that a kernel holds stay within 64 MB; on a GPU it is 1 GiB, or a 32nd of
    the memory of the device where that is less: smaller products leave it idle. It depends on the device alone and not on
    what else uses it, so that results do not.

    Example
    -------
    >>> import numpy as np
    >>> workspace(np.ones(2))
    1048576
    """
    if _compat.is_torch_array(x) and x.device.type == "cuda":
        import torch

        total = torch.cuda.get_device_properties(x.device).total_memory
    elif _compat.is_cupy_array(x):
        total = x.device.mem_info[1]
    else:
        return (1 << 27) if on_accelerator(x) else 1 << 20
    return max(1 << 20, min(1 << 27, total // 256))


def device(x: Array) -> Any:
    """Device of an array (``"cpu"`` for NumPy).

    Example
    -------
    >>> import numpy as np
    >>> device(np.ones(2))
    'cpu'
    """
    return _compat.device(x)


def from_numpy(a: ArrayLike, like: Array) -> Array:
    """Transfer a NumPy array to the namespace and device of ``like``.

    Example
    -------
    >>> import numpy as np
    >>> from_numpy([1.0, 2.0], np.empty(0))
    array([1., 2.])
    """
    xp, a = array_namespace(like), np.asarray(a)
    if is_numpy(xp):
        return a
    # torch shares the memory where it can, warns where that is read-only and refuses negative strides.
    if not (a.flags.writeable and a.flags.c_contiguous):
        a = np.array(a, order="C")
    return xp.asarray(a, device=_compat.device(like))


def to_numpy(x: Array) -> np.ndarray:
    """Transfer an array to NumPy, from any device.

    Example
    -------
    >>> import numpy as np
    >>> to_numpy(np.arange(3))
    array([0, 1, 2])
    """
    if isinstance(x, np.ndarray):
        return x
    if _compat.is_cupy_array(x):
        return x.get()
    if _compat.is_torch_array(x):
        return x.detach().cpu().numpy()
    try:
        return np.asarray(x)
    except (TypeError, ValueError, RuntimeError):
        return np.from_dlpack(x)
