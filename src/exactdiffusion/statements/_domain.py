"""The domain in which a statement is proved, read from its declaration and checked at every call.

A declaration is a list of conditions on single arguments, separated by commas::

    domain="0 <= eta < 1, 1 <= nu < inf, N integer >= 1, 0 < h <= 2 / (a + L)"

A condition compares one argument, its subject, with numbers, other arguments or an arithmetic expression of them
(``+ - * /``, ``**``, ``inf``). Of ``v_next <= v`` the subject is the name on the left. The word ``integer`` after it asks
for one integer, ``number`` for one finite number; without such a word the argument may be an array, and every entry must
satisfy the condition. After ``whole`` it may be an array, too, and every entry is a whole number (3 or 3.0); ``weights``
asks for entries that are not negative and sum to 1 along the last axis, up to rounding. Conditions are checked in the order
of the declaration; an optional argument that is absent is not. Where ``<=`` or ``>=`` compares with an expression of other
arguments, its rounding is allowed for: which side of ``R**2 - tau2`` its own value falls on is up to the machine.
"""

import ast
import contextlib
import math
import operator
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import CodeType
from typing import Any

import numpy as np

from .._core.arrays import to_numpy
from .._core.validation import fail, integer, scalar

_COMPARISONS = {
    ast.Lt: ("<", operator.lt),
    ast.LtE: ("<=", operator.le),
    ast.Gt: (">", operator.gt),
    ast.GtE: (">=", operator.ge),
    ast.NotEq: ("!=", operator.ne),
}
_MIRROR = {"<": ">", "<=": ">=", ">": "<", ">=": "<=", "!=": "!="}
#: units of rounding of a limit that is computed from other arguments
ROUNDINGS = 16
_OPERATORS = {text: function for text, function in _COMPARISONS.values()}
_ARITHMETIC = (
    ast.Constant,
    ast.Name,
    ast.Load,
    ast.BinOp,
    ast.UnaryOp,
    ast.Add,
    ast.Sub,
    ast.Mult,
    ast.Div,
    ast.Pow,
    ast.USub,
)


@dataclass(frozen=True)
class Limit:
    """``subject comparison value``; ``text`` is the whole condition, ``others`` are the arguments in ``value``."""

    subject: str
    comparison: str
    value: str
    code: CodeType
    others: tuple[str, ...]
    text: str
    size: CodeType | None = None  # sum of the absolute values of the terms; None where nothing is computed

    def at(self, arguments: dict[str, Any]) -> Any:
        """The limit at these arguments; None where it hangs on an argument that is absent."""
        if any(arguments.get(name) is None for name in self.others):
            return None
        return eval(self.code, {"__builtins__": {}, "inf": math.inf}, arguments)  # names and arithmetic alone: `_limits`

    def rounding(self, arguments: dict[str, Any]) -> Any:
        """How far the limit may be off: `ROUNDINGS` eps of its terms where ``<=`` or ``>=`` compares with an expression."""
        if self.size is None or self.comparison not in ("<=", ">="):
            return 0.0
        sizes = {name: np.abs(arguments[name]) for name in self.others}
        return ROUNDINGS * np.finfo(np.float64).eps * eval(self.size, {"__builtins__": {}, "inf": math.inf}, sizes)

    def beside(self, arguments: dict[str, Any], value: Any, bound: Any) -> Any:
        """Whether ``value`` is inside, or outside by no more than the rounding of the limit."""
        slack = self.rounding(arguments)
        return _OPERATORS[self.comparison](value, bound + slack if self.comparison.startswith("<") else bound - slack)


class Domain:
    """The conditions of a declaration on the arguments ``names``.

    Raises
    ------
    ValueError
        for a declaration that does not follow the grammar, or that names no argument of the function.

    Examples
    --------
    >>> Domain("0 <= eta < 1", ["eta"]).check({"eta": 0.5}, {})
    {'eta': 0.5}
    """

    def __init__(self, text: str, names: Sequence[str]) -> None:
        self.text = " ".join(text.split())
        self.kinds: dict[str, str] = {}
        self.limits: list[Limit] = []
        for clause in filter(None, (part.strip() for part in self.text.split(","))):
            word = re.fullmatch(r"(\w+)\s+(integer|number|whole|weights)\b(.*)", clause)
            if word is not None:
                self.kinds[word[1]] = word[2]
                if word[1] not in names:
                    fail("domain", clause, f"a condition on one of {', '.join(names)}")
                if not word[3].strip():
                    continue
            self.limits += _limits(word[1] + word[3] if word else clause, names)

    def check(self, arguments: dict[str, Any], defaults: dict[str, Any]) -> dict[str, Any]:
        """``arguments`` with integers and numbers as such; a ValueError names the first that is outside, and its value.

        ``defaults`` are the values of absent arguments, of which None is left alone.
        """
        for name, kind in self.kinds.items():
            if arguments[name] is not None or defaults.get(name, 0) is not None:
                arguments[name] = _KINDS[kind](name, arguments[name])

        # every condition; an argument that is None has none
        for limit in self.limits:
            value = arguments[limit.subject]
            if value is None:
                continue
            try:
                bound = limit.at(arguments)
            except ArithmeticError as error:
                fail(limit.subject, value, f"{limit.text}, where {limit.value} is in the range of floats ({error})")
            except TypeError as error:  # a Decimal and a float, say
                fail(limit.subject, value, f"{limit.text}, with numbers of one kind in {limit.value} ({error})")
            if bound is None:
                continue

            # compare; at an end, rounding of the bound is allowed for
            try:
                inside = _OPERATORS[limit.comparison](value, bound)
            except ValueError:  # shapes that do not fit; a formula of arrays says more about them
                continue
            except TypeError as error:
                fail(limit.subject, value, f"{limit.text}, a comparison of numbers of one kind ({error})")
            if inside is True or inside is np.True_ or _everywhere(inside):
                continue
            with contextlib.suppress(TypeError, ValueError):  # numbers of other kinds have no rounding to allow for
                if limit.size is not None and _everywhere(limit.beside(arguments, value, bound)):
                    continue
            _refuse(limit, value, bound, inside)
        return arguments


def _whole(name, value):
    """``value``, of which every entry is a whole number; a symbol may be one."""
    try:
        numbers = np.asarray(to_numpy(value), dtype=np.float64)
    except (TypeError, OverflowError):  # a symbol, or an integer beyond the floats
        return value
    outside = ~np.isfinite(numbers) | (numbers != np.floor(numbers))
    if outside.any():
        index = tuple(map(int, np.argwhere(outside)[0]))
        here = f" (entry {index[0] if len(index) == 1 else index} is {float(numbers[index])!r})" if index else ""
        fail(name + here, value, "a whole number" + (" in every entry" if index else ""))
    return value


def _weights(name, value):
    """``value``, which holds nonnegative numbers with the sum 1 along the last axis, up to rounding."""
    try:
        numbers = np.asarray(to_numpy(value), dtype=np.float64)
    except TypeError:  # symbols
        return value
    expected = "weights that are not negative and sum to 1 along the last axis"
    if numbers.ndim == 0 or (numbers < 0).any():
        fail(name, value, expected)
    total = numbers.sum(axis=-1).ravel()
    # a sum of numbers that were divided by their sum; the allowance of `validation.weights`
    outside = ~(np.abs(total - 1) <= 1e-12 + 8 * np.finfo(np.float64).eps * numbers.shape[-1])
    if outside.any():
        fail(f"{name} (sum {float(total[np.argmax(outside)])!r})", value, expected)
    return value


_KINDS: dict[str, Callable[[str, Any], Any]] = {"integer": integer, "number": scalar, "whole": _whole, "weights": _weights}


class _Terms(ast.NodeTransformer):
    """Differences become sums, so that arguments by absolute value give the size of the terms."""

    def visit_Sub(self, node):
        return ast.Add()

    def visit_UnaryOp(self, node):
        return self.visit(node.operand)


def _limits(clause, names):
    """The limits of one condition."""
    grammar = "conditions such as '0 <= eta < 1', 'N integer >= 1', 'v_next <= v'"
    try:
        node = ast.parse(clause, mode="eval").body
    except SyntaxError:
        node = None
    if not isinstance(node, ast.Compare) or any(type(op) not in _COMPARISONS for op in node.ops):
        fail("domain", clause, grammar)

    # two or three terms, made of numbers, arguments and arithmetic alone
    parts = [node.left, *node.comparators]
    if len(parts) > 3:
        fail("domain", clause, grammar)
    for part in parts:
        for inner in ast.walk(part):
            if not isinstance(inner, _ARITHMETIC) or (isinstance(inner, ast.Name) and inner.id not in (*names, "inf")):
                fail("domain", clause, f"{grammar}, with names of arguments: {', '.join(names)}")

    # the subject: the middle term of three, else the one that is a bare name
    where = 1 if len(parts) == 3 or not isinstance(parts[0], ast.Name) else 0
    if not isinstance(parts[where], ast.Name) or parts[where].id not in names:
        fail("domain", clause, f"{grammar}, each with one argument as its subject")

    # one limit for each comparison, read from the subject
    found = []
    for i, op in enumerate(node.ops):
        comparison, other = _COMPARISONS[type(op)][0], parts[i + 1]
        if i + 1 == where:
            comparison, other = _MIRROR[comparison], parts[i]
        used = sorted({n.id for n in ast.walk(other) if isinstance(n, ast.Name)} - {"inf"})
        code = compile(ast.Expression(other), clause, "eval")
        size = None
        if used and any(isinstance(n, ast.BinOp) for n in ast.walk(other)):
            terms = ast.fix_missing_locations(_Terms().visit(ast.parse(ast.unparse(other), mode="eval")))
            size = compile(terms, clause, "eval")
        found.append(Limit(parts[where].id, comparison, ast.unparse(other), code, tuple(used), clause, size))
    return found


def _everywhere(inside):
    """Whether a comparison holds for every entry; one that cannot be decided (of symbols) is no refusal."""
    if isinstance(inside, np.ndarray):
        return bool(inside.all())
    try:
        if hasattr(inside, "__array_namespace__"):
            return bool(inside.__array_namespace__().all(inside))
        return bool(inside.all() if hasattr(inside, "all") else inside)
    except TypeError:
        return True


def _refuse(limit, value, bound, inside):
    """The ValueError: the argument, its first entry outside, the condition, and what the other arguments make of it."""
    name, outside = limit.subject, ~np.asarray(inside, dtype=bool)
    if np.ndim(value) and outside.shape == np.shape(value):
        index = tuple(map(int, np.argwhere(outside)[0]))
        name += f" (entry {index[0] if len(index) == 1 else index} is {float(np.asarray(value)[index])!r})"
    here = ""
    if limit.others and np.ndim(bound) == 0:
        here = f", where {limit.value} = {float(bound):.6g}"
    fail(name, value, limit.text + here)
