"""The large-dimension experiment, small: what it computes on each backend, what it records, how it ends without a GPU."""

import importlib.util
import json

import numpy as np
import pytest

from exactdiffusion._core.paths import experiments_dir
from exactdiffusion.studies import figures

SCRIPT = experiments_dir() / "large_dimension.py"
SMALL = ["--scale", "0.003", "--repeats", "1"]


@pytest.fixture(scope="module")
def script():
    specification = importlib.util.spec_from_file_location("large_dimension", SCRIPT)
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


def test_it_is_not_taken_for_a_figure():
    assert "large_dimension" not in figures.experiments()


def _judge(record, script, exact):
    """What every record holds; ``exact`` are the rows of NumPy, which the others must reproduce."""
    assert record["agrees"]
    assert record["tolerance"] == script.TOLERANCE
    assert {"device", "backend", "ceilings", "versions", "source_sha256", "sizes", "machine"} <= set(record)
    assert min(record["ceilings"].values()) > 0
    rows = record["rows"]
    assert {r["case"] for r in rows} == set(script.CASES)
    assert any("filter_agreement" in r for r in rows)
    for r in rows:
        for name in ("agreement_cpu", "agreement_differences", "filter_agreement"):
            assert r.get(name, 0.0) <= script.TOLERANCE, r
        assert all(np.isfinite(v) for v in r.values() if isinstance(v, float)), r
    if exact is not None:
        # The numbers of a curve are those of NumPy: rounding through 10 steps of an extrapolating sampler.
        assert len(rows) == len(exact)
        for r, e in zip(rows, exact):
            for name in ("w2_to_support", "mean", "largest"):
                assert abs(r.get(name, 0.0) - e.get(name, 0.0)) <= 1e-10 * max(1.0, abs(e.get(name, 0.0))), (r, e)


@pytest.fixture(scope="module")
def numpy_record(script, tmp_path_factory):
    path = tmp_path_factory.mktemp("record") / "cpu.json"
    assert script.main(["--backend", "numpy", *SMALL, "--output", str(path)]) == 0
    return path


def test_numpy(script, numpy_record):
    _judge(json.loads(numpy_record.read_text())["numpy"], script, None)


def test_torch_on_the_cpu(script, numpy_record):
    pytest.importorskip("torch", reason="torch is not installed: pip install torch==2.13.0 (CPU build)")
    assert script.main(["--backend", "torch", "--device", "cpu", *SMALL, "--output", str(numpy_record)]) == 0
    record = json.loads(numpy_record.read_text())
    assert set(record) == {"numpy", "torch"}  # the other backend's entry is kept
    _judge(record["torch"], script, record["numpy"]["rows"])


def test_a_disagreement_is_an_error(script, tmp_path, monkeypatch, capsys):
    """Against a wrong reference the run must say so and not end with 0."""
    monkeypatch.setattr(script, "by_differences", lambda points, x, sigma: points[: len(x)])
    arguments = ["--backend", "numpy", *SMALL, "--cases", "denoiser", "--output", str(tmp_path / "out.json")]
    assert script.main(arguments) == 1
    assert "agreement_differences" in capsys.readouterr().err
    assert not json.loads((tmp_path / "out.json").read_text())["numpy"]["agrees"]


def test_the_filter_keeps_what_counts(script):
    """Near ties: two atoms a hair apart, closer than single precision can tell; the answer is that of the exact denoiser."""
    device = script.Device("numpy")
    points = script.images(200, 8, 1)
    points[1] = points[0] + 1e-6
    x = 0.5 * (points[0] + points[1])[None] + 1e-7 * np.random.default_rng(2).standard_normal((5, points.shape[1]))
    got = script.Filter(device, points).denoise(x, 1e-5)
    assert script.relative(got, script.by_differences(points, x, 1e-5)) <= 1e-12
    assert script.Filter(device, points).denoise(x, 50.0) is None  # every atom is a candidate


def test_without_a_gpu_it_says_so(script, capsys, tmp_path):
    path = tmp_path / "none.json"
    for backend, wanted in (("torch", "torch"), ("cupy", "CuPy")):
        if _gpu(script, backend) is None:
            assert script.main(["--backend", backend, "--device", "cuda", *SMALL, "--output", str(path)]) == 3
            message = capsys.readouterr().err
            assert message.startswith("large_dimension: ")
            assert wanted in message
            assert "no GPU" in message or "not installed" in message
            assert not path.exists()
    assert script.main(["--backend", "numpy", "--device", "cuda", *SMALL]) == 3
    with pytest.raises(SystemExit):
        script.main(["--backend", "numpy", "--scale", "2"])
    with pytest.raises(SystemExit):
        script.main(["--backend", "numpy", "--cases", "denoizer"])


def _gpu(script, backend):
    try:
        return script.Device(backend, "cuda")
    except script.Unavailable:
        return None


@pytest.mark.gpu
@pytest.mark.parametrize("backend", ["torch", "cupy"])
def test_on_a_gpu(backend, script, numpy_record, tmp_path):
    if _gpu(script, backend) is None:
        pytest.skip(f"{backend} finds no GPU here")
    path = tmp_path / "gpu.json"
    assert script.main(["--backend", backend, "--device", "cuda", *SMALL, "--output", str(path)]) == 0
    _judge(json.loads(path.read_text())[backend], script, json.loads(numpy_record.read_text())["numpy"]["rows"])
