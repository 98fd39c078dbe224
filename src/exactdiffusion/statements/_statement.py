"""The record of a statement and the decorator that files it."""

import functools
import inspect
import math
import re
from dataclasses import dataclass

import numpy as np

from .._core.validation import fail, no_mask

#: short name -> (authors, title, where)
PAPERS = {
    "foundations": ("Robbins 1956; Miyasawa 1961; Efron 2011", "Tweedie's formula", "classical"),
    "projection": (
        "Permenter & Yuan",
        "Interpreting and Improving Diffusion Models from an Optimization Perspective",
        "ICML 2024, arXiv 2306.04848",
    ),
    "proximal": (
        "Fang, Diaz, Buchanan & Sulam",
        "Beyond Scores: Proximal Diffusion Models",
        "NeurIPS 2025, arXiv 2507.08956",
    ),
    "conditional_mean": (
        "Fesl, Boeck, Strasser, Baur, Joham & Utschick",
        "On the Asymptotic Mean Square Error Optimality of Diffusion Models",
        "AISTATS 2025, arXiv 2403.02957",
    ),
    "log_concavity": (
        "Saremi, Park & Bach",
        "Chain of Log-Concave Markov Chains",
        "ICLR 2024, arXiv 2305.19473",
    ),
}

KINDS = {
    "equality": "both sides agree on every instance",
    "tight": "an inequality that is attained",
    "upper": "an upper bound; attained nowhere that we know",
    "lower": "a lower bound; attained nowhere that we know",
    "asymptotic": "a limit or a rate",
    "definition": "an equivalence between a definition and the test used for it",
    "refuted": "false as printed; the corrected form is what is asserted",
}

TEXTS = {
    "source": "seen in the authors' own material",
    "transcribed": "read in a machine transcription of the authors' slides; the slides themselves were not at hand",
    "recalled": "wording not confirmed against the paper's full text; the form stated here is proved here",
    "derived": "not a statement of the paper; proved here",
    "classical": "textbook result",
}


@dataclass(frozen=True)
class Statement:
    """One published (or derived) statement.

    ``key`` is ``paper/function name``; ``ref`` the number in the paper (only where it is known); ``kind`` one of
    :data:`KINDS`; ``text`` one of :data:`TEXTS`: how far the wording is confirmed; ``module`` where it is filed.
    """

    key: str
    paper: str
    ref: str
    title: str
    kind: str
    text: str
    doc: str
    module: str = ""

    @property
    def name(self):
        return self.key.partition("/")[2]


REGISTRY: dict[str, Statement] = {}


_NOT_NUMBERS = (str, bytes, bytearray, complex, np.complexfloating, dict, set, frozenset, np.datetime64, np.timedelta64)


def _argument(name, value, default):
    """``value`` as a formula can take it: lists as arrays, arrays in float64; anything that is no number is refused."""
    if value is default or (isinstance(value, str) and isinstance(default, str)):
        return value
    if value is None or isinstance(value, _NOT_NUMBERS):
        fail(name, value, "a real number or an array of them")
    no_mask(name, value)
    if isinstance(value, (list, tuple)) or hasattr(value, "to_numpy"):  # and a column of a data frame
        try:
            array = np.asarray(value)
        except (TypeError, ValueError):
            fail(name, value, "a real number or an array of them")
        value = array
    if isinstance(value, np.ndarray):
        if value.dtype.kind == "O" and all(hasattr(v, "__float__") for v in value.flat):
            return value  # numbers of any precision, or symbols: left as they are
        if value.dtype.kind not in "biuf":
            fail(name, value, "a real number or an array of them")
        value = value.astype(np.float64, copy=False)
        if np.isnan(value).any():
            fail(name, value, "numbers; NaN is none")
    elif isinstance(value, (float, np.floating)) and math.isnan(value):
        fail(name, value, "a number; NaN is none")
    elif isinstance(value, (np.float16, np.float32)):
        value = float(value)  # otherwise it makes the whole formula one of 11 or 24 bits
    elif isinstance(value, np.integer):
        value = int(value)  # otherwise a product wraps around
    return value


def _undefined(result):
    """Whether there is a NaN or a complex number in what a formula gave."""
    if isinstance(result, dict):
        result = tuple(result.values())
    if isinstance(result, tuple):
        return any(_undefined(part) for part in result)
    if isinstance(result, np.ndarray) and result.dtype.kind == "f":
        return bool(np.isnan(result).any())
    if isinstance(result, (float, np.floating)):
        return math.isnan(result)
    if isinstance(result, np.ndarray):
        return result.dtype.kind == "c"
    return isinstance(result, (complex, np.complexfloating))


def guarded(function=None, *, nan=False, texts=(), anything=()):
    """Check what a formula is given and what it gives: a number, or a ValueError that names arguments.

    An argument that is no number (a string, None where it is no default, a complex number, a NaN) is a ValueError that
    names it. Where the formula has no value (a division by 0, a shape that does not fit, the root of a negative number),
    the ValueError names all arguments: which of them left the hypotheses is for the statement to say. Lists and columns
    of data frames become arrays, float32 and integer arrays float64, NumPy's float16, float32 and integer numbers
    Python's; arrays of other namespaces and numbers of other precisions pass as they are.

    Parameters
    ----------
    nan : bool
        NaN is among the documented values of the function.
    texts : names of arguments that the function compares with words, and checks itself
    anything : names of arguments that are no numbers (a function, say)
    """
    if function is None:
        return lambda f: guarded(f, nan=nan, texts=texts, anything=anything)
    signature = inspect.signature(function)
    parameters = signature.parameters
    unchecked = {*texts, *anything}
    named = re.compile(r"^(" + "|".join(re.escape(n) for n in parameters) + r")\b")

    @functools.wraps(function)
    def call(*args, **kwargs):
        given = signature.bind(*args, **kwargs)
        for name, value in given.arguments.items():
            if name not in unchecked:
                given.arguments[name] = _argument(name, value, parameters[name].default)
        reason = None
        try:
            with np.errstate(all="ignore"):
                result = function(*given.args, **given.kwargs)
        except ValueError as error:  # np.linalg.LinAlgError is one
            if named.match(str(error)):
                raise
            reason = error
        except (ArithmeticError, TypeError, LookupError, AttributeError) as error:
            reason = error
        if reason is None and (nan or not _undefined(result)):
            return result
        names = ", ".join(given.arguments)
        because = f" ({type(reason).__name__}: {reason})" if reason is not None else ""
        text = f"numbers, in the shapes of the docstring, for which {function.__name__} has a value{because}"
        values = tuple(given.arguments.values())
        try:
            fail(names, values if len(values) > 1 else values[0], text)
        except ValueError as error:
            raise error from reason

    return call


def statement(*, paper, ref, title, kind, text="source", nan=False, texts=("scheme", "kernel", "which"), anything=()):
    """File the decorated function's docstring as a statement; sets ``function.statement``. Arguments are `guarded`.

    Raises
    ------
    ValueError
        for an unknown paper, kind or text, a missing docstring, or a key that is taken.
    """
    for name, value, known in (("paper", paper, PAPERS), ("kind", kind, KINDS), ("text", text, TEXTS)):
        if value not in known:
            raise ValueError(f"{name}: got {value!r}; expected one of {sorted(known)}")

    def file(function):
        key = f"{paper}/{function.__name__}"
        doc = inspect.getdoc(function)
        if not doc:
            raise ValueError(f"{key}: a statement needs a docstring (hypotheses, conclusion, source)")
        if key in REGISTRY and REGISTRY[key].doc != doc:
            raise ValueError(f"{key}: this key is taken")
        function = guarded(function, nan=nan, texts=texts, anything=anything)
        function.statement = REGISTRY[key] = Statement(key, paper, ref, title, kind, text, doc, function.__module__)
        return function

    return file
