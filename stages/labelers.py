"""Measure how well the labeler, the control labeler and gold agree on each of the 19 features."""

import command_line
from command_line import flag

# isort: split
from dataclasses import dataclass
from typing import Any, Callable, Dict, Tuple

import numpy as np
import pandas as pd

from seal import gold, label_agreement, labeler_preference, pairs, plot_tables, taxonomy
from seal.files import check_counts, read_json_object, write_csv, write_json
from seal.uncertainty import ClusterBootstrap

DrawOf = Callable[[pd.DataFrame], ClusterBootstrap]
"""The bootstrap over the opening prompts of the texts of a table of labels."""


@dataclass(frozen=True)
class Arguments:
    pairs: str = flag("table of pairs, as stages/prepare.py writes it")
    taxonomy: str = flag("the labeler's labels: row_id, preference, text, then the 19 features, or some of them")
    control_taxonomy: str = flag("the control labeler's labels, of the same texts or of some of them")
    gold: str = flag("gold labels, with text_sha256 in the place of text, of all texts or of some; none where there are none")
    coverage: str = flag("counts that the labeler's stage wrote beside its labels (JSON), published as they are")
    control_coverage: str = flag("counts that the control labeler's stage wrote beside its labels (JSON), published as they are")
    metrics: str = flag("where to write the measures (JSON)")
    agreement: str = flag("where to write the agreement by feature and comparison for the plot (CSV); none if not given", "")
    means: str = flag("where to write the labeler's mean labels by side for the plot (CSV); none if not given", "")
    resamples: int = flag("bootstrap resamples", 2000)
    level: float = flag("share of intervals that hold the truth", 0.95)
    seed: int = flag("seed of the bootstrap", 1)


def main(arguments: Arguments) -> None:
    table = pairs.read(arguments.pairs, without=pairs.PARTS_OF_TEXTS)
    openings = table.set_index("row_id")["opening_prompt"]
    labeler, control = (taxonomy.read_of_pairs(path, table) for path in (arguments.taxonomy, arguments.control_taxonomy))
    coverage, control_coverage = (read_json_object(path) for path in (arguments.coverage, arguments.control_coverage))
    remedy = "run the stages that label these pairs again"
    check_counts(arguments.coverage, coverage, {"texts": 2 * len(table), "labelled": len(labeler)}, remedy)
    both_labelled = int((control["row_id"].value_counts() == 2).sum())
    check_counts(arguments.control_coverage, control_coverage, {"pairs_labelled": both_labelled}, remedy)

    def draw_of(texts: pd.DataFrame) -> ClusterBootstrap:
        """Over their own opening prompts: how many texts have gold, or a second labeler, was decided, and is the same in each resample."""
        prompts = np.asarray(texts["row_id"].map(openings), dtype=object)
        return ClusterBootstrap(prompts, arguments.resamples, arguments.seed, arguments.level)

    figures = {
        "labeler": coverage,
        "control": control_coverage,
        **with_gold(arguments.gold, labeler, control, openings, draw_of),
        "labeler_control": compared(label_agreement.aligned(labeler, control), ("labeler", "control"), draw_of),
    }
    write_json(arguments.metrics, figures)
    if arguments.agreement:
        write_csv(arguments.agreement, plot_tables.labeler_agreement(figures))
    if arguments.means:
        features = [feature for feature in plot_tables.MEANS if feature in labeler]
        labels = labeler_preference.by_pair(labeler, table["row_id"].to_numpy(), features, arguments.taxonomy)
        write_csv(arguments.means, plot_tables.label_means(labels, draw_of(table)))


def with_gold(path: str, labeler: pd.DataFrame, control: pd.DataFrame, openings: "pd.Series[str]", draw_of: DrawOf) -> Dict[str, Any]:
    """How many of the pairs' texts gold knows, and how both labelers agree with it."""
    labels = gold.read(path)
    if labels is None:
        nothing = label_agreement.without_gold("no gold is set for these pairs")
        return {
            "gold": {"texts": 0, "reserved": 0},
            **dict.fromkeys(("labeler_gold", "labeler_gold_reserved", "control_gold"), nothing),
        }
    reserved = openings[openings.index.isin(labels["row_id"])].map(gold.reserved)
    known = labels.loc[labels["row_id"].isin(openings.index), "row_id"]
    by_labeler, by_control = (gold.join(labelled, labels, path) for labelled in (labeler, control))
    kept = by_labeler[0]["row_id"].map(reserved).to_numpy(dtype=bool)
    return {
        "gold": {"texts": len(known), "reserved": int(known.map(reserved).sum())},
        "labeler_gold": compared(by_labeler, ("labeler", "gold"), draw_of),
        "labeler_gold_reserved": compared((by_labeler[0][kept], by_labeler[1][kept]), ("labeler", "gold"), draw_of),
        "control_gold": compared(by_control, ("control", "gold"), draw_of),
    }


def compared(sides: Tuple[pd.DataFrame, pd.DataFrame], names: Tuple[str, str], draw_of: DrawOf) -> Dict[str, Any]:
    return label_agreement.compare(*sides, names, draw_of(sides[0]), gold=names[1] == "gold")


if __name__ == "__main__":
    command_line.run(main, Arguments, __doc__)
