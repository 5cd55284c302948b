"""Labels through the OpenAI Batch API: whatever goes wrong, every text is labelled, and none is paid for twice."""

import email.utils
import json
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import openai
import pytest
from batch_server import Refused, Trouble
from labelling import INVALID, TRUNCATED, Answering, Kill, Server, Study, assert_all_labelled, needed, text_number, write_pairs

from seal.journal import Journal
from seal.language_models import openai_batch
from seal.language_models.answers import Answer, Answers
from seal.language_models.openai_batch import ATTEMPTS, Ledger

COST = 0.002856
"""What the eight texts of a study are expected to cost, as metrics say; see `test_openai_stages`."""


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


def batches_of(server: Server) -> list[list[str]]:
    """The custom_ids of each batch, in the order of their creation."""
    return [[request["custom_id"] for request in batch.requests] for batch in server.batches.values()]


def all_once(server: Server, study: Study) -> None:
    """Every request reached the server once, and was answered once."""
    assert server.received.bodies == server.answered.bodies == needed(study)


# --- what comes back ---


def test_every_text_gets_its_labels_in_whatever_order_lines_come(server: Server, study: Study) -> None:
    server.script.reorder = True
    ran = study.process()
    assert (ran.code, ran.out, ran.err) == (0, "", "8 of 8 texts labelled\n")
    assert_all_labelled(study)
    all_once(server, study)
    assert (server.uploads, server.created) == (1, 1)
    coverage = study.coverage
    assert (coverage["texts"], coverage["labelled"], coverage["coverage"], coverage["patched"]) == (8, 8, 1, 0)
    assert coverage["answers"] == len(study.answers) == 8
    tokens = [answer["response"]["body"]["usage"] for answer in study.answers]
    paid = sum(each["prompt_tokens"] * 1 + each["completion_tokens"] * 2 for each in tokens) / 1e6 / 2  # half price through a batch
    assert coverage["usd"] == pytest.approx(paid, rel=1e-5)
    before = (study.folder / "taxonomy.csv").read_bytes()
    assert study.process(max_cost_usd=0).code == 0
    all_once(server, study)
    assert (study.folder / "taxonomy.csv").read_bytes() == before


def test_lines_that_are_missing_broken_or_failed_are_sent_again_and_no_others(server: Server, study: Study) -> None:
    server.script.drop_lines, server.script.break_lines = 2, 1
    server.script.refuse_lines, server.script.refuse_status, server.script.reorder = 1, 500, True
    assert study.process().code == 0
    assert_all_labelled(study)
    first, second = batches_of(server)
    assert (first, len(second)) == (list(study.manifest), 4)
    assert server.received.custom_ids == Counter(first + second)


def test_what_never_comes_is_asked_for_one_by_one_and_then_told(server: Server, study: Study, answering: Answering) -> None:
    late, never = text_number(1, "chosen"), text_number(2, "rejected")
    answering.says = {late: [Refused(500, "out of order")] * ATTEMPTS + [None], never: [Refused(503, "out of order")] * 8}
    study.retries = 0
    ran = study.process(max_patches=1)
    assert "127.0.0.1 answers with status 503" in ran.line
    assert "run again later" in ran.line
    assert server.created == ATTEMPTS
    answering.says[never] = [Refused(500, "out of order")] * ATTEMPTS + [Refused(422, "never")]
    assert study.process(max_patches=1, min_coverage=0.8).code == 0
    [left] = study.invalid.to_dict("records")
    assert left == {"row_id": 2, "preference": "rejected", "reason": "status 422", "answer": ""}
    assert (study.coverage["labelled"], study.coverage["patched"]) == (7, 1)
    assert answering.asked.count(late) == ATTEMPTS + 1


def test_invalid_and_cut_off_answers_are_patched_and_those_that_stay_so_are_told(
    server: Server, study: Study, answering: Answering
) -> None:
    once, cut, never = text_number(0, "chosen"), text_number(1, "rejected"), text_number(3, "chosen")
    answering.says = {once: [INVALID, None], cut: [TRUNCATED, None], never: [INVALID, INVALID, TRUNCATED]}
    assert study.process(min_coverage=0.8).code == 0
    assert server.created == 1
    [left] = study.invalid.to_dict("records")
    assert left == {"row_id": 3, "preference": "chosen", "reason": "truncated", "answer": TRUNCATED[0]}
    assert (study.coverage["labelled"], study.coverage["patched"]) == (7, 2)
    assert study.coverage["reasons"] == {"truncated": 1}
    chats = [json.loads(call.body) for call in server.calls if call.endpoint == "chat.completions.create"]
    asked = Counter((body["temperature"], body["seed"], study_text(body)) for body in chats)
    assert asked == Counter([(0.3, 2, once), (0.3, 2, cut), (0.3, 2, never), (0.6, 3, never)])
    assert len(study.answers) == 8 + 4
    before = sum(server.counts.values())
    ran = study.process(max_cost_usd=0)
    assert "coverage is 0.8750, below min-coverage 1" in ran.line
    assert "{'truncated': 1}" in ran.line
    assert sum(server.counts.values()) == before
    study.process(max_patches=3, min_coverage=0.8)  # one more is asked for, and nothing else
    assert sum(server.counts.values()) == before + 1


def study_text(body: dict[str, Any]) -> str:
    words = json.loads(body["messages"][-1]["content"])["transcript"].split()
    return " ".join(words[-3:]).rstrip(".")


def test_a_line_that_the_server_refuses_is_not_sent_in_another_batch(server: Server, study: Study, answering: Answering) -> None:
    answering.says = {text_number(2, "chosen"): [Refused(400, "bad words", "content_policy")]}
    assert study.process(min_coverage=0.8, max_patches=1).code == 0
    assert server.created == 1
    assert study.invalid["reason"].tolist() == ["status 400 content_policy"]
    assert server.counts["chat.completions.create"] == 1


@pytest.mark.parametrize("end", ["expire_batches", "cancel_batches"])
def test_the_open_half_of_a_batch_is_sent_again(server: Server, study: Study, end: str) -> None:
    setattr(server.script, end, 1)
    assert study.process(max_cost_usd=COST).code == 0  # what was not answered is not paid for
    assert_all_labelled(study)
    assert batches_of(server) == [list(study.manifest), list(study.manifest)[4:]]
    assert server.answered.bodies == needed(study)


# --- batches that fail whole ---


def test_a_batch_that_fails_once_is_created_again_from_the_same_file(server: Server, study: Study) -> None:
    server.script.fail_batches, server.script.fail_code = 1, "internal_error"
    assert study.process().code == 0
    assert_all_labelled(study)
    assert (server.uploads, server.created) == (1, 2)
    assert server.answered.bodies == needed(study)


def test_a_batch_that_fails_each_time_is_told_with_its_code(server: Server, study: Study) -> None:
    server.script.fail_batches, server.script.fail_code = 100, "billing_hard_limit_reached"
    line = study.process().line
    assert "(billing_hard_limit_reached)" in line
    assert "mend what that names and run again" in line
    assert server.created == ATTEMPTS
    server.script.fail_batches = 0
    assert study.process().code == 0
    assert server.answered.bodies == needed(study)


def test_a_file_that_is_too_much_for_the_queue_is_sent_in_parts_one_at_a_time(server: Server, tmp_path: Path) -> None:
    server.turned_away = {0, 1}
    with Study(tmp_path, server.environment, number=60) as study:
        study.create()
        assert study.process().code == 0
        assert_all_labelled(study)
        assert server.answered.bodies == needed(study)
        # Halved twice; then a part that came through doubles what is tried next.
        assert [len(ids) for ids in batches_of(server)] == [120, 60, 30, 60, 30]
    steps = [call.endpoint for call in server.calls if call.endpoint in ("batches.create", "files.content")]
    assert steps == ["batches.create"] * 3 + ["files.content", "batches.create"] * 2 + ["files.content"]


def test_a_full_queue_waits_for_our_other_batches(server: Server, study: Study, tmp_path: Path) -> None:
    assert study.create(submit=True, yes=True).code == 0
    write_pairs(tmp_path / "pairs.parquet", 8)
    study.create()
    server.turned_away, server.script.polls = {1}, 6
    assert study.process().code == 0
    assert_all_labelled(study)
    assert server.answered.bodies == needed(study)
    assert [len(ids) for ids in batches_of(server)] == [8, 8, 8]
    assert server.uploads == 2
    steps = [call.endpoint for call in server.calls if call.endpoint in ("batches.create", "files.content")]
    assert steps == ["batches.create", "batches.create", "files.content", "batches.create", "files.content"]


def test_no_more_tokens_wait_than_the_environment_allows(server: Server, study: Study) -> None:
    study.environment["SEAL_ENQUEUED_TOKENS"] = str(study.cost["input_tokens"] / 8 * 3.2)
    assert study.process().code == 0
    assert_all_labelled(study)
    all_once(server, study)
    assert [len(ids) for ids in batches_of(server)] == [3, 3, 2]
    steps = [call.endpoint for call in server.calls if call.endpoint in ("batches.create", "files.content")]
    assert steps == ["batches.create", "files.content"] * 3
    study.forget()
    study.environment["SEAL_ENQUEUED_TOKENS"] = "20"
    assert "more than a batch may hold" in study.process().line


# --- waiting ---


def test_a_run_that_waits_too_long_leaves_the_rest_to_the_next(server: Server, study: Study) -> None:
    server.script.stall = True
    study.environment["SEAL_WAIT"] = "0.3"
    ran = study.process()
    assert "8 requests still wait for their answers after 0.3 seconds; run again to go on" in ran.line
    assert not (study.folder / "taxonomy.csv").exists()
    server.script.stall = False
    assert study.process(max_cost_usd=0).code == 0
    assert_all_labelled(study)
    all_once(server, study)
    assert (server.uploads, server.created) == (1, 1)


def test_what_another_manifest_waits_for_is_not_waited_for(server: Server, study: Study, monkeypatch: pytest.MonkeyPatch) -> None:
    study.create(submit=True, yes=True)
    [stuck] = server.batches
    go_on = server._go_on
    monkeypatch.setattr(server, "_go_on", lambda batch: None if batch.shown["id"] == stuck else go_on(batch))
    study.create(seed=2)
    assert study.process().code == 0
    assert_all_labelled(study)
    monkeypatch.undo()
    study.create()  # back to the first, whose batch is known still
    assert study.process(max_cost_usd=0).code == 0
    assert_all_labelled(study)
    assert server.created == 2


def test_the_server_dies_and_comes_back(server: Server, study: Study) -> None:
    server.script.trouble.append(Trouble("batches.retrieve", dies=True))
    study.retries = 0
    process = study.start_process()
    while server._alive:
        time.sleep(0.01)
    time.sleep(0.3)
    server.come_back()
    assert study.wait(process).code == 0
    assert_all_labelled(study)
    all_once(server, study)
    assert server.created == 1
    study.create(seed=2)
    server.die()
    study.environment["SEAL_WAIT"] = "0.2"
    assert "8 requests still wait" in (line := study.process().line)
    assert "last trouble: APIConnectionError" in line


def test_a_server_that_asks_for_time_gets_it(server: Server, study: Study) -> None:
    names = ["files.create", "batches.create", "batches.retrieve", "files.content"]
    server.script.trouble += [Trouble(name, status=429, retry_after=0.8) for name in names]
    assert study.process().code == 0
    all_once(server, study)
    for name in names:
        assert server.counts[name] >= 2
        assert server.gaps(name)[0] >= 0.75, name


def test_errors_of_the_server_are_tried_again_after_longer_and_longer(server: Server, study: Study) -> None:
    server.script.trouble += [Trouble("files.create", status=503), Trouble("batches.retrieve", times=2), Trouble("files.content", cut=True)]
    assert study.process().code == 0
    all_once(server, study)
    first, second = server.gaps("batches.retrieve")[:2]
    assert first > 0.35
    assert second > 0.7
    assert (server.counts["files.content"], server.created) == (2, 1)


@pytest.mark.parametrize(
    ("after", "low", "high"),
    [("7", 7, 7), ("0.5", 0.5, 0.5), ("soon", 0, 0), (None, 0, 0), (email.utils.formatdate(time.time() + 1800, usegmt=True), 600, 1801)],
    ids=["seconds", "part of a second", "no number", "not said", "a date"],
)
def test_how_long_a_server_wants_to_be_left_alone(after: str | None, low: float, high: float) -> None:
    headers = {} if after is None else {"Retry-After": after}
    with Server() as server, server.client() as client:
        server.script.trouble.append(Trouble("batches.list", status=429, retry_after=headers.get("Retry-After")))
        with pytest.raises(openai.RateLimitError) as refused:
            client.batches.list()
    assert low <= openai_batch._asked_to_wait(refused.value) <= high


# --- nothing twice ---


@pytest.mark.parametrize("fault", [{"status": 500}, {"cut": True}, {"status": 408}])
@pytest.mark.parametrize("acts", [True, False])
def test_a_lost_answer_to_a_creation_makes_no_second_batch(server: Server, study: Study, fault: dict[str, Any], acts: bool) -> None:
    server.script.trouble.append(Trouble("batches.create", acts=acts, **fault))
    ran = study.process()
    if fault == {"status": 408}:  # which the server should not say of a creation; no matter what it means, it is looked up first
        assert "status 408" in ran.line
        ran = study.process()
    assert ran.code == 0
    assert_all_labelled(study)
    all_once(server, study)
    assert (server.uploads, server.created) == (1, 1)
    assert server.counts["batches.list"] == 1


POINTS = {
    "before the file is recorded": Kill("files.create", acts=True),
    "between the file and the batch": Kill("batches.create"),
    "before the batch is recorded": Kill("batches.create", acts=True),
    "waiting": Kill("batches.retrieve", number=2),
    "taking results": Kill("files.content", acts=True),
    "patching": Kill("chat.completions.create", number=2),
}


@pytest.mark.parametrize("point", POINTS)
def test_a_killed_run_goes_on_where_it_stopped(server: Server, study: Study, answering: Answering, point: str) -> None:
    invalid = [text_number(row_id, "chosen") for row_id in range(3)]
    answering.says = {each: [INVALID, None] for each in invalid}
    study.environment["SEAL_WORKERS"] = "1"
    kill_once(server, study, POINTS[point])
    assert not (study.folder / "taxonomy.csv").exists()
    assert study.process().code == 0
    asked = server.received.bodies
    assert server.answered.bodies == asked
    assert set(asked.values()) == {1}
    assert asked.total() == 8 + 3
    assert (server.uploads, server.created) == (1, 1)
    assert (study.coverage["labelled"], study.coverage["patched"]) == (8, 3)


def kill_once(server: Server, study: Study, kill: Kill) -> None:
    server.kill = Kill(kill.endpoint, kill.number, kill.acts)
    server.kill.victim = study.start_process()
    assert study.wait(server.kill.victim).code == -9
    server.kill = None


def test_a_run_may_be_killed_at_every_step_in_turn(server: Server, study: Study) -> None:
    steps = ["files.create", "files.list", "batches.create", "batches.list", "batches.retrieve", "files.content"]
    for step in steps:
        kill_once(server, study, Kill(step, acts=True))
    assert study.process().code == 0
    assert_all_labelled(study)
    all_once(server, study)
    assert (server.uploads, server.created) == (1, 1)


def test_a_second_process_is_told_who_is_at_work(server: Server, study: Study) -> None:
    server.script.stall = True
    first = study.start_process()
    while not server.counts["batches.retrieve"]:
        time.sleep(0.01)
    for second in (study.process(), study.create(submit=True, yes=True)):
        assert f"process {first} on " in second.line
        assert "is writing to it" in second.line
    server.script.stall = False
    assert study.wait(first).code == 0
    all_once(server, study)


def test_a_ledger_of_another_account_stops_the_run(server: Server, study: Study) -> None:
    study.create(submit=True, yes=True)
    [batch] = server.batches
    known = dict(server.batches)
    server.batches.clear()
    line = study.process().line
    assert f"does not know batch {batch}" in line
    assert "OPENAI_API_KEY" in line
    assert "work/openai-batch/" in line
    server.batches.update(known)
    assert study.process(max_cost_usd=0).code == 0
    all_once(server, study)


def test_a_file_that_is_gone_from_the_server_is_uploaded_again(server: Server, study: Study) -> None:
    kill_once(server, study, Kill("batches.create"))
    server.files.clear()
    assert "(404)" in study.process().line
    assert study.process().code == 0
    all_once(server, study)
    assert (server.uploads, server.created) == (2, 1)


def test_a_ledger_holds_hashes_and_ids_and_no_words(server: Server, study: Study) -> None:
    assert study.process().code == 0
    [file] = (study.folder / "work" / "openai-batch").glob("*.jsonl")
    records = [json.loads(line) for line in file.read_text().splitlines()]
    assert [record["step"] for record in records] == ["upload", "uploaded", "create", "created", "taken"]
    assert set(records[0]) == {"shard", "step", "requests", "tokens"}
    assert list(records[0]["requests"]) == list(study.manifest)


def test_a_ledger_read_again_is_the_same(tmp_path: Path) -> None:
    from seal.journal import Journal

    steps: list[dict[str, Any]] = [
        {"shard": "a", "step": "upload", "requests": {"0.chosen": "x"}, "tokens": 3.0},
        {"shard": "a", "step": "uploaded", "file": "file-1"},
        {"shard": "a", "step": "create"},
        {"shard": "a", "step": "not created", "file": "file-1"},
        {"shard": "a", "step": "create"},
        {"shard": "a", "step": "created", "batch": "batch-1"},
        {"shard": "b", "step": "upload", "requests": {"1.chosen": "y"}, "tokens": 4.0},
        {"shard": "b", "step": "uploaded", "file": "file-2"},
        {"shard": "b", "step": "create"},
    ]
    with Journal(tmp_path / "ledger.jsonl") as journal:
        ledger = Ledger(journal)
        for step in steps:
            ledger.note(**step)
        state = {name: vars(shard) for name, shard in ledger.shards.items()}
    with Journal(tmp_path / "ledger.jsonl") as journal:
        again = Ledger(journal)
    assert {name: vars(shard) for name, shard in again.shards.items()} == state
    assert state["a"] | {"requests": None} == {
        "name": "a", "requests": None, "tokens": 3.0, "file": "file-1", "creating": False, "live": "batch-1", "batches": ["batch-1"]
    }  # fmt: skip
    assert (again.shards["b"].creating, again.shards["b"].live) == (True, None)
    assert [shard.name for shard in again.live()] == ["a"]


# --- money ---


def test_nothing_is_sent_without_leave(server: Server, study: Study) -> None:
    ran = study.process(max_cost_usd=0)
    assert "max-cost-usd is 0" in ran.line
    assert "expected to cost 0.002856 US dollars" in ran.line
    assert study.cost["usd_expected"] == COST
    assert study.process(max_cost_usd=COST * 0.999).code == 1
    assert not server.calls
    assert study.process(max_cost_usd=COST).code == 0
    all_once(server, study)


def test_what_is_free_is_within_nothing(server: Server, study: Study, answering: Answering) -> None:
    answering.says = {text_number(0, "chosen"): [INVALID, None]}
    assert study.process(max_cost_usd=0, prices="gpt-x=0/0").code == 0
    assert study.coverage["usd"] == 0
    assert study.coverage["patched"] == 1


def test_a_model_without_a_price_is_refused(server: Server, study: Study) -> None:
    assert "prices: none for the model gpt-x; add gpt-x=input/output" in study.process(prices="gpt-y=1/2").line
    assert not server.calls


def test_only_what_is_still_unanswered_counts(server: Server, study: Study, tmp_path: Path) -> None:
    whole = (tmp_path / "manifest" / "requests-00000.jsonl").read_text()
    half = tmp_path / "half.jsonl"
    half.write_text("".join(whole.splitlines(keepends=True)[:4]))
    assert study.process(manifest="half.jsonl").code == 0
    assert "expected to cost 0.001428 US dollars" in study.process(max_cost_usd=0).line
    assert study.process(max_cost_usd=0.00143).code == 0
    assert_all_labelled(study)
    all_once(server, study)


def test_patches_are_within_what_the_run_may_spend_in_all(server: Server, study: Study, answering: Answering) -> None:
    answering.says = {text_number(row_id, "chosen"): [INVALID, None] for row_id in range(3)}
    each = COST / 8
    patches = 3 * each * 2  # no discount for these
    line = study.process(max_cost_usd=COST + 0.9 * patches).line
    assert f"expected to cost {patches:.4g} US dollars" in line
    assert "what this run sent before takes 0.002856" in line
    assert server.counts["chat.completions.create"] == 0
    assert study.process(max_cost_usd=0.9 * patches).code == 1
    assert study.process(max_cost_usd=1.001 * patches).code == 0
    assert server.created == 1
    assert server.counts["chat.completions.create"] == 3
    assert (study.coverage["labelled"], study.coverage["patched"]) == (8, 3)


def test_an_address_where_nobody_ever_answered_is_not_waited_for(study: Study, server: Server) -> None:
    server.die()
    ran = study.process()
    assert ran.code == 1
    assert "no connection to 127.0.0.1; check OPENAI_BASE_URL" in ran.err


def test_a_batch_that_was_taken_is_not_adopted_again(tmp_path: Path) -> None:

    with Journal(tmp_path / "ledger.jsonl") as journal:
        ledger = Ledger(journal)
        for step, content in (("upload", {"requests": {"a": "1"}, "tokens": 1}), ("uploaded", {"file": "file"})):
            ledger.note("shard", step, **content)
        ledger.note("shard", "create")
        ledger.note("shard", "created", batch="old")
        ledger.note("shard", "taken", status="expired")
        ledger.note("shard", "create")  # and killed before the server heard of it
        listed = [SimpleNamespace(id="old", input_file_id="file")]
        client = SimpleNamespace(batches=SimpleNamespace(list=lambda limit: listed))
        openai_batch._adopt(client, ledger)  # type: ignore[arg-type]
        assert (ledger.shards["shard"].creating, ledger.shards["shard"].live) == (False, None)


@pytest.mark.parametrize("status", [408, 409, 429])
def test_a_line_that_was_refused_for_now_is_sent_in_another_batch(server: Server, study: Study, status: int) -> None:
    server.script.refuse_lines, server.script.refuse_status = 1, status
    assert study.process().code == 0
    assert_all_labelled(study)
    assert [len(batch) for batch in batches_of(server)] == [8, 1]


def test_an_answer_that_is_there_already_stays_and_another_is_not_taken(tmp_path: Path) -> None:

    first, second = (Answer(words, "stop", 1, 1, batch=True) for words in ("first", "second"))
    batch = SimpleNamespace(id="b", status="completed", output_file_id="out", error_file_id=None)
    content = SimpleNamespace(text=second.as_line("a", "1"))
    client = SimpleNamespace(
        batches=SimpleNamespace(retrieve=lambda _: batch),
        files=SimpleNamespace(content=lambda _: content),
        base_url=SimpleNamespace(host="server"),
    )
    with Journal(tmp_path / "answers.jsonl") as journal:
        answers = Answers(journal)
        answers.add({"1": first})
        openai_batch.take_given(client, ["b"], {"a": "1"}, answers)  # type: ignore[arg-type]
        assert answers["1"] == first
