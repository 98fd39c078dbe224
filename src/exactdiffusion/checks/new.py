"""Begin a theorem of one's own, or one of the package.

``exactdiffusion new theorem NAME`` writes one file, NAME.py, into the current folder. It holds a statement and its check, a
worked example that passes as it stands, and needs no checkout: ``exactdiffusion verify ./NAME.py`` runs it.

``exactdiffusion new theorem PAPER/NAME`` writes a statement and a theory file into the checkout: a function of
``statements/<paper>.py`` and ``theory/<paper>/eq_<name>.py``. Both are a small worked example, the ideal denoiser of a
Gaussian, which passes as it stands; the lines to change say EDIT, and nothing else needs to be written by hand.
"""

import ast
import builtins
import importlib
import importlib.util
import keyword
import re
from pathlib import Path

from .._core.typing import StrPath
from .._core.validation import choice, fail
from ..statements import PAPERS, all_statements

__all__ = ["own_theorem", "run", "theorem"]

_OWN = '''"""EDIT: the theorem in words. The ideal denoiser of data in a ball of radius R has slope at most (R / sigma)^2."""

import numpy as np

from exactdiffusion import PointCloud
from exactdiffusion.statements import statement

PAIR, LEVELS, TITLE = np.array([[-1.0], [1.0]]), (0.3, 1.0, 3.0), "EDIT: slope of the ideal denoiser"


@statement(paper="mine", ref="EDIT", title=TITLE, kind="tight", text="derived", domain="R > 0, sigma > 0")
def {name}(R, sigma):
    r"""**Hypotheses.** (H1) |X| <= R. (H2) Y = X + sigma Z, Z standard normal and independent of X. EDIT.

    **Conclusion (tight).** :math:`|\\nabla E[X | Y = y]| \\le R^2 / \\sigma^2`; equality for two atoms at -R and R, y = 0.
    **Source.** EDIT. Derived: the slope is Cov(X | Y = y) / sigma^2, and no law in the ball has a variance above R^2.
    """
    return R**2 / sigma**2


STATEMENT = {name}.statement


def measured(points, sigma, y):  # EDIT: the measured side, by an exact oracle that does not use the formula above
    covariance = PointCloud(points).noised(1.0, sigma).posterior_covariance(y)
    return np.linalg.eigvalsh(covariance)[:, -1] / sigma**2


def test_holds_and_is_tight(check):  # EDIT: a family with hard cases, and the instance that attains the bound
    cloud, y = np.random.default_rng(0).uniform(-0.7, 0.7, (30, 2)), np.random.default_rng(1).normal(size=(50, 2))
    check.hypothesis("(H1) |X| <= 1", np.linalg.norm(cloud, axis=1) <= 1, on="30 points")
    for s in LEVELS:
        bound, cause = {name}(1.0, s), "rounding: some 10 eps, over sigma^2"
        check.holds(measured(cloud, s, y), bound, tol=1e-14 / s**2, cause=cause, on=f"30 points, sigma {{s}}")
        check.tight(measured(PAIR, s, [[0.0]]) / bound, tol=1e-14, cause=cause, on=f"two atoms, sigma {{s}}")


def test_controls(check):  # EDIT: one line for each hypothesis; without it the same inequality has to fail
    check.control("(H1) |X| <= R", measured(1.1 * PAIR, 1.0, [[0.0]]), {name}(1.0, 1.0), on="atoms at -1.1 R, 1.1 R")
    check.control("(H2) noise sigma", measured(PAIR, 1 / 1.1, [[0.0]]), {name}(1.0, 1.0), on="noise sigma / 1.1")
'''

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


_NEXT_OWN = """\
1. Run it: `exactdiffusion verify ./{path}` prints the verdict and writes it as a page beside the file.
2. State and measure your own theorem: edit the lines that say EDIT; the controls are one line for each hypothesis.
3. Break it: halve the bound, or change its formula. `exactdiffusion verify ./{path}` must then fail."""


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


def _free(name, function):
    """Refuse a name that a function cannot have, or that hides one of Python's."""
    if not re.fullmatch("[a-z][a-z0-9_]*", function) or keyword.iskeyword(function):
        fail(
            "name",
            name,
            "NAME (one file of your own) or PAPER/NAME, NAME in lower-case ASCII letters, digits and underscores, "
            "such as shrinkage or projection/shrinkage",
        )
    if hasattr(builtins, function):
        fail("name", name, f"a name that is free: {function} is a builtin of Python, and the function would hide it")


def own_theorem(name: str, folder: StrPath = ".") -> Path:
    """Write one file that holds a statement and its check: a theorem of one's own, without a checkout.

    Parameters
    ----------
    name : str
        The name of the function and of the file, in lower-case ASCII letters, digits and underscores.
    folder : path
        Where the file is written.

    Returns
    -------
    path
        ``folder/NAME.py``, at most 40 lines; the lines to change say EDIT.

    Raises
    ------
    ValueError
        naming ``name`` where it is no such name, is a builtin of Python, or the file exists.

    Examples
    --------
    >>> path = own_theorem("slope_of_the_denoiser")
    >>> len(path.read_text().splitlines()) <= 40
    True
    >>> ed.verify([str(path)])  # doctest: +SKIP
    0
    """
    _free(name, name)
    if name in _names(_OWN.format(name="name")) or name.startswith("test") or importlib.util.find_spec(name) is not None:
        fail("name", name, f"a name that is free: the file or its tests use it, or {name} is a module of Python")
    path = Path(folder) / f"{name}.py"
    if path.exists():
        fail("name", name, f"a name that is free: {path} exists")
    path.write_text(_OWN.format(name=name), encoding="utf-8")
    return path


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
    if not slash:
        fail("name", name, "PAPER/NAME, such as projection/shrinkage")
    _free(name, function)
    if paper not in PAPERS:
        fail("name", name, f"a paper of the package ({', '.join(PAPERS)}), or `new theorem {function}`: a file of your own")
    root = project_root() if root is None else Path(root)
    if root is None:
        fail("name", name, "a checkout of exactdiffusion to write to: git clone it, pip install --editable it")

    # the two files
    statement = root / "src" / "exactdiffusion" / "statements" / f"{paper}.py"
    check = root / "theory" / paper / f"eq_{function}.py"
    text = statement.read_text(encoding="utf-8")
    module = importlib.import_module(f"exactdiffusion.statements.{paper}")

    # refuse a name that a statement, another function or a theory file has
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
    if "/" not in name:
        path = own_theorem(name)
        print(f"wrote {path}, a worked example that passes\n{_NEXT_OWN.format(path=path)}")
        return 0
    from .._core.paths import project_root

    statement, check = theorem(name)
    root = project_root() or Path.cwd()
    places = {"statement": statement.relative_to(root), "check": check.relative_to(root), "stem": check.stem}
    print(f"wrote {places['statement']} ({name.partition('/')[2]}) and {places['check']}")
    print(_NEXT.format(**places))
    return 0
