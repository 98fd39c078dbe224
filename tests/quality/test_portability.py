"""The runner of the three configurations, with small commands in place of the checks; the libm off by up to 1.5 ulp."""

import ctypes
import importlib.util
import math
import random
from dataclasses import replace
from pathlib import Path

import mpmath
import pytest

CI = Path(__file__).resolve().parents[2] / ".ci"
if not (CI / "portability.py").is_file():
    pytest.skip("there is no checkout with .ci here", allow_module_level=True)

_spec = importlib.util.spec_from_file_location("portability", CI / "portability.py")
portability = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(portability)

SAME = "print('constant', 1.5)"
DIGITS = "print('constant', 1.5); print('logs', [math.log(k) for k in range(2, 9)])"
FAILING = "print('constant', 1.5); print('a reason on the terminal', file=sys.stderr); sys.exit(3)"


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    path, reason = portability.noisy_libm(tmp_path_factory.mktemp("libm"))
    if path is None:
        pytest.skip(f"the noisy libm cannot be made: {reason}")
    return ctypes.CDLL(str(path))


def _run(tmp_path, body):
    """One chain of a command that prints a ledger and one that reads it."""
    write, read = tmp_path / "write.py", tmp_path / "read.py"
    write.write_text(
        f"import contextlib, math, sys\nwith open(sys.argv[1] + '/text.md', 'w') as file, "
        f"contextlib.redirect_stdout(file):\n    {body}\n"
    )
    read.write_text("import sys\nassert 'constant 1.5' in open(sys.argv[1] + '/text.md').read()\n")
    return portability.main([[f"{write} DIR", f"{read} DIR"]], "text.md")


def test_equal_ledgers_pass_and_each_configuration_has_its_line(tmp_path, capsys):
    assert _run(tmp_path, SAME) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.partition(":")[0] for line in sorted(lines[:3])] == ["noisy libm", "other kernels", "this machine"]
    assert "0 failures" in lines[-1]


def test_a_last_digit_that_depends_on_the_machine_is_named(tmp_path, capsys, library):
    assert _run(tmp_path, DIGITS) == 1
    out = capsys.readouterr().out
    assert "noisy libm: text.md differs from that of this machine" in out
    assert "  this machine: logs [" in out
    assert "  noisy libm: logs [" in out
    assert "  this machine: constant" not in out, "a line that is the same is named"


def test_records_of_a_complete_run_stand_for_the_quick_run_on_this_machine(tmp_path, capsys, monkeypatch):
    """Its part, chosen by the tests that ran elsewhere, is the ledger to which the others are compared, line by line."""
    from exactdiffusion import statements
    from exactdiffusion.checks import ledger, verify
    from exactdiffusion.checks.statistics import Family

    def records(folder, **ratios):
        collected = ledger.Collected()
        check = ledger.Check(statements.all_statements()[0], collected)
        collected.statements[check.statement.key] = "theory/file.py"
        for test, ratio in ratios.items():
            check.holds([ratio] * (2 if test == "test_long" else 1), 1.0, tol=0, cause="exact", on=test)
            collected.records[-1] = replace(collected.records[-1], test=test)
        run = {**dict.fromkeys(verify.RUN, False), "passed": True}
        verify.write_records(folder, collected, ledger.pack(collected, Family()), run)

    records(tmp_path / "whole", test_first=0.5, test_long=0.7)
    records(tmp_path / "quick", test_first=0.5)
    quick = (tmp_path / "quick" / "ledger.toml").read_text()
    assert quick != (tmp_path / "whole" / "ledger.toml").read_text()
    assert portability.part_of(tmp_path / "whole", tmp_path / "quick") == quick

    # the second machine writes the same ledger, or another one; the first runs nothing
    write = tmp_path / "write.py"
    monkeypatch.setattr(portability, "configurations", lambda *_: {portability.AS_IS: {}, portability.OTHER: {}})
    for text, code in ((quick, 0), (quick.replace("values = 1", "values = 3"), 1)):
        (tmp_path / "text").write_text(text)
        write.write_text(
            f"import shutil, sys\nshutil.copy({str(tmp_path / 'quick' / 'records.json')!r}, sys.argv[1])\n"
            f"shutil.copy({str(tmp_path / 'text')!r}, sys.argv[1] + '/ledger.toml')\n"
        )
        chains = [[f"{write} DIR"], ["-c pass"]]
        assert portability.main(chains, source=tmp_path / "whole") == code
        assert ("other kernels: values = 3" in capsys.readouterr().out) == bool(code)


def test_the_output_of_a_failing_command_is_shown(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(portability, "configurations", lambda *_: {portability.AS_IS: {}})
    assert _run(tmp_path, FAILING) == 1
    out = capsys.readouterr().out
    assert "this machine: exit code 3: python" in out
    assert "a reason on the terminal" in out
    assert portability.main([["-c pass"]], "text.md") == 1
    assert "this machine: the commands wrote no text.md" in capsys.readouterr().out


def test_no_compiler_and_no_effect_are_said(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("CC", "no-such-compiler")
    monkeypatch.setattr(portability, "probe", lambda environment: {"kernel": "K", "simd": [], "values": [b""]})
    assert list(portability.configurations(tmp_path)) == ["this machine"]
    out = capsys.readouterr().out
    assert "noisy libm: skipped, " in out
    assert "other kernels: no second machine here: neither the BLAS kernel (K) nor a value changes" in out


# -- the library ---------------------------------------------------------------------------------------------------------


def test_another_noise_is_another_libm(library, tmp_path):
    path, _ = portability.noisy_libm(tmp_path, 1)
    other = ctypes.CDLL(str(path))
    found = [(_f(library, "exp")(k / 100), _f(other, "exp")(k / 100)) for k in range(1, 300)]
    assert sum(a != b for a, b in found) > 100, "NOISE changes hardly a value"


def _f(library, name, count=1, kind=ctypes.c_double):
    function = getattr(library, name)
    function.restype, function.argtypes = kind, [kind] * count
    return function


def _between(low, high, signed=True):
    """Draws over all orders of magnitude: a uniform mantissa, an exponent uniform between those of the two ends."""

    def draw(rng):
        while True:
            x = math.ldexp(rng.uniform(1, 2), rng.randint(math.frexp(low)[1] - 1, math.frexp(high)[1] - 1))
            if low <= x <= high:
                return x * (rng.choice((-1, 1)) if signed else 1)

    return draw


def _pair(one, other):
    return lambda rng: (one(rng), other(rng))


SMALL = 1e-18
REFERENCES = {
    "exp": (mpmath.exp, _between(SMALL, 700)),
    "exp2": (lambda x: mpmath.mpf(2) ** x, _between(SMALL, 1000)),
    "expm1": (mpmath.expm1, _between(SMALL, 700)),
    "log": (mpmath.log, _between(1e-300, 1e300, False)),
    "log2": (lambda x: mpmath.log(x, 2), _between(1e-300, 1e300, False)),
    "log10": (mpmath.log10, _between(1e-300, 1e300, False)),
    "log1p": (mpmath.log1p, _between(SMALL, 1e18, False)),
    "sin": (mpmath.sin, _between(SMALL, 1e6)),
    "cos": (mpmath.cos, _between(SMALL, 1e6)),
    "tan": (mpmath.tan, _between(SMALL, 1e6)),
    "asin": (mpmath.asin, _between(SMALL, 1)),
    "acos": (mpmath.acos, _between(SMALL, 1)),
    "atan": (mpmath.atan, _between(SMALL, 1e18)),
    "sinh": (mpmath.sinh, _between(SMALL, 700)),
    "cosh": (mpmath.cosh, _between(SMALL, 700)),
    "tanh": (mpmath.tanh, _between(SMALL, 30)),
    "asinh": (mpmath.asinh, _between(SMALL, 1e18)),
    "acosh": (mpmath.acosh, _between(1, 1e18, False)),
    "atanh": (mpmath.atanh, _between(SMALL, 1)),
    "cbrt": (lambda x: mpmath.sign(x) * mpmath.cbrt(abs(x)), _between(1e-300, 1e300)),
    "erf": (mpmath.erf, _between(SMALL, 7)),
    "erfc": (mpmath.erfc, _between(SMALL, 26)),
    "lgamma": (mpmath.loggamma, _between(1e-3, 1e6, False)),
    "tgamma": (mpmath.gamma, _between(1e-3, 170, False)),
    "pow": (lambda x, y: mpmath.mpf(x) ** y, _pair(_between(1e-20, 1e20, False), _between(1e-6, 15))),
    "atan2": (mpmath.atan2, _pair(_between(1e-9, 1e9), _between(1e-9, 1e9))),
    "hypot": (lambda x, y: mpmath.sqrt(x**2 + y**2), _pair(_between(1e-3, 1e3), _between(1e-3, 1e3))),
}
VALUES = 500  # of 20,000 values each none was further than 1.491 ulp


@pytest.mark.parametrize("name", REFERENCES)
def test_error_is_at_most_one_and_a_half_ulp_and_many_values_move(library, name):
    reference, draw = REFERENCES[name]
    rng, moved = random.Random(name), 0
    with mpmath.workprec(160):
        for _ in range(VALUES):
            at = draw(rng)
            at = at if isinstance(at, tuple) else (at,)
            found, exact = _f(library, name, len(at))(*at), reference(*map(mpmath.mpf, at))
            near = float(exact)
            assert abs(found - exact) <= 1.5 * math.ulp(near), f"{name}{at} is off by more than 1.5 ulp"
            moved += found != near
    assert moved > VALUES / 5, f"{name}: only {moved} of {VALUES} values move"


def _exact_cases():
    for name in ("sin", "tan", "asin", "atan", "sinh", "tanh", "asinh", "atanh", "cbrt", "erf", "expm1", "log1p"):
        yield from ((name, (zero,), zero) for zero in (0.0, -0.0))
    yield from ((name, (0.0,), 1.0) for name in ("exp", "exp2", "cos", "cosh", "erfc"))
    yield from ((name, (1.0,), 0.0) for name in ("log", "log2", "log10", "acos", "acosh", "lgamma"))
    yield from (("exp", (-800.0,), 0.0), ("exp", (800.0,), math.inf), ("log", (0.0,), -math.inf))
    yield "log", (-1.0,), math.nan
    yield from ((name, (math.nan,), math.nan) for name in ("exp", "log", "sin", "erf"))
    for k in range(-1000, 1000, 7):
        two = math.ldexp(1, k)
        yield from (("exp2", (float(k),), two), ("log2", (two,), float(k)), ("pow", (2.0, float(k)), two))
        yield "cbrt", (float(k**3),), float(k)
    for k in range(23):
        yield from (("log10", (10.0**k,), float(k)), ("pow", (10.0, float(k)), 10.0**k))
        yield "tgamma", (k + 1.0,), float(math.factorial(k))
    rng = random.Random(0)
    for _ in range(500):
        x, k = rng.uniform(-10, 10), float(rng.randrange(1, 90_000))
        yield from (("pow", (x, 1.0), x), ("pow", (x, 0.0), 1.0), ("pow", (k, 2.0), k * k), ("pow", (k * k, 0.5), k))
        yield from (("hypot", (x, 0.0), abs(x)), ("hypot", (0.0, x), abs(x)), ("hypot", (3 * k, -4 * k), 5 * k))
    for x in (7.0, 30.0, math.inf):  # saturated
        yield from (("erf", (x,), 1.0), ("erf", (-x,), -1.0), ("erfc", (-x,), 2.0))
        yield from (("tanh", (3 * x,), 1.0), ("tanh", (-3 * x,), -1.0))
    yield from (("asin", (1.0,), math.pi / 2), ("acos", (-1.0,), math.pi), ("atan", (1e300,), math.pi / 2))
    for x in (1.0, 3.0, 1e5):
        yield from (
            (
                ("atan2", (0.0, x), 0.0),
                ("atan2", (0.0, -x), math.pi),
                ("atan2", (x, 0.0), math.pi / 2),
                ("atan2", (x, x), math.pi / 4),
                ("atan2", (-x, -x), -0.75 * math.pi),
            )
        )


def test_exact_values_stay(library):
    for name, at, exact in _exact_cases():
        found = _f(library, name, len(at))(*at)
        assert repr(found) == repr(exact), f"{name}{at} is {found}, exactly {exact}"


def test_results_stay_in_the_range_and_keep_symmetry(library):
    f = {name: _f(library, name) for name in REFERENCES}
    rng, draw = random.Random(1), _between(1e-20, 40)
    ends = [s * (1 - 2.0**-k) for k in range(20, 54) for s in (-1, 1)] + [k * math.pi / 2 for k in range(-20, 21)]
    for x in [*ends, *(draw(rng) for _ in range(20_000))]:
        assert max(abs(f[name](x)) for name in ("sin", "cos", "tanh", "erf")) <= 1, f"out of [-1, 1] at {x}"
        assert 0 <= f["erfc"](x) <= 2, f"erfc leaves [0, 2] at {x}"
        assert f["cosh"](x) >= 1, f"cosh is below 1 at {x}"
        assert 0 <= f["exp"](-abs(x)) <= 1 <= f["exp"](abs(x)), f"exp is on the wrong side of 1 at {x}"
        assert abs(f["atan"](x)) <= math.pi / 2, f"atan is above pi/2 at {x}"
        assert abs(x) > 1 or (abs(f["asin"](x)) <= math.pi / 2 and 0 <= f["acos"](x) <= math.pi), f"asin or acos at {x}"
        assert (f["sin"](-x), f["cos"](-x)) == (-f["sin"](x), f["cos"](x)), f"symmetry is lost at {x}"


def test_floats_move_by_their_own_ulp(library):
    rng, moved = random.Random(2), 0
    for _ in range(500):
        x = ctypes.c_float(rng.uniform(0.1, 5)).value
        for name, exact in (("expf", math.exp(x)), ("logf", math.log(x)), ("sinf", math.sin(x))):
            found = _f(library, name, kind=ctypes.c_float)(x)
            assert abs(found - exact) <= 1.5 * math.ldexp(1, math.frexp(exact)[1] - 24), f"{name}({x})"
            moved += found != ctypes.c_float(exact).value
    assert moved > 500
