"""Untrusted files: whatever is in them, a value or a ValueError that names the file; nothing runs or is written outside.

Every reader gets a valid file that is then damaged: cut, overwritten, with bytes inserted, with numbers too large and
brackets too deep, or replaced by a pickle that would create a file if it were loaded. By default few examples, always the
same; thousands from a new seed with ``--deep``, which is printed (``--seed n`` repeats one).
"""

import io
import json
import os
import pickle
import time
import warnings

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from exactdiffusion import datasets
from exactdiffusion._core import files
from exactdiffusion.checks import expected
from exactdiffusion.papers.projection import audit
from exactdiffusion.studies import results, sweep, sweepfile

ROW = {
    "target": "two_moons",
    "sampler": "ddim",
    "schedule": "vp_linear",
    "steps": 3,
    "seed": 0,
    "samples": 5,
    "start": "gaussian",
    "metric": "w2",
    "value": 0.25,
    "oracle_calls": 3,
    "exact_draws": None,
}
SWEEP = (
    'title = "A"\ntarget = "two_moons"\nsampler = ["ddim", "heun"]\nsteps = [3, 4]\nseeds = 2\nsamples = 5\n'
    '[[grid]]\nsteps = 2\n[[check]]\nnumber = "0.5"\nwhere = {steps = 2}\n'
)
FAULT = (
    '[[fault]]\nname = "n"\nkind = "k"\ntarget = "m:f"\nold = "a"\nnew = "b"\ncaught_by = ["theory/x.py::t"]\nquick = true\n'
)


def _npy(array):
    stream = io.BytesIO()
    np.save(stream, array)
    return stream.getvalue()


def _npz(**arrays):
    stream = io.BytesIO()
    np.savez(stream, **arrays)
    return stream.getvalue()


def _folder(name):
    """Reader of one damaged file beside sound ones of the same sweep."""

    def read(path):
        sound = {
            "results.csv": files.table_text([ROW]),
            "timings.csv": files.table_text(
                [{k: ROW[k] for k in ROW if k not in ("value", "oracle_calls", "exact_draws")} | {"seconds": 0.1}]
            ),
            "provenance.json": "{}\n",
        }
        for other in sound.keys() - {name}:
            (path.parent / other).write_text(sound[other])
        loaded = results.load(path.parent)
        results.curves(loaded.rows)

    return read


def _planted(path):
    folder = path.parent / "tests" / "quality" / "planted"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / path.name).write_bytes(path.read_bytes())
    expected.planted_errors(path.parent)


#: reader -> (name of the file, its sound content, the function)
READERS = {
    "sweep file": ("sweep.toml", SWEEP.encode(), sweepfile.read),
    "table": ("table.csv", files.table_text([ROW, ROW]).encode(), files.read_table),
    "results of a sweep": ("results.csv", files.table_text([ROW]).encode(), _folder("results.csv")),
    "timings of a sweep": (
        "timings.csv",
        files.table_text(
            [{k: ROW[k] for k in ROW if k not in ("value", "oracle_calls", "exact_draws")} | {"seconds": 0.1}]
        ).encode(),
        _folder("timings.csv"),
    ),
    "provenance of a sweep": ("provenance.json", b'{"rows": [1, {"a": null}]}', _folder("provenance.json")),
    "mnist.csv": ("mnist.csv", ("\n".join([",".join(["7"] * 784)] * 2) + "\n").encode(), lambda p: datasets.mnist(p.parent)),
    "mnist.npz": ("mnist.npz", _npz(x=np.zeros((2, 784), np.uint8)), lambda p: datasets.mnist(p.parent)),
    "dino.csv": ("dino.csv", b"dataset,x,y\ndino,1.0,2.0\n", lambda p: datasets._parse_dino(p)),
    "cloud.csv": ("cloud.csv", b"0.0,1.0\n2.0,3.0\n", lambda p: audit.load_cloud(str(p))),
    "cloud.npy": ("cloud.npy", _npy(np.eye(3)), lambda p: audit.load_cloud(str(p))),
    "planted errors": ("faults.toml", FAULT.encode(), _planted),
}
NEVER_SOUND = ("dino.csv",)  # its checksum is that of the published rows


class _Trap:
    """Creates a file when it is unpickled."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return os.mkdir, (self.path,)


INSERTS = [
    b"\x00",
    b"\xff\xfe",
    b"[" * 3000,
    b"{" * 3000,
    b'"',
    b"'",
    b",,,,",
    b"\n\n",
    b"1e999",
    b"9" * 5000,
    b"nan",
    b"-inf",
    b"\r",
    b"../" * 20,
    b"/etc/passwd",
    b"null",
    b"[]",
    b"True",
    b"__import__('os').system('true')",
    b"\xc3",
    b"a=1\n" * 2,
    b"#",
    b"\\u0000",
    b"=",
    b"0x10",
]


def _damage(content, data, trap):
    kind, at, what = data[0] % 6, int.from_bytes(data[1:4], "big") % (len(content) + 1), INSERTS[data[4] % len(INSERTS)]
    if kind == 0:
        return content
    if kind == 1:
        return content[:at]
    if kind == 2:
        return content[:at] + what + content[at:]
    if kind == 3:
        return content[:at] + what + content[at + len(what) % 40 :]
    if kind == 4:
        return content[:at] + data[5:9] + content[at + 4 :]
    array = np.empty(1, object)
    array[0] = _Trap(trap)
    stream = io.BytesIO()
    np.save(stream, array, allow_pickle=True)
    zipped = io.BytesIO()
    np.savez(zipped, x=array)
    return [pickle.dumps(_Trap(trap)), stream.getvalue(), zipped.getvalue(), what, b"", data][data[5] % 6]


class _Seed:
    """Prints at the end of the run the seed of the damage, whatever came out."""

    def __init__(self, started):
        self.started = started

    def pytest_terminal_summary(self, terminalreporter):
        terminalreporter.write_line(f"damaged files: seed {self.started}")


@pytest.fixture(scope="module")
def start(request, deep):
    """The seed of all readers, or None: the examples that are always the same."""
    chosen = request.config.getoption("--seed") or (time.time_ns() % 2**32 if deep else None)
    request.config.pluginmanager.register(_Seed("fixed" if chosen is None else chosen))
    return chosen


@pytest.mark.parametrize("name", READERS)
def test_damaged_file(name, tmp_path, deep, start):
    file, content, read = READERS[name]
    trap, folder = tmp_path / "trapped", tmp_path / "in"
    folder.mkdir()
    done = {"value": 0, "refused": 0}

    def one(data):
        path = folder / file
        path.write_bytes(_damage(content, data, trap))
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                read(path)
            done["value"] += 1
        except ValueError as error:
            message = str(error)
            done["refused"] += 1
        else:
            message = file
        assert file in message or str(folder) in message, f"the message does not name the file: {message[:300]}"
        assert not trap.exists(), "a pickle was loaded"
        assert {p.name for p in tmp_path.iterdir()} == {"in"}

    run = settings(
        max_examples=2000 if deep else 60,
        deadline=None,
        database=None,
        derandomize=start is None,
        phases=[Phase.explicit, Phase.generate, Phase.shrink],
        suppress_health_check=list(HealthCheck),
        print_blob=True,
        report_multiple_bugs=False,
    )(given(st.binary(min_size=12, max_size=12))(one))
    (seed(start)(run) if start is not None else run)()
    assert done["refused"] >= 10
    assert (done["value"] > 0) != (name in NEVER_SOUND)
    print(f"{name}: {done['value']} read, {done['refused']} refused")


def test_damaged_record_is_reported_and_kept(tmp_path):
    """Resuming a sweep over damaged records: the file is named and left as it is; nothing runs."""
    options = dict(target="two_moons", sampler="ddim", steps=2, seeds=1, samples=5, exact_draws=0)
    out = tmp_path / "out"
    sweep.sweep(**options, out=out)
    (record,) = (out / "records").rglob("*.json")
    sound = record.read_bytes()
    value = json.loads(sound)
    trap = tmp_path / "trapped"
    damages = [
        sound[: len(sound) // 2],
        b"",
        b"\x00" * 9,
        b"[" * 100_000,
        b"null",
        b"[]",
        pickle.dumps(_Trap(trap)),
        b"\xff",
        json.dumps(value | {"value": "1e999"}).encode(),
        json.dumps(value | {"value": 10**400}).encode(),
        json.dumps(value | {"sampler": "../../heun"}).encode(),
        json.dumps(value | {"key": "../../x"}).encode(),
        sound.replace(b'"seconds"', b'"second"'),
        json.dumps(value | {"value": [1]}).encode(),
        json.dumps(value | {"value": float("nan")}).encode(),
    ]
    for damaged in damages:
        record.write_bytes(damaged)
        with pytest.raises(sweep.DamagedRecord, match=record.name):
            sweep.sweep(**options, out=out)
        assert record.read_bytes() == damaged
    assert {p.name for p in tmp_path.iterdir()} == {"out"}
    record.write_bytes(sound)
    assert sweep.sweep(**options, out=out).reused == 1


@pytest.mark.parametrize(
    "text", ["../../escape", "/etc/passwd", "..\\escape", "two_moons/../../escape", "a\x00b", "%2e%2e/escape", "~/escape"]
)
@pytest.mark.parametrize("key", ["target", "sampler", "schedule", "metric", "start"])
def test_name_that_is_a_path_is_refused_and_nothing_is_written(tmp_path, key, text):
    options = dict(target="two_moons", sampler="ddim", schedule="vp_linear", steps=2, seeds=1, samples=5, exact_draws=0) | {
        key: text
    }
    out = tmp_path / "deep" / "er" / "out"
    with pytest.raises(ValueError, match=key):
        sweep.sweep(**options, out=out)
    assert not [p for p in tmp_path.rglob("*") if p.is_file()]
    quoted = json.dumps(text)
    path = tmp_path / "sweep.toml"
    path.write_text("".join(f"{k} = {json.dumps(v)}\n" for k, v in options.items() if k != key) + f"{key} = {quoted}\n")
    with pytest.raises(ValueError, match=key):
        sweepfile.run(path, out)
    assert [p.name for p in tmp_path.rglob("*") if p.is_file()] == ["sweep.toml"]


@pytest.mark.parametrize(
    "text",
    [
        "[[fault]]\nname = 3\n",
        "fault = 3\n",
        "[[fault]]\nname = 'a'\ncaught_by = 'x'\n",
        "[[fault]]\nname = 'a'\ncaught_by = [1]\n",
        "[[fault]",
        "a = " + "[" * 5000,
    ],
)
def test_catalogue_of_planted_errors_names_its_file(tmp_path, text):
    folder = tmp_path / "tests" / "quality" / "planted"
    folder.mkdir(parents=True)
    (folder / "bad.toml").write_text(text)
    with pytest.raises(ValueError, match=r"bad\.toml"):
        expected.planted_errors(tmp_path)
