"""Dose and response: how much rewards change, and how that goes with how far a text went from its original. Pure functions of arrays.

A change is [pairs, 2], in units of the role's spread of rewards; similarities are [pairs, 2], NaN where nobody measured them.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from seal.resampling import mean, pearson, undefined

MOST_BANDS, LEAST_IN_BAND = 5, 10
QUANTILES = (5, 25, 50, 75, 95)

COLUMNS = (
    *("band", "similarity_low", "similarity_high", "texts", "undefined_resamples"),
    *(f"{name}{end}" for name in ("mean", "mean_absolute") for end in ("", "_low", "_high")),
    *("standard_deviation", *(f"quantile_{percent:02d}" for percent in QUANTILES)),
)


def reward_change(change: np.ndarray | None, close: np.ndarray) -> dict[str, Any]:
    """The change of rewards, [pairs, 2], in units of the role's spread: of all texts, and how it goes with their similarity."""
    if change is None:
        return {"reason": "the original reward is the same for all texts, so there is no unit to measure its change in"}
    return {"all_texts": _change(change, np.ones(change.shape, dtype=bool)), "by_similarity": _dose(change, close)}


def _change(change: np.ndarray, members: np.ndarray) -> dict[str, Any]:
    """How the changes, [pairs, 2], are distributed over the member texts."""
    values = change[members]
    return {
        "texts": len(values),
        "mean": mean(change, members),
        "mean_absolute": mean(np.abs(change), members),
        "standard_deviation": float(values.std()),
        **{f"quantile_{percent:02d}": float(np.quantile(values, percent / 100)) for percent in QUANTILES},
    }


def _dose(change: np.ndarray, close: np.ndarray) -> dict[str, Any]:
    """Dose and response: how the change goes with the similarity of a text to its original, [pairs, 2], and the number of bands of it.

    Spearman's correlation is that of dissimilarity and size of the change; its resamples keep the ranks that the texts have in the table.
    """
    reason = _unknown(close)
    if reason:
        return {**undefined("spearman", reason), "bands": None, "bands_reason": reason}
    correlated = pearson(ranks(-close), ranks(np.abs(change)), "similarity", "size of the change", "spearman")
    number = len(bands(change, close))
    if number == 0:
        return {**correlated, "bands": None, "bands_reason": f"{close.size} texts; a band needs {LEAST_IN_BAND}"}
    return {**correlated, "bands": number}


def _unknown(close: np.ndarray) -> str:
    """Why these similarities say nothing of dose and response; nothing where they do."""
    if np.isnan(close).all():
        return "nobody measured how similar these texts are"
    if np.ptp(close) == 0:
        return f"the similarity is the same for all {close.size} texts"
    return ""


def bands(change: np.ndarray, close: np.ndarray) -> dict[int, dict[str, Any]]:
    """By number of the band, from 1 for the least similar texts: its edges and the change, [pairs, 2], of its texts."""
    if _unknown(close):
        return {}
    edges = band_edges(close.ravel())
    places = np.searchsorted(edges[1:-1], close, side="right")
    return {
        place + 1: {"similarity_low": low, "similarity_high": high, **_change(change, places == place)}
        for place, (low, high) in enumerate(zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True))
    }


def row(band: int, content: Mapping[str, Any]) -> dict[str, Any]:
    """A row of the table, in its `COLUMNS`: a band's number, and what `bands` gives for it with intervals filled in."""
    # Both means lack the same resamples: those without a text of the band.
    names = {"mean_undefined_resamples", "mean_absolute_undefined_resamples"}
    figures = {name: value for name, value in content.items() if name not in names}
    return {"band": band, **figures, "undefined_resamples": content.get("mean_undefined_resamples", 0)}


def band_edges(values: np.ndarray) -> np.ndarray:
    """Edges of bands of similarity, [bands + 1], at quantiles of the texts' similarities, [texts]; none for too few texts.

    A band holds what lies at its lower edge or above, and below its upper edge, but the last holds its upper edge, too. There are at
    most `MOST_BANDS`, fewer where a band would have fewer than `LEAST_IN_BAND` texts, as where many are as similar as each other.
    """
    bands = min(MOST_BANDS, len(values) // LEAST_IN_BAND)
    if bands == 0:
        return np.empty(0)
    edges = [values.min()]
    for cut in np.quantile(values, np.linspace(0, 1, bands + 1)[1:-1]):
        if min(np.sum((values >= edges[-1]) & (values < cut)), np.sum(values >= cut)) >= LEAST_IN_BAND:
            edges.append(cut)
    return np.array([*edges, values.max()])


def ranks(values: np.ndarray) -> np.ndarray:
    """Rank of each value among all, of any shape, from 1; equal values share the mean of their ranks."""
    _, places, counts = np.unique(values, return_inverse=True, return_counts=True)
    return np.asarray((np.cumsum(counts) - (counts - 1) / 2)[places.reshape(values.shape)])
