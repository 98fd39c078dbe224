"""Begin a theorem: ``exactdiffusion new theorem PAPER/NAME`` writes its statement and its theory file.

Both are a small worked example, the ideal denoiser of a Gaussian, which passes as it stands; the lines to change say EDIT.
A statement is a function of ``statements/<paper>.py``, its check a file ``theory/<paper>/eq_<name>.py``; nothing else needs
to be written by hand.
"""

import ast
import builtins
import importlib
import keyword
import re
from pathlib import Path

from .._core.typing import StrPath
from .._core.validation import choice, fail
from ..statements import PAPERS, all_statements

__all__ = ["run", "theorem"]

_STATEMENT = '''

@statement(
    paper="{paper}",
    ref="EDIT: number",
    title="EDIT: the ideal denoiser of a Gaussian",
    kind="equality",  # EDIT: equality, tight, upper, lower, asymptotic, definition
    text="derived",  # EDIT: source, transcribed, recalled, derived, classical
    domain="s > 0, sigma > 0",
)
def {name}(x: Array, s: Numbers, sigma: Numbers) -> Array:
    r"""EDIT: one line. The ideal denoiser of a centred Gaussian shrinks towards 0.

    **Hypotheses.** EDIT. X ~ N(0, s^2 I), Y = X + sigma N with N ~ N(0, I) independent of X, s > 0, sigma > 0.

    **Conclusion (equality).** EDIT.

    .. math:: E[X \\mid Y = x] = \\frac{{s^2}}{{s^2 + \\sigma^2}}\\, x .

    Proof: X and Y are jointly Gaussian with Cov(X, Y) = s^2 I and Cov(Y) = (s^2 + sigma^2) I.

    **Source.** EDIT. Derived here.

    Parameters
    ----------
    x : (n, d) array
        Noisy points.
    s, sigma : numbers > 0
        Standard deviations of X and of the noise.

    Returns
    -------
    (n, d) array
    """
    return s**2 / (s**2 + sigma**2) * x
'''

_CHECK = '''"""EDIT: The theorem in words. The ideal denoiser of N(0, s^2 I) is s^2 / (s^2 + sigma^2) x.

EDIT: hypotheses, conclusion, source. Suppose that

    (H1)  the law of X is Gaussian,
    (H2)  its mean is 0 and its covariance s^2 I, s > 0,

and let Y = X + sigma Z with Z ~ N(0, I) independent of X and sigma > 0. Then

    E[X | Y = x]  =  s^2 / (s^2 + sigma^2) x.

Source: EDIT: where it is stated, and how far its wording is confirmed. Derived here.

Measured by the exact denoiser of the law, at points of every size, for ratios sigma / s from 1e-3 to 1e3 and several
dimensions. The parts that other kinds of statements need (holds, tight, rate) are shown in `theory/_template.py`.
"""

import numpy as np

from exactdiffusion import GaussianMixture, PointCloud
from exactdiffusion.statements import {module} as bound

STATEMENT = bound.{name}.statement
EPS = np.finfo(np.float64).eps
CASES = [(s, ratio * s, d) for s in (0.05, 0.7, 3.0) for ratio in (1e-3, 0.5, 1.0, 4.0, 1e3) for d in (1, 3, 20)]


def points(s, sigma, d):
    """Noisy points, from well inside to far outside: (60, d)."""
    rng = np.random.default_rng(d)
    return np.repeat([0.1, 1.0, 10.0], 20)[:, None] * np.hypot(s, sigma) * rng.standard_normal((60, d))


# -- the theorem holds -----------------------------------------------------------------------------------------------------


def test_hypotheses(check):
    for s, sigma, d in CASES:
        law = GaussianMixture(None, np.zeros((1, d)), s**2)
        centred = not law.mean.any() and np.allclose(law.covariance, s**2 * np.eye(d), rtol=1e-15, atol=0)
        check.hypothesis("X ~ N(0, s^2 I)", centred, on=f"s {{s:g}}, sigma {{sigma:g}}, d {{d}}")


def test_equal(check):
    """EDIT: the statement itself, measured by an oracle that does not use its formula."""
    for s, sigma, d in CASES:
        x = points(s, sigma, d)
        measured = GaussianMixture(None, np.zeros((1, d)), s**2).noised(1.0, sigma).denoise(x)
        tol, cause = 16 * EPS * np.abs(x), "rounding: 16 eps |x|, a dozen operations on numbers of at most that size"
        check.equal(measured, bound.{name}(x, s, sigma), tol=tol, cause=cause, on=f"s {{s:g}}, sigma {{sigma:g}}, d {{d}}")


# -- every hypothesis counts -----------------------------------------------------------------------------------------------


def test_controls(check):
    """EDIT: one block per hypothesis, in order: without it the same assertion fails."""
    s, sigma = 0.7, 0.5
    x = points(s, sigma, 1)

    # (H1) two atoms of the same mean and variance
    atoms = PointCloud([[-s], [s]]).noised(1.0, sigma).denoise(x)
    error = np.abs(atoms - bound.{name}(x, s, sigma))
    check.control("X Gaussian (two atoms at -s and s)", error, 16 * EPS * np.abs(x), on="s 0.7, sigma 0.5")

    # (H2) another mean
    law = GaussianMixture(None, [[1.0]], s**2).noised(1.0, sigma)
    error = np.abs(law.denoise(x) - bound.{name}(x, s, sigma))
    check.control("X centred (mean 1)", error, 16 * EPS * np.abs(x), on="s 0.7, sigma 0.5")
'''

_NEXT = """\
1. State it: edit the function at the end of {statement} (lines that say EDIT).
2. Measure it: edit {check}, then run `exactdiffusion verify {stem}`.
3. File it: `exactdiffusion verify --update` writes theory/*/expected.toml and paper_checks.md; nothing else is needed."""


def _listed(source: str, name: str) -> str:
    """The source of a module whose ``__all__`` has this name, too: constants first, then classes, then functions."""
    found = re.search(r"^__all__ = (\[.*?\])$", source, re.DOTALL | re.MULTILINE)
    if found is None:
        return source
    names = {*ast.literal_eval(found[1]), name}
    quoted = [f'"{n}"' for n in sorted(names, key=lambda n: (not n.isupper(), n[0].islower(), n))]
    line = f"__all__ = [{', '.join(quoted)}]"
    text = line if len(line) <= 125 else "__all__ = [\n    " + ",\n    ".join(quoted) + ",\n]"
    return source[: found.start()] + text + source[found.end() :]


def _names(source: str) -> set[str]:
    """Names that a module imports or defines, at any depth."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            found.add(node.name)
        elif isinstance(node, ast.alias):
            found.add((node.asname or node.name).partition(".")[0])
    return found


def theorem(name: str, root: StrPath | None = None) -> tuple[Path, Path]:
    """Write the two files of a new theorem.

    Parameters
    ----------
    name : str
        ``PAPER/NAME``: one of the papers of :data:`exactdiffusion.statements.PAPERS`, and the name of the function, in
        lower-case ASCII letters, digits and underscores. It is free where no statement of the paper has it, and the module
        to which the function is appended neither imports nor defines it; builtins and keywords are not free.
    root : path, optional
        Root of the checkout (default: that from which the package is imported).

    Returns
    -------
    (statement, check) : paths
        The module to which the function was appended, and the new theory file.

    Raises
    ------
    ValueError
        naming ``name`` where it is no such name or is taken, or where there is no checkout to write to.

    Examples
    --------
    In a shell: ``exactdiffusion new theorem projection/shrinkage``.
    """
    from .._core.paths import project_root

    paper, slash, function = name.partition("/")
    if not slash or not re.fullmatch("[a-z][a-z0-9_]*", function) or keyword.iskeyword(function):
        fail(
            "name",
            name,
            "PAPER/NAME, NAME in lower-case ASCII letters, digits and underscores, such as projection/shrinkage",
        )

    choice("name", paper, tuple(PAPERS))
    root = project_root() if root is None else Path(root)
    if root is None:
        fail("name", name, "a checkout of exactdiffusion to write to: git clone it, pip install --editable it")

    # the two files
    statement = root / "src" / "exactdiffusion" / "statements" / f"{paper}.py"
    check = root / "theory" / paper / f"eq_{function}.py"
    text = statement.read_text(encoding="utf-8")
    module = importlib.import_module(f"exactdiffusion.statements.{paper}")

    # refuse a name that Python, a statement, another function or a theory file has
    if hasattr(builtins, function):
        fail("name", name, f"a name that is free: {function} is a builtin of Python, and the function would hide it")
    owner = next((s.module.rpartition(".")[2] for s in all_statements() if s.key == name), None)
    if owner is None and (hasattr(module, function) or function in _names(text)):
        owner = paper
    if owner is not None:
        fail("name", name, f"a name that is free: {statement.relative_to(root).with_name(owner + '.py')} has it")
    if check.exists():
        fail("name", name, f"a name that is free: {check.relative_to(root)} exists")

    # write the check first: it is the file that may be there already
    words = {"paper": paper, "name": function, "module": paper}
    check.write_text(_CHECK.format(**words), encoding="utf-8")
    statement.write_text(_listed(text, function).rstrip("\n") + "\n" + _STATEMENT.format(**words), encoding="utf-8")
    return statement, check


def run(what: str, name: str) -> int:
    """The command ``exactdiffusion new WHAT NAME``; returns the exit code."""
    choice("what", what, ("theorem",))
    from .._core.paths import project_root

    statement, check = theorem(name)
    root = project_root() or Path.cwd()
    places = {"statement": statement.relative_to(root), "check": check.relative_to(root), "stem": check.stem}
    print(f"wrote {places['statement']} ({name.partition('/')[2]}) and {places['check']}")
    print(_NEXT.format(**places))
    return 0
