"""How a report writes numbers, and texts that others wrote."""

import math
import unicodedata
from collections.abc import Callable, Mapping

Number = int | float | None

MINUS = "\u2212"

_FIXED = "\u00a0"
"""A space at which no line breaks."""

_TIMES_TEN = f"{_FIXED}\u00d7{_FIXED}10"

NOTHING = "\u2013"
"""A dash where a number could not be had."""

NO_WIDTH = "(no width: all alike)"
"""In the place of an interval whose ends are the same."""

_SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def signed(text: str) -> str:
    """A number's text with a real minus, and none where only zeros are left of it."""
    if text.startswith("-") and not any(digit in text for digit in "123456789"):
        text = text[1:]
    return text.replace("-", MINUS)


def number(value: Number) -> str:
    """Three significant digits."""
    if value is None:
        return "unknown"
    if value and not 1e-4 <= abs(value) < 1e5:
        mantissa, exponent = f"{value:.2e}".split("e")
        return f"{signed(mantissa)}{_TIMES_TEN}{str(int(exponent)).translate(_SUPERSCRIPTS)}"
    return signed(f"{value:#.3g}".removesuffix("."))


def count(value: Number) -> str:
    """A whole number, thousands apart."""
    return "an unknown number" if value is None else f"{value:,.0f}"


def percent(value: Number) -> str:
    """A share as per cent, one decimal."""
    return "an unknown share" if value is None else f"{signed(f'{100 * value:.1f}')}{_FIXED}%"


def points(value: Number) -> str:
    """A difference of two shares in percentage points, with its sign."""
    return "an unknown number of points" if value is None else f"{plus(value, f'{100 * value:.1f}')} points"


def change(value: Number) -> str:
    """Three significant digits with their sign."""
    return "unknown" if value is None else plus(value, number(value).replace(MINUS, "-"))


def plus(value: float, text: str) -> str:
    """A number's text with its sign, also where it is positive."""
    shown = signed(text)
    return f"+{shown}" if value > 0 and any(digit in shown for digit in "123456789") else shown


def within(low: Number, high: Number) -> str:
    """An interval in brackets, three significant digits."""
    return _interval(low, high, number)


def within_percent(low: Number, high: Number) -> str:
    """An interval of shares in brackets, in per cent."""
    return _interval(low, high, lambda end: signed(f"{100 * end:.1f}"))


def _interval(low: Number, high: Number, shown: Callable[[float], str]) -> str:
    """Resamples that are all alike make an interval of no width, which says nothing of how sure one can be."""
    if low is None or high is None:
        return "(no interval)"
    return NO_WIDTH if low == high else f"({shown(low)} to {shown(high)})"


def p_value(p: Number, log10_p: Number = None) -> str:
    """A value of p with two digits; from its logarithm where it is too small for a float."""
    if p is None:
        return "p unknown"
    if p >= 0.001:
        return f"p = {p:.2g}" if p < 0.995 else "p = 1"
    logarithm = log10_p if log10_p is not None else math.log10(p) if p > 0 else None
    if logarithm is None:
        return f"p < 10{'-300'.translate(_SUPERSCRIPTS)}"
    exponent = math.floor(logarithm)
    mantissa = f"{10 ** (logarithm - exponent):.1f}"
    if mantissa == "10.0":
        mantissa, exponent = "1.0", exponent + 1
    return f"p = {mantissa}{_TIMES_TEN}{str(exponent).translate(_SUPERSCRIPTS)}"


def feature(name: str) -> str:
    """A feature's name as words; what is said of no one else is of the last response."""
    return f"“{name.replace('last_response_is_', '').replace('last_response_', '').replace('_', ' ')}”"


def listed(items: list[str]) -> str:
    """Words after each other, the last two with an "and"."""
    return items[0] if len(items) == 1 else f"{', '.join(items[:-1])} and {items[-1]}" if items else "none"


def things(value: Number, one: str) -> str:
    """So many things: `1 pair`, `2 pairs`."""
    return f"{count(value)} {one if value == 1 else f'{one}s'}"


def by_reason(reasons: Mapping[str, int] | None, counted: str = "") -> str:
    """How many there are for each reason, in brackets and after a blank; nothing where there is none."""
    return f" ({counted}{', '.join(f'{reason}: {count(number)}' for reason, number in reasons.items())})" if reasons else ""


def visible(text: str) -> str:
    """A text in which no character is hidden or turns the direction of others: such ones stand there as `⟨U+202E⟩`.

    Line breaks and tabs stay, and so do the joiners that scripts and emoji need.
    """
    lines = text.replace("\r\n", "\n")
    return "".join(f"⟨U+{ord(each):04X}⟩" if _hidden(each) else each for each in lines)


_BLANK = {
    0x34F,
    0x115F,
    0x1160,
    0x17B4,
    0x17B5,
    *range(0x180B, 0x1810),
    0x2800,
    0x3164,
    0xFFA0,
    *range(0xFE00, 0xFE0E),
    *range(0xE0100, 0xE01F0),
}
"""Letters and marks that show nothing, though Unicode counts them among those that do."""


def _hidden(character: str) -> bool:
    if character in "\n\t\u200c\u200d\u00ad":
        return False
    return ord(character) in _BLANK or unicodedata.category(character) in ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp")
