"""A theorem of one's own: one file in an empty folder, verified without a checkout; planted slips go red."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import exactdiffusion as ed
from exactdiffusion import cli
from exactdiffusion.checks import new, verify
from exactdiffusion.statements import REGISTRY, statement

SLIPS = {
    "half the bound": ("return R**2 / sigma**2", "return 0.5 * R**2 / sigma**2"),
    "a formula without its square": ("return R**2 / sigma**2", "return R**2 / sigma"),
    "a loose bound": ("return R**2 / sigma**2", "return 2.0 * R**2 / sigma**2"),
    "a control that holds": ("measured(1.1 * PAIR", "measured(0.9 * PAIR"),
}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An empty current folder; what is registered in it is taken away again."""
    monkeypatch.chdir(tmp_path)
    before = dict(REGISTRY)
    yield tmp_path
    REGISTRY.clear()
    REGISTRY.update(before)


def program(folder, arguments):
    """The command line in a process of its own, in a folder outside the checkout: (exit code, output)."""
    environment = {**os.environ, "PYTHONPATH": str(Path(ed.__file__).parents[1])}
    done = subprocess.run(
        [sys.executable, "-m", "exactdiffusion", *arguments.split()],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
    )
    return done.returncode, done.stdout + done.stderr


def edit(path, old, replacement):
    text = path.read_text(encoding="utf-8")
    assert text.count(old) == 1
    path.write_text(text.replace(old, replacement), encoding="utf-8")


def test_new_and_verify_outside_the_checkout_and_slips_are_red(tmp_path):
    code, said = program(tmp_path, "new theorem prop_mine")
    assert code == 0, said
    assert [p.name for p in tmp_path.iterdir()] == ["prop_mine.py"]
    lines = (tmp_path / "prop_mine.py").read_text(encoding="utf-8").splitlines()
    assert len(lines) <= 40
    assert max(map(len, lines)) <= 125

    # the worked example has its verdict and its page, and nothing else is left behind
    code, said = program(tmp_path, "verify ./prop_mine.py")
    assert code == 0, said
    assert re.search(r"^mine/prop_mine .* 2/2 +verified tight$", said, re.MULTILINE), said
    assert sorted(p.name for p in tmp_path.iterdir()) == ["prop_mine.md", "prop_mine.py"]
    page = (tmp_path / "prop_mine.md").read_text(encoding="utf-8")
    assert "**Verdict: verified tight.**" in page
    assert "control: without (H1) |X| <= R: fails" in page
    assert "$|\\nabla E[X | Y = y]| \\le R^2 / \\sigma^2$" in page


@pytest.mark.parametrize("slip", SLIPS)
def test_slips_are_red(folder, capsys, slip):
    path = new.own_theorem("prop_slip")
    assert verify.verify([path]) == 0
    edit(path, *SLIPS[slip])
    assert verify.verify([path]) == 1
    out = capsys.readouterr().out
    assert re.search(r"^mine/prop_slip .* FAILED$", out, re.MULTILINE)

    # headed by the file alone, and shown at the line of the check
    assert "\nFAILED prop_slip.py::test_" in out
    assert re.search(r"^prop_slip.py:\d+: in test_", out, re.MULTILINE)
    assert "ledger.py" not in out
    page = path.with_suffix(".md").read_text(encoding="utf-8")
    assert "**Verdict: FAILED.**" in page
    assert "- **FAILED** on " in page


def test_a_moment_in_place_of_a_ratio_is_refused_and_no_instance_is_said(folder, capsys):
    path = new.own_theorem("prop_moment")
    tight = "check.tight(measured(PAIR, s, [[0.0]]) / bound,"
    edit(path, tight, "check.tight(1.7 + 0 * measured(PAIR, s, [[0.0]]), 1.7,")
    assert verify.verify([str(path)]) == 1
    assert "expected: got 1.7; expected a ratio measured / bound" in capsys.readouterr().out

    # a ratio of one half is evidence, but no tight instance
    edit(
        path,
        "check.tight(1.7 + 0 * measured(PAIR, s, [[0.0]]), 1.7,",
        "check.tight(0.5 * measured(PAIR, s, [[0.0]]) / bound, 0.5,",
    )
    assert verify.verify([str(path)]) == 0
    assert re.search(r"^mine/prop_moment .* verified, not attained by any instance$", capsys.readouterr().out, re.MULTILINE)


def test_the_name_of_a_file_at_hand_is_answered_with_its_path(folder):
    new.own_theorem("prop_beside")
    with pytest.raises(ValueError, match=r"names: got 'prop_beside'; .*; did you mean \./prop_beside\.py\?$"):
        verify.verify(["prop_beside"])


def test_a_run_of_one_statement_says_how_to_read_it(capsys):
    assert verify.verify(["eq_tweedie"], quick=True) == 0
    (command,) = re.findall(
        r"python -c \"(from \S+ import tweedie_denoiser as s); help\(s\)\"$", capsys.readouterr().out, re.M
    )
    names = {}
    exec(command, names)
    assert "**Hypotheses.**" in names["s"].__doc__


def test_pages_go_to_the_records_and_replace_no_other_text(folder, capsys):
    path = new.own_theorem("prop_page")
    (folder / "prop_page.md").write_text("notes of my own", encoding="utf-8")
    with pytest.raises(ValueError, match=r"names: got .*--records DIR .*prop_page.md is another text"):
        verify.verify([str(path)])
    assert verify.verify([str(path)], records=folder / "kept") == 0
    assert {"prop_page.md", "records.json", "measured.md"} <= {p.name for p in (folder / "kept").iterdir()}
    assert (folder / "prop_page.md").read_text(encoding="utf-8") == "notes of my own"


def test_a_folder_and_a_registered_package(folder, capsys, monkeypatch):
    """Another package registers its folder of theory files under a name; it is imported only where that name is given."""
    package = folder / "site" / "their_theory"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("print('imported')\n", encoding="utf-8")
    new.own_theorem("prop_theirs", package)
    assert verify.verify([f"{folder}/site"]) == 0
    info = folder / "site" / "their_theory-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: their-theory\nVersion: 1.0\n", encoding="utf-8")
    (info / "entry_points.txt").write_text("[exactdiffusion.theory]\ntheirs = their_theory\n", encoding="utf-8")
    monkeypatch.syspath_prepend(str(folder / "site"))
    assert cli.main(["verify", "nosuch"]) == 2
    assert "imported" not in capsys.readouterr().out
    assert cli.main(["verify", "theirs"]) == 0
    out = capsys.readouterr().out
    assert re.search(r"^mine/prop_theirs .* verified tight$", out, re.MULTILINE)
    assert "page:" not in out, "no page is written into another package"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("verify ./absent.py", "names: got './absent.py'; expected an existing file"),
        ("verify ./plain.py", "names: got './plain.py'; expected a theory file, which sets STATEMENT"),
        ("verify ./mine.py --check", "check: got it with './mine.py'"),
        ("verify ./broken.py", "names: got './broken.py'; expected a file that Python reads; broken.py:2: "),
        ("verify ./slips/", "slips/broken.py:2: "),
        ("verify ./bare/", "names: got './bare/'; expected theory files in"),
        ("new theorem numpy", "name: got 'numpy'; expected a name that is free"),
        ("new theorem measured", "name: got 'measured'; expected a name that is free"),
        ("new theorem test_it", "name: got 'test_it'; expected a name that is free"),
        ("new theorem mine", "name: got 'mine'; expected a name that is free: mine.py exists"),
        ("new theorem Mine", "name: got 'Mine'; expected NAME (one file of your own) or PAPER/NAME"),
        ("new theorem my_paper/mine", "name: got 'my_paper/mine'; expected a paper of the package"),
    ],
)
def test_refusals(folder, capsys, arguments, message):
    (folder / "plain.py").write_text("x = 1\n", encoding="utf-8")
    (folder / "bare").mkdir()
    (folder / "slips").mkdir()
    for place in (folder, folder / "slips"):
        (place / "broken.py").write_text("STATEMENT = None\ndef test(:\n", encoding="utf-8")
    new.own_theorem("mine")
    assert cli.main(arguments.split()) == 2
    said = capsys.readouterr().err
    assert message in said
    assert said.count("\n") == 1


def test_skipped_tests_are_explained(folder, capsys):
    path = new.own_theorem("prop_skip")
    with path.open("a", encoding="utf-8") as file:
        file.write("\n\nimport pytest\n\n\n@pytest.mark.deep\ndef test_long(check):\n    pass\n")
    assert verify.verify([path]) == 0
    assert "1 test skipped: deep variant: run with --deep" in capsys.readouterr().out


def test_papers_are_free_outside_the_package_only(folder):
    def claim(a):
        """A claim."""
        return a

    words = {"paper": "mine", "ref": "1", "title": "a claim", "kind": "upper"}
    assert statement(**words)(claim).statement.key == "mine/claim"
    claim.__doc__ = "The claim after an edit."
    assert statement(**words)(claim).statement.doc == "The claim after an edit."
    claim.__module__ = "somewhere_else"
    claim.__doc__ = "Another claim."
    with pytest.raises(ValueError, match="this key is taken"):
        statement(**words)(claim)
    claim.__module__ = "exactdiffusion.statements.projection"
    with pytest.raises(ValueError, match=r"paper: got 'mine'; expected one of .* inside the package"):
        statement(**words)(claim)
