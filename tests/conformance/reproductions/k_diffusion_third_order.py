"""sample_dpmpp_3m_sde of k-diffusion with eta = 0 on N(0, 0.2^2): the observed order, and the cause."""

import importlib
import importlib.util
import sys
import types
from itertools import pairwise

import torch

# the module without the package's __init__ (which needs torchvision), and stand-ins for two imports that are not used here
package, utils, odeint = (types.ModuleType(name) for name in ("k_diffusion", "k_diffusion.utils", "torchdiffeq"))
package.__path__ = importlib.util.find_spec("k_diffusion").submodule_search_locations
package.utils, utils.append_dims, odeint.odeint = utils, lambda x, n: x[(...,) + (None,) * (n - x.ndim)], None
sys.modules.update({"k_diffusion": package, "k_diffusion.utils": utils})
sys.modules.setdefault("torchdiffeq", odeint)
sampling = importlib.import_module("k_diffusion.sampling")


def error(steps, weight, deviation=0.2):
    """Relative error of the multiplier: of the function (weight None), or of its formula with this weight of the second
    difference."""
    sigmas = torch.linspace(80 ** (1 / 7), 0.02 ** (1 / 7), steps + 1, dtype=torch.float64) ** 7
    x, outputs, times = torch.ones(1, dtype=torch.float64), [], []

    def model(x, sigma, **_):
        return deviation**2 / (deviation**2 + sigma**2) * x

    if weight is None:
        end = sampling.sample_dpmpp_3m_sde(model, x, sigmas, eta=0.0, disable=True, noise_sampler=lambda a, b: 0.0)
    else:
        for a, b in pairwise(sigmas):
            outputs, times, h = [*outputs[-2:], model(x, a)], [*times[-2:], -a.log()], (a / b).log()
            x, phi = b / a * x - (-h).expm1() * outputs[-1], (-h).expm1() / h + 1
            if len(outputs) > 1:
                one = (outputs[-1] - outputs[-2]) / (times[-1] - times[-2])
                slope = one
                if len(outputs) > 2:
                    second = (one - (outputs[-2] - outputs[-3]) / (times[-2] - times[-3])) / (times[-1] - times[-3])
                    slope = one + second * (times[-1] - times[-2])
                    x = x - weight * (phi / h - 0.5) * h**2 * second
                x = x + phi * h * slope
        end = x
    exact = ((deviation**2 + sigmas[-1] ** 2) / (deviation**2 + sigmas[0] ** 2)) ** 0.5
    return abs(end / exact - 1).item()


if __name__ == "__main__":
    print("own formula with weight 1 equals the function:", error(40, None), error(40, 1.0))
    for weight in (1.0, 2.0):
        falls = [f"{error(n, weight) / error(2 * n, weight):.2f}" for n in (40, 80, 160)]
        print("weight", weight, "of the second difference: errors fall by", falls)
