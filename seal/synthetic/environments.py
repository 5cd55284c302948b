"""Two made-up worlds in which people choose by a context that the data don't record, and what is exactly true in them.

Those of distributional preference learning (DPL: Siththaranjan, Laidlaw, Hadfield-Menell 2023, arXiv 2312.08358). In both, a state is
drawn evenly from the unit interval or square and has a utility of `value`, or of 0 with a chance that nobody records:

- 1d: state a. Below 0.8 its utility is a. From there on it is 2a or 0, with equal chance.
- 2d: state (x, y). Its utility is y / (1 - xy), or 0 with chance xy.

Of two states the one with the greater utility is chosen, and of equal ones the first. States are [..., dimensions] tensors.
"""

from typing import Literal, NamedTuple, get_args

import numpy as np
import torch
from torch import Tensor

Environment = Literal["1d", "2d"]

ENVIRONMENTS: tuple[Environment, ...] = get_args(Environment)

DIMENSIONS: dict[Environment, int] = {"1d": 1, "2d": 2}

STEP = 0.8
"""Where hidden context begins in 1d."""


class Truth(NamedTuple):
    """What is exactly true of states, [states] each."""

    borda_count: Tensor
    """The chance that another state, drawn at random, has the lower utility, and half of that it has the same."""
    expected_utility: Tensor
    standard_deviation: Tensor
    """Of the utility."""
    hidden: Tensor
    """Whether context is hidden: in 1d, where the utility is drawn; in 2d, where it is drawn nearly everywhere, where its standard
    deviation is above the median of the states given."""


class Bound(NamedTuple):
    """What no model can better."""

    nll: float
    accuracy: float


# --- the worlds ---


def lottery(environment: Environment, states: Tensor) -> tuple[Tensor, Tensor]:
    """The utility of each state where it is not 0, and the chance that it is 0, [...] both."""
    if environment == "1d":
        a = states[..., 0]
        hidden = a >= STEP
        return torch.where(hidden, 2 * a, a), hidden.to(a.dtype) / 2
    x, y = states.unbind(-1)
    return y / (1 - x * y), x * y


def utility(environment: Environment, states: Tensor, random: torch.Generator) -> Tensor:
    """Draw the utility of each state, [...]."""
    value, nothing = lottery(environment, states)
    return torch.where(torch.rand(value.shape, generator=random, dtype=value.dtype) < nothing, 0, value)


def prefer(environment: Environment, first: Tensor, second: Tensor, random: torch.Generator) -> Tensor:
    """Draw choices: [pairs] whether the first is chosen."""
    return utility(environment, first, random) >= utility(environment, second, random)


# --- what is true ---


def first_is_chosen(environment: Environment, first: Tensor, second: Tensor) -> Tensor:
    """The exact probability that the first state of each pair is chosen, [pairs]."""
    value, nothing = lottery(environment, first)
    other, other_nothing = lottery(environment, second)
    # The second has to have a utility, and a greater one than the first.
    return 1 - (1 - other_nothing) * torch.where(other > value, 1, nothing)


def truth(environment: Environment, states: Tensor) -> Truth:
    """What is exactly true of states."""
    value, nothing = lottery(environment, states)
    expected = states[..., 0] if environment == "1d" else states[..., 1]  # of value and chance the product, without its rounding
    spread = value * (nothing * (1 - nothing)).sqrt()
    hidden = nothing > 0 if environment == "1d" else spread > spread.median()
    below = _below_1d(value) if environment == "1d" else _below_2d(value)
    zero = {"1d": (1 - STEP) / 2, "2d": 1 / 4}[environment]  # the chance that a random state's utility is 0
    return Truth((1 - nothing) * below + nothing * zero / 2, expected, spread, hidden)


def _below_1d(value: Tensor) -> Tensor:
    """The chance that a random state's utility is below a value: it is 0, or a < 0.8 itself, or it is 2a for an a above 0.8."""
    return (1 - STEP) / 2 + value.clamp(max=STEP) + (value / 2 - STEP).clamp(min=0) / 2


def _below_2d(value: Tensor) -> Tensor:
    """The same in 2d, in closed form.

    A state's utility is 0 with chance 1/4, the integral of xy. Otherwise it is below v where y < Y = v / (1 + vx), as far as Y is below 1,
    which it is for x above s = max(0, 1 - 1/v). So the chance is 1/4 + s - s²/4 + the integral over x from s to 1 of Y - xY²/2, which is
    half of [log(1 + vx) - 1 / (1 + vx)] between its ends.

    The polynomial that the released code draws as the Borda count is another function: it is 1 at (0, 1), whose utility others exceed.
    """
    start = (1 - 1 / value.clamp(min=1)).clamp(min=0)
    upper, lower = 1 + value, 1 + value * start
    return 1 / 4 + start - start**2 / 4 + ((upper / lower).log() - 1 / upper + 1 / lower) / 2


def bayes_bound(environment: Environment, nodes: int = 300) -> Bound:
    """Negative log-likelihood and accuracy of one who knows everything but the draws, over pairs of random states.

    Parameters
    ----------
    nodes
        Of the Gauss-Legendre rule, along each of two dimensions; 1d needs none.
    """
    if environment == "1d":
        # One state of a pair is below the step and the other not: 1/2. Both above: the greater second one is chosen with
        # probability 1/2, and a lower second one with 1/4.
        mixed, above = 2 * STEP * (1 - STEP), (1 - STEP) ** 2
        half, quarter = entropy(torch.tensor([0.5, 0.25], dtype=torch.float64)).tolist()
        return Bound((mixed + above / 2) * half + above / 2 * quarter, STEP**2 + mixed / 2 + above * (0.5 + 0.75) / 2)
    # In place of (x, y) take q = xy, of density -log q, and log y, even on [log q, 0]. Then log value = log y - log(1 - q) is even on an
    # interval too, and given both q the chance that the second value is the greater has a closed form. q = r² rids the density of its pole.
    points, weights = np.polynomial.legendre.leggauss(nodes)
    r = torch.from_numpy((points + 1) / 2)
    q = r**2
    weight = torch.from_numpy(weights / 2) * 2 * r * -q.log()
    high = -torch.log1p(-q)
    low = high + q.log()
    first, second = q[:, None], q[None, :]
    greater = _second_is_greater(low[:, None], high[:, None], low[None, :], high[None, :])
    nll, accuracy = torch.zeros(nodes, nodes, dtype=q.dtype), torch.zeros(nodes, nodes, dtype=q.dtype)
    for share, chosen in ((greater, (1 - second).expand(nodes, nodes)), (1 - greater, (1 - second) * first)):
        nll += share * entropy(chosen)
        accuracy += share * torch.maximum(chosen, 1 - chosen)
    return Bound(*(float(weight @ each @ weight) for each in (nll, accuracy)))


def _second_is_greater(low: Tensor, high: Tensor, other_low: Tensor, other_high: Tensor) -> Tensor:
    """The chance that of two numbers, each drawn evenly from its interval, the second is the greater."""

    def ramp(value: Tensor) -> Tensor:
        return value.clamp(min=0) ** 2 / 2

    area = ramp(other_high - low) - ramp(other_high - high) - ramp(other_low - low) + ramp(other_low - high)
    return area / ((high - low) * (other_high - other_low))


def entropy(probability: Tensor) -> Tensor:
    """Of a choice of two, in nats."""
    return -torch.xlogy(probability, probability) - torch.xlogy(1 - probability, 1 - probability)
