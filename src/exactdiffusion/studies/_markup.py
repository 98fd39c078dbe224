"""Docstrings as HTML with MathML: the part of reStructuredText that statements are written in.

Paragraphs, ``.. math::`` blocks, lists, NumPy sections; inline ``:math:``, other roles, literals, bold, emphasis. Formulas
are converted by latex2mathml when the page is built, so a browser needs neither a script nor a network for them.
"""

import re
from html import escape
from xml.etree import ElementTree

__all__ = ["html", "inline", "mathml"]

_INLINE = re.compile(
    r":math:`(?P<math>[^`]+)`"
    r"|:\w+:`~?(?P<role>[^`]+)`"
    r"|``(?P<literal>.+?)``"
    r"|`(?P<name>[^`]+)`_?"
    r"|\*\*(?P<bold>.+?)\*\*"
    r"|(?<![\w*])\*(?P<emphasis>[^\s*](?:[^*]*[^\s*])?)\*(?![\w*])",
    re.DOTALL,
)
_DIRECTIVE = re.compile(r"\.\. math::(.*)")
_BULLET = re.compile(r"[-*] +")
# Under the bar of a root: in a font without mathematics the bar touches a low letter, and sqrt n reads as sqrt pi.
_STRUT = '<mspace width="0" height="0.72em" />'
# Commands that latex2mathml passes through as text, alone or behind \bigl.
_KNOWN = {r"\arg": r"\operatorname{arg}", r"\lceil": "⌈", r"\rceil": "⌉", r"\lfloor": "⌊", r"\rfloor": "⌋", r"\|": "‖"}


def mathml(formula: str, display: bool = False) -> str:
    """MathML of one TeX formula.

    Raises
    ------
    ValueError
        Names the formula when a part of it is not understood; nothing is passed on unconverted.
    """
    try:
        from latex2mathml.converter import convert
    except ModuleNotFoundError:
        raise ModuleNotFoundError("formulas need latex2mathml: pip install 'exactdiffusion[explore]'") from None
    source = re.sub(r"\s+", " ", formula).strip()
    groups = re.findall(r"(?<!\\)[{}]", source)
    if groups.count("{") != groups.count("}"):
        raise ValueError(f"formula: got {formula!r}; expected as many closing as opening braces")
    if display and re.search(r"\\\\|(?<!\\)&", source) and r"\begin" not in source:
        source = rf"\begin{{align*}}{source}\end{{align*}}"  # as Sphinx reads several lines
    for command, replacement in _KNOWN.items():
        source = re.sub(r"(?<!\\)" + re.escape(command) + r"(?![a-zA-Z])", replacement.replace("\\", r"\\"), source)
    try:
        result = convert(source, display="block" if display else "inline")
    except Exception as error:  # the library has a dozen exceptions of its own; each means the same to a reader
        raise ValueError(f"formula: got {formula!r}; expected TeX that converts ({type(error).__name__})") from None
    try:
        left = re.search(r"\\\w*", "".join(ElementTree.fromstring(result).itertext()))
    except ElementTree.ParseError as error:
        raise ValueError(f"formula: got {formula!r}; expected TeX that converts to well-formed MathML ({error})") from None
    if left:
        raise ValueError(f"formula: got {formula!r}; expected TeX that converts ({left[0]} is unknown)")
    return result.replace("<msqrt>", "<msqrt>" + _STRUT)


def inline(text: str) -> str:
    """HTML of running text."""
    out, at = [], 0
    for found in _INLINE.finditer(text):
        out.append(escape(text[at : found.start()]))
        kind, at = str(found.lastgroup), found.end()
        inside = found[kind]
        if kind == "math":
            out.append(mathml(inside))
        elif kind in ("bold", "emphasis"):
            tag = {"bold": "strong", "emphasis": "em"}[kind]
            out.append(f"<{tag}>{inline(inside)}</{tag}>")
        else:
            out.append(f"<code>{escape(inside)}</code>")
    out.append(escape(text[at:]))
    return "".join(out)


def html(doc: str) -> str:
    """HTML of a docstring that `inspect.getdoc` has dedented."""
    lines, out, at = doc.splitlines(), [], 0
    while at < len(lines):
        line = lines[at]
        directive = _DIRECTIVE.match(line)
        if not line.strip():
            at += 1
        elif directive:
            at, formulas = _indented(lines, at + 1)
            for formula in "\n".join([directive[1], *formulas]).split("\n\n"):
                if formula.strip():
                    out.append(f'<div class="formula">{mathml(formula, display=True)}</div>')
        elif at + 1 < len(lines) and re.fullmatch(r"-{3,}", lines[at + 1].strip()):
            out.append(f"<h5>{escape(line.strip())}</h5>")
            at, items = _section(lines, at + 2)
            out.append("<dl>" + "".join(items) + "</dl>")
        elif _BULLET.match(line):
            at, items = _list(lines, at)
            out.append("<ul>" + "".join(f"<li>{inline(item)}</li>" for item in items) + "</ul>")
        else:
            start = at
            while at < len(lines) and lines[at].strip() and (at == start or not _starts_block(lines, at)):
                at += 1
            out.append(f"<p>{inline(chr(10).join(part.strip() for part in lines[start:at]))}</p>")
    return "\n".join(out)


def _starts_block(lines, at):
    underlined = at + 1 < len(lines) and re.fullmatch(r"-{3,}", lines[at + 1].strip())
    return bool(_DIRECTIVE.match(lines[at]) or _BULLET.match(lines[at]) or underlined)


def _indented(lines, at):
    """The lines from ``at`` that are indented or blank, without trailing blanks."""
    start = at
    while at < len(lines) and (not lines[at].strip() or lines[at].startswith(" ")):
        at += 1
    block = [line.strip() for line in lines[start:at]]
    while block and not block[-1]:
        block.pop()
    return at, block


def _section(lines, at):
    """A NumPy section: unindented lines are terms, indented ones describe them; it ends at a blank line before text."""
    items = []
    while at < len(lines):
        if not lines[at].strip():
            following = next((k for k in range(at, len(lines)) if lines[k].strip()), len(lines))
            if following == len(lines) or not lines[following].startswith(" "):
                return following, items
            at = following
        elif lines[at].startswith(" "):
            at, block = _indented(lines, at)
            items.append(f"<dd>{inline(chr(10).join(block))}</dd>")
        else:
            items.append(f"<dt>{inline(lines[at].strip())}</dt>")
            at += 1
    return at, items


def _list(lines, at):
    items = []
    while at < len(lines) and lines[at].strip():
        if _BULLET.match(lines[at]):
            items.append(_BULLET.sub("", lines[at], count=1))
        elif lines[at].startswith(" ") and items:
            items[-1] += "\n" + lines[at].strip()
        else:
            break
        at += 1
    return at, items
