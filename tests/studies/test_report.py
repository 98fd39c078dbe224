"""Reading a sweep: curves and their intervals, the drawing, and the report as a reader meets it, in a real browser.

Tests that need the browser (``tests/browser.py``) are skipped where it is not installed.
"""

import collections
import csv
import html
import itertools
import json
import math
import re
import sys
import time
from base64 import b64decode
from xml.etree import ElementTree

import numpy as np
import pytest
from browser import Browser, needs_browser

from exactdiffusion._core import files
from exactdiffusion._core.paths import project_root, theory_dir
from exactdiffusion.checks import ledger, verify
from exactdiffusion.checks.statistics import Family
from exactdiffusion.cli import main
from exactdiffusion.statements import all_statements
from exactdiffusion.studies import figures, print_style, report, sweep
from exactdiffusion.studies import plot as plot_module
from exactdiffusion.studies import results as curves
from exactdiffusion.studies.plot import draw, plot

pytest.importorskip("docutils", reason="the report needs the extra explore")
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
    done = sweep.sweep(target="gaussian", sampler=["ddim", "heun"], steps=[3, 6], seeds=2, samples=40, out=tmp_path)
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
    assert b"Results" in report.report(tmp_path).read_bytes()


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


@pytest.mark.parametrize("missing", ["docutils", "latex2mathml"])
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
    # text is text: it can be searched and edited
    assert kind != "svg" or b">number of steps N</text>" in first
    assert kind != "pdf" or (b"/FontFile2" in first and b"/Type3" not in first)


@pytest.mark.parametrize("width", ["single", "double"])
def test_print_has_its_width_its_sizes_and_names_beside_the_lines(tmp_path, monkeypatch, width):
    from matplotlib.text import Text

    _write(tmp_path, _rows(samplers=("ddim", "heun", "gradient_estimation:gamma=2.0")))
    drawn = []
    monkeypatch.setattr(plot_module, "draw", lambda *arguments: drawn.append(draw(*arguments)) or drawn[-1])
    with figures.style():
        plot(tmp_path, target="ring", metric="w2", width=width, out=tmp_path / "a.pdf")
        (figure,) = drawn
        assert figure.get_figwidth() == print_style.WIDTHS[width]
        assert print_style.check_sizes(figure, width) == 7.0
    (axes,) = figure.axes
    beside = {text.get_text().split("\n")[0]: text.get_color() for text in axes.texts}
    assert set(beside) == {"ddim", "heun", "gradient"}
    assert beside["heun"] == next(line for line in axes.lines if line.get_label().startswith("heun")).get_color()
    assert not any(text.get_text().startswith(("ddim", "heun")) for text in axes.get_legend().get_texts())
    page = figure.bbox
    for text in (*axes.texts, *axes.get_legend().get_texts(), axes.title, axes.yaxis.label):  # nothing leaves the paper
        box = Text.get_window_extent(text)
        assert page.x0 <= box.x0 <= box.x1 <= page.x1, text
        assert page.y0 <= box.y0 <= box.y1 <= page.y1, text
    with pytest.raises(ValueError, match="width: got 'triple'"):
        plot(tmp_path, width="triple")


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


def _faulty(steps=(5, 10, 20, 40, 80, 160)):
    """DDIM falls as 1/N under a bound of 1000 until N = 40, then it is rounding above a bound of 0; Heun is near DDIM."""
    none = dict.fromkeys(("exact_draws", "exact_draws_low", "exact_draws_high", "exact_draws_runs"))
    rows = []
    for n, seed in itertools.product(steps, (0, 1)):
        value, bound = (1 / n, 1e3) if n < 80 else (1e-21 / n, 0.0)
        key = {"bound": bound, "bound_kind": "upper", "statement": "projection/ddim_distance_sandwich"}
        rows.append(_row(steps=n, seed=seed, value=value, **none, **key))
        rows.append(_row(steps=n, seed=seed, value=1.2 / n, sampler="heun", oracle_calls=2 * n - 1, **none))
    return rows


def test_values_that_are_rounding_make_no_slope_no_axis_and_break_no_bound(tmp_path):
    found = curves.curves(curves.load(_write(tmp_path, _faulty())).rows)
    rounding = curves.rounding_of(found)["ring", "w2"]
    assert rounding == pytest.approx(curves.ROUNDING * 1.2 / 5, rel=1e-15)
    ddim = report._data(curves.load(tmp_path).rows, found)["curves"][0]
    assert ddim["rounding"] == rounding
    assert ddim["orders"]["steps"]["slope"] == pytest.approx(-1, abs=1e-12)
    assert (ddim["orders"]["steps"]["n"], ddim["orders"]["steps"]["last"]) == (4, 40)

    # the drawing: no axis of decades, no bound outside the frame that widens it, ticks within it
    (axes,) = draw(found).axes
    low, high = axes.get_ylim()
    assert 1.2 / 320 < low < high < 0.5
    ticks = axes.get_yticks()
    assert len(ticks) >= 3
    assert all(low <= tick <= high for tick in ticks)
    (line,) = [line for line in axes.lines if line.get_label().startswith("ddim")]
    assert list(line.get_xdata()) == [5, 10, 20, 40]
    assert line.get_label() == "ddim: slope -1.00 [-1.00, -1.00]"
    labels = [text.get_text() for text in axes.get_legend().get_texts()]
    assert "bounds beyond the frame: 1e+03 to 1e+03" in labels
    assert not any(label.startswith("upper bound of") for label in labels), (
        "a bound without a curve in the frame has an entry"
    )
    assert "2 points zero but for rounding, not drawn or fitted" in labels


@pytest.mark.parametrize(
    ("low", "high"), [(3.1, 3.4), (0.031, 0.11), (0.3, 2.9), (1e-3, 0.9), (0.0042, 0.0043), (7.0, 13.0), (0.99, 1.01)]
)
def test_an_ordinate_has_three_ticks_within_its_frame(low, high):
    with figures.style():
        _, axes = figures.new_figure()
        axes.set_yscale("log")
        axes.set_ylim(low, high)
        plot_module._ordinate_ticks(axes.yaxis, low, high)
    ticks, labels = axes.get_yticks(), [label.get_text() for label in axes.get_yticklabels()]
    assert 3 <= len(ticks) <= 9
    assert all(low <= tick <= high for tick in ticks)
    assert [float(text) for text in labels] == pytest.approx(list(ticks), rel=1e-3)  # the digits that are printed
    assert len(set(labels)) == len(labels)


def test_a_bound_of_one_point_in_the_frame_is_named_and_not_drawn():
    """At N = 5 the bound is near, then it grows beyond the frame: a dotted stub would say nothing."""
    none = dict.fromkeys(("exact_draws", "exact_draws_low", "exact_draws_high", "exact_draws_runs"))
    key = {"bound_kind": "upper", "statement": "projection/ddim_distance_sandwich"}
    steps = (5, 10, 20, 40)
    for bounds, drawn in (((0.3, 1e3, 1e4, 1e5), False), ((0.3, 0.2, 1e4, 1e5), True)):
        rows = [
            _row(steps=n, seed=seed, value=1 / n, bound=b, **none, **key) for n, b in zip(steps, bounds) for seed in (0, 1)
        ]
        (axes,) = draw(curves.curves(rows)).axes
        dotted = [line for line in axes.lines if line.get_marker() == "_" and len(line.get_xdata())]
        labels = [text.get_text().replace("\n", " ") for text in axes.get_legend().get_texts()]
        assert len(dotted) == drawn
        assert ("upper bound of projection/ddim_distance_sandwich" in labels) == drawn
        stub = "not drawn, fewer than two points in the frame: bound of projection/ddim_distance_sandwich"
        assert (stub in labels) == (not drawn)


def test_an_object_is_called_by_its_name_and_a_band_by_its_probability():
    rows = [_row(target="mine@9c8ec71ef469", steps=n, seed=seed) for n in (5, 10) for seed in range(3)]
    (axes,) = draw(curves.curves(rows)).axes
    assert axes.get_title(loc="left").startswith("mine,") or axes.get_title().startswith("mine,")
    note = axes.get_legend().get_title().get_text().replace("\n", " ")
    assert "band: holds the median with probability 75 % or more" in note


def test_a_bound_widens_the_frame_by_no_more_than_the_data_span():
    for extent, bounds, beyond in (
        ([1.0, 1.1], [3.0, 5.0, 0.6, 0.4], [5.0, 0.4]),  # nearly constant: a factor of 4 above, of 2 below
        ([1.0, 10.0], [90.0, 110.0], [110.0]),
        ([1.0, 1e5], [2.9e6, 3.1e6], [3.1e6]),
    ):
        (low, high), far = plot_module._frame(extent, bounds)
        assert far == beyond
        inside = [*extent, *(b for b in bounds if b not in beyond)]
        assert low < min(inside) <= max(inside) < high


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
            block = itertools.takewhile(lambda line: not line.strip() or line.startswith(" "), lines[at:])
            found.append(" ".join([display[1], *(line.strip() for line in block)]))
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
        tree = ElementTree.fromstring(report.mathml(formula, display=True))
        assert _shown(tree) == _letters(formula), formula
        space = "{http://www.w3.org/1998/Math/MathML}"
        fractions = [[_shown(part) for part in fraction] for fraction in tree.iter(space + "mfrac")]
        assert fractions == _parts(formula, r"\\[td]?frac", 2), formula
        assert [[_shown(root)] for root in tree.iter(space + "msqrt")] == _parts(formula, r"\\sqrt", 1), formula
    stated = re.split(r"\n\w+\n-{3,}\n", statement.doc)[0]
    page = report._prose(statement.doc)
    assert page.count("<math") == len(_formulas(stated))
    words = re.sub(r"<math.*?</math>", "", page, flags=re.DOTALL)
    assert not re.search(r":math:|\.\. math::|``|\*\*|system-message|problematic", words)
    plain = html.unescape(re.sub(r"<[^>]*>", "", words))
    source = re.sub(r":math:`[^`]*`|\.\. math::[^\n]*(?:\n(?: [^\n]*)?(?=\n|\Z))*|:[\w:]+:(?=`)", "", stated)
    assert collections.Counter(filter(str.isalnum, plain)) == collections.Counter(filter(str.isalnum, source))
    ElementTree.fromstring(f"<div>{page}</div>".replace("&#x27;", "'"))  # every tag is closed


@pytest.mark.parametrize("formula", [r"\undefinedcommand x", r"\frac{1}{2", r"\text{a<b}", r"a & b"])
def test_a_formula_that_does_not_convert_is_named(formula):
    with pytest.raises(ValueError, match="formula: got "):
        report.mathml(formula)


def test_words_of_a_statement():
    doc = "A *b* **c** ``d<e`` :func:`f`, |x|.\n\n- one\n- two\n  more\n\nReturns\n-------\nx : array\n    The <x>.\n"
    page = re.sub(r' class="[^"]*"', "", report._prose(doc))
    assert "<p>A <em>b</em> <strong>c</strong> <span>d&lt;e</span> <span>f</span>, |x|.</p>" in page
    assert re.search(r"<li><p>one</p></li>\s*<li><p>two\s+more</p></li>", re.sub(r">\s+<", "><", page))
    assert "Returns" not in page  # the API is in the code below it
    with pytest.raises(ValueError, match="Inline emphasis"):
        report._prose("A *b")


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
    started = Reader(tmp_path_factory.mktemp("chromium"))
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


@pytest.fixture(scope="module")
def real(tmp_path_factory):
    """Registered names, so that their samples are in the page, with bounds of two statements near the values."""
    rows = []
    for sampler, n, seed, metric in itertools.product(("ddim", "heun"), (4, 8), (0, 1), ("w2", "distance")):
        value = (1.0 if sampler == "ddim" else 0.7) * (1 + 0.1 * seed) / n
        row = _row(target="rings", sampler=sampler, schedule="log_linear", steps=n, seed=seed, samples=40, metric=metric)
        row |= {"value": value, "lower": 0.99 * value, "upper": 1.01 * value, **_drawn(0.1 if metric == "w2" else 0.0)}
        if metric == "w2":
            row |= {"bound": 0.8 * value, "bound_kind": "lower", "statement": "projection/squared_w2_to_laws_on_set"}
        elif sampler == "ddim":
            row |= {"bound": 1.9 * value, "bound_kind": "upper", "statement": "projection/a_posteriori_sandwich"}
        rows.append(row)
    return report.report(_write(tmp_path_factory.mktemp("real"), rows, seconds=False))


class Reader(Browser):
    """What a reader of the report does beyond loading pages and clicking on what has a name."""

    def follow(self, path, fragment):
        """Load a page by an address with a fragment, as somebody does who was sent a link."""
        self.evaluate("document.documentElement.dataset.ready = 'left'")
        self._send("Page.navigate", url="about:blank")  # another fragment alone would load nothing
        self._send("Page.navigate", url=path.as_uri() + fragment)
        limit = time.monotonic() + 120
        while self.evaluate("document.documentElement?.dataset.ready") != "true":
            assert time.monotonic() < limit
            time.sleep(0.02)
        self.settle()

    def slide(self, place):
        """Put the cursor of the curves at the number of steps in this place."""
        self.evaluate(
            f"{{const c = document.getElementById('cursor'); c.value = {place}; c.dispatchEvent(new Event('input'))}}"
        )

    def search(self, text):
        self.evaluate(
            f"{{const s = document.getElementById('search'); s.value = {json.dumps(text)};"
            "s.dispatchEvent(new Event('input'))}"
        )

    def type(self, text):
        self._send("Input.insertText", text=text)
        self.settle()

    def arrow_left(self):
        for kind in ("keyDown", "keyUp"):
            self._send("Input.dispatchKeyEvent", type=kind, key="ArrowLeft", code="ArrowLeft", windowsVirtualKeyCode=37)
        self.settle()

    def click_at(self, x, y):
        for kind in ("mousePressed", "mouseReleased"):
            self._send("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)
        self.settle()


def _csv(page, **wanted):
    with open(page.parent / "results.csv", encoding="utf-8", newline="") as file:
        return [row for row in csv.DictReader(file) if all(row[k] == v for k, v in wanted.items())]


def _points(browser, panel=0):
    """(abscissa, ordinate) of every marker of a panel, read back through the ticks and their labels; and all ticks."""
    marks, across, up = browser.evaluate(f"""(() => {{
        const svg = document.querySelectorAll('#panels svg[role=img]')[{panel}];
        const ticks = (name, at) => [...svg.querySelectorAll(name)].map(
            t => [Number(t.textContent), Number(t.getAttribute(at))]);
        const place = (mark) => mark.getAttribute('transform').match(/-?[\\d.]+/g).slice(0, 2).map(Number);
        return [[...svg.querySelectorAll('.mark')].map(place), ticks('.x-tick', 'x'), ticks('.y-tick', 'y')];
    }})()""")

    def value(ticks, pixel):
        (a, at), (b, to) = ticks[0], ticks[-1]
        return math.exp(math.log(a) + (pixel - at) / (to - at) * math.log(b / a))

    up = [(tick, pixel - 4) for tick, pixel in up]  # a label stands 4 pixels below its line
    return [(value(across, x), value(up, y)) for x, y in marks], across, up


def _seen(browser):
    """What the table at the cursor says: sampler -> list of values, one per panel."""
    return browser.evaluate("""Object.fromEntries([...document.querySelectorAll('#readout tbody tr')].map(r =>
        [r.cells[0].innerText.trim(), [...r.querySelectorAll('data')].map(d => Number(d.value))]))""")


@needs_browser
def test_report_filters_match_csv(browser, page):
    assert page.stat().st_size < 120_000  # 288 values, a statement and its files
    browser.open(page)
    browser.choose("target", "disc")
    browser.choose("metric", "w2")
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

    # the curve has the medians of the same cells, over the chosen abscissa
    browser.click("input[name=axis][value=calls]")
    by_hand = [float(np.median([float(r["value"]) for r in expected if r["steps"] == str(n)])) for n in (5, 10, 20, 40)]
    drawn, _, _ = _points(browser)
    assert [x for x, _ in drawn] == pytest.approx([9, 19, 39, 79], rel=1e-3)  # a tenth of a pixel
    assert [y for _, y in drawn] == pytest.approx(by_hand, rel=2e-2)  # half a pixel of 240
    for place, median in enumerate(by_hand):
        browser.slide(place)
        assert _seen(browser) == {"heun": [median]}
    slopes_labels, slopes = browser.table("slopes")
    fitted = curves.curves(
        curves.select(curves.load(page.parent).rows, target="disc", metric="w2", schedule="cosine", sampler="heun")
    )[0].order("calls")
    assert slopes[0][slopes_labels.index("slope")] == (repr(fitted.slope.slope) if fitted.slope else "–")
    assert fitted.why is None or fitted.why == slopes[0][slopes_labels.index("why none")]
    assert browser.complaints() == []
    assert browser.requests() == [page.as_uri()]


@needs_browser
def test_a_bound_leads_to_its_statement_its_check_and_its_code(browser, real):
    browser.open(real)
    keys = ["projection/a_posteriori_sandwich", "projection/squared_w2_to_laws_on_set"]
    assert browser.evaluate("[...document.querySelectorAll('#statements article')].map(a => a.id)") == keys  # and no other

    # from the dotted line, though the search hides the statement
    browser.search("w2 ddim")
    assert browser.evaluate("document.getElementById('projection/a_posteriori_sandwich').hidden")
    browser.search("")
    links = browser.evaluate("[...document.querySelectorAll('#panels a.bound')].map(a => a.getAttribute('href'))")
    assert set(links) == {"#" + key for key in keys}
    place = browser.evaluate("""(() => {
        const p = document.querySelector('#panels a.bound[href*=sandwich] path').getBoundingClientRect();
        return [p.left + p.width / 2, p.top + p.height / 2]; })()""")
    browser.click_at(*place)
    assert browser.evaluate("decodeURIComponent(location.hash)") == "#projection/a_posteriori_sandwich"
    top = browser.evaluate("document.getElementById('projection/a_posteriori_sandwich').getBoundingClientRect().top")
    assert 0 <= top < 60
    assert browser.evaluate("document.querySelector('article:target h3').innerText").startswith("Distance sandwich")

    # from the statement to the theory file and to the code, which are in the page
    for link, words in (
        ("theory/projection/thm_4_2_a_posteriori.py", "a_posteriori_sandwich"),
        ("code/projection/a_posteriori_sandwich", "def a_posteriori_sandwich("),
    ):
        browser.click(f'article a[href="#{link}"]')
        opened, text = browser.evaluate(f"""(d => [d.open, d.innerText])(document.getElementById({json.dumps(link)}))""")
        assert opened
        assert words in text
    file = (theory_dir() / "projection" / "thm_4_2_a_posteriori.py").read_text(encoding="utf-8")
    text = browser.evaluate(
        "document.getElementById('theory/projection/thm_4_2_a_posteriori.py').querySelector('pre').textContent"
    )
    assert text == file

    # and back to the curves
    browser.click("article:first-of-type a[href^='#target=']")
    assert browser.evaluate("document.getElementById('metric').value") == "distance"
    assert browser.complaints() == []


@needs_browser
def test_the_address_of_a_selection_restores_it(browser, page):
    browser.open(page)
    browser.choose("metric", "distance")
    browser.choose("schedule", "cosine")
    browser.click("#samplers input[value='heun']")
    browser.click("input[name=axis][value=calls]")
    browser.slide(2)
    address, seen = browser.evaluate("location.hash"), _seen(browser)
    assert list(seen) == ["ddim", "gradient_estimation:gamma=2.0"]
    browser.open(page)
    assert list(_seen(browser)) == ["ddim", "heun", "gradient_estimation:gamma=2.0"]
    browser.follow(page, address)
    assert _seen(browser) == seen
    assert browser.evaluate("['metric', 'schedule', 'cursor'].map(id => document.getElementById(id).value)") == [
        "distance",
        "cosine",
        "2",
    ]
    assert browser.evaluate("document.querySelector('input[name=axis]:checked').value") == "calls"
    assert browser.complaints() == []


@needs_browser
def test_the_axes_of_the_page_have_no_fault(browser, tmp_path):
    """The faults of the drawing, in the page: bounds outside the frame, values that are rounding, a bound of 0."""
    browser.open(report.report(_write(tmp_path, _faulty())))
    drawn, across, up = _points(browser)
    assert len(drawn) == 4 + 6
    assert [tick for tick, _ in across] == [5, 10, 20, 40, 80, 160]
    assert len(up) >= 3
    assert 1.2 / 320 < min(tick for tick, _ in up) < max(tick for tick, _ in up) < 0.5
    assert all(1.2 / 330 < y < 0.3 for _, y in drawn)
    assert browser.evaluate("document.querySelector('#plot-note').innerText.includes('2 points are zero but for rounding')")
    assert browser.evaluate("document.querySelector('#plot-note').innerText.includes('4 bounds lie beyond the frame')")
    assert browser.evaluate("document.querySelector('#plot-note').innerText.includes('fewer than two of its points lie in')")
    assert browser.evaluate("document.querySelectorAll('#panels a.bound').length") == 0

    # at N = 80 the value is above the bound of 0 by rounding: neither is shown as a comparison
    browser.slide(4)
    cell = browser.evaluate("document.querySelector('#readout tbody tr').cells[1].innerText")
    assert cell == "≈ 0 (rounding)"
    labels, _ = browser.table("cells")
    shown = browser.evaluate(
        f"[...document.querySelectorAll('#cells tbody tr')].map(r => r.cells[{labels.index('median')}].innerText)"
    )
    assert shown[4:6] == ["≈ 0", "≈ 0"]
    assert browser.complaints() == []


@needs_browser
@pytest.mark.parametrize(
    ("low", "high"), [(3.1, 3.4), (0.031, 0.11), (0.3, 2.9), (1e-3, 0.9), (0.0042, 0.0043), (7.0, 13.0), (1e-9, 2e3)]
)
def test_an_ordinate_of_the_page_has_three_ticks_within_its_frame(browser, page, low, high):
    browser.open(page)
    ticks = browser.evaluate(f"ticks({low}, {high})")
    assert 3 <= len(ticks) <= 9
    assert all(low <= tick <= high for tick in ticks)
    labels = browser.evaluate(f"ticks({low}, {high}).map(plain)")
    assert [float(label) for label in labels] == pytest.approx(ticks, rel=1e-5)  # six digits


@needs_browser
def test_the_cursor_is_common_to_all_panels(browser, real):
    browser.open(real)
    assert browser.evaluate("document.querySelectorAll('#panels svg[role=img]').length") == 2
    drawn, across, _ = _points(browser)
    assert [tick for tick, _ in across] == [4, 8]
    for place, steps in enumerate((4, 8)):
        left, top = browser.evaluate(
            "(r => [r.left, r.top])(document.querySelectorAll('#panels svg[role=img]')[0].getBoundingClientRect())"
        )
        browser.hover(left + across[place][1] - 20, top + 100)
        lines = browser.evaluate("[...document.querySelectorAll('.cursor-line')].map(l => l.getAttribute('d'))")
        assert len(lines) == 2
        assert all(float(line[1:].split()[0]) == pytest.approx(across[place][1], abs=0.01) for line in lines)
        expected = {
            name: [
                float(np.median([float(r["value"]) for r in _csv(real, sampler=name, metric=metric, steps=str(steps))]))
                for metric in ("w2", "distance")
            ]
            for name in ("ddim", "heun")
        }
        assert _seen(browser) == expected

    # by keyboard
    browser.evaluate("document.getElementById('cursor').focus()")
    browser.arrow_left()
    assert browser.evaluate("document.getElementById('cursor-value').textContent") == "4"
    assert browser.evaluate("document.getElementById('cursor').getAttribute('aria-valuetext')") == "N = 4"
    assert browser.complaints() == []


@needs_browser
def test_samples_of_the_lowest_seed_stand_beside_the_curve(browser, real):
    browser.open(real)
    assert browser.evaluate("document.querySelectorAll('#samples canvas').length") == 2
    browser.slide(1)
    assert browser.evaluate("document.querySelector('#samples h3').innerText") == "Samples of seed 0 at N = 8: rings"
    inks = browser.evaluate("""[...document.querySelectorAll('#samples canvas')].map(c => new Set(
        new Uint32Array(c.getContext('2d').getImageData(0, 0, c.width, c.height).data.buffer)).size)""")
    assert all(ink >= 3 for ink in inks)  # ground, draws of the target, samples
    assert browser.complaints() == []


def _decoded(code, frame):
    low, high = np.asarray(frame["low"]), np.asarray(frame["high"])
    numbers = np.frombuffer(b64decode(code), dtype=np.uint8)
    return low + (high - low) * numbers.reshape(-1, np.size(low)) / 255


def test_samples_are_those_of_the_sampler(tmp_path):
    """Against the sampler run by hand, to half a step of a byte; 500 points at most, 16 images."""
    from exactdiffusion import samplers, schedules
    from exactdiffusion._core.random import Noise

    rows = curves.load(_write(tmp_path, [_row(target="rings", steps=4, seed=k, samples=600) for k in (5, 3)])).rows
    listed = report._data(rows)["curves"]
    shown = report._samples(rows, listed, False)
    assert (shown["seed"], shown["left_out"]) == (3, 0)
    frame, law, grid = shown["targets"]["rings"], sweep.law_of("rings"), schedules.vp_linear(4)
    by_hand = samplers.final(samplers.ddim(law, grid, grid.sigma[0] * Noise(3).initial(600, 2)))[:500]
    step = (frame["high"][0] - frame["low"][0]) / 255
    found = _decoded(listed[0]["points"][0]["sample"], frame)
    assert np.max(np.abs(found - np.clip(by_hand, frame["low"], frame["high"]))) <= 0.5 * step * (1 + 1e-9)
    assert len(_decoded(frame["draws"], frame)) == 500

    # images are grey values of the whole vector
    class Images:
        dim = 64

        def sample(self, count, rng):
            return np.linspace(-1, 1, 64 * count).reshape(count, 64)

    images = report._frame("digits", Images(), 500)
    assert images["shape"] == (8, 8)
    assert len(b64decode(images["draws"])) == 64 * report.IMAGES
    assert (images["low"], images["high"]) == (-1.0, 1.0)
    line = report._frame("gaussian", type("Line", (), {"dim": 1, "sample": lambda self, n, rng: rng.random((n, 1))})(), 500)
    assert len(b64decode(line["draws"])) == 500


def test_own_code_runs_only_when_it_is_asked_for(tmp_path, monkeypatch):
    """A folder from elsewhere names files; to read its report must not run them."""
    (tmp_path / "mine.py").write_text(
        "import pathlib\nfrom exactdiffusion import samplers\npathlib.Path('ran').write_text('')\n"
        "def mine(law, grid, x):\n    return samplers.ddim(law, grid, x)\n"
        "def denoiser(x, sigma):\n    return 0 * x\n"
    )
    monkeypatch.chdir(tmp_path)
    rows = [_row(target="rings", sampler="mine.py:mine", steps=4, samples=20), _row(target="rings", steps=4, samples=20)]
    rows += [_row(target="rings:denoiser=mine.py:denoiser", steps=4, samples=20), _row(target="nowhere", steps=4)]
    loaded = curves.load(_write(tmp_path / "given", rows)).rows
    listed = report._data(loaded)["curves"]
    shown = report._samples(loaded, listed, False)
    assert [curve["points"][0]["sample"] is not None for curve in listed] == [False, True, False, False]
    assert (shown["left_out"], shown["own_code"]) == (0, 3)
    assert not (tmp_path / "ran").exists()
    report._samples(loaded[:1], listed[:1], True)
    assert listed[0]["points"][0]["sample"] == listed[1]["points"][0]["sample"]
    assert (tmp_path / "ran").exists()


def test_samples_stop_when_the_time_or_the_room_is_over(tmp_path, monkeypatch):
    rows = curves.load(_write(tmp_path, [_row(target="rings", steps=n, samples=900) for n in (2, 3, 4)])).rows
    for row, seconds in zip(rows, (20.0, 5.0, 8.0), strict=True):
        row["seconds"] = seconds
    listed = report._data(rows)["curves"]
    assert report._samples(rows, listed, False)["left_out"] == 1
    assert [p["sample"] is not None for p in listed[0]["points"]] == [False, True, True]
    monkeypatch.setattr(report, "SAMPLE_BYTES", 600)  # 100 points of two bytes for each of three cells
    report._samples(rows, listed, False)
    assert len(b64decode(listed[0]["points"][1]["sample"])) == 200


@needs_browser
def test_search_finds_curves_and_statements(browser, real):
    browser.open(real)
    browser.evaluate("document.getElementById('search').focus()")
    browser.type("HEUN w2")
    assert list(_seen(browser)) == ["heun"]
    assert browser.evaluate("document.querySelectorAll('#panels svg[role=img]').length") == 1
    assert "search=HEUN+w2" in browser.evaluate("location.hash")
    hidden = "[...document.querySelectorAll('#statements article')].map(a => a.hidden)"
    assert browser.evaluate(hidden) == [True, False]  # the second one says where its bound stands: heun on rings, w2
    assert browser.evaluate("document.getElementById('unmatched').innerText") == "1 statement without these words."
    browser.type(" nothing has this")
    assert browser.evaluate("document.querySelector('#plot-note').innerText").endswith("Nothing is chosen.")
    assert browser.evaluate(hidden) == [True, True]
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


@needs_browser
def test_a_panel_is_an_svg_of_its_own(browser, page):
    browser.open(page)
    browser.evaluate("URL.createObjectURL = (blob) => { window.saved = blob; return 'data:,'; }")
    browser.click("#panels button.svg")
    tree = ElementTree.fromstring(browser.evaluate("window.saved.text()"))
    space = "{http://www.w3.org/2000/svg}"
    assert tree.tag == space + "svg"
    written = [text.text for text in tree.iter(space + "text")]
    assert {"ddim", "heun", "gradient_estimation:gamma=2.0", "number of steps N"} <= set(written)
    assert len([p for p in tree.iter(space + "path") if p.get("class") == "curve"]) == 3
    # it needs no style sheet: every shape says its colour
    assert all(e.get("fill") or e.get("stroke") for e in tree.iter() if e.tag in (space + "text", space + "circle"))
    assert not any("var(" in value for e in tree.iter() for value in e.attrib.values())


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
    browser.click("#cells th:nth-child(2) button")
    names = [row[1] for row in browser.table("cells")[1]]
    assert names == sorted(names)
    assert browser.complaints() == []


@needs_browser
def test_every_control_has_a_name_and_is_reached_by_tab(browser, page):
    browser.open(page)
    unnamed = browser.evaluate("""[...document.querySelectorAll('button, select, input')].filter(
        e => e.offsetParent && !(e.innerText || '').trim() && !e.ariaLabel
        && !(e.labels && e.labels.length && e.labels[0].innerText.trim())).map(e => e.outerHTML)""")
    assert unnamed == []
    reached, bounds = [], 0
    for _ in range(40):
        browser.press("Tab")
        reached.append(browser.evaluate("document.activeElement.id || document.activeElement.value || ''"))
        bounds += browser.evaluate("document.activeElement.classList.contains('bound')")
    assert {"target", "metric", "schedule", "search", "all", "none", "seeds", "cursor"} <= set(reached)
    assert reached.index("cursor") < reached.index("target")  # the curve comes first
    assert bounds == 2  # the bound of a panel is a link, by keyboard too
    assert (
        browser.evaluate(
            "document.querySelectorAll('img:not([alt]), canvas:not([aria-label]), svg[role=img]:not([aria-label])').length"
        )
        == 0
    )


@needs_browser
@pytest.mark.parametrize("width", [320, 390, 900])
def test_no_page_is_wider_than_a_phone_and_the_curve_comes_first(browser, page, width):
    browser.open(page, width=width, height=844, mobile=True)
    top, first, form = browser.evaluate("""(() => {
        const panel = document.querySelector('#panels svg').getBoundingClientRect();
        return [panel.top, panel.bottom, document.getElementById('choice').getBoundingClientRect().top]; })()""")
    assert top < 844 / 2
    assert first < 844  # a whole panel is on the first screen
    assert form > first
    browser.click("input[name=rows][value=cells]")
    browser.evaluate("document.querySelectorAll('details').forEach(d => { d.open = true })")
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
    plotted = browser.evaluate("document.querySelector('#panels svg').getBoundingClientRect().width")
    assert (0.8 * width if width < 800 else 0.4 * width) < plotted <= width
    sizes = browser.evaluate("[...document.querySelectorAll('#panels text')].map(t => t.getBoundingClientRect().height)")
    assert min(sizes) >= 12  # type is not scaled down with the width
    assert browser.complaints() == []


def _luminance(colour):
    """Relative luminance of WCAG 2 of ``rgb(r, g, b)``."""
    channels = [int(c) / 255 for c in re.findall(r"\d+", colour)[:3]]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return float(np.dot([0.2126, 0.7152, 0.0722], linear))


@needs_browser
def test_dark_mode_reaches_the_page_and_the_curves_and_can_be_read(browser, page):
    seen = {}
    for dark in (False, True):
        browser.open(page, dark=not dark)
        browser.dark(dark)  # while the page is open
        browser.settle()
        ground, ink, soft, written, curve, verdict = browser.evaluate("""(() => {
            const of = (e, what) => getComputedStyle(e)[what], body = document.body;
            return [of(body, 'backgroundColor'), of(body, 'color'), of(document.getElementById('plot-note'), 'color'),
                of(document.querySelector('#panels text'), 'fill'), of(document.querySelector('#panels .curve'), 'stroke'),
                of(document.querySelector('.verdict'), 'color')];
        })()""")
        light = _luminance(ground)
        assert light < 0.05 if dark else light > 0.8

        def contrast(colour, light=light):
            low, high = sorted((_luminance(colour), light))
            return (high + 0.05) / (low + 0.05)

        assert min(map(contrast, (ink, soft, written, verdict))) >= 4.5  # WCAG 2 AA for text
        assert contrast(curve) >= 3  # for graphics
        seen[dark] = ground
        assert browser.complaints() == []
    assert seen[True] != seen[False]


def test_every_curve_colour_can_be_seen_on_both_grounds():
    text = (report._ASSETS / "report.js").read_text(encoding="utf-8")
    style = (report._ASSETS / "report.css").read_text(encoding="utf-8")
    pairs = re.findall(r'\["(#\w{6})", "(#\w{6})"\]', text)
    assert tuple(light for light, _ in pairs) == print_style.PALETTE
    grounds = re.findall(r"--paper: (#\w{6})", style)

    def luminance(code):
        return _luminance("rgb(" + ",".join(str(int(code[i : i + 2], 16)) for i in (1, 3, 5)) + ")")

    for ground, colours in zip(grounds, zip(*pairs), strict=True):
        print_style.check_palette(colours)
        for colour in colours:
            low, high = sorted((luminance(ground), luminance(colour)))
            assert (high + 0.05) / (low + 0.05) >= 2.2, (ground, colour)  # of the sky blue and the orange, as in print


@needs_browser
def test_names_cannot_become_markup(browser, tmp_path):
    rows = _rows(targets=(EVIL, "a&amp;b <b>c</b>"), samplers=("ddim", EVIL, BOLD), schedules=("vp_linear", EVIL))
    for row in rows:
        row["method"] = row["rung"] = row["statement"] = EVIL
        row |= {"bound": 1.0, "bound_kind": EVIL, "vacuous": EVIL}
    provenance = {
        "title": EVIL,
        "summary": EVIL,
        "finding": [EVIL] * 3,
        "arguments": {"target": [EVIL]},
        "commit": EVIL,
        "versions": {EVIL: EVIL},
    }
    written = report.report(_write(tmp_path, rows, provenance=provenance))
    assert b"<img src=x" not in written.read_bytes()
    browser.open(written)
    assert browser.evaluate("document.getElementById('target').value") == EVIL
    assert browser.evaluate("document.title") == EVIL
    browser.choose("schedule", "")
    browser.click("#seeds")
    browser.click("input[name=rows][value=cells]")
    labels, cells = browser.table("cells")
    assert EVIL in cells[0][labels.index("method")]
    browser.choose("target", "a&amp;b <b>c</b>")
    browser.choose("target", "")
    browser.evaluate("document.querySelector('a.bound').dispatchEvent(new MouseEvent('click', {bubbles: true}))")
    assert browser.evaluate("window.stolen === undefined && document.querySelectorAll('img[src=x], [onerror]').length === 0")
    assert {f"{name} · vp_linear" for name in ("ddim", EVIL, BOLD)} <= set(_seen(browser))
    assert browser.complaints() == []


@needs_browser
def test_a_long_table_comes_in_pages(browser, tmp_path):
    browser.open(report.report(_write(tmp_path, _rows(seeds=40))))
    browser.click("input[name=rows][value=cells]")
    assert len(browser.table("cells")[1]) == 100
    browser.click("#more")
    assert len(browser.table("cells")[1]) == 200
    assert browser.evaluate("document.getElementById('count').innerText").startswith("960 rows")


@pytest.mark.parametrize("targets", [1, pytest.param(11, marks=pytest.mark.deep)])
def test_the_largest_study_stays_below_the_limit(tmp_path, monkeypatch, targets):
    """12 samplers x targets x 6 schedules x 7 step counts x 10 seeds, --deep: 55,440 values with their intervals.

    Where the values of single seeds do not fit, the page has the curves without them, and says so.
    """
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
    text = report.report(_write(tmp_path, rows)).read_bytes()
    size = len(text)
    assert size < report.MOST_BYTES == 1_500_000
    if targets == 1:
        assert size + len(rows) * 10 * 60 > report.MOST_BYTES  # the page of all eleven has no single cells
        monkeypatch.setattr(report, "MOST_BYTES", size - 1)
        smaller = report.report(tmp_path).read_bytes()
        assert size / 3 > len(smaller)
        monkeypatch.setattr(report, "MOST_BYTES", len(smaller) - 1)
        with pytest.raises(ValueError, match="choose targets or metrics"):
            report.report(tmp_path)


@needs_browser
def test_a_page_without_single_cells_says_so(browser, tmp_path, monkeypatch):
    _write(tmp_path, _rows(seeds=30))
    monkeypatch.setattr(report, "MOST_BYTES", len(report.report(tmp_path).read_bytes()) - 1)
    browser.open(report.report(tmp_path))
    assert browser.evaluate("document.getElementById('rows').hidden && document.getElementById('seeds').closest('p').hidden")
    assert "results.csv" in browser.evaluate("document.getElementById('plot-note').innerText")
    assert len(_seen(browser)) == 3
    assert browser.complaints() == []


def test_the_same_sweep_gives_the_same_bytes(tmp_path):
    rows = _rows(targets=("rings",), steps=(2, 3))
    _write(tmp_path / "sweep", rows)
    first, second = (report.report(tmp_path / "sweep", tmp_path / name).read_bytes() for name in "ab")
    assert first == second
