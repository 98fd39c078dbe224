"""Tables of a sweep for reading, as text and as HTML."""

import re
from collections.abc import Iterable, Sequence

__all__ = ["html_table", "in_short", "short_names", "text_table"]


def short_names(words: Iterable[str]) -> dict[str, str]:
    """Labels of objects without their digest, for those whose name alone says which object is meant.

    Examples
    --------
    >>> short_names(["mine@0a1b", "w2", "yours@0a1b", "yours@2c3d"])
    {'mine@0a1b': 'mine'}
    """
    every = dict.fromkeys(words)
    short = {text: text.partition("@")[0] for text in every if re.fullmatch(r"\w+@[0-9a-f]{4,}", text)}
    taken = [*short.values(), *(text for text in every if text not in short)]
    return {text: name for text, name in short.items() if taken.count(name) == 1}


def in_short(rows: Sequence[Sequence[str]], count: int) -> tuple[str, list[tuple[str, ...]]]:
    """A table for reading: what its first ``count`` columns share, in words, and the table without these columns.

    Digests of objects are left out where the names before them say which object is meant.

    Examples
    --------
    >>> in_short([("target", "metric", "value"), ("mine@0a1b", "w2", "1"), ("mine@0a1b", "kl", "2")], 2)
    ('target mine', [('metric', 'value'), ('w2', '1'), ('kl', '2')])
    """
    short = short_names(word for row in rows[1:] for text in row for word in text.split())

    def shortened(text):
        return " ".join(short.get(word, word) for word in text.split(" "))

    # columns with one value
    head, *body = rows
    same = [i for i in range(count) if len({row[i] for row in body}) == 1]
    shared = ", ".join(f"{head[i]} {shortened(body[0][i])}" for i in same)
    kept = [i for i in range(len(head)) if i not in same]
    return shared, [tuple(head[i] for i in kept), *(tuple(shortened(row[i]) for i in kept) for row in body)]


def text_table(rows: Sequence[Sequence[str]]) -> str:
    r"""Columns aligned by spaces.

    Examples
    --------
    >>> text_table([("a", "b"), ("long", "1")])
    'a     b\nlong  1'
    """
    widths = [max(map(len, column)) for column in zip(*rows)]
    return "\n".join("  ".join(text.ljust(width) for text, width in zip(row, widths)).rstrip() for row in rows)


def html_table(rows: Sequence[Sequence[str]]) -> str:
    """A table of HTML, its first row the head.

    Examples
    --------
    >>> html_table([("a",), ("<1>",)])
    '<table><thead><tr><th>a</th></tr></thead><tbody><tr><td>&lt;1&gt;</td></tr></tbody></table>'
    """
    from html import escape

    head, *body = [[escape(str(text)) for text in row] for row in rows]
    lines = "".join("<tr>" + "".join(f"<td>{text}</td>" for text in row) + "</tr>" for row in body)
    return f"<table><thead><tr>{''.join(f'<th>{t}</th>' for t in head)}</tr></thead><tbody>{lines}</tbody></table>"
