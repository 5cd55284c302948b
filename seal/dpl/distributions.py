"""Raw outputs of reward models, which hold the distribution of each text's reward: on disk in our form, or as released with the paper.

Distributional preference learning (DPL): Siththaranjan, Laidlaw, Hadfield-Menell 2023, arXiv 2312.08358. In a table of ours a row is a
text: row_id, preference (chosen or rejected) and output_0, output_1, ..., as the model gives them, before anything is made of them; the
number of outputs tells the head. In a released file a row is a pair, with both texts' outputs by each of several models.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd
from scipy import special

from seal import sources
from seal.errors import InputError
from seal.files import FIRST_ROW, read_csv
from seal.pairs import PREFERENCES
from seal.scores import LARGEST

if TYPE_CHECKING:
    from seal.engine.heads import Definition, Head

DEFINITIONS: "tuple[Definition, ...]" = ("exact", "released")
"""Of the lower quantile of atoms; see `seal.engine.heads`."""


class Rewards(NamedTuple):
    """What a reward model says of both texts of some pairs: of the chosen or safe one, then of the other."""

    head: str
    """Empty where it is not known."""
    mean: np.ndarray
    """[pairs, 2] the reward, or the mean of its distribution."""
    std: np.ndarray | None
    """[pairs, 2] standard deviation of that distribution; None where there is none, or none is known."""
    quantiles: Mapping[str, Callable[[float], np.ndarray]]
    """By definition: from alpha to the lower quantiles, [pairs, 2]. One, named exact, where the definitions do not differ."""


def from_outputs(outputs: np.ndarray) -> Rewards:
    """The rewards that raw outputs, [pairs, 2, outputs], stand for, by `seal.engine.heads` in fp64."""
    import torch

    from seal.engine import heads

    head = head_of(outputs.shape[2])
    raw = torch.from_numpy(outputs.astype(np.float64))
    mean = heads.mean(head, raw).numpy()
    if head == "base":
        return Rewards(head, mean, None, {})

    def quantile(definition: "Definition", alpha: float) -> np.ndarray:
        return np.asarray(heads.quantile(head, raw, alpha, definition).numpy())

    definitions = DEFINITIONS if head == "categorical" else DEFINITIONS[:1]
    return Rewards(head, mean, heads.standard_deviation(head, raw).numpy(), {each: partial(quantile, each) for each in definitions})


def from_moments(head: str, mean: np.ndarray, std: np.ndarray | None) -> Rewards:
    """The rewards that means and standard deviations, [pairs, 2], stand for. They give the quantiles of normal distributions alone."""
    if std is None or head != "mean-and-variance":
        return Rewards(head, mean, std, {})
    return Rewards(head, mean, std, {"exact": partial(_normal_quantile, mean, std)})


def subset(rewards: Rewards, members: np.ndarray) -> Rewards:
    """The rewards of some of the pairs, given by a mask, [pairs]."""
    quantiles = {name: partial(_of_members, quantile, members) for name, quantile in rewards.quantiles.items()}
    return Rewards(rewards.head, rewards.mean[members], None if rewards.std is None else rewards.std[members], quantiles)


def _normal_quantile(mean: np.ndarray, std: np.ndarray, alpha: float) -> np.ndarray:
    return np.asarray(mean + special.ndtri(alpha) * std)


def _of_members(quantile: Callable[[float], np.ndarray], members: np.ndarray, alpha: float) -> np.ndarray:
    return np.asarray(quantile(alpha)[members])


def head_of(outputs: int) -> "Head":
    """The head that has so many outputs: 1 is base, 2 are mean-and-variance, 3 or more are atoms of categorical."""
    if outputs == 1:
        return "base"
    return "mean-and-variance" if outputs == 2 else "categorical"


# --- our own form ---


def read(path: str | Path, row_ids: np.ndarray) -> np.ndarray:
    """Read raw outputs of the pairs, in their order: [pairs, 2, outputs].

    Parameters
    ----------
    path
        A CSV or Parquet file as stages/compare.py writes it with --outputs.
    row_ids
        [pairs]; the outputs must be those of their texts, each once.

    Raises
    ------
    InputError
        If the file is missing, lacks a column, holds what is no number, or its texts are not those of the pairs.
    """
    texts = _read_table(path)
    twice = texts.index[texts.index.duplicated()]
    if len(twice):
        raise InputError(f"{path}: row_id {twice[0][0]}, {twice[0][1]}: stands there more than once; expected each text once")
    wanted = pd.MultiIndex.from_product([row_ids, PREFERENCES])
    unmatched = sorted(set(texts.index) ^ set(wanted))
    if unmatched:
        (row_id, preference), where = unmatched[0], "the pairs" if unmatched[0] in wanted else "the outputs"
        raise InputError(
            f"{path}: {len(unmatched)} texts do not match the pairs, first row_id {row_id}, {preference}, which is only in {where}; "
            "score these pairs with stages/compare.py"
        )
    ordered = texts.loc[wanted].to_numpy(dtype=np.float64)
    return ordered.reshape(len(row_ids), 2, ordered.shape[1])


def _read_table(path: str | Path) -> pd.DataFrame:
    """The outputs as numbers, indexed by row_id and preference."""
    first_row = 1 if str(path).endswith(".parquet") else FIRST_ROW
    texts = _read_parquet(path) if str(path).endswith(".parquet") else read_csv(path, "stages/compare.py --outputs")
    given = [column for column in texts if re.fullmatch(r"output_\d+", str(column))]
    columns = [f"output_{place}" for place in range(max(len(given), 1))]
    missing = [column for column in ("row_id", "preference", *columns) if column not in texts]
    if missing:
        raise InputError(
            f"{path}: lacks the column(s) {', '.join(missing)}; expected row_id, preference, output_0, output_1, ... without a gap; "
            "write it with stages/compare.py --outputs"
        )
    for column in ("row_id", *columns):
        numbers = pd.to_numeric(texts[column], errors="coerce")
        bad = np.flatnonzero(~(abs(numbers) <= LARGEST))
        if len(bad):
            raise InputError(
                f"{path}, row {bad[0] + first_row}, column {column}: {texts[column].iloc[bad[0]]}; expected a number up to {LARGEST:g}; "
                "score the pairs again with stages/compare.py"
            )
        texts[column] = numbers
    texts["preference"] = texts["preference"].fillna("").astype(str)
    return texts.set_index(["row_id", "preference"])[columns]


def _read_parquet(path: str | Path) -> pd.DataFrame:
    try:
        return pd.read_parquet(path)
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; run stages/compare.py --outputs to write it, or `dvc repro`") from None
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: not a Parquet table ({str(error).strip()}); run stages/compare.py --outputs to write it") from error


# --- the released form ---

_RELEASED = re.compile(r"reward_outputs_(?P<data>\w+?)(?P<head>|_mean_and_variance|_categorical)")
"""A released column: the data that a model was trained on, then its head, unless it is base."""

_HEADS: "dict[str, Head]" = {"": "base", "_mean_and_variance": "mean-and-variance", "_categorical": "categorical"}


class Released(NamedTuple):
    """Rewards of (safe, jailbroken) answers, from released files."""

    models: dict[str, Rewards]
    """By head and training data: base_helpful."""
    lengths: np.ndarray
    """[pairs, 2] characters of the safe and the jailbroken answer."""
    prompts: np.ndarray | None
    """[pairs] the prompts; None where the texts are left out."""


def read_released(paths: Sequence[str | Path]) -> Released:
    """Read files of the form of the paper's jailbroken_evaluations_<head>.jsonl, one for each head, over the same answers.

    A row has `reward_outputs_<training data>`, for heads other than base with `_mean_and_variance` or `_categorical` after it: the outputs
    for the safe answer, then those for the jailbroken one. It has the `responses`, in this order, and the `prompt`; or, where the texts are
    left out, `response_chars` in place of the answers.

    Raises
    ------
    InputError
        If a file is missing, has no such columns, holds what is no number, or is not over the answers of the others.
    """
    models: dict[str, Rewards] = {}
    first: Released | None = None
    for path in paths:
        rows = list(sources.read_files([path]))
        for row in rows:
            if row.problem:
                raise InputError(f"{path}, line {row.line}: {row.problem}; give a file as released, one JSON object in a line")
        if not rows:
            raise InputError(f"{path}: has no rows; expected one for each pair of a safe and a jailbroken answer")
        given = dict.fromkeys(column for row in rows for column in row.values)
        found = {column: match for column in given if (match := _RELEASED.fullmatch(column))}
        if not found:
            raise InputError(f"{path}: has no column reward_outputs_<training data>, only {', '.join(given)}; give a released file")
        read = Released(models, np.array([_lengths(row) for row in rows]), _prompts(rows))
        first = first or read
        if not np.array_equal(read.lengths, first.lengths):
            raise InputError(
                f"{path}: its answers are not those of {paths[0]} (number or lengths differ); give files over the same answers"
            )
        for column, match in found.items():
            head = _HEADS[match["head"]]
            name = f"{head.replace('-', '_')}_{match['data']}"
            if name in models:
                raise InputError(f"{path}: the outputs of {name} stand in an earlier file, too; give each model once")
            models[name] = from_outputs(_outputs(rows, column, head))
    if first is None:
        raise InputError("released: no file; name one or more")
    return first


def _outputs(rows: Sequence[sources.Row], column: str, head: "Head") -> np.ndarray:
    """[pairs, 2, outputs]"""
    expected = {"base": "1 number", "mean-and-variance": "2 numbers", "categorical": "3 or more numbers"}[head]
    outputs: list[Any] = []
    for row in rows:
        both: Any = row.values.get(column)
        if not _is_outputs(both, len(outputs[0][0]) if outputs else 0, head):
            raise InputError(
                f"{row.file}, line {row.line}, column {column}: {str(both)[:100]}; expected 2 lists, for the safe and the jailbroken "
                f"answer, of {expected} each, as many in every row"
            )
        outputs.append(both)
    return np.array(outputs, dtype=np.float64)


def _is_outputs(both: Any, width: int, head: "Head") -> bool:
    if not isinstance(both, list) or len(both) != 2 or not all(isinstance(side, list) and side for side in both):
        return False
    right = len(both[0]) == len(both[1]) == (width or len(both[0])) and head_of(len(both[0])) == head
    return right and all(type(value) in (int, float) and abs(value) <= LARGEST for side in both for value in side)


def _lengths(row: sources.Row) -> list[int]:
    """Characters of both answers."""
    answers, characters = row.values.get("responses"), row.values.get("response_chars")
    if isinstance(answers, list) and len(answers) == 2 and all(isinstance(answer, str) for answer in answers):
        return [len(answer) for answer in answers]
    if isinstance(characters, list) and len(characters) == 2 and all(type(count) is int and count >= 0 for count in characters):
        return characters
    raise InputError(
        f"{row.file}, line {row.line}: expected the 2 responses, safe and jailbroken, or their response_chars, and found neither"
    )


def _prompts(rows: Sequence[sources.Row]) -> np.ndarray | None:
    prompts = [row.values.get("prompt") for row in rows]
    return np.array(prompts, dtype=object) if all(isinstance(prompt, str) for prompt in prompts) else None
