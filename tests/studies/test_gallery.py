"""Figures by the numbers of the papers, and the page of all figures."""

import pytest

from exactdiffusion._core.paths import project_root
from exactdiffusion.cli import main
from exactdiffusion.studies import figures, gallery


def test_the_committed_page_is_current():
    if project_root() is None:
        pytest.skip("the page is in a checkout")
    committed = (figures.default_folder() / "README.md").read_text(encoding="utf-8")
    assert committed == gallery.page(), "run `exactdiffusion figures --gallery`"


#: groups of figures that belong to no paper
OURS = ("conformance", "explore")


def test_every_figure_states_a_known_paper_and_status():
    known = {paper.arxiv: paper.group for paper in gallery.papers()}
    for name, module in figures.experiments().items():
        arxiv, number, status = module.PAPER
        assert status in gallery.STATUSES, name
        allowed = (known[arxiv],) if arxiv in known else OURS
        assert module.GROUP in allowed, name
        assert number == "" or status != "own", f"{name}: a figure of ours has no number in a paper"
        assert gallery.caption(module).endswith("."), name


def test_every_numbered_figure_is_found_and_listed_once():
    for paper in gallery.papers():
        found = []
        for item in gallery.coverage(paper):
            if item.experiments and item.number != "number unknown":
                names = tuple(module.NAME for module in gallery.numbered(paper.arxiv, item.number))
                assert (
                    names == item.experiments == tuple(m.NAME for m in gallery.numbered(paper.group, f"Fig. {item.number}"))
                )
                found += names
        stated = [e.NAME for e in figures.experiments().values() if e.PAPER[0] == paper.arxiv and e.PAPER[1]]
        assert set(found) == set(stated)


@pytest.mark.parametrize(
    ("asked", "names"),
    [
        ("projection:2", ["projection_error", "projection_error_density"]),
        ("2507.08956:1", ["dino_w2"]),
        ("conditional_mean:2", ["nmse_digits_mixture", "nmse_random_mixture"]),
        ("conditional_mean:5", ["nmse_stand_ins"]),
        ("conditional_mean:3 right", ["error_after_each_step_digits"]),
        ("log_concavity:appendix h", ["estimated_score"]),
    ],
)
def test_figures_are_chosen_by_number(asked, names):
    assert [module.NAME for module in gallery.select([asked])] == names


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ("proximal:5", ("CelebA-HQ", "absent", "trained network", "expected 1, 2 or 4")),
        ("projection:table 3", ("FID", "absent")),
        ("proximal:7", ("caption unknown", "we have not seen it")),
        ("conditional_mean:table 2", ("content unknown", "absent")),
        ("conditional_mean:99", ("got 'conditional_mean:99'; expected 1, 2, 3, 3 right, 4 or 5",)),
        ("elsewhere:2", ("paper", "elsewhere", "2306.04848")),
    ],
)
def test_absent_figures_are_answered_with_the_reason(asked, words):
    with pytest.raises(ValueError) as answer:
        gallery.select([asked])
    assert all(word in str(answer.value) for word in words), answer.value


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ("projection:2", ("projection, Figure 2: stand-in", "the same quantity on other data", "; cost: ")),
        ("proximal:1", ("proximal, Figure 1: present", "the paper's figure, computed anew")),
    ],
)
def test_what_a_numbered_figure_is_and_costs_is_said_before_it_is_made(asked, words, monkeypatch, capsys):
    monkeypatch.setattr(figures, "make", lambda experiment, *_, **__: {})
    assert main(["figures", asked, "--out", "nowhere"]) == 0
    said = capsys.readouterr().out
    assert all(word in said for word in words), said


def test_what_to_know_before_a_long_job_is_said():
    """The committed picture and --quick beside a long job, the folder that is overwritten, and what a quick drawing is."""
    known = figures.experiments()
    dear, cheap = known["dino_w2"], known["noise_schedules"]
    assert gallery.seconds(dear) > 60 > gallery.seconds(cheap)
    said = gallery.announce(dear)
    assert "--quick draws a cheaper one" in said
    assert f"the committed picture is {figures.default_folder() / 'dino_w2.png'}" in said
    assert f"replaces the files of the checkout in {figures.default_folder()}; --out DIR" in said
    assert "--quick" not in gallery.announce(cheap)
    assert "replaces" not in gallery.announce(cheap, own=True)
    quick = gallery.announce(dear, quick=True)
    assert "with all parameters; --quick costs less, and what it draws is not for conclusions" in quick
    assert "replaces" not in quick


def test_an_interrupted_command_ends_without_a_traceback(monkeypatch, capsys):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(figures, "make", interrupted)
    assert main(["figures", "noise_schedules", "--quick"]) == 130
    assert capsys.readouterr().err.endswith("exactdiffusion figures: interrupted\n")


def test_the_command_line_draws_for_print(tmp_path, capsys):
    figures.make(figures.experiments()["noise_schedules"], tmp_path)
    assert main(["figures", "projection:5", "--width", "single", "--out", str(tmp_path)]) == 0
    assert [line.rpartition("/")[2] for line in capsys.readouterr().out.split()] == [
        "noise_schedules-single.pdf",
        "noise_schedules-single.tex",
    ]
    assert main(["figures", "projection:5", "--width", "single", "--quick"]) == 2
    assert "got --width together with" in capsys.readouterr().err


def test_the_command_line_lists_and_chooses_by_paper(capsys, monkeypatch):
    assert main(["figures", "--list", "--paper", "2507.08956"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == sum(e.GROUP == "proximal" for e in figures.experiments().values())
    assert any(line.split()[0] == "dino_w2" and "Figure 1: present" in line for line in lines)
    checked = []
    monkeypatch.setattr(figures, "check", lambda experiment, out: checked.append(experiment.NAME) or [])
    assert main(["figures", "--check", "--paper", "proximal", "projection:2"]) == 0
    assert len(checked) == len(lines) + 2
    assert checked[0] == "projection_error"
