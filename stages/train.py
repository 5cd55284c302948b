"""Train a Bradley-Terry reward model: a LoRA adapter and a reward head on a base model.

Only adapter and head are written. The epoch with the lowest validation loss is kept. A killed run goes on from its last whole epoch.
"""

import command_line
from command_line import flag

# isort: split
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
    out: str = flag("folder to write adapter and head to; replaced if it exists")
    report: str = flag("where to write counts and the epoch kept (JSON)")
    history: str = flag("where to write losses and accuracy by epoch (CSV)")
    base: str = flag("base model: package:<module> that carries its weights, a folder, or a hub id")
    base_revision: str = flag("commit or branch of a hub base; required there", "")
    start: str = flag("folder of an adapter that stages/train.py wrote, to go on from; empty to start afresh", "")
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
    learning_rate: float = flag("peak learning rate", 0.001)
    dtype: Literal["fp32", "bf16", "auto"] = flag("compute in fp32 or bf16; auto takes bf16 where it is at least twice as fast", "fp32")
    seed: int = flag("seed of the head, the order of pairs and the on-topic draw", 1)


def main(arguments: Arguments) -> None:
    from seal import training

    for name in ("max_length", "rank", "epochs", "batch_pairs", "learning_rate"):
        if getattr(arguments, name) <= 0:
            raise InputError(f"{name.replace('_', '-')} is {getattr(arguments, name)}; expected a number above 0")
    if arguments.seed < 0 or arguments.top_layers < 0:
        raise InputError(f"seed is {arguments.seed} and top-layers {arguments.top_layers}; expected 0 or more of each")
    if Path(arguments.out).exists() and not (Path(arguments.out) / "adapter_config.json").is_file():
        raise InputError(f"{arguments.out}: exists and is no adapter that could be replaced; name another folder in --out")
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
    write_json(arguments.report, {"task": arguments.task, **trained.counts, "chosen_epoch": trained.chosen_epoch, **kept})
    os.replace(work, f"{work}.done")  # at once, so that a kill while it is removed leaves no half of it to go on from
    shutil.rmtree(f"{work}.done")
    print(f"epoch {trained.chosen_epoch} kept, validation accuracy {kept['validation_accuracy']:.3f}", file=sys.stderr)


if __name__ == "__main__":
    command_line.run(main, Arguments, __doc__)
