"""The plots of a report: which there are, and how they are drawn without a browser."""

import json
from collections.abc import Sequence
from pathlib import PurePath
from typing import Any, NamedTuple

from seal.errors import InputError
from seal.files import read_csv, read_json
from seal.report import drawings
from seal.report.figures import in_order


class Plot(NamedTuple):
    """A plot that a report knows."""

    files: str
    """What its files are called, with * for a role."""
    title: str
    template: str
    """Name of the Vega-Lite template; `LINES` for the one below; nothing for a file that is a drawing."""
    caption: str
    together: bool = False
    """Whether the files of several roles make one drawing, or one each."""


LINES = "lines"

PLOTS = (
    Plot("margins/*.csv", "Margins", LINES, "How far each role prefers the chosen text. What lies right of 0 agrees with the human.", True),
    Plot(
        "agreement_by_gamma.csv",
        "Agreement with the human, by what the labeler prefers",
        "agreement_by_gamma",
        "Each part is as wide as it has pairs.",
    ),
    Plot("regimes_by_gamma.csv", "What became of the pairs, by what the labeler prefers", "regimes_by_gamma", "From control to aligned."),
    Plot("rewards/*.csv", "Rewards of both texts of a pair", "rewards", "Pairs below the diagonal agree with the human."),
    Plot("reward_directions.svg", "Directions of the rewards", "", "Each pair's rewards as a direction from the origin, before and after."),
    Plot("theta_rose.svg", "Reward shift theta, round the circle", "", "The angle between a pair's rewards by control and by aligned."),
    Plot(
        "theta.csv",
        "Reward shift theta",
        "theta",
        "The angle between a pair's rewards by control and by aligned; its sign alone says nothing of the human.",
    ),
    Plot(
        "imprint/*.csv",
        "Feature imprint",
        "imprint",
        "Reward that a feature earns within a pair, by the labeler's labels as they are.",
        True,
    ),
    Plot(
        "imprint/aligned.csv",
        "Change of imprint",
        "change_of_imprint",
        "What a feature earns from aligned beyond what it earns from control.",
    ),
    Plot("labeler_agreement.csv", "Agreement of labelers", "labeler_agreement", "Against gold and against each other, feature by feature."),
    Plot(
        "label_means.csv",
        "Labels of chosen and rejected texts",
        "label_means",
        "How the texts differ, by the labeler's labels.",
    ),
    Plot(
        "robustness/flips.csv",
        "What became of pairs on which a label flipped",
        "flips",
        "Of the pairs on which the model agreed before rewording, or did not.",
    ),
    Plot("robustness/scores.csv", "Robustness scores", "robustness_scores", "Effect of a flip on becoming misaligned, one flip at a time."),
    Plot(
        "robustness/doses.csv",
        "Change of reward by similarity",
        "dose_response",
        "Whether a reward moves more where the reworded text is less like the original.",
    ),
    Plot(
        "dpl/sweep.csv",
        "Jailbreaks by aversion to risk",
        "dpl_sweep",
        "By lower and lower quantiles of the reward, with Wilson's intervals; a tie counts for the jailbreak.",
    ),
    Plot(
        "dpl/hidden_context.csv",
        "Resistance where context is hidden",
        "hidden_context",
        "By how unsure a distributional reward model is of the pair.",
    ),
    Plot(
        "dpl/synthetic-1d.svg", "A made-up world whose context is hidden above 0.8", "", "What each head learns of it, beside what is true."
    ),
    Plot("dpl/synthetic-2d.svg", "A made-up world of two dimensions", "", "What each head learns of it, beside what is true."),
)
"""In the order of the report. A file may serve two plots."""

REV = "this audit"
"""In the place of the revision by which DVC's own page tells series apart."""

_CONFIG: dict[str, Any] = {
    "background": None,
    "font": "Liberation Sans",  # vl-convert brings it along, so that all machines measure texts alike
    "padding": {"left": 14, "right": 14, "top": 5, "bottom": 5},  # for a reader's font that is wider
    "view": {"stroke": None},
    "axis": {"gridColor": "#888888", "gridOpacity": 0.25, "domainColor": "#888888", "tickColor": "#888888", "titleFontWeight": "normal"},
    "legend": {"titleFontWeight": "normal", "labelLimit": 300},
    "range": {"category": ["#2f7fc1", "#d9661f", "#2a9d72", "#b0579b"]},
}

_LINES: dict[str, Any] = {
    "$schema": "https://vega.github.io/schema/vega-lite/v5.json",
    "data": {"values": "<DVC_METRIC_DATA>"},
    "width": 560,
    "height": 220,
    "transform": [{"calculate": "toNumber(datum.margin)", "as": "margin"}, {"calculate": "toNumber(datum.share)", "as": "share"}],
    "mark": {"type": "line", "interpolate": "step", "strokeWidth": 2},
    "encoding": {
        "x": {"field": "margin", "type": "quantitative", "title": "margin, in its standard deviations", "axis": {"tickCount": 9}},
        "y": {"field": "share", "type": "quantitative", "title": "share of pairs", "axis": {"format": ".0%"}},
        "color": {"field": "rev", "type": "nominal", "title": None, "sort": None},
    },
}

Rows = list[dict[str, str]]


class Drawn(NamedTuple):
    """A plot as it stands in the report."""

    title: str
    caption: str
    files: list[str]
    drawings: list[str]
    """SVG"""


def drawn(files: Sequence[str], templates: str) -> list[Drawn]:
    """Draw the plots that the files given are enough for.

    Parameters
    ----------
    files
        Tables (CSV) and drawings (SVG), of `PLOTS`; of several roles in the order in which they are to be told apart.
    templates
        The folder of Vega-Lite templates.

    Raises
    ------
    InputError
        If no plot takes a file, or a file or a template is missing or broken.
    """
    for file in files:
        if not any(PurePath(file).match(plot.files) for plot in PLOTS):
            known = ", ".join(dict.fromkeys(plot.files for plot in PLOTS))
            raise InputError(
                f"plots: {file} is none that a report knows ({known}); take it out, or add it to PLOTS in seal/report/plots.py"
            )
    made = []
    for number, plot in enumerate(PLOTS):
        roles = {PurePath(file).stem: file for file in files if PurePath(file).match(plot.files)}
        if not roles:
            continue
        ordered = {role: roles[role] for role in in_order(list(roles))}
        if not plot.template:
            texts = [drawings.read(file) for file in ordered.values()]
        elif plot.together:
            texts = [_converted(plot, {role: table(file) for role, file in ordered.items()}, templates)]
        else:
            texts = [_converted(plot, {role: table(file)}, templates) for role, file in ordered.items()]
        sources = list(ordered.values())
        inlined = [drawings.inline(text, f"plot{number}-{place}-", plot.title, sources[place]) for place, text in enumerate(texts)]
        made.append(Drawn(plot.title, plot.caption, sources, inlined))
    return made


def table(path: str, needed: Sequence[str] = ()) -> Rows:
    """Read a table as DVC does: every value is text.

    Raises
    ------
    InputError
        If there is no such file, it is no table, or it lacks one of the columns needed.
    """
    found = read_csv(path, dtype=str, keep_default_na=False)
    missing = [column for column in needed if column not in found]
    if missing:
        raise InputError(f"{path}: lacks the column(s) {', '.join(missing)}; run the stage that writes it")
    return [{str(column): str(value) for column, value in row.items()} for row in found.to_dict("records")]


def _converted(plot: Plot, tables: dict[str, Rows], templates: str) -> str:
    import vl_convert

    path = f"{templates}/{plot.template}.json"
    template = _LINES if plot.template == LINES else read_json(path)
    if not isinstance(template, dict):
        raise InputError(f"{path}: found {str(template)[:60]}, expected a Vega-Lite specification; mend the template")
    of_roles = "*" in plot.files
    rows = [{**row, "rev": role if of_roles else REV} for role, table in tables.items() for row in table]
    made = specification(template, rows, of_roles)
    if "<DVC_" in json.dumps({**made, "data": None}):
        raise InputError(f"{path}: asks for more than <DVC_METRIC_DATA> and <DVC_METRIC_TITLE>; write what it asks for into the template")
    try:
        return str(vl_convert.vegalite_to_svg(made, allowed_base_urls=[]))
    except ValueError as error:
        raise InputError(f"{path}: cannot be drawn ({str(error)[:200]}); mend the template") from None


def specification(template: dict[str, Any], rows: Rows, named: bool) -> dict[str, Any]:
    """A template with its data, without a title, which the page gives, and without names of its series unless they are to be named."""
    filled = {**template, "data": {"values": rows}, "config": _merged(_CONFIG, template.get("config", {}))}
    filled.pop("title", None)
    series = list(dict.fromkeys(row["rev"] for row in rows)) if named else []
    return dict(_with_series(filled, series))


def _with_series(content: Any, series: list[str], key: str = "") -> Any:
    """The same, with these series in their order; without their names where there are none to name."""
    if isinstance(content, list):
        return [_with_series(each, series) for each in content]
    if not isinstance(content, dict) or key == "data":
        return content
    made = {name: _with_series(value, series, name) for name, value in content.items()}
    if made.get("field") == "rev":
        if series:
            made["sort"] = series
        elif key == "color":
            made["legend"] = None
        elif key in ("row", "column"):
            made["header"] = {**made.get("header", {}), "labelExpr": "''"}  # labels: false is not heeded where labelOrient is given
    return made


def _merged(base: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for name, value in over.items():
        merged[name] = _merged(base[name], value) if isinstance(value, dict) and isinstance(base.get(name), dict) else value
    return merged
