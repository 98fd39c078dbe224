"""Changes made by machine to the formulas are seen by the tests that execute them (the long run only).

The planted errors of the catalogue are the ones somebody thought of; these are drawn at random, so the share that survives
estimates how much of the code could be wrong without a test noticing.
"""

import importlib.util
import os

import pytest

NEEDED = "cosmic_ray"  # extra "mutation"; `make test-deep` installs it
pytestmark = [
    pytest.mark.deep,
    pytest.mark.skipif(not hasattr(os, "fork"), reason="one forked process for each mutant: needs a POSIX system"),
    pytest.mark.skipif(importlib.util.find_spec(NEEDED) is None, reason="needs the extra mutation (cosmic-ray)"),
]


def test_at_most_one_mutant_in_twenty_survives(record_property):
    import mutation

    score = mutation.run()
    record_property("mutation score", str(score))
    alive = len(score.survivors) + len(score.unreached)
    assert alive + len(score.killed) + len(score.equivalent) == mutation.COUNT
    assert alive <= 0.05 * mutation.COUNT, str(score)


def test_reviewed_survivors_still_exist():
    """A reviewed mutant whose line has changed since is no longer reviewed: its entry must go."""
    import mutation

    stale = mutation.stale()
    assert not stale, f"equivalent.toml: no such change any more: {stale}"
