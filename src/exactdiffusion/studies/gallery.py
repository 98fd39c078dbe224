"""Figures by the numbers of the papers, and the page that shows them all (``figures/README.md``).

Each experiment states ``PAPER = (arXiv id, figure, status)``; ``experiments/papers.toml`` lists what else is known to
exist in each paper, and why it is not drawn here.
"""

import json
import re
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from .._core import files
from .._core.paths import experiments_dir, project_root
from .._core.typing import StrPath
from . import figures

__all__ = [
    "STATUSES",
    "Item",
    "Paper",
    "caption",
    "cost",
    "coverage",
    "coverage_table",
    "numbered",
    "page",
    "paper_named",
    "papers",
    "place",
    "seconds",
    "select",
    "source",
    "write",
]

#: what the third entry of ``PAPER`` means
STATUSES = {
    "present": "the paper's figure, computed anew",
    "stand-in": "the same quantity on other data, or with settings that had to be inferred",
    "own": "a figure of this project",
}


_LONG = 60  # seconds; above, the announcement names the quick drawing


@dataclass(frozen=True)
class Paper:
    """A paper of ``experiments/papers.toml``: its arXiv id, the folder of its experiments, what is known, absent items.

    Examples
    --------
    >>> [paper.group for paper in papers()]
    ['projection', 'proximal', 'conditional_mean', 'log_concavity']
    """

    arxiv: str
    group: str
    known: str
    items: tuple[dict, ...]


@dataclass(frozen=True)
class Item:
    """A line of a coverage table: the number in the paper, what it shows, its status, the experiments, why it is absent.

    Examples
    --------
    >>> next(item for item in coverage(paper_named("proximal")) if item.number == "1").experiments
    ('dino_w2',)
    """

    number: str
    shows: str
    status: str
    experiments: tuple[str, ...] = ()
    why: str = ""


def papers() -> list[Paper]:
    """The papers of ``experiments/papers.toml``, in its order.

    Examples
    --------
    >>> papers()[0].arxiv
    '2306.04848'
    """
    text = (experiments_dir() / "papers.toml").read_text(encoding="utf-8")
    return [Paper(**{**entry, "items": tuple(entry["items"])}) for entry in tomllib.loads(text)["paper"]]


def paper_named(name: str) -> Paper:
    """A paper by its arXiv id or by the folder of its experiments.

    Raises
    ------
    ValueError
        Names the papers that there are.

    Examples
    --------
    >>> paper_named("2507.08956").group
    'proximal'
    """
    for paper in papers():
        if name in (paper.arxiv, paper.group):
            return paper
    choice = ", ".join(f"{paper.group} ({paper.arxiv})" for paper in papers())
    raise ValueError(f"paper: got {name!r}; expected one of {choice}")


def _drawn(paper):
    """Number in the paper -> experiments that state it; figures without a number are under the empty string."""
    found: dict[str, list[ModuleType]] = {}
    for module in figures.experiments().values():
        arxiv, figure, status = module.PAPER
        if arxiv == paper.arxiv and status != "own":
            for number in figure.split(", "):
                found.setdefault(number, []).append(module)
    return dict(sorted(found.items(), key=lambda entry: _order(entry[0])))


def coverage(paper: Paper) -> list[Item]:
    """All figures and tables of a paper that are known to exist, drawn here or not; those without a known number come last.

    Examples
    --------
    >>> [(item.number, item.status) for item in coverage(paper_named("proximal"))][:3]
    [('1', 'present'), ('2', 'stand-in'), ('3', 'absent')]
    """
    rows = [
        Item(
            number or "number unknown",
            "; ".join(module.SUMMARY for module in modules),
            " and ".join(dict.fromkeys(module.PAPER[2] for module in modules)),
            tuple(module.NAME for module in modules),
        )
        for number, modules in _drawn(paper).items()
    ]
    rows += [Item(entry["item"], entry["shows"], "absent", (), entry["why"]) for entry in paper.items]
    return sorted(rows, key=lambda row: _order(row.number))


def _order(number):
    """Sorts figures by their number, then appendices, tables, and figures whose number is unknown."""
    kind = 0 if number[:1].isdigit() else 2 if number.startswith("table") else 3 if number in ("", "number unknown") else 1
    return kind, int((re.findall(r"\d+", number) or ["0"])[0])


def _covers(item, number):
    """Whether an entry such as "3 right", "6-11" or "table 1-4" is about this number."""
    if item == number:
        return True
    ends = re.fullmatch(r"(table )?(\d+)(?:-(\d+))?", item)
    asked = re.fullmatch(r"(table )?(\d+)", number)
    if not ends or not asked or ends[1] != asked[1]:
        return False
    return int(ends[2]) <= int(asked[2]) <= int(ends[3] or ends[2])


def numbered(name: str, number: str) -> list[ModuleType]:
    """The experiments that draw figure ``number`` of the paper ``name`` (a folder of experiments, or an arXiv id).

    Raises
    ------
    ValueError
        For a figure that is not drawn: says what it shows and why it is absent, where that is known, and what the paper has.

    Examples
    --------
    >>> [module.NAME for module in numbered("projection", "3")]
    ['gradient_estimation_idea']
    >>> numbered("proximal", "5")
    Traceback (most recent call last):
    ValueError: names: got 'proximal:5' (samples of CelebA-HQ), absent: it needs a trained network; \
expected 1, 2 or 4 of proximal (known: the captions of Figures 1 to 5 of 12)
    """
    paper = paper_named(name)
    asked = re.sub(r"^(figure|fig\.?)\s*", "", number.strip().lower())
    drawn = {key: modules for key, modules in _drawn(paper).items() if key}
    for key, modules in drawn.items():
        if key.lower() == asked:
            return modules
    got = f"names: got '{name}:{number}'"
    for entry in paper.items:
        if _covers(entry["item"], asked):
            got += f" ({entry['shows']}), absent: {entry['why']}"
            break
    *some, last = drawn
    choice = f"{', '.join(some)} or {last}" if some else last
    raise ValueError(f"{got}; expected {choice} of {paper.group} (known: {paper.known})")


def select(names: Sequence[str] = (), everything: bool = False) -> list[ModuleType]:
    """Experiments as `figures.select` takes them, and by their number in a paper: ``projection:2``, ``2306.04848:2``.

    Raises
    ------
    ValueError
        Names what is unknown, and the choice; says why a figure of a paper is absent.

    Examples
    --------
    >>> [module.NAME for module in select(["coin_test", "projection:3"])]
    ['coin_test', 'gradient_estimation_idea']
    """
    resolved = []
    for name in names:
        paper, _, number = name.partition(":")
        resolved += [module.NAME for module in numbered(paper, number)] if number else [name]
    return figures.select(resolved, everything)


def caption(experiment: ModuleType) -> str:
    """The caption that travels with a figure: the finding, then what is drawn.

    Examples
    --------
    >>> caption(figures.experiments()["trajectory_versus_marginal"]).split(":")[0]
    'KL of whole trajectories falls like 1/N, KL of the outputs like 1/N²'
    """
    return experiment.CAPTION


def seconds(experiment: ModuleType, out: StrPath | None = None) -> float | None:
    """Processor seconds that the committed table took to compute, by its record; None where there is no record.

    A record of before processor time was kept has the seconds that passed, which a busy machine makes more of.

    Examples
    --------
    >>> seconds(figures.experiments()["noise_schedules"], "no_such_folder") is None
    True
    """
    record = (Path(out) if out is not None else figures.default_folder()) / "data" / f"{experiment.NAME}.json"
    found = json.loads(record.read_text(encoding="utf-8")) if record.is_file() else {}
    return found.get("processor_seconds", found.get("seconds"))


def announce(experiment: ModuleType, *, quick: bool = False, own: bool = False) -> str:
    """What a figure is of which paper, whether it stands in, what it costs and where it goes, printed before it is made.

    Parameters
    ----------
    experiment : module
        From `select` or `figures.experiments`.
    quick : bool
        Whether its cheaper parameters are taken; the costs of these are not known.
    own : bool
        Whether it goes into a folder that the reader named, and so replaces no committed file.

    Examples
    --------
    >>> print(announce(figures.experiments()["coin_test"]).split(";")[0])
    coin_test: own (a figure of this project)
    """
    status = experiment.PAPER[2]
    taken = seconds(experiment)
    lines = [f"{experiment.NAME}: {source(experiment)} ({STATUSES[status]}); {experiment.SUMMARY}; cost: {cost(taken)}"]

    # what to know before waiting: how to have it sooner, and what is overwritten
    if quick:
        lines[0] += " with all parameters; --quick costs less, and what it draws is not for conclusions"
    elif taken is not None and taken > _LONG:
        committed = figures.default_folder() / f"{experiment.NAME}.png"
        there = f"; the committed picture is {committed}" if committed.is_file() else ""
        lines.append(f"  this takes long: --quick draws a cheaper one{there}")
    if not quick and not own and project_root() is not None:
        lines.append(f"  replaces the files of the checkout in {figures.default_folder()}; --out DIR writes elsewhere")
    return "\n".join(lines)


def source(experiment: ModuleType) -> str:
    """Paper, figure and status of an experiment in words.

    Examples
    --------
    >>> source(figures.experiments()["dino_w2"])
    'proximal, Figure 1: present'
    """
    status = experiment.PAPER[2]
    return "own" if status == "own" else f"{place(experiment)}: {status}"


def place(experiment: ModuleType) -> str:
    """Paper and figure of an experiment in words.

    Examples
    --------
    >>> place(figures.experiments()["dino_w2"])
    'proximal, Figure 1'
    """
    arxiv, number, _ = experiment.PAPER
    named = f"Figure {number}" if number[:1].isdigit() else number or "number unknown"
    return f"{paper_named(arxiv).group}, {named}"


def cost(taken: float | None) -> str:
    """Seconds as the pages print them.

    Examples
    --------
    >>> cost(0.04), cost(12.9), cost(None)
    ('< 1 s', '13 s', 'unknown')
    """
    if taken is None:
        return "unknown"
    return "< 1 s" if taken < 1 else f"{taken:.0f} s"


def _cell(text):
    """Text for a cell of a Markdown table: bars and stars stand for themselves."""
    return text.replace("|", r"\|").replace("*", r"\*")


def page() -> str:
    """Text of ``figures/README.md``: figures with caption, source, command and cost, then a coverage table per paper."""
    known = figures.experiments().values()
    lines = [
        "# Figures",
        "",
        "Rewritten by every `exactdiffusion figures NAME`, and by `figures --gallery`, from experiments and records; do",
        "not edit. Each picture is drawn from the table beside it (`data/NAME.csv`), and `data/NAME.json` says with which",
        "parameters, versions and machine it was computed.",
        "The cost is the processor time that the table takes, all processes together; of the oldest tables it is the time",
        "that passed, which is more.",
        "",
        *(f"- *{status}*: {meaning}" for status, meaning in STATUSES.items()),
    ]
    for group in dict.fromkeys(module.GROUP for module in known):
        lines += [
            "",
            f"## {group}",
            "",
            "| picture | what it shows | paper and figure | command | cost |",
            "|---|---|---|---|---|",
        ]
        for module in known:
            if group == module.GROUP:
                lines.append(
                    f'| <a href="{module.NAME}.svg"><img src="{module.NAME}.png" width="240" alt="{module.NAME}"></a> '
                    f"| {_cell(caption(module))} ([table](data/{module.NAME}.csv)) | {source(module)} "
                    f"| `exactdiffusion figures {module.NAME}` | {cost(seconds(module))} |"
                )
    lines += ["", "# What the papers have", ""]
    for paper in papers():
        lines += [f"## {paper.group}: arXiv {paper.arxiv}", "", f"Known: {paper.known}.", "", *coverage_table(paper), ""]
    return "\n".join(lines).rstrip("\n") + "\n"


def write() -> Path:
    """Write `page` to ``README.md`` of the folder of the committed figures; the path."""
    path = figures.default_folder() / "README.md"
    files.write_whole(path, page())
    return path


def coverage_table(paper: Paper) -> list[str]:
    """`coverage` as the lines of a Markdown table.

    Examples
    --------
    >>> coverage_table(paper_named("proximal"))[0]
    '| figure or table | status | what it shows | drawn by, or why not |'
    """
    lines = ["| figure or table | status | what it shows | drawn by, or why not |", "|---|---|---|---|"]
    for item in coverage(paper):
        where = ", ".join(f"`{name}`" for name in item.experiments) or item.why
        lines.append(f"| {item.number} | {item.status} | {_cell(item.shows)} | {where} |")
    return lines
