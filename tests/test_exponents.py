"""The table of exponents: what it says to be attained is attained."""

import importlib.util

from exactdiffusion._core.paths import experiments_dir


def test_attained_exponents_lie_in_their_intervals():
    specification = importlib.util.spec_from_file_location("exponents", experiments_dir() / "exponents.py")
    script = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(script)
    rows = {name: (exact, bound) for name, _, exact, bound in script.table()}
    expected = {"N": -2, "eps, of N": -0.5, "d": 1, "L at T = 1/L": 0}
    for name, slope in expected.items():
        for fitted in rows[name]:
            assert abs(fitted.slope - slope) < 0.02, name
    # six quantities; the exact KL grows more slowly with H than the bound does
    assert {name.split(" ")[0].rstrip(",") for name in rows} == {"N", "eps", "d", "L", "T", "H"}
    assert rows["H"][0].high < rows["H"][1].low
    assert rows["T at T >= 1"][0].high < 2.5 < rows["T at T >= 1"][1].low
