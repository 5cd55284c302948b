"""DeBERTa-v2 and v3 on packed batches.

He, Liu, Gao, Chen 2021, arXiv 2006.03654, equation 4: the score of tokens i and j is q_i·k_j + q_i·p_b(i-j) + k_j·r_b(i-j), where p and r
are projections of the embedding of the bucket b of their distance. What transformers computes anew in each layer of each batch, or gathers
element by element into [heads, tokens, tokens], is taken here

- from projections made once, as weights don't change;
- for all tokens and distances as one product, [tokens, distances], in which the score of i and j lies at row i, column i-j: a matrix with
  constant diagonals, so that reading it with another stride puts it beside q·k without a copy;
- a few heads at a time, so that scores stay in the processor's cache.

On CUDA the kernels of disentangled-flash do it, where that package is installed.
"""

import copy
import importlib.util
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch.nn import functional
from transformers.models.deberta_v2.modeling_deberta_v2 import make_log_bucket_position

from seal.engine.packed_attention import varlen_layout
from seal.engine.packed_encoder import after_attention, fused
from seal.engine.packing import Packed, Run

CACHE = 3 * 2**19
"""Bytes of a CPU's cache that the scores of the heads at work may take."""


class _Layer(NamedTuple):
    module: Any
    weight: torch.Tensor
    """Of queries, keys and values, [3 · width, width]."""
    bias: torch.Tensor
    distance_keys: torch.Tensor
    """p of each bucket, [buckets, heads, head width]."""
    distance_queries: torch.Tensor
    """r of each bucket."""


def packed_deberta(model: Any) -> Callable[[Packed], torch.Tensor] | None:
    """The last hidden states of a `DebertaV2Model` for packed batches, [tokens, width].

    Returns None for what no published v3 has: convolutions (v2 xlarge has one), other than both kinds of relative positions, or none.
    """
    if model.device.type == "cuda" and (flash := disentangled_flash(model, "triton")):
        return flash
    encoder = model.encoder
    attentions = [layer.attention.self for layer in encoder.layer]
    if encoder.conv is not None or not all(
        attention.relative_attention and set(attention.pos_att_type) == {"c2p", "p2c"} for attention in attentions
    ):
        return None
    layers = [_layer(module, encoder) for module in encoder.layer]

    def hidden(batch: Packed) -> torch.Tensor:
        states: torch.Tensor = model.embeddings(input_ids=batch.ids, token_type_ids=batch.types, position_ids=batch.positions)[0]
        buckets = _buckets(attentions[0], max(run.length for run in batch.runs), states.device)
        for layer in layers:
            states = _run_layer(layer, states, buckets, batch.runs)
        return states

    return hidden


def disentangled_flash(model: Any, backend: str) -> Callable[[Packed], torch.Tensor] | None:
    """As `packed_deberta`, by the package disentangled-flash.

    Parameters
    ----------
    model
        A `DebertaV2Model`, which stays as it is.
    backend
        `triton`, its kernels for CUDA, or `torch`.

    Returns
    -------
    None where the package is not installed, or says that it cannot run this model on this machine.
    """
    if importlib.util.find_spec("disentangled_flash") is None:
        return None
    from disentangled_flash import DebertaV2OptimizedEncoder, optimize_deberta

    # The package puts its own layers into the model it is given: a copy, whose weights are the model's own.
    weights: dict[int, Any] = {id(tensor): tensor for tensor in (*model.parameters(), *model.buffers())}
    encoder = optimize_deberta(copy.deepcopy(model, weights), backend=backend).encoder
    if not isinstance(encoder, DebertaV2OptimizedEncoder):
        return None

    def hidden(batch: Packed) -> torch.Tensor:
        states = model.embeddings(input_ids=batch.ids, token_type_ids=batch.types, position_ids=batch.positions)[0]
        layout = varlen_layout(batch.runs, states.device)
        found = encoder.forward_packed(states, layout.query_ends, layout.longest_query, output_hidden_states=False)
        last: torch.Tensor = found.last_hidden_state
        return last

    return hidden


@torch.no_grad()
def _layer(module: Any, encoder: Any) -> _Layer:
    """A layer with what can be made once."""
    attention = module.attention.self
    weight, bias = fused(attention.query_proj, attention.key_proj, attention.value_proj)
    embeddings = encoder.get_rel_embedding()[: 2 * attention.pos_ebd_size]
    to_key, to_query = (
        (attention.key_proj, attention.query_proj) if attention.share_att_key else (attention.pos_key_proj, attention.pos_query_proj)
    )
    heads = (-1, attention.num_attention_heads, attention.attention_head_size)
    return _Layer(module, weight, bias, to_key(embeddings).view(heads), to_query(embeddings).view(heads))


def _buckets(attention: Any, length: int, device: torch.device) -> torch.Tensor:
    """The bucket of each distance from `1 - length` to `length - 1`, [2 · length - 1]."""
    distances: torch.Tensor = torch.arange(1 - length, length)
    if attention.position_buckets > 0:
        distances = make_log_bucket_position(distances, attention.position_buckets, attention.max_relative_positions).long()
    span: int = attention.pos_ebd_size
    return (distances + span).clamp(0, 2 * span - 1).to(device)


def _run_layer(layer: _Layer, states: torch.Tensor, buckets: torch.Tensor, runs: tuple[Run, ...]) -> torch.Tensor:
    projected = functional.linear(states, layer.weight, layer.bias).view(len(states), 3, *layer.distance_keys.shape[1:])
    context = _attend(projected, layer.distance_keys[buckets.flip(0)], layer.distance_queries[buckets], runs)
    return after_attention(layer.module, states, context)


def _attend(projected: torch.Tensor, keys: torch.Tensor, queries: torch.Tensor, runs: tuple[Run, ...]) -> torch.Tensor:
    """Attention within each text, [tokens, heads, head width].

    Parameters
    ----------
    projected
        Queries, keys and values, [tokens, 3, heads, head width].
    keys, queries
        Of distances, [2 · longest - 1, heads, head width]: keys from the largest to the smallest, queries the other way round.
    runs
        Of the batch.
    """
    longest = (len(keys) + 1) // 2
    context = torch.empty_like(projected[:, 0])
    for run in runs:
        distances = slice(longest - run.length, longest + run.length - 1)
        by_head = keys[distances].transpose(0, 1), queries[distances].transpose(0, 1)  # [heads, distances, head width]
        if projected.is_cuda:  # few large products; each head of each text has its own distances, as copies
            here = projected[run.start : run.end].view(run.texts, run.length, *projected.shape[1:]).permute(2, 0, 3, 1, 4).flatten(1, 2)
            found = _scored(*here, *(distance.repeat(run.texts, 1, 1) for distance in by_head))
            context[run.start : run.end] = found.view(run.texts, -1, *found.shape[1:]).transpose(1, 2).flatten(0, 1)
            continue
        heads = max(1, CACHE // (run.length * (6 * run.length) * projected.element_size()))
        for start in range(run.start, run.end, run.length):
            here = projected[start : start + run.length].permute(1, 2, 0, 3)  # [3, heads, tokens, head width]
            for first in range(0, here.shape[1], heads):
                some = slice(first, first + heads)
                found = _scored(*here[:, some], *(distance[some] for distance in by_head))
                context[start : start + run.length, some] = found.transpose(0, 1)
    return context


def _scored(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, distance_key: torch.Tensor, distance_query: torch.Tensor
) -> torch.Tensor:
    """Attention with disentangled scores: query, key and value [heads, tokens, width], of distances [heads, 2 · tokens - 1, width]."""
    heads, length, width = query.shape
    row = 2 * length - 1
    # Of query i and the distance to j: row i, column j - i + length - 1. Of key j and the distance to i: row j, column i - j + length - 1.
    to_distance = torch.bmm(query, distance_key.transpose(1, 2)).as_strided((heads, length, length), (length * row, row - 1, 1), length - 1)
    from_distance = torch.bmm(key, distance_query.transpose(1, 2)).as_strided(
        (heads, length, length), (length * row, 1, row - 1), length - 1
    )
    scale = 1 / math.sqrt(3 * width)
    scores = (to_distance + from_distance).baddbmm_(query, key.transpose(1, 2), beta=scale, alpha=scale)
    return torch.bmm(torch.softmax(scores, dim=-1, out=scores), value)
