"""What the tests of the figures share: the committed tables, and fresh ones with other parameters."""

import pytest

from exactdiffusion import datasets
from exactdiffusion._core import files
from exactdiffusion.studies import figures


def committed(name):
    """Rows of a figure's committed table; a skip where the package came without figures."""
    path = figures.default_folder() / "data" / f"{name}.csv"
    if not path.is_file():
        pytest.skip("no committed figures beside an installed package")
    return files.read_table(path)


def parameters(name):
    """The parameters that the committed figure was made with."""
    return figures.select([name])[0].PARAMETERS


def fresh(name, **changes):
    """Rows computed here, with some parameters changed."""
    experiment = figures.select([name])[0]
    return experiment.compute({**experiment.PARAMETERS, **changes}, lambda items, description, total=None: items)


def assert_current(name):
    """The committed table is the one that the present code computes, as far as a spot check tells."""
    committed(name)
    try:
        problems = figures.check(figures.select([name])[0])
    except datasets.DatasetUnavailable as error:
        pytest.skip(str(error))
    assert problems == []
