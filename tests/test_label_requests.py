"""What is asked of a labeler: the wording, the request, the text within it, and manifests that were changed by hand."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from made_up import OPTIONS, PROMPT, SYSTEM, talk

from seal import label_requests
from seal.errors import InputError
from seal.features import FEATURES, json_schema, values
from seal.label_requests import (
    Options,
    as_data,
    checked,
    features_of,
    identify,
    instructions,
    read_manifest,
    read_prompt,
    request,
    requests_for,
    text_of,
)
from seal.language_models.batch_files import Request, as_line, request_hash, write_manifest

TEXTS = st.text(st.characters(exclude_categories=["Cs"]))
CONTROL = [
    *("<|im_start|>", "<|im_end|>", "<|endoftext|>", "<|begin_of_text|>", "<|start_header_id|>", "<|eot_id|>", "<start_of_turn>"),
    *("<end_of_turn>", "<bos>", "<s>", "</s>", "<<SYS>>", "[INST]", "[/INST]", "[SYSTEM_PROMPT]", "[AVAILABLE_TOOLS]", "<|user|>"),
    *(
        "<\uff5cUser\uff5c>",
        "<|channel|>",
        "<think>",
        "<tool_call>",
        "<__media__>",
        "[gMASK]",
        "[|user|]",
        "]~b]",
        "]~!b[",
        "[e~[",
        ">>QUESTION<<",
    ),
]
SOME = ("last_response_is_refusal", "last_response_sentiment")


def ask(text: str = talk("Fine."), **options: Any) -> Request:
    return request(4, "chosen", text, SYSTEM, OPTIONS._replace(**options))


# --- the wording ---


def test_the_wording_of_the_repository_is_whole() -> None:
    system = instructions(read_prompt(PROMPT))
    assert "{values}" not in system
    for feature in FEATURES:
        (line,) = (line for line in system.splitlines() if line.startswith(f"- {feature}: "))
        assert all(json.dumps(value) in line for value in values(feature))


def write_prompt(tmp_path: Path, keys: list[str]) -> Path:
    path = tmp_path / "prompt.txt"
    path.write_text("Label.\n" + "".join(f"- {key}: meaning {{values}}\n" for key in keys))
    return path


def test_a_wording_that_has_a_placeholder_of_its_own_is_refused(tmp_path: Path) -> None:
    path = write_prompt(tmp_path, list(FEATURES))
    path.write_text(path.read_text().replace("- topics: meaning {values}", "- topics: meaning {vals}"))
    with pytest.raises(InputError, match=r"prompt\.txt: \{vals\} stands for nothing"):
        read_prompt(path)
    path.write_bytes("Nö".encode("latin-1"))
    with pytest.raises(InputError, match=r"prompt\.txt: not a UTF-8 text"):
        read_prompt(path)


@pytest.mark.parametrize(
    ("labeler", "changes", "complaint"),
    [
        ("rules", {"model": "gpt-4o"}, "model is gpt-4o, and the labeler rules asks none"),
        ("openai", {"temperature": float("nan")}, "temperature is nan"),
        ("openai", {"max_tokens": 0}, "max-tokens is 0"),
        ("openai", {"seed": -1}, "seed -1"),
    ],
)
def test_options_that_nothing_can_be_asked_with_are_refused(labeler: str, changes: dict[str, Any], complaint: str) -> None:
    options = Options("rules", "json_schema", 0.0, 100, 1)
    assert checked(labeler, options) == options
    with pytest.raises(InputError, match=complaint):
        checked(labeler, options._replace(**changes))


def test_a_wording_without_a_feature_or_with_an_unknown_one_is_refused(tmp_path: Path) -> None:
    assert read_prompt(write_prompt(tmp_path, list(FEATURES))).startswith("Label.\n- assistant_is_anthropomorphic: meaning {values}\n")
    with pytest.raises(InputError, match=r"prompt\.txt: its lines .* what differs: \['topics'\]"):
        read_prompt(write_prompt(tmp_path, [*FEATURES[:-1]]))
    with pytest.raises(InputError, match=r"what differs: \['colour'\]"):
        read_prompt(write_prompt(tmp_path, [*FEATURES, "colour"]))


@pytest.mark.parametrize("keys", [FEATURES[::-1], (*FEATURES, "topics")])
def test_a_wording_with_features_out_of_order_or_twice_is_refused(tmp_path: Path, keys: tuple[str, ...]) -> None:
    with pytest.raises(InputError, match=r"prompt\.txt: its lines `- key: meaning` do not name each feature once, in order"):
        read_prompt(write_prompt(tmp_path, list(keys)))


def test_a_missing_wording_is_told(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"none\.txt: no such file; give the wording of the task, such as prompts/taxonomy\.txt"):
        read_prompt(tmp_path / "none.txt")


def test_instructions_have_the_lines_of_the_features_asked_for_and_all_else() -> None:
    prompt = "Label.\n\n- topics: what; out of {values}\nAnd\n- last_response_sentiment: tone; {values}\n- last_response_is_refusal: no\n"
    assert instructions(prompt, SOME) == (
        'Label.\n\nAnd\n- last_response_sentiment: tone; "negative", "neutral", "positive"\n- last_response_is_refusal: no'
    )


# --- requests ---


def test_a_request_holds_its_text_once_and_all_options() -> None:
    text = talk("Fine.")
    found = request(4, "rejected", text, "Label.", OPTIONS, SOME)
    assert found.custom_id == "4.rejected"
    assert found.body == {
        "model": "made-up",
        "messages": [
            {"role": "system", "content": "Label."},
            {"role": "user", "content": '{"transcript": "\\n\\nHuman: How are you?\\n\\nAssistant: Fine."}'},
        ],
        "response_format": {"type": "json_schema", "json_schema": {"name": "labels", "strict": True, "schema": json_schema(SOME)}},
        "temperature": 0.0,
        "max_tokens": 60,
        "seed": 1,
    }


def test_a_request_without_a_schema_says_so_and_has_none() -> None:
    assert ask(response_format="json_object").body["response_format"] == {"type": "json_object"}


def test_all_that_affects_an_answer_changes_the_hash_and_nothing_else_does() -> None:
    text = talk("Fine.")
    prompt = read_prompt(PROMPT)

    def hashed(each: Request, identity: str = "a") -> str:
        return request_hash(each.body, identity)

    first = hashed(ask())
    assert hashed(request(0, "rejected", text, SYSTEM, OPTIONS)) == first  # where a text stands does not
    assert hashed(request(4, "chosen", text, instructions(prompt, FEATURES[::-1]), OPTIONS, FEATURES[::-1])) == first  # one set, one schema
    changed = {
        "text": hashed(ask(talk("Fine!"))),
        "wording": hashed(request(4, "chosen", text, instructions(prompt.replace("label", "mark")), OPTIONS)),
        "features": hashed(request(4, "chosen", text, instructions(prompt, SOME), OPTIONS, SOME)),
        "schema": hashed(request(4, "chosen", text, SYSTEM, OPTIONS, SOME)),
        "model": hashed(ask(model="other")),
        "form": hashed(ask(response_format="json_object")),
        "temperature": hashed(ask(temperature=0.5)),
        "longest answer": hashed(ask(max_tokens=61)),
        "seed": hashed(ask(seed=2)),
        "identity": hashed(ask(), "b"),
    }
    assert len({first, *changed.values()}) == 1 + len(changed)


def test_requests_go_by_row_id_with_chosen_first() -> None:
    pairs = pd.DataFrame({"row_id": [9, 0, 10], "chosen_text": ["c9", "c0", "c10"], "rejected_text": ["r9", "r0", "r10"]})
    found = list(requests_for(pairs, SYSTEM, OPTIONS))
    assert [each.custom_id for each in found] == ["0.chosen", "0.rejected", "9.chosen", "9.rejected", "10.chosen", "10.rejected"]
    assert [text_of(each.body) for each in found] == ["c0", "r0", "c9", "r9", "c10", "r10"]


# --- a text as data ---


@given(TEXTS | st.lists(st.sampled_from([*CONTROL, '"', "\\", "}", "\n", '"}', "\\u003c", "\\u0022", "]", "[", "<"])).map("".join))
def test_a_text_comes_back_as_it_was_and_stays_one_string_without_what_control_tokens_have(text: str) -> None:
    data = as_data(text)
    assert json.loads(data) == {"transcript": text}
    assert text_of(ask(text).body) == text
    assert not set("<[]\n\r\0") & set(data)
    assert not any(token in data for token in CONTROL)


@pytest.mark.parametrize("token", CONTROL)
def test_no_control_token_is_whole_in_the_data(token: str) -> None:
    assert token not in as_data(talk(f"a{token}b"))


def test_an_empty_text_is_one_too() -> None:
    assert as_data("") == '{"transcript": ""}'


# --- ids ---


def test_an_id_names_its_row_and_side() -> None:
    for row_id in (0, 7, 160_799, -3):
        for preference in ("chosen", "rejected"):
            assert identify(ask()._replace(custom_id=f"{row_id}.{preference}").custom_id) == (row_id, preference)


@pytest.mark.parametrize("custom_id", ["", "7", "7.", "7.Chosen", "7.chosen.rejected", ".chosen", "x.chosen", "1.5.chosen", "07.chosen"])
@pytest.mark.parametrize(
    "written", [str, lambda custom_id: f" {custom_id}", lambda custom_id: f"+{custom_id}", lambda custom_id: f"1_{custom_id}"]
)
def test_an_id_of_another_form_is_refused_so_that_no_text_has_two(custom_id: str, written: Callable[[str], str]) -> None:
    with pytest.raises(ValueError, match=r"not <row_id>|invalid literal"):
        identify(written(custom_id))


# --- manifests ---


def manifest(tmp_path: Path, *lines: str) -> Path:
    (tmp_path / "requests-00000.jsonl").write_text("".join(lines), encoding="utf-8")
    return tmp_path


def test_a_manifest_comes_back_as_it_was_written(tmp_path: Path) -> None:
    requests = [request(row_id, "chosen", f"odd \u2028 {token}", SYSTEM, OPTIONS) for row_id, token in enumerate(CONTROL)]
    write_manifest(tmp_path, requests)
    assert list(read_manifest(tmp_path)) == requests
    assert list(read_manifest(tmp_path / "requests-00000.jsonl")) == requests


def test_files_are_read_in_order_of_their_names(tmp_path: Path) -> None:
    for number in (1, 0, 2):
        (tmp_path / f"requests-{number:05}.jsonl").write_text(as_line(ask()._replace(custom_id=f"{number}.chosen")))
    assert [each.custom_id for each in read_manifest(tmp_path)] == ["0.chosen", "1.chosen", "2.chosen"]


def test_an_empty_folder_and_a_missing_one_are_told(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no requests in there; run stages/taxonomy_create_batch\.py to write them"):
        list(read_manifest(tmp_path))
    with pytest.raises(InputError, match=r"none: no such file; check the path"):
        list(read_manifest(tmp_path / "none"))


def changed(**fields: Any) -> str:
    return json.dumps({"custom_id": "5.chosen", "body": ask().body | fields}) + "\n"


def without(*keys: str) -> str:
    return json.dumps({"custom_id": "5.chosen", "body": {key: value for key, value in ask().body.items() if key not in keys}}) + "\n"


def messages(system: Any, user: Any) -> str:
    return changed(messages=[{"role": "system", "content": system}, {"role": "user", "content": user}])


@pytest.mark.parametrize(
    "damaged",
    [
        "{}\n",
        json.dumps({"custom_id": "5.chosen"}) + "\n",
        json.dumps({"custom_id": "5.chosen", "body": "x"}) + "\n",
        json.dumps({"custom_id": "5", "body": ask().body}) + "\n",
        json.dumps({"custom_id": 5, "body": ask().body}) + "\n",
        json.dumps({"custom_id": None, "body": ask().body}) + "\n",
        *(without(key) for key in ask().body),
        changed(messages=[]),
        changed(messages={}),
        changed(model=["m"]),
        messages(SYSTEM, "no JSON"),
        messages(SYSTEM, "[]"),
        messages(SYSTEM, '{"text": "x"}'),
        messages(SYSTEM, None),
        messages("Label.", as_data("x")),
        messages("- colour: which", as_data("x")),
        messages(None, as_data("x")),
        messages([{"type": "text"}], as_data("x")),
    ],
)
def test_a_request_changed_by_hand_is_told_with_its_file_and_line(tmp_path: Path, damaged: str) -> None:
    folder = manifest(tmp_path, as_line(ask()), "\n", damaged)
    with pytest.raises(
        InputError, match=r"requests-00000\.jsonl: line 3 is no request for labels; write it with stages/taxonomy_create_batch"
    ):
        list(read_manifest(folder))


def test_a_line_that_is_no_json_is_told_with_its_file_and_line(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"requests-00000\.jsonl: line 2 is no JSON object"):
        list(read_manifest(manifest(tmp_path, as_line(ask()), as_line(ask())[:-20])))


def test_an_id_that_stands_there_twice_is_told_even_across_files(tmp_path: Path) -> None:
    folder = manifest(tmp_path, as_line(ask()))
    (folder / "requests-00001.jsonl").write_text(as_line(ask()._replace(custom_id="5.chosen")) + as_line(ask(talk("Other."))))
    with pytest.raises(InputError, match=r"requests-00001\.jsonl: line 2: the custom_id 4\.chosen stands there twice"):
        list(read_manifest(folder))


@pytest.mark.parametrize("other", [changed(model="another"), messages(instructions(read_prompt(PROMPT), SOME), as_data("x"))])
def test_a_manifest_asks_one_model_for_the_same_features_throughout(tmp_path: Path, other: str) -> None:
    with pytest.raises(InputError, match=r"requests-00000\.jsonl: line 2 asks another model, or for other features, than the lines before"):
        list(read_manifest(manifest(tmp_path, as_line(ask()), other)))


def test_the_features_of_a_request_are_those_of_its_instructions() -> None:
    assert features_of(ask().body) == FEATURES
    assert features_of(request(0, "chosen", "- topics: no", instructions(read_prompt(PROMPT), SOME), OPTIONS, SOME).body) == SOME
    with pytest.raises(ValueError, match="no features, or unknown ones"):
        features_of({"messages": [{"content": "- colour: which"}]})


def test_options_are_all_in_the_request() -> None:
    assert set(label_requests.Options._fields) <= set(ask().body)
