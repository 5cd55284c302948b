"""How a text becomes tokens, and what goes first when there are too many of them. Expected tokens are those that the tokenizer itself
gives for texts shortened by hand."""

import gzip
import json
from pathlib import Path
from typing import Any

import pytest
import tiny_models
from conftest import ROOT
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_models import END

from seal import transcripts
from seal.engine import inputs
from seal.engine.reward_models import load_tokenizer
from seal.errors import InputError

TURNS = [
    "\n\nHuman: what is the plan for today",
    "\n\nAssistant: rain and tea and one long walk",
    "\n\nHuman: and the town",
    "\n\nAssistant: quiet as the snow and very old",
]
TALK = "".join(TURNS)
RESPONSE = TURNS[-1].strip()

BERT = tiny_models.tokenizer("bert")
LLAMA = tiny_models.tokenizer("llama", chat_template=tiny_models.CHAT_TEMPLATE)


def sample_texts() -> list[str]:
    lines = (ROOT / "data" / "sample" / "pairs.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line)[side] for line in lines for side in ("chosen", "rejected")]


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("\n\nHuman: hi\n\nAssistant: yes", ("\n\nHuman: hi\n\n", "Assistant: yes")),
        (
            "\n\nHuman: one\n\nAssistant: two\n\nHuman: 3\n\nAssistant: 4",
            ("\n\nHuman: one\n\nAssistant: two\n\nHuman: 3\n\n", "Assistant: 4"),
        ),
        ("\n\nHuman: hi\n\nAssistant: I am the Assistant: yes", ("\n\nHuman: hi\n\nAssistant: I am the ", "Assistant: yes")),
        ("\n\nHuman: say Assistant: hi\n\nAssistant:", ("\n\nHuman: say Assistant: hi\n\n", "Assistant:")),
        ("Assistant: first", ("", "Assistant: first")),
    ],
)
def test_a_pair_is_split_at_the_last_assistant_anywhere(text: str, parts: tuple[str, str]) -> None:
    assert inputs.split_pair(text) == parts


def assert_as_seal_does(tokenizer: Any, texts: list[str]) -> None:
    for text, made in zip(texts, inputs.encode(tokenizer, texts, "pair", None), strict=True):
        pivot = text.rfind("Assistant:")
        expected = tokenizer(text[:pivot], text[pivot:])
        assert made == (expected["input_ids"], expected.get("token_type_ids"), 0, 0)


@pytest.mark.parametrize("architecture", tiny_models.ARCHITECTURES)
def test_pairs_are_tokenised_as_seal_does(architecture: str) -> None:
    odd = ["\n\nHuman: say Assistant: hi\n\nAssistant: no. Assistant: well", "Assistant: alone"]
    assert_as_seal_does(tiny_models.tokenizer(architecture), [*sample_texts()[::4], *odd, TALK])


def test_real_pairs_are_tokenised_as_seal_does(real_data: Path) -> None:
    texts = []
    for file in sorted((real_data / "hh_rlhf").glob("*.jsonl.gz")):
        rows = [json.loads(line) for line in gzip.decompress(file.read_bytes()).splitlines()]
        texts += [row[side] for row in rows for side in ("chosen", "rejected")]
    odd = [text for text in texts if text.count("Assistant:") > text.count("\n\nAssistant:")]
    assert odd
    assert_as_seal_does(BERT, odd + texts[::40])


def test_a_transcript_is_tokenised_as_one_text() -> None:
    expected = BERT(TALK)
    assert inputs.encode(BERT, [TALK], "transcript", None) == [(expected["input_ids"], expected["token_type_ids"], 0, 0)]


def test_a_chat_goes_through_the_tokenizers_template() -> None:
    by_hand = f"<|system|>be kind{END}<|user|>hi{END}<|assistant|>yes{END}"
    made = inputs.encode(LLAMA, ["System: be kind\n\nHuman: hi\n\nAssistant: yes"], "chat", None)
    assert made == [(LLAMA(by_hand, add_special_tokens=False)["input_ids"], None, 0, 0)]


def test_a_chat_without_a_template_is_refused_in_one_line() -> None:
    with pytest.raises(InputError, match=r"no chat template; use format pair or transcript$") as refusal:
        inputs.encode(tiny_models.tokenizer("llama"), [TALK], "chat", None)
    assert "\n" not in str(refusal.value)


def test_a_conversation_that_the_template_refuses_is_named() -> None:
    with pytest.raises(InputError, match=r"'Assistant: alone' \(The human must speak first\); use format pair"):
        inputs.encode(LLAMA, [TALK, "\n\nAssistant: alone"], "chat", None)


def test_order_and_number_hold_beyond_one_chunk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inputs, "_CHUNK", 3)
    texts = [tiny_models.transcript(seed=seed) for seed in range(8)]
    assert [made.ids for made in inputs.encode(BERT, texts, "transcript", None)] == [BERT(text)["input_ids"] for text in texts]


def shortened_by_hand(format: inputs.Format, first: int) -> list[int]:
    """The tokens of the talk without its first turns."""
    if format == "transcript":
        return BERT("".join(TURNS[first:]))["input_ids"]
    if format == "pair":
        return BERT("".join(TURNS[first:-1]) + ("\n\n" if first < 3 else ""), RESPONSE)["input_ids"]
    turns = [("user", "assistant")[turn % 2] + "|>" + TURNS[turn].split(": ")[1] + END for turn in range(first, 4)]
    return LLAMA("<|" + "<|".join(turns), add_special_tokens=False)["input_ids"]


@pytest.mark.parametrize(
    ("format", "first"), [(format, first) for format in ("transcript", "pair") for first in range(4)] + [("chat", 0), ("chat", 2)]
)
def test_as_few_old_turns_go_as_it_takes(format: inputs.Format, first: int) -> None:
    tokenizer = LLAMA if format == "chat" else BERT
    expected = shortened_by_hand(format, first)
    (made,) = inputs.encode(tokenizer, [TALK], format, len(expected))
    assert (made.ids, made.turns_dropped, made.tokens_cut) == (expected, first, 0)
    (tighter,) = inputs.encode(tokenizer, [TALK], format, len(expected) - 1)
    assert tighter.turns_dropped > first or tighter.tokens_cut > 0


def test_token_types_stay_with_what_is_left_of_a_pair() -> None:
    expected = BERT("".join(TURNS[2:-1]) + "\n\n", RESPONSE)
    (made,) = inputs.encode(BERT, [TALK], "pair", len(expected["input_ids"]))
    assert made.types == expected["token_type_ids"]


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("format", ["transcript", "pair"])
def test_only_a_response_that_alone_is_too_long_loses_its_tail(format: inputs.Format, side: str, tmp_path: Path) -> None:
    tokenizer = tiny_models.tokenizer("bert")
    tokenizer.truncation_side = side
    tokenizer.save_pretrained(tmp_path)
    (made,) = inputs.encode(load_tokenizer(tmp_path), [TALK], format, 9)
    whole = shortened_by_hand(format, 3)
    assert made.ids == [*whole[:8], BERT.sep_token_id]
    assert made.turns_dropped == 3
    assert made.tokens_cut == len(whole) - 9


@pytest.mark.parametrize("format", ["transcript", "pair"])
def test_no_turn_counts_as_dropped_where_there_is_no_prompt(format: inputs.Format) -> None:
    (made,) = inputs.encode(BERT, ["\n\n" + RESPONSE], format, 9)
    assert made.turns_dropped == 0
    assert made.tokens_cut == len(shortened_by_hand(format, 3)) - 9


def test_a_chat_gives_up_its_last_human_turn_before_its_response() -> None:
    talk = "\n\nHuman: " + "so many words " * 30 + "\n\nAssistant: yes"
    expected = LLAMA(f"<|user|>{END}<|assistant|>yes{END}", add_special_tokens=False)["input_ids"]
    (made,) = inputs.encode(LLAMA, [talk], "chat", 60)
    assert (made.ids, made.turns_dropped, made.tokens_cut) == (expected, 1, 0)


def test_a_chat_with_too_long_a_response_keeps_its_start() -> None:
    talk = "\n\nHuman: hi\n\nAssistant:" + " so many words" * 30
    whole = LLAMA(f"<|user|>{END}<|assistant|>so many{' words so many' * 29} words{END}", add_special_tokens=False)["input_ids"]
    (made,) = inputs.encode(LLAMA, [talk], "chat", 40)
    assert (made.ids, made.turns_dropped, made.tokens_cut) == (whole[:40], 1, len(whole) - 40)


def test_a_chat_of_one_turn_may_be_too_long() -> None:
    tokenizer = tiny_models.tokenizer("llama", chat_template=tiny_models.CHAT_TEMPLATE[tiny_models.CHAT_TEMPLATE.index("{% for") :])
    (made,) = inputs.encode(tokenizer, ["\n\nAssistant: " + "so many words " * 30], "chat", 40)
    assert len(made.ids) == 40
    assert made.turns_dropped == 0


def test_words_that_look_like_a_system_turn_do_not_split_a_turn() -> None:
    expected = BERT(RESPONSE)["input_ids"]
    text = "\n\nHuman: my house has\n\nSystem: " + "many doors " * 20 + TURNS[-1]
    (made,) = inputs.encode(BERT, [text], "transcript", len(expected) + 30)
    assert (made.ids, made.turns_dropped) == (expected, 1)


def test_a_system_turn_goes_first() -> None:
    (made,) = inputs.encode(BERT, ["System: " + "be kind " * 20 + TALK], "transcript", len(BERT(TALK)["input_ids"]))
    assert (made.ids, made.turns_dropped) == (BERT(TALK)["input_ids"], 1)


talks = st.lists(st.text(alphabet="ab \n:", max_size=30), min_size=1, max_size=6).map(
    lambda contents: transcripts.render(
        [transcripts.Turn(("Assistant", "Human")[(len(contents) - turn) % 2 == 0], content) for turn, content in enumerate(contents)]
    )
)


@settings(max_examples=60, deadline=None)
@given(text=talks, limit=st.integers(min_value=8, max_value=60), format=st.sampled_from(["transcript", "pair"]))
def test_whatever_the_limit_it_is_kept_and_the_response_goes_last(text: str, limit: int, format: Any) -> None:
    (whole,) = inputs.encode(BERT, [text], format, None)
    (made,) = inputs.encode(BERT, [text], format, limit)
    prompt_turns = len(transcripts.parse(text)) - 1
    assert len(made.ids) == len(made.types or [])
    assert len(made.ids) <= limit
    assert 0 <= made.turns_dropped <= prompt_turns
    assert made.tokens_cut == 0 or made.turns_dropped == prompt_turns
    assert (made == whole) == (len(whole.ids) <= limit)


def test_a_talk_of_a_thousand_turns_is_shortened_in_few_steps() -> None:
    reader, text = tiny_models.tokenizer("bert"), tiny_models.transcript(1000, 4)
    calls = 0

    def counting(*texts: Any, **options: Any) -> Any:
        nonlocal calls
        calls += 1
        return reader(*texts, **options)

    counting.num_special_tokens_to_add = reader.num_special_tokens_to_add  # type: ignore[attr-defined]
    (item,) = inputs.encode(counting, [text], "transcript", 100)
    assert len(item.ids) <= 100 < len(inputs.encode(reader, [text], "transcript", None)[0].ids)
    turns = text.split("\n\n")
    ends = ["\n\n" + "\n\n".join(turns[-kept:]) for kept in range(1, 41)]
    starts = [len(item.ids) for item in inputs.encode(reader, ends, "transcript", None)]
    assert len(item.ids) == max(length for length in starts if length <= 100), "it lost more turns than it had to"
    assert calls < 20


@pytest.mark.parametrize(("format", "limit"), [("pair", 3), ("transcript", 2)])
def test_a_limit_that_leaves_no_room_for_text_is_refused(format: inputs.Format, limit: int) -> None:
    with pytest.raises(InputError, match=f"max-length is {limit}, and {limit} special tokens leave no room"):
        inputs.encode(tiny_models.tokenizer("bert"), [tiny_models.transcript()], format, limit)


def test_a_text_of_line_breaks_alone_is_read_in_linear_time() -> None:
    """Not timed: with a quadratic pattern this would take an hour."""
    assert transcripts.parse("Human: a" + "\n" * 500_000 + "b\n\nAssistant: c")[1].content == "c"


def test_a_special_token_in_so_many_letters_is_found() -> None:
    texts = ["[sep] and [ SEP ]", "a [SEP] b", "[[CLS]]", END, "<|endoftext"]
    assert inputs.spelled(BERT, texts) == ["a [SEP] b", "[[CLS]]"]
    assert inputs.spelled(LLAMA, texts) == [END]
    # These are the texts in which the tokenizers themselves find such a token.
    for tokenizer in (BERT, LLAMA):
        special = set(tokenizer.all_special_ids) - {tokenizer.unk_token_id}
        read = [text for text in texts if special & set(tokenizer(text, add_special_tokens=False)["input_ids"])]
        assert inputs.spelled(tokenizer, texts) == read


def test_a_tokenizer_that_splits_special_tokens_reads_letters() -> None:
    tokenizer = tiny_models.tokenizer("gpt2")
    tokenizer.split_special_tokens = True
    assert tokenizer.eos_token_id not in tokenizer(f"a {END} b")["input_ids"]
    assert inputs.spelled(tokenizer, [f"a {END} b"]) == []
