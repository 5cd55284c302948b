"""What the report says of distributional models and of hidden context: numbers derived again, words whichever way they fall."""

import copy
import json
import re
from pathlib import Path
from typing import Any

import dpl_evaluate as dpl_stage
import pytest
import test_dpl_evaluate_stage
import test_hidden_context_stage
from conftest import ROOT
from test_findings import NUMBER, audit_of, between, committed, in_text, pct, plus, three, unsourced, words
from test_report_page import arguments
from test_report_stage import small

from seal.errors import InputError
from seal.report import hidden_context, tables
from seal.report.figures import Figures, Finding
from seal.report.findings import all_findings

DPL, HIDDEN = "metrics/dpl.json", "metrics/hidden_context.json"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What both stages write of made-up tables, by the path of the metrics."""
    folder = tmp_path_factory.mktemp("dpl")
    hidden = test_hidden_context_stage.Work(folder).measure()
    work = test_dpl_evaluate_stage.Work(tmp_path_factory.mktemp("evaluate"))
    dpl, _ = work.evaluate(outputs=work.outputs, held_out_pairs=work.path("pairs.parquet"), held_out_outputs=work.outputs)
    return {DPL: dpl, HIDDEN: hidden}


@pytest.fixture
def files(made: dict[str, Any]) -> dict[str, Any]:
    return copy.deepcopy(made)


@pytest.fixture(autouse=True)
def _in_the_repository(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)


def share(count: int, pairs: int, name: str) -> dict[str, Any]:
    """Figures of a share, with an interval of five points each way."""
    value = count / pairs
    ends = {f"{name}_low": value - 0.05, f"{name}_high": value + 0.05}
    strict = {f"strict_{each}": figure for each, figure in ({name: value} | ends).items()}
    return {name: value, **ends, **strict, "ties": 0, "independent_pairs": ends}


def contest(difference: float, p: float) -> dict[str, Any]:
    ends = {"difference_low": difference - 0.04, "difference_high": difference + 0.04}
    test = {"mcnemar_p": p, "mcnemar_log10_p": -1.0}
    return {"difference": difference, **ends, "only_first": 0, "only_second": 0, "independent_pairs": test}


def evaluated(difference: float, p: float, prompts: int | None = 60) -> dict[str, Any]:
    """Measures of two models, one of them a distributional one."""
    rate = "jailbreak_rate"
    r2 = {"r2": 0.41, "r2_low": 0.35, "r2_high": 0.47}
    models = {
        "plain": {"head": "base", "mean": share(25, 64, rate)},
        "spread": {"head": "categorical", "mean": share(32, 64, rate), "risk_averse": {"exact": share(13, 64, rate)}, **r2},
    }
    both = {"plain": {"spread": contest(-0.1, 0.2)}, "spread": {"spread_risk_averse_exact": contest(difference, p)}}
    length = {"equally_long": 2, "shorter_wins": share(16, 64, rate), "longer_wins": share(50, 64, rate)}
    return {"alpha": 0.01, "jailbreaks": {"pairs": 64, "opening_prompts": prompts, "length": length, "models": models, "between": both}}


def finding(name: str, content: dict[str, Any]) -> Finding:
    function = getattr(hidden_context, name)
    return function(Figures("file.json", content), *([0.05] if name == "imprint_by_score" else []))


# --- jailbreaks and r² ---


def test_jailbreak_rates_are_told_with_intervals_and_the_length_baseline() -> None:
    (found,) = hidden_context.jailbreaks(Figures(DPL, evaluated(0.297, 0.001)), 0.05)
    assert found.claim == "By the risk-averse score fewer jailbreaks succeed than by the mean with spread."
    in_text(
        words(found),
        "Of 64 pairs of a safe and a jailbroken answer from 60 opening prompts",
        f"plain (base) {pct(25 / 64)} % {between(25 / 64 - 0.05, 25 / 64 + 0.05, pct)}",
        f"spread (categorical) {pct(0.5)} % {between(0.45, 0.55, pct)}, risk-averse (exact) {pct(13 / 64)} %",
        f"mean less risk-averse {plus(pct(0.297))} points {between(0.257, 0.337, pct)}, McNemar p = 0.001",
        f"prefers the shorter answer: 25.0 % {between(0.2, 0.3, pct)}",
        "a probability of 0.01",
    )
    assert unsourced(found, {DPL: evaluated(0.297, 0.001)}) == []


@pytest.mark.parametrize(
    ("difference", "p", "prompts", "claim"),
    [
        (-0.2, 0.001, 60, "More jailbreaks succeed by the risk-averse score with spread."),
        (0.2, 0.2, 60, "With spread it cannot be shown whether risk-averse scores have fewer jailbreaks succeed than means."),
        (0.02, 0.001, 60, "With spread it cannot be shown whether"),
        (0.2, 0.001, 9, "With spread it cannot be shown whether"),
        (0.2, 0.001, None, "By the risk-averse score fewer jailbreaks succeed"),
    ],
)
def test_the_claim_on_jailbreaks_goes_by_interval_test_and_number(difference: float, p: float, prompts: int | None, claim: str) -> None:
    (found,) = hidden_context.jailbreaks(Figures(DPL, evaluated(difference, p, prompts)), 0.05)
    assert found.claim.startswith(claim)
    assert ("taken as independent" in found.evidence) == (prompts is None)


def test_of_several_contests_each_has_its_part() -> None:
    content = evaluated(0.2, 0.03)
    (alone,) = hidden_context.jailbreaks(Figures(DPL, content), 0.05)
    assert "fewer jailbreaks succeed than by the mean with spread" in alone.claim
    of_spread = content["jailbreaks"]["models"]["spread"]["risk_averse"]
    of_spread["released"] = of_spread["exact"]
    content["jailbreaks"]["between"]["spread"]["spread_risk_averse_released"] = contest(0.3, 0.001)
    (both,) = hidden_context.jailbreaks(Figures(DPL, content), 0.05)
    assert both.claim == (
        "By the risk-averse score fewer jailbreaks succeed than by the mean with spread (released quantile); with spread it cannot be "
        "shown whether risk-averse scores have fewer jailbreaks succeed than means."
    )


@pytest.mark.parametrize(
    ("ties", "strict", "tied"),
    [(33, 13 / 64, True), (24, 36 / 64, True), (24, 30 / 64, False), (24, 28 / 64, False)],
)
def test_what_hangs_on_ties_is_no_finding_on_jailbreaks(ties: int, strict: float, tied: bool) -> None:
    """By the mean 32 of 64 jailbreaks succeed, by the risk-averse score 13: most pairs tie, or without ties more than 32 succeed."""
    content = evaluated(0.2, 0.001)
    content["jailbreaks"]["models"]["spread"]["risk_averse"]["exact"] |= {"ties": ties, "strict_jailbreak_rate": strict}
    (found,) = hidden_context.jailbreaks(Figures(DPL, content), 0.05)
    if tied:
        assert found.claim == "With spread so many pairs tie by the risk-averse score that nothing can be shown by it."
    else:
        assert found.claim == "By the risk-averse score fewer jailbreaks succeed than by the mean with spread."
    in_text(words(found), f"with {ties} ties, {pct(strict)} %")


def test_models_without_a_distribution_have_rates_alone() -> None:
    content = evaluated(0.2, 0.001)
    del content["jailbreaks"]["models"]["spread"]
    (found,) = hidden_context.jailbreaks(Figures(DPL, content), 0.05)
    in_text(found.claim, f"Jailbreaks would succeed on {pct(25 / 64)} % by plain of the pairs of answers.")
    in_text(hidden_context.explained(Figures(DPL, content)).claim, "nothing can be said")


def test_r2_is_told_with_its_interval_and_judged_by_no_line() -> None:
    content = evaluated(0.2, 0.001)
    found = hidden_context.explained(Figures(DPL, content))
    in_text(words(found), "the texts explain 41.0 % by spread", f"spread (categorical) 41.0 % {between(0.35, 0.47, pct)}")
    assert unsourced(found, {DPL: content}) == []


# --- resistance where context is hidden ---


def with_auc(content: dict[str, Any], auc: float, close: float) -> dict[str, Any]:
    judged = content["held_out"]
    for figures, value in ((judged, auc), (judged["within"]["close_margins"], close)):
        figures |= {"auc": value, "auc_low": value - 0.05, "auc_high": value + 0.05}
    return content


@pytest.mark.parametrize(
    ("auc", "close", "claim"),
    [
        (0.7, 0.6, "aligned resists more where the distributional model says that context is hidden, also among margins of one size."),
        (0.7, 0.52, "context is hidden, but whether by more than that its margins are small there cannot be shown."),
        (0.7, 0.4, "context is hidden, though on pairs with margins of one size it resists less where more is hidden."),
        (0.52, 0.6, "Whether aligned resists more where the distributional model says that context is hidden cannot be shown."),
        (0.3, 0.5, "aligned resists less where the distributional model says that context is hidden."),
    ],
)
def test_the_claim_on_hidden_context_goes_by_both_intervals(files: dict[str, Any], auc: float, close: float, claim: str) -> None:
    found = hidden_context.concentration(Figures(HIDDEN, with_auc(files[HIDDEN], auc, close)))
    assert found.claim.endswith(claim)
    assert unsourced(found, files) == []


def test_the_evidence_on_hidden_context_is_that_of_the_metrics(files: dict[str, Any]) -> None:
    found = hidden_context.concentration(Figures(HIDDEN, files[HIDDEN]))
    held_out, everything = files[HIDDEN]["held_out"], files[HIDDEN]["all"]
    shown = []
    for figures in (held_out, *held_out["within"].values(), everything, everything["within"]["close_margins"]):
        shown.append(f"{three(figures['auc'])} {between(figures['auc_low'], figures['auc_high'], three)}")
    in_text(words(found), *shown, f"on {held_out['pairs']} held-out pairs, {held_out['resisting']} of which resist")
    first, last = held_out["by_decile"]["1"], held_out["by_decile"]["8"]
    in_text(words(found), "Of 8 parts", f"resistance is {pct(first['resistance'])} %", f"and {pct(last['resistance'])} %")
    assert NUMBER.search(found.evidence)


def test_a_handful_of_pairs_of_one_kind_tells_nothing(files: dict[str, Any]) -> None:
    content = with_auc(files[HIDDEN], 0.9, 0.9)
    content["held_out"]["resisting"] = 9
    assert hidden_context.concentration(Figures(HIDDEN, content)).claim.startswith("Whether aligned resists more")


def test_without_an_auc_the_reason_is_told(files: dict[str, Any]) -> None:
    files[HIDDEN]["held_out"] |= {"auc": None, "auc_low": None, "auc_high": None, "auc_reason": "no pair resists"}
    assert "no pair resists" in hidden_context.concentration(Figures(HIDDEN, files[HIDDEN])).evidence
    files[HIDDEN]["held_out"] = {"pairs": 0}
    assert "held-out" not in hidden_context.concentration(Figures(HIDDEN, files[HIDDEN])).evidence


def test_imprint_on_the_risk_averse_score_tells_what_changed(files: dict[str, Any]) -> None:
    found = hidden_context.imprint_by_score(Figures(HIDDEN, files[HIDDEN]), 0.05)
    changes = files[HIDDEN]["imprint"]["all"]["risk_averse_less_mean"]["features"]
    helpful = changes["last_response_is_helpful"]
    more = sum(of["p_holm"] < 0.05 and of["estimate"] > 0 for of in changes.values())
    assert helpful["high"] < 0
    shown = f"{three(helpful['estimate'])} {between(helpful['low'], helpful['high'], three)}"
    in_text(words(found), f"{more} feature", "and 1 feature less (“helpful”)", f"“helpful” {shown}")
    assert unsourced(found, files) == []
    nothing = hidden_context.imprint_by_score(Figures(HIDDEN, {"imprint": {"reason": "no labels are given"}}), 0.05)
    in_text(words(nothing), "nothing can be said", "no labels are given")


# --- the page ---


def test_nothing_is_said_where_the_files_are_not_given() -> None:
    audit = audit_of(committed())
    assert [chapter.findings for chapter in all_findings(audit) if chapter.title == "Where context is hidden"] == [[]]
    assert not {"distributional", "resistance-by-uncertainty", "concentration"} & {table.name for table in tables.tables(audit, [])}


def test_the_page_has_a_chapter_and_a_table_of_each(tmp_path: Path, files: dict[str, Any]) -> None:
    bare = small(tmp_path)
    assert "Where context is hidden" not in bare
    files[DPL]["jailbreaks"]["models"]["<i>mine</i>"] = files[DPL]["jailbreaks"]["models"].pop("base")
    del files[DPL]["jailbreaks"]["between"]["base"]
    given = {}
    for flag, path in (("dpl", DPL), ("hidden_context", HIDDEN)):
        given[flag] = str(tmp_path / Path(path).name)
        Path(given[flag]).write_text(json.dumps(files[path]), encoding="utf-8")
    page = small(tmp_path, **given)
    assert page.count('<p class="claim">') == bare.count('<p class="claim">') + 4
    assert page.index("Do rewards survive") < page.index("Where context is hidden") < page.index("What the numbers rest on")
    assert "<i>mine" not in page
    assert "&lt;i&gt;mine" in page
    assert not re.search(r">\s*None|\bnan\b", page)
    for name in ("distributional", "resistance-by-uncertainty", "concentration"):
        assert f'id="table-{name}"' in page
    one = small(tmp_path, dpl=given["dpl"])
    assert page.count("<h3>Where") == one.count("<h3>Where") == 1
    assert 'id="table-concentration"' not in one


def test_tables_hold_the_figures(files: dict[str, Any]) -> None:
    audit = audit_of(committed())._replace(dpl=Figures(DPL, files[DPL]), hidden_context=Figures(HIDDEN, files[HIDDEN]))
    by_name = {table.name: table for table in tables.tables(audit, [])}
    values = {(row[0].value, row[1].value): [cell.value for cell in row[2:]] for row in by_name["distributional"].rows}
    answers, choices = files[DPL]["jailbreaks"], files[DPL]["held_out"]["all"]
    assert len(values) == 3 + 1 + 2 + 2
    for name in ("base", "normal", "atoms"):
        mean, accurate = answers["models"][name]["mean"], choices["models"][name]["mean"]
        rates = [mean["jailbreak_rate"], mean["strict_jailbreak_rate"], accurate["accuracy"], accurate["strict_accuracy"]]
        expected = [*rates, choices["models"][name].get("r2")]
        assert values[name, "mean"] == expected
    released = answers["models"]["atoms"]["risk_averse"]["released"]
    assert values["atoms", "risk-averse, released"][:2] == [released["jailbreak_rate"], released["strict_jailbreak_rate"]]
    assert values["length baseline", "shorter wins"][0] == answers["length"]["shorter_wins"]["jailbreak_rate"]
    deciles = by_name["resistance-by-uncertainty"].rows
    assert len(deciles) == 18
    assert [row[5].value for row in deciles[:8]] == [of["resistance"] for of in files[HIDDEN]["held_out"]["by_decile"].values()]
    auc = {tuple(cell.value for cell in row[:3]): row[5].value for row in by_name["concentration"].rows}
    within = files[HIDDEN]["held_out"]["within"]
    assert auc["held out", "all", ""] == files[HIDDEN]["held_out"]["auc"]
    assert auc["held out", "what the labeler prefers", "rejected"] == within["gamma"]["strata"]["r"]["auc"]
    assert auc["held out", "thirds of the margin's size", "together"] == within["margin"]["auc"]
    # Differences in length are of two values here, so that one third has no pair, and no row.
    assert len(auc) == 2 * (1 + (1 + 3) + 1 + (1 + 3) + (1 + 2))
    for table in by_name.values():
        assert {len(row) for row in table.rows} == {len(table.columns)}


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"nowhere\.json: no such file"):
        small(tmp_path, dpl="nowhere.json")


def test_the_report_reads_what_dpl_evaluate_writes_of_models_with_scores_alone(tmp_path: Path) -> None:
    work = test_dpl_evaluate_stage.Work(tmp_path)
    dpl_stage.main(
        dpl_stage.Arguments(
            metrics=work.path("dpl.json"),
            sweep=work.path("sweep.csv"),
            pairs=work.path("pairs.parquet"),
            scores=[f"mine={work.path('bare.csv')}"],
            resamples=20,
        )
    )
    page = small(tmp_path, dpl=work.path("dpl.json"))
    assert "Jailbreaks would succeed on" in page
    assert arguments(tmp_path).dpl == ""


@pytest.mark.parametrize("kind", ["resisting", "agreeing"])
def test_a_handful_of_pairs_of_either_kind_tells_nothing(files: dict[str, Any], kind: str) -> None:
    content = with_auc(files[HIDDEN], 0.7, 0.7)
    assert finding("concentration", content).claim.startswith("aligned resists more")
    for population in ("all", "held_out"):
        content[population][kind] = 9
    assert finding("concentration", content).claim.startswith("Whether aligned resists more")
