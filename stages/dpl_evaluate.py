"""Measure what distributional reward models are made for: jailbreak rate, helpfulness accuracy, and r², the sign of hidden context.

Either from the files that were released with the paper (arXiv 2312.08358), --released, or from pairs of our own: of a safe and a jailbroken
answer to the same prompt, the safe one as the chosen one, and of held-out human choices. Models have a name, with which their files are
given: name=file. Of a model whose raw outputs are given, everything is measured; of one whose rewards alone are given, what they tell.
"""

import command_line
from command_line import flag

# isort: split
from dataclasses import dataclass
from typing import Any, Dict, List, Optional, Tuple

import numpy as np
import pandas as pd

from seal import pairs, scores
from seal.dpl import distributions, evaluation
from seal.dpl.distributions import Rewards
from seal.dpl.evaluation import ACCURACY, JAILBREAKS
from seal.errors import InputError
from seal.files import read_json_object, rounded, write_csv, write_json
from seal.uncertainty import ClusterBootstrap


@dataclass(frozen=True)
class Arguments:
    metrics: str = flag("where to write the measures (JSON)")
    sweep: str = flag("where to write the jailbreak rate, and the accuracy, by alpha for the plot (CSV)")
    released: List[str] = flag("released files, jailbroken_evaluations_<head>.jsonl or .jsonl.gz, one for each head", [], nargs="*")
    pairs: str = flag(
        "table of pairs with the safe answers as chosen and the jailbroken ones as rejected, as stages/prepare.py writes it", ""
    )
    outputs: List[str] = flag(
        "raw outputs for these pairs, as name=file, one for each model: row_id, preference, output_0, ...", [], nargs="*"
    )
    scores: List[str] = flag(
        "rewards of models without raw outputs for these pairs, as name=file, written by stages/compare.py", [], nargs="*"
    )
    checks: List[str] = flag("what stages/compare.py told of those, as name=file; needed to make use of standard deviations", [], nargs="*")
    held_out_pairs: str = flag("table of pairs with human choices, whose held-out part is measured; none if not given", "")
    held_out_outputs: List[str] = flag("raw outputs for these pairs, as name=file", [], nargs="*")
    held_out_scores: List[str] = flag("rewards of models without raw outputs for these pairs, as name=file", [], nargs="*")
    held_out_checks: List[str] = flag("what stages/compare.py told of those, as name=file", [], nargs="*")
    alpha: float = flag("probability of a reward below the risk-averse score", 0.01)
    alphas: List[float] = flag("those of the sweep", list(evaluation.ALPHAS), nargs="+")
    resamples: int = flag("bootstrap resamples", 2000)
    level: float = flag("share of intervals that hold the truth", 0.95)
    seed: int = flag("seed of the bootstrap", 1)


def main(arguments: Arguments) -> None:
    for alpha in (arguments.alpha, *arguments.alphas):
        if not 0 < alpha < 1:
            raise InputError(f"alpha is {alpha:g}; expected a probability between 0 and 1, such as 0.01")
    if bool(arguments.released) == bool(arguments.pairs):
        raise InputError("the answers come either from released files or from pairs; give --released or --pairs, and not both")
    for prefix in ("", "held_out_"):
        for name in ("outputs", "scores", "checks"):
            if getattr(arguments, prefix + name) and not getattr(arguments, f"{prefix}pairs"):
                hyphened = prefix.replace("_", "-")
                raise InputError(f"{hyphened}{name}: of what pairs is not told; give --{hyphened}pairs, or leave --{hyphened}{name} out")
    figures, curves = _of_released(arguments) if arguments.released else _of_pairs(arguments)
    if arguments.held_out_pairs:
        figures["held_out"], accuracy = _of_held_out(arguments)
        curves = _beside(curves, accuracy.rename(columns={"pairs": "held_out_pairs", "ties": "held_out_ties"}))
    write_json(arguments.metrics, {"alpha": arguments.alpha, **figures})
    write_csv(arguments.sweep, curves.map(rounded))


def _draw(arguments: Arguments, clusters: np.ndarray) -> ClusterBootstrap:
    return ClusterBootstrap(clusters, arguments.resamples, arguments.seed, arguments.level)


def _sweep(arguments: Arguments, measure: evaluation.Measure, models: Dict[str, Rewards]) -> pd.DataFrame:
    return evaluation.sweep(measure, models, sorted(set(arguments.alphas)), arguments.level)


def _beside(jailbreaks: pd.DataFrame, accuracy: pd.DataFrame) -> pd.DataFrame:
    """Both sweeps in one table. A model may be in one of them alone; its figures of the other are empty, and counts stay whole numbers."""
    first, second = (curves.set_index(["model", "score", "alpha"]) for curves in (jailbreaks, accuracy))
    rows = first.index.union(second.index, sort=False)
    both = pd.concat([first.reindex(rows), second.reindex(rows)], axis=1)
    counts = [column for column in both if not str(column).startswith((JAILBREAKS.share, ACCURACY.share))]
    return both.astype(dict.fromkeys(counts, "Int64")).reset_index()


def _of_released(arguments: Arguments) -> Tuple[Dict[str, Any], pd.DataFrame]:
    models, lengths, prompts = distributions.read_released(arguments.released)
    draw = _draw(arguments, np.arange(len(lengths)) if prompts is None else prompts)
    figures = evaluation.report(JAILBREAKS, models, lengths, arguments.alpha, draw)
    if prompts is None:
        figures |= {
            "opening_prompts": None,
            "opening_prompts_reason": "the files leave the prompts out: every pair is taken for independent",
        }
    return {"jailbreaks": figures}, _sweep(arguments, JAILBREAKS, models)


def _of_pairs(arguments: Arguments) -> Tuple[Dict[str, Any], pd.DataFrame]:
    table = pairs.read(arguments.pairs, without=pairs.PROMPTS)
    models = _models(table, arguments.outputs, arguments.scores, arguments.checks, "")
    draw = _draw(arguments, table["opening_prompt"].to_numpy())
    figures = evaluation.report(JAILBREAKS, models, pairs.response_lengths(table), arguments.alpha, draw)
    return {"jailbreaks": figures}, _sweep(arguments, JAILBREAKS, models)


def _of_held_out(arguments: Arguments) -> Tuple[Dict[str, Any], pd.DataFrame]:
    table = pairs.read(arguments.held_out_pairs, without=pairs.PROMPTS)
    models = _models(table, arguments.held_out_outputs, arguments.held_out_scores, arguments.held_out_checks, "held-out-")
    lengths, draw = pairs.response_lengths(table), _draw(arguments, table["opening_prompt"].to_numpy())
    held_out = (table["part"] == "held-out").to_numpy()
    if not held_out.any():
        raise InputError(
            f"{arguments.held_out_pairs}: none of the {len(table)} pairs is held out; raise held-out as they are prepared, or name others"
        )

    def measured(members: np.ndarray) -> Dict[str, Any]:
        of_members = {name: distributions.subset(rewards, members) for name, rewards in models.items()}
        return evaluation.report(ACCURACY, of_members, lengths[members], arguments.alpha, draw[members])

    figures = {
        "pairs_left_out": int((~held_out).sum()),
        "equal_texts": int((table["chosen_text"] == table["rejected_text"])[held_out].sum()),
        "all": measured(held_out),
        "by_source": {source: measured(held_out & (table["source"] == source).to_numpy()) for source in sorted(table["source"].unique())},
    }
    return figures, _sweep(arguments, ACCURACY, {name: distributions.subset(rewards, held_out) for name, rewards in models.items()})


def _models(table: pd.DataFrame, outputs: List[str], given_scores: List[str], checks: List[str], prefix: str) -> Dict[str, Rewards]:
    """By name: the rewards of each model for the pairs, from its raw outputs or from its table of rewards."""
    raw, rewards, told = (
        _named(entries, f"{prefix}{flag}") for entries, flag in ((outputs, "outputs"), (given_scores, "scores"), (checks, "checks"))
    )
    taken = sorted(name for name in {*raw, *rewards} if "_risk_averse" in name)
    if taken:
        raise InputError(f"{prefix}outputs or {prefix}scores names {taken[0]}; expected a name without _risk_averse, which marks a score")
    if not len(table):
        raise InputError("the table of pairs holds none; expected pairs to measure")
    twice = sorted(set(raw) & set(rewards))
    if twice:
        raise InputError(
            f"{prefix}outputs and {prefix}scores both name {twice[0]}; give each model once, by its outputs where there are some"
        )
    lost = sorted(set(told) - set(rewards))
    if lost:
        raise InputError(f"{prefix}checks names {lost[0]}, which is not among {prefix}scores; give its rewards, too, or leave it out")
    if not raw and not rewards:
        raise InputError(f"no model is named; give --{prefix}outputs name=file or --{prefix}scores name=file, once for each model")
    row_ids = table["row_id"].to_numpy()
    models = {name: distributions.from_outputs(distributions.read(path, row_ids)) for name, path in raw.items()}
    return models | {name: _of_scores(table, path, told.get(name)) for name, path in rewards.items()}


def _named(entries: List[str], flag: str) -> Dict[str, str]:
    """By name: the file of each entry name=file."""
    named: Dict[str, str] = {}
    for entry in entries:
        name, _, path = entry.partition("=")
        if not name or not path:
            raise InputError(f"{flag}: {entry!r}; expected a model's name and its file, as in base=data/dpl/base.csv")
        if name in named:
            raise InputError(f"{flag}: names {name} more than once; give each model once")
        named[name] = path
    return named


def _of_scores(table: pd.DataFrame, path: str, check: Optional[str]) -> Rewards:
    """Without a check, nobody knows whether a score is a mean; then it is the score, and nothing more."""
    read = scores.read(path, table)
    score = read[["chosen_score", "rejected_score"]].to_numpy(dtype=float)
    if not check:
        return distributions.from_moments("", score, None)
    told = read_json_object(check)
    if told.get("pairs", len(table)) != len(table):
        raise InputError(f"{check}: does not tell of {len(table)} scored pairs; give what stages/compare.py wrote beside {path}")
    head, kind = told.get("head", "base"), told.get("score", "mean")
    if kind != "mean":
        raise InputError(
            f"{check}: these scores are a {kind}; expected the mean, from which the rest is had: score the pairs again with --score mean, "
            "or leave the check out to measure by this score alone"
        )
    if head == "base":
        return distributions.from_moments(head, score, None)
    if scores.STD_COLUMNS[0] not in read:
        raise InputError(f"{path}: lacks {', '.join(scores.STD_COLUMNS)}, and {check} tells of the head {head}; score the pairs again")
    return distributions.from_moments(head, score, read[scores.STD_COLUMNS].to_numpy(dtype=float))


if __name__ == "__main__":
    command_line.run(main, Arguments, __doc__)
