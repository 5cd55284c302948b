"""What asking a language model costs: tokens counted before it is asked, prices, money."""

import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from seal.checkpoints import PACKAGE, package_folders
from seal.errors import InputError
from seal.language_models import OPENAI
from seal.language_models.answers import Answer
from seal.language_models.batch_files import Body

Count = Callable[[str], float]
"""What counts the tokens of a text."""


class Price(NamedTuple):
    """US dollars per million tokens."""

    input: float
    output: float


def read_prices(entries: Sequence[str]) -> dict[str, Price]:
    """Read `model=input/output`.

    Raises
    ------
    InputError
        If an entry has another form, or a price is no number from 0 up.
    """
    prices = {}
    for entry in entries:
        model, _, price = entry.rpartition("=")
        try:
            both = Price(*(float(value) for value in price.split("/")))
        except (TypeError, ValueError):
            both = Price(math.nan, math.nan)
        if not model or not all(math.isfinite(value) and value >= 0 for value in both):
            raise InputError(f"prices: found {entry!r}, expected model=input/output in dollars per million tokens, such as gpt-4o=2.5/10")
        prices[model] = both
    return prices


def price_of(prices: dict[str, Price], model: str) -> Price:
    """The price of a model.

    Raises
    ------
    InputError
        If the prices don't name it.
    """
    if model not in prices:
        raise InputError(f"prices: none for the model {model}; add {model}=input/output in dollars per million tokens, 0/0 if it is free")
    return prices[model]


def price_for(name: str, model: str, entries: Sequence[str]) -> Price:
    """The price of a model by where it runs: only OpenAI's cost money.

    Raises
    ------
    InputError
        As `read_prices` and `price_of`, of a model that costs.
    """
    return price_of(read_prices(entries), model) if name == OPENAI else Price(0, 0)


def usd(price: Price, input_tokens: float, output_tokens: float, discount: float = 0.0) -> float:
    """What so many tokens cost, with a discount, a share, taken off.

    Raises
    ------
    InputError
        If the discount is no share: one of 50 would make everything look free.
    """
    if not 0 <= discount <= 1:
        raise InputError(f"batch-discount is {discount:g}; expected a share from 0 to 1, such as 0.5")
    return (input_tokens * price.input + output_tokens * price.output) / 1e6 * (1 - discount)


def usage(answers: Iterable[Answer], price: Price, batch_discount: float) -> dict[str, float]:
    """What answers took and cost, the invalid ones with them, whenever they were had."""
    had = list(answers)
    money = (usd(price, answer.input_tokens, answer.output_tokens, batch_discount if answer.batch else 0.0) for answer in had)
    return {
        "answers": len(had),
        "input_tokens": sum(answer.input_tokens for answer in had),
        "output_tokens": sum(answer.output_tokens for answer in had),
        "usd": sum(money),
    }


def counter(tokenizer: str, characters_per_token: float) -> Count:
    """What counts the tokens of a text.

    Parameters
    ----------
    tokenizer
        A tokenizer.json, a folder that holds one, or `package:<module>` for a package that does; empty to count by rate.
    characters_per_token
        The rate.

    Raises
    ------
    InputError
        If there is no such tokenizer, or the rate is not above 0.
    """
    if not tokenizer:
        if not (characters_per_token > 0 and math.isfinite(characters_per_token)):  # NaN is not above 0, either
            raise InputError(f"characters-per-token is {characters_per_token}; expected a number above 0, such as 4")
        return lambda text: len(text) / characters_per_token
    from tokenizers import Tokenizer

    path = Path(tokenizer)
    if tokenizer.startswith(PACKAGE):
        path = next((file for folder in package_folders(tokenizer) for file in sorted(folder.rglob("tokenizer.json"))), path)
    elif path.is_dir():
        path = path / "tokenizer.json"
    if not path.is_file():
        raise InputError(f"tokenizer {tokenizer}: no tokenizer.json there; name one, its folder or package:<module>, or leave it empty")
    try:
        loaded = Tokenizer.from_file(str(path))
    except Exception as error:  # what the library raises has no kind of its own
        raise InputError(f"tokenizer {tokenizer}: {path} is no tokenizer.json ({error}); name one, or leave it empty") from None
    loaded.no_truncation()
    return lambda text: float(len(loaded.encode(text, add_special_tokens=False).ids))


class Estimate:
    """What requests will cost, before they are sent.

    Parameters
    ----------
    count
        What counts the tokens of a text, see `counter`.
    price
        Of the model that is asked.
    output_tokens
        How many an answer is expected to take.

    Raises
    ------
    InputError
        If these are fewer than 0.
    """

    def __init__(self, count: Count, price: Price, output_tokens: int) -> None:
        if output_tokens < 0:
            raise InputError(f"output-tokens is {output_tokens}; expected a number of tokens from 0 up")
        self._count = count
        self._price = price
        self._output_tokens = output_tokens
        self._shared: dict[str, float] = {}

    def tokens(self, body: Body) -> float:
        """The input tokens of a request: its messages and its schema, which all requests share and is counted once."""
        schema = body["response_format"].get("json_schema", {}).get("schema")
        shared = [json.dumps(schema)] if schema else []
        shared += (message["content"] for message in body["messages"] if message["role"] == "system")
        for text in shared:
            if text not in self._shared:
                self._shared[text] = self._count(text)
        own = sum(self._count(message["content"]) for message in body["messages"] if message["role"] != "system")
        return own + sum(self._shared[text] for text in shared)

    def usd(self, body: Body, discount: float = 0.0) -> float:
        """What a request is expected to cost, in US dollars."""
        return usd(self._price, self.tokens(body), self._output_tokens, discount)


def _rounded_up(amount: float) -> str:
    """Four digits, and no less than the amount: who allows what is shown allows it all."""
    shown = f"{amount:.4g}"
    return shown if not float(shown) < amount else f"{float(shown) + 10 ** (math.floor(math.log10(amount)) - 3):.4g}"


class Budget:
    """What a run may spend in all, on first answers and on patches.

    Parameters
    ----------
    max_cost_usd
        US dollars.
    """

    def __init__(self, max_cost_usd: float) -> None:
        self._max_cost_usd = max_cost_usd
        self._spent: dict[str, float] = {}

    def check(self, costs: Mapping[str, float]) -> None:
        """See that requests, by hash, may be sent.

        Raises
        ------
        InputError
            If they and what the run sent before are expected to cost more than was allowed.
        """
        if not costs:
            return
        expected, spent = sum(costs.values()), sum(cost for key, cost in self._spent.items() if key not in costs)
        # Sums differ in their last digits with the order of what is summed. NaN allows nothing.
        if not expected + spent <= self._max_cost_usd * (1 + 1e-9):
            before = f", of which what this run sent before takes {_rounded_up(spent)}" if spent else ""
            raise InputError(
                f"what is still unanswered is expected to cost {_rounded_up(expected)} US dollars, and max-cost-usd is "
                f"{self._max_cost_usd:g}{before}: nothing of it was sent; raise max-cost-usd to allow it"
            )

    def spend(self, costs: Mapping[str, float]) -> None:
        """Take off what requests, by hash, are expected to cost; what is sent again counts once."""
        self._spent |= costs
