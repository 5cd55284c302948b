"""Measure the reward shift: how the rewards of each pair moved from the control to the aligned reward model."""

import command_line
from command_line import flag

# isort: split
from dataclasses import dataclass
from typing import Any, Dict, Optional

import numpy as np
import pandas as pd

from seal import agreement, labeler_preference, pairs, polar, reward_shift, scores, taxonomy
from seal.files import write_csv, write_json, write_text
from seal.labeler_preference import PairLabels
from seal.uncertainty import ClusterBootstrap

NO_LABELS = "no table of labels is given"


@dataclass(frozen=True)
class Arguments:
    pairs: str = flag("table of pairs, as stages/prepare.py writes it")
    control_scores: str = flag("rewards of the role control, as stages/compare.py writes them")
    aligned_scores: str = flag("rewards of the role aligned, as stages/compare.py writes them")
    metrics: str = flag("where to write the measures (JSON)")
    theta: str = flag("where to write the histogram of theta for the plot, by regime (CSV)")
    taxonomy: str = flag("the labeler's labels, for the shift by its preference and by features; none if not given", "")
    reward_directions: str = flag("where to draw the directions of both roles' rewards (SVG); nowhere if not given", "")
    theta_rose: str = flag("where to draw theta as a circular histogram, over all pairs and by regime (SVG); nowhere if not given", "")
    resamples: int = flag("bootstrap resamples", 2000)
    level: float = flag("share of intervals that hold the truth", 0.95)
    seed: int = flag("seed of the bootstrap", 1)


def main(arguments: Arguments) -> None:
    table = pairs.read(arguments.pairs, without=pairs.PARTS_OF_TEXTS)
    control, aligned = (scores.read(path, table) for path in (arguments.control_scores, arguments.aligned_scores))
    before, after = (role[["chosen_score", "rejected_score"]].to_numpy(dtype=float) for role in (control, aligned))
    draw = ClusterBootstrap(table["opening_prompt"].to_numpy(), arguments.resamples, arguments.seed, arguments.level)
    labels = read_pair_labels(arguments.taxonomy, table) if arguments.taxonomy else None
    shift = reward_shift.shift(before, after)
    regimes = agreement.regime_names(control["agreement"].to_numpy(), aligned["agreement"].to_numpy())

    def by_group(groups: Dict[str, np.ndarray]) -> Dict[str, Any]:
        return reward_shift.by_group(shift, groups, draw)

    figures = {
        **by_group({"all": np.ones(len(table), dtype=bool), "held_out": (table["part"] == "held-out").to_numpy()}),
        "by_regime": by_group({name: regimes == name for name in agreement.REGIMES}),
        **by_labels(labels, shift, draw),
        "quadrants": {
            "rewards": {"control": reward_shift.quadrants(before), "aligned": reward_shift.quadrants(after)},
            "centred_rewards": {
                "control": reward_shift.quadrants(reward_shift.centred(before)),
                "aligned": reward_shift.quadrants(reward_shift.centred(after)),
            },
        },
    }
    write_json(arguments.metrics, figures)
    write_csv(arguments.theta, reward_shift.histogram(shift.theta, regimes))
    if arguments.reward_directions:
        roles = {"control": before, "aligned": after}
        write_text(arguments.reward_directions, polar.reward_directions(roles, figures["quadrants"]["rewards"]))
    if arguments.theta_rose:
        by_regime = [rose(name.replace("_", " "), shift.theta[regimes == name], figures["by_regime"][name]) for name in agreement.REGIMES]
        write_text(arguments.theta_rose, polar.theta_rose(rose("all pairs", shift.theta, figures["all"]), by_regime))


def rose(name: str, theta: np.ndarray, figures: Dict[str, Any]) -> polar.Rose:
    """What is drawn of some pairs, from their angles and their figures; these are none where there is no pair."""
    found = figures.get("theta", {})
    return polar.Rose(name, theta, found.get("circular_mean"), found.get("resultant_length"))


def read_pair_labels(path: str, table: pd.DataFrame) -> PairLabels:
    labels = taxonomy.read_of_pairs(path, table)
    features = [*labeler_preference.COMPARED, *(name for name in reward_shift.FEATURES if name in labels)]
    return labeler_preference.by_pair(labels, table["row_id"].to_numpy(), list(dict.fromkeys(features)), path)


def by_labels(labels: Optional[PairLabels], shift: reward_shift.Shift, draw: ClusterBootstrap) -> Dict[str, Any]:
    """The shift by gamma, and its regression on the features of both sides; null with the reason where there are no labels."""
    if labels is None:
        return {"by_gamma": None, "by_gamma_reason": NO_LABELS, "regression": None, "regression_reason": NO_LABELS}
    groups = labeler_preference.gamma_groups(labeler_preference.gamma(labels))
    outcomes = {"theta": shift.theta, "change_of_margin": shift.change_of_margin}
    return {
        "by_gamma": reward_shift.by_group(shift, groups, draw),
        "regression": reward_shift.regressed(outcomes, labels, draw.codes, draw.level),
    }


if __name__ == "__main__":
    command_line.run(main, Arguments, __doc__)
