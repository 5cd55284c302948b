"""Write what the audit found as one page to read: findings in plain sentences, plots, tables, and the pairs that resist most."""

import command_line
from command_line import flag

# isort: split
from dataclasses import dataclass
from pathlib import PurePath
from typing import Dict, List, Tuple

import pandas as pd

from seal import pairs
from seal.errors import InputError
from seal.files import read_json_object, write_text
from seal.report import page, plots, tables
from seal.report.figures import Audit, Figures, in_order


@dataclass(frozen=True)
class Arguments:
    pairs: str = flag("table of pairs, as stages/prepare.py writes it")
    counts: str = flag("counts of the pairs, as stages/prepare.py writes them")
    summary: str = flag("headline numbers, as stages/summary.py writes them")
    resistance: List[str] = flag("resistance of each role, as stages/resistance.py writes it, each named as its role", nargs="+")
    regimes: str = flag("alignment regimes, as stages/regimes.py writes them")
    reward_shift: str = flag("reward shift, as stages/reward_shift.py writes it")
    labelers: str = flag("agreement of labelers, as stages/labelers.py writes it")
    robustness: str = flag("alignment robustness, as stages/robustness.py writes it")
    out: str = flag("where to write the page (HTML)")
    pairwise: List[str] = flag("comparisons of two roles, as stages/pairwise.py writes them", [], nargs="*")
    imprint: List[str] = flag("feature imprint of roles, as stages/imprint.py writes it, each named as its role", [], nargs="*")
    costs: List[str] = flag("costs of labelling, as stages/taxonomy_create_batch.py writes them", [], nargs="*")
    dpl: str = flag("measures of distributional reward models, as stages/dpl_evaluate.py writes them; none if not given", "")
    hidden_context: str = flag("resistance where context is hidden, as stages/hidden_context.py writes it; none if not given", "")
    most_resistant: str = flag("the pairs that aligned resists most, as stages/resistance.py writes them; none if not given", "")
    plots: List[str] = flag("tables of plots (CSV), and drawings (SVG), as stages write them, each under its usual name", [], nargs="*")
    templates: str = flag("folder of the plots' Vega-Lite templates", ".dvc/plots")
    level: float = flag("share of intervals that hold the truth, as the metrics were made with", 0.95)


def main(arguments: Arguments) -> None:
    if not 0 < arguments.level < 1:
        raise InputError(f"level is {arguments.level}; expected a share between 0 and 1")
    table = pairs.read(arguments.pairs).set_index("row_id")
    path = arguments.most_resistant
    resistant = tables.resistant(path, plots.table(path, tables.RESISTANT_COLUMNS)) if path else []
    scores = [path for path in arguments.plots if PurePath(path).match("robustness/scores.csv")]
    html = page.page(
        audit=audit(arguments),
        plots=plots.drawn(arguments.plots, arguments.templates),
        robustness_scores=plots.table(scores[0], tables.SCORE_COLUMNS) if scores else [],
        resistant=resistant,
        texts=texts(table.loc[table.index.isin([pair.row_id for pair in resistant]), ["chosen_text", "rejected_text"]]),
    )
    write_text(arguments.out, html)


def audit(arguments: Arguments) -> Audit:
    return Audit(
        counts=read(arguments.counts),
        summary=read(arguments.summary),
        resistance=by_role("resistance", arguments.resistance),
        pairwise=[read(path) for path in arguments.pairwise],
        regimes=read(arguments.regimes),
        imprint=by_role("imprint", arguments.imprint),
        reward_shift=read(arguments.reward_shift),
        labelers=read(arguments.labelers),
        robustness=read(arguments.robustness),
        costs=[read(path) for path in arguments.costs],
        level=arguments.level,
        dpl=read(arguments.dpl) if arguments.dpl else None,
        hidden_context=read(arguments.hidden_context) if arguments.hidden_context else None,
    )


def read(path: str) -> Figures:
    """Read a metrics file.

    Raises
    ------
    InputError
        If the file does not exist or is no JSON object.
    """
    return Figures(path, read_json_object(path))


def by_role(name: str, paths: List[str]) -> Dict[str, Figures]:
    """Read the metrics of roles, whose files are named after them.

    Raises
    ------
    InputError
        As `read`, or if two files are of one role.
    """
    files = {PurePath(path).stem: path for path in paths}
    if len(files) < len(paths):
        raise InputError(f"{name}: {len(paths)} files for {len(files)} roles ({', '.join(files)}); give one file of each role")
    return {role: read(files[role]) for role in in_order(list(files))}


def texts(rows: pd.DataFrame) -> Dict[int, Tuple[str, str]]:
    return {int(row_id): (chosen, rejected) for row_id, chosen, rejected in rows.itertuples()}


if __name__ == "__main__":
    command_line.run(main, Arguments, __doc__)
