"""The parity check: are the rewards of a run, as they are written, what the model gives for each text alone, in fp32?"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from seal.engine.reward_models import RewardModel
from seal.engine.scoring import one_at_a_time
from seal.engine.summaries import REWARD, Summary
from seal.errors import InputError
from seal.files import text_hash

TEXTS = 32
"""The least number of texts to check, where there are as many."""
TOLERANCE = {"fp32": 1e-4, "bf16": 0.05}
"""The largest difference allowed, as a share of the standard deviation of the run's rewards."""


class Parity(NamedTuple):
    """What the check found."""

    texts: int
    largest_difference: float
    """In units of the reward."""
    reward_std: float
    """Standard deviation of the run's rewards, the unit of the tolerance."""
    tolerance: float
    """As a share of `reward_std`."""
    pairs: int
    """Pairs whose two texts were both checked as a pair."""
    agreements_changed: int
    """Among them, those on which run and reference do not agree whether the first text has the higher reward."""


def check(
    reference: RewardModel,
    dtype: str,
    texts: Sequence[str],
    rewards: np.ndarray,
    pairs: Sequence[tuple[int, int]] | None = None,
    summary: Summary = REWARD,
) -> Parity:
    """Score at least `TEXTS` random texts again, one at a time, with the reference model in fp32, and compare.

    Parameters
    ----------
    reference
        The same model as the run's, in fp32.
    dtype
        The run's dtype, which sets the tolerance.
    texts, rewards
        The run's texts and what it gave them, [texts].
    pairs
        Where texts are compared by two, the places of the two in `texts`. Whole pairs are drawn then, of every text its pair.
    summary
        How the run's rewards were made of outputs.

    Raises
    ------
    InputError
        If any reward is farther from its reference than the tolerance. The run's rewards can't be trusted then.
    """
    drawn = _draw(texts, [(index,) for index in range(len(texts))] if pairs is None else pairs)
    place = {text: index for index, text in enumerate(dict.fromkeys(texts[index] for group in drawn for index in group))}
    alone = np.array(list(one_at_a_time(reference, list(place))), dtype=np.float32).reshape(len(place), reference.width)
    chosen = np.array([index for group in drawn for index in group], dtype=np.int64)
    outputs = alone[[place[texts[index]] for index in chosen]]
    again = summary.figures(outputs)[:, 0].astype(np.float64)
    lower, upper = (bound.astype(np.float64) for bound in summary.bounds(outputs, TOLERANCE[dtype]))
    difference = float(np.maximum(lower - rewards[chosen], rewards[chosen] - upper).max(initial=0.0))
    # Rounding of rewards far from zero is no fault of the batches; the spread of a constant reward is zero.
    rounding = 8 * float(np.finfo(np.float32).eps) * float(np.abs(again).max(initial=0.0))
    spread = float(np.std(rewards)) if len(rewards) else 0.0
    if not difference <= max(TOLERANCE[dtype] * spread, rounding):  # nor is what is no number
        raise InputError(
            f"parity check failed: a reward differs by {difference:.3g} from that of the same text run alone in fp32, where the rewards' "
            f"standard deviation is {spread:.3g} and {TOLERANCE[dtype]:g} of it is allowed; set dtype fp32. If it is, the model may reward "
            "a text otherwise beside longer ones, as XLNet and those with dynamic rotary angles do, and cannot be used; else report a bug"
        )
    changed = 0
    if pairs is not None:
        (first, second), (first_again, second_again) = rewards[chosen].reshape(-1, 2).T, again.reshape(-1, 2).T
        changed = int(((first > second) != (first_again > second_again)).sum())
    return Parity(len(place), difference, spread, TOLERANCE[dtype], 0 if pairs is None else len(drawn), changed)


def _draw(texts: Sequence[str], groups: Sequence[tuple[int, ...]]) -> list[tuple[int, ...]]:
    """Distinct groups of texts until there are `TEXTS` texts. Hashes order them at random, and the same on every machine."""
    by_hash = {tuple(text_hash(texts[index]) for index in group): group for group in groups}
    drawn: list[tuple[int, ...]] = []
    seen: set[str] = set()
    for hashes, group in sorted(by_hash.items()):
        if len(seen) >= TEXTS:
            break
        drawn.append(group)
        seen |= set(hashes)
    return drawn
