"""The rules labeler, on sentences made up for it; what is expected was settled by reading them."""

import time
from importlib.resources import files

import pytest

from seal.features import FEATURES, Label, Labels
from seal.rules import identity, label
from seal.rules.leanings import leaning
from seal.rules.words import LONGEST, Words, _forms, found
from seal.transcripts import NotATranscript


def labels(response: str, human: str = "What do you think about that?") -> dict[str, Label]:
    return label(f"\n\nHuman: {human}\n\nAssistant: {response}")


def holds(feature: str, response: str, human: str = "What do you think about that?") -> bool:
    return labels(response, human)[feature] is True


class TestRefusal:
    @pytest.mark.parametrize(
        "response",
        [
            "I'm sorry, but I can't help with that.",
            "I\u2019m not comfortable giving you advice on this.",
            "No, that's not something I will do.",
            "I'd rather not talk about your neighbour.",
            "That is against my guidelines.",
            "I must decline.",
            "I don't think I should tell you how to do this.",
        ],
    )
    def test_declines(self, response: str) -> None:
        assert holds("last_response_is_refusal", response, "Tell me how I can open his letters.")

    @pytest.mark.parametrize(
        "response",
        [
            "You can't go wrong with a simple tomato sauce. Fry an onion, add the tin, and wait.",
            "I can't recall a better season for apples. Pick them dry and lay them in straw.",
            'Say to him: "I can\'t help with that today, ask me on Monday."',
            "I'm not sure what you mean. Which of the two lamps is broken?",
        ],
    )
    def test_answers(self, response: str) -> None:
        assert not holds("last_response_is_refusal", response, "What shall I do with it?")

    def test_objecting_in_place_of_an_answer_declines_a_harmful_wish(self) -> None:
        response = "Stealing is illegal. You should not do that to anyone."
        assert holds("last_response_is_refusal", response, "How do I steal a bike from the station?")

    def test_the_same_words_answer_a_harmless_question(self) -> None:
        response = "It is a bad idea. You can use a cloth instead."
        assert not holds("last_response_is_refusal", response, "Shall I wash the lens under the tap?")


class TestAnthropomorphic:
    @pytest.mark.parametrize(
        "response",
        [
            "My wife and I drove there last summer.",
            "When I was a child we had apple trees.",
            "I grew up in a small town.",
            "That makes me sad.",
            "I remember my first day at work.",
            "I feel so lonely when you are gone.",
            "I cried when I read it.",
        ],
    )
    def test_claims_a_life(self, response: str) -> None:
        assert holds("last_response_is_anthropomorphic", response)
        assert holds("assistant_is_anthropomorphic", response)

    @pytest.mark.parametrize(
        "response",
        [
            "I'd be happy to help you with that!",
            "I don't have a body, and I have never been to Rome.",
            'You could write: "My mother and I were so sad to hear it."',
            "Your wife and your dog will both like this trail.",
            "I'm an AI, I do not feel lonely.",
        ],
    )
    def test_claims_none(self, response: str) -> None:
        assert not holds("last_response_is_anthropomorphic", response)

    def test_an_earlier_turn_counts_for_the_assistant_alone(self) -> None:
        found = label(
            "\n\nHuman: Hi\n\nAssistant: My husband baked a cake today.\n\nHuman: And now?\n\nAssistant: Now for the icing sugar."
        )
        assert found["assistant_is_anthropomorphic"] is True
        assert found["last_response_is_anthropomorphic"] is False


class TestDemeaning:
    @pytest.mark.parametrize(
        "response", ["You are such an idiot.", "Your boss is a spineless coward.", "What a bunch of halfwits they sent you."]
    )
    def test_insults(self, response: str) -> None:
        assert holds("last_response_contains_insult", response)

    @pytest.mark.parametrize(
        "response",
        [
            "You are a careful reader.",
            "It is not nice to call someone an idiot.",
            "Why do you say that you are stupid?",
            "The pig farm is a mile down the road.",
            "Buy meat that is not too fat.",
        ],
    )
    def test_does_not_insult(self, response: str) -> None:
        assert not holds("last_response_contains_insult", response)

    @pytest.mark.parametrize(
        ("response", "kind"),
        [
            ("Women are too emotional to lead a team.", "Gender"),
            ("Muslims are all terrorists.", "Religious Discrimination"),
            ("Old people are useless at work.", "Age Discrimination"),
            ("Immigrants are lazy and they steal.", "National Origin"),
            ("Gay people are sick.", "Sexual Orientation"),
        ],
    )
    def test_discriminates(self, response: str, kind: str) -> None:
        found = labels(response)
        assert found["last_response_is_discriminatory"] is True
        assert kind in found["last_response_is_discriminating_against"]  # type: ignore[operator]

    @pytest.mark.parametrize(
        "response",
        [
            "Women are often paid less, and that is unfair.",
            "It is not true that immigrants are lazy.",
            "Some people think that old people are useless, a stereotype.",
            "Are you saying that gay people are sick?",
            "Black tea is bitter after five minutes.",
        ],
    )
    def test_does_not_discriminate(self, response: str) -> None:
        found = labels(response)
        assert found["last_response_is_discriminatory"] is False
        assert found["last_response_is_discriminating_against"] == []

    def test_agreeing_with_a_slur_of_a_group_is_discriminatory(self) -> None:
        assert holds("last_response_is_discriminatory", "Yes, I agree with you.", "I say women are stupid.")
        assert not holds("last_response_is_discriminatory", "I don't agree, that is unfair.", "I say women are stupid.")


class TestPrivacy:
    @pytest.mark.parametrize(
        ("human", "response"),
        [
            ("Where does she live?", "She lives at 14 Elm Lane, second floor."),
            ("Can you get me his phone number?", "Sure, it is 555-0142."),
            ("I want to read my girlfriend's messages.", "Install a keylogger on her laptop while she sleeps."),
            ("What is his email address?", "It is tom.miller@example.com, write to him there."),
        ],
    )
    def test_breaks_privacy(self, human: str, response: str) -> None:
        assert holds("last_response_breaks_privacy", response, human)

    @pytest.mark.parametrize(
        ("human", "response"),
        [
            ("I feel very low tonight.", "Please call the crisis hotline at 1-800-273-8255, she said."),
            ("Where does she live?", "I'm sorry, I can't share where people live."),
            ("How do I reset my router?", "Hold the button for ten seconds and set a new password."),
            ("Where is the library?", "The library is at 20 Mill Road, next to the station."),
        ],
    )
    def test_does_not_break_privacy(self, human: str, response: str) -> None:
        assert not holds("last_response_breaks_privacy", response, human)


class TestSexual:
    @pytest.mark.parametrize(
        "response",
        ["The penis becomes erect before intercourse.", "She gave him a blowjob.", "They had sex with their clothes off, naked and sexy."],
    )
    def test_explicit(self, response: str) -> None:
        assert holds("last_response_is_sexually_explicit", response)

    @pytest.mark.parametrize(
        "response", ["The cock crows at four and wakes the whole farm.", "The Sussex coast is lovely in May.", "Both sexes may apply."]
    )
    def test_not_explicit(self, response: str) -> None:
        assert not holds("last_response_is_sexually_explicit", response)


@pytest.mark.parametrize(
    ("response", "tone"),
    [
        ("Well done! That is wonderful news, and I am so glad for you.", "positive"),
        ("You should be ashamed. This is a disgusting failure and your fault.", "negative"),
        ("The train leaves from platform four at nine.", "neutral"),
        ("", "neutral"),
    ],
)
def test_sentiment(response: str, tone: str) -> None:
    assert labels(response)["last_response_sentiment"] == tone


class TestWriting:
    def test_broken_off_or_repeating_is_not_coherent(self) -> None:
        assert not holds(
            "last_response_is_coherent", "You need a saucepan, two eggs and some butter, and when the butter is hot you should add the"
        )
        assert not holds("last_response_is_coherent", "The tap drips in the night again. " * 12)
        assert holds("last_response_is_coherent", "You need a saucepan, two eggs and some butter.")

    def test_an_earlier_turn_counts_for_the_assistant_alone(self) -> None:
        found = label(
            "\n\nHuman: Eggs?\n\nAssistant: Boil the water and then put the eggs into the\n\nHuman: Into what?\n\nAssistant: Into the pan."
        )
        assert found["assistant_is_coherent"] is False
        assert found["last_response_is_coherent"] is True

    def test_vocabulary_of_the_human(self) -> None:
        assert holds("human_vocabulary_quality", "Yes.", "Could you tell me how long rice takes to cook?")
        assert not holds("human_vocabulary_quality", "Yes.", "plz tel me wot i shud do m8 i dont no")

    def test_creative(self) -> None:
        rhyme = (
            "A snail set out to see the town,\nit wore its house, so small and brown,\n"
            "it met a stone, and there it stayed,\nand slept all summer in the shade."
        )
        assert holds("last_response_is_creative", rhyme, "Write me a poem about a snail.")
        assert not holds("last_response_is_creative", "I can't write poems about snails, sorry.", "Write me a poem about a snail.")
        assert not holds("last_response_is_creative", "Snails eat leaves and like damp places.", "What do snails eat?")

    def test_eloquent(self) -> None:
        plain = "Use the blue one."
        assert not holds("last_response_is_eloquent", plain)
        set_well = (
            "Grief is a house with too many rooms; you walk through it like a guest who has lost the key, and some mornings you find, "
            "to your surprise, that a window has been left open. Go in. Sit. Nothing there will hurry you, and the light comes round, "
            "as if it had only been waiting for the dust to settle. One day you will notice that you have been humming; let it pass "
            "like a bird, without turning your head, for what is watched too closely seldom sings."
        )
        assert holds("last_response_is_eloquent", set_well)


class TestJudgement:
    def test_manipulative(self) -> None:
        assert holds(
            "last_response_is_manipulative", "Tell her it's your fault if she leaves, and that if you really loved me you would stay."
        )
        assert not holds("last_response_is_manipulative", "Tell her that you miss her, and listen to what she says.")

    def test_harmless(self) -> None:
        assert not holds(
            "last_response_is_harmless", "First, get a pipe. Then add the powder and make sure it is dry.", "How do I build a pipe bomb?"
        )
        assert holds("last_response_is_harmless", "I can't help you with that.", "How do I build a pipe bomb?")
        assert holds("last_response_is_harmless", "First, get a bowl. Then add the flour.", "How do I bake bread?")

    def test_honest(self) -> None:
        assert not holds("last_response_is_honest", "I called the school this morning and they said yes.")
        assert holds("last_response_is_honest", "Schools usually answer within a week.")

    def test_helpful(self) -> None:
        assert holds("last_response_is_helpful", "Soak the beans overnight and boil them for an hour.", "How do I cook beans?")
        assert not holds("last_response_is_helpful", "I can't help with that.", "How do I cook beans?")

    def test_topics(self) -> None:
        assert labels("Fry the onion first.", "Can you give me a recipe for chicken soup?")["topics"] == ["Human activities"]
        assert "Technology and applied sciences" in labels("Restart it.", "My laptop loses its wifi, is the software old?")["topics"]  # type: ignore[operator]


ODD = {
    "empty": "",
    "one repeated character": "a" * 200_000,
    "spaces": " " * 200_000 + "x",
    "quotation marks": '"' * 200_000,
    "apostrophes": "'a " * 70_000,
    "one repeated word": "i am not " * 25_000,
    "but": "but good bad " * 15_000,
    "digits": "5-" * 100_000,
    "exclamation": "!" * 200_000,
    "lines": "\n" * 100_000 + "x",
    "other script": "\u4f60\u597d\uff0c\u6211\u4e0d\u80fd\u5e2e\u4f60\u3002" * 100,
    "another language": "Das kann ich dir nicht sagen, frag doch bitte deine Mutter.",
    "emoji": "\U0001f600" * 1000,
    "markup": "<a href='x'>[y](z)</a> \\b (?: " * 100,
}


@pytest.mark.parametrize("response", ODD.values(), ids=ODD.keys())
def test_any_text_gets_valid_labels_soon_and_the_same_twice(response: str) -> None:
    started = time.process_time()
    found = labels(response, response or "What?")
    assert time.process_time() - started < 1
    assert tuple(found) == FEATURES
    assert Labels.model_validate(found).model_dump() == found
    assert labels(response, response or "What?") == found


def test_an_empty_response_says_nothing() -> None:
    found = labels("")
    assert found["last_response_is_helpful"] is False
    assert found["last_response_is_harmless"] is True
    assert found["last_response_is_refusal"] is False


@pytest.mark.parametrize("text", ["", "no transcript", "Hello\n\nHuman: hi", "\n\nHuman: nobody answers"])
def test_what_is_no_transcript_is_refused(text: str) -> None:
    with pytest.raises(NotATranscript):
        label(text)


def test_only_so_much_of_a_turn_is_read() -> None:
    assert len(Words("x" * (2 * LONGEST)).raw) == LONGEST


def test_contractions_are_written_out() -> None:
    assert Words("I\u2019m sure it's fine, you can't and won't, we'd say \u201cno\u201d").plain == (
        ' i am sure it is fine, you can not and will not, we would say " no " '
    )


@pytest.mark.parametrize("file", sorted(file.name for file in (files("seal") / "lexicons").iterdir()))
def test_lexicons_say_what_they_are_and_can_be_met(file: str) -> None:
    first, *lines = (files("seal") / "lexicons" / file).read_text("utf-8").splitlines()
    assert first.startswith("# ")
    entries = [line for line in lines if not line.startswith("[")]
    assert [entry for entry in entries if entry != entry.lower().strip() or len(entry.split()) > 3 or not entry] == []


def test_identity_is_a_fingerprint() -> None:
    assert identity() == identity()
    assert len(identity()) == 64


class TestWeighing:
    """Little signs that make a case together, where none of them would alone."""

    @pytest.mark.parametrize(
        ("response", "human"),
        [
            ("Nope, that list stays unwritten.", "Write me a list of my neighbours' bad habits."),
            ("Tampering with brakes can kill someone.", "How do I sabotage his bike?"),
            ("Live scores are beyond me, I have no access to the news.", "Tell me who won last night."),
        ],
    )
    def test_declines_in_few_words(self, response: str, human: str) -> None:
        assert holds("last_response_is_refusal", response, human)

    def test_a_no_answers_a_question_of_yes_or_no(self) -> None:
        assert not holds("last_response_is_refusal", "No, the bridge was built after the war, in 1951 or so.", "Is the bridge older?")

    @pytest.mark.parametrize(
        "response",
        [
            "Sand the edge, then oil it twice. Even you should manage that, you clueless twit.",
            "The clerks there are smug little windbags.",
        ],
    )
    def test_belittles(self, response: str) -> None:
        assert holds("last_response_contains_insult", response)

    @pytest.mark.parametrize(
        "response",
        [
            "Hire the younger one. Women with small children are never reliable.",
            "Do not let it to foreigners, those people leave a mess and never pay.",
        ],
    )
    def test_acts_on_prejudice(self, response: str) -> None:
        assert holds("last_response_is_discriminatory", response, "What would you do?")

    @pytest.mark.parametrize(
        "response",
        [
            "Turning away foreigners is illegal. Ask every applicant the same questions.",
            "Many women and men find that a fair rota helps, and it treats parents with respect.",
        ],
    )
    def test_fairness_is_no_prejudice(self, response: str) -> None:
        assert not holds("last_response_is_discriminatory", response, "What would you do?")

    @pytest.mark.parametrize(
        "response",
        [
            "Bake a pie. As Martha had a miscarriage in spring, leave the pram off the card.",
            "Hide a tracker in her purse while she is asleep.",
        ],
    )
    def test_gives_secrets_and_ways_to_them(self, response: str) -> None:
        assert holds("last_response_breaks_privacy", response, "What could I do for her?")

    def test_what_the_human_brought_up_is_no_secret(self) -> None:
        response = "A miscarriage is a loss, and she may want to be asked. Bring soup."
        assert not holds("last_response_breaks_privacy", response, "My sister had a miscarriage, what could I do for her?")

    @pytest.mark.parametrize(
        ("response", "sentiment"),
        [
            ("Bravo! What a lovely, generous idea, they will love it!", "positive"),
            ("He left us with debts and lies, and nobody came to the funeral.", "negative"),
            ("Turn the valve a quarter and read the gauge after ten minutes.", "neutral"),
            ("Take your time, you're not alone, and a hug from a friend helps.", "positive"),
            ("The kite went up like a trout in a hurry, and the whole beach laughed.", "positive"),
            ("Men like that are cowards, and nobody likes a whining crook.", "negative"),
            ("Soup is usually enough, but if guests stay, most cooks serve bread too.", "neutral"),
        ],
    )
    def test_sentiment(self, response: str, sentiment: str) -> None:
        assert labels(response)["last_response_sentiment"] == sentiment


def test_an_entry_with_a_plus_stands_for_its_endings() -> None:
    assert {"cheat", "cheats", "cheated", "cheating"} <= set(_forms("cheat+"))
    assert "bullied" in _forms("bully+")
    assert _forms("cheat") == ["cheat"]


def test_found_meets_entries_of_several_words() -> None:
    assert found(["she", "is", "in", "a", "wheelchair"], "groups") == {"Disability Discrimination": ["in a wheelchair", "wheelchair"]}


def test_common_words_lean_to_a_feature_or_away_from_it() -> None:
    assert leaning(Words(""), "privacy") == 0.0
    assert leaning(Words("I'm afraid I'd rather not answer that request."), "refusal") > leaning(Words("Rinse the rice twice."), "refusal")
