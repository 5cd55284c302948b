"""What an audit found, in plain sentences: all findings by chapter, and those on what the numbers rest on.

Pure functions of what stages wrote to the metrics files.
"""

from collections.abc import Sequence
from typing import NamedTuple

from seal.report.figures import ALIGNED, Audit, Figures, Finding
from seal.report.hidden_context import concentration, explained, imprint_by_score, jailbreaks
from seal.report.imprint import beyond_features, change_of_imprint, corrected, imprint_of, imprint_of_held_out, misalignment
from seal.report.labels import against_gold, second_labeler
from seal.report.regimes import labeler_preference, regimes, resistance_by_gamma, reward_shift
from seal.report.resistance import comparison, resistance_of
from seal.report.rewriting import agreement_after_rewriting, flips, reward_change, robustness_scores
from seal.report.wording import by_reason, count, number, percent, things


class Chapter(NamedTuple):
    """Findings that belong together."""

    title: str
    findings: list[Finding]


def all_findings(audit: Audit) -> list[Chapter]:
    """Everything that the metrics say, in the order of the method: agreement, what became of the pairs, features, labels, other words.

    Chapters of what is not given have no finding.
    """
    significant = 1 - audit.level
    aligned = audit.imprint.get(ALIGNED)
    resistance = audit.resistance.get(ALIGNED)
    by_role = [resistance_of(role, found) for role, found in audit.resistance.items()]
    compared = [comparison(each, significant, len(audit.pairwise)) for each in audit.pairwise]
    imprint = (
        [
            *([imprint_of_held_out(aligned, significant)] if aligned.get("held_out", "pairs") else []),
            *(imprint_of(aligned, aim, significant) for aim in ("target", "spoiler", "other")),
            corrected(aligned, significant),
            beyond_features(aligned),
            change_of_imprint(aligned, significant),
            misalignment(aligned, significant),
        ]
        if aligned
        else []
    )
    return [
        Chapter("Agreement with the human choice", [*by_role, *compared]),
        Chapter(
            "What became of the pairs",
            [
                regimes(audit.regimes),
                *([resistance_by_gamma(resistance)] if resistance else []),
                labeler_preference(audit.regimes, significant),
                reward_shift(audit.reward_shift),
            ],
        ),
        Chapter("Which features earn reward", imprint),
        Chapter("How far labels can be trusted", [against_gold(audit.labelers), second_labeler(audit.labelers)]),
        Chapter(
            "Do rewards survive other words",
            [
                reward_change(audit.robustness),
                agreement_after_rewriting(audit.robustness, significant),
                flips(audit.robustness, significant),
                robustness_scores(audit.robustness),
            ],
        ),
        Chapter(
            "Where context is hidden",
            [
                *([*jailbreaks(audit.dpl, significant), explained(audit.dpl)] if audit.dpl else []),
                *(
                    [concentration(audit.hidden_context), imprint_by_score(audit.hidden_context, significant)]
                    if audit.hidden_context
                    else []
                ),
            ],
        ),
        Chapter(
            "What the numbers rest on",
            [
                *(reading(role, found) for role, found in audit.resistance.items() if found.get("scoring", "parity")),
                coverage(audit.labelers, audit.robustness),
                cost(audit.labelers, audit.robustness, audit.costs),
            ],
        ),
    ]


# --- what the numbers rest on ---


def reading(role: str, found: Figures) -> Finding:
    """How much of the texts a role's model read, and how exact its rewards are."""
    scoring = found.at("scoring")
    parity = scoring.at("parity")
    texts, dropped, cut = scoring.get("texts"), scoring.get("texts_with_turns_dropped"), scoring.get("responses_cut")
    claim = (
        f"{role} read {count(dropped)} of {things(texts, 'text')} without their oldest turns, and cut {things(cut, 'response')}."
        if dropped or cut
        else f"{role} read all of {things(texts, 'text')}."
    )
    limit = f"Its limit is {count(scoring.get('limit'))} tokens. " if scoring.get("limit") else ""
    spelled = scoring.get("texts_with_special_tokens")
    special = f"In {things(spelled, 'text')} a special token of the model stands letter by letter, and is read as such. " if spelled else ""
    return Finding(
        claim,
        f"{limit}{special}Scored again, each alone in full precision, {things(parity.get('texts'), 'text')} differ by "
        f"{number(parity.get('largest_difference'))} at most. Allowed are {number(parity.get('tolerance'))} standard deviations of the "
        f"reward, each {number(parity.get('reward_std'))}.",
        (scoring,),
    )


def coverage(labelers: Figures, robustness: Figures) -> Finding:
    """How many texts have labels, and how many drawn pairs were reworded."""
    labels, rewriting = labelers.at("labeler"), robustness.at("rewriting")
    claim = f"The labeler labelled {percent(labels.get('coverage'))} of the texts"
    evidence = (
        f"{count(labels.get('labelled'))} of {things(labels.get('texts'), 'text')} have valid labels{by_reason(labels.get('reasons'))}."
    )
    sources = [labels]
    if rewriting:
        claim += f"; {count(rewriting.get('pairs_rewritten'))} of {things(rewriting.get('pairs_drawn'), 'drawn pair')} could be reworded"
        evidence += (
            f" Of the drawn pairs {count(rewriting.get('pairs_invalid'))} could not be reworded"
            f"{by_reason(rewriting.get('reasons'), 'texts by reason: ')}. Of {things(rewriting.get('pairs_drawn_for_noise'), 'pair')} "
            f"drawn for the noise floor {count(rewriting.get('pairs_rewritten_twice'))} were reworded a second time and "
            f"{count(rewriting.get('pairs_changed_trivially'))} changed in a way that means nothing."
        )
        sources.append(rewriting)
    return Finding(f"{claim}.", evidence, tuple(sources))


def cost(labelers: Figures, robustness: Figures, costs: Sequence[Figures]) -> Finding:
    """What answers of language models cost, and what they were expected to cost."""
    spent = [
        figures
        for figures in (labelers.at("labeler"), labelers.at("control"), robustness.at("rewriting"), robustness.at("labels"))
        if figures
    ]
    taken = [
        f"{things(figures.get('answers'), 'answer')} by {figures.get('model')} ({(figures.get('usd') or 0):,.2f})" for figures in spent
    ]
    expected = [
        f"{number(each.get('usd_expected'))} for {things(each.get('requests'), 'request')} to {each.get('model')}" for each in costs
    ]
    return Finding(
        f"Labels and rewrites cost {sum(figures.get('usd') or 0 for figures in spent):,.2f} US dollars.",
        f"Taken in, with their cost in US dollars: {'; '.join(taken) or 'none'}. Expected before labelling: "
        f"{'; '.join(expected) or 'no estimate'}.",
        (*spent, *costs),
    )
