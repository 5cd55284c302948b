"""Piecewise linear functions of one number, known at a few of many rows. Pure functions of tensors.

The states of a batch, in order, fall into runs on which a layer of ReLUs is linear. So the two ends of a run stand for all between, and
sums over all rows are sums over these with weights. No digit is given up: values and slopes are those of all rows, but for rounding.
"""

from typing import NamedTuple

import torch
from torch import Tensor


class Runs(NamedTuple):
    """From the rows at which a layer is known to those that the next one needs, where states are in order."""

    rows: Tensor
    """[next] numbers of the rows that the next layer needs."""
    low: Tensor
    """[next] the place, among those known, of the one at or before each of them; the one after it is at or behind it."""
    share: Tensor
    """[next, 1] of the way from that one to the one after it."""


class Products(NamedTuple):
    """Sums of squares over all rows, of values that are known at some: the matrix M in sum x² = x' M x, whose diagonals these are."""

    main: Tensor
    """[rows, 1]"""
    side: Tensor
    """[rows - 1, 1]; empty where all rows are known."""

    def __matmul__(self, values: Tensor) -> Tensor:
        made = self.main * values
        if len(self.side):
            made[:-1].addcmul_(self.side, values[1:])
            made[1:].addcmul_(self.side, values[:-1])
        return made


def bend(states: Tensor, rows: Tensor, values: Tensor) -> Runs:
    """The rows that a layer's ReLU needs: those known, and the two on either side of each place where a unit changes its sign.

    Parameters
    ----------
    states
        [n] in order.
    rows
        [known] in order, the first and the last of all among them.
    values
        [known, units], linear between one known row and the next.
    """
    wide = (rows[1:] - rows[:-1] > 1).nonzero()[:, 0]
    positive = values > 0
    at, unit = (positive[wide] != positive[wide + 1]).nonzero(as_tuple=True)
    at = wide[at]
    low, high = values[at, unit], values[at + 1, unit]
    start, end = rows[at], rows[at + 1]
    crossing = states[start] + (states[end] - states[start]) * (low / (low - high))
    before = (torch.searchsorted(states, crossing, right=True) - 1).clamp(min=start, max=end - 1)
    needed = torch.zeros(len(states), dtype=torch.bool)
    needed[rows] = needed[before] = needed[before + 1] = True
    return between(states, rows, needed.nonzero()[:, 0])


def between(states: Tensor, rows: Tensor, needed: Tensor) -> Runs:
    """From rows that are known, [known], to those that are needed, [next]; both in order."""
    low = (torch.searchsorted(rows, needed, right=True) - 1).clamp(max=len(rows) - 2)
    start, end = states[rows[low]], states[rows[low + 1]]
    share = ((states[needed] - start) / (end - start)).nan_to_num(0.0)  # equal states have equal values
    return Runs(needed, low, share[:, None])


def interpolate(values: Tensor, runs: Runs) -> Tensor:
    """Values at the rows that are needed, [next, units], from those known, [known, units]."""
    return torch.lerp(values.index_select(0, runs.low), values.index_select(0, runs.low + 1), runs.share)


def gather(slopes: Tensor, runs: Runs, known: int) -> Tensor:
    """The way back of `interpolate`: slopes at the rows known, [known, units], from those at the rows that are needed, [next, units]."""
    later = slopes * runs.share
    made = torch.zeros(known, slopes.shape[1], dtype=slopes.dtype)
    made.index_add_(0, runs.low, slopes - later)
    return made.index_add_(0, runs.low + 1, later)


def counted(states: Tensor, rows: Tensor) -> tuple[Tensor, Products]:
    """How many rows each row known stands for, [known, 1], and the sums of squares over all."""
    runs = between(states, rows, torch.arange(len(states)))
    later = runs.share[:, 0]
    sooner = 1 - later

    def total(low: Tensor, high: Tensor) -> Tensor:
        made = torch.zeros(len(rows), dtype=states.dtype)
        return made.index_add_(0, runs.low, low).index_add_(0, runs.low + 1, high)[:, None]

    side = torch.zeros(len(rows) - 1, dtype=states.dtype).index_add_(0, runs.low, sooner * later)[:, None]
    return total(sooner, later), Products(total(sooner**2, later**2), side)
