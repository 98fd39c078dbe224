"""Files that are written whole or not at all, and small tables as CSV."""

import csv
import io
import json
import os
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from .typing import Row, StrPath

__all__ = ["json_text", "parse_table", "read_json", "read_table", "table_text", "write_whole"]


def write_whole(path: StrPath, data: str | bytes) -> None:
    r"""Write ``data`` (str or bytes) to ``path`` whole or not at all.

    A temporary file in the same folder is flushed to disk and renamed over ``path``: a reader sees the old content
    or the new one, also after a crash. The temporary file's name ends in ``.tmp``; it is removed when the write fails.

    Examples
    --------
    >>> write_whole("results/note.txt", "a whole line\n")
    >>> Path("results/note.txt").read_text()
    'a whole line\n'
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(data, str):
        data = data.encode()
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(name, 0o644)  # mkstemp gives 0600, which would hide results from colleagues
        os.replace(name, path)
    except BaseException:
        with suppress(FileNotFoundError):
            os.unlink(name)
        raise


def json_text(value: Any) -> str:
    r"""JSON with sorted keys and one trailing newline; refuses NaN and infinities (JSON has none).

    Examples
    --------
    >>> json_text({"b": 1, "a": [0.5]})
    '{\n "a": [\n  0.5\n ],\n "b": 1\n}\n'
    """
    return json.dumps(value, sort_keys=True, indent=1, allow_nan=False) + "\n"


def table_text(rows: Sequence[Mapping[str, Any]]) -> str:
    r"""CSV of a list of dicts that share their keys; floats are written so that reading gives the same bits.

    Values are strings, booleans, integers, floats, or None (an empty field).

    Examples
    --------
    >>> table_text([{"steps": 5, "w2": 0.25}, {"steps": 10, "w2": None}])
    'steps,w2\n5,0.25\n10,\n'
    """
    if not rows:
        raise ValueError("rows: got an empty list; expected at least one row")
    columns = list(rows[0])
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(columns)
    for number, row in enumerate(rows):
        if list(row) != columns:
            raise ValueError(f"rows: row {number} has columns {list(row)}; expected {columns}")
        writer.writerow([_field(row[c]) for c in columns])
    return out.getvalue()


def read_table(path: StrPath) -> list[Row]:
    r"""Rows of a CSV written by `table_text`: integers, floats, booleans and None come back as such.

    Raises
    ------
    ValueError
        Naming the file: no text, a column without a name or named twice, a row with too few or too many fields.

    Examples
    --------
    >>> write_whole("table.csv", "steps,w2\n5,0.25\n10,\n")
    >>> read_table("table.csv")
    [{'steps': 5, 'w2': 0.25}, {'steps': 10, 'w2': None}]
    """
    try:
        return parse_table(Path(path).read_text(encoding="utf-8-sig"))  # spreadsheets write a byte order mark
    except (UnicodeDecodeError, csv.Error, ValueError) as error:
        raise ValueError(f"{path}: not a table of this package ({error})") from None


def read_json(path: StrPath) -> dict[str, Any]:
    """The object (a dict) that a JSON file holds; a ValueError names the file where it holds anything else.

    Examples
    --------
    >>> write_whole("record.json", json_text({"steps": 5}))
    >>> read_json("record.json")
    {'steps': 5}
    """
    try:
        value = json.loads(Path(path).read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path}: not JSON ({error})") from None
    if not isinstance(value, dict):
        raise ValueError(f"{path}: got {type(value).__name__}; expected an object")
    return value


def parse_table(text: str) -> list[Row]:
    r"""Rows of the text that `table_text` gives.

    Examples
    --------
    >>> parse_table("steps,w2\n5,0.25\n10,\n")
    [{'steps': 5, 'w2': 0.25}, {'steps': 10, 'w2': None}]
    """
    reader = csv.DictReader(io.StringIO(text), strict=True)
    names = reader.fieldnames or []
    if "" in names or len(set(names)) < len(names):
        raise ValueError(f"columns: got {names}; expected distinct names")
    rows = []
    for number, row in enumerate(reader, start=1):
        if None in row or None in row.values():
            raise ValueError(f"row {number}: got other fields than the {len(names)} of the columns")
        rows.append({key: _value(field) for key, field in row.items()})
    return rows


def _field(value):
    if value is None:
        return ""
    if isinstance(value, (str, bool, int)):
        return str(value)
    return repr(float(value))


def _value(text):
    if text == "":
        return None
    if text in ("True", "False"):
        return text == "True"
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text
