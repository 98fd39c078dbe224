"""Importing samplers of packages whose ``__init__`` needs what is not installed: torchvision, accelerate, clip."""

import importlib
import importlib.util
import sys
import types
from collections.abc import Iterable
from types import ModuleType

__all__ = ["module_without_init"]


class _Anything(ModuleType):
    """A module in which every name exists: a class that does nothing."""

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        return type(name, (), {"__init__": lambda self, *a, **k: None, "device": "cpu"})


def module_without_init(package: str, module: str, absent: Iterable[str]) -> ModuleType:
    """Import ``package.module`` without running the package's ``__init__``.

    Parameters
    ----------
    package, module : str
    absent : iterable of str
        Modules that are replaced by empty stand-ins while the import runs, where they are not installed.

    Raises
    ------
    ImportError
        if the package is not installed.
    """
    name = f"{package}.{module}"
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise ImportError(f"{package} is not installed: pip install --no-deps {package.replace('_', '-')}")

    # a bare package, and stand-ins for what its modules import and its samplers do not use
    stand_ins = {package: types.ModuleType(package), **{key: _Anything(key) for key in absent if _missing(key)}}
    stand_ins[package].__path__ = list(spec.submodule_search_locations)
    before = {key: sys.modules.get(key) for key in stand_ins}
    sys.modules.update(stand_ins)
    try:
        return importlib.import_module(name)
    finally:
        for key, value in before.items():
            if value is None:
                sys.modules.pop(key, None)
            else:
                sys.modules[key] = value


def _missing(name):
    try:
        return importlib.util.find_spec(name) is None
    except (ImportError, ValueError):
        return True
