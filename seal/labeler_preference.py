"""Gamma, the labeler's own preference between the two texts of a pair, and how the reward models' choices go with it.

SEAL (arXiv 2408.10270): the labeler is not asked which text it prefers; its labels of the two texts are compared. Intervals and
tests are added here. Pure functions of tables and arrays.
"""

from collections.abc import Sequence
from itertools import product
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from seal import agreement, regression, resampling
from seal.agreement import with_interval
from seal.errors import InputError
from seal.features import values
from seal.pairs import PREFERENCES
from seal.uncertainty import ClusterBootstrap, newcombe

COMPARED = ("last_response_is_harmless", "last_response_is_helpful")
"""What gamma compares: harmless first; helpful only where both texts are as harmless."""

TOPICS = "topics"
GAMMAS = ("c", "r", "i")
"""The labeler prefers the chosen text, the rejected text, or neither: indifferent."""

UNLABELLED = "unlabelled"
"""In the place of gamma, where a text of the pair has no labels."""


class PairLabels(NamedTuple):
    """Labels of the two texts of each pair that has both."""

    chosen: pd.DataFrame
    """[labelled pairs, features], in the order of the pairs."""
    rejected: pd.DataFrame
    """Likewise."""
    labelled: np.ndarray
    """[pairs] whether both texts have labels."""


def by_pair(labels: pd.DataFrame, row_ids: np.ndarray, features: Sequence[str], path: str) -> PairLabels:
    """Join labels of texts to pairs.

    Parameters
    ----------
    labels
        One row for each text that has labels, as `taxonomy.read` gives them.
    row_ids
        [pairs] of the table of pairs.
    features
        Those that are needed.
    path
        Of the labels, for the message.

    Raises
    ------
    InputError
        If the labels lack one of the features.
    """
    missing = [feature for feature in features if feature not in labels]
    if missing:
        raise InputError(f"{path}: lacks the column(s) {', '.join(missing)}; label the texts with them, or leave --taxonomy out")
    sides = [labels[labels["preference"] == preference].set_index("row_id")[list(features)] for preference in PREFERENCES]
    labelled = np.isin(row_ids, sides[0].index) & np.isin(row_ids, sides[1].index)
    chosen, rejected = (side.loc[row_ids[labelled]].reset_index(drop=True) for side in sides)
    return PairLabels(chosen, rejected, labelled)


def gamma(labels: PairLabels) -> np.ndarray:
    """The labeler's preference of each pair, [pairs]: one of `GAMMAS`, or `UNLABELLED`.

    (harmless, helpful) of the chosen text is compared with that of the rejected one as words are in a dictionary, true after false.
    """
    chosen, rejected = (_rank(side) for side in (labels.chosen, labels.rejected))
    gammas = np.full(len(labels.labelled), UNLABELLED, dtype=object)
    gammas[labels.labelled] = np.select([chosen > rejected, chosen < rejected], ["c", "r"], "i")
    return gammas


def _rank(side: pd.DataFrame) -> np.ndarray:
    """[labelled pairs] from 0, neither harmless nor helpful, to 3, both."""
    harmless, helpful = (side[feature].to_numpy(dtype=int) for feature in COMPARED)
    return np.asarray(2 * harmless + helpful)


def label_combinations(labels: PairLabels) -> dict[str, int]:
    """How many labelled pairs have each combination: <harmless><helpful> of chosen | <harmless><helpful> of rejected, as 0 and 1."""
    counts = np.bincount(4 * _rank(labels.chosen) + _rank(labels.rejected), minlength=16)
    sides = [f"{harmless}{helpful}" for harmless, helpful in product((0, 1), repeat=2)]
    return {f"{chosen}|{rejected}": int(count) for (chosen, rejected), count in zip(product(sides, repeat=2), counts, strict=True)}


def gamma_groups(gammas: np.ndarray) -> dict[str, np.ndarray]:
    """A mask of pairs, [pairs], for each gamma, and for those without one."""
    return {name: gammas == name for name in (*GAMMAS, UNLABELLED)}


def topic_groups(labels: PairLabels) -> dict[str, np.ndarray]:
    """A mask of pairs, [pairs], for each topic that the labeler gives to either text, for pairs without any, and for unlabelled ones.

    A pair can have several topics.
    """
    topics = values(TOPICS)
    found = np.zeros((len(labels.chosen), len(topics)), dtype=bool)
    for side in (labels.chosen[TOPICS], labels.rejected[TOPICS]):
        # Texts with the same topics usually share one list, which is looked at once.
        lists = {id(given): given for given in side}
        codes, ids = pd.factorize(np.fromiter(map(id, side), dtype=np.int64, count=len(side)))
        has = np.array([[topic in lists[each] for topic in topics] for each in ids.tolist()], dtype=bool).reshape(-1, len(topics))
        found |= has[codes]
    members = {**dict(zip(topics, found.T, strict=True)), "no topic": ~found.any(axis=1)}
    groups = {}
    for topic, of_labelled in members.items():
        groups[topic] = np.zeros(len(labels.labelled), dtype=bool)
        groups[topic][labels.labelled] = of_labelled
    return {**groups, UNLABELLED: ~labels.labelled}


def gamma_shares(gammas: np.ndarray, draw: ClusterBootstrap) -> dict[str, dict[str, Any]]:
    """Pairs of each gamma, and their share of the labelled pairs; null where no pair is labelled.

    Parameters
    ----------
    gammas
        [pairs] as `gamma` gives them.
    draw
        Bootstrap over the opening prompts of these pairs.
    """
    labelled = gammas != UNLABELLED
    if not labelled.any():
        return {name: {"pairs": 0, "share": None, **with_interval("share", None, None)} for name in GAMMAS}
    members = {name: gammas[labelled] == name for name in GAMMAS}
    intervals = draw[labelled].intervals(means=list(members.values()))
    return {
        name: {"pairs": int(of_gamma.sum()), **with_interval("share", of_gamma.mean(), interval)}
        for (name, of_gamma), interval in zip(members.items(), intervals, strict=True)
    }


def rejected_minus_chosen(resists: np.ndarray, gammas: np.ndarray, draw: ClusterBootstrap) -> dict[str, Any]:
    """How much more a role resists where the labeler, too, prefers the rejected text than where it prefers the chosen one.

    Parameters
    ----------
    resists
        [pairs] whether the role does not agree with the human.
    gammas
        [pairs] as `gamma` gives them.
    draw
        Bootstrap over the opening prompts of these pairs.

    Returns
    -------
    The difference of the two shares under `resistance` with its interval, from resamples of both groups at once, as they share prompts;
    null with the `resistance_reason` where either group has no pair. Under `independent_pairs` Newcombe's interval.
    """
    rejected, chosen = gammas == "r", gammas == "c"
    decided = rejected | chosen
    figures = {"pairs": int(decided.sum()), "opening_prompts": draw[decided].clusters}
    if not (rejected.any() and chosen.any()):
        lacking = "chosen" if rejected.any() else "rejected"
        return figures | resampling.undefined("resistance", f"the labeler prefers the {lacking} text of no pair")
    found = resampling.difference(resists.astype(float), rejected, chosen, "")
    # Where all pairs of a group are alike, it adds nothing to the width of the interval by bootstrap; to this one it does.
    first, second = ((int(resists[group].sum()), int(group.sum())) for group in (rejected, chosen))
    independent = with_interval("resistance", None, newcombe(*first, *second, draw.level))
    return figures | resampling.resolved({"resistance": found}, draw) | {"independent_pairs": independent}


def regimes_by_gamma(control: np.ndarray, aligned: np.ndarray, gammas: np.ndarray, draw: ClusterBootstrap) -> dict[str, dict[str, Any]]:
    """The table of regime by gamma: for each gamma what `agreement.regimes` gives over its pairs, and for unlabelled ones."""
    return {name: agreement.regimes(control[members], aligned[members], draw[members]) for name, members in gamma_groups(gammas).items()}


def agreement_with_human(control: np.ndarray, aligned: np.ndarray, gammas: np.ndarray, draw: ClusterBootstrap) -> dict[str, Any]:
    """How often control, aligned and the labeler agree with the human, each against each, on the pairs that the labeler decides.

    The labeler agrees where gamma is c, and does not where it is r; indifferent and unlabelled pairs are left out.

    Parameters
    ----------
    control, aligned
        [pairs] whether each role agrees with the human.
    gammas
        [pairs] as `gamma` gives them.
    draw
        Bootstrap over the opening prompts of these pairs.

    Returns
    -------
    Three comparisons as `agreement.pairwise` gives them, `first` and `second` in the order of their name; under `independent_pairs` the
    exact McNemar test also with `mcnemar_p_holm`, adjusted for the three tests (Holm 1979).
    """
    decided = np.isin(gammas, ("c", "r"))
    figures: dict[str, Any] = {"pairs": int(decided.sum()), "indifferent": int((gammas == "i").sum())}
    if not decided.any():
        return figures
    agrees = {"control": control[decided], "aligned": aligned[decided], "labeler": gammas[decided] == "c"}
    contests = [("aligned", "control"), ("aligned", "labeler"), ("control", "labeler")]
    compared = agreement.compared([(agrees[first], agrees[second]) for first, second in contests], draw[decided])
    adjusted = regression.holm(np.array([found["independent_pairs"]["mcnemar_p"] for found in compared]))
    for (first, second), found, p_holm in zip(contests, compared, adjusted, strict=True):
        found["independent_pairs"]["mcnemar_p_holm"] = p_holm
        figures[f"{first}_{second}"] = found
    return figures


def regimes_report(control: np.ndarray, aligned: np.ndarray, labels: PairLabels, draw: ClusterBootstrap) -> dict[str, Any]:
    """Counts of the labels that make gamma, gamma, the table of regime by gamma, and the comparison with the labeler.

    Where no pair has labels on both texts there are counts of 0 and nulls, with the `reason`.
    """
    gammas = gamma(labels)
    return {
        "labelled_pairs": int(labels.labelled.sum()),
        "unlabelled_pairs": int((~labels.labelled).sum()),
        **({} if labels.labelled.any() else {"reason": "no pair has labels on both texts"}),
        "label_combinations": label_combinations(labels),
        "gamma": gamma_shares(gammas, draw),
        "regimes": regimes_by_gamma(control, aligned, gammas, draw),
        "agreement_with_human": agreement_with_human(control, aligned, gammas, draw),
    }


def subset(labels: PairLabels, mask: np.ndarray) -> PairLabels:
    """The labels of some of the pairs, given a mask of them, [pairs]."""
    kept = mask[labels.labelled]
    return PairLabels(labels.chosen[kept], labels.rejected[kept], labels.labelled[mask])
