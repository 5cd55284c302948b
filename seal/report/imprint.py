"""Which features earn reward from aligned: by labels as they are and corrected by gold, against control, and where aligned resists."""

from collections.abc import Mapping, Sequence

from seal.report.figures import (
    Figures,
    Finding,
    held_out_first,
    holm_note,
    names_in_brackets,
    no_finding,
    pairs_in_the_fit,
    reason_in_brackets,
    shown_value,
    tells,
    told_by_holm,
    with_named_ends,
)
from seal.report.wording import change, count, feature, number, p_value, things


def imprint_of(found: Figures, aim: str, significant: float) -> Finding:
    """What target features, spoilers, or the features that are neither (`other`) earn, by the labeler's labels as they are."""
    fit = found.at("within_pair")
    features = {name: of for name, of in fit.parts("features").items() if of.get("aim") == aim}
    if not features:
        return no_finding(f"Imprint of the {aim} features", f"the fit has no {aim} feature", fit.at("features"))
    told = told_by_holm(features, significant)
    said = [f"{feature(name)} {shown_value(of, 'in_sd', change)}{reason_in_brackets(of)}" for name, of in features.items()]
    beside = found.at("within_pair_with_intercept")
    claim = (
        f"Of the {things(len(features), f'{aim} feature')} in the fit, by the labeler's labels as they are, aligned "
        f"{_rewards(told, _what_stays(told, beside, significant))}."
    )
    evidence = (
        f"Reward within a pair, in its standard deviations: {', '.join(said)}. On {pairs_in_the_fit(found)}, from "
        f"{things(found.get('opening_prompts'), 'opening prompt')}. {holm_note(fit)}"
    )
    if (told[1] or told[-1]) and beside.get("features"):
        stay = _stay(told, beside, significant)
        evidence += (
            f" Once being chosen as such is allowed for, by an intercept in the regression, {len(stay)} of "
            f"{len(told[1] + told[-1])} remain{names_in_brackets(stay)}."
        )
    sample = (found.at("pairs"), found.at("unlabelled_pairs"), found.at("opening_prompts"))
    return Finding(claim, evidence, (fit.at("features"), fit.at("tested"), beside, *sample))


def imprint_of_held_out(found: Figures, significant: float) -> Finding:
    """What features earn on pairs that no training has seen, by the labeler's labels as they are."""
    few = found.at("held_out")
    fit = few.at("within_pair")
    features = fit.parts("features")
    if not features:
        return no_finding("Imprint on held-out pairs", "no feature differs on any of them", few)
    told = told_by_holm(features, significant)
    aimed = {name: of for name, of in features.items() if of.get("aim") != "other" or name in told[1] + told[-1]}
    said = [f"{feature(name)} {shown_value(of, 'in_sd', change)}{reason_in_brackets(of)}" for name, of in aimed.items()]
    return Finding(
        f"On held-out pairs, by the labeler's labels as they are, of {things(len(features), 'feature')} aligned {_rewards(told)}.",
        f"Reward within a pair, in its standard deviations over all texts, of target and spoiler features and those with an effect that "
        f"can be shown: {', '.join(said) or 'none'}. On {things(few.get('pairs'), 'pair')} from "
        f"{things(few.get('opening_prompts'), 'opening prompt')} that no training here has seen. {holm_note(fit)}",
        (few,),
    )


def _rewards(told: Mapping[int, Sequence[str]], what_stays: str = "") -> str:
    more, less, unknown = (f"{len(told[sign]) or 'none'}{names_in_brackets(told[sign])}" for sign in (1, -1, 0))
    ending = f"; of {unknown.partition(' ')[0]} no effect can be shown" if told[0] else ""
    return f"can be shown to reward {more} and to penalise {less}{what_stays}{ending}"


def _stay(told: Mapping[int, list[str]], beside: Figures, significant: float) -> list[str]:
    """Features whose effect is significant, and of the same sign, also beside what being chosen as such earns."""
    both = {sign: told_by_holm({name: beside.at("features", name) for name in told[sign]}, significant)[sign] for sign in (1, -1)}
    return both[1] + both[-1]


def _what_stays(told: Mapping[int, list[str]], beside: Figures, significant: float) -> str:
    """Words on verdicts that do not hold once being chosen as such is allowed for; none where all hold, or where that was not fitted."""
    effects, stay = len(told[1] + told[-1]), _stay(told, beside, significant)
    if len(stay) == effects or not beside.get("features"):
        return ""
    which = (
        f"of these {effects} effects only {len(stay)}{names_in_brackets(stay)} {'stays' if len(stay) == 1 else 'stay'}"
        if stay
        else "that effect does not stay"
        if effects == 1
        else f"none of these {effects} effects stays"
    )
    return f"; {which} once being chosen is itself allowed for"


def corrected(found: Figures, significant: float) -> Finding:
    """What target and spoiler features earn after correction for the labeler's errors."""
    fit = found.at("corrected")
    if not fit.get("features"):
        return no_finding("Imprint corrected for the labeler's errors", fit.get("reason"), fit)
    aims = {name: of.get("aim") for name, of in found.parts("within_pair", "features").items()}
    features = fit.parts("features")
    told = told_by_holm(features, significant)
    turned = [
        name
        for name, of in features.items()
        if of.get("estimate") is not None and of.get("labels_only") is not None and of.get("estimate") * of.get("labels_only") < 0
    ]
    shown = {name: of for name, of in features.items() if name in told[1] + told[-1] or aims.get(name) in ("target", "spoiler")}
    said = [
        f"{feature(name)} {shown_value(of, 'estimate', change)}, by labels alone {change(of.get('labels_only'))}"
        for name, of in with_named_ends("estimate", shown)
    ]
    claim = (
        f"Corrected for the labeler's errors by gold of {things(fit.get('gold_pairs'), 'pair')}, of {things(len(features), 'feature')} "
        f"aligned {_rewards(told)}."
    )
    evidence = (
        f"Target and spoiler features and those with an effect that can be shown, in units of the reward: "
        f"{'; '.join(said) or 'none'}. The correction turns the sign of {len(turned)} of {len(features)}"
        f"{names_in_brackets(turned)}. Labels of the pairs without gold enter with a weight of "
        f"{number(fit.get('tuning'))} of 1; what is left rests on gold alone. {holm_note(fit)}"
    )
    return Finding(claim, evidence, (fit,))


def beyond_features(found: Figures) -> Finding:
    """What being chosen earns beyond what the features tell."""
    fit, few = found.at("chosen_beyond_features"), found.at("held_out")
    if fit.get("estimate") is None:
        return no_finding("What being chosen earns beyond the features", fit.get("reason"), fit)

    def verdict(of: Figures) -> str:
        return {
            1: "being the chosen text earns reward from aligned beyond all that the labels say",
            -1: "being the chosen text costs reward from aligned beyond all that the labels say",
            0: "it cannot be shown whether being the chosen text earns reward from aligned beyond what the labels say",
        }[tells(of.at("chosen_beyond_features"), "in_sd", of)]

    def shown(of: Figures) -> str:
        return f"{shown_value(of, 'in_sd', change)}, {p_value(of.get('p'))}{reason_in_brackets(of)}"

    of_few = few.at("chosen_beyond_features")
    held_out = f"held out {shown(of_few)}, on {things(few.get('pairs'), 'pair')}; " if few.get("pairs") else ""
    return Finding(
        held_out_first(verdict(few) if few.get("pairs") else None, verdict(found)),
        f"In standard deviations of the reward: {held_out}{shown(fit)}, on {pairs_in_the_fit(found)}, where what the model remembers of "
        "its training pairs is in it.",
        (of_few, few.at("pairs"), fit, found.at("pairs")),
    )


def change_of_imprint(found: Figures, significant: float) -> Finding:
    """Which features earn more or less than they earned from control."""
    fit = found.at("change")
    if not fit.get("features"):
        return no_finding("Change of imprint from control to aligned", fit.get("reason"), fit)
    features = fit.parts("features")
    told = told_by_holm(features, significant)
    more, less = (f"{things(len(told[sign]), 'feature') if told[sign] else 'no feature'}" for sign in (1, -1))
    claim = (
        f"By the labeler's labels as they are, from control to aligned {more} can be shown to have come to earn "
        f"more{names_in_brackets(told[1])}, and {less} less{names_in_brackets(told[-1])}"
        f"{f'; of {len(told[0])} no change can be shown' if told[0] else ''}."
    )
    aims = {name: of.get("aim") for name, of in found.parts("within_pair", "features").items()}
    shown = {name: of for name, of in features.items() if name in told[1] + told[-1] or aims.get(name) == "target"}
    said = [
        f"{feature(name)} {shown_value(of, 'estimate', change)}{reason_in_brackets(of)}" for name, of in with_named_ends("estimate", shown)
    ]
    return Finding(
        claim,
        f"In standard deviations of each role's reward, the target features and those with a change that can be shown: "
        f"{', '.join(said) or 'none'}. On {pairs_in_the_fit(found)}. {holm_note(fit)}",
        (fit.at("features"), fit.at("tested"), found.at("pairs")),
    )


def misalignment(found: Figures, significant: float) -> Finding:
    """Which features of either side go with misalignment of the aligned model."""
    fit = found.at("misalignment")
    features = {f"{side} {name}": of for side in ("chosen", "rejected") for name, of in fit.parts(side).items()}
    if not features:
        return no_finding("Features that go with misalignment", fit.get("reason"), fit)
    told = told_by_holm(features, significant)
    either = (
        f"{len(told[1])} go with resistance{names_in_brackets(told[1])} and {len(told[-1])} against it{names_in_brackets(told[-1])}"
        if told[1] or told[-1]
        else "none can be shown to go with resistance of aligned or against it"
    )
    said = [
        f"{feature(name)} {shown_value(of, 'estimate', change)}"
        for name, of in with_named_ends("estimate", {name: features[name] for name in told[1] + told[-1]})
    ]
    return Finding(
        f"Of {things(len(features), 'feature')} of either text, {either}.",
        f"Effect on the share of pairs that aligned resists: {', '.join(said) or 'none shown'}. It resists on "
        f"{count(fit.get('misaligned'))} of {things(fit.get('pairs'), 'pair')}. {holm_note(fit)}",
        (fit,),
    )
