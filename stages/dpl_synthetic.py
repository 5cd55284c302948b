"""Train reward models on made-up choices with hidden context, and hold what they learn to what is exactly true.

Two environments, of one number and of two, in which the utility of some states is drawn, and no one records the draw. Models: base
(Bradley and Terry), mean-and-variance, the same with the released code's link, and categorical. Finished seeds are kept in a journal under
.work, so a killed run loses at most the seed at hand.
"""

import command_line
from command_line import flag

# isort: split
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Dict, List, Literal

from seal.errors import InputError
from seal.files import fingerprint, rounded, write_csv, write_json, write_text

if TYPE_CHECKING:
    from torch import Tensor

    from seal.synthetic.environments import Environment
    from seal.synthetic.training import Settings


@dataclass(frozen=True)
class Arguments:
    out: str = flag("where to write mean and standard deviation by state, model and seed beside what is true (CSV)")
    metrics: str = flag("where to write the figures (JSON)")
    environment: Literal["1d", "2d", "both"] = flag("the made-up world, or both", "both")
    figure_1d: str = flag("where to draw what the first seed's models learned in 1d (SVG); nowhere if not given", "")
    figure_2d: str = flag("where to draw what the first seed's models learned in 2d (SVG); nowhere if not given", "")
    seeds: List[int] = flag("seeds of weights, pairs and choices, each trained for itself", [0, 1, 2], nargs="+")
    steps: int = flag("steps of training", 1000)
    batch: int = flag("fresh pairs a step", 2048)
    learning_rate: float = flag("learning rate of the first step", 0.001)
    last_learning_rate: float = flag("what it falls to, exponentially, by the last step", 0.00001)
    hidden: int = flag("units of a hidden layer", 512)
    layers: int = flag("linear layers", 4)
    atoms: int = flag("atoms of categorical; 0 for the 20 of 1d and the 8 of 2d in the released code", 0)
    dtype: Literal["fp32", "bf16"] = flag("compute matrix products in fp32 or bf16", "fp32")


def main(arguments: Arguments) -> None:
    check(arguments)
    import pandas as pd
    import torch

    from seal.journal import Journal
    from seal.synthetic import learned
    from seal.synthetic.environments import ENVIRONMENTS
    from seal.synthetic.training import ATOMS, Settings

    environments = ENVIRONMENTS if arguments.environment == "both" else (arguments.environment,)
    figures: Dict[str, Any] = {}
    tables, journals = [], []
    for environment in environments:
        given = {name: getattr(arguments, name) for name in Settings._fields}
        settings = Settings(**{**given, "atoms": arguments.atoms or ATOMS[environment]})
        key = fingerprint(environment, settings, torch.__version__, torch.get_num_threads())
        with Journal(command_line.work("dpl-synthetic") / f"{key}.jsonl") as journal:
            done = {record["seed"]: record["models"] for record in journal.records}
            for seed in arguments.seeds:
                if seed not in done:
                    done[seed] = trained(environment, settings, seed)
                    journal.append({"seed": seed, "models": done[seed]})
        journals.append(journal.path)
        found = {seed: done[seed] for seed in arguments.seeds}
        figures[environment] = learned.report(environment, found)
        tables.append(learned.table(environment, found))
        path = {"1d": arguments.figure_1d, "2d": arguments.figure_2d}[environment]
        if path:
            write_text(path, learned.drawing(environment, found[arguments.seeds[0]]))
    write_csv(arguments.out, pd.concat(tables, ignore_index=True).map(rounded))
    write_json(arguments.metrics, figures)
    for finished in journals:  # another run is to train with the code of its day
        finished.unlink()


def check(arguments: Arguments) -> None:
    """Refuse settings with which nothing can be trained.

    Raises
    ------
    InputError
        If a number is out of its range, or a seed is given twice.
    """
    for name, least in (("steps", 1), ("batch", 2), ("hidden", 1), ("layers", 2), ("atoms", 0)):
        if getattr(arguments, name) < least:
            raise InputError(f"{name} is {getattr(arguments, name)}; expected {least} or more")
    if arguments.atoms == 1:
        raise InputError("atoms is 1, which is no distribution; expected 2 or more, or 0 for those of the released code")
    if not 0 < arguments.last_learning_rate <= arguments.learning_rate:
        raise InputError(
            f"learning-rate is {arguments.learning_rate:g} and last-learning-rate {arguments.last_learning_rate:g}; "
            "expected numbers above 0, the last one no greater"
        )
    if not all(0 <= seed < 2**32 for seed in arguments.seeds) or len(set(arguments.seeds)) < len(arguments.seeds):
        raise InputError(f"seeds are {' '.join(map(str, arguments.seeds))}; expected different numbers of 0 or more, below 2**32")


def trained(environment: "Environment", settings: "Settings", seed: int) -> Dict[str, Any]:
    """Train all models on one seed; by model's name what is kept of it."""
    import torch
    from tqdm import tqdm

    from seal.synthetic import environments, learned, training

    random = torch.Generator().manual_seed(seed)
    dimensions = environments.DIMENSIONS[environment]
    networks = [training.network(model, dimensions, settings, random) for model in training.MODELS]
    losses: List[Tensor] = []
    steps = training.train(networks, dimensions, partial(environments.prefer, environment), settings, random)
    for loss in tqdm(steps, total=settings.steps, unit="step", desc=f"{environment}, seed {seed}", disable=None):
        losses.append(loss)
    if not torch.stack(losses).isfinite().all():
        raise InputError(f"{environment}, seed {seed}: the loss is no finite number; lower learning-rate, now {settings.learning_rate:g}")
    return {each.model.name: learned.learned(environment, each) for each in networks}


if __name__ == "__main__":
    command_line.run(main, Arguments, __doc__)
