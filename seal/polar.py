"""Circular histograms, drawn as SVG: of the direction of rewards, and of the reward shift theta.

The area of a bar, not its length, is proportional to the number of pairs: a bar twice as long would look four times as large (Mardia and
Jupp 2000, Directional Statistics, section 1.2). Same values, same bytes; lines and words are #000000, so that a page can put its own
colour in their place.
"""

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import numpy as np

from seal.svg import WIDTH, svg

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from matplotlib.projections.polar import PolarAxes

BINS = 36
"""Of 10 degrees each."""

_LINE = 10
"""Points from line to line."""

RINGS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)
"""Shares of pairs that a ring may stand for."""

_BAR = "#0072B2"  # both are told apart by colour-blind readers, and seen on white and on black
_MEAN = "#D55E00"
_GRID = "#808080"

_CORNERS = (
    ("both_positive", "both\npositive", True, True),
    ("only_rejected_positive", "only rejected\npositive", False, True),
    ("both_negative", "both\nnegative", False, False),
    ("only_chosen_positive", "only chosen\npositive", True, False),
)
"""Quadrants of the plane of (chosen, rejected): key, words, and whether they stand on the right, and above."""

_STYLE = {
    "axes.edgecolor": "#000000",
    "axes.labelcolor": "#000000",
    "text.color": "#000000",
    "xtick.color": "#000000",
    "ytick.color": "#000000",
    "grid.color": _GRID,
    "grid.linewidth": 0.5,
}


class Rose(NamedTuple):
    """Angles of some pairs, and what is drawn into their histogram."""

    name: str
    angles: np.ndarray
    """[pairs] degrees; NaN where there is none."""
    circular_mean: float | None
    """Degrees."""
    resultant_length: float | None
    """From 0, they point everywhere, to 1, all the same way."""


def directions(rewards: np.ndarray) -> np.ndarray:
    """Direction of each pair's rewards, [pairs, 2] of chosen and rejected, in the plane of the two.

    Returns
    -------
    [pairs] degrees in (-180, 180] from the axis of the chosen reward, counter-clockwise; NaN where both are 0. Between -135 and 45 degrees,
    without the ends, the chosen text has the larger reward.
    """
    angles = np.degrees(np.arctan2(rewards[:, 1] + 0.0, rewards[:, 0] + 0.0))  # -0.0 would point the other way
    return np.where(rewards.any(axis=1), angles, np.nan)


def shares(angles: np.ndarray) -> np.ndarray:
    """Share of the pairs that have an angle in each of `BINS` bins from -180 degrees on, [bins]; 0 where no pair has one.

    The lower end belongs to a bin; 180 degrees, which is the same way as -180, to the first.
    """
    known = angles[~np.isnan(angles)]
    # By whole numbers, so that rounding leaves an angle of a quadrant or a diagonal in the bin that begins there.
    places = np.floor((np.round(known, 9) + 180) / (360 / BINS)).astype(int) % BINS
    return np.bincount(places, minlength=BINS) / max(len(known), 1)


def reward_directions(rewards: Mapping[str, np.ndarray], quadrants: Mapping[str, Mapping[str, float | None]]) -> str:
    """Circular histograms of the direction of (chosen, rejected) reward of each role, as SVG.

    Parameters
    ----------
    rewards
        By role, [pairs, 2] of chosen and rejected.
    quadrants
        By role, the share of the pairs in each, as `reward_shift.quadrants` gives them.
    """

    def draw(figure: "Figure") -> None:
        for place, (role, values) in enumerate(rewards.items()):
            angles = directions(values)
            centre = WIDTH * (place + 0.5) / len(rewards)
            axes = _circle(figure, centre, top=66, diameter=106)
            _rose(axes, angles)
            axes.set_xticks(np.radians([0, 90, 180, 270]), [""] * 4)
            rim = axes.get_ylim()[1]
            axes.text(0, rim * 1.06, "chosen", rotation=-90, ha="left", va="center")
            axes.text(np.pi / 2, rim * 1.06, "rejected", ha="center", va="bottom")
            axes.plot(np.radians([45, 45, 225]), [rim, 0, rim], color="#000000", linestyle=(0, (4, 3)), linewidth=1)
            _words(figure, centre, 4, f"{role}\n{_counted(angles)}")
            for key, words, right, upper in _CORNERS:
                share = quadrants[role][key]
                lines = words if share is None else f"{words}\n{share:.0%}"
                _words(figure, centre + (66 if right else -66), 30 if upper else 176, lines, "right" if right else "left")
        _words(
            figure,
            WIDTH / 2,
            216,
            "Axes: reward of chosen, to the right, and of rejected, upwards.\n"
            "Dashed: both equal; below it, the role agrees with the human.\n"
            "Areas of bars are proportional to pairs; a ring says which share.",
        )

    return _plain(svg(draw, 250, _STYLE))


def theta_rose(first: Rose, others: list[Rose]) -> str:
    """Circular histograms of theta, as SVG: one large, and the others, two in a row, below it.

    The line from the centre points to the circular mean, and its length is the resultant length, the outermost circle being 1.
    """
    rows = (len(others) + 1) // 2
    end = 210 + 162 * rows

    def draw(figure: "Figure") -> None:
        _theta_panel(figure, first, WIDTH / 2, top=4, diameter=140)
        for number, rose in enumerate(others):
            _theta_panel(figure, rose, WIDTH * (0.25 + 0.5 * (number % 2)), top=210 + 162 * (number // 2), diameter=96)
        _words(
            figure,
            WIDTH / 2,
            end,
            "Theta: turn of (chosen, rejected) reward from control to aligned.\n"
            "Line: circular mean, as long as the resultant length (the rim is 1).\n"
            "Areas of bars are proportional to pairs; a ring says which share.",
        )

    return _plain(svg(draw, end + 36, _STYLE))


def _theta_panel(figure: "Figure", rose: Rose, centre: float, top: float, diameter: float) -> None:
    words = f"{rose.name}\n{_counted(rose.angles)}"
    axes = _circle(figure, centre, top + 46, diameter)
    _rose(axes, rose.angles)
    axes.set_xticks(np.radians([0, 90, 180, 270]), ["0°", "90°", "180°", "\N{MINUS SIGN}90°"])
    if rose.circular_mean is not None and rose.resultant_length is not None:
        length = rose.resultant_length * axes.get_ylim()[1]
        axes.plot(np.radians([rose.circular_mean] * 2), [0, length], color=_MEAN, linewidth=2.5)
        degrees = str(round(rose.circular_mean)).replace("-", "\N{MINUS SIGN}")
        words += f"\nmean {degrees}°, length {rose.resultant_length:.2f}"
    _words(figure, centre, top, words)


def _circle(figure: "Figure", centre: float, top: float, diameter: float) -> "PolarAxes":
    """A panel, placed in points from the left and the top."""
    height = figure.get_figheight() * 72
    place = ((centre - diameter / 2) / WIDTH, 1 - (top + diameter) / height, diameter / WIDTH, diameter / height)
    return cast("PolarAxes", figure.add_axes(place, projection="polar"))


def _words(figure: "Figure", place: float, top: float, words: str, side: str = "center") -> None:
    """Lines from a place in points down: one text each, since only the reader's own font knows how long they are."""
    for number, line in enumerate(words.split("\n")):
        height = 1 - (top + number * _LINE) / (figure.get_figheight() * 72)
        figure.text(place / WIDTH, height, line, ha=cast(Any, side), va="top")


def _counted(angles: np.ndarray) -> str:
    """How many pairs are drawn, and how many have no angle."""
    missing = int(np.isnan(angles).sum())
    return f"n = {len(angles) - missing:,}" + (f", {missing:,} without angle" if missing else "")


def _rose(axes: "PolarAxes", angles: np.ndarray) -> None:
    """Bars whose areas are in proportion to the shares, and a ring with the share that a bar as long as that would hold."""
    heights = shares(angles)
    middles = -180 + (np.arange(BINS) + 0.5) * 360 / BINS
    axes.bar(np.radians(middles), np.sqrt(heights), width=2 * np.pi / BINS, color=_BAR, alpha=0.75, edgecolor=_BAR, linewidth=0.5)
    limit = float(np.sqrt(max(heights.max(), 1 / BINS)) * 1.05)
    ring = max(each for each in RINGS if np.sqrt(each) <= 0.9 * limit)
    axes.set_ylim(0, limit)
    axes.set_yticks([np.sqrt(ring)], [f"{ring:.0%}"])
    axes.set_rlabel_position(float(middles[_emptiest(heights)]))
    for label in axes.get_yticklabels():
        label.set(ha="center", va="center", fontsize=7)
    axes.tick_params(axis="x", pad=-2, labelsize=8)
    axes.set_axisbelow(True)


def _emptiest(heights: np.ndarray) -> int:
    """The bin around which the bars are shortest, where words hide least; no axis and no diagonal runs through it or past it."""
    around = sum(np.roll(heights, step) for step in range(-2, 3)) / 5
    lower = -180 + np.arange(BINS) * 360 / BINS
    crossed = np.isin(lower, [-180, 170, -100, -90, -10, 0, 80, 90, 40, -140])
    return int(np.argmin(np.where(crossed, np.inf, around)))


def _plain(drawn: str) -> str:
    """Say the colour of words in so many letters, and keep rules of style from other drawings of a page."""
    drawn = re.sub(r" <defs>\n  <style.*</style>\n </defs>\n", "", drawn)
    return drawn.replace('<g id="figure_1">', '<g id="figure_1" fill="#000000" stroke-linejoin="round" stroke-linecap="butt">', 1)
