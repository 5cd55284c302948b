"""The parity check fails a run whose rewards depend on how texts were batched, and lets rounding pass."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
import tiny_models
import torch

from seal import parity
from seal.engine import reward_models, scoring
from seal.engine.inputs import Input
from seal.engine.packing import Packed, Run
from seal.engine.reward_models import RewardModel
from seal.errors import InputError
from seal.journal import Journal

TEXTS = [tiny_models.transcript(1 + seed % 4, 16, seed) for seed in range(50)]
Tensors = dict[str, torch.Tensor]


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, RewardModel]:
    root = tmp_path_factory.mktemp("models")
    folders = {name: tiny_models.build(name, root / name) for name in tiny_models.ARCHITECTURES}
    return {name: reward_models.load(str(folder), format="pair") for name, folder in folders.items()}


@pytest.fixture
def plant(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[Tensors], Tensors]], None]:
    """Put a fault into the making of padded batches."""
    collate = scoring.collate

    def planting(fault: Callable[[Tensors], Tensors]) -> None:
        monkeypatch.setattr(scoring, "collate", lambda batch, pad: fault(collate(batch, pad)))

    return planting


def run(model: RewardModel, folder: Path, texts: Sequence[str] = TEXTS) -> np.ndarray:
    with Journal(folder / "journal.jsonl") as journal:
        return scoring.score(model, texts, journal, token_budget=1500).outputs[:, 0]


def run_padded(model: RewardModel, folder: Path) -> np.ndarray:
    return run(model._replace(packed=None), folder)


def pad_on_the_left(tensors: Tensors) -> Tensors:
    padding = (tensors["attention_mask"] == 0).sum(dim=1).tolist()
    return {name: torch.stack([row.roll(shift) for row, shift in zip(rows, padding, strict=True)]) for name, rows in tensors.items()}


def drop_the_mask(tensors: Tensors) -> Tensors:
    return {**tensors, "attention_mask": torch.ones_like(tensors["attention_mask"])}


def drop_the_types(tensors: Tensors) -> Tensors:
    return {name: tensor for name, tensor in tensors.items() if name != "token_type_ids"}


@pytest.mark.parametrize("architecture", tiny_models.ARCHITECTURES)
def test_a_sound_run_passes_with_room_to_spare(models: dict[str, RewardModel], architecture: str, tmp_path: Path) -> None:
    rewards = run(models[architecture], tmp_path)
    found = parity.check(models[architecture], "fp32", TEXTS, rewards)
    assert found.texts == 32
    assert found.tolerance == 1e-4
    assert found.reward_std == pytest.approx(np.std(rewards))
    assert found.largest_difference < 2e-5 * found.reward_std


@pytest.mark.parametrize("architecture", ["bert", "deberta-v2", "electra", "gpt2"])
def test_padding_on_the_left_is_caught(
    models: dict[str, RewardModel], architecture: str, tmp_path: Path, plant: Callable[..., None]
) -> None:
    plant(pad_on_the_left)
    rewards = run_padded(models[architecture], tmp_path)
    for dtype in ("fp32", "bf16"):
        with pytest.raises(InputError, match=r"^parity check failed: a reward differs by \d.* from that of the same text run alone"):
            parity.check(models[architecture], dtype, TEXTS, rewards)


def test_rotary_positions_do_not_mind_the_side(models: dict[str, RewardModel], tmp_path: Path, plant: Callable[..., None]) -> None:
    plant(pad_on_the_left)
    parity.check(models["llama"], "fp32", TEXTS, run_padded(models["llama"], tmp_path))


@pytest.mark.parametrize("architecture", tiny_models.ENCODERS)
def test_a_dropped_mask_is_caught(models: dict[str, RewardModel], architecture: str, tmp_path: Path, plant: Callable[..., None]) -> None:
    plant(drop_the_mask)
    rewards = run_padded(models[architecture], tmp_path)
    for dtype in ("fp32", "bf16"):
        with pytest.raises(InputError, match="parity check failed"):
            parity.check(models[architecture], dtype, TEXTS, rewards)


def test_dropped_token_types_are_caught(models: dict[str, RewardModel], tmp_path: Path, plant: Callable[..., None]) -> None:
    plant(drop_the_types)
    with pytest.raises(InputError, match="parity check failed"):
        parity.check(models["bert"], "fp32", TEXTS, run_padded(models["bert"], tmp_path))


def texts_run_together(packed: Packed) -> Packed:
    return packed._replace(runs=(Run(0, 1, packed.ids.shape[1]),))


def positions_not_restarted(packed: Packed) -> Packed:
    return packed._replace(positions=torch.arange(packed.ids.shape[1])[None] % 512)


def rewards_of_the_next_token(packed: Packed) -> Packed:
    return packed._replace(firsts=packed.firsts + 1, lasts=(packed.lasts - 1).clamp(0))


@pytest.mark.parametrize("architecture", tiny_models.ARCHITECTURES)
@pytest.mark.parametrize("fault", [texts_run_together, positions_not_restarted, rewards_of_the_next_token])
def test_a_fault_in_packing_is_caught(
    models: dict[str, RewardModel], architecture: str, fault: Callable[[Packed], Packed], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if (architecture, fault) == ("deberta-v2", positions_not_restarted):
        pytest.skip("it has no absolute positions")
    pack = scoring.pack
    monkeypatch.setattr(scoring, "pack", lambda *batch: fault(pack(*batch)))
    if architecture in ("bert", "electra") and fault is texts_run_together:  # the last layer has a token of each text, and misses some
        with pytest.raises(RuntimeError, match="shape"):
            run(models[architecture], tmp_path)
        return
    rewards = run(models[architecture], tmp_path)
    for dtype in ("fp32", "bf16"):
        with pytest.raises(InputError, match="parity check failed"):
            parity.check(models[architecture], dtype, TEXTS, rewards)


def test_of_pairs_both_texts_are_checked_and_changed_agreements_counted(models: dict[str, RewardModel], tmp_path: Path) -> None:
    texts = [*TEXTS[:20], *TEXTS[20:40]]
    pairs = [(row, 20 + row) for row in range(20)]
    rewards = run(models["gpt2"], tmp_path, texts).astype(np.float64)
    found = parity.check(models["gpt2"], "fp32", texts, rewards, pairs)
    assert (found.texts, found.pairs, found.agreements_changed) == (32, 16, 0)
    # Two texts of every pair that are but a hair apart, and the run has them the other way round.
    near = rewards.copy()
    near[:20], near[20:] = rewards[:20] - 1e-6, rewards[:20] + 1e-6
    same = [*TEXTS[:20], *TEXTS[:20]]
    found = parity.check(models["gpt2"], "fp32", same, near, pairs)
    assert (found.texts, found.pairs, found.agreements_changed) == (20, 20, 0)
    near[:20], near[20:] = rewards[:20] + 1e-6, rewards[:20] - 1e-6
    assert parity.check(models["gpt2"], "fp32", same, near, pairs).agreements_changed == 20  # alone, they tie
    assert parity.check(models["gpt2"], "fp32", same, near).agreements_changed == 0


def test_pairs_that_share_texts_are_drawn_until_there_are_enough_texts(models: dict[str, RewardModel], tmp_path: Path) -> None:
    rewards = run(models["gpt2"], tmp_path)
    found = parity.check(models["gpt2"], "fp32", TEXTS, rewards, [(0, row) for row in range(1, 50)])
    assert (found.texts, found.pairs) == (32, 31)


def test_rewards_in_another_order_are_caught(models: dict[str, RewardModel], tmp_path: Path) -> None:
    with pytest.raises(InputError, match="parity check failed"):
        parity.check(models["bert"], "bf16", TEXTS, np.roll(run(models["bert"], tmp_path), 1))


@pytest.mark.parametrize(("dtype", "share"), [("fp32", 1e-4), ("bf16", 0.05)])
def test_the_tolerance_is_a_share_of_the_spread(models: dict[str, RewardModel], tmp_path: Path, dtype: str, share: float) -> None:
    rewards = run(models["gpt2"], tmp_path, TEXTS[:20]).astype(np.float64)
    spread = np.std(rewards)
    parity.check(models["gpt2"], dtype, TEXTS[:20], rewards + 0.9 * share * spread)
    with pytest.raises(InputError, match=f"and {share:g} of it is allowed"):
        parity.check(models["gpt2"], dtype, TEXTS[:20], rewards + 1.1 * share * spread)
    one = rewards.copy()
    one[7] += 1.5 * share * spread
    with pytest.raises(InputError):
        parity.check(models["gpt2"], dtype, TEXTS[:20], one)


def test_a_run_in_bf16_is_held_to_the_model_in_fp32(models: dict[str, RewardModel], tmp_path: Path) -> None:
    narrow = reward_models.load(str(models["gpt2"].checkpoint.folder), format="pair", dtype="bf16")
    rewards = run(narrow, tmp_path)
    found = parity.check(models["gpt2"], narrow.dtype, TEXTS, rewards)
    assert 1e-4 * found.reward_std < found.largest_difference < 0.05 * found.reward_std
    with pytest.raises(InputError, match="set dtype fp32"):
        parity.check(models["gpt2"], "fp32", TEXTS, rewards)


@pytest.mark.parametrize("constant", [0.0, 0.5, -3e6])
def test_a_constant_reward_passes(tmp_path: Path, constant: float) -> None:
    folder = tiny_models.build("bert", tmp_path / "model")
    model = reward_models.load(str(folder), format="pair")
    with torch.no_grad():
        model.model.classifier.weight.zero_()
        model.model.classifier.bias.fill_(constant)
    found = parity.check(model, "fp32", TEXTS, run(model, tmp_path))
    assert (found.largest_difference, found.reward_std) == (0.0, 0.0)


def test_rounding_of_rewards_far_from_zero_passes(tmp_path: Path) -> None:
    folder = tiny_models.build("bert", tmp_path / "model")
    model = reward_models.load(str(folder), format="pair")
    with torch.no_grad():
        model.model.classifier.weight.mul_(0.1)
        model.model.classifier.bias.fill_(1e4)  # where fp32 has steps of 1/1024
    rewards = run(model, tmp_path)
    assert 0 < np.std(rewards) < 0.2
    parity.check(model, "fp32", TEXTS, rewards + np.float32(2**-9))
    with pytest.raises(InputError):
        parity.check(model, "fp32", TEXTS, rewards + np.float32(0.1))


@pytest.mark.parametrize("side", ["run", "reference"])
def test_what_is_no_number_never_passes(models: dict[str, RewardModel], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, side: str) -> None:
    rewards = run(models["bert"], tmp_path)
    if side == "run":
        rewards = np.full_like(rewards, np.nan)
    else:
        monkeypatch.setattr(parity, "one_at_a_time", lambda _, texts: iter([np.array([np.nan])] * len(texts)))
    with pytest.raises(InputError):
        parity.check(models["bert"], "fp32", TEXTS, rewards)


def test_the_texts_checked_are_random_but_always_the_same(models: dict[str, RewardModel], monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[list[str]] = []

    def watching(_: RewardModel, texts: Sequence[str]) -> list[float]:
        seen.append(list(texts))
        return [0.0] * len(texts)

    monkeypatch.setattr(parity, "one_at_a_time", watching)
    for texts in (TEXTS, TEXTS[::-1], TEXTS + TEXTS, TEXTS[:10] * 3):
        parity.check(models["bert"], "fp32", texts, np.zeros(len(texts)))
    straight, backwards, twice, few = seen
    assert len(set(straight)) == 32
    assert straight == backwards == twice
    assert straight != [text for text in TEXTS if text in straight]
    assert sorted(few) == sorted(TEXTS[:10])


def test_no_texts_pass(models: dict[str, RewardModel]) -> None:
    assert parity.check(models["bert"], "fp32", [], np.array([])) == (0, 0.0, 0.0, 1e-4, 0, 0)
    assert parity.check(models["bert"], "fp32", [], np.array([]), []) == (0, 0.0, 0.0, 1e-4, 0, 0)


def test_one_at_a_time_never_pads(models: dict[str, RewardModel], monkeypatch: pytest.MonkeyPatch) -> None:
    forward = RewardModel.outputs

    def watching(self: RewardModel, batch: Tensors) -> torch.Tensor:
        assert batch["attention_mask"].all()
        assert len(batch["input_ids"]) == 1
        return forward(self, batch)

    def untouched(batch: Sequence[Input], pad: int) -> Tensors:
        raise AssertionError("the reference must not go through the code that it checks")

    monkeypatch.setattr(RewardModel, "outputs", watching)
    monkeypatch.setattr(scoring, "collate", untouched)
    assert len(list(scoring.one_at_a_time(models["bert"], TEXTS[:5]))) == 5
