"""Tables in float32 that an adapter did not widen: the same sampler, computing in float64 with the values of its tables."""

import functools
import importlib
from contextlib import contextmanager
from dataclasses import replace

from .subject import Subject

__all__ = ["widened_subject"]


def widened_subject(subject: Subject) -> Subject:
    """A torch sampler whose functions take and return float64 where they would take or return float32.

    This holds in worlds that widen tables. What is rounded in a table stays rounded, and the arithmetic with it is not:
    coefficients then agree to 1e-15 with those of a sampler whose levels are these.

    Examples
    --------
    >>> from exactdiffusion.conformance import subject_of
    >>> heun = subject_of("heun")
    >>> widened_subject(heun) is heun  # its arrays are NumPy's
    True
    """
    if subject.library != "torch":
        return subject

    def make(world):
        with _converted(world):
            drive = subject.make(world)

        def wide(world, steps):
            with _converted(world):
                drive(world, steps)

        return wide

    others = tuple(map(widened_subject, subject.others))
    return replace(subject, make=make, others=others)


@contextmanager
def _converted(world):
    """`World.wide`, and conversion of float32 tensors from outside the block, if this world widens tables."""
    if not world.widen:
        yield
        return
    single = importlib.import_module("torch").float32
    with world.wide(), _conversion(single):
        yield


def _conversion(single):
    """A mode of torch in which functions take and return float64 where they would take or return ``single``.

    Functions that write into their argument are left alone, since they would write into a copy.
    """
    overrides = importlib.import_module("torch.overrides")
    tensor = importlib.import_module("torch").Tensor

    def double(value):
        if isinstance(value, tensor):
            return value.double() if value.dtype is single else value
        return type(value)(map(double, value)) if type(value) in (list, tuple) else value

    @functools.cache
    def writes(function):
        name = getattr(function, "__name__", "")
        inner = name.startswith("__i") or name in ("__get__", "__set__", "__setitem__")
        return inner or (name.endswith("_") and not name.endswith("__"))

    class Conversion(overrides.TorchFunctionMode):
        def __torch_function__(self, function, types, args=(), kwargs=None):
            kwargs = kwargs or {}
            if writes(function) or kwargs.get("out") is not None:
                return function(*args, **kwargs)
            return double(function(*double(args), **{key: double(value) for key, value in kwargs.items()}))

    return Conversion()
