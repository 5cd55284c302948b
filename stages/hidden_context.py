"""Measure whether alignment resistance concentrates where a distributional reward model says that context is hidden.

Resistance is that of the role aligned, what is hidden is told by another model: the standard deviations of its rewards (arXiv 2312.08358).
Beside it, what features earn from the risk-averse score of that model, and what from its mean.
"""

import command_line
from command_line import flag

# isort: split
from dataclasses import dataclass
from typing import Any, Dict, List, Optional

import numpy as np
import pandas as pd

from seal import agreement, imprint, labeler_preference, pairs, scores, taxonomy
from seal.dpl import hidden_context
from seal.errors import InputError
from seal.features import FEATURES, LISTS
from seal.files import rounded, write_csv, write_json
from seal.imprint import columns as imprint_columns
from seal.imprint.coefficients import Rewards, rewards_of
from seal.uncertainty import ClusterBootstrap


@dataclass(frozen=True)
class Arguments:
    pairs: str = flag("table of pairs, as stages/prepare.py writes it")
    aligned_scores: str = flag("rewards of the role aligned, as stages/compare.py writes them")
    distribution_scores: str = flag("mean rewards of a distributional model with standard deviations, as stages/compare.py writes them")
    metrics: str = flag("where to write the measures (JSON)")
    deciles: str = flag("where to write resistance by decile of uncertainty for the plot (CSV)")
    risk_averse_scores: str = flag("rewards of that model by a lower quantile; imprint on them is not measured if not given", "")
    taxonomy: str = flag("the labeler's labels, for strata of its preference and for imprint; neither if not given", "")
    target: List[str] = flag("features that the data mean to teach", [], nargs="*", choices=FEATURES)
    spoiler: List[str] = flag("features that the data may teach by accident", [], nargs="*", choices=FEATURES)
    indicators: List[str] = flag(
        "features that are lists, to take an indicator of each value of; others are left out", [], nargs="*", choices=LISTS
    )
    max_vif: float = flag("largest variance inflation of a feature; where one has a larger one it is dropped", 10.0)
    resamples: int = flag("bootstrap resamples", 2000)
    level: float = flag("share of intervals that hold the truth", 0.95)
    seed: int = flag("seed of the bootstrap", 1)


def main(arguments: Arguments) -> None:
    if not arguments.max_vif > 1:
        raise InputError(f"max-vif is {arguments.max_vif}; expected more than 1, which a feature has that is like no other")
    if arguments.risk_averse_scores and not arguments.taxonomy:
        raise InputError("risk-averse-scores: there is no imprint on them without labels; give --taxonomy too, or leave it out")
    table = pairs.read(arguments.pairs, without=pairs.PROMPTS)
    aligned, unsure = scores.read(arguments.aligned_scores, table), scores.read(arguments.distribution_scores, table)
    if scores.STD_COLUMNS[0] not in unsure:
        raise InputError(
            f"{arguments.distribution_scores}: lacks {', '.join(scores.STD_COLUMNS)}; expected the rewards of a model with the head "
            "mean-and-variance or categorical: train one with stages/train.py, and score the pairs with stages/compare.py"
        )
    stds = unsure[scores.STD_COLUMNS].to_numpy(dtype=float)
    lengths = pairs.response_lengths(table)
    draw = ClusterBootstrap(table["opening_prompt"].to_numpy(), arguments.resamples, arguments.seed, arguments.level)
    labels = taxonomy.read_of_pairs(arguments.taxonomy, table) if arguments.taxonomy else None
    gammas = gammas_of(arguments.taxonomy, labels, table) if labels is not None else None

    def measured(mask: np.ndarray) -> Dict[str, Any]:
        return hidden_context.report(aligned[mask], stds[mask], lengths[mask], None if gammas is None else gammas[mask], draw[mask])

    figures = agreement.all_and_held_out(table, measured)
    rows = [row for population in ("all", "held_out") for row in hidden_context.decile_rows(population, figures[population])]
    # Like metrics, compared across commits and machines, whose last digits differ.
    write_csv(arguments.deciles, pd.DataFrame(rows, columns=hidden_context.DECILE_COLUMNS, dtype=object).map(rounded))
    write_json(arguments.metrics, figures | {"imprint": imprints(arguments, table, labels, unsure)})


def gammas_of(path: str, labels: pd.DataFrame, table: pd.DataFrame) -> np.ndarray:
    by_pair = labeler_preference.by_pair(labels, table["row_id"].to_numpy(), labeler_preference.COMPARED, path)
    return labeler_preference.gamma(by_pair)


def imprints(arguments: Arguments, table: pd.DataFrame, labels: Optional[pd.DataFrame], mean: pd.DataFrame) -> Dict[str, Any]:
    """Imprint on the risk-averse score against imprint on the mean, over all pairs and over those held out."""
    if labels is None or not arguments.risk_averse_scores:
        return {"reason": "no rewards by a lower quantile are given" if labels is not None else "no labels are given"}
    by_mean, risk_averse = rewards_of(mean), rewards_of(scores.read(arguments.risk_averse_scores, table))
    columns = imprint_columns.columns(labels.columns.tolist(), arguments.target, arguments.spoiler, arguments.indicators)
    numbers = imprint_columns.sides(labels, table["row_id"].to_numpy(), columns.taken)

    def measured(mask: np.ndarray) -> Dict[str, Any]:
        if not mask.any():
            return {"pairs": 0}

        def report(score: Rewards, before: Optional[Rewards]) -> imprint.Report:
            return imprint.report(
                row_ids=table["row_id"].to_numpy()[mask],
                openings=table["opening_prompt"].to_numpy()[mask],
                rewards=score,
                columns=columns,
                features=imprint_columns.Sides(numbers.chosen[mask], numbers.rejected[mask]),
                level=arguments.level,
                max_inflation=arguments.max_vif,
                before=before,
            )

        of_mean, of_quantile = (Rewards(each.chosen[mask], each.rejected[mask]) for each in (by_mean, risk_averse))
        return hidden_context.imprint_by_score(report(of_mean, None), report(of_quantile, of_mean))

    return agreement.all_and_held_out(table, measured)


if __name__ == "__main__":
    command_line.run(main, Arguments, __doc__)
