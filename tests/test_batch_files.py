"""Requests in the form of the Batch API: their hashes, their lines, and the files that hold them."""

import json
from collections.abc import Iterator
from functools import partial
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seal.errors import InputError
from seal.language_models import batch_files
from seal.language_models.batch_files import Request, as_line, lines_of, request_hash, shards, write_manifest

ODD = "two\nlines \r \u2028 \u2029 \x85 \x0b é 🎈 \u202e \ufeff \U000e0041"


def made(number: int, words: str = "") -> Request:
    return Request(f"{number}.chosen", {"model": "m", "messages": [{"role": "user", "content": words}]})


def numbered(*numbers: int) -> list[Request]:
    return [made(number) for number in numbers]


# --- hashes ---


def test_a_hash_is_that_of_the_whole_body_and_of_who_answers() -> None:
    body = {"model": "m", "temperature": 0.0, "messages": [{"role": "user", "content": ODD}]}
    found = request_hash(body, "llama-cpp 1")
    assert len(found) == 32
    assert request_hash(dict(reversed(body.items())), "llama-cpp 1") == found  # the order of keys says nothing
    others = [
        request_hash(body, "llama-cpp 2"),
        request_hash(body | {"model": "n"}, "llama-cpp 1"),
        request_hash(body | {"temperature": 0.1}, "llama-cpp 1"),
        request_hash(body | {"seed": 1}, "llama-cpp 1"),
        request_hash(body | {"messages": body["messages"] * 2}, "llama-cpp 1"),
    ]
    assert len({found, *others}) == 6


def test_neither_model_nor_identity_can_pass_for_the_other() -> None:
    assert request_hash({"model": "a"}, "b") != request_hash({"model": "b"}, "a")


# --- lines ---


def test_a_line_is_as_the_batch_api_has_it() -> None:
    line = as_line(Request("7.rejected", {"model": "m", "messages": [{"role": "user", "content": 'say "é"'}]}))
    assert line == (
        '{"custom_id": "7.rejected", "method": "POST", "url": "/v1/chat/completions", '
        '"body": {"model": "m", "messages": [{"role": "user", "content": "say \\"é\\""}]}}\n'
    )


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_a_line_is_one_line_and_gives_its_request_back(words: str) -> None:
    request = made(3, words)
    encoded = as_line(request).encode()
    assert encoded.count(b"\n") == 1
    assert b"\r" not in encoded
    content = json.loads(encoded)
    assert Request(content["custom_id"], content["body"]) == request


# --- shards ---


@given(st.lists(st.integers(0, 40), max_size=30), st.integers(1, 7), st.integers(150, 400), st.integers(40, 90))
def test_shards_hold_all_in_order_within_every_limit_and_no_fewer_than_they_could(
    lengths: list[int], max_requests: int, max_bytes: int, max_tokens: int
) -> None:
    requests = [made(number, "é" * length) for number, length in enumerate(lengths)]

    def tokens(body: batch_files.Body) -> float:
        return float(len(body["messages"][0]["content"]))

    def fits(shard: list[Request]) -> bool:
        size = sum(len(as_line(each).encode()) for each in shard)
        return len(shard) <= max_requests and size <= max_bytes and sum(tokens(each.body) for each in shard) <= max_tokens

    if not all(fits([each]) for each in requests):
        with pytest.raises(InputError, match="more than a batch may hold"):
            list(shards(requests, max_requests, max_bytes, max_tokens, tokens))
        return
    found = list(shards(requests, max_requests, max_bytes, max_tokens, tokens))
    assert [each for shard in found for each in shard] == requests
    assert all(shard and fits(shard) for shard in found)
    assert not any(fits([*shard, following[0]]) for shard, following in pairwise(found))


def test_a_shard_may_be_exactly_full() -> None:
    requests = numbered(0, 1, 2, 3)
    length = len(as_line(requests[0]).encode())
    assert [len(shard) for shard in shards(requests, max_requests=2)] == [2, 2]
    assert [len(shard) for shard in shards(requests, max_bytes=2 * length)] == [2, 2]
    assert [len(shard) for shard in shards(requests, max_bytes=2 * length - 1)] == [1, 1, 1, 1]
    assert [len(shard) for shard in shards(requests, max_tokens=2, tokens=lambda _: 1.0)] == [2, 2]
    assert [len(shard) for shard in shards(requests)] == [4]
    assert list(shards([])) == []


def test_the_limits_are_below_those_of_the_batch_api() -> None:
    assert batch_files.MAX_REQUESTS < 50_000
    assert batch_files.MAX_BYTES < 100_000_000


def test_a_request_beyond_a_limit_is_named() -> None:
    length = len(as_line(made(12)).encode())
    with pytest.raises(InputError, match=rf"request 12\.chosen: {length} bytes, 0 tokens, more than a batch may hold; leave its row out"):
        list(shards(numbered(12), max_bytes=length - 1))
    with pytest.raises(InputError, match=rf"request 12\.chosen: {length} bytes, 9 tokens"):
        list(shards(numbered(12), max_tokens=8, tokens=lambda _: 9.0))


# --- manifests ---


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """No more than two requests to a file."""
    monkeypatch.setattr(batch_files, "shards", partial(shards, max_requests=2))


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.usefixtures("few")
def test_a_manifest_is_split_into_files_and_read_back_in_order(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "manifest"
    assert write_manifest(folder, iter(numbered(0, 1, 2, 3, 4))) == 3
    assert names(folder) == ["requests-00000.jsonl", "requests-00001.jsonl", "requests-00002.jsonl"]
    found = [line["custom_id"] for name in names(folder) for _, line in lines_of(folder / name)]
    assert found == [f"{number}.chosen" for number in range(5)]
    assert (folder / "requests-00002.jsonl").read_text(encoding="utf-8") == as_line(made(4))


@pytest.mark.usefixtures("few")
def test_files_of_a_larger_manifest_are_taken_away_and_no_others(tmp_path: Path) -> None:
    write_manifest(tmp_path, numbered(*range(7)))
    (tmp_path / "notes.txt").write_text("mine")
    assert write_manifest(tmp_path, numbered(0)) == 1
    assert names(tmp_path) == ["notes.txt", "requests-00000.jsonl"]
    assert write_manifest(tmp_path, []) == 0
    assert names(tmp_path) == ["notes.txt"]


def test_a_manifest_has_the_same_bytes_again(tmp_path: Path) -> None:
    requests = [made(number, ODD) for number in range(3)]
    for name in ("a", "b"):
        write_manifest(tmp_path / name, requests)
    first, second = ((tmp_path / name / "requests-00000.jsonl").read_bytes() for name in ("a", "b"))
    assert first == second
    assert b"\r" not in first


# --- lines of a file ---


def test_lines_come_with_their_numbers_and_odd_characters_end_none(tmp_path: Path) -> None:
    path = tmp_path / "f.jsonl"
    line = json.dumps({"words": "a\u2028b\x85c\x1cd"}, ensure_ascii=False).encode()
    path.write_bytes(line + b"\r\n\n  \n" + b'{"last": 1}')
    assert list(lines_of(path)) == [(1, {"words": "a\u2028b\x85c\x1cd"}), (4, {"last": 1})]


@pytest.mark.parametrize("damaged", [b'{"a": ', b"[1]", b"null", b'{"a": "\xff"}', b"\0", b"[" * 100_000, b'{"a": 1}{"a": 2}'])
def test_a_line_that_is_no_object_is_told_with_its_number(tmp_path: Path, damaged: bytes) -> None:
    path = tmp_path / "f.jsonl"
    path.write_bytes(b'{"first": 1}\n\n' + damaged + b'\n{"last": 1}\n')
    lines: Iterator[object] = lines_of(path)
    assert next(lines) == (1, {"first": 1})
    with pytest.raises(InputError, match=r"f\.jsonl: line 3 is no JSON object; take the file again from where it came"):
        next(lines)


def test_a_missing_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"f\.jsonl: no such file; check the path"):
        list(lines_of(tmp_path / "f.jsonl"))
