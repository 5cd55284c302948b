"""Measure how close in meaning each reworded text stays to its original: the cosine similarity of their embeddings.

Texts longer than the encoder's window are embedded window by window, so that all of them counts. Finished batches are kept in a
journal under .work, so a killed run goes on where it stopped.
"""

import command_line
from command_line import flag

# isort: split
import sys
from dataclasses import dataclass

from seal import versions
from seal.errors import InputError
from seal.files import write_csv, write_json


@dataclass(frozen=True)
class Arguments:
    versions: str = flag("table of versions, as stages/rewrite.py writes it")
    model: str = flag("the sentence encoder: a folder, a hub id (owner/name) or package:<module>, in the form of sentence-transformers")
    out: str = flag("where to write row_id, chosen_similarity, rejected_similarity of each version that is no original (CSV)")
    check: str = flag("where to write counts and provenance (JSON)")
    revision: str = flag("commit or branch of a hub model; required there", "")


def main(arguments: Arguments) -> None:
    table = versions.read(arguments.versions)
    if not (table["version"] != versions.ORIGINAL).any():
        raise InputError(
            f"{arguments.versions}, column version: found {len(table)} originals and no version of them to compare; run stages/rewrite.py"
        )
    from seal import similarity
    from seal.journal import Journal

    beside = similarity.beside_originals(table)
    encoder = similarity.load(arguments.model, arguments.revision)
    texts = [text for column in beside.columns if column.endswith("_text") for text in beside[column]]
    with Journal(command_line.work("similarity") / f"{encoder.fingerprint()}.jsonl") as journal:
        embeddings = similarity.embed(encoder, texts, journal)
    unchanged = similarity.unchanged_tokens(beside, embeddings)
    if unchanged.get(versions.TRIVIAL):
        raise InputError(
            f"{arguments.versions}: {unchanged[versions.TRIVIAL]} texts of the version trivial have the tokens of their originals to "
            f"{arguments.model}, so they are no change; take an encoder whose tokenizer sees full stops and contractions"
        )
    similarities = similarity.similarities(beside, embeddings)
    report = {
        "model": arguments.model,
        "revision": encoder.checkpoint.revision,
        "fingerprint": encoder.checkpoint.fingerprint(),
        "window": encoder.window,
        "texts": len(embeddings),
        "texts_in_several_windows": sum(len(embedding.windows) > 1 for embedding in embeddings.values()),
        "comparisons": 2 * len(similarities),
        "unchanged_tokens": unchanged,
    }
    write_csv(arguments.out, similarities)
    write_json(arguments.check, report)
    print(f"{len(similarities)} versions compared with their originals", file=sys.stderr)


if __name__ == "__main__":
    command_line.run(main, Arguments, __doc__)
