"""Attention in which texts of a packed batch see themselves alone, in the form of transformers' attention functions."""

from functools import lru_cache
from itertools import accumulate
from typing import Any, NamedTuple

import torch
import transformers
from torch.nn import functional

from seal.engine.packing import Packed, Run

ATTENTION = "seal_packed"
"""The name of `attend` among transformers' attention functions. Since it has no function for masks by that name, it makes none."""


def attend(
    module: Any, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, mask: None, packed: Packed, scaling: float, **_: Any
) -> tuple[torch.Tensor, None]:
    """Attention within each text of a packed batch, in the form that transformers asks of an attention function.

    Parameters
    ----------
    module
        The layer, which says whether it `is_causal`.
    query, key, value
        [1, heads, tokens, width]; key and value may have fewer heads, each of which then serves several of the query's.
    mask
        None: which token sees which is what `packed` says.
    packed
        The batch.
    scaling
        Of the products of queries and keys.

    Returns
    -------
    [1, tokens, heads, width], and no weights.
    """
    del mask
    queries, keys, values = query[0], key[0], value[0]
    if queries.is_cuda and queries.dtype == torch.bfloat16:
        return _attend_varlen(queries, keys, values, packed.runs, module.is_causal, scaling)[None], None
    if len(keys) < len(queries):
        keys, values = (states.repeat_interleave(len(queries) // len(states), dim=0) for states in (keys, values))
    out = queries.new_empty(queries.shape[1], len(queries), values.shape[-1])
    for run in packed.runs:
        found = functional.scaled_dot_product_attention(
            _texts(queries, run),
            _with_shared(keys, run),
            _with_shared(values, run),
            attn_mask=_seen(run.length, run.shared, queries.dtype, queries.device) if run.shared else None,
            is_causal=module.is_causal and not run.shared,
            scale=scaling,
        )
        out[run.start : run.end].view(run.texts, run.length, *out.shape[1:]).copy_(found.transpose(1, 2))
    return out[None], None


transformers.AttentionInterface.register(ATTENTION, attend)


def attend_once(queries: torch.Tensor, keys: torch.Tensor, values: torch.Tensor, packed: Packed, scaling: float) -> torch.Tensor:
    """What one token of each text sees of all of its text.

    Parameters
    ----------
    queries
        [texts, heads, width] of those tokens.
    keys, values
        [heads, tokens, width] of all tokens of the batch, whose texts share none.
    packed
        The batch.
    scaling
        Of the products of queries and keys.

    Returns
    -------
    [texts, heads, width].
    """
    found, done = [], 0
    for run in packed.runs:
        of_run = queries[done : done + run.texts, :, None]
        found.append(functional.scaled_dot_product_attention(of_run, _texts(keys, run), _texts(values, run), scale=scaling)[:, :, 0])
        done += run.texts
    return torch.cat(found)


def _texts(states: torch.Tensor, run: Run) -> torch.Tensor:
    """From [heads, tokens, width] of the batch to [texts, heads, tokens, width] of a run."""
    return states[:, run.start : run.end].view(len(states), run.texts, run.length, -1).transpose(0, 1)


def _with_shared(states: torch.Tensor, run: Run) -> torch.Tensor:
    own = _texts(states, run)
    return torch.cat([states[None, :, run.shared_start : run.shared_start + run.shared], own], dim=2) if run.shared else own


@lru_cache(maxsize=64)
def _seen(length: int, shared: int, dtype: torch.dtype, device: torch.device) -> torch.Tensor:
    """The mask of a text of which other tokens come first, [length, shared + length]: all of those, and its own up to each."""
    return torch.full((length, shared + length), -torch.inf, dtype=dtype, device=device).triu_(shared + 1)


def _attend_varlen(
    queries: torch.Tensor, keys: torch.Tensor, values: torch.Tensor, runs: tuple[Run, ...], causal: bool, scaling: float
) -> torch.Tensor:
    """All texts in one call of FlashAttention, whose causal mask is aligned with the last token; [tokens, heads, width]."""
    from torch.nn.attention.varlen import varlen_attn

    layout = varlen_layout(runs, queries.device)
    found = varlen_attn(
        queries.transpose(0, 1),
        keys.transpose(0, 1)[layout.keys],
        values.transpose(0, 1)[layout.keys],
        layout.query_ends,
        layout.key_ends,
        layout.longest_query,
        layout.longest_key,
        scale=scaling,
        window_size=(-1, 0) if causal else (-1, -1),
        enable_gqa=len(keys) < len(queries),
    )
    if not isinstance(found, torch.Tensor):
        raise AssertionError("no log-sum-exp was asked for")
    return found


class VarlenLayout(NamedTuple):
    """Where texts lie, in the terms of torch's `varlen_attn`."""

    keys: torch.Tensor
    """Which of the batch's tokens are the keys, text by text."""
    query_ends: torch.Tensor
    """[texts + 1], int32: 0, and where each text's queries end."""
    key_ends: torch.Tensor
    longest_query: int
    longest_key: int


@lru_cache(maxsize=2)
def varlen_layout(runs: tuple[Run, ...], device: torch.device) -> VarlenLayout:
    """The layout of a batch, made once for all layers."""
    texts = [run._replace(start=run.start + text * run.length, texts=1) for run in runs for text in range(run.texts)]
    spans = [(text.shared_start, text.shared_start + text.shared, text.start, text.end) for text in texts]
    keys = torch.cat([torch.arange(*span) for *shared, start, end in spans for span in (shared, (start, end))])
    queries, both = [text.length for text in texts], [text.shared + text.length for text in texts]
    query_ends, key_ends = (torch.tensor([0, *accumulate(lengths)], dtype=torch.int32, device=device) for lengths in (queries, both))
    return VarlenLayout(keys.to(device), query_ends, key_ends, max(queries), max(both))
