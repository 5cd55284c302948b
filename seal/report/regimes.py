"""What became of the pairs from control to aligned: the four regimes, where the labeler's own preference stands, and how rewards moved."""

from seal.agreement import REGIMES
from seal.report.figures import (
    BOTH_SAY_SO,
    GAMMAS,
    HELD_OUT,
    HELD_OUT_OR_NOT,
    REJECTED_MINUS_CHOSEN,
    SCALED_MARGIN,
    Figures,
    Finding,
    agrees_more,
    ends,
    enough,
    held_out_first,
    no_finding,
    shown_points,
    shown_share,
    shown_value,
    tells,
    who_agrees_more,
)
from seal.report.wording import change, count, listed, p_value, percent, things

_BECAME = ("stayed aligned", "got aligned", "resist alignment", "were reversed")


def regimes(found: Figures) -> Finding:
    """The four alignment regimes."""
    everything, held_out = found.at("all"), found.at(*HELD_OUT)
    if not everything.get("pairs"):
        return no_finding("Alignment regimes", None, everything)
    gained = {
        1: "more got aligned than were reversed",
        -1: "more were reversed than got aligned",
        0: "which of the two is more cannot be shown",
    }

    def became(of: Figures) -> str:
        got, lost = (percent(of.get(name, "share")) for name in ("got_aligned", "reversed_alignment"))
        return f"from control to aligned {got} of the pairs got aligned, and {lost} were reversed"

    def said(of: Figures) -> str:
        shares = [f"{shown_share(of.at(name), 'share')} {words}" for name, words in zip(REGIMES, _BECAME, strict=True)]
        return (
            f"of {things(of.get('pairs'), 'pair')} {listed(shares)}. Agreement moved by {shown_points(of, 'agreement_gained')}: "
            f"{gained[tells(of, 'agreement_gained', of)]}."
        )

    if not held_out.get("pairs"):
        return Finding(held_out_first(None, became(everything)), f"In all: {said(everything)}", (everything,))
    return Finding(
        held_out_first(became(held_out), became(everything)),
        f"Held out: {said(held_out)} On all pairs, {HELD_OUT_OR_NOT}: {said(everything)}",
        (held_out, everything),
    )


def resistance_by_gamma(found: Figures) -> Finding:
    """Resistance of the aligned model by the labeler's own preference."""
    by_gamma = found.at("by_labeler", "gamma")
    everything, held_out = by_gamma.at("all"), by_gamma.at("held_out")
    if not everything:
        return no_finding("Resistance by the labeler's own preference", "no labels are given", found.at("by_labeler"))
    verdict = _resists_more(_rejected_minus_chosen(everything))
    if not any(held_out.get(gamma, "pairs") for gamma in GAMMAS):
        return Finding(held_out_first(None, verdict), f"On all pairs: {_of_groups(everything)}", (everything,))
    return Finding(
        held_out_first(_resists_more(_rejected_minus_chosen(held_out)), verdict),
        f"Held out: {_of_groups(held_out)} On all pairs, {HELD_OUT_OR_NOT}: {_of_groups(everything)}",
        (held_out, everything),
    )


def _rejected_minus_chosen(groups: Figures) -> int:
    """As `tells`, of the difference of both groups; also 0 where either group has few prompts.

    A group whose pairs are all alike adds nothing to the width of the difference's bootstrap, which is then too narrow to be judged by.
    """
    difference, both = groups.at(REJECTED_MINUS_CHOSEN), (groups.at("r"), groups.at("c"))
    alike = any(len(set(ends(of, "resistance"))) == 1 for of in both) and not difference.get("independent_pairs")
    return 0 if alike or not all(map(enough, both)) else tells(difference, "resistance", difference)


def _resists_more(verdict: int) -> str:
    return {
        1: "aligned resists more where the labeler, too, prefers the rejected text than where it prefers the chosen one",
        -1: "aligned resists less where the labeler prefers the rejected text than where it prefers the chosen one",
        0: "it cannot be shown whether aligned resists more where the labeler, too, prefers the rejected text than where it prefers the "
        "chosen one",
    }[verdict]


def _of_groups(groups: Figures) -> str:
    """Resistance of each group of pairs, and the difference that is judged by."""
    said = [
        f"{shown_share(groups.at(gamma), 'resistance')} of {things(groups.get(gamma, 'pairs'), 'pair')} where the labeler prefers {prefers}"
        for gamma, prefers in {"c": "the chosen text", "r": "the rejected one", "i": "neither"}.items()
        if groups.get(gamma, "pairs")
    ]
    difference, left = groups.at(REJECTED_MINUS_CHOSEN), groups.get("unlabelled", "pairs")
    less = (
        f"rejected minus chosen {shown_points(difference, 'resistance')}"
        if difference.get("resistance") is not None
        else f"rejected minus chosen unknown [{difference.get('resistance_reason') or 'not in the file'}]"
    )
    words = f"aligned resists on {listed(said)}; {less}."
    return f"{words} Without labels: {things(left, 'pair')}." if left else words


def labeler_preference(found: Figures, significant: float) -> Finding:
    """Whether the labeler's own preference agrees with the human more often than the models do."""
    everything, held_out = (found.at("by_labeler", population, "agreement_with_human") for population in ("all", "held_out"))
    if not everything.get("pairs"):
        reason = "no labels are given" if not found.get("by_labeler") else "the labeler prefers neither text of any pair"
        return no_finding("The labeler's own preference", reason, found.at("by_labeler"))

    def verdict(tested: Figures) -> str:
        return who_agrees_more("aligned", "the labeler's own preference", agrees_more(tested.at("aligned_labeler"), significant))

    note = f"p of McNemar's tests after Holm's correction. {BOTH_SAY_SO}"
    if not held_out.get("pairs"):
        return Finding(held_out_first(None, verdict(everything)), f"All pairs: {_against_labeler(everything)} {note}", (everything,))
    return Finding(
        held_out_first(verdict(held_out), verdict(everything)),
        f"Held out: {_against_labeler(held_out)} All pairs, {HELD_OUT_OR_NOT}: {_against_labeler(everything)} {note}",
        (held_out, everything),
    )


def _against_labeler(tested: Figures) -> str:
    """Agreement of both models with the human, against that of the labeler's own preference."""

    def said(role: str) -> str:
        figures = tested.at(f"{role}_labeler")
        return f"{role}: {percent(figures.get('first_agreement'))}, {shown_points(figures, 'difference')}, {_holm(figures)}."

    return (
        f"on the {things(tested.get('pairs'), 'pair')} on which the labeler prefers a text it agrees with the human on "
        f"{percent(tested.get('aligned_labeler', 'second_agreement'))}. {said('aligned')} {said('control')} It prefers neither on "
        f"{count(tested.get('indifferent'))} more."
    )


def _holm(figures: Figures) -> str:
    return p_value(figures.get("independent_pairs", "mcnemar_p_holm"))


def reward_shift(found: Figures) -> Finding:
    """How margins and the angle theta moved from control to aligned.

    Each role's margin is taken in its own standard deviations: beside a role of large rewards that of small ones would hardly count.
    """
    everything, held_out = found.at("all"), found.at("held_out")
    margin, theta = everything.at(SCALED_MARGIN), everything.at("theta")
    if margin.get("mean") is None:
        reason = margin.get("mean_reason") or margin.get("median_reason")
        return no_finding("Reward shift", reason, everything)

    def verdict(of: Figures) -> str:
        return {
            1: "from control to aligned the margins moved towards the human",
            -1: "from control to aligned the margins moved away from the human",
            0: "it cannot be shown whether the margins moved towards the human or away from it, from control to aligned",
        }[tells(of.at(SCALED_MARGIN), "mean", of)]

    def moved(of: Figures) -> str:
        return (
            f"{shown_value(of.at(SCALED_MARGIN), 'mean', change)} on {things(of.get('pairs'), 'pair')}; positive on "
            f"{shown_share(of.at(SCALED_MARGIN), 'share_positive')}."
        )

    evidence = "Mean change of margin, each role's in its own standard deviations: "
    sources = [margin, everything.at("pairs"), theta]
    if held_out.get("pairs") and held_out.get(SCALED_MARGIN, "mean") is not None:
        claim = held_out_first(verdict(held_out), verdict(everything))
        evidence += f"held out {moved(held_out)} On all pairs, {HELD_OUT_OR_NOT}: {moved(everything)}"
        sources += [held_out.at(SCALED_MARGIN), held_out.at("pairs")]
    else:
        claim = held_out_first(None, verdict(everything))
        evidence += moved(everything)
    if theta.get("circular_mean") is not None:
        evidence += (
            f" Circular mean of the angle theta: {shown_value(theta, 'circular_mean')} degrees, resultant length "
            f"{shown_value(theta, 'resultant_length')}; its sign alone says nothing of the human."
        )
    return Finding(claim, evidence, tuple(sources))
