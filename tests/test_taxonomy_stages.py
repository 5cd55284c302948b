"""From pairs to tables of labels: the stages that write requests, have them answered, and have a part answered by a second labeler."""

import json
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import taxonomy_create_batch as create_stage
import taxonomy_process_batch as process_stage
import taxonomy_run_control_batch as control_stage
from conftest import ROOT
from made_up import LABELS, PROMPT, SYSTEM, VALID, Script, answer, nobody, talk, write_pairs

from seal import labelers, taxonomy
from seal.errors import InputError
from seal.features import FEATURES
from seal.files import text_hash
from seal.label_requests import read_manifest, text_of
from seal.language_models import batch_files
from seal.language_models.batch_files import request_hash

ODD = '<|im_end|>[INST] "quotes" \\ \u2028 \x85 é 🎈 \u202e'
TEXTS = [  # of six pairs, with a text that stands there three times, odd characters, and an empty response
    (talk("Fine."), talk("Go away.")),
    (talk(ODD), talk("")),
    (talk("Fine."), talk("I will not.")),
    (talk("A poem."), talk("Fine.")),
    (talk("Yes."), talk("No.")),
    (talk("One, two"), talk("Three,\nfour")),
]
ROW_IDS = [40, 0, 7, 3, 99, 12]
DISTINCT = 10
SOME = ["last_response_sentiment", "last_response_is_refusal"]


class Study:
    """A folder with pairs, and the stages on it."""

    def __init__(self, folder: Path, texts: list[tuple[str, str]] = TEXTS, row_ids: list[int] | None = ROW_IDS) -> None:
        self.folder = folder
        folder.mkdir(exist_ok=True)
        write_pairs(folder / "pairs.parquet", texts, row_ids)

    def path(self, name: str) -> str:
        return str(self.folder / name)

    def create(self, **flags: Any) -> dict[str, Any]:
        metrics = self.path("create.json")
        arguments = {"labeler": "llama-cpp", "model": "made-up", "prompt": str(PROMPT)} | flags
        create_stage.main(create_stage.Arguments(pairs=self.path("pairs.parquet"), out=self.path("manifest"), metrics=metrics, **arguments))
        return dict(json.loads(Path(metrics).read_text()))

    def process(self, **flags: Any) -> dict[str, Any]:
        arguments = self.arguments(**flags)
        process_stage.main(arguments)
        return dict(json.loads(Path(arguments.coverage).read_text()))

    def arguments(self, **flags: Any) -> process_stage.Arguments:
        outs = {name: self.path(f"{name}.{ending}") for name, ending in OUTS.items()}
        return process_stage.Arguments(**({"manifest": self.path("manifest"), "labeler": "llama-cpp"} | outs | flags))

    def control(self, **flags: Any) -> dict[str, Any]:
        outs = {"out": "control.csv", "answers": "control.jsonl", "dropped": "dropped.csv", "coverage": "control.json"}
        arguments = control_stage.Arguments(
            **(
                {"pairs": self.path("pairs.parquet"), "labeler": "llama-cpp", "model": "made-up", "prompt": str(PROMPT)}
                | {name: self.path(file) for name, file in outs.items()}
                | flags
            )
        )
        control_stage.main(arguments)
        return dict(json.loads(Path(arguments.coverage).read_text()))

    def table(self, name: str) -> pd.DataFrame:
        return taxonomy.read(self.path(name))

    def bytes(self) -> dict[str, bytes]:
        return {name: Path(self.path(f"{name}.{ending}")).read_bytes() for name, ending in OUTS.items()}

    def drawn(self) -> list[int]:
        return list(self.table("control.csv")["row_id"][::2])


OUTS = {"out": "csv", "answers": "jsonl", "invalid": "csv", "coverage": "json"}


@pytest.fixture
def study(tmp_path: Path) -> Study:
    return Study(tmp_path)


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> Script:
    """In the place of every labeler."""
    script = Script()
    monkeypatch.setattr(labelers, "identity", lambda name, model: f"{name} script")
    monkeypatch.setattr(labelers, "open_labeler", lambda name, model, context_tokens: script.engine)
    return script


def in_order() -> list[tuple[int, str, str]]:
    """Every text with its place, as tables have them."""
    return [
        (row, side, text)
        for row, both in sorted(zip(ROW_IDS, TEXTS, strict=True))
        for side, text in zip(("chosen", "rejected"), both, strict=True)
    ]


def manifest_bytes(study: Study) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in Path(study.path("manifest")).iterdir()}


# --- requests ---


def test_every_text_gets_a_request_and_the_report_counts_them(study: Study) -> None:
    report = study.create(labeler="openai", model="gpt-x", prices=["gpt-x=2/10", "gpt-y=0/1"], characters_per_token=1, output_tokens=100)
    requests = list(read_manifest(study.path("manifest")))
    places = [tuple(each.custom_id.split(".")) for each in requests]
    assert [(int(row), side, text_of(each.body)) for (row, side), each in zip(places, requests, strict=True)] == in_order()
    distinct = {text_of(each.body): each.body for each in requests}
    assert len(distinct) == DISTINCT
    schema = json.dumps(requests[0].body["response_format"]["json_schema"]["schema"])
    tokens = DISTINCT * (len(SYSTEM) + len(schema)) + sum(len(body["messages"][1]["content"]) for body in distinct.values())
    assert report == {
        "labeler": "openai",
        "model": "gpt-x",
        "prompt": text_hash(SYSTEM),
        "requests": 12,
        "distinct_requests": DISTINCT,
        "files": 1,
        "tokens_counted_by": "1 characters a token",
        "input_tokens": tokens,
        "output_tokens_expected": 1000,
        "usd_expected": pytest.approx((2 * tokens + 10 * 1000) / 2e6, rel=1e-5),  # with half of it off, in a batch
        "usd_expected_by_model": {"gpt-x": pytest.approx((2 * tokens + 10 * 1000) / 2e6, rel=1e-5), "gpt-y": pytest.approx(1000 / 2e6)},
    }


def test_what_runs_here_costs_nothing_and_a_price_that_is_not_known_is_null(study: Study) -> None:
    assert study.create(labeler="llama-cpp", prices=["made-up=1/1"])["usd_expected"] == 0
    assert study.create(labeler="openai")["usd_expected"] is None


def test_features_are_asked_for_in_their_own_order(study: Study) -> None:
    study.create(features=SOME)
    first = next(read_manifest(study.path("manifest")))
    assert first.body["response_format"]["json_schema"]["schema"]["required"] == SOME[::-1]
    assert "topics" not in first.body["messages"][0]["content"]


def test_a_manifest_has_the_same_bytes_whatever_the_order_of_the_pairs(study: Study, tmp_path: Path) -> None:
    study.create()
    other = Study(tmp_path / "other", TEXTS[::-1], ROW_IDS[::-1])
    other.create()
    assert manifest_bytes(study) == manifest_bytes(other)
    study.create()
    assert manifest_bytes(study) == manifest_bytes(other)


def test_a_manifest_of_several_files_is_labelled_like_one(study: Study, script: Script, monkeypatch: pytest.MonkeyPatch) -> None:
    study.create()
    study.process()
    whole, asked = study.bytes(), script.texts
    with monkeypatch.context() as patch:
        patch.setattr(batch_files, "shards", partial(batch_files.shards, max_requests=5))
        assert study.create()["files"] == 3
    assert sorted(manifest_bytes(study)) == [f"requests-0000{number}.jsonl" for number in range(3)]
    study.process()
    assert study.bytes() == whole
    assert script.texts == asked
    study.create()
    assert list(manifest_bytes(study)) == ["requests-00000.jsonl"]  # those of the larger manifest are gone


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ({"pairs": "none.parquet"}, r"none\.parquet: no such file; run stages/prepare\.py"),
        ({"prompt": "none.txt"}, r"none\.txt: no such file; give the wording"),
        ({"prices": ["gpt"]}, "prices: found 'gpt', expected model=input/output"),
        ({"tokenizer": "none.json"}, r"tokenizer none\.json: no tokenizer\.json there"),
        ({"characters_per_token": 0}, "characters-per-token is 0"),
        ({"submit": True}, "--submit sends to OpenAI's Batch API, and the labeler is llama-cpp; set it to openai"),
    ],
)
def test_mistakes_in_what_is_asked_are_told(study: Study, flags: dict[str, Any], message: str) -> None:
    arguments = {"pairs": study.path("pairs.parquet"), "prompt": str(PROMPT)} | flags
    with pytest.raises(InputError, match=message):
        create_stage.main(
            create_stage.Arguments(
                out=study.path("manifest"), metrics=study.path("m.json"), labeler="llama-cpp", model="made-up", **arguments
            )
        )


# --- answers ---


def test_all_texts_are_labelled_and_equal_ones_are_asked_once(study: Study, script: Script) -> None:
    study.create()
    report = study.process()
    assert len(script.texts) == len(set(script.texts)) == DISTINCT
    table = study.table("out.csv")
    assert list(table.columns) == ["row_id", "preference", "text", *FEATURES]
    assert list(table[["row_id", "preference", "text"]].itertuples(index=False, name=None)) == in_order()
    assert [{feature: row[feature] for feature in FEATURES} for row in table.to_dict("records")] == [LABELS] * 12
    assert report == {
        "labeler": "llama-cpp",
        "model": "made-up",
        "prompt": text_hash(SYSTEM),
        **{"texts": 12, "labelled": 12, "invalid": 0, "coverage": 1.0, "reasons": {}, "patched": 0},
        **{"answers": DISTINCT, "input_tokens": 100 * DISTINCT, "output_tokens": 10 * DISTINCT, "usd": 0.0},
    }
    lines = [json.loads(line) for line in Path(study.path("answers.jsonl")).read_text().splitlines()]
    requests = {each.custom_id: each.body for each in read_manifest(study.path("manifest"))}
    assert len(lines) == DISTINCT
    assert all(line["request"] == request_hash(requests[line["custom_id"]], "llama-cpp script") for line in lines)
    assert Path(study.path("invalid.csv")).read_text() == "row_id,preference,reason,answer\n"


def test_the_rules_label_everything_with_the_same_bytes_again(study: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    study.create(labeler="rules", model="rules")
    assert study.process(labeler="rules")["coverage"] == 1
    table, first = study.table("out.csv"), study.bytes()
    assert list(table[["row_id", "preference", "text"]].itertuples(index=False, name=None)) == in_order()
    monkeypatch.setenv("SEAL_WORK", str(tmp_path / "elsewhere"))
    study.process(labeler="rules")
    assert study.bytes() == first


def test_a_run_that_ended_is_not_asked_again_and_writes_the_same_bytes(
    study: Study, script: Script, monkeypatch: pytest.MonkeyPatch
) -> None:
    script.answers = {talk("Yes."): [answer("{}"), answer()]}
    study.create()
    study.process()
    first = study.bytes()
    monkeypatch.setattr(labelers, "open_labeler", nobody)
    study.process()
    assert study.bytes() == first


def test_known_answers_are_used_before_anybody_is_asked(
    study: Study, script: Script, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script.answers = {talk("Yes."): [answer("{}"), answer()], talk("No."): [answer("no")]}
    study.create()
    study.process(min_coverage=0)
    first = study.bytes()
    known = tmp_path / "known.jsonl"
    known.write_bytes(first["answers"])
    monkeypatch.setenv("SEAL_WORK", str(tmp_path / "elsewhere"))
    monkeypatch.setattr(labelers, "open_labeler", nobody)
    study.process(min_coverage=0, known_answers=[str(known)])
    assert study.bytes() == first
    study.create(seed=2)  # to other requests nothing is known
    with pytest.raises(AssertionError, match="a labeler was opened"):
        study.process(known_answers=[str(known)])


def test_an_invalid_answer_is_patched_and_both_answers_are_kept(study: Study, script: Script) -> None:
    twice, odd = talk("Fine."), talk(ODD)
    script.answers = {
        twice: [answer("{}", "stop", 7, 1), answer(VALID, "stop", 7, 2)],
        odd: [answer("{}", "length", 7, 4), answer("{}", "stop", 7, 8), answer(VALID, "stop", 7, 16)],
    }
    study.create()
    report = study.process()
    assert (report["labelled"], report["patched"]) == (12, 4)  # one of these texts stands there three times
    assert report["answers"] == DISTINCT + 3
    assert report["input_tokens"] == 100 * (DISTINCT - 2) + 5 * 7
    assert report["output_tokens"] == 10 * (DISTINCT - 2) + 1 + 2 + 4 + 8 + 16
    contents: dict[str, list[str]] = {}
    for line in map(json.loads, Path(study.path("answers.jsonl")).read_text().splitlines()):
        contents.setdefault(line["custom_id"], []).append(line["response"]["body"]["choices"][0]["message"]["content"])
    assert contents.pop("0.chosen") == ["{}", "{}", VALID]  # the odd one
    assert contents.pop("3.rejected") == ["{}", VALID]  # where the other stands first
    assert list(contents.values()) == [[VALID]] * (DISTINCT - 2)


def test_texts_without_valid_labels_are_written_down_and_stop_the_stage(study: Study, script: Script) -> None:
    script.answers = {
        talk("Yes."): [answer('{"half', "length")],
        talk("No."): [answer("no,\nnever")],
        talk("I will not."): ["longer than the context"],
    }
    study.create()
    with pytest.raises(InputError) as caught:
        study.process(max_patches=1)
    reasons = "{'longer than the context': 1, 'not JSON': 1, 'truncated': 1}"
    assert str(caught.value).startswith(
        f"{study.path('invalid.csv')}: 3 of 12 texts have no valid labels ({reasons}), so coverage is 0.7500, below min-coverage 1;"
    )
    assert pd.read_csv(study.path("invalid.csv"), keep_default_na=False).values.tolist() == [
        [7, "rejected", "longer than the context", ""],
        [99, "chosen", "truncated", '{"half'],
        [99, "rejected", "not JSON", "no,\nnever"],
    ]
    assert len(study.table("out.csv")) == 9  # and all that was had is there
    assert study.process(max_patches=1, min_coverage=0.75)["coverage"] == 0.75


def test_a_coverage_that_is_just_met_is_enough(tmp_path: Path, script: Script) -> None:
    texts = [(talk(f"{number}"), talk(f"-{number}")) for number in range(1, 11)]
    study = Study(tmp_path / "twenty", texts, None)
    script.answers = {text: [answer("no")] for text, _ in texts[:9]}
    study.create()
    assert study.process(max_patches=0, min_coverage=0.55)["labelled"] == 11  # 0.55 * 20 is a little more than 11, in floats


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ({"max_patches": 1000}, "max-patches is 1000; expected a number from 0 to 999"),
        ({"context_tokens": -1}, "context-tokens is -1; expected a number of tokens from 1 to 2147483647"),
        ({"min_coverage": 1.1}, r"min-coverage is 1\.1; expected a share from 0 to 1"),
    ],
)
@pytest.mark.parametrize("labeler", ["rules", "llama-cpp", "ollama"])
def test_limits_out_of_their_range_are_told_whoever_labels(
    study: Study, monkeypatch: pytest.MonkeyPatch, labeler: str, flags: dict[str, Any], message: str
) -> None:
    study.create()
    monkeypatch.setattr(labelers, "open_labeler", nobody)
    for stage in (study.process, study.control):
        with pytest.raises(InputError, match=message):
            stage(labeler=labeler, **flags)
    assert not {"out.csv", "control.csv"} & {path.name for path in study.folder.iterdir()}


def test_what_is_left_to_ask_costs_nothing_here_whatever_the_cap(study: Study, script: Script) -> None:
    study.create()
    assert study.process(max_cost_usd=0, prices=["made-up=1000/1000"])["usd"] == 0


def test_a_finished_output_file_is_taken_by_id(study: Study, script: Script, tmp_path: Path) -> None:
    study.create()
    found = {"0.chosen": LABELS | {"last_response_is_creative": True}, "99.rejected": LABELS | {"last_response_is_refusal": True}}
    output = tmp_path / "output.jsonl"
    lines = [json.loads(answer(json.dumps(labels)).as_line(custom_id, "")) for custom_id, labels in found.items()]
    output.write_text("".join(json.dumps({key: line[key] for key in line if key != "request"}) + "\n" for line in lines))
    study.process(output_files=[str(output)])
    assert set(script.texts) == {text for both in TEXTS for text in both} - {talk(ODD), talk("No.")}
    table = study.table("out.csv").set_index(["row_id", "preference"])
    assert list(table.index[table["last_response_is_creative"]]) == [(0, "chosen")]
    assert list(table.index[table["last_response_is_refusal"]]) == [(99, "rejected")]


def test_some_features_make_a_table_of_these_alone(study: Study, script: Script) -> None:
    labels = '{"last_response_is_refusal": false, "last_response_sentiment": "negative"}'
    script.answers = {text: [answer(labels)] for both in TEXTS for text in both}
    study.create(features=SOME)
    study.process()
    table = pd.read_csv(study.path("out.csv"))
    assert list(table.columns) == ["row_id", "preference", "text", *SOME[::-1]]
    assert set(table["last_response_sentiment"]) == {"negative"}


def test_a_manifest_that_is_not_there_or_was_changed_by_hand_is_told_and_nothing_is_written(study: Study, script: Script) -> None:
    with pytest.raises(InputError, match=r"manifest: no such file"):
        study.process()
    study.create()
    path = Path(study.path("manifest")) / "requests-00000.jsonl"
    path.write_text(path.read_text(encoding="utf-8").replace('"custom_id": "7.rejected"', '"custom_id": "7.chosen"'), encoding="utf-8")
    with pytest.raises(InputError, match=r"requests-00000\.jsonl: line 6: the custom_id 7\.chosen stands there twice"):
        study.process()
    assert not Path(study.path("out.csv")).exists()


def test_the_command_line_tells_a_changed_manifest_in_one_line(study: Study) -> None:
    study.create(labeler="rules", model="rules")
    path = Path(study.path("manifest")) / "requests-00000.jsonl"
    path.write_text(path.read_text(encoding="utf-8").replace("transcript", "text"), encoding="utf-8")
    flags = {"manifest": study.path("manifest"), "labeler": "rules"} | {
        name: study.path(f"{name}.{ending}") for name, ending in OUTS.items()
    }
    command = [
        sys.executable,
        str(ROOT / "stages" / "taxonomy_process_batch.py"),
        *(word for name, value in flags.items() for word in (f"--{name}", value)),
    ]
    result = subprocess.run(command, cwd=study.folder, capture_output=True, text=True, check=False)
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr == f"error: {path}: line 1 is no request for labels; write it with stages/taxonomy_create_batch.py\n"


# --- a kill ---

SLOW = """
import json, sys, time
sys.path.insert(0, sys.argv[1])
import taxonomy_process_batch as stage
from seal import labelers
from seal.language_models.answers import Answer, Engine
from seal.label_requests import text_of

def ask(body):
    print(json.dumps(text_of(body)), flush=True)
    time.sleep(float(sys.argv[2]))
    return Answer(sys.argv[3], "stop", 100, 10)

labelers.identity = lambda name, model: "slow"
labelers.open_labeler = lambda *_: Engine(ask)
stage.main(stage.Arguments(**json.loads(sys.argv[4])))
"""


def slowly(study: Study, seconds: float) -> list[str]:
    """The command that runs the stage on a labeler of so many seconds an answer, which prints each text that it is asked about."""
    arguments = {name: value for name, value in vars(study.arguments()).items() if value}
    return [sys.executable, "-c", SLOW, str(ROOT / "stages"), str(seconds), VALID, json.dumps(arguments)]


def test_a_killed_run_goes_on_where_it_stopped_to_the_same_bytes(study: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    study.create()
    with subprocess.Popen(slowly(study, 0.2), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        assert process.stdout
        before = [json.loads(process.stdout.readline()) for _ in range(4)]
        process.send_signal(signal.SIGKILL)
        before += [json.loads(line) for line in process.stdout]
    assert process.returncode == -signal.SIGKILL
    assert not Path(study.path("out.csv")).exists()
    journalled = [json.loads(line) for line in (tmp_path / "work" / "labels" / "llama-cpp.jsonl").read_text().splitlines()]
    assert len(journalled) in (len(before) - 1, len(before))  # all but what it had in hand
    result = subprocess.run(slowly(study, 0), capture_output=True, text=True, check=True)
    after = [json.loads(line) for line in result.stdout.splitlines()]
    assert before[: len(journalled)] + after == list(dict.fromkeys(text for *_, text in in_order()))
    resumed = study.bytes()
    monkeypatch.setenv("SEAL_WORK", str(tmp_path / "elsewhere"))
    subprocess.run(slowly(study, 0), capture_output=True, check=True)
    assert study.bytes() == resumed


def test_two_runs_at_once_are_told_apart(study: Study, script: Script) -> None:
    study.create()
    with subprocess.Popen(slowly(study, 60), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        assert process.stdout
        process.stdout.readline()
        started = time.monotonic()
        with pytest.raises(InputError, match=rf"llama-cpp\.jsonl: process {process.pid} on .* is writing to it; wait until it ends"):
            study.process()
        assert time.monotonic() - started < 30
        process.kill()
    assert study.process()["labelled"] == 12


# --- a second labeler ---


def test_a_draw_is_of_pairs_with_both_sides_and_depends_on_its_seed_alone(study: Study, script: Script) -> None:
    draws = {}
    for seed in range(8):
        report = study.control(limit=3, seed=seed)
        assert (report["pairs_drawn"], report["pairs_labelled"], report["pairs_dropped"]) == (3, 3, 0)
        table = study.table("control.csv")
        assert list(table["preference"]) == ["chosen", "rejected"] * 3
        draws[seed] = study.drawn()
        assert draws[seed] == sorted(set(draws[seed]))
    assert len({tuple(draw) for draw in draws.values()}) > 1
    assert {row_id for draw in draws.values() for row_id in draw} == set(ROW_IDS)  # the first row and the last are drawn, too
    study.control(limit=3, seed=0)
    assert study.drawn() == draws[0]
    shuffled = Study(study.folder / "shuffled", TEXTS[::-1], ROW_IDS[::-1])
    shuffled.control(limit=3, seed=0)
    assert shuffled.drawn() == draws[0]


@pytest.mark.parametrize("limit", [0, 6, 7, 1_000_000])
def test_no_limit_or_one_beyond_the_data_takes_all(study: Study, script: Script, limit: int) -> None:
    assert study.control(limit=limit)["pairs_drawn"] == 6
    table = study.table("control.csv")
    assert list(table[["row_id", "preference", "text"]].itertuples(index=False, name=None)) == in_order()


def test_pairs_by_number_are_these_whatever_the_limit(study: Study, script: Script) -> None:
    study.control(row_ids=[99, 0, 99], limit=1)
    assert study.drawn() == [0, 99]
    study.control(row_ids=[0])
    assert study.drawn() == [0]


@pytest.mark.parametrize("flags", [{"row_ids": [0, 5]}, {"row_ids": [5, 100]}])
def test_a_pair_that_is_not_there_is_told(study: Study, script: Script, flags: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=r"row-ids: there is no pair 5 among the 6 pairs"):
        study.control(**flags)


def test_a_limit_below_0_is_told(study: Study, script: Script) -> None:
    with pytest.raises(InputError, match="limit is -1; expected 0 for all pairs, or a number of them"):
        study.control(limit=-1)


def test_a_pair_counts_with_both_sides_or_not_at_all(study: Study, script: Script) -> None:
    script.answers = {talk("No."): [answer("no")], talk(ODD): ["longer than the context"], talk(""): [answer("{}", "length", 100, 60)]}
    report = study.control(max_patches=1)
    assert study.drawn() == [3, 7, 12, 40]
    assert list(study.table("control.csv")["preference"]) == ["chosen", "rejected"] * 4
    assert pd.read_csv(study.path("dropped.csv"), keep_default_na=False).values.tolist() == [
        [0, "chosen", "longer than the context", ""],
        [0, "rejected", "truncated", "{}"],
        [99, "rejected", "not JSON", "no"],
    ]
    assert report == {
        "labeler": "llama-cpp",
        "model": "made-up",
        "prompt": text_hash(SYSTEM),
        **{"pairs_drawn": 6, "pairs_labelled": 4, "pairs_dropped": 2, "patched": 0},
        "reasons": {"longer than the context": 1, "not JSON": 1, "truncated": 1},
        **{"answers": 11, "input_tokens": 1100, "output_tokens": 10 * 9 + 60 * 2, "usd": 0.0},  # 7 valid, 2 and 2 invalid
    }


def test_what_the_first_labeler_answered_is_not_asked_of_the_same_one_again(
    study: Study, script: Script, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study.create()
    study.process()
    monkeypatch.setattr(labelers, "open_labeler", nobody)
    study.control()
    assert Path(study.path("control.csv")).read_bytes() == study.bytes()["out"]
    assert Path(study.path("control.jsonl")).read_bytes() == study.bytes()["answers"]
    monkeypatch.setenv("SEAL_WORK", str(tmp_path / "elsewhere"))
    study.control(limit=2, known_answers=[study.path("answers.jsonl")])
    assert len(study.drawn()) == 2
    with pytest.raises(AssertionError, match="a labeler was opened"):
        study.control(limit=2)


def test_the_rules_are_a_second_labeler_too(study: Study) -> None:
    study.control(labeler="rules", model="rules", limit=2, features=SOME)
    assert list(pd.read_csv(study.path("control.csv")).columns) == ["row_id", "preference", "text", *SOME[::-1]]


def test_a_second_labeler_that_costs_money_needs_a_price_and_a_cap(study: Study, script: Script) -> None:
    with pytest.raises(InputError, match="prices: none for the model made-up"):
        study.control(labeler="openai")
    with pytest.raises(InputError, match=r"expected to cost 0\.00\d+ US dollars, and max-cost-usd is 0: nothing of it was sent"):
        study.control(labeler="openai", prices=["made-up=1/1"], limit=1, output_tokens=1)
    assert script.asked == []
    paid = study.control(labeler="openai", prices=["made-up=1/2"], limit=1, max_cost_usd=1)
    assert paid["usd"] == pytest.approx(2 * (100 + 20) / 1e6)  # one by one, so at the full price
