"""Packed batches give each text the reward that transformers' own code gives it alone, in every family that claims to run them."""

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
import pytest
import tiny_models
import torch
import transformers
from torch.nn import functional

import seal.engine.packed_deberta
from seal.engine import scoring
from seal.engine.inputs import Input
from seal.engine.packed_attention import attend, varlen_layout
from seal.engine.packed_deberta import disentangled_flash, packed_deberta
from seal.engine.packed_models import PackedModel, _encoder_logits, packed
from seal.engine.packing import Run, pack, plan
from seal.engine.reward_models import RewardModel, _to_bf16

VOCABULARY = 300
PAD = 1
FAMILIES: dict[str, dict[str, Any]] = {
    "bert": {},
    "electra": {},
    "roberta": {"max_position_embeddings": 514},
    "xlm-roberta": {"max_position_embeddings": 514},
    "camembert": {"max_position_embeddings": 514},
    "deberta-v2": {},
    "deberta-v2 as v2": {"share_att_key": False, "norm_rel_ebd": "none", "position_biased_input": True, "type_vocab_size": 2},
    "deberta-v2 without buckets": {"position_buckets": -1, "max_relative_positions": 100},
    "deberta-v2 large buckets": {"position_buckets": 256},
    "llama": {},
    "mistral": {"sliding_window": None},
    "qwen2": {},
    "qwen3": {"head_dim": 16},
    "gpt2": {"scale_attn_by_inverse_layer_idx": True},
}
CAUSAL = ("llama", "mistral", "qwen2", "qwen3", "gpt2")
WITH_TYPES = ("bert", "electra", "deberta-v2 as v2")


def classifier(family: str, **more: Any) -> Any:
    options = {"bos_token_id": 0, "eos_token_id": 0} if family in CAUSAL else {}
    return tiny_models.classifier(
        family.split(maxsplit=1)[0], VOCABULARY, num_labels=1, pad_token_id=PAD, **options, **FAMILIES[family], **more
    )


def some_inputs(types: bool) -> list[Input]:
    """Lengths from 1 to 512, some of them equal, equal texts, common beginnings, and the padding token in the midst and at the end."""
    draw = np.random.default_rng(0)
    ids = [draw.integers(3, VOCABULARY, length) for length in (1, 2, 3, 17, 17, 17, 64, 127, 128, 129, 129, 200, 257, 384, 511, 512, 512)]
    ids += [ids[3], ids[-1]]
    for length in (16, 60, 300):
        prompt = draw.integers(3, VOCABULARY, length)
        ids += [np.concatenate([prompt, draw.integers(3, VOCABULARY, ending)]) for ending in (1, 30, 30, 77)]
    ids += [np.concatenate([ids[-1][:350], ending]) for ending in ([PAD], [PAD, PAD], [5, PAD])]
    ids += [np.concatenate([ids[8][:50], [PAD], ids[8][50:]])]
    return [Input(text.astype(np.int32), (np.arange(len(text)) % 3 == 1).astype(np.int32) if types else None, 0, 0) for text in ids]


@torch.inference_mode()
def alone(model: Any, inputs: Sequence[Input]) -> np.ndarray:
    rewards = []
    for item in inputs:
        types = {} if item.types is None else {"token_type_ids": torch.tensor(item.types, dtype=torch.long)[None]}
        ids = torch.tensor(item.ids, dtype=torch.long)[None]
        rewards.append(float(model(input_ids=ids, attention_mask=torch.ones_like(ids), **types).logits[0, 0]))
    return np.array(rewards)


@torch.inference_mode()
def together(model: Any, made: PackedModel, inputs: Sequence[Input], budget: int) -> np.ndarray:
    rewards = np.full(len(inputs), np.nan)
    for places in plan(inputs, [f"{place:03}" for place in range(len(inputs))], budget, share=made.share):
        batch = pack([inputs[place] for place in places], made.share, PAD if made.share else None)
        rewards[places] = made.logits(batch)[:, 0].numpy()
    return rewards


@pytest.mark.parametrize("family", FAMILIES)
def test_a_reward_is_what_the_model_gives_the_text_alone(family: str) -> None:
    model = classifier(family)
    inputs = some_inputs(family in WITH_TYPES)
    expected = alone(model, inputs)
    made = packed(model)
    assert made is not None
    assert made.share == (family in CAUSAL)
    for budget in (1, 700, 10**6):
        np.testing.assert_allclose(together(model, made, inputs, budget), expected, rtol=0, atol=1e-5 * np.std(expected) + 1e-6)
    np.testing.assert_array_equal(alone(model, inputs), expected)  # the model itself is as it was
    assert np.ptp(expected) > 0.1


@pytest.mark.parametrize("family", ["bert", "electra", "roberta"])
def test_the_last_layer_computes_what_the_head_reads_and_no_more(family: str) -> None:
    model = classifier(family)
    rows: dict[int, int] = {}
    for number, layer in enumerate(model.base_model.encoder.layer):
        layer.output.dense.register_forward_hook(lambda _, given, __, number=number: rows.update({number: len(given[0])}))
    made = packed(model)
    assert made is not None
    inputs = some_inputs(family in WITH_TYPES)
    together(model, made, inputs, 10**6)
    last = max(rows)
    assert rows == {number: len(inputs) if number == last else sum(len(item.ids) for item in inputs) for number in range(last + 1)}
    assert last > 0


@pytest.mark.parametrize("family", [family for family in FAMILIES if family.startswith("deberta")])
def test_deberta_by_disentangled_flash_gives_the_same(family: str) -> None:
    """By its torch path; its kernels run on a GPU alone."""
    pytest.importorskip("disentangled_flash", reason="the extra flash is not installed")
    model = classifier(family)
    inputs = some_inputs(family in WITH_TYPES)
    expected = alone(model, inputs)
    hidden = disentangled_flash(model.base_model, "torch")
    assert hidden is not None
    made = PackedModel(partial(_encoder_logits, model, lambda batch: hidden(batch)[batch.firsts]))
    for budget in (1, 700, 10**6):
        np.testing.assert_allclose(together(model, made, inputs, budget), expected, rtol=0, atol=1e-5 * np.std(expected) + 1e-6)
    np.testing.assert_array_equal(alone(model, inputs), expected)  # the model itself is as it was


def test_on_cuda_deberta_runs_by_disentangled_flash_where_it_can(monkeypatch: pytest.MonkeyPatch) -> None:
    model = classifier("deberta-v2").base_model
    asked: list[str] = []
    answers = iter([None, "its own"])
    monkeypatch.setattr(seal.engine.packed_deberta, "disentangled_flash", lambda _, backend: asked.append(backend) or next(answers))
    assert callable(packed_deberta(model))
    assert asked == []  # on a CPU the engine's own way is the faster one
    monkeypatch.setattr(type(model), "device", torch.device("cuda"))
    assert callable(packed_deberta(model))  # the package is not there, or cannot run the model
    assert packed_deberta(model) == "its own"
    assert asked == ["triton", "triton"]


def test_without_the_package_there_is_no_disentangled_flash(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: pytest.fail(name) if name != "disentangled_flash" else None)
    assert disentangled_flash(classifier("deberta-v2").base_model, "torch") is None


@pytest.mark.parametrize("family", ["bert", "deberta-v2", "llama"])
def test_in_bf16_a_reward_is_as_near_as_without_packing(family: str) -> None:
    inputs = some_inputs(family in WITH_TYPES)
    exact = alone(classifier(family), inputs)
    model = classifier(family)
    _to_bf16(model)
    made = packed(model)
    assert made is not None
    rewards = together(model, made, inputs, 700)
    assert 0 < np.abs(rewards - exact).max() < 2 * np.abs(alone(model, inputs) - exact).max() + 0.01 * np.std(exact)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_packed_model_runs_no_padded_batch(family: str, monkeypatch: pytest.MonkeyPatch) -> None:
    model = classifier(family)
    reward_model = RewardModel(None, model, None, "pair", 0, None, "fp32", torch.device("cpu"), None, packed(model))  # type: ignore[arg-type]

    def padded(*_: Any) -> None:
        raise AssertionError("padded")

    monkeypatch.setattr(RewardModel, "outputs", padded)
    assert scoring.run(reward_model, some_inputs(family in WITH_TYPES)[:8]).shape == (8, 1)
    with pytest.raises(AssertionError, match="padded"):
        scoring.run(reward_model._replace(packed=None), some_inputs(family in WITH_TYPES)[:8])


@pytest.mark.parametrize(
    ("family", "setting"),
    [
        ("deberta-v2", {"conv_kernel_size": 3}),
        ("deberta-v2", {"pos_att_type": ["c2p"]}),
        ("deberta-v2", {"relative_attention": False, "position_biased_input": True}),
        ("bert", {"is_decoder": True}),
        ("llama", {"rope_parameters": {"rope_type": "dynamic", "factor": 2.0, "rope_theta": 10000.0}}),
    ],
)
def test_an_unusual_setting_runs_padded(family: str, setting: dict[str, Any]) -> None:
    assert packed(tiny_models.classifier(family, VOCABULARY, pad_token_id=PAD, **setting)) is None


def test_another_architecture_runs_padded() -> None:
    small = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 48}
    config = transformers.MPNetConfig(vocab_size=VOCABULARY, num_labels=1, pad_token_id=PAD, **small)
    model = transformers.MPNetForSequenceClassification(config).eval()
    assert packed(model) is None
    reward_model = RewardModel(None, model, None, "pair", 0, None, "fp32", torch.device("cpu"), None, None)  # type: ignore[arg-type]
    inputs = some_inputs(False)[:9]
    np.testing.assert_allclose(scoring.run(reward_model, inputs)[:, 0], alone(model, inputs), rtol=0, atol=1e-6)


def test_texts_longer_than_a_sliding_window_run_padded(monkeypatch: pytest.MonkeyPatch) -> None:
    model = tiny_models.classifier("mistral", VOCABULARY, num_labels=1, pad_token_id=PAD, sliding_window=100)
    reward_model = RewardModel(None, model, None, "pair", 0, None, "fp32", torch.device("cpu"), None, packed(model))  # type: ignore[arg-type]
    inputs = some_inputs(False)
    short, long = [item for item in inputs if len(item.ids) <= 100], [item for item in inputs if len(item.ids) > 100][:4]
    for batch in (short, long):
        np.testing.assert_allclose(scoring.run(reward_model, batch)[:, 0], alone(model, batch), rtol=0, atol=1e-5)
    model.config.pad_token_id = None  # padded, it is lent one
    np.testing.assert_allclose(scoring.run(reward_model, long)[:, 0], alone(model, long), rtol=0, atol=1e-5)
    monkeypatch.setattr(RewardModel, "packed_outputs", lambda *_: pytest.fail("packed"))
    scoring.run(reward_model, long)


@pytest.mark.parametrize("causal", [False, True])
def test_the_layout_for_flash_attention_says_the_same_as_the_runs(causal: bool) -> None:
    """`varlen_attn` runs on a GPU alone. Here each text attends by itself, from where the layout says that it and its keys lie."""
    draw = torch.Generator().manual_seed(0)
    runs = (Run(0, 2, 5), Run(10, 1, 3), *((Run(13, 1, 4, 10, 2), Run(17, 1, 1, 10, 3)) if causal else ()))
    tokens = runs[-1].end
    query, key, value = torch.randn(3, 1, 2, tokens, 8, generator=draw)
    module = torch.nn.Module()
    module.is_causal = causal  # type: ignore[assignment]
    batch = pack([Input([0], None, 0, 0)])._replace(runs=runs)
    (expected,), _ = attend(module, query, key, value, None, batch, 0.3)
    layout = varlen_layout(runs, torch.device("cpu"))
    keys, values = key[0, :, layout.keys], value[0, :, layout.keys]
    queries_from, keys_from = layout.query_ends.tolist(), layout.key_ends.tolist()
    assert (layout.longest_query, layout.longest_key) == (5, 6 if causal else 5)
    for text in range(len(queries_from) - 1):
        mine, theirs = slice(*queries_from[text : text + 2]), slice(*keys_from[text : text + 2])
        shape = (mine.stop - mine.start, theirs.stop - theirs.start)
        seen = torch.ones(shape, dtype=torch.bool).tril(shape[1] - shape[0]) if causal else None
        found = functional.scaled_dot_product_attention(query[0, :, mine], keys[:, theirs], values[:, theirs], attn_mask=seen, scale=0.3)
        torch.testing.assert_close(found.transpose(0, 1), expected[mine])
