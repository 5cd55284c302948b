"""Measure one role's agreement with the human choice and its alignment resistance, with the length baseline beside it."""

import command_line
from command_line import flag

# isort: split
from dataclasses import dataclass

from seal import agreement, pairs, scores
from seal.files import read_json, write_csv, write_json


@dataclass(frozen=True)
class Arguments:
    pairs: str = flag("table of pairs, as stages/prepare.py writes it")
    scores: str = flag("the role's rewards, as stages/compare.py writes them")
    check: str = flag("the role's counts and parity check, as stages/compare.py writes them")
    metrics: str = flag("where to write the measures (JSON)")
    margins: str = flag("where to write the histogram of margins for the plot (CSV)")
    resamples: int = flag("bootstrap resamples", 2000)
    level: float = flag("share of intervals that hold the truth", 0.95)
    seed: int = flag("seed of the bootstrap", 1)


def main(arguments: Arguments) -> None:
    table = pairs.read(arguments.pairs)
    rewards = scores.read(arguments.scores, table)
    lengths = table[["chosen_response", "rejected_response"]].map(len).to_numpy()
    openings = table["opening_prompt"].to_numpy()
    bootstrap = agreement.bootstrap(arguments.resamples, arguments.seed, arguments.level)
    figures = agreement.by_subset(table, lambda mask: agreement.resistance(rewards[mask], lengths[mask], openings[mask], bootstrap))
    write_json(arguments.metrics, {"scoring": read_json(arguments.check), **figures})
    write_csv(arguments.margins, agreement.margin_histogram(rewards))


if __name__ == "__main__":
    command_line.run(main, Arguments, __doc__)
