"""Whether a complete run of the tests used every reference that ``references/index.toml`` names."""

import tomllib
from pathlib import Path

INDEX = Path(__file__).with_name("references") / "index.toml"


def index():
    return tomllib.loads(INDEX.read_text(encoding="utf-8"))


def unused(index, nodes, used, skipped):
    """One line per reference that was not used; none unless every test that the index names took part.

    ``nodes`` are the collected tests and ``skipped`` those of which a case was skipped, both without parameters; ``used``
    holds pairs of a public name and the test (in ``theory/`` the file) that recorded an accuracy for it.
    """
    wanted = {name: tuple(entry) for name, entry in index["reference"].items()}
    files = {node.partition("::")[0] for node in nodes}
    if any(node not in (nodes if "::" in node else files) for _, node in wanted.values()):
        return []
    without = skipped - {node for _, node in used}  # nothing of it could run
    lines = [
        f"{name}: {node} recorded no accuracy for it"
        for name, (kind, node) in wanted.items()
        if kind != "statistics" and node not in without and (name, node) not in used
    ]
    # what `ApproximateProjection.noised` returns, and what the spheres compute with, have no public name of their own
    private = ("papers.projection.adversaries.ApproximateProjection.noised.denoise", "Bessel functions of the spheres")
    unknown = sorted({name for name, _ in used if name not in wanted and not name.startswith(private)})
    return lines + [f"{name}: an accuracy was recorded, and references/index.toml does not name it" for name in unknown]
