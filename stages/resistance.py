"""Measure one role's agreement with the human choice and its alignment resistance, with the length baseline beside it."""

import command_line
from command_line import flag

# isort: split
from dataclasses import dataclass
from typing import Any, Dict

import numpy as np
import pandas as pd

from seal import agreement, labeler_preference, pairs, plot_tables, scores, taxonomy
from seal.errors import InputError
from seal.files import check_counts, read_json_object, rounded, write_csv, write_json
from seal.uncertainty import ClusterBootstrap


@dataclass(frozen=True)
class Arguments:
    pairs: str = flag("table of pairs, as stages/prepare.py writes it")
    scores: str = flag("the role's rewards, as stages/compare.py writes them")
    check: str = flag("the role's counts and parity check, as stages/compare.py writes them")
    metrics: str = flag("where to write the measures (JSON)")
    margins: str = flag("where to write the histogram of margins for the plot (CSV)")
    taxonomy: str = flag("the labeler's labels, for resistance by its preference and by topic; none if not given", "")
    rewards: str = flag("where to write the histogram of both rewards for the plot (CSV); none if not given", "")
    most_resistant: str = flag("where to write the pairs with the largest negative margins, to read (CSV); none if not given", "")
    most: int = flag("how many of these pairs to write at most", 20)
    resamples: int = flag("bootstrap resamples", 2000)
    level: float = flag("share of intervals that hold the truth", 0.95)
    seed: int = flag("seed of the bootstrap", 1)


def main(arguments: Arguments) -> None:
    if arguments.most < 1:
        raise InputError(f"most is {arguments.most}; expected 1 or more pairs to read; leave --most-resistant out for none")
    table = pairs.read(arguments.pairs, without=pairs.PROMPTS)
    rewards = scores.read(arguments.scores, table)
    check = read_json_object(arguments.check)
    check_counts(arguments.check, check, {"pairs_scored": len(table)}, "run stages/compare.py to score these pairs again")
    lengths = pairs.response_lengths(table)
    draw = ClusterBootstrap(table["opening_prompt"].to_numpy(), arguments.resamples, arguments.seed, arguments.level)

    figures = agreement.by_subset(table, lambda mask: agreement.resistance(rewards[mask], lengths[mask], draw[mask]))
    turns = table[["chosen_turns", "rejected_turns"]].max(axis=1).to_numpy()
    groupings = {
        "by_turns": agreement.in_ranges(turns, agreement.TURNS),
        "by_length_difference": agreement.in_ranges(lengths[:, 0] - lengths[:, 1], agreement.LENGTH_DIFFERENCES),
    }
    gammas = np.full(len(table), "", dtype=object)
    if arguments.taxonomy:
        needed = (*labeler_preference.COMPARED, labeler_preference.TOPICS)
        row_ids = table["row_id"].to_numpy()
        labels = labeler_preference.by_pair(taxonomy.read_of_pairs(arguments.taxonomy, table), row_ids, needed, arguments.taxonomy)
        gammas = labeler_preference.gamma(labels)
        groupings |= {"gamma": labeler_preference.gamma_groups(gammas), "topic": labeler_preference.topic_groups(labels)}
    found = agreement.all_and_held_out(table, lambda mask: resistance_by(groupings, mask, rewards, draw))
    grouped = {name: {subset: by_grouping[name] for subset, by_grouping in found.items()} for name in groupings}
    figures |= {name: grouped[name] for name in ("by_turns", "by_length_difference")}
    if arguments.taxonomy:
        figures["by_labeler"] = {name: grouped[name] for name in ("gamma", "topic")}
        resists = ~rewards["agreement"].to_numpy()
        differences = agreement.all_and_held_out(
            table, lambda mask: labeler_preference.rejected_minus_chosen(resists[mask], gammas[mask], draw[mask])
        )
        for subset, difference in differences.items():
            figures["by_labeler"]["gamma"][subset]["rejected_minus_chosen"] = difference
    write_json(arguments.metrics, {"scoring": check, **figures})
    write_csv(arguments.margins, agreement.margin_histogram(rewards))
    if arguments.rewards:
        write_csv(arguments.rewards, plot_tables.rewards_histogram(rewards))
    if arguments.most_resistant:
        # Like metrics, compared across commits and machines, whose last digits differ.
        write_csv(arguments.most_resistant, agreement.most_resistant(table, rewards, gammas, arguments.most).map(rounded))


def resistance_by(
    groupings: Dict[str, Dict[str, np.ndarray]], mask: np.ndarray, rewards: pd.DataFrame, draw: ClusterBootstrap
) -> Dict[str, Any]:
    """Of the pairs of a mask, in each group of theirs."""
    of_mask = {name: {group: members[mask] for group, members in groups.items()} for name, groups in groupings.items()}
    return agreement.resistance_by(of_mask, rewards[mask], draw[mask])


if __name__ == "__main__":
    command_line.run(main, Arguments, __doc__)
