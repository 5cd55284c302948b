"""From a text to the tokens that a reward model reads, and what has to go when there are too many of them."""

import bisect
import re
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import numpy as np

from seal import transcripts
from seal.errors import InputError

Format = Literal["pair", "transcript", "chat"]
"""How a text becomes input: `pair` = tokenizer(prompt, response), split at the last `Assistant:` anywhere, which stays with the response
(as SEAL feeds the OpenAssistant models); `transcript` = the whole text as one; `chat` = the tokenizer's own chat template."""

_TURN = re.compile(r"(?:\A\s*|(?<!\n)\n\n++)(?=(?:Human|Assistant):)|\A\s*(?=System:)")  # where transcripts.parse sees a turn start
_CHUNK = 2048
_Tokens = tuple[list[int], list[int] | None]


class Input(NamedTuple):
    """The tokens of one text."""

    ids: Sequence[int] | np.ndarray
    types: Sequence[int] | np.ndarray | None
    """Token types, where the tokenizer gives them."""
    turns_dropped: int
    """Old turns of the prompt left out to keep within the limit."""
    tokens_cut: int
    """Tokens cut off the end of the response, because it alone exceeds the limit."""


def encode(tokenizer: Any, texts: Sequence[str], format: Format, limit: int | None) -> list[Input]:
    """Turn texts into tokens, in order.

    Parameters
    ----------
    tokenizer
        A transformers tokenizer.
    texts
        Transcripts.
    format
        See `Format`.
    limit
        The largest number of tokens, special ones included; None for no limit. A text beyond it loses whole old turns of its
        prompt, oldest first; only a response that alone exceeds the limit loses its tail.

    Raises
    ------
    InputError
        If `format` is `chat` and the tokenizer has no chat template, or its template refuses a conversation.
    """
    special = 0 if format == "chat" else tokenizer.num_special_tokens_to_add(pair=format == "pair")
    if limit is not None and limit <= special:
        raise InputError(f"max-length is {limit}, and {special} special tokens leave no room for text; raise it, or set 0 for no limit")
    if format == "chat" and not getattr(tokenizer, "chat_template", None):
        raise InputError("format chat: this model's tokenizer has no chat template; use format pair or transcript")
    inputs = []
    whole: list[_Tokens]
    for start in range(0, len(texts), _CHUNK):
        chunk = texts[start : start + _CHUNK]
        if format == "chat":
            whole = [(_chat_ids(tokenizer, transcripts.parse(text)), None) for text in chunk]
        elif format == "pair":
            whole = _tokens(tokenizer, *zip(*map(split_pair, chunk), strict=True))
        else:
            whole = _tokens(tokenizer, chunk)
        for text, (ids, types) in zip(chunk, whole, strict=True):
            if limit is None or len(ids) <= limit:
                inputs.append(Input(ids, types, 0, 0))
            elif format == "chat":
                inputs.append(_shorten_chat(tokenizer, text, limit))
            else:
                inputs.append(_shorten(tokenizer, text, format, limit))
    return inputs


def spelled(tokenizer: Any, texts: Sequence[str]) -> list[str]:
    """The texts, in order, in which a special token of the model stands letter by letter, such as `</s>` or `<|im_end|>`.

    The model reads the token there, as it did when it was trained and does wherever else it is used. So such a text may end before its
    end, or open a turn of its own.
    """
    if getattr(tokenizer, "split_special_tokens", False):
        return []
    special = {*tokenizer.all_special_tokens, *(token.content for token in tokenizer.added_tokens_decoder.values() if token.special)}
    first = {token[0] for token in special}  # a look for these spares nearly all texts the look for hundreds of tokens
    return [text for text in texts if any(letter in text for letter in first) and any(token in text for token in special)]


def split_pair(text: str) -> tuple[str, str]:
    """Split a transcript before the last `Assistant:` anywhere in it; the first part is empty where there is none."""
    pivot = max(text.rfind("Assistant:"), 0)
    return text[:pivot], text[pivot:]


def _tokens(tokenizer: Any, *texts: Sequence[str], **options: Any) -> list[_Tokens]:
    """Tokenise texts, or pairs of texts. Without `verbose` as the caller takes care of inputs that are too long."""
    options = {"truncation": False, "padding": False, "return_attention_mask": False, "verbose": False} | options
    encoded = tokenizer(*map(list, texts), **options)
    types = encoded.get("token_type_ids") or [None] * len(encoded["input_ids"])
    return list(zip(encoded["input_ids"], types, strict=True))


def _chat_ids(tokenizer: Any, turns: Sequence[transcripts.Turn]) -> list[int]:
    try:
        return list(tokenizer.apply_chat_template(transcripts.to_messages(turns), tokenize=True, return_dict=False))
    except Exception as error:  # templates raise what they like
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError(
            f"format chat: the tokenizer's template refuses the conversation that starts with {transcripts.render(turns).strip()[:60]!r} "
            f"({reason}); use format pair or transcript"
        ) from error


def _shorten(tokenizer: Any, text: str, format: Format, limit: int) -> Input:
    """Drop as few old prompt turns as it takes to fit; cut the response's tail only when no prompt is left."""
    versions: list[tuple[str, ...]]
    if format == "pair":
        prompt, response = split_pair(text)
        versions = [*((prompt[start:], response) for start in _turn_starts(prompt)), ("", response)]
    else:
        versions = [(text[start:],) for start in _turn_starts(text)] or [(text,)]

    def tokens(turns_dropped: int) -> tuple[list[int], list[int] | None]:
        return _tokens(tokenizer, *([part] for part in versions[turns_dropped]))[0]

    # Fewer turns are fewer tokens, so halving finds the first version that fits, in talks of a thousand turns, too.
    turns_dropped = bisect.bisect_left(range(len(versions) - 1), True, key=lambda dropped: len(tokens(dropped)[0]) <= limit)
    ids, types = tokens(turns_dropped)
    if len(ids) <= limit:
        return Input(ids, types, turns_dropped, 0)
    version = versions[turns_dropped]
    truncation = "only_second" if format == "pair" else True
    ((kept, types),) = _tokens(tokenizer, *([part] for part in version), truncation=truncation, max_length=limit)
    return Input(kept, types, turns_dropped, len(ids) - len(kept))


def _shorten_chat(tokenizer: Any, text: str, limit: int) -> Input:
    """As `_shorten`; but a conversation goes on starting with a human turn, an empty one at last, as templates ask for one."""
    turns = transcripts.parse(text)
    versions = {start: turns[start:] for start, turn in enumerate(turns[:-1]) if start == 0 or turn.role == transcripts.HUMAN}
    versions[len(turns) - 1] = [transcripts.Turn(transcripts.HUMAN, ""), turns[-1]] if len(turns) > 1 else turns
    for turns_dropped, version in versions.items():
        ids = _chat_ids(tokenizer, version)
        if len(ids) <= limit:
            return Input(ids, None, turns_dropped, 0)
    return Input(ids[:limit], None, turns_dropped, len(ids) - limit)


def _turn_starts(text: str) -> list[int]:
    return [turn.start() for turn in _TURN.finditer(text)]
