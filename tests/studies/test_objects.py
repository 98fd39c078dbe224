"""Objects in a sweep: digests that see every part of what a number depends on, and the bytes of one process everywhere."""

import functools
import json
import linecache
import math
import os
import shutil
import signal
import subprocess
import sys
import time
import types

import numpy as np
import pytest

import exactdiffusion as ed
from exactdiffusion import Denoiser, GaussianMixture, PointCloud, cli, datasets, laws, samplers, schedules
from exactdiffusion._core import files
from exactdiffusion.studies import objects, results, sweep, sweepfile

LAW = GaussianMixture(None, [[-1.0, 0.0], [1.0, 2.0]], 0.1)


def _scaled(factor):
    def mine(law, grid, x):
        for state in samplers.ddim(law, grid, x):
            yield factor * state

    return mine


def _with_default(law, grid, x, factor=1.5):
    return samplers.ddim(law, grid, factor * x)


def _spread(run):
    return float(np.abs(run.samples).max())


def _shrunk(x, sigma):
    return x / (1 + np.reshape(sigma, (-1, 1)) ** 2)


class Law:
    """A law of a user's own: a Gaussian with another name."""

    def __init__(self, variance):
        self.variance, self.dim = variance, 2
        self.table = {"inner": [np.arange(3.0)]}

    def noised(self, scale=1.0, sigma=0.0):
        return GaussianMixture([1.0], np.zeros((1, 2)), self.variance).noised(scale, sigma)

    def sample(self, n, rng):
        return math.sqrt(self.variance) * np.random.default_rng(rng).standard_normal((n, 2))


JOB = {"steps": 4, "seeds": 2, "samples": 20, "exact_draws": 3, "schedule": schedules.log_linear}


# ------------------------------------------------------------------------------------------------ digests


def _changed_table():
    law = Law(1.0)
    law.table["inner"][0][1] = 7.0
    return law


CONSTANT = 1.0


def _reads_a_global(law, grid, x):
    return samplers.ddim(law, grid, CONSTANT * x)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (lambda: _scaled(1.0), lambda: _scaled(1.5)),
        (lambda: _scaled(np.ones(2)), lambda: _scaled(np.array([1.0, np.nextafter(1.0, 2.0)]))),
        (lambda: functools.partial(_with_default, factor=1.0), lambda: functools.partial(_with_default, factor=2.0)),
        (lambda: Law(1.0), lambda: Law(1.0 + 1e-15)),
        (lambda: Law(1.0), _changed_table),
        (lambda: PointCloud(np.eye(2)), lambda: PointCloud(np.eye(2), [0.4, 0.6])),
        (lambda: np.eye(2), lambda: np.eye(2)[::-1]),
        (lambda: schedules.edm(5), lambda: schedules.edm(5, sigma_max=70.0)),
        (lambda: Denoiser(_shrunk, 2), lambda: Denoiser(_shrunk, 3)),
        (lambda: (lambda x: x + 1, 0)[0], lambda: (lambda x: x - 1, 0)[0]),
    ],
)
def test_digest_sees_each_part_and_repeats(one, other):
    assert objects.digest(one()) == objects.digest(one())
    assert objects.digest(one()) != objects.digest(other())


def test_two_functions_on_one_line_have_two_digests():
    up, down = (lambda x: x + 1), (lambda x: x - 1)
    assert objects.digest(up) != objects.digest(down)


def test_digest_sees_a_global_and_a_default(monkeypatch):
    before = objects.digest(_reads_a_global)
    monkeypatch.setattr(sys.modules[__name__], "CONSTANT", 2.0)
    assert objects.digest(_reads_a_global) != before
    first = objects.digest(_with_default)
    monkeypatch.setattr(_with_default, "__defaults__", (1.25,))
    assert objects.digest(_with_default) != first


@pytest.mark.parametrize("name", laws.REGISTRY)
def test_every_law_of_the_package_has_a_digest_that_use_does_not_change(name):
    law = laws.REGISTRY[name]()
    if type(law).__name__ not in objects._DATA_CLASSES:
        pytest.skip("a law that is refused unless its attributes are plain: see the next test")
    before = objects.digest(law)
    law.noised(1.0, 0.5).denoise(np.zeros((2, law.dim)))
    assert objects.digest(law) == before


def test_digest_of_another_process_is_the_same(tmp_path):
    """A pickle, an address or the order of a set would differ."""
    path = tmp_path / "mine.py"
    path.write_text(
        "import numpy as np\nfrom exactdiffusion import samplers\nfrom exactdiffusion.studies.objects import digest\n"
        "table = np.arange(4.0)\n\ndef mine(law, grid, x, names={'b', 'a', 'c'}):\n"
        "    return samplers.ddim(law, grid, x + table[0])\n"
        "\nif __name__ == '__main__':\n    print(digest(mine))\n"
    )
    found = {
        subprocess.run(
            [sys.executable, str(path)],
            capture_output=True,
            text=True,
            check=True,
            env={**os.environ, "PYTHONHASHSEED": seed},
        ).stdout
        for seed in ("1", "2", "3")
    }
    assert len(found) == 1
    assert len(found.pop()) == 65


typed: dict = {}
exec("def typed_in(law, grid, x):\n    return iter([x])", typed)


def _fitted(kind, change=0.0):
    """An estimator of scikit-learn on twenty points of which one may be moved, as a denoiser."""
    from sklearn import ensemble, gaussian_process, linear_model, neighbors, neural_network, pipeline, preprocessing

    makers = {
        "network": lambda: neural_network.MLPRegressor(hidden_layer_sizes=(4,), tol=1e9, n_iter_no_change=1, random_state=0),
        "forest": lambda: ensemble.RandomForestRegressor(3, bootstrap=False, random_state=0),
        "boosted": lambda: ensemble.GradientBoostingRegressor(n_estimators=3, random_state=0),
        "histograms": lambda: ensemble.HistGradientBoostingRegressor(max_iter=3, min_samples_leaf=2, random_state=0),
        "neighbours": lambda: neighbors.KNeighborsRegressor(3, algorithm="kd_tree"),
        "process": lambda: gaussian_process.GaussianProcessRegressor(optimizer=None, random_state=0),
        "pipeline": lambda: pipeline.make_pipeline(preprocessing.StandardScaler(), linear_model.Ridge()),
    }
    x = np.random.default_rng(0).standard_normal((20, 2))
    model = makers[kind]().fit(x, x[:, 0] + change * (np.arange(20) == 7))

    def denoise(x, sigma):
        first = model.predict(np.column_stack([x[:, 0], np.broadcast_to(np.ravel(sigma), len(x))]))
        return np.reshape(first, (-1, 1))

    return denoise


@pytest.mark.parametrize("kind", ["network", "forest", "boosted", "histograms", "neighbours", "process", "pipeline"])
def test_estimators_count_by_what_they_learned(kind):
    one, again, other = _fitted(kind), _fitted(kind), _fitted(kind, 1e-3)
    before = objects.digest(one)
    one(np.zeros((3, 1)), 1.0)
    assert objects.digest(one) == objects.digest(again) == before
    assert objects.digest(other) != before


def test_sweep_of_an_estimator_resumes(tmp_path):
    job = {"target": {"net": (Denoiser(_fitted("network"), 1), [[-1.0], [1.0]])}, "sampler": "ddim", "out": tmp_path, **JOB}
    first, again = ed.sweep(**job), ed.sweep(**job, jobs=2)
    assert (first.computed, again.computed, again.reused) == (2, 0, 2)
    assert ed.sweep(**{**job, "target": {"net": (Denoiser(_fitted("network", 1e-3), 1), [[-1.0], [1.0]])}}).computed == 2


def _cell(source):
    """A function that a cell of a notebook defines: IPython files the source of the cell where `inspect` finds it."""
    name = f"/tmp/ipykernel_1/{abs(hash(source))}.py"
    linecache.cache[name] = (len(source), None, source.splitlines(True), name)
    names = {"samplers": samplers, "__name__": "__main__"}
    exec(compile(source, name, "exec"), names)
    return names["mine"]


def test_function_of_a_notebook_is_accepted_and_seen_to_change(monkeypatch):
    """Also where `python -m` left the file of an installed module in the main one."""
    monkeypatch.setattr(sys.modules["__main__"], "__file__", np.__file__, raising=False)
    source = "def mine(law, grid, x):\n    return samplers.ddim(law, grid, 1.0 * x)\n"
    one, edited = _cell(source), _cell(source.replace("1.0", "1.5"))
    assert objects.digest(one) == objects.digest(_cell(source)) != objects.digest(edited)
    rows = ed.sweep(target=LAW, sampler=[one, edited], **JOB).rows
    assert len({row["value"] for row in rows if row["seed"] == 0}) == 2


class _Stateful:
    def __init__(self):
        self.calls = 0

    def run(self, law, grid, x):
        self.calls += 1
        return samplers.ddim(law, grid, x)


RNG = np.random.default_rng(0)


def _draws(law, grid, x, rng=RNG):
    return samplers.ddim(law, grid, x + rng.standard_normal(x.shape))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"sampler": typed["typed_in"]}, r"sampler: got <function typed_in.*source is in no file.*FILE\.py:NAME"),
        ({"sampler": _Stateful().run}, r"sampler: .*bound method .*state that may change.*FILE\.py:NAME"),
        ({"sampler": _draws}, r"sampler: .*random generator.*noise="),
        ({"sampler": iter}, r"sampler: got <built-in function iter>"),
        ({"sampler": 3}, r"sampler: got 3; expected a name or a function"),
        ({"schedule": 3.0}, r"schedule: got 3\.0; expected a name, a Grid or a function"),
        ({"target": Denoiser(_shrunk, 2)}, r"target: .*\(denoiser, data\)"),
        ({"target": (Denoiser(_shrunk, 3), LAW)}, r"target: .*dimension of its data, 2"),
        ({"target": {"a b": LAW}}, r"target: got 'a b'; expected names of letters"),
        ({"target": []}, r"target: got \[\]; expected at least one"),
        ({"sampler": [samplers.heun, "heun"]}, r"sampler: .*each one once"),
        ({"schedule": schedules.edm(5)}, r"steps: got 4; expected 5"),
        ({"target": "LAW@0123456789ab"}, r"target: got 'LAW@0123456789ab'; expected the label of an object"),
        ({"metric": lambda run: "three"}, r"metric: .*expected a number, or a dict"),
    ],
)
def test_what_cannot_be_kept_is_refused_with_what_would_do(change, words):
    with pytest.raises(ValueError, match=words):
        ed.sweep(**{"target": LAW, "sampler": "ddim", **JOB, **change})


# ------------------------------------------------------------------------------------------------ sweeps


def _objects_job(out=None, **changes):
    learned = (Denoiser(_shrunk, 2), LAW)
    job = {
        "target": {"mixture": LAW, "corners": np.eye(2), "learned": learned, "own": Law(1.5)},
        "sampler": [samplers.heun, _scaled(1.01), functools.partial(samplers.gradient_estimation, gamma=1.5)],
        "metric": ["w2", _spread],
    }
    return ed.sweep(**{**job, **JOB, "out": out, **changes})


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    return _objects_job(tmp_path_factory.mktemp("alone"))


def test_objects_score_what_their_names_score(alone):
    assert {r["sampler"].partition("@")[0] for r in alone.rows} == {"heun", "mine", "gradient_estimation:gamma=1.5"}
    named = ed.sweep(target="gaussian", sampler=["heun", "ddim"], **JOB)
    given = ed.sweep(target=datasets.TARGETS["gaussian"].law(), sampler=[samplers.heun, samplers.ddim], **JOB)
    assert [r["value"] for r in given.rows] == [r["value"] for r in named.rows]


def test_learned_denoiser_moves_the_samples_and_is_judged_by_its_data(alone):
    def value(target, metric):
        return [
            r["value"]
            for r in alone.rows
            if r["target"].startswith(target) and r["metric"].lstrip("_").startswith(metric) and r["sampler"] == "heun"
        ]

    # the denoiser of N(0, I) leaves samples of it
    x = ed.Noise(0).initial(20, 2)
    grid = schedules.log_linear(4)
    expected = samplers.final(samplers.heun(GaussianMixture([1.0], np.zeros((1, 2)), 1.0), grid, grid.sigma[0] * x))
    assert abs(value("learned", "spread")[0] - np.abs(expected).max()) <= 1e-12
    assert value("learned", "w2") != value("mixture", "w2")


@pytest.mark.parametrize("jobs", [1, 2])
def test_objects_resume_and_give_the_bytes_of_one_process(alone, tmp_path, jobs):
    first = _objects_job(tmp_path, seeds=1, jobs=jobs)
    whole = _objects_job(tmp_path, jobs=jobs)
    assert (first.computed, whole.computed, whole.reused) == (24, 24, 24)
    assert whole.rows == alone.rows
    assert whole.table.read_bytes() == alone.table.read_bytes()
    again = _objects_job(tmp_path, jobs=jobs, sampler=[_scaled(1.01), _scaled(1.02)])
    assert (again.computed, again.reused) == (16, 16)


def test_dask_gives_the_bytes_of_one_process_for_objects(alone, tmp_path):
    distributed = pytest.importorskip("dask.distributed")
    with distributed.LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address=None, host="127.0.0.1") as cluster:
        done = _objects_job(tmp_path, jobs=sweep.Cluster("dask", cluster.scheduler_address))
    assert done.computed == 48
    assert done.table.read_bytes() == alone.table.read_bytes()


class _Ray:
    """The part of ray that a sweep uses, in this process; tasks are done in another order than they were given."""

    def __init__(self):
        self.calls = []

    def is_initialized(self):
        return False

    def init(self, address):
        self.calls.append(address)

    def shutdown(self):
        self.calls.append("shutdown")

    def remote(self, function):
        return types.SimpleNamespace(remote=lambda *arguments: functools.partial(function, *arguments))

    def wait(self, tasks):
        return tasks[-1:], tasks[:-1]

    def get(self, tasks):
        return [task() for task in tasks]


def test_ray_gives_the_bytes_of_one_process_for_objects(alone, tmp_path, monkeypatch):
    ray = _Ray()
    monkeypatch.setitem(sys.modules, "ray", ray)
    done = _objects_job(tmp_path, jobs=sweep.Cluster("ray"))
    assert done.computed == 48
    assert done.table.read_bytes() == alone.table.read_bytes()
    assert ray.calls == [None, "shutdown"]


@pytest.mark.deep
def test_a_ray_of_several_processes_gives_the_bytes_of_one(alone, tmp_path):
    pytest.importorskip("ray", reason="a cluster of ray: pip install ray")
    done = _objects_job(tmp_path, jobs=sweep.Cluster("ray"))
    assert done.table.read_bytes() == alone.table.read_bytes()


KILLED = """
import sys, numpy as np, exactdiffusion as ed
from exactdiffusion import samplers

def mine(law, grid, x):
    for state in samplers.ddim(law, grid, x):
        yield 1.01 * state

if __name__ == "__main__":
    law = ed.GaussianMixture(None, np.random.default_rng(0).standard_normal((6, 2)), 0.1)
    ed.sweep(target={"law": law}, sampler=[samplers.heun, mine], steps=[3, 4, 5], seeds=4, samples=300, exact_draws=3,
             jobs=int(sys.argv[2]), out=sys.argv[1])
"""


def _running(session):
    """How many processes of a session run."""
    text = subprocess.run(["ps", "-eo", "sid=,stat="], check=True, capture_output=True, text=True).stdout
    return sum(line.split()[0] == str(session) and not line.split()[1].startswith("Z") for line in text.splitlines())


@pytest.mark.skipif(shutil.which("ps") is None or os.name != "posix", reason="needs POSIX and ps")
def test_sweep_of_objects_killed_and_resumed_has_the_bytes_of_one_run(tmp_path):
    """SIGKILL of the driver alone; its workers have ended 5 s later."""
    script = tmp_path / "killed.py"
    script.write_text(KILLED)
    subprocess.run([sys.executable, str(script), str(tmp_path / "whole"), "1"], check=True)
    command = [sys.executable, str(script), str(tmp_path / "killed"), "2"]
    process = subprocess.Popen(command, start_new_session=True, stderr=subprocess.DEVNULL)
    records = tmp_path / "killed" / "records"
    deadline = time.monotonic() + 120
    while len(list(records.glob("*/*.json"))) < 4 and time.monotonic() < deadline and process.poll() is None:
        time.sleep(0.02)
    assert _running(process.pid) >= 3
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    deadline = time.monotonic() + 5
    while _running(process.pid) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert _running(process.pid) == 0
    kept = len(list(records.glob("*/*.json")))
    assert 4 <= kept < 24
    subprocess.run(command, check=True)
    assert json.loads((tmp_path / "killed" / "provenance.json").read_text())["reused"] >= kept
    tables = [(tmp_path / name / "results.csv").read_bytes() for name in ("whole", "killed")]
    assert tables[0] == tables[1]


# ------------------------------------------------------------------------------------------ folders, files, command line


def test_folder_of_an_unknown_format_is_refused(tmp_path):
    _objects_job(tmp_path, target=LAW, seeds=1)
    assert files.read_json(tmp_path / "sweep.json") == {"format": results.FORMAT}
    results.load(tmp_path)
    for unknown in (results.FORMAT + 1, "2", True, None):
        (tmp_path / "sweep.json").write_text(json.dumps({"format": unknown}))
        with pytest.raises(ValueError, match=r"dir: .*format 2 or less; it says format"):
            results.load(tmp_path)
        with pytest.raises(ValueError, match=r"dir: .*format 2 or less; it says format"):
            _objects_job(tmp_path, target=LAW, seeds=1)


def test_command_line_takes_clouds_and_functions_of_a_file(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    np.save("cloud.npy", rng.standard_normal((9, 2)))
    np.savetxt("cloud.csv", np.load("cloud.npy"), delimiter=",", fmt="%.17g")
    (tmp_path / "mine.py").write_text(
        "import numpy as np\nfrom exactdiffusion import schedules\n"
        "def net(x, sigma):\n    return x / (1 + np.reshape(sigma, (-1, 1)) ** 2)\n"
        "def widest(run):\n    return float(np.abs(run.samples).max())\n"
        "def halving(N, base=2.0):\n    return schedules.Grid(np.ones(N + 1), 8.0 * base ** -np.arange(N + 1.0))\n"
    )
    targets = "cloud.npy,cloud.csv,cloud.npy:denoiser=mine.py:net"
    kinds = "--sampler ddim --schedule mine.py:halving:base=3 --metric w2,mine.py:widest"
    command = f"sweep --target {targets} {kinds} --steps 4 --seeds 1 --samples 8 --exact-draws 2 --out out".split()
    assert cli.main(command) == 0
    rows = results.load("out").rows
    values = {(r["target"], r["metric"]): r["value"] for r in rows}
    assert values["cloud.npy", "w2"] == values["cloud.csv", "w2"]
    assert values['cloud.npy:denoiser="mine.py:net"', "w2"] != values["cloud.npy", "w2"]
    assert values['cloud.npy:denoiser="mine.py:net"', "mine.py:widest"] != values["cloud.npy", "mine.py:widest"]

    # an edited file of points is another target
    np.save("cloud.npy", 2 * np.load("cloud.npy"))
    assert cli.main(command) == 0
    edited = {(r["target"], r["metric"]): r["value"] for r in results.load("out").rows}
    assert edited["cloud.npy", "w2"] != values["cloud.npy", "w2"]
    capsys.readouterr()

    # points are never unpickled
    np.save("cloud.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    assert cli.main(command) == 2
    assert "target" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        cli.main(["sweep", "--help"])
    assert "the file is run" in " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize("line", ['target = "digits:denoiser=mine.py:net"', 'target = "digits"\nmetric = "mine.py:widest"'])
def test_sweep_file_names_no_code_unless_allowed(tmp_path, line):
    path = tmp_path / "one.toml"
    path.write_text(f'{line}\nsampler = "ddim"\nsteps = 5\n')
    with pytest.raises(ValueError, match=r"own=True"):
        sweepfile.read(path)
    assert sweepfile.read(path, own=True)
    path.write_text('target = "cloud.npy"\nsampler = "ddim"\nsteps = 5\n')
    assert sweepfile.read(path).grids[0]["target"] == "cloud.npy"
