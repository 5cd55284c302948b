"""Plots as people see them: templates filled and drawn, and the page of `dvc plots show`, which needs no network."""

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
import vl_convert
import yaml
from conftest import ROOT

TEMPLATES = ROOT / ".dvc" / "plots"
PAGE = TEMPLATES / "page.html"

# Rows as stages write them: all cells are text to DVC.
TABLES = {
    "agreement_by_gamma": [
        "role,gamma,n,agrees,share,low,high,x0,x1,y0,y1",
        "control,c,1200,720,0.6,0.5,0.7,0.0,0.6,0,0.6",
        "control,i,100,50,0.5,0.3,0.7,0.6,0.65,0,0.5",
        "control,r,700,210,0.3,,,0.65,1.0,0,0.3",
        "aligned,c,1200,960,0.8,0.7,0.9,0.0,0.6,0,0.8",
        "aligned,i,100,70,0.7,0.5,0.9,0.6,0.65,0,0.7",
        "aligned,r,700,350,0.5,0.4,0.6,0.65,1.0,0,0.5",
    ],
    "regimes_by_gamma": [
        "gamma,regime,n,pairs,share,low,high",
        "c,stayed_aligned,4,1,0.25,0.0,0.5",
        "c,got_aligned,4,1,0.25,0.0,0.5",
        "c,resists_alignment,4,2,0.5,0.2,0.8",
        "c,reversed_alignment,4,0,0.0,0.0,0.0",
        *(f"unlabelled,{regime},0,0,,," for regime in ("stayed_aligned", "got_aligned", "resists_alignment", "reversed_alignment")),
    ],
    "rewards": [
        "chosen_low,chosen_high,rejected_low,rejected_high,pairs,agrees,share",
        "-1.0,0.0,1.0,2.0,3,0,0.3",
        "0.0,1.0,0.0,1.0,2,1,0.2",
        "1.0,2.0,-1.0,0.0,5,5,0.5",
    ],
    "labeler_agreement": [
        "comparison,feature,coefficient,value,low,high,n,reason",
        "labeler_gold,last_response_is_helpful,balanced_accuracy,0.7,0.6,0.8,900,",
        "labeler_gold,last_response_is_helpful,cohen_kappa,0.4,0.3,0.5,900,",
        "labeler_gold,last_response_is_helpful,gwet_ac1,0.99,0.9,1.0,900,",
        "labeler_gold_reserved,last_response_is_helpful,balanced_accuracy,0.65,,,466,no interval",
        "control_gold,topics,mean_jaccard,,,,8,gold has one class only",
        "labeler_control,topics,mean_jaccard,0.3,0.1,0.5,8,",
    ],
    "label_means": [
        "feature,side,mean,low,high,n,left_out",
        "last_response_is_helpful,chosen,0.7,0.6,0.8,440,10",
        "last_response_is_helpful,rejected,0.4,0.3,0.5,440,10",
        "last_response_is_helpful,difference,0.3,0.2,0.4,440,10",
        "last_response_sentiment,chosen,-0.1,,,440,10",
        "last_response_sentiment,rejected,-0.4,,,440,10",
        "last_response_sentiment,difference,0.3,,,440,10",
    ],
    "losses": [
        "epoch,train_loss,validation_loss,validation_accuracy",
        "1,0.7,0.69,0.5",
        "2,0.6,,",
        "10,0.5,0.62,0.7",
    ],
    "change_of_imprint": [
        "estimator,feature,differs,in_sd,in_sd_low,in_sd_high",
        "within_pair,last_response_is_helpful,0.5,9.0,8.0,10.0",
        "change,last_response_is_helpful,0.47,0.2,-0.1,0.5",
        "change,last_response_is_honest,0.12,,,",
    ],
}

# Marks of one revision by kind, and words that must stand there.
DRAWN: dict[str, tuple[dict[str, int], tuple[str, ...]]] = {
    "agreement_by_gamma": (
        {"rect mark": 12, "rule mark": 5},
        (
            "before: control",
            "after: aligned",
            "prefers chosen",
            "60% of 1,200",
            "indifferent",
            "50% of 100",
            "prefers rejected",
            "30% of 700",
        ),
    ),
    "regimes_by_gamma": (
        {"bar": 4, "rule mark": 4},
        ("labeler prefers chosen", "without labels", "resists alignment", "2 of 4", "0 of 0"),
    ),
    # the diagonal is one rule
    "rewards": ({"rect mark": 3, "rule mark": 1}, ("above the line: resists or ties, 40% of 10", "below: agrees, 60%")),
    "labeler_agreement": (
        {"point": 4, "rule mark": 3},
        ("helpful", "topics", "labeler and gold (900)", "labeler and reserved gold (466)", "labeler and control labeler (8)"),
    ),
    # of each feature a line between its sides, and intervals
    "label_means": (
        {"point": 6, "rule mark": 2 + 3},
        ("helpful", "sentiment", "chosen less rejected", "HEAD: 440 pairs, 10 without labels"),
    ),
    # a line for each loss, a point for each of its values
    "losses": ({"line mark": 2, "point": 5}, ("train", "validation", "1", "2", "10")),
    "change_of_imprint": ({"point": 1, "rule mark": 1}, ("helpful (47%)",)),
}


def rows(name: str, *revisions: str) -> list[dict[str, str]]:
    header, *lines = (line.split(",") for line in TABLES[name])
    return [{**dict(zip(header, line, strict=True)), "rev": revision} for revision in revisions for line in lines]


def filled(name: str, data: list[dict[str, Any]]) -> dict[str, Any]:
    """A template with its data, as DVC fills it."""
    text = (TEMPLATES / f"{name}.json").read_text().replace('"<DVC_METRIC_DATA>"', json.dumps(data))
    return json.loads(text.replace("<DVC_METRIC_TITLE>", "A title"))


def marks(svg: str) -> dict[str, int]:
    found = re.findall(r'aria-roledescription="([^"]*)"', svg)
    return {kind: found.count(kind) for kind in found}


def words(svg: str) -> set[str]:
    return {
        "".join(element.itertext()) for element in ElementTree.fromstring(svg).iter() if element.tag.rpartition("}")[2] in ("text", "tspan")
    }


# --- templates ---


@pytest.mark.parametrize("version", ["5.21", "6.4"])
@pytest.mark.parametrize("name", DRAWN)
def test_a_template_draws_every_row_and_says_how_many_there_are(name: str, version: str) -> None:
    svg = vl_convert.vegalite_to_svg(filled(name, rows(name, "HEAD")), vl_version=version)
    expected, said = DRAWN[name]
    found = marks(svg)
    assert {kind: found.get(kind, 0) for kind in expected} == expected
    assert set(said) <= words(svg)
    assert "A title" in words(svg)
    assert not re.search("NaN|undefined|Infinity|null", svg)


@pytest.mark.parametrize("name", DRAWN)
def test_a_template_draws_two_revisions_apart(name: str) -> None:
    one, two = (vl_convert.vegalite_to_svg(filled(name, rows(name, *revisions))) for revisions in (("HEAD",), ("HEAD", "workspace")))
    kinds = DRAWN[name][0]
    assert {kind: marks(two).get(kind, 0) for kind in kinds} == {kind: 2 * count for kind, count in kinds.items()}
    for revision in ("HEAD", "workspace"):
        assert any(each == revision or each.startswith(f"{revision}: ") for each in words(two)), revision
    assert "workspace" not in one


@pytest.mark.parametrize("name", DRAWN)
def test_a_template_takes_numbers_for_text_too(name: str) -> None:
    def number(cell: str) -> Any:
        return None if cell == "" else float(cell) if re.fullmatch(r"-?\d+(\.\d+)?", cell) else cell

    data = rows(name, "HEAD")
    numbers = [{column: number(cell) for column, cell in row.items()} for row in data]
    assert vl_convert.vegalite_to_svg(filled(name, numbers)) == vl_convert.vegalite_to_svg(filled(name, data))


@pytest.mark.parametrize("name", DRAWN)
def test_a_plot_of_one_revision_is_as_wide_as_a_telephone_can_show(name: str) -> None:
    width = re.search(r'viewBox="0 0 (\d+)', vl_convert.vegalite_to_svg(filled(name, rows(name, "HEAD"))))
    assert width
    assert int(width[1]) <= 480


@pytest.mark.parametrize("path", sorted(TEMPLATES.glob("*.json")), ids=lambda path: path.stem)
def test_every_template_has_the_anchors_that_dvc_fills(path: Path) -> None:
    template = json.loads(path.read_text())
    assert template["data"] == {"values": "<DVC_METRIC_DATA>"}
    assert "<DVC_METRIC_TITLE>" in json.dumps(template["title"])


# --- the page ---


def test_the_page_holds_what_it_draws_with_and_loads_nothing() -> None:
    page = PAGE.read_text(encoding="utf-8")
    again = "renew the first script of .dvc/plots/page.html as its comment says, and the versions in THIRD_PARTY.md"
    assert vl_convert.javascript_bundle(vl_version="6.4") in page, again
    assert page.count("{plot_divs}") == page.count("{refresh_tag}") == 1
    assert "{scripts}" not in page  # by which DVC would load them from the web
    assert not re.search(r"<(script|link|img|iframe)[^>]*(src|href)=\"http", page)
    for notice in ("University of Washington Interactive Data Lab", "Mike Bostock", "Joachim Wester", "Microsoft Corporation"):
        assert notice in page[: page.index("<html")]


def test_dvc_is_told_of_the_page() -> None:
    assert "[plots]\n    html_template = plots/page.html\n" in (ROOT / ".dvc" / "config").read_text()


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page that DVC makes of the repository's plots, and of each template with its table."""
    folder = tmp_path_factory.mktemp("plots")
    dvc = [sys.executable, "-m", "dvc"]
    subprocess.run([*dvc, "init", "--no-scm", "--quiet"], cwd=folder, check=True, capture_output=True)
    (folder / ".dvc" / "config").write_text(
        "[core]\n    analytics = false\n    no_scm = true\n[plots]\n    html_template = plots/page.html\n"
    )
    shutil.copytree(TEMPLATES, folder / ".dvc" / "plots")
    shutil.copytree(ROOT / "plots", folder / "plots")
    (folder / "dpl").mkdir()
    for name in ("dvc.yaml", "dvc.lock", "params.yaml"):
        shutil.copy(ROOT / name, folder)
        shutil.copy(ROOT / "dpl" / name, folder / "dpl")
    for trained in ("train/control", "train/aligned", "dpl/train/base", "dpl/train/mean-and-variance", "dpl/train/categorical"):
        curve = folder / "data" / f"{trained}.csv"  # an output, which a fresh clone does not have
        curve.parent.mkdir(parents=True, exist_ok=True)
        curve.write_text("\n".join(TABLES["losses"]) + "\n")
    (folder / "more").mkdir()
    entries = []
    for name, lines in TABLES.items():
        (folder / "more" / f"{name}.csv").write_text("\n".join(lines) + "\n")
        entries.append({f"{name}.csv": {"template": name, "title": name}})
    (folder / "more" / "dvc.yaml").write_text(yaml.safe_dump({"plots": entries}))
    subprocess.run([*dvc, "plots", "show", "--quiet", "--out", "page"], cwd=folder, check=True, capture_output=True)
    return folder / "page" / "index.html"


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    found = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if not found:
        pytest.skip("no chromium on PATH; install Debian's package chromium to look at the page as a browser does")
    playwright = pytest.importorskip("playwright.sync_api", reason="no playwright; install the extra dev")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=found, args=["--no-sandbox"])
        yield browser
        browser.close()


def test_dvc_puts_every_plot_into_the_page(shown: Path) -> None:
    page = shown.read_text(encoding="utf-8")
    plots = re.findall(r"vegaEmbed\('#([^']*)'", page)
    assert {f"more_{name}_csv" for name in TABLES} <= {re.sub(r"\W|::", "_", plot) for plot in plots}
    assert "plots_theta_csv" in plots
    assert "{plot_divs}" not in page
    assert "{refresh_tag}" not in page
    assert "cdn." not in page


def test_the_page_draws_every_plot_without_a_network(shown: Path, chromium: Any) -> None:
    page = chromium.new_page(viewport={"width": 1000, "height": 800})
    complaints: list[str] = []
    asked: list[str] = []

    def refuse(route: Any) -> None:
        if route.request.url.startswith("file:"):
            route.continue_()
        else:
            asked.append(route.request.url)
            route.abort()

    page.route("**/*", refuse)
    page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.goto(shown.as_uri())
    plots = shown.read_text(encoding="utf-8").count("vegaEmbed('#")
    drawn = "document.querySelectorAll('svg.marks, canvas.marks').length"
    page.wait_for_function(f"{drawn} >= {plots}", timeout=60_000)
    assert page.evaluate(drawn) == plots >= len(TABLES) + 10
    boxes = "[...document.querySelectorAll('svg.marks, canvas.marks')].map(each => each.getBoundingClientRect())"
    sizes = page.evaluate(f"{boxes}.map(box => [box.width, box.height])")
    assert all(width > 200 and height > 100 for width, height in sizes)
    images = page.evaluate("[...document.images].map(each => each.naturalWidth)")
    assert all(width > 0 for width in images)
    assert complaints == []
    assert [url for url in asked if not url.startswith(("data:", "blob:"))] == []
    assert (
        page.evaluate("[...document.querySelectorAll('.vega-actions a')].map(each => each.textContent)").count("Open in Vega Editor") == 0
    )
    page.close()
