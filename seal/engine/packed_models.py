"""Reward models that run packed batches: each text's reward to rounding what the model gives it alone, at the cost of its tokens.

Causal models run in transformers' own code, with an attention function that keeps texts apart; encoders, whose layers are alike and
simple, in a loop over their layers with fewer and larger products. Whatever else runs padded.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, NamedTuple

import torch

from seal.engine.packed_attention import ATTENTION
from seal.engine.packed_deberta import packed_deberta
from seal.engine.packed_encoder import packed_encoder
from seal.engine.packing import Packed


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
    firsts = _packed_firsts(model.base_model)
    if firsts:
        return PackedModel(partial(_encoder_logits, model, firsts))
    if kind in ("GPT2", "Llama", "Mistral", "Qwen2", "Qwen3") and not _angles_vary(config):
        return PackedModel(partial(_causal_logits, model), share=True, longest=getattr(config, "sliding_window", None))
    return None


def packed_states(encoder: Any) -> Callable[[Packed], torch.Tensor] | None:
    """How an encoder without a head runs packed batches: to its last hidden states, [tokens, width]; None as in `packed`."""
    if type(encoder).__name__ == "DebertaV2Model":
        return packed_deberta(encoder)
    return packed_encoder(encoder) if _like_bert(encoder) else None


def _packed_firsts(encoder: Any) -> Callable[[Packed], torch.Tensor] | None:
    """As `packed_states`, but to those of each text's first token alone, [texts, width]."""
    if _like_bert(encoder):
        return packed_encoder(encoder, firsts_only=True)
    states = packed_states(encoder)
    return (lambda batch: states(batch)[batch.firsts]) if states else None


def _like_bert(encoder: Any) -> bool:
    kinds = ("BertModel", "ElectraModel", "RobertaModel", "XLMRobertaModel", "CamembertModel")
    absolute = getattr(encoder.config, "position_embedding_type", "absolute") == "absolute"
    return type(encoder).__name__ in kinds and absolute and not encoder.config.is_decoder


def _angles_vary(config: Any) -> bool:
    """Whether a token's rotary angles depend on the longest text of its batch, in padded ones, too."""
    return (getattr(config, "rope_parameters", None) or {}).get("rope_type") in ("dynamic", "longrope")


def _encoder_logits(model: Any, firsts: Callable[[Packed], torch.Tensor], batch: Packed) -> torch.Tensor:
    states = firsts(batch)[:, None]  # to the head, each text is as long as the token it reads
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
