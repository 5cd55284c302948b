"""Set two roles against each other: which of them agrees with the human more often, on the same pairs."""

import command_line
from command_line import flag

# isort: split
from dataclasses import dataclass

from seal import agreement, pairs, scores
from seal.files import write_json
from seal.uncertainty import ClusterBootstrap


@dataclass(frozen=True)
class Arguments:
    pairs: str = flag("table of pairs, as stages/prepare.py writes it")
    first: str = flag("name of the first role")
    second: str = flag("name of the second role")
    first_scores: str = flag("rewards of the first role, as stages/compare.py writes them")
    second_scores: str = flag("rewards of the second role, as stages/compare.py writes them")
    metrics: str = flag("where to write the measures (JSON)")
    resamples: int = flag("bootstrap resamples", 2000)
    level: float = flag("share of intervals that hold the truth", 0.95)
    seed: int = flag("seed of the bootstrap", 1)


def main(arguments: Arguments) -> None:
    table = pairs.read(arguments.pairs, without=pairs.PARTS_OF_TEXTS)
    first, second = (scores.read(path, table)["agreement"].to_numpy() for path in (arguments.first_scores, arguments.second_scores))
    draw = ClusterBootstrap(table["opening_prompt"].to_numpy(), arguments.resamples, arguments.seed, arguments.level)
    figures = agreement.by_subset(table, lambda mask: agreement.pairwise(first[mask], second[mask], draw[mask]))
    write_json(arguments.metrics, {"first": arguments.first, "second": arguments.second, **figures})


if __name__ == "__main__":
    command_line.run(main, Arguments, __doc__)
