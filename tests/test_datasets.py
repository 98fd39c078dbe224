"""Loaders without a network: shapes, ranges, checksums, malformed and missing files; targets and their moments."""

import hashlib
import math
import os
import urllib.error
import warnings

import numpy as np
import pytest

from exactdiffusion import datasets
from exactdiffusion.datasets import TARGETS, DatasetUnavailable
from exactdiffusion.papers.projection.audit import load_cloud

EPS = np.finfo(float).eps
REAL_FOLDER = os.environ.get(datasets.FOLDER_VARIABLE)  # read before the fixture hides it


@pytest.fixture(autouse=True)
def no_network(monkeypatch):
    """Every way out of the machine raises; a test that needs one replaces it by its own."""
    import sklearn.datasets

    def refused(*args, **kwargs):
        raise urllib.error.URLError("no network in tests")

    monkeypatch.setattr(sklearn.datasets, "fetch_file", refused, raising=False)
    monkeypatch.setattr(sklearn.datasets, "fetch_openml", refused)
    monkeypatch.delenv(datasets.FOLDER_VARIABLE, raising=False)


@pytest.fixture
def rows(monkeypatch):
    """142 made-up rows whose checksums stand in for the dino's."""
    values = np.round(np.random.default_rng(0).uniform(0, 100, size=(142, 2)), 4)
    text = "".join(f"{x:.4f},{y:.4f}\n" for x, y in values)
    monkeypatch.setattr(datasets, "DINO_ROWS_SHA256", hashlib.sha256(text.encode()).hexdigest())
    return values


def write_csv(path, values, header="x,y"):
    path.write_text(header + "\n" + "".join(f"{x!r},{y!r}\n" for x, y in values.tolist()))


def write_tsv(path, values):
    lines = [f"dino\t{x:.4f}\t{y:.4f}\n" for x, y in values]
    other = [f"away\t{y:.4f}\t{x:.4f}\n" for x, y in values]
    path.write_text("dataset\tx\ty\n" + "".join(lines + other))
    return hashlib.sha256(path.read_bytes()).hexdigest()


# bundled images


def test_digits():
    x = datasets.digits()
    assert x.shape == (1797, 64)
    assert x.dtype == np.float64
    assert (x.min(), x.max()) == (-1.0, 1.0)
    assert np.array_equal(x * 8, np.round(x * 8))  # 17 grey levels
    assert np.all(x[:, 0] == -1)  # the corner pixel is always empty


def test_photo_patches():
    from sklearn.datasets import load_sample_images

    x = datasets.photo_patches()
    assert x.shape == (1950, 3072)
    assert (x.min(), x.max()) == (-1.0, 1.0)
    images = load_sample_images().images
    # 25 rows and 39 columns of patches per photograph; patch (3, 5) of the second one, flattened as an image
    expected = images[1][48:80, 80:112].reshape(-1) / 127.5 - 1
    assert np.array_equal(x[975 + 3 * 39 + 5], expected)
    assert datasets.photo_patches(8, 32).shape == (2 * 14 * 20, 192)


# the dino


def test_dino_true_values():
    if not REAL_FOLDER:
        pytest.skip("set EXACTDIFFUSION_DATA to a folder with DatasaurusDozen.tsv or dino.csv")
    x = datasets.dino(REAL_FOLDER)
    assert x.shape == (142, 2)
    raw = 50 * x + 50
    # published summary statistics of the dozen, to the digits given there
    assert np.all(np.abs(raw.mean(axis=0) - [54.263, 47.832]) < 5e-4)
    assert np.all(np.abs(raw.std(axis=0, ddof=1) - [16.765, 26.935]) < 5e-4)
    assert np.abs(x).max() <= 1
    assert TARGETS["dino"].dim == 2


def test_dino_from_a_folder_and_from_the_environment(tmp_path, rows, monkeypatch):
    write_csv(tmp_path / "dino.csv", rows)
    assert np.array_equal(datasets.dino(tmp_path), (rows - 50) / 50)
    assert np.array_equal(datasets.dino(str(tmp_path)), (rows - 50) / 50)
    monkeypatch.setenv(datasets.FOLDER_VARIABLE, str(tmp_path))
    assert np.array_equal(datasets.dino(), (rows - 50) / 50)
    (tmp_path / "dino.csv").write_bytes((tmp_path / "dino.csv").read_bytes().replace(b"\n", b"\r\n"))
    assert np.array_equal(datasets.dino(), (rows - 50) / 50)  # the checksum is of the rows


def test_dino_tsv_checksum(tmp_path, rows, monkeypatch):
    path = tmp_path / "DatasaurusDozen.tsv"
    digest = write_tsv(path, rows)
    with pytest.raises(ValueError, match=r"DatasaurusDozen\.tsv: sha256 .* expected " + datasets.DINO_SHA256):
        datasets.dino(tmp_path)
    monkeypatch.setattr(datasets, "DINO_SHA256", digest)
    assert np.array_equal(datasets.dino(tmp_path), (rows - 50) / 50)
    path.write_text(path.read_text().replace("away", "Away", 1))  # a change outside the dino's rows shows too
    with pytest.raises(ValueError, match="sha256"):
        datasets.dino(tmp_path)


def test_dino_download_verified_then_mirror_then_error(tmp_path, rows, monkeypatch):
    import sklearn.datasets

    path = tmp_path / "DatasaurusDozen.tsv"
    digest = write_tsv(path, rows)
    seen = []

    def serve(url, sha256=None, **kwargs):
        warnings.warn("retrying", stacklevel=2)  # scikit-learn announces retries so; it must not leak
        seen.append((url, sha256))
        return path

    monkeypatch.setattr(sklearn.datasets, "fetch_file", serve)
    first, second = (url for url, _ in datasets.DINO_SOURCES)
    monkeypatch.setattr(datasets, "DINO_SOURCES", ((first, digest), (second, None)))
    assert np.array_equal(datasets.dino(), (rows - 50) / 50)
    assert seen == [(first, digest)]
    monkeypatch.setattr(datasets, "DINO_SOURCES", ((first, "0" * 64), (second, None)))
    assert np.array_equal(datasets.dino(), (rows - 50) / 50)  # wrong checksum at the first: the mirror serves
    monkeypatch.setattr(datasets, "DINO_ROWS_SHA256", "0" * 64)
    with pytest.raises(DatasetUnavailable, match="rows have sha256") as info:
        datasets.dino()
    assert first in str(info.value)
    assert second in str(info.value)


def test_dino_unreachable_says_what_to_do(tmp_path, monkeypatch):
    with pytest.raises(DatasetUnavailable, match=r"no network in tests.*EXACTDIFFUSION_DATA") as info:
        datasets.dino()
    assert "DatasaurusDozen.tsv" in str(info.value)
    assert isinstance(info.value, RuntimeError)
    monkeypatch.setenv(datasets.FOLDER_VARIABLE, str(tmp_path))  # an empty folder: the download is tried
    with pytest.raises(DatasetUnavailable, match="no network in tests"):
        datasets.dino()
    with pytest.raises(DatasetUnavailable, match="holds none of DatasaurusDozen"):  # named folder: nothing else is
        datasets.dino(tmp_path)


def test_dino_with_an_old_scikit_learn(monkeypatch):
    import sklearn.datasets

    monkeypatch.delattr(sklearn.datasets, "fetch_file")
    with pytest.raises(DatasetUnavailable, match=r"needs scikit-learn >= 1\.6"):
        datasets.dino()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", r"dino\.csv: columns none"),
        (b"a,b\n1,2\n", "expected dataset, x, y or x, y"),
        (b"x,y\n" + b"1.0,2.0\n" * 141, r"141 dino rows; expected shape \(142, 2\)"),
        (b"x,y\n" + b"1.0,2.0\n" * 143, "143 dino rows"),
        (b"x,y\n1.0,two\n", r"dino\.csv, row 2: .*expected two numbers"),
        (b"x,y\n1.0,nan\n", "expected finite numbers"),
        (b"x,y\n1.0,2.0,3.0\n", "row 2: 3 fields; expected 2"),
        (b"x,y\n1.0\n", "row 2: 1 fields; expected 2"),
        (b"\xff\xfe\x00", "not a text table"),
        (b"x,y\n" + b"1.0,2.0\n" * 142, "rows have sha256"),
    ],
)
def test_dino_malformed_file(tmp_path, content, message):
    (tmp_path / "dino.csv").write_bytes(content)
    with pytest.raises(ValueError, match=message) as info:
        datasets.dino(tmp_path)
    assert "dino.csv" in str(info.value)


def test_folder_must_exist(tmp_path, monkeypatch):
    for folder in (tmp_path / "absent", 3):
        with pytest.raises(ValueError, match=r"^folder: .*an existing folder"):
            datasets.dino(folder)
    monkeypatch.setenv(datasets.FOLDER_VARIABLE, str(tmp_path / "absent"))
    with pytest.raises(ValueError, match=r"^EXACTDIFFUSION_DATA: "):
        datasets.dino()


# MNIST and Fashion-MNIST


@pytest.mark.parametrize(("load", "name"), [(datasets.mnist, "mnist"), (datasets.fashion_mnist, "fashion_mnist")])
def test_images_from_local_files(tmp_path, load, name, monkeypatch):
    raw = np.random.default_rng(0).integers(256, size=(7, 28, 28), dtype=np.uint8)
    raw.flat[:2] = 0, 255
    expected = raw.reshape(7, 784) / 127.5 - 1
    np.savez(tmp_path / f"{name}.npz", x_train=raw[:4], x_test=raw[4:], y_train=np.arange(4))
    assert np.array_equal(load(tmp_path), expected)
    assert np.array_equal(load(tmp_path, limit=3), expected[:3])
    np.savez(tmp_path / f"{name}.npz", data=raw.reshape(7, 784))
    monkeypatch.setenv(datasets.FOLDER_VARIABLE, str(tmp_path))
    assert np.array_equal(load(), expected)
    (tmp_path / f"{name}.npz").unlink()
    flat = raw.reshape(7, 784)
    labelled = np.column_stack([np.arange(7), flat])
    for table, header in ((flat, ""), (labelled, ",".join(["label"] + ["p"] * 784) + "\n")):
        text = header + "".join(",".join(map(str, row)) + "\n" for row in table)
        (tmp_path / f"{name}.csv").write_text(text)
        assert np.array_equal(load(), expected)


def test_images_malformed(tmp_path):
    path = tmp_path / "mnist.npz"
    bad = [
        ({"x": np.zeros((3, 783))}, r"shape \(3, 783\); expected"),
        ({"x": np.full((3, 784), 256.0)}, "outside 0..255"),
        ({"x": np.full((3, 784), np.nan)}, "outside 0..255"),
        ({"x": np.zeros((0, 784))}, "expected numbers"),
        ({"x": np.full((3, 784), "a")}, "expected numbers"),
        ({"z": np.zeros((3, 784))}, r"arrays \['z'\]; expected x, data"),
        ({"x": np.array([{}], dtype=object)}, "plain arrays"),  # nothing is unpickled
    ]
    for arrays, message in bad:
        np.savez(path, **arrays)
        with pytest.raises(ValueError, match=r"mnist\.npz: .*" + message):
            datasets.mnist(tmp_path)
    for content in (b"not a zip", b"", b"PK\x03\x04 truncated"):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=r"mnist\.npz: not a readable"):
            datasets.mnist(tmp_path)
    path.unlink()
    path = tmp_path / "mnist.csv"
    row = ",".join(["1"] * 784)
    for content, message in (
        ("1,2,3\n", "row 1: 3 fields"),
        (f"{row}\n{row.replace('1', 'a', 1)}\n", "row 2: not numbers"),
        ("", "no images"),
    ):
        path.write_text(content)
        with pytest.raises(ValueError, match=r"mnist\.csv.*" + message):
            datasets.mnist(tmp_path)


def test_images_through_openml(monkeypatch):
    import sklearn.datasets
    from sklearn.utils import Bunch

    with pytest.raises(DatasetUnavailable, match=r"no network in tests.*mnist\.npz.*EXACTDIFFUSION_DATA"):
        datasets.mnist()
    calls = []

    def serve(name, **options):
        calls.append((name, options["version"], options["as_frame"]))
        return Bunch(data=np.full((5, 784), 255.0))

    monkeypatch.setattr(sklearn.datasets, "fetch_openml", serve)
    assert np.array_equal(datasets.mnist(limit=2), np.ones((2, 784)))
    assert np.array_equal(datasets.fashion_mnist(), np.ones((5, 784)))
    assert calls == [("mnist_784", 1, False), ("Fashion-MNIST", 1, False)]


# CIFAR-10


def _cifar_records(rng, count):
    """(bytes of the binary version, images as rows, columns, channels): a label, then planes of red, green and blue."""
    images = rng.integers(256, size=(count, 32, 32, 3), dtype=np.uint8)
    planes = images.transpose(0, 3, 1, 2).reshape(count, -1)
    return np.column_stack([np.arange(count, dtype=np.uint8) % 10, planes]).tobytes(), images


def test_cifar10_from_the_binary_version(tmp_path, monkeypatch):
    rng = np.random.default_rng(0)
    (first, a), (second, b), (last, c) = (_cifar_records(rng, n) for n in (3, 2, 4))
    (tmp_path / "data_batch_1.bin").write_bytes(first)
    (tmp_path / "data_batch_4.bin").write_bytes(second)
    (tmp_path / "test_batch.bin").write_bytes(last)
    expected = np.concatenate([a, b, c]).reshape(9, 3072) / 127.5 - 1
    assert np.array_equal(datasets.cifar10(tmp_path), expected)
    assert np.array_equal(datasets.cifar10(tmp_path, limit=4), expected[:4])
    assert datasets.photo_patches(stride=427)[0].shape == expected[0].shape
    # as the archive unpacks, through the environment variable, and as a target
    whole = tmp_path / "unpacked" / "cifar-10-batches-bin"
    whole.mkdir(parents=True)
    (whole / "test_batch.bin").write_bytes(last)
    monkeypatch.setenv(datasets.FOLDER_VARIABLE, str(tmp_path / "unpacked"))
    assert np.array_equal(TARGETS["cifar10"].law().points, expected[5:])


def test_cifar10_is_refused_or_absent(tmp_path, monkeypatch):
    monkeypatch.delenv(datasets.FOLDER_VARIABLE, raising=False)
    with pytest.raises(DatasetUnavailable, match=r"data_batch_1\.bin.*EXACTDIFFUSION_DATA"):
        datasets.cifar10()
    (tmp_path / "data_batch_1").write_bytes(b"\x80\x04")  # the Python version, a pickle
    with pytest.raises(DatasetUnavailable, match=r"holds none of data_batch_1\.bin"):
        datasets.cifar10(tmp_path)
    record, _ = _cifar_records(np.random.default_rng(1), 1)
    for content in (b"", record[:-1], record + b"\0", bytes([10]) + record[1:]):
        (tmp_path / "data_batch_1.bin").write_bytes(content)
        with pytest.raises(ValueError, match=r"data_batch_1\.bin: .*expected records of 3073|data_batch_1\.bin: label 10"):
            datasets.cifar10(tmp_path)


# synthetic targets


def test_two_moons_lie_on_their_half_circles():
    x = datasets.two_moons(500)
    assert x.shape == (500, 2)
    outer, inner = x[:250], x[250:]
    assert np.max(np.abs(np.linalg.norm(outer, axis=1) - 1)) <= 8 * EPS
    assert np.max(np.abs(np.linalg.norm(inner - [1, 0.5], axis=1) - 1)) <= 8 * EPS
    assert outer[:, 1].min() >= 0
    assert inner[:, 1].max() <= 0.5
    assert datasets.two_moons(7).shape == (7, 2)


def test_swiss_roll_lies_on_its_spiral():
    x, y = datasets.swiss_roll(300), datasets.swiss_roll(300, dim=3)
    assert x.shape == (300, 2)
    assert np.array_equal(x, y[:, [0, 2]])
    t = 10 * np.linalg.norm(x, axis=1)
    assert 1.5 * math.pi <= t.min()
    assert t.max() <= 4.5 * math.pi
    assert np.max(np.abs(np.stack([t * np.cos(t), t * np.sin(t)], axis=1) / 10 - x)) <= 1e3 * EPS  # angle: t eps t
    assert np.array_equal(x, datasets.swiss_roll(300))
    assert not np.array_equal(x, datasets.swiss_roll(300, seed=1))


def test_rings():
    law = datasets.rings(8, radius=2.0, std=0.1)
    assert law.dim == 2
    # mean 0; covariance (radius^2 / 2 + std^2) I for 3 or more equally weighted modes
    assert np.max(np.abs(law.mean)) <= 16 * EPS
    assert np.max(np.abs(law.covariance - 2.01 * np.eye(2))) <= 64 * EPS
    assert datasets.rings(5, dim=4, weights=[0.1, 0.2, 0.3, 0.2, 0.2]).dim == 4


def test_two_gaussians():
    law = datasets.two_gaussians(3)
    assert np.max(np.abs(np.diff(law.means, axis=0) + 6)) == 0  # Delta mu = 6 (1, 1, 1)
    assert np.max(np.abs(law.mean - (0.2 * 3 - 0.8 * 3))) <= 8 * EPS
    exact = np.eye(3) + 4 * 0.2 * 0.8 * 9 * np.ones((3, 3))
    assert np.max(np.abs(law.covariance - exact)) <= 64 * EPS


def test_random_mixture_has_the_paper_code_moments():
    """Description of the released code's draw; spectrum measured from it: one eigenvalue 42.5, the next at most 0.66."""
    from sklearn.datasets import make_spd_matrix

    law = datasets.random_mixture()
    assert law.dim == 64
    assert law.weights.shape == (128,)
    assert np.max(np.abs(law.mean)) <= 64 * EPS
    assert abs(np.trace(law.covariance) - 64) <= 1e4 * EPS
    spectra = np.linalg.eigvalsh(law.covariances)
    assert 42 < spectra[:, -1].min() <= spectra[:, -1].max() < 43
    assert 0.6 < spectra[:, -2].max() < 0.67
    assert 0 < spectra[:, 0].min() < 2e-3
    assert abs(np.linalg.norm(law.means, axis=1).mean() - 0.81) < 0.02
    total = np.linalg.eigvalsh(law.covariance)
    assert 0.3 < total[0] < 0.45
    assert 2.2 < total[-1] < 2.9
    raw = datasets.random_mixture(4, 3, seed=5, normalise=False)
    rng = np.random.default_rng(5)
    weights = rng.uniform(size=4)
    assert np.max(np.abs(raw.weights - weights / weights.sum())) <= 4 * EPS
    assert np.max(np.abs(raw.means - rng.standard_normal((4, 3)) / math.sqrt(3))) <= 4 * EPS
    drawn = np.stack([make_spd_matrix(3, random_state=5 + k) for k in range(4)])
    assert np.max(np.abs(raw.covariances - drawn)) <= 64 * EPS  # symmetrised: the two halves differ by rounding


@pytest.mark.parametrize(
    ("name", "call"),
    [
        ("size", lambda: datasets.photo_patches(size=0)),
        ("size", lambda: datasets.photo_patches(size=428)),
        ("stride", lambda: datasets.photo_patches(stride=1.5)),
        ("n", lambda: datasets.two_moons(1)),
        ("dim", lambda: datasets.swiss_roll(dim=4)),
        ("n_modes", lambda: datasets.rings(0)),
        ("radius", lambda: datasets.rings(radius=0)),
        ("std", lambda: datasets.rings(std=-1)),
        ("weights", lambda: datasets.rings(3, weights=[1, 1, 1])),
        ("weight", lambda: datasets.two_gaussians(weight=1)),
        ("half_distance", lambda: datasets.two_gaussians(half_distance=math.nan)),
        ("n_components", lambda: datasets.random_mixture(0)),
        ("seed", lambda: datasets.random_mixture(seed=-1)),
        ("normalise", lambda: datasets.random_mixture(normalise="no")),
        ("limit", lambda: datasets.mnist(limit=0)),
    ],
)
def test_bad_input_names_the_argument(name, call):
    with pytest.raises(ValueError, match=rf"^{name}( \(.*\))?:"):
        call()


@pytest.mark.parametrize("name", [t for t in TARGETS if t not in ("dino", "mnist", "fashion_mnist", "cifar10")])
def test_every_target_builds_the_law_it_announces(name):
    target = TARGETS[name]
    law = target.law()
    assert target.name == name
    assert law.dim == target.dim
    assert target.summary
    x = law.sample(4, np.random.default_rng(0))
    assert x.shape == (4, target.dim)
    assert np.all(np.isfinite(law.noised(1.0, 0.5).denoise(x)))


def test_targets_of_files(tmp_path, rows, monkeypatch):
    with pytest.raises(DatasetUnavailable):
        TARGETS["dino"].law()
    write_csv(tmp_path / "dino.csv", rows)
    monkeypatch.setenv(datasets.FOLDER_VARIABLE, str(tmp_path))
    assert np.array_equal(TARGETS["dino"].law().points, (rows - 50) / 50)
    np.savez(tmp_path / "mnist.npz", x=np.arange(3 * 784).reshape(3, 784) % 256)
    assert TARGETS["mnist"].law().points.shape == (3, 784)
    with pytest.raises(DatasetUnavailable):
        TARGETS["fashion_mnist"].law()


# points of one's own

POINTS = np.random.default_rng(3).normal(size=(30, 2)).round(6)
PLAIN = "\n".join(f"{a:.6f},{b:.6f}" for a, b in POINTS)
SEMICOLON, TAB = PLAIN.replace(",", ";"), PLAIN.replace(",", "\t")
DECIMAL_COMMA = SEMICOLON.replace(".", ",")


@pytest.mark.parametrize(
    "content",
    [
        PLAIN, PLAIN + "\n\n\n", "x,y\n" + PLAIN, '"x","y"\n' + PLAIN, "\ufeff" + PLAIN, "\ufeffx,y\n" + PLAIN,
        SEMICOLON, DECIMAL_COMMA, "x;y\n" + DECIMAL_COMMA, "x.1;x.2\n" + DECIMAL_COMMA, TAB, "a\tb\n" + TAB,
        PLAIN.replace(",", "  "), PLAIN.replace("\n", "\r\n"), PLAIN.replace("\n", ",\n") + ",",
        "# mine\n" + PLAIN + " # end", "# caf\xe9\n".encode("latin1") + PLAIN.encode(), PLAIN.encode("utf-16"),
        "\n".join(f'"{a}","{b}"' for a, b in POINTS),
        ",x,y\n" + "\n".join(f"{i},{a},{b}" for i, (a, b) in enumerate(POINTS)),
        ",0,1\n" + "\n".join(f"{i},{a},{b}" for i, (a, b) in enumerate(POINTS)),
        "index;x;y\n" + "\n".join(f"{i + 1};{a};{b}" for i, (a, b) in enumerate(POINTS)),
    ],
)  # fmt: skip
@pytest.mark.parametrize("suffix", ["csv", "CSV", "tsv", "txt"])
def test_points_in_the_forms_that_people_have(tmp_path, content, suffix):
    """Header, byte order mark, other delimiters, decimal commas: every row is read, and no other."""
    path = tmp_path / f"points.{suffix}"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    assert np.array_equal(load_cloud(str(path)).points, POINTS)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "no numbers"), ("x,y\n", "no numbers"), ("# x\n\n", "no numbers"), ("1,2\x00\n3,4", "not a text table"),
        (PLAIN + "\n1.0,", "row 31, column 2: ''; .*missing value"), (PLAIN + "\n\n1.0,NA", "row 32, column 2: 'NA'"),
        ("x,y\n" + PLAIN + "\n1.0,nan", "row 32, column 2: 'nan'; expected a finite number"),
        ("NA,NA\n" + PLAIN, "row 1, column 1: 'NA'"), ("NA,0.5\n" + PLAIN, "row 1, column 1: 'NA'"),
        ("x,1\n" + PLAIN, "row 1, column 1: 'x'"), ('"1,000","2,000"\n' + PLAIN, "row 1, column 1: '1,000'.*thousands"),
        (PLAIN + '\n"1,000",2', "row 31, column 1: '1,000'.*thousands"), ("1.234,5;2.0\n3,0;4,0", "column 1: '1.234,5'"),
        (PLAIN.replace(",", "\t") + "\n1.0\t", "row 31, column 2: ''; .*missing value"),
        (PLAIN.replace(",", "\t") + "\n1.0\t2.0\t", "row 31: 3 cells; expected 2"),
        (PLAIN + "\n1,2,3", "row 31: 3 cells; expected 2"), ("x,y,z\n" + PLAIN, "row 2: 2 cells; expected 3, as in row 1"),
    ],
)  # fmt: skip
def test_points_that_are_refused_name_row_and_column(tmp_path, content, message):
    path = tmp_path / "points.csv"
    path.write_bytes(content.encode())
    with pytest.raises(ValueError, match=r"^target: got .*points\.csv.*" + message):
        load_cloud(str(path))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("\n".join(f"{i},{line}" for i, line in enumerate(PLAIN.split("\n"))), "the first column counts the rows"),
        ("0,1\n" + PLAIN, "the first row counts the columns"),
    ],
)
def test_points_that_look_like_an_index_are_read_with_a_warning(tmp_path, content, message):
    path = tmp_path / "points.csv"
    path.write_text(content)
    with pytest.warns(UserWarning, match=message):
        cloud = load_cloud(str(path))
    assert cloud.points.size == content.count(",") + content.count("\n") + 1


def test_dino_and_images_in_other_forms(tmp_path, rows):
    """The dino with a byte order mark, semicolons and decimal commas; images with tabs and a byte order mark."""
    text = "x;y\n" + "".join(f"{x};{y}\n".replace(".", ",") for x, y in rows)
    (tmp_path / "dino.csv").write_bytes("\ufeff".encode() + text.encode())
    assert np.array_equal(datasets.dino(tmp_path), (rows - 50) / 50)
    raw = np.random.default_rng(0).integers(256, size=(3, 784))
    (tmp_path / "mnist.csv").write_text("\ufeff" + "".join("\t".join(map(str, row)) + "\n" for row in raw), encoding="utf-8")
    assert np.array_equal(datasets.mnist(tmp_path), raw / 127.5 - 1)


@pytest.mark.parametrize(("name", "delimiter"), [("x (a, in m)", ";"), ("x (a; in m)", ","), ("x (a; in m)", "\t")])
def test_the_delimiter_is_that_of_the_data_and_not_of_a_name_in_the_header(name, delimiter, tmp_path):
    path = tmp_path / "points.csv"
    path.write_text(f'"{name}"{delimiter}y\n' + PLAIN.replace(",", delimiter))
    assert np.array_equal(load_cloud(str(path)).points, POINTS)
