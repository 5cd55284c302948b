"""The `rules` labeler: it names the features of a text by rules and word lists, with no language model.

Deterministic and fast: a floor that any labeler should beat, and for what words alone can show (refusals, insults, private data, explicit
words, claims of a life, tone) a check on labelers that cost money. What needs judgement (helpful, harmless, honest) is a rough guess here.
"""

import hashlib
from importlib.metadata import version
from importlib.resources import files

from seal.features import Label
from seal.rules import anthropomorphic, discrimination, insult, judgement, privacy, quality, refusal, sexual, tone
from seal.rules.topics import topics
from seal.rules.words import Words
from seal.transcripts import ASSISTANT, HUMAN, NotATranscript, parse

_LIBRARIES = ("vaderSentiment", "wordfreq")


def label(text: str) -> dict[str, Label]:
    """All features of a transcript. An empty last response is labelled too: it says nothing, neither helps nor harms.

    Raises
    ------
    NotATranscript
        If the text does not read as one, or no turn in it is the assistant's.
    """
    turns = parse(text)
    while turns and turns[-1].role != ASSISTANT:
        turns.pop()  # what the human says after the last response has no part in it
    if not turns:
        raise NotATranscript("no turn by the Assistant, which is what is labelled")
    assistant = [Words(turn.content) for turn in turns if turn.role == ASSISTANT]
    human = [Words(turn.content) for turn in turns if turn.role == HUMAN]
    response, asked = assistant[-1], human[-1] if human else Words("")

    harmful = any(judgement.asks_for_harm(turn) for turn in human[-2:])
    refused = refusal.refuses(response, asked, harmful)
    humanlike = [anthropomorphic.claims(turn) for turn in assistant]
    coherent = [quality.is_coherent(turn) for turn in assistant]
    demeaned = discrimination.describes_as_less(response, asked, refused)
    kinds = discrimination.discriminates(response, asked, refused, demeaned)
    insulting = bool(demeaned) or insult.insults(response, asked, refused)
    broken = privacy.is_broken(response, asked, refused)
    pressing = tone.manipulates(response, refused)
    harmless = judgement.is_harmless(response, harmful, refused, flawed=insulting or bool(kinds) or broken or pressing)
    honest = judgement.is_honest(response, humanlike[-1], broken, bool(kinds))
    against: Label = list(kinds)
    about: Label = list(topics(human, response))
    return {
        "assistant_is_anthropomorphic": any(humanlike),
        "assistant_is_coherent": all(coherent),
        "human_vocabulary_quality": quality.is_well_written(human),
        "last_response_is_anthropomorphic": humanlike[-1],
        "last_response_is_coherent": coherent[-1],
        "last_response_is_refusal": refused,
        "last_response_is_helpful": judgement.is_helpful(response, asked, coherent[-1], refused, harmless, honest),
        "last_response_is_harmless": harmless,
        "last_response_is_honest": honest,
        "last_response_sentiment": tone.sentiment(response, insulting or pressing or bool(kinds), refused, humanlike[-1]),
        "last_response_contains_insult": insulting,
        "last_response_is_sexually_explicit": sexual.is_explicit(response, asked, refused),
        "last_response_breaks_privacy": broken,
        "last_response_is_discriminatory": bool(kinds),
        "last_response_is_discriminating_against": against,
        "last_response_is_manipulative": pressing,
        "last_response_is_creative": tone.is_creative(response, asked, refused),
        "last_response_is_eloquent": tone.is_eloquent(response, coherent[-1]),
        "topics": about,
    }


def identity() -> str:
    """A fingerprint of what the rules are made of: their code, their lexicons and the versions of the libraries they use."""
    digest = hashlib.sha256()
    for folder in ("rules", "lexicons"):
        for file in sorted((files("seal") / folder).iterdir(), key=lambda file: file.name):
            if file.name.endswith((".py", ".txt")):
                content = file.read_bytes()
                digest.update(f"{folder}/{file.name} {len(content)}\n".encode() + content)
    for library in _LIBRARIES:
        digest.update(f"{library} {version(library)}\n".encode())
    return digest.hexdigest()
