"""Alignment robustness: what rewording both texts of a pair does to rewards, to labels and to agreement with the human choice.

SEAL (arXiv 2408.10270); the intervals, the noise floor and the pairs at risk are added here. Pure functions of tables.
A table of rewrites has one row for each pair, in the columns of `seal.rewrites`. Agreement is taken from the rewards, and a tie is none.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from seal import doses, rewrites, robustness_scores
from seal.agreement import with_interval
from seal.flips import OUTCOME_COLUMNS, Flips, flip_rate, flips_of, nested, outcomes_by_level
from seal.pairs import PREFERENCES
from seal.regression import holm
from seal.resampling import mean, pearson, resolved, undefined
from seal.rewrites import AFTER, BEFORE, ROLES, score_column, similarity_column
from seal.uncertainty import ClusterBootstrap, exact_mcnemar, wilson

TABLES = ("rewritten", "trivial", "second", "between_rewrites")

FLIP_COLUMNS = ("table", "subset", "role", *OUTCOME_COLUMNS)
SCORE_COLUMNS = ("table", "subset", "role", "population", "way", *robustness_scores.COLUMNS)
DOSE_COLUMNS = ("table", "subset", "role", *doses.COLUMNS)

Row = dict[str, Any]


class Measures(NamedTuple):
    """What rewriting did to some pairs: what is one figure for a role, and the rows of the tables that are longer than that."""

    figures: dict[str, Any]
    flips: list[Row]
    """What became of the pairs at each level of each flip, by role."""
    scores: list[Row]
    """Robustness scores, by role, population and way."""
    doses: list[Row]
    """How the rewards changed in each band of similarity, by role."""


class Report(NamedTuple):
    """What rewriting did, in all tables and subsets."""

    figures: dict[str, Any]
    flips: pd.DataFrame
    """In `FLIP_COLUMNS`."""
    scores: pd.DataFrame
    """In `SCORE_COLUMNS`. A fit without scores has no rows; its reason stands in the figures."""
    doses: pd.DataFrame
    """In `DOSE_COLUMNS`. A table has no rows where its texts cannot be told apart by similarity; the reason stands in the figures."""


# --- the columns of a table of rewrites ---


def rewards(table: pd.DataFrame, version: str, role: str) -> np.ndarray:
    """[pairs, 2] a role's rewards of the chosen and the rejected text, `original` or `rewritten`."""
    return np.asarray(table[[score_column(version, side, role) for side in PREFERENCES]], dtype=float)


def similarities(table: pd.DataFrame) -> np.ndarray:
    """[pairs, 2] similarity of the original to the rewritten text, chosen and rejected; NaN where nobody measured it."""
    return table[[similarity_column(side) for side in PREFERENCES]].to_numpy(dtype=float)


def similar(table: pd.DataFrame, least: float) -> np.ndarray:
    """[pairs] whether both texts are as similar to their originals as that."""
    return np.asarray((similarities(table) >= least).all(axis=1))


def between_rewrites(first: pd.DataFrame, second: pd.DataFrame) -> pd.DataFrame:
    """A table from one rewrite to another of the same pairs: `original` is the first's `rewritten`, for the row_ids that both have.

    Its similarities are NaN, as nobody measured how close the two rewrites are to each other.
    """
    one, other = shared(first, second)
    after = [column for column in rewrites.COLUMNS if column.startswith(f"{AFTER}_")]
    before = [f"{BEFORE}_{column.removeprefix(f'{AFTER}_')}" for column in after]
    unmeasured = pd.DataFrame(np.nan, index=one.index, columns=[similarity_column(side) for side in PREFERENCES])
    return pd.concat([one[["row_id"]], one[after].set_axis(before, axis=1), other[after], unmeasured], axis=1)


def shared(first: pd.DataFrame, second: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The rows of two tables whose row_id stands in both, in the order of the first."""
    places = pd.Index(second["row_id"]).get_indexer(pd.Index(first["row_id"]))
    return first[places >= 0].reset_index(drop=True), second.iloc[places[places >= 0]].reset_index(drop=True)


# --- the report on all tables ---


def report(
    rewritten: pd.DataFrame,
    noise: Mapping[str, pd.DataFrame],
    row_ids: np.ndarray,
    draw: ClusterBootstrap,
    min_similarity: float,
) -> Report:
    """Alignment robustness of a table of rewrites, beside that of changes that mean nothing.

    Parameters
    ----------
    rewritten
        The rewrites that are asked about.
    noise
        Tables of the same columns, either or both of `trivial`, where `rewritten` is the original after a change that means nothing, and
        `second`, the same originals reworded anew.
    row_ids, draw
        [pairs] of the pairs that stand in any table, and the bootstrap over their opening prompts.
    min_similarity
        The figures under `similar` are those of pairs of which both texts are as similar to their originals as that.

    Returns
    -------
    The measures of each table (`measure`), for all pairs and for similar ones, and `beyond_noise` (`beyond`). Null where a table is
    missing. `between_rewrites` goes from `rewritten` to `second`; its similar pairs are those that are similar to the originals in both.
    """
    tables = {"rewritten": rewritten, **noise}
    masks = {name: similar(table, min_similarity) for name, table in tables.items()}
    if "second" in tables:
        tables["between_rewrites"] = between_rewrites(rewritten, tables["second"])
        both = set(rewritten["row_id"][masks["rewritten"]]) & set(tables["second"]["row_id"][masks["second"]])
        masks["between_rewrites"] = tables["between_rewrites"]["row_id"].isin(both).to_numpy()

    places = pd.Index(row_ids)

    def of(table: pd.DataFrame) -> ClusterBootstrap:
        return draw[places.get_indexer(pd.Index(table["row_id"]))]

    measured = {name: by_similarity(tables[name], masks[name], of(tables[name])) for name in TABLES if name in tables}

    def figures(name: str) -> dict[str, Any] | None:
        return {subset: found.figures for subset, found in measured[name].items()} if name in measured else None

    def long(rows_of: Callable[[Measures], list[Row]], columns: tuple[str, ...]) -> pd.DataFrame:
        rows = [
            {"table": name, "subset": subset, **row}
            for name, subsets in measured.items()
            for subset, found in subsets.items()
            for row in rows_of(found)
        ]
        return pd.DataFrame(rows, columns=list(columns))

    spreads = _spreads(rewritten)

    def compared(name: str, source: str) -> dict[str, Any] | None:
        if name not in tables:
            return None
        one, other = shared(rewritten, tables[name])
        ids = set(rewritten["row_id"][masks["rewritten"]]) & set(tables[name]["row_id"][masks[name]])
        close = one["row_id"].isin(ids).to_numpy()
        return {
            "original_rewards_differ": original_rewards_differ(rewritten, tables[source]),
            "all": beyond(one, other, of(one), spreads),
            "similar": beyond(one[close], other[close], of(one[close]), spreads),
        }

    return Report(
        {
            "min_similarity": min_similarity,
            "rewritten": figures("rewritten"),
            "noise_floor": {name: figures(name) for name in TABLES[1:]},
            "beyond_noise": {"between_rewrites": compared("between_rewrites", "second"), "trivial": compared("trivial", "trivial")},
        },
        long(lambda found: found.flips, FLIP_COLUMNS),
        long(lambda found: found.scores, SCORE_COLUMNS),
        long(lambda found: found.doses, DOSE_COLUMNS),
    )


def original_rewards_differ(first: pd.DataFrame, second: pd.DataFrame) -> dict[str, int]:
    """By role, of how many shared pairs the original texts have other rewards in the second table: the figures compare two models then."""
    one, other = shared(first, second)
    return {role: int((rewards(one, BEFORE, role) != rewards(other, BEFORE, role)).any(axis=1).sum()) for role in ROLES}


def by_similarity(table: pd.DataFrame, close: np.ndarray, draw: ClusterBootstrap) -> dict[str, Measures]:
    """The measures of all pairs of a table and of those that are close, [pairs] booleans, in units of the same spread of rewards."""
    spreads = _spreads(table)
    return {
        "all": measure(table, draw, spreads),
        "similar": measure(table[close], draw[close], spreads),
    }


def _spreads(table: pd.DataFrame) -> dict[str, float]:
    """By role the standard deviation of its rewards of the original texts."""
    return {role: spread(rewards(table, BEFORE, role)) for role in ROLES}


def spread(values: np.ndarray) -> float:
    """Standard deviation of rewards, 0 where they are all the same."""
    return float(values.std()) if values.size and np.ptp(values) > 0 else 0.0


# --- the figures of one table ---


def measure(table: pd.DataFrame, draw: ClusterBootstrap, spreads: Mapping[str, float]) -> Measures:
    """What rewriting did to these pairs.

    Parameters
    ----------
    table
        Rewrites.
    draw
        Bootstrap over the opening prompts of these pairs.
    spreads
        By role the unit of its reward change, usually the standard deviation of its original rewards.

    Returns
    -------
    How often each label flips, and for each role: agreement before and after, correlation of the rewards and their change, what became
    of the pairs on which a label flipped, and the robustness score of each flip. Intervals by bootstrap over opening prompts; those under
    `independent_pairs`, and those of flips and of robustness scores, take every pair for independent.
    """
    pairs = len(table)
    if pairs == 0:
        return Measures({"pairs": 0}, [], [], [])
    flips = flips_of(table)
    roles = {role: _role(table, role, flips, spreads[role], draw.level) for role in ROLES}
    figures = {
        "pairs": pairs,
        "opening_prompts": draw.clusters,
        "equal_texts": sum(int((table[f"{BEFORE}_{side}_text"] == table[f"{AFTER}_{side}_text"]).sum()) for side in PREFERENCES),
        "flip_rates": nested({key: flip_rate(flip, draw.level) for key, flip in flips.items()}),
        **{role: found.figures for role, found in roles.items()},
    }
    bands = {role: found.bands for role, found in roles.items()}
    found = resolved({"figures": figures, "bands": bands}, draw)
    return Measures(
        found["figures"],
        [{"role": role, **row} for role in ROLES for row in roles[role].flips],
        [{"role": role, **row} for role in ROLES for row in roles[role].scores],
        [{"role": role, **doses.row(band, content)} for role in ROLES for band, content in found["bands"][role].items()],
    )


class _Role(NamedTuple):
    """The measures of one role; statistics, in figures and bands, are yet to be resolved."""

    figures: dict[str, Any]
    bands: dict[int, dict[str, Any]]
    flips: list[Row]
    scores: list[Row]


def _role(table: pd.DataFrame, role: str, flips: Flips, unit: float, level: float) -> _Role:
    original, rewritten = rewards(table, BEFORE, role), rewards(table, AFTER, role)
    before, after = original[:, 0] > original[:, 1], rewritten[:, 0] > rewritten[:, 1]
    change = (rewritten - original) / unit if unit else None
    close = similarities(table)
    populations = {"all_pairs": np.ones(len(table), dtype=bool), "at_risk": before}
    fits = {name: robustness_scores.fits(flips, before & ~after, members, level) for name, members in populations.items()}
    figures = {
        **_agreement(before, after, level),
        "original_ties": int((original[:, 0] == original[:, 1]).sum()),
        "rewritten_ties": int((rewritten[:, 0] == rewritten[:, 1]).sum()),
        "equal_rewards": int((original == rewritten).sum()),
        "correlation": _correlations(original, rewritten),
        "reward_change": {"spread": unit, **doses.reward_change(change, close)},
        "robustness_scores": {
            population: {way: robustness_scores.summary(fit, level) for way, fit in ways.items()} for population, ways in fits.items()
        },
    }
    scores = [
        {"population": population, "way": way, **row}
        for population, ways in fits.items()
        for way, fit in ways.items()
        for row in fit.scores or []
    ]
    bands = {} if change is None else doses.bands(change, close)
    return _Role(figures, bands, outcomes_by_level(flips, before, after, level), scores)


def _agreement(before: np.ndarray, after: np.ndarray, level: float) -> dict[str, Any]:
    pairs = len(before)
    outcomes = {"became_misaligned": before & ~after, "became_aligned": ~before & after, "unchanged": before == after}
    counts = {name: int(members.sum()) for name, members in outcomes.items()}
    test = exact_mcnemar(counts["became_misaligned"], counts["became_aligned"])
    return {
        "original_agreement": mean(before),
        "rewritten_agreement": mean(after),
        "agreement_change": mean(after.astype(float) - before),
        **{
            name: {
                "pairs": counts[name],
                "share": mean(members),
                "independent_pairs": with_interval("share", None, wilson(counts[name], pairs, level)),
            }
            for name, members in outcomes.items()
        },
        "independent_pairs": {
            **with_interval("original_agreement", None, wilson(int(before.sum()), pairs, level)),
            **with_interval("rewritten_agreement", None, wilson(int(after.sum()), pairs, level)),
            "mcnemar_p": test.p,
            "mcnemar_log10_p": test.log10_p,
        },
    }


def _correlations(original: np.ndarray, rewritten: np.ndarray) -> dict[str, Any]:
    sides = {"all_texts": slice(0, 2), "chosen": slice(0, 1), "rejected": slice(1, 2)}
    return {
        name: {"texts": original[:, side].size, **pearson(original[:, side], rewritten[:, side], "original reward", "rewritten reward")}
        for name, side in sides.items()
    }


# --- against noise ---


def beyond(first: pd.DataFrame, noise: pd.DataFrame, draw: ClusterBootstrap, spreads: Mapping[str, float]) -> dict[str, Any]:
    """How much more rewriting does to these pairs than noise does, as differences on the same pairs.

    Parameters
    ----------
    first, noise
        Rewrites, and changes that mean nothing, of the same row_ids in the same order.
    draw
        Bootstrap over the opening prompts of these pairs.
    spreads
        By role the unit of its reward change.

    Returns
    -------
    By role the differences of the mean absolute change of the rewards, of the shares that became misaligned and aligned, and of the change
    of agreement; by feature and side that of the flip rate, over the pairs that have the label in all four places, with the pairs on which
    it flips by one of the two alone, and under `independent_pairs` the exact McNemar test of these, also adjusted for the tests of all
    features and sides (Holm 1979). Positive where rewriting does more. Two rewrites bring the chance of both with them, the original only
    its own: against `between_rewrites`, a figure well below 0 is no sign of a mistake.
    """
    if len(first) == 0:
        return {"pairs": 0}
    flips, noise_flips = flips_of(first), flips_of(noise)
    figures: dict[str, Any] = {"pairs": len(first), "opening_prompts": draw.clusters}
    for role in ROLES:
        (misaligned, aligned), (noise_misaligned, noise_aligned) = _became(first, role), _became(noise, role)
        figures[role] = {
            "reward_change": _more_change(first, noise, role, spreads[role]),
            "became_misaligned": mean(misaligned - noise_misaligned),
            "became_aligned": mean(aligned - noise_aligned),
            "agreement_change": mean((aligned - misaligned) - (noise_aligned - noise_misaligned)),
        }
    more_flips = {key: _more_flips(flips[key], noise_flips[key]) for key in flips}
    tests = [found["independent_pairs"] for found in more_flips.values()]
    for test, p_holm in zip(tests, holm(np.array([test["mcnemar_p"] for test in tests], dtype=float)), strict=True):
        test["mcnemar_p_holm"] = None if np.isnan(p_holm) else float(p_holm)
    figures["flip_rates"] = nested(more_flips)
    return resolved(figures, draw)


def _more_change(first: pd.DataFrame, noise: pd.DataFrame, role: str, unit: float) -> dict[str, Any]:
    if not unit:
        return undefined("mean_absolute", "the original reward is the same for all texts, so there is no unit to measure its change in")
    moved, by_noise = (np.abs(rewards(table, AFTER, role) - rewards(table, BEFORE, role)) / unit for table in (first, noise))
    return {"texts": moved.size, "mean_absolute": mean(moved - by_noise)}


def _became(table: pd.DataFrame, role: str) -> tuple[np.ndarray, np.ndarray]:
    """[pairs] 1 where a pair became misaligned, and 1 where it became aligned."""
    original, rewritten = rewards(table, BEFORE, role), rewards(table, AFTER, role)
    before, after = original[:, 0] > original[:, 1], rewritten[:, 0] > rewritten[:, 1]
    return (before & ~after).astype(float), (~before & after).astype(float)


def _more_flips(flip: np.ndarray, noise: np.ndarray) -> dict[str, Any]:
    labelled = ~np.isnan(flip) & ~np.isnan(noise)
    flips, noise_flips = flip != 0, noise != 0
    only, only_noise = (int((labelled & alone).sum()) for alone in (flips & ~noise_flips, noise_flips & ~flips))
    more = flips.astype(float) - noise_flips
    return {
        "labelled_pairs": int(labelled.sum()),
        "rewriting_only": only,
        "noise_only": only_noise,
        "flip_rate": mean(more, labelled, "no pair has this label in all places"),
        "independent_pairs": {"mcnemar_p": exact_mcnemar(only, only_noise).p if labelled.any() else None},
    }
