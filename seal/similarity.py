"""How close in meaning a reworded text stays: cosine similarity of its embedding with that of the original."""

import base64
import importlib.metadata
import json
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from tqdm import tqdm

from seal import checkpoints
from seal.checkpoints import Checkpoint
from seal.engine.inputs import Input
from seal.engine.packed_models import packed_states
from seal.engine.packing import Packed, pack
from seal.engine.reward_models import ENGINE, absolute_positions, default_device, quiet, software
from seal.engine.scoring import TOKEN_BUDGET, collate
from seal.errors import InputError
from seal.files import fingerprint
from seal.journal import Journal
from seal.pairs import PREFERENCES
from seal.versions import ORIGINAL

MODULES = "modules.json"
"""What tells a sentence encoder from a model of single tokens: it lists the layers that make one vector of a text."""

_KINDS = ("*.json", "*.safetensors", "*.bin", "*.model", "*.txt")
_NO_LIMIT = 10**9  # tokenizers without a limit name one of 10**20 and more
_PROBE = "Yes."

Window = tuple[int, ...]
"""Token ids that the encoder reads at once, special ones included."""


class Embedding(NamedTuple):
    """What the encoder makes of one text."""

    windows: tuple[Window, ...]
    """The text's tokens. They cover all of it, so two texts have the same ones only where the encoder cannot tell them apart."""
    vector: np.ndarray
    """[dimensions]; of several windows the mean, weighted by their tokens and normalised."""


class Encoder(NamedTuple):
    """A loaded sentence encoder."""

    checkpoint: Checkpoint
    model: Any
    """A SentenceTransformer."""
    window: int | None
    """The most tokens that it reads at once, special ones included; None where there is no limit."""
    device: torch.device
    states: Callable[[Packed], torch.Tensor] | None
    """How its transformer runs packed batches, to hidden states of all tokens, where it can."""

    def windows(self, texts: Sequence[str]) -> list[tuple[Window, ...]]:
        """The tokens of each text, in order, cut into as few windows as hold them all."""
        if not texts:
            return []  # the tokenizer would stumble
        options: dict[str, Any] = {"truncation": self.window is not None, "max_length": self.window, "return_overflowing_tokens": True}
        encoded = self.model.tokenizer(list(texts), return_attention_mask=False, verbose=False, **options)
        found: list[list[Window]] = [[] for _ in texts]
        for owner, ids in zip(encoded["overflow_to_sample_mapping"], encoded["input_ids"], strict=True):
            found[owner].append(tuple(ids))
        return [tuple(windows) for windows in found]

    @torch.inference_mode()
    def vectors(self, windows: Sequence[Window]) -> np.ndarray:
        """The embeddings of a batch of windows, [windows, dimensions], float32."""
        inputs = [Input(list(window), None, 0, 0) for window in windows]
        features = {name: tensor.to(self.device) for name, tensor in collate(inputs, self.model.tokenizer.pad_token_id).items()}
        modules = list(self.model)
        if self.states:
            states = self.states(pack(inputs, device=self.device))
            tokens = features["attention_mask"].bool()
            features["token_embeddings"] = states.new_zeros(*tokens.shape, states.shape[1]).masked_scatter_(tokens[..., None], states)
            modules = modules[1:]  # which make one vector of those of the tokens
        for module in modules:
            features = module(features)
        found: np.ndarray = features["sentence_embedding"].float().cpu().numpy()
        return found

    def own_tokens(self, window: Window) -> int:
        """How many tokens of a window are the text's own."""
        return len(window) - int(self.model.tokenizer.num_special_tokens_to_add())

    def fingerprint(self) -> str:
        """Changes with all that a window's embedding depends on, down to its last digits."""
        machine = [self.device.type, torch.get_num_threads() if self.device.type == "cpu" else 0]
        packages = [*software(), importlib.metadata.version("sentence-transformers")]
        return fingerprint(self.checkpoint.fingerprint(), machine, packages, ENGINE)


def load(name: str, revision: str = "", device: torch.device | None = None) -> Encoder:
    """Load a sentence encoder in fp32.

    Parameters
    ----------
    name, revision
        As for `checkpoints.locate`; the files are those of sentence-transformers.
    device
        Defaults to `reward_models.default_device()`.

    Raises
    ------
    InputError
        If the model cannot be found or loaded, is no sentence encoder, brings its own code, lacks weights (which would be drawn at
        random), or reads more of a text than its tokens (a prompt before it, say).
    """
    checkpoint = checkpoints.locate(name, revision)
    paths = _module_paths(checkpoint)
    if checkpoint.revision:
        _fetch_folders(checkpoint, [path for path in paths if path])
    device = device or default_device()
    try:
        with quiet():
            model = _load(checkpoint.folder, paths, device)
            positions = absolute_positions(model.transformers_model)
            limits = [limit for limit in (model.max_seq_length, positions) if limit is not None and limit < _NO_LIMIT]
            of_tokens = model[0].module_output_name == "token_embeddings"
            states = packed_states(model.transformers_model) if of_tokens else None
            encoder = Encoder(checkpoint, model, min(limits, default=None), device, states)
            _refuse_unless_tokens_are_all(encoder)
    except Exception as error:  # the libraries raise many kinds for one cause: the files are no encoder that they can load
        raise InputError(f"model {name}: {_one_line(error)}; give a sentence-transformers encoder of plain texts in safe form") from error
    return encoder


def _module_paths(checkpoint: Checkpoint) -> list[str]:
    """The folders of the encoder's layers in the order in which they run, relative to the model's own; the first is mostly that itself."""
    try:
        return [str(module["path"]) for module in json.loads((checkpoint.folder / MODULES).read_bytes())]
    except (OSError, ValueError, KeyError, TypeError):
        raise InputError(
            f"model {checkpoint.name}: no sentence encoder, its folder lacks a {MODULES} that says how a text becomes one vector; "
            "give a model in the form of sentence-transformers"
        ) from None


def _fetch_folders(checkpoint: Checkpoint, paths: Sequence[str]) -> None:
    """Fetch the layers that lie in folders of their own, which `checkpoints.locate` leaves on the hub."""
    import huggingface_hub

    if not paths:
        return
    files = [f"{path}/{kind}" for path in paths for kind in _KINDS]
    try:
        huggingface_hub.snapshot_download(checkpoint.name, revision=checkpoint.revision, allow_patterns=files)
    except Exception as error:  # as in `checkpoints`, many kinds for one cause
        raise InputError(
            f"model {checkpoint.name}, revision {checkpoint.revision}: its folders {', '.join(paths)} cannot be had from the hub, nor are "
            f"they whole in the local cache ({type(error).__name__}: {_one_line(error)}); check the connection"
        ) from error


def _load(folder: Path, paths: Sequence[str], device: torch.device) -> Any:
    from sentence_transformers import SentenceTransformer

    files = [folder / path / file for path in paths for file in ("config.json", "adapter_config.json")]
    for config in filter(Path.is_file, files):
        if config.name == "adapter_config.json":
            raise ValueError("it is an adapter, whose base may change unseen; merge the two first")
        if "AutoModel" in (json.loads(config.read_bytes()).get("auto_map") or {}):
            # transformers would leave the code out and run a model of its own on these weights.
            raise ValueError("it brings code of its own, which is never run")
    options: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}
    model: Any = SentenceTransformer(str(folder), device=str(device), model_kwargs={"dtype": torch.float32}, **options)
    inner = model.transformers_model
    if inner is None or not getattr(model.tokenizer, "is_fast", False):
        raise ValueError("it has no transformer with a fast tokenizer")
    # A second look, at names alone: sentence-transformers does not tell which weights it drew at random. The pooler of BERT is not among
    # those that count, as token embeddings are taken from before it.
    _, report = type(inner).from_pretrained(
        folder / paths[0], config=inner.config, output_loading_info=True, device_map="meta", dtype=torch.float32, **options
    )
    absent = {*report["missing_keys"], *(key for key, *_ in report["mismatched_keys"])}
    absent = {key for key in absent if model[0].module_output_name != "token_embeddings" or "pooler" not in key.split(".")}
    if absent:
        raise ValueError(f"its files lack the weights {', '.join(sorted(absent)[:4])}, which would be drawn at random")
    model.tokenizer.truncation_side = "right"
    return model.eval()


def _refuse_unless_tokens_are_all(encoder: Encoder) -> None:
    special = encoder.model.tokenizer.num_special_tokens_to_add()
    if encoder.window is not None and encoder.window <= special:
        raise ValueError(f"its window of {encoder.window} tokens leaves no room beside {special} special ones")
    ours = encoder.vectors(encoder.windows([_PROBE])[0][:1])
    theirs = encoder.model.encode([_PROBE], show_progress_bar=False)
    if ours.shape != theirs.shape or not np.allclose(ours, theirs, rtol=1e-3, atol=1e-4, equal_nan=True):
        raise ValueError("it makes something else of a text than of its tokens (a prompt before it, a chat template, a shortened vector)")


def _one_line(error: Exception) -> str:
    if "weights_only" in str(error):  # torch goes on to say how to run them all the same
        return "its weights are a pickle that holds more than weights, which may be code and is never run"
    return " ".join(str(error).split())[:300] or type(error).__name__


def embed(encoder: Encoder, texts: Iterable[str], journal: Journal, token_budget: int | None = None) -> dict[str, Embedding]:
    """Embed each distinct text once.

    A text that fits into the encoder's window has the embedding of `SentenceTransformer.encode`; a longer one the mean of its windows'
    embeddings, weighted by their tokens and normalised, so that all of it counts.

    Batches are journalled whole, in the order in which they are planned, and where one ends depends only on the windows that follow its
    first. So a run that was killed and started again plans the batches that were left, and gives the same bytes as one that never stopped.

    Parameters
    ----------
    encoder
        The model; the journal must belong to its `fingerprint()`.
    texts
        In any order, repeats allowed.
    journal
        An open journal.
    token_budget
        Padded tokens in a batch; by default `scoring.TOKEN_BUDGET` of the device.

    Raises
    ------
    InputError
        If an embedding is zero or not finite.
    """
    unique = list(dict.fromkeys(texts))
    windows_of = dict(zip(unique, encoder.windows(unique), strict=True))
    text_of = {_key(window): text for text, windows in windows_of.items() for window in windows}
    # The journal goes by what the encoder reads, so that a change in how texts become tokens never meets an old embedding.
    by_key = {_key(window): window for windows in windows_of.values() for window in windows}
    known = {key: _from_text(text) for record in journal.records for key, text in zip(record["keys"], record["vectors"], strict=True)}
    pending = {key: window for key, window in by_key.items() if key not in known}
    bar = tqdm(total=len(by_key), initial=len(by_key) - len(pending), unit="window", desc="embedding", disable=None)
    for keys in _batches(pending, token_budget or TOKEN_BUDGET.get(encoder.device.type, TOKEN_BUDGET["cpu"])):
        vectors = encoder.vectors([pending[key] for key in keys])
        _refuse_unless_directed(encoder.checkpoint.name, vectors, [text_of[key] for key in keys])
        journal.append({"keys": keys, "vectors": [_to_text(vector) for vector in vectors]})
        known |= dict(zip(keys, vectors, strict=True))
        bar.update(len(keys))
    bar.close()
    return {
        text: Embedding(windows, _mean([known[_key(window)] for window in windows], [encoder.own_tokens(window) for window in windows]))
        for text, windows in windows_of.items()
    }


def _key(window: Window) -> str:
    return fingerprint(window)


def _batches(windows: dict[str, Window], budget: int) -> list[list[str]]:
    """Keys of windows of like length together, the longest first, as many as the budget of padded tokens holds."""
    batches: list[list[str]] = []
    for key in sorted(windows, key=lambda key: (-len(windows[key]), key)):
        if not batches or (len(batches[-1]) + 1) * len(windows[batches[-1][0]]) > budget:
            batches.append([])
        batches[-1].append(key)
    return batches


def _to_text(vector: np.ndarray) -> str:
    return base64.b64encode(vector.astype("<f4").tobytes()).decode()


def _from_text(text: str) -> np.ndarray:
    return np.frombuffer(base64.b64decode(text), dtype="<f4")


def _refuse_unless_directed(model: str, vectors: np.ndarray, texts: Sequence[str]) -> None:
    lengths = np.linalg.norm(vectors.astype(float), axis=1)
    for length, text in zip(lengths, texts, strict=True):
        if not np.isfinite(length) or length == 0:
            raise InputError(
                f"model {model}: the embedding of the text that starts with {text.strip()[:60]!r} has length {length}, expected a finite "
                "number above 0; try another model"
            )


def _mean(vectors: Sequence[np.ndarray], tokens: Sequence[int]) -> np.ndarray:
    if len(vectors) == 1:
        return vectors[0]
    mean = np.average(np.array(vectors, dtype=float), axis=0, weights=tokens)
    normalised: np.ndarray = mean / np.linalg.norm(mean)
    return normalised


def cosine(first: np.ndarray, second: np.ndarray) -> float:
    """The cosine of the angle between two vectors that are not zero, in [-1, 1]."""
    one, other = first.astype(float), second.astype(float)
    return float(np.clip(one @ other / (np.linalg.norm(one) * np.linalg.norm(other)), -1, 1))


def beside_originals(versions: pd.DataFrame) -> pd.DataFrame:
    """Each version of a pair beside its original.

    Parameters
    ----------
    versions
        As `versions.read` gives them.

    Returns
    -------
    `row_id`, `version`, the two texts, and the original's as `original_chosen_text` and `original_rejected_text`; originals left out,
    sorted by row_id.
    """
    texts = [f"{preference}_text" for preference in PREFERENCES]
    originals = versions[versions["version"] == ORIGINAL].set_index("pair_row_id")[texts].add_prefix("original_")
    others = versions[versions["version"] != ORIGINAL].join(originals, on="pair_row_id", validate="many_to_one")
    return others[["row_id", "version", *texts, *originals.columns]].sort_values("row_id", ignore_index=True)


def similarities(beside: pd.DataFrame, embeddings: dict[str, Embedding]) -> pd.DataFrame:
    """Cosine similarity of each text with its original.

    Parameters
    ----------
    beside
        As `beside_originals` gives it.
    embeddings
        Of all its texts.

    Returns
    -------
    `row_id`, `chosen_similarity`, `rejected_similarity`, to 6 decimals: what lies beyond is noise of float32.
    """
    table = beside[["row_id"]].copy()
    for preference in PREFERENCES:
        both = zip(beside[f"original_{preference}_text"], beside[f"{preference}_text"], strict=True)
        found = [cosine(embeddings[original].vector, embeddings[text].vector) for original, text in both]
        table[f"{preference}_similarity"] = np.round(found, 6) + 0.0  # no -0.0
    return table


def unchanged_tokens(beside: pd.DataFrame, embeddings: dict[str, Embedding]) -> dict[str, int]:
    """By version, how many texts have the very tokens of their original, so that the encoder sees no change; in order of their names.

    Parameters
    ----------
    beside, embeddings
        As for `similarities`.
    """
    counts = dict.fromkeys(sorted(set(beside["version"])), 0)
    for preference in PREFERENCES:
        columns = beside["version"], beside[f"original_{preference}_text"], beside[f"{preference}_text"]
        for version, original, text in zip(*columns, strict=True):
            counts[version] += embeddings[original].windows == embeddings[text].windows
    return counts
