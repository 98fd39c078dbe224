"""Data and targets: bundled images, the dino, synthetic shapes, the mixtures of the papers.

Loaders return NumPy arrays (float64, one sample a row) or laws; `TARGETS` names a law for each of them.

Files that do not come with an installed package are looked for in this order: the ``folder`` argument (and then
nowhere else), the folder that the environment variable ``EXACTDIFFUSION_DATA`` names, a download by scikit-learn,
which keeps it in its data home. Downloads are verified; files are parsed as data, never unpickled or evaluated.
"""

import csv
import hashlib
import inspect
import math
import os
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from ._core.external import free_name
from ._core.typing import ArrayLike, StrPath
from ._core.validation import fail, integer, scalar
from ._core.validation import weights as _weights

if TYPE_CHECKING:
    from .laws import GaussianMixture

__all__ = [
    "DINO_ROWS_SHA256",
    "DINO_SHA256",
    "DINO_SOURCES",
    "FOLDER_VARIABLE",
    "TARGETS",
    "DatasetUnavailable",
    "Target",
    "cifar10",
    "digits",
    "dino",
    "fashion_mnist",
    "mnist",
    "photo_patches",
    "random_mixture",
    "rings",
    "swiss_roll",
    "two_gaussians",
    "two_moons",
]

#: Environment variable naming a folder of local copies.
FOLDER_VARIABLE = "EXACTDIFFUSION_DATA"

DINO_SHA256 = "62d417ba1fda3d4ea76f316827df88f9898c9436f70cb3b84130e93b64333096"
#: SHA-256 of the 142 dino rows written as "%.4f,%.4f\n" in file order: independent of separators and line ends.
DINO_ROWS_SHA256 = "31fd51855b5f102f0be07bb87b7e926eea3f6f797bf4da26aaaa67d9d6d0ae94"
#: (address, SHA-256 of the file or None where only the rows are compared)
DINO_SOURCES = (
    ("https://raw.githubusercontent.com/yuanchenyang/smalldiffusion/main/datasets/DatasaurusDozen.tsv", DINO_SHA256),
    ("https://raw.githubusercontent.com/jumpingrivers/datasauRus/main/inst/extdata/DatasaurusDozen-Long.tsv", None),
)


@dataclass(frozen=True)
class Target:
    """A named law: ``law()`` builds it; ``dim`` and ``summary`` are known without building.

    Examples
    --------
    >>> TARGETS["rings"].dim, TARGETS["rings"].law().dim
    (2, 2)
    """

    name: str
    dim: int
    summary: str
    law: Callable

    def __repr__(self):
        return f"Target({self.name!r}, dim={self.dim})"


#: targets of the command line, by name
TARGETS: dict[str, Target] = {}


def target(name: str, dim: int, summary: str) -> Callable[[Callable], Callable]:
    """Decorate a function that builds a law: sweeps and the command line know it as the target ``name``.

    Raises
    ------
    ValueError
        for the name of a target of the package. A later target of a user replaces an earlier one of this name.

    Examples
    --------
    >>> @target("pair", 1, "two atoms at -1 and 1")
    ... def pair():
    ...     from exactdiffusion import PointCloud
    ...
    ...     return PointCloud([[-1.0], [1.0]])
    >>> TARGETS["pair"].law().dim
    1
    """

    def file(law):
        free_name("target", name, TARGETS[name].law if name in TARGETS else None, law)
        TARGETS[name] = Target(name, integer("dim", dim, low=1), summary, law)
        return law

    return file


class DatasetUnavailable(RuntimeError):
    """No source of a data set could be reached; the message says which were tried and what to do."""


def digits() -> np.ndarray:
    """Handwritten digits bundled with scikit-learn, 8 x 8 pixels, values / 8 - 1.

    Returns
    -------
    ndarray, shape (1797, 64)
        In [-1, 1] (17 grey levels).

    Examples
    --------
    >>> digits().shape
    (1797, 64)
    """
    from sklearn.datasets import load_digits

    return load_digits().data / 8.0 - 1.0


def photo_patches(size: int = 32, stride: int = 16) -> np.ndarray:
    """Colour patches of the two photographs bundled with scikit-learn, values / 127.5 - 1.

    Stands in for CIFAR-10 where the dimension matters: 32 x 32 x 3 = 3072.

    Parameters
    ----------
    size : int
        Side of a patch in pixels, 1 to 427.
    stride : int
        Step between patches, both ways.

    Returns
    -------
    ndarray, shape (n, 3 size^2)
        In [-1, 1], flattened row, column, channel; 1950 rows for the defaults, photograph by photograph.

    Examples
    --------
    >>> photo_patches(size=64, stride=64).shape
    (120, 12288)
    """
    size = integer("size", size, low=1, high=427)
    stride = integer("stride", stride, low=1)
    from sklearn.datasets import load_sample_images

    parts = []
    for image in load_sample_images().images:
        windows = np.lib.stride_tricks.sliding_window_view(image, (size, size), axis=(0, 1))[::stride, ::stride]
        parts.append(np.moveaxis(windows, 2, -1).reshape(-1, 3 * size * size))
    return np.concatenate(parts) / 127.5 - 1.0


def dino(folder: StrPath | None = None) -> np.ndarray:
    """The dinosaur of the Datasaurus Dozen (Alberto Cairo; Matejka and Fitzmaurice 2017), (xy - 50) / 50.

    The target of the proximal paper's Figure 1 (arXiv 2507.08956), with equal weights.

    Parameters
    ----------
    folder : path, optional
        Folder holding ``DatasaurusDozen.tsv`` (columns dataset, x, y) or ``dino.csv`` (columns x, y).

    Returns
    -------
    ndarray, shape (142, 2)
        In [-1, 1], in file order.

    Raises
    ------
    DatasetUnavailable
        No source reached.
    ValueError
        A file was found but is malformed or fails its checksum; the message names it.

    Notes
    -----
    Sources: see the module. The addresses in `DINO_SOURCES` could not be reached from the machine this was developed
    on, so the download itself is untested; its bytes are compared with the checksum of the known file.

    Examples
    --------
    >>> dino().shape  # doctest: +SKIP
    (142, 2)
    """
    found = _local(folder, ("DatasaurusDozen.tsv", "dino.csv"))
    if found is not None:
        if found.name == "DatasaurusDozen.tsv":
            _check_sha256(found, DINO_SHA256)
        return _scale_dino(_parse_dino(found))
    reasons = []
    for url, sha256 in DINO_SOURCES:
        path, reason = _download(url, sha256)
        if path is None:
            reasons.append(reason)
            continue
        try:
            return _scale_dino(_parse_dino(path))
        except ValueError as error:  # a mirror may serve something else: try the next one
            reasons.append(f"{url}: {error}")
    raise _unavailable("dino", reasons, "DatasaurusDozen.tsv (columns dataset, x, y) or dino.csv (columns x, y)")


def _scale_dino(rows):
    return (rows - 50.0) / 50.0


def _parse_dino(path):
    """The 142 rows of the dino from a .tsv or .csv file, checked against their checksum."""
    table = list(_rows(path))
    header = [name.strip().lower() for name in table[0][1]] if table else []
    if not {"x", "y"} <= set(header):
        raise ValueError(f"{path}: columns {header or 'none'}; expected dataset, x, y or x, y")
    rows = []
    for number, row in table[1:]:
        if len(row) != len(header):
            raise ValueError(f"{path}, row {number}: {len(row)} fields; expected {len(header)}")
        record = dict(zip(header, row, strict=True))
        if record.get("dataset", "dino").strip() != "dino":
            continue
        try:
            pair = _number(record["x"]), _number(record["y"])
        except ValueError:
            raise ValueError(f"{path}, row {number}: {row!r}; expected two numbers") from None
        if not (math.isfinite(pair[0]) and math.isfinite(pair[1])):
            raise ValueError(f"{path}, row {number}: {row!r}; expected finite numbers")
        rows.append(pair)
    if len(rows) != 142:
        raise ValueError(f"{path}: {len(rows)} dino rows; expected shape (142, 2)")
    digest = hashlib.sha256("".join(f"{x:.4f},{y:.4f}\n" for x, y in rows).encode()).hexdigest()
    if digest != DINO_ROWS_SHA256:
        raise ValueError(f"{path}: the dino's rows have sha256 {digest}; expected {DINO_ROWS_SHA256}")
    return np.array(rows)


_DELIMITERS = "\t;,"
_INDEX = ("", "index", "unnamed: 0")


def _lines(path):
    """(number, line) of a text table without comments (from #) and empty lines, and its delimiter; None for white space.

    UTF-8 or UTF-16 by its mark, otherwise UTF-8. Bytes that are not stay as they are: they may stand in a comment.
    """
    raw = Path(path).read_bytes()
    try:
        if raw.startswith((b"\xff\xfe", b"\xfe\xff")):
            text = raw.decode("utf-16")
        else:
            text = raw.decode("utf-8-sig", "surrogateescape")
        if "\0" in text:
            raise ValueError("it contains the character NUL")
    except ValueError as error:
        raise ValueError(f"{path}: not a text table ({error})") from None
    lines = ((number, line.partition("#")[0].rstrip(" \r")) for number, line in enumerate(text.split("\n"), start=1))
    lines = [(number, line) for number, line in lines if line.strip()]
    # the last line is data where the first may be a header
    ends = (lines[-1][1], lines[0][1]) if lines else ()
    return lines, next((d for line in ends for d in _DELIMITERS if d in line), None)


def _rows(path):
    """(number, cells) of the lines of a text table: commas, semicolons, tabs or white space between the cells."""
    lines, delimiter = _lines(path)
    for number, line in lines:
        yield number, _cells(path, number, line, delimiter)


def _cells(path, number, line, delimiter):
    try:
        return line.split() if delimiter is None else next(csv.reader([line], delimiter=delimiter, skipinitialspace=True))
    except csv.Error as error:
        raise ValueError(f"{path}, row {number}: not a text table ({error})") from None


def _number(cell):
    """A cell as a float; a comma in it is a decimal comma, since it did not separate cells."""
    return float(cell if "." in cell else cell.replace(",", "."))


def _read_points(path):
    """The numbers of a text table, one point a row, shape (n, d).

    Commas, semicolons, tabs or white space separate the cells; with the last three, decimal commas are read. A header row, a
    byte order mark, comments (#), quotes, a delimiter at the end of all rows and the index column that pandas writes (its
    name is empty) are left out.

    Raises
    ------
    ValueError
        Naming the file, the row and the column of a cell that is no finite number.
    """
    lines, delimiter = _lines(path)
    if not lines:
        raise ValueError(f"{path}: no numbers; expected one point a row")
    if delimiter is not None and all(line.endswith(delimiter) for _, line in lines):
        lines = [(number, line[:-1]) for number, line in lines]

    # the first line may be a header
    first = _cells(path, *lines[0], delimiter)
    header = _is_header(first)
    lines = lines[1:] if header else lines
    body = [line for _, line in lines]
    if not body:
        raise ValueError(f"{path}: no numbers below the header; expected one point a row")

    # decimal commas, where a comma separates nothing and there is no point
    if delimiter != "," and not any("." in line for line in body):
        body = [line.replace(",", ".") for line in body]

    # NumPy reads the numbers; where it cannot, name the first cell that is none
    try:
        table = np.loadtxt(body, delimiter=delimiter, ndmin=2, comments=None, quotechar='"')
    except ValueError as error:
        table, reason = None, error
    if table is None or table.shape != (len(body), len(first)) or not np.all(np.isfinite(table)):
        for (number, _), line in zip(lines, body):
            cells = _cells(path, number, line, delimiter)
            if len(cells) != len(first):
                raise ValueError(f"{path}, row {number}: {len(cells)} cells; expected {len(first)}, as in row 1")
            for column, cell in enumerate(cells, start=1):
                if not (_is_number(cell) and math.isfinite(float(cell))):
                    cause = " (a missing value: fill it in, or leave the row out)" if not cell.strip() else ""
                    cause = " (write a decimal point, and no thousands separators)" if "," in cell else cause
                    raise ValueError(f"{path}, row {number}, column {column}: {cell!r}; expected a finite number{cause}")
        raise ValueError(f"{path}: {reason}; expected one point a row")

    # a first column or row that counts is probably an index or a header
    count = np.arange(len(table))
    if table.shape[1] > 1 and (np.array_equal(table[:, 0], count) or np.array_equal(table[:, 0], count + 1)):
        if header and first[0].strip().lower() in _INDEX:
            return table[:, 1:]
        if len(table) > 2:
            warnings.warn(
                f"{path}: the first column counts the rows and is read as a coordinate; leave it out if it is an "
                "index, or give it an empty name",
                stacklevel=3,
            )
    if not header and len(first) > 1 and first == [str(k) for k in range(len(first))]:
        warnings.warn(
            f"{path}: the first row counts the columns and is read as a point; leave it out if it is a header", stacklevel=3
        )
    return table


def _is_header(cells):
    """Whether a first row is names: no cell starts like a number or stands for a missing one, and no name comes twice.

    Names may be the numbers of the columns where the first, of the index, is empty, as pandas writes them.
    """
    names = [cell.strip().lower() for cell in cells]
    if names[0] == "" and names[1:] == [str(k) for k in range(len(names) - 1)]:
        return len(names) > 1
    return (
        len(set(names)) == len(names)
        and any(names)
        and not set(names) & {"na", "n/a", "nan", "null", "none", "inf"}
        and not any(name.lstrip("+-.,")[:1].isdigit() for name in names)
    )


def _is_number(cell):
    try:
        float(cell)
    except ValueError:
        return False
    return True


def mnist(folder: StrPath | None = None, limit: int | None = None) -> np.ndarray:
    """MNIST digits, 28 x 28 pixels, values / 127.5 - 1, flattened row by row.

    From ``mnist.npz`` or ``mnist.csv`` in a local folder (see `fashion_mnist` for the layouts), otherwise OpenML
    ``mnist_784`` through `sklearn.datasets.fetch_openml` (untested download: no network where this was written).
    The conditional-mean paper's code flattens column by column (Fortran order): a permutation of coordinates.

    Parameters
    ----------
    folder : path, optional
    limit : int, optional
        Keep the first ``limit`` images.

    Returns
    -------
    ndarray, shape (n, 784)
        In [-1, 1]; n = 70000 without ``limit``.

    Examples
    --------
    >>> np.savez("mnist.npz", x=np.full((2, 28, 28), 255, dtype=np.uint8))
    >>> images = mnist(".")
    >>> images.shape, float(images.max())
    ((2, 784), 1.0)
    """
    return _images("mnist", "mnist_784", folder, limit)


def fashion_mnist(folder: StrPath | None = None, limit: int | None = None) -> np.ndarray:
    """Fashion-MNIST, same format and rules as `mnist`; OpenML ``Fashion-MNIST``, local ``fashion_mnist.npz`` or ``.csv``.

    Layouts of local files: .npz with one array ``x`` or ``data``, or with ``x_train`` and ``x_test``; shapes
    (n, 784) or (n, 28, 28), values 0..255. .csv with 784 columns of 0..255, or 785 with the label first; a header
    line is allowed.

    Examples
    --------
    >>> np.savez("fashion_mnist.npz", data=np.zeros((3, 784), dtype=np.uint8))
    >>> fashion_mnist(".", limit=2).shape
    (2, 784)
    """
    return _images("fashion_mnist", "Fashion-MNIST", folder, limit)


#: Files of the binary version of CIFAR-10, and the bytes of an image: a label, then planes of red, green and blue.
_CIFAR_FILES = (*(f"data_batch_{k}.bin" for k in range(1, 6)), "test_batch.bin")
_CIFAR_BYTES = 1 + 3 * 32 * 32


def cifar10(folder: StrPath | None = None, limit: int | None = None) -> np.ndarray:
    """CIFAR-10 images, 32 x 32 pixels in colour, values / 127.5 - 1; the labels are dropped.

    From the binary version (``data_batch_1.bin`` to ``data_batch_5.bin``, ``test_batch.bin``; 10,000 images each) in a local
    folder; those of the files that are there are read, in this order. The Python version is a pickle, which is never read.

    Parameters
    ----------
    folder : path, optional
        Folder holding the files, or a folder ``cifar-10-batches-bin`` with them, as the archive unpacks.
    limit : int, optional
        Keep the first ``limit`` images.

    Returns
    -------
    ndarray, shape (n, 3072)
        In [-1, 1], flattened row, column, channel, as `photo_patches`; n = 60000 with all six files.

    Raises
    ------
    DatasetUnavailable
        Names the files that are looked for, where none is at hand.
    ValueError
        Names a file that does not consist of records of 3073 bytes with labels 0 to 9.

    Examples
    --------
    >>> record = bytes([7]) + bytes(range(256)) * 12  # one image: a label, then three planes of 1024 bytes
    >>> _ = Path("data_batch_1.bin").write_bytes(record)
    >>> cifar10(".").shape
    (1, 3072)
    """
    if limit is not None:
        limit = integer("limit", limit, low=1)
    names = (*_CIFAR_FILES, *(f"cifar-10-batches-bin/{name}" for name in _CIFAR_FILES))
    first = _local(folder, names)
    if first is None:
        raise _unavailable("cifar10", ["no folder given"], "the binary version (data_batch_1.bin to data_batch_5.bin)")

    # the files that are there, as far as they are needed
    parts: list[np.ndarray] = []
    for path in (first.with_name(name) for name in _CIFAR_FILES):
        if path.is_file() and (limit is None or sum(map(len, parts)) < limit):
            raw = np.fromfile(path, dtype=np.uint8)
            if not raw.size or raw.size % _CIFAR_BYTES or raw[::_CIFAR_BYTES].max() > 9:
                raise ValueError(
                    f"{path}: {raw.size} bytes; expected records of {_CIFAR_BYTES}, each a label 0 to 9 and an image"
                )
            parts.append(raw.reshape(-1, _CIFAR_BYTES)[:, 1:])
    planes = np.concatenate(parts)[:limit].reshape(-1, 3, 32, 32)
    return np.moveaxis(planes, 1, -1).reshape(-1, 3072) / 127.5 - 1.0


def _images(name, openml_name, folder, limit):
    if limit is not None:
        limit = integer("limit", limit, low=1)
    found = _local(folder, (f"{name}.npz", f"{name}.csv"))
    if found is not None:
        raw = _read_npz(found) if found.suffix == ".npz" else _read_csv(found)
        return _pixels(str(found), raw, limit)
    from importlib.util import find_spec

    from sklearn.datasets import fetch_openml

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # retries are announced as warnings; the failure itself is raised
            bunch = fetch_openml(
                openml_name,
                version=1,
                as_frame=False,
                n_retries=1,
                parser="auto" if find_spec("pandas") else "liac-arff",
            )
    except (OSError, ValueError) as error:  # URLError and HTTPError are OSErrors; a bad checksum is a ValueError
        wanted = f"{name}.npz (arrays x_train and x_test, or x) or {name}.csv (784 columns)"
        raise _unavailable(name, [f"OpenML {openml_name}: {error}"], wanted) from error
    return _pixels(f"OpenML {openml_name}", np.asarray(bunch.data), limit)


def _read_npz(path):
    try:
        with open(path, "rb") as stream, np.load(stream, allow_pickle=False) as archive:
            if {"x_train", "x_test"} <= set(archive.files):
                return np.concatenate([archive["x_train"], archive["x_test"]])
            for key in ("x", "data"):
                if key in archive.files:
                    return archive[key]
            found = archive.files
    except (ValueError, OSError, EOFError) as error:
        raise ValueError(f"{path}: not a readable .npz archive of plain arrays ({error})") from None
    except Exception as error:  # zipfile.BadZipFile and friends share no base class with the above
        raise ValueError(f"{path}: not a readable .npz archive ({error})") from None
    raise ValueError(f"{path}: arrays {found}; expected x, data, or x_train and x_test")


def _read_csv(path):
    rows, start = [], None
    for number, row in _rows(path):
        start = number if start is None else start
        if len(row) not in (784, 785):
            raise ValueError(f"{path}, row {number}: {len(row)} fields; expected 784, or 785 with a label")
        try:
            rows.append(np.array(row[len(row) - 784 :], dtype=np.float64))
        except ValueError:
            if number > start:
                raise ValueError(f"{path}, row {number}: not numbers") from None
    if not rows:
        raise ValueError(f"{path}: no images; expected rows of 784 numbers")
    return np.stack(rows)


def _pixels(source, raw, limit):
    if raw.dtype.kind not in "iuf" or raw.shape[1:] not in ((784,), (28, 28)) or raw.shape[0] == 0:
        raise ValueError(f"{source}: {raw.dtype} array of shape {raw.shape}; expected numbers, (n, 784) or (n, 28, 28)")
    raw = raw[:limit].reshape(-1, 784).astype(np.float64)
    if not (np.all(raw >= 0) and np.all(raw <= 255)):  # also refuses NaN
        raise ValueError(f"{source}: pixel values outside 0..255")
    return raw / 127.5 - 1.0


def _local(folder, names):
    """First of ``names`` in the folder given (which must hold one), or in the folder of the environment variable."""
    if folder is not None:
        if not isinstance(folder, (str, os.PathLike)) or not Path(folder).is_dir():
            fail("folder", folder, "an existing folder")
        for name in names:
            if (Path(folder) / name).is_file():
                return Path(folder) / name
        raise DatasetUnavailable(f"folder {str(folder)!r} holds none of {', '.join(names)}")
    variable = os.environ.get(FOLDER_VARIABLE)
    if variable:
        if not Path(variable).is_dir():
            fail(FOLDER_VARIABLE, variable, "an existing folder (environment variable)")
        for name in names:
            if (Path(variable) / name).is_file():
                return Path(variable) / name
    return None


def _sha256(path):
    with open(path, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _check_sha256(path, expected):
    digest = _sha256(path)
    if digest != expected:
        raise ValueError(
            f"{path}: sha256 {digest}; expected {expected}. The file differs from the published one (line ends "
            "converted by a version control system count too): get it again, or give the 142 rows as dino.csv"
        )


def _download(url, sha256):
    """(path, None), or (None, reason)."""
    try:
        from sklearn.datasets import fetch_file
    except ImportError:  # scikit-learn < 1.6
        import sklearn

        return None, f"{url}: sklearn.datasets.fetch_file needs scikit-learn >= 1.6, found {sklearn.__version__}"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # retries are announced as warnings; the failure itself is raised
            path = fetch_file(url, sha256=sha256, n_retries=1, delay=0)
    except OSError as error:  # URLError, HTTPError, timeouts; also scikit-learn's own checksum failure
        return None, f"{url}: {type(error).__name__}: {error}"
    if sha256 is not None and _sha256(path) != sha256:
        return None, f"{url}: sha256 {_sha256(path)}; expected {sha256}"
    return Path(path), None


def _unavailable(name, reasons, wanted):
    tried = "; ".join(reasons)
    return DatasetUnavailable(
        f"{name}: no source could be used ({tried}). Put {wanted} into a folder and give it as folder=..., or set "
        f"{FOLDER_VARIABLE} to that folder"
    )


def two_moons(n: int = 1000) -> np.ndarray:
    """Two interleaved half circles without noise (`sklearn.datasets.make_moons`), equally spaced angles.

    Returns
    -------
    ndarray, shape (n, 2)
        First the outer half circle of radius 1 about (0, 0), then the inner one about (1, 1/2).

    Examples
    --------
    >>> two_moons(100).shape
    (100, 2)
    """
    n = integer("n", n, low=2)
    from sklearn.datasets import make_moons

    return make_moons(n_samples=n, shuffle=False, noise=None)[0]


def swiss_roll(n: int = 1000, dim: Literal[2, 3] = 2, seed: int = 0) -> np.ndarray:
    """Swiss roll without noise (`sklearn.datasets.make_swiss_roll`), divided by 10.

    Parameters
    ----------
    n : int
    dim : {2, 3}
        2 keeps the spiral (t cos t, t sin t) / 10, t uniform on [3 pi/2, 9 pi/2]; 3 adds the width in the middle
        column, uniform on [0, 2.1].
    seed : int

    Returns
    -------
    ndarray, shape (n, dim)

    Examples
    --------
    >>> swiss_roll(100).shape
    (100, 2)
    """
    n, seed = integer("n", n, low=1), integer("seed", seed, low=0, high=2**32 - 1)
    dim = integer("dim", dim, low=2, high=3)
    from sklearn.datasets import make_swiss_roll

    roll = make_swiss_roll(n_samples=n, noise=0.0, random_state=seed)[0] / 10.0
    return roll if dim == 3 else np.ascontiguousarray(roll[:, [0, 2]])


@target("rings", 2, "8 Gaussians of standard deviation 0.1 on the unit circle")
def rings(
    n_modes: int = 8, radius: float = 1.0, std: float = 0.1, dim: int = 2, weights: ArrayLike | None = None
) -> "GaussianMixture":
    """Gaussian mixture with equally spaced means on a circle of the first two coordinates.

    Parameters
    ----------
    n_modes : int
    radius : float > 0
    std : float >= 0
        Standard deviation of every (isotropic) mode; 0 gives atoms.
    dim : int >= 2
    weights : array, shape (n_modes,), optional

    Returns
    -------
    GaussianMixture
        The 8-mode ring is where gradient estimation is compared with DDIM.

    Examples
    --------
    >>> rings().means.shape
    (8, 2)
    """
    from .laws import GaussianMixture

    n_modes, dim = integer("n_modes", n_modes, low=1), integer("dim", dim, low=2)
    radius = scalar("radius", radius, low=0, low_open=True)
    std = scalar("std", std, low=0)
    angle = 2 * np.pi * np.arange(n_modes) / n_modes
    means = np.zeros((n_modes, dim))
    means[:, 0], means[:, 1] = radius * np.cos(angle), radius * np.sin(angle)
    return GaussianMixture(_weights("weights", weights, n_modes), means, std**2)


@target("two_gaussians", 2, "two unit Gaussians at +-(3, 3), weights 0.2 and 0.8")
def two_gaussians(dim: int = 2, half_distance: float = 3.0, std: float = 1.0, weight: float = 0.2) -> "GaussianMixture":
    """Two isotropic Gaussians at +-half_distance (1, ..., 1): Delta mu = 6 (1, ..., 1) in the log-concavity paper.

    Separation and shape are taken from arXiv 2305.19473, section 5; std 1 and weights 0.2 / 0.8 are this project's
    reading of its figures, where they are not printed.

    Parameters
    ----------
    dim : int
    half_distance : float
        Each coordinate of the mean of the first component.
    std : float >= 0
    weight : float in (0, 1)
        Weight of the component at +half_distance.

    Returns
    -------
    GaussianMixture

    Examples
    --------
    >>> two_gaussians().means
    array([[ 3.,  3.],
           [-3., -3.]])
    """
    from .laws import GaussianMixture

    dim = integer("dim", dim, low=1)
    half_distance, std = scalar("half_distance", half_distance), scalar("std", std, low=0)
    weight = scalar("weight", weight, low=0, high=1, low_open=True, high_open=True)
    return GaussianMixture([weight, 1 - weight], np.stack([np.ones(dim), -np.ones(dim)]) * half_distance, std**2)


@target("random_mixture", 64, "128 full-covariance Gaussians of the conditional-mean paper")
def random_mixture(n_components: int = 128, dim: int = 64, seed: int = 453451, normalise: bool = True) -> "GaussianMixture":
    """Random full-covariance mixture of the conditional-mean paper (arXiv 2403.02957), as its released code draws it.

    ``rng = default_rng(seed)``: weights U(0, 1) normalised, then means N(0, I) / sqrt(dim); covariance k is
    ``make_spd_matrix(dim, random_state=seed + k)``: one eigenvalue near dim + 1/2, the others in (0, 1).

    Parameters
    ----------
    n_components, dim : int
        128 and 64 in the paper.
    seed : int
    normalise : bool
        Centre and divide by one number so that E X = 0 and E|X|^2 = dim. Done here from the mixture's exact moments;
        the released code estimates both from samples.

    Returns
    -------
    GaussianMixture

    Examples
    --------
    >>> random_mixture(3, 2, seed=0).means.shape
    (3, 2)
    """
    from sklearn.datasets import make_spd_matrix

    from .laws import GaussianMixture

    n_components, dim = integer("n_components", n_components, low=1), integer("dim", dim, low=1)
    seed = integer("seed", seed, low=0, high=2**32 - 1 - n_components)
    if not isinstance(normalise, (bool, np.bool_)):
        fail("normalise", normalise, "True or False")
    rng = np.random.default_rng(seed)
    weights = rng.uniform(size=n_components)
    weights /= weights.sum()
    means = rng.standard_normal((n_components, dim)) / math.sqrt(dim)
    covariances = np.stack([make_spd_matrix(dim, random_state=seed + k) for k in range(n_components)])
    covariances = (covariances + covariances.transpose(0, 2, 1)) / 2
    if normalise:
        means = means - weights @ means
        traces = np.trace(covariances, axis1=1, axis2=2)
        power = float(weights @ (traces + np.sum(means**2, axis=1)))
        means, covariances = means * math.sqrt(dim / power), covariances * (dim / power)
    return GaussianMixture(weights, means, covariances)


def _cloud(load, **options):
    """Function that builds the cloud; it takes the parameters of the loader."""

    def law(**changes):
        from .laws import PointCloud

        return PointCloud(load(**(options | changes)))

    law.__signature__ = inspect.signature(load)
    return law


@target("gaussian", 2, "one correlated Gaussian: every sampler has an exact output law")
def _gaussian():
    from .laws import GaussianMixture

    return GaussianMixture([1.0], [[0.5, -0.25]], [[[1.0, 0.3], [0.3, 0.25]]])


@target("sphere", 3, "uniform on the unit sphere of R^3")
def _sphere():
    from .laws import Sphere

    return Sphere(1.0, 3)


@target("torus", 4, "product of circles of radii 1 and 0.5 in R^4")
def _torus():
    from .laws import Torus

    return Torus([1.0, 0.5])


@target("subspace", 16, "standard Gaussian on a plane in R^16")
def _subspace():
    from .laws import Subspace

    return Subspace(np.eye(16)[:, :2], covariance=1.0)


for _name, _dim, _summary, _load, _options in (
    ("two_moons", 2, "1000 points on two half circles", two_moons, {}),
    ("swiss_roll", 2, "1000 points on a spiral", swiss_roll, {}),
    ("dino", 2, "the 142 points of the Datasaurus dinosaur in [-1, 1]^2", dino, {}),
    ("digits", 64, "1797 handwritten digits of 8 x 8 pixels", digits, {}),
    ("photo_patches", 3072, "1950 colour patches of 32 x 32 pixels from two photographs", photo_patches, {}),
    ("mnist", 784, "the first 10000 MNIST digits of 28 x 28 pixels", mnist, {"limit": 10_000}),
    ("fashion_mnist", 784, "the first 10000 Fashion-MNIST images of 28 x 28 pixels", fashion_mnist, {"limit": 10_000}),
    ("cifar10", 3072, "the first 10000 CIFAR-10 images of 32 x 32 pixels", cifar10, {"limit": 10_000}),
):
    target(_name, _dim, _summary)(_cloud(_load, **_options))
