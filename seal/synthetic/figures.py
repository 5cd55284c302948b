"""What models have learned of the made-up worlds of `environments`, drawn as SVG. Same values, same bytes; no LaTeX, and no font but the
reader's own."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from seal.svg import svg

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_MEAN = "#0072B2"  # these are told apart by colour-blind readers, and seen on white and on black
_BORDA = "#D55E00"
_EXPECTED = "#009E73"

_SHADES = 8
"""Of a map of the unit square."""

_STYLE = {"axes.titlesize": 8}


def curves(states: np.ndarray, truth: Mapping[str, np.ndarray], learned: Mapping[str, tuple[np.ndarray, np.ndarray]]) -> str:
    """The unit interval: what each model has learned, beside what is true.

    Parameters
    ----------
    states
        [states] in order.
    truth
        Names and values, [states], of up to two curves that are drawn dashed into each panel, on a scale of their own.
    learned
        By model: mean and standard deviation, [states] each, the latter 0 where there is none.
    """

    def draw(figure: "Figure") -> None:
        panels = figure.subplots(len(learned), 1, sharex=True)
        for place, (axes, (name, (mean, spread))) in enumerate(zip(np.atleast_1d(panels), learned.items(), strict=True)):
            room = 0.5 * (mean.max() - mean.min()) or 1.0
            axes.set_ylim(mean.min() - room, mean.max() + room)
            # Where nothing decides but a coin, a standard deviation can be a thousand times the range of the means.
            band = [np.clip(mean + side * spread, *axes.get_ylim()) for side in (-1, 1)]
            axes.fill_between(states, *band, color=_MEAN, alpha=0.25, linewidth=0)
            axes.plot(states, mean, color=_MEAN, label="learned mean, and a standard deviation on either side")
            axes.set_title(name)
            twin = axes.twinx()
            twin.set_ylim(-0.05, 1.3)
            twin.set_yticks([])
            for colour, (label, values) in zip((_BORDA, _EXPECTED), truth.items(), strict=False):
                axes.plot([], [], color=colour, linestyle="--", linewidth=1, label=f"{label}, on a scale of its own from 0 to 1")
                twin.plot(states, values, color=colour, linestyle="--", linewidth=1)
            if place == len(learned) - 1:
                axes.set_xlabel("state a")
                figure.legend(*axes.get_legend_handles_labels(), loc="lower center", frameon=False)
        figure.subplots_adjust(left=0.12, right=0.98, top=1 - 16 / _height(figure), bottom=74 / _height(figure), hspace=0.3)

    return svg(draw, 90 + 100 * len(learned), _STYLE)


def maps(side: int, panels: Mapping[str, np.ndarray]) -> str:
    """The unit square: one map for each quantity, [side * side] in rows of equal x; darker is higher.

    Each of eight shades covers an eighth of the states, so that a scale that runs off somewhere hides nothing elsewhere.
    """
    middles = (np.arange(side) + 0.5) / side
    rows = -(-len(panels) // 2)

    def draw(figure: "Figure") -> None:
        grid = figure.subplots(rows, 2, squeeze=False).ravel()
        for axes in grid[len(panels) :]:
            axes.set_axis_off()
        for axes, (name, values) in zip(grid, panels.items(), strict=False):
            _map(axes, middles, values.reshape(side, side).T)
            axes.set_title(name)
            axes.set(xlabel="x", ylabel="y", aspect="equal", xlim=(0, 1), ylim=(0, 1), xticks=[0, 1], yticks=[0, 1])
        figure.subplots_adjust(left=0.08, right=0.98, top=1 - 16 / _height(figure), bottom=26 / _height(figure), hspace=0.5, wspace=0.2)

    return svg(draw, 40 + 150 * rows, _STYLE)


def _map(axes: "Axes", middles: np.ndarray, values: np.ndarray) -> None:
    edges = np.unique(np.quantile(values, np.linspace(0, 1, _SHADES + 1)))
    if len(edges) < 2:  # one value everywhere
        return
    shade = np.interp(values, edges, np.linspace(0, 1, len(edges)))
    axes.contourf(middles, middles, shade, levels=np.linspace(0, 1, len(edges)), cmap="Blues")


def _height(figure: "Figure") -> float:
    return float(figure.get_figheight() * 72)
