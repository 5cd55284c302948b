"""Have the requests of a manifest answered by a labeler, check every answer, and write the table of labels.

Every answer is kept under .work as it comes, by the hash of its whole request and its labeler, so that nothing is asked, or paid for,
twice. With the labeler openai nothing is sent that is expected to cost more than max-cost-usd allows.
"""

import command_line
from command_line import flag

# isort: split
import sys
from dataclasses import dataclass
from typing import Callable, Iterator, List, Literal

import pandas as pd

from seal import label_requests, labelers, taxonomy
from seal.errors import InputError
from seal.files import text_hash, write_csv, write_json
from seal.journal import Journal
from seal.labelers import Invalid
from seal.language_models import answers as raw
from seal.language_models import attempts, cost
from seal.language_models.batch_files import Pending, Request, request_hash


@dataclass(frozen=True)
class Arguments:
    manifest: str = flag("folder of requests, as stages/taxonomy_create_batch.py writes it")
    labeler: Literal["rules", "llama-cpp", "ollama", "openai"] = flag("who answers; only openai costs money")
    out: str = flag("where to write row_id, preference, text and the features (CSV)")
    answers: str = flag("where to write all raw answers, with the hashes of their requests (JSONL)")
    invalid: str = flag("where to write the texts without valid labels: row_id, preference, reason, answer (CSV)")
    coverage: str = flag("where to write how many texts got labels, why others did not, tokens and money (JSON)")
    max_patches: int = flag("how often an invalid answer is asked for again", 2)
    min_coverage: float = flag("share of texts that must get valid labels, or the stage fails", 1.0)
    context_tokens: int = flag("room for a request and its answer, in tokens (llama-cpp, ollama)", 8192)
    max_cost_usd: float = flag("most US dollars that a run may be expected to spend, patches with it; 0: nothing is sent (openai)", 0.0)
    prices: List[str] = flag("model=input/output, in US dollars per million tokens", [], nargs="*")
    batch_discount: float = flag("share that the Batch API takes off the price", 0.5)
    tokenizer: str = flag("what counts tokens: a tokenizer.json, its folder, package:<module>; empty to count by characters", "")
    characters_per_token: float = flag("rate to count tokens by where there is no tokenizer", 4.0)
    output_tokens: int = flag("tokens that an answer is expected to take", 250)
    batch_ids: List[str] = flag("OpenAI batches that were sent by other means and have ended", [], nargs="*")
    output_files: List[str] = flag("finished output files of this manifest, in the form of the OpenAI Batch API", [], nargs="*")
    known_answers: List[str] = flag("files of raw answers, as --answers writes them, that are asked before anybody is", [], nargs="*")


def main(arguments: Arguments) -> None:
    command_line.read_dotenv()
    attempts.check_limits(arguments.max_patches, arguments.context_tokens, arguments.min_coverage)

    def requests() -> Iterator[Request]:
        return label_requests.read_manifest(arguments.manifest)

    first = next(requests())
    model, identity = first.body["model"], labelers.identity(arguments.labeler, first.body["model"])
    price = cost.price_for(arguments.labeler, model, arguments.prices)
    count = cost.counter(arguments.tokenizer, arguments.characters_per_token)
    estimate = cost.Estimate(count, price, arguments.output_tokens)
    budget = cost.Budget(arguments.max_cost_usd)
    with Journal(command_line.work("labels") / f"{arguments.labeler}.jsonl") as journal:
        answers = raw.Answers(journal, arguments.known_answers)
        _take_finished(arguments, requests, identity, answers)

        def send(pending: Callable[[], Iterator[Pending]], attempt: int) -> dict[str, str]:
            if arguments.labeler == "openai" and attempt == 0:
                return _through_batches(arguments, estimate, budget, pending, answers)
            costs = {each.hash: estimate.usd(each.request.body) for each in pending()}
            budget.check(costs)
            budget.spend(costs)
            engine = labelers.open_labeler(arguments.labeler, model, arguments.context_tokens)
            return attempts.ask_with_bar(engine, pending, answers, labelers.problem)

        labelled = labelers.label(requests, identity, send, answers, arguments.max_patches)
    texts = sum(1 for _ in requests())
    if len(labelled.labels) + len(labelled.invalid) != texts:
        raise AssertionError("texts were lost")
    features = label_requests.features_of(first.body)
    taxonomy.write(arguments.out, taxonomy.table(labelled.labels, features))
    write_csv(arguments.invalid, pd.DataFrame(sorted(labelled.invalid), columns=Invalid._fields))
    raw.write(arguments.answers, labelled.answers)
    report = {
        "labeler": arguments.labeler,
        "model": model,
        "prompt": text_hash(first.body["messages"][0]["content"]),
        **labelers.coverage(labelled, texts),
        **cost.usage((answer for _, answer in labelled.answers.values()), price, arguments.batch_discount),
    }
    write_json(arguments.coverage, report)
    print(f"{len(labelled.labels)} of {texts} texts labelled", file=sys.stderr)
    if len(labelled.labels) / texts < arguments.min_coverage:
        raise InputError(
            f"{arguments.invalid}: {len(labelled.invalid)} of {texts} texts have no valid labels ({report['reasons']}), so coverage is "
            f"{report['coverage']:.4f}, below min-coverage {arguments.min_coverage:g}; look there, raise max-patches or max-tokens, "
            "or lower min-coverage"
        )


def _take_finished(arguments: Arguments, requests: Callable[[], Iterator[Request]], identity: str, answers: raw.Answers) -> None:
    """Take answers from output files and batches given by hand, matched by custom_id."""
    if not arguments.output_files and not arguments.batch_ids:
        return
    hashes = {request.custom_id: request_hash(request.body, identity) for request in requests()}
    for file in arguments.output_files:
        raw.take_output_file(file, hashes, answers)
    if arguments.batch_ids and any(key not in answers for key in hashes.values()):  # otherwise nobody needs a key
        from seal.language_models import openai_batch, openai_chat

        openai_batch.take_given(openai_chat.client(), arguments.batch_ids, hashes, answers)


def _through_batches(
    arguments: Arguments, estimate: cost.Estimate, budget: cost.Budget, pending: Callable[[], Iterator[Pending]], answers: raw.Answers
) -> dict[str, str]:
    from tqdm import tqdm

    from seal.language_models import openai_batch, openai_chat

    client = openai_chat.client()
    terms = openai_batch.terms(estimate, arguments.batch_discount, budget)
    ledger_file = command_line.work("openai-batch") / openai_batch.ledger_file(client)
    with Journal(ledger_file) as steps, tqdm(total=sum(1 for _ in pending()), unit="text", disable=None) as bar:
        return openai_batch.settle(client, openai_batch.Ledger(steps), pending, answers, terms, bar.update)


if __name__ == "__main__":
    command_line.run(main, Arguments, __doc__)
