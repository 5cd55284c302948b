"""How far labels can be trusted: the labeler against gold, and against a second labeler."""

from seal.features import SENTIMENT
from seal.report.figures import Figures, Finding, enough, no_finding, reason_in_brackets, tells, with_named_ends
from seal.report.wording import feature, number, percent, things, within, within_percent


def against_gold(found: Figures) -> Finding:
    """How well the labeler agrees with gold on the half that was set apart."""
    reserved = found.at("labeler_gold_reserved")
    mean = reserved.at("balanced_accuracy_shown_by_words")
    features = _measured(reserved, "balanced_accuracy")
    if not features:
        return no_finding("The labeler against gold", reserved.get("reason") or mean.get("reason"), reserved)
    by_value = sorted(features, key=lambda name: features[name].get("value"))
    # Who always gives the same answer has half of two answers right, and a third of three.
    figures = dict(with_named_ends("value", features))
    better = [name for name, of in figures.items() if tells(of, "value", reserved, 1 / 3 if name == SENTIMENT else 1 / 2) == 1]
    claim = (
        f"Against gold the labeler's balanced accuracy is above one half on {len(better)} of {things(len(features), 'feature')} "
        "(of sentiment, above one third), each by its own interval."
    )
    best, worst = features[by_value[-1]], features[by_value[0]]
    return Finding(
        claim,
        f"Mean over the features that words alone can show: {_figure(mean)}{reason_in_brackets(mean)}. "
        f"Best: {feature(by_value[-1])} {_figure(best)}. Worst: {feature(by_value[0])} {_figure(worst)}. "
        f"On {things(reserved.get('texts'), 'text')} from {things(reserved.get('opening_prompts'), 'opening prompt')} "
        "whose gold was set apart.",
        (reserved,),
    )


def _measured(compared: Figures, measure: str) -> dict[str, Figures]:
    """By feature, a measure of how two labelers compare, where it has a value."""
    measures = {name: of.at(measure) for name, of in compared.parts("features").items()}
    return {name: of for name, of in measures.items() if of.get("value") is not None}


def _figure(of: Figures) -> str:
    return f"{number(of.get('value'))} {within(of.get('low'), of.get('high'))}"


def second_labeler(found: Figures) -> Finding:
    """How often the two labelers give a text the same label."""
    both = found.at("labeler_control")
    features = _measured(both, "raw_agreement")
    if not features:
        return no_finding("The labeler against the second labeler", both.get("reason") or "no feature is labelled by both", both)
    by_value = sorted(features, key=lambda name: features[name].get("value"))
    least, most = features[by_value[0]], features[by_value[-1]]
    spread = "A second labeler gives texts the same label"
    prompts = things(both.get("opening_prompts"), "opening prompt")
    claim = (
        f"How often a second labeler gives texts the same label cannot be shown from {prompts}."
        if not enough(both)
        else f"{spread} in {percent(least.get('value'))} to {percent(most.get('value'))} of cases, by feature."
        if len(features) > 1
        else f"{spread} in {percent(least.get('value'))} of cases."
    )
    return Finding(
        claim,
        f"Least on {feature(by_value[0])}, {percent(least.get('value'))} {within_percent(least.get('low'), least.get('high'))}; most on "
        f"{feature(by_value[-1])}, {percent(most.get('value'))} {within_percent(most.get('low'), most.get('high'))}. "
        f"{things(len(features), 'feature')} of {things(both.get('texts'), 'text')} from "
        f"{prompts}. The second labeler: {found.get('control', 'model') or 'unknown'}.",
        (both, found.at("control", "model")),
    )
