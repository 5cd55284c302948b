"""The draw: by seed alone, of the right size, every pair as likely as any other."""

import itertools

import numpy as np
import pytest

from seal.errors import InputError
from seal.sampling import draw

ROW_IDS = np.array([7, 3, 40, 12, 0, 9, 25, 18, 31, 2])


def test_a_draw_depends_on_the_seed_and_on_nothing_else() -> None:
    drawn = draw(ROW_IDS, 4, [], 1)
    assert drawn == draw(ROW_IDS, 4, [], 1) == draw(ROW_IDS[::-1], 4, [], 1) == draw(np.sort(ROW_IDS), 4, [], 1)
    assert len({tuple(draw(ROW_IDS, 4, [], seed)) for seed in range(20)}) > 10


@pytest.mark.parametrize("limit", range(1, 11))
def test_a_draw_has_its_size_no_pair_twice_and_is_sorted(limit: int) -> None:
    for seed in range(10):
        drawn = draw(ROW_IDS, limit, [], seed)
        assert len(drawn) == len(set(drawn)) == limit
        assert set(drawn) <= set(ROW_IDS.tolist())
        assert drawn == sorted(drawn)


def test_a_greater_limit_adds_to_a_smaller_one() -> None:
    draws = [set(draw(ROW_IDS, limit, [], 5)) for limit in range(1, 11)]
    assert all(smaller < greater for smaller, greater in itertools.pairwise(draws))


@pytest.mark.parametrize("limit", [0, 10, 11, 10**6])
def test_all_are_drawn_for_0_and_for_as_many_as_there_are_or_more(limit: int) -> None:
    assert draw(ROW_IDS, limit, [], 1) == [0, 2, 3, 7, 9, 12, 18, 25, 31, 40]


@pytest.mark.parametrize("limit", [0, 5])
def test_of_none_none_are_drawn(limit: int) -> None:
    assert draw(np.array([], dtype=np.int64), limit, [], 1) == []


def test_row_ids_are_whole_numbers_of_python_which_json_can_hold() -> None:
    assert {type(row_id) for limit in (0, 3) for row_id in draw(ROW_IDS, limit, [], 1)} == {int}


@pytest.mark.parametrize(("pairs", "limit"), [(10, 1), (10, 4), (10, 7)])
def test_every_pair_is_drawn_about_equally_often(pairs: int, limit: int) -> None:
    """Pearson's chi-square over the pairs. A fair draw gives about as much as there are pairs, give or take a few times its root; one
    that takes half of them a tenth too often, and the others a tenth too seldom, gives more than 5 times as much."""
    seeds = 6000
    counts = np.bincount([row_id for seed in range(seeds) for row_id in draw(np.arange(pairs), limit, [], seed)], minlength=pairs)
    share = limit / pairs
    chi_square = ((counts - seeds * share) ** 2).sum() / (seeds * share * (1 - share))
    assert counts.sum() == seeds * limit
    assert chi_square < 5 * pairs


def test_two_pairs_are_drawn_together_as_often_as_any_other_two() -> None:
    seeds, together = 3000, np.zeros((6, 6))
    for seed in range(seeds):
        drawn = draw(np.arange(6), 3, [], seed)
        together[np.ix_(drawn, drawn)] += 1
    couples = together[np.triu_indices(6, 1)]
    np.testing.assert_allclose(couples, seeds * 3 / 6 * 2 / 5, rtol=0.2)


# --- named pairs ---


def test_named_pairs_are_taken_sorted_and_once_whatever_the_limit() -> None:
    for limit in (0, 1, 5, -3):
        assert draw(ROW_IDS, limit, [40, 3, 40, 12], 1) == [3, 12, 40]


def test_an_unknown_pair_is_told() -> None:
    with pytest.raises(InputError) as told:
        draw(ROW_IDS, 0, [3, 99, 41], 1)
    assert str(told.value) == "row-ids: there is no pair 41 among the 10 pairs; see their column row_id"


def test_a_limit_below_0_is_told() -> None:
    with pytest.raises(InputError, match=r"^limit is -1; expected 0 for all pairs, or a number of them$"):
        draw(ROW_IDS, -1, [], 1)
