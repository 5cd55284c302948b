"""The page of a report: what is made of texts and drawings, and how it behaves in a browser."""

import csv
import html
import re
import shutil
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import report as report_stage
from conftest import ROOT
from test_findings import COUNTS, PAIRWISE, ROLES, audit_of, committed

from seal import pairs
from seal.errors import InputError
from seal.files import write_json
from seal.report import drawings
from seal.report import page as report_page
from seal.report import tables as report_tables
from seal.report.figures import Audit, Figures
from seal.report.wording import NO_WIDTH, number, p_value, percent, points, visible, within, within_percent

HOSTILE = [
    "<script>alert(1)</script>",
    "</details></div></article><img src=x onerror=alert(1)>",
    "\"'><svg onload=alert(1)>{{ 7 * 7 }} {% raw %} &lt;b&gt;",
    "abc \u202edlrow olleh\u202c def \u2066x\u2069 \x07 \x1b[31m \u200b",
    "w" * 3000,
    "line one\n  indented\n\n\tafter a blank line",
    "\u0645\u0631\u062d\u0628\u0627 <b>bold</b>",  # Arabic, which runs from right to left
]
RESISTANT = ("row_id", "gamma", "margin", "chosen_score", "rejected_score", "opening_prompt", "chosen_response", "rejected_response")


def write_tables(folder: Path) -> dict[str, str]:
    """Pairs whose texts are hostile, their counts, and the table of the most resistant of them."""
    rows, resistant = [], []
    for row_id, words in enumerate(HOSTILE):
        row: dict[str, Any] = {"row_id": row_id, "source": "made up", "part": "train", "opening_prompt": words}
        for preference in pairs.PREFERENCES:
            text = f"\n\nHuman: {words}\n\nAssistant: {preference} {words}"
            row |= {f"{preference}_{name}": text for name in ("text", "prompt", "response")}
            row[f"{preference}_turns"] = 2
        rows.append(row)
        resistant.append([row_id, "cri"[row_id % 3], -3.0 + row_id / 10, -1.5, 1.5 - row_id / 10, words, words, words])
    pairs.write(folder / "pairs.parquet", pd.DataFrame(rows, columns=pairs.SCHEMA.names))
    write_json(folder / "counts.json", COUNTS)
    with open(folder / "resistant.csv", "w", encoding="utf-8", newline="") as stream:
        csv.writer(stream, lineterminator="\n").writerows([RESISTANT, *resistant])
    names = {"pairs": "pairs.parquet", "counts": "counts.json", "most_resistant": "resistant.csv"}
    return {flag: str(folder / name) for flag, name in names.items()}


def arguments(folder: Path, **more: Any) -> report_stage.Arguments:
    """The stage's arguments for the committed metrics and plots, and made-up pairs; to be run in the repository's root."""
    given: dict[str, Any] = {
        **write_tables(folder),
        "summary": "metrics/summary.json",
        "resistance": [f"metrics/resistance/{role}.json" for role in ROLES],
        "regimes": "metrics/regimes.json",
        "reward_shift": "metrics/reward_shift.json",
        "labelers": "metrics/labelers.json",
        "robustness": "metrics/robustness.json",
        "pairwise": [f"metrics/pairwise/{name}.json" for name in PAIRWISE],
        "imprint": [f"metrics/imprint/{role}.json" for role in ROLES],
        "costs": ["metrics/taxonomy_cost.json", "metrics/rewrite_labels_cost.json"],
        "plots": [
            *(f"plots/margins/{role}.csv" for role in ROLES),
            *(f"plots/imprint/{role}.csv" for role in ROLES[:2]),
            "plots/theta.csv",
            *(f"plots/robustness/{name}.csv" for name in ("flips", "scores", "doses")),
        ],
        "out": str(folder / "report.html"),
    }
    return report_stage.Arguments(**{**given, **more})


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The report of the committed metrics, with hostile texts."""
    folder = tmp_path_factory.mktemp("report")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(ROOT)
        report_stage.main(arguments(folder))
        yield folder / "report.html"


# --- numbers and texts ---


def test_numbers_are_written_as_people_write_them() -> None:
    assert [number(value) for value in (0.04467, -0.8, 12.34, 0, 123.4, 2e-6, 1234567.0, -1e-9, None)] == [
        *("0.0447", "\u22120.800", "12.3", "0.00", "123"),
        *("2.00\u00a0\u00d7\u00a010⁻⁶", "1.23\u00a0\u00d7\u00a010⁶", "\u22121.00\u00a0\u00d7\u00a010⁻⁹", "unknown"),
    ]
    assert [percent(value) for value in (0.18, 1, 0.00004, -0.00004, -0.5)] == [
        *("18.0\u00a0%", "100.0\u00a0%", "0.0\u00a0%", "0.0\u00a0%", "\u221250.0\u00a0%"),
    ]
    assert [points(value) for value in (0.35, -0.1, 0.0, 0.0001)] == ["+35.0 points", "\u221210.0 points", "0.0 points", "0.0 points"]
    assert [p_value(p) for p in (0.0594, 0.0012, 1.0, 0.0)] == ["p = 0.059", "p = 0.0012", "p = 1", "p < 10⁻³⁰⁰"]
    assert p_value(3.118e-28) == p_value(0.0, -27.5061) == "p = 3.1\u00a0\u00d7\u00a010⁻²⁸"
    assert p_value(9.96e-5) == "p = 1.0\u00a0\u00d7\u00a010⁻⁴"


@pytest.mark.parametrize(
    "value", ["URL(http://example.org/p)", "u\\72l(http://example.org/p)", "image-set('http://example.org')", "src('//example.org')"]
)
def test_no_value_of_a_drawing_leads_elsewhere_however_it_is_written(value: str) -> None:
    drawing = (
        f'<svg xmlns="http://www.w3.org/2000/svg"><path d="M0 0" clip-path="{value}" transform="translate(3 4)" fill="rgb(1, 2, 3)"/></svg>'
    )
    made = drawings.inline(drawing, "plot1-", "a plot", "plot.svg")
    assert "example" not in made
    assert 'transform="translate(3 4)"' in made
    assert 'fill="rgb(1, 2, 3)"' in made


def test_no_character_stays_hidden_or_turns_others() -> None:
    assert visible("a\u202eb\u2066c\x07d\u200be\x00") == "a⟨U+202E⟩b⟨U+2066⟩c⟨U+0007⟩d⟨U+200B⟩e⟨U+0000⟩"
    assert visible("a\r\nb\tc\n") == "a\nb\tc\n"
    assert visible("a\u3164b\u2028c\u034fd\U000e0101\uffff") == "a⟨U+3164⟩b⟨U+2028⟩c⟨U+034F⟩d⟨U+E0101⟩⟨U+FFFF⟩"
    joined = "👩\u200d🚒 \u0645\u06cc\u200c\u062e"  # an emoji and a Persian word that need their joiners
    assert visible(joined) == joined
    assert visible("\ud800") == "⟨U+D800⟩"


def test_a_place_in_a_file_is_named_as_jq_takes_it() -> None:
    figures = Figures("m.json", {})
    assert report_page.where(figures.at("all", "pairs")) == "m.json .all.pairs"
    assert report_page.where(figures.at("by_part", "held-out")) == 'm.json .by_part["held-out"]'
    assert report_page.cited([figures.at("a"), Figures("n.json", {}), figures.at("b")]) == ["m.json .a .b", "n.json"]


# --- drawings ---

SVG = 'xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink"'

DRAWN = f"""<?xml version="1.0"?><svg {SVG} width="40pt" height="30pt"
 onload="alert(1)"><metadata>2026-01-01</metadata><defs><style>*{{stroke:red}}</style>
<clipPath id="p1"><rect width="9" height="9"/></clipPath>
<path id="g1" d="M0 0"/></defs><script>alert(2)</script><foreignObject><b>x</b></foreignObject><image href="http://example.org/a.png"/>
<g id="axes" style="fill: #ffffff; stroke: #000000; filter: url(#f)"><path d="M0 0h9" clip-path="url(#p1)" onclick="alert(3)"/></g>
<use xlink:href="#g1" x="3"/><use href="http://example.org/#g"/><path d="M1 1" fill="url(http://example.org/#p)" style="stroke:#1f77b4"/>
<text x="1" style="font: 10px serif">a &lt;b&gt; \u202e</text><a href="javascript:alert(4)"><text>linked</text></a></svg>"""


def test_of_a_drawing_nothing_runs_loads_or_clashes() -> None:
    made = drawings.inline(DRAWN, "plot1-", 'A "label" <b>', "a.svg")
    for banned in (
        "script",
        "alert",
        "style",
        "metadata",
        "2026",
        "http",
        "image",
        "foreignObject",
        "onload",
        "onclick",
        "javascript",
        "xmlns",
    ):
        assert banned not in made, banned
    assert set(re.findall(r'\bid="([^"]*)"', made)) == {"plot1-p1", "plot1-g1", "plot1-axes"}
    assert 'clip-path="url(#plot1-p1)"' in made
    assert re.findall(r'href="([^"]*)"', made) == ["#plot1-g1"]
    assert 'viewBox="0 0 40 30"' in made
    assert 'aria-label="A &quot;label&quot; &lt;b&gt;"' in made
    assert "a &lt;b&gt; ⟨U+202E⟩" in made


def test_ink_follows_the_page_and_colours_stay() -> None:
    made = drawings.inline(DRAWN, "", "", "a.svg")
    assert 'fill="none" stroke="currentColor"' in made
    assert 'stroke="#1f77b4"' in made
    assert made.startswith("<svg")
    assert 'fill="currentColor"' in made.partition(">")[0]


@pytest.mark.parametrize(("text", "complaint"), [("<svg", "not a drawing"), ("<html/>", "found the element html, expected svg")])
def test_what_is_no_drawing_is_refused(text: str, complaint: str) -> None:
    with pytest.raises(InputError, match=f"a.svg: {complaint}"):
        drawings.inline(text, "", "", "a.svg")


# --- the page as text ---


class Elements(HTMLParser):
    """Elements with their attributes, the words in `words` elements, and everything that is written."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self._within = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))
        if ("class", "words") in attrs:
            self._within = True
            self.words.append("")

    def handle_endtag(self, tag: str) -> None:
        self._within = False

    def handle_data(self, data: str) -> None:
        if self._within:
            self.words[-1] += data


def elements(page: Path) -> Elements:
    parser = Elements()
    parser.feed(page.read_text(encoding="utf-8"))
    return parser


def test_every_text_of_the_data_is_text_and_nothing_else(page: Path) -> None:
    found = elements(page)
    tags = [tag for tag, _ in found.found]
    assert tags.count("script") == tags.count("style") == 1
    assert not {"img", "iframe", "object", "embed", "form", "base"} & set(tags)
    assert not [name for _, attributes in found.found for name in attributes if name.startswith("on") or name == "style"]
    for words in HOSTILE:
        # The space around a turn is no part of it; HTML knows no other line break than a line feed.
        assert visible(words).strip() in found.words, words[:40]
        assert visible(f"chosen {words}").strip() in found.words


def test_nothing_is_loaded_and_only_its_own_style_and_script_are_allowed(page: Path) -> None:
    found = elements(page)
    policy = next(attributes["content"] for tag, attributes in found.found if attributes.get("http-equiv") == "Content-Security-Policy")
    assert policy is not None
    assert policy.startswith("default-src 'none'; style-src 'sha256-")
    assert "unsafe" not in policy
    links = [value for _, attributes in found.found for name, value in attributes.items() if name in ("href", "src", "xlink:href")]
    assert links
    assert all(link and (link.startswith("#") or link == "data:,") for link in links)
    text = page.read_text(encoding="utf-8")
    for name in ("style", "script"):
        content = text.partition(f"<{name}>")[2].partition(f"</{name}>")[0]
        assert report_page.content_hash(content) in policy
    assert "://" not in text


def test_ids_are_unique_and_links_lead_somewhere(page: Path) -> None:
    found = elements(page).found
    ids = [attributes["id"] for _, attributes in found if "id" in attributes]
    assert len(ids) == len(set(ids))
    targets = {link[1:] for _, attributes in found if (link := attributes.get("href") or "").startswith("#")}
    assert targets <= set(ids)
    for row_id in range(len(HOSTILE)):
        assert {f"pair-{row_id}", f"row-{row_id}"} <= targets


def test_every_headline_of_the_summary_is_on_the_page() -> None:
    def keys(content: Any, above: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
        for name, value in content.items():
            yield from keys(value, (*above, name)) if isinstance(value, dict) else [(*above, name)]

    summary = Figures("", report_stage.read_json_object(ROOT / "metrics" / "summary.json"))
    of_their_own = {found for found in keys(summary.content) if found[0] != "regimes" and not found[-1].endswith(("_low", "_high"))}
    assert of_their_own == {headline.keys for headline in report_page.HEADLINES}
    tiles = {tile.words: tile for tile in report_page.tiles(summary)}
    share = summary.get("resistance", "aligned")
    assert tiles["aligned resists, on all pairs, held out or not"].value == f"{100 * share:.1f}\u00a0%"
    assert report_page.tiles(Figures("", {}))[0].value == "\u2013"


def test_the_large_tiles_hold_no_pair_that_was_trained_on() -> None:
    large, others = report_page.HEADLINES[:4], report_page.HEADLINES[4:]
    assert [headline.keys for headline in large[:2]] == [("held_out", "resistance_aligned"), ("held_out", "resistance_control")]
    assert all(headline.keys[0] in ("held_out", "labeler") for headline in large)
    by_keys = {headline.keys: headline.words for headline in others}
    for keys in (("resistance", "aligned"), ("aligned_minus_control", "agreement"), ("ties_aligned",)):
        assert by_keys[keys].endswith("on all pairs, held out or not")


def test_an_interval_without_width_is_no_interval_in_tiles_and_tables() -> None:
    summary = Figures("", {"held_out": {"resistance_aligned": 0.0, "resistance_aligned_low": 0.0, "resistance_aligned_high": 0.0}})
    assert report_page.tiles(summary)[0].interval == NO_WIDTH == "(no width: all alike)"
    alike = {"resistance": 0.0, "resistance_low": 0.0, "resistance_high": 0.0}
    margin = {"margin_mean": 0.5, "margin_mean_low": 0.5, "margin_mean_high": 0.5}
    part = {"pairs": 12, **alike, "independent_pairs": {"agreement_low": 0.75, "agreement_high": 1.0}}
    found = Figures("", {"all": {"pairs": 12, **alike, **margin}, "by_part": {"held-out": part}})
    (row,) = report_tables.resistance({"mine": found}).rows
    assert [row[place].shown.replace("\u00a0", " ") for place in (2, 4, 6)] == [
        "0.0 % (no width: all alike)",
        "0.0 % (0.0 to 25.0)",
        "0.500 (no width: all alike)",
    ]
    assert within(0.5, 0.5) == within_percent(1, 1) == NO_WIDTH
    assert within(None, 0.5) == within_percent(None, None) == "(no interval)"


def test_what_is_judged_by_stands_in_the_table() -> None:
    """Wilson's interval reaches further down, the bootstrap's further up."""
    share = {"pairs": 30, "resistance": 0.2, "resistance_low": 0.1, "resistance_high": 0.4}
    by_turns = {"all": {"1 to 2": {**share, "independent_pairs": {"resistance_low": 0.05, "resistance_high": 0.3}}}}
    (row,) = report_tables.resistance_by_group({"mine": Figures("", {"by_turns": by_turns})}).rows
    assert row[3].shown == "20.0\u00a0% (5.0 to 40.0)"


def test_the_difference_of_groups_is_no_group_of_a_table() -> None:
    share = {"pairs": 30, "opening_prompts": 20, "resistance": 0.2, "resistance_low": 0.1, "resistance_high": 0.4}
    groups = {"c": share, "r": share, "i": {"pairs": 0}, "unlabelled": {"pairs": 0}, "rejected_minus_chosen": share}
    found = Figures("", {"by_labeler": {"gamma": {"all": groups}}})
    assert [row[1].shown for row in report_tables.resistance_by_group({"mine": found}).rows] == ["chosen", "rejected"]


# --- what stands above all findings ---


def introduction(scoring: dict[str, dict[str, Any]], sources: dict[str, int]) -> str:
    nothing = Figures("", {})
    counts = Figures("", {"pairs": 5, "opening_prompts": 4, "pairs_by_source": sources})
    by_role = {role: Figures("", {"scoring": of}) for role, of in scoring.items()}
    return " ".join(
        report_page.introduction(
            Audit(counts, nothing, by_role, [], nothing, {}, nothing, nothing, nothing, [], 0.95),
        )
    )


BASE = {"name": "package:base", "revision": ""}
TRAINED = {"model": "data/train/aligned", "base": BASE}
OF_A_HUB = {"model": "owner/model", "revision": "abc", "base": {}}


@pytest.mark.parametrize(
    ("scoring", "said"),
    [
        ({"control": TRAINED, "aligned": TRAINED, "length": {"model": "length"}}, ""),
        ({"aligned": {"model": "data/train/aligned"}, "unsure": {"model": "data/dpl/train/categorical", "base": BASE}}, ""),
        # It may have been trained by the stage, and on other pairs than are trained on here.
        ({"aligned": TRAINED, "mine": {"model": "adapters/mine", "base": BASE, "revision": ""}}, "mine was not trained here"),
        ({"control": TRAINED, "aligned": OF_A_HUB}, "aligned was not trained here: what it was trained on is unknown, and pairs"),
        # An adapter from a hub has a base, too.
        ({"aligned": {**OF_A_HUB, "base": BASE}}, "aligned was not trained here"),
        (
            {"control": {"model": "package:model"}, "aligned": OF_A_HUB, "other": {"model": "length"}},
            "control and aligned were not trained here: what they were trained on is unknown, and pairs held out here may be among it.",
        ),
        ({"aligned": {}}, ""),  # as of a stage that tells no model
    ],
)
def test_models_that_were_not_trained_here_are_named(scoring: dict[str, dict[str, Any]], said: str) -> None:
    text = introduction(scoring, {"mine": 5})
    assert said in text
    assert ("not trained here" in text) == bool(said)


@pytest.mark.parametrize(("sources", "made_up"), [({"sample": 5}, True), ({"helpful-base": 3, "harmless-base": 2}, False), ({}, False)])
def test_the_sample_is_said_to_be_made_up(sources: dict[str, int], made_up: bool) -> None:
    words = (
        "The sample is made up: its texts, choices and gold labels were written by a language model, so “the human” stands for one here."
    )
    assert (words in introduction({"aligned": TRAINED}, sources)) == made_up


def test_words_that_the_findings_use_are_explained_and_so_are_brackets_and_bars(page: Path) -> None:
    text = html.unescape(page.read_text(encoding="utf-8"))
    explained = re.findall(r"<div><dt>([^<]*)</dt>", text.partition('<details class="glossary">')[2].partition("</details>")[0])
    asked = {"target", "spoiler", "Holm", "gold", "robustness score", "in the fit", "flip", "gamma", "imprint", "margin"}
    assert asked <= set(explained)
    assert text.index("<h2>Findings") < text.index('<details class="glossary">') < text.index('<ol class="findings">')
    note = text.partition("<h2>Findings")[2].partition("<details")[0]
    for words in (
        "the wider of the bootstrap over opening prompts",
        "(Wilson)",
        "“no width: all alike”",
        "tiles above show the bootstrap's",
    ):
        assert words in note
    assert "resistance of aligned is the two last together: resists plus reversed" in text
    assert not re.search(r"\b(can|cannot|none|is) (still )?be told\b|\bTold is\b", text)


# --- the page in a browser ---


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("there is no chromium here; install Debian's chromium to see how the page behaves in a browser")
    api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with api.sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        yield opened
        opened.close()


class Opened:
    """The page in a browser, what it said on its console, and what it asked of the network."""

    def __init__(self, browser: Any, page: Path, **context: Any) -> None:
        self.said: list[str] = []
        self.asked: list[str] = []
        self.tab = browser.new_context(**context).new_page()
        self.tab.on("console", lambda message: self.said.append(message.text))
        self.tab.on("pageerror", lambda error: self.said.append(str(error)))
        self.tab.on("dialog", lambda dialog: (self.said.append(dialog.message), dialog.dismiss()))
        address = page.as_uri()

        def route(asked: Any) -> None:
            if asked.request.url.partition("#")[0] == address:
                asked.continue_()
            else:
                self.asked.append(asked.request.url)
                asked.abort()

        self.tab.route("**/*", route)
        self.tab.goto(address)

    def column(self, table: str, place: int) -> list[str | None]:
        rows = f"[...document.querySelectorAll('#table-{table} tbody tr')]"
        found: list[str | None] = self.tab.evaluate(f"{rows}.map(row => row.cells[{place}].dataset.value ?? null)")
        return found

    def heading(self, table: str, place: int) -> Any:
        return self.tab.locator(f"#table-{table} th").nth(place)


def numbers(values: list[str | None]) -> list[float]:
    return [float(value) for value in values if value is not None]


def test_the_page_renders_without_an_error_or_a_request(browser: Any, page: Path) -> None:
    opened = Opened(browser, page)
    assert opened.tab.locator("h1").is_visible()
    assert opened.tab.locator("#findings li").count() >= 10
    drawings = opened.tab.locator("#plots .drawing svg")
    assert drawings.count() >= 6
    for place in range(drawings.count()):
        box = drawings.nth(place).bounding_box()
        assert box["width"] > 150
        assert box["height"] > 80
        assert drawings.nth(place).locator("path, text").count() > 10
    assert opened.said == []
    assert opened.asked == []


# sensitivity, which sentiment and lists have not; agreement with a second labeler; and reward earned, which is below 0 for some features
@pytest.mark.parametrize(("table", "place", "nulls"), [("labelers", 5, True), ("labelers", 7, True), ("imprint", 4, False)])
def test_a_click_sorts_numbers_as_numbers_with_nulls_last(browser: Any, page: Path, table: str, place: int, nulls: bool) -> None:
    opened = Opened(browser, page)
    before = opened.column(table, place)
    assert (None in before) == nulls
    for way, sign in (("ascending", 1), ("descending", -1)):
        opened.heading(table, place).locator("button").click()
        after = opened.column(table, place)
        known = numbers(after)
        assert known == sorted(numbers(before), key=lambda value: sign * value)
        assert after[len(known) :] == [None] * (len(after) - len(known))
        assert opened.heading(table, place).get_attribute("aria-sort") == way
    opened.heading(table, 0).locator("button").click()
    assert opened.tab.locator(f"#table-{table} th[aria-sort]").count() == 1
    assert opened.said == []


def test_the_keyboard_sorts_too(browser: Any, page: Path) -> None:
    opened = Opened(browser, page)
    before = numbers(opened.column("resistance", 2))
    assert before != sorted(before)
    opened.heading("resistance", 2).locator("button").focus()
    opened.tab.keyboard.press("Enter")
    assert numbers(opened.column("resistance", 2)) == sorted(before)
    opened.tab.keyboard.press("Space")
    assert numbers(opened.column("resistance", 2)) == sorted(before, reverse=True)
    opened.heading("resistance", 0).locator("button").focus()
    opened.tab.keyboard.press("Enter")
    assert opened.column("resistance", 0) == sorted(ROLES)


def test_a_telephone_scrolls_tables_and_plots_but_not_the_page(browser: Any, page: Path) -> None:
    opened = Opened(browser, page, viewport={"width": 360, "height": 740})
    opened.tab.evaluate("for (const each of document.querySelectorAll('details')) each.open = true")
    width = opened.tab.evaluate("Math.max(document.documentElement.scrollWidth, document.body.scrollWidth)")
    assert width <= 360
    wide = opened.tab.evaluate("[...document.querySelectorAll('.scroll')].filter(each => each.scrollWidth > each.clientWidth).length")
    assert wide > 3


def contrast(first: str, second: str) -> float:
    """Contrast of two colours (WCAG 2.2, relative luminance)."""

    def luminance(colour: str) -> float:
        parts = [int(part) / 255 for part in re.findall(r"\d+", colour)[:3]]
        linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    light, dark = sorted((luminance(first), luminance(second)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def test_the_measure_of_contrast_is_that_of_the_web() -> None:
    assert contrast("rgb(0, 0, 0)", "rgb(255, 255, 255)") == pytest.approx(21)
    assert contrast("rgb(119, 119, 119)", "rgb(255, 255, 255)") == pytest.approx(4.48, abs=0.01)  # the known #777 on white


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_words_are_readable_by_day_and_by_night(browser: Any, page: Path, scheme: str) -> None:
    opened = Opened(browser, page, color_scheme=scheme)

    def colour(selector: str, name: str) -> str:
        found: str = opened.tab.evaluate("([selector, name]) => getComputedStyle(document.querySelector(selector))[name]", [selector, name])
        return found

    paper = colour("body", "backgroundColor")
    assert (contrast(paper, "rgb(0, 0, 0)") < 3) == (scheme == "dark")
    for selector, least in ((".claim", 7), (".evidence", 7), ("td", 7), (".note", 4.5), (".source", 4.5), ("nav a", 4.5)):
        assert contrast(colour(selector, "color"), paper) >= least, selector
    assert contrast(colour(".words", "color"), colour("details", "backgroundColor")) >= 7
    ink = colour("#plots .drawing text", "fill")
    assert contrast(ink, paper) >= 7


def test_a_row_leads_to_the_texts_of_its_pair_and_back(browser: Any, page: Path) -> None:
    opened = Opened(browser, page)
    words = opened.tab.locator("#pair-0-rejected .words").first
    assert not words.is_visible()
    opened.tab.locator("#row-0 a").click()
    words.wait_for(state="visible", timeout=5000)
    assert words.inner_text() == HOSTILE[0]
    assert opened.tab.evaluate("getComputedStyle(document.querySelector('.words')).whiteSpace").startswith("pre-wrap")
    assert opened.tab.evaluate("getComputedStyle(document.querySelector('.words')).unicodeBidi") in ("isolate", "plaintext")
    opened.tab.locator("#pair-0 a.back").click()
    assert opened.tab.evaluate("location.hash") == "#row-0"
    assert opened.said == []


def test_hostile_texts_read_as_they_are_written(browser: Any, page: Path) -> None:
    opened = Opened(browser, page)
    opened.tab.evaluate("for (const each of document.querySelectorAll('details')) each.open = true")
    shown = opened.tab.locator(".turn.human .words").all_inner_texts()
    assert {visible(words) for words in HOSTILE} <= set(shown)
    assert html.escape(HOSTILE[0]) not in shown
    assert opened.said == []


def test_regimes_of_which_a_share_is_missing_have_no_bar() -> None:
    shares = {name: {"share": 0.25} for name in ("stayed_aligned", "got_aligned", "resists_alignment", "reversed_alignment")}
    held_out = {"pairs": 4, **shares}
    found = {"all": {"pairs": 8, **shares, "got_aligned": {}}, "by_part": {"held-out": held_out}}
    assert [bar.title for bar in report_page.bars(Figures("metrics/regimes.json", found))] == ["held out (4)"]


def test_scores_are_of_all_pairs_and_one_flip_at_a_time_and_say_what_rewording_did_to_the_label() -> None:
    place = {"table": "rewritten", "subset": "all", "way": "one_at_a_time", "population": "all_pairs"}
    figures = {"pairs": "12", "estimate": "0.25", "low": "0.1", "high": "0.4", "p_holm": "0.03", "reason": ""}
    row = {**place, "role": "aligned", "feature": "sentiment", "side": "chosen", "level": "1", **figures}
    elsewhere = {"table": "trivial", "subset": "similar", "way": "linear", "population": "at_risk"}
    others = [{**row, name: value, "role": value} for name, value in elsewhere.items()]
    made = report_tables.scores([*others, row, {**row, "level": "-2"}])
    assert [[cell.shown for cell in each[:5]] for each in made.rows] == [
        ["aligned", "sentiment", "chosen", "lost", "12"],
        ["aligned", "sentiment", "chosen", "gained twice", "12"],
    ]


def test_what_was_left_out_is_told_with_its_numbers() -> None:

    files = committed()
    files["metrics/labelers.json"]["control"] = {"pairs_drawn": 50, "pairs_dropped": 3, "reasons": {"refusal": 4}}
    files["metrics/robustness.json"]["rewriting"] = {"pairs_drawn": 40, "pairs_invalid": 2}
    told = [(each.what, each.why) for each in report_tables.left_out(audit_of(files))]
    # of COUNTS: 460 rows in the source, 452 of them taken, 2 set aside
    assert ("8 of 460 rows", "not taken, by limit or sample") in told
    assert ("2 of 452 rows", "set aside as no pair (chosen: 2)") in told
    assert ("3 of 50 drawn pairs", "without valid labels by the second labeler (texts by reason: refusal: 4)") in told
    assert ("2 of 40 drawn pairs", "that could not be reworded") in told
