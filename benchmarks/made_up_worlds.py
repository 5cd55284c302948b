"""How much faster do the models of stages/dpl_synthetic.py train together than one after another in the plain way, and as well?

    python benchmarks/made_up_worlds.py

The plain way is a `torch.nn.Sequential` for each model, autograd, Adam and ExponentialLR, with the same weights to start from, on the
same pairs, both states of a pair in one batch. Both ways take turns, some steps at a time, and take turns at being first; so what runs in
the background slows both, and steps of all of training count. At the end what each way's models know of the held-out pairs.

--environment 2d
    States of two numbers, where no row stands for another.
--steps 200
    A shorter training, with the whole decay of its learning rate.
--threads 1
    On a machine that others use; the processor's time is then the figure to look at.
--dtype bf16
    Ours in bf16, the plain way still in fp32.
"""

import argparse
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from seal.engine import heads
from seal.synthetic import environments, learned, training
from seal.synthetic.training import ATOMS, MODELS, BatchNorm, Layer, Model, Network, Settings

Prefer = Callable[[Tensor, Tensor, torch.Generator], Tensor]


def plain_module(each: Network) -> nn.Sequential:
    """The same network as a torch module, with copies of its weights."""
    modules: list[nn.Module] = []
    for layer in each.layers:
        outputs, inputs = layer.weight.shape
        linear = nn.Linear(inputs, outputs, dtype=layer.weight.dtype)
        with torch.no_grad():
            linear.weight.copy_(layer.weight)
            linear.bias.copy_(layer.bias)
        modules.append(linear)
        if layer.norm is not None:
            modules.append(nn.BatchNorm1d(outputs, dtype=layer.weight.dtype))
        modules.append(nn.ReLU())
    return nn.Sequential(*modules[:-1])


def train_plain(
    model: Model, module: nn.Module, dimensions: int, prefer: Prefer, settings: Settings, random: torch.Generator
) -> Iterator[Tensor]:
    """Train one model the plain way; after each step, its loss before it."""
    optimizer = torch.optim.Adam(module.parameters(), lr=settings.learning_rate)
    schedule = torch.optim.lr_scheduler.ExponentialLR(
        optimizer, gamma=(settings.last_learning_rate / settings.learning_rate) ** (1 / settings.steps)
    )
    dtype = next(module.parameters()).dtype
    for _ in range(settings.steps):
        optimizer.zero_grad()
        states = torch.rand(2 * settings.batch, dimensions, generator=random, dtype=dtype)
        first, second = states.chunk(2)
        chosen = prefer(first, second, random)[:, None]
        one, other = training.to_head(model.head, module(states)).chunk(2)
        loss = heads.loss(model.head, torch.where(chosen, one, other), torch.where(chosen, other, one), model.link)
        loss.backward()
        optimizer.step()
        schedule.step()
        yield loss.detach()


def network_of(model: Model, module: nn.Sequential) -> Network:
    """A trained module, for the functions that take a network."""
    layers: list[Layer] = []
    for each in module:
        if isinstance(each, nn.Linear):
            layers.append(Layer(each.weight.detach(), each.bias.detach(), None))
        elif isinstance(each, nn.BatchNorm1d):
            norm = BatchNorm(each.weight.detach(), each.bias.detach(), each.running_mean, each.running_var)
            layers[-1] = layers[-1]._replace(norm=norm)
    return Network(model, tuple(layers), torch.empty(0), ())


def fresh(environment: Any, settings: Settings, seed: int) -> list[Network]:
    """Networks as the stage draws them."""
    random = torch.Generator().manual_seed(seed)
    return [training.network(model, environments.DIMENSIONS[environment], settings, random) for model in MODELS]


def timed(steps: Sequence[Iterator[Tensor]], count: int) -> np.ndarray:
    """Seconds on the clock and of the processor for so many steps of each."""
    start = np.array([time.perf_counter(), time.process_time()])
    for each in steps:
        for _ in range(count):
            next(each)
    return (np.array([time.perf_counter(), time.process_time()]) - start) / count


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--environment", choices=environments.ENVIRONMENTS, default="1d")
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--at-once", type=int, default=20, help="steps of a turn")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--dtype", choices=["fp32", "bf16"], default="fp32")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    environment = arguments.environment
    dimensions, prefer = environments.DIMENSIONS[environment], partial(environments.prefer, environment)
    settings = Settings(steps=arguments.steps, atoms=ATOMS[environment], dtype=arguments.dtype)
    ours = fresh(environment, settings, arguments.seed)
    plain = [plain_module(each) for each in ours]
    together = [training.train(ours, dimensions, prefer, settings, torch.Generator().manual_seed(arguments.seed))]
    one_by_one = [
        train_plain(model, module, dimensions, prefer, settings, torch.Generator().manual_seed(arguments.seed))
        for model, module in zip(MODELS, plain, strict=True)
    ]
    rounds = []
    for number in range(arguments.steps // arguments.at_once):
        turns = [("plain", one_by_one), ("together", together)]
        taken = {name: timed(steps, arguments.at_once) for name, steps in (turns if number % 2 else turns[::-1])}
        rounds.append([taken["plain"], taken["together"]])
    seconds = np.array(rounds)  # [rounds, ways, clocks]
    print(f"{environment}, {arguments.steps} steps of {settings.batch} pairs, {arguments.dtype}, threads: {arguments.threads}\n")
    print("| a step of four models | plain, ms | together, ms | times as fast | least to most |\n| --- | --- | --- | --- | --- |")
    for clock, name in enumerate(("clock", "processor")):
        ratio = seconds[:, 0, clock] / seconds[:, 1, clock]
        middle = 1000 * np.median(seconds[:, :, clock], axis=0)
        whole = seconds[:, 0, clock].sum() / seconds[:, 1, clock].sum()
        print(
            f"| {name}: median of {len(ratio)} turns | {middle[0]:.0f} | {middle[1]:.0f} | {np.median(ratio):.2f} (all steps: {whole:.2f}) "
            f"| {ratio.min():.2f} to {ratio.max():.2f} |"
        )
    print("\n| model | NLL plain | together | accuracy plain | together |\n| --- | --- | --- | --- | --- |")
    for one, other in zip(ours, plain, strict=True):
        first, second = (learned.choice_figures(environment, each) for each in (network_of(one.model, other), one))
        print(
            f"| {one.model.name} | {first['nll']:.4f} | {second['nll']:.4f} | {first['accuracy']:.4f} | {second['accuracy']:.4f} |",
        )
    bound = learned.bound_of_pairs(environment)
    print(f"| no model can better | {bound.nll:.4f} | {bound.nll:.4f} | {bound.accuracy:.4f} | {bound.accuracy:.4f} |")


if __name__ == "__main__":
    main()
