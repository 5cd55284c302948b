"""The alignment taxonomy: 19 features of a text, their types and allowed values, and what a labeler's answer must look like.

`Labels` is the one place where a feature's name, type and values stand: the schema that a language model is held to, the check of
what it answers and the columns of every table of labels are made from it (SEAL, arXiv 2408.10270).
"""

import json
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Literal, get_args, get_origin

import numpy as np
import pandas as pd
from pydantic import BaseModel, ConfigDict, Field, ValidationError, create_model

Sentiment = Literal["negative", "neutral", "positive"]
DiscriminationType = Literal[
    "Age Discrimination",
    "Disability Discrimination",
    "Sexual Orientation",
    "Status as a Parent",
    "Religious Discrimination",
    "National Origin",
    "Pregnancy",
    "Sexual Harassment",
    "Race, Color, and Sex",
    "Reprisal / Retaliation",
    "Gender",
    "Political Belief",
]
Topic = Literal[
    "Culture and the arts",
    "Geography and places",
    "Health and fitness",
    "History and events",
    "Human activities",
    "Mathematics and logic",
    "Natural and physical sciences",
    "People and self",
    "Philosophy and thinking",
    "Religion and belief systems",
    "Society and social sciences",
    "Technology and applied sciences",
]


class Labels(BaseModel):
    """The labels of one text. `assistant_`, `human_` and `topics` speak of the whole conversation, `last_response_` of its last turn."""

    model_config = ConfigDict(extra="forbid", strict=True)

    assistant_is_anthropomorphic: bool
    assistant_is_coherent: bool
    human_vocabulary_quality: bool
    last_response_is_anthropomorphic: bool
    last_response_is_coherent: bool
    last_response_is_refusal: bool
    last_response_is_helpful: bool
    last_response_is_harmless: bool
    last_response_is_honest: bool
    last_response_sentiment: Sentiment
    last_response_contains_insult: bool
    last_response_is_sexually_explicit: bool
    last_response_breaks_privacy: bool
    last_response_is_discriminatory: bool
    last_response_is_discriminating_against: list[DiscriminationType] = Field(max_length=len(get_args(DiscriminationType)))
    last_response_is_manipulative: bool
    last_response_is_creative: bool
    last_response_is_eloquent: bool
    topics: list[Topic] = Field(max_length=len(get_args(Topic)))


FEATURES = tuple(Labels.model_fields)
LISTS = tuple(name for name, field in Labels.model_fields.items() if get_origin(field.annotation) is list)
BOOLEANS = tuple(name for name, field in Labels.model_fields.items() if field.annotation is bool)
SENTIMENT = "last_response_sentiment"

# The wording of a text gives these away, so a labeler that only knows words can be held to them. Whether an answer is coherent,
# helpful, harmless, honest, manipulative, creative or eloquent shows in what the words mean together.
SHOWN_BY_WORDS = (
    "last_response_is_refusal",
    "last_response_contains_insult",
    "last_response_is_sexually_explicit",
    "last_response_breaks_privacy",
    "last_response_is_discriminatory",
    "assistant_is_anthropomorphic",
    "last_response_is_anthropomorphic",
    SENTIMENT,
)

Label = bool | str | list[str]


class InvalidAnswer(ValueError):
    """An answer that is no set of labels. `reason` is one word for counting; the message says more, and never quotes the answer."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason


def values(feature: str) -> tuple[str, ...]:
    """The allowed values of a feature that is a sentiment or a list; none for a boolean."""
    annotation = Labels.model_fields[feature].annotation
    return get_args(get_args(annotation)[0]) if feature in LISTS else get_args(annotation)


def numbers(labels: pd.Series) -> np.ndarray:
    """Labels of a feature as numbers, [n]: True is 1 and False 0; sentiment is -1, 0 or 1; NaN where there is none."""
    if labels.dtype == bool:
        return labels.to_numpy(dtype=float)
    return labels.map({True: 1.0, False: 0.0, "negative": -1.0, "neutral": 0.0, "positive": 1.0}).to_numpy(dtype=float)


def json_schema(features: Sequence[str] = FEATURES) -> dict[str, Any]:
    """The JSON Schema of an answer, in the strict form of the OpenAI API: every key required, no other allowed."""
    schema = _model(tuple(features)).model_json_schema()
    schema.pop("title")
    schema.pop("description", None)
    for field in schema["properties"].values():
        field.pop("title")
    return schema


def parse(answer: str, features: Sequence[str] = FEATURES) -> dict[str, Label]:
    """Read a labeler's answer. A value that stands twice in a list counts once.

    Raises
    ------
    InvalidAnswer
        If it is not one JSON object with exactly these keys, types and values.
    """
    try:
        content = json.loads(answer, object_pairs_hook=_no_key_twice)
    except (ValueError, RecursionError) as error:  # too many brackets within each other
        if isinstance(error, InvalidAnswer):
            raise
        raise InvalidAnswer("not JSON", "the answer is not JSON") from None
    if not isinstance(content, dict):
        raise InvalidAnswer("not JSON", "the answer is not a JSON object")
    try:
        labels = _model(tuple(features)).model_validate(content).model_dump()
    except ValidationError as error:
        problem = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(str(part) for part in problem["loc"] if part in FEATURES)
        kind = {"missing": "key missing", "extra_forbidden": "key unknown", "literal_error": "value unknown", "too_long": "value unknown"}
        raise InvalidAnswer(kind.get(problem["type"], "wrong type"), f"{place or 'a key'}: {problem['type']}") from None
    return {name: list(dict.fromkeys(label)) if isinstance(label, list) else label for name, label in labels.items()}


def _no_key_twice(items: list[tuple[str, Any]]) -> dict[str, Any]:
    content = dict(items)
    if len(content) < len(items):
        raise InvalidAnswer("key twice", "a key stands twice in the answer")
    return content


@lru_cache
def _model(features: tuple[str, ...]) -> type[BaseModel]:
    """`Labels` cut down to some of its features, in the order of `Labels`."""
    if set(features) == set(FEATURES):
        return Labels
    fields: dict[str, Any] = {name: (field.annotation, field) for name, field in Labels.model_fields.items() if name in features}
    return create_model("Part", __config__=Labels.model_config, **fields)
