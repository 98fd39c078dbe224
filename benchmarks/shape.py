"""Print the counts by which the shape of the code is judged, for this checkout or another one.

    python benchmarks/shape.py [FOLDER] [--list]

A line of code is a line that is neither blank, nor a comment, nor part of a docstring. A function is long if its body,
without the docstring, has 25 lines or more; it has no paragraphs if at most two of these lines are blank or a comment.
A public name is one that its module lists in ``__all__``; it has an example if its docstring holds ``>>>``.
``--list`` names the functions with too many arguments, the long ones without paragraphs, and the names without example.
"""

import argparse
import ast
import io
import tokenize
from pathlib import Path

FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
MOST_ARGUMENTS = 12
LONG, PARAGRAPHS = 25, 3


def docstring_lines(tree):
    """Numbers of the lines that belong to a docstring."""
    lines = set()
    for node in ast.walk(tree):
        if isinstance(node, (ast.Module, ast.ClassDef, *FUNCTIONS)) and ast.get_docstring(node) is not None:
            lines.update(range(node.body[0].lineno, node.body[0].end_lineno + 1))
    return lines


def code_lines(text, tree):
    """Number of lines that hold a token other than a comment, outside of docstrings."""
    kept = set()
    layout = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER}
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type not in layout:
            kept.update(range(token.start[0], token.end[0] + 1))
    return len(kept - docstring_lines(tree))


def shape(folder):
    """Counts of one folder: a dictionary of numbers and of lists of names."""
    found = {"files": 0, "lines": 0, "code": 0, "functions": 0, "many": [], "long": 0, "dense": [], "public": 0, "bare": []}
    for path in sorted(folder.rglob("*.py")):
        text = path.read_text(encoding="utf-8")
        tree, rows = ast.parse(text), text.splitlines()
        found["files"] += 1
        found["lines"] += len(rows)
        found["code"] += code_lines(text, tree)

        for node in ast.walk(tree):
            if isinstance(node, FUNCTIONS):
                _function(found, node, rows, f"{path.relative_to(folder)}:{node.lineno} {node.name}")

        listed = _listed(tree)
        for node in tree.body:
            if isinstance(node, (ast.ClassDef, *FUNCTIONS)) and node.name in listed:
                found["public"] += 1
                if ">>>" not in (ast.get_docstring(node) or ""):
                    found["bare"].append(f"{path.relative_to(folder)}:{node.lineno} {node.name}")
    return found


def _function(found, node, rows, label):
    """Count one function: its arguments, and whether it is long and without paragraphs."""
    found["functions"] += 1
    arguments = node.args
    count = len(arguments.posonlyargs) + len(arguments.args) + len(arguments.kwonlyargs)
    if count > MOST_ARGUMENTS:
        found["many"].append(f"{label} ({count})")

    first = node.body[1 if ast.get_docstring(node) is not None else 0 :]
    if not first:
        return
    start = node.body[0].end_lineno if ast.get_docstring(node) is not None else first[0].lineno - 1
    body = rows[start : node.end_lineno]
    if len(body) >= LONG:
        found["long"] += 1
        if sum(not row.strip() or row.strip().startswith("#") for row in body) < PARAGRAPHS:
            found["dense"].append(label)


def _listed(tree):
    """Names in ``__all__`` of a module."""
    for node in tree.body:
        if isinstance(node, ast.Assign) and any(isinstance(t, ast.Name) and t.id == "__all__" for t in node.targets):
            return {e.value for e in ast.walk(node.value) if isinstance(e, ast.Constant)}
    return set()


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", type=Path, default=Path(__file__).resolve().parents[1])
    parser.add_argument("--list", action="store_true", help="name what is counted")
    options = parser.parse_args(arguments)

    columns = ("files", "lines", "code", "functions", "> 12 args", "long", "dense", "public", "no example")
    print(f"{'':12}" + "".join(f"{name:>11}" for name in columns))
    for part in ("src", "theory", "tests", "experiments", "benchmarks"):
        n = shape(options.folder / part)
        many, dense, bare = len(n["many"]), len(n["dense"]), len(n["bare"])
        row = (n["files"], n["lines"], n["code"], n["functions"], many, n["long"], dense, n["public"], bare)
        print(f"{part:12}" + "".join(f"{number:11}" for number in row))
        if options.list:
            for kind in ("many", "dense", "bare"):
                print("".join(f"  {part} {kind}: {name}\n" for name in n[kind]), end="")


if __name__ == "__main__":
    main()
