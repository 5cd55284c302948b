"""Measure feature imprint: how much reward each feature of a text earns, and what that says in spite of a labeler's errors."""

import command_line
from command_line import flag

# isort: split
from dataclasses import dataclass
from typing import List, Optional, Tuple

import pandas as pd

from seal import gold, imprint, pairs, rectified, scores, taxonomy
from seal.errors import InputError
from seal.features import FEATURES, LISTS
from seal.files import rounded, write_csv, write_json
from seal.imprint import columns as imprint_columns
from seal.imprint.coefficients import rewards_of
from seal.imprint.columns import Column, Columns, Sides
from seal.imprint.corrected import Gold


@dataclass(frozen=True)
class Arguments:
    pairs: str = flag("table of pairs, as stages/prepare.py writes it")
    scores: str = flag("rewards of the role, as stages/compare.py writes them")
    taxonomy: str = flag("the labeler's labels: row_id, preference, text, then the 19 features, or some of them")
    metrics: str = flag("where to write the measures (JSON)")
    coefficients: str = flag("where to write all coefficients (CSV)")
    control_scores: str = flag("rewards of the role that the change of imprint starts from; no change if not given", "")
    control_taxonomy: str = flag("a second labeler's labels, of the same texts or of some of them; no bracket if not given", "")
    gold: str = flag(
        "gold labels, with text_sha256 in the place of text, of all texts or of a random part; none where there are none", "none"
    )
    gold_share: float = flag("share of the pairs with gold whose gold is used", 0.25)
    target: List[str] = flag("features that the data mean to teach", [], nargs="*", choices=FEATURES)
    spoiler: List[str] = flag("features that the data may teach by accident", [], nargs="*", choices=FEATURES)
    indicators: List[str] = flag(
        "features that are lists, to take an indicator of each value of; others are left out", [], nargs="*", choices=LISTS
    )
    max_vif: float = flag("largest variance inflation of a feature; where one has a larger one it is dropped", 10.0)
    level: float = flag("share of intervals that hold the truth", 0.95)
    seed: int = flag("seed of the draw of pairs whose gold is used", 1)


def main(arguments: Arguments) -> None:
    check(arguments)
    table = pairs.read(arguments.pairs, without=pairs.PARTS_OF_TEXTS)
    labels = taxonomy.read_of_pairs(arguments.taxonomy, table)
    columns, features = numbers(arguments, labels, table)
    second = numbers(arguments, taxonomy.read_of_pairs(arguments.control_taxonomy, table), table) if arguments.control_taxonomy else None
    report = imprint.report(
        row_ids=table["row_id"].to_numpy(),
        openings=table["opening_prompt"].to_numpy(),
        rewards=rewards_of(scores.read(arguments.scores, table)),
        columns=columns,
        features=features,
        level=arguments.level,
        max_inflation=arguments.max_vif,
        held_out=(table["part"] == "held-out").to_numpy(),
        before=rewards_of(scores.read(arguments.control_scores, table)) if arguments.control_scores else None,
        gold=gold_of(arguments, labels, columns.taken, table),
        control=(second[0].taken, second[1]) if second else None,
    )
    # As metrics, this table is compared across commits and machines, whose last digits differ.
    write_csv(arguments.coefficients, report.coefficients.map(rounded))
    write_json(arguments.metrics, report.figures)


def check(arguments: Arguments) -> None:
    """Check the numbers among the arguments.

    Raises
    ------
    InputError
        If one is out of its range.
    """
    if not 0 < arguments.level < 1:
        raise InputError(f"level is {arguments.level}; expected a share between 0 and 1")
    if not 0 < arguments.gold_share <= 1:
        raise InputError(f"gold-share is {arguments.gold_share}; expected more than 0 and at most 1; to use no gold, set gold to none")
    if not arguments.max_vif > 1:
        raise InputError(f"max-vif is {arguments.max_vif}; expected more than 1, which a feature has that is like no other")


def numbers(arguments: Arguments, labels: pd.DataFrame, table: pd.DataFrame) -> Tuple[Columns, Sides]:
    """The columns that a table of labels gives, and their numbers in the order of the pairs."""
    columns = imprint_columns.columns(labels.columns.tolist(), arguments.target, arguments.spoiler, arguments.indicators)
    return columns, imprint_columns.sides(labels, table["row_id"].to_numpy(), columns.taken)


def gold_of(arguments: Arguments, labels: pd.DataFrame, columns: List[Column], table: pd.DataFrame) -> Optional[Gold]:
    """Gold of the labelled texts in the labeler's columns, and which pairs' gold is drawn."""
    found = gold.read(arguments.gold)
    if found is None:
        return None
    row_ids = table["row_id"].to_numpy()
    _, known = gold.join(labels, found, arguments.gold)
    sides = imprint_columns.sides(known, row_ids, columns)
    drawn = sides.known.copy()
    drawn[sides.known] = rectified.drawn(row_ids[sides.known], arguments.gold_share, arguments.seed)
    return Gold(sides, drawn, arguments.gold_share)


if __name__ == "__main__":
    command_line.run(main, Arguments, __doc__)
