"""Findings: their numbers derived again from the metrics files, and their words whichever way the numbers fall."""

import copy
import json
import math
import re
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from conftest import ROOT

from seal.report.figures import Audit, Figures, Finding, in_order
from seal.report.findings import all_findings, cost, coverage, reading
from seal.report.imprint import beyond_features, change_of_imprint, corrected, imprint_of, imprint_of_held_out
from seal.report.labels import against_gold, second_labeler
from seal.report.regimes import labeler_preference, regimes, resistance_by_gamma, reward_shift
from seal.report.resistance import comparison, resistance_of
from seal.report.rewriting import agreement_after_rewriting, flips, reward_change

MINUS = "\u2212"
SUPERSCRIPTS = str.maketrans("⁻⁰¹²³⁴⁵⁶⁷⁸⁹", "-0123456789")
ROLES = ("control", "aligned", "length")
PAIRWISE = ("aligned-control", "aligned-length", "control-length")

COUNTS = {
    "revision": "",
    "rows_in_source": 460,
    "rows": 452,
    "pairs": 450,
    "rejects": 2,
    "rejects_by_column": {"chosen": 2},
    "opening_prompts": 178,
    "equal_texts": 1,
    "duplicate_pairs": 1,
    "pairs_by_part": {"train": 311, "validation": 36, "held-out": 103},
    "pairs_by_source": {"sample": 450},
}


def load(path: str) -> Any:
    return json.loads((ROOT / path).read_text(encoding="utf-8"))


def committed() -> dict[str, Any]:
    """The metrics files of the repository, by their path."""
    paths = [*(f"metrics/resistance/{role}.json" for role in ROLES), *(f"metrics/pairwise/{name}.json" for name in PAIRWISE)]
    paths += [f"metrics/imprint/{role}.json" for role in ROLES]
    paths += [f"metrics/{name}.json" for name in ("summary", "regimes", "reward_shift", "labelers", "robustness", "taxonomy_cost")]
    return {path: load(path) for path in paths} | {"counts.json": COUNTS}


def audit_of(files: dict[str, Any]) -> Audit:
    def of(path: str) -> Figures:
        return Figures(path, files[path])

    return Audit(
        counts=of("counts.json"),
        summary=of("metrics/summary.json"),
        resistance={role: of(f"metrics/resistance/{role}.json") for role in ROLES},
        pairwise=[of(f"metrics/pairwise/{name}.json") for name in PAIRWISE],
        regimes=of("metrics/regimes.json"),
        imprint={role: of(f"metrics/imprint/{role}.json") for role in ROLES},
        reward_shift=of("metrics/reward_shift.json"),
        labelers=of("metrics/labelers.json"),
        robustness=of("metrics/robustness.json"),
        costs=[of("metrics/taxonomy_cost.json")],
        level=0.95,
    )


def found_in(files: dict[str, Any]) -> list[Finding]:
    return [finding for chapter in all_findings(audit_of(files)) for finding in chapter.findings]


def plain(text: str) -> str:
    """With spaces at which lines may break."""
    return text.replace("\u00a0", " ")


def words(finding: Finding) -> str:
    return plain(f"{finding.claim} {finding.evidence}")


@pytest.fixture(scope="module")
def files() -> dict[str, Any]:
    return committed()


# --- a second way to write numbers, by other means than the code's ---


def pct(share: float) -> str:
    return str(round(100 * share, 1) or 0.0).replace("-", MINUS)


def three(value: float) -> str:
    """Three significant digits, zeros kept."""
    if value == 0:
        return "0.00"
    places = 2 - math.floor(math.log10(abs(float(f"{value:.2e}"))))
    return f"{value:.{max(places, 0)}f}".replace("-", MINUS)


def plus(text: str) -> str:
    return text if text.startswith(MINUS) or not re.search("[1-9]", text) else f"+{text}"


def between(low: float, high: float, shown: Any) -> str:
    return f"({shown(low)} to {shown(high)})"


def judged_by(of: dict[str, Any], name: str, shown: Any) -> str:
    """The outer ends of the bootstrap's interval and of the one for independent pairs, of resistance agreement's, turned round."""
    alone = of.get("independent_pairs", {})
    turned = [1 - alone[f"agreement_{end}"] for end in ("low", "high") if name == "resistance" and f"agreement_{end}" in alone]
    every = [each[f"{name}_{end}"] for each in (of, alone) for end in ("low", "high") if f"{name}_{end}" in each] + turned
    return between(min(every), max(every), shown)


def in_text(text: str, *parts: str) -> None:
    missing = [part for part in parts if part not in plain(text)]
    assert not missing, f"{missing} not in: {text}"


# --- every number stands where the finding says ---

NUMBER = re.compile(rf"[{MINUS}+]?\d[\d,]*(?:\.\d+)?(?: \u00d7 10[⁻⁰¹²³⁴⁵⁶⁷⁸⁹]+)?")


def leaves(content: Any) -> Iterator[float]:
    if isinstance(content, dict):
        for name, each in content.items():
            yield from leaves(each)
            if name in ("agreement_low", "agreement_high") and each is not None:
                yield 1 - each  # resistance has the interval of agreement for independent pairs, turned round
    elif isinstance(content, int | float) and not isinstance(content, bool):
        yield float(content)


def written(token: str) -> tuple[float, float]:
    """A number as it is written, and half a unit of its last digit."""
    plain = token.replace(MINUS, "-").replace(",", "").lstrip("+")
    mantissa, _, power = plain.partition(" \u00d7 10")
    scale = 10.0 ** int(power.translate(SUPERSCRIPTS)) if power else 1.0
    digits = len(mantissa.partition(".")[2])
    return float(mantissa) * scale, 0.5000001 * 10.0**-digits * scale


def unsourced(finding: Finding, files: dict[str, Any]) -> list[str]:
    """Measured numbers of a finding that are no rounded leaf of the parts of files that it names."""
    there: list[float] = []
    for source in finding.sources:
        content = files[source.file]
        for key in source.keys:
            content = content[key]
        there += list(leaves(content))
    values = np.array(there)
    # Reasons and names are quoted as they stand there, and the words on tests have no figures.
    text = re.sub(r"\[[^]]*\]|\(\d+ events [^)]*\)|“[^”]*”|package:\S+|10 for each", "", words(finding))
    missing = []
    for token in NUMBER.findall(text):
        value, half = written(token)
        if "." not in token and abs(value) < 30:
            continue  # how many features are told is counted from them, and derived again below
        near = np.abs(values - value) <= half
        as_share = np.abs(100 * values - value) <= half
        if not (near | as_share).any():
            missing.append(token)
    return missing


def test_every_measured_number_stands_where_the_finding_says(files: dict[str, Any]) -> None:
    found = found_in(files)
    assert len(found) >= 20
    for finding in found:
        assert finding.sources
        assert NUMBER.search(words(finding))
        assert unsourced(finding, files) == [], words(finding)


def flipped(content: Any, random: np.random.Generator) -> Any:
    """The same figures with other signs: intervals stay around their figure."""
    if not isinstance(content, dict):
        return content
    made = {key: flipped(value, random) for key, value in content.items()}
    for name in ("estimate", "in_sd", "mean", "difference", "agreement_gained", "agreement_change"):
        pairs = (f"{name}_low", f"{name}_high") if f"{name}_low" in made else ("low", "high")
        if isinstance(made.get(name), float) and made.get(pairs[0]) is not None and random.integers(2):
            made[name] = -made[name]
            made[pairs[0]], made[pairs[1]] = -made[pairs[1]], -made[pairs[0]]
    return made


@pytest.mark.parametrize("seed", range(5))
def test_numbers_of_metrics_with_other_signs_stand_where_the_finding_says(files: dict[str, Any], seed: int) -> None:
    random = np.random.default_rng(seed)
    made = {path: flipped(content, random) for path, content in files.items()}
    for finding in found_in(made):
        assert unsourced(finding, made) == [], words(finding)


# --- each finding's numbers again, from the files ---


@pytest.mark.parametrize("role", ROLES)
def test_resistance_of_a_role(files: dict[str, Any], role: str) -> None:
    figures = files[f"metrics/resistance/{role}.json"]
    everything, held_out = figures["all"], figures["by_part"]["held-out"]
    text = words(resistance_of(role, Figures("", figures)))
    for part in (everything, held_out):
        in_text(text, f"{pct(part['resistance'])} % {judged_by(part, 'resistance', pct)}", f"{part['pairs']} pairs")
    low, high = (f(held_out[f"agreement_{e}"], held_out["independent_pairs"][f"agreement_{e}"]) for f, e in ((min, "low"), (max, "high")))
    expected = (
        "more often than a coin" if low > 0.5 else "less often than a coin" if high < 0.5 else "cannot be shown to differ from a coin"
    )
    in_text(text, expected, f"{everything['opening_prompts']} opening prompts")


@pytest.mark.parametrize("name", PAIRWISE)
def test_comparison_of_two_roles(files: dict[str, Any], name: str) -> None:
    figures = files[f"metrics/pairwise/{name}.json"]
    first, second = name.split("-")
    text = words(comparison(Figures("", figures), 0.05))
    for part in (figures["all"], figures["by_part"]["held-out"]):
        points = f"{plus(pct(part['difference']))} points {between(part['difference_low'], part['difference_high'], pct)}"
        in_text(text, points, f"{part['pairs']} pairs")
    everything = figures["all"]
    in_text(text, f"Only {first} agrees on {everything['only_first_agrees']}, only {second} on {everything['only_second_agrees']}")
    exponent = math.floor(everything["independent_pairs"]["mcnemar_log10_p"])
    if exponent < -3:
        in_text(text, f"10{str(exponent).translate(str.maketrans('-0123456789', '⁻⁰¹²³⁴⁵⁶⁷⁸⁹'))}")


def test_regimes(files: dict[str, Any]) -> None:
    figures = files["metrics/regimes.json"]["all"]
    text = words(regimes(Figures("", files["metrics/regimes.json"])))
    for name, became in (("stayed_aligned", "stayed aligned"), ("got_aligned", "got aligned")):
        share = figures[name]
        in_text(text, f"{pct(share['share'])} % {judged_by(share, 'share', pct)} {became}")
    for name, became in (("resists_alignment", "resist alignment"), ("reversed_alignment", "were reversed")):
        share = figures[name]
        in_text(text, f"{pct(share['share'])} % {judged_by(share, 'share', pct)} {became}")


def test_resistance_by_gamma(files: dict[str, Any]) -> None:
    by_gamma = files["metrics/resistance/aligned.json"]["by_labeler"]["gamma"]
    held_out, everything = plain(words(resistance_by_gamma(Figures("", files["metrics/resistance/aligned.json"])))).split(
        "On all pairs, held out or not: "
    )
    for text, groups in ((held_out, by_gamma["held_out"]), (everything, by_gamma["all"])):
        for gamma in "cri":
            of = groups[gamma]
            in_text(text, f"{pct(of['resistance'])} % {judged_by(of, 'resistance', pct)} of {of['pairs']} pairs")


def test_the_labeler_s_preference_is_judged_on_held_out_pairs_first(files: dict[str, Any]) -> None:
    tested = files["metrics/regimes.json"]["by_labeler"]
    finding = labeler_preference(Figures("", files["metrics/regimes.json"]), 0.05)
    held_out, everything = plain(finding.evidence).split("All pairs, held out or not: ")
    for text, population in ((held_out, "held_out"), (everything, "all")):
        found = tested[population]["agreement_with_human"]
        in_text(text, f"{found['pairs']} pairs on which", f"on {found['indifferent']} more")
        for role in ("aligned", "control"):
            of = found[f"{role}_labeler"]
            difference = f"{plus(pct(of['difference']))} points {between(of['difference_low'], of['difference_high'], pct)}"
            in_text(text, f"{role}: {pct(of['first_agreement'])} %, {difference}")


@pytest.mark.parametrize("aim", ["target", "spoiler", "other"])
def test_imprint_of_the_features_of_each_aim(files: dict[str, Any], aim: str) -> None:
    fit = files["metrics/imprint/aligned.json"]["within_pair"]
    features = {name: of for name, of in fit["features"].items() if of["aim"] == aim}
    finding = imprint_of(Figures("", files["metrics/imprint/aligned.json"]), aim, 0.05)
    for of in features.values():
        in_text(finding.evidence, f"{plus(three(of['in_sd']))} {between(of['in_sd_low'], of['in_sd_high'], three)}")
    told = {sign: sum(of["p_holm"] < 0.05 and of["estimate"] * sign > 0 for of in features.values()) for sign in (1, -1)}
    in_text(finding.claim, f"{len(features)} {aim} feature", f"reward {told[1] or 'none'}", f"penalise {told[-1] or 'none'}")
    unknown = len(features) - told[1] - told[-1]
    assert (f"of {unknown} no effect" in finding.claim) == (unknown > 0)


def test_imprint_of_held_out_pairs(files: dict[str, Any]) -> None:
    few = files["metrics/imprint/aligned.json"]["held_out"]
    features = few["within_pair"]["features"]
    finding = imprint_of_held_out(Figures("", files["metrics/imprint/aligned.json"]), 0.05)
    in_text(finding.claim, "On held-out pairs", f"of {len(features)} features")
    in_text(finding.evidence, f"On {few['pairs']} pairs from {few['opening_prompts']} opening prompts")
    aimed = [of for of in features.values() if of["aim"] != "other"]
    assert aimed
    for of in aimed:
        interval = "(no interval)" if of["in_sd_low"] is None else between(of["in_sd_low"], of["in_sd_high"], three)
        in_text(finding.evidence, f"{plus(three(of['in_sd']))} {interval}")


def test_an_effect_on_held_out_pairs_is_told_whatever_its_aim() -> None:
    features = {"up": effect(0.5, 0.01), "down": effect(-0.25, 0.02, "other"), "open": effect(0.125, 0.5, "other")}
    few = {"pairs": 33, "opening_prompts": 22, "within_pair": {"tested": 3, "features": features}}
    finding = imprint_of_held_out(Figures("", {"held_out": few}), 0.05)
    in_text(finding.claim, "of 3 features", "reward 1 (“up”)", "penalise 1 (“down”)", "of 1 no effect can be shown")
    in_text(finding.evidence, "“up” +0.500", "“down” \u22120.250", "On 33 pairs from 22 opening prompts", "for 3 tests")
    assert "open" not in finding.evidence.replace("opening", "")
    nothing = imprint_of_held_out(Figures("", {"held_out": {"pairs": 5, "within_pair": {"features": {}}}}), 0.05)
    in_text(nothing.claim, "nothing can be said")


def test_corrected_imprint(files: dict[str, Any]) -> None:
    imprint = files["metrics/imprint/aligned.json"]
    fit = imprint["corrected"]
    finding = corrected(Figures("", imprint), 0.05)
    in_text(finding.claim, f"{fit['gold_pairs']} pairs", f"{len(fit['features'])} features")
    turned = sum(np.sign(of["estimate"]) != np.sign(of["labels_only"]) for of in fit["features"].values())
    in_text(finding.evidence, f"the sign of {turned} of {len(fit['features'])}")
    aimed = [name for name, of in imprint["within_pair"]["features"].items() if of["aim"] != "other" and name in fit["features"]]
    assert aimed
    in_text(finding.evidence, f"a weight of {three(fit['tuning'])} of 1")
    for name in aimed:
        of = fit["features"][name]
        in_text(finding.evidence, f"{plus(three(of['estimate']))} {between(of['low'], of['high'], three)}, by labels alone")


def test_a_corrected_effect_that_can_be_told_stands_there_with_its_number_whatever_its_aim(files: dict[str, Any]) -> None:
    imprint = files["metrics/imprint/aligned.json"]
    name = next(
        name for name, of in imprint["within_pair"]["features"].items() if of["aim"] == "other" and name in imprint["corrected"]["features"]
    )
    strong = {"estimate": 0.631, "low": 0.25, "high": 1.02, "p_holm": 0.019, "labels_only": 0.5}
    changed = {**imprint, "corrected": {**imprint["corrected"], "features": {**imprint["corrected"]["features"], name: strong}}}
    finding = corrected(Figures("", changed), 0.05)
    in_text(finding.claim, "reward 1")
    in_text(finding.evidence, "+0.631 (0.250 to 1.02), by labels alone +0.500")


def test_of_few_opening_prompts_the_second_labeler_s_agreement_is_not_told(files: dict[str, Any]) -> None:
    labelers = files["metrics/labelers.json"]
    few, many = (
        second_labeler(Figures("", {**labelers, "labeler_control": {**labelers["labeler_control"], "opening_prompts": prompts}}))
        for prompts in (9, 10)
    )
    in_text(few.claim, "cannot be shown from 9 opening prompts")
    in_text(many.claim, "A second labeler gives texts the same label in")


def test_change_of_imprint(files: dict[str, Any]) -> None:
    fit = files["metrics/imprint/aligned.json"]["change"]
    finding = change_of_imprint(Figures("", files["metrics/imprint/aligned.json"]), 0.05)
    told = [of for of in fit["features"].values() if of["p_holm"] < 0.05]
    more, less = (sum(of["estimate"] * sign > 0 for of in told) for sign in (1, -1))
    in_text(finding.claim, f"{more or 'no'} feature", f"and {less or 'no'} feature")
    for of in told:
        in_text(finding.evidence, f"{plus(three(of['estimate']))} {between(of['low'], of['high'], three)}")


def test_reward_shift(files: dict[str, Any]) -> None:
    figures = files["metrics/reward_shift.json"]
    text = words(reward_shift(Figures("", figures)))
    for part in ("all", "held_out"):
        margin = figures[part]["change_of_scaled_margin"]
        in_text(text, f"{plus(three(margin['mean']))} {between(margin['mean_low'], margin['mean_high'], three)}")
    theta = figures["all"]["theta"]
    in_text(text, f"{three(theta['circular_mean'])} {between(theta['circular_mean_low'], theta['circular_mean_high'], three)} degrees")


def test_labeler_against_gold(files: dict[str, Any]) -> None:
    reserved = files["metrics/labelers.json"]["labeler_gold_reserved"]
    finding = against_gold(Figures("", files["metrics/labelers.json"]))
    found = {name: of["balanced_accuracy"] for name, of in reserved["features"].items() if "balanced_accuracy" in of}
    known = {name: of for name, of in found.items() if of["value"] is not None}
    better = sum(of["low"] is not None and of["low"] > (1 / 3 if "sentiment" in name else 0.5) for name, of in known.items())
    in_text(finding.claim, f"on {better} of {len(known)} features")
    for of in (min(known.values(), key=lambda of: of["value"]), max(known.values(), key=lambda of: of["value"])):
        in_text(finding.evidence, f"{three(of['value'])} {between(of['low'], of['high'], three)}")
    mean = reserved["balanced_accuracy_shown_by_words"]
    in_text(finding.evidence, f"{three(mean['value'])} {between(mean['low'], mean['high'], three)}", f"{reserved['texts']} texts")


def test_rewording_against_the_noise_floor(files: dict[str, Any]) -> None:
    figures = files["metrics/robustness.json"]
    rewritten, trivial = (
        of["all"]["aligned"]["reward_change"]["all_texts"] for of in (figures["rewritten"], figures["noise_floor"]["trivial"])
    )
    finding = reward_change(Figures("", figures))
    for of in (rewritten, trivial):
        size = f"{three(of['mean_absolute'])} {between(of['mean_absolute_low'], of['mean_absolute_high'], three)}"
        in_text(finding.evidence, size, f"{of['texts']} texts")
    in_text(words(reward_change(Figures("", without_change(figures)))), "cannot be shown", "on the same texts: unknown [not in the file]")


def without_change(robustness: dict[str, Any]) -> dict[str, Any]:
    """As older files have it: nothing is said of how much more rewording moves rewards."""
    older = copy.deepcopy(robustness)
    for name in ("aligned", "control"):
        older["beyond_noise"]["trivial"]["all"][name].pop("reward_change", None)
    return older


def test_agreement_and_flips_after_rewording(files: dict[str, Any]) -> None:
    everything = files["metrics/robustness.json"]["rewritten"]["all"]
    aligned = everything["aligned"]
    text = words(agreement_after_rewriting(Figures("", files["metrics/robustness.json"]), 0.05))
    in_text(text, f"{pct(aligned['original_agreement'])} % before, {pct(aligned['rewritten_agreement'])} % after")
    in_text(text, f"Of {everything['pairs']} pairs {aligned['became_misaligned']['pairs']} became misaligned")
    rates = [of for sides in everything["flip_rates"].values() for of in sides.values()]
    most = max(rates, key=lambda of: of["flip_rate"])
    text = words(flips(Figures("", files["metrics/robustness.json"]), 0.05))
    in_text(text, f"{most['flipped_pairs']} of {most['labelled_pairs']} texts", f"{pct(most['flip_rate'])} %")


def test_coverage_and_cost(files: dict[str, Any]) -> None:
    labels, rewriting = files["metrics/labelers.json"]["labeler"], files["metrics/robustness.json"]["rewriting"]
    labelers, robustness = Figures("", files["metrics/labelers.json"]), Figures("", files["metrics/robustness.json"])
    text = words(coverage(labelers, robustness))
    in_text(text, f"{labels['labelled']} of {labels['texts']} texts", f"{rewriting['pairs_rewritten']} of {rewriting['pairs_drawn']} drawn")
    labels = {**labels, "usd": 1.25}
    dear = Figures("", {**files["metrics/labelers.json"], "labeler": labels, "control": {"usd": 2.5, "answers": 3, "model": "m"}})
    in_text(cost(dear, Figures("", {"rewriting": None, "labels": None}), []).claim, "3.75 US dollars")


# --- whichever way the numbers fall ---


def share_of(figure: str, value: float, low: float | None, high: float | None, pairs: int = 200, prompts: int = 100) -> dict[str, Any]:
    return {"pairs": pairs, "opening_prompts": prompts, "ties": 3, figure: value, f"{figure}_low": low, f"{figure}_high": high}


def role(agreement: float, low: float | None, high: float | None, **more: Any) -> dict[str, Any]:
    ends = (None, None) if low is None or high is None else (1 - high, 1 - low)
    both = {**share_of("agreement", agreement, low, high), **share_of("resistance", 1 - agreement, *ends)}
    return {"all": {**both, **more}, "by_part": {}}


@pytest.mark.parametrize(
    ("figures", "expected"),
    [
        (role(0.7, 0.6, 0.8), "more often than a coin"),
        (role(0.3, 0.2, 0.4), "less often than a coin"),
        (role(0.55, 0.45, 0.65), "cannot be shown to differ from a coin"),
        (role(0.7, None, None), "cannot be shown to differ from a coin"),
        (role(1.0, 1.0, 1.0, opening_prompts=3), "cannot be shown to differ from a coin"),
        (role(0.7, 0.6, 0.8, independent_pairs={"agreement_low": 0.45, "agreement_high": 0.85}), "cannot be shown to differ from a coin"),
    ],
)
def test_a_role_is_better_than_a_coin_only_where_all_intervals_say_so(figures: dict[str, Any], expected: str) -> None:
    finding = resistance_of("mine", Figures("", figures))
    in_text(finding.evidence, expected)
    assert "held out" not in words(finding)
    assert "None" not in words(finding)


def compared(low: float | None, high: float | None, p: float, prompts: int = 100) -> dict[str, Any]:
    found = share_of("difference", 0.0 if low is None or high is None else (low + high) / 2, low, high, prompts=prompts)
    more = {"first_agreement": 0.6, "second_agreement": 0.5, "only_first_agrees": 40, "only_second_agrees": 20}
    return {**found, **more, "independent_pairs": {"mcnemar_p": p, "mcnemar_log10_p": math.log10(p) if p else -320.4}}


@pytest.mark.parametrize(
    ("everything", "held_out", "expected"),
    [
        (
            compared(0.05, 0.15, 0.01),
            compared(0.01, 0.2, 0.04),
            "On held-out pairs a agrees with the human more often than b; so too on all pairs, held out or not.",
        ),
        (compared(-0.15, -0.05, 0.01), None, "a agrees with the human less often than b."),
        (compared(-0.05, 0.15, 0.3), compared(-0.15, -0.05, 0.01), "On held-out pairs a agrees with the human less often than b."),
        (compared(0.05, 0.15, 0.06), None, "It cannot be shown whether a or b agrees with the human more often."),
        (compared(-0.05, 0.15, 0.04), None, "It cannot be shown whether a or b agrees with the human more often."),
        (compared(None, None, 0.0), None, "It cannot be shown whether a or b agrees with the human more often."),
        (compared(0.05, 0.15, 0.01, prompts=9), None, "It cannot be shown whether a or b agrees with the human more often."),
    ],
)
def test_one_role_is_better_only_where_interval_and_test_say_so(everything: Any, held_out: Any, expected: str) -> None:
    figures = {"first": "a", "second": "b", "all": everything, "by_part": {"held-out": held_out} if held_out else {}}
    finding = comparison(Figures("", figures), 0.05)
    in_text(finding.claim, expected)
    assert "None" not in words(finding)


def test_a_p_that_is_too_small_for_a_float_is_told_from_its_logarithm() -> None:
    figures = {"first": "a", "second": "b", "all": compared(0.4, 0.6, 0.0), "by_part": {}}
    in_text(comparison(Figures("", figures), 0.05).evidence, "p = 4.0 \u00d7 10⁻³²¹")  # 10^-320.4 = 10^0.6 x 10^-321


def preferred(low: float | None, high: float | None, p: float, pairs: int = 200) -> dict[str, Any]:
    of = compared(low, high, 1.0) | {"independent_pairs": {"mcnemar_p": 0.001, "mcnemar_p_holm": p}}
    return {"agreement_with_human": {"pairs": pairs, "indifferent": 5, "aligned_labeler": of, "control_labeler": of}}


LABELER = "the labeler's own preference"


@pytest.mark.parametrize(
    ("everything", "held_out", "claim"),
    [
        # On all pairs aligned is better, as it remembers those of training; on held-out ones it is worse, or nothing can be shown.
        (
            preferred(0.05, 0.15, 0.01),
            preferred(-0.2, -0.01, 0.01, 40),
            f"On held-out pairs aligned agrees with the human less often than {LABELER}. On all pairs, held out or not, "
            f"aligned agrees with the human more often than {LABELER}.",
        ),
        (
            preferred(0.05, 0.15, 0.01),
            preferred(-0.2, 0.05, 0.3, 40),
            f"On held-out pairs it cannot be shown whether aligned or {LABELER} agrees with the human more often. On all pairs, "
            f"held out or not, aligned agrees with the human more often than {LABELER}.",
        ),
        (
            preferred(0.05, 0.15, 0.01),
            preferred(0.01, 0.2, 0.04, 40),
            f"On held-out pairs aligned agrees with the human more often than {LABELER}; so too on all pairs, held out or not.",
        ),
        (preferred(0.05, 0.15, 0.06), {}, f"It cannot be shown whether aligned or {LABELER} agrees with the human more often."),
        (
            preferred(-0.15, -0.05, 0.01),
            {"agreement_with_human": {"pairs": 0}},
            f"aligned agrees with the human less often than {LABELER}.",
        ),
    ],
)
def test_the_labeler_s_preference_is_judged_where_nothing_was_trained_on(everything: Any, held_out: Any, claim: str) -> None:
    finding = labeler_preference(Figures("", {"by_labeler": {"all": everything, "held_out": held_out}}), 0.05)
    assert finding.claim == claim
    assert "None" not in words(finding)


Ends = tuple[float, float, float]


def gamma_groups(chosen: Ends, rejected: Ends, difference: Ends | None, **more: Any) -> dict[str, Any]:
    """Groups by gamma; `more` is of the pairs whose chosen text the labeler prefers."""
    found = {
        "c": share_of("resistance", *chosen) | more,
        "r": share_of("resistance", *rejected),
        "i": {"pairs": 0},
        "unlabelled": {"pairs": 7},
    }
    if difference:
        found["rejected_minus_chosen"] = share_of("resistance", *difference)
        del found["rejected_minus_chosen"]["pairs"]
    return found


MORE = gamma_groups((0.1, 0.05, 0.25), (0.3, 0.2, 0.4), (0.2, 0.05, 0.35))
LESS = gamma_groups((0.3, 0.2, 0.4), (0.1, 0.05, 0.15), (-0.2, -0.3, -0.1))
OPEN = gamma_groups((0.1, 0.05, 0.15), (0.3, 0.2, 0.4), (0.2, -0.01, 0.41))
UNKNOWN = MORE | {
    "rejected_minus_chosen": {"resistance": None, "resistance_low": None, "resistance_high": None, "resistance_reason": "too few"}
}


@pytest.mark.parametrize(
    ("groups", "expected"),
    [
        # The intervals of both groups meet, and that of their difference lies above 0; or the other way round.
        (MORE, "aligned resists more where the labeler, too, prefers the rejected"),
        (LESS, "aligned resists less where the labeler prefers the rejected"),
        (OPEN, "It cannot be shown whether aligned resists more"),
        (UNKNOWN, "It cannot be shown whether aligned resists more"),
        # As older files have it.
        (gamma_groups((0.1, 0.05, 0.15), (0.3, 0.2, 0.4), None), "It cannot be shown whether aligned resists more"),
        # Few opening prompts in one of both groups.
        (MORE | {"c": MORE["c"] | {"opening_prompts": 9}}, "It cannot be shown whether aligned resists more"),
        (MORE | {"r": MORE["r"] | {"opening_prompts": 9}}, "It cannot be shown whether aligned resists more"),
        # No pair of a group resists, so no resample knows how sure that is, and the difference's interval is too narrow.
        (gamma_groups((0.0, 0.0, 0.0), (0.3, 0.2, 0.4), (0.3, 0.2, 0.4)), "It cannot be shown whether aligned resists more"),
        ({"c": {"pairs": 0}, "r": {"pairs": 0}, "i": {"pairs": 0}}, "It cannot be shown"),
    ],
)
def test_resistance_by_gamma_is_judged_by_the_difference_s_own_interval(groups: dict[str, Any], expected: str) -> None:
    finding = resistance_by_gamma(Figures("", {"by_labeler": {"gamma": {"all": groups}}}))
    assert finding.claim.startswith(expected)
    assert "None" not in words(finding)
    if groups.get("unlabelled"):
        in_text(finding.evidence, "Without labels: 7 pairs.")


def test_resistance_by_gamma_is_judged_on_held_out_pairs_and_shows_the_difference() -> None:
    finding = resistance_by_gamma(Figures("", {"by_labeler": {"gamma": {"all": MORE, "held_out": LESS}}}))
    assert finding.claim == (
        "On held-out pairs aligned resists less where the labeler prefers the rejected text than where it prefers the chosen one. On all "
        "pairs, held out or not, aligned resists more where the labeler, too, prefers the rejected text than where it prefers "
        "the chosen one."
    )
    in_text(
        finding.evidence,
        f"rejected minus chosen {MINUS}20.0 points ({MINUS}30.0 to {MINUS}10.0)",
        "rejected minus chosen +20.0 points (5.0 to 35.0)",
    )
    nothing = resistance_by_gamma(Figures("", {"by_labeler": {"gamma": {"all": UNKNOWN, "held_out": UNKNOWN}}}))
    in_text(nothing.evidence, "rejected minus chosen unknown [too few]")
    in_text(resistance_by_gamma(Figures("", {})).claim, "nothing can be said")


def shifted(mean: float | None, low: float | None, high: float | None) -> dict[str, Any]:
    margin = {"mean": mean, "mean_low": low, "mean_high": high, "mean_reason": "the margins do not vary", "share_positive": 0.5}
    return {
        "all": {"pairs": 50, "opening_prompts": 40, "change_of_scaled_margin": margin, "theta": {"circular_mean": None}},
        "held_out": {"pairs": 0},
    }


@pytest.mark.parametrize(
    ("figures", "expected"),
    [
        (shifted(0.5, 0.4, 0.6), "the margins moved towards the human."),
        (shifted(-0.5, -0.6, -0.4), "the margins moved away from the human."),
        (shifted(0.1, -0.1, 0.3), "cannot be shown"),
        (shifted(None, None, None), "nothing can be said"),
        ({"all": {"pairs": 0}}, "nothing can be said"),
    ],
)
def test_margins_moved_only_where_their_interval_says_so(figures: dict[str, Any], expected: str) -> None:
    finding = reward_shift(Figures("", figures))
    in_text(finding.claim, expected)
    assert "None" not in words(finding)


def effect(estimate: float | None, p: float | None, aim: str = "target", **more: Any) -> dict[str, Any]:
    ends = (None, None) if estimate is None else (estimate - 0.1, estimate + 0.1)
    named = {"aim": aim, "estimate": estimate, "low": ends[0], "high": ends[1]}
    return named | {"in_sd": estimate, "in_sd_low": ends[0], "in_sd_high": ends[1], "p_holm": p} | more


def fitted(**features: Any) -> Figures:
    return Figures("", {"pairs": 99, "opening_prompts": 66, "within_pair": {"tested": 4, "features": features}})


def test_a_feature_earns_reward_only_where_holm_says_so() -> None:
    found = fitted(
        up=effect(0.5, 0.01),
        down=effect(-0.5, 0.049),
        open=effect(0.5, 0.05),
        bare=effect(0.3, None, reason="no error: it differs in 3 opening prompts, and an error needs 10"),
        gone=effect(None, None, reason="collinear with others"),
        other=effect(0.7, 0.001, "other"),
    )
    finding = imprint_of(found, "target", 0.05)
    in_text(finding.claim, "Of the 5 target features", "reward 1 (“up”)", "penalise 1 (“down”)", "of 3 no effect can be shown")
    in_text(finding.evidence, "“gone” unknown (no interval) [collinear with others]", "needs 10]")
    assert "other" not in finding.evidence.replace("collinear with others", "")
    assert "being chosen" not in words(finding)  # no fit with an intercept is given
    assert "nothing can be said" in imprint_of(found, "spoiler", 0.05).claim


def test_pairs_without_labels_are_not_told_to_be_in_the_fit() -> None:
    found = fitted(up=effect(0.5, 0.01))
    in_text(imprint_of(found, "target", 0.05).evidence, "On 99 pairs of all parts, from 66 opening prompts.")
    found.content["unlabelled_pairs"] = 33
    in_text(imprint_of(found, "target", 0.05).evidence, "On 66 pairs of all parts (33 pairs without labels left out), from 66")


@pytest.mark.parametrize(
    ("beside", "claim", "evidence"),
    [
        (("up", "down"), "penalise 1 (“down”); of 1 no effect", "2 of 2 remain (“up”, “down”)."),
        (("up",), "; of these 2 effects only 1 (“up”) stays once being chosen is itself allowed for; of 1", "1 of 2 remain (“up”)."),
        ((), "; none of these 2 effects stays once being chosen is itself allowed for; of 1", "0 of 2 remain."),
    ],
)
def test_an_effect_that_vanishes_once_being_chosen_is_allowed_for_is_named_in_the_claim(
    beside: tuple[str, ...], claim: str, evidence: str
) -> None:
    effects = {"up": effect(0.5, 0.01), "down": effect(-0.5, 0.02), "open": effect(0.1, 0.7)}
    found = fitted(**effects)
    with_intercept = {name: of | {"p_holm": 0.01 if name in beside else 0.3} for name, of in effects.items()}
    found.content["within_pair_with_intercept"] = {"features": with_intercept}
    finding = imprint_of(found, "target", 0.05)
    in_text(finding.claim, claim)
    in_text(finding.evidence, f"by an intercept in the regression, {evidence}")
    # What is significant with the other sign does not stay either.
    found.content["within_pair_with_intercept"] = {"features": effects | {"up": effect(-0.5, 0.01)}}
    in_text(imprint_of(found, "target", 0.05).claim, "only 1 (“down”) stays")
    alone = fitted(up=effect(0.5, 0.01))
    alone.content["within_pair_with_intercept"] = {"features": {"up": effect(0.1, 0.9)}}
    in_text(imprint_of(alone, "target", 0.05).claim, "penalise none; that effect does not stay once being chosen is itself allowed for.")


def test_what_is_judged_by_is_what_is_shown() -> None:
    """By bootstrap the interval lies above 0.5, and Wilson's does not; the outer ends stand there, of agreement turned round."""
    of = role(0.7, 0.6, 0.8, independent_pairs={"agreement_low": 0.45, "agreement_high": 0.75})
    in_text(resistance_of("mine", Figures("", of)).evidence, "30.0 % (20.0 to 55.0)", "cannot be shown to differ")


def test_an_interval_without_width_is_said_to_have_none() -> None:
    alike = {**compared(0.0, 0.0, 1.0), "only_first_agrees": 0, "only_second_agrees": 0}
    in_text(comparison(Figures("", {"first": "a", "second": "b", "all": alike}), 0.05).evidence, "0.0 points (no width: all alike) on")
    in_text(reward_shift(Figures("", shifted(0.5, 0.5, 0.5))).evidence, "+0.500 (no width: all alike)")
    everyone = role(1.0, 1.0, 1.0, independent_pairs={"agreement_low": 0.9, "agreement_high": 1.0})
    in_text(resistance_of("mine", Figures("", everyone)).evidence, "0.0 % (0.0 to 10.0)")


def test_reasons_stand_in_the_place_of_figures_that_cannot_be_had() -> None:
    nothing = Figures("", {"corrected": {"features": None, "reason": "no gold is set"}, "change": {"features": None, "reason": "no role"}})
    for finding, reason in (
        (corrected(nothing, 0.05), "no gold is set"),
        (change_of_imprint(nothing, 0.05), "no role"),
        (against_gold(Figures("", {"labeler_gold_reserved": {"features": None, "reason": "no gold"}})), "no gold"),
    ):
        in_text(finding.claim, "nothing can be said")
        in_text(finding.evidence, reason)


def changed(size: float, low: float, high: float) -> dict[str, Any]:
    sizes = {"texts": 40, "mean_absolute": size, "mean_absolute_low": low, "mean_absolute_high": high}
    return {"all": {"pairs": 20, "opening_prompts": 20, "aligned": {"reward_change": {"all_texts": sizes}}}}


def beyond(size: float | None, low: float | None, high: float | None, prompts: int = 20) -> dict[str, Any]:
    sizes = {
        "texts": 34,
        "mean_absolute": size,
        "mean_absolute_low": low,
        "mean_absolute_high": high,
        "mean_absolute_reason": "the unit is 0",
    }
    return {"all": {"pairs": 20, "opening_prompts": prompts, "aligned": {"reward_change": sizes}}}


REWORDED, TRIVIAL = changed(0.5, 0.3, 0.7), changed(0.3, 0.2, 0.4)


@pytest.mark.parametrize(
    ("rewritten", "trivial", "difference", "expected"),
    [
        # The intervals of both meet; that of the difference on the same texts is judged by.
        (REWORDED, TRIVIAL, beyond(0.2, 0.05, 0.35), "Rewording moves rewards by aligned more than a change that means nothing."),
        (REWORDED, TRIVIAL, beyond(-0.2, -0.35, -0.05), "Rewording moves rewards by aligned less than a change that means nothing."),
        (changed(0.9, 0.8, 1.0), TRIVIAL, beyond(0.2, -0.01, 0.35), "cannot be shown"),
        (changed(0.9, 0.8, 1.0), TRIVIAL, beyond(0.2, 0.05, 0.35, prompts=9), "cannot be shown"),
        (changed(0.9, 0.8, 1.0), TRIVIAL, beyond(None, None, None), "cannot be shown"),
        (changed(0.9, 0.8, 1.0), TRIVIAL, None, "cannot be shown"),
        (REWORDED, None, None, "was not measured"),
        ({"all": {"pairs": 0}}, None, None, "nothing can be said"),
        (
            {"all": {"pairs": 3, "aligned": {"reward_change": {"reason": "the original reward is the same"}}}},
            None,
            None,
            "nothing can be said",
        ),
    ],
)
def test_rewording_is_more_than_noise_only_where_the_difference_says_so(
    rewritten: Any, trivial: Any, difference: Any, expected: str
) -> None:
    figures = {"rewritten": rewritten, "noise_floor": {"trivial": trivial}, "beyond_noise": {"trivial": difference}}
    finding = reward_change(Figures("", figures))
    in_text(finding.claim, expected)
    assert "None" not in words(finding)
    known = difference and difference["all"]["aligned"]["reward_change"]["mean_absolute"]
    if known:
        ends = difference["all"]["aligned"]["reward_change"]
        shown = f"{plus(three(known))} {between(ends['mean_absolute_low'], ends['mean_absolute_high'], three)}"
        in_text(finding.evidence, f"on the same 34 texts and in one unit: {shown}")
    elif difference:
        in_text(finding.evidence, "[the unit is 0]")


def flipping(low: float, high: float, p: float | None, prompts: int = 20) -> Figures:
    """One label that flips as given, and one of which nothing can be shown."""
    rate = {"labelled_pairs": 20, "flipped_pairs": 4, "flip_rate": 0.2, "flip_rate_low": 0.1, "flip_rate_high": 0.3}
    of = {"labelled_pairs": 20, "flip_rate": (low + high) / 2, "flip_rate_low": low, "flip_rate_high": high}
    if p is not None:
        of |= {"rewriting_only": 9, "noise_only": 1, "independent_pairs": {"mcnemar_p": p / 2, "mcnemar_p_holm": p}}
    still = {"labelled_pairs": 20, "flip_rate": 0.0, "flip_rate_low": 0.0, "flip_rate_high": 0.0}
    rates = {"helpful": {"chosen": of, "rejected": still}}
    rewritten = {"all": {"pairs": 20, "flip_rates": {"helpful": {"chosen": rate}}}}
    return Figures(
        "", {"rewritten": rewritten, "beyond_noise": {"trivial": {"all": {"pairs": 20, "opening_prompts": prompts, "flip_rates": rates}}}}
    )


@pytest.mark.parametrize(
    ("figures", "more", "less"),
    [
        (flipping(0.1, 0.3, 0.04), True, False),
        (flipping(-0.3, -0.1, 0.04), False, True),
        (flipping(0.1, 0.3, 0.06), False, False),  # the interval alone says so; without Holm's correction p, too, would: 0.03
        (flipping(-0.1, 0.3, 0.04), False, False),
        (flipping(0.1, 0.3, 0.04, prompts=9), False, False),
        (flipping(0.1, 0.3, None), False, False),  # as older files have it
    ],
)
def test_a_label_flips_more_often_only_where_interval_and_corrected_test_say_so(figures: Figures, more: bool, less: bool) -> None:
    evidence = plain(flips(figures, 0.05).evidence)
    shown = "1 (“helpful” of chosen texts {} points ({}), p = 0.04)"
    in_text(evidence, f"Of 2 labels, {shown.format('+20.0', '10.0 to 30.0') if more else 'none'} can be shown to flip more often")
    in_text(evidence, f"{shown.format(MINUS + '20.0', f'{MINUS}30.0 to {MINUS}10.0') if less else 'none'} less often")
    in_text(evidence, f"of {1 if more or less else 2} neither can be shown", "after Holm's correction for all these labels")


def test_an_audit_without_labels_gold_and_rewrites_has_reasons_in_their_place(files: dict[str, Any]) -> None:
    bare = copy.deepcopy(files)
    for name in ROLES:
        bare[f"metrics/resistance/{name}.json"].pop("by_labeler")
        bare[f"metrics/imprint/{name}.json"]["corrected"] = {"features": None, "reason": "no gold is set for these pairs"}
    bare["metrics/regimes.json"].pop("by_labeler")
    for name in ("labeler_gold", "labeler_gold_reserved", "control_gold"):
        bare["metrics/labelers.json"][name] = {"texts": 0, "features": None, "reason": "no gold is set for these pairs"}
    empty = {"all": {"pairs": 0, "opening_prompts": 0}, "similar": {"pairs": 0}}
    bare["metrics/robustness.json"] = {
        "rewriting": None,
        "similarity": None,
        "labels": None,
        "rewritten": empty,
        "noise_floor": {},
        "beyond_noise": {},
    }
    found = found_in(bare)
    assert sum("nothing can be said" in finding.claim for finding in found) == 8
    for finding in found:
        assert not re.search(r"\b(None|nan)\b", words(finding)), words(finding)


def test_without_a_held_out_part_nothing_is_said_of_it(files: dict[str, Any]) -> None:
    bare = copy.deepcopy(files)
    for path in (*(f"metrics/resistance/{name}.json" for name in ROLES), *(f"metrics/pairwise/{name}.json" for name in PAIRWISE)):
        bare[path]["by_part"].pop("held-out")
    bare["metrics/regimes.json"]["by_part"].pop("held-out")
    bare["metrics/regimes.json"]["by_labeler"]["held_out"] = {"agreement_with_human": {"pairs": 0, "indifferent": 0}}
    bare["metrics/resistance/aligned.json"]["by_labeler"]["gamma"]["held_out"] = {name: {"pairs": 0} for name in "cri"}
    bare["metrics/reward_shift.json"]["held_out"] = {"pairs": 0}
    bare["metrics/imprint/aligned.json"]["held_out"] = {"pairs": 0}
    assert not [finding for finding in found_in(bare) if re.search("held.out", words(finding), re.IGNORECASE)]


def nulled(content: Any, random: np.random.Generator, share: float) -> Any:
    """The same with some of its numbers null."""
    if isinstance(content, dict):
        return {key: nulled(value, random, share) for key, value in content.items()}
    return None if isinstance(content, float) and random.random() < share else content


@pytest.mark.parametrize("share", [0.02, 0.3, 1.0])
def test_no_null_breaks_a_finding_or_is_told_as_none(files: dict[str, Any], share: float) -> None:
    random = np.random.default_rng(1)
    made = {path: nulled(content, random, share) for path, content in files.items()}
    for finding in found_in(made):
        assert not re.search(r"\b(None|nan)\b", words(finding)), words(finding)


def test_where_no_interval_is_known_nothing_is_told(files: dict[str, Any]) -> None:
    """Without intervals and tests no finding may say that anything is higher, lower, rewarded or moved."""
    made = {path: nulled(content, np.random.default_rng(1), 1.0) for path, content in files.items()}
    claims = " ".join(finding.claim for finding in found_in(made))
    for verdict in (
        "more often",
        "less often",
        "moved towards the human.",
        "moved away",
        "to have come to earn more (",
        "resists more where",
    ):
        for claim in re.findall(rf"[^.]*{re.escape(verdict)}[^.]*\.", claims):
            assert re.search(r"[Ww]hether", claim), claim
    assert not re.search(r"reward \d|penalise \d", claims)


def test_roles_stand_in_the_order_of_the_audit() -> None:
    assert in_order(["length", "other", "aligned", "control", "b"]) == ["control", "aligned", "other", "b", "length"]


def test_findings_are_judged_at_the_level_of_the_audit(files: dict[str, Any]) -> None:
    chapters = {chapter.title: chapter.findings for chapter in all_findings(audit_of(files))}
    aligned = Figures("metrics/imprint/aligned.json", files["metrics/imprint/aligned.json"])
    of_aims = [imprint_of(aligned, aim, 0.05) for aim in ("target", "spoiler", "other")]
    assert chapters["Which features earn reward"][:4] == [imprint_of_held_out(aligned, 0.05), *of_aims]
    robustness = Figures("metrics/robustness.json", files["metrics/robustness.json"])
    assert flips(robustness, 0.05) in chapters["Do rewards survive other words"]


def test_coverage_is_the_share_of_the_texts_with_labels() -> None:
    labels = {"coverage": 0.75, "labelled": 6, "texts": 8, "reasons": {"refusal": 2}}
    finding = coverage(Figures("", {"labeler": labels}), Figures("", {}))
    assert plain(finding.claim) == "The labeler labelled 75.0 % of the texts."
    assert finding.evidence == "6 of 8 texts have valid labels (refusal: 2)."


def test_held_out_pairs_have_a_verdict_of_their_own_on_what_was_gained() -> None:
    names = ("stayed_aligned", "got_aligned", "resists_alignment", "reversed_alignment")
    shares = {name: {"pairs": 50, "share": 0.25, "share_low": 0.2, "share_high": 0.3} for name in names}
    everything, held_out = (share_of("agreement_gained", *ends) | shares for ends in ((0.1, 0.05, 0.15), (-0.1, -0.15, -0.05)))
    evidence = plain(regimes(Figures("", {"all": everything, "by_part": {"held-out": held_out}})).evidence)
    in_text(evidence, "more were reversed than got aligned. On all pairs, held out or not: of 200 pairs")
    assert evidence.endswith("more got aligned than were reversed.")


@pytest.mark.parametrize(
    ("low", "high", "p", "claim"),
    [
        (-0.15, -0.05, 0.04, "After rewording aligned agrees with the human less often."),
        (0.05, 0.15, 0.04, "After rewording aligned agrees with the human more often."),
        (-0.15, -0.05, 0.06, "No change of aligned's agreement with the human by rewording can be shown."),
        (-0.15, 0.05, 0.04, "No change of aligned's agreement with the human by rewording can be shown."),
    ],
)
def test_agreement_changes_by_rewording_only_where_interval_and_test_say_so(low: float, high: float, p: float, claim: str) -> None:
    of = share_of("agreement_change", (low + high) / 2, low, high) | {"original_agreement": 0.7, "rewritten_agreement": 0.6}
    of |= {"became_misaligned": share_of("share", 0.15, 0.1, 0.2), "independent_pairs": {"mcnemar_p": p}}
    figures = {"rewritten": {"all": {"pairs": 200, "opening_prompts": 100, "aligned": of}}}
    assert agreement_after_rewriting(Figures("", figures), 0.05).claim == claim


@pytest.mark.parametrize(
    ("low", "high", "prompts", "claim"),
    [
        (0.1, 0.3, 100, "Being the chosen text earns reward from aligned"),
        (-0.3, -0.1, 100, "Being the chosen text costs reward from aligned"),
        (-0.1, 0.3, 100, "It cannot be shown whether being the chosen text earns reward"),
        (0.1, 0.3, 9, "It cannot be shown whether being the chosen text earns reward"),
    ],
)
def test_being_chosen_earns_or_costs_reward_only_where_its_interval_says_so(low: float, high: float, prompts: int, claim: str) -> None:
    found = earned_by_being_chosen(low, high, prompts)
    assert beyond_features(Figures("", found)).claim.startswith(claim)
    assert beyond_features(Figures("", found | {"held_out": {"pairs": 0}})).claim.startswith(claim)


def earned_by_being_chosen(low: float, high: float, prompts: int = 100) -> dict[str, Any]:
    fit = {"estimate": 1.0, "in_sd": (low + high) / 2, "in_sd_low": low, "in_sd_high": high, "p": 0.01}
    return {"pairs": 200, "opening_prompts": prompts, "chosen_beyond_features": fit}


def test_what_being_chosen_earns_is_judged_on_held_out_pairs_first() -> None:
    found = earned_by_being_chosen(0.5, 0.75) | {"held_out": earned_by_being_chosen(-0.125, 0.25) | {"pairs": 50}}
    finding = beyond_features(Figures("", found))
    in_text(finding.claim, "On held-out pairs it cannot be shown", "On all pairs, held out or not, being the chosen text earns reward")
    in_text(
        finding.evidence, "held out +0.0625 (\u22120.125 to 0.250), p = 0.01, on 50 pairs; +0.625 (0.500 to 0.750), p = 0.01, on 200 pairs"
    )
    found["held_out"] = earned_by_being_chosen(0.125, 0.25)
    in_text(beyond_features(Figures("", found)).claim, "On held-out pairs being the chosen text earns", "so too on all pairs")


def test_sentiment_has_one_third_right_by_chance_and_other_features_one_half() -> None:
    accuracy = {"balanced_accuracy": {"value": 0.5, "low": 0.4, "high": 0.6}}
    features = {"last_response_sentiment": accuracy, "last_response_is_helpful": accuracy}
    mean = {"value": None, "reason": "not labelled"}
    reserved = {"texts": 100, "opening_prompts": 50, "balanced_accuracy_shown_by_words": mean, "features": features}
    in_text(against_gold(Figures("", {"labeler_gold_reserved": reserved})).claim, "is above one half on 1 of 2 features")


def test_a_role_that_dropped_turns_or_cut_responses_did_not_read_all() -> None:

    for dropped, cut, claim in ((2, 0, "read 2 of 9 texts without"), (0, 1, "cut 1 response."), (0, 0, "mine read all of 9 texts.")):
        scoring = {"texts": 9, "texts_with_turns_dropped": dropped, "responses_cut": cut, "parity": {"texts": 9}}
        in_text(reading("mine", Figures("", {"scoring": scoring})).claim, claim)
