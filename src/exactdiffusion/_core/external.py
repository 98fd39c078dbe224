"""Functions of the user's own, named ``MODULE:FUNCTION`` or ``FILE.py:FUNCTION``."""

import contextlib
import functools
import hashlib
import importlib
import importlib.util
import inspect
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from .validation import fail

__all__ = ["free_name", "load_function", "source_of"]

_FILES: dict = {}  # (path, digest) -> module: a file is run once, and again after an edit


def load_function(
    name: str, text: str, expected: str = "MODULE:FUNCTION or FILE.py:FUNCTION", also: tuple[type, ...] = ()
) -> tuple[Callable[..., Any], str]:
    """The function that ``text`` names and the SHA-256 of its file; modules of the current folder are found.

    Parameters
    ----------
    name : str
        The argument that errors name.
    text : str
    expected : str
        The forms that errors name as expected.
    also : tuple of type
        Kinds of objects that are accepted beside functions.

    Raises
    ------
    ValueError
        Naming the argument: no such form, module, file or function, or a module that fails while it is imported.

    Examples
    --------
    >>> function, digest = load_function("fn", "math:sqrt")
    >>> function(4.0), len(digest)
    (2.0, 64)
    """
    module_name, colon, attribute = str(text).rpartition(":")
    if not colon or not module_name or not attribute.isidentifier():
        fail(name, text, expected)
    if module_name.endswith(".py") and not Path(module_name).is_file():
        fail(name, text, f"an existing file (there is no {Path(module_name).name} at {Path(module_name).parent})")
    try:
        module = _file(Path(module_name).resolve()) if module_name.endswith(".py") else _module(module_name)
        function = getattr(module, attribute)
        source = getattr(module, "__file__", None)  # None: built into the interpreter, whose version is recorded
        digest = hashlib.sha256(b"" if source is None else Path(source).read_bytes()).hexdigest()
    except (Exception, SystemExit) as error:
        raise ValueError(
            f"{name}: got {text!r}; expected an importable {expected} ({type(error).__name__}: {error})"
        ) from error
    if not callable(function) and not isinstance(function, also):
        fail(name, text, "a function" if not also else expected)
    return function, digest


def source_of(function: Callable[..., Any]) -> str | None:
    """SHA-256 of the file in which the user wrote ``function``, of its source in a notebook; None for the package's own.

    Records of a sweep are kept under it, so that they are not reused after an edit. The source of a function that was typed
    into an interpreter is unknown: its digest belongs to this process, and its records are never reused.

    Examples
    --------
    >>> source_of(free_name) is None
    True
    """
    function = inspect.unwrap(function)
    while isinstance(function, functools.partial):
        function = inspect.unwrap(function.func)
    if str(getattr(function, "__module__", None)).partition(".")[0] == __name__.partition(".")[0]:
        return None
    written = function if hasattr(function, "__code__") else type(function)
    try:
        try:
            source = Path(inspect.getfile(written)).read_bytes()
        except OSError:  # the cell of a notebook is in no file
            source = inspect.getsource(written).encode()
    except (OSError, TypeError):
        source = f"process {os.getpid()}, function {id(function)}".encode()
    return hashlib.sha256(source).hexdigest()


def free_name(kind: str, name: str, old: Callable[..., Any] | None, new: Callable[..., Any]) -> None:
    """ValueError where ``new``, under the name of ``old``, would replace a function of the package itself.

    One of the user's own is replaced: the same file may be imported under several names (run as a script, then named
    ``FILE.py:FUNCTION`` in a sweep).

    Examples
    --------
    >>> free_name("sampler", "ddim", ed.samplers.ddim, load_function)
    Traceback (most recent call last):
        ...
    ValueError: sampler: got 'ddim'; expected a name that no sampler of the package has, such as my_ddim
    >>> free_name("sampler", "halfway", None, lambda law, grid, x: x)
    """
    ours = old is not None and str(old.__module__).partition(".")[0] == __name__.partition(".")[0]
    if old is not None and ours and old.__module__ != new.__module__:
        fail(kind, name, f"a name that no {kind} of the package has, such as my_{name}")


@contextlib.contextmanager
def _importing(folder):
    # The path of a console script, and of its workers, does not start at the current folder.
    sys.path.insert(0, str(folder))
    try:
        yield
    finally:
        sys.path.remove(str(folder))
        if str(folder) not in sys.path:
            sys.path.append(str(folder))  # for imports inside the function, when it is called


def _module(module_name):
    with _importing(Path.cwd()):
        return importlib.import_module(module_name)


def _file(path):
    key = (path, hashlib.sha256(path.read_bytes()).hexdigest())
    if key not in _FILES:
        spec = importlib.util.spec_from_file_location(f"_external_{path.stem}", path)
        module = importlib.util.module_from_spec(spec)
        sys.modules[spec.name] = module
        with _importing(path.parent):
            spec.loader.exec_module(module)
        _FILES[key] = module
    return _FILES[key]
