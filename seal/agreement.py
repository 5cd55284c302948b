"""Agreement of rewards with the human choice, alignment resistance, alignment regimes. Pure functions of tables."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from seal.uncertainty import ClusterBootstrap, Interval, Resampled, exact_mcnemar, wilson

REGIMES = {
    "stayed_aligned": (True, True),
    "got_aligned": (False, True),
    "resists_alignment": (False, False),
    "reversed_alignment": (True, False),
}
"""Alignment regime by whether (control, aligned) agree with the human (SEAL, arXiv 2408.10270)."""

TURNS = {"1 to 2": (1, 2), "3 to 4": (3, 4), "5 to 6": (5, 6), "7 or more": (7, np.inf)}
"""Least and most turns of the conversations of a group."""

LENGTH_DIFFERENCES = {
    "rejected longer by 200 or more": (-np.inf, -200),
    "rejected longer by 50 to 199": (-199, -50),
    "within 49": (-49, 49),
    "chosen longer by 50 to 199": (50, 199),
    "chosen longer by 200 or more": (200, np.inf),
}
"""Least and most characters that the chosen response of a group's pairs is longer than the rejected one."""


def subsets(pairs: pd.DataFrame) -> Iterator[tuple[tuple[str, ...], np.ndarray]]:
    """The parts of a table that every figure is given for: names for the metrics file, and a mask of rows, [pairs]."""
    yield ("all",), np.ones(len(pairs), dtype=bool)
    yield ("differing_texts",), (pairs["chosen_text"] != pairs["rejected_text"]).to_numpy()
    for column in ("part", "source"):
        for value in sorted(pairs[column].unique()):
            yield (f"by_{column}", value), (pairs[column] == value).to_numpy()


def by_subset(pairs: pd.DataFrame, measure: Callable[[np.ndarray], dict[str, Any]]) -> dict[str, Any]:
    """Nest the figures that `measure` gives for each subset's mask under the subset's names."""
    figures: dict[str, Any] = {}
    for names, mask in subsets(pairs):
        level = figures
        for name in names[:-1]:
            level = level.setdefault(name, {})
        level[names[-1]] = measure(mask)
    return figures


def margins_of(scores: pd.DataFrame) -> np.ndarray:
    """Reward of the chosen text less that of the rejected one, [pairs], of a role's rewards as `scores.read` gives them."""
    return np.asarray(scores["chosen_score"].to_numpy(dtype=float) - scores["rejected_score"].to_numpy(dtype=float))


def resistance(scores: pd.DataFrame, lengths: np.ndarray, draw: ClusterBootstrap) -> dict[str, Any]:
    """Agreement with the human choice and alignment resistance of one role.

    Parameters
    ----------
    scores
        A role's rewards, as `scores.read` gives them.
    lengths
        [pairs, 2] characters of the chosen and the rejected response, for the length baseline.
    draw
        Bootstrap over the opening prompts of these pairs.

    Returns
    -------
    Counts, shares with their intervals (`_low`, `_high`; null where a single opening prompt leaves none), margins in units of the reward.
    Intervals by bootstrap over opening prompts; those under `independent_pairs` take every pair for independent.
    """
    pairs = len(scores)
    if pairs == 0:
        return {"pairs": 0}
    agrees = scores["agreement"].to_numpy(dtype=bool)
    margins = margins_of(scores)
    longer = lengths[:, 0] > lengths[:, 1]
    agreement, mean, length_agreement, median = draw.intervals(means=[agrees, margins, longer], medians=[margins])
    return {
        "pairs": pairs,
        "opening_prompts": draw.clusters,
        **with_interval("agreement", agrees.mean(), agreement),
        **with_interval("resistance", 1 - agrees.mean(), _complement(agreement)),
        "ties": int((margins == 0).sum()),
        **with_interval("margin_mean", margins.mean(), mean),
        **with_interval("margin_median", float(np.median(margins)), median),
        **with_interval("length_agreement", longer.mean(), length_agreement),
        "length_ties": int((lengths[:, 0] == lengths[:, 1]).sum()),
        "independent_pairs": with_interval("agreement", None, wilson(int(agrees.sum()), pairs, draw.level)),
    }


def _complement(share: Resampled) -> Resampled:
    """Of 1 less a share."""
    return share._replace(interval=share.interval and Interval(1 - share.interval.high, 1 - share.interval.low))


def resistance_by(
    groupings: Mapping[str, Mapping[str, np.ndarray]], scores: pd.DataFrame, draw: ClusterBootstrap
) -> dict[str, dict[str, dict[str, Any]]]:
    """Alignment resistance of one role in each group of pairs.

    Parameters
    ----------
    groupings
        By name of the grouping, the name and mask, [pairs], of each group; groups may overlap.
    scores, draw
        As in `resistance`.

    Returns
    -------
    By grouping and group: pairs, opening prompts, ties and the share, with its interval by bootstrap over opening prompts; under
    `independent_pairs` the one that takes every pair for independent.
    """
    margins = margins_of(scores)
    resists = margins <= 0
    # Of all groups at once, for each look at the draw takes time of its own.
    intervals = iter(draw.mean_intervals_of_groups(resists, [members for groups in groupings.values() for members in groups.values()]))

    def figures(members: np.ndarray, interval: Resampled) -> dict[str, Any]:
        pairs = int(members.sum())
        if pairs == 0:
            return {"pairs": 0}
        return {
            "pairs": pairs,
            "opening_prompts": draw[members].clusters,
            "ties": int((margins[members] == 0).sum()),
            **with_interval("resistance", resists[members].mean(), interval),
            # Of a small group in which no pair resists, or every one, all resamples are alike; this interval still has a width.
            "independent_pairs": with_interval("resistance", None, wilson(int(resists[members].sum()), pairs, draw.level)),
        }

    return {
        grouping: {name: figures(members, next(intervals)) for name, members in groups.items()} for grouping, groups in groupings.items()
    }


def in_ranges(values: np.ndarray, ranges: Mapping[str, tuple[float, float]]) -> dict[str, np.ndarray]:
    """Group pairs by a value of each, [pairs]: by name of the range, a mask of those between its ends, both included."""
    return {name: (values >= low) & (values <= high) for name, (low, high) in ranges.items()}


def all_and_held_out(pairs: pd.DataFrame, measure: Callable[[np.ndarray], dict[str, Any]]) -> dict[str, Any]:
    """The figures that `measure` gives for a mask of all pairs, and of those that no training here has seen."""
    return {"all": measure(np.ones(len(pairs), dtype=bool)), "held_out": measure((pairs["part"] == "held-out").to_numpy())}


def most_resistant(pairs: pd.DataFrame, scores: pd.DataFrame, gammas: np.ndarray, most: int) -> pd.DataFrame:
    """The pairs with the largest negative margins, for people to read: the largest first, of equal ones the lower row_id.

    Parameters
    ----------
    pairs
        The table of pairs.
    scores
        A role's rewards, as `scores.read` gives them.
    gammas
        [pairs] what the labeler prefers; empty where no labels are given.
    most
        How many pairs; there are fewer where fewer have a negative margin.
    """
    table = pd.DataFrame(
        {
            "row_id": pairs["row_id"].to_numpy(),
            "gamma": gammas,
            "margin": margins_of(scores),
            "chosen_score": scores["chosen_score"].to_numpy(),
            "rejected_score": scores["rejected_score"].to_numpy(),
            **{column: pairs[column].to_numpy() for column in ("opening_prompt", "chosen_response", "rejected_response")},
        }
    )
    return table[table["margin"] < 0].sort_values(["margin", "row_id"], ignore_index=True).head(most)


def regimes(control: np.ndarray, aligned: np.ndarray, draw: ClusterBootstrap) -> dict[str, Any]:
    """Counts and shares of the four alignment regimes, and the agreement gained from control to aligned.

    Parameters
    ----------
    control, aligned
        [pairs] whether each role agrees with the human.
    draw
        Bootstrap over the opening prompts of these pairs.
    """
    pairs = len(control)
    if pairs == 0:
        return {"pairs": 0}
    difference = aligned.astype(float) - control.astype(float)
    members = {name: (control == before) & (aligned == after) for name, (before, after) in REGIMES.items()}
    gained, *shares = draw.intervals(means=[difference, *members.values()])
    figures: dict[str, Any] = {
        "pairs": pairs,
        "opening_prompts": draw.clusters,
        **with_interval("agreement_gained", difference.mean(), gained),
    }
    for (name, of_regime), share in zip(members.items(), shares, strict=True):
        count = int(of_regime.sum())
        figures[name] = {
            "pairs": count,
            **with_interval("share", of_regime.mean(), share),
            "independent_pairs": with_interval("share", None, wilson(count, pairs, draw.level)),
        }
    return figures


def regime_names(control: np.ndarray, aligned: np.ndarray) -> np.ndarray:
    """Name of each pair's regime, [pairs], from whether each role agrees with the human, [pairs]."""
    names = np.empty(len(control), dtype=object)
    for name, (before, after) in REGIMES.items():
        names[(control == before) & (aligned == after)] = name
    return names


def pairwise(first: np.ndarray, second: np.ndarray, draw: ClusterBootstrap) -> dict[str, Any]:
    """How two roles' agreement with the human compares, on the same pairs.

    Parameters
    ----------
    first, second
        [pairs] whether each role agrees with the human.
    draw
        Bootstrap over the opening prompts of these pairs.

    Returns
    -------
    Both shares, their paired difference with its interval by bootstrap over opening prompts, the discordant pairs, and under
    `independent_pairs` the exact McNemar test.
    """
    return compared([(first, second)], draw)[0]


def compared(contests: Sequence[tuple[np.ndarray, np.ndarray]], draw: ClusterBootstrap) -> list[dict[str, Any]]:
    """What `pairwise` gives for each two of several that are set against each other on the same pairs."""
    pairs = len(draw)
    if pairs == 0:
        return [{"pairs": 0} for _ in contests]
    differences = [first.astype(float) - second.astype(float) for first, second in contests]
    figures: list[dict[str, Any]] = []
    for (first, second), difference, interval in zip(contests, differences, draw.intervals(differences), strict=True):
        only_first, only_second = int((first & ~second).sum()), int((~first & second).sum())
        test = exact_mcnemar(only_first, only_second)
        figures.append(
            {
                "pairs": pairs,
                "opening_prompts": draw.clusters,
                "first_agreement": first.mean(),
                "second_agreement": second.mean(),
                **with_interval("difference", difference.mean(), interval),
                "only_first_agrees": only_first,
                "only_second_agrees": only_second,
                "independent_pairs": {"mcnemar_p": test.p, "mcnemar_log10_p": test.log10_p},
            }
        )
    return figures


def with_interval(name: str, value: float | None, found: Resampled | Interval | None) -> dict[str, float | None]:
    """A figure and the ends of its interval under names of one pattern; without the figure where it is None.

    Where resamples leave the figure undefined, `_undefined_resamples` counts them.
    """
    interval, undefined = found if isinstance(found, Resampled) else (found, 0)
    figures = {} if value is None else {name: value}
    ends = {f"{name}_low": interval and interval.low, f"{name}_high": interval and interval.high}
    return {**figures, **ends, **({f"{name}_undefined_resamples": undefined} if undefined else {})}


def margin_histogram(scores: pd.DataFrame) -> pd.DataFrame:
    """Shares of pairs by margin in its own standard deviations, in 40 equal bins over [-4, 4]; what lies beyond counts at the ends."""
    margins = margins_of(scores)
    spread = (margins.std() if len(margins) else 0.0) or 1.0
    edges = np.linspace(-4, 4, 41)
    # Turned round, bins hold their right end and not their left: a tie lies left of 0, as it is no agreement.
    counts = np.histogram(-np.clip(margins / spread, -4, 4), edges)[0][::-1]
    return pd.DataFrame({"margin": np.round((edges[:-1] + edges[1:]) / 2, 3), "share": np.round(counts / max(len(margins), 1), 6)})
