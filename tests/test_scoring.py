"""The scoring engine: a text's reward depends on the text alone, whatever it is scored with, in which order and after which accident."""

import gzip
import itertools
import json
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import tiny_models
import torch
import transformers
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from seal import parity
from seal.engine import reward_models, scoring
from seal.engine.inputs import Input
from seal.engine.packing import Packed
from seal.engine.reward_models import RewardModel
from seal.engine.scoring import Scored
from seal.errors import InputError
from seal.journal import Journal

TEXTS = [tiny_models.transcript(1 + seed % 4, 3 + 2 * seed, seed) for seed in range(10)]
TEXTS += [TEXTS[7][:-1] + ending for ending in "!?:;"]  # of one length in tokens: which are batched together must not hang on their order
NEAR = 2e-5
"""Rounding of a reward in fp32, of rewards that are of the order of one."""

quickly = settings(max_examples=8, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, RewardModel]:
    """One of each architecture; the causal ones have no padding token."""
    root = tmp_path_factory.mktemp("models")
    folders = {name: tiny_models.build(name, root / name, pad=False) for name in tiny_models.ARCHITECTURES}
    return {name: reward_models.load(str(folder), format="pair") for name, folder in folders.items()}


@pytest.fixture(scope="module")
def bert(models: dict[str, RewardModel]) -> RewardModel:
    return models["bert"]


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    return tmp_path / "journal.jsonl"


@pytest.fixture
def rows_run(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many texts each forward pass had."""
    rows: list[int] = []
    run = scoring.run

    def counting(model: RewardModel, batch: Sequence[Input]) -> torch.Tensor:
        rows.append(len(batch))
        return run(model, batch)

    monkeypatch.setattr(scoring, "run", counting)
    return rows


def score(model: RewardModel, texts: Sequence[str], budget: int | None = None, path: Path | None = None) -> Scored:
    with tempfile.TemporaryDirectory() as folder, Journal(path or Path(folder) / "journal.jsonl") as journal:
        return scoring.score(model, texts, journal, budget)


def fails_at(call: int, error: BaseException) -> Callable[..., torch.Tensor]:
    """A model that stops with an error at one of its batches."""
    run = scoring.run
    calls = iter(range(1000))

    def failing(model: RewardModel, batch: Sequence[Input]) -> torch.Tensor:
        if next(calls) == call:
            raise error
        return run(model, batch)

    return failing


@pytest.fixture(scope="module")
def alone(models: dict[str, RewardModel]) -> dict[str, np.ndarray]:
    """Each text's reward by itself."""
    return {name: np.array(list(scoring.one_at_a_time(model, TEXTS)))[:, 0] for name, model in models.items()}


@pytest.mark.parametrize("architecture", tiny_models.ARCHITECTURES)
@quickly
@given(order=st.permutations(range(len(TEXTS))))
def test_order_changes_no_byte(models: dict[str, RewardModel], architecture: str, order: list[int]) -> None:
    straight = score(models[architecture], TEXTS, budget=400)
    shuffled = score(models[architecture], [TEXTS[position] for position in order], budget=400)
    assert shuffled.outputs.tobytes() == straight.outputs[order].tobytes()


@pytest.mark.parametrize("architecture", tiny_models.ARCHITECTURES)
@quickly
@given(budget=st.integers(min_value=1, max_value=5000))
def test_the_token_budget_changes_no_reward(
    models: dict[str, RewardModel], alone: dict[str, np.ndarray], architecture: str, budget: int
) -> None:
    np.testing.assert_allclose(score(models[architecture], TEXTS, budget).outputs[:, 0], alone[architecture], rtol=0, atol=NEAR)


@pytest.mark.parametrize("architecture", tiny_models.ARCHITECTURES)
@quickly
@given(picks=st.lists(st.integers(min_value=0, max_value=len(TEXTS) - 1), max_size=30))
def test_neither_repeats_nor_company_change_a_reward(
    models: dict[str, RewardModel], alone: dict[str, np.ndarray], architecture: str, picks: list[int]
) -> None:
    scored = score(models[architecture], [TEXTS[pick] for pick in picks], budget=400)
    np.testing.assert_allclose(scored.outputs[:, 0], alone[architecture][picks], rtol=0, atol=NEAR)
    once = sorted(set(picks))
    unique = score(models[architecture], [TEXTS[pick] for pick in once], budget=400)
    assert scored.outputs.tobytes() == unique.outputs[[once.index(pick) for pick in picks]].tobytes()


def test_the_tiny_models_tell_texts_apart(alone: dict[str, np.ndarray]) -> None:
    for architecture, rewards in alone.items():
        assert np.ptp(rewards) > 1000 * NEAR, architecture
        assert len(set(rewards)) == len(TEXTS), architecture


def test_a_batch_is_padded_on_the_right_and_masked() -> None:
    tensors = scoring.collate([Input([5, 6], [0, 1], 0, 0), Input([7, 8, 9], [0, 1, 1], 0, 0)], pad=4)
    assert {name: tensor.tolist() for name, tensor in tensors.items()} == {
        "input_ids": [[5, 6, 4], [7, 8, 9]],
        "attention_mask": [[1, 1, 0], [1, 1, 1]],
        "token_type_ids": [[0, 1, 0], [0, 1, 1]],
    }
    assert scoring.collate([Input([5], None, 0, 0)], pad=4).keys() == {"input_ids", "attention_mask"}


@pytest.mark.parametrize("padded", [False, True])
def test_batches_hold_like_lengths_within_the_budget(bert: RewardModel, monkeypatch: pytest.MonkeyPatch, padded: bool) -> None:
    seen: list[list[int]] = []
    run = scoring.run

    def watching(model: RewardModel, batch: Sequence[Input]) -> torch.Tensor:
        seen.append([len(item.ids) for item in batch])
        return run(model, batch)

    monkeypatch.setattr(scoring, "run", watching)
    score(bert._replace(packed=None) if padded else bert, [*TEXTS, tiny_models.transcript(2, 400)], budget=120)
    lengths = [length for batch in seen for length in batch]
    assert len(lengths) == len(TEXTS) + 1
    assert lengths == sorted(lengths, reverse=True)
    assert seen[0] == [lengths[0]]  # longer than the budget: alone
    assert lengths[0] > 120
    for batch, after in zip(seen[1:], [*seen[2:], None], strict=True):
        assert (len(batch) * batch[0] if padded else sum(batch)) <= 120
        assert after is None or ((len(batch) + 1) * batch[0] if padded else sum(batch) + after[0]) > 120


def test_identical_texts_are_run_once(bert: RewardModel, rows_run: list[int]) -> None:
    scored = score(bert, [*TEXTS, *TEXTS[::-1], TEXTS[3]])
    assert sum(rows_run) == len(TEXTS)
    assert len(scored.outputs) == 2 * len(TEXTS) + 1


def test_no_texts_have_no_rewards(bert: RewardModel, rows_run: list[int]) -> None:
    assert [array.shape for array in score(bert, [])] == [(0, 1), (0,), (0,)]
    assert not rows_run


def test_electra_drops_old_turns_then_the_responses_tail(models: dict[str, RewardModel]) -> None:
    electra = models["electra"]
    old, last, response = "\n\nHuman: " + "rain " * 300, "\n\nHuman: and " + "tea " * 50, "\n\nAssistant: " + "snow " * 250
    middle, endless = "\n\nAssistant: " + "stone " * 250, "\n\nAssistant: " + "so many words " * 300
    fits = last + response
    texts = [old + middle + last + response, fits, old + endless, *TEXTS]
    scored = score(electra, texts)
    assert scored.turns_dropped.tolist()[:3] == [2, 0, 1]
    assert scored.tokens_cut.tolist()[:2] == [0, 0]
    tokenizer = electra.tokenizer
    whole = tokenizer("", endless.strip())["input_ids"]
    assert scored.tokens_cut[2] == len(whole) - 512
    assert not scored.turns_dropped[3:].any()
    assert not scored.tokens_cut[3:].any()
    pivot = fits.rfind("Assistant:")
    cut = torch.tensor([[*whole[:511], tokenizer.sep_token_id]])
    with torch.no_grad():
        shortened = float(electra.model(**tokenizer(fits[:pivot], fits[pivot:], return_tensors="pt")).logits[0][0])
        headless = float(electra.model(input_ids=cut, token_type_ids=(torch.arange(512)[None] > 1).long()).logits[0][0])
    np.testing.assert_allclose(scored.outputs[:3, 0], [shortened, shortened, headless], rtol=0, atol=NEAR)


@pytest.mark.parametrize("architecture", ["deberta-v2", "llama"])
def test_relative_and_rotary_positions_take_any_length(models: dict[str, RewardModel], architecture: str) -> None:
    model = models[architecture]
    long = "\n\nHuman: " + "rain " * 500 + "\n\nAssistant: " + "snow and tea " * 200
    other = long.replace("Human: rain", "Human: stone", 1)
    scored = score(model, [long, other, *TEXTS])
    assert not scored.turns_dropped.any()
    assert not scored.tokens_cut.any()
    pivot = long.rfind("Assistant:")
    tokens = model.tokenizer(long[:pivot], long[pivot:], return_tensors="pt")
    assert tokens["input_ids"].shape[1] > 1000
    with torch.no_grad():
        assert scored.outputs[0, 0] == pytest.approx(float(model.model(**tokens).logits[0][0]), abs=NEAR)
    assert scored.outputs[1, 0] != scored.outputs[0, 0]  # its first word counts


@pytest.mark.parametrize("architecture", ["gpt2", "llama"])
def test_a_causal_model_without_padding_reads_to_the_last_token(architecture: str, tmp_path: Path) -> None:
    folder = tiny_models.build(architecture, tmp_path / "model", pad=False)
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    # texts that end with each of the tokens that might serve as padding
    texts = [f"\n\nHuman: so\n\nAssistant: {'why ' * length}{ending}" for length, ending in enumerate('!"#$%&()*+,-./0')]
    untouched = transformers.AutoModelForSequenceClassification.from_pretrained(folder).eval()
    assert untouched.config.pad_token_id is None
    with torch.no_grad():
        expected = [float(untouched(**tokenizer(text, return_tensors="pt")).logits[0][0]) for text in texts]
    model = reward_models.load(str(folder), format="transcript")
    path = tmp_path / "journal.jsonl"
    first = score(model, texts[:5], path=path)
    np.testing.assert_allclose(first.outputs[:, 0], expected[:5], rtol=0, atol=NEAR)
    np.testing.assert_allclose(score(model, texts, path=path).outputs[:, 0], expected, rtol=0, atol=NEAR)
    np.testing.assert_allclose(score(model, texts[:5], path=path).outputs[:, 0], expected[:5], rtol=0, atol=NEAR)
    np.testing.assert_allclose(np.array(list(scoring.one_at_a_time(model, texts)))[:, 0], expected, rtol=0, atol=NEAR)


@pytest.mark.parametrize("architecture", ["gpt2", "llama"])
def test_texts_may_end_with_the_token_that_also_pads(architecture: str, tmp_path: Path) -> None:
    folder = tiny_models.build(architecture, tmp_path / "model", pad=True, chat_template=tiny_models.CHAT_TEMPLATE)
    model = reward_models.load(str(folder), format="chat")
    assert model.model.config.pad_token_id == model.tokenizer.eos_token_id
    texts = [text for text in TEXTS if text.startswith("\n\nHuman")]
    assert all(item.ids[-1] == model.tokenizer.eos_token_id for item in model.encode(texts))
    untouched = transformers.AutoModelForSequenceClassification.from_pretrained(folder).eval()
    with torch.no_grad():
        expected = [float(untouched(input_ids=torch.tensor([item.ids])).logits[0][0]) for item in model.encode(texts)]
    np.testing.assert_allclose(score(model, texts).outputs[:, 0], expected, rtol=0, atol=NEAR)


@pytest.mark.parametrize(
    "error", [torch.OutOfMemoryError("CUDA out of memory"), MemoryError(), RuntimeError("DefaultCPUAllocator: can't allocate memory: 1")]
)
def test_a_batch_that_memory_does_not_hold_is_halved(
    bert: RewardModel, alone: dict[str, np.ndarray], monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    run, sizes = scoring.run, []

    def small(model: RewardModel, batch: Sequence[Input]) -> torch.Tensor:
        sizes.append(len(batch))
        if sizes[-1] > 3:
            raise error
        return run(model, batch)

    monkeypatch.setattr(scoring, "run", small)
    np.testing.assert_allclose(score(bert, TEXTS, 10**6).outputs[:, 0], alone["bert"], rtol=0, atol=NEAR)
    assert sizes == [14, 7, 3, 4, 2, 2, 7, 3, 4, 2, 2]


def test_no_other_failure_is_taken_for_a_lack_of_memory(bert: RewardModel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scoring, "run", fails_at(0, RuntimeError("shapes do not match")))
    with pytest.raises(RuntimeError, match="shapes do not match"):
        score(bert, TEXTS)


def test_one_text_too_many_for_memory_is_told(bert: RewardModel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scoring, "run", fails_at(0, torch.OutOfMemoryError("CUDA out of memory")))
    with pytest.raises(InputError, match=r"one text of .* tokens does not fit into memory; set max-length"):
        score(bert, TEXTS[:1])


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_reward_that_is_no_number_is_refused(bert: RewardModel, monkeypatch: pytest.MonkeyPatch, journal: Path, bad: float) -> None:
    run = scoring.run
    culprit = max(TEXTS, key=lambda text: len(bert.encode([text])[0].ids))

    def broken(model: RewardModel, batch: Sequence[Input]) -> torch.Tensor:
        rewards = run(model, batch).clone()
        rewards[0] = bad
        return rewards

    monkeypatch.setattr(scoring, "run", broken)
    with pytest.raises(InputError, match="not a finite number") as refusal:
        score(bert, TEXTS, path=journal)
    assert culprit.strip()[:60] in str(refusal.value)
    assert str(bad) in str(refusal.value)
    assert journal.read_bytes() == b""


def test_a_finished_run_is_not_run_again(bert: RewardModel, journal: Path, rows_run: list[int]) -> None:
    first = score(bert, TEXTS, 120, journal)
    runs, content = len(rows_run), journal.read_bytes()
    again = score(bert, TEXTS[::-1], 120, journal)
    assert again.outputs[::-1].tobytes() == first.outputs.tobytes()
    assert len(rows_run) == runs
    assert journal.read_bytes() == content


def test_more_texts_run_only_the_new_ones(bert: RewardModel, journal: Path, rows_run: list[int]) -> None:
    few = score(bert, TEXTS[:5], 120, journal)
    rows_run.clear()
    more = score(bert, TEXTS, 120, journal)
    assert sum(rows_run) == len(TEXTS) - 5
    assert more.outputs[:5].tobytes() == few.outputs.tobytes()


@pytest.mark.parametrize("batch", range(5))
def test_an_interrupted_run_goes_on_where_it_stopped(
    bert: RewardModel, journal: Path, monkeypatch: pytest.MonkeyPatch, rows_run: list[int], batch: int
) -> None:
    whole = score(bert, TEXTS, 120)
    batches = len(rows_run)
    assert batches > 5
    with monkeypatch.context() as patch:
        patch.setattr(scoring, "run", fails_at(batch, KeyboardInterrupt()))
        with pytest.raises(KeyboardInterrupt):
            score(bert, TEXTS, 120, journal)
    assert len(journal.read_bytes().splitlines()) == batch
    rows_run.clear()
    resumed = score(bert, TEXTS[::-1], 120, journal)
    assert len(rows_run) == batches - batch
    assert resumed.outputs[::-1].tobytes() == whole.outputs.tobytes()


@pytest.mark.parametrize(
    "line",
    [
        "123",
        "null",
        "{}",
        "[]",
        '{"run": "r", "batch": "b", "keys": ["a", "b"], "outputs": [[1.0]]}',
        '{"run": "r", "batch": "b", "keys": ["a"], "outputs": [[1.0, 2.0]]}',
        '{"run": "r", "batch": "b", "keys": ["a"], "outputs": [[NaN]]}',
        '{"run": "r", "batch": "b", "keys": ["a"], "outputs": [null]}',
    ],
)
def test_a_journal_that_holds_something_else_is_told(bert: RewardModel, journal: Path, line: str) -> None:
    score(bert, TEXTS, 120, journal)
    lines = journal.read_text().splitlines()
    journal.write_text("\n".join([lines[0], line, *lines[1:]]) + "\n")
    with pytest.raises(InputError, match=r"journal\.jsonl: line 2 is no record of scores; delete the file"):
        score(bert, TEXTS, 120, journal)


def test_a_torn_last_line_costs_one_batch(bert: RewardModel, journal: Path, rows_run: list[int]) -> None:
    whole = score(bert, TEXTS, 120, journal)
    lines = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(b"".join(lines[:2]) + lines[2][: len(lines[2]) // 2])
    rows_run.clear()
    resumed = score(bert, TEXTS, 120, journal)
    assert len(rows_run) == len(lines) - 1 - 2  # the last line says that the run is over
    assert resumed.outputs.tobytes() == whole.outputs.tobytes()
    assert journal.read_bytes().splitlines(keepends=True) == lines


def test_an_interrupted_run_serves_another_set_of_texts(
    bert: RewardModel, alone: dict[str, np.ndarray], journal: Path, monkeypatch: pytest.MonkeyPatch, rows_run: list[int]
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(scoring, "run", fails_at(2, KeyboardInterrupt()))
        with pytest.raises(KeyboardInterrupt):
            score(bert, TEXTS[:10], 120, journal)
    known = {key for line in journal.read_bytes().splitlines() for key in json.loads(line)["keys"]}
    assert known
    rows_run.clear()
    scored = score(bert, TEXTS, 120, journal)
    assert sum(rows_run) == len(TEXTS) - len(known)
    np.testing.assert_allclose(scored.outputs[:, 0], alone["bert"], rtol=0, atol=NEAR)


def test_the_journal_keeps_what_was_left_out(bert: RewardModel, journal: Path, rows_run: list[int]) -> None:
    long = "\n\nHuman: " + "rain " * 600 + "\n\nAssistant: " + "snow " * 600
    texts = [long, *TEXTS]
    first = score(bert, texts, path=journal)
    rows_run.clear()
    again = score(bert, texts, path=journal)
    assert not rows_run
    assert first.turns_dropped.tolist() == again.turns_dropped.tolist() == [1] + [0] * len(TEXTS)
    assert first.tokens_cut.tolist() == again.tokens_cut.tolist()
    assert first.tokens_cut[0] > 0


def test_the_journal_names_what_the_model_reads(bert: RewardModel, journal: Path) -> None:
    scored = score(bert, TEXTS, 120, journal)
    records: list[dict[str, Any]] = [json.loads(line) for line in journal.read_bytes().splitlines()]
    assert records[-1] == {"finished": True}
    kept = {key: outputs for record in records[:-1] for key, outputs in zip(record["keys"], record["outputs"], strict=True)}
    encoded = bert.encode(TEXTS)
    assert kept == {scoring.key(item): outputs.tolist() for item, outputs in zip(encoded, scored.outputs, strict=True)}


def test_a_change_in_how_texts_become_inputs_meets_no_old_reward(bert: RewardModel, monkeypatch: pytest.MonkeyPatch, journal: Path) -> None:
    before = score(bert, TEXTS, 120, journal).outputs[:, 0]
    whole = RewardModel.encode
    monkeypatch.setattr(
        RewardModel,
        "encode",
        lambda model, texts: [item._replace(ids=item.ids[:-2], types=(item.types or [])[:-2]) for item in whole(model, texts)],
    )
    after = score(bert, TEXTS, 120, journal).outputs[:, 0]
    assert (before != after).all()


@pytest.mark.parametrize("architecture", ["bert", "llama"])
def test_windows_change_no_reward(
    models: dict[str, RewardModel], alone: dict[str, np.ndarray], architecture: str, monkeypatch: pytest.MonkeyPatch, rows_run: list[int]
) -> None:
    monkeypatch.setattr(scoring, "WINDOW", 4)
    model = models[architecture]
    texts = [*TEXTS, TEXTS[0] + " ", "\n\n" + TEXTS[5]]  # to the model some of these are the same
    scored = score(model, texts)
    np.testing.assert_allclose(scored.outputs[: len(TEXTS), 0], alone[architecture], rtol=0, atol=NEAR)
    assert len(rows_run) == 4
    assert sum(rows_run) == len({scoring.key(item) for item in model.encode(texts)})
    assert score(model, texts[::-1]).outputs[::-1].tobytes() == scored.outputs.tobytes()


@pytest.mark.parametrize("batch", [1, 4, 6])
def test_a_run_of_several_windows_goes_on_where_it_stopped(
    bert: RewardModel, journal: Path, monkeypatch: pytest.MonkeyPatch, rows_run: list[int], batch: int
) -> None:
    monkeypatch.setattr(scoring, "WINDOW", 5)
    whole = score(bert, TEXTS, 120)
    batches = len(rows_run)
    with monkeypatch.context() as patch:
        patch.setattr(scoring, "run", fails_at(batch, KeyboardInterrupt()))
        with pytest.raises(KeyboardInterrupt):
            score(bert, TEXTS, 120, journal)
    rows_run.clear()
    assert score(bert, TEXTS[::-1], 120, journal).outputs[::-1].tobytes() == whole.outputs.tobytes()
    assert len(rows_run) == batches - batch
    rows_run.clear()
    assert score(bert, TEXTS, 120, journal).outputs.tobytes() == whole.outputs.tobytes()
    assert not rows_run


def test_another_budget_takes_what_an_interrupted_run_finished_as_known(
    bert: RewardModel, journal: Path, monkeypatch: pytest.MonkeyPatch, rows_run: list[int]
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(scoring, "run", fails_at(3, KeyboardInterrupt()))
        with pytest.raises(KeyboardInterrupt):
            score(bert, TEXTS, 120, journal)
    known = sum(len(json.loads(line)["keys"]) for line in journal.read_bytes().splitlines())
    rows_run.clear()
    score(bert, TEXTS, 90, journal)
    assert sum(rows_run) == len(TEXTS) - known


def test_tokens_are_made_a_window_ahead_and_held_as_arrays(bert: RewardModel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scoring, "WINDOW", 2)
    encode, run = RewardModel.encode, scoring.run
    made: list[int] = []
    ahead: list[int] = []

    def encoding(model: RewardModel, texts: Sequence[str]) -> list[Input]:
        made.extend([len(texts)])
        return encode(model, texts)

    def running(model: RewardModel, batch: Sequence[Input]) -> torch.Tensor:
        for item in batch:
            assert isinstance(item.ids, np.ndarray)
            assert item.ids.dtype == np.int32
            assert isinstance(item.types, np.ndarray)
            assert item.types.dtype == np.int32
        ahead.append(sum(made) - 2 * len(ahead))  # of texts not yet run
        return run(model, batch)

    monkeypatch.setattr(RewardModel, "encode", encoding)
    monkeypatch.setattr(scoring, "run", running)
    score(bert, TEXTS)
    assert len(ahead) == len(TEXTS) / 2
    assert max(ahead) <= 6


def test_a_mistake_in_a_text_is_told_from_the_background(bert: RewardModel, monkeypatch: pytest.MonkeyPatch) -> None:
    def refusing(_: RewardModel, texts: Sequence[str]) -> list[Input]:
        raise InputError("no such text")

    monkeypatch.setattr(RewardModel, "encode", refusing)
    with pytest.raises(InputError, match="no such text"):
        score(bert, TEXTS)


@pytest.mark.parametrize("architecture", ["gpt2", "llama"])
def test_the_two_texts_of_a_pair_run_their_prompt_once(
    models: dict[str, RewardModel], architecture: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    prompts = [tiny_models.transcript(2, 40, seed) for seed in range(8)]
    texts = [f"{prompt}\n\nHuman: and?\n\nAssistant: {ending}" for ending in ("yes, you may", "no") for prompt in prompts]
    model = models[architecture]
    pack, tokens = scoring.pack, [0]

    def counting(*batch: Any) -> Packed:
        packed = pack(*batch)
        tokens[0] += packed.ids.shape[1]
        return packed

    monkeypatch.setattr(scoring, "pack", counting)
    rewards = score(model, texts).outputs[:, 0]
    np.testing.assert_allclose(rewards, np.array(list(scoring.one_at_a_time(model, texts)))[:, 0], rtol=0, atol=NEAR)
    encoded = model.encode(texts)
    assert tokens[0] < 0.6 * sum(len(item.ids) for item in encoded)
    assert (rewards[:8] != rewards[8:]).all()


@pytest.mark.parametrize("architecture", tiny_models.ARCHITECTURES)
@pytest.mark.parametrize("dtype", ["fp32", "bf16"])
def test_agreements_on_real_pairs_are_those_of_fp32_alone(
    models: dict[str, RewardModel], real_data: Path, architecture: str, dtype: str
) -> None:
    """Wherever the margin exceeds three times what a reward may differ by."""
    with gzip.open(real_data / "hh_rlhf" / "harmless-base.test.jsonl.gz", "rt") as stream:
        pairs = [json.loads(line) for line in itertools.islice(stream, 150)]
    texts = [pair[preference] for preference in ("chosen", "rejected") for pair in pairs]
    exact = np.array(list(scoring.one_at_a_time(models[architecture], texts)))[:, 0]
    model = reward_models.load(str(models[architecture].checkpoint.folder), format="pair", dtype=dtype)  # type: ignore[arg-type]
    rewards = score(model, texts).outputs[:, 0]
    margins, expected = (both[:150] - both[150:] for both in (rewards.astype(float), exact))
    clear = np.abs(expected) > 3 * parity.TOLERANCE[dtype] * np.std(exact)
    assert clear.sum() > 30
    assert ((margins > 0) == (expected > 0))[clear].all()


def test_a_model_without_a_padding_token_is_lent_one_that_no_text_of_the_batch_ends_with() -> None:

    config = SimpleNamespace(pad_token_id=None)
    model = SimpleNamespace(model=SimpleNamespace(config=SimpleNamespace(get_text_config=lambda: config)))
    batch = [Input([5, last], None, 0, 0) for last in (0, 2, 1)]
    with scoring._padding_token(model, batch) as pad:  # type: ignore[arg-type]
        assert pad == config.pad_token_id == 3
    assert config.pad_token_id is None
