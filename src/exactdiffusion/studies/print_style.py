"""The one style of everything that is printed: widths, sizes of type, colours, and the checks that a drawing keeps them.

Text stays text in PDF and SVG, so that it can be searched and edited. A journal's column is 3.25 in wide, its page 6.75 in;
a figure is drawn at the width at which it is printed, and nothing in it is smaller than 6.5 pt.
"""

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from .._core.validation import choice, fail

__all__ = [
    "PALETTE",
    "PRINT",
    "SMALLEST",
    "WIDTHS",
    "check_palette",
    "check_sizes",
    "deuteranopia_distance",
    "label_lines",
]

#: preset -> width in inches: one column of a journal, and both
WIDTHS = {"single": 3.25, "double": 6.75}
#: least size of type in points, as printed
SMALLEST = 6.5
#: Okabe and Ito's colours, four of them moved so that each two stay apart without the red-green channel: yellow is left
#: out because print loses it, and grey because it equals their green.
PALETTE = ("#0072B2", "#C84E00", "#00916A", "#D884B8", "#000000", "#56B4E9", "#E69F00", "#7A1F4F")
#: Two colours of a figure are at least this far apart (CIE 1976 distance) for a reader without the red-green channel.
APART = 20.0
#: settings of matplotlib for a figure that is drawn at its printed width
PRINT: dict[Any, Any] = {
    "font.size": 8.0,
    "axes.labelsize": 8.0,
    "axes.titlesize": 8.0,
    "figure.titlesize": 8.0,
    "legend.fontsize": 7.0,
    "legend.title_fontsize": 7.0,
    "xtick.labelsize": 7.0,
    "ytick.labelsize": 7.0,
    "lines.linewidth": 1.2,
    "lines.markersize": 3.5,
    "pdf.fonttype": 42,  # TrueType, not outlines
    "svg.fonttype": "none",
}

# linear sRGB -> what a deuteranope sees (Machado, Oliveira and Fernandes 2009, severity 1), and -> CIE XYZ over white
_DEUTERANOPIA = np.array([[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]])
_XYZ = np.array([[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]])


def check_sizes(figure: Any, width: str | None = None) -> float:
    """The smallest type of a figure as printed; ValueError where it is below `SMALLEST`.

    Parameters
    ----------
    figure : matplotlib Figure
        Its visible texts are read: titles, labels, ticks, legends, annotations. A subscript of mathematics counts with the
        size of its line.
    width : {"single", "double"}, optional
        The preset at which it is printed: a wider figure is scaled down to it. Default: it is printed as it is.

    Returns
    -------
    float
        Points.

    Raises
    ------
    ValueError
        Quotes the smallest text and says which size would do.

    Examples
    --------
    >>> from exactdiffusion.studies.figures import new_figure
    >>> figure, axes = new_figure(3.25, 2.4)
    >>> _ = axes.set_title("error", fontsize=7.0)
    >>> check_sizes(figure, "single")
    7.0
    """
    from matplotlib.text import Text

    scale = 1.0
    if width is not None:
        scale = min(1.0, WIDTHS[choice("width", width, tuple(WIDTHS))] / figure.get_figwidth())
    figure.draw_without_rendering()  # tick labels exist from here on
    sizes = {
        text: text.get_fontsize() * scale for text in figure.findobj(Text) if text.get_visible() and text.get_text().strip()
    }
    if not sizes:
        return float("inf")
    least = min(sizes, key=lambda text: sizes[text])
    if sizes[least] < SMALLEST * (1 - 1e-9):  # rounding of the scale
        fail(
            "figure",
            least.get_text(),
            f"type of at least {SMALLEST} pt as printed; this has {sizes[least]:.1f} pt, draw it with "
            f"fontsize {SMALLEST / scale:.1f}",
        )
    return sizes[least]


def deuteranopia_distance(first: str, second: str) -> float:
    """CIE 1976 distance of two colours ``#rrggbb`` as a reader without the red-green channel sees them.

    The channel is removed by the matrix of Machado, Oliveira and Fernandes (IEEE TVCG 15, 2009) in linear sRGB.

    Examples
    --------
    >>> round(deuteranopia_distance("#009E73", "#7F7F7F"), 1)
    9.7
    """
    seen = []
    for colour in (first, second):
        # linear sRGB, then the colour that is seen
        code = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
        linear = np.where(code <= 0.04045, code / 12.92, ((code + 0.055) / 1.055) ** 2.4)
        xyz = _XYZ @ np.clip(_DEUTERANOPIA @ linear, 0, 1) / _XYZ.sum(axis=1)

        # CIE L*a*b*
        root = np.where(xyz > 216 / 24389, np.cbrt(xyz), (24389 / 27 * xyz + 16) / 116)
        seen.append(np.array([116 * root[1] - 16, 500 * (root[0] - root[1]), 200 * (root[1] - root[2])]))
    return float(np.linalg.norm(seen[0] - seen[1]))


def check_palette(colours: Sequence[str] = PALETTE) -> float:
    """Least `deuteranopia_distance` of two of the colours; ValueError where it is below `APART`.

    Examples
    --------
    >>> round(check_palette(), 1)
    22.9
    """
    pairs = [(deuteranopia_distance(a, b), a, b) for a, b in itertools.combinations(colours, 2)]
    distance, first, second = min(pairs)
    if distance < APART:
        fail(
            "colours",
            (first, second),
            f"colours at least {APART:g} apart without the red-green channel; these have {distance:.1f}, PALETTE has more",
        )
    return distance


def label_lines(axes: Any, names: Mapping[Any, str], size: float = 7.0) -> list[Any]:
    """Write the name of each line beside its right end, in its colour, in place of a legend.

    Names that would touch are moved apart by as little as possible, each joined to its end by a hair line; a name may have
    several lines of text. Call it last: it reads the limits of the axes as they are.

    Parameters
    ----------
    axes : matplotlib Axes
    names : dict
        Line (`matplotlib.lines.Line2D`) -> its name.
    size : float
        Points.

    Returns
    -------
    list of matplotlib Annotation

    Examples
    --------
    >>> from exactdiffusion.studies.figures import new_figure
    >>> figure, axes = new_figure(3.25, 2.4)
    >>> (line,) = axes.plot([5, 10, 20], [0.4, 0.2, 0.1])
    >>> [text.get_text() for text in label_lines(axes, {line: "ddim"})]
    ['ddim']
    """
    from scipy.optimize import isotonic_regression

    axes.figure.draw_without_rendering()
    to_axes = axes.transData + axes.transAxes.inverted()
    ends = []
    for line, name in names.items():
        drawn = np.column_stack([np.asarray(line.get_xdata(), float), np.asarray(line.get_ydata(), float)])
        at, height = to_axes.transform(drawn[np.argmax(drawn[:, 0])])
        ends.append((float(np.clip(height, 0, 1)), float(at), line, name))
    ends.sort(key=lambda end: end[0])

    # the nearest heights at which no two names touch and none leaves the frame
    line_height = 1.25 * size / (axes.get_window_extent().height * 72 / axes.figure.dpi)
    halves = np.array([line_height * (1 + name.count("\n")) / 2 for *_, name in ends])
    offsets = np.concatenate([[0.0], np.cumsum(halves[:-1] + halves[1:])])
    free = isotonic_regression(np.array([height for height, *_ in ends]) - offsets).x
    heights = np.clip(free, halves[0], max(halves[0], 1 - halves[-1] - offsets[-1])) + offsets

    labels = []
    for (height, at, line, name), placed in zip(ends, heights):
        labels.append(
            axes.annotate(
                name,
                (at, height),
                xycoords="axes fraction",
                xytext=(1.04, placed),
                textcoords="axes fraction",
                color=line.get_color(),
                fontsize=size,
                va="center",
                ha="left",
                annotation_clip=False,
                arrowprops={
                    "arrowstyle": "-",
                    "color": line.get_color(),
                    "linewidth": 0.5,
                    "shrinkA": 1,
                    "shrinkB": 3,
                    "relpos": (0, 0.5),
                },
            )
        )
    return labels
