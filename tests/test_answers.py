"""Answers: how they are written and read, kept through a kill, known beforehand, and had from an engine."""

import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from made_up import OPTIONS, SYSTEM, VALID, Script, answer, talk

from seal.errors import InputError
from seal.journal import Journal
from seal.label_requests import request, text_of
from seal.language_models.answers import Answer, Answers, Engine, Unanswered, ask_all, from_completion, take_output_file
from seal.language_models.batch_files import Body, Pending, request_hash

ODD = 'odd "quotes" \\ \n \r \u2028 é 🎈 \x85'


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    with Journal(tmp_path / "journal.jsonl") as opened:
        yield opened


def pendings(*texts: str) -> list[Pending]:
    requests = [request(number, "chosen", text, SYSTEM, OPTIONS) for number, text in enumerate(texts)]
    return [Pending(request_hash(each.body, "script"), each) for each in requests]


def line_of(**changes: Any) -> dict[str, Any]:
    """A line of an output file as OpenAI's documentation has it."""
    choice = {"index": 0, "message": {"role": "assistant", "content": "words"}, "logprobs": None, "finish_reason": "stop"}
    usage = {"prompt_tokens": 22, "completion_tokens": 2, "total_tokens": 24}
    body = {"id": "chatcmpl-123", "object": "chat.completion", "created": 1711652795, "choices": [choice], "usage": usage}
    response = {"status_code": 200, "request_id": "req_123", "body": body}
    return {"id": "batch_req_123", "custom_id": "0.chosen", "response": response, "error": None} | changes


def write_lines(path: Path, *lines: dict[str, Any]) -> Path:
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return path


# --- lines ---


@pytest.mark.parametrize("batch", [False, True])
def test_a_line_gives_its_answer_back_and_has_nothing_of_the_run(batch: bool) -> None:
    found = Answer(ODD, "length", 7, 8, batch)
    written = found.as_line("3.rejected", "abc")
    assert written.encode().count(b"\n") == 1
    line = json.loads(written)
    assert from_completion(line) == found
    assert (line["custom_id"], line["request"], line["error"], line["response"]["status_code"]) == ("3.rejected", "abc", None, 200)
    assert "id" not in line
    assert "created" not in line["response"]["body"]


def test_a_line_of_the_batch_api_is_read() -> None:
    assert from_completion(line_of()) == Answer("words", "stop", 22, 2, False)
    assert from_completion(line_of(), batch=True) == Answer("words", "stop", 22, 2, True)


def test_an_answer_without_words_or_usage_is_one() -> None:
    line = line_of()
    line["response"]["body"]["choices"][0] = {"message": {"content": None}, "finish_reason": "content_filter"}
    line["response"]["body"]["usage"] = None
    assert from_completion(line) == Answer("", "content_filter", 0, 0)
    del line["response"]["body"]["usage"]
    assert from_completion(line) == Answer("", "content_filter", 0, 0)


@pytest.mark.parametrize(
    "line",
    [
        {},
        line_of(response=None, error={"code": "batch_expired", "message": "This request could not be executed"}),
        line_of(response={"status_code": 429, "body": {"error": {}}}),
        line_of(response={"status_code": 200}),
        line_of(response={"status_code": 200, "body": {"choices": []}}),
        line_of(response={"status_code": 200, "body": {"choices": [{"message": "words", "finish_reason": "stop"}]}}),
        line_of(response={"status_code": 200, "body": {"choices": [{"message": {"content": "words"}}]}}),
        line_of(response=[]),
    ],
)
def test_a_line_without_an_answer_has_none(line: dict[str, Any]) -> None:
    assert from_completion(line) is None


# --- kept ones ---


def test_answers_are_found_again_by_a_later_run(tmp_path: Path) -> None:
    kept = {"a": Answer(ODD, "stop", 1, 2), "b": Answer("", "length", 3, 4, True)}
    with Journal(tmp_path / "j") as journal:
        answers = Answers(journal)
        assert "a" not in answers
        answers.add({"a": kept["a"]})
        answers.add({"b": kept["b"]})
        assert ("a" in answers, answers["a"]) == (True, kept["a"])
    with Journal(tmp_path / "j") as journal:
        answers = Answers(journal)
        assert {key: answers[key] for key in kept} == kept
        assert "c" not in answers


def test_nothing_to_add_writes_nothing(tmp_path: Path, journal: Journal) -> None:
    Answers(journal).add({})
    assert (tmp_path / "journal.jsonl").read_bytes() == b""


def test_known_answers_are_found_and_not_copied_into_the_journal(tmp_path: Path, journal: Journal) -> None:
    for name, content in (("first", "1"), ("second", "2")):
        (tmp_path / name).write_text(answer(content).as_line("0.chosen", name), encoding="utf-8")
    answers = Answers(journal, [tmp_path / "first", str(tmp_path / "second")])
    assert (answers["first"].content, answers["second"].content) == ("1", "2")
    assert (tmp_path / "journal.jsonl").read_bytes() == b""


@pytest.mark.parametrize("line", [line_of(), line_of(request=None), line_of(request=7), line_of(request="a", response=None)])
def test_a_known_answer_without_a_hash_or_an_answer_is_told_with_its_line(tmp_path: Path, journal: Journal, line: dict[str, Any]) -> None:
    path = write_lines(tmp_path / "known.jsonl", line_of(request="a"), line)
    with pytest.raises(InputError, match=r"known\.jsonl: line 2 is no raw answer with the hash of its request"):
        Answers(journal, [path])


def test_a_missing_or_damaged_file_of_known_answers_is_told(tmp_path: Path, journal: Journal) -> None:
    with pytest.raises(InputError, match=r"none\.jsonl: no such file"):
        Answers(journal, [tmp_path / "none.jsonl"])
    (tmp_path / "torn.jsonl").write_text('{"custom_id": "0.cho')
    with pytest.raises(InputError, match=r"torn\.jsonl: line 1 is no JSON object"):
        Answers(journal, [tmp_path / "torn.jsonl"])


# --- output files ---


def test_an_output_file_is_matched_by_id_and_is_at_the_price_of_a_batch(tmp_path: Path, journal: Journal) -> None:
    answers = Answers(journal)
    answers.add({"hash 1": answer("mine")})
    lines = [line_of(custom_id=custom_id) for custom_id in ("2.chosen", "1.chosen", "0.chosen")]
    lines[0]["response"] = None
    take_output_file(write_lines(tmp_path / "out.jsonl", *lines), {f"{n}.chosen": f"hash {n}" for n in range(4)}, answers)
    assert answers["hash 0"] == Answer("words", "stop", 22, 2, True)
    assert answers["hash 1"] == answer("mine")  # what has an answer keeps it
    assert "hash 2" not in answers
    assert "hash 3" not in answers


@pytest.mark.parametrize("custom_id", ["9.chosen", None, ["0.chosen"], 0])
def test_an_output_file_of_another_manifest_is_told_and_nothing_of_it_is_kept(tmp_path: Path, journal: Journal, custom_id: Any) -> None:
    answers = Answers(journal)
    path = write_lines(tmp_path / "out.jsonl", line_of(), line_of(custom_id=custom_id))
    with pytest.raises(InputError, match=r"out\.jsonl: line 2: the manifest has no request .*; give the output file of this manifest"):
        take_output_file(path, {"0.chosen": "a"}, answers)
    assert "a" not in answers


def test_a_missing_output_file_is_told(tmp_path: Path, journal: Journal) -> None:
    with pytest.raises(InputError, match=r"out\.jsonl: no such file"):
        take_output_file(tmp_path / "out.jsonl", {}, Answers(journal))


# --- asking ---


@pytest.mark.parametrize(("workers", "together"), [(1, 1), (1, 3), (4, 1), (4, 100)])
def test_all_are_asked_once_and_answers_are_kept(tmp_path: Path, journal: Journal, workers: int, together: int) -> None:
    texts = [talk(f"Answer {number}") for number in range(10)]
    script = Script({texts[3]: ["too long"], texts[8]: ["refused by the server"]}, workers, together)
    told = {}
    pending = pendings(*texts)
    answers = Answers(journal)
    reasons = ask_all(script.engine, iter(pending), answers, lambda each, outcome: told.update({each.hash: outcome}))
    assert sorted(script.texts) == texts
    assert reasons == {pending[3].hash: "too long", pending[8].hash: "refused by the server"}
    assert set(told) == {each.hash for each in pending}
    assert isinstance(told[pending[3].hash], Unanswered)
    assert [each.hash in answers for each in pending] == [number not in (3, 8) for number in range(10)]
    lines = (tmp_path / "journal.jsonl").read_text().splitlines()
    assert len(lines) == -(-8 // together)
    assert sum(len(json.loads(line)["answers"]) for line in lines) == 8


def test_no_more_are_under_way_than_there_are_workers_and_requests_are_read_as_they_go(journal: Journal) -> None:
    lock = threading.Lock()
    under_way, most, read = 0, 0, 0
    together = threading.Barrier(3, timeout=30)  # three must meet, or the test fails

    def ask(_: Body) -> Answer:
        nonlocal under_way, most
        with lock:
            under_way += 1
            most = max(most, under_way)
        together.wait()
        with lock:
            under_way -= 1
        return answer()

    def pending() -> Iterator[Pending]:
        nonlocal read
        for each in pendings(*(talk(str(number)) for number in range(9))):
            assert read - finished < 3
            read += 1
            yield each

    finished = 0

    def tell(*_: object) -> None:
        nonlocal finished
        finished += 1

    ask_all(Engine(ask, workers=3), pending(), Answers(journal), tell)
    assert (most, finished) == (3, 9)


@pytest.mark.parametrize("together", [1, 100])
def test_an_engine_that_breaks_leaves_what_was_answered_before(journal: Journal, together: int) -> None:
    pending = pendings("a", "b", "c", "d")

    def ask(body: Body) -> Answer:
        if text_of(body) == "c":
            raise RuntimeError("the machine broke")
        return answer()

    answers = Answers(journal)
    with pytest.raises(RuntimeError, match="the machine broke"):
        ask_all(Engine(ask, together=together), pending, answers, lambda each, outcome: None)
    assert [each.hash in answers for each in pending] == [True, True, False, False]


def test_an_engine_that_breaks_leaves_what_was_under_way_too_and_is_asked_no_more(journal: Journal) -> None:
    pending = pendings(*(str(number) for number in range(8)))
    meeting, broken = threading.Barrier(4, timeout=30), threading.Event()
    asked = []

    def ask(body: Body) -> Answer:
        asked.append(text_of(body))
        meeting.wait()
        if text_of(body) in ("0", "2"):
            broken.set()
            raise RuntimeError(f"the machine broke at {text_of(body)}")
        broken.wait(30)
        time.sleep(0.05)
        return answer()

    answers = Answers(journal)
    with pytest.raises(RuntimeError, match="the machine broke at"):
        ask_all(Engine(ask, workers=4), pending, answers, lambda each, outcome: None)
    assert sorted(asked) == ["0", "1", "2", "3"]
    assert [each.hash in answers for each in pending[:4]] == [False, True, False, True]


def test_an_answer_is_on_disk_before_it_is_told_of(tmp_path: Path, journal: Journal) -> None:
    sizes = []
    ask_all(
        Script().engine,
        pendings("a", "b"),
        Answers(journal),
        lambda each, outcome: sizes.append((tmp_path / "journal.jsonl").read_text().count(VALID.replace('"', '\\"'))),
    )
    assert sizes == [1, 2]


def test_a_line_with_another_status_than_success_has_no_answer_whatever_stands_in_it() -> None:
    line = json.loads(Answer("words", "stop", 1, 1).as_line("1.chosen", "hash"))
    for status in (202, 400, 429, 500):
        assert from_completion({**line, "response": {**line["response"], "status_code": status}}) is None
