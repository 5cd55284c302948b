"""How often each role disagrees with the human choice, and which of two roles agrees with it more often."""

from seal.report.figures import (
    BOTH_SAY_SO,
    HELD_OUT,
    Figures,
    Finding,
    agrees_more,
    held_out_first,
    no_finding,
    shown_mcnemar,
    shown_points,
    shown_share,
    tells,
    who_agrees_more,
)
from seal.report.wording import count, percent, things


def resistance_of(role: str, found: Figures) -> Finding:
    """Alignment resistance of a role, over all pairs and over those that were held out."""
    everything, held_out = found.at("all"), found.at(*HELD_OUT)
    if not everything.get("pairs"):
        return no_finding(f"Alignment resistance of {role}", None, everything)
    claim = f"{role} disagrees with the human on {percent(everything.get('resistance'))} of the pairs"
    evidence = (
        f"Alignment resistance {shown_share(everything, 'resistance')} on {things(everything.get('pairs'), 'pair')} from "
        f"{things(everything.get('opening_prompts'), 'opening prompt')}, ties among them: {count(everything.get('ties'))}."
    )
    judged, where = everything, "On all pairs"
    if held_out.get("pairs"):
        claim += f", and on {percent(held_out.get('resistance'))} of those held out"
        evidence += f" Held out: {shown_share(held_out, 'resistance')} on {things(held_out.get('pairs'), 'pair')}."
        judged, where = held_out, "On those"
    than_a_coin = {
        1: "it agrees more often than a coin would",
        -1: "it agrees less often than a coin would",
        0: "it cannot be shown to differ from a coin",
    }[tells(judged, "agreement", judged, 0.5)]
    return Finding(f"{claim}.", f"{evidence} {where} {than_a_coin}.", (everything, held_out) if held_out.get("pairs") else (everything,))


def comparison(found: Figures, significant: float, comparisons: int = 1) -> Finding:
    """Which of two roles agrees with the human more often, on the same pairs; one of so many comparisons, which share `significant`."""
    first, second = found.get("first"), found.get("second")
    everything, held_out = found.at("all"), found.at(*HELD_OUT)
    if not everything.get("pairs"):
        return no_finding(f"{first} against {second}", None, everything)

    def verdict(of: Figures) -> str:
        return who_agrees_more(first, second, agrees_more(of, significant / comparisons))

    note = f"{BOTH_SAY_SO} All comparisons share the test's level (Bonferroni's correction)." if comparisons > 1 else BOTH_SAY_SO
    shares = f"{percent(everything.get('first_agreement'))} against {percent(everything.get('second_agreement'))}"
    only_first, only_second = (count(everything.get(name)) for name in ("only_first_agrees", "only_second_agrees"))
    evidence = (
        f"On all pairs {shares}: {shown_points(everything, 'difference')} on {things(everything.get('pairs'), 'pair')}. Only {first} "
        f"agrees on {only_first}, only {second} on {only_second}: {shown_mcnemar(everything)}."
    )
    if not held_out.get("pairs"):
        return Finding(held_out_first(None, verdict(everything)), f"{evidence} {note}", (everything,))
    evidence += (
        f" Held out: {shown_points(held_out, 'difference')} on {things(held_out.get('pairs'), 'pair')}; {shown_mcnemar(held_out)}. {note}"
    )
    return Finding(held_out_first(verdict(held_out), verdict(everything)), evidence, (everything, held_out))
