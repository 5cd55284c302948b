"""Train a reward model on pairs: a head on a base model, with a LoRA adapter or with all weights.

The head gives a reward (base, of Bradley and Terry), or a distribution of rewards (mean-and-variance, categorical: distributional
preference learning, DPL), which is wide where people chose by what the data don't record. Every stage takes them all. Only adapter and
head are written, or the whole model where all weights are trained. The epoch with the lowest validation loss is kept. A killed run goes on
from its last whole epoch.
"""

import command_line
from command_line import flag

# isort: split
import math
import os
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from seal import pairs
from seal.errors import InputError
from seal.files import write_csv, write_json


@dataclass(frozen=True)
class Arguments:
    pairs: str = flag("table of pairs, as stages/prepare.py writes it")
    out: str = flag("folder to write adapter and head, or the whole model, to; replaced if it exists")
    report: str = flag("where to write counts and the epoch kept (JSON)")
    history: str = flag(
        "where to write losses and accuracy by epoch (CSV); the validation loss is the negative log-likelihood, without entropy bonus"
    )
    base: str = flag("base model: package:<module> that carries its weights, a folder, or a hub id")
    base_revision: str = flag("commit or branch of a hub base; required there", "")
    start: str = flag("folder that stages/train.py wrote with the same head and tuning, to go on from; empty to start afresh", "")
    task: Literal["preference", "on-topic"] = flag(
        "preference: the chosen text beats the rejected one; on-topic: a response beats one from another prompt, with no human choice seen",
        "preference",
    )
    format: Literal["pair", "transcript", "chat"] = flag(
        "how a text becomes input: (prompt, response), one text, or the tokenizer's chat template", "pair"
    )
    max_length: int = flag("longest input in tokens, special ones included; longer ones lose old prompt turns first", 256)
    rank: int = flag("rank of the LoRA adapter; with --start that adapter keeps its own", 8)
    top_layers: int = flag("put the adapter on so many of the last layers, 0 for all; with --start that adapter keeps its own", 0)
    epochs: int = flag("passes over the training part", 3)
    batch_pairs: int = flag("pairs in a batch", 16)
    learning_rate: float = flag("peak learning rate, reached after the first tenth of the steps", 0.001)
    schedule: Literal["linear", "cosine", "step", "constant"] = flag(
        "from the peak: linear to zero, cosine to a tenth, in steps (a tenth in the second third, a hundredth in the last), or constant",
        "linear",
    )
    head: Literal["base", "mean-and-variance", "categorical"] = flag(
        "what the reward is: a number, a normal distribution, or a distribution on atoms between 0 and 1", "base"
    )
    atoms: int = flag("how many atoms the head categorical has", 10)
    entropy_bonus: float = flag(
        "of the head categorical: so many times the entropy of a batch's mean distribution is taken off the loss in training", 0.1
    )
    link: Literal["normal", "released"] = flag(
        "of the head mean-and-variance: the normal distribution function, or, to compare, the steeper logistic one of DPL's code, which "
        "makes standard deviations about 1.45 times too large and so biases r2 low",
        "normal",
    )
    tuning: Literal["lora", "full"] = flag("train an adapter, or all weights, which are then written whole", "lora")
    dtype: Literal["fp32", "bf16", "auto"] = flag("compute in fp32 or bf16; auto takes bf16 where it is at least twice as fast", "fp32")
    seed: int = flag("seed of the head, the order of pairs and the on-topic draw", 1)


def main(arguments: Arguments) -> None:
    from seal import training

    for name in ("max_length", "rank", "epochs", "batch_pairs", "learning_rate"):
        if not 0 < getattr(arguments, name) < math.inf:
            raise InputError(f"{name.replace('_', '-')} is {getattr(arguments, name)}; expected a number above 0")
    if not 0 <= arguments.seed < 2**32 or arguments.top_layers < 0:
        raise InputError(f"seed is {arguments.seed} and top-layers {arguments.top_layers}; expected 0 or more, and a seed below 2**32")
    if arguments.atoms < 3 or not 0 <= arguments.entropy_bonus < math.inf:
        raise InputError(f"atoms is {arguments.atoms} and entropy-bonus {arguments.entropy_bonus:g}; expected 3 or more, and 0 or more")
    marks = ("adapter_config.json", "head.json")  # one of which each model has that this stage wrote
    if Path(arguments.out).exists() and not any((Path(arguments.out) / mark).is_file() for mark in marks):
        raise InputError(f"{arguments.out}: exists and is no model of this stage that could be replaced; name another folder in --out")
    table = pairs.read(arguments.pairs)
    training_pairs, validation_pairs = (
        training.text_pairs(table[table["part"] == part], arguments.task, arguments.seed) for part in ("train", "validation")
    )
    settings = training.Settings(**{name: getattr(arguments, name) for name in training.Settings._fields})
    key = training.training_fingerprint(settings, training_pairs, validation_pairs)
    work = command_line.work("train") / key
    out = Path(arguments.out)
    draft = out.with_name(f".{out.name}.tmp")
    shutil.rmtree(draft, ignore_errors=True)
    trained = training.train(settings, training_pairs, validation_pairs, draft, work)
    shutil.rmtree(out, ignore_errors=True)
    os.replace(draft, out)
    write_csv(arguments.history, trained.history)
    kept = trained.history.set_index("epoch").loc[trained.chosen_epoch].to_dict()
    head = {} if arguments.head == "base" else {"head": arguments.head}
    write_json(arguments.report, {"task": arguments.task, **head, **trained.counts, "chosen_epoch": trained.chosen_epoch, **kept})
    os.replace(work, f"{work}.done")  # at once, so that a kill while it is removed leaves no half of it to go on from
    shutil.rmtree(f"{work}.done")
    print(f"epoch {trained.chosen_epoch} kept, validation accuracy {kept['validation_accuracy']:.3f}", file=sys.stderr)


if __name__ == "__main__":
    command_line.run(main, Arguments, __doc__)
