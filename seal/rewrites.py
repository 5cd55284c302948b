"""Tables of reworded pairs in SEAL's columns: both texts before and after, their similarity, rewards, agreement and labels."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from seal.errors import InputError
from seal.features import BOOLEANS, values
from seal.files import FIRST_ROW, read_csv
from seal.pairs import PREFERENCES
from seal.versions import ORIGINAL

ROLES = ("aligned", "control")
FEATURES = tuple(f"last_response_{name}" for name in ("is_helpful", "is_harmless", "is_coherent", "is_eloquent", "sentiment"))
"""The features that both versions are labelled with."""

ROUNDING = 1e-5
"""How far beyond 1 a cosine may lie, as float32 makes them."""

BEFORE, AFTER = "original", "rewritten"


def similarity_column(preference: str) -> str:
    """The column of the cosine similarity between the two versions of a side."""
    return f"{BEFORE}_to_{AFTER}_{preference}_vector_cos_sim"


def score_column(version: str, preference: str, role: str) -> str:
    """The column of a role's reward for one version of a side."""
    return f"{version}_{preference}_score_rm_{role}"


def agreement_column(version: str, role: str) -> str:
    """The column of whether a role agrees with the human on one version of the pair."""
    return f"{version}_agreement_dataset_and_rm_{role}"


COLUMNS = [
    "row_id",
    *(f"{version}_{preference}_text" for version in (BEFORE, AFTER) for preference in PREFERENCES),
    *map(similarity_column, PREFERENCES),
    *(score_column(version, preference, role) for version in (BEFORE, AFTER) for preference in PREFERENCES for role in ROLES),
    *(agreement_column(version, role) for version in (BEFORE, AFTER) for role in ROLES),
    *(f"{version}_{preference}_{feature}" for version in (BEFORE, AFTER) for preference in PREFERENCES for feature in FEATURES),
]


def table(
    versions: pd.DataFrame, after: str, similarity: pd.DataFrame, scores: Mapping[str, pd.DataFrame], labels: pd.DataFrame
) -> pd.DataFrame:
    """Lay one version of the pairs beside their originals.

    Parameters
    ----------
    versions
        The table of versions.
    after
        The version to lay beside the original; pairs that lack it are left out.
    similarity
        row_id, chosen_similarity, rejected_similarity of the rows of `versions`.
    scores
        By role, rewards of the rows of `versions`, as `scores.read` gives them.
    labels
        Labels of the texts of `versions`; a text may have none.

    Returns
    -------
    A row for each pair in the columns `COLUMNS`, by row_id; what has no label is None.
    """
    sides = {BEFORE: versions[versions["version"] == ORIGINAL], AFTER: versions[versions["version"] == after]}
    row_ids = sorted(set(sides[BEFORE]["pair_row_id"]) & set(sides[AFTER]["pair_row_id"]))
    own = {name: side.set_index("pair_row_id").loc[row_ids] for name, side in sides.items()}
    columns: dict[str, np.ndarray] = {"row_id": np.array(row_ids, dtype=np.int64)}
    close = similarity.set_index("row_id").loc[own[AFTER]["row_id"]]
    by_text = labels.set_index(["row_id", "preference"])
    for preference in PREFERENCES:
        columns[similarity_column(preference)] = close[f"{preference}_similarity"].to_numpy(dtype=float)
        for version, side in own.items():
            columns[f"{version}_{preference}_text"] = side[f"{preference}_text"].to_numpy()
            keys = pd.MultiIndex.from_arrays([side["row_id"], [preference] * len(side)])
            for feature in FEATURES:
                found = by_text[feature].reindex(keys)
                columns[f"{version}_{preference}_{feature}"] = found.astype(object).where(found.notna(), None).to_numpy()
    for role, rewards in scores.items():
        by_row = rewards.set_index("row_id")
        for version, side in own.items():
            of_side = by_row.loc[side["row_id"]]
            columns[agreement_column(version, role)] = of_side["agreement"].to_numpy(dtype=bool)
            for preference in PREFERENCES:
                columns[score_column(version, preference, role)] = of_side[f"{preference}_score"].to_numpy(dtype=float)
    return _table(columns)


def _table(columns: Mapping[str, np.ndarray]) -> pd.DataFrame:
    """A table in the columns `COLUMNS`; labels stay what they are, where pandas would make NaN of a None among words."""
    return pd.DataFrame({name: pd.Series(columns[name], dtype=object if _feature(name) else None) for name in COLUMNS})


def _feature(column: str) -> str | None:
    """The feature that a column holds labels of, if it does."""
    return next((feature for feature in FEATURES if column.endswith(feature)), None)


def read(path: str | Path) -> pd.DataFrame:
    """Read such a table, ours or SEAL's.

    Returns
    -------
    The columns `COLUMNS`, by row_id: row_id int, texts str, similarities and rewards float, agreements bool, as the rewards have them,
    boolean labels True, False or None, sentiment one of its values or None.

    Raises
    ------
    InputError
        If the file is missing or no table, lacks a column, holds a row_id twice, or has a value that a column cannot have.
    """
    cells = read_csv(path, "stages/rewrite_table.py", dtype=str, keep_default_na=False)
    derived = [agreement_column(version, role) for version in (BEFORE, AFTER) for role in ROLES]
    missing = [column for column in COLUMNS if column not in cells and column not in derived]
    if missing:
        raise InputError(f"{path}: lacks the column(s) {', '.join(missing)}; run stages/rewrite_table.py to write them")
    columns = {column: _column(path, column, cells[column]) for column in COLUMNS if column not in derived}
    for role in ROLES:
        for version in (BEFORE, AFTER):
            chosen, rejected = (columns[score_column(version, preference, role)] for preference in PREFERENCES)
            columns[agreement_column(version, role)] = chosen > rejected
    rewrites = _table(columns).sort_values("row_id", ignore_index=True)
    twice = rewrites["row_id"][rewrites["row_id"].duplicated()]
    if len(twice):
        raise InputError(f"{path}: row_id {twice.iloc[0]} stands there more than once; row_ids must be unique")
    return rewrites


def _column(path: str | Path, column: str, cells: pd.Series) -> np.ndarray:
    """A column's values.

    Raises
    ------
    InputError
        With the row of the table, the column, what was found and what was expected.
    """
    feature = _feature(column)
    if column.endswith("_text"):
        return cells.to_numpy(dtype=object)
    if feature:
        allowed = {"True": True, "False": False} if feature in BOOLEANS else {value: value for value in values(feature)}
        known = {**allowed, **{value.lower(): label for value, label in allowed.items()}, "": None}
        expected = f"{', '.join(allowed)}, or nothing where there is no label"
        bad = ~cells.isin(list(known))
        read = np.array([known.get(cell) for cell in cells], dtype=object)
    else:
        numbers = pd.to_numeric(cells, errors="coerce").to_numpy(dtype=float)
        # A float holds whole numbers of more digits no longer exactly, and the squares of much greater ones not at all.
        bad = pd.Series(~(abs(numbers) < 1e15))
        expected = "a finite number below 1e15"
        if column == "row_id":
            bad |= numbers != np.floor(numbers)
            expected = "a whole number of at most 15 digits"
        elif column.endswith("_cos_sim"):
            bad |= abs(numbers) > 1 + ROUNDING
            expected = "a cosine from -1 to 1"
        read = numbers
    if bad.any():
        at = int(np.flatnonzero(bad)[0])
        raise InputError(
            f"{path}, row {at + FIRST_ROW}, column {column}: found {cells.iloc[at][:60]!r}, expected {expected}; "
            "see stages/rewrite_table.py"
        )
    return read.astype(np.int64) if column == "row_id" else read
