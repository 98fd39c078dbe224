"""One file per library: how its samplers are driven. ``subject(name, **settings)`` of a file returns a `Subject`."""

__all__ = ["diffusers", "k_diffusion", "own", "plain", "smalldiffusion"]
