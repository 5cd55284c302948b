"""What models trained on the made-up choices of `environments` know, beside what is true: of choices on held-out pairs, and of states.

What is kept of a trained model are its outputs for a grid of states and its figures on the held-out pairs.
"""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from seal.doses import ranks
from seal.engine import heads
from seal.synthetic import environments as synthetic
from seal.synthetic import figures
from seal.synthetic.environments import Environment
from seal.synthetic.training import MODELS, Model, Network, evaluate

PAIRS = 2**15
"""Held-out pairs: the points of a Sobol sequence, which are spread more evenly than those of a draw, so that figures vary less."""

PAIRS_SEED = 1
"""Of that sequence's scrambling: the same pairs for all models and seeds."""

STATES: dict[Environment, int] = {"1d": 500, "2d": 24}
"""Along each side of the grid of states."""

NO_DISTRIBUTION = "base gives a number and no distribution"

Learned = Mapping[str, Mapping[str, Any]]
"""By model's name, what `learned` kept of it."""


def learned(environment: Environment, trained: Network) -> dict[str, Any]:
    """What is kept of a trained model, as JSON has it."""
    outputs = evaluate(trained, grid(environment).float())
    return {"outputs": outputs.tolist(), "choices": choice_figures(environment, trained)}


def report(environment: Environment, by_seed: Mapping[int, Learned]) -> dict[str, Any]:
    """All figures of an environment: what is exactly so, and by model of each seed and over seeds."""
    models: dict[str, Any] = {}
    for model in MODELS:
        figures = {}
        for seed, of_seed in by_seed.items():
            kept = of_seed[model.name]
            figures[str(seed)] = {**kept["choices"], **state_figures(environment, model, torch.tensor(kept["outputs"]))}
        models[model.name] = {**over_seeds(figures), "by_seed": figures}
    return {
        "bayes_bound": synthetic.bayes_bound(environment)._asdict(),
        "bayes_bound_of_held_out_pairs": bound_of_pairs(environment)._asdict(),
        "held_out_pairs": PAIRS,
        "states": len(grid(environment)),
        "models": models,
    }


def table(environment: Environment, by_seed: Mapping[int, Learned]) -> pd.DataFrame:
    """What models say of each state of the grid, by model and seed, and what is true of it.

    Columns: environment, model, seed, x (in 1d the state a), y (empty in 1d), mean, std (empty for base), borda_count, expected_utility,
    exact_std, hidden.
    """
    states = grid(environment)
    exact = synthetic.truth(environment, states)
    parts = []
    for model in MODELS:
        for seed, of_seed in by_seed.items():
            outputs = torch.tensor(of_seed[model.name]["outputs"]).double()
            has_std = model.head != "base"
            part = {
                "environment": environment,
                "model": model.name,
                "seed": seed,
                "x": states[:, 0].numpy(),
                "y": states[:, 1].numpy() if states.shape[1] > 1 else np.nan,
                "mean": heads.mean(model.head, outputs).numpy(),
                "std": heads.standard_deviation(model.head, outputs).numpy() if has_std else np.nan,
                "borda_count": exact.borda_count.numpy(),
                "expected_utility": exact.expected_utility.numpy(),
                "exact_std": exact.standard_deviation.numpy(),
                "hidden": exact.hidden.numpy(),
            }
            parts.append(pd.DataFrame(part))
    return pd.concat(parts, ignore_index=True)


def drawing(environment: Environment, of_seed: Learned) -> str:
    """What the models of one seed have learned, as SVG."""
    states = grid(environment)
    exact = synthetic.truth(environment, states)
    means, spreads = {}, {}
    for model in MODELS:
        outputs = torch.tensor(of_seed[model.name]["outputs"]).double()
        means[model.name] = heads.mean(model.head, outputs).numpy()
        spreads[model.name] = heads.standard_deviation(model.head, outputs).numpy()
    names = {"Borda count": exact.borda_count.numpy(), "expected utility": exact.expected_utility.numpy()}
    if environment == "1d":
        return figures.curves(states[:, 0].numpy(), names, {name: (means[name], spreads[name]) for name in means})
    panels = {**names, "standard deviation of utility": exact.standard_deviation.numpy(), "base": means["base"]}
    for model in MODELS[1:]:
        panels |= {f"{model.name}: mean": means[model.name], f"{model.name}: std": spreads[model.name]}
    return figures.maps(STATES[environment], panels)


def held_out_pairs(environment: Environment) -> tuple[Tensor, Tensor]:
    """First and second states, [PAIRS, dimensions] each."""
    dimensions = synthetic.DIMENSIONS[environment]
    sequence = torch.quasirandom.SobolEngine(2 * dimensions, scramble=True, seed=PAIRS_SEED)  # type: ignore[no-untyped-call]
    points = sequence.draw(PAIRS)
    return points[:, :dimensions].contiguous(), points[:, dimensions:].contiguous()


def grid(environment: Environment) -> Tensor:
    """States in the middles of equal cells, [states, dimensions]."""
    side = (torch.arange(STATES[environment], dtype=torch.float64) + 0.5) / STATES[environment]
    return torch.cartesian_prod(*[side] * synthetic.DIMENSIONS[environment]).reshape(-1, synthetic.DIMENSIONS[environment])


def choice_figures(environment: Environment, trained: Network) -> dict[str, float]:
    """Negative log-likelihood and accuracy of a network's choices on the held-out pairs.

    Both are expectations over the choice, whose probability is known, in place of one draw of it. Where a model calls both states equal, it
    is right half of the time.
    """
    first, second = held_out_pairs(environment)
    outputs, others = evaluate(trained, torch.cat([first, second])).chunk(2)
    head, link = trained.model.head, trained.model.link
    chosen = synthetic.first_is_chosen(environment, first.double(), second.double())
    log_first = heads.log_probability(head, outputs, others, link).double()
    log_second = heads.log_probability(head, others, outputs, link).double()
    sign = torch.sign(log_first - log_second)
    return {
        "nll": -float((chosen * log_first + (1 - chosen) * log_second).mean()),
        "accuracy": float((1 + sign * (2 * chosen - 1)).mean() / 2),
    }


def bound_of_pairs(environment: Environment) -> synthetic.Bound:
    """`bayes_bound` on the held-out pairs alone, for a fair comparison."""
    chosen = synthetic.first_is_chosen(environment, *(states.double() for states in held_out_pairs(environment)))
    return synthetic.Bound(float(synthetic.entropy(chosen).mean()), float(torch.maximum(chosen, 1 - chosen).mean()))


def state_figures(environment: Environment, model: Model, outputs: Tensor) -> dict[str, Any]:
    """How a model's mean and standard deviation go with what is true of the states of the grid.

    Parameters
    ----------
    outputs
        [states, outputs] of the grid, in the form of `seal.engine.heads`.
    """
    exact = synthetic.truth(environment, grid(environment))
    means = heads.mean(model.head, outputs.double()).numpy()
    figures: dict[str, Any] = {
        f"{kind}_with_{name}": of(means, values.numpy())
        for name, values in (("borda_count", exact.borda_count), ("expected_utility", exact.expected_utility))
        for kind, of in (("pearson", _pearson), ("spearman", _spearman))
    }
    if model.head == "base":
        return {**figures, "standard_deviation": None, "standard_deviation_reason": NO_DISTRIBUTION}
    spread = heads.standard_deviation(model.head, outputs.double()).numpy()
    hidden = exact.hidden.numpy()
    return {
        **figures,
        "r2": _over(means.var(), means.var() + (spread**2).mean()),
        "standard_deviation": {
            "hidden_mean": spread[hidden].mean(),
            "hidden_median": np.median(spread[hidden]),
            "not_hidden_mean": spread[~hidden].mean(),
            "not_hidden_median": np.median(spread[~hidden]),
            "auc_of_hidden": auc(spread[hidden], spread[~hidden]),
            "spearman_with_exact": _spearman(spread, exact.standard_deviation.numpy()),
        },
    }


def auc(positives: np.ndarray, negatives: np.ndarray) -> float:
    """The chance that one of the positives, [n], lies above one of the negatives, [m], and half of that they are equal."""
    in_order = np.sort(negatives)
    below = np.searchsorted(in_order, positives, side="left") + np.searchsorted(in_order, positives, side="right")
    return float(below.mean() / (2 * len(negatives)))


def _pearson(one: np.ndarray, other: np.ndarray) -> float | None:
    one, other = one - one.mean(), other - other.mean()
    return _over(float(one @ other), math.sqrt(float(one @ one) * float(other @ other)))


def _spearman(one: np.ndarray, other: np.ndarray) -> float | None:
    return _pearson(ranks(one), ranks(other))


def _over(part: float, whole: float) -> float | None:
    return float(part / whole) if whole else None


def over_seeds(by_seed: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Each figure's mean over seeds and, where there are several, its standard deviation from seed to seed."""
    made: dict[str, Any] = {}
    for name, value in next(iter(by_seed.values())).items():
        values = [figures[name] for figures in by_seed.values()]
        if isinstance(value, dict):
            made[name] = over_seeds({seed: figures[name] for seed, figures in by_seed.items()})
        elif value is None or isinstance(value, str):
            made[name] = value
        else:
            known = [each for each in values if each is not None]
            made[name] = float(np.mean(known))
            made[f"{name}_spread"] = float(np.std(known, ddof=1)) if len(known) > 1 else None
    return made
