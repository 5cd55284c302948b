"""Heads of reward models: from a model's outputs for a text to the distribution of its reward, and the loss that trains them.

`base` is the model of Bradley and Terry: one output, the reward. The other two are those of distributional preference learning (DPL:
Siththaranjan, Laidlaw, Hadfield-Menell 2023, arXiv 2312.08358), whose reward is a distribution: wide where people choose by criteria that
the data don't record. All functions take outputs on their last axis, and work in the dtype they are given.
"""

import math
from typing import Literal

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid, softplus

Head = Literal["base", "mean-and-variance", "categorical"]
"""`base`: the reward. `mean-and-variance`: a normal distribution, outputs (mean, s) with standard deviation softplus(s).
`categorical`: outputs are the logits of atoms at i / (n - 1), so rewards lie in [0, 1]."""

Link = Literal["normal", "released"]
"""From two normal distributions to the probability of a choice. `normal`: that of the paper, Phi(z). `released`: that of the paper's
code, sigmoid(sqrt(2 pi) z), which is steeper. It is no better, only there for comparison: trained with it, a model makes up for the slope
by standard deviations that are about 1.45 times too large, and so its r² is too low."""

Definition = Literal["exact", "released"]
"""Of the lower quantile of atoms. `exact`: the lowest atom whose cumulative probability reaches alpha. `released`: that of the paper's
code, which spreads atom i evenly over [i / n, (i + 1) / n]."""

SMALLEST_STD = 1e-3
"""Floor of the standard deviation of `mean-and-variance`, which keeps the loss of a wrong but sure model finite. Such models have means
some units apart; the smallest standard deviation in the paper's released outputs is 0.1."""


def outputs(head: Head, atoms: int) -> int:
    """How many outputs a model with this head has."""
    return {"base": 1, "mean-and-variance": 2, "categorical": atoms}[head]


def loss(head: Head, better: Tensor, worse: Tensor, link: Link = "normal", entropy_bonus: float = 0.0) -> Tensor:
    """The negative log-likelihood of choices, averaged over pairs.

    Parameters
    ----------
    better, worse
        [pairs, outputs], of the chosen and the rejected text of each pair.
    link
        For `mean-and-variance` alone.
    entropy_bonus
        For `categorical` alone: so many times the entropy of the mean distribution of all texts is taken off, as in the paper's code.
        It keeps all atoms in use, and leaves each text free to be sure.
    """
    negative = -log_probability(head, better, worse, link).mean()
    if head == "categorical" and entropy_bonus:
        negative = negative - entropy_bonus * _entropy(torch.cat([better, worse]))
    return negative


def log_probability(head: Head, better: Tensor, worse: Tensor, link: Link = "normal") -> Tensor:
    """Log of the probability that `better` is chosen, [pairs]; finite for outputs that lie thousands apart, as is its gradient.

    Sources: `base`, Bradley and Terry 1952; `mean-and-variance` and `categorical`, arXiv 2312.08358, section 4, where equal atoms are
    half a choice.
    """
    if head == "categorical":
        first, second = better.log_softmax(-1), worse.log_softmax(-1)
        # As a share of both outcomes, it is never above zero, and keeps its digits where it is close to it.
        return logsigmoid(_log_above(first, second) - _log_above(second, first))
    difference = mean(head, better) - mean(head, worse)
    if head == "base":
        return logsigmoid(difference)
    z = difference / torch.hypot(standard_deviation(head, better), standard_deviation(head, worse))
    return _log_ndtr(z) if link == "normal" else logsigmoid(math.sqrt(2 * math.pi) * z)


def mean(head: Head, outputs: Tensor) -> Tensor:
    """The mean reward, [...] of [..., outputs]."""
    if head == "categorical":
        return (outputs.softmax(-1) * _atoms(outputs)).sum(-1)
    return outputs[..., 0]


def standard_deviation(head: Head, outputs: Tensor) -> Tensor:
    """The standard deviation of the reward, [...] of [..., outputs]; zero for `base`, whose reward is one number."""
    if head == "base":
        return torch.zeros_like(outputs[..., 0])
    if head == "categorical":
        squares = (_atoms(outputs) - mean(head, outputs).unsqueeze(-1)) ** 2
        return (outputs.softmax(-1) * squares).sum(-1).sqrt()
    std = softplus(outputs[..., 1])
    # The gradient goes past the floor, so that a standard deviation that was once too small can grow again.
    return std + (SMALLEST_STD - std).clamp(min=0.0).detach()


def quantile(head: Head, outputs: Tensor, alpha: float, definition: Definition = "exact") -> Tensor:
    """The lower quantile of the reward, [...] of [..., outputs]: the risk-averse score of a text.

    Parameters
    ----------
    outputs
        [..., outputs].
    alpha
        Probability of a reward below the quantile, between 0 and 1, both exclusive.
    definition
        For `categorical` alone. Both are the same for the others: mean + Phi^-1(alpha) * standard deviation.
    """
    if head != "categorical":
        z = float(torch.special.ndtri(torch.tensor(alpha, dtype=torch.float64)))
        return mean(head, outputs) + z * standard_deviation(head, outputs)
    atoms = outputs.shape[-1]
    reached = outputs.softmax(-1).cumsum(-1)
    # Sums are off by rounding: one that should be alpha has reached it, and where the whole one stays below, it is the last atom.
    atom = (reached < alpha * (1 - atoms * torch.finfo(reached.dtype).eps)).sum(-1, keepdim=True).clamp(max=atoms - 1)
    if definition == "exact":
        return atom.squeeze(-1).to(outputs.dtype) / (atoms - 1)
    upper = reached.gather(-1, atom)
    lower = torch.where(atom > 0, reached.gather(-1, (atom - 1).clamp(min=0)), torch.zeros_like(upper))
    share = ((alpha - lower) / (upper - lower)).clamp(max=1.0)
    return ((atom + share) / atoms).squeeze(-1)


def _log_ndtr(z: Tensor) -> Tensor:
    """log Phi(z). torch's own has the value, but the gradient of its lower tail is a difference of large numbers: in fp32 five per cent
    off at z = -1,000, and nothing but rounding (zero, or infinite) from z = -100,000 on."""
    lower = z.clamp(max=-1.0)
    tail = torch.log(torch.special.erfcx(-lower * math.sqrt(0.5)) / 2) - lower**2 / 2
    return torch.where(z < -1, tail, torch.special.log_ndtr(z.clamp(min=-1.0)))


def _atoms(outputs: Tensor) -> Tensor:
    return torch.linspace(0, 1, outputs.shape[-1], dtype=outputs.dtype, device=outputs.device)


def _log_above(first: Tensor, second: Tensor) -> Tensor:
    """Log of the probability that `first` is above `second`, and half of that they are equal; both [pairs, atoms], logs."""
    half = second - math.log(2)
    below = torch.cat([half[..., :1], torch.logaddexp(half[..., 1:], second.logcumsumexp(-1)[..., :-1])], -1)
    return (first + below).logsumexp(-1)


def _entropy(outputs: Tensor) -> Tensor:
    """The entropy of the mean of the distributions with logits `outputs`, [texts, atoms], in nats."""
    log_mean = outputs.log_softmax(-1).logsumexp(0) - math.log(len(outputs))
    return -(log_mean.exp() * log_mean).sum()
