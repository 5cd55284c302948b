"""Packed batches hold each text's tokens once, and of a common beginning one copy; plans put like lengths and like beginnings together."""

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seal.engine import packing
from seal.engine.inputs import Input
from seal.engine.packing import Packed, Run, pack, plan

PROMPT = list(range(100, 130))


def item(ids: Sequence[int], types: Sequence[int] | None = None) -> Input:
    return Input(np.array(ids, dtype=np.int32), None if types is None else np.array(types, dtype=np.int32), 0, 0)


def unpacked(batch: Packed) -> list[tuple[list[int], list[int]]]:
    """Each text's ids and positions again, put together from the runs."""
    texts = []
    ids, positions = batch.ids[0].tolist(), batch.positions[0].tolist()
    for run in batch.runs:
        for start in range(run.start, run.end, run.length):
            where = [*range(run.shared_start, run.shared_start + run.shared), *range(start, start + run.length)]
            texts.append(([ids[place] for place in where], [positions[place] for place in where]))
    return texts


def test_texts_lie_end_to_end_and_equal_lengths_make_a_run() -> None:
    batch = pack([item([1, 2, 3], [0, 0, 1]), item([4, 5, 6], [0, 1, 1]), item([7], [0])])
    assert batch.ids.tolist() == [[1, 2, 3, 4, 5, 6, 7]]
    assert batch.positions.tolist() == [[0, 1, 2, 0, 1, 2, 0]]
    assert batch.types is not None
    assert batch.types.tolist() == [[0, 0, 1, 0, 1, 1, 0]]
    assert batch.firsts.tolist() == [0, 3, 6]
    assert batch.lasts.tolist() == [2, 5, 6]
    assert batch.runs == (Run(0, 2, 3), Run(6, 1, 1))


def test_a_common_beginning_is_held_once() -> None:
    batch = pack([item([*PROMPT, 1, 2]), item([*PROMPT, 3]), item([*PROMPT[:20], 4, 5]), item([9])], share=True)
    assert batch.ids.tolist() == [[*PROMPT, 1, 2, 3, 4, 5, 9]]
    assert batch.positions.tolist() == [[*range(32), 30, 20, 21, 0]]
    assert batch.runs == (Run(0, 1, 32), Run(32, 1, 1, 0, 30), Run(33, 1, 2, 0, 20), Run(35, 1, 1))
    assert batch.firsts.tolist() == [0, 0, 0, 35]
    assert batch.lasts.tolist() == [31, 32, 34, 35]


def test_a_text_that_another_one_begins_with_keeps_a_token_of_its_own() -> None:
    for texts in ([PROMPT, PROMPT], [PROMPT, [*PROMPT, 1]], [[*PROMPT, 1], PROMPT]):
        batch = pack([item(text) for text in texts], share=True)
        assert [ids for ids, _ in unpacked(batch)] == texts
        assert batch.ids.shape[1] < sum(map(len, texts)) - 28


def test_a_text_that_has_more_in_common_with_the_next_one_leads() -> None:
    near = [*PROMPT[:18], *range(50, 90)]
    batch = pack([item([*PROMPT, 1]), item([*near, 1]), item([*near, 2])], share=True)
    assert [run.shared for run in batch.runs] == [0, 0, len(near)]


@pytest.mark.parametrize(
    ("texts", "lasts"),
    [
        ([[1, 2, 0, 0], [3, 0, 4]], [1, 6]),
        ([[0, 0]], [0]),  # as argmax over no token that counts
        ([[*PROMPT, 1], [*PROMPT, 0]], [30, 29]),  # in what it shares
        ([[*PROMPT, 0, 1], [*PROMPT, 0, 0]], [31, 29]),
        ([[5], [*PROMPT, 1], [*PROMPT, 0]], [0, 31, 30]),
    ],
)
def test_the_last_token_is_the_last_that_is_not_padding(texts: list[list[int]], lasts: list[int]) -> None:
    assert pack([item(text) for text in texts], share=True, pad=0).lasts.tolist() == lasts


texts_of_few_tokens = st.lists(
    st.tuples(st.integers(0, 40), st.lists(st.integers(0, 2), min_size=1, max_size=30)).map(lambda drawn: [7] * drawn[0] + drawn[1]),
    min_size=1,
    max_size=12,
)


@settings(max_examples=100, deadline=None, derandomize=True)
@given(texts=texts_of_few_tokens, share=st.booleans())
def test_every_text_can_be_read_back(texts: list[list[int]], share: bool) -> None:
    batch = pack([item(text) for text in texts], share)
    assert unpacked(batch) == [(text, list(range(len(text)))) for text in texts]
    ids = batch.ids[0]
    assert [int(ids[place]) for place in batch.firsts] == [text[0] for text in texts]
    assert [int(ids[place]) for place in batch.lasts] == [text[-1] for text in texts]


@settings(max_examples=100, deadline=None, derandomize=True)
@given(texts=texts_of_few_tokens, share=st.booleans(), padded=st.booleans(), budget=st.integers(1, 200), seed=st.integers(0, 9))
def test_a_plan_holds_every_text_once_within_the_budget_whatever_their_order(
    texts: list[list[int]], share: bool, padded: bool, budget: int, seed: int
) -> None:
    texts = [list(text) for text in dict.fromkeys(map(tuple, texts))]
    items, keys, share = [item(text) for text in texts], [str(text) for text in texts], share and not padded
    batches = plan(items, keys, budget, padded, share)
    assert sorted(index for batch in batches for index in batch) == list(range(len(items)))
    for batch in batches:
        some = [items[index] for index in batch]
        tokens = len(batch) * max(len(text.ids) for text in some) if padded else pack(some, share).ids.shape[1]
        assert tokens <= budget or len(batch) == 1
    order = np.random.default_rng(seed).permutation(len(items))
    again = plan([items[index] for index in order], [keys[index] for index in order], budget, padded, share)
    assert [[int(order[index]) for index in batch] for batch in again] == batches


def test_a_plan_puts_the_two_texts_of_a_pair_together() -> None:
    draw = np.random.default_rng(0)
    prompts = [draw.integers(0, 1000, length) for length in (30, 50, 40, 60)]
    texts = [item([*prompt, *draw.integers(0, 1000, 5 + side)]) for side in range(2) for prompt in prompts]
    (batch,) = plan(texts, list("abcdefgh"), 10**6, share=True)
    assert [index % 4 for index in batch] == [3, 3, 1, 1, 2, 2, 0, 0]
    packed = pack([texts[index] for index in batch], share=True)
    assert packed.ids.shape[1] == sum(map(len, prompts)) + 4 * (5 + 6)
    apart = plan(texts, list("abcdefgh"), 71, share=True)
    assert [{index % 4 for index in batch} for batch in apart] == [{3}, {1}, {2}, {0}]


def test_the_common_beginning_of_two_texts() -> None:
    one = np.array([1, 2, 3])
    for other, common in (([1, 2, 4], 2), ([1, 2, 3], 3), ([1, 2, 3, 4], 3), ([1], 1), ([2], 0), ([], 0)):
        assert packing.common_prefix(one, np.array(other)) == packing.common_prefix(np.array(other), one) == common


def test_a_batch_is_filled_up_to_the_budget_itself() -> None:
    items = [item([1, 2, 3, 4]), item([5, 6, 7, 8])]
    for padded in (False, True):
        assert plan(items, ["a", "b"], 8, padded) == [[0, 1]]
        assert plan(items, ["a", "b"], 7, padded) == [[0], [1]]


def test_sixteen_tokens_in_common_are_worth_sharing_and_fifteen_are_not() -> None:
    for common, held in ((16, 16 + 2), (15, 2 * 15 + 2)):
        batch = pack([item([*range(common), 100]), item([*range(common), 200])], share=True)
        assert batch.ids.shape == (1, held)


def test_what_two_texts_share_counts_once_against_the_budget() -> None:
    one, other = ([item([*range(start, start + 20), start + 30 + end, 0]) for end in (1, 2)] for start in (100, 200))
    assert len(plan([*one, *other], list("abcd"), 48, share=True)) == 1  # 20 + 2 + 2 of each pair
    assert len(plan([*one, *other], list("abcd"), 47, share=True)) == 2
