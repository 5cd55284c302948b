"""The benchmark's count of operations, against counts by hand and those that torch sees; and what it does to texts."""

import sys
from typing import Any

import pytest
import torch
import transformers
from conftest import ROOT
from torch.utils.flop_counter import FlopCounterMode

sys.path.insert(0, str(ROOT / "benchmarks"))

import scoring_flops
import scoring_models
import scoring_ways
from scoring_models import Pair

BERT = transformers.BertConfig(
    vocab_size=50,
    hidden_size=8,
    num_hidden_layers=3,
    num_attention_heads=2,
    intermediate_size=20,
    num_labels=1,
    attn_implementation="eager",
)
LLAMA = transformers.LlamaConfig(
    vocab_size=50,
    hidden_size=8,
    num_hidden_layers=3,
    num_attention_heads=4,
    num_key_value_heads=2,
    intermediate_size=20,
    num_labels=1,
    pad_token_id=0,
    attn_implementation="eager",
)
DEBERTA = transformers.DebertaV2Config(
    vocab_size=50,
    hidden_size=8,
    num_hidden_layers=3,
    num_attention_heads=2,
    intermediate_size=20,
    num_labels=1,
    relative_attention=True,
    position_buckets=4,
    max_relative_positions=-1,
    max_position_embeddings=512,
    pos_att_type=["p2c", "c2p"],
    share_att_key=True,
    norm_rel_ebd="layer_norm",
    position_biased_input=False,
    type_vocab_size=0,
)


def seen_by_torch(config: Any, tokens: int) -> int:
    model = transformers.AutoModelForSequenceClassification.from_config(config).eval()
    with FlopCounterMode(display=False) as counter:  # with autograd on: without, it stumbles over DeBERTa
        model(input_ids=torch.arange(1, tokens + 1)[None], attention_mask=torch.ones(1, tokens, dtype=torch.long))
    return int(counter.get_total_flops())


def test_operations_of_bert_by_hand() -> None:
    linear = 5 * 2 * (4 * 8 * 8 + 2 * 8 * 20)  # five tokens
    attention = 2 * (2 * 5 * 5 * 8)
    assert scoring_flops.of_text(BERT, 5) == 3 * (linear + attention) + 2 * 8 * 8 + 2 * 8


@pytest.mark.parametrize("tokens", [1, 5, 20])
def test_operations_of_bert_are_those_that_torch_sees(tokens: int) -> None:
    assert scoring_flops.of_text(BERT, tokens) == seen_by_torch(BERT, tokens)


@pytest.mark.parametrize("tokens", [1, 5, 20])
def test_operations_of_llama_are_those_that_torch_sees_but_for_what_is_hidden(tokens: int) -> None:
    hidden = 3 * 2 * 2 * 8 * (tokens * (tokens - 1) // 2)  # torch multiplies with what the causal mask hides, too
    head = 2 * 8 * (tokens - 1)  # transformers puts the head on every token, and then takes the last
    assert scoring_flops.of_text(LLAMA, tokens) == seen_by_torch(LLAMA, tokens) - hidden - head


@pytest.mark.parametrize("tokens", [1, 5, 20])
def test_operations_of_deberta_are_those_that_torch_sees_but_for_constants_and_repeats(tokens: int) -> None:
    constants = 3 * 2 * (2 * 8 * 8 * 8)  # queries and keys of 2 * 4 relative positions
    positions = 3 * 2 * (2 * tokens * 8 * 8)  # each token with all of them, both ways
    needed = 3 * 2 * (2 * 8 * scoring_flops.distances(DEBERTA, tokens))
    assert scoring_flops.of_text(DEBERTA, tokens) - needed == seen_by_torch(DEBERTA, tokens) - constants - positions


@pytest.mark.parametrize("tokens", [1, 2, 3, 7, 30])
def test_distances_are_those_found_one_by_one(tokens: int) -> None:
    from transformers.models.deberta_v2.modeling_deberta_v2 import build_relative_position

    ids = torch.zeros(1, tokens, 1)
    buckets = build_relative_position(ids, ids, bucket_size=4, max_position=512)[0]
    assert scoring_flops.distances(DEBERTA, tokens) == sum(len(set(row.tolist())) for row in buckets)
    assert scoring_flops.distances(DEBERTA, tokens) == sum(len(set(column.tolist())) for column in buckets.T)


def test_what_a_pair_shares_is_counted_once() -> None:
    # Three shared tokens, two and one of their own. The second text's one new token sees four.
    linear = 2 * (2 * 8 * 8 + 2 * 8 * 4 + 3 * 8 * 20)
    once = 3 * (6 * linear + 4 * 8 * (15 + 4)) + 2 * (2 * 8)
    assert scoring_flops.of_pairs_once(LLAMA, [([7, 8, 9, 1, 2], [7, 8, 9, 3])]) == once


def test_a_text_that_another_starts_with_still_has_its_last_token_computed() -> None:
    whole = scoring_flops.of_text(LLAMA, 5)
    assert scoring_flops.of_pairs_once(LLAMA, [([7, 8, 9, 1, 2], [7, 8, 9])]) == whole + scoring_flops.of_text(LLAMA, 3, shared=2)


def test_an_unknown_architecture_is_refused() -> None:
    with pytest.raises(ValueError, match="gpt2"):
        scoring_flops.products(transformers.GPT2Config())


def test_batches_hold_each_text_once_and_no_more_than_their_tokens() -> None:
    lengths = [5, 900, 3, 40, 60, 1, 100]
    made = scoring_ways.batches(lengths, 100)
    assert sorted(at for batch in made for at in batch) == list(range(7))
    assert [[lengths[at] for at in batch] for batch in made] == [[900], [100], [60, 40], [5, 3, 1]]


def test_pairs_of_all_lengths_stay_in_order() -> None:
    pairs = [Pair(str(at), "", tokens) for at, tokens in enumerate([50, 10, 40, 20, 30, 60])]
    assert [pair.tokens for pair in scoring_models.spread_out(pairs, 3)] == [40, 20, 60]
    assert scoring_models.spread_out(pairs, 6) == pairs


def test_texts_that_come_again_are_distinct() -> None:
    texts = scoring_models.many([Pair("a", "b", 2), Pair("c", "d", 2)], 10)
    assert texts[:4] == ["a", "b", "c", "d"]
    assert len(set(texts)) == 10
