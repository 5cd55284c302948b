"""The tables of a report that a reader would sort, and what was left out. Pure functions of what stages wrote."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from seal.errors import InputError
from seal.report.figures import (
    ALIGNED,
    GAMMAS,
    HELD_OUT,
    HELD_OUT_OR_NOT,
    REJECTED_MINUS_CHOSEN,
    SCALED_MARGIN,
    Audit,
    Figures,
    widest,
)
from seal.report.wording import MINUS, NOTHING, Number, by_reason, count, number, percent, things, visible, within, within_percent

Rows = Sequence[Mapping[str, str]]

RESISTANT_COLUMNS = ("row_id", "gamma", "margin", "chosen_score", "rejected_score", "opening_prompt")
"""What is read of the table of the most resistant pairs."""

SCORE_COLUMNS = (
    *("table", "subset", "way", "population", "role", "feature", "side", "level", "pairs"),
    *("estimate", "low", "high", "p_holm", "reason"),
)
"""What is read of a table of robustness scores."""


class Cell(NamedTuple):
    """A cell: what it shows, and what it is sorted by."""

    shown: str
    value: float | str | None
    """None goes last."""
    note: str = ""
    """Why there is no number."""
    link: str = ""
    anchor: str = ""

    @property
    def numeric(self) -> bool:
        return not isinstance(self.value, str)


class Table(NamedTuple):
    """A table of a report."""

    name: str
    title: str
    note: str
    columns: list[str]
    rows: list[list[Cell]]


class LeftOut(NamedTuple):
    """What is not in some of the figures, and why."""

    where: str
    what: str
    why: str
    source: Figures


class Resistant(NamedTuple):
    """A pair that aligned resists, as stages/resistance.py writes it."""

    row_id: int
    gamma: str
    margin: float
    scores: tuple[float, float]
    """Of the chosen and of the rejected text."""
    opening_prompt: str


def resistant(path: str, rows: Rows) -> list[Resistant]:
    """Read the most resistant pairs from their table.

    Raises
    ------
    InputError
        If a number is none.
    """

    def numeric(place: int, row: Mapping[str, str], column: str) -> float:
        try:
            value = float(row[column])
        except ValueError:
            value = math.nan
        if not math.isfinite(value) or (column == "row_id" and value != int(value)):
            expected = "a whole number" if column == "row_id" else "a number"
            # The first row of a file is its header.
            raise InputError(
                f"{path}: row {place + 2}, column {column}: found {row[column][:60]}, expected {expected}; write the table again"
            )
        return value

    made = []
    for place, row in enumerate(rows):
        row_id, margin, chosen, rejected = (numeric(place, row, name) for name in ("row_id", "margin", "chosen_score", "rejected_score"))
        made.append(Resistant(int(row_id), row["gamma"], margin, (chosen, rejected), row["opening_prompt"]))
    return made


def text(value: str) -> Cell:
    return Cell(value, value)


def _number(value: Number) -> Cell:
    return Cell(NOTHING, None) if value is None else Cell(count(value) if isinstance(value, int) else number(value), value)


def _share(of: Figures, name: str) -> Cell:
    value = of.get(name)
    return Cell(NOTHING, None) if value is None else Cell(f"{percent(value)} {within_percent(*widest(of, name))}", value)


def _estimate(of: Figures, value: str = "estimate") -> Cell:
    """A figure whose interval's ends are named low and high; a dash with the reason where it is null."""
    return _with_interval(of, value, of.get("low"), of.get("high"))


def _figure(of: Figures, name: str) -> Cell:
    """A figure with the interval that is judged by; a dash with the reason where it is null."""
    return _with_interval(of, name, *widest(of, name))


def _with_interval(of: Figures, name: str, low: Number, high: Number) -> Cell:
    found, reason = of.get(name), of.get("reason") or ""
    return Cell(NOTHING, None, reason) if found is None else Cell(f"{number(found)} {within(low, high)}", found, reason)


def tables(audit: Audit, robustness_scores: Rows) -> list[Table]:
    """All tables that have a row.

    Parameters
    ----------
    audit
        What the metrics files hold.
    robustness_scores
        The table of scores as text, none where it is not given.
    """
    made = [
        resistance(audit.resistance),
        resistance_by_group(audit.resistance),
        imprint(audit.imprint),
        corrected_imprint(audit.imprint.get(ALIGNED)),
        shift(audit.reward_shift),
        labelers(audit.labelers),
        flips(audit.robustness),
        scores(robustness_scores),
        *([distributional(audit.dpl)] if audit.dpl else []),
        *([resistance_by_uncertainty(audit.hidden_context), concentration(audit.hidden_context)] if audit.hidden_context else []),
    ]
    return [table for table in made if table.rows]


def resistance(by_role: Mapping[str, Figures]) -> Table:
    """Alignment resistance of each role."""
    rows = []
    for role, found in by_role.items():
        everything, held_out = found.at("all"), found.at(*HELD_OUT)
        rows.append(
            [
                text(role),
                _number(everything.get("pairs")),
                _share(everything, "resistance"),
                _number(held_out.get("pairs") or 0),
                _share(held_out, "resistance"),
                _number(everything.get("ties")),
                _figure(everything, "margin_mean"),
            ]
        )
    columns = ["role", "pairs", "resistance", "held-out pairs", "resistance, held out", "ties", "mean margin"]
    return Table("resistance", "Alignment resistance", "Share of pairs on which a role does not agree with the human.", columns, rows)


_GROUPS = {
    "by part": ("by_part",),
    "by source": ("by_source",),
    "by turns": ("by_turns", "all"),
    "by length, in characters": ("by_length_difference", "all"),
    "by what the labeler prefers": ("by_labeler", "gamma", "all"),
    "by topic": ("by_labeler", "topic", "all"),
}


def resistance_by_group(by_role: Mapping[str, Figures]) -> Table:
    """Alignment resistance of each role in groups of pairs."""
    rows = []
    reference = next(iter(by_role.values()), Figures("", {}))
    for grouping, keys in _GROUPS.items():
        for group in reference.get(*keys) or {}:
            pairs = reference.get(*keys, group, "pairs") if group != REJECTED_MINUS_CHOSEN else None
            if pairs:
                cells = [_share(found.at(*keys, group), "resistance") for found in by_role.values()]
                rows.append([text(grouping), text(GAMMAS.get(group, group)), _number(pairs), *cells])
    return Table(
        "resistance-by-group",
        "Alignment resistance by kinds of pairs",
        f"Of all pairs, {HELD_OUT_OR_NOT}. Groups without a pair are left out. Many groups are compared here: the largest of them is "
        "larger than it would be again.",
        ["", "group", "pairs", *by_role],
        rows,
    )


def imprint(by_role: Mapping[str, Figures]) -> Table:
    """What each feature earns from each role, in standard deviations of its reward."""
    shown = {role: found for role, found in by_role.items() if found.get("within_pair", "features")}
    names = list(dict.fromkeys(name for found in shown.values() for name in found.get("within_pair", "features")))
    changes = by_role[ALIGNED].at("change", "features") if ALIGNED in by_role else Figures("", {})
    held_out = by_role[ALIGNED].at("held_out", "within_pair", "features") if ALIGNED in by_role else Figures("", {})
    rows = []
    for name in names:
        of_roles = [found.at("within_pair", "features", name) for found in shown.values()]
        first = next(of for of in of_roles if of)
        aligned = shown[ALIGNED].at("within_pair", "features", name) if ALIGNED in shown else Figures("", {})
        rows.append(
            [
                text(name),
                text(first.get("aim")),
                Cell(percent(first.get("differs")), first.get("differs")),
                *(_figure(of, "in_sd") for of in of_roles),
                _number(aligned.get("p_holm")),
                _figure(held_out.at(name), "in_sd"),
                _estimate(changes.at(name)),
            ]
        )
    return Table(
        "imprint",
        "Feature imprint",
        "Reward that a feature earns within a pair, in standard deviations of the role's reward, by the labeler's labels as they are.",
        ["feature", "aim", "differs on", *shown, "p of aligned, Holm", "aligned, held out", "change from control to aligned"],
        rows,
    )


def corrected_imprint(found: Figures | None) -> Table:
    """Naive and corrected imprint of aligned."""
    fit = found.at("corrected") if found else Figures("", {})
    aims = (found.get("within_pair", "features") if found else None) or {}
    rows = []
    for name, of in fit.parts("features").items():
        aim = text(aims.get(name, {}).get("aim", "other"))
        rows.append([text(name), aim, _number(of.get("labels_only")), _estimate(of), _number(of.get("p_holm"))])
    return Table(
        "corrected",
        "Imprint of aligned, corrected for the labeler's errors",
        f"In units of the reward, by gold of {count(fit.get('gold_pairs'))} pairs. Wide intervals are what it costs to be right.",
        ["feature", "aim", "by labels alone", "corrected", "p, Holm"],
        rows,
    )


def shift(found: Figures) -> Table:
    """Reward shift of groups of pairs."""
    groups = {"all": found.at("all"), "held out": found.at("held_out")}
    groups |= {name.replace("_", " "): of for name, of in found.parts("by_regime").items()}
    groups |= {f"labeler prefers {GAMMAS[name]}": of for name, of in found.parts("by_gamma").items() if name in GAMMAS}
    rows = []
    for name, of in groups.items():
        if of.get("pairs"):
            theta, margin = of.at("theta"), of.at(SCALED_MARGIN)
            angle = _figure(theta, "circular_mean")
            rows.append(
                [
                    text(name),
                    _number(of.get("pairs")),
                    _figure(margin, "mean"),
                    _share(margin, "share_positive"),
                    angle,
                ]
            )
    return Table(
        "shift",
        "Reward shift",
        "Change of margin, each role's in its own standard deviations: what is above 0 moved towards the human. Theta in degrees.",
        ["pairs that", "pairs", "mean change of margin", "towards the human", "circular mean of theta"],
        rows,
    )


def labelers(found: Figures) -> Table:
    """How well the labeler agrees with gold and with a second labeler, by feature."""
    gold, reserved, second = (found.at(name, "features") for name in ("labeler_gold", "labeler_gold_reserved", "labeler_control"))
    names = list(dict.fromkeys([*(gold.content or {}), *(second.content or {})]))
    rows = []
    for name in names:
        measures = ["balanced_accuracy", "sensitivity", "specificity"]
        kappa = gold.at(name, "cohen_kappa") or gold.at(name, "linear_kappa")
        rows.append(
            [
                text(name),
                _number(gold.get(name, "n")),
                _estimate(reserved.at(name, "balanced_accuracy"), "value"),
                *(_estimate(gold.at(name, measure), "value") for measure in measures),
                _estimate(kappa, "value"),
                _estimate(second.at(name, "raw_agreement"), "value"),
            ]
        )
    columns = [
        "feature",
        "texts",
        "balanced accuracy, gold set apart",
        "balanced accuracy, all gold",
        "sensitivity",
        "specificity",
        "kappa",
    ]
    return Table("labelers", "The labeler against gold, and against a second one", "", [*columns, "same label as the second"], rows)


def flips(found: Figures) -> Table:
    """How often labels flip after rewording, and after changes that mean nothing."""
    of_tables = {
        "reworded": found.at("rewritten"),
        "change without meaning": found.at("noise_floor", "trivial"),
        "reworded anew": found.at("noise_floor", "second"),
    }
    beyond = found.at("beyond_noise", "trivial", "all", "flip_rates")
    rows = []
    for name, sides in (found.get("rewritten", "all", "flip_rates") or {}).items():
        for side in sides:
            rates = [_share(of.at("all", "flip_rates", name, side), "flip_rate") for of in of_tables.values()]
            difference = beyond.at(name, side)
            rows.append([text(name), text(side), *rates, _figure(difference, "flip_rate")])
    return Table(
        "flips",
        "Flips of labels",
        "Share of pairs on which a label flips. The last column: reworded less change without meaning, on the same pairs.",
        ["label", "text", *of_tables, "beyond noise"],
        rows,
    )


def scores(table: Rows) -> Table:
    """Robustness scores, one flip at a time."""
    rows = []
    for row in table:
        if (row["table"], row["subset"], row["way"], row["population"]) == ("rewritten", "all", "one_at_a_time", "all_pairs"):
            effect = Figures("", {name: float(row[name]) if row[name] else None for name in ("estimate", "low", "high", "p_holm")})
            level = int(float(row["level"]))
            words = f"{'lost' if level > 0 else 'gained'}{' twice' if abs(level) > 1 else ''}"
            cell = _estimate(effect)._replace(note=row["reason"])
            rows.append(
                [
                    text(row["role"]),
                    text(row["feature"]),
                    text(row["side"]),
                    text(words),
                    _number(int(row["pairs"])),
                    cell,
                    _number(effect.get("p_holm")),
                ]
            )
    return Table(
        "scores",
        "Robustness scores",
        "Effect of a flip on becoming misaligned: above 0, more fragile. Intervals take pairs as independent.",
        ["role", "label", "text", "by rewording", "pairs", "effect", "p, Holm"],
        rows,
    )


def distributional(found: Figures) -> Table:
    """What distributional reward models are made for, by model and score, and the length baseline."""
    answers, choices = found.at("jailbreaks"), found.at("held_out", "all")
    models = dict.fromkeys([*(answers.get("models") or {}), *(choices.get("models") or {})])
    rows = []

    def row(name: str, score: str, *keys: str) -> None:
        jailbreaks, accuracy = answers.at(*keys), choices.at(*keys)
        rates = [_share(jailbreaks, "jailbreak_rate"), _share(jailbreaks, "strict_jailbreak_rate")]
        rates += [_share(accuracy, "accuracy"), _share(accuracy, "strict_accuracy")]
        # r² is of a model, and stands once.
        of_model = choices.at(*keys[:2]) if choices.get(*keys[:2], "r2") is not None else answers.at(*keys[:2])
        explained = _share(of_model, "r2") if keys[-1] == "mean" else Cell(NOTHING, None)
        rows.append([text(name), text(score), *rates, explained])

    for name in models:
        row(name, "mean", "models", name, "mean")
        ways = dict.fromkeys([*(answers.get("models", name, "risk_averse") or {}), *(choices.get("models", name, "risk_averse") or {})])
        for way in ways:
            row(name, f"risk-averse, {way}", "models", name, "risk_averse", way)
    if models:
        for way in ("shorter_wins", "longer_wins"):
            row("length baseline", way.replace("_", " "), "length", way)
    answered, chosen = (things(of.get("pairs") or 0, "pair") for of in (answers, choices))
    note = (
        f"Of {answered} of a safe and a jailbroken answer, and {chosen} of human choices that were held out. A tie counts for the "
        "jailbroken and for the chosen side, as published; strictly, it does not. r² is over the latter where they are given."
    )
    columns = ["model", "score", "jailbreak rate", "strictly", "accuracy, held out", "strictly, held out", "r²"]
    return Table("distributional", "Jailbreaks, accuracy and r²", note, columns, rows)


_POPULATIONS = {"held_out": "held out", "all": "all pairs"}


def resistance_by_uncertainty(found: Figures) -> Table:
    """Resistance of aligned by decile of uncertainty."""
    rows = []
    for key, words in _POPULATIONS.items():
        for name, of in found.parts(key, "by_decile").items():
            ends = [_number(float(of.get("uncertainty", end))) for end in ("least", "most")]
            rows.append([text(words), _number(int(name)), _number(of.get("pairs")), *ends, _share(of, "resistance")])
    return Table(
        "resistance-by-uncertainty",
        "Resistance of aligned by hidden context",
        "Parts by the uncertainty of the difference of a pair's rewards, by the distributional model; 1 is the least uncertain.",
        ["pairs of", "part", "pairs", "uncertainty from", "to", "resistance"],
        rows,
    )


_STRATA = {
    "margin": "thirds of the margin's size",
    "close_margins": "margins of about one size",
    "gamma": "what the labeler prefers",
    "length_difference": "thirds of the difference in length",
}


def concentration(found: Figures) -> Table:
    """How well uncertainty tells pairs that resist, also within strata."""
    rows = []
    for key, words in _POPULATIONS.items():
        if not found.get(key, "pairs"):
            continue
        rows.append([text(words), text("all"), text(""), *_compared(found.at(key))])
        for name, of_stratum in _STRATA.items():
            stratification = found.at(key, "within", name)
            if not stratification:
                continue
            rows.append([text(words), text(of_stratum), text("together"), *_compared(stratification)])
            for group, of in stratification.parts("strata").items():
                if of.get("pairs"):
                    rows.append([text(words), text(of_stratum), text(GAMMAS.get(group, group)), *_compared(of)])
    return Table(
        "concentration",
        "How well hidden context tells pairs that resist",
        "Chance that of a pair that aligned resists and one that it does not the former is the more uncertain: 0.5 is no better "
        "than chance. Within strata only pairs of one stratum are compared. Small margins resist more by nature, and thirds are too coarse "
        "to take that away.",
        ["pairs of", "compared within", "stratum", "pairs", "resist", "chance (AUC)"],
        rows,
    )


def _compared(of: Figures) -> list[Cell]:
    auc = _figure(of, "auc")
    return [_number(of.get("pairs")), _number(of.get("resisting")), auc._replace(note=of.get("auc_reason") or "")]


def most_resistant(pairs: Sequence[Resistant]) -> Table:
    """The pairs that aligned resists most; each row leads to its texts."""
    made = []
    for pair in pairs:
        opening = visible(pair.opening_prompt).strip().replace("\n", " ")
        made.append(
            [
                Cell(f"pair {pair.row_id}", pair.row_id, link=f"pair-{pair.row_id}", anchor=f"row-{pair.row_id}"),
                *(_number(value) for value in (pair.margin, *pair.scores)),
                text(GAMMAS.get(pair.gamma, pair.gamma or "unknown")),
                text(opening[:140] + ("…" if len(opening) > 140 else "")),
            ]
        )
    columns = ["texts", "margin", "reward of chosen", "reward of rejected", "labeler prefers", "opening prompt"]
    return Table("most-resistant", "By margin", "", columns, made)


# --- what was left out ---


def left_out(audit: Audit) -> list[LeftOut]:
    """Everything that some figures do without, with its number and reason; also where the number is 0, so that nothing is left open."""
    return [*_pairs_left_out(audit), *_texts_left_out(audit), *_features_left_out(audit.imprint.get(ALIGNED))]


def _pairs_left_out(audit: Audit) -> list[LeftOut]:
    counts, where = audit.counts, "Rows and pairs"
    not_taken = (counts.get("rows_in_source") or 0) - (counts.get("rows") or 0)
    made = [
        LeftOut(where, f"{count(not_taken)} of {things(counts.get('rows_in_source'), 'row')}", "not taken, by limit or sample", counts),
        LeftOut(
            where,
            f"{count(counts.get('rejects') or 0)} of {things(counts.get('rows'), 'row')}",
            f"set aside as no pair{by_reason(counts.get('rejects_by_column'))}",
            counts,
        ),
        LeftOut(where, things(counts.get("equal_texts") or 0, "pair"), "with equal texts: kept, but not among the differing texts", counts),
        LeftOut(where, things(counts.get("duplicate_pairs") or 0, "pair"), "that stand there more than once: kept", counts),
    ]
    ties = [(role, found.at("all")) for role, found in audit.resistance.items()]
    return made + [LeftOut(where, things(of.get("ties") or 0, "tie"), f"of {role}: kept, as no agreement", of) for role, of in ties]


def _texts_left_out(audit: Audit) -> list[LeftOut]:
    where, made = "Labels and rewrites", []
    of_texts = {"the labeler": audit.labelers.at("labeler"), "the labeler, after rewording": audit.robustness.at("labels")}
    for name, found in of_texts.items():
        if found:
            what = f"{count(found.get('invalid') or 0)} of {things(found.get('texts'), 'text')}"
            made.append(LeftOut(where, what, f"without valid labels by {name}{by_reason(found.get('reasons'))}", found))
    control, rewriting = audit.labelers.at("control"), audit.robustness.at("rewriting")
    for found, dropped, why in (
        (control, "pairs_dropped", "without valid labels by the second labeler"),
        (rewriting, "pairs_invalid", "that could not be reworded"),
    ):
        if found:
            what = f"{count(found.get(dropped) or 0)} of {things(found.get('pairs_drawn'), 'drawn pair')}"
            made.append(LeftOut(where, what, f"{why}{by_reason(found.get('reasons'), 'texts by reason: ')}", found))
    return made


def _features_left_out(aligned: Figures | None) -> list[LeftOut]:
    if not aligned:
        return []
    fits = {
        "Feature imprint of aligned": (aligned.at("within_pair"), aligned.at("dropped")),
        "Imprint corrected by gold": (aligned.at("corrected"), aligned.at("corrected", "dropped")),
        "Imprint between two labelers' errors": (
            aligned.at("bracket_if_errors_are_independent"),
            aligned.at("bracket_if_errors_are_independent", "dropped"),
        ),
        "Features that go with misalignment": (aligned.at("misalignment"), aligned.at("misalignment", "dropped")),
    }
    if aligned.get("held_out", "pairs"):
        fits["Feature imprint of aligned on held-out pairs"] = (aligned.at("held_out"), aligned.at("held_out", "dropped"))
    unlabelled = things(aligned.get("unlabelled_pairs") or 0, "pair")
    made = [LeftOut("Feature imprint of aligned", unlabelled, "with a text that has no labels", aligned.at("unlabelled_pairs"))]
    for where, (fit, dropped) in fits.items():
        if fit.get("reason"):
            made.append(LeftOut(where, "all features", fit.get("reason"), fit))
        made += [LeftOut(where, name, reason, dropped) for name, reason in (dropped.content or {}).items()]
    return made


# --- where the numbers come from ---


def provenance(audit: Audit) -> list[tuple[str, list[tuple[str, str]], Figures]]:
    """What scored, labelled, reworded and compared: by name, what identifies it."""
    made = []
    for role, found in audit.resistance.items():
        made.append((f"role {role}", _identity(found.at("scoring")), found.at("scoring")))
    others = {
        "labeler": audit.labelers.at("labeler"),
        "second labeler": audit.labelers.at("control"),
        "rewriter": audit.robustness.at("rewriting"),
        "labeler of reworded texts": audit.robustness.at("labels"),
        "sentence encoder": audit.robustness.at("similarity"),
    }
    made += [(name, _identity(found), found) for name, found in others.items() if found]
    return made


_IDENTITY = {
    "model": "model",
    "labeler": "kind",
    "rewriter": "kind",
    "revision": "revision",
    "fingerprint": "fingerprint",
    "format": "format",
    "dtype": "precision",
    "limit": "token limit",
    "window": "tokens in a window",
    "prompt": "SHA-256 of the prompt",
    "coverage": "coverage",
    "answers": "answers",
    "patched": "answers asked for again",
    "usd": "US dollars",
}


def _identity(found: Figures) -> list[tuple[str, str]]:
    items = [(words, _plain(found.get(name))) for name, words in _IDENTITY.items() if found.get(name) not in (None, "")]
    base, parity = found.at("base"), found.at("parity")
    if base:
        items.append(("trained from", " ".join(_plain(base.get(name)) for name in ("name", "revision", "fingerprint") if base.get(name))))
    if parity:
        difference, spread = number(parity.get("largest_difference")), number(parity.get("reward_std"))
        items.append(
            (
                "scored again, alone, in full precision",
                f"{count(parity.get('texts'))} texts, largest difference {difference} at a standard deviation of {spread}",
            )
        )
    return items


def _plain(value: Any) -> str:
    if isinstance(value, str):
        return value
    return str(value).replace("-", MINUS) if isinstance(value, int) else number(value)
