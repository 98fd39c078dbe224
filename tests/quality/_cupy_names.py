"""Write ``tests/cupy_names.json``: the public names of array-api-compat's CuPy namespace, for ``test_cupy_names.py``.

    pip install --no-deps --target DIR cupy-cuda12x==14.2.0 cuda-pathfinder
    PYTHONPATH=DIR python tests/quality/_cupy_names.py

No GPU is needed: CuPy imports without a driver. The wheel is 140 MB, too much for every run of the tests; the list is 10 kB.
"""

import importlib
import json
import sys
import textwrap
import warnings
from pathlib import Path

PATH = Path(__file__).with_name("cupy_names.json")
MODULES = ("", "linalg", "fft")


def names():
    """Versions, and the public names of the namespace and of its extensions, from the installed CuPy."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # CuPy warns where it finds no driver
        import cupy

        found = {}
        for module in MODULES:
            namespace = importlib.import_module("array_api_compat.cupy" + (f".{module}" if module else ""))
            found[module] = sorted(n for n in dir(namespace) if not n.startswith("_"))
    import array_api_compat

    return {"cupy": cupy.__version__, "array-api-compat": array_api_compat.__version__, "names": found}


if __name__ == "__main__":
    record = names()
    text = json.dumps({**record, "names": {k: " ".join(v) for k, v in record["names"].items()}}, indent=1)
    PATH.write_text(text + "\n", encoding="utf-8")
    sys.stdout.write(textwrap.shorten(text, 200) + "\n")
