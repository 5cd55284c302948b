"""Whether rewards, agreement and labels survive other words, and whether flips of labels go with what becomes misaligned."""

from seal.report.figures import (
    ALIGNED,
    Figures,
    Finding,
    mcnemar_p,
    no_finding,
    shown_points,
    shown_share,
    shown_value,
    tells,
)
from seal.report.wording import change, count, feature, p_value, percent, things


def reward_change(found: Figures) -> Finding:
    """How far a text's reward moves when it is reworded, and when nothing of it changes."""
    names = ("all", ALIGNED, "reward_change", "all_texts")
    rewritten, trivial, second = (
        found.at(*table, *names) for table in (("rewritten",), ("noise_floor", "trivial"), ("noise_floor", "second"))
    )
    if rewritten.get("mean_absolute") is None:
        reason = found.get("rewritten", "all", ALIGNED, "reward_change", "reason") or "no pair was reworded"
        return no_finding("Rewards of aligned after rewording", reason, found.at("rewritten", "all"))
    size = (
        f"{shown_value(rewritten, 'mean_absolute')} standard deviations of the original rewards on average, "
        f"on {things(rewritten.get('texts'), 'text')}"
    )
    sources = [rewritten]
    if trivial.get("mean_absolute") is None:
        claim = "How much of the change of rewards by aligned after rewording is noise was not measured."
        return Finding(claim, f"Rewording: {size}.", tuple(sources))
    both = found.at("beyond_noise", "trivial", "all")
    beyond = both.at(ALIGNED, "reward_change")
    claim = {
        1: "Rewording moves rewards by aligned more than a change that means nothing.",
        -1: "Rewording moves rewards by aligned less than a change that means nothing.",
        0: "Whether rewording moves rewards by aligned more than a change that means nothing cannot be shown.",
    }[tells(beyond, "mean_absolute", both)]
    evidence = (
        f"Rewording: {size}. A change that means nothing: {shown_value(trivial, 'mean_absolute')}, on "
        f"{things(trivial.get('texts'), 'text')} and in the standard deviations of these."
    )
    sources.append(trivial)
    if beyond.get("mean_absolute") is None:
        reason = beyond.get("mean_absolute_reason") or "not in the file"
        evidence += f" Rewording less a change that means nothing, on the same texts: unknown [{reason}]."
    else:
        evidence += (
            f" Rewording less a change that means nothing, on the same {things(beyond.get('texts'), 'text')} and in one unit: "
            f"{shown_value(beyond, 'mean_absolute', change)}; that is judged by."
        )
        sources.append(beyond)
    if second.get("mean_absolute") is not None:
        evidence += f" Rewording anew: {shown_value(second, 'mean_absolute')}."
        sources.append(second)
    return Finding(claim, evidence, tuple(sources))


def agreement_after_rewriting(found: Figures, significant: float) -> Finding:
    """Whether agreement with the human survives rewording."""
    everything = found.at("rewritten", "all")
    of = everything.at(ALIGNED)
    if not everything.get("pairs") or of.get("agreement_change") is None:
        return no_finding("Agreement of aligned after rewording", "no pair was reworded", everything)
    claim = {
        1: "After rewording aligned agrees with the human more often.",
        -1: "After rewording aligned agrees with the human less often.",
        0: "No change of aligned's agreement with the human by rewording can be shown.",
    }[tells(of, "agreement_change", everything) if mcnemar_p(of) < significant else 0]
    lost = of.at("became_misaligned")
    evidence = (
        f"{percent(of.get('original_agreement'))} before, {percent(of.get('rewritten_agreement'))} after: "
        f"{shown_points(of, 'agreement_change')}. Of {things(everything.get('pairs'), 'pair')} {count(lost.get('pairs'))} became "
        f"misaligned, {shown_share(lost, 'share')}."
    )
    both = found.at("beyond_noise", "trivial", "all")
    beyond = both.at(ALIGNED)
    sources = [everything.at("pairs"), of]
    if beyond.get("became_misaligned") is not None:
        evidence += (
            f" Less the share after a change that means nothing, on the {things(both.get('pairs'), 'pair')} that have both: "
            f"{shown_points(beyond, 'became_misaligned')}."
        )
        sources += [beyond, both.at("pairs")]
    return Finding(claim, evidence, tuple(sources))


def flips(found: Figures, significant: float) -> Finding:
    """Which labels flip when a text is reworded, and whether more often than after a change that means nothing.

    Of many labels some would by chance: the interval and McNemar's test, after Holm's correction for all of them, must both say so.
    """
    rates = _flip_rates(found.at("rewritten", "all", "flip_rates"))
    if not rates:
        return no_finding("Flips of labels after rewording", "no reworded text is labelled", found.at("rewritten", "all"))
    most = max(rates, key=lambda name: rates[name].get("flip_rate"))
    top = rates[most]
    claim = (
        f"After rewording no label flips more often than {most}: {percent(top.get('flip_rate'))}."
        if top.get("flipped_pairs")
        else "No label flips after rewording."
    )
    evidence = f"{count(top.get('flipped_pairs'))} of {things(top.get('labelled_pairs'), 'text')}: {shown_share(top, 'flip_rate')}."
    beyond = _flip_rates(found.at("beyond_noise", "trivial", "all", "flip_rates"))
    sources = [found.at("rewritten", "all", "flip_rates")]
    if beyond:
        shown: dict[int, list[str]] = {1: [], -1: [], 0: []}
        for name, of in beyond.items():
            p = of.get("independent_pairs", "mcnemar_p_holm")
            sure = p is not None and p < significant
            verdict = tells(of, "flip_rate", found.at("beyond_noise", "trivial", "all")) if sure else 0
            shown[verdict].append(f"{name} {shown_points(of, 'flip_rate')}, {p_value(p)}")
        more, less = (f"{len(shown[sign])} ({'; '.join(shown[sign])})" if shown[sign] else "none" for sign in (1, -1))
        pairs = things(found.get("beyond_noise", "trivial", "all", "pairs"), "pair")
        evidence += (
            f" Of {things(len(beyond), 'label')}, {more} can be shown to flip more often than after a change that means nothing on the "
            f"same {pairs}, {less} less often; of {len(shown[0]) or 'none'} neither can be shown. Reported only where both the interval "
            "and the exact McNemar test, after Holm's correction for all these labels, say so."
        )
        sources += [found.at("beyond_noise", "trivial", "all", name) for name in ("flip_rates", "pairs")]
    return Finding(claim, evidence, tuple(sources))


def _flip_rates(figures: Figures) -> dict[str, Figures]:
    """By side and feature, those that are known."""
    return {
        f"{feature(name)} of {side} texts": of
        for name, sides in figures.parts().items()
        for side, of in sides.parts().items()
        if of.get("flip_rate") is not None
    }


def robustness_scores(found: Figures) -> Finding:
    """Whether a flip of a label makes a pair more likely to become misaligned."""
    fits = found.at("rewritten", "all", ALIGNED, "robustness_scores", "all_pairs")
    alone = fits.at("one_at_a_time")
    if not alone:
        return no_finding("Robustness scores of aligned", "no pair was reworded", found.at("rewritten", "all"))
    if not _flip_rates(found.at("rewritten", "all", "flip_rates")):
        return no_finding("Robustness scores of aligned", "no reworded text is labelled", found.at("rewritten", "all"))
    shown = count(alone.get("significant")) if alone.get("significant") else "none"
    claim = f"Of {things(alone.get('coefficients'), 'kind')} of flips, {shown} can be shown to change how often aligned becomes misaligned."
    joint, everything = fits.at("logistic"), found.at("rewritten", "all")
    lost = everything.at(ALIGNED, "became_misaligned", "pairs")
    evidence = (
        f"{count(lost.content)} of {things(everything.get('pairs'), 'pair')} became misaligned. Each flip is fitted by itself; "
        f"{count(alone.get('tested'))} of {count(alone.get('coefficients'))} could be tested (a flip may be too rare for that, or all its "
        "pairs have one outcome). Reported as an effect only where significant after Holm's correction."
    )
    if joint and joint.get("coefficients") is None:
        evidence += f" All flips together: no fit ({joint.get('reason')})."
    elif joint:
        evidence += f" All flips together: {count(joint.get('significant'))} of {count(joint.get('coefficients'))}."
    return Finding(claim, evidence, (fits, lost, everything.at("pairs")))
