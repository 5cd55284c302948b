"""BERT, ELECTRA, RoBERTa and their like on packed batches, in a loop over their layers; and what of it serves DeBERTa, too."""

from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from seal.engine.packed_attention import attend, attend_once
from seal.engine.packing import Packed


def packed_encoder(model: Any, firsts_only: bool = False) -> Callable[[Packed], torch.Tensor]:
    """The last hidden states of a `BertModel`, or one of the same form, for packed batches, [tokens, width].

    With `firsts_only` those of each text's first token alone, [texts, width]. No other token's are needed then in the last layer, but for
    their keys and values: of six layers that spares a seventh of the work.
    """
    layers = [(layer, layer.attention.self) for layer in model.encoder.layer]
    projections = [fused(attention.query, attention.key, attention.value) for _, attention in layers]

    def hidden(batch: Packed) -> torch.Tensor:
        types = {} if batch.types is None else {"token_type_ids": batch.types}
        states: torch.Tensor = model.embeddings(input_ids=batch.ids, position_ids=_positions(model, batch), **types)[0]
        if hasattr(model, "embeddings_project"):
            states = model.embeddings_project(states)
        spare = firsts_only and not states.is_cuda  # there one call serves a whole batch, and one for each run would take longer
        for (layer, attention), (weight, bias) in zip(layers[:-1] if spare else layers, projections, strict=False):
            projected = functional.linear(states, weight, bias).view(len(states), 3, attention.num_attention_heads, -1)
            query, key, value = projected.permute(1, 2, 0, 3)[:, None]
            context, _ = attend(attention, query, key, value, None, batch, attention.scaling)
            states = after_attention(layer, states, context[0])
        if spare:
            return _last_layer_of_firsts(*layers[-1], *projections[-1], states, batch)
        return states[batch.firsts] if firsts_only else states

    return hidden


def _last_layer_of_firsts(
    layer: Any, attention: Any, weight: torch.Tensor, bias: torch.Tensor, states: torch.Tensor, batch: Packed
) -> torch.Tensor:
    """What a layer makes of each text's first token, [texts, width], from the states of all tokens."""
    firsts, heads = states[batch.firsts], attention.num_attention_heads
    width = len(weight) // 3
    query = functional.linear(firsts, weight[:width], bias[:width]).view(len(firsts), heads, -1)
    key, value = functional.linear(states, weight[width:], bias[width:]).view(len(states), 2, heads, -1).permute(1, 2, 0, 3)
    return after_attention(layer, firsts, attend_once(query, key, value, batch, attention.scaling))


def _positions(model: Any, batch: Packed) -> torch.Tensor:
    """RoBERTa and its like count from behind their padding token's number, and count that token not."""
    padding: int | None = getattr(model.embeddings, "padding_idx", None)
    if padding is None:
        return batch.positions
    counted = (batch.ids != padding).long()
    before = counted.cumsum(1) - counted
    starts = torch.arange(batch.ids.shape[1], device=batch.ids.device) - batch.positions[0]
    return (before - before[:, starts] + 1) * counted + padding


@torch.no_grad()
def fused(*projections: nn.Linear) -> tuple[torch.Tensor, torch.Tensor]:
    """Weight and bias of several layers of one input as of one. The layers share their memory, and stay as they were."""
    weight = torch.cat([projection.weight for projection in projections])
    bias = torch.cat([projection.bias for projection in projections])
    each = len(projections)
    for projection, own_weight, own_bias in zip(projections, weight.chunk(each), bias.chunk(each), strict=True):
        projection.weight.data, projection.bias.data = own_weight, own_bias
    return weight, bias


def after_attention(layer: Any, states: torch.Tensor, context: torch.Tensor) -> torch.Tensor:
    """The rest of an encoder's layer, [tokens, width].

    Parameters
    ----------
    layer
        Of transformers.
    states
        What the layer was given.
    context
        What attention made of it, [tokens, heads, head width].
    """
    attention, output = layer.attention.output, layer.output
    attended = attention.LayerNorm(attention.dense(context.flatten(1)).add_(states))
    found: torch.Tensor = output.LayerNorm(output.dense(layer.intermediate(attended)).add_(attended))
    return found
