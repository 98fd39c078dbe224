"""Reading a sweep: curves and their intervals, the drawing, and the report as a reader meets it, in a real browser.

Tests that need the browser (``tests/browser.py``) are skipped where it is not installed.
"""

import collections
import csv
import itertools
import json
import math
import re
import sys
import time
from xml.etree import ElementTree

import numpy as np
import pytest
from browser import Browser, needs_browser

from exactdiffusion._core import files
from exactdiffusion._core.paths import project_root
from exactdiffusion.checks import ledger, verify
from exactdiffusion.checks.statistics import Family
from exactdiffusion.cli import main
from exactdiffusion.statements import all_statements
from exactdiffusion.studies import _markup, report, sweep
from exactdiffusion.studies import results as curves
from exactdiffusion.studies.plot import draw, plot

pytest.importorskip("plotly", reason="the report needs the extra explore")
pytest.importorskip("latex2mathml", reason="the report needs the extra explore")

EVIL = '</script><img src=x onerror="window.stolen=1">'
BOLD = "<b>d</b>&lt;<br>"
KEY = ("target", "sampler", "schedule", "steps", "seed", "samples", "start", "metric")


def _row(**changes):
    row = {
        "target": "ring",
        "sampler": "ddim",
        "schedule": "vp_linear",
        "steps": 5,
        "seed": 0,
        "samples": 100,
        "start": "gaussian",
        "metric": "w2",
        "value": 1.0,
        "lower": None,
        "method": "emd",
        "oracle_calls": 5,
        "oracle_rows": 500,
        "dim": 2,
        "rung": "exact atoms",
        "upper": None,
        "interval": "none",
        "exact_draws": 0.05,
        "exact_draws_low": 0.044,
        "exact_draws_high": 0.058,
        "exact_draws_runs": 200,
        "bound": None,
        "statement": None,
        "bound_kind": None,
        "vacuous": None,
        "denoise_calls": 5,
        "prox_calls": 0,
        "inner_evaluations": 0,
    }
    return {**row, **changes}


def _drawn(mean):
    """Columns of what exact draws score: mean and central 90 %."""
    return {
        "exact_draws": mean,
        "exact_draws_low": 0.8 * mean,
        "exact_draws_high": 1.3 * mean,
        "exact_draws_runs": 200 if mean else None,
    }


def _write(folder, rows, *, seconds=True, provenance=None):
    folder.mkdir(parents=True, exist_ok=True)
    files.write_whole(folder / "results.csv", files.table_text(rows))
    if seconds:
        times = [{**{k: r[k] for k in KEY}, "seconds": 1e-3 * r["oracle_calls"], "metric_seconds": 0.1} for r in rows]
        files.write_whole(folder / "timings.csv", files.table_text(times))
    if provenance is not None:
        files.write_whole(folder / "provenance.json", files.json_text(provenance))
    return folder


def _bare(folder):
    """A report without the gallery, which takes most of the time and is not under test there."""
    none = folder / "no_figures"
    none.mkdir()
    return report.report(folder, figures=none)


def _rows(
    targets=("ring", "disc"),
    samplers=("ddim", "heun", "gradient_estimation:gamma=2.0"),
    schedules=("vp_linear",),
    steps=(5, 10, 20, 40),
    seeds=3,
):
    rng = np.random.default_rng(5)
    rows = []
    for place, (target, sampler, schedule, metric, n) in enumerate(
        itertools.product(targets, samplers, schedules, ("w2", "distance"), steps)
    ):
        for seed in range(seeds):
            calls = 2 * n - 1 if sampler == "heun" else n
            value = (1 + 0.2 * (place % 7)) / n * math.exp(0.1 * rng.standard_normal())
            row = _row(
                target=target,
                sampler=sampler,
                schedule=schedule,
                metric=metric,
                steps=n,
                seed=seed,
                value=value,
                lower=0.99 * value,
                upper=1.01 * value,
                oracle_calls=calls,
                oracle_rows=100 * calls,
                denoise_calls=calls,
                **_drawn(0.03 if metric == "w2" else 0.0),
            )
            if sampler == "ddim":
                row |= {"bound": 2.5 / n, "statement": "projection/ddim_distance_sandwich", "bound_kind": "upper"}
            rows.append(row)
    return rows


# -- curves ----------------------------------------------------------------------------------------------------


def test_median_interval_covers_with_the_probability_it_states(chance):
    """Against the binomial law summed by SciPy, and against simulation."""
    from scipy.stats import binom

    for n in (1, 2, 5, 6, 9, 10, 25, 40):
        x = np.arange(n, dtype=float)
        median, low, high, coverage = curves.median_interval(x)
        k = int(low) + 1
        assert (median, high) == (np.median(x), n - k)
        # exact up to the rounding of n terms
        assert coverage == pytest.approx(1 - 2 * binom.cdf(k - 1, n, 0.5), abs=8 * n * np.finfo(float).eps)
        if n > 5:
            assert coverage >= 0.95
            assert 1 - 2 * binom.cdf(k, n, 0.5) < 0.95 or 2 * (k + 1) > n + 1  # a narrower one does not cover
        else:
            assert (low, high) == (x[0], x[-1])
    draw = chance(comparisons=1)
    draws = draw.rng(0).exponential(size=(8000, 10))
    inside = [low <= math.log(2) <= high for _, low, high, _ in map(curves.median_interval, draws)]
    coverage = curves.median_interval(draws[0])[3]
    draw.frequency(np.sum(inside), len(draws), coverage, on="coverage of the median's interval, 10 draws")


def test_curves_group_take_medians_and_fit_above_exact_draws():
    rows = [
        _row(steps=n, seed=s, oracle_calls=2 * n, value=v * n**-1.5, **_drawn(0.0))
        for n in (4, 8, 16, 32)
        for s, v in enumerate((3.0, 1.0, 2.0))
    ]
    for row in rows:
        row["seconds"] = None
    (curve,) = curves.curves(rows)
    assert [p.steps for p in curve.points] == [4, 8, 16, 32]
    assert [p.median for p in curve.points] == [2.0 * n**-1.5 for n in (4, 8, 16, 32)]
    assert (curve.points[0].low, curve.points[0].high) == (4**-1.5, 3 * 4**-1.5)
    slope = curve.slope("calls")
    assert slope.slope == pytest.approx(-1.5, abs=1e-12)  # rounding of logarithms
    assert slope.n == 4
    assert curve.slope("seconds") is None
    # exact draws score 0.02: the points at 2 * 32^-1.5 = 0.011 and 2 * 16^-1.5 = 0.031 are below twice of it
    for row in rows:
        row["exact_draws"] = 0.02
    assert curves.curves(rows)[0].slope() is None
    for row in rows:
        row["exact_draws"] = 0.015
    assert curves.curves(rows)[0].slope().n == 3


def test_one_seed_has_the_interval_of_its_measurement():
    rows = [{**_row(lower=0.9, upper=1.2), "seconds": 0.5}]
    point = curves.curves(rows)[0].points[0]
    assert (point.low, point.high, point.coverage, point.seconds) == (0.9, 1.2, None, 0.5)


def test_load_gives_the_rows_of_a_real_sweep(tmp_path):
    done = sweep.sweep(target="two_moons", sampler=["ddim", "heun"], steps=[3, 6], seeds=2, samples=40, out=tmp_path)
    results = curves.load(tmp_path)
    assert [r["value"] for r in results.rows] == [r["value"] for r in done.rows]
    assert results.provenance["arguments"]["steps"] == [3, 6]
    assert len(curves.curves(results.rows)) == 2


def test_a_folder_without_the_later_columns_is_read(tmp_path):
    old = (
        "target",
        "sampler",
        "schedule",
        "steps",
        "seed",
        "samples",
        "start",
        "metric",
        "value",
        "lower",
        "method",
        "oracle_calls",
        "oracle_rows",
    )
    _write(tmp_path, [{k: r[k] for k in old} for r in _rows()], seconds=False)
    results = curves.load(tmp_path)
    assert not results.has_seconds()
    assert results.rows[0]["exact_draws"] is None
    assert b"Results" in _bare(tmp_path).read_bytes()


def test_timings_belong_to_their_cells_whatever_their_order(tmp_path):
    rows = _rows()
    _write(tmp_path, rows)
    times = files.read_table(tmp_path / "timings.csv")
    files.write_whole(tmp_path / "timings.csv", files.table_text(times[::-1]))
    assert [r["seconds"] for r in curves.load(tmp_path).rows] == [1e-3 * r["oracle_calls"] for r in rows]


@pytest.mark.parametrize("left_out", [None, "one row", "all rows"])
def test_an_axis_is_offered_where_all_points_have_it(left_out, tmp_path):
    rows = curves.load(_write(tmp_path, _rows())).rows
    for row in {None: [], "one row": rows[4:5], "all rows": rows}[left_out]:
        row["seconds"] = None
    seeds = [row for row in rows if all(row[k] == rows[4][k] for k in KEY if k != "seed")]
    for row in seeds if left_out else []:  # a point is the median of what its seeds have
        row["seconds"] = None
    assert ("seconds" in report._data(rows)["axes"]) == (left_out is None)
    assert set(report._data(rows)["axes"]) >= {"steps", "calls"}


@pytest.mark.skipif(project_root() is None, reason="the guide is in a checkout")
def test_the_sampler_and_the_target_of_the_guide_run(tmp_path, capsys, monkeypatch):
    text = (project_root() / "docs" / "guide.md").read_text(encoding="utf-8")
    code = re.search(r"```python\n(# mine\.py\n.*?)```", text, re.DOTALL)[1]
    assert sum(bool(line) for line in code.splitlines()) <= 15
    (tmp_path / "mine.py").write_text(code)
    monkeypatch.chdir(tmp_path)
    command = re.search(r"^`exactdiffusion (sweep [^`]*mine\.py:square[^`]*)`$", text, re.MULTILINE)[1].split()
    assert main([*command, "--seeds", "1", "--samples", "50"]) == 0
    rows = curves.load(tmp_path / "results" / "own").rows
    names = list(dict.fromkeys(row["sampler"] for row in rows))
    assert names == ["ddim", "mine.py:my_ddim:stretch=1.02"]
    # without the stretch it is the registered DDIM: the same steps up to their rounding
    command = "sweep --target mine.py:square --sampler ddim,mine.py:my_ddim --steps 5 --seeds 1 --samples 50 --out same"
    assert main(command.split()) == 0
    ours, theirs = (row["value"] for row in curves.load(tmp_path / "same").rows)
    assert ours == pytest.approx(theirs, rel=1e-10)
    for options in (["plot", "results/own"], ["report", "results/own"]):
        assert main(options) == 0
    capsys.readouterr()


# -- bad input ----------------------------------------------------------------------------------------------------


def test_bad_folders_are_named(tmp_path):
    absent, empty, other, hollow = (tmp_path / name for name in ("absent", "empty", "other", "hollow"))
    empty.mkdir()
    other.mkdir()
    (other / "results.csv").write_text("a,b\n1,2\n")
    hollow.mkdir()
    (hollow / "results.csv").write_text(",".join(KEY) + ",value,oracle_calls\n")
    for read in (plot, report.report, curves.load):
        for folder, words in ((absent, "no such folder"), (empty, "results.csv"), (other, "target"), (hollow, "empty")):
            with pytest.raises(ValueError, match=rf"dir: got .*{folder.name}.*{words}"):
                read(folder)
    assert not list(empty.iterdir())


@pytest.mark.parametrize(("value", "shown"), [("", "None"), ("nan", "nan"), ("inf", "inf"), ("many", "'many'")])
def test_a_value_that_is_no_number_is_named(tmp_path, value, shown):
    _write(tmp_path, _rows())
    lines = (tmp_path / "results.csv").read_text().splitlines()
    lines[2] = lines[2].replace("," + lines[2].split(",")[8] + ",", f",{value},")
    (tmp_path / "results.csv").write_text("\n".join(lines) + "\n")
    with pytest.raises(ValueError, match=rf"row 2 has {shown}"):
        curves.load(tmp_path)


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("steps", "x"),
        ("steps", ""),
        ("seed", "1.5"),
        ("samples", "x"),
        ("oracle_calls", ""),
        ("lower", "x"),
        ("upper", "inf"),
        ("exact_draws", "nan"),
        ("exact_draws_low", "x"),
        ("exact_draws_runs", "1e"),
        ("bound", "inf"),
        ("bound", "x"),
    ],
)
def test_a_column_of_numbers_holds_numbers(tmp_path, capsys, column, value):
    rows = [{**row, "bound": 1.0} for row in _rows()]
    rows[2][column] = value or None
    _write(tmp_path, rows, seconds=False)
    for command in ("plot", "report"):
        assert main([command, str(tmp_path)]) == 2
        assert re.search(rf"column {column} of results.csv; row 3 has", capsys.readouterr().err)


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("results.csv", "a,b\n1\n"),
        ("results.csv", "a,b\n1,2,3\n"),
        ("results.csv", "a" * 200_000),
        ("timings.csv", "a,b\n1,2\n"),
        ("provenance.json", "[]"),
        ("provenance.json", "{"),
        ("provenance.json", "[" * 100_000),
        ("provenance.json", '{"title": ["a"]}'),
        ("provenance.json", '{"finding": 5}'),
        ("provenance.json", '{"versions": []}'),
    ],
)
def test_a_file_of_another_kind_is_one_line(tmp_path, capsys, file, text):
    _write(tmp_path, _rows())
    (tmp_path / file).write_text(text)
    for command in ("plot", "report"):
        assert main([command, str(tmp_path)]) == 2
        assert re.fullmatch(rf"exactdiffusion {command}: [^\n]*{file}[^\n]*\n", capsys.readouterr().err)


BAD = [
    ("plot --target nowhere", "target"),
    ("plot --metric fid", "metric"),
    ("plot --x hours", "x"),
    ("plot --sampler magic", "sampler"),
    ("plot --schedule none", "schedule"),
    ("plot --out figure.gif", "out"),
    ("plot --x seconds", "x"),
    ("report --target nowhere", "target"),
    ("report --checks absent.md", "checks"),
    ("report --figures absent", "figures"),
]


@pytest.mark.parametrize(("arguments", "named"), BAD)
def test_bad_arguments_are_one_line_and_write_nothing(tmp_path, capsys, monkeypatch, arguments, named):
    monkeypatch.chdir(tmp_path)
    _write(tmp_path / "mine", _rows(), seconds=False)
    before = sorted(tmp_path.rglob("*"))
    command, *rest = arguments.split()
    assert main([command, "mine", *rest]) == 2
    assert re.fullmatch(rf"exactdiffusion {command}: {named}: got [^\n]*\n", capsys.readouterr().err)
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("missing", ["plotly", "latex2mathml"])
def test_a_missing_extra_says_what_to_install(tmp_path, capsys, monkeypatch, missing):
    _write(tmp_path, _rows())
    for name in [n for n in sys.modules if n == missing or n.startswith(missing + ".")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, missing, None)
    assert main(["report", str(tmp_path)]) == 2
    assert "pip install 'exactdiffusion[explore]'" in capsys.readouterr().err
    assert not (tmp_path / "report.html").exists()


# -- the drawing ----------------------------------------------------------------------------------------------------


def test_plot_draws_what_the_table_says(tmp_path):
    rows = _rows()
    _write(tmp_path, rows)
    found = curves.curves(curves.select(curves.load(tmp_path).rows, target="ring"))
    figure = draw(found, "calls")
    assert len(figure.axes) == 2  # one panel per metric
    axes = figure.axes[0]
    assert (axes.get_xscale(), axes.get_yscale()) == ("log", "log")
    heun = next(line for line in axes.lines if line.get_label().startswith("heun"))
    by_hand = [
        np.median(
            [r["value"] for r in rows if (r["target"], r["sampler"], r["metric"], r["steps"]) == ("ring", "heun", "w2", n)]
        )
        for n in (5, 10, 20, 40)
    ]
    assert list(heun.get_xdata()) == [9, 19, 39, 79]
    assert list(heun.get_ydata()) == by_hand
    fitted = np.polyfit(np.log([9, 19, 39, 79]), np.log(by_hand), 1)[0] if min(by_hand) > 0.06 else None
    labels = [text.get_text() for text in axes.get_legend().get_texts()]
    assert fitted is None or any(label.startswith(f"heun: slope {fitted:.2f} [") for label in labels)
    assert "exact draws: mean and central 90 % (± 2 %, 200 runs)" in labels
    (band,) = [patch for patch in axes.patches if patch.get_label().startswith("exact draws")]
    assert (band.get_y(), band.get_y() + band.get_height()) == pytest.approx((0.024, 0.039), rel=1e-12)
    assert any("projection/ddim_distance_sandwich" in label for label in labels)
    looks = {(line.get_marker(), str(line.get_linestyle())) for line in axes.lines if line.get_marker() in "os^"}
    assert len(looks) == 3  # told apart in grey


def test_a_bound_beyond_the_diameter_is_called_vacuous(tmp_path):
    """DDIM's bound grows with N on a finite set, where the denoiser errs by more than the distance: it is said, and why."""
    done = sweep.sweep(
        target="two_moons",
        sampler="ddim",
        schedule="log_linear",
        steps=[4, 20],
        seeds=2,
        samples=30,
        metric="distance",
        out=tmp_path,
    )
    reason, diameter = "the hypothesis eta < 1", sweep.law_of("two_moons").diameter
    assert [row["bound"] > diameter for row in done.rows] == [False, True, True, True]
    for row in done.rows:
        assert row["value"] < row["bound"]
        assert (row["vacuous"] is not None) == (row["bound"] > diameter)
        assert row["vacuous"] is None or f"diameter {diameter:.3g}: {reason}" in row["vacuous"]
    assert all("vacuous bound" in line[-1] and reason in line[-1] for line in sweep.summary(done.rows))
    (curve,) = curves.curves(curves.load(tmp_path).rows)
    assert all(reason in p.vacuous for p in curve.points)
    (axes,) = draw([curve]).axes
    labels = " ".join(text.get_text() for text in axes.get_legend().get_texts()).replace("\n", " ")
    assert "2 bounds vacuous" in labels
    assert reason in labels
    # the median row decides for a point: one seed of three that is not, or is
    seconds = {"seconds": None, "bound": 1.0, "vacuous": None}
    for reasons, expected in (((None, "why", "why"), "why"), ((None, None, "why"), None)):
        rows = [_row(seed=k) | seconds | {"bound": 1.0 + k, "vacuous": v} for k, v in enumerate(reasons)]
        assert curves.curves(rows)[0].points[0].vacuous == expected


@pytest.mark.parametrize("kind", ["png", "svg", "pdf"])
def test_plot_writes_each_format_and_the_same_bytes_again(tmp_path, kind):
    _write(tmp_path, _rows())
    first, second = (plot(tmp_path, metric="w2", out=tmp_path / f"{name}.{kind}")[0].read_bytes() for name in "ab")
    assert first == second
    assert first[:5] == {"png": b"\x89PNG\r", "svg": b"<?xml", "pdf": b"%PDF-"}[kind]


def test_plot_command_writes_both_drawings(tmp_path, capsys):
    _write(tmp_path, _rows())
    assert main(["plot", str(tmp_path), "--target", "ring", "--x", "seconds"]) == 0
    assert [line.rpartition("/")[2] for line in capsys.readouterr().out.split()] == ["plot.png", "plot.svg"]


def test_values_at_zero_and_a_crowd_of_curves(tmp_path):
    rows = _rows(samplers=("ddim",))
    for row in rows:
        row["value"] = 0.0 if row["steps"] == 40 else row["value"]
    (axes, *_) = draw(curves.curves(curves.load(_write(tmp_path / "zero", rows)).rows)).axes
    assert any("1 point at 0, not drawn" in text.get_text() for text in axes.get_legend().get_texts())
    many = _rows(samplers=tuple(f"ddim:eta={k}" for k in range(13)), seeds=1, steps=(5,))
    with pytest.raises(ValueError, match="sampler: got '13 curves in a panel'"):
        plot(_write(tmp_path / "many", many))


# -- the text of the report ------------------------------------------------------------------------------------------------

_GREEK = dict(
    zip(
        re.findall(
            r"\w+",
            "alpha beta gamma delta epsilon zeta eta theta kappa lambda mu nu xi pi rho sigma tau phi chi psi "
            "omega varphi varepsilon Delta Lambda Theta Phi Psi Gamma Omega Sigma",
        ),
        "αβγδϵζηθκλμνξπρστϕχψωφεΔΛΘΦΨΓΩΣ",
        strict=True,
    )
)
_WORDS = {"log", "exp", "max", "min", "sup", "inf", "arg", "tanh", "ln", "cosh", "sinh"}


def _formulas(doc):
    found = re.findall(r":math:`([^`]*)`", doc)
    lines, at = doc.splitlines(), 0
    while at < len(lines):
        display = re.match(r"\.\. math::(.*)", lines[at])
        at += 1
        if display:
            at, block = _markup._indented(lines, at)
            found.append(" ".join([display[1], *block]))
    return found


def _letters(source):
    source = re.sub(r"\\(begin|end)\{\w+\*?\}", " ", source)
    source = re.sub(r"\\([a-zA-Z]+)", lambda m: _GREEK.get(m[1], m[1] if m[1] in _WORDS else " "), source)
    return collections.Counter(c for c in source if c.isalnum())


def _parts(source, command, count):
    """Letters of the ``count`` arguments of every use of a command, in the order of the uses."""
    found = []
    for use in re.finditer(command + r"(?![a-zA-Z])", source):
        at, arguments = use.end(), []
        for _ in range(count):
            at += len(source[at:]) - len(source[at:].lstrip())
            if source[at] == "{":
                depths = itertools.accumulate((c == "{") - (c == "}") for c in source[at:])
                end = at + 1 + next(k for k, depth in enumerate(depths) if depth == 0)
            else:
                end = at + len(re.match(r"\\[a-zA-Z]+|.", source[at:])[0])
            arguments.append(_letters(source[at:end]))
            at = end
        found.append(arguments)
    return found


def _shown(element):
    return collections.Counter(c for c in "".join(element.itertext()) if c.isalnum())


@pytest.mark.parametrize("statement", all_statements(), ids=lambda s: s.key)
def test_every_formula_of_a_statement_converts_with_all_its_letters(statement):
    """Letters and digits of the TeX against those of the MathML, in the whole and in every numerator, denominator and
    root: a command misread, dropped, or given the wrong argument shows."""
    formulas = _formulas(statement.doc)
    assert formulas
    for formula in formulas:
        tree = ElementTree.fromstring(_markup.mathml(formula, display=True))
        assert _shown(tree) == _letters(formula), formula
        space = "{http://www.w3.org/1998/Math/MathML}"
        fractions = [[_shown(part) for part in fraction] for fraction in tree.iter(space + "mfrac")]
        assert fractions == _parts(formula, r"\\[td]?frac", 2), formula
        assert [[_shown(root)] for root in tree.iter(space + "msqrt")] == _parts(formula, r"\\sqrt", 1), formula
    page = _markup.html(statement.doc)
    assert page.count("<math") == len(formulas)
    words = re.sub(r"<math.*?</math>", "", page, flags=re.DOTALL)
    assert not re.search(r":math:|\.\. math::|``|\*\*", words)
    ElementTree.fromstring(f"<div>{page}</div>".replace("&#x27;", "'"))  # every tag is closed


@pytest.mark.parametrize("formula", [r"\undefinedcommand x", r"\frac{1}{2", r"\text{a<b}", r"a & b"])
def test_a_formula_that_does_not_convert_is_named(formula):
    with pytest.raises(ValueError, match="formula: got "):
        _markup.mathml(formula)


def test_docstring_markup():
    doc = "A *b* **c** ``d<e`` :func:`f`.\n\n- one\n- two\n  more\n\nReturns\n-------\nx : array\n    The <x>.\n"
    assert _markup.html(doc) == (
        "<p>A <em>b</em> <strong>c</strong> <code>d&lt;e</code> <code>f</code>.</p>\n"
        "<ul><li>one</li><li>two\nmore</li></ul>\n"
        "<h5>Returns</h5>\n<dl><dt>x : array</dt><dd>The &lt;x&gt;.</dd></dl>"
    )


def test_report_shows_the_run_whose_records_it_is_given(tmp_path):
    """Through the writer itself, with a bar in a name: verdict, counts and evidence of each statement."""
    collected, wanted = ledger.Collected(), {}
    for number, statement in enumerate(all_statements()):
        collected.statements[statement.key] = f"theory/{statement.paper}/file.py"
        check = ledger.Check(statement, collected)
        check.equal(1.0, 1.0, tol=1e-12, cause="rounding", on=f"instance {number}")
        check.control("a | hypothesis", 2.0, 1.0, on=f"instance {number} with a | bar")
        wanted[statement.key] = ledger.verdict(statement, collected)
    run = {**dict.fromkeys(verify.RUN, False), "seed": 0, "passed": True}
    verify.write_records(tmp_path, collected, ledger.pack(collected, Family()), run)
    found, where = report._checks(tmp_path)
    assert str(tmp_path) in where
    assert {key: entry["verdict"] for key, entry in found.items()} == wanted
    for number, (key, entry) in enumerate(found.items()):
        assert entry["file"] == f"theory/{key.partition('/')[0]}/file.py"
        assert (entry["values"], entry["controls"]) == (1, ["a | hypothesis"])
        assert any(f"instance {number} with a | bar" in line for line in entry["evidence"])


def test_every_verdict_has_its_colour():
    style = (report._ASSETS / "report.css").read_text(encoding="utf-8")
    selectors = [
        (start, text, colour)
        for rule, colour in re.findall(r"([^{}]+)\{ color: var\(--(good|warn|bad)\)", style)
        for start, text in re.findall(r'verdict\[data-verdict(\^?)="([^"]+)"', rule)
    ]
    wanted = {"FAILED": "bad", "incomplete": "bad"}
    for verdict in ledger.VERDICTS:
        wanted[verdict] = "warn" if verdict.startswith("refuted") else "good"
        if wanted[verdict] == "good":
            wanted[f"{verdict}; {ledger.PROVED_HERE}"] = "good"
        wanted[f"{verdict}, {ledger.ONCE}"] = wanted[verdict]
    for verdict, colour in wanted.items():
        found = [c for start, text, c in selectors if (verdict.startswith(text) if start else verdict == text)]
        assert found == [colour], verdict


def test_report_shows_the_committed_verdicts():
    found, where = report._checks(None)
    assert where == "the committed verdicts"
    assert found.keys() <= {s.key for s in all_statements()}
    assert len(found) >= 135
    assert all(any(line.startswith("control: ") for line in entry["evidence"]) for entry in found.values())


# -- the browser ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    started = Browser(tmp_path_factory.mktemp("chromium"))
    yield started
    started.close()


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    folder = tmp_path_factory.mktemp("study")
    rows = _rows(schedules=("vp_linear", "cosine"))
    _write(
        folder,
        rows,
        provenance={
            "title": "A study",
            "summary": "Its summary.",
            "finding": ["One.", "Two.", "Three."],
            "arguments": {"steps": [5, 10]},
            "commit": "0" * 40,
            "versions": {"numpy": "2"},
        },
    )
    return report.report(folder)


def _csv(page, **wanted):
    with open(page.parent / "results.csv", encoding="utf-8", newline="") as file:
        return [row for row in csv.DictReader(file) if all(row[k] == v for k, v in wanted.items())]


@needs_browser
def test_report_filters_match_csv(browser, page):
    assert page.stat().st_size < 8_000_000
    browser.open(page)
    browser.choose("target", "disc")
    browser.choose("schedule", "cosine")
    browser.click("#none")
    browser.click("#samplers input[value='heun']")
    browser.click("input[name=rows][value=cells]")
    labels, rows = browser.table("cells")
    expected = _csv(page, target="disc", metric="w2", schedule="cosine", sampler="heun")
    assert len(rows) == len(expected) == 12
    found = {(r[labels.index("steps")], r[labels.index("seed")]): r for r in rows}
    for row in expected:
        cell = found[row["steps"], row["seed"]]
        assert float(cell[labels.index("value")]) == float(row["value"])
        assert float(cell[labels.index("lower")]) == float(row["lower"])
        assert cell[labels.index("oracle calls")] == row["oracle_calls"]
        assert float(cell[labels.index("seconds")]) == 1e-3 * float(row["oracle_calls"])
    shown = browser.evaluate("document.querySelector('#cells tbody tr td:nth-child(4)').innerText")
    assert float(shown) == float(f"{float(rows[0][3]):.5g}")

    # the plot has the medians of the same cells, over the chosen abscissa
    browser.click("input[name=axis][value=calls]")
    drawn = browser.evaluate("document.getElementById('plot').data.filter(t => t.showlegend).map(t => [t.name, t.x, t.y])")
    by_hand = [float(np.median([float(r["value"]) for r in expected if r["steps"] == str(n)])) for n in (5, 10, 20, 40)]
    assert drawn == [["heun", [9, 19, 39, 79], by_hand]]
    slopes_labels, slopes = browser.table("slopes")
    fitted = curves.curves(
        curves.select(curves.load(page.parent).rows, target="disc", metric="w2", schedule="cosine", sampler="heun")
    )[0].slope("calls")
    assert slopes[0][slopes_labels.index("slope")] == (repr(fitted.slope) if fitted else "–")
    assert browser.complaints() == []
    assert browser.requests()[0] == page.as_uri()
    assert all(address.startswith(("data:", "blob:")) for address in browser.requests()[1:])


@needs_browser
def test_a_bound_leads_to_its_statement_and_a_selection_is_an_address(browser, tmp_path):
    key = "projection/squared_w2_to_laws_on_set"
    rows = [{**r, "bound": 1e3 * r["value"] ** 0, "bound_kind": "upper", "statement": key} for r in _rows(targets=("ring",))]
    page = _bare(_write(tmp_path, rows))
    browser.open(page)

    # the axis counts no decades of bounds that lie outside the frame: 1, 2, 5 in every decade of a short axis
    ticks, span = browser.evaluate(
        "[document.getElementById('plot').layout.yaxis.tickvals, document.getElementById('plot').layout.yaxis.range]"
    )
    assert sum(10 ** span[0] <= t <= 10 ** span[1] for t in ticks) >= 3  # counting the bound of 1000, whole decades: one

    # the link opens the statement, though a filter hides it
    browser.choose("of-paper", "proximal")
    assert browser.evaluate("[...document.querySelectorAll('#statements a')].map(a => a.innerText)") == [key]
    browser.click("#statements a")
    shown = browser.evaluate("""(() => { const b = document.getElementById('statement-projection-squared_w2_to_laws_on_set');
        return [b.hidden, b.rows[1].hidden, b.querySelector('button').getAttribute('aria-expanded')]; })()""")
    assert shown == [False, False, "true"]

    # the address of a selection restores it
    browser.choose("metric", "distance")
    browser.click("#samplers input[value='heun']")
    browser.click("input[name=axis][value=calls]")
    address = browser.evaluate("location.hash")
    browser.open(page)
    assert browser.evaluate("document.getElementById('metric').value") == "w2"
    browser.evaluate(
        f"document.documentElement.dataset.ready = 'left'; location.hash = {json.dumps(address)}; location.reload()"
    )
    while browser.evaluate("document.documentElement?.dataset.ready") != "true":
        time.sleep(0.02)
    assert browser.evaluate("document.getElementById('metric').value") == "distance"
    drawn = browser.evaluate("document.getElementById('plot').data.filter(t => t.showlegend).map(t => [t.name, t.x])")
    assert [name for name, _ in drawn] == ["ddim", "gradient_estimation:gamma=2.0"]
    assert browser.complaints() == []


@needs_browser
def test_the_table_is_a_csv(browser, page):
    browser.open(page)
    browser.evaluate("URL.createObjectURL = (blob) => { window.saved = blob; return 'data:,'; }")
    browser.click("#download")
    text = browser.evaluate("window.saved.text()")
    labels, rows = browser.table("cells")
    assert [line.split(",") for line in text.split("\r\n")[:-1]] == [
        labels,
        *([("" if v == "–" else v) for v in r] for r in rows),
    ]


def test_values_that_are_rounding_make_no_slope(tmp_path):
    """N = 5 to 40 fall as 1/N; from 80 on the values are 1e-21, rounding of numbers of size 1."""
    rows = [
        _row(
            steps=n,
            seed=s,
            value=1 / n if n < 80 else 1e-21 / n,
            **dict.fromkeys(("exact_draws", "exact_draws_low", "exact_draws_high", "exact_draws_runs")),
        )
        for n in (5, 10, 20, 40, 80, 160)
        for s in (0, 1)
    ]
    found = report._data(curves.load(_write(tmp_path, rows)).rows)["curves"][0]
    assert found["slopes"]["steps"]["slope"] == pytest.approx(-1, abs=1e-12)
    assert found["slopes"]["steps"]["n"] == 4
    assert 1e-21 < found["rounding"] < 1e-15


@needs_browser
def test_the_browser_tests_would_hear_an_error_and_a_request(browser, page, tmp_path):
    """The listener is listened to: an exception, console.error, a violated policy and a request are all noticed."""
    browser.open(page)
    browser.evaluate("void setTimeout(() => { throw new Error('planted') }); console.error('planted')")
    browser.evaluate("fetch('https://example.org/x').catch(() => 0)")
    kinds = {kind for kind, _ in browser.complaints()}
    assert {"exception", "console", "log"} <= kinds
    open_page = tmp_path / "open.html"
    text = page.read_text(encoding="utf-8")
    open_page.write_text(re.sub(r"<meta http-equiv=\"Content-Security-Policy\"[^>]*>", "", text), encoding="utf-8")
    browser.open(open_page)
    assert browser.complaints() == []  # silent by itself, not only because the policy forbids
    browser.evaluate("fetch('http://127.0.0.1:9/x').catch(() => 0)")
    assert "request" in {kind for kind, _ in browser.complaints()}


@needs_browser
def test_the_table_sorts_by_mouse_and_by_keyboard(browser, page):
    browser.open(page)
    labels, rows = browser.table("cells")
    column = labels.index("median")
    before = [float(row[column]) for row in rows]
    assert before != sorted(before)
    browser.evaluate(f"document.querySelectorAll('#cells th button')[{column - 1}].focus()")
    browser.press("Tab")  # to the header of the medians
    assert browser.evaluate("document.activeElement.innerText.trim()") == "median"
    outline = browser.evaluate("getComputedStyle(document.activeElement).outlineStyle")
    assert outline == "solid"
    for order, reverse in (("ascending", False), ("descending", True)):
        browser.press("Enter", "\r")
        assert browser.evaluate("document.activeElement.innerText.trim()") == "median"  # the focus stays
        assert browser.evaluate(f"document.querySelectorAll('#cells th')[{column}].ariaSort") == order
        assert [float(row[column]) for row in browser.table("cells")[1]] == sorted(before, reverse=reverse)
    browser.click("#cells th button")
    names = [row[0] for row in browser.table("cells")[1]]
    assert names == sorted(names)
    assert browser.complaints() == []


@needs_browser
def test_every_control_has_a_name_and_is_reached_by_tab(browser, page):
    browser.open(page)
    unnamed = browser.evaluate("""[...document.querySelectorAll('button, select, input')].filter(
        e => e.offsetParent && !(e.innerText || '').trim() && !e.ariaLabel
        && !(e.labels && e.labels.length && e.labels[0].innerText.trim())).map(e => e.outerHTML)""")
    assert unnamed == []
    reached = []
    for _ in range(40):
        browser.press("Tab")
        reached.append(browser.evaluate("document.activeElement.id || document.activeElement.value || ''"))
    assert {"target", "metric", "schedule", "all", "none", "seeds"} <= set(reached)
    assert browser.evaluate("document.querySelectorAll('img:not([alt])').length") == 0
    tools = browser.evaluate("[...document.querySelectorAll('.modebar-btn')].map(b => b.dataset.title)")
    assert len(tools) == 6
    assert not [tool for tool in tools if re.search("cloud|send|edit|share", tool, re.IGNORECASE)]


@needs_browser
def test_hovering_shows_the_cell(browser, page):
    browser.open(page)
    x, y = browser.evaluate("""(() => {
        const p = document.getElementById('plot'); p.scrollIntoView();
        const t = p.data.find(t => t.showlegend), box = p.getBoundingClientRect(), l = p._fullLayout;
        const at = (axis, value) => axis._offset + axis.l2p(Math.log10(value));
        return [box.left + at(l.xaxis, t.x[1]), box.top + at(l.yaxis, t.y[1])];
    })()""")
    browser.hover(x - 30, y - 30)
    browser.hover(x, y)
    limit = time.monotonic() + 20
    shown = ""
    while "median of 3" not in shown and time.monotonic() < limit:
        time.sleep(0.05)
        shown = browser.evaluate("document.querySelector('#plot .hoverlayer').textContent")
    row = curves.curves(curves.load(page.parent).rows)[0].points[1]
    assert re.search(rf"ddim.*ring.*steps {row.steps}, oracle calls 10.*median of 3: {row.median:.5g}", shown)
    assert "exact draws 0.03 [0.024, 0.039]" in shown
    assert browser.complaints() == []


@needs_browser
def test_verdicts_open_filter_and_sort(browser, page):
    browser.open(page)
    statements = all_statements()
    assert browser.evaluate("document.querySelectorAll('#verdict-table tbody').length") == len(statements)
    browser.evaluate("document.querySelectorAll('.statement-button')[3].focus()")
    browser.press("Enter", "\r")
    size = browser.evaluate("""(() => {
        const d = document.getElementById('doc-3'), box = d.querySelector('math[display=block]').getBoundingClientRect();
        const button = document.querySelectorAll('.statement-button')[3];
        return [d.hidden, box.width, box.height, d.innerText, button.ariaExpanded];
    })()""")
    assert size[0] is False
    assert min(size[1:3]) > 10
    assert "Hypotheses." in size[3]
    assert statements[3].key in size[3]
    assert size[4] == "true"
    browser.choose("of-paper", "projection")
    visible = browser.evaluate("[...document.querySelectorAll('#verdict-table tbody')].filter(b => !b.hidden).length")
    assert visible == sum(s.paper == "projection" for s in statements)
    browser.choose("of-paper", "")
    browser.click("#verdict-table th:nth-child(4) button")
    counts = browser.evaluate(
        "[...document.querySelectorAll('#verdict-table tbody')].map(b => b.rows[0].cells[3].dataset.sort)"
    )
    numbers = [float(c) for c in counts if c]
    assert numbers == sorted(numbers)
    assert browser.complaints() == []


@needs_browser
@pytest.mark.parametrize("width", [320, 375, 900, 1280])
def test_the_legend_stands_below_the_axis_and_the_plot_keeps_its_height(browser, tmp_path, width):
    names = tuple(f"gradient_estimation:gamma={g / 10}" for g in range(10, 22))
    _write(tmp_path, _rows(samplers=names, schedules=("vp_linear",)))
    browser.open(_bare(tmp_path), width=width, height=700, mobile=width < 900)
    browser.settle()
    title, legend, box, note = browser.evaluate("""["#plot .xtitle", "#plot .legend", "#plot", "#plot-note"].map((name) => {
            const r = document.querySelector(name).getBoundingClientRect(); return [r.top, r.bottom]; })""")
    texts = browser.evaluate(
        "[...document.querySelectorAll('#plot .legendtext')].map((t) => t.getBoundingClientRect().bottom)"
    )
    height = browser.evaluate("document.getElementById('plot')._fullLayout._size.h")
    assert title[1] <= legend[0] + 1
    assert len(texts) == len(names)
    assert max(texts) <= legend[1] + 1 <= box[1] + 2
    assert box[1] <= note[0] + 1
    assert height >= 250


@needs_browser
@pytest.mark.parametrize("width", [320, 375, 768, 900])
def test_no_page_is_wider_than_a_phone(browser, page, width):
    browser.open(page, width=width, height=700, mobile=True)
    browser.click("input[name=rows][value=cells]")
    browser.evaluate("document.querySelectorAll('.statement-button').forEach(b => b.click())")
    browser.settle()
    wide = browser.evaluate("[document.documentElement.scrollWidth, document.body.scrollWidth, window.innerWidth]")
    assert wide == [width] * 3
    # what is inside a scrolling region may be wider, nothing else
    outside = browser.evaluate(f"""(() => {{
        const scrolls = e => e && (getComputedStyle(e).overflowX !== 'visible' || scrolls(e.parentElement));
        return [...document.querySelectorAll('main *, header *')].filter(e => e.getClientRects().length
            && e.getBoundingClientRect().right > {width} + 1 && !scrolls(e.parentElement)).map(e => e.outerHTML).slice(0, 3);
    }})()""")
    assert outside == []
    # a long formula scrolls by itself and does not drag the table of the verdicts along
    dragged = browser.evaluate("(e => e.scrollWidth - e.clientWidth)(document.querySelector('#verdicts .scroll'))")
    assert dragged <= 0
    plotted = browser.evaluate("document.querySelector('#plot .main-svg').getBoundingClientRect().width")
    assert 0.8 * width < plotted <= width
    assert browser.complaints() == []


def _luminance(colour):
    """Relative luminance of WCAG 2 of ``rgb(r, g, b)``."""
    channels = [int(c) / 255 for c in re.findall(r"\d+", colour)[:3]]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return float(np.dot([0.2126, 0.7152, 0.0722], linear))


@needs_browser
def test_dark_mode_reaches_the_page_and_the_plot_and_can_be_read(browser, page):
    seen = {}
    for dark in (False, True):
        browser.open(page, dark=not dark)
        browser.dark(dark)  # while the page is open
        browser.settle()
        ground, ink, soft, plotted, written, curve = browser.evaluate("""(() => {
            const of = (e, what) => getComputedStyle(e)[what], body = document.body, plot = document.getElementById('plot');
            return [of(body, 'backgroundColor'), of(body, 'color'), of(document.getElementById('plot-note'), 'color'),
                of(plot.querySelector('.main-svg'), 'backgroundColor'), of(plot.querySelector('.legendtext'), 'fill'),
                [...plot.querySelectorAll('.scatterlayer .lines path.js-line')].map(l => of(l, 'stroke')).at(-1)];
        })()""")
        light = _luminance(ground)
        assert light < 0.05 if dark else light > 0.8
        assert plotted == ground

        def contrast(colour, light=light):
            low, high = sorted((_luminance(colour), light))
            return (high + 0.05) / (low + 0.05)

        assert min(map(contrast, (ink, soft, written))) >= 4.5  # WCAG 2 AA for text
        assert contrast(curve) >= 3  # for graphics
        seen[dark] = ground
        assert browser.complaints() == []
    assert seen[True] != seen[False]


@needs_browser
def test_every_curve_colour_can_be_seen_on_both_grounds():
    text = (report._ASSETS / "report.js").read_text(encoding="utf-8")
    style = (report._ASSETS / "report.css").read_text(encoding="utf-8")
    pairs = re.findall(r'\["(#\w{6})", "(#\w{6})"\]', text)
    assert len(pairs) == 8
    grounds = re.findall(r"--paper: (#\w{6})", style)

    def luminance(code):
        return _luminance("rgb(" + ",".join(str(int(code[i : i + 2], 16)) for i in (1, 3, 5)) + ")")

    for ground, colours in zip(grounds, zip(*pairs), strict=True):
        for colour in colours:
            low, high = sorted((luminance(ground), luminance(colour)))
            assert (high + 0.05) / (low + 0.05) >= 2.7, (ground, colour)


@needs_browser
def test_names_cannot_become_markup(browser, tmp_path):
    rows = _rows(targets=(EVIL, "a&amp;b <b>c</b>"), samplers=("ddim", EVIL, BOLD), schedules=("vp_linear", EVIL))
    for row in rows:
        row["method"] = row["rung"] = row["statement"] = EVIL
    provenance = {
        "title": EVIL,
        "summary": EVIL,
        "finding": [EVIL] * 3,
        "arguments": {"target": [EVIL]},
        "commit": EVIL,
        "versions": {EVIL: EVIL},
    }
    written = _bare(_write(tmp_path, rows, provenance=provenance))
    assert b"<img src=x" not in written.read_bytes()
    browser.open(written)
    assert browser.evaluate("document.getElementById('target').value") == EVIL
    assert browser.evaluate("document.title") == EVIL
    browser.choose("schedule", "")
    browser.click("#seeds")
    browser.click("input[name=rows][value=cells]")
    assert EVIL in browser.table("cells")[1][0]
    last = browser.evaluate("document.getElementById('plot').data.length - 1")
    browser.evaluate(f"Plotly.Fx.hover('plot', [{{curveNumber: {last}, pointNumber: 0}}])")
    time.sleep(0.3)
    browser.choose("target", "a&amp;b <b>c</b>")
    assert browser.evaluate("window.stolen === undefined && document.querySelectorAll('img[src=x], [onerror]').length === 0")
    legend = browser.evaluate("[...document.querySelectorAll('.legendtext')].map(t => t.textContent)")
    assert {f"{name} · vp_linear" for name in ("ddim", EVIL, BOLD)} <= set(legend)
    assert browser.complaints() == []


@needs_browser
def test_a_long_table_comes_in_pages(browser, tmp_path):
    browser.open(_bare(_write(tmp_path, _rows(seeds=40))))
    browser.click("input[name=rows][value=cells]")
    assert len(browser.table("cells")[1]) == 100
    browser.click("#more")
    assert len(browser.table("cells")[1]) == 200
    assert browser.evaluate("document.getElementById('count').innerText").startswith("480 rows")


@pytest.mark.parametrize("targets", [2, pytest.param(11, marks=pytest.mark.deep)])
def test_the_largest_study_stays_below_the_limit(tmp_path, targets):
    """12 samplers x targets x 6 schedules x 7 step counts x 10 seeds, --deep: 55,440 values with their intervals."""
    rng = np.random.default_rng(1)
    rows = []
    for t, s, g, n, seed in itertools.product(range(targets), range(12), range(6), (2, 5, 10, 20, 50, 100, 200), range(10)):
        value = rng.random()
        rows.append(
            _row(
                target=f"target:dim={t}",
                sampler=f"sampler_{s}",
                schedule=f"schedule_{g}",
                steps=n,
                seed=seed,
                value=value,
                lower=value - 1e-13 * rng.random(),
                upper=value,
            )
        )
    size = report.report(_write(tmp_path, rows)).stat().st_size
    assert size < 8_000_000
    # the cells beyond an empty page's weight, had there been all eleven targets
    assert size + len(rows) * (11 / targets - 1) * 60 < 8_000_000
    with pytest.MonkeyPatch.context() as change:
        change.setattr(report, "MOST_BYTES", size - 1)
        with pytest.raises(ValueError, match=f"{size:,}; choose targets or metrics"):
            report.report(tmp_path)


def _drawings(folder, count, side):
    from PIL import Image

    (folder / "data").mkdir(parents=True)
    for number in range(count):
        noise = np.random.default_rng(number).integers(0, 256, (side, side, 3), dtype=np.uint8)
        Image.fromarray(noise).save(folder / f"figure_{number}.png")
        summary = {"summary": f"noise {number} <b>", "group": "noise"}
        (folder / "data" / f"figure_{number}.json").write_text(json.dumps(summary))
    return folder


def test_the_same_sweep_gives_the_same_bytes(tmp_path):
    _write(tmp_path / "sweep", _rows())
    drawings = _drawings(tmp_path / "drawings", 2, 300)
    first, second = (report.report(tmp_path / "sweep", tmp_path / name, figures=drawings).read_bytes() for name in "ab")
    assert first == second


def test_the_gallery_shrinks_to_its_share_and_escapes_its_captions(tmp_path):
    """Noise does not compress: three drawings of 1000 x 1000 exceed the share of the page, so all become smaller."""
    small = report._gallery(_drawings(tmp_path / "few", 1, 1000))
    large = report._gallery(_drawings(tmp_path / "many", 4, 1000))
    assert 'width="1000"' in small
    widths = {int(w) for w in re.findall(r'width="(\d+)"', large)}
    assert widths <= {800, 600, 400}
    assert len(large) < 4 / 3 * report._IMAGE_BYTES + 4000
    assert "Noise 0 &lt;b&gt;. <code>exactdiffusion figures figure_0</code>" in small
    assert "<h3>noise</h3>" in small
