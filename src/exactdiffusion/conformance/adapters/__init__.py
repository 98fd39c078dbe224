"""One file per library: how its samplers are driven. ``subject(name, **settings)`` of a file returns a `Subject`."""

import tomllib
from importlib.resources import files
from typing import Any

__all__ = ["declared", "diffusers", "k_diffusion", "own", "plain", "smalldiffusion"]


def declared(library: str) -> dict[str, Any]:
    """What a library declares of its samplers: its tables in ``declared.toml``.

    Examples
    --------
    >>> declared("k_diffusion")["orders"]["sample_dpmpp_3m_sde"]
    [1, 3]
    """
    return tomllib.loads((files(__name__) / "declared.toml").read_text(encoding="utf-8"))[library]
