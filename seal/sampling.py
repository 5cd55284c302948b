"""Which pairs to take where all would be too many."""

from collections.abc import Sequence

import numpy as np

from seal.errors import InputError


def draw(row_ids: np.ndarray, limit: int, wanted: Sequence[int], seed: int) -> list[int]:
    """Draw pairs at random, or take those that are named.

    Parameters
    ----------
    row_ids
        [pairs] what there is to draw from.
    limit
        How many to draw; 0 for all, as is a number beyond them.
    wanted
        These and no others; `limit` is not looked at then.
    seed
        Seed of the draw, which does not depend on the order of the pairs. A greater limit adds to what a smaller one draws, so that what
        was paid for the smaller one is not lost.

    Raises
    ------
    InputError
        If one that is named isn't there, or the limit is below 0.
    """
    if len(wanted):
        unknown = sorted(set(wanted) - set(row_ids.tolist()))
        if unknown:
            raise InputError(f"row-ids: there is no pair {unknown[0]} among the {len(row_ids)} pairs; see their column row_id")
        return sorted(set(wanted))
    if limit < 0:
        raise InputError(f"limit is {limit}; expected 0 for all pairs, or a number of them")
    if not limit or limit >= len(row_ids):
        return sorted(row_ids.tolist())
    return sorted(np.random.default_rng(seed).permutation(np.sort(row_ids))[:limit].tolist())
