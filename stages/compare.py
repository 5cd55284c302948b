"""Reward both texts of every pair with one reward model.

Finished batches are kept in a journal under .work, so a killed run goes on where it stopped, and when there are more pairs
only the new texts are scored. Texts that the model has rewarded in another table can be taken from there. Every run ends with a
parity check: the texts of some pairs, 32 at least, are rewarded again, each alone and in fp32.

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
    known_pairs: str = flag(
        "table of pairs that this model has rewarded already, so that their texts need not be again; none if not given", ""
    )
    known_scores: str = flag("these rewards, as this stage wrote them", "")


def main(arguments: Arguments) -> None:
    if arguments.max_length < 0:
        raise InputError(f"max-length is {arguments.max_length}; expected 0 for no limit, or a number of tokens")
    if bool(arguments.known_pairs) != bool(arguments.known_scores):
        raise InputError("known-pairs and known-scores go together, and only one of them is given; give both, or none")
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
    from seal import parity
    from seal.engine import on_ray, reward_models, scoring
    from seal.journal import Journal

    options: dict[str, Any] = {name: getattr(arguments, name) for name in ("revision", "format", "output", "max_length", "dtype")}
    load = partial(reward_models.load, arguments.model, **options)
    engine = on_ray.engine(load)
    model = load()
    known = _known(arguments)
    unique = list(dict.fromkeys(texts))
    new = [text for text in unique if text not in known]
    # By the place of the result, too: what was scored for another table, in other batches, may differ in a reward's last digit.
    with Journal(command_line.work("compare") / f"{fingerprint(model.fingerprint(), arguments.out)}.jsonl") as journal:
        scored = scoring.score(model, new, journal, run_batches=engine)
    again = model.encode([text for text in unique if text in known])  # for what is counted below
    reward_of = known | dict(zip(new, scored.rewards, strict=True))
    rewards = np.array([reward_of[text] for text in texts], dtype=np.float32)
    reference = model if model.dtype == "fp32" else load(dtype="fp32")
    # Over the known ones, too: rewards of another model, or in another format, are found out here.
    half = len(texts) // 2  # chosen texts first, then rejected ones
    check = parity.check(reference, model.dtype, texts, rewards, [(row, half + row) for row in range(half)])
    report = {
        "revision": model.checkpoint.revision,
        "fingerprint": model.checkpoint.fingerprint(),
        "base": _base(model),
        "format": model.format,
        "output": model.output,
        "dtype": model.dtype,
        "limit": model.limit,
        "texts": len(unique),
        "texts_known": len(unique) - len(new),
        "texts_with_turns_dropped": int((scored.turns_dropped > 0).sum()) + sum(item.turns_dropped > 0 for item in again),
        "responses_cut": int((scored.tokens_cut > 0).sum()) + sum(item.tokens_cut > 0 for item in again),
        "parity": check._asdict(),
    }
    return rewards, report


def _known(arguments: Arguments) -> Dict[str, float]:
    """The reward of each text that the model has rewarded in another table."""
    if not arguments.known_pairs:
        return {}
    table = pairs.read(arguments.known_pairs)
    rewards = scores.read(arguments.known_scores, table)
    return {
        text: reward
        for preference in pairs.PREFERENCES
        for text, reward in zip(table[f"{preference}_text"], rewards[f"{preference}_score"], strict=True)
    }


if __name__ == "__main__":
    command_line.run(main, Arguments, __doc__)
