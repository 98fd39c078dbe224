"""The sweep engine: same bits for any number of workers, nothing lost when killed, nothing half written."""

import ast
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import sysconfig
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from exactdiffusion import GaussianMixture, Noise, cli, distances, samplers
from exactdiffusion._core import files, provenance
from exactdiffusion.studies import sweep

SMALL = {
    "target": "two_moons",
    "sampler": ["ddim", "euler_maruyama", "gradient_estimation:gamma=1.5"],
    "steps": [3, 5],
    "seeds": 2,
    "samples": 60,
    "exact_draws": 8,
}


def _run(out, **changes):
    return sweep.sweep(**{**SMALL, "out": out, **changes})


@pytest.fixture(scope="module")
def reference(tmp_path_factory):
    out = tmp_path_factory.mktemp("reference")
    return out, _run(out)


def test_two_workers_give_the_bytes_of_one(reference, tmp_path):
    result = _run(tmp_path, jobs=2)
    assert result.computed == len(result.rows) == 12
    assert result.table.read_bytes() == reference[1].table.read_bytes()


def test_order_of_the_grid_does_not_move_a_bit(reference):
    alone = sweep.sweep(**{**SMALL, "sampler": "euler_maruyama", "steps": 5, "seeds": [1]})
    row = next(r for r in reference[1].rows if (r["sampler"], r["steps"], r["seed"]) == ("euler_maruyama", 5, 1))
    assert alone.rows == [row]


def test_second_run_reuses_everything(reference):
    again = _run(reference[0])
    assert (again.computed, again.reused) == (0, 12)
    assert again.rows == reference[1].rows


def test_more_seeds_and_metrics_compute_only_what_is_new(reference, tmp_path):
    first = _run(tmp_path, seeds=1)
    second = _run(tmp_path)
    assert (first.computed, second.computed, second.reused) == (6, 6, 6)
    third = _run(tmp_path, metric=["w2", "distance"])
    assert (third.computed, third.reused) == (12, 12)
    assert [r for r in third.rows if r["metric"] == "w2"] == reference[1].rows


def test_a_changed_number_of_exact_draws_is_not_answered_with_the_old_band(tmp_path):
    job = {"target": "two_moons", "sampler": "ddim", "steps": 3, "seeds": 1, "samples": 30, "out": tmp_path}
    done = [sweep.sweep(**job, exact_draws=n) for n in (0, 1, 3)]
    assert [(s.computed, s.reused) for s in done] == [(1, 0)] * 3
    none, one, three = (s.rows[0] for s in done)
    assert none["exact_draws"] is none["exact_draws_low"] is none["exact_draws_runs"] is None
    assert one["exact_draws_low"] == one["exact_draws"] == one["exact_draws_high"] != three["exact_draws"]
    assert three["exact_draws_low"] < three["exact_draws"] < three["exact_draws_high"]
    assert len({s.rows[0]["value"] for s in done}) == 1


def test_exact_draws_are_kept_and_shared_by_cells(tmp_path, monkeypatch):
    """One file for a target, metric and number of samples; another process reads it instead of drawing again."""
    job = {
        "target": "two_moons",
        "schedule": "log_linear",
        "steps": 3,
        "seeds": 1,
        "samples": 30,
        "exact_draws": 5,
        "out": tmp_path,
    }
    first = sweep.sweep(**job, sampler="ddim")
    (kept,) = (tmp_path / "exact_draws").iterdir()
    sweep._draws.cache_clear()

    def again(law, n, rng):
        raise AssertionError("drawn again")

    monkeypatch.setitem(sweep.METRICS, "w2", replace(sweep.METRICS["w2"], exact_draws=again))
    second = sweep.sweep(**job, sampler="heun")
    ends = ("exact_draws", "exact_draws_low", "exact_draws_high", "exact_draws_runs")
    assert [second.rows[0][k] for k in ends] == [first.rows[0][k] for k in ends]
    for damaged in ("{", '{"values": [1, 2]}', kept.read_text(encoding="utf-8").replace('"samples": 30', '"samples": 31')):
        kept.write_text(damaged, encoding="utf-8")
        sweep._draws.cache_clear()
        with pytest.raises(sweep.DamagedRecord, match=kept.name):
            sweep.sweep(**job, sampler="ddpm")
    sweep._draws.cache_clear()


def test_resuming_asks_no_stored_cell_whether_it_has_an_exact_kl(tmp_path, monkeypatch):
    job = {
        "target": "two_gaussians:dim=1",
        "sampler": "euler_maruyama",
        "steps": [4, 5],
        "samples": 3,
        "metric": "kl",
        "out": tmp_path,
    }
    first = sweep.sweep(**job, seeds=1)

    def never(run):
        raise AssertionError("computed again")

    monkeypatch.setattr("exactdiffusion.studies.metrics.exact_output", never)
    assert sweep.sweep(**job, seeds=1).rows == first.rows


def test_changed_code_is_computed_anew(tmp_path, monkeypatch):
    _run(tmp_path, seeds=1)
    monkeypatch.setattr(sweep, "source_digest", lambda: "another version of the code")
    assert _run(tmp_path, seeds=1).reused == 0


def test_edited_function_of_the_user_is_computed_anew(tmp_path, monkeypatch):
    source = tmp_path / "my_targets_for_a_test.py"
    text = "from exactdiffusion import PointCloud\n\ndef pair(gap=1.0):\n    return PointCloud([[0.0, 0.0], [gap, 0.0]])\n"
    source.write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    job = {
        "target": "my_targets_for_a_test:pair:gap=2.0",
        "sampler": "ddim",
        "steps": 4,
        "seeds": 1,
        "samples": 20,
        "metric": ["w2", "distance"],
        "out": tmp_path / "out",
    }
    assert sweep.sweep(**job).computed == 2
    assert sweep.sweep(**job).computed == 0
    source.write_text(text + "# edited\n")
    assert sweep.sweep(**job).computed == 2


_USER = """
import numpy as np

def halfway(law, grid, x):
    from a_sibling_for_a_test import FACTOR  # imported when called: the folder must still be found

    yield x
    for i in range(grid.N):
        x = FACTOR * x
        yield x

def bad(law, grid):
    yield
"""


@pytest.mark.parametrize(
    ("name", "jobs"), [("my_sampler_for_a_test:halfway", "2"), ("my_sampler_for_a_test.py:halfway", "1")]
)
def test_installed_command_finds_modules_of_the_current_folder(tmp_path, name, jobs):
    script = Path(sysconfig.get_path("scripts")) / "exactdiffusion"
    if not script.is_file():
        pytest.skip("the console script is not installed")
    (tmp_path / "my_sampler_for_a_test.py").write_text(_USER)
    (tmp_path / "a_sibling_for_a_test.py").write_text("FACTOR = 0.5\n")
    environment = {k: v for k, v in _environment().items() if k != "PYTHONPATH"}
    done = subprocess.run(
        [
            script,
            *(
                f"sweep --sampler {name} --target two_moons --steps 2,3 --seeds 2 --samples 20 --exact-draws 2 --jobs {jobs}"
            ).split(),
        ],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert "4 computed, 0 reused" in done.stdout
    again = subprocess.run(
        [script, *f"sweep --sampler {name.replace('halfway', 'bad')} --target two_moons --steps 2 --out other".split()],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert again.returncode == 2
    assert re.fullmatch(r"exactdiffusion sweep: sampler: got [^\n]*\n", again.stderr)


def test_digest_sees_every_module_that_the_digested_code_imports(tmp_path, monkeypatch):
    """Copies of the package with one file edited: an edit of what numbers depend on changes the key of a sweep's records."""
    copy = tmp_path / "exactdiffusion"
    shutil.copytree(provenance._PACKAGE, copy, ignore=shutil.ignore_patterns("__pycache__", "_theory", "_experiments"))
    monkeypatch.setattr(provenance, "_PACKAGE", copy)

    def digest():
        provenance.source_digest.cache_clear()
        return provenance.source_digest()

    def imported(path):
        """The package's modules that one file imports, at any level of indentation."""
        package = ["exactdiffusion", *path.relative_to(copy).parts[:-1]]
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and (node.level or (node.module or "").startswith("exactdiffusion")):
                base = [*package[: len(package) - node.level + 1], *([node.module] if node.module else [])]
                stem = ".".join(base if node.level else [node.module])
                yield stem
                yield from (f"{stem}.{alias.name}" for alias in node.names)

    def path_of(name):
        stem = copy.parent.joinpath(*name.split("."))
        return next((p for p in (stem.with_suffix(".py"), stem / "__init__.py") if p.is_file()), None)

    try:
        before = digest()
        roots = [copy / f"{name}.py" for name in ("schedules", "_core/random", "_core/arrays", "datasets", "prox/solver")]
        todo = [*roots, *(f for name in ("samplers", "laws", "distances") for f in (copy / name).glob("*.py"))]
        reached = set()
        while todo:
            path = todo.pop()
            if path is not None and path not in reached:
                reached.add(path)
                todo += map(path_of, imported(path))
                if path.parent != copy:
                    todo.append(path.parent / "__init__.py")  # runs before any module beside it
        names = {path.relative_to(copy).as_posix() for path in reached}
        assert {
            "statements/projection.py",
            "statements/_statement.py",
            "statements/__init__.py",
            "_core/validation.py",
        } <= names
        # What only finds files and records computes no number.
        aside = {"__init__.py", *(f"_core/{name}.py" for name in ("paths", "files", "provenance", "progress"))}
        for path in reached - {copy / name for name in aside}:
            text = path.read_text()
            path.write_text(text + "# edited\n")
            assert digest() != before, path.relative_to(copy)
            path.write_text(text)
        assert digest() == before
        (copy / "cli.py").write_text("# edited\n")
        assert digest() == before
    finally:
        provenance.source_digest.cache_clear()


def test_record_holds_what_was_measured(reference):
    law = sweep.law_of("two_moons")
    grid = sweep.grid_of("vp_linear", 5)
    x = samplers.final(sweep.states(law, "gradient_estimation:gamma=1.5", grid, 1, 60))
    direct = distances.w2(x, law.points, weights_y=law.weights)
    row = next(
        r for r in reference[1].rows if r["sampler"] == "gradient_estimation:gamma=1.5" and (r["steps"], r["seed"]) == (5, 1)
    )
    assert (row["value"], row["lower"], row["oracle_calls"], row["oracle_rows"]) == (direct.value, direct.lower, 5, 300)
    assert row["method"] == f"{direct.method}, weighted atoms"
    assert row["lower"] <= row["value"]
    stored = [json.loads(p.read_text()) for p in (reference[0] / "records").rglob("*.json")]
    assert len(stored) == 12
    assert all(r["seconds"] > 0 for r in stored)


def test_seed_keys_the_start_and_the_noise_of_every_step():
    law, grid = sweep.law_of("two_moons"), sweep.grid_of("vp_linear", 4)
    noise = Noise(7)
    by_hand = list(samplers.euler_maruyama(law, grid, grid.sigma[0] * noise.initial(30, 2), noise=noise))
    swept = list(sweep.states(law, "euler_maruyama", grid, 7, 30))
    assert all(np.array_equal(a, b) for a, b in zip(by_hand, swept, strict=True))


def test_heun_counts_its_oracle_calls():
    rows = sweep.sweep(target="two_moons", sampler="heun", steps=[4], seeds=1, samples=10).rows
    assert rows[0]["oracle_calls"] == 7


def test_table_and_provenance(reference):
    result = reference[1]
    assert files.read_table(result.table) == result.rows
    record = json.loads(result.provenance.read_text())
    assert record["arguments"]["seeds"] == [0, 1]
    assert record["arguments"]["steps"] == [3, 5]
    assert record["versions"]["numpy"] == np.__version__
    assert {"commit", "machine", "source_sha256", "code"} <= set(record)


def test_mixture_target_says_that_its_reference_is_empirical():
    row = sweep.sweep(target="rings", sampler="ddim", steps=8, seeds=1, samples=50, exact_draws=2).rows[0]
    assert "50 target draws" in row["method"]
    assert (row["rung"], row["exact_draws"] > 0) == ("empirical", True)


def test_law_without_proximal_maps_is_left_out_with_the_reason():
    grid = {
        "target": "sphere",
        "sampler": ["proximal_hybrid", "ddim", "proximal_backward"],
        "steps": 12,
        "seeds": 2,
        "samples": 9,
        "metric": "distance",
    }
    done = sweep.sweep(**grid, refused="skip")
    assert {row["sampler"] for row in done.rows} == {"ddim"}
    assert [cell["sampler"] for cell in done.refused] == ["proximal_hybrid", "proximal_backward"]
    for cell in done.refused:
        assert re.match(r"law: got Sphere\(.*expected a law with proximal maps", cell["reason"])
    with pytest.raises(ValueError, match=r"law: got Sphere\(.*expected a law with proximal maps"):
        sweep.sweep(**grid)


def test_run_that_blows_up_names_its_cell(tmp_path):
    (tmp_path / "own.py").write_text("""
from exactdiffusion import samplers

def far(law, grid, x):
    return samplers.probability_flow(law, grid, x, step=[1e9] * grid.N)
""")
    with pytest.raises(ValueError, match=r"^Cell\(target='rings'.*steps=8.*the run blew up: coordinates of"):
        sweep.sweep(target="rings", sampler=f"{tmp_path}/own.py:far", steps=8, seeds=1, samples=9)


def test_exact_start_differs_from_the_gaussian_one_by_the_scaled_target():
    law, grid = GaussianMixture([1.0], [[1000.0, 0.0]], 0.0), sweep.grid_of("vp_linear", 2)
    cold = next(sweep.states(law, "ddim", grid, 3, 5))
    warm = next(sweep.states(law, "ddim", grid, 3, 5, "exact"))
    assert np.allclose(warm - cold, [1000 * grid.scale[0], 0.0], rtol=8 * np.finfo(float).eps, atol=1e-12)


def _command(out, *extra):
    return [
        sys.executable,
        "-m",
        "exactdiffusion",
        "sweep",
        "--target",
        "two_moons:n=300",
        "--sampler",
        "ddim,euler_maruyama",
        "--steps",
        "5,10",
        "--seeds",
        "8",
        "--samples",
        "300",
        "--exact-draws",
        "4",
        "--out",
        str(out),
        *extra,
    ]


def _environment():
    return {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    out = tmp_path_factory.mktemp("whole")
    subprocess.run(_command(out), check=True, capture_output=True, env=_environment())
    return out


@pytest.mark.parametrize(("jobs", "kills"), [("1", 2), ("2", 1)])
def test_killed_sweep_resumes_to_the_identical_table(tmp_path, whole, jobs, kills):
    broken = tmp_path / "broken"
    chance = random.Random(int(jobs))
    killed_with = []
    for _ in range(kills):
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "env": _environment()}
        running = subprocess.Popen(_command(broken, "--jobs", jobs), start_new_session=True, **quiet)
        wanted = len(_records(broken)) + chance.randint(1, 6)
        limit = time.monotonic() + 60
        while running.poll() is None and len(_records(broken)) < wanted and time.monotonic() < limit:
            time.sleep(0.002)
        time.sleep(chance.random() * 0.02)  # anywhere inside a cell or a write
        try:
            os.killpg(running.pid, signal.SIGKILL)
        except ProcessLookupError:
            break
        finally:
            running.wait()
        killed_with.append(len(_records(broken)))
        for path in _records(broken):
            json.loads(path.read_text())
    assert killed_with, "the sweep ended before it could be killed"
    done = subprocess.run(_command(broken, "--jobs", jobs), check=True, capture_output=True, text=True, env=_environment())
    computed, reused = map(int, re.search(r"(\d+) computed, (\d+) reused", done.stdout).groups())
    assert computed + reused == 32
    assert reused >= killed_with[-1] > 0  # a worker may finish its write while the kill reaches it
    assert (broken / "results.csv").read_bytes() == (whole / "results.csv").read_bytes()


def _records(folder):
    return list((folder / "records").glob("*/*.json"))


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_failing_write_leaves_the_other_records_readable(tmp_path, monkeypatch, step):
    real, count = getattr(os, step), 0

    def failing(*arguments):
        nonlocal count
        count += 1
        if count == 5:  # sweep.json and three records are written before
            raise OSError(28, "No space left on device")
        return real(*arguments)

    monkeypatch.setattr(files.os, step, failing)
    with pytest.raises(OSError, match="No space left"):
        _run(tmp_path, exact_draws=0)
    monkeypatch.undo()
    assert not [p for p in tmp_path.rglob("*") if p.name.endswith(".tmp")]
    assert len([json.loads(p.read_text()) for p in _records(tmp_path)]) == 3
    assert _run(tmp_path, exact_draws=0).reused == 3


def test_full_disk_leaves_every_stored_record_readable(tmp_path):
    """The child may write no file beyond 300 bytes more than its largest record: the kernel refuses the write itself."""
    resource = pytest.importorskip("resource", reason="file size limits are POSIX")
    out = tmp_path / "out"
    _run(out, seeds=1, steps=[3])
    kept = {path: path.read_bytes() for path in _records(out)}

    def limit():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # the write fails with an error, as on a full disk
        resource.setrlimit(resource.RLIMIT_FSIZE, (64, 64))

    done = subprocess.run(
        [
            sys.executable,
            *(
                f"-m exactdiffusion sweep --target two_moons --sampler {','.join(SMALL['sampler'])} "
                f"--steps 3,5 --seeds 2 --samples 60 --out {out}"
            ).split(),
        ],
        env={**_environment(), "PYTHONDONTWRITEBYTECODE": "1"},
        preexec_fn=limit,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1, done.stderr
    assert re.fullmatch(r"exactdiffusion sweep: [^\n]*File too large[^\n]*\n", done.stderr), done.stderr
    assert {path: path.read_bytes() for path in _records(out)} == kept
    assert not [p for p in out.rglob("*") if p.name.endswith(".tmp")]
    assert _run(out).reused == 3


def test_interrupt_keeps_what_is_stored_and_says_how_to_go_on(tmp_path):
    out = tmp_path / "out"
    running = subprocess.Popen(
        _command(out),
        start_new_session=True,
        env=_environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    limit = time.monotonic() + 120
    while running.poll() is None and len(_records(out)) < 2 and time.monotonic() < limit:
        time.sleep(0.002)
    running.send_signal(signal.SIGINT)  # Ctrl-C
    _, text = running.communicate(timeout=120)
    if running.returncode == 0:
        pytest.skip("the sweep ended before it could be interrupted")
    assert (running.returncode, text.count("\n")) == (130, 1), text
    kept = len([json.loads(p.read_text()) for p in _records(out)])
    assert not [p for p in out.rglob("*") if p.name.endswith(".tmp")]
    done = subprocess.run(_command(out), check=True, capture_output=True, text=True, env=_environment())
    assert f"{32 - kept} computed, {kept} reused" in done.stdout


SLOW = """
import ctypes, os, time
from exactdiffusion import samplers

def slow(law, grid, x):
    if grid.N < 5 and os.environ.get("SLOW"):  # the longest cells are run first
        (time.sleep if os.environ["SLOW"] == "python" else ctypes.PyDLL(None).sleep)(3600)  # PyDLL holds the interpreter
    yield from samplers.ddim(law, grid, x)
"""


def _session(number):
    """Processes of a session that still run, each with its command."""
    text = subprocess.run(["ps", "-eo", "sid=,stat=,pid=,args="], check=True, capture_output=True, text=True).stdout
    rows = [line.split(None, 3) for line in text.splitlines()]
    return [row[2:] for row in rows if row[0] == str(number) and not row[1].startswith("Z")]


@pytest.mark.skipif(shutil.which("ps") is None or os.name != "posix", reason="needs POSIX and ps")
@pytest.mark.parametrize("kind", ["python", "compiled"])
def test_workers_of_a_killed_sweep_end_within_seconds(tmp_path, kind):
    """SIGKILL of the driver alone: its workers are in the middle of cells that take an hour. Then resume."""
    if kind == "compiled" and not sys.platform.startswith("linux"):
        pytest.skip("code that holds the interpreter is interrupted by the kernel, on Linux only")
    sampler = tmp_path / "slow.py"
    sampler.write_text(SLOW)

    def command(out, jobs):
        return [
            sys.executable,
            *(
                f"-m exactdiffusion sweep --target two_moons:n=20 --jobs {jobs} --sampler "
                f"{sampler}:slow --steps 2,3,6,7 --seeds 2 --samples 9 --exact-draws 2 --out {tmp_path / out}"
            ).split(),
        ]

    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    running = subprocess.Popen(command("out", "2"), start_new_session=True, env={**_environment(), "SLOW": kind}, **quiet)
    try:
        limit = time.monotonic() + 120
        while running.poll() is None and len(_records(tmp_path / "out")) < 4 and time.monotonic() < limit:
            time.sleep(0.02)
        time.sleep(0.5)
        assert len(_session(running.pid)) >= 3
        running.kill()
        running.wait()
        limit = time.monotonic() + 5
        while _session(running.pid) and time.monotonic() < limit:
            time.sleep(0.1)
        assert _session(running.pid) == []
    finally:
        if _session(running.pid):
            os.killpg(running.pid, signal.SIGKILL)
    kept = len([json.loads(p.read_text()) for p in _records(tmp_path / "out")])
    assert kept == 4
    if kind == "python":
        done = subprocess.run(command("out", "1"), check=True, capture_output=True, text=True, env=_environment())
        assert "4 computed, 4 reused" in done.stdout
        subprocess.run(command("whole", "1"), check=True, capture_output=True, env=_environment())
        assert (tmp_path / "out" / "results.csv").read_bytes() == (tmp_path / "whole" / "results.csv").read_bytes()


def test_damaged_record_is_reported_and_not_used(tmp_path):
    _run(tmp_path, seeds=1)
    first, second = sorted(_records(tmp_path))[:2]
    first.write_text(second.read_text())
    with pytest.raises(RuntimeError, match=first.name):
        _run(tmp_path, seeds=1)


@pytest.mark.parametrize(
    "change",
    [
        lambda r: "",
        lambda r: "[" * 100_000,
        lambda r: "[1]",
        lambda r: "\udcff".encode("utf-8", "surrogateescape"),
        lambda r: json.dumps({**r, "value": "__import__('os').system('true')"}),
        lambda r: json.dumps({**r, "value": None}),
        lambda r: json.dumps(r).replace(f'"value": {json.dumps(r["value"])}', '"value": NaN'),
        lambda r: json.dumps(r).replace(f'"value": {json.dumps(r["value"])}', '"value": 1e999'),
        lambda r: json.dumps({**r, "seed": 7}),
        lambda r: json.dumps({**r, "target": "../../etc"}),
        lambda r: json.dumps({k: v for k, v in r.items() if k != "rung"}),
        lambda r: json.dumps({**r, "oracle_calls": True}),
        lambda r: json.dumps({**r, "method": "x" * (sweep.MOST_BYTES + 1)}),
    ],
)
def test_hostile_record_is_a_clear_error(tmp_path, change):
    _run(tmp_path, seeds=1, sampler="ddim", steps=3)
    (path,) = _records(tmp_path)
    text = change(json.loads(path.read_text()))
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(sweep.DamagedRecord, match=rf"{path.name}.*remove it"):
        _run(tmp_path, seeds=1, sampler="ddim", steps=3)
    path.unlink()
    assert _run(tmp_path, seeds=1, sampler="ddim", steps=3).computed == 1


def test_link_out_of_the_folder_is_not_followed(tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "records").symlink_to(outside, target_is_directory=True)
    with pytest.raises(ValueError, match=r"\bout\b"):
        _run(tmp_path / "out", seeds=1)
    assert list(outside.rglob("*")) == []


def test_table_is_tidy_for_pandas_and_polars(reference):
    table, rows = reference[1].table, reference[1].rows
    assert list(rows[0]) == list(sweep.COLUMNS)
    times = files.read_table(reference[1].timings)
    assert [[t[k] for k in ("sampler", "steps", "seed")] for t in times] == [
        [r[k] for k in ("sampler", "steps", "seed")] for r in rows
    ]
    checked = 0
    for name in ("pandas", "polars"):
        try:
            library = __import__(name)
        except ImportError:
            continue
        frame = library.read_csv(table)
        assert list(frame.columns) == list(sweep.COLUMNS)
        assert list(frame["value"]) == [r["value"] for r in rows]
        assert frame["steps"].dtype in ("int64", getattr(library, "Int64", None))
        checked += 1
    if not checked:
        pytest.skip("neither pandas nor polars is installed")


# -- backends -------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def cluster():
    distributed = pytest.importorskip("distributed", reason="the extra 'cluster' (dask) is not installed")
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of dask's own start: ports in use, event loops
        with distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as running:
            yield running


@pytest.mark.filterwarnings("ignore")
def test_dask_gives_the_bytes_of_one_process_and_resumes(reference, cluster, tmp_path):
    jobs = sweep.Cluster("dask", cluster.scheduler_address)
    result = _run(tmp_path, jobs=jobs)
    assert result.computed == 12
    assert result.table.read_bytes() == reference[1].table.read_bytes()
    again = _run(tmp_path, jobs=jobs, seeds=3)
    assert (again.computed, again.reused) == (6, 12)
    assert "'backend': 'dask'" in str(json.loads(again.provenance.read_text()))


def test_worker_with_other_code_is_refused(monkeypatch):
    cell = sweep.Cell("two_moons", "ddim", "vp_linear", 3, 0, 5, "gaussian")
    names = ("two_moons", "ddim", "vp_linear")
    codes = {names: {**sweep._code(*names), "source": "an older one"}}
    with pytest.raises(RuntimeError, match="another source"):
        sweep._group([(cell, ["w2"], ["k"])], codes, None, 0)


@pytest.mark.parametrize(
    ("arguments", "named"),
    [(("slurm",), "backend"), (("dask",), "scheduler"), (("dask", 8786), "scheduler"), (("ray", 8786), "scheduler")],
)
def test_bad_cluster_is_named(arguments, named):
    with pytest.raises(ValueError, match=rf"^{named}: got "):
        sweep.Cluster(*arguments)


def test_scheduler_on_the_command_line_needs_a_cluster(capsys):
    words = "sweep --target rings --sampler ddim --steps 2 --scheduler tcp://x:1"
    assert cli.main(words.split()) == 2
    assert "scheduler: got 'tcp://x:1'; expected --backend dask or --backend ray beside it" in capsys.readouterr().err


def test_bad_number_of_runs_is_named():
    with pytest.raises(ValueError, match=r"^exact_draws: got -1"):
        _run(None, exact_draws=-1)


def test_absent_ray_and_dask_say_what_to_install(monkeypatch):
    for name, module in (("ray", "ray"), ("dask", "dask.distributed")):
        monkeypatch.setitem(sys.modules, module, None)
        with pytest.raises(ValueError, match=rf"backend: got '{name}'; expected an installed {name}: pip install"):
            _run(None, jobs=sweep.Cluster(name, "tcp://127.0.0.1:1"))


def test_groups_hold_neighbours_that_differ_in_the_seed_alone():
    cells = [sweep.Cell("t", s, "g", n, seed, 1, "gaussian") for s in "ab" for n in (1, 2) for seed in range(40)]
    groups = sweep._groups(cells, 2)
    assert sorted(i for g in groups for i in g) == list(range(160))
    assert all(len({sweep._but_seed(cells[i]) for i in g}) == 1 for g in groups)
    assert 16 <= len(groups) < 40


BAD = [
    ({"target": "no_such_target"}, "target"),
    ({"target": ""}, "target"),
    ({"target": []}, "target"),
    ({"target": "no_such_module_at_all:law"}, "target"),
    ({"target": "math:no_such_function"}, "target"),
    ({"target": "two_moons:n_points=3"}, "target"),
    ({"sampler": "no_such_sampler"}, "sampler"),
    ({"sampler": "ddim:eta=0.5"}, "sampler"),
    ({"sampler": ["ddim", "ddim"]}, "sampler"),
    ({"sampler": "gradient_estimation:gamma=x"}, "gamma"),
    ({"sampler": "gradient_estimation:gamma=1:gamma=2"}, "sampler"),
    ({"schedule": "no_such_schedule"}, "schedule"),
    ({"schedule": "log_linear:sigma_max=-1"}, "sigma_max"),
    ({"schedule": "log_linear:sigma=1"}, "schedule"),
    ({"sampler": "euler_maruyama", "schedule": "log_linear"}, "grid"),
    ({"steps": 0}, "steps"),
    ({"steps": [5, 5]}, "steps"),
    ({"steps": 2.5}, "steps"),
    ({"steps": []}, "steps"),
    ({"seeds": 0}, "seeds"),
    ({"seeds": [-1]}, "seeds"),
    ({"seeds": True}, "seeds"),
    ({"samples": 0}, "samples"),
    ({"jobs": 0}, "jobs"),
    ({"start": "warm"}, "start"),
    ({"metric": "fid"}, "metric"),
    ({"metric": "distance", "target": "gaussian"}, "metric"),
]


@pytest.mark.parametrize(("change", "named"), BAD)
def test_bad_input_names_the_argument_before_anything_runs(tmp_path, change, named):
    with pytest.raises(ValueError, match=rf"\b{named}\b"):
        _run(tmp_path / "out", **change)
    assert not (tmp_path / "out").exists()


def test_values_agree_with_an_independent_prototype(chance):
    """W2 on the dino against values computed by another implementation (mean and sd over 40 seeds of 1000 samples).

    Euler-Maruyama with steps beta(t) dt and noise in the last step; probability flow stopped at t = 0.001.
    """
    pytest.importorskip("sklearn")
    from exactdiffusion.datasets import DatasetUnavailable

    try:
        sweep.law_of("dino")
    except DatasetUnavailable:
        pytest.skip("the dino is neither in EXACTDIFFUSION_DATA nor downloadable")
    draw = chance(comparisons=6)
    seeds = [draw.seed(k) % 2**32 for k in range(4)]
    canonical = sweep.sweep(target="dino", sampler="euler_maruyama:step=right", steps=[5, 10, 20], seeds=seeds)
    flow = sweep.sweep(
        target="dino",
        sampler="probability_flow:step=right",
        steps=[5, 10, 20],
        seeds=seeds,
        schedule="vp_linear:eps=0.001:final_zero=true",
    )
    expected = {
        'euler_maruyama:step="right"': {5: (1.067, 0.024), 10: (0.258, 0.010), 20: (0.142, 0.004)},
        'probability_flow:step="right"': {5: (0.123, 0.006), 10: (0.100, 0.007), 20: (0.076, 0.007)},
    }
    for rows in (canonical.rows, flow.rows):
        for steps in (5, 10, 20):
            found = np.mean([r["value"] for r in rows if r["steps"] == steps])
            mean, sd = expected[rows[0]["sampler"]][steps]
            # a mean over 4 seeds and one over 40, whose sd this is; and the printed digits
            draw.normal(
                found,
                mean,
                sd * np.sqrt(1 / 4 + 1 / 40),
                degrees=39,
                tol=5e-4,
                on=f"W2 on the dino, {rows[0]['sampler']}, {steps} steps",
            )


def test_a_file_is_replaced_by_the_rename_alone(tmp_path, monkeypatch):
    """A process that dies just before the rename leaves the old content and no half of the new one."""
    path = tmp_path / "record.json"
    files.write_whole(path, "old")

    def dies(source, target):
        assert path.read_text() == "old"
        raise KeyboardInterrupt

    monkeypatch.setattr(files.os, "replace", dies)
    with pytest.raises(KeyboardInterrupt):
        files.write_whole(path, "new content")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]
