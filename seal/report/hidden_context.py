"""Where context is hidden: what distributional reward models say of jailbreaks, of variance, of resistance and of features."""

from collections.abc import Mapping
from typing import Any

from seal.report.figures import (
    BOTH_SAY_SO,
    HELD_OUT_OR_NOT,
    MIN_PROMPTS,
    Figures,
    Finding,
    holm_note,
    mcnemar_p,
    names_in_brackets,
    no_finding,
    pairs_in_the_fit,
    reason_in_brackets,
    shown_mcnemar,
    shown_points,
    shown_share,
    shown_value,
    tells,
    told_by_holm,
    with_named_ends,
)
from seal.report.wording import change, count, feature, listed, percent, things

RISK_AVERSE = "risk_averse"

STRICT = "strict_jailbreak_rate"


def jailbreaks(found: Figures, significant: float) -> list[Finding]:
    """How often each model would have a jailbreak succeed, and whether less often by its risk-averse score."""
    everything = found.at("jailbreaks")
    if not everything.get("pairs"):
        return [no_finding("Jailbreaks", "there is no pair of a safe and a jailbroken answer", everything)]
    models = everything.get("models")
    tested = [(name, way) for name, of in models.items() for way in of.get(RISK_AVERSE, {})]
    said: list[str] = []
    told: dict[int | str, list[str]] = {1: [], -1: [], 0: [], "tied": []}
    for name, of in models.items():
        figures = everything.at("models", name)
        words = f"{name}{_of_head(name, of)} {shown_share(figures.at('mean'), 'jailbreak_rate')}"
        for way in of.get(RISK_AVERSE, {}):
            contest = everything.at("between", name, f"{name}_{RISK_AVERSE}_{way}")
            # Of many such contests one would be found by chance, so each has its part of what is allowed (Bonferroni).
            sure = mcnemar_p(contest) < significant / len(tested)
            averse = figures.at(RISK_AVERSE, way)
            verdict = tells(contest, "difference", _counted(everything)) if sure else 0
            told["tied" if _hangs_on_ties(figures.at("mean"), averse, everything) else verdict].append(_by_quantile(name, way))
            ties = averse.get("ties")
            words += (
                f", risk-averse ({way}) {shown_share(averse, 'jailbreak_rate')}"
                f"{f' with {ties} ties, {shown_share(averse, STRICT)} without them' if ties else ''}, "
                f"mean less risk-averse {shown_points(contest, 'difference')}, {shown_mcnemar(contest)}"
            )
        said.append(words)
    length = everything.at("length", "shorter_wins")
    prompts = everything.get("opening_prompts")
    from_prompts = f" from {things(prompts, 'opening prompt')}" if prompts else ", taken as independent"
    evidence = (
        f"Of {things(everything.get('pairs'), 'pair')} of a safe and a jailbroken answer"
        f"{from_prompts}, the share in which the jailbroken one "
        f"has at least as high a score: {'; '.join(said)}. A score that only prefers the shorter answer: "
        f"{shown_share(length, 'jailbreak_rate')}. Risk-averse is the reward below which lies a probability of "
        f"{found.get('alpha'):g}. {BOTH_SAY_SO}"
        f"{f' Each of {len(tested)} contests is tested at the level divided by {len(tested)}.' if len(tested) > 1 else ''}"
    )
    sources = (everything, found.at("alpha"))
    if not tested:
        rates = listed([f"{percent(of['mean']['jailbreak_rate'])} by {name}" for name, of in models.items()])
        return [Finding(f"Jailbreaks would succeed on {rates} of the pairs of answers.", evidence, sources)]
    claims: dict[int | str, str] = {
        1: f"By the risk-averse score fewer jailbreaks succeed than by the mean with {listed(told[1])}",
        -1: f"more jailbreaks succeed by the risk-averse score with {listed(told[-1])}",
        0: f"with {listed(told[0])} it cannot be shown whether risk-averse scores have fewer jailbreaks succeed than means",
        "tied": f"with {listed(told['tied'])} so many pairs tie by the risk-averse score that nothing can be shown by it",
    }
    claim = "; ".join(words for sign, words in claims.items() if told[sign])
    return [Finding(f"{claim[0].upper()}{claim[1:]}.", evidence, sources)]


def _hangs_on_ties(mean: Figures, averse: Figures, pairs: Figures) -> bool:
    """Whether it hangs on ties, which count for the jailbreak, by which score fewer succeed; risk-averse ones can have many."""
    ways = [mean.get(name) - averse.get(name) for name in ("jailbreak_rate", STRICT)]
    return bool(2 * averse.get("ties") > pairs.get("pairs") or min(ways) < 0 < max(ways))


def _of_head(name: str, model: Mapping[str, Any]) -> str:
    return f" ({model['head']})" if model.get("head") not in (None, "", name) else ""


def _by_quantile(name: str, way: str) -> str:
    return name if way == "exact" else f"{name} ({way} quantile)"


def _counted(figures: Figures) -> Figures:
    """The same, with its pairs in the place of opening prompts where these are not known: then pairs are taken as independent."""
    if not isinstance(figures.content, dict) or figures.get("opening_prompts") is not None:
        return figures
    return figures._replace(content={**figures.content, "opening_prompts": figures.get("pairs")})


def explained(found: Figures) -> Finding:
    """How much of the variance of rewards the texts explain, by each distributional model."""
    held_out = found.at("held_out", "all")
    of, where = (held_out, "texts of held-out pairs") if held_out.get("models") else (found.at("jailbreaks"), "safe and jailbroken answers")
    models = {name: model for name, model in of.parts("models").items() if model.get("r2") is not None}
    if not models:
        return no_finding("How much of the rewards the texts explain", "no model gives a distribution of rewards that varies", of)
    claims = [f"{percent(figures.get('r2'))} by {name}" for name, figures in models.items()]
    said = [f"{name}{_of_head(name, figures.content)} {shown_share(figures, 'r2')}" for name, figures in models.items()]
    return Finding(
        f"Of the variance of the rewards, which are distributions, the texts explain {listed(claims)}; the rest they leave open.",
        f"r² over both texts of {things(of.get('pairs'), 'pair')}, {where}: {', '.join(said)}. Each head has a scale of its own, so r² of "
        "two heads does not compare; and what is left open may be hidden context, or what too few pairs could teach.",
        (of,),
    )


def concentration(found: Figures) -> Finding:
    """Whether resistance of aligned concentrates where the distributional model says that context is hidden."""
    everything, held_out = found.at("all"), found.at("held_out")
    judged, where = (held_out, "held-out ") if held_out.get("pairs") else (everything, "")
    what = "Whether resistance goes with hidden context"
    if judged.get("auc") is None:
        return no_finding(what, judged.get("auc_reason"), judged)
    close = judged.at("within", "close_margins")
    plain, beyond = _concentrates(judged, judged), _concentrates(close, judged)
    also = {
        1: "also among margins of one size",
        -1: "though on pairs with margins of one size it resists less where more is hidden",
        0: "but whether by more than that its margins are small there cannot be shown",
    }[beyond]
    claim = {
        1: f"aligned resists more where the distributional model says that context is hidden, {also}.",
        -1: "aligned resists less where the distributional model says that context is hidden.",
        0: "Whether aligned resists more where the distributional model says that context is hidden cannot be shown.",
    }[plain]
    strata = {
        "of margins of about one size": "close_margins",
        "within thirds of the size of the margin, which are coarse": "margin",
        "where the labeler prefers alike": "gamma",
        "within thirds of the difference in length": "length_difference",
    }
    within_strata = [
        f"{shown_value(judged.at('within', name), 'auc')} {words}"
        for words, name in strata.items()
        if judged.get("within", name, "auc") is not None
    ]
    deciles = list(judged.get("by_decile") or {})
    evidence = (
        "The chance that of a pair that aligned resists and one that it does not the former is the more uncertain (a half is no "
        f"concentration): {shown_value(judged, 'auc')} on {things(judged.get('pairs'), f'{where}pair')}, "
        f"{count(judged.get('resisting'))} of which resist; only among pairs alike: {', '.join(within_strata) or 'nothing to compare'}."
    )
    if len(deciles) > 1:
        first, last = (judged.at("by_decile", name) for name in (deciles[0], deciles[-1]))
        evidence += (
            f" Of {things(len(deciles), 'part')} by uncertainty, resistance is {shown_share(first, 'resistance')} in the least uncertain "
            f"and {shown_share(last, 'resistance')} in the most."
        )
    if judged is held_out and everything.get("auc") is not None:
        evidence += (
            f" On all pairs, {HELD_OUT_OR_NOT}: {shown_value(everything, 'auc')}, of margins of about one size "
            f"{shown_value(everything.at('within', 'close_margins'), 'auc')}."
        )
    return Finding(claim, evidence, (held_out, everything) if judged is held_out else (everything,))


def _concentrates(figures: Figures, sample: Figures) -> int:
    """As `tells`; a handful of pairs of one kind tells nothing, as no resample knows others."""
    few = min(sample.get("resisting") or 0, sample.get("agreeing") or 0) < MIN_PROMPTS
    return 0 if few else tells(figures, "auc", sample, 0.5)


def imprint_by_score(found: Figures, significant: float) -> Finding:
    """Which features earn more or less from the risk-averse score than from the mean."""
    imprint = found.at("imprint", "all")
    what = "Imprint on the risk-averse score against imprint on the mean"
    fit = imprint.at("risk_averse_less_mean")
    if not fit.get("features"):
        return no_finding(what, fit.get("reason") or found.get("imprint", "reason"), found.at("imprint"))
    features = fit.parts("features")
    told = told_by_holm(features, significant)
    more, less = (f"{things(len(told[sign]), 'feature') if told[sign] else 'no feature'}" for sign in (1, -1))
    claim = (
        f"By the labeler's labels as they are, {more} can be shown to earn more from the risk-averse score than from the mean"
        f"{names_in_brackets(told[1])} and {less} less{names_in_brackets(told[-1])}"
        f"{f'; of {len(told[0])} no difference can be shown' if told[0] else ''}."
    )
    mean = imprint.at("mean", "features")
    shown = {name: of for name, of in features.items() if name in told[1] + told[-1] or mean.get(name, "aim") == "target"}
    said = [
        f"{feature(name)} {shown_value(of, 'estimate', change)}, by the mean {change(mean.get(name, 'in_sd'))}{reason_in_brackets(of)}"
        for name, of in with_named_ends("estimate", shown)
    ]
    return Finding(
        claim,
        f"In standard deviations of each score, the target features and those with a difference that can be shown: "
        f"{'; '.join(said) or 'none'}. On {pairs_in_the_fit(imprint)}. {holm_note(fit)}",
        (fit, mean, imprint.at("pairs")),
    )
