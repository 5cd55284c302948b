"""The scoring engine: texts in, a model's outputs out, in order. It knows no file but its journal, no pairs and no DVC."""

import hashlib
import itertools
import math
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, contextmanager
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

RunBatches = Callable[[RewardModel, Iterator[list[Input]]], Generator[tuple[int, np.ndarray], None, None]]
"""What runs batches, as many as come. Yields the place of each among them and its outputs, [texts, outputs], in whichever order they
are done."""

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


class _Batch(NamedTuple):
    """Texts that are run together, with what the journal knows them by."""

    key: str
    keys: list[str]
    texts: list[str]


def score(
    reward_model: RewardModel,
    texts: Sequence[str],
    journal: Journal,
    token_budget: int | None = None,
    run_batches: RunBatches | None = None,
) -> Scored:
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
    run_batches
        What runs the batches; by default `in_process`. It bears on no reward.

    Raises
    ------
    InputError
        If the model gives an output that is no finite number.
    """
    budget = token_budget or TOKEN_BUDGET.get(reward_model.device.type, TOKEN_BUDGET["cpu"])
    unique = sorted(set(texts))
    run_key = fingerprint(_digest(text.encode() for text in unique), budget, WINDOW)
    _refuse_unless_records(journal, reward_model.width)
    known, finished = _from_earlier_runs(journal, run_key)
    keys: list[str] = []
    turns_dropped, tokens_cut = np.empty((2, len(unique)), dtype=np.int64)
    running: dict[int, _Batch] = {}
    ran = settled = 0  # texts; the latter need no run

    def to_run() -> Iterator[list[Input]]:
        """The batches that are left to run. They are planned as they are asked for, in a thread of the asker's choice."""
        nonlocal settled
        seen = set(known)
        numbers = itertools.count()
        for window in _one_ahead(lambda start: _read(reward_model, unique, start), range(0, len(unique), WINDOW)):
            here = slice(window.start, window.start + len(window.texts))
            turns_dropped[here] = [item.turns_dropped for item in window.inputs]
            tokens_cut[here] = [item.tokens_cut for item in window.inputs]
            keys.extend(window.keys)
            batches = _batches(reward_model, window, seen, budget)
            seen.update(window.keys)
            settled += len(window.keys) - sum(map(len, batches))
            for places in batches:
                batch_keys = [window.keys[index] for index in places]
                batch = _Batch(fingerprint(batch_keys), batch_keys, [window.texts[index] for index in places])
                if batch.key in finished:
                    settled += len(places)
                else:
                    running[next(numbers)] = batch
                    yield [window.inputs[index] for index in places]

    done = (run_batches or in_process)(reward_model, to_run())
    with closing(done), tqdm(total=len(unique), unit="text", desc="scoring", disable=None) as bar:
        for number, outputs in done:
            batch = running.pop(number)
            _refuse_unless_finite(outputs, batch.texts)
            record = {"run": run_key, "batch": batch.key, "keys": batch.keys, "outputs": outputs.tolist()}
            journal.append(record)
            known |= _entries(record)
            ran += len(batch.keys)
            bar.update(settled + ran - bar.n)
        bar.update(settled + ran - bar.n)
    if ran or finished:
        journal.append({"finished": True})
    known |= _all_entries(list(finished.values()))
    found = np.array([known[key] for key in keys], dtype=np.float32).reshape(len(keys), reward_model.width)
    place = {text: index for index, text in enumerate(unique)}
    order = np.array([place[text] for text in texts], dtype=np.int64)
    return Scored(found[order], turns_dropped[order], tokens_cut[order])


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


def _batches(reward_model: RewardModel, window: _Window, known: set[str], budget: int) -> list[list[int]]:
    """What is left to run of a window, as places in it: of texts that are the same to the model, one."""
    place = {key: index for index, key in enumerate(window.keys) if key not in known}
    new, keys = list(place.values()), list(place)
    packed = reward_model.packed
    batches = plan([window.inputs[index] for index in new], keys, budget, padded=packed is None, share=packed is not None and packed.share)
    return [[new[index] for index in batch] for batch in batches]


def _refuse_unless_records(journal: Journal, width: int) -> None:
    for number, record in enumerate(journal.records, start=1):
        if not _is_record(record, width):
            raise InputError(f"{journal.path}: line {number} is no record of scores; delete the file to start afresh")


def _is_record(record: Any, width: int) -> bool:
    if not isinstance(record, dict) or "finished" in record:
        return isinstance(record, dict)
    keys, outputs = record.get("keys"), record.get("outputs")
    if not isinstance(keys, list) or not isinstance(outputs, list) or not isinstance(record.get("batch"), str) or "run" not in record:
        return False
    right = len(keys) == len(outputs) and all(isinstance(some, list) and len(some) == width for some in outputs)
    return right and all(isinstance(value, float) and math.isfinite(value) for some in outputs for value in some)


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


def in_process(reward_model: RewardModel, batches: Iterator[list[Input]]) -> Generator[tuple[int, np.ndarray], None, None]:
    """Run batches here, in order. A GPU is given the next batch before the last one's outputs are waited for."""
    in_flight: deque[tuple[int, torch.Tensor]] = deque()
    for number, batch in enumerate(batches):
        in_flight.append((number, _outputs(reward_model, batch)))
        if len(in_flight) > (reward_model.device.type == "cuda"):
            landed, outputs = in_flight.popleft()
            yield landed, outputs.cpu().numpy()
    for landed, outputs in in_flight:
        yield landed, outputs.cpu().numpy()


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
        last = {item.ids[-1] for item in batch if len(item.ids)}
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
