"""The record of a statement and the decorator that files it."""

import functools
import inspect
import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, ParamSpec, Protocol, TypeVar, cast, overload

import numpy as np

from .._core.validation import fail, no_mask
from ._domain import Domain

__all__ = ["KINDS", "PAPERS", "REGISTRY", "TEXTS", "Filed", "Formula", "Statement", "guarded", "statement"]

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
    """One published (or derived) statement; in a file outside the package, one of the user's own.

    ``key`` is ``paper/function name``; ``ref`` the number in the paper (only where it is known); ``kind`` one of
    :data:`KINDS`; ``text`` one of :data:`TEXTS`: how far the wording is confirmed; ``module`` where it is filed; ``domain``
    the conditions on the arguments under which it is proved.

    Examples
    --------
    >>> from exactdiffusion.statements import projection
    >>> s = projection.beta_star.statement
    >>> s.key, s.paper, s.kind
    ('projection/beta_star', 'projection', 'tight')
    """

    key: str
    paper: str
    ref: str
    title: str
    kind: str
    text: str
    doc: str
    module: str = ""
    domain: str = ""

    @property
    def name(self) -> str:
        return self.key.partition("/")[2]


REGISTRY: dict[str, Statement] = {}

P = ParamSpec("P")
R_co = TypeVar("R_co", covariant=True)


class Formula(Protocol, Generic[P, R_co]):
    """What `guarded` makes of a function: the same call, with the ``domain`` that it checks and the bare ``formula``.

    Examples
    --------
    >>> from exactdiffusion.statements import projection
    >>> projection.beta_star.domain.text
    '0 <= eta < 1, 1 <= nu < inf, N integer >= 1, start_ratio > 0'
    >>> round(float(projection.beta_star.formula(1.5, 2.0, 10)), 4)  # outside the domain, for a control
    0.0427
    """

    __name__: str
    domain: Domain
    formula: Callable[..., Any]

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R_co:
        """The value of the formula."""
        ...


class Filed(Formula[P, R_co], Protocol):
    """What `statement` makes of a function: a `Formula` that knows its ``statement``.

    Examples
    --------
    >>> from exactdiffusion.statements import projection
    >>> projection.beta_star.statement.ref
    'Thm 4.3'
    """

    statement: Statement


def _argument(name, value):
    """A real number or an array of them as a formula takes it: lists as arrays, arrays and short floats in float64."""
    if isinstance(value, np.generic) and not isinstance(value, float) and value.dtype.kind in "biuf":
        value = value.item()  # a formula of NumPy's short numbers wraps around, or has 11 or 24 bits
    if isinstance(value, (list, tuple, np.ndarray)) or hasattr(value, "to_numpy"):
        no_mask(name, value)
        try:
            value = np.asarray(value)
        except (TypeError, ValueError):
            fail(name, value, "a real number or an array of them")
        if value.dtype.kind in "biuf":
            value = value.astype(np.float64, copy=False)
    kind = value.dtype.kind if isinstance(value, (np.ndarray, np.generic)) else None
    if kind == "O" and all(hasattr(v, "__float__") for v in value.flat):
        if any(map(_is_nan, value.flat)):
            fail(name, value, "numbers; NaN is none")
        return value  # numbers of another precision, or symbols
    if kind not in (None, "f") or not (hasattr(value, "__float__") or hasattr(value, "shape")):
        fail(name, value, "a real number or an array of them")
    if np.isnan(value).any() if isinstance(value, np.ndarray) else not hasattr(value, "shape") and _is_nan(value):
        fail(name, value, "numbers; NaN is none")
    return value


def _is_nan(number):
    """Whether a number of any precision is NaN; a symbol, which has no value, is not."""
    try:
        return math.isnan(number)
    except ValueError:  # a signalling NaN of the module decimal
        return True
    except (TypeError, OverflowError):  # a symbol; a fraction beyond the floats
        return False


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


@overload
def guarded(
    function: Callable[P, R_co],
    *,
    domain: str = "",
    nan: bool = False,
    texts: Sequence[str] = (),
    anything: Sequence[str] = (),
) -> Formula[P, R_co]: ...
@overload
def guarded(
    function: None = None, *, domain: str = "", nan: bool = False, texts: Sequence[str] = (), anything: Sequence[str] = ()
) -> Callable[[Callable[P, R_co]], Formula[P, R_co]]: ...
def guarded(
    function: Callable | None = None,
    *,
    domain: str = "",
    nan: bool = False,
    texts: Sequence[str] = (),
    anything: Sequence[str] = (),
) -> Any:
    """Check a formula's arguments against its domain, and its value: a number, or a ValueError that names arguments.

    An argument is a real number or an array of them, else a ValueError names it; so it does for one outside ``domain``
    (:class:`exactdiffusion.statements._domain.Domain`), with the condition. Where the formula has no value all the same (a
    shape that does not fit, numbers whose powers leave the range of floats), the ValueError names all arguments. Lists and
    columns of data frames become arrays, short floats and integer arrays float64; arrays of other namespaces and numbers of
    other precisions pass as they are.

    Parameters
    ----------
    domain : str
        The conditions on the arguments under which the statement is proved.
    nan : bool
        NaN is among the documented values of the function.
    texts : names of arguments that the function compares with words, and checks itself
    anything : names of arguments that are no numbers (a function, say)
    """
    if function is None:
        return lambda f: guarded(f, domain=domain, nan=nan, texts=texts, anything=anything)
    signature = inspect.signature(function)
    parameters = signature.parameters
    defaults = {name: p.default for name, p in parameters.items() if p.default is not p.empty}
    words = {*texts, *anything, *(name for name, default in defaults.items() if isinstance(default, str))}
    conditions = Domain(domain, tuple(parameters))
    named = re.compile(r"^(" + "|".join(re.escape(n) for n in parameters) + r")\b")

    @functools.wraps(function)
    def call(*args, **kwargs):
        given = signature.bind(*args, **kwargs)
        for name, value in given.arguments.items():
            if name not in words and not (name in defaults and value is defaults[name]):
                given.arguments[name] = _argument(name, value)

        stated = tuple(given.arguments)
        given.apply_defaults()

        # check the domain, then evaluate; warnings of NumPy say nothing beyond the value
        reason = None
        with np.errstate(all="ignore"):
            given.arguments.update(conditions.check(dict(given.arguments), defaults))
            try:
                result = function(*given.args, **given.kwargs)
            except ValueError as error:  # np.linalg.LinAlgError is one
                if named.match(str(error)):
                    raise
                reason = error
            except (ArithmeticError, TypeError, LookupError, AttributeError) as error:
                reason = error
        if reason is None and (nan or not _undefined(result)):
            return result

        # no value: an error that names the arguments
        because = f" ({type(reason).__name__}: {reason})" if reason is not None else ""
        text = f"numbers, in the shapes of the docstring, for which {function.__name__} has a value{because}"
        values = tuple(given.arguments[name] for name in stated)
        try:
            fail(", ".join(stated), values if len(values) > 1 else values[0], text)
        except ValueError as error:
            raise error from reason

    guard = cast(Formula, call)
    guard.domain = conditions
    guard.formula = function  # without its domain: for controls, which evaluate a bound where a hypothesis is dropped
    return guard


def statement(
    *,
    paper: str,
    ref: str,
    title: str,
    kind: str,
    text: str = "source",
    domain: str = "",
    nan: bool = False,
    texts: Sequence[str] = ("scheme", "kernel", "which"),
    anything: Sequence[str] = (),
) -> Callable[[Callable[P, R_co]], Filed[P, R_co]]:
    """File the decorated function's docstring as a statement; sets ``function.statement``. Arguments are `guarded`.

    Parameters
    ----------
    paper, ref, title, kind, text : str
        As in :class:`Statement`. Outside the package the paper may have any name in lower-case letters, digits and
        underscores.
    domain : str
        The conditions on the arguments under which it is proved, such as ``"0 <= eta < 1, nu >= 1, N integer >= 1"``
        (the grammar is in ``statements/_domain.py``); outside them the function raises a ValueError that names the argument.
    nan, texts, anything
        As in `guarded`.

    Raises
    ------
    ValueError
        for an unknown paper, kind or text, a missing docstring, a key that is taken, a domain that cannot be read.

    Examples
    --------
    >>> from exactdiffusion.statements import projection
    >>> projection.beta_star.statement.domain
    '0 <= eta < 1, 1 <= nu < inf, N integer >= 1, start_ratio > 0'
    >>> projection.beta_star(1.0, 2.0, 10)
    Traceback (most recent call last):
    ValueError: eta: got 1.0; expected 0 <= eta < 1
    """
    for name, value, known in (("kind", kind, KINDS), ("text", text, TEXTS)):
        if value not in known:
            raise ValueError(f"{name}: got {value!r}; expected one of {sorted(known)}")
    if paper not in PAPERS and not re.fullmatch("[a-z][a-z0-9_]*", paper):
        own = "or a name of your own in lower-case letters, digits and underscores"
        raise ValueError(f"paper: got {paper!r}; expected one of {sorted(PAPERS)}, {own}")

    def file(function: Callable[P, R_co]) -> Filed[P, R_co]:
        key = f"{paper}/{function.__name__}"
        doc = inspect.getdoc(function)
        if not doc:
            raise ValueError(f"{key}: a statement needs a docstring (hypotheses, conclusion, source)")

        # the papers of the package are fixed; a file of the user's own may be read again after an edit
        ours = function.__module__.partition(".")[0] == __name__.partition(".")[0]
        if ours and paper not in PAPERS:
            raise ValueError(f"paper: got {paper!r}; expected one of {sorted(PAPERS)} inside the package")
        filed_before = REGISTRY.get(key)
        again = filed_before is not None and not ours and filed_before.module == function.__module__
        if filed_before is not None and filed_before.doc != doc and not again:
            raise ValueError(f"{key}: this key is taken")
        filed = cast(Filed[P, R_co], guarded(function, domain=domain, nan=nan, texts=texts, anything=anything))
        filed.statement = REGISTRY[key] = Statement(
            key, paper, ref, title, kind, text, doc, function.__module__, filed.domain.text
        )
        return filed

    return file
