"""Conversations as text, in the form of Anthropic's HH data, and as turns."""

import re
from collections.abc import Sequence
from typing import NamedTuple

HUMAN, ASSISTANT, SYSTEM = "Human", "Assistant", "System"

ROLE_OF_MESSAGE = {"user": HUMAN, "human": HUMAN, "assistant": ASSISTANT, "system": SYSTEM}
"""The `role` of a message and the name of its turn in a transcript."""

_MARKER = re.compile(r"(?:\A\s*|(?<!\n)\n\n++)(Human|Assistant):|\A\s*(System):")
_MARKER_INSIDE = re.compile(r"(?<!\n)\n\n++(?=(?:Human|Assistant):)")


class Turn(NamedTuple):
    """What one side said, without the space around it."""

    role: str
    content: str


class NotATranscript(ValueError):
    """A text or a list of messages that cannot be read as a conversation; the message says why."""


def clean(text: str) -> str:
    """Make line ends `\\n` and take out NUL, at which some readers would cut the text.

    Raises
    ------
    NotATranscript
        If the text holds half of a surrogate pair, which no UTF-8 file can hold.
    """
    text = text.replace("\r\n", "\n").replace("\r", "\n").replace("\0", "")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise NotATranscript(f"half a surrogate pair at character {error.start}") from None
    return text


def parse(transcript: str) -> list[Turn]:
    """Split a transcript into its turns.

    A turn starts at `Human:` or `Assistant:` at the very start or after a blank line; `System:` counts only at the very start.
    A marker anywhere else, as in a quoted talk, is part of the turn it stands in. Turns may be empty and need not alternate.

    Raises
    ------
    NotATranscript
        If the text does not start with a marker.
    """
    markers = list(_MARKER.finditer(transcript))
    if not markers or markers[0].start() != 0:
        raise NotATranscript(f'text starting with {transcript[:40]!r}, where "Human:" or "Assistant:" should stand')
    ends = [marker.start() for marker in markers[1:]] + [len(transcript)]
    return [Turn(marker[1] or marker[2], transcript[marker.end() : end].strip()) for marker, end in zip(markers, ends, strict=True)]


def render(turns: Sequence[Turn]) -> str:
    """Write turns as a transcript in the form of the HH data, each after a blank line.

    A blank line before a role's name inside a turn becomes a single line break, so that `parse(render(turns))` gives the turns
    back and nobody's words can open a turn of their own.
    """
    return "".join(f"\n\n{role}: {_MARKER_INSIDE.sub(chr(10), content.strip())}" for role, content in turns)


def from_messages(messages: object) -> list[Turn]:
    """Read a list of `{role, content}`.

    Raises
    ------
    NotATranscript
        If it is not such a list or is empty, a role is unknown, or a `system` message is not the first.
    """
    if not isinstance(messages, Sequence) or isinstance(messages, str):
        raise NotATranscript(f"{type(messages).__name__}, where a list of messages should stand")
    if not messages:
        raise NotATranscript(f"an empty {type(messages).__name__}, where messages should stand")
    turns = []
    for position, message in enumerate(messages):
        if not isinstance(message, dict) or not isinstance(message.get("content"), str):
            raise NotATranscript(f'message {position} without a text under "content"')
        role = ROLE_OF_MESSAGE.get(str(message.get("role")).lower())
        if role is None or (role == SYSTEM and position > 0):
            raise NotATranscript(f"message {position} with role {message.get('role')!r}")
        turns.append(Turn(role, clean(message["content"]).strip()))
    return turns


def to_messages(turns: Sequence[Turn]) -> list[dict[str, str]]:
    """Turns as the messages that chat templates take."""
    names = {HUMAN: "user", ASSISTANT: "assistant", SYSTEM: "system"}
    return [{"role": names[turn.role], "content": turn.content} for turn in turns]


def prompt_and_response(turns: Sequence[Turn]) -> tuple[str, str]:
    """The conversation up to the last assistant turn, as a transcript, and that turn's words.

    Raises
    ------
    NotATranscript
        If the last turn is not the assistant's.
    """
    if not turns or turns[-1].role != ASSISTANT:
        raise NotATranscript(f"last turn by {turns[-1].role if turns else 'nobody'}, where the Assistant's should stand")
    return render(turns[:-1]), turns[-1].content


def opening_prompt(turns: Sequence[Turn]) -> str:
    """The first human turn, or an empty text where no human speaks."""
    return next((turn.content for turn in turns if turn.role == HUMAN), "")
