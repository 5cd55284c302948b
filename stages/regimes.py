"""Count the four alignment regimes: what became of each pair between the control and the aligned reward model."""

import command_line
from command_line import flag

# isort: split
from dataclasses import dataclass

from seal import agreement, labeler_preference, pairs, plot_tables, scores, taxonomy
from seal.errors import InputError
from seal.files import write_csv, write_json
from seal.uncertainty import ClusterBootstrap


@dataclass(frozen=True)
class Arguments:
    pairs: str = flag("table of pairs, as stages/prepare.py writes it")
    control_scores: str = flag("rewards of the role control, as stages/compare.py writes them")
    aligned_scores: str = flag("rewards of the role aligned, as stages/compare.py writes them")
    metrics: str = flag("where to write the measures (JSON)")
    taxonomy: str = flag("the labeler's labels, for regimes by its own preference; none if not given", "")
    agreement_by_gamma: str = flag("where to write the mosaic of agreement by gamma for the plot (CSV); needs --taxonomy", "")
    regimes_by_gamma: str = flag("where to write the regimes by gamma for the plot (CSV); needs --taxonomy", "")
    resamples: int = flag("bootstrap resamples", 2000)
    level: float = flag("share of intervals that hold the truth", 0.95)
    seed: int = flag("seed of the bootstrap", 1)


def main(arguments: Arguments) -> None:
    if (arguments.agreement_by_gamma or arguments.regimes_by_gamma) and not arguments.taxonomy:
        raise InputError("agreement-by-gamma, regimes-by-gamma: there is no gamma without labels; give --taxonomy too, or leave both out")
    table = pairs.read(arguments.pairs, without=pairs.PARTS_OF_TEXTS)
    control, aligned = (scores.read(path, table)["agreement"].to_numpy() for path in (arguments.control_scores, arguments.aligned_scores))
    draw = ClusterBootstrap(table["opening_prompt"].to_numpy(), arguments.resamples, arguments.seed, arguments.level)
    figures = agreement.by_subset(table, lambda mask: agreement.regimes(control[mask], aligned[mask], draw[mask]))
    if arguments.taxonomy:
        row_ids, needed = table["row_id"].to_numpy(), labeler_preference.COMPARED
        labels = labeler_preference.by_pair(taxonomy.read_of_pairs(arguments.taxonomy, table), row_ids, needed, arguments.taxonomy)
        figures["by_labeler"] = agreement.all_and_held_out(
            table,
            lambda mask: labeler_preference.regimes_report(
                control[mask], aligned[mask], labeler_preference.subset(labels, mask), draw[mask]
            ),
        )
    write_json(arguments.metrics, figures)
    if arguments.agreement_by_gamma:
        roles = {"control": control, "aligned": aligned}
        mosaic = plot_tables.agreement_by_gamma(roles, labeler_preference.gamma(labels), draw)
        write_csv(arguments.agreement_by_gamma, mosaic)
    if arguments.regimes_by_gamma:
        write_csv(arguments.regimes_by_gamma, plot_tables.regimes_by_gamma(figures["by_labeler"]["all"]["regimes"]))


if __name__ == "__main__":
    command_line.run(main, Arguments, __doc__)
