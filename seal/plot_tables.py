"""Tables that plots are drawn from: one row for each mark. Pure functions of arrays, tables and figures."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from seal.agreement import REGIMES
from seal.features import BOOLEANS, SENTIMENT, numbers
from seal.files import rounded
from seal.labeler_preference import UNLABELLED, PairLabels
from seal.uncertainty import ClusterBootstrap, Resampled

COEFFICIENTS = ("balanced_accuracy", "cohen_kappa", "linear_kappa", "gwet_ac1", "mean_jaccard")
"""Of two labelers: the first needs gold, the third is kappa of sentiment, the last is of lists."""

COMPARISONS = ("labeler_gold", "labeler_gold_reserved", "control_gold", "labeler_control")

MEANS = (*BOOLEANS, SENTIMENT)
"""Features that have a mean label; lists have none."""

_IN_ORDER = ("c", "i", "r", UNLABELLED)
"""Gamma from the human's side to the other, then the pairs without one."""


def agreement_by_gamma(agrees: Mapping[str, np.ndarray], gammas: np.ndarray, draw: ClusterBootstrap) -> pd.DataFrame:
    """The mosaic of agreement with the human by gamma: rectangles as wide as gamma is frequent, and as high as a role agrees.

    Parameters
    ----------
    agrees
        By role, [pairs] whether it agrees with the human.
    gammas
        [pairs] as `labeler_preference.gamma` gives them.
    draw
        Bootstrap over the opening prompts of these pairs.

    Returns
    -------
    role, gamma, n (pairs of this gamma), agrees (how many of these), share with its interval low to high by bootstrap over opening
    prompts (empty where these pairs have one prompt or none, or where more than a tenth of the resamples hold none of them), and the
    corners x0, x1 (of all pairs, 0 to 1), y0, y1 (0 to the share). Without a pair gamma has a row of no width; unlabelled pairs have rows
    only where there are any.
    """
    rows = []
    left = 0
    for gamma in _IN_ORDER:
        members = gammas == gamma
        n = int(members.sum())
        if n == 0 and gamma == UNLABELLED:
            continue
        intervals = draw[members].intervals(means=[agreed[members] for agreed in agrees.values()])
        for (role, agreed), interval in zip(agrees.items(), intervals, strict=True):
            share = float(agreed[members].mean()) if n else None
            counts = {"role": role, "gamma": gamma, "n": n, "agrees": int(agreed[members].sum())}
            corners = {"x0": left / max(len(gammas), 1), "x1": (left + n) / max(len(gammas), 1), "y0": 0, "y1": share}
            rows.append({**counts, "share": share, **_ends(interval), **corners})
        left += n
    roles = list(agrees)
    return _table(sorted(rows, key=lambda row: roles.index(row["role"])))


def regimes_by_gamma(figures: Mapping[str, Any]) -> pd.DataFrame:
    """How many of the pairs of each gamma are of each regime.

    Parameters
    ----------
    figures
        By gamma, as `labeler_preference.regimes_by_gamma` gives them.

    Returns
    -------
    gamma, regime, n (pairs of this gamma), pairs (how many of these are of the regime), share with its interval low to high by bootstrap
    over opening prompts. Share and interval are empty where gamma has no pair; unlabelled pairs have rows only where there are any.
    """
    rows = []
    for gamma in _IN_ORDER:
        of_gamma = figures[gamma]
        if of_gamma["pairs"] == 0 and gamma == UNLABELLED:
            continue
        for regime in REGIMES:
            found = of_gamma.get(regime, {"pairs": 0})
            ends = {"low": found.get("share_low"), "high": found.get("share_high")}
            row = {"gamma": gamma, "regime": regime, "n": of_gamma["pairs"], "pairs": found["pairs"], "share": found.get("share"), **ends}
            rows.append(row)
    return _table(rows)


def rewards_histogram(scores: pd.DataFrame, bins: int = 30) -> pd.DataFrame:
    """Counts of a role's rewards of chosen and rejected, in equal squares; only those that are not empty.

    Parameters
    ----------
    scores
        A role's rewards, as `scores.read` gives them.
    bins
        How many along each side. Both sides have the same edges, so that equal rewards lie on the diagonal of squares. They run from
        the smallest to the largest reward, but no further than 4 standard deviations from the mean of all; what lies beyond counts in the
        bins at the ends.

    Returns
    -------
    chosen_low, chosen_high, rejected_low, rejected_high (edges, in units of the reward; the lower belongs to the bin, and to the last one
    both), pairs, agrees (how many of these have the larger reward on chosen), share of all pairs.
    """
    rewards = scores[["chosen_score", "rejected_score"]].to_numpy(dtype=float)
    if len(rewards) == 0:
        edges = np.linspace(-0.5, 0.5, bins + 1)
    else:
        centre, spread = rewards.mean(), rewards.std()
        low, high = max(rewards.min(), centre - 4 * spread), min(rewards.max(), centre + 4 * spread)
        # A reward that is the same for all but for rounding has squares of a size that can be drawn.
        least = max(1e-9 * abs(centre), np.finfo(float).tiny)
        edges = np.linspace(low, high, bins + 1) if high - low > least else np.linspace(low - 0.5, low + 0.5, bins + 1)
    # The bin of a value is found from the edges alone, so that one that lies on an edge is put where the docs say.
    places = np.clip(np.searchsorted(edges, rewards, side="right") - 1, 0, bins - 1)
    cells = places[:, 0] * bins + places[:, 1]
    counts = np.bincount(cells, minlength=bins * bins)
    agreed = np.bincount(cells[rewards[:, 0] > rewards[:, 1]], minlength=bins * bins)
    some = np.flatnonzero(counts)
    chosen, rejected = some // bins, some % bins
    table = pd.DataFrame(
        {
            "chosen_low": edges[chosen],
            "chosen_high": edges[chosen + 1],
            "rejected_low": edges[rejected],
            "rejected_high": edges[rejected + 1],
            "pairs": counts[some],
            "agrees": agreed[some],
            "share": counts[some] / max(len(rewards), 1),
        }
    )
    return table.map(rounded)


def labeler_agreement(figures: Mapping[str, Any]) -> pd.DataFrame:
    """How well two labelers agree on each feature, by comparison and coefficient.

    Parameters
    ----------
    figures
        By comparison, as `label_agreement.compare` gives them; others than `COMPARISONS` are ignored.

    Returns
    -------
    comparison, feature, coefficient (of `COEFFICIENTS`, where the feature has it), value with its interval low to high, n (texts),
    reason (why value or interval is empty). A comparison that could not be made, such as one without gold, has no rows.
    """
    rows = []
    for comparison in COMPARISONS:
        for feature, found in (figures[comparison]["features"] or {}).items():
            for coefficient in COEFFICIENTS:
                if coefficient in found:
                    of_it = found[coefficient]
                    values = {name: of_it[name] for name in ("value", "low", "high")}
                    row = {"comparison": comparison, "feature": feature, "coefficient": coefficient, **values}
                    rows.append({**row, "n": found["n"], "reason": of_it.get("reason", "")})
    return _table(rows, ("comparison", "feature", "coefficient", "value", "low", "high", "n", "reason"))


def label_means(labels: PairLabels, draw: ClusterBootstrap) -> pd.DataFrame:
    """The mean label of chosen and of rejected texts, and how much they differ within pairs.

    Parameters
    ----------
    labels
        Of the pairs, with some of `MEANS`; pairs of which a text has no labels are left out and counted.
    draw
        Bootstrap over the opening prompts of these pairs.

    Returns
    -------
    feature, side (chosen, rejected, or difference: chosen less rejected of the same pair), mean (a share; of sentiment the mean of -1, 0
    and 1) with its interval low to high by bootstrap over opening prompts, n (labelled pairs), left_out (pairs).
    """
    columns = {}
    for feature in (feature for feature in MEANS if feature in labels.chosen):
        chosen, rejected = (numbers(side[feature]) for side in (labels.chosen, labels.rejected))
        for side, values in {"chosen": chosen, "rejected": rejected, "difference": chosen - rejected}.items():
            columns[feature, side] = values
    n = int(labels.labelled.sum())
    intervals = draw[labels.labelled].intervals(means=list(columns.values()))
    rows = [
        {
            "feature": feature,
            "side": side,
            "mean": values.mean() if n else None,
            **_ends(interval),
            "n": n,
            "left_out": len(labels.labelled) - n,
        }
        for ((feature, side), values), interval in zip(columns.items(), intervals, strict=True)
    ]
    return _table(rows, ("feature", "side", "mean", "low", "high", "n", "left_out"))


def _ends(found: Resampled) -> dict[str, float | None]:
    return {"low": found.interval and found.interval.low, "high": found.interval and found.interval.high}


def _table(rows: list[dict[str, Any]], columns: tuple[str, ...] | None = None) -> pd.DataFrame:
    """Rounded like metrics, since plots are compared across commits and machines as they are."""
    return pd.DataFrame(rows, columns=columns, dtype=object).map(rounded)
