"""The print presets: type, colours and names at the ends of lines."""

import itertools

import numpy as np
import pytest
from matplotlib.text import Text

from exactdiffusion.studies import print_style
from exactdiffusion.studies.figures import new_figure, style


def _drawn(width=3.25, title=8.0):
    with style():
        figure, axes = new_figure(width, 2.4)
        lines = [axes.plot([5, 10, 20], [0.4, 0.2, end])[0] for end in (0.1, 0.101, 0.102)]
        axes.set_title("error", fontsize=title)
        axes.tick_params(labelsize=8.0)
    return figure, axes, lines


def test_the_smallest_type_is_found_as_printed():
    figure, axes, _ = _drawn()
    assert print_style.check_sizes(figure) == 8.0  # the ticks
    axes.text(10, 0.3, "note", fontsize=6.4)
    with pytest.raises(ValueError, match=r"figure: got 'note'; .* this has 6\.4 pt, draw it with fontsize 6\.5"):
        print_style.check_sizes(figure)

    # twice as wide as the column: half the size in print
    figure, _, _ = _drawn(6.5, title=12.0)
    assert print_style.check_sizes(figure, "double") == 8.0
    with pytest.raises(ValueError, match=r"this has 4\.0 pt, draw it with fontsize 13\.0"):
        print_style.check_sizes(figure, "single")
    with pytest.raises(ValueError, match="width"):
        print_style.check_sizes(figure, "triple")


def test_hidden_and_empty_texts_do_not_count():
    figure, axes, _ = _drawn()
    axes.text(10, 0.3, "hidden", fontsize=2).set_visible(False)
    axes.text(10, 0.3, " ", fontsize=2)
    assert print_style.check_sizes(figure) == 8.0


def test_the_palette_stays_apart_without_red_and_green():
    assert print_style.check_palette() >= print_style.APART
    # Okabe and Ito's green and a grey of the same lightness are one colour to one man in a hundred
    with pytest.raises(ValueError, match=r"these have 9\.7"):
        print_style.check_palette((*print_style.PALETTE[:2], "#009E73", "#7F7F7F"))


def test_the_distance_of_colours_against_matplotlib_and_by_hand():
    """Black and white are 100 apart for any reader; greys are unchanged; red and a green that imitates it are near."""
    assert print_style.deuteranopia_distance("#000000", "#FFFFFF") == pytest.approx(100, abs=1e-4)  # rounded matrices
    # L* of mid grey #777777 is 50.03
    assert print_style.deuteranopia_distance("#000000", "#777777") == pytest.approx(50.03, abs=0.01)
    normal = 100 * np.sqrt(2)
    assert print_style.deuteranopia_distance("#FF0000", "#968200") < 0.35 * normal


def test_names_at_the_ends_of_lines_do_not_touch():
    figure, axes, lines = _drawn()
    names = dict(zip(lines, ("ddim", "heun", "euler"), strict=True))
    with style():
        labels = print_style.label_lines(axes, names)
        figure.draw_without_rendering()
    assert {t.get_text(): t.get_color() for t in labels} == {names[line]: line.get_color() for line in lines}
    assert [t.get_text() for t in labels] == ["ddim", "heun", "euler"]  # bottom to top, as the lines end
    boxes = [Text.get_window_extent(label) for label in labels]  # without its hair line
    assert all(above.y0 >= below.y1 - 0.5 for below, above in itertools.pairwise(boxes))
    frame, page = axes.get_window_extent(), figure.bbox
    assert all(box.x0 >= frame.x1 and box.x1 <= page.x1 for box in boxes)  # beside the frame and on the paper
