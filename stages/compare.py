"""Reward both texts of every pair with one reward model.

Finished batches are kept in a journal under .work, so a killed run goes on where it stopped, and when there are more pairs
only the new texts are scored. Texts that the model has rewarded in another table can be taken from there. Every run ends with a
parity check: the texts of some pairs, 32 at least, are rewarded again, each alone and in fp32.

Of a model with a distributional head the score is the mean of the reward or its lower quantile; its standard deviation is written, too. The
journal holds raw outputs, so another score runs the model again on the texts of the parity check alone.

SEAL_ENGINE=ray runs the batches on Ray: on every GPU or CPU of this machine, or of the cluster at RAY_ADDRESS.
"""

import command_line
from command_line import flag

# isort: split
import sys
from dataclasses import dataclass
from functools import partial
from typing import Any, Dict, List, Literal, Tuple

import numpy as np
import pandas as pd

from seal import pairs, scores
from seal.errors import InputError
from seal.files import fingerprint, write_csv, write_json
from seal.length import LENGTH, length_rewards


@dataclass(frozen=True)
class Arguments:
    pairs: str = flag("table of pairs, as stages/prepare.py writes it")
    out: str = flag("where to write row_id, chosen_score, rejected_score, agreement; of a distribution chosen_std, rejected_std, too (CSV)")
    check: str = flag("where to write counts, provenance and the parity check (JSON)")
    model: str = flag(
        "the reward model: a folder, a hub id (owner/name), package:<module>, or length, the baseline in characters of the response"
    )
    revision: str = flag("commit or branch of a hub model; required there", "")
    format: Literal["pair", "transcript", "chat"] = flag(
        "how a text becomes input: (prompt, response) split at the last Assistant:, one text, or the tokenizer's chat template", "pair"
    )
    output: str = flag("label or index of the output that is the reward; needed where the model has several and no distribution", "")
    max_length: int = flag(
        "longest input in tokens, special ones included; 0 for no limit but the model's own absolute positions. The model length, which "
        "counts all characters of the response, does not look at it",
        0,
    )
    dtype: Literal["fp32", "bf16", "auto"] = flag("fp32 is the reference; auto takes bf16 where it is at least twice as fast", "fp32")
    known_pairs: str = flag(
        "table of pairs that this model has rewarded already, so that their texts need not be again; none if not given. With the model "
        "length it is not looked at: counting costs nothing",
        "",
    )
    known_scores: str = flag("these rewards, as this stage wrote them", "")
    score: Literal["mean", "quantile"] = flag(
        "of a model that gives a distribution of rewards: its mean, or its lower quantile, the risk-averse score", "mean"
    )
    alpha: float = flag("probability of a reward below the quantile", 0.01)
    quantile_definition: Literal["exact", "released"] = flag(
        "of the quantile of atoms: the lowest one whose cumulative probability reaches alpha, or that of DPL's code, which spreads an "
        "atom over a bucket",
        "exact",
    )
    outputs: str = flag("where to write each text's raw outputs: row_id, preference, output_0, ... (CSV); not written if not given", "")


def main(arguments: Arguments) -> None:
    if arguments.max_length < 0:
        raise InputError(f"max-length is {arguments.max_length}; expected 0 for no limit, or a number of tokens")
    if bool(arguments.known_pairs) != bool(arguments.known_scores):
        raise InputError("known-pairs and known-scores go together, and only one of them is given; give both, or none")
    if not 0 < arguments.alpha < 1:
        raise InputError(f"alpha is {arguments.alpha:g}; expected a probability between 0 and 1, both exclusive")
    if arguments.outputs and (arguments.known_pairs or arguments.model == LENGTH):
        raise InputError("outputs: known rewards and the length baseline have none; leave out outputs, or known-pairs and known-scores")
    if arguments.model == LENGTH:
        _refuse_unread(arguments)
    table = pairs.read(arguments.pairs)
    texts = [*table["chosen_text"], *table["rejected_text"]]
    figures, report = _figures(arguments, texts, table["row_id"].to_numpy())
    chosen, rejected = figures[: len(table)].T, figures[len(table) :].T
    stds = (chosen[1], rejected[1]) if len(chosen) > 1 else None
    scored = scores.table(table["row_id"].to_numpy(), chosen[0], rejected[0], stds)
    if len(scored) != len(table):
        raise AssertionError("rows were lost")
    write_csv(arguments.out, scored)
    write_json(arguments.check, {"model": arguments.model, "pairs": len(table), "pairs_scored": len(scored), **report})
    agreement = f", agreement {scored['agreement'].mean():.3f}" if len(scored) else ""
    print(f"{len(scored)} pairs scored{agreement}", file=sys.stderr)


def _base(model: Any) -> Dict[str, str]:
    """The model that an adapter was put on."""
    return {"name": model.base.name, "revision": model.base.revision, "fingerprint": model.base.fingerprint()} if model.base else {}


def _figures(arguments: Arguments, texts: List[str], row_ids: np.ndarray) -> Tuple[np.ndarray, Dict[str, Any]]:
    """The score of each text and, of a distribution, its standard deviation, [texts, 1 or 2]; and what the check tells of them."""
    if arguments.model == LENGTH:
        return length_rewards(texts)[:, None], {"texts": len(set(texts))}
    from seal import parity
    from seal.engine import inputs, on_ray, reward_models, scoring
    from seal.engine.summaries import Summary
    from seal.journal import Journal

    options: dict[str, Any] = {name: getattr(arguments, name) for name in ("revision", "format", "output", "max_length", "dtype")}
    load = partial(reward_models.load, arguments.model, **options)
    engine = on_ray.engine(load)
    model = load()
    if model.head == "base":
        _refuse_quantile(arguments)
    summary = Summary(model.head, arguments.score, arguments.alpha, arguments.quantile_definition)
    known = _known(arguments, model.head != "base")
    unique = list(dict.fromkeys(texts))
    spelled = inputs.spelled(model.tokenizer, unique)
    _refuse_ends_within(arguments, model, spelled)
    new = [text for text in unique if text not in known]
    # By the place of the pairs, too: what was scored for another table, in other batches, may differ in a reward's last digit.
    with Journal(command_line.work("compare") / f"{fingerprint(model.fingerprint(), arguments.pairs)}.jsonl") as journal:
        scored = scoring.score(model, new, journal, run_batches=engine)
    again = model.encode([text for text in unique if text in known])  # for what is counted below
    figures_of = known | dict(zip(new, summary.figures(scored.outputs), strict=True))
    figures = np.array([figures_of[text] for text in texts], dtype=np.float32).reshape(len(texts), 1 if model.head == "base" else 2)
    reference = model if model.dtype == "fp32" else load(dtype="fp32")
    # Over the known ones, too: rewards of another model, or in another format, are found out here.
    half = len(texts) // 2  # chosen texts first, then rejected ones
    check = parity.check(reference, model.dtype, texts, figures[:, 0], [(row, half + row) for row in range(half)], summary)
    report = {
        "revision": model.checkpoint.revision,
        "fingerprint": model.checkpoint.fingerprint(),
        "base": _base(model),
        "format": model.format,
        "output": model.output,
        "dtype": model.dtype,
        "limit": model.limit,
        **_distribution(summary),
        "texts": len(unique),
        "texts_known": len(unique) - len(new),
        "texts_with_turns_dropped": int((scored.turns_dropped > 0).sum()) + sum(item.turns_dropped > 0 for item in again),
        "responses_cut": int((scored.tokens_cut > 0).sum()) + sum(item.tokens_cut > 0 for item in again),
        "texts_with_special_tokens": len(spelled),
        "parity": check._asdict(),
    }
    if arguments.outputs:
        _write_outputs(arguments.outputs, row_ids, texts, dict(zip(new, scored.outputs, strict=True)), model.width)
    return figures, report


def _refuse_ends_within(arguments: Arguments, model: Any, spelled: List[str]) -> None:
    """Refuse what would end a text within it, where the reward is read at its end, as BART and its like have it."""
    end = model.tokenizer.eos_token
    ended = [text for text in spelled if model.model.config.is_encoder_decoder and end in text]
    if ended:
        raise InputError(
            f"{arguments.pairs}: {len(ended)} texts hold {end}, the first one starts with {ended[0].strip()[:60]!r}, and {arguments.model} "
            "reads its reward where it stands; leave these pairs out, or take another model"
        )


def _refuse_unread(arguments: Arguments) -> None:
    """Refuse what would be given to the length baseline in vain."""
    names = ", ".join(name for name in ("revision", "output") if getattr(arguments, name))
    if names:
        raise InputError(f"{names}: the length baseline counts the characters of the response and takes none of these; leave out {names}")
    _refuse_quantile(arguments)


def _refuse_quantile(arguments: Arguments) -> None:
    if arguments.score == "quantile":
        raise InputError(
            f"model {arguments.model}: score quantile, but its reward is a number and no distribution; set score mean, or train a model "
            "with head mean-and-variance or categorical"
        )


def _distribution(summary: Any) -> Dict[str, Any]:
    """How scores were made of distributions; nothing where there are none."""
    if summary.head == "base":
        return {}
    found: Dict[str, Any] = {"head": summary.head, "score": summary.score}
    if summary.score == "quantile":
        found |= {"alpha": summary.alpha, **({"quantile_definition": summary.definition} if summary.head == "categorical" else {})}
    return found


def _write_outputs(path: str, row_ids: np.ndarray, texts: List[str], outputs_of: Dict[str, np.ndarray], width: int) -> None:
    """One row a text: row_id, preference, output_0, output_1, ...; both texts of a pair together."""
    chosen, rejected = (np.array([outputs_of[text] for text in side]) for side in (texts[: len(row_ids)], texts[len(row_ids) :]))
    both = np.stack([chosen, rejected], axis=1).reshape(2 * len(row_ids), width)
    columns = {f"output_{place}": column for place, column in enumerate(both.T)}
    write_csv(path, pd.DataFrame({"row_id": np.repeat(row_ids, 2), "preference": np.tile(pairs.PREFERENCES, len(row_ids)), **columns}))


def _known(arguments: Arguments, distribution: bool) -> Dict[str, np.ndarray]:
    """The score, and where the model gives a distribution the standard deviation, of each text that it has rewarded in another table."""
    if not arguments.known_pairs:
        return {}
    table = pairs.read(arguments.known_pairs)
    rewards = scores.read(arguments.known_scores, table)
    if distribution and scores.STD_COLUMNS[0] not in rewards:
        raise InputError(
            f"{arguments.known_scores}: lacks the columns {', '.join(scores.STD_COLUMNS)}, and the model gives a distribution; "
            "score the known pairs with the same model"
        )
    figures = ("score", "std") if distribution else ("score",)
    return {
        text: row
        for preference in pairs.PREFERENCES
        for text, row in zip(table[f"{preference}_text"], rewards[[f"{preference}_{name}" for name in figures]].to_numpy(), strict=True)
    }


if __name__ == "__main__":
    command_line.run(main, Arguments, __doc__)
