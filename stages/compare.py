"""Reward both texts of every pair with one reward model.

Finished batches are kept in a journal under .work, so a killed run goes on where it stopped, and when there are more pairs
only the new texts are scored. Every run ends with a parity check: 32 texts are scored again, each alone and in fp32.
"""

import command_line
from command_line import flag

# isort: split
import sys
from dataclasses import dataclass
from typing import Any, Dict, List, Literal, Tuple

import numpy as np

from seal import pairs, scores
from seal.errors import InputError
from seal.files import fingerprint, write_csv, write_json
from seal.length import LENGTH, length_rewards


@dataclass(frozen=True)
class Arguments:
    pairs: str = flag("table of pairs, as stages/prepare.py writes it")
    out: str = flag("where to write row_id, chosen_score, rejected_score, agreement (CSV)")
    check: str = flag("where to write counts, provenance and the parity check (JSON)")
    model: str = flag(
        "the reward model: a folder, a hub id (owner/name), package:<module>, or length, the baseline in characters of the response"
    )
    revision: str = flag("commit or branch of a hub model; required there", "")
    format: Literal["pair", "transcript", "chat"] = flag(
        "how a text becomes input: (prompt, response) split at the last Assistant:, one text, or the tokenizer's chat template", "pair"
    )
    output: str = flag("label or index of the output that is the reward; needed where the model has several", "")
    max_length: int = flag("longest input in tokens, special ones included; 0 for no limit but the model's own absolute positions", 0)
    dtype: Literal["fp32", "bf16", "auto"] = flag("fp32 is the reference; auto takes bf16 where it is at least twice as fast", "fp32")


def main(arguments: Arguments) -> None:
    if arguments.max_length < 0:
        raise InputError(f"max-length is {arguments.max_length}; expected 0 for no limit, or a number of tokens")
    table = pairs.read(arguments.pairs)
    texts = [*table["chosen_text"], *table["rejected_text"]]
    rewards, report = _rewards(arguments, texts)
    chosen, rejected = rewards[: len(table)], rewards[len(table) :]
    scored = scores.table(table["row_id"].to_numpy(), chosen, rejected)
    if len(scored) != len(table):
        raise AssertionError("rows were lost")
    write_csv(arguments.out, scored)
    write_json(arguments.check, {"model": arguments.model, "pairs": len(table), "pairs_scored": len(scored), **report})
    print(f"{len(scored)} pairs scored, agreement {scored['agreement'].mean():.3f}", file=sys.stderr)


def _base(model: Any) -> Dict[str, str]:
    """The model that an adapter was put on."""
    return {"name": model.base.name, "revision": model.base.revision, "fingerprint": model.base.fingerprint()} if model.base else {}


def _rewards(arguments: Arguments, texts: List[str]) -> Tuple[np.ndarray, Dict[str, Any]]:
    if arguments.model == LENGTH:
        return length_rewards(texts), {"texts": len(set(texts))}
    from seal import parity, reward_models, scoring
    from seal.journal import Journal

    options: dict[str, Any] = {name: getattr(arguments, name) for name in ("revision", "format", "output", "max_length", "dtype")}
    model = reward_models.load(arguments.model, **options)
    # By the place of the result, too: what was scored for another table, in other batches, may differ in a reward's last digit.
    with Journal(command_line.work("compare") / f"{fingerprint(model.fingerprint(), arguments.out)}.jsonl") as journal:
        scored = scoring.score(model, texts, journal)
    reference = model if model.dtype == "fp32" else reward_models.load(arguments.model, **{**options, "dtype": "fp32"})
    check = parity.check(reference, model.dtype, texts, scored.rewards)
    unique = {text: position for position, text in enumerate(texts)}.values()
    report = {
        "revision": model.checkpoint.revision,
        "fingerprint": model.checkpoint.fingerprint(),
        "base": _base(model),
        "format": model.format,
        "output": model.output,
        "dtype": model.dtype,
        "limit": model.limit,
        "texts": len(unique),
        "texts_with_turns_dropped": sum(bool(scored.turns_dropped[position]) for position in unique),
        "responses_cut": sum(bool(scored.tokens_cut[position]) for position in unique),
        "parity": check._asdict(),
    }
    return scored.rewards, report


if __name__ == "__main__":
    command_line.run(main, Arguments, __doc__)
