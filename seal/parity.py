"""The parity check: are the rewards of a run what the model gives for each text alone, in fp32?"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from seal.errors import InputError
from seal.files import text_hash
from seal.reward_models import RewardModel
from seal.scoring import one_at_a_time

TEXTS = 32
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


def check(reference: RewardModel, dtype: str, texts: Sequence[str], rewards: np.ndarray) -> Parity:
    """Score `TEXTS` random texts again, one at a time, with the reference model in fp32, and compare.

    Parameters
    ----------
    reference
        The same model as the run's, in fp32.
    dtype
        The run's dtype, which sets the tolerance.
    texts, rewards
        The run's texts and what it gave them, [texts].

    Raises
    ------
    InputError
        If any reward is farther from its reference than the tolerance. The run's rewards can't be trusted then.
    """
    position = {text_hash(text): index for index, text in enumerate(texts)}
    chosen = [position[key] for key in sorted(position)[:TEXTS]]  # hashes order texts at random, and the same on every machine
    again = np.fromiter(one_at_a_time(reference, [texts[index] for index in chosen]), dtype=np.float64)
    difference = float(np.abs(again - rewards[chosen]).max(initial=0.0))
    # Rounding of rewards far from zero is no fault of the batches; the spread of a constant reward is zero.
    rounding = 8 * float(np.finfo(np.float32).eps) * float(np.abs(again).max(initial=0.0))
    spread = float(np.std(rewards)) if len(rewards) else 0.0
    if not difference <= max(TOLERANCE[dtype] * spread, rounding):  # nor is what is no number
        raise InputError(
            f"parity check failed: a reward differs by {difference:.3g} from that of the same text run alone in fp32, where the rewards' "
            f"standard deviation is {spread:.3g} and {TOLERANCE[dtype]:g} of it is allowed; set dtype fp32, or if it is, report a bug"
        )
    return Parity(len(chosen), difference, spread, TOLERANCE[dtype])
