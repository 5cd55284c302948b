"""The rewriter that works by rules: what must survive it, and what its grammar must get right."""

import re
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seal.rewording import identity, reword
from seal.rewording.inflection import article, past_forms, plural, present_participle, third_person
from seal.rewording.rules import rules
from seal.transcripts import NotATranscript, Turn, parse, render

SEEDS = range(12)
_NEGATION = re.compile(r"\b(?:not|no|never|none|nobody|nothing|nowhere|neither|nor|without|cannot|\w+n['\u2019]t)\b", re.IGNORECASE)
_NUMBER = re.compile(r"\d[\d.,:]*")

TEXTS = [
    "Can you tell me how to find a good doctor in Lisbon? I don't want to pay more than 40 euros.",
    "If you want to learn Polish, you should try to talk to people every day. It's not easy, but it's a lot of fun.",
    "I think that Maria Okonkwo usually starts at 7:30, and I'm not sure that she never takes a break.",
    "There are many different ways to buy a house without a bank. For example, you could ask for a loan from your parents.",
    "Sure, I'd be happy to help you find the best way to clean carrots, tomatoes, and onions. Nobody needs 3 knives for that.",
    "i dont know why nothing works, can you help me with it? my brother says it's a really hard problem and i have no money",
    'She said "I want to buy a lot of people" and then she left. However, I don\u2019t believe that it\u2019s true.',
    "You're an idiot, and I won't help you. Do you want to know why? Because you never listen to Tom.",
    "See https://example.org/want-to/buy?many=people or write to help.people@example.com; maybe `try to buy` works, too.",
]


def talk(*turns: str) -> str:
    return render([Turn(("Human", "Assistant")[number % 2], turn) for number, turn in enumerate(turns)])


def said(text: str, seed: int = 1) -> str:
    return parse(reword(talk(text), seed))[0].content


def ways(text: str, seeds: int = 60) -> set[str]:
    return {said(text, seed) for seed in range(seeds)}


@pytest.mark.parametrize("text", TEXTS)
def test_what_must_survive_does(text: str) -> None:
    for seed in SEEDS:
        new = said(text, seed)
        assert sorted(_NEGATION.findall(new.lower())) == sorted(_NEGATION.findall(text.lower()))
        assert sorted(_NUMBER.findall(new)) == sorted(_NUMBER.findall(text))
        for kept in ("Lisbon", "Polish", "Maria Okonkwo", "Tom", "idiot", '"I want to buy a lot of people"', "`try to buy`"):
            assert new.count(kept) == text.count(kept)
        for address in ("https://example.org/want-to/buy?many=people", "help.people@example.com"):
            assert new.count(address) == text.count(address)
        assert 0.7 <= len(new) / len(text) <= 1.5


@pytest.mark.parametrize("text", TEXTS)
def test_every_text_with_words_to_change_is_changed(text: str) -> None:
    assert all(said(text, seed) != text for seed in SEEDS)


_WORDS = st.sampled_from(
    """I you we it people want to buy find help a an the house car idea If when because , . ? and or not don't never no 12 3.5 Anna
    Warsaw really usually can could you tell me about many different lots of make sure that is are was some good important""".split()  # noqa: SIM905
)


@settings(max_examples=150, deadline=None)
@given(st.lists(_WORDS, min_size=1, max_size=40), st.integers(0, 10**6))
def test_planted_words_survive_in_any_jumble(words: list[str], seed: int) -> None:
    text = " ".join(words).replace(" ,", ",").replace(" .", ".").replace(" ?", "?")
    new = said(text, seed)
    for kept in (_NEGATION, _NUMBER, re.compile(r"\b(?:Anna|Warsaw)\b")):
        assert sorted(found.lower() for found in kept.findall(new)) == sorted(found.lower() for found in kept.findall(text))


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(("Human", "Assistant")), st.text(max_size=80)), min_size=1, max_size=4), st.integers())
def test_any_text_keeps_its_turns(turns: list[tuple[str, str]], seed: int) -> None:
    text = render([Turn(*turn) for turn in turns])
    assert [turn.role for turn in parse(reword(text, seed))] == [turn.role for turn in parse(text)]


def test_the_same_seed_gives_the_same_words_and_another_seed_others() -> None:
    text = talk(*TEXTS)
    assert reword(text, 5) == reword(text, 5)
    assert len({reword(text, seed) for seed in SEEDS}) == len(SEEDS)


def test_the_dice_are_those_of_every_machine() -> None:
    """Held to the letter, so that a change of the dice, which would make all reworded texts new, is seen."""
    from seal.rewording.chance import Chance

    assert [Chance(1, "a turn", 0).roll("use", position) % 100 for position in range(5)] == [2, 23, 66, 33, 55]


def test_roles_order_and_empty_turns_stay() -> None:
    text = "\n\nHuman: \n\nHuman: I want to buy a car.\n\nAssistant:\n\nAssistant: Sure, I can help you with that."
    assert [(turn.role, bool(turn.content)) for turn in parse(reword(text, 1))] == [
        ("Human", False),
        ("Human", True),
        ("Assistant", False),
        ("Assistant", True),
    ]


def test_a_quoted_talk_inside_a_turn_opens_no_turn() -> None:
    text = "\n\nHuman: I want to quote:\nHuman: can you help me?\nAssistant: Sure, maybe.\n\nAssistant: Thanks, Human: I think so."
    new = parse(reword(text, 2))
    assert [turn.role for turn in new] == ["Human", "Assistant"]
    assert new[0].content.count("\nHuman:") == new[0].content.count("\nAssistant:") == 1


def test_a_system_turn_is_reworded_too() -> None:
    assert parse(reword("System: You need to help people.\n\nHuman: Hi", 1))[0].role == "System"


def test_no_transcript_is_an_error() -> None:
    with pytest.raises(NotATranscript):
        reword("I want to buy a car.", 1)


@pytest.mark.parametrize("text", ["", "Xyzzy!", "42", "\u2603 \u2603", "???", "Berlin, Paris, Rome"])
def test_nothing_to_reword_is_left_alone(text: str) -> None:
    assert said(text) == text


@pytest.mark.parametrize(
    "text",
    [
        "Je pense que les gens sont pour la plupart tr\u00e8s important, mais pas un.",
        "Was ist das? Ich will ein Haus kaufen, man muss die Probleme die wir haben.",
        "La idea es general, no es normal que el doctor y la familia son importantes.",
    ],
)
def test_other_languages_are_left_alone(text: str) -> None:
    assert said(text) == text


def test_code_and_lists_keep_their_form() -> None:
    block = "```\nif want: buy(people)  # maybe try to\n```"
    text = f"You need to run this:\n\n{block}\n\n- Find a house.\n- Buy a car.\n\n1. Try to start.\n2. Maybe wait."
    for seed in SEEDS:
        new = said(text, seed)
        assert block in new
        assert [line[:2] for line in new.split("\n")[-5:]] == ["- ", "- ", "", "1.", "2."]
        assert new.count("\n") == text.count("\n")


@pytest.mark.parametrize(
    ("text", "one_of"),
    [
        ("That was a mistake.", {"That was an error."}),
        ("We made two mistakes.", {"We made two errors."}),
        ("She bought an old couch.", {"She purchased an old sofa.", "She bought an old sofa.", "She purchased an old couch."}),
        ("He buys bread.", {"He purchases bread."}),
        ("Usually, they win.", {"Normally, they win.", "Typically, they win.", "As a rule, they win.", "They win usually."}),
        ("It was a huge tree.", {"It was an enormous tree.", "It was a massive tree."}),
        ("They have enormous trees.", {"They have massive trees.", "They have huge trees."}),
        ("It was an error.", {"It was a mistake."}),
        ("Maybe you can.", {"Perhaps you can."}),
        ("If it rains, we stay at home.", {"We stay at home if it rains."}),
        ("I wear boots when the sun shines.", {"When the sun shines, I wear boots."}),
        ("Give him the red book.", {"Give the red book to him."}),
        ("I eat soup with carrots and beans.", {"I eat soup with beans and carrots."}),
    ],
)
def test_grammar(text: str, one_of: set[str]) -> None:
    assert one_of & ways(text)
    assert ways(text) <= one_of | {text}


@pytest.mark.parametrize(
    "text",
    [
        "I don't like him because he is rude.",  # not for that reason, or not at all
        "Ask her if it hurts.",  # a question, not a condition
        "Do you know when it starts?",
        "The dog barks if the man teases it.",  # "it" would come before the dog
        "It costs salt and pepper, pros and cons, back and forth.",
        "Mark Will saw Great Big Houses.",
        "The house is very bad.",
        "Black people and white people live here.",
    ],
)
def test_what_is_not_safe_is_left_alone(text: str) -> None:
    assert ways(text) == {text}


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("Get this, so you don't hurt your knee.", "and so you"),  # a purpose, no result
        ("Sorry, but it is closed.", "yet|though"),
        ("It is not only cheap, but also small.", "and also"),
        ("It will depend on the price.", "rely"),
        ("You should try calling him.", "experiment"),
        ("Do you have a car in mind?", "view"),
        ("It is not my place to judge.", "spot"),
        ("Nobody knew the answer.", "reply|response"),
        ("The dinner was cash.", "money"),
        ("I would like to have a good reason.", "nice"),
        ("He should consider telling a friend.", "(?:contemplate|about) a friend"),
        ("She lives in fear.", "reside"),
        ("Those are the main courses.", "chief|primary|principal"),
        ("The dates are not current.", "present"),
        ("He kept me company.", "firm|business"),
        ("She is a sex worker.", "employee"),
        ("I read what you wrote about my reply, and my reply was short.", "respond"),
        ("His conduct was odd.", "carry out"),
        ("They work hard to win.", "difficult|tough|challenging"),
        ("She worked really hard.", "difficult|tough"),
        ("I choose not to go.", "pick|select"),
        ("She did it more quickly.", "more fast"),
        ("It is wrong to lie.", "incorrect"),
        ("That is less likely.", "probably"),
        ("You are more intelligent than that.", "more smart"),
        ("I think they think and behave so.", "believe and"),
        ("The signal was received.", "got"),
        ("I can get better results.", "(?:grow|become) better"),
        ("He needs help with the plan.", "assist with"),
        ("He wants to kill the most people.", "most individuals|majority"),
        ("Very well. Go on then.", "Really well"),
        ("They meet every time, and then they leave.", "whenever"),
        ("Every now and then I sing.", "and after that"),
        ("That is kind of you.", "sort of you|somewhat you"),
        ("You may very well be right.", "really well"),
        ("Do you need to see it?", "require to"),
        ("I put it on the table.", "place it"),
        ("They handled it well.", "dealed"),
        ("It harmed them.", "hurted"),
        ("He called for help by mistake.", "by error"),
        ("We saw it as though it were new, as though the sun shone.", "as although"),
        ("Give me a minute.", "provide|offer"),
        ("Brush the outside of the box.", "outside the box"),
        ("He looks like the man next door.", "seems like"),
        ("I am close to my sister.", "near my"),
        ("You must be tired.", "have to be"),
        ("If you should find it, call.", "ought"),
        ("They have to hear what he has to say.", "needs to say|got to say"),
        ("Let me know, if you can tell me jokes.", "let me know jokes"),
        ("Not a lot of people came.", "plenty|not lots|not many"),
        ("She gave a box full of it, he is full of shit.", "filled with (?:it|shit)"),
        ("Cut the meat off of it, run away from it and make money off of Tom.", "off Tom"),
        ("I would never get rid of him.", "eliminate"),
        ("It will hurt you.", "harm"),
        ("This buys you time.", "purchases"),
        ("Just use a whole other box.", "entire"),
        ("We spend weeks or months there, weeks and months.", "months or weeks|months and weeks"),
        ("I like trips and things that last.", "things and trips"),
        ("Send me a card after.", "after to me"),
        ("Please write down the names and numbers.", "names down"),
        ("Take the pressure off.", "off the pressure"),
        ("They turn off the road to the left.", "road off"),
        ("I work the till at a bakery.", "until"),
        ("That is considered cheating.", "contemplated|thought"),
        ("I can send it right now.", "at the moment"),
        ("They will know more about it.", "learn|find out"),
        ("Maybe they should be able to vote.", "manage"),
        ("1510: The beginning of it all.", "the start"),
        ("If you want the plate, it is this, which are called face plates.", "^Which"),
        ("If you buy one, which are called plates.", "^Which"),
        ("If you travel far, you will need more time than if you stay here.", "stay here if"),
        ("The law requires a permit, and laws requiring a fee are rare.", "need"),
        ("The in-app purchases and the new purchases were dear.", "buys"),
        ("You sleep, as well as avoid stress.", "(?:addition to|along with) avoid"),
        ("He swims, as well as relaxes.", "(?:addition to|along with) relaxes"),
        ("She plays as well as the boys.", "in addition|along with"),
        ("That is more difficult, much more difficult to see, and less difficult to hear.", "(?:more|less) (?:tough|hard|challenging)"),
        ("It is the most difficult to see.", "most (?:tough|hard)"),
        ("She is more famous and more wealthy than him.", "more (?:well|rich)"),
        ("This is more affordable.", "more (?:inexpensive|low)"),
        ("He is not aware of the cold, and I am aware that it rains.", "conscious"),
        ("Error. Please wait.", "[Mm]istake"),
        ("I get an error when it loads.", "mistake"),
        ("How do you feel about your uncle?", "think"),
        ("What do you think about your uncle?", "feel"),
        ("Do you know how to do that?", "able to|[Cc]an you|tell me"),
        ("Here are the parts he needs to build it, and the wood you need to make it.", "(?:has|have) to"),
        ("Those are all the tools they need to paint it.", "have to"),
        ("There are so many different kinds of tea, and 5 different types of milk.", "various|kinds of (?:kinds|types|sorts)"),
        ("There are many different types of tea.", "(?:kinds|sorts|variety) of (?:kinds|types|sorts)"),
        ("There are many more kinds of tea.", "of more"),
        ("There are lots of more or less good teas.", "plenty of more"),
        ("We need a lot more people.", "much more"),
        ("Those are the most important parts of a very important role.", "key"),
        ("His attempts to win were a failed attempt to cheat.", "tr(?:y|ies) to"),
        ("He did it for the attempted murder.", "tried"),
        ("It is a social construct, as social constructs go.", "build|put together"),
        ("It was the big reveal.", "disclose"),
        ("It needs an additional cost.", "more"),
        ("It is a sufficient amount and an adequate price.", "enough"),
        (
            "I slept for the past several years, on several occasions, and several times.",
            "past (?:a number|multiple|various)|(?:various|multiple) times",
        ),
        ("Stay objective.", "goal|aim"),
        ("It was a cheap flat, to put it simply.", "it just"),
        ("How could I possibly know?", "perhaps|maybe"),
        ("It is politically correct.", "politically right"),
        ("They came upon a cave.", "came on"),
        ("Those are quite a few things, and quite a few more.", "handful|some more"),
        ("This is a bit of an awkward day.", "little an"),
        ("It was the most talked about play.", "spoke"),
        ("That is not a lot of different food.", "all (?:kinds|sorts)"),
        ("I can tell the difference between them.", "distinction"),
        ("There is a shop I know that sells it.", "aware"),
        ("How should I understand what you mean by it?", "see what"),
        ("We waited for quite a long time.", "ages"),
        ("Stay for as long as you like, and as long as I can see you.", "provided"),
        ("How often do you need your teeth cleaned?", "require"),
        ("To acquire a goat takes time.", "gain"),
        ("The body can respond to heat.", "repl"),
        ("It is such a good idea to wait.", "such (?:wise|sensible)"),
    ],
)
def test_what_once_came_out_wrong_does_not(text: str, wrong: str) -> None:
    """Each was found by reading rewrites of real talks, and is made up here anew."""
    assert re.search(wrong, text) is None
    for new in ways(text):
        assert re.search(wrong, new) is None, new


def test_what_a_contraction_stands_for_is_told_before_it_is_written_out() -> None:
    for text in ("He's never been there.", "She's not seen it.", "It's really helped us.", "It's always been so.", "Who's only got one?"):
        assert ways(text) == {text}  # each is "has"
    for text in ("I'd never seen it.", "They'd just left.", "You'd better go.", "We'd come home."):
        assert not any(" would " in new for new in ways(text))
    for text in ("They saw what is.", "He knows who is.", "What is it?", "Who is she?"):
        assert ways(text) == {text}
    assert "He is never going there." in ways("He's never going there.")
    assert "She is not a nurse." in ways("She's not a nurse.")
    assert "It is still raining." in ways("It's still raining.")
    assert "They would never say it." in ways("They'd never say it.")


def test_every_slot_of_a_rule_is_filled_once() -> None:
    for filed in rules().values():
        for rule in filed:
            slots = [at for at, word in enumerate(rule.pattern) if not isinstance(word, str)]
            for alternative in rule.alternatives:
                used = [piece[0] for piece in alternative if isinstance(piece, tuple)]
                first = [0] if 0 in used else []  # a slot in front is filed under each of its words
                assert sorted(used) == first + slots, (rule.pattern, alternative)


@pytest.mark.parametrize(
    ("text", "one_of"),
    [
        ("They help each other.", {"They help one another."}),
        ("We discuss the plan.", {"We talk about the plan."}),
        ("It was absolutely certain.", {"It was completely certain.", "It was totally certain."}),
        ("We played all day.", {"We played the whole day."}),
        ("He sat next to the door.", {"He sat beside the door."}),
        ("It is full of holes.", {"It is filled with holes.", "It's filled with holes.", "It's full of holes."}),
        ("You ought to go.", {"You should go."}),
        ("They must go.", {"They have to go."}),
        ("It allows me to sleep.", {"It lets me sleep.", "It permits me to sleep."}),
        ("That took place here.", {"That happened here.", "That occurred here."}),
        ("There are ways to help.", {"There are ways of helping."}),
        ("He continued to read.", {"He kept reading.", "He went on reading."}),
        ("I'm going home.", {"I am going home."}),
        (
            "It's a lot cheaper.",
            {"It's much cheaper.", "It's far cheaper.", "It is much cheaper.", "It is far cheaper.", "It is a lot cheaper."},
        ),
        ("Please turn the tap off and wait.", {"Please turn off the tap and wait."}),
        ("She took off her hat.", {"She took her hat off."}),
        ("They remember the war.", {"They recall the war."}),
        ("It rains every night.", {"It rains each night."}),
        ("It rains almost every day.", {"It rains nearly every day.", "It rains almost daily.", "It rains nearly daily."}),
        ("It rains nearly every night.", {"It rains almost every night."}),
        ("What is jazz?", {"What's jazz?"}),
        ("They are tired of it.", {"They're tired of it."}),
        ("What city do you live in?", {"Which city do you live in?"}),
        ("The town was founded in May.", {"The town was established in May."}),
        ("This looks more difficult.", {"This looks harder.", "This looks tougher."}),
        ("She was making an error.", {"She was making a mistake."}),
        ("They use tea as well as some milk.", {"They use tea along with some milk.", "They use tea in addition to some milk."}),
        ("The song has a more important role.", {"The song has a more significant role."}),
    ],
)
def test_other_words(text: str, one_of: set[str]) -> None:
    assert one_of & ways(text)
    assert ways(text) <= one_of | {text}


@pytest.mark.parametrize("text", ["We can discuss if it helps.", "A method of sitting.", "They make it happen.", "Absolutely. He sat."])
def test_where_no_other_word_fits_none_comes(text: str) -> None:
    assert ways(text) == {text}


def test_several_different_ones_are_never_several_various_ones() -> None:
    assert not any("several various" in new or "multiple" in new for new in ways("They have several different types of it."))


def test_each_negation_keeps_its_apostrophe() -> None:
    text = "I don\u2019t want to go. I don't think it is far. It wasn\u2019t based on much, they aren't known as cheap."
    for new in ways(text):
        assert [new.count(word) for word in ("don\u2019t", "don't", "wasn\u2019t", "aren't")] == [1, 1, 1, 1]


def test_curly_apostrophes_and_small_i_stay() -> None:
    assert all("'" not in new for new in ways("I\u2019m sure it\u2019s good, I want to buy it. You need to find out if I\u2019m right."))
    assert all(not re.search(r"\bI\b", new) for new in ways("i think i want to buy it, i'm sorry, i need to find out"))


def test_after_a_form_of_do_nothing_finite_follows() -> None:
    for text in ("Do I want to go?", "Do you need to go?", "Don't you want to go?", "Why do they want to go?", "What do I have to do?"):
        for new in ways(text):
            assert not re.search(r"\b(?:do|don't) (?:i|you|they) (?:would|must|i'd|'d)\b", new.lower()), new


@pytest.mark.parametrize("character", list("a \"'`.,(<*-\n1@?\u201c\u2019_"))
def test_long_texts_take_no_time(character: str) -> None:
    start = time.perf_counter()
    reword(talk(character * 200_000), 1)
    assert time.perf_counter() - start < 1


@pytest.mark.parametrize("pattern", ["a.", "a'", '"a', "`\n", "if ", "and ", "a, ", "```a", "a@", "<a", "\u201ca", "if a, "])
def test_time_grows_with_length_alone(pattern: str) -> None:
    """Not with its square: that would be a hundred times as long."""
    text = talk(pattern * (10_000 // len(pattern)))
    taken = [min(_seconds(again) for _ in range(2)) for again in (text, talk(pattern * (100_000 // len(pattern))))]
    assert taken[1] < 40 * max(taken[0], 0.005)


def _seconds(text: str) -> float:
    start = time.perf_counter()
    reword(text, 1)
    return time.perf_counter() - start


def test_forms_of_words() -> None:
    assert [third_person(verb) for verb in ("carry out", "go", "buy", "search for")] == ["carries out", "goes", "buys", "searches for"]
    assert [present_participle(verb) for verb in ("make", "begin", "lie", "see", "put together", "fix")] == [
        "making",
        "beginning",
        "lying",
        "seeing",
        "putting together",
        "fixing",
    ]
    assert present_participle("forbid") == "forbidding"
    assert [past_forms(verb) for verb in ("deal with", "hurt", "begin", "try", "permit", "take on")] == [
        ("dealt with", "dealt with"),
        ("hurt", "hurt"),
        ("began", "begun"),
        ("tried", "tried"),
        ("permitted", "permitted"),
        ("took on", "taken on"),
    ]
    assert [plural(noun) for noun in ("point of view", "ability", "child", "wish")] == ["points of view", "abilities", "children", "wishes"]
    assert [article(word) for word in ("apple", "hour", "university", "one-off", "house", "honest", "use", "umbrella")] == [
        "an",
        "an",
        "a",
        "a",
        "a",
        "an",
        "a",
        "an",
    ]


def test_no_rule_touches_a_negation_or_a_role() -> None:
    for filed in rules().values():
        for rule in filed:
            if not rule.alternatives:
                continue
            told = " ".join(word for word in rule.pattern if isinstance(word, str))
            for alternative in rule.alternatives:
                pieces = [rule.pattern[piece[0]] if isinstance(piece, tuple) else piece for piece in alternative]
                others = " ".join(piece for piece in pieces if isinstance(piece, str))
                assert len(_NEGATION.findall(told)) == len(_NEGATION.findall(others)), (told, others)
                assert not {"human", "humans", "assistant", "assistants"}.intersection((told + " " + others).split())


def test_identity_is_a_fingerprint() -> None:
    assert re.fullmatch(r"[0-9a-f]{64}", identity())
    assert identity() == identity()
