"""Reward models trained on pairs of texts: a head on a base model, which gets a LoRA adapter or is trained whole."""

import json
import math
import re
import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import pandas as pd
import peft
import torch
import transformers
from transformers.trainer_pt_utils import get_length_grouped_indices

from seal import transcripts
from seal.checkpoints import Checkpoint, locate
from seal.engine import heads, inputs
from seal.engine.heads import Head, Link
from seal.engine.inputs import Format, Input
from seal.engine.reward_models import (
    ADAPTER,
    HEAD,
    HEADS,
    Dtype,
    absolute_positions,
    default_device,
    head_of,
    load_classifier,
    prefers_bf16,
    put_adapter,
    quiet,
    software,
)
from seal.engine.scoring import collate
from seal.errors import InputError
from seal.files import fingerprint, write_text
from seal.transcripts import Turn

Task = Literal["preference", "on-topic"]
"""`preference`: the chosen text beats the rejected one. `on-topic`: a response beats one taken from another prompt; which side of the pair
it comes from is drawn at random, so that no human preference is seen."""

Tuning = Literal["lora", "full"]
"""`lora`: an adapter and the head are trained. `full`: all weights."""

Schedule = Literal["linear", "cosine", "step", "constant"]
"""How the learning rate goes on from its peak: `linear` to zero; `cosine` to a tenth; `step`: a tenth in the second third of the steps, a
hundredth in the last; `constant`."""


class TextPair(NamedTuple):
    """Two whole transcripts; the first is to earn the higher reward."""

    better: str
    worse: str


class Settings(NamedTuple):
    """How to train."""

    base: str
    """The base model, as `checkpoints.locate` takes it."""
    base_revision: str
    start: str
    """Folder of an adapter, or with tuning `full` of a whole model, to go on from; empty to start afresh. Its head must be the same."""
    format: Format
    max_length: int
    """Tokens of the longest input; what goes beyond is left out as in scoring, and counted."""
    rank: int
    """Rank of the LoRA adapter; its alpha is twice that. An adapter to go on from keeps its own, and its own layers."""
    top_layers: int
    """How many of the last layers get an adapter; 0 for all."""
    epochs: int
    batch_pairs: int
    learning_rate: float
    """Peak; warmed up over the first tenth of the steps, then by `schedule`."""
    dtype: Dtype
    """Of the products; the head is always fp32."""
    seed: int
    head: Head = "base"
    atoms: int = 10
    """Of the head `categorical`."""
    entropy_bonus: float = 0.1
    """Of the head `categorical`, see `heads.loss`."""
    link: Link = "normal"
    """Of the head `mean-and-variance`."""
    tuning: Tuning = "lora"
    schedule: Schedule = "linear"


class Trained(NamedTuple):
    """What training reports."""

    counts: dict[str, int]
    history: pd.DataFrame
    """One row an epoch: epoch, train_loss, validation_loss, validation_accuracy."""
    chosen_epoch: int
    """The epoch kept: the one with the lowest validation loss."""


def text_pairs(pairs: pd.DataFrame, task: Task, seed: int) -> list[TextPair]:
    """The pairs of texts of a task, in the order of `pairs`; pairs of equal texts are left out, for they teach nothing.

    Raises
    ------
    InputError
        If the task is on-topic, and the pairs have fewer than two opening prompts.
    """
    if task == "preference":
        made = [TextPair(*texts) for texts in pairs[["chosen_text", "rejected_text"]].itertuples(index=False, name=None)]
    else:
        made = _on_topic(pairs, np.random.default_rng(seed))
    return [pair for pair in made if pair.better != pair.worse]


def _on_topic(pairs: pd.DataFrame, random: np.random.Generator) -> list[TextPair]:
    openings = pairs["opening_prompt"].to_numpy()
    if len(set(openings)) < 2:
        raise InputError("task on-topic needs pairs with at least two opening prompts in a part; give more pairs, or task preference")
    made = []
    for row, opening in enumerate(openings):
        side = ("chosen", "rejected")[random.integers(2)]
        other = random.integers(len(pairs))
        while openings[other] == opening:
            other = random.integers(len(pairs))
        text = pairs[f"{side}_text"].iloc[row]
        response = pairs[f"{('chosen', 'rejected')[random.integers(2)]}_response"].iloc[other]
        made.append(TextPair(text, transcripts.render([*transcripts.parse(text)[:-1], Turn(transcripts.ASSISTANT, response)])))
    return made


def train(settings: Settings, training: Sequence[TextPair], validation: Sequence[TextPair], out: Path, work: Path) -> Trained:
    """Train a head, and an adapter or all weights; keep the epoch with the lowest validation loss; save as safetensors.

    The loss is that of the head, `heads.loss`. The validation loss is without the entropy bonus, the negative log-likelihood alone; the
    validation accuracy is of the mean rewards, and a tie is no agreement.

    Parameters
    ----------
    settings
        How to train. The same settings and texts give the same bytes on the same machine.
    training, validation
        Pairs of texts; neither may be empty.
    out
        Folder for the adapter, or the whole model and its tokenizer, which must not exist. The head's kind lies there, too, in
        `reward_models.HEAD`; an adapter without that file has the head `base`.
    work
        Folder for a checkpoint after each epoch, from which a killed run goes on. The caller removes it once the result is safe.

    Raises
    ------
    InputError
        If there are no pairs, a model cannot be loaded, or that to go on from has another head.
    """
    if not training or not validation:
        raise InputError(f"{len(training)} training and {len(validation)} validation pairs; both parts need some: give more pairs")
    device = default_device()
    transformers.set_seed(settings.seed)
    with quiet():
        model, tokenizer = _model(settings)
    _head_in_fp32(model, device)
    limit = min(length for length in (settings.max_length, absolute_positions(model)) if length)
    encoded = {
        part: _encode(tokenizer, part_pairs, settings.format, limit)
        for part, part_pairs in (("train", training), ("validation", validation))
    }
    pad = model.config.get_text_config().pad_token_id
    trainer = _Trainer(
        settings,
        model=model,
        args=_arguments(settings, device, work, len(training)),
        train_dataset=encoded["train"],
        eval_dataset=encoded["validation"],
        data_collator=lambda rows: collate([row["better"] for row in rows] + [row["worse"] for row in rows], pad),
        compute_metrics=lambda prediction: {"accuracy": float((prediction.predictions > 0).mean())},
    )
    trainer.remove_callback(transformers.trainer_callback.PrinterCallback)
    with quiet():
        trainer.train(resume_from_checkpoint=_last_whole_checkpoint(work))
        if not Path(trainer.state.best_model_checkpoint or "").is_dir():  # Trainer would keep the last epoch and not say so
            raise InputError(f"{work}: the checkpoint of the best epoch is gone; delete this folder and train again")
        _save(trainer.model, tokenizer, settings, out)
    history = _history(trainer.state.log_history)
    if not np.isfinite(history.to_numpy(dtype=float)).all():
        raise InputError(f"the loss is no finite number in some epoch; lower learning-rate, now {settings.learning_rate:g}")
    shortened = [row for rows in encoded.values() for row in rows if row["shortened"]]
    counts = {"training_pairs": len(training), "validation_pairs": len(validation), "pairs_shortened": len(shortened)}
    return Trained(counts, history, int(history["epoch"].iloc[int(history["validation_loss"].argmin())]))


def _model(settings: Settings) -> tuple[Any, Any]:
    start = _start(settings) if settings.start else None
    adapter = settings.tuning == "lora"
    outputs = heads.outputs(settings.head, settings.atoms)
    if start and not adapter:
        model, tokenizer = load_classifier(start)
        if model.config.num_labels != outputs:
            raise InputError(f"start {settings.start}: it has {model.config.num_labels} outputs, and this head {outputs}; start afresh")
    else:
        model, tokenizer = load_classifier(locate(settings.base, settings.base_revision), new_outputs=outputs)
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0  # noise that a low-rank adapter does not need, and attention is three times as fast without it
    if model.config.get_text_config().pad_token_id is None:
        candidates = (tokenizer.pad_token_id, tokenizer.eos_token_id, 0)
        model.config.get_text_config().pad_token_id = next(token for token in candidates if token is not None)
    if not adapter:
        return model, tokenizer
    if start:
        return put_adapter(start, model, trainable=True), tokenizer
    config = peft.LoraConfig(
        task_type=peft.TaskType.SEQ_CLS,
        r=settings.rank,
        lora_alpha=2 * settings.rank,
        lora_dropout=0.0,
        target_modules=_linears(model, settings.top_layers),
        modules_to_save=[name for name, _ in model.named_children() if name in HEADS],
    )
    return peft.get_peft_model(model, config), tokenizer


def _start(settings: Settings) -> Checkpoint:
    """What training goes on from, which must be of the kind that it is to make."""
    start = locate(settings.start)
    if settings.tuning == "lora" and not (start.folder / ADAPTER).is_file():
        raise InputError(f"start {settings.start}: no {ADAPTER} in it; name a folder that stages/train.py wrote with tuning lora")
    if settings.tuning == "full" and (start.folder / ADAPTER).is_file():
        raise InputError(f"start {settings.start}: it holds an adapter; go on with tuning lora, or start from a whole model")
    head, atoms = head_of(start)
    if head != settings.head or atoms not in (None, settings.atoms):
        kind = f"{head} of {atoms} atoms" if atoms else head
        wanted = f"{settings.head} of {settings.atoms} atoms" if settings.head == "categorical" else settings.head
        raise InputError(
            f"start {settings.start}: its head is {kind}, and training is to make {wanted}; set head to its own, or start afresh"
        )
    return start


def _head_in_fp32(model: Any, device: torch.device) -> None:
    """Autocast would run the head, too, in bf16, whose steps at a reward of 2 are as wide as margins are."""
    for name, module in model.named_modules():
        if name.rsplit(".", 1)[-1] in HEADS:
            module.forward = _without_autocast(module.forward, device)


def _without_autocast(forward: Callable[..., Any], device: torch.device) -> Callable[..., Any]:
    def run(*arguments: Any, **options: Any) -> Any:
        with torch.autocast(device.type, enabled=False):
            return forward(*(argument.float() if torch.is_tensor(argument) else argument for argument in arguments), **options)

    return run


def _linears(model: torch.nn.Module, top_layers: int) -> list[str]:
    """The linear layers of the last `top_layers` blocks, or of all where it is 0; never the head, which is trained whole."""
    in_blocks = {}
    for name, module in model.named_modules():
        block = re.search(r"\.(\d+)\.", name)
        if block and (isinstance(module, torch.nn.Linear) or type(module).__name__ == "Conv1D"):
            in_blocks[name] = int(block[1])
    first = max(in_blocks.values(), default=0) + 1 - top_layers if top_layers else 0
    return [name for name, block in in_blocks.items() if block >= first]


def _encode(tokenizer: Any, pairs: Sequence[TextPair], format: Format, limit: int) -> list[dict[str, Any]]:
    better = inputs.encode(tokenizer, [pair.better for pair in pairs], format, limit)
    worse = inputs.encode(tokenizer, [pair.worse for pair in pairs], format, limit)
    return [
        {"better": one, "worse": other, "length": max(len(one.ids), len(other.ids)), "shortened": _shortened(one) or _shortened(other)}
        for one, other in zip(better, worse, strict=True)
    ]


def _shortened(item: Input) -> bool:
    return item.turns_dropped > 0 or item.tokens_cut > 0


def _arguments(settings: Settings, device: torch.device, work: Path, pairs: int) -> transformers.TrainingArguments:
    return transformers.TrainingArguments(
        output_dir=str(work),
        num_train_epochs=settings.epochs,
        per_device_train_batch_size=settings.batch_pairs,
        per_device_eval_batch_size=settings.batch_pairs,
        learning_rate=settings.learning_rate,
        warmup_steps=max(1, math.ceil(pairs / settings.batch_pairs) * settings.epochs // 10),
        weight_decay=0.0,
        seed=settings.seed,
        use_cpu=device.type == "cpu",
        bf16=prefers_bf16(settings.dtype, device),
        eval_strategy="epoch",
        save_strategy="epoch",
        logging_strategy="epoch",
        save_total_limit=2,
        load_best_model_at_end=True,
        metric_for_best_model="loss",
        greater_is_better=False,
        remove_unused_columns=False,
        dataloader_pin_memory=False,
        disable_tqdm=not sys.stderr.isatty(),
        report_to=[],
    )


class _LikeLengths(torch.utils.data.Sampler[int]):
    """Batches of like length, in an order that depends on seed and epoch alone, so that a resumed run sees what it would have seen."""

    def __init__(self, lengths: Sequence[int], batch: int, seed: int) -> None:
        self._lengths, self._batch, self._seed, self._epoch = list(lengths), batch, seed, 0

    def set_epoch(self, epoch: int) -> None:
        self._epoch = epoch

    def __len__(self) -> int:
        return len(self._lengths)

    def __iter__(self) -> Iterator[int]:
        random = torch.Generator().manual_seed(self._seed * 1000 + self._epoch)
        return iter(get_length_grouped_indices(self._lengths, self._batch, generator=random))


def rate(schedule: Schedule, step: int, steps: int, warmup: int) -> float:
    """The learning rate after `step` of `steps` steps, as a share of its peak; it rises over the first `warmup`."""
    if step < warmup:
        return step / warmup
    if schedule == "linear":
        return max(0.0, (steps - step) / max(1, steps - warmup))
    if schedule == "cosine":
        return 0.1 + 0.45 * (1 + math.cos(math.pi * min(1.0, (step - warmup) / max(1, steps - warmup))))
    if schedule == "step":
        return 0.1 ** min(2, 3 * step // steps)
    return 1.0


class _Trainer(transformers.Trainer):  # type: ignore[misc]
    def __init__(self, settings: Settings, **options: Any) -> None:
        super().__init__(**options)
        self._settings = settings

    def _get_train_sampler(self, train_dataset: Any = None) -> "_LikeLengths":
        return _LikeLengths([row["length"] for row in self.train_dataset], self.args.train_batch_size, self.args.seed)

    def create_scheduler(self, num_training_steps: int, optimizer: Any = None) -> Any:
        shares = partial(rate, self._settings.schedule, steps=num_training_steps, warmup=self.args.warmup_steps)
        self.lr_scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer or self.optimizer, shares)
        return self.lr_scheduler

    def compute_loss(self, model: Any, inputs: Any, return_outputs: bool = False, **_: Any) -> Any:
        head = self._settings.head
        better, worse = model(**inputs).logits.float().chunk(2)
        bonus = self._settings.entropy_bonus if model.training else 0.0
        loss = heads.loss(head, better, worse, self._settings.link, bonus)
        return (loss, heads.mean(head, better) - heads.mean(head, worse)) if return_outputs else loss

    def prediction_step(self, model: Any, inputs: Any, *_: Any, **__: Any) -> Any:
        with torch.inference_mode():
            loss, margins = self.compute_loss(model, self._prepare_inputs(inputs), return_outputs=True)
        return loss, margins, torch.ones_like(margins)


def _last_whole_checkpoint(work: Path) -> str | None:
    """The newest checkpoint of a killed run. A kill may have torn one: its state is written last, so one without it is removed."""
    whole = []
    for folder in work.glob("checkpoint-*"):
        try:
            whole.append((json.loads((folder / "trainer_state.json").read_text())["global_step"], str(folder)))
        except (OSError, ValueError):
            shutil.rmtree(folder)
    return max(whole)[1] if whole else None


def _history(log: Sequence[dict[str, Any]]) -> pd.DataFrame:
    epochs: dict[int, dict[str, Any]] = {}
    for entry in log:
        row = epochs.setdefault(round(entry["epoch"]), {"epoch": round(entry["epoch"])})
        for key, name in (("loss", "train_loss"), ("eval_loss", "validation_loss"), ("eval_accuracy", "validation_accuracy")):
            if key in entry:
                row[name] = entry[key]
    return pd.DataFrame(list(epochs.values())).sort_values("epoch", ignore_index=True)


def _save(model: Any, tokenizer: Any, settings: Settings, out: Path) -> None:
    """Write adapter and head, or the whole model; an adapter's configuration names the base as the params do and lists in one order, so
    that bytes repeat."""
    model.save_pretrained(out)
    if settings.tuning == "full":
        tokenizer.save_pretrained(out)
    else:
        (out / "README.md").unlink(missing_ok=True)
        config = json.loads((out / ADAPTER).read_text())
        config |= {"base_model_name_or_path": settings.base, "revision": settings.base_revision or None}
        config = {key: sorted(value) if isinstance(value, list) else value for key, value in sorted(config.items())}
        write_text(out / ADAPTER, json.dumps(config, indent=2) + "\n")
    if settings.tuning == "full" or settings.head != "base":
        atoms = {"atoms": settings.atoms} if settings.head == "categorical" else {}
        write_text(out / HEAD, json.dumps({"head": settings.head, **atoms}, indent=2) + "\n")


def training_fingerprint(settings: Settings, training: Sequence[TextPair], validation: Sequence[TextPair]) -> str:
    """Changes with all that a half-done training depends on, so that it is never gone on with under other conditions."""
    models = [locate(settings.base, settings.base_revision).fingerprint(), locate(settings.start).fingerprint() if settings.start else ""]
    return fingerprint(settings, models, software(), default_device().type, torch.get_num_threads(), training, validation)
