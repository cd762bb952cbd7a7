"""What every picture for a paper keeps to."""

import contextlib
import itertools

import matplotlib
import numpy as np
from matplotlib import pyplot
from matplotlib.axes import Axes
from matplotlib.text import Text

# Pixels, of rounding in the placement of text.
SLACK = 1.5


def assert_printable(figure):
    """It fits a page, its text is legible, whole, and not written over other text."""
    width, _ = figure.get_size_inches()
    assert width <= 7.0
    figure.draw_without_rendering()
    page = figure.bbox
    boxes = [(text.get_text(), text.get_window_extent()) for text in drawn_texts(figure)]
    assert boxes
    for name, box in boxes:
        assert min(box.x0 - page.x0, page.x1 - box.x1) >= -SLACK, name
        assert min(box.y0 - page.y0, page.y1 - box.y1) >= -SLACK, name
    for (name, a), (other, b) in itertools.combinations(boxes, 2):
        across = min(a.x1, b.x1) - max(a.x0, b.x0)
        along = min(a.y1, b.y1) - max(a.y0, b.y0)
        assert min(across, along) < SLACK, (name, other)


def drawn_texts(figure):
    """All text that is seen, each of a legible size."""
    hidden = set()
    for axes in figure.findobj(Axes):
        if not axes.axison:
            hidden.update(axes.xaxis.findobj(Text), axes.yaxis.findobj(Text))
        for axis in (axes.xaxis, axes.yaxis):
            low, high = sorted(axis.get_view_interval())
            for tick in [*axis.get_major_ticks(), *axis.get_minor_ticks()]:
                if not low - 1e-9 <= tick.get_loc() <= high + 1e-9:
                    hidden.update(tick.findobj(Text))
    texts = [
        text
        for text in figure.findobj(Text)
        if text.get_visible() and text.get_text().strip() and text not in hidden
    ]
    assert all(6 <= text.get_fontsize() <= 9 for text in texts)
    return texts


def boxes(axes):
    """Left, bottom, width and height of axes after drawing, in pixels, (4, ...)."""
    axes = np.asarray(axes)
    axes.flat[0].figure.draw_without_rendering()
    bounds = [axis.get_window_extent().bounds for axis in axes.flat]
    return np.moveaxis(np.reshape(bounds, (*axes.shape, 4)), -1, 0)


@contextlib.contextmanager
def no_global_state():
    """Neither pyplot nor the settings of matplotlib change."""
    before = pyplot.get_fignums(), dict(matplotlib.rcParams)
    yield
    assert (pyplot.get_fignums(), dict(matplotlib.rcParams)) == before
