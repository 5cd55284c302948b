"""The scoring engine: texts in, rewards out, in order. It knows no file but its journal, no pairs and no DVC."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
import torch
from tqdm import tqdm

from seal.errors import InputError
from seal.files import fingerprint
from seal.inputs import Input
from seal.journal import Journal
from seal.reward_models import RewardModel

TOKEN_BUDGET = {"cpu": 2048, "cuda": 32768}
"""Padded tokens in a batch. It bears on speed and memory alone: the parity check holds the rewards to those of one text at a time."""


class Scored(NamedTuple):
    """What the engine gives back, each array in the order of the texts."""

    rewards: np.ndarray
    """[texts], float32."""
    turns_dropped: np.ndarray
    """[texts], old prompt turns left out of each input."""
    tokens_cut: np.ndarray
    """[texts], tokens cut off the end of each response."""


class _Batch(NamedTuple):
    keys: list[str]
    inputs: list[Input]

    @property
    def key(self) -> str:
        return fingerprint(self.keys)


def score(reward_model: RewardModel, texts: Sequence[str], journal: Journal, token_budget: int | None = None) -> Scored:
    """Score texts; those that are the same to the model once, and those that the journal knows not at all.

    Batches are planned from the set of texts alone, and journalled whole. So a run that was killed and started again plans the
    same batches, skips those it had finished, and gives the same bytes as a run that never stopped.

    Parameters
    ----------
    reward_model
        The model; the journal must belong to its `fingerprint()`.
    texts
        Transcripts, in any order, repeats allowed.
    journal
        An open journal.
    token_budget
        Padded tokens in a batch; by default `TOKEN_BUDGET` of the device.

    Raises
    ------
    InputError
        If the model gives a reward that is no finite number.
    """
    budget = token_budget or TOKEN_BUDGET.get(reward_model.device.type, TOKEN_BUDGET["cpu"])
    unique = dict.fromkeys(texts)
    inputs = dict(zip(unique, reward_model.encode(list(unique)), strict=True))
    # The journal goes by what the model reads, so that a change in how texts become inputs never meets an old reward.
    key_of = {text: fingerprint(item.ids, item.types) for text, item in inputs.items()}
    by_key = {key: inputs[text] for text, key in key_of.items()}
    known, plan, finished = _plan(by_key, journal, budget)
    bar = tqdm(total=len(by_key), initial=len(known.keys() & by_key.keys()), unit="text", desc="scoring", disable=None)
    for batch in plan:
        record = finished.get(batch.key)
        if record is None:
            rewards = _rewards(reward_model, batch.inputs)
            _refuse_unless_finite(rewards, batch.keys, {key: text for text, key in key_of.items()})
            record = {"batch": batch.key, "keys": batch.keys, "rewards": [float(reward) for reward in rewards]}
            journal.append(record)
        known |= _entries(record)
        bar.update(len(batch.keys))
    bar.close()
    if plan:
        journal.append({"finished": True})
    return Scored(
        np.array([known[key_of[text]] for text in texts], dtype=np.float32),
        np.array([inputs[text].turns_dropped for text in texts], dtype=np.int64),
        np.array([inputs[text].tokens_cut for text in texts], dtype=np.int64),
    )


def _plan(by_key: dict[str, Input], journal: Journal, budget: int) -> tuple[dict[str, float], list[_Batch], dict[str, dict[str, Any]]]:
    """What earlier runs know, the batches of this run, and those among them that an interrupted run finished."""
    known: dict[str, float] = {}
    pending: list[dict[str, Any]] = []
    for record in journal.records:
        if "finished" in record:
            known |= _all_entries(pending)
            pending = []
        else:
            pending.append(record)
    plan = _batches(by_key, known, budget)
    if {record["batch"] for record in pending} - {batch.key for batch in plan}:
        # The interrupted run was about other texts. What it finished is known; what is left is planned anew.
        journal.append({"finished": True})
        known |= _all_entries(pending)
        pending = []
        plan = _batches(by_key, known, budget)
    return known, plan, {record["batch"]: record for record in pending}


def _batches(by_key: dict[str, Input], known: dict[str, float], budget: int) -> list[_Batch]:
    """Inputs of like length together, the longest first, as many as the budget of padded tokens holds."""
    batches: list[list[str]] = []
    for key in sorted(by_key.keys() - known.keys(), key=lambda key: (-len(by_key[key].ids), key)):
        if not batches or (len(batches[-1]) + 1) * len(by_key[batches[-1][0]].ids) > budget:
            batches.append([])
        batches[-1].append(key)
    return [_Batch(batch, [by_key[key] for key in batch]) for batch in batches]


def _entries(record: dict[str, Any]) -> dict[str, float]:
    return dict(zip(record["keys"], record["rewards"], strict=True))


def _all_entries(records: list[dict[str, Any]]) -> dict[str, float]:
    return {key: reward for record in records for key, reward in _entries(record).items()}


def _rewards(reward_model: RewardModel, batch: Sequence[Input]) -> np.ndarray:
    """The rewards of one batch; where memory does not suffice, of its halves."""
    try:
        with _padding_token(reward_model, batch) as pad:
            tensors = {name: tensor.to(reward_model.device) for name, tensor in collate(batch, pad).items()}
            return reward_model.rewards(tensors).cpu().numpy()
    except (torch.OutOfMemoryError, MemoryError, RuntimeError) as error:
        if not _out_of_memory(error):
            raise
        if len(batch) == 1:
            raise InputError(f"one text of {len(batch[0].ids)} tokens does not fit into memory; set max-length, or dtype bf16") from None
    if reward_model.device.type == "cuda":
        torch.cuda.empty_cache()
    half = len(batch) // 2
    return np.concatenate([_rewards(reward_model, batch[:half]), _rewards(reward_model, batch[half:])])


def collate(batch: Sequence[Input], pad: int) -> dict[str, torch.Tensor]:
    """Pad inputs on the right to one length: `input_ids`, `attention_mask` and, where given, `token_type_ids`, each [rows, tokens]."""
    length = max(len(item.ids) for item in batch)
    shape = (len(batch), length)
    tensors = {"input_ids": torch.full(shape, pad), "attention_mask": torch.zeros(shape, dtype=torch.long)}
    if batch[0].types is not None:
        tensors["token_type_ids"] = torch.zeros(shape, dtype=torch.long)
    for row, item in enumerate(batch):
        tensors["input_ids"][row, : len(item.ids)] = torch.tensor(item.ids)
        tensors["attention_mask"][row, : len(item.ids)] = 1
        if item.types is not None:
            tensors["token_type_ids"][row, : len(item.ids)] = torch.tensor(item.types)
    return tensors


@contextmanager
def _padding_token(reward_model: RewardModel, batch: Sequence[Input]) -> Iterator[int]:
    """The model's own padding token. A causal model without one finds a text's end as the last token that is not padding, so it is
    lent one that no text of the batch ends with."""
    config = reward_model.model.config.get_text_config()
    own = config.pad_token_id
    if own is None:
        last = {item.ids[-1] for item in batch if item.ids}
        config.pad_token_id = next(token for token in range(len(last) + 1) if token not in last)
    try:
        yield int(config.pad_token_id)
    finally:
        config.pad_token_id = own


def _out_of_memory(error: Exception) -> bool:
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or "can't allocate memory" in str(error)


def _refuse_unless_finite(rewards: np.ndarray, keys: list[str], text_of: dict[str, str]) -> None:
    for reward, key in zip(rewards, keys, strict=True):
        if not np.isfinite(reward):
            raise InputError(
                f"the reward of the text that starts with {text_of[key].strip()[:60]!r} is {reward}, not a finite number; "
                "try dtype fp32, or another model"
            )


def one_at_a_time(reward_model: RewardModel, texts: Sequence[str]) -> Iterator[float]:
    """The rewards of texts each run by itself, without padding: what all batching is held to."""
    encoded = reward_model.encode(texts)
    for item in encoded:
        tensors = {"input_ids": torch.tensor([item.ids]), "attention_mask": torch.ones(1, len(item.ids), dtype=torch.long)}
        if item.types is not None:
            tensors["token_type_ids"] = torch.tensor([item.types])
        yield float(reward_model.rewards({name: tensor.to(reward_model.device) for name, tensor in tensors.items()})[0])
