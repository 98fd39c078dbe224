"""Images in tables and in panels: what the figures of samples share."""

import numpy as np

#: Levels of grey, or of a colour, that a table keeps: one hexadecimal digit for each pixel and colour.
LEVELS = 16


def coded(image, low, high):
    """An image with values from low to high, flattened, as one hexadecimal digit per value; what lies outside is cut."""
    scaled = np.clip((np.ravel(image) - low) / (high - low), 0.0, 1.0)
    return "p" + "".join(f"{level:x}" for level in np.rint((LEVELS - 1) * scaled).astype(int))  # p: read as text, not number


def decoded(text, shape):
    """The image of `coded`, of this shape, with values from 0 to 1."""
    return np.array([int(digit, LEVELS) for digit in text[1:]]).reshape(shape) / (LEVELS - 1)


def sheet(axes, rows, shape, gap=0.15):
    """Rows of images in one panel, each row named at its left.

    Parameters
    ----------
    axes : Axes
    rows : dict
        Name -> list of coded images, equally many in each row.
    shape : tuple of int
        Pixels of an image, and colours.
    gap : float
        Between rows and between images, as a share of an image's side.
    """
    side = shape[0]
    space = round(gap * side)
    count = max(map(len, rows.values()))
    canvas = np.ones((len(rows) * (side + space) - space, count * (side + space) - space, 3))
    for i, images in enumerate(rows.values()):
        for j, text in enumerate(images):
            image = decoded(text, shape)
            top, left = i * (side + space), j * (side + space)
            canvas[top : top + side, left : left + side] = image[..., None] if image.ndim == 2 else image
    axes.imshow(canvas, interpolation="nearest")
    axes.set_yticks([i * (side + space) + side / 2 - 0.5 for i in range(len(rows))], list(rows))
    axes.set_xticks([])
    axes.tick_params(length=0)
    axes.grid(visible=False)
    for spine in axes.spines.values():
        spine.set_visible(False)
