"""Reward models of states, small ReLU networks, trained together on the same fresh pairs by distributional preference learning.

A network of ReLUs is piecewise linear. Where a state is one number, some hundred of a batch's thousands of rows therefore say all that the
others would, and matrix products see no more than these (see `piecewise`); values and gradients are those of the plain way but for
rounding. Where a state has more numbers, every row is computed.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from seal.engine import heads
from seal.engine.heads import Head, Link
from seal.synthetic import piecewise
from seal.synthetic.piecewise import Products, Runs

Precision = Literal["fp32", "bf16"]

MOMENTUM = 0.1
"""Of batch normalisation's running figures, as torch has it."""

EPSILON = 1e-5
"""Added to the variance in batch normalisation, as in torch."""

LOG_STD_SHIFT = 2.0
"""A standard deviation is exp(output - 2), as in the released code: about 0.14 before training."""

LARGEST_LOG_STD = 30.0
"""Where nothing but a coin decides, no standard deviation is large enough; squares of this one are still finite in fp32."""


class Model(NamedTuple):
    """A kind of reward model."""

    name: str
    head: Head
    link: Link = "normal"


MODELS = (
    Model("base", "base"),
    Model("mean-and-variance", "mean-and-variance"),
    Model("mean-and-variance-released-link", "mean-and-variance", "released"),
    Model("categorical", "categorical"),
)
"""All of them, in the order of tables."""


ATOMS = {"1d": 20, "2d": 8}
"""Of `categorical` in the released code, by environment."""


class Settings(NamedTuple):
    """How to train."""

    steps: int = 1000
    batch: int = 2048
    """Fresh pairs a step."""
    learning_rate: float = 1e-3
    last_learning_rate: float = 1e-5
    """What the learning rate falls to, exponentially, by the last step."""
    hidden: int = 512
    layers: int = 4
    """Linear ones."""
    atoms: int = 20
    """Of `categorical`."""
    dtype: Precision = "fp32"
    """Of the matrix products; all else is fp32."""


class BatchNorm(NamedTuple):
    """What batch normalisation keeps, [out] each."""

    gain: Tensor
    offset: Tensor
    mean: Tensor
    """Running, as is the variance; neither is trained."""
    variance: Tensor


class Layer(NamedTuple):
    """A linear layer, and what normalises its output, if anything does."""

    weight: Tensor
    """[out, in]"""
    bias: Tensor
    """[out]"""
    norm: BatchNorm | None


class Network(NamedTuple):
    """A network, whose trained numbers all lie in one tensor."""

    model: Model
    layers: tuple[Layer, ...]
    parameters: Tensor
    """[n]; the layers hold views of it."""
    gradient: tuple[Layer, ...]
    """Views of `parameters.grad`."""


def network(model: Model, dimensions: int, settings: Settings, random: torch.Generator, dtype: torch.dtype = torch.float32) -> Network:
    """A fresh network, drawn as torch draws its linear layers: evenly within 1 / sqrt(inputs) of 0.

    `categorical` has batch normalisation, as in the released code.
    """
    widths = [dimensions, *[settings.hidden] * (settings.layers - 1), heads.outputs(model.head, settings.atoms)]
    normalised = model.head == "categorical"
    size = sum(outputs * (inputs + 1) for inputs, outputs in pairwise(widths)) + normalised * 2 * sum(widths[1:-1])
    parameters = torch.zeros(size, dtype=dtype)
    parameters.grad = torch.zeros_like(parameters)
    layers = _layers(parameters, widths, normalised)
    for layer in layers:
        bound = 1 / math.sqrt(layer.weight.shape[1])
        layer.weight.uniform_(-bound, bound, generator=random)
        layer.bias.uniform_(-bound, bound, generator=random)
        if layer.norm is not None:
            layer.norm.gain.fill_(1)
    return Network(model, layers, parameters, _layers(parameters.grad, widths, normalised))


def _layers(flat: Tensor, widths: Sequence[int], normalised: bool) -> tuple[Layer, ...]:
    """Views of a flat tensor, one after another."""
    made, start = [], 0

    def view(*shape: int) -> Tensor:
        nonlocal start
        start += math.prod(shape)
        return flat[start - math.prod(shape) : start].view(shape)

    for place, (inputs, outputs) in enumerate(pairwise(widths)):
        weight, bias, norm = view(outputs, inputs), view(outputs), None
        if normalised and place < len(widths) - 2:
            norm = BatchNorm(view(outputs), view(outputs), flat.new_zeros(outputs), flat.new_ones(outputs))
        made.append(Layer(weight, bias, norm))
    return tuple(made)


def to_head(head: Head, raw: Tensor) -> Tensor:
    """A network's outputs in the form that `seal.engine.heads` reads, which takes the softplus of a standard deviation's output."""
    if head != "mean-and-variance":
        return raw
    std = (raw[..., 1] - LOG_STD_SHIFT).clamp(-LARGEST_LOG_STD, LARGEST_LOG_STD).exp()
    return torch.stack([raw[..., 0], std + torch.log(-torch.expm1(-std))], dim=-1)


def train(
    networks: Sequence[Network],
    dimensions: int,
    prefer: Callable[[Tensor, Tensor, torch.Generator], Tensor],
    settings: Settings,
    random: torch.Generator,
) -> Iterator[Tensor]:
    """Train networks side by side, all on the same fresh pairs, with Adam.

    Parameters
    ----------
    prefer
        From first states, second states, both [pairs, dimensions], and a generator: [pairs] whether the first is chosen.
    random
        Of the pairs and the choices.

    Yields
    ------
    After each step, [networks] losses before it.
    """
    decay = (settings.last_learning_rate / settings.learning_rate) ** (1 / settings.steps)
    optimizer = torch.optim.Adam([each.parameters for each in networks], lr=settings.learning_rate, fused=True)
    schedule = torch.optim.lr_scheduler.ExponentialLR(optimizer, decay)
    for _ in range(settings.steps):
        states = torch.rand(2 * settings.batch, dimensions, generator=random, dtype=networks[0].parameters.dtype)
        first = prefer(states[: settings.batch], states[settings.batch :], random)
        losses = step(networks, states, first, settings.dtype)
        optimizer.step()
        schedule.step()
        yield losses


def step(networks: Sequence[Network], states: Tensor, first: Tensor, dtype: Precision = "fp32") -> Tensor:
    """Losses, [networks], and their gradients, which replace those of the networks.

    Parameters
    ----------
    states
        [2 * pairs, dimensions], all first ones and then all second ones.
    first
        [pairs] whether the first of a pair is chosen.
    """
    places = torch.arange(len(states))
    if states.shape[1] == 1:
        order = states[:, 0].argsort()
        states, places = states[order], torch.empty_like(order).scatter_(0, order, places)
    one, other = places.chunk(2)
    better, worse = torch.where(first, one, other), torch.where(first, other, one)
    losses = []
    for each in networks:
        raw, kept = _forward(each, states, dtype)
        raw.requires_grad_()
        outputs = to_head(each.model.head, raw)
        loss = heads.loss(each.model.head, outputs[better], outputs[worse], each.model.link)
        (slope,) = torch.autograd.grad(loss, raw)
        _backward(each, kept, slope, dtype)
        losses.append(loss.detach())
    return torch.stack(losses)


def evaluate(trained: Network, states: Tensor) -> Tensor:
    """Outputs of each state, [states, outputs], in the form of `seal.engine.heads`; batch normalisation by its running figures."""
    values = states
    for place, layer in enumerate(trained.layers):
        values = torch.addmm(layer.bias, values, layer.weight.T)
        if place == len(trained.layers) - 1:
            break
        if layer.norm is not None:
            norm = layer.norm
            values = torch.nn.functional.batch_norm(values, norm.mean, norm.variance, norm.gain, norm.offset, eps=EPSILON)
        values = values.relu_()
    return to_head(trained.model.head, values)


class _Kept(NamedTuple):
    """What the way back needs of a layer."""

    inputs: Tensor
    normalised: "_Normalised | None"
    runs: Runs | None
    activations: Tensor


class _Normalised(NamedTuple):
    """Values that batch normalisation has seen."""

    values: Tensor
    """[rows, out] with mean 0 and standard deviation 1 over all rows, those in between included."""
    deviation: Tensor
    """[out] what they were divided by."""
    counts: Tensor
    """[rows, 1] how many rows each stands for."""
    products: Products


def _forward(each: Network, states: Tensor, dtype: Precision) -> tuple[Tensor, list[_Kept]]:
    """Outputs of each state, [states, outputs]; of states of one number, which must be in order, by runs."""
    ordered = states[:, 0] if states.shape[1] == 1 else None
    rows = torch.arange(len(states)) if ordered is None else torch.tensor([0, len(states) - 1])
    values, kept = states[rows], []
    for place, layer in enumerate(each.layers):
        inputs, normalised, runs = values, None, None
        values = _product(inputs, layer.weight.T, dtype).add_(layer.bias)
        last = place == len(each.layers) - 1
        if layer.norm is not None:
            normalised = _normalise(values, layer.norm, ordered, rows)
            values = torch.addcmul(layer.norm.offset, normalised.values, layer.norm.gain)
        if ordered is not None:
            runs = piecewise.between(ordered, rows, torch.arange(len(states))) if last else piecewise.bend(ordered, rows, values)
            values, rows = piecewise.interpolate(values, runs), runs.rows
        if not last:
            values = values.relu_()
        kept.append(_Kept(inputs, normalised, runs, values))
    return values, kept


def _backward(each: Network, kept: list[_Kept], slopes: Tensor, dtype: Precision) -> None:
    """Write the gradient of the parameters, from the loss's slopes by output, [states, outputs]."""
    for place in reversed(range(len(kept))):
        layer, into, (inputs, normalised, runs, activations) = each.layers[place], each.gradient[place], kept[place]
        if place < len(kept) - 1:
            slopes = slopes.mul_(activations > 0)
        if runs is not None:
            slopes = piecewise.gather(slopes, runs, len(inputs))
        if normalised is not None and layer.norm is not None and into.norm is not None:
            slopes = _normalise_back(slopes, layer.norm, into.norm, normalised)
        into.weight.copy_(_product(slopes.T, inputs, dtype))
        torch.sum(slopes, 0, out=into.bias)
        if place:
            slopes = _product(slopes, layer.weight, dtype)


def _product(first: Tensor, second: Tensor, dtype: Precision) -> Tensor:
    if dtype == "bf16":
        return (first.bfloat16() @ second.bfloat16()).to(first.dtype)
    return first @ second


def _normalise(values: Tensor, norm: BatchNorm, ordered: Tensor | None, rows: Tensor) -> _Normalised:
    """Batch normalisation over all rows, from the values at some; it moves the running figures."""
    if ordered is None:
        counts = torch.ones(len(values), 1, dtype=values.dtype)
        products = Products(counts, counts[:0])
    else:
        counts, products = piecewise.counted(ordered, rows)
    total = float(counts.sum())
    mean = (counts * values).sum(0) / total
    values = values - mean
    variance = (values * (products @ values)).sum(0) / total
    norm.mean.lerp_(mean, MOMENTUM)
    norm.variance.lerp_(variance * total / (total - 1), MOMENTUM)
    deviation = (variance + EPSILON).sqrt()
    return _Normalised(values.div_(deviation), deviation, counts, products)


def _normalise_back(slopes: Tensor, norm: BatchNorm, into: BatchNorm, normalised: _Normalised) -> Tensor:
    """From slopes by what batch normalisation gives, [rows, out], to those by what it takes."""
    torch.sum(slopes, 0, out=into.offset)
    torch.sum(slopes * normalised.values, 0, out=into.gain)
    total = float(normalised.counts.sum())
    slopes = slopes - normalised.counts * (into.offset / total) - (normalised.products @ normalised.values) * (into.gain / total)
    return slopes * (norm.gain / normalised.deviation)
