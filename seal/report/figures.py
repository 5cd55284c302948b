"""What figures are, and what may be said of them: verdicts, and the words that findings of several chapters share.

Every sentence of a finding is chosen by its numbers, and is true whichever way they fall. What is said to be higher, to be earned or to
have moved has an interval that says so, after Holm's correction where there are many; else the sentence says that it cannot be shown.
Intervals stand in brackets, and are those that are judged by.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from seal.report.wording import Number, feature, number, p_value, percent, points, things, within, within_percent

MIN_PROMPTS = 10
"""From fewer opening prompts nothing is reported: an interval by bootstrap over so few is far too narrow."""

CONTROL, ALIGNED, LENGTH = "control", "aligned", "length"

HELD_OUT = ("by_part", "held-out")
SCALED_MARGIN = "change_of_scaled_margin"

GAMMAS = {"c": "chosen", "r": "rejected", "i": "neither"}
"""Which text the labeler prefers."""

REJECTED_MINUS_CHOSEN = "rejected_minus_chosen"
"""Beside the groups by gamma, and no group itself: how much more aligned resists where the labeler prefers the rejected text."""


class Figures(NamedTuple):
    """What a metrics file holds, or a part of it."""

    file: str
    content: Any
    keys: tuple[str, ...] = ()
    """Where in the file."""

    def at(self, *keys: str) -> "Figures":
        """A part of these figures; one without content where there is none."""
        content = self.content
        for key in keys:
            content = content.get(key) if isinstance(content, dict) else None
        return Figures(self.file, content, self.keys + keys)

    def get(self, *keys: str) -> Any:
        """The content of a part; None where there is none."""
        return self.at(*keys).content

    def parts(self, *keys: str) -> dict[str, "Figures"]:
        """By key, each part of a part; none where there is none."""
        part = self.at(*keys)
        return {key: part.at(key) for key in part.content or {}}

    def __bool__(self) -> bool:
        return bool(self.content)


class Finding(NamedTuple):
    """A finding: what a reader of two minutes takes away, and the numbers behind it."""

    claim: str
    evidence: str
    sources: tuple[Figures, ...]
    """Parts of metrics files that all its numbers are from."""


class Audit(NamedTuple):
    """All that stages wrote to metrics files."""

    counts: Figures
    summary: Figures
    resistance: Mapping[str, Figures]
    """By role."""
    pairwise: Sequence[Figures]
    regimes: Figures
    imprint: Mapping[str, Figures]
    """By role."""
    reward_shift: Figures
    labelers: Figures
    robustness: Figures
    costs: Sequence[Figures]
    level: float
    """Share of intervals that hold the truth."""
    dpl: Figures | None = None
    """Of distributional reward models."""
    hidden_context: Figures | None = None


def in_order(roles: Sequence[str]) -> list[str]:
    """Roles as a reader expects them: before, after, others, the baseline."""
    first = [role for role in (CONTROL, ALIGNED) if role in roles]
    return [*first, *(role for role in roles if role not in (*first, LENGTH)), *(role for role in roles if role == LENGTH)]


# --- verdicts ---


def tells(of: Figures, name: str, sample: Figures, zero: float = 0.0) -> int:
    """1 where the interval of a figure lies above zero, -1 where it lies below, 0 where neither can be shown.

    Parameters
    ----------
    sample
        What has the number of `opening_prompts`; from fewer than `MIN_PROMPTS` nothing is reported.
    """
    low, high = widest(of, name)
    if low is None or high is None or not enough(sample):
        return 0
    return 1 if low > zero else -1 if high < zero else 0


def agrees_more(figures: Figures, significant: float) -> int:
    """1 where the first of two agrees with the human more often, -1 where less often; both the interval and McNemar's test must say so."""
    return tells(figures, "difference", figures) if mcnemar_p(figures) < significant else 0


def told_by_holm(features: Mapping[str, Figures], significant: float) -> dict[int, list[str]]:
    """Names of the features whose effect is above 0, below it, and cannot be shown, after Holm's correction."""
    told: dict[int, list[str]] = {1: [], -1: [], 0: []}
    for name, of in features.items():
        p, estimate = of.get("p_holm"), of.get("estimate")
        told[0 if p is None or estimate is None or p >= significant else 1 if estimate > 0 else -1].append(name)
    return told


def widest(figures: Figures, name: str) -> tuple[Number, Number]:
    """The outer ends of the interval and of the one that takes pairs as independent, where there is one: judged by and shown.

    Where all pairs of a group are alike, so are all resamples, and a bootstrap's interval has no width; Wilson's still has.
    """
    low, high = ends(figures, name)
    independent = figures.at("independent_pairs")
    other_low, other_high = ends(independent, name)
    if name == "resistance" and None not in ends(independent, "agreement"):  # its interval is that of agreement, the other way round
        other_low, other_high = (1 - independent.get(f"agreement_{end}") for end in ("high", "low"))
    if low is None or high is None or other_low is None or other_high is None:
        return low, high
    return min(low, other_low), max(high, other_high)


def ends(figures: Figures, name: str) -> tuple[Number, Number]:
    """Both ends of a figure's interval."""
    return figures.get(f"{name}_low"), figures.get(f"{name}_high")


def with_named_ends(figure: str, features: Mapping[str, Figures]) -> list[tuple[str, Figures]]:
    """Figures whose ends are named low and high, with ends that are named after the figure, as elsewhere."""
    return [
        (name, of._replace(content={**of.content, f"{figure}_low": of.get("low"), f"{figure}_high": of.get("high")}))
        for name, of in features.items()
    ]


def enough(sample: Figures) -> bool:
    """Whether a sample has the opening prompts from which on anything is reported."""
    return (sample.get("opening_prompts") or 0) >= MIN_PROMPTS


def mcnemar_p(figures: Figures) -> float:
    """p of McNemar's test, after Holm's correction where there is one; 1 where there is none."""
    found = [figures.get("independent_pairs", name) for name in ("mcnemar_p_holm", "mcnemar_p")]
    return next((float(p) for p in found if p is not None), 1.0)


# --- words ---


def shown_share(figures: Figures, name: str) -> str:
    """A share in per cent, with the interval that is judged by."""
    return f"{percent(figures.get(name))} {within_percent(*widest(figures, name))}"


def shown_points(figures: Figures, name: str) -> str:
    """A difference of two shares in percentage points, with the interval that is judged by."""
    return f"{points(figures.get(name))} {within_percent(*widest(figures, name))}"


def shown_value(figures: Figures, name: str, shown: Callable[[Number], str] = number) -> str:
    """A figure with the interval that is judged by."""
    return f"{shown(figures.get(name))} {within(*widest(figures, name))}"


def shown_mcnemar(figures: Figures) -> str:
    """McNemar's p, without a correction."""
    test = figures.at("independent_pairs")
    return f"McNemar {p_value(test.get('mcnemar_p'), test.get('mcnemar_log10_p'))}"


def who_agrees_more(first: str, second: str, verdict: int) -> str:
    """Words for a verdict on which of two agrees with the human more often."""
    return {
        1: f"{first} agrees with the human more often than {second}",
        -1: f"{first} agrees with the human less often than {second}",
        0: f"it cannot be shown whether {first} or {second} agrees with the human more often",
    }[verdict]


HELD_OUT_OR_NOT = "held out or not"

BOTH_SAY_SO = "The exact McNemar test takes pairs as independent; reported as a difference only if both the interval and the test say so."


def held_out_first(held_out: str | None, everything: str) -> str:
    """A claim from the verdicts on held-out pairs, which come first and may be none, and on all pairs."""
    if held_out is None:
        return f"{as_sentence(everything)}."
    if held_out == everything:
        return f"On held-out pairs {held_out}; so too on all pairs, {HELD_OUT_OR_NOT}."
    return f"On held-out pairs {held_out}. On all pairs, {HELD_OUT_OR_NOT}, {everything}."


def pairs_in_the_fit(found: Figures) -> str:
    """How many pairs a regression on labels is of."""
    left_out = found.get("unlabelled_pairs") or 0
    words = f"{things((found.get('pairs') or 0) - left_out, 'pair')} of all parts"
    return f"{words} ({things(left_out, 'pair')} without labels left out)" if left_out else words


def holm_note(fit: Figures) -> str:
    """Words on what is reported of a fit with many features."""
    return (
        f"Reported as an effect only where significant after Holm's correction for {things(fit.get('tested'), 'test')}; intervals are of "
        "one at a time."
    )


def names_in_brackets(names: Sequence[str]) -> str:
    """Names of features in brackets, after a blank; nothing where there is none."""
    return f" ({', '.join(feature(name) for name in names)})" if names else ""


def reason_in_brackets(figures: Figures) -> str:
    """The reason why there is no figure or no interval, in brackets and after a blank; nothing where there is none."""
    reason = figures.get("reason")
    return f" [{reason}]" if reason else ""


def as_sentence(words: str) -> str:
    """Words that begin a sentence; the names of roles stay as they are."""
    return words[0].upper() + words[1:] if words.startswith(("it cannot", "from control", "being")) else words


def no_finding(what: str, reason: Any, *sources: Figures) -> Finding:
    """A finding that there is none."""
    return Finding(f"{what}: nothing can be said.", f"Why: {reason or 'no pair counts for it'}.", sources)
