"""Have a random part of the pairs labelled by a second labeler, to hold the first one against.

Both texts of a pair count, or neither: a pair of which one text gets no valid labels is set aside, with the reason.
"""

import command_line
from command_line import flag

# isort: split
import sys
from collections import Counter
from dataclasses import dataclass
from typing import Callable, Iterator, List, Literal

import pandas as pd

from seal import label_requests, labelers, pairs, taxonomy
from seal.errors import InputError
from seal.features import FEATURES
from seal.files import text_hash, write_csv, write_json
from seal.journal import Journal
from seal.label_requests import Options
from seal.language_models import answers as raw
from seal.language_models import attempts, cost
from seal.language_models.batch_files import Pending, Request
from seal.sampling import draw


@dataclass(frozen=True)
class Arguments:
    pairs: str = flag("table of pairs, as stages/prepare.py writes it")
    labeler: Literal["rules", "llama-cpp", "ollama", "openai"] = flag("who answers; only openai costs money")
    model: str = flag("the model that is asked: rules, a .gguf file or package:<module>, or a name that the server knows")
    prompt: str = flag("the wording of the task, with one line for each feature")
    out: str = flag("where to write row_id, preference, text and the features (CSV)")
    answers: str = flag("where to write all raw answers, with the hashes of their requests (JSONL)")
    dropped: str = flag("where to write the pairs set aside: row_id, preference, reason, answer (CSV)")
    coverage: str = flag("where to write how many pairs were drawn and labelled, tokens and money (JSON)")
    limit: int = flag("so many pairs at random; 0 for all, as is a number beyond them", 0)
    row_ids: List[int] = flag("these pairs and no others, by row_id; limit is not looked at then", [], nargs="*")
    seed: int = flag("seed of the draw, and of the model's sampling", 1)
    features: List[str] = flag("features to ask for (default: all 19)", [], nargs="*", choices=FEATURES)
    response_format: Literal["json_schema", "json_object"] = flag("json_object is for models that can't be held to a schema", "json_schema")
    temperature: float = flag("sampling temperature", 0.0)
    max_tokens: int = flag("longest answer, in tokens", 512)
    context_tokens: int = flag("room for a request and its answer, in tokens (llama-cpp, ollama)", 8192)
    max_patches: int = flag("how often an invalid answer is asked for again", 2)
    min_coverage: float = flag("share of the pairs drawn that must get labels, or the stage fails", 0.0)
    max_cost_usd: float = flag("most US dollars that a run may be expected to spend, patches with it; 0: nothing is sent (openai)", 0.0)
    prices: List[str] = flag("model=input/output, in US dollars per million tokens", [], nargs="*")
    batch_discount: float = flag("share that the Batch API takes off the price; these requests go one by one, at the full price", 0.5)
    tokenizer: str = flag("what counts tokens: a tokenizer.json, its folder, package:<module>; empty to count by characters", "")
    characters_per_token: float = flag("rate to count tokens by where there is no tokenizer", 4.0)
    output_tokens: int = flag("tokens that an answer is expected to take", 250)
    known_answers: List[str] = flag("files of raw answers, as --answers writes them, that are asked before anybody is", [], nargs="*")


def main(arguments: Arguments) -> None:
    command_line.read_dotenv()
    attempts.check_limits(arguments.max_patches, arguments.context_tokens, arguments.min_coverage)
    table = pairs.read(arguments.pairs)
    row_ids = draw(table["row_id"].to_numpy(), arguments.limit, arguments.row_ids, arguments.seed)
    drawn = table[table["row_id"].isin(row_ids)].sort_values("row_id")
    features = tuple(feature for feature in FEATURES if feature in arguments.features) or FEATURES
    system = label_requests.instructions(label_requests.read_prompt(arguments.prompt), features)
    options = label_requests.checked(
        arguments.labeler, Options(arguments.model, arguments.response_format, arguments.temperature, arguments.max_tokens, arguments.seed)
    )

    def requests() -> Iterator[Request]:
        return label_requests.requests_for(drawn, system, options, features)

    price = cost.price_for(arguments.labeler, arguments.model, arguments.prices)
    estimate = cost.Estimate(cost.counter(arguments.tokenizer, arguments.characters_per_token), price, arguments.output_tokens)
    budget = cost.Budget(arguments.max_cost_usd)
    with Journal(command_line.work("labels") / f"{arguments.labeler}.jsonl") as journal:
        answers = raw.Answers(journal, arguments.known_answers)

        def send(pending: Callable[[], Iterator[Pending]], attempt: int) -> dict[str, str]:
            costs = {each.hash: estimate.usd(each.request.body) for each in pending()}
            budget.check(costs)
            budget.spend(costs)
            engine = labelers.open_labeler(arguments.labeler, arguments.model, arguments.context_tokens)
            return attempts.ask_with_bar(engine, pending, answers, labelers.problem)

        identity = labelers.identity(arguments.labeler, arguments.model)
        labelled = labelers.label(requests, identity, send, answers, arguments.max_patches)
    dropped = {each.row_id for each in labelled.invalid}
    kept = [each for each in labelled.labels if each[0] not in dropped]
    if len(kept) + 2 * len(dropped) != 2 * len(drawn):
        raise AssertionError("pairs were lost")
    taxonomy.write(arguments.out, taxonomy.table(kept, features))
    write_csv(arguments.dropped, pd.DataFrame(sorted(labelled.invalid), columns=labelers.Invalid._fields))
    raw.write(arguments.answers, labelled.answers)
    report = {
        "labeler": arguments.labeler,
        "model": arguments.model,
        "prompt": text_hash(system),
        "pairs_drawn": len(drawn),
        "pairs_labelled": len(drawn) - len(dropped),
        "pairs_dropped": len(dropped),
        "reasons": dict(sorted(Counter(each.reason for each in labelled.invalid).items())),
        "patched": labelled.patched,
        **cost.usage((answer for _, answer in labelled.answers.values()), price, arguments.batch_discount),
    }
    write_json(arguments.coverage, report)
    print(f"{len(drawn) - len(dropped)} of {len(drawn)} pairs labelled", file=sys.stderr)
    if len(drawn) - len(dropped) < arguments.min_coverage * len(drawn):
        raise InputError(
            f"{arguments.dropped}: {len(dropped)} of {len(drawn)} pairs have no valid labels ({report['reasons']}), more than min-coverage "
            f"{arguments.min_coverage:g} allows; look there, raise max-patches or max-tokens, or lower min-coverage"
        )


if __name__ == "__main__":
    command_line.run(main, Arguments, __doc__)
