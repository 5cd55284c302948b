"""Figures as SVG: the same values give the same bytes, with no font but the reader's own, and no LaTeX."""

import io
import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.figure import Figure

WIDTH = 316
"""Points, at which words of eight have the size of those of a telephone."""

_STYLE: dict[Any, Any] = {
    "svg.hashsalt": "seal",
    "svg.fonttype": "none",  # text stays text
    "font.size": 8,
}


def svg(draw: Callable[["Figure"], None], height: float, style: Mapping[Any, Any]) -> str:
    """Draw a figure of `WIDTH` and a height in points.

    Parameters
    ----------
    draw
        Draws into an empty figure.
    style
        Parameters of matplotlib, beside those that all figures here have.
    """
    import matplotlib
    from matplotlib.figure import Figure

    # What a user or a machine set for other figures has no say in these.
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(_STYLE | dict(style))
        figure = Figure(figsize=(WIDTH / 72, height / 72))
        draw(figure)
        stream = io.StringIO()
        metadata = dict.fromkeys(("Creator", "Date", "Format", "Type"))
        figure.savefig(stream, format="svg", metadata=metadata)
    lines = [line.rstrip() for line in stream.getvalue().splitlines()]
    return re.sub(r"font-family: [^;\"]*", "font-family: sans-serif", "\n".join(lines) + "\n")
