"""Have random pairs reworded, both texts, and lay beside each what its rewards and labels can be read against.

Writes up to four versions of each pair: original; rewritten; and of --noise-limit pairs, second, rewritten anew with another seed, and
trivial, one contraction or full stop changed.
Both texts of a pair count, or neither: a pair of which one text could not be reworded is set aside, with the reason.
"""

import command_line
from command_line import flag

# isort: split
import json
import math
import sys
from collections import Counter
from dataclasses import dataclass, replace
from typing import Any, Callable, Dict, Iterator, List, Literal, Set, Tuple

import numpy as np
import pandas as pd

from seal import pairs, rewrite_requests, rewriters, transcripts, versions
from seal.errors import InputError
from seal.files import text_hash, write_csv, write_json
from seal.journal import Journal
from seal.language_models import answers as raw
from seal.language_models import attempts, cost
from seal.language_models.batch_files import Body, Pending, Request
from seal.pairs import PREFERENCES
from seal.rewrite_requests import Options
from seal.rewriters import RULES, Bounds, Rewrite, Text
from seal.sampling import draw
from seal.trivial import trivial
from seal.versions import ORIGINAL, REWRITTEN, SECOND, TRIVIAL

MODELS = {"rules": "rules", "ollama": "mistral:7b-instruct-fp16"}
"""The model of a rewriter where none is named; the second is the one of SEAL."""

SECOND_SEED = attempts.MOST_PATCHES + 1
"""What is added to the seed for the second rewriting: more than there are patches, each of which adds 1."""

MAX_SEED = 2**31 - 1 - 2 * SECOND_SEED
"""So that every seed that is asked with fits into 32 bits, which is what some servers take."""


@dataclass(frozen=True)
class Arguments:
    pairs: str = flag("table of pairs, as stages/prepare.py writes it")
    rewriter: Literal["rules", "llama-cpp", "ollama", "openai"] = flag("who rewords; only openai costs money")
    prompt: str = flag("the wording of the task")
    out: str = flag("where to write the versions: a table of pairs with pair_row_id and version (Parquet)")
    answers: str = flag("where to write all raw answers, with the hashes of their requests (JSONL)")
    invalid: str = flag("where to write what could not be reworded: row_id, preference, version, reason, answer (CSV)")
    coverage: str = flag("where to write how many pairs were drawn and reworded, tokens and money (JSON)")
    model: str = flag(
        "the model that is asked: a .gguf file or package:<module>, or a name that the server knows; empty for rules, or for the paper's "
        "model, mistral:7b-instruct-fp16, with ollama",
        "",
    )
    limit: int = flag("so many pairs at random; 0 for all, as is a number beyond them", 0)
    noise_limit: int = flag("so many of these, at random, get the versions second and trivial, too; 0 for all", 0)
    row_ids: List[int] = flag("these pairs and no others, by row_id; limit is not looked at then", [], nargs="*")
    seed: int = flag("seed of the draw, and of the rewording", 1)
    response_format: Literal["json_schema", "json_object"] = flag("json_object is for models that can't be held to a schema", "json_schema")
    temperature: float = flag("sampling temperature", 0.1)
    max_tokens: int = flag("longest answer, in tokens; what would need more is reworded a few turns at a time", 2048)
    context_tokens: int = flag("room for a request and its answer, in tokens; what would need more is reworded a few turns at a time", 8192)
    shortest: float = flag("least length of a reworded turn, as a share of the original's", 0.5)
    longest: float = flag("greatest length of a reworded turn, as a share of the original's", 2.0)
    max_patches: int = flag("how often an invalid answer is asked for again", 2)
    min_coverage: float = flag("share of the pairs drawn that must get reworded, or the stage fails", 0.9)
    max_cost_usd: float = flag("most US dollars that a run may be expected to spend, patches with it; 0: nothing is sent (openai)", 0.0)
    prices: List[str] = flag("model=input/output, in US dollars per million tokens (openai)", [], nargs="*")
    known_answers: List[str] = flag("files of raw answers, as --answers writes them, that are asked before anybody is", [], nargs="*")


def main(arguments: Arguments) -> None:
    command_line.read_dotenv()
    arguments = replace(arguments, model=arguments.model or MODELS.get(arguments.rewriter, ""))
    _check(arguments)
    table = pairs.read(arguments.pairs)
    row_ids = draw(table["row_id"].to_numpy(), arguments.limit, arguments.row_ids, arguments.seed)
    drawn = table[table["row_id"].isin(row_ids)].sort_values("row_id")
    if drawn.empty:
        raise InputError(f"{arguments.pairs}: no pairs in there, so none can be reworded; run stages/prepare.py on data that have some")
    _check_texts(arguments.pairs, drawn)
    system = rewrite_requests.read_prompt(arguments.prompt)
    noise = _noise(arguments, table["row_id"].to_numpy(), row_ids)
    price = cost.price_for(arguments.rewriter, arguments.model, arguments.prices)
    found = _reworded(arguments, drawn, noise, system, price)

    invalid = _invalid(drawn, found.rewrites)
    rows, trivial_changes = _versions(drawn, noise, found.rewrites)
    kept = {version: sum(row["version"] == version for row in rows) for version in versions.VERSIONS}
    failed = {row_id for row_id, _, version, *_ in invalid if version == REWRITTEN}
    if kept[REWRITTEN] + len(failed) != len(drawn) or kept[ORIGINAL] != kept[REWRITTEN]:
        raise AssertionError("pairs were lost")
    versions.write(arguments.out, pd.DataFrame(rows, columns=versions.SCHEMA.names))
    write_csv(arguments.invalid, pd.DataFrame(invalid, columns=["row_id", "preference", "version", "reason", "answer"]))
    raw.write(arguments.answers, found.answers)
    report = {
        "rewriter": arguments.rewriter,
        "model": arguments.model,
        "prompt": text_hash(system),
        "pairs_drawn": len(drawn),
        "pairs_rewritten": kept[REWRITTEN],
        "pairs_invalid": len(failed),
        "reasons": _reasons(invalid, REWRITTEN),
        "pairs_drawn_for_noise": len(noise),
        "pairs_rewritten_twice": kept[SECOND],
        "reasons_second": _reasons(invalid, SECOND),
        "second_is_the_same": _same(rows),
        "pairs_changed_trivially": kept[TRIVIAL],
        "trivial_changes": trivial_changes,
        "texts_in_parts": sum(each.requests > 1 for each in found.rewrites.values()),
        "patched": sum(each.patched for each in found.rewrites.values()),
        **cost.usage((answer for _, answer in found.answers.values()), price, 0.0),
    }
    write_json(arguments.coverage, report)
    print(f"{kept[REWRITTEN]} of {len(drawn)} pairs reworded", file=sys.stderr)
    if kept[REWRITTEN] / len(drawn) < arguments.min_coverage:
        help_ = "take another rewriter" if arguments.rewriter == RULES else "raise max-patches or max-tokens"
        raise InputError(
            f"{arguments.invalid}: {len(failed)} of {len(drawn)} pairs could not be reworded ({report['reasons']}), more than min-coverage "
            f"{arguments.min_coverage:g} allows; look there, then "
            f"{help_}, or lower min-coverage"
        )


def _check(arguments: Arguments) -> None:
    """See that the numbers make sense.

    Raises
    ------
    InputError
        If one is out of its range, or a model is named to the rules, which ask none.
    """
    if arguments.rewriter == RULES and arguments.model != RULES:
        raise InputError(f"model is {arguments.model}, and the rewriter rules asks none; set model to rules, or name another rewriter")
    if not arguments.model:
        raise InputError(f"no model for the rewriter {arguments.rewriter}; name one with --model")
    if not (math.isfinite(arguments.temperature) and arguments.temperature >= 0):
        raise InputError(f"temperature is {arguments.temperature}; expected a number from 0 up")
    if arguments.max_tokens < 1 or not 0 <= arguments.seed <= MAX_SEED:
        raise InputError(
            f"max-tokens is {arguments.max_tokens} and seed {arguments.seed}; expected 1 or more tokens, and a seed from 0 to {MAX_SEED}"
        )
    if not 0 <= arguments.shortest <= 1 <= arguments.longest < math.inf:
        raise InputError(f"shortest is {arguments.shortest:g} and longest {arguments.longest:g}; expected shares up to 1, and from 1 up")
    attempts.check_limits(arguments.max_patches, arguments.context_tokens, arguments.min_coverage)


def _check_texts(path: str, drawn: pd.DataFrame) -> None:
    """See that every text is a conversation that ends with the Assistant's turn.

    Raises
    ------
    InputError
        If one is not.
    """
    for preference in PREFERENCES:
        for row_id, text in zip(drawn["row_id"], drawn[f"{preference}_text"], strict=True):
            try:
                transcripts.prompt_and_response(transcripts.parse(text))
            except transcripts.NotATranscript as error:
                raise InputError(
                    f"{path}: row_id {row_id}, column {preference}_text: {error}; write the table with stages/prepare.py"
                ) from None


def _noise(arguments: Arguments, row_ids: np.ndarray, drawn: List[int]) -> Set[int]:
    """The pairs among those drawn that get a noise floor; a greater limit of either kind adds to them."""
    if arguments.noise_limit < 0:
        raise InputError(f"noise-limit is {arguments.noise_limit}; expected 0 for all pairs drawn, or a number of them")
    source = np.array(drawn) if arguments.row_ids else row_ids
    return set(draw(source, arguments.noise_limit, [], arguments.seed)) & set(drawn)


def _reworded(arguments: Arguments, drawn: pd.DataFrame, noise: Set[int], system: str, price: cost.Price) -> rewriters.Rewritten:
    """Have both texts of all pairs reworded, and those of a pair in `noise` twice."""
    # The rules have room for any conversation.
    room = (sys.maxsize, sys.maxsize) if arguments.rewriter == RULES else (arguments.max_tokens, arguments.context_tokens)
    options = Options(arguments.model, arguments.response_format, arguments.temperature, arguments.max_tokens)
    count = cost.counter("", rewrite_requests.CHARACTERS_PER_TOKEN)
    budget = cost.Budget(arguments.max_cost_usd)

    def texts() -> Iterator[Text]:
        for row_id, *both in zip(*(drawn[column] for column in ("row_id", "chosen_text", "rejected_text")), strict=True):
            for preference, text in zip(PREFERENCES, both, strict=True):
                yield Text(_text_id(row_id, preference, REWRITTEN), transcripts.parse(text), arguments.seed)
                if row_id in noise:
                    yield Text(_text_id(row_id, preference, SECOND), transcripts.parse(text), arguments.seed + SECOND_SEED)

    def ask(text: Text) -> Iterator[Request]:
        return rewrite_requests.requests_for(text.id, text.turns, system, options, text.seed, *room)

    def expected_usd(body: Body) -> float:
        """An answer takes as many tokens as the turns in it."""
        instructions, turns = (count(message["content"]) for message in body["messages"])
        schema = count(json.dumps(body["response_format"]))
        return cost.usd(price, instructions + turns + schema, turns)

    bounds = Bounds(arguments.shortest, arguments.longest)
    problem = rewriters.judge(texts(), bounds)
    with Journal(command_line.work("rewrites") / f"{arguments.rewriter}.jsonl") as journal:
        answers = raw.Answers(journal, arguments.known_answers)

        def send(pending: Callable[[], Iterator[Pending]], attempt: int) -> Dict[str, str]:
            costs = {each.hash: expected_usd(each.request.body) for each in pending()}
            budget.check(costs)
            budget.spend(costs)
            engine = rewriters.open_rewriter(arguments.rewriter, arguments.model, arguments.context_tokens)
            return attempts.ask_with_bar(engine, pending, answers, problem)

        identity = rewriters.identity(arguments.rewriter, arguments.model)
        return rewriters.rewrite(texts, ask, identity, send, answers, arguments.max_patches, bounds)


def _text_id(row_id: int, preference: str, version: str) -> str:
    return f"{row_id}.{preference}.{version}"


def _sides(rewrites: Dict[str, Rewrite], row_id: int, version: str) -> Dict[str, Rewrite]:
    """What became of both texts; empty where this version of the pair was not asked for."""
    ids = {preference: _text_id(row_id, preference, version) for preference in PREFERENCES}
    return {preference: rewrites[id_] for preference, id_ in ids.items() if id_ in rewrites}


def _invalid(drawn: pd.DataFrame, rewrites: Dict[str, Rewrite]) -> List[Tuple[int, str, str, str, str]]:
    return [
        (row_id, preference, version, each.problem, each.answer)
        for row_id in drawn["row_id"]
        for version in (REWRITTEN, SECOND)
        for preference, each in _sides(rewrites, row_id, version).items()
        if each.problem
    ]


def _reasons(invalid: List[Tuple[int, str, str, str, str]], version: str) -> Dict[str, int]:
    """Texts by why they could not be reworded."""
    return dict(sorted(Counter(reason for _, _, of, reason, _ in invalid if of == version).items()))


def _versions(drawn: pd.DataFrame, noise: Set[int], rewrites: Dict[str, Rewrite]) -> Tuple[List[Dict[str, Any]], Dict[str, int]]:
    """The rows of the table of versions, and how many texts were changed trivially in which way."""
    rows: List[Dict[str, Any]] = []
    kinds: Counter[str] = Counter()
    for record in drawn.to_dict("records"):
        pair = {str(column): value for column, value in record.items()}
        reworded = {version: _sides(rewrites, pair["row_id"], version) for version in (REWRITTEN, SECOND)}
        if any(each.problem for each in reworded[REWRITTEN].values()):
            continue
        originals = {preference: str(pair[f"{preference}_text"]) for preference in PREFERENCES}
        texts = {ORIGINAL: originals}
        for version, sides in reworded.items():
            if sides and not any(each.problem for each in sides.values()):
                texts[version] = {side: versions.with_turns(originals[side], transcripts.parse(each.text)) for side, each in sides.items()}
        changed = {preference: trivial(transcripts.parse(text)) for preference, text in originals.items()}
        if pair["row_id"] in noise and all(changed.values()):
            texts[TRIVIAL] = {side: versions.with_turns(originals[side], each.turns) for side, each in changed.items() if each}
            kinds.update(each.kind for each in changed.values() if each)
        for version, both in texts.items():
            rows.append(_row(len(rows), pair, version, both))
    return rows, dict(sorted(kinds.items()))


def _row(row_id: int, pair: Dict[str, Any], version: str, texts: Dict[str, str]) -> Dict[str, Any]:
    row = {**pair, "row_id": row_id, "pair_row_id": pair["row_id"], "version": version}
    for preference, text in texts.items():
        turns = transcripts.parse(text)
        prompt, response = transcripts.prompt_and_response(turns)
        new = {"text": text, "prompt": prompt, "response": response, "turns": len(turns)}
        row |= {f"{preference}_{column}": value for column, value in new.items()}
    return row


def _same(rows: List[Dict[str, Any]]) -> int:
    """Texts that were reworded in the same words twice."""
    first = {(row["pair_row_id"], side): row[f"{side}_text"] for row in rows if row["version"] == REWRITTEN for side in PREFERENCES}
    second = {(row["pair_row_id"], side): row[f"{side}_text"] for row in rows if row["version"] == SECOND for side in PREFERENCES}
    return sum(first[key] == text for key, text in second.items())


if __name__ == "__main__":
    command_line.run(main, Arguments, __doc__)
