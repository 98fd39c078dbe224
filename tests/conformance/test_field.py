"""The committed table of samplers of three libraries: its size, its causes, and what it says of well-known samplers."""

import re

import pytest

from exactdiffusion._core import files
from exactdiffusion._core.paths import project_root

if project_root() is None:
    pytest.skip("the table is in a checkout", allow_module_level=True)

TABLE = files.read_table(project_root() / "figures" / "data" / "samplers_of_three_libraries.csv")


def test_at_least_250_settings_were_judged():
    assert sum(row["code"] in (0, 1) for row in TABLE) >= 250


def test_every_finding_has_a_cause_or_is_called_untriaged():
    for row in TABLE:
        assert bool(row["cause"]) == (row["code"] == 1), row
        assert bool(row["differs"]) == (row["code"] == 1), row
        assert row["code"] != 2 or row["reason"], row


@pytest.mark.parametrize(
    ("target", "settings"),
    [
        ("diffusers:EulerDiscreteScheduler", "use_karras_sigmas=True"),
        ("diffusers:HeunDiscreteScheduler", "clip_sample=False use_karras_sigmas=True"),
        ("diffusers:DPMSolverMultistepScheduler", "use_karras_sigmas=True"),
        ("k_diffusion:sample_dpmpp_2m", "grid=karras"),
        ("smalldiffusion:samples", "grid=karras gam=2.0 mu=0.0"),
    ],
)
def test_well_known_samplers_agree(target, settings):
    (row,) = (row for row in TABLE if row["target"] == target and row["settings"] == settings)
    assert row["code"] == 0
    assert row["order"] >= row["declared"] - 0.4


def test_counts_in_texts_are_those_of_the_table():
    agree, differ, cannot = (sum(row["code"] == code for row in TABLE) for code in (0, 1, 2))
    unread = sum(row["code"] == 0 and row["order"] != row["order"] for row in TABLE)
    open_ = sum(row["cause"] == "untriaged" for row in TABLE)
    root = project_root()
    caption = (root / "experiments" / "conformance" / "samplers_of_three_libraries.py").read_text(encoding="utf-8")
    page = (root / "docs" / "conformance.md").read_text(encoding="utf-8")
    sentence = re.search(r"Of \d+ settings of the samplers.*?cannot be judged", caption, re.DOTALL).group()
    assert [int(n) for n in re.findall(r"\d+", sentence)] == [len(TABLE), agree, unread, differ, cannot]
    sentence = re.search(r"Of \d+ settings \d+ agree.*?cannot be judged", page, re.DOTALL).group()
    numbers = [len(TABLE), agree, unread, 320, differ, differ - open_, open_, cannot]
    assert [int(n) for n in re.findall(r"\d+", sentence)] == numbers
