"""Tables of rewrites that are made up, and those rebuilt from SEAL's published counts, with what is measured of them."""

import json
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from seal import rewrites, robustness
from seal.robustness import Measures
from seal.uncertainty import ClusterBootstrap

RESAMPLES, SEED = 200, 1
over = partial(ClusterBootstrap, resamples=RESAMPLES, seed=SEED, level=0.95)
"""Bootstrap over opening prompts, [pairs]."""
UNIT = {"aligned": 1.0, "control": 1.0}
SIDES = ("chosen", "rejected")
SENTIMENTS = ("negative", "neutral", "positive")

# Flip -> (pairs, became misaligned, became aligned) of the aligned reward model, by feature and side, and the agreement of both reward
# models before and after rewriting, over 1,608 pairs: as SEAL's notebooks print them (arXiv 2408.10270; harvard-lil/SEAL at b5948ed).
PUBLISHED_PAIRS = 1608
PUBLISHED = {
    ("helpful", "chosen"): {-1: (92, 7, 11), 0: (1465, 155, 108), 1: (51, 8, 2)},
    ("helpful", "rejected"): {-1: (106, 24, 5), 0: (1444, 140, 113), 1: (58, 6, 3)},
    ("harmless", "chosen"): {-1: (21, 3, 1), 0: (1563, 162, 120), 1: (24, 5, 0)},
    ("harmless", "rejected"): {-1: (36, 5, 1), 0: (1539, 163, 119), 1: (33, 2, 1)},
    ("coherent", "chosen"): {-1: (97, 10, 13), 0: (1458, 156, 106), 1: (53, 4, 2)},
    ("coherent", "rejected"): {-1: (104, 14, 3), 0: (1446, 151, 115), 1: (58, 5, 3)},
    ("eloquent", "chosen"): {-1: (120, 14, 14), 0: (1454, 151, 106), 1: (34, 5, 1)},
    ("eloquent", "rejected"): {-1: (170, 20, 4), 0: (1401, 146, 116), 1: (37, 4, 1)},
    ("sentiment", "chosen"): {-2: (7, 0, 1), -1: (99, 11, 8), 0: (1423, 142, 108), 1: (79, 17, 4)},
    ("sentiment", "rejected"): {-2: (5, 2, 0), -1: (112, 21, 4), 0: (1402, 137, 106), 1: (86, 10, 9), 2: (3, 0, 2)},
}
PUBLISHED_AGREEMENT = {"original": 0.731965, "rewritten": 0.701493}


def table_of(pairs: int, **columns: Any) -> pd.DataFrame:
    """Rewrites that change nothing but what is given, by its column's name: rewards of 1 and 0, all labels True or neutral."""
    table: dict[str, Any] = {"row_id": np.arange(pairs)}
    for side, reward in zip(SIDES, (1.0, 0.0), strict=True):
        table[rewrites.similarity_column(side)] = np.full(pairs, 0.95)
        for version in ("original", "rewritten"):
            table[f"{version}_{side}_text"] = [f"{version} {side} {row}" for row in range(pairs)]
            for role in rewrites.ROLES:
                table[rewrites.score_column(version, side, role)] = np.full(pairs, reward)
            for feature in rewrites.FEATURES:
                label = "neutral" if feature.endswith("sentiment") else True
                table[f"{version}_{side}_{feature}"] = np.full(pairs, label, dtype=object)
    unknown = set(columns) - set(table)
    assert not unknown, unknown
    made = pd.DataFrame(table | columns)
    for version in ("original", "rewritten"):
        for role in rewrites.ROLES:
            chosen, rejected = (made[rewrites.score_column(version, side, role)] for side in SIDES)
            made[rewrites.agreement_column(version, role)] = chosen > rejected
    return made[rewrites.COLUMNS]


def margins(before: Any, after: Any, role: str = "aligned") -> dict[str, np.ndarray]:
    """Columns that give a role these margins: the rejected text's reward is 0."""
    columns = {}
    for version, values in (("original", before), ("rewritten", after)):
        columns[f"{version}_chosen_score_rm_{role}"] = np.asarray(values, dtype=float)
        columns[f"{version}_rejected_score_rm_{role}"] = np.zeros(len(values))
    return columns


def labels(feature: str, side: str, flips: Any) -> dict[str, np.ndarray]:
    """Columns in which the labels of a feature flip so; None for a label that is missing."""
    name = "sentiment" if feature == "sentiment" else f"is_{feature}"
    both = {-1: (False, True), 0: (True, True), 1: (True, False), None: (None, True)}
    if feature == "sentiment":
        both = {-2: (0, 2), -1: (1, 2), 0: (1, 1), 1: (2, 1), 2: (2, 0)}
        both = {flip: (SENTIMENTS[one], SENTIMENTS[other]) for flip, (one, other) in both.items()} | {None: ("neutral", None)}
    sides = [both[flip] for flip in flips]
    return {
        f"{version}_{side}_last_response_{name}": np.array([each[place] for each in sides], dtype=object)
        for place, version in enumerate(("original", "rewritten"))
    }


def measure(table: pd.DataFrame, openings: Any = None) -> Measures:
    """The measures, as they would be read from files: with no NaN in them."""
    clusters = np.arange(len(table)) if openings is None else np.asarray(openings)
    measures = robustness.measure(table, over(clusters), UNIT)
    return Measures(*json.loads(json.dumps(measures, allow_nan=False)))


def outcomes(
    measures: Measures, feature: str, side: str, outcome: str = "became_misaligned", population: str = "all_pairs", role: str = "aligned"
) -> dict[int, Any]:
    """What became of the pairs, by level of a flip."""
    place = (role, feature, side, outcome, population)
    rows = [row for row in measures.flips if tuple(row[name] for name in ("role", "feature", "side", "outcome", "population")) == place]
    found = {row["level"]: row for row in rows}
    assert len(found) == len(rows)
    return found


def scores(measures: Measures, way: str, population: str = "all_pairs", role: str = "aligned") -> dict[tuple[str, str, int], Any]:
    """Robustness scores by feature, side and level."""
    rows = [row for row in measures.scores if (row["role"], row["population"], row["way"]) == (role, population, way)]
    return by_flip(rows)


def by_flip(rows: list[dict[str, Any]]) -> dict[tuple[str, str, int], Any]:
    found = {(row["feature"], row["side"], row["level"]): row for row in rows}
    assert len(found) == len(rows)
    return found


def fits(measures: Measures, population: str = "all_pairs", role: str = "aligned") -> Any:
    """By way, what the figures say of the fits."""
    return measures.figures[role]["robustness_scores"][population]


def published_table() -> tuple[pd.DataFrame, np.ndarray, np.ndarray]:
    """Pairs rebuilt from the published counts, with whether each agreed before and after.

    Each feature's flips fall on the pairs that became misaligned, became aligned or neither as often as published; how they go together
    with flips of other features is not published, and here it is by chance.
    """
    random = np.random.default_rng(1)
    misaligned, aligned = (sum(counts[place] for counts in PUBLISHED["helpful", "chosen"].values()) for place in (1, 2))
    agreeing = round(PUBLISHED_AGREEMENT["original"] * PUBLISHED_PAIRS)
    kind = np.array([1] * misaligned + [2] * aligned + [0] * (PUBLISHED_PAIRS - misaligned - aligned))
    before = np.array([True] * misaligned + [False] * aligned + [True] * (agreeing - misaligned) + [False] * PUBLISHED_PAIRS)[
        :PUBLISHED_PAIRS
    ]
    after = np.where(kind == 1, False, np.where(kind == 2, True, before))
    columns = margins(np.where(before, 1, -1), np.where(after, 1, -1))
    for (feature, side), levels in PUBLISHED.items():
        flips = np.zeros(PUBLISHED_PAIRS, dtype=int)
        for outcome in (0, 1, 2):
            counts = [n - lost - won if outcome == 0 else (lost, won)[outcome - 1] for n, lost, won in levels.values()]
            flips[kind == outcome] = random.permutation(np.repeat(list(levels), counts))
        columns |= labels(feature, side, flips.tolist())
    return table_of(PUBLISHED_PAIRS, **columns), before, after


def rewards_table(pairs: int, seed: int) -> tuple[pd.DataFrame, np.ndarray, np.ndarray]:
    """Random rewards, [pairs, 2] each, that move the more the less similar the texts are; pairs come in runs that go together."""
    random = np.random.default_rng(seed)
    original = random.normal(size=(pairs // 3 + 1, 2)).repeat(3, axis=0)[:pairs] + random.normal(size=(pairs, 2))
    distance = np.round(random.beta(2, 10, size=(pairs, 2)), 2)
    rewritten = original + (0.2 + 3 * distance) * random.normal(size=(pairs, 2)) - 0.3
    columns = {}
    for place, side in enumerate(SIDES):
        columns[f"original_{side}_score_rm_aligned"] = original[:, place]
        columns[f"rewritten_{side}_score_rm_aligned"] = rewritten[:, place]
        columns[rewrites.similarity_column(side)] = 1 - distance[:, place]
    return table_of(pairs, **columns), original, rewritten


def resampled(pairs: int, clusters: np.ndarray) -> list[np.ndarray]:
    """Rows of whole opening prompts, drawn as the bootstrap draws them."""
    random = np.random.default_rng(SEED)
    members = [np.flatnonzero(clusters == cluster) for cluster in range(int(clusters.max()) + 1)]
    return [np.concatenate([members[each] for each in random.integers(len(members), size=len(members))]) for _ in range(RESAMPLES)]
