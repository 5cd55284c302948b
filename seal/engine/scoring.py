"""The scoring engine: texts in, a model's outputs out, in order. It knows no file but its journal, no pairs and no DVC."""

import hashlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, NamedTuple, TypeVar

import numpy as np
import torch
from tqdm import tqdm

from seal.engine.inputs import Input
from seal.engine.packing import pack, plan
from seal.engine.reward_models import RewardModel
from seal.errors import InputError
from seal.files import fingerprint
from seal.journal import Journal

TOKEN_BUDGET = {"cpu": 1024, "cuda": 32768}
"""Tokens in a batch. It bears on speed and memory alone: the parity check holds the rewards to those of one text at a time. On a CPU
larger batches leave the caches."""

WINDOW = 4096
"""Texts whose tokens are in memory at once, and among which batches are planned; those of the next window are made meanwhile."""

_CHUNK = 512
_Work = TypeVar("_Work")
_Done = TypeVar("_Done")


class Scored(NamedTuple):
    """What the engine gives back, each array in the order of the texts."""

    outputs: np.ndarray
    """[texts, outputs], float32; of a head `base` one, the reward. They are raw, so that another score of them runs no model again."""
    turns_dropped: np.ndarray
    """[texts], old prompt turns left out of each input."""
    tokens_cut: np.ndarray
    """[texts], tokens cut off the end of each response."""


class _Window(NamedTuple):
    """Texts whose tokens are in memory."""

    start: int
    """The place of the first among the run's distinct texts."""
    texts: Sequence[str]
    keys: list[str]
    inputs: list[Input]


def score(reward_model: RewardModel, texts: Sequence[str], journal: Journal, token_budget: int | None = None) -> Scored:
    """Score texts; those that are the same to the model once, and those that the journal knows not at all.

    Texts are taken in the order of their characters, a window at a time, so that neighbours begin alike. Batches are planned from the
    set of texts alone, and journalled whole. So a run that was killed and started again plans the same batches, skips those it had
    finished, and gives the same bytes as a run that never stopped.

    Parameters
    ----------
    reward_model
        The model; the journal must belong to its `fingerprint()`.
    texts
        Transcripts, in any order, repeats allowed.
    journal
        An open journal.
    token_budget
        Tokens in a batch; by default `TOKEN_BUDGET` of the device.

    Raises
    ------
    InputError
        If the model gives an output that is no finite number.
    """
    budget = token_budget or TOKEN_BUDGET.get(reward_model.device.type, TOKEN_BUDGET["cpu"])
    unique = sorted(set(texts))
    run_key = fingerprint(_digest(text.encode() for text in unique), budget, WINDOW)
    known, finished = _from_earlier_runs(journal, run_key)
    outputs = np.empty((len(unique), reward_model.width), dtype=np.float32)
    turns_dropped, tokens_cut = np.empty((2, len(unique)), dtype=np.int64)
    news = False
    with tqdm(total=len(unique), unit="text", desc="scoring", disable=None) as bar:
        for window in _one_ahead(lambda start: _read(reward_model, unique, start), range(0, len(unique), WINDOW)):
            batches = _batches(reward_model, window, known, budget)
            bar.update(len(window.keys) - sum(len(batch) for batch in batches))
            for batch, record in _run_batches(reward_model, window, batches, finished, run_key):
                if record["batch"] not in finished:
                    journal.append(record)
                news = True
                known |= _entries(record)
                bar.update(len(batch))
            here = slice(window.start, window.start + len(window.texts))
            outputs[here] = [known[key] for key in window.keys]
            turns_dropped[here] = [item.turns_dropped for item in window.inputs]
            tokens_cut[here] = [item.tokens_cut for item in window.inputs]
    if news:
        journal.append({"finished": True})
    place = {text: index for index, text in enumerate(unique)}
    order = np.array([place[text] for text in texts], dtype=np.int64)
    return Scored(outputs[order], turns_dropped[order], tokens_cut[order])


def key(item: Input) -> str:
    """What the journal knows a text by: what the model reads, so that a change in how texts become inputs never meets an old reward."""
    columns = [item.ids] if item.types is None else [item.ids, item.types]
    return _digest(np.asarray(column, dtype="<i4").tobytes() for column in columns)


def _digest(parts: Iterable[bytes]) -> str:
    """A hash of byte strings and of where each ends, 32 hexadecimal digits."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(len(part).to_bytes(8, "little") + part)
    return digest.hexdigest()[:32]


def _one_ahead(work: Callable[[_Work], _Done], of: Iterable[_Work]) -> Iterator[_Done]:
    """The results of a function in order, the next of which is made in the background."""
    with ThreadPoolExecutor(max_workers=1) as background:
        ahead: deque[Future[_Done]] = deque()
        for item in of:
            ahead.append(background.submit(work, item))
            if len(ahead) > 1:
                yield ahead.popleft().result()
        while ahead:
            yield ahead.popleft().result()


def _read(reward_model: RewardModel, texts: Sequence[str], start: int) -> _Window:
    """Make tokens of a window's texts; as arrays, for they are many."""
    some = texts[start : start + WINDOW]
    inputs = []
    for first in range(0, len(some), _CHUNK):
        for item in reward_model.encode(some[first : first + _CHUNK]):
            types = None if item.types is None else np.array(item.types, dtype=np.int32)
            inputs.append(item._replace(ids=np.array(item.ids, dtype=np.int32), types=types))
    return _Window(start, some, [key(item) for item in inputs], inputs)


def _batches(reward_model: RewardModel, window: _Window, known: dict[str, list[float]], budget: int) -> list[list[int]]:
    """What is left to run of a window, as places in it: of texts that are the same to the model, one."""
    place = {key: index for index, key in enumerate(window.keys) if key not in known}
    new, keys = list(place.values()), list(place)
    packed = reward_model.packed
    batches = plan([window.inputs[index] for index in new], keys, budget, padded=packed is None, share=packed is not None and packed.share)
    return [[new[index] for index in batch] for batch in batches]


def _from_earlier_runs(journal: Journal, run_key: str) -> tuple[dict[str, list[float]], dict[str, dict[str, Any]]]:
    """The outputs that earlier runs left, and the batches that this one finished before it was interrupted."""
    known: dict[str, list[float]] = {}
    pending: list[dict[str, Any]] = []
    for record in journal.records:
        if "finished" in record:
            known |= _all_entries(pending)
            pending = []
        else:
            pending.append(record)
    if any(record["run"] != run_key for record in pending):
        # The interrupted run was about other texts. What it finished is known; what is left is planned anew.
        journal.append({"finished": True})
        known |= _all_entries(pending)
        pending = []
    return known, {record["batch"]: record for record in pending}


def _entries(record: dict[str, Any]) -> dict[str, list[float]]:
    return dict(zip(record["keys"], record["outputs"], strict=True))


def _all_entries(records: list[dict[str, Any]]) -> dict[str, list[float]]:
    return {key: outputs for record in records for key, outputs in _entries(record).items()}


def _run_batches(
    reward_model: RewardModel, window: _Window, batches: Sequence[list[int]], finished: dict[str, dict[str, Any]], run_key: str
) -> Iterator[tuple[list[int], dict[str, Any]]]:
    """Each batch with its record. A GPU is given the next batch before the last one's outputs are waited for."""
    in_flight: deque[tuple[list[int], list[str], str, torch.Tensor]] = deque()

    def landed() -> tuple[list[int], dict[str, Any]]:
        batch, keys, batch_key, on_device = in_flight.popleft()
        outputs = on_device.cpu().numpy()
        _refuse_unless_finite(outputs, [window.texts[index] for index in batch])
        return batch, {"run": run_key, "batch": batch_key, "keys": keys, "outputs": outputs.tolist()}

    for batch in batches:
        keys = [window.keys[index] for index in batch]
        batch_key = fingerprint(keys)
        if batch_key in finished:
            yield batch, finished[batch_key]
            continue
        in_flight.append((batch, keys, batch_key, _outputs(reward_model, [window.inputs[index] for index in batch])))
        if len(in_flight) > (reward_model.device.type == "cuda"):
            yield landed()
    while in_flight:
        yield landed()


def _outputs(reward_model: RewardModel, batch: Sequence[Input]) -> torch.Tensor:
    """The outputs of one batch; where memory does not suffice, of its halves."""
    try:
        return run(reward_model, batch)
    except (torch.OutOfMemoryError, MemoryError, RuntimeError) as error:
        if not _out_of_memory(error):
            raise
        if len(batch) == 1:
            raise InputError(f"one text of {len(batch[0].ids)} tokens does not fit into memory; set max-length, or dtype bf16") from None
    if reward_model.device.type == "cuda":
        torch.cuda.empty_cache()
    half = len(batch) // 2
    return torch.cat([_outputs(reward_model, batch[:half]), _outputs(reward_model, batch[half:])])


def run(reward_model: RewardModel, batch: Sequence[Input]) -> torch.Tensor:
    """Run one batch, packed where that gives each text what it gets alone, and else padded: [texts, outputs], on the model's device."""
    packed = reward_model.packed
    if packed is not None and (packed.longest is None or max(len(item.ids) for item in batch) <= packed.longest):
        pad = reward_model.model.config.get_text_config().pad_token_id if packed.share else None
        return reward_model.packed_outputs(pack(batch, packed.share, pad, reward_model.device))
    with _padding_token(reward_model, batch) as pad:
        return reward_model.outputs({name: tensor.to(reward_model.device) for name, tensor in collate(batch, pad).items()})


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


def _refuse_unless_finite(outputs: np.ndarray, texts: Sequence[str]) -> None:
    for some, text in zip(outputs, texts, strict=True):
        for output in some[~np.isfinite(some)]:
            raise InputError(
                f"the reward of the text that starts with {text.strip()[:60]!r} is {output}, not a finite number; "
                "try dtype fp32, or another model"
            )


def one_at_a_time(reward_model: RewardModel, texts: Sequence[str]) -> Iterator[np.ndarray]:
    """The outputs, [outputs], of texts each run by itself, without padding: what all batching is held to."""
    encoded = reward_model.encode(texts)
    for item in encoded:
        tensors = {"input_ids": torch.tensor([item.ids]), "attention_mask": torch.ones(1, len(item.ids), dtype=torch.long)}
        if item.types is not None:
            tensors["token_type_ids"] = torch.tensor([item.types])
        yield reward_model.outputs({name: tensor.to(reward_model.device) for name, tensor in tensors.items()})[0].cpu().numpy()
