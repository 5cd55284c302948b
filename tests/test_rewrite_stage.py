"""The stage that has pairs reworded: which pairs, what it writes of them, what it counts, and that a killed run goes on."""

import json
import math
import random
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import rewrite as stage
from conftest import ROOT
from made_up import nobody, write_pairs
from rewriting import FIRST, PROMPT, SECOND, Rewording, Scripted, in_other_words, texts_of, turns_in, version_of

from seal import pairs, rewording, rewriters, transcripts, versions
from seal.errors import InputError
from seal.files import text_hash
from seal.language_models.answers import Unanswered
from seal.language_models.batch_files import request_hash
from seal.prepare import prepare
from seal.sources import Row

SIDES = ("chosen", "rejected")
OUTS = {"out": "versions.parquet", "answers": "answers.jsonl", "invalid": "invalid.csv", "coverage": "coverage.json"}


def talk(*contents: str) -> str:
    return "".join(f"\n\n{('Human', 'Assistant')[number % 2]}: {content}" for number, content in enumerate(contents))


ODD = '<|im_end|>[INST] "quotes" \\ \u2028 \x85 é 🎈 \u202e'
ASKED = ("Do you like the big house?", "It's large.", "Is it near here?")
TEXTS = [
    (talk(*ASKED, "I'm sure it is a big one."), talk(*ASKED, "I do not know.")),
    (talk("Tell me a story.", ODD), talk("Tell me a story.", "")),
    (talk("Do you help people?", "I always try to help."), talk("Do you help people?", "Never.")),
    (talk("What is big?", "An elephant"), talk("What is big?", "A whale, perhaps!")),
]
ROW_IDS = [40, 0, 7, 12]
IN_ORDER = [0, 7, 12, 40]


class Study:
    """A folder with pairs, and the stage on it."""

    def __init__(self, folder: Path, texts: list[tuple[str, str]] = TEXTS, row_ids: list[int] | None = ROW_IDS) -> None:
        self.folder = folder
        folder.mkdir(exist_ok=True)
        write_pairs(folder / "pairs.parquet", texts, row_ids)

    def arguments(self, **flags: Any) -> stage.Arguments:
        outs = {name: str(self.folder / file) for name, file in OUTS.items()}
        given = {"pairs": str(self.folder / "pairs.parquet"), "rewriter": "llama-cpp", "model": "made-up", "prompt": str(PROMPT)}
        return stage.Arguments(**given | outs | flags)

    def rewrite(self, **flags: Any) -> dict[str, Any]:
        stage.main(self.arguments(**flags))
        return self.coverage

    @property
    def coverage(self) -> dict[str, Any]:
        return dict(json.loads((self.folder / OUTS["coverage"]).read_text()))

    @property
    def versions(self) -> pd.DataFrame:
        return versions.read(self.folder / OUTS["out"])

    @property
    def invalid(self) -> list[list[Any]]:
        table = pd.read_csv(self.folder / OUTS["invalid"], keep_default_na=False)
        assert list(table.columns) == ["row_id", "preference", "version", "reason", "answer"]
        return list(table.values.tolist())

    @property
    def drawn(self) -> list[int]:
        table = self.versions
        return list(table["pair_row_id"][table["version"] == "original"])

    def bytes(self) -> dict[str, bytes]:
        return {name: (self.folder / file).read_bytes() for name, file in OUTS.items()}


@pytest.fixture
def study(tmp_path: Path) -> Study:
    return Study(tmp_path)


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> Scripted:
    """In the place of every rewriter."""
    script = Scripted()
    monkeypatch.setattr(rewriters, "identity", lambda name, model: f"{name} script")
    monkeypatch.setattr(rewriters, "open_rewriter", lambda name, model, context_tokens: script.engine)
    return script


def in_words_of(version: str, text: str) -> str:
    """A conversation as the script rewords it."""
    return talk(*(in_other_words(turn.content, version) for turn in transcripts.parse(text)))


# --- what it writes ---


def test_every_pair_has_its_versions_in_order_each_a_row_of_its_own(study: Study, script: Scripted) -> None:
    study.rewrite()
    table = study.versions
    assert list(table.columns) == [*pairs.SCHEMA.names, "pair_row_id", "version"]
    assert table["row_id"].tolist() == list(range(len(table)))
    kinds = ["original", FIRST, SECOND, "trivial"]
    expected = [(row_id, kind) for row_id in IN_ORDER for kind in kinds if (row_id, kind) != (12, "trivial")]
    assert list(zip(table["pair_row_id"], table["version"], strict=True)) == expected
    assert len(pairs.read(study.folder / OUTS["out"])) == len(table)
    for row_id, both in zip(ROW_IDS, TEXTS, strict=True):
        for side, text in zip(SIDES, both, strict=True):
            assert texts_of(table, "original", side)[row_id] == text
            assert texts_of(table, FIRST, side)[row_id] == in_words_of(FIRST, text)
            assert texts_of(table, SECOND, side)[row_id] == in_words_of(SECOND, text)


def test_prompt_response_and_turns_are_those_of_each_text(study: Study, script: Scripted) -> None:
    study.rewrite(row_ids=[40])
    rows = {row["version"]: row for row in study.versions.to_dict("records")}
    assert (rows["original"]["chosen_prompt"], rows["original"]["chosen_response"]) == (talk(*ASKED), "I'm sure it is a big one.")
    assert rows[FIRST]["chosen_prompt"] == talk(*(f"Well, {each}" for each in ASKED))
    assert rows[FIRST]["chosen_response"] == "Well, I'm sure it is a big one."
    assert rows[SECOND]["rejected_prompt"] == talk(*(f"Now, {each}" for each in ASKED))
    assert rows[SECOND]["rejected_response"] == "Now, I do not know."
    assert {row[f"{side}_turns"] for row in rows.values() for side in SIDES} == {4}
    assert {(row["source"], row["part"], row["opening_prompt"]) for row in rows.values()} == {("made up", "train", "How are you?")}


def test_the_original_is_the_pair_as_it_stood(tmp_path: Path, script: Scripted) -> None:
    sides = [
        (f"{opening}\n\nAssistant: {number}, yes. ", f"{opening}\n\nAssistant:")
        for number, opening in enumerate(["\n\nHuman: A?", "Human: B? "])
    ]
    rows = [(number, Row("s", "f", number, dict(zip(SIDES, both, strict=True)))) for number, both in enumerate(sides)]
    prepared = prepare(rows, 0.5, 0.5, 1).pairs
    study = Study(tmp_path)
    pairs.write(tmp_path / "pairs.parquet", prepared)
    study.rewrite()
    originals = study.versions.query("version == 'original'").reset_index(drop=True)
    columns = [column for column in pairs.SCHEMA.names if column != "row_id"]
    pd.testing.assert_frame_equal(originals[columns], prepared[columns], check_dtype=False)
    assert originals["pair_row_id"].tolist() == prepared["row_id"].tolist() == [0, 1]


def test_answers_come_with_the_hashes_of_what_was_asked(study: Study, script: Scripted) -> None:
    study.rewrite()
    lines = [json.loads(line) for line in (study.folder / OUTS["answers"]).read_text().splitlines()]
    assert [line["request"] for line in lines] == [request_hash(body, "llama-cpp script") for body in script.asked]
    assert lines[0]["custom_id"] == "0.chosen.rewritten.1"
    assert json.loads(lines[0]["response"]["body"]["choices"][0]["message"]["content"]) == {
        "turn_1": "Well, Tell me a story.",
        "turn_2": f"Well, {ODD}",
    }


def test_both_rewordings_differ_in_their_seed_alone(study: Study, script: Scripted) -> None:
    study.rewrite(seed=5, row_ids=[7])
    first, second, *others = script.asked
    assert (first["seed"], second["seed"]) == (5, 1005)
    assert first | {"seed": 1005} == second
    assert [each["seed"] for each in others] == [5, 1005]


def test_the_report_of_a_run_without_faults(study: Study, script: Scripted) -> None:
    assert study.rewrite() == {
        "rewriter": "llama-cpp",
        "model": "made-up",
        "prompt": text_hash(PROMPT.read_text().strip()),
        **{"pairs_drawn": 4, "pairs_rewritten": 4, "pairs_invalid": 0, "reasons": {}},
        **{"pairs_drawn_for_noise": 4, "pairs_rewritten_twice": 4, "reasons_second": {}, "second_is_the_same": 0},
        **{"pairs_changed_trivially": 3, "trivial_changes": {"contraction": 1, "full stop": 5}},
        **{"texts_in_parts": 0, "patched": 0},
        **{"answers": 16, "input_tokens": 1600, "output_tokens": 160, "usd": 0.0},
    }
    assert (study.folder / OUTS["invalid"]).read_text() == "row_id,preference,version,reason,answer\n"


def test_trivial_changes_are_small_and_a_pair_without_one_does_without(tmp_path: Path, script: Scripted) -> None:
    study = Study(tmp_path, [(talk("It's.", "I'm not sure"), talk("It's", "No.")), (talk("...", "?!"), talk("Who?", "Me."))], None)
    report = study.rewrite()
    table = study.versions
    assert Counter(table["version"]) == {"original": 2, FIRST: 2, SECOND: 2, "trivial": 1}
    assert texts_of(table, "trivial", "chosen") == {0: talk("It's.", "I am not sure")}
    assert texts_of(table, "trivial", "rejected") == {0: talk("It's", "No")}
    assert (report["pairs_changed_trivially"], report["trivial_changes"]) == (1, {"contraction": 1, "full stop": 1})
    assert (report["pairs_rewritten"], report["pairs_rewritten_twice"]) == (2, 2)


def test_a_second_rewording_in_the_same_words_is_counted(study: Study, script: Scripted) -> None:
    same = json.dumps({"turn_1": "Do you aid people?", "turn_2": "At no time."})
    script.says = {("Never.", version): [(same, "stop")] for version in (FIRST, SECOND)}
    assert study.rewrite()["second_is_the_same"] == 1


# --- which pairs ---


def many(folder: Path, row_ids: list[int]) -> Study:
    return Study(folder, [(talk("Hello there?", f"Yes, {row_id}."), talk("Hello there?", f"No, {row_id}.")) for row_id in row_ids], row_ids)


def test_a_draw_depends_on_its_seed_alone(tmp_path: Path, script: Scripted) -> None:
    row_ids = list(range(5, 45, 5))
    study = many(tmp_path / "a", row_ids)
    draws = {}
    for seed in range(12):
        assert study.rewrite(limit=3, seed=seed)["pairs_drawn"] == 3
        draws[seed] = study.drawn
        assert draws[seed] == sorted(set(draws[seed]))
    assert len({tuple(draw) for draw in draws.values()}) > 3
    assert {row_id for draw in draws.values() for row_id in draw} == set(row_ids)  # the first and the last are drawn, too
    shuffled = row_ids.copy()
    random.Random(3).shuffle(shuffled)
    other = many(tmp_path / "b", shuffled)
    other.rewrite(limit=3, seed=4)
    assert other.drawn == draws[4]
    study.rewrite(limit=3, seed=4)
    assert study.bytes() == other.bytes()


@pytest.mark.parametrize("limit", [0, 4, 5, 1_000_000])
def test_no_limit_or_one_beyond_the_data_takes_all(study: Study, script: Scripted, limit: int) -> None:
    assert study.rewrite(limit=limit)["pairs_drawn"] == 4
    assert study.drawn == IN_ORDER


def test_a_larger_limit_asks_only_for_what_is_new(tmp_path: Path, script: Scripted) -> None:
    study = many(tmp_path, list(range(9)))
    study.rewrite(limit=3)
    before, bodies = study.drawn, [request_hash(each, "") for each in script.asked]
    study.rewrite(limit=6)
    added = [request_hash(each, "") for each in script.asked[len(bodies) :]]
    assert not set(added) & set(bodies)
    assert len(added) == 4 * len(set(study.drawn) - set(before))
    assert len(study.drawn) == 6


def test_pairs_by_number_are_these_whatever_the_limit(study: Study, script: Scripted) -> None:
    study.rewrite(row_ids=[40, 0, 40], limit=1)
    assert study.drawn == [0, 40]


def noise(study: Study) -> set[int]:
    table = study.versions
    twice, changed = (set(table["pair_row_id"][table["version"] == version]) for version in (SECOND, "trivial"))
    assert twice == changed
    return twice


def test_the_noise_floor_can_be_of_some_of_the_pairs(tmp_path: Path, script: Scripted) -> None:
    study = many(tmp_path, list(range(9)))
    report = study.rewrite(limit=6, noise_limit=2)
    assert (report["pairs_drawn"], report["pairs_rewritten"]) == (6, 6)
    assert (report["pairs_drawn_for_noise"], report["pairs_rewritten_twice"], report["pairs_changed_trivially"]) == (2, 2, 2)
    assert len(script.asked) == 2 * 6 + 2 * 2
    assert len(noise(study)) == 2


def test_more_noise_adds_to_what_was_asked_and_so_do_more_pairs(tmp_path: Path, script: Scripted) -> None:
    study = many(tmp_path, list(range(9)))
    study.rewrite(limit=4, noise_limit=2)
    two = noise(study)
    study.rewrite(limit=4, noise_limit=3)
    three = noise(study)
    assert (two < three, len(three), len(script.asked)) == (True, 3, 2 * 4 + 2 * 3)
    study.rewrite(limit=7, noise_limit=3)
    assert (noise(study), len(script.asked)) == (three, 2 * 7 + 2 * 3)


@pytest.mark.parametrize("noise_limit", [0, 4, 9])
def test_no_limit_of_noise_or_one_beyond_the_draw_takes_all_that_is_drawn(tmp_path: Path, script: Scripted, noise_limit: int) -> None:
    study = many(tmp_path, list(range(9)))
    study.rewrite(limit=3, noise_limit=noise_limit)
    assert noise(study) == set(study.drawn)


def test_noise_of_pairs_by_number_is_of_these(study: Study, script: Scripted) -> None:
    assert study.rewrite(row_ids=[0, 40], noise_limit=1)["pairs_drawn_for_noise"] == 1
    assert len(noise(study)) == 1


# --- what cannot be ---


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ({"limit": -1}, "limit is -1; expected 0 for all pairs"),
        ({"noise_limit": -1}, "noise-limit is -1; expected 0 for all pairs drawn"),
        ({"row_ids": [0, 3, 5]}, "row-ids: there is no pair 3 among the 4 pairs"),
        ({"seed": -1}, "seed -1; expected 1 or more tokens, and a seed from 0 to 2147481647"),
        ({"max_tokens": 0}, "max-tokens is 0"),
        ({"context_tokens": 0}, "context-tokens is 0; expected a number of tokens from 1 to 2147483647"),
        ({"temperature": -0.1}, r"temperature is -0\.1; expected a number from 0 up"),
        ({"temperature": math.nan}, "temperature is nan"),
        ({"temperature": math.inf}, "temperature is inf"),
        ({"min_coverage": -0.01}, r"min-coverage is -0\.01; expected a share from 0 to 1"),
        ({"min_coverage": 1.01}, r"min-coverage is 1\.01"),
        ({"min_coverage": math.nan}, "min-coverage is nan"),
        ({"shortest": 1.1}, r"shortest is 1\.1 and longest 2; expected shares up to 1, and from 1 up"),
        ({"shortest": -0.1}, r"shortest is -0\.1"),
        ({"longest": 0.9}, r"longest 0\.9"),
        ({"longest": math.nan}, "longest nan"),
        ({"max_patches": -1}, "max-patches is -1; expected a number from 0 to 999"),
        ({"max_patches": 1000}, "max-patches is 1000; expected a number from 0 to 999"),
        ({"rewriter": "rules"}, "model is made-up, and the rewriter rules asks none"),
        ({"model": ""}, "no model for the rewriter llama-cpp; name one with --model"),
        ({"rewriter": "openai", "model": ""}, "no model for the rewriter openai; name one with --model"),
        ({"rewriter": "openai"}, "prices: none for the model made-up; add made-up=input/output"),
        ({"rewriter": "openai", "prices": ["made-up"]}, "prices: found 'made-up', expected model=input/output"),
        ({"prompt": "none.txt"}, r"none\.txt: no such file; give the wording"),
        ({"pairs": "none.parquet"}, r"none\.parquet: no such file; run stages/prepare\.py"),
        ({"known_answers": ["none.jsonl"]}, r"none\.jsonl: no such file"),
    ],
)
def test_mistakes_are_told_before_anybody_is_asked(study: Study, script: Scripted, flags: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        study.rewrite(**flags)
    assert "\n" not in str(caught.value)
    assert script.asked == []
    assert not (study.folder / OUTS["out"]).exists()


def test_the_edges_of_all_ranges_are_within_them(study: Study, script: Scripted) -> None:
    edges = {"seed": 0, "max_tokens": 1, "context_tokens": 1, "temperature": 0.0, "min_coverage": 1.0, "max_patches": 0}
    assert study.rewrite(**edges, shortest=0.0, longest=1.0)["pairs_rewritten"] == 4
    assert study.rewrite(shortest=1.0, min_coverage=0.0)["pairs_rewritten"] == 4


def test_a_table_without_pairs_is_told(tmp_path: Path, script: Scripted) -> None:
    for limit in (0, 3):
        with pytest.raises(InputError, match=r"pairs\.parquet: no pairs in there, so none can be reworded; run stages/prepare\.py"):
            Study(tmp_path, [], None).rewrite(limit=limit)
    with pytest.raises(InputError, match="row-ids: there is no pair 1 among the 0 pairs"):
        Study(tmp_path, [], None).rewrite(row_ids=[1])


@pytest.mark.parametrize(("text", "found"), [("Hello.", "text starting with 'Hello.'"), (talk("Is anybody there?"), "last turn by Human")])
def test_a_text_that_is_no_conversation_is_told_with_its_place(tmp_path: Path, script: Scripted, text: str, found: str) -> None:
    study = Study(tmp_path, [TEXTS[0], (talk("Hello?", "Yes."), text)], [3, 8])
    with pytest.raises(
        InputError, match=rf"pairs\.parquet: row_id 8, column rejected_text: {found}.*; write the table with stages/prepare"
    ):
        study.rewrite()
    assert study.rewrite(row_ids=[3])["pairs_rewritten"] == 1


def test_the_command_line_tells_mistakes_in_one_line(tmp_path: Path) -> None:
    with Rewording(tmp_path, {}) as study:
        rules = {"rewriter": "rules", "model": "rules"}
        assert "there is no pair 9 among the 4 pairs" in study.rewrite(**rules, row_ids=[1, 9]).line
        assert "limit is -1" in study.rewrite(**rules, limit=-1).line
        assert "min-coverage is 2" in study.rewrite(**rules, min_coverage=2).line
        assert "max-tokens is 0" in study.rewrite(**rules, max_tokens=0).line
        assert "model none.gguf: no such file" in study.rewrite(rewriter="llama-cpp", model="none.gguf").line
        assert "no key: set OPENAI_API_KEY" in study.rewrite().line
        assert "versions" not in {path.name for path in tmp_path.iterdir()}


@pytest.mark.parametrize(("rewriter", "model"), [("rules", "rules"), ("ollama", "mistral:7b-instruct-fp16")])
def test_a_rewriter_with_a_model_of_its_own_needs_none_named(study: Study, script: Scripted, rewriter: str, model: str) -> None:
    assert study.rewrite(rewriter=rewriter, model="", row_ids=[7])["model"] == model
    assert {body["model"] for body in script.asked} == {model}


# --- both sides, or neither ---


def test_a_pair_counts_with_both_sides_or_not_at_all(study: Study, script: Scripted) -> None:
    script.says = {
        ("Never.", FIRST): [("no", "stop")],
        ("An elephant", FIRST): [Unanswered("longer than the context")],
        ("A whale", FIRST): [('{"turn_1":', "length")],
        ("A whale", SECOND): [("{}", "stop")],
    }
    report = study.rewrite(max_patches=1, min_coverage=0.5)
    assert study.drawn == [0, 40]
    assert set(study.versions["pair_row_id"]) == {0, 40}
    assert study.invalid == [
        [7, "rejected", FIRST, "not JSON", "no"],
        [12, "chosen", FIRST, "longer than the context", ""],
        [12, "rejected", FIRST, "truncated", '{"turn_1":'],
        [12, "rejected", SECOND, "other turns", "{}"],
    ]
    assert (report["pairs_drawn"], report["pairs_rewritten"], report["pairs_invalid"]) == (4, 2, 2)
    assert report["reasons"] == {"longer than the context": 1, "not JSON": 1, "truncated": 1}
    assert report["reasons_second"] == {"other turns": 1}
    assert report["answers"] == 12 + 2 + 2 + 2  # the others once; of these four, three twice and one never
    assert report["patched"] == 0


def test_a_pair_whose_second_rewording_fails_stays_with_three_versions(study: Study, script: Scripted) -> None:
    script.says = {("Never.", SECOND): [("no", "stop")]}
    report = study.rewrite()
    table = study.versions
    assert table["version"][table["pair_row_id"] == 7].tolist() == ["original", FIRST, "trivial"]
    assert study.invalid == [[7, "rejected", SECOND, "not JSON", "no"]]
    assert (report["pairs_rewritten"], report["pairs_invalid"], report["reasons"]) == (4, 0, {})
    assert (report["pairs_rewritten_twice"], report["reasons_second"]) == (3, {"not JSON": 1})


def test_counts_add_up_whatever_happens(tmp_path: Path, script: Scripted) -> None:
    dice = random.Random(7)
    study = many(tmp_path, list(range(30)))
    failures = [("no", "stop"), ("{}", "length"), Unanswered("busy")]
    words = [f"{answer}, {row_id}." for row_id in range(30) for answer in ("Yes", "No")]
    script.says = {(each, version): [dice.choice(failures)] for each in words for version in (FIRST, SECOND) if dice.random() < 0.3}
    report = study.rewrite(min_coverage=0, max_patches=0)
    expected = {version: {each.split()[1][:-1] for each, of in script.says if of == version} for version in (FIRST, SECOND)}
    assert 0 < len(expected[FIRST]) < 30
    assert report["pairs_rewritten"] == 30 - len(expected[FIRST])
    assert report["pairs_drawn"] == report["pairs_rewritten"] + report["pairs_invalid"] == 30
    assert report["pairs_rewritten_twice"] == 30 - len(expected[FIRST] | expected[SECOND])
    counted = Counter(study.versions["version"])
    assert counted == {
        "original": report["pairs_rewritten"],
        FIRST: report["pairs_rewritten"],
        SECOND: report["pairs_rewritten_twice"],
        "trivial": report["pairs_changed_trivially"],
    }
    for version, name in ((FIRST, "reasons"), (SECOND, "reasons_second")):
        assert report[name] == Counter(reason for _, _, of, reason, _ in study.invalid if of == version)
        assert sum(report[name].values()) == sum(of == version for _, of in script.says)
    assert sum(report["trivial_changes"].values()) == 2 * report["pairs_changed_trivially"]
    assert report["answers"] == 120 - sum(isinstance(said[0], Unanswered) for said in script.says.values())


# --- asking again ---


def test_an_invalid_answer_is_asked_for_again_so_often_and_no_oftener(study: Study, script: Scripted) -> None:
    script.says = {("Never.", FIRST): [("no", "stop"), ("{}", "stop"), None], ("An elephant", SECOND): [("no", "stop"), None]}
    report = study.rewrite(max_patches=2)
    assert (report["pairs_rewritten"], report["pairs_rewritten_twice"], report["patched"]) == (4, 4, 2)
    assert report["answers"] == 16 + 3
    asked = [(body["seed"], body["temperature"]) for body in script.asked if "Never." in turns_in(body) and version_of(body) == FIRST]
    assert asked == [(1, 0.1), (2, 0.3), (3, 0.6)]
    again = Study(study.folder / "again")
    script.says = {("Never.", FIRST): [("no", "stop"), ("{}", "stop"), None]}
    assert again.rewrite(max_patches=1, min_coverage=0.75, temperature=0.2)["pairs_invalid"] == 1  # other requests, so all are asked anew
    assert again.invalid == [[7, "rejected", FIRST, "other turns", "{}"]]


def test_too_few_pairs_fail_the_stage_once_all_is_written(study: Study, script: Scripted) -> None:
    script.says = {("Never.", FIRST): [("no", "stop")], ("A whale", FIRST): [("{}", "stop")]}
    with pytest.raises(InputError) as caught:
        study.rewrite(max_patches=0, min_coverage=0.51)
    reasons = "{'not JSON': 1, 'other turns': 1}"
    assert str(caught.value).startswith(
        f"{study.folder / OUTS['invalid']}: 2 of 4 pairs could not be reworded ({reasons}), more than min-coverage 0.51 allows;"
    )
    assert (study.drawn, len(study.invalid), study.coverage["pairs_rewritten"]) == ([0, 40], 2, 2)
    assert study.rewrite(max_patches=0, min_coverage=0.5)["pairs_rewritten"] == 2


def test_no_pair_at_all_leaves_tables_that_read(study: Study, script: Scripted) -> None:
    script.says = {("?", FIRST): [("no", "stop")], ("story", FIRST): [("no", "stop")]}
    with pytest.raises(InputError, match="4 of 4 pairs could not be reworded"):
        study.rewrite(max_patches=0, min_coverage=0.1)
    assert len(study.versions) == 0
    report = study.rewrite(max_patches=0, min_coverage=0)
    assert (report["pairs_rewritten"], report["pairs_invalid"], report["reasons"]) == (0, 4, {"not JSON": 8})


# --- in parts ---


def test_a_talk_that_has_no_room_is_reworded_in_parts(study: Study, script: Scripted) -> None:
    whole = study.rewrite(row_ids=[40])
    texts = study.versions["chosen_text"].tolist()
    assert (whole["texts_in_parts"], whole["answers"]) == (0, 4)
    in_parts = study.rewrite(row_ids=[40], max_tokens=40)
    assert in_parts["texts_in_parts"] == 4
    assert study.versions["chosen_text"].tolist() == texts
    spans = [turns_in(body) for body in script.asked[4:] if version_of(body) == FIRST]
    last = [["I'm sure it is a big one."], ["I do not know."]]
    assert [words for span in spans for words in span if [words] not in last] == list(ASKED)  # both sides share them: asked for once
    assert in_parts["answers"] == len(script.asked) - 4


def test_the_rules_get_the_whole_talk_however_little_room_there_is(study: Study) -> None:
    report = study.rewrite(rewriter="rules", model="rules", max_tokens=1, context_tokens=1, max_patches=0, min_coverage=0)
    assert report["texts_in_parts"] == 0
    lines = [json.loads(line) for line in (study.folder / OUTS["answers"]).read_text().splitlines()]
    assert len(lines) == 16
    assert {line["custom_id"].rpartition(".")[2] for line in lines} == {"1"}


# --- the rules ---


def test_the_rules_reword_as_they_do_alone_with_the_same_bytes_again(study: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    report = study.rewrite(rewriter="rules", model="rules", max_patches=0, min_coverage=0)
    first, table = study.bytes(), study.versions
    expected = {row_id: text for row_id, (text, _) in zip(ROW_IDS, TEXTS, strict=True)}
    found = texts_of(table, FIRST, "chosen")
    assert found
    assert found == {row_id: rewording.reword(expected[row_id], 1) for row_id in found}
    for row_id, text in texts_of(table, SECOND, "chosen").items():
        assert text == rewording.reword(expected[row_id], 1001)
    unchanged = [text for both in TEXTS for text in both if rewording.reword(text, 1) == text]
    assert report["reasons"].get("unchanged", 0) == len(unchanged) == sum(report["reasons"].values())
    monkeypatch.setenv("SEAL_WORK", str(tmp_path / "elsewhere"))
    study.rewrite(rewriter="rules", model="rules", max_patches=0, min_coverage=0)
    assert study.bytes() == first


def test_the_stage_runs_as_users_run_it(study: Study) -> None:
    given = {"pairs": "pairs.parquet", "rewriter": "rules", "prompt": str(PROMPT), "min-coverage": "0"} | OUTS
    command = [
        sys.executable,
        str(ROOT / "stages" / "rewrite.py"),
        *(word for name, value in given.items() for word in (f"--{name}", value)),
    ]
    ran = subprocess.run([*command, "--row-ids", "40", "7"], cwd=study.folder, capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stdout) == (0, "")
    assert ran.stderr.endswith(f"{study.coverage['pairs_rewritten']} of 2 pairs reworded\n")
    ran = subprocess.run([*command, "--row-ids", "41"], cwd=study.folder, capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stdout) == (1, "")
    assert ran.stderr == "error: row-ids: there is no pair 41 among the 4 pairs; see their column row_id\n"


# --- never twice ---


def test_a_run_that_ended_is_not_asked_again_and_writes_the_same_bytes(
    study: Study, script: Scripted, monkeypatch: pytest.MonkeyPatch
) -> None:
    script.says = {("Never.", FIRST): [("no", "stop"), None], ("An elephant", SECOND): [("no", "stop")]}
    study.rewrite()
    first = study.bytes()
    monkeypatch.setattr(rewriters, "open_rewriter", nobody)
    study.rewrite()
    assert study.bytes() == first


def test_known_answers_are_used_before_anybody_is_asked(
    study: Study, script: Scripted, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script.says = {("Never.", FIRST): [("no", "stop"), None], ("An elephant", FIRST): [("no \ud800", "stop")]}
    study.rewrite(min_coverage=0.75)
    first = study.bytes()
    known = tmp_path / "known.jsonl"
    known.write_bytes(first["answers"])
    monkeypatch.setenv("SEAL_WORK", str(tmp_path / "elsewhere"))
    monkeypatch.setattr(rewriters, "open_rewriter", nobody)
    study.rewrite(min_coverage=0.75, known_answers=[str(known)])
    assert study.bytes() == first
    with pytest.raises(AssertionError, match="was opened"):
        study.rewrite(known_answers=[str(known)], temperature=0.2)  # to other requests nothing is known


def test_a_text_that_stands_there_twice_is_asked_once(tmp_path: Path, script: Scripted) -> None:
    same = talk("Hello there?", "Yes.")
    report = Study(tmp_path, [(same, same), (same, talk("Hello there?", "No."))], None).rewrite()
    assert len(script.asked) == report["answers"] == 4
    assert report["pairs_rewritten"] == 2


# --- money ---


def test_nothing_is_sent_that_costs_more_than_is_allowed(study: Study, script: Scripted, tmp_path: Path) -> None:
    prompt = tmp_path / "prompt.txt"
    prompt.write_text("Say it anew.")  # 12 characters, at 3 to a token
    text = '{"turn_1": {"role": "Human", "text": "Do you help people?"}, "turn_2": {"role": "Assistant", "text": ""}}'
    tokens = [(len(text) + len(answer)) / 3 for answer in ("I always try to help.", "Never.")]
    schema = len('{"type": "json_object"}') / 3
    usd = sum(2 * ((4 + turns + schema) * 3 + turns * 10) / 1e6 for turns in tokens)  # two rewordings each
    flags: dict[str, Any] = {"rewriter": "openai", "prices": ["made-up=3/10"], "row_ids": [7], "prompt": str(prompt)}
    flags["response_format"] = "json_object"
    with pytest.raises(InputError, match=rf"expected to cost {usd:.4g}\d* US dollars, and max-cost-usd is 0: nothing of it was sent"):
        study.rewrite(**flags)
    for allowed in (usd * 0.999, math.nan):
        with pytest.raises(InputError, match="nothing of it was sent"):
            study.rewrite(**flags, max_cost_usd=allowed)
    assert script.asked == []
    report = study.rewrite(**flags, max_cost_usd=usd)
    assert report["usd"] == pytest.approx(4 * (100 * 3 + 10 * 10) / 1e6)  # what the answers say that they took
    assert study.rewrite(**flags, max_cost_usd=0) == report


def test_patches_are_within_what_the_run_may_spend_in_all(study: Study, script: Scripted) -> None:
    script.says = {("Never.", FIRST): [("no", "stop"), None]}
    flags: dict[str, Any] = {"rewriter": "openai", "prices": ["made-up=1/1"], "row_ids": [7]}
    with pytest.raises(InputError, match=r"max-cost-usd is 0: nothing") as caught:
        study.rewrite(**flags)
    usd = float(str(caught.value).split(" expected to cost ")[1].split()[0])
    with pytest.raises(InputError, match="of which what this run sent before takes"):
        study.rewrite(**flags, max_cost_usd=usd)
    assert len(script.asked) == 4
    assert study.rewrite(**flags, max_cost_usd=usd)["patched"] == 1
    assert len(script.asked) == 5


def test_what_runs_here_costs_nothing_whatever_the_cap(study: Study, script: Scripted) -> None:
    assert study.rewrite(max_cost_usd=0, prices=["made-up=1000/1000"])["usd"] == 0


# --- a kill ---

SLOW = """
import json, sys, time
sys.path.insert(0, sys.argv[1])
import rewrite as stage
from seal import rewriters
from seal.language_models.answers import Answer, Engine

def ask(body):
    print(json.dumps([body["messages"][-1]["content"], body["seed"]]), flush=True)
    time.sleep(float(sys.argv[2]))
    turns = json.loads(body["messages"][-1]["content"])
    return Answer(json.dumps({key: turn["text"] and "Well, " + turn["text"] for key, turn in turns.items()}), "stop", 100, 10)

rewriters.identity = lambda name, model: "slow"
rewriters.open_rewriter = lambda *_: Engine(ask, together=2)
stage.main(stage.Arguments(**json.loads(sys.argv[3])))
"""


def slowly(study: Study, seconds: float) -> list[str]:
    """The command that runs the stage on a rewriter of so many seconds an answer, which prints each request."""
    arguments = {name: value for name, value in vars(study.arguments()).items() if value}
    return [sys.executable, "-c", SLOW, str(ROOT / "stages"), str(seconds), json.dumps(arguments)]


def test_a_killed_run_goes_on_where_it_stopped_to_the_same_bytes(study: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with subprocess.Popen(slowly(study, 0.2), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        assert process.stdout
        before = [process.stdout.readline() for _ in range(6)]
        process.send_signal(signal.SIGKILL)
        before += process.stdout.readlines()
    assert process.returncode == -signal.SIGKILL
    assert not (study.folder / OUTS["out"]).exists()
    batches = [json.loads(line)["answers"] for line in (tmp_path / "work" / "rewrites" / "llama-cpp.jsonl").read_text().splitlines()]
    kept = sum(map(len, batches))
    assert {len(each) for each in batches} == {2}
    assert len(before) - 2 <= kept  # all but what it had in hand
    result = subprocess.run(slowly(study, 0), capture_output=True, text=True, check=True)
    after = result.stdout.splitlines(keepends=True)
    assert len(set(before[:kept] + after)) == kept + len(after) == 16
    resumed = study.bytes()
    monkeypatch.setenv("SEAL_WORK", str(tmp_path / "elsewhere"))
    result = subprocess.run(slowly(study, 0), capture_output=True, text=True, check=True)
    assert result.stdout.splitlines(keepends=True) == before[:kept] + after
    assert study.bytes() == resumed


def test_two_runs_at_once_are_told_apart(study: Study, script: Scripted) -> None:
    with subprocess.Popen(slowly(study, 60), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        assert process.stdout
        process.stdout.readline()
        with pytest.raises(InputError, match=rf"llama-cpp\.jsonl: process {process.pid} on .* is writing to it; wait until it ends"):
            study.rewrite()
        process.kill()
    assert study.rewrite()["pairs_rewritten"] == 4
