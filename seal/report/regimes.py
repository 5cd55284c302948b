"""What became of the pairs from control to aligned: the four regimes, where the labeler's own preference stands, and how rewards moved."""

from seal.agreement import REGIMES
from seal.report.figures import (
    BOTH_TELL,
    HELD_OUT,
    Figures,
    Finding,
    agrees_more,
    apart,
    as_sentence,
    ends,
    enough,
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
    shares = [f"{shown_share(everything.at(name), 'share')} {words}" for name, words in zip(REGIMES, _BECAME, strict=True)]
    claim = (
        f"From control to aligned {percent(everything.get('got_aligned', 'share'))} of the pairs got aligned, and "
        f"{percent(everything.get('reversed_alignment', 'share'))} were reversed."
    )
    gained = {
        1: "more got aligned than were reversed",
        -1: "more were reversed than got aligned",
        0: "which of the two is more cannot be told",
    }
    evidence = (
        f"Of {things(everything.get('pairs'), 'pair')}: {listed(shares)}. Agreement moved by "
        f"{shown_points(everything, 'agreement_gained')}: {gained[tells(everything, 'agreement_gained', everything)]}."
    )
    if not held_out.get("pairs"):
        return Finding(claim, evidence, (everything,))
    evidence += (
        f" Held out: by {shown_points(held_out, 'agreement_gained')} on {things(held_out.get('pairs'), 'pair')}: "
        f"{gained[tells(held_out, 'agreement_gained', held_out)]}."
    )
    return Finding(claim, evidence, (everything, held_out))


def resistance_by_gamma(found: Figures) -> Finding:
    """Resistance of the aligned model by the labeler's own preference."""
    groups = found.at("by_labeler", "gamma", "all")
    what = "Resistance by the labeler's own preference"
    if not groups:
        return no_finding(what, "no labels are given", found.at("by_labeler"))
    said = [
        f"{shown_share(groups.at(gamma), 'resistance')} of {things(groups.get(gamma, 'pairs'), 'pair')} where it prefers {prefers}"
        for gamma, prefers in {"c": "the chosen text", "r": "the rejected one", "i": "neither"}.items()
        if groups.get(gamma, "pairs")
    ]
    rejected, chosen = both = (groups.at("r"), groups.at("c"))
    unclear = (
        f"aligned resists on {percent(rejected.get('resistance'))} of the pairs where the labeler, too, prefers the rejected text, and on "
        f"{percent(chosen.get('resistance'))} of those where it prefers the chosen one; the two intervals meet."
        if all(enough(of) and None not in ends(of, "resistance") for of in both)
        else "Whether aligned resists more where the labeler, too, prefers the rejected text cannot be told."
    )
    verdict = {
        1: "aligned resists more where the labeler, too, prefers the rejected text than where it prefers the chosen one.",
        -1: "aligned resists less where the labeler prefers the rejected text than where it prefers the chosen one.",
        0: unclear,
    }[apart(rejected, chosen, "resistance", both)]
    left = groups.get("unlabelled", "pairs")
    evidence = f"By the labeler's own preference, aligned resists on {listed(said)}."
    if left:
        evidence += f" Without labels: {things(left, 'pair')}."
    return Finding(verdict, evidence, (groups,))


def labeler_preference(found: Figures, significant: float) -> Finding:
    """Whether the labeler's own preference agrees with the human more often than the models do."""
    tested = found.at("by_labeler", "all", "agreement_with_human")
    if not tested.get("pairs"):
        reason = "no labels are given" if not found.get("by_labeler") else "the labeler prefers neither text of any pair"
        return no_finding("The labeler's own preference", reason, found.at("by_labeler"))
    aligned, control = tested.at("aligned_labeler"), tested.at("control_labeler")
    verdict = who_agrees_more("aligned", "the labeler's own preference", agrees_more(aligned, significant))

    def said(role: str, figures: Figures) -> str:
        return f"{role}: {percent(figures.get('first_agreement'))}, {shown_points(figures, 'difference')}, {_holm(figures)}."

    return Finding(
        f"{as_sentence(verdict)}.",
        f"On the {count(tested.get('pairs'))} pairs on which the labeler prefers a text it agrees with the human on "
        f"{percent(aligned.get('second_agreement'))}. {said('aligned', aligned)} {said('control', control)} "
        f"It prefers neither on {count(tested.get('indifferent'))} more. p of McNemar's tests after Holm's correction. {BOTH_TELL}",
        (tested,),
    )


def _holm(figures: Figures) -> str:
    return p_value(figures.get("independent_pairs", "mcnemar_p_holm"))


def reward_shift(found: Figures) -> Finding:
    """How margins and the angle theta moved from control to aligned."""
    everything, held_out = found.at("all"), found.at("held_out")
    margin, theta = everything.at("change_of_margin"), everything.at("theta")
    if margin.get("mean") is None:
        reason = margin.get("mean_reason") or margin.get("median_reason")
        return no_finding("Reward shift", reason, everything)
    moved = {
        1: "From control to aligned the margins moved towards the human.",
        -1: "From control to aligned the margins moved away from the human.",
        0: "Whether the margins moved towards the human or away from it, from control to aligned, cannot be told.",
    }[tells(margin, "mean", everything)]
    evidence = (
        f"Mean change of margin, in its standard deviations: {shown_value(margin, 'mean', change)} on "
        f"{things(everything.get('pairs'), 'pair')}; positive on {shown_share(margin, 'share_positive')}."
    )
    sources = [margin, everything.at("pairs"), theta]
    if held_out.get("pairs") and held_out.get("change_of_margin", "mean") is not None:
        evidence += f" Held out: {shown_value(held_out.at('change_of_margin'), 'mean', change)} on {things(held_out.get('pairs'), 'pair')}."
        sources += [held_out.at("change_of_margin"), held_out.at("pairs")]
    if theta.get("circular_mean") is not None:
        evidence += (
            f" Circular mean of the angle theta: {shown_value(theta, 'circular_mean')} degrees, resultant length "
            f"{shown_value(theta, 'resultant_length')}; its sign alone says nothing of the human."
        )
    return Finding(moved, evidence, tuple(sources))
