"""The page of a report: one file that opens without a network, runs no script but its own, and shows every text as text."""

import base64
import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from seal.agreement import REGIMES
from seal.errors import InputError
from seal.pairs import PREFERENCES
from seal.report.figures import HELD_OUT_OR_NOT, LENGTH, MIN_PROMPTS, Audit, Figures
from seal.report.findings import Chapter, all_findings
from seal.report.plots import Drawn
from seal.report.tables import LeftOut, Resistant, left_out, most_resistant, provenance, tables
from seal.report.wording import NO_WIDTH, NOTHING, count, listed, number, percent, points, things, visible, within, within_percent
from seal.sources import SAMPLE
from seal.transcripts import NotATranscript, Turn, parse

_ASSETS = Path(__file__).parent

Rows = Sequence[Mapping[str, str]]


GLOSSARY = {
    "opening prompt": "The first human turn; pairs that share it are not independent, so intervals and the split into parts go by it.",
    "held out": "Pairs of a random part of the opening prompts; no training here saw any of them.",
    "labeler": "What names the features of a text: rules, or a language model.",
    "gold": "Features named by careful reading, the yardstick of labelers.",
    "target": "A feature that the data mean to teach.",
    "spoiler": "A feature that the data may teach by accident.",
    "imprint": "The reward that a feature earns: the coefficient of the reward on the features within the pair.",
    "in the fit": "Features of that regression; one that never differs within a pair, or that others tell, is left out and named below.",
    "Holm": "A correction of p for many tests at once: it bounds the chance of any false finding among all of them.",
    "McNemar": "A test of two shares on the same pairs, by the pairs on which only one of the two succeeds.",
    "gamma": "The text of a pair that the labeler prefers, chosen, rejected or neither: the harmless one, of equally harmless ones the "
    "helpful one.",
    "margin": "Reward of the chosen text less reward of the rejected one.",
    "change that means nothing": "One contraction undone, or a full stop set or taken away: what moves by it is noise.",
    "flip": "A label that is another one after rewording: lost where the text had the feature and has it no more, else gained.",
    "robustness score": "How much more probable it is that a pair becomes misaligned by rewording where a label flips.",
}
"""Words of the findings, each in a sentence."""


class Headline(NamedTuple):
    """A number of metrics/summary.json."""

    keys: tuple[str, ...]
    words: str
    shown: str
    """share, points, number or count"""


HEADLINES = (
    Headline(("held_out", "resistance_aligned"), "aligned resists, on pairs held out", "share"),
    Headline(("held_out", "resistance_control"), "control resists, on pairs held out", "share"),
    Headline(("held_out", "agreement_length"), "agreement of the longer answer, on pairs held out", "share"),
    Headline(("labeler", "balanced_accuracy"), "balanced accuracy of the labeler, on what words alone can show", "number"),
    Headline(("resistance", "aligned"), f"aligned resists, on all pairs, {HELD_OUT_OR_NOT}", "share"),
    Headline(
        ("aligned_minus_control", "agreement"),
        f"percentage points more agreement by aligned than by control, on all pairs, {HELD_OUT_OR_NOT}",
        "points",
    ),
    Headline(("resistance", "control"), "control resists, on all pairs", "share"),
    Headline(("agreement_length",), "agreement of the longer answer, on all pairs", "share"),
    Headline(("aligned_reward_change", "by_rewriting"), "mean change of a reward by rewording, in its standard deviations", "number"),
    Headline(("aligned_reward_change", "by_a_trivial_change"), "the same by a change that means nothing", "number"),
    Headline(("labeler", "coverage"), "texts with valid labels", "share"),
    Headline(("pairs",), "pairs", "count"),
    Headline(("held_out", "pairs"), "of them held out", "count"),
    Headline(("rejects",), "rows set aside", "count"),
    Headline(("ties_aligned",), f"ties of aligned, on all pairs, {HELD_OUT_OR_NOT}", "count"),
)
"""In the order of the page, the first four large. The shares of the regimes are drawn beside them."""


TRAINED = ("data/train/", "data/dpl/train/")
"""Where the stage `train` writes models."""

MADE_UP = "The sample is made up: its texts, choices and gold labels were written by a language model, so “the human” stands for one here."


class Tile(NamedTuple):
    """A headline as it is shown."""

    value: str
    interval: str
    words: str


class Side(NamedTuple):
    """A text of a pair."""

    preference: str
    reward: str
    turns: list[Turn]


class Pair(NamedTuple):
    """A pair to read."""

    row_id: int
    margin: str
    sides: list[Side]


class Bar(NamedTuple):
    """The shares of the regimes, drawn as parts of a bar from 0 to 1000."""

    title: str
    parts: list[tuple[str, str, float, float]]
    """Regime, its share in words, where it starts, how wide it is."""


def page(
    audit: Audit, plots: Sequence[Drawn], robustness_scores: Rows, resistant: Sequence[Resistant], texts: Mapping[int, tuple[str, str]]
) -> str:
    """The whole page.

    Parameters
    ----------
    audit
        What the metrics files hold.
    plots
        As `plots.drawn` makes them.
    robustness_scores
        The table of scores as text, with no row where it is not given.
    resistant
        The pairs that aligned resists most.
    texts
        Chosen and rejected text by row_id.
    """
    from jinja2 import Environment, FileSystemLoader, StrictUndefined
    from markupsafe import Markup

    environment = Environment(
        loader=FileSystemLoader(_ASSETS),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=lambda value: visible(value) if type(value) is str else value,
    )
    environment.filters |= {"where": where, "cited": cited}
    style, script = (_ASSETS.joinpath(name).read_text(encoding="utf-8") for name in ("page.css", "page.js"))
    return environment.get_template("page.html").render(
        # Ours, and what `drawings.inline` made of drawings; all else on the page is escaped.
        style=Markup(style),  # noqa: S704
        script=Markup(script),  # noqa: S704
        style_hash=content_hash(style),
        script_hash=content_hash(script),
        title=f"Reward model audit: {things(audit.counts.get('pairs'), 'pair')}",
        introduction=introduction(audit),
        tiles=tiles(audit.summary),
        bars=bars(audit.regimes),
        chapters=chapters(audit),
        plots=[plot._replace(drawings=[Markup(drawing) for drawing in plot.drawings]) for plot in plots],  # noqa: S704
        tables=tables(audit, robustness_scores),
        left_out=by_place(left_out(audit)),
        provenance=provenance(audit),
        resistant=most_resistant(resistant),
        pairs=pairs_to_read(resistant, texts),
        level=f"{100 * audit.level:g} %",
        min_prompts=MIN_PROMPTS,
        no_width=NO_WIDTH,
        glossary=GLOSSARY,
    )


def content_hash(content: str) -> str:
    """What a content security policy names a style or a script by."""
    return f"sha256-{base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()}"


def cited(sources: Sequence[Figures]) -> list[str]:
    """Parts of files, each file named once."""
    files: dict[str, list[str]] = {}
    for source in sources:
        files.setdefault(source.file, []).append(where(source).removeprefix(source.file).strip())
    return [" ".join([file, *dict.fromkeys(path for path in paths if path)]) for file, paths in files.items()]


def where(figures: Figures) -> str:
    """A part of a file, as jq would be asked for it."""
    path = "".join(f".{key}" if key.isidentifier() else f'["{key}"]' for key in figures.keys)
    return f"{figures.file} {path}" if figures.keys else figures.file


def introduction(audit: Audit) -> list[str]:
    """What was audited, in some sentences."""
    counts = audit.counts
    sources = [f"{name} ({count(pairs)})" for name, pairs in (counts.get("pairs_by_source") or {}).items()]
    many = listed([*sources[:8], f"{len(sources) - 8} more sources"] if len(sources) > 8 else sources)
    models = [
        f"{role} ({'the baseline that rewards the longer answer' if model == LENGTH else model})"
        for role, model in ((role, found.get("scoring", "model")) for role, found in audit.resistance.items())
    ]
    held_out = (counts.get("pairs_by_part") or {}).get("held-out", 0)
    made = [
        f"{things(counts.get('pairs'), 'preference pair')} from {many}, with {things(counts.get('opening_prompts'), 'opening prompt')}; "
        f"{count(held_out)} pairs were held out from every training here. Judged by {things(len(models), 'role')}: {listed(models)}.",
        "A pair is a chosen and a rejected answer to the same conversation. A reward model agrees with the human where the chosen "
        "one earns more reward, and resists where it does not. control is the model before it was trained on such choices, aligned the one "
        "after.",
    ]
    if SAMPLE in (counts.get("pairs_by_source") or {}):
        made.insert(1, MADE_UP)
    unknown = [role for role, found in audit.resistance.items() if not trained_here(found.at("scoring"))]
    if unknown:
        was, it = ("was", "it was") if len(unknown) == 1 else ("were", "they were")
        made.append(f"{listed(unknown)} {was} not trained here: what {it} trained on is unknown, and pairs held out here may be among it.")
    return made


def trained_here(scoring: Figures) -> bool:
    """Whether the model was trained by the stage `train`, so that held-out pairs are new to it; the length baseline learns nothing."""
    model = scoring.get("model")
    return model in (None, LENGTH) or str(model).startswith(TRAINED)


def tiles(summary: Figures) -> list[Tile]:
    """The headline numbers, with their intervals where they have them."""
    made = []
    for keys, words, shown in HEADLINES:
        value, low, high = (summary.get(*keys[:-1], f"{keys[-1]}{end}") for end in ("", "_low", "_high"))
        if value is None:
            made.append(Tile(NOTHING, "could not be had", words))
            continue
        written = {"share": percent, "points": lambda share: points(share).removesuffix(" points"), "number": number, "count": count}[
            shown
        ](value)
        interval = within_percent(low, high) if shown in ("share", "points") else within(low, high)
        made.append(Tile(written, "" if low is None else interval, words))
    return made


def bars(regimes: Figures) -> list[Bar]:
    """The shares of the regimes over all pairs and over those held out."""
    made = []
    for title, keys in ((f"all pairs, {HELD_OUT_OR_NOT}", ("all",)), ("held out", ("by_part", "held-out"))):
        found, start = regimes.at(*keys), 0.0
        if not found.get("pairs") or any(found.get(name, "share") is None for name in REGIMES):
            continue
        parts = []
        for name in REGIMES:
            width = round(1000 * found.get(name, "share"), 1)
            parts.append((name, percent(found.get(name, "share")), round(start, 1), width))
            start += width
        made.append(Bar(f"{title} ({count(found.get('pairs'))})", parts))
    return made


def chapters(audit: Audit) -> list[Chapter]:
    return [chapter for chapter in all_findings(audit) if chapter.findings]


def by_place(items: Sequence[LeftOut]) -> dict[str, list[LeftOut]]:
    """What was left out, by what it was left out of."""
    grouped: dict[str, list[LeftOut]] = {}
    for item in items:
        grouped.setdefault(item.where, []).append(item)
    return grouped


def pairs_to_read(resistant: Sequence[Resistant], texts: Mapping[int, tuple[str, str]]) -> list[Pair]:
    """The most resistant pairs with both texts.

    Raises
    ------
    InputError
        If a pair has no texts.
    """
    made = []
    for pair in resistant:
        if pair.row_id not in texts:
            raise InputError(f"most-resistant: row_id {pair.row_id} is not in the pairs; write the table again, from these pairs")
        sides = [
            Side(name, number(score), turns(text)) for name, score, text in zip(PREFERENCES, pair.scores, texts[pair.row_id], strict=True)
        ]
        made.append(Pair(pair.row_id, number(pair.margin), sides))
    return made


def turns(text: str) -> list[Turn]:
    """A conversation's turns; the whole text as one where it is no conversation."""
    try:
        return parse(text)
    except NotATranscript:
        return [Turn("Text", text)]
