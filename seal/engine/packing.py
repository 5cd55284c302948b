"""Batches without padding: texts end to end, and of texts that begin alike the beginning once.

A row of padded texts costs its longest text for each; a packed batch costs its tokens. Linear layers, norms and activations see one long
text; only attention has to know where each text lies, and that is what `Run` says.

In a causal model a token's state depends on the tokens before it alone. So a text that begins as an earlier one of its batch does can
leave that beginning out: its own tokens attend to the earlier text's. The two texts of a preference pair share their prompt, mostly.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch

from seal.engine.inputs import Input

WORTH_SHARING = 16
"""Tokens. A shorter common beginning saves less than it costs to attend to it apart."""


class Run(NamedTuple):
    """Texts of one length that lie side by side in a batch."""

    start: int
    """Where the first begins."""
    texts: int
    length: int
    """Tokens of each that lie here."""
    shared_start: int = 0
    shared: int = 0
    """The tokens before them that each has in common with an earlier text, and where in the batch those lie."""

    @property
    def end(self) -> int:
        return self.start + self.texts * self.length


class Packed(NamedTuple):
    """A batch of texts end to end."""

    ids: torch.Tensor
    """[1, tokens], int64, as are the others."""
    types: torch.Tensor | None
    """[1, tokens], where the tokenizer gives token types."""
    positions: torch.Tensor
    """[1, tokens], of each token in its own text, from 0."""
    firsts: torch.Tensor
    """[texts], where in the batch each text's first token lies."""
    lasts: torch.Tensor
    """[texts], where each text's last token lies that is not padding."""
    runs: tuple[Run, ...]


def common_prefix(one: np.ndarray, other: np.ndarray) -> int:
    """How many tokens two texts begin with in common."""
    length = min(len(one), len(other))
    differ = np.flatnonzero(one[:length] != other[:length])
    return int(differ[0]) if len(differ) else length


def pack(batch: Sequence[Input], share: bool = False, pad: int | None = None, device: torch.device | None = None) -> Packed:
    """Lay texts end to end.

    Parameters
    ----------
    batch
        At least one text. Those of one length that follow each other make one run.
    share
        Let texts leave out a beginning that an earlier one of the batch has. Only for causal models.
    pad
        The token that is taken for padding where a text ends with it, as transformers' causal classifiers do; None for no such token.
    device
        Where to put the batch, in one copy.
    """
    ids = [np.asarray(item.ids) for item in batch]
    shared = _shared(ids) if share else [0] * len(ids)
    own = [len(tokens) - left_out for tokens, left_out in zip(ids, shared, strict=True)]
    starts = np.cumsum([0, *own[:-1]])
    leaders = np.maximum.accumulate([index if left_out == 0 else 0 for index, left_out in enumerate(shared)])
    runs: list[Run] = []
    for start, length, leader, left_out in zip(starts.tolist(), own, leaders, shared, strict=True):
        if runs and left_out == 0 == runs[-1].shared and runs[-1].length == length:
            runs[-1] = runs[-1]._replace(texts=runs[-1].texts + 1)
        else:
            runs.append(Run(start, 1, length, int(starts[leader]) if left_out else 0, left_out))
    lasts = []
    for tokens, start, leader, left_out in zip(ids, starts, leaders, shared, strict=True):
        last = len(tokens) - 1 if pad is None else int(np.flatnonzero(tokens != pad)[-1:].sum())  # the first, where all are padding
        lasts.append(start + last - left_out if last >= left_out else starts[leader] + last)
    columns = [
        np.concatenate([tokens[left_out:] for tokens, left_out in zip(ids, shared, strict=True)]),
        np.concatenate([np.arange(left_out, len(tokens)) for tokens, left_out in zip(ids, shared, strict=True)]),
        np.where(np.array(shared) > 0, starts[leaders], starts),
        np.array(lasts),
    ]
    if batch[0].types is not None:
        columns.append(np.concatenate([np.asarray(item.types)[left_out:] for item, left_out in zip(batch, shared, strict=True)]))
    flat = torch.from_numpy(np.concatenate(columns).astype(np.int64))
    if device is not None and device.type != "cpu":
        flat = (flat.pin_memory() if device.type == "cuda" else flat).to(device, non_blocking=True)
    parts = torch.split(flat, [len(column) for column in columns])
    types = parts[4][None] if len(parts) > 4 else None
    return Packed(parts[0][None], types, parts[1][None], parts[2], parts[3], tuple(runs))


def _shared(ids: Sequence[np.ndarray]) -> list[int]:
    """How many tokens each text shares with the last one that shares none, its leader; of each text at least one token is its own.

    A text that has more in common with the next one than with the leader so far leads anew.
    """
    shared = []
    leader = nothing = np.array([], dtype=np.int32)
    for tokens, following in zip(ids, [*ids, nothing][1:], strict=True):
        common = min(common_prefix(leader, tokens), len(tokens) - 1)
        if common < max(WORTH_SHARING, common_prefix(tokens, following)):
            leader, common = tokens, 0
        shared.append(common)
    return shared


def plan(inputs: Sequence[Input], keys: Sequence[str], budget: int, padded: bool = False, share: bool = False) -> list[list[int]]:
    """Which texts to run together: those of like length, the longest first.

    Parameters
    ----------
    inputs, keys
        The texts, and what orders those of one length: the plan depends on the set of texts, not on their order.
    budget
        Tokens in a batch; a single text may take more.
    padded
        Count tokens as padding makes them.
    share
        Keep texts together that begin alike, next to each other as `pack` wants them, and count what they share once.

    Returns
    -------
    Batches of indices into `inputs`.
    """
    groups = _alike(inputs, budget) if share else [[index] for index in range(len(inputs))]
    groups.sort(key=lambda group: (-max(len(inputs[index].ids) for index in group), keys[group[0]]))
    batches: list[list[int]] = []
    used = cost = 0
    for group in groups:
        ids = [np.asarray(inputs[index].ids) for index in group]
        if not padded:
            cost = sum(map(len, ids)) - sum(_shared(ids))
        if not batches or used + cost > budget:
            batches.append([])
            used = 0
            if padded:
                cost = len(ids[0])  # of every text in the batch, as this one is its longest
        batches[-1] += group
        used += cost
    return batches


def _alike(inputs: Sequence[Input], budget: int) -> list[list[int]]:
    """Texts that begin alike together, which in the order of their tokens are neighbours; no more than fit into a batch."""
    ids = [np.asarray(item.ids) for item in inputs]
    order = sorted(range(len(ids)), key=lambda index: ids[index].astype(">i4").tobytes())
    groups: list[list[int]] = []
    tokens = 0
    for index, shared in zip(order, _shared([ids[index] for index in order]), strict=True):
        own = len(ids[index]) - shared
        if not shared or tokens + own > budget:
            groups.append([])
            own, tokens = len(ids[index]), 0
        groups[-1].append(index)
        tokens += own
    return groups
