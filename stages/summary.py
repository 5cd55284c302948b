"""Gather the headline numbers of the audit, few enough to read a diff of them at a glance."""

import command_line
from command_line import flag

# isort: split
from dataclasses import dataclass
from typing import Any, Dict, Optional

from seal.agreement import REGIMES
from seal.files import read_json, write_json


@dataclass(frozen=True)
class Arguments:
    counts: str = flag("counts of the pairs, as stages/prepare.py writes them")
    control: str = flag("resistance of the role control, as stages/resistance.py writes it")
    aligned: str = flag("resistance of the role aligned")
    regimes: str = flag("alignment regimes, as stages/regimes.py writes them")
    labelers: str = flag("agreement of labelers, as stages/labelers.py writes it")
    robustness: str = flag("alignment robustness, as stages/robustness.py writes it")
    metrics: str = flag("where to write the summary (JSON)")


def main(arguments: Arguments) -> None:
    paths = (arguments.counts, arguments.control, arguments.aligned, arguments.regimes, arguments.labelers, arguments.robustness)
    write_json(arguments.metrics, summary(*(read_json(path) for path in paths)))


def summary(
    counts: Dict[str, Any],
    control: Dict[str, Any],
    aligned: Dict[str, Any],
    regimes: Dict[str, Any],
    labelers: Dict[str, Any],
    robustness: Dict[str, Any],
) -> Dict[str, Any]:
    """At most 25 numbers: over all pairs, and where it says so over those that no training saw."""
    held_out = {"control": control["by_part"].get("held-out", {}), "aligned": aligned["by_part"].get("held-out", {})}
    return {
        "pairs": counts["pairs"],
        "rejects": counts["rejects"],
        "resistance": {
            "control": control["all"]["resistance"],
            **{f"aligned{end}": aligned["all"][f"resistance{end}"] for end in ("", "_low", "_high")},
        },
        "held_out": {
            "pairs": held_out["aligned"].get("pairs", 0),
            "resistance_control": held_out["control"].get("resistance"),
            **{f"resistance_aligned{end}": held_out["aligned"].get(f"resistance{end}") for end in ("", "_low", "_high")},
            "agreement_length": held_out["aligned"].get("length_agreement"),
        },
        "ties_aligned": aligned["all"]["ties"],
        "agreement_length": aligned["all"]["length_agreement"],
        "aligned_minus_control": {f"agreement{end}": regimes["all"][f"agreement_gained{end}"] for end in ("", "_low", "_high")},
        "regimes": {name: regimes["all"][name]["share"] for name in REGIMES},
        "labeler": {
            "coverage": labelers["labeler"]["coverage"],
            "balanced_accuracy": labelers["labeler_gold_reserved"]["balanced_accuracy_shown_by_words"]["value"],
        },
        "aligned_reward_change": {
            "by_rewriting": _reward_change(robustness["rewritten"]),
            "by_a_trivial_change": _reward_change(robustness["noise_floor"]["trivial"]),
        },
    }


def _reward_change(measured: Optional[Dict[str, Any]]) -> Optional[float]:
    """Mean absolute change of the reward by `aligned`, in its standard deviations; null where no pair was changed, or they are 0."""
    if not measured or not measured["all"]["pairs"]:
        return None
    change: Optional[float] = measured["all"]["aligned"]["reward_change"].get("all_texts", {}).get("mean_absolute")
    return change


if __name__ == "__main__":
    command_line.run(main, Arguments, __doc__)
