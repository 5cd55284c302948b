"""Gather the headline numbers of the audit, few enough to read a diff of them at a glance."""

import command_line
from command_line import flag

# isort: split
from dataclasses import dataclass
from typing import Any, Dict, NamedTuple, Optional

from seal.agreement import REGIMES
from seal.errors import InputError
from seal.files import read_json_object, write_json


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
    names = ("prepare", "resistance", "resistance", "regimes", "labelers", "robustness")
    given = [Measured(path, name, read_json_object(path)) for path, name in zip(paths, names, strict=True)]
    write_json(arguments.metrics, summary(*given))


class Measured(NamedTuple):
    """What a stage wrote."""

    path: str
    stage: str
    """Its name, for messages."""
    content: Dict[str, Any]

    def at(self, *keys: str) -> Any:
        """What the keys lead to.

        Raises
        ------
        InputError
            If one of them is missing, or there is no object below it.
        """
        if not keys:
            return self.content
        *above, key = keys
        part = self.part(*above)
        if key not in part:
            raise InputError(f"{self.path}: lacks {'.'.join(keys)}; {self._remedy}")
        return part[key]

    def part(self, *keys: str) -> Dict[str, Any]:
        """An object.

        Raises
        ------
        InputError
            As `at`, or if something else stands there.
        """
        found = self.at(*keys)
        if not isinstance(found, dict):
            raise InputError(f"{self.path}, {'.'.join(keys)}: found {str(found)[:60]}, expected an object; {self._remedy}")
        return found

    def number(self, *keys: str) -> Optional[float]:
        """A number, or null, which stands where one cannot be had.

        Raises
        ------
        InputError
            As `at`, or if something else stands there.
        """
        found = self.at(*keys)
        if found is not None and (isinstance(found, bool) or not isinstance(found, (int, float))):
            raise InputError(f"{self.path}, {'.'.join(keys)}: found {str(found)[:60]}, expected a number or null; {self._remedy}")
        return found

    @property
    def _remedy(self) -> str:
        return f"give what stages/{self.stage}.py writes, or run it again"


def summary(
    counts: Measured, control: Measured, aligned: Measured, regimes: Measured, labelers: Measured, robustness: Measured
) -> Dict[str, Any]:
    """At most 25 numbers: over all pairs, and where it says so over those that no training saw.

    Raises
    ------
    InputError
        If a figure is missing.
    """
    by_ends = ("", "_low", "_high")
    return {
        "pairs": counts.number("pairs"),
        "rejects": counts.number("rejects"),
        "resistance": {
            "control": control.number("all", "resistance"),
            **{f"aligned{end}": aligned.number("all", f"resistance{end}") for end in by_ends},
        },
        "held_out": {
            "pairs": _held_out(aligned, "pairs") or 0,
            "resistance_control": _held_out(control, "resistance"),
            **{f"resistance_aligned{end}": _held_out(aligned, f"resistance{end}") for end in by_ends},
            "agreement_length": _held_out(aligned, "length_agreement"),
        },
        "ties_aligned": aligned.number("all", "ties"),
        "agreement_length": aligned.number("all", "length_agreement"),
        "aligned_minus_control": {f"agreement{end}": regimes.number("all", f"agreement_gained{end}") for end in by_ends},
        "regimes": {name: regimes.number("all", name, "share") for name in REGIMES},
        "labeler": {
            "coverage": labelers.number("labeler", "coverage"),
            "balanced_accuracy": labelers.number("labeler_gold_reserved", "balanced_accuracy_shown_by_words", "value"),
        },
        "aligned_reward_change": {
            "by_rewriting": _reward_change(robustness, "rewritten"),
            "by_a_trivial_change": _reward_change(robustness, "noise_floor", "trivial"),
        },
    }


def _held_out(resistance: Measured, key: str) -> Optional[float]:
    """A figure of the held-out pairs; null where there are none."""
    if resistance.part("by_part").get("held-out") is None:
        return None
    return resistance.number("by_part", "held-out", key)


def _reward_change(robustness: Measured, *table: str) -> Optional[float]:
    """Mean absolute change of the reward by `aligned`, in its standard deviations; null where no pair was changed, or they are 0."""
    if robustness.at(*table) is None or not robustness.number(*table, "all", "pairs"):
        return None
    change = (*table, "all", "aligned", "reward_change")
    if robustness.part(*change).get("all_texts") is None:
        return None
    return robustness.number(*change, "all_texts", "mean_absolute")


if __name__ == "__main__":
    command_line.run(main, Arguments, __doc__)
