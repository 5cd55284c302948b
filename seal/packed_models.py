"""Reward models that run packed batches: each text's reward to rounding what the model gives it alone, at the cost of its tokens.

Encoders and causal models run in transformers' own code, with an attention function that keeps texts apart; DeBERTa, whose attention that
code does not let be replaced, in `packed_deberta`. Whatever else runs padded.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache, partial
from itertools import accumulate
from typing import Any, NamedTuple

import torch
import transformers
from torch.nn import functional

from seal.packed_deberta import packed_deberta
from seal.packing import Packed, Run

ATTENTION = "seal_packed"
"""The name of `attend` among transformers' attention functions. Since it has no function for masks by that name, it makes none."""


class PackedModel(NamedTuple):
    """How a model runs packed batches."""

    logits: Callable[[Packed], torch.Tensor]
    """From a batch on the model's device to its outputs, [texts, outputs], fp32."""
    share: bool = False
    """Whether texts may leave out a beginning that others have."""
    longest: int | None = None
    """In tokens, the longest text for which this is exact; None for no limit."""


def packed(model: Any) -> PackedModel | None:
    """How a sequence classifier runs packed batches; None where its architecture, or an unusual setting of it, leaves only padding.

    Parameters
    ----------
    model
        A loaded `…ForSequenceClassification` of transformers, on its device and in its dtype.
    """
    kind = type(model).__name__.removesuffix("ForSequenceClassification")
    config = model.config
    if kind == "DebertaV2":
        hidden = packed_deberta(model.deberta)
        return hidden and PackedModel(lambda batch: _pooled(model, hidden(batch)[batch.firsts]))
    if kind in ("Bert", "Electra", "Roberta", "XLMRoberta", "Camembert"):
        absolute = getattr(config, "position_embedding_type", "absolute") == "absolute"
        return PackedModel(partial(_encoder_logits, model)) if absolute and not config.is_decoder else None
    if kind in ("Llama", "Mistral", "Qwen2", "Qwen3"):
        # These angles depend on the longest text of a batch, in padded ones, too.
        if (getattr(config, "rope_parameters", None) or {}).get("rope_type") in ("dynamic", "longrope"):
            return None
        return PackedModel(partial(_causal_logits, model), share=True, longest=getattr(config, "sliding_window", None))
    if kind == "GPT2":
        return PackedModel(partial(_causal_logits, model), share=True)
    return None


def _encoder_logits(model: Any, batch: Packed) -> torch.Tensor:
    positions = batch.positions
    padding = getattr(model.base_model.embeddings, "padding_idx", None)
    if padding is not None:  # RoBERTa counts from behind its padding token's number, and counts that token not
        counted = (batch.ids != padding).long()
        before = counted.cumsum(1) - counted
        starts = torch.arange(batch.ids.shape[1], device=batch.ids.device) - batch.positions[0]
        positions = (before - before[:, starts] + 1) * counted + padding
    types = {} if batch.types is None else {"token_type_ids": batch.types}
    with _attention(model):
        hidden = model.base_model(input_ids=batch.ids, position_ids=positions, packed=batch, **types).last_hidden_state[0]
    return _pooled(model, hidden[batch.firsts])


def _pooled(model: Any, first_tokens: torch.Tensor) -> torch.Tensor:
    """The outputs from the states of the texts' first tokens, [texts, width]."""
    states = first_tokens[:, None]
    pooler = getattr(model, "pooler", None) or getattr(model.base_model, "pooler", None)
    logits: torch.Tensor = model.classifier(pooler(states) if pooler else states)
    return logits


def _causal_logits(model: Any, batch: Packed) -> torch.Tensor:
    types = {} if batch.types is None else {"token_type_ids": batch.types}
    with _attention(model):
        found = model.base_model(input_ids=batch.ids, position_ids=batch.positions, packed=batch, use_cache=False, **types)
    logits: torch.Tensor = model.score(found.last_hidden_state[0, batch.lasts])
    return logits


@contextmanager
def _attention(model: Any) -> Iterator[None]:
    """Let the model attend as packed batches ask for, for the time of one; the parity check runs the same model as transformers do."""
    own = model.config._attn_implementation
    model.config._attn_implementation = ATTENTION
    try:
        yield
    finally:
        model.config._attn_implementation = own


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
