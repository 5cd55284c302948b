"""Tables of rewards on disk, joined to the pairs that they belong to."""

from pathlib import Path

import numpy as np
import pandas as pd

from seal.errors import InputError
from seal.files import FIRST_ROW, read_csv

LARGEST = 1e30
"""No reward is as large as that; beyond it sums of squares overflow."""

SCORE_COLUMNS = ["row_id", "chosen_score", "rejected_score", "agreement"]

STD_COLUMNS = ["chosen_std", "rejected_std"]
"""Standard deviations of the rewards, where the model gives a distribution of them."""


def table(row_ids: np.ndarray, chosen: np.ndarray, rejected: np.ndarray, stds: tuple[np.ndarray, np.ndarray] | None = None) -> pd.DataFrame:
    """The table of a role's rewards in SEAL's columns, and `STD_COLUMNS` where there are any. A tie is no agreement."""
    columns = {"row_id": row_ids, "chosen_score": chosen, "rejected_score": rejected, "agreement": chosen > rejected}
    return pd.DataFrame(columns | (dict(zip(STD_COLUMNS, stds, strict=True)) if stds else {}))


def read(path: str | Path, pairs: pd.DataFrame) -> pd.DataFrame:
    """Read a role's rewards in the order of the pairs, with `STD_COLUMNS` where the file has them. SEAL's own files serve as well.

    Parameters
    ----------
    path
        A CSV with `SCORE_COLUMNS`.
    pairs
        The table of pairs; the rewards must be those of its rows, each once.

    Raises
    ------
    InputError
        If the file is missing or no table, lacks a column, holds what is no number, or its row_ids are not those of the pairs.
    """
    scores = read_csv(path, "stages/compare.py")
    missing = [column for column in SCORE_COLUMNS[:3] if column not in scores]
    if missing:
        raise InputError(
            f"{path}: lacks the column(s) {', '.join(missing)}; expected {', '.join(SCORE_COLUMNS)}; run stages/compare.py to write it"
        )
    stds = [column for column in STD_COLUMNS if column in scores]
    if len(stds) == 1:
        raise InputError(f"{path}: has the column {stds[0]} alone; expected both of {', '.join(STD_COLUMNS)}, or none of them")
    for column in [*SCORE_COLUMNS[:3], *stds]:
        numbers = pd.to_numeric(scores[column], errors="coerce")
        bad = np.flatnonzero(~(abs(numbers) <= LARGEST) | ((numbers < 0) & (column in stds)))
        if len(bad):
            raise InputError(
                f"{path}, row {bad[0] + FIRST_ROW}, column {column}: {scores[column].iloc[bad[0]]}; expected a number "
                f"{'from 0 ' if column in stds else ''}up to {LARGEST:g}; score the pairs again with stages/compare.py"
            )
        scores[column] = numbers
    twice = scores["row_id"][scores["row_id"].duplicated()]
    if len(twice):
        raise InputError(f"{path}: row_id {twice.iloc[0]} stands there more than once; row_ids must be unique")
    unmatched = sorted(set(scores["row_id"]) ^ set(pairs["row_id"]))
    if unmatched:
        where = "the pairs" if unmatched[0] in set(pairs["row_id"]) else "the rewards"
        raise InputError(
            f"{path}: {len(unmatched)} row_ids do not match the pairs, first {unmatched[0]}, which is only in {where}; "
            "score these pairs with stages/compare.py"
        )
    scores = scores.set_index("row_id").loc[pairs["row_id"]].reset_index()
    scores["agreement"] = scores["chosen_score"] > scores["rejected_score"]
    return scores[[*SCORE_COLUMNS, *stds]]
