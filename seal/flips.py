"""Flips: labels that are others after rewriting, how often they are, and what became of the pairs at each level of a flip.

SEAL (arXiv 2408.10270); shares of the pairs at risk and all intervals are added here. A flip is the original label less the
rewritten one. Pure functions of tables and arrays.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from seal import rewrites
from seal.agreement import with_interval
from seal.features import numbers
from seal.pairs import PREFERENCES
from seal.resampling import mean
from seal.rewrites import AFTER, BEFORE
from seal.uncertainty import newcombe, wilson

FEATURES = dict(zip(("helpful", "harmless", "coherent", "eloquent", "sentiment"), rewrites.FEATURES, strict=True))
"""Features whose flips are counted: the word for each, and its name in the columns."""

OUTCOME_COLUMNS = (
    *("feature", "side", "level", "outcome", "population", "pairs", "count"),
    *("share", "share_low", "share_high", "difference", "difference_low", "difference_high"),
)
"""Of the rows that `outcomes_by_level` gives."""

Flips = Mapping[tuple[str, str], np.ndarray]
"""By feature and side: [pairs] original label minus rewritten label, NaN where one of the two is missing."""


def flips_of(table: pd.DataFrame) -> dict[tuple[str, str], np.ndarray]:
    """Flips of every feature and side, [pairs]: -1 is gained by rewriting, +1 lost; sentiment counts as -1, 0, 1."""
    return {
        (feature, side): numbers(table[f"{BEFORE}_{side}_{name}"]) - numbers(table[f"{AFTER}_{side}_{name}"])
        for feature, name in FEATURES.items()
        for side in PREFERENCES
    }


def nested(figures: Mapping[tuple[str, str], dict[str, Any]]) -> dict[str, Any]:
    """Figures by feature, then by side."""
    nested: dict[str, Any] = {}
    for (feature, side), content in figures.items():
        nested.setdefault(feature, {})[side] = content
    return nested


def flip_rate(flip: np.ndarray, level: float) -> dict[str, Any]:
    """How often a label is another one after rewriting, over the pairs that have it on both versions."""
    labelled = ~np.isnan(flip)
    flipped = labelled & (flip != 0)
    n, count = int(labelled.sum()), int(flipped.sum())
    return {
        "labelled_pairs": n,
        "unlabelled_pairs": len(flip) - n,
        "flipped_pairs": count,
        "flip_rate": mean(flipped, labelled, "no pair has this label on both versions"),
        "independent_pairs": with_interval("flip_rate", None, wilson(count, n, level)),
    }


def levels_of(flip: np.ndarray) -> list[int]:
    """The levels of a flip that occur, in order."""
    return sorted({int(level) for level in flip[~np.isnan(flip)]})


def outcomes_by_level(flips: Flips, before: np.ndarray, after: np.ndarray, level: float) -> list[dict[str, Any]]:
    """What became of the pairs with each level of each flip.

    Parameters
    ----------
    flips
        [pairs] each.
    before, after
        [pairs] whether a pair agreed with the human choice before rewriting, and after.
    level
        Of the intervals.

    Returns
    -------
    A row in `OUTCOME_COLUMNS` for each feature, side, level that occurs, outcome (`became_misaligned`, `became_aligned`) and population:
    all pairs of the level, as SEAL publishes them, or those `at_risk`, on which the outcome could happen: that agreed before, of those
    that became misaligned; that did not, of those that became aligned. `difference` is the share less that of the pairs without this flip
    (level 0), and level 0 has none; its interval is Newcombe's, that of the share is Wilson's, and both take every pair for independent.
    None where there is no pair to take a share of.
    """
    everyone = np.ones(len(before), dtype=bool)
    outcomes = {"became_misaligned": (before & ~after, before), "became_aligned": (~before & after, ~before)}
    return [
        {
            **{"feature": feature, "side": side, "level": each, "outcome": outcome, "population": population},
            **_share(became, members & (flip == each), members & (flip == 0), each != 0, level),
        }
        for (feature, side), flip in flips.items()
        for each in levels_of(flip)
        for outcome, (became, at_risk) in outcomes.items()
        for population, members in (("all_pairs", everyone), ("at_risk", at_risk))
    ]


def _share(became: np.ndarray, members: np.ndarray, base: np.ndarray, against_base: bool, level: float) -> dict[str, Any]:
    count, n = int((became & members).sum()), int(members.sum())
    base_count, base_n = int((became & base).sum()), int(base.sum())
    comparable = against_base and n > 0 and base_n > 0
    return {
        "pairs": n,
        "count": count,
        "share": count / n if n else None,
        **with_interval("share", None, wilson(count, n, level)),
        "difference": count / n - base_count / base_n if comparable else None,
        **with_interval("difference", None, newcombe(count, n, base_count, base_n, level) if comparable else None),
    }
