"""Write one labelling request for each text, in the form of the OpenAI Batch API, and what having them answered would cost.

Nothing is sent, unless the stage is run by hand with --submit: then it shows the estimate, asks, uploads and prints the batch ids.
"""

import command_line
from command_line import flag

# isort: split
import math
import sys
from dataclasses import dataclass
from typing import Iterator, List, Literal

from seal import label_requests, pairs
from seal.errors import InputError
from seal.features import FEATURES
from seal.files import text_hash, write_json
from seal.label_requests import Options
from seal.language_models import cost
from seal.language_models.batch_files import Pending, Request, request_hash, write_manifest


@dataclass(frozen=True)
class Arguments:
    pairs: str = flag("table of pairs, as stages/prepare.py writes it")
    out: str = flag("folder to write the requests to, requests-00000.jsonl and so on, each below 50,000 requests and 100 MB")
    metrics: str = flag("where to write the number of requests, their tokens and the expected cost (JSON)")
    prompt: str = flag("the wording of the task, with one line for each feature")
    labeler: Literal["rules", "llama-cpp", "ollama", "openai"] = flag("who shall answer; only openai costs money")
    model: str = flag("the model that is asked: rules, a .gguf file or package:<module>, or a name that the server knows")
    features: List[str] = flag("features to ask for (default: all 19)", [], nargs="*", choices=FEATURES)
    response_format: Literal["json_schema", "json_object"] = flag("json_object is for models that can't be held to a schema", "json_schema")
    temperature: float = flag("sampling temperature", 0.0)
    max_tokens: int = flag("longest answer, in tokens", 512)
    seed: int = flag("seed of the model's sampling", 1)
    prices: List[str] = flag("model=input/output, in US dollars per million tokens", [], nargs="*")
    batch_discount: float = flag("share that the Batch API takes off the price", 0.5)
    tokenizer: str = flag("what counts tokens: a tokenizer.json, its folder, package:<module>; empty to count by characters", "")
    characters_per_token: float = flag("rate to count tokens by where there is no tokenizer", 4.0)
    output_tokens: int = flag("tokens that an answer is expected to take", 250)
    submit: bool = flag("upload the requests to OpenAI's Batch API, after asking", False)
    yes: bool = flag("with --submit: don't ask", False)
    known_answers: List[str] = flag("with --submit: files of raw answers to what need not be sent", [], nargs="*")


def main(arguments: Arguments) -> None:
    table = pairs.read(arguments.pairs)
    prompt = label_requests.read_prompt(arguments.prompt)
    features = tuple(feature for feature in FEATURES if feature in arguments.features) or FEATURES
    system = label_requests.instructions(prompt, features)
    options = label_requests.checked(
        arguments.labeler, Options(arguments.model, arguments.response_format, arguments.temperature, arguments.max_tokens, arguments.seed)
    )

    def requests() -> Iterator[Request]:
        return label_requests.requests_for(table, system, options, features)

    files = write_manifest(arguments.out, requests())
    prices = cost.read_prices(arguments.prices)
    count = cost.counter(arguments.tokenizer, arguments.characters_per_token)
    estimate = cost.Estimate(count, cost.Price(0, 0), arguments.output_tokens)
    distinct = {request_hash(request.body, ""): estimate.tokens(request.body) for request in requests()}
    input_tokens, output_tokens = sum(distinct.values()), len(distinct) * arguments.output_tokens
    by_model = {model: cost.usd(price, input_tokens, output_tokens, arguments.batch_discount) for model, price in sorted(prices.items())}
    report = {
        "labeler": arguments.labeler,
        "model": arguments.model,
        "prompt": text_hash(system),
        "requests": 2 * len(table),
        "distinct_requests": len(distinct),
        "files": files,
        "tokens_counted_by": arguments.tokenizer or f"{arguments.characters_per_token:g} characters a token",
        "input_tokens": round(input_tokens),
        "output_tokens_expected": output_tokens,
        "usd_expected": by_model.get(arguments.model) if arguments.labeler == "openai" else 0.0,
        "usd_expected_by_model": by_model,
    }
    write_json(arguments.metrics, report)
    print(f"{2 * len(table)} requests in {files} files, about {input_tokens:.0f} tokens", file=sys.stderr)
    if arguments.submit:
        _submit(arguments, prices, count)


def _submit(arguments: Arguments, prices: dict[str, cost.Price], count: cost.Count) -> None:
    if arguments.labeler != "openai":
        raise InputError(f"--submit sends to OpenAI's Batch API, and the labeler is {arguments.labeler}; set it to openai")
    from seal import language_models
    from seal.journal import Journal
    from seal.language_models import attempts, openai_batch, openai_chat
    from seal.language_models.answers import Answers

    command_line.read_dotenv()
    estimate = cost.Estimate(count, cost.price_of(prices, arguments.model), arguments.output_tokens)
    terms = openai_batch.terms(estimate, arguments.batch_discount, cost.Budget(math.inf))
    client = openai_chat.client()
    ledger_file = command_line.work("openai-batch") / openai_batch.ledger_file(client)
    with Journal(ledger_file) as steps, Journal(command_line.work("labels") / "openai.jsonl") as journal:
        ledger, answers = openai_batch.Ledger(steps), Answers(journal, arguments.known_answers)

        def pending() -> Iterator[Pending]:
            return attempts.unanswered(label_requests.read_manifest(arguments.out), language_models.OPENAI, answers)

        new = [terms.cost(each.request.body) for each in openai_batch.unsent(ledger, pending())]
        print(f"{len(new)} requests are not under way yet; they are expected to cost {sum(new):.4g} US dollars")
        if new and not arguments.yes and not _agreed("send them? [y/N] "):
            print("nothing was sent")
            return
        for batch in openai_batch.submit(client, ledger, pending, terms):
            print(batch)


def _agreed(question: str) -> bool:
    try:
        return input(question).strip().lower() in ("y", "yes")
    except EOFError:  # nobody is there to answer
        return False


if __name__ == "__main__":
    command_line.run(main, Arguments, __doc__)
