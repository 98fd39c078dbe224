"""Print the lowest version of every dependency that pyproject.toml admits, as constraints for pip."""

import tomllib
from pathlib import Path

project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text(encoding="utf-8"))["project"]
print("\n".join(line.replace(">=", "==") for line in project["dependencies"]))
