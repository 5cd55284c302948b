"""Whether the alignment resistance of a role concentrates where a distributional reward model says that context is hidden.

Joins two papers: resistance is that of SEAL (arXiv 2408.10270), what is hidden is told by the standard deviations of distributional
preference learning (DPL: Siththaranjan, Laidlaw, Hadfield-Menell 2023, arXiv 2312.08358). The role and the distributional model are two
models: what is asked is not whether a model is wrong where it is unsure of itself. Pure functions of arrays.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from seal import agreement
from seal.agreement import with_interval
from seal.imprint import Report
from seal.labeler_preference import GAMMAS
from seal.resampling import undefined
from seal.uncertainty import NO_INTERVAL, ClusterBootstrap, percentiles, ratio

DECILES = 10

CLOSE_PARTS = 100
"""At most, of pairs whose margins are close."""

LEAST_PAIRS = 10
"""Of a decile, or of pairs whose margins are close, on average; with fewer pairs there are fewer parts."""

THIRDS = ("lowest third", "middle third", "highest third")

_CLUSTERS_AT_ONCE = 64

_WEIGHTS_AT_ONCE = 4_000_000
"""How many weights of pairs in resamples to hold at once."""


def uncertainty(stds: np.ndarray) -> np.ndarray:
    """How uncertain the difference of the rewards of each pair is, [pairs]: the square root of the sum of both variances.

    Parameters
    ----------
    stds
        [pairs, 2] standard deviations of the rewards of both texts.
    """
    return np.asarray(np.hypot(stds[:, 0], stds[:, 1]))


def parts(values: np.ndarray, number: int) -> np.ndarray:
    """Number of the part, from 0, that each value, [n], is in, of so many parts of the order with as many values each.

    Equal values are never told apart by the order of their rows: all are in the part that the middle of their ranks is in. So parts are
    not of one size where there are ties, and some may have no value.
    """
    _, places, counts = np.unique(values, return_inverse=True, return_counts=True)
    middles = (np.cumsum(counts) - counts / 2)[places]
    return np.asarray(np.minimum(np.floor(number * middles / max(len(values), 1)), number - 1), dtype=int)


def thirds(values: np.ndarray) -> dict[str, np.ndarray]:
    """A mask, [n], of each third of some values, as `parts` makes them."""
    of_each = parts(values, len(THIRDS))
    return {name: of_each == place for place, name in enumerate(THIRDS)}


class Stratification(NamedTuple):
    """Groups of pairs that share something, within which pairs are compared."""

    groups: Mapping[str, np.ndarray]
    """[pairs] a mask of each; no pair is in two, and pairs in none are left out."""
    values: np.ndarray | None = None
    """[pairs] what they were made by; None where it is no number."""
    shown: bool = True
    """Whether each stratum has figures of its own."""


def report(
    scores: pd.DataFrame, stds: np.ndarray, lengths: np.ndarray, gammas: np.ndarray | None, draw: ClusterBootstrap
) -> dict[str, Any]:
    """Resistance of a role by decile of uncertainty, and how well uncertainty tells the pairs that resist from those that agree.

    That is the area under the curve (AUC) of uncertainty for resistance: the chance that of a pair that resists and one that agrees the
    former is the more uncertain, ties half (Mann and Whitney 1947). 0.5 means that resistance does not concentrate anywhere.

    A pair on which two good answers are hard to tell apart has a small margin by any model, resists more often than others whatever is
    hidden, and may be uncertain, too. So the AUC is given within strata of the size of the role's own margin, of the labeler's preference
    and of the difference in length. Only pairs of one stratum are compared there. Margins differ within a third, too: where resistance goes
    by the size of the margin and nothing else, and uncertainty is a function of it, the AUC within thirds can be 0.59 of 0.74 without
    strata. `close_margins` has strata of about ten pairs, or hundredths where there are more than a thousand, which leave 0.51 of that, and
    0.50 where uncertainty has some noise of its own. It tells, and thirds do not, whether there is more to it than small margins.

    Parameters
    ----------
    scores
        The role's rewards, as `scores.read` gives them.
    stds
        [pairs, 2] standard deviations by the distributional model, of the chosen and the rejected text.
    lengths
        [pairs, 2] characters of the chosen and the rejected response.
    gammas
        [pairs] as `labeler_preference.gamma` gives them; None where there are no labels.
    draw
        Bootstrap over the opening prompts of these pairs.

    Returns
    -------
    Counts, resistance, the AUC with its interval, `by_decile`, and `within` by stratification: the AUC over all comparisons within strata,
    and that of each stratum. What cannot be had is null with a reason.
    """
    if not len(scores):
        return {"pairs": 0}
    unsure, margins = uncertainty(stds), agreement.margins_of(scores)
    resists = margins <= 0
    compared = Compared(unsure, resists, draw)
    everything = agreement.resistance_by({"": {"": np.ones(len(scores), dtype=bool)}}, scores, draw)[""][""]
    size, longer = np.abs(margins), lengths[:, 0] - lengths[:, 1]
    close = parts(size, _number_of_parts(len(size), CLOSE_PARTS))
    stratifications = {
        "margin": Stratification(thirds(size), size),
        "close_margins": Stratification({str(place): close == place for place in np.unique(close)}, shown=False),
        **({} if gammas is None else {"gamma": Stratification({name: gammas == name for name in GAMMAS})}),
        "length_difference": Stratification(thirds(longer), longer),
    }
    return {
        **everything,
        **compared.counts(),
        **compared.figure(),
        "uncertainty": _ends(unsure) | {"median": float(np.median(unsure))},
        "by_decile": by_decile(unsure, scores, draw),
        "within": {name: within(compared, stratification) for name, stratification in stratifications.items()},
    }


def _number_of_parts(pairs: int, most: int) -> int:
    return max(1, min(most, pairs // LEAST_PAIRS))


def _ends(values: np.ndarray) -> dict[str, float]:
    return {"least": float(values.min()), "most": float(values.max())}


def by_decile(unsure: np.ndarray, scores: pd.DataFrame, draw: ClusterBootstrap) -> dict[str, dict[str, Any]]:
    """Resistance by decile of uncertainty, [pairs], 1 the least uncertain; parts are fewer than ten where pairs are fewer than 100.

    A part that has no pair because of ties is left out.
    """
    of_each = parts(unsure, _number_of_parts(len(unsure), DECILES))
    groups = {str(place + 1): of_each == place for place in np.unique(of_each)}
    found = agreement.resistance_by({"decile": groups}, scores, draw)["decile"]
    return {name: figures | {"uncertainty": _ends(unsure[groups[name]])} for name, figures in found.items()}


def decile_rows(population: str, figures: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Rows of the plot, one for each decile of what `report` gives for some pairs."""
    rows = []
    for decile, found in figures.get("by_decile", {}).items():
        ends = {f"uncertainty_{end}": found["uncertainty"][end] for end in ("least", "most")}
        share = {name: found[name] for name in ("resistance", "resistance_low", "resistance_high")}
        wilson = {f"wilson_{end}": found["independent_pairs"][f"resistance_{end}"] for end in ("low", "high")}
        counts = {name: found[name] for name in ("pairs", "opening_prompts")}
        rows.append({"population": population, "decile": int(decile), **counts, **ends, **share, **wilson})
    return rows


DECILE_COLUMNS = (
    *("population", "decile", "pairs", "opening_prompts", "uncertainty_least", "uncertainty_most"),
    *("resistance", "resistance_low", "resistance_high", "wilson_low", "wilson_high"),
)
"""Of the table for the plot."""


# --- how well uncertainty tells pairs that resist ---


class Comparisons(NamedTuple):
    """Comparisons of a pair that resists with one that agrees: of the pairs as they are first, then of each resample."""

    won: np.ndarray
    """[1 + resamples] in which the one that resists is the more uncertain, half of those in which both are alike."""
    made: np.ndarray
    """[1 + resamples]"""

    @property
    def shares(self) -> np.ndarray:
        """[1 + resamples] won of made, NaN where none is made."""
        return ratio(self.won, self.made)


class Compared:
    """Pairs that resist compared with pairs that agree, for one draw.

    Parameters
    ----------
    unsure
        [pairs] uncertainty.
    resists
        [pairs]
    draw
        Bootstrap over the opening prompts of these pairs.
    """

    def __init__(self, unsure: np.ndarray, resists: np.ndarray, draw: ClusterBootstrap) -> None:
        self.unsure, self.resists, self.draw = unsure, resists, draw
        self._weights = weights(draw)
        self._all = np.ones(len(unsure), dtype=bool)

    @property
    def resamples(self) -> int:
        """How many there are."""
        return int(self._weights.shape[1]) - 1

    def counts(self, members: np.ndarray | None = None) -> dict[str, int]:
        """Pairs of both kinds among some, given by a mask."""
        of_these = self.resists if members is None else self.resists[members]
        return {"resisting": int(of_these.sum()), "agreeing": int((~of_these).sum())}

    def comparisons(self, members: np.ndarray | None = None) -> Comparisons:
        """All comparisons among some pairs, given by a mask; values are put in order once, and every resample adds up weights in it."""
        members = self._all if members is None else members
        of_kind = [np.flatnonzero(members & kind) for kind in (self.resists, ~self.resists)]
        resisting, agreeing = (places[np.argsort(self.unsure[places], kind="stable")] for places in of_kind)
        ordered = self.unsure[agreeing]
        before, upto = (np.searchsorted(ordered, self.unsure[resisting], side) for side in ("left", "right"))
        number = self.resamples + 1
        won, made = np.zeros(number), np.zeros(number)
        at_once = max(1, _WEIGHTS_AT_ONCE // max(len(resisting) + len(agreeing), 1))
        for start in range(0, number, at_once):
            some = slice(start, start + at_once)
            of_resisting, of_agreeing = (self._weights[self.draw.codes[places], some].astype(float) for places in (resisting, agreeing))
            # Row k: agreeing pairs, as often as drawn, among the first k in order.
            below = np.zeros((len(agreeing) + 1, of_agreeing.shape[1]))
            np.cumsum(of_agreeing, axis=0, out=below[1:])
            won[some] = np.einsum("ij,ij->j", of_resisting, below[before] + below[upto]) / 2
            made[some] = of_resisting.sum(axis=0) * below[-1]
        return Comparisons(won, made)

    def figure(self) -> dict[str, Any]:
        """The AUC among all pairs, with its interval by bootstrap over opening prompts."""
        return self.figure_of(self.comparisons(), self._all, _one_outcome(self.counts()))

    def figure_of(self, comparisons: Comparisons, members: np.ndarray, reason: str) -> dict[str, Any]:
        """An AUC of comparisons, with its interval; null with the reason where none is made."""
        value, resampled = comparisons.shares[0], comparisons.shares[1:]
        if np.isnan(value):
            return undefined("auc", reason)
        found = percentiles(resampled, self.draw.level) if self.draw[members].clusters > 1 else NO_INTERVAL
        return with_interval("auc", float(value), found)


def _one_outcome(counts: Mapping[str, int]) -> str:
    return "no pair" if not any(counts.values()) else f"no pair {'resists' if not counts['resisting'] else 'agrees'}"


def weights(draw: ClusterBootstrap) -> np.ndarray:
    """How often each cluster of a group counts, [clusters, 1 + resamples]: once as it is, then as often as each resample drew it.

    Bytes, as in the draw itself. One cluster has no resamples.
    """
    made = [np.ones((draw.clusters, 1), dtype=np.uint8)]
    if draw.clusters > 1:
        # Of a group with one pair of each cluster, totals of indicators of the clusters are how often these were drawn.
        first = np.zeros(draw.clusters, dtype=np.intp)
        first[draw.codes[::-1]] = np.arange(len(draw) - 1, -1, -1)
        spans = [first[start : start + _CLUSTERS_AT_ONCE] for start in range(0, draw.clusters, _CLUSTERS_AT_ONCE)]
        made.append(np.concatenate([draw[some].totals(np.eye(len(some))).astype(np.uint8).T for some in spans]))
    return np.concatenate(made, axis=1)


def within(compared: Compared, stratification: Stratification) -> dict[str, Any]:
    """The AUC over all comparisons within strata, so that each counts by how many it has, and that of each stratum.

    The weights are those of a stratified test by Mann and Whitney's statistic, of its kind are van Elteren's (1960). A stratum in which all
    pairs have one outcome compares nothing.
    """
    groups = {name: members for name, members in stratification.groups.items() if members.any()}
    found = {name: compared.comparisons(members) for name, members in groups.items()}
    number = compared.resamples + 1
    pooled = Comparisons(
        np.sum([each.won for each in found.values()], axis=0) if found else np.zeros(number),
        np.sum([each.made for each in found.values()], axis=0) if found else np.zeros(number),
    )
    members = np.any(list(stratification.groups.values()), axis=0)
    figures = {
        "pairs": int(members.sum()),
        "opening_prompts": compared.draw[members].clusters,
        **compared.counts(members),
        "strata_compared": sum(bool(each.made[0]) for each in found.values()),
        **compared.figure_of(pooled, members, "no stratum has both pairs that resist and pairs that agree"),
    }
    if not stratification.shown:
        return figures
    strata: dict[str, Any] = {name: {"pairs": 0} for name in stratification.groups}
    for name, group in groups.items():
        counts = compared.counts(group)
        strata[name] = {
            "pairs": int(group.sum()),
            "opening_prompts": compared.draw[group].clusters,
            **counts,
            **({} if stratification.values is None else _ends(stratification.values[group])),
            **compared.figure_of(found[name], group, _one_outcome(counts)),
        }
    return figures | {"strata": strata}


# --- imprint on the risk-averse score against imprint on the mean ---


def imprint_by_score(by_mean: Report, by_risk_averse: Report) -> dict[str, Any]:
    """Figures of what features earn from the mean and from the risk-averse score, and of the difference, each in its own deviations.

    Parameters
    ----------
    by_mean, by_risk_averse
        As `imprint.report` gives them, the latter with the mean as the role that the change starts from.
    """
    figures: dict[str, Any] = {name: by_mean.figures[name] for name in ("pairs", "unlabelled_pairs", "opening_prompts", "dropped")}
    for name, found in (("mean", by_mean.figures), ("risk_averse", by_risk_averse.figures)):
        fit = found["within_pair"]
        figures[name] = {
            "reward_sd": found["reward_sd"],
            **{count: fit[count] for count in ("tested", "significant")},
            "features": {feature: _brief(of) for feature, of in fit["features"].items()},
        }
    return figures | {"risk_averse_less_mean": by_risk_averse.figures["change"]}


_SHOWN: Sequence[str] = ("aim", "in_sd", "in_sd_low", "in_sd_high", "p_holm")


def _brief(figures: Mapping[str, Any]) -> dict[str, Any]:
    return {name: figures[name] for name in (*_SHOWN, *(["reason"] if "reason" in figures else []))}
