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
    given = [Measured(path, name, "", read_json_object(path)) for path, name in zip(paths, names, strict=True)]
    write_json(arguments.metrics, summary(*given))


class Measured(NamedTuple):
    """What a stage wrote, or a part of it."""

    path: str
    stage: str
    """Its name, for messages."""
    place: str
    """The keys that lead to the part, joined by dots; empty for the whole."""
    content: Dict[str, Any]

    def at(self, *keys: str) -> "Measured":
        """The part below some keys.

        Raises
        ------
        InputError
            If a key is missing, or there is no object below it.
        """
        found = self
        for key in keys:
            content = found._value(key)
            if not isinstance(content, dict):
                raise found._wrong(key, content, "an object")
            found = found._replace(place=found._below(key), content=content)
        return found

    def number(self, key: str) -> Optional[float]:
        """A number, or null, which stands where one cannot be had.

        Raises
        ------
        InputError
            If the key is missing, or something else stands there.
        """
        value = self._value(key)
        if value is not None and (isinstance(value, bool) or not isinstance(value, (int, float))):
            raise self._wrong(key, value, "a number or null")
        return value

    def has(self, key: str) -> bool:
        """Whether something other than null stands there."""
        return self.content.get(key) is not None

    def _value(self, key: str) -> Any:
        if key not in self.content:
            raise InputError(f"{self.path}: lacks {self._below(key)}; give what stages/{self.stage}.py writes, or run it again")
        return self.content[key]

    def _below(self, key: str) -> str:
        return f"{self.place}.{key}" if self.place else key

    def _wrong(self, key: str, found: Any, expected: str) -> InputError:
        return InputError(
            f"{self.path}, {self._below(key)}: found {str(found)[:60]}, expected {expected}; give what stages/{self.stage}.py writes, "
            "or run it again"
        )


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
            "control": control.at("all").number("resistance"),
            **{f"aligned{end}": aligned.at("all").number(f"resistance{end}") for end in by_ends},
        },
        "held_out": {
            "pairs": _held_out(aligned, "pairs") or 0,
            "resistance_control": _held_out(control, "resistance"),
            **{f"resistance_aligned{end}": _held_out(aligned, f"resistance{end}") for end in by_ends},
            "agreement_length": _held_out(aligned, "length_agreement"),
        },
        "ties_aligned": aligned.at("all").number("ties"),
        "agreement_length": aligned.at("all").number("length_agreement"),
        "aligned_minus_control": {f"agreement{end}": regimes.at("all").number(f"agreement_gained{end}") for end in by_ends},
        "regimes": {name: regimes.at("all", name).number("share") for name in REGIMES},
        "labeler": {
            "coverage": labelers.at("labeler").number("coverage"),
            "balanced_accuracy": labelers.at("labeler_gold_reserved", "balanced_accuracy_shown_by_words").number("value"),
        },
        "aligned_reward_change": {
            "by_rewriting": _reward_change(robustness, "rewritten"),
            "by_a_trivial_change": _reward_change(robustness.at("noise_floor"), "trivial"),
        },
    }


def _held_out(resistance: Measured, key: str) -> Optional[float]:
    """A figure of the held-out pairs; null where there are none."""
    by_part = resistance.at("by_part")
    return by_part.at("held-out").number(key) if by_part.has("held-out") else None


def _reward_change(robustness: Measured, name: str) -> Optional[float]:
    """Mean absolute change of the reward by `aligned`, in its standard deviations; null where no pair was changed, or they are 0."""
    if name in robustness.content and not robustness.has(name):
        return None
    measured = robustness.at(name, "all")
    if not measured.number("pairs"):
        return None
    change = measured.at("aligned", "reward_change")
    return change.at("all_texts").number("mean_absolute") if change.has("all_texts") else None


if __name__ == "__main__":
    command_line.run(main, Arguments, __doc__)
