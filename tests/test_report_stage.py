"""The stage `report`: from files to one page, and what it says of files that do not fit."""

import json
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import report as report_stage
from conftest import ROOT
from test_report_page import RESISTANT, arguments

from seal.errors import InputError
from seal.files import write_json
from seal.report import plots as report_plots


@pytest.fixture(autouse=True)
def _in_the_repository(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)


def report(folder: Path, **more: Any) -> str:
    given = arguments(folder, **more)
    report_stage.main(given)
    return Path(given.out).read_text(encoding="utf-8")


def small(folder: Path, **more: Any) -> str:
    """Without plots, which take the longest."""
    return report(folder, **{"plots": [], **more})


def metrics(path: str) -> Any:
    return json.loads((ROOT / path).read_text(encoding="utf-8"))


def sections(page: str) -> list[str]:
    return re.findall(r'<section id="([^"]*)"', page)


# --- the page ---


def test_the_page_holds_all_its_parts_in_order_and_is_small_enough_to_send(tmp_path: Path) -> None:
    page = report(tmp_path)
    assert sections(page) == ["headlines", "findings", "plots", "tables", "left-out", "provenance", "resistant"]
    assert len(page.encode()) < 1_500_000
    assert page.count('<p class="claim">') >= 20
    assert page.count("<figure>") == 7  # margins, theta, imprint, its change, flips, scores, doses
    scoring = metrics("metrics/resistance/aligned.json")["scoring"]
    prompt = metrics("metrics/labelers.json")["labeler"]["prompt"]
    for identity in (scoring["model"], scoring["fingerprint"], scoring["base"]["fingerprint"], scoring["dtype"], prompt):
        assert identity in page
    for reason in metrics("metrics/imprint/aligned.json")["dropped"].values():
        assert reason in page
    for reason, number in metrics("metrics/robustness.json")["rewriting"]["reasons"].items():
        assert f"{reason}: {number}" in page
    assert "chosen: 2" in page  # the rejects by column of the made-up counts


def test_the_same_files_give_the_same_bytes_in_another_process(tmp_path: Path) -> None:
    first = report(tmp_path)
    given = arguments(tmp_path, out=str(tmp_path / "again.html"))
    flags = [
        word
        for name, value in vars(given).items()
        for word in (f"--{name.replace('_', '-')}", *map(str, [value] if not isinstance(value, list) else value))
    ]
    command = [sys.executable, "stages/report.py", *flags]
    subprocess.run(command, check=True, env={"PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT), "PYTHONHASHSEED": "7", "TZ": "Asia/Tokyo"})
    assert (tmp_path / "again.html").read_text(encoding="utf-8") == first
    assert "2026-" not in first
    assert str(ROOT) not in first
    assert sorted(path.name for path in tmp_path.iterdir() if "html" in path.name) == ["again.html", "report.html"]


def test_a_role_of_the_user_stands_beside_the_others(tmp_path: Path) -> None:
    mine = tmp_path / "mine & <i>.json"
    figures = metrics("metrics/resistance/aligned.json")
    figures["all"]["resistance"] = 0.271828
    figures["scoring"]["model"] = "me/<b>model</b>"
    write_json(mine, figures)
    page = small(
        tmp_path,
        resistance=["metrics/resistance/length.json", str(mine), "metrics/resistance/aligned.json", "metrics/resistance/control.json"],
    )
    assert "mine &amp; &lt;i&gt; disagrees with the human on 27.2\u00a0% of the pairs" in page
    assert "me/&lt;b&gt;model&lt;/b&gt;" in page
    assert "<b>model" not in page
    claims = re.findall(r'<p class="claim"><bdi>(\S+) disagrees', page)
    assert claims == ["control", "aligned", "length"]
    assert page.index("aligned disagrees") < page.index("&lt;i&gt; disagrees") < page.index("length disagrees")


def test_an_audit_without_gold_labels_and_rewrites_has_a_page(tmp_path: Path) -> None:
    labelers, aligned = metrics("metrics/labelers.json"), metrics("metrics/imprint/aligned.json")
    for name in ("labeler_gold", "labeler_gold_reserved", "control_gold"):
        labelers[name] = {"texts": 0, "opening_prompts": 0, "features": None, "reason": "no gold is set for these pairs"}
    aligned["corrected"] = {"features": None, "reason": "no gold is set for these pairs"}
    regimes, resistance = metrics("metrics/regimes.json"), metrics("metrics/resistance/aligned.json")
    del regimes["by_labeler"], resistance["by_labeler"]
    nothing = {"all": {"pairs": 0, "opening_prompts": 0}, "similar": {"pairs": 0}}
    robustness = {"rewriting": None, "similarity": None, "labels": None, "rewritten": nothing, "noise_floor": {}, "beyond_noise": {}}
    files = {"labelers": labelers, "aligned": aligned, "regimes": regimes, "robustness": robustness}
    (tmp_path / "resistance").mkdir()
    for name, content in (*files.items(), ("resistance/aligned", resistance)):
        write_json(tmp_path / f"{name}.json", content)
    page = small(
        tmp_path,
        labelers=str(tmp_path / "labelers.json"),
        imprint=[str(tmp_path / "aligned.json")],
        regimes=str(tmp_path / "regimes.json"),
        robustness=str(tmp_path / "robustness.json"),
        resistance=[str(tmp_path / "resistance" / "aligned.json")],
        most_resistant="",
    )
    assert page.count("no gold is set for these pairs") >= 2
    assert "No plot is given." in page
    assert "No such pairs are given." in page
    assert not re.search(r">\s*None|\bnan\b", page)


def test_a_conversation_that_is_none_is_shown_as_it_is(tmp_path: Path) -> None:
    given = arguments(tmp_path, plots=[])
    table = pd.read_parquet(given.pairs)
    table["chosen_text"] = "no marker <here>"
    table.to_parquet(given.pairs)
    report_stage.main(given)
    assert "no marker &lt;here&gt;" in Path(given.out).read_text(encoding="utf-8")


# --- plots ---


def test_a_plot_of_roles_names_them_and_others_name_no_series(tmp_path: Path) -> None:
    drawn = report_plots.drawn(
        [f"plots/margins/{role}.csv" for role in ("length", "aligned", "control")] + ["plots/theta.csv"], ".dvc/plots"
    )
    margins, theta = (plot.drawings[0] for plot in drawn)
    assert re.findall(r">(control|aligned|length)<", margins) == ["control", "aligned", "length"]
    assert report_plots.REV not in theta
    assert drawn[0].files == [f"plots/margins/{role}.csv" for role in ("control", "aligned", "length")]


def test_every_template_that_a_plot_names_is_there_and_every_pattern_is_of_its_own() -> None:
    named = {plot.template for plot in report_plots.PLOTS if plot.template not in ("", report_plots.LINES)}
    missing = {name for name in named if not (ROOT / ".dvc" / "plots" / f"{name}.json").exists()}
    assert not missing
    titles = [plot.title for plot in report_plots.PLOTS]
    assert len(titles) == len(set(titles))


def test_drawings_of_the_user_are_put_into_the_page(tmp_path: Path) -> None:
    drawing = tmp_path / "theta_rose.svg"
    drawing.write_text(
        '<svg xmlns="http://www.w3.org/2000/svg" width="90pt" height="80pt"><path d="M0 0L9 9"/><script>alert(1)</script></svg>'
    )
    page = small(tmp_path, plots=[str(drawing)])
    assert 'd="M0 0L9 9"' in page
    assert "alert(1)" not in page.replace("&lt;script&gt;alert(1)", "").replace("onload=alert(1)", "").replace("onerror=alert(1)", "")


# --- what does not fit ---


def test_a_file_that_no_plot_takes_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"plots: plots/other\.csv is none that a report knows \(margins/\*\.csv, "):
        small(tmp_path, plots=["plots/other.csv"])


def test_a_missing_table_or_template_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"nowhere/theta\.csv: no such file"):
        small(tmp_path, plots=["nowhere/theta.csv"])
    with pytest.raises(InputError, match=r"nowhere/theta\.json: no such file"):
        small(tmp_path, plots=["plots/theta.csv"], templates="nowhere")


def test_a_template_that_asks_for_more_than_there_is_or_is_broken_is_named(tmp_path: Path) -> None:
    shutil.copytree(ROOT / ".dvc" / "plots", tmp_path / "templates")
    path = tmp_path / "templates" / "theta.json"
    template = json.loads(path.read_text())
    for broken, complaint in (({"mark": "<DVC_METRIC_X>"}, "asks for more than"), ({"mark": 7, "encoding": 3}, "cannot be drawn")):
        path.write_text(json.dumps({**template, **broken}))
        with pytest.raises(InputError, match=rf"theta\.json: {complaint}"):
            small(tmp_path, plots=["plots/theta.csv"], templates=str(tmp_path / "templates"))
    path.write_text("[]")
    with pytest.raises(InputError, match=r"theta\.json: found \[\], expected a Vega-Lite specification"):
        small(tmp_path, plots=["plots/theta.csv"], templates=str(tmp_path / "templates"))


def test_a_drawing_that_is_no_text_is_named(tmp_path: Path) -> None:
    drawing = tmp_path / "theta_rose.svg"
    drawing.write_bytes(b"\xff\xfe<svg/>")
    with pytest.raises(InputError, match=r"theta_rose\.svg: not a drawing in UTF-8"):
        small(tmp_path, plots=[str(drawing)])


def test_files_of_one_role_twice_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"resistance: 2 files for 1 roles \(aligned\)"):
        small(tmp_path, resistance=["metrics/resistance/aligned.json", "metrics/imprint/aligned.json"])


@pytest.mark.parametrize(
    ("content", "complaint"), [(None, "no such file"), ("{", "not a JSON file"), ("[1]", r"found \[1\], expected a JSON object")]
)
def test_a_broken_metrics_file_is_named_and_nothing_is_written(tmp_path: Path, content: str | None, complaint: str) -> None:
    path = tmp_path / "regimes.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(InputError, match=rf"regimes\.json: {complaint}"):
        small(tmp_path, regimes=str(path))
    assert not (tmp_path / "report.html").exists()


def test_a_resistant_pair_that_is_not_in_the_pairs_is_named(tmp_path: Path) -> None:
    given = arguments(tmp_path, plots=[])
    table = pd.read_csv(given.most_resistant, dtype=str)
    table.loc[0, "row_id"] = "99"
    table.to_csv(given.most_resistant, index=False)
    with pytest.raises(InputError, match="most-resistant: row_id 99 is not in the pairs"):
        report_stage.main(given)


def test_a_table_of_resistant_pairs_that_lacks_a_column_or_holds_no_number_is_named(tmp_path: Path) -> None:
    given = arguments(tmp_path, plots=[])
    table = pd.read_csv(given.most_resistant, dtype=str)
    table.drop(columns="margin").to_csv(given.most_resistant, index=False)
    with pytest.raises(InputError, match=r"resistant\.csv: lacks the column\(s\) margin"):
        report_stage.main(given)
    table.loc[1, "chosen_score"] = "high"
    table[list(RESISTANT)].to_csv(given.most_resistant, index=False)
    with pytest.raises(InputError, match=r"resistant\.csv: row 3, column chosen_score: found high, expected a number"):
        report_stage.main(given)


def test_a_level_that_is_no_share_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"level is 95; expected a share between 0 and 1"):
        report_stage.main(replace(arguments(tmp_path, plots=[]), level=95))


def test_help_comes_without_loading_what_draws() -> None:
    code = "import sys; sys.path.insert(0, 'stages'); import report; print({'vl_convert', 'jinja2', 'matplotlib'} & set(sys.modules))"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "set()"
