"""What scoring a text costs in floating-point operations, counting its real tokens alone, and how fast the machine multiplies matrices.

A multiplication with the addition that goes with it counts as two. Counted are matrix products: those of the layers, those of attention
and those of the head. What is a constant of the model is none of a text's cost, so DeBERTa's projected relative positions do not count,
and neither do the zeros of padding, nor what a causal mask hides.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np


def products(config: Any) -> list[tuple[int, int]]:
    """The matrix products that one layer does with each token: (width of what goes in, width of what comes out).

    Raises
    ------
    ValueError
        If the architecture is none of bert, deberta-v2 and llama.
    """
    if config.model_type not in ("bert", "deberta-v2", "llama"):
        raise ValueError(f"no count of operations for {config.model_type}")
    width, inner = config.hidden_size, config.intermediate_size
    if config.model_type != "llama":
        return [(width, width)] * 4 + [(width, inner), (inner, width)]
    narrow = config.num_key_value_heads * width // config.num_attention_heads
    return [(width, width), (width, narrow), (width, narrow), (width, width), (width, inner), (width, inner), (inner, width)]


def of_text(config: Any, tokens: int, shared: int = 0) -> int:
    """The operations it takes to score a text.

    Parameters
    ----------
    config
        The transformers config of the model.
    tokens
        Of the text, special ones included.
    shared
        So many of its first tokens were computed with another text; only a causal model can have any.
    """
    new = tokens - shared
    per_token = sum(2 * wide * out for wide, out in products(config))
    layer = new * per_token + _attention(config, tokens, shared)
    head = 2 * config.hidden_size * (1 if config.model_type == "llama" else config.hidden_size + 1)  # an encoder's has a pooler
    return int(config.num_hidden_layers * layer + head)


def _attention(config: Any, tokens: int, shared: int) -> int:
    width = config.hidden_size
    if config.model_type == "llama":
        seen = (tokens * (tokens + 1) - shared * (shared + 1)) // 2
        return 2 * 2 * width * seen  # of queries with keys, and of weights with values
    content = 2 * 2 * width * tokens**2
    if config.model_type == "deberta-v2":
        return content + 2 * 2 * width * distances(config, tokens)  # of contents with positions, and of positions with contents
    return content


def distances(config: Any, tokens: int) -> int:
    """How many scores of a token with a relative position a text needs in one layer: positions in one bucket share theirs.

    The other way round, of a position with a token, it takes as many, as buckets on both sides are alike.
    """
    import torch
    from transformers.models.deberta_v2.modeling_deberta_v2 import make_log_bucket_position

    furthest = config.max_position_embeddings if config.max_relative_positions < 1 else config.max_relative_positions
    apart = torch.arange(1 - tokens, tokens)
    buckets = make_log_bucket_position(apart, config.position_buckets, furthest).numpy()
    changes = np.concatenate([[0], np.cumsum(np.diff(buckets) != 0)])
    last = np.arange(tokens, 2 * tokens) - 1  # a token sees `tokens` neighbouring distances: here is the last of them, for each
    return int((changes[last] - changes[last - tokens + 1] + 1).sum())


def of_pairs_once(config: Any, pairs: Sequence[tuple[Sequence[int], Sequence[int]]]) -> int:
    """The operations for both texts of each pair, where what the two begin with is computed once."""
    total = 0
    for one, other in pairs:
        same = next((at for at, (left, right) in enumerate(zip(one, other, strict=False)) if left != right), min(len(one), len(other)))
        total += of_text(config, len(one)) + of_text(config, len(other), shared=min(same, len(other) - 1))
    return total


def layer_products(config: Any, dtype: Any, device: Any, rows: int) -> tuple[Callable[[], object], int]:
    """The products of one layer, ready to run with so many tokens at once, and the operations that they take."""
    import torch

    generator = torch.Generator().manual_seed(0)
    shapes = products(config)
    inputs = {wide: torch.randn(rows, wide, generator=generator).to(device, dtype) for wide, _ in shapes}
    weights = [torch.randn(out, wide, generator=generator).to(device, dtype) for wide, out in shapes]

    @torch.inference_mode()
    def run() -> None:
        for weight in weights:
            torch.nn.functional.linear(inputs[weight.shape[1]], weight)
        if torch.device(device).type == "cuda":
            torch.cuda.synchronize()

    return run, sum(2 * rows * wide * out for wide, out in shapes)


def rate(run: Callable[[], object], operations: int, seconds: float, clock: Callable[[], float]) -> float:
    """Operations a second by the clock: of the fastest of as many runs as the seconds hold, three at the least, as it is for a limit."""
    run()
    took: list[float] = []
    while len(took) < 3 or sum(took) < seconds:
        start = clock()
        run()
        took.append(clock() - start)
    return operations / min(took)
