"""Figure infrastructure: tables and drawings that are deterministic, and a currency check that can fail."""

import json
import math
import re

import numpy as np
import pytest
from figure_tables import committed

from exactdiffusion._core import files
from exactdiffusion.studies import figures, print_style

# Training times and log sigma of Permenter & Yuan, Fig. 5, N = 10 (three decimals, as read from the authors' own run).
FIGURE_5 = {
    "ddim": (
        (999, 899, 799, 699, 599, 499, 399, 299, 199, 99, 0),
        (5.059, 4.099, 3.240, 2.480, 1.814, 1.231, 0.708, 0.210, -0.330, -1.082, -4.605),
    ),
    "ddim_offset": (
        (853, 767, 682, 597, 511, 426, 341, 255, 170, 85, 0),
        (3.691, 2.986, 2.360, 1.802, 1.297, 0.845, 0.420, -0.016, -0.512, -1.233, -4.605),
    ),
    "edm": (
        (930, 868, 794, 705, 591, 441, 252, 93, 22, 2, 0),
        (4.386, 3.822, 3.199, 2.523, 1.765, 0.922, -0.032, -1.145, -2.455, -3.965, -4.605),
    ),
    "linear": (
        (853, 765, 665, 549, 415, 271, 149, 73, 33, 14, 0),
        (3.691, 2.970, 2.243, 1.513, 0.789, 0.067, -0.657, -1.381, -2.110, -2.814, -4.605),
    ),
}


@pytest.fixture
def drawn(tmp_path):
    experiment = figures.experiments()["noise_schedules"]
    return experiment, tmp_path, figures.make(experiment, tmp_path)


def test_noise_schedules_are_those_of_the_paper(drawn):
    table = files.read_table(drawn[2]["table"])
    for name, (times, logs) in FIGURE_5.items():
        rows = [r for r in table if r["schedule"] == name]
        assert tuple(r["t"] for r in rows) == times
        # Three printed decimals.
        assert np.max(np.abs(np.array([r["log_sigma"] for r in rows]) - logs)) <= 5.1e-4


def test_a_fresh_figure_is_current_and_complete(drawn):
    experiment, out, paths = drawn
    assert figures.check(experiment, out) == []
    record = json.loads(paths["provenance"].read_text())
    assert record["parameters"] == experiment.PARAMETERS
    assert record["caption"] == experiment.CAPTION
    assert {"versions", "commit", "source_sha256", "machine", "processor_seconds"} <= set(record)
    assert paths["png"].read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    svg = paths["svg"].read_text()
    assert "<dc:date>" not in svg


def test_drawing_twice_gives_the_same_bytes(drawn):
    experiment, out, paths = drawn
    before = {kind: paths[kind].read_bytes() for kind in ("table", "svg", "png")}
    figures.make(experiment, out)
    assert before == {kind: paths[kind].read_bytes() for kind in before}


def test_edited_table_is_noticed(drawn):
    experiment, out, paths = drawn
    text = paths["table"].read_text()
    paths["table"].write_text(text.replace("ddim,0,999,", "ddim,0,998,"))
    assert any("table" in p for p in figures.check(experiment, out))


def test_table_of_another_code_is_noticed(drawn, monkeypatch):
    experiment, out, _ = drawn
    compute = experiment.compute

    def drifted(parameters, progress):
        return [{**row, "sigma": row["sigma"] * (1 + 1e-9)} for row in compute(parameters, progress)]

    monkeypatch.setattr(experiment, "compute", drifted)
    problems = figures.check(experiment, out)
    assert len(problems) == 44
    assert "recomputed" in problems[0]
    assert "cumulative sums" in problems[0]


@pytest.mark.parametrize("kind", ["svg", "png"])
def test_changed_parameters_and_stale_drawings_are_noticed(kind, drawn):
    experiment, out, paths = drawn
    figures.make(experiment, out / "other", parameters={"steps": 5})
    paths[kind].write_bytes((out / "other" / f"noise_schedules.{kind}").read_bytes())
    assert figures.check(experiment, out) == [f"noise_schedules.{kind}: drawn from another table, or edited"]
    assert any("parameters" in p for p in figures.check(experiment, out / "other"))


@pytest.mark.parametrize("kind", ["svg", "png"])
def test_edited_and_half_made_drawings_are_noticed(kind, drawn):
    """One byte of a picture; a table that was computed anew and not yet drawn, as an interrupted `make` leaves it."""
    experiment, out, paths = drawn
    whole = paths[kind].read_bytes()
    paths[kind].write_bytes(whole + b"\n")
    assert figures.check(experiment, out) == [f"noise_schedules.{kind}: drawn from another table, or edited"]
    paths[kind].write_bytes(whole)
    assert figures.check(experiment, out) == []
    table = paths["table"].read_text().replace("ddim,0,999,", "ddim,0,998,")
    paths["table"].write_text(table)
    record = json.loads(paths["provenance"].read_text())
    paths["provenance"].write_text(json.dumps({**record, "table_sha256": figures._sha256(table)}))
    assert len([p for p in figures.check(experiment, out) if "drawn from another table" in p]) == 2


def test_another_caption_is_noticed(drawn, monkeypatch):
    experiment, out, _ = drawn
    monkeypatch.setattr(experiment, "CAPTION", "Four schedules.")
    assert [problem.split(": ")[1] for problem in figures.check(experiment, out)] == [
        "the caption differs from the experiment's; redraw it"
    ]


def test_missing_files_are_named(tmp_path):
    experiment = figures.experiments()["noise_schedules"]
    assert len(figures.check(experiment, tmp_path)) == 4


def test_rows_that_are_not_in_the_table_are_noticed(drawn, monkeypatch):
    experiment, out, _ = drawn
    monkeypatch.setattr(experiment, "SPOT", figures.Spot({"steps": 11}, keys=("schedule", "i")))
    assert any("is not in the table" in p for p in figures.check(experiment, out))


@pytest.mark.parametrize("name", sorted(figures.experiments()))
def test_every_committed_figure_was_made_with_the_parameters_of_its_experiment(name):
    from exactdiffusion._core.paths import project_root

    if project_root() is None:
        pytest.skip("committed figures exist in a checkout only")
    experiment = EXPERIMENTS[name]
    paths = figures._paths(name, figures.default_folder())
    assert figures._record_problems(experiment, paths) == []


def _computed(value):
    """Whether a float has more digits than a parameter or a rounded number: its last bits depend on the machine."""
    digits = repr(abs(value)).split("e")[0].replace(".", "").strip("0") if isinstance(value, float) else ""
    return len(digits) > 12 and math.isfinite(value)


def _spot_faults(spot, table):
    """What of a table another machine could not reproduce, as its Spot compares it; one sentence for each column."""
    faults = [f"{column}: a tolerance, but no such column" for column in spot.rtol if column not in table[0]]
    if spot.rtol and not spot.cause:
        faults.append("tolerances without a cause")
    for column in table[0]:
        numbers = [row[column] for row in table if isinstance(row[column], (int, float)) and math.isfinite(row[column])]
        computed = any(map(_computed, numbers))
        if computed and column in spot.keys:
            faults.append(f"{column}: computed floats identify rows; use an index, or round them in compute")
        elif computed and column not in spot.rtol:
            faults.append(f"{column}: computed floats compared to the bit; give it an rtol and its cause")
        if column in spot.rtol:
            rounding = 1e-12 * max(map(abs, numbers), default=0.0)
            small = [value for value in numbers if spot.atol < abs(value) <= rounding]
            if small:
                faults.append(f"{column}: {small[0]:g} is rounding beside {rounding * 1e12:g}; give an atol and its cause")
    return faults


@pytest.mark.parametrize("name", sorted(figures.experiments()))
def test_tables_are_compared_as_another_machine_can_reproduce_them(name):
    assert _spot_faults(EXPERIMENTS[name].SPOT, committed(name)) == []


def test_each_fault_of_a_comparison_is_named():
    table = [{"name": "a", "key": 0.25, "value": 0.1 + 0.2}, {"name": "b", "key": 1 / 3, "value": 1e-17}]
    sound = {"keys": ("name",), "rtol": {"key": 1e-9, "value": 1e-9}, "cause": "exp", "atol": 1e-15}
    for change, expected in (
        ({}, []),
        ({"keys": ("name", "key"), "rtol": {"value": 1e-9}}, ["key: computed floats identify rows"]),
        ({"rtol": {"key": 1e-9}}, ["value: computed floats compared to the bit"]),
        ({"atol": 1e-18}, ["value: 1e-17 is rounding beside 0.3"]),
        ({"cause": ""}, ["tolerances without a cause"]),
        ({"rtol": {"key": 1e-9, "value": 1e-9, "w": 1e-9}}, ["w: a tolerance, but no such column"]),
    ):
        faults = _spot_faults(figures.Spot({}, **{**sound, **change}), table)
        assert [fault.split(";")[0] for fault in faults] == expected


def test_projection_error_by_hand():
    """eta of one trajectory from the definition, without the experiment's bookkeeping of pairs."""
    from exactdiffusion import Noise, samplers, schedules
    from exactdiffusion.studies import sweep

    experiment = figures.experiments()["projection_error"]
    changes = {"trajectories": {"digits": 1}, "spot_trajectories": {"digits": 1}, "steps": 12}
    rows = experiment.compute({**experiment.PARAMETERS, **changes}, figures._silent)
    law, grid = sweep.law_of("digits"), schedules.ddpm(12)
    states = list(samplers.ddim(law, grid, grid.sigma[0] * Noise(0).initial(1, 64)))
    for i, state in enumerate(states[:-1]):
        answer = law.noised(1.0, grid.sigma[i]).denoise(state)
        for paired, at in (("same", state), ("paper-code", states[i + 1])):
            nearest = law.points[np.argmin(np.sum((law.points - at) ** 2, axis=1))]
            eta = np.linalg.norm(answer - nearest) / np.linalg.norm(at - nearest)
            row = next(r for r in rows if r["i"] == i and r["paired"] == paired)
            # Rounding of the states, relative to the distance; eta = 0 where the denoiser is the atom.
            tolerance = 1e4 * np.finfo(float).eps * (1 + np.linalg.norm(at) / np.linalg.norm(at - nearest))
            assert abs(row["mean"] - eta) <= tolerance, (i, paired)


def test_read_table_gives_back_the_same_bits():
    rows = [
        {"a": 0.1 + 0.2, "b": 3, "c": "x, y", "d": None, "e": True},
        {"a": -math.inf, "b": -1, "c": "", "d": 2.5e-300, "e": False},
    ]
    back = files.parse_table(files.table_text(rows))
    assert back[0] == rows[0]
    assert back[1] == {**rows[1], "c": None}
    with pytest.raises(ValueError, match="rows"):
        files.table_text([])
    with pytest.raises(ValueError, match="row 1"):
        files.table_text([{"a": 1}, {"b": 1}])


def test_every_curve_is_distinct_without_colour():
    looks = [figures.curve_style(i) for i in range(10)]
    assert len({(str(s["linestyle"]), s["marker"]) for s in looks}) == 10
    assert all(re.fullmatch(r"#[0-9A-F]{6}", s["color"]) for s in looks)


# -- print ------------------------------------------------------------------------------------------------------

EXPERIMENTS = figures.experiments()

#: type of the scripts of a formula beside the type of its line, in matplotlib
SCRIPT = 0.7
TYPE = re.compile(r"font-size: ([0-9.]+)px")


def _small_type(svg):
    """Sizes below the least one, in points; a script counts with the size of its line."""
    sizes = {float(size) for size in TYPE.findall(svg)}
    assert sizes, "no text in the drawing"
    lines = {size for size in sizes if size >= print_style.SMALLEST}
    return sorted(size for size in sizes - lines if not any(abs(size - SCRIPT * line) < 0.01 for line in lines))


#: every figure but the one that `exactdiffusion plot` draws, whose widths are tested with it
DRAWN_HERE = sorted(set(EXPERIMENTS) - {"explorer"})


@pytest.mark.parametrize("name", DRAWN_HERE)
def test_committed_drawings_are_fit_for_print(name):
    """As wide as a page, text as text, no type below 6.5 pt, a caption of whole sentences."""
    committed(name)
    svg = (figures.default_folder() / f"{name}.svg").read_text(encoding="utf-8")
    assert 'width="486pt"' in svg  # 6.75 in
    assert "<text" in svg
    assert _small_type(svg) == []
    assert EXPERIMENTS[name].CAPTION.endswith(".")


def test_small_type_is_found():
    line = '<text style="font-size: {}px">'
    assert _small_type(line.format("7") + line.format("4.9")) == []
    assert _small_type(line.format("7") + line.format("6")) == [6.0]
    assert _small_type(line.format("8") + line.format("4.9")) == [4.9]


def _drawn_at(name, width):
    """The figure of a committed table at a width."""
    table, experiment = committed(name), EXPERIMENTS[name]
    with figures.style(width):
        return experiment.draw(table, experiment.PARAMETERS)


_TIGHT = ("bottleneck", "geometry", "two_gaussians")  # many entries, pictures, marks beside the frame


@pytest.mark.parametrize(
    ("name", "width"),
    [
        pytest.param(name, width, marks=[] if name in _TIGHT and width == "single" else pytest.mark.deep)
        for name in DRAWN_HERE
        for width in print_style.WIDTHS
    ],
)
def test_figures_fit_into_a_column_and_a_page(name, width):
    """At most two panels, the width asked for, nothing below 6.5 pt, nothing beyond the edges."""
    figure = _drawn_at(name, width)
    assert figure.get_figwidth() == print_style.WIDTHS[width]
    assert len([axes for axes in figure.axes if axes.get_label() != "<colorbar>"]) <= 2
    print_style.check_sizes(figure, width)
    box, edge = figure.get_tightbbox(figure.canvas.get_renderer()), 0.03  # inches: the pad of the layout
    assert box.x0 > -edge, box
    assert box.x1 < figure.get_figwidth() + edge, box
    assert box.y0 > -edge, box
    assert box.y1 < figure.get_figheight() + edge, box


def test_two_panels_at_most_and_titles_in_lines_of_even_length():
    with pytest.raises(ValueError, match="a second figure"):
        figures.panels(3)
    with figures.style("single"):
        figure, axes = figures.panels(2, 2.0)
        figures.title(axes[0], "the error falls like one over the number of steps where η = 1")
    assert figure.get_size_inches().tolist() == [3.25, 4.0]
    lines = axes[0].get_title(loc="left").splitlines()
    assert len(lines) == 2
    assert max(map(len, lines)) - min(map(len, lines)) < 8
    assert "η = 1" in lines[1]


def test_the_pdf_has_text_as_text_and_its_caption(drawn):
    experiment, out, _ = drawn
    paths = figures.typeset(experiment, "single", out)
    pdf = paths["pdf"].read_bytes()
    assert b"/MediaBox [ 0 0 234 " in pdf  # 3.25 in
    assert b"/FontFile2" in pdf  # TrueType, not outlines
    assert figures.typeset(experiment, "single", out)["pdf"].read_bytes() == pdf
    tex = paths["tex"].read_text(encoding="utf-8")
    assert "\\includegraphics[width=3.25in]{noise_schedules-single.pdf}" in tex
    assert "Four schedules of ten steps" in tex
    assert "figure*" in figures.typeset(experiment, "double", out)["tex"].read_text(encoding="utf-8")
    with pytest.raises(ValueError, match="expected single"):
        figures.typeset(experiment, "wide", out)
    with pytest.raises(ValueError, match="exactdiffusion figures noise_schedules makes it"):
        figures.typeset(experiment, "single", out / "elsewhere")


@pytest.mark.parametrize("name", sorted(EXPERIMENTS))
def test_captions_are_plain_latex(name):
    """Every letter of a caption is ASCII in LaTeX, and its dollars come in pairs."""
    tex = figures._tex(EXPERIMENTS[name], name, "single")
    assert tex.isascii(), sorted({letter for letter in tex if not letter.isascii()})
    formulas = tex.replace("\\$", "").split("$")
    assert len(formulas) % 2 == 1
    # no two scripts of a letter follow each other
    assert not any(re.search(r"\}[\^_]", formula) and formula.count("^") > 1 for formula in formulas[1::2]), formulas[1::2]
