"""Ways to score transcripts with a reward model: what others do, and what this repository does.

Each way is made once, with its model loaded; then it turns texts into rewards, tokenisation included. All of them read the same
tokens: (prompt, response), split at the last `Assistant:`.
"""

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
import transformers
from scoring_models import LONGEST

from seal.engine import reward_models, scoring
from seal.engine.inputs import split_pair
from seal.engine.reward_models import RewardModel
from seal.journal import Journal

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}

Run = Callable[[Sequence[str], int], np.ndarray]
"""Texts and a size, rewards out, [texts]."""


class Way(NamedTuple):
    """A way to score."""

    name: str
    dtype: str
    run: Run
    sizes: tuple[int, ...] = (0,)
    """Texts, or tokens, in a batch: those to be tried, of which the fastest counts."""
    ours: bool = False
    unit: str = ""
    """What the size counts."""


def seal_loop(folder: Path, dtype: str, device: torch.device) -> Way:
    """SEAL's: one text at a time with autograd on; on CUDA the cache is emptied after each."""
    model, tokenizer = _load(folder, dtype, device)

    def run(texts: Sequence[str], _: int) -> np.ndarray:
        rewards = []
        for text in texts:
            encoded = tokenizer(*split_pair(text), return_tensors="pt").to(device)
            rewards.append(model(**encoded).logits[0].cpu().detach().float().item())
            if device.type == "cuda":
                torch.cuda.empty_cache()
        return np.array(rewards)

    return Way("one text at a time, autograd on (SEAL)", dtype, run)


def padded(folder: Path, dtype: str, device: torch.device) -> Way:
    """RewardBench's: batches of 8 as the data set has them, padded to the longest."""
    model, tokenizer = _load(folder, dtype, device)

    @torch.inference_mode()
    def run(texts: Sequence[str], size: int) -> np.ndarray:
        rewards = []
        for start in range(0, len(texts), size):
            prompts, responses = zip(*map(split_pair, texts[start : start + size]), strict=True)
            encoded = tokenizer(list(prompts), list(responses), padding=True, return_tensors="pt").to(device)
            rewards.append(model(**encoded).logits[:, 0].float().cpu().numpy())
        return np.concatenate(rewards)

    return Way("padded batches in data set order (RewardBench)", dtype, run, (8,), unit="texts")


def cross_encoder(folder: Path, dtype: str, device: torch.device, sizes: tuple[int, ...]) -> Way:
    """sentence-transformers': sorted by length, padded."""
    from sentence_transformers import CrossEncoder

    model = CrossEncoder(
        str(folder),
        num_labels=1,
        max_length=LONGEST,
        device=str(device),
        activation_fn=torch.nn.Identity(),
        local_files_only=True,
        model_kwargs={"dtype": DTYPES[dtype]},
    )

    def run(texts: Sequence[str], size: int) -> np.ndarray:
        scores = model.predict([split_pair(text) for text in texts], batch_size=size, show_progress_bar=False, convert_to_tensor=True)
        return scores.float().cpu().numpy().reshape(-1)

    return Way("sentence-transformers CrossEncoder.predict", dtype, run, sizes, unit="texts")


def pipeline(folder: Path, dtype: str, device: torch.device, sizes: tuple[int, ...]) -> Way:
    """transformers': each text tokenised by itself, batches in data set order, padded."""
    model, tokenizer = _load(folder, dtype, device)
    classify = transformers.pipeline("text-classification", model=model, tokenizer=tokenizer, device=device)

    def run(texts: Sequence[str], size: int) -> np.ndarray:
        pairs = [dict(zip(("text", "text_pair"), split_pair(text), strict=True)) for text in texts]
        return np.array([found["score"] for found in classify(pairs, batch_size=size, function_to_apply="none")])

    return Way('transformers pipeline("text-classification")', dtype, run, sizes, unit="texts")


def disentangled_flash(folder: Path, dtype: str, device: torch.device, sizes: tuple[int, ...]) -> Way:
    """disentangled-flash's packed encoder, of DeBERTa alone: its torch path on a CPU, its Triton kernels on CUDA.

    The package is an encoder, no scoring program, so texts are sorted by length and packed here.
    """
    from disentangled_flash import optimize_deberta

    model, tokenizer = _load(folder, dtype, device)
    optimize_deberta(model.deberta, backend="triton" if device.type == "cuda" else "torch")

    @torch.inference_mode()
    def run(texts: Sequence[str], size: int) -> np.ndarray:
        encoded = tokenizer(*map(list, zip(*map(split_pair, texts), strict=True)), return_attention_mask=False)["input_ids"]
        rewards = np.empty(len(texts), dtype=np.float32)
        for batch in batches([len(ids) for ids in encoded], size):
            lengths = torch.tensor([len(encoded[at]) for at in batch], dtype=torch.int32)
            ends = torch.cat([torch.zeros(1, dtype=torch.int32), lengths.cumsum(0, dtype=torch.int32)]).to(device)
            ids = torch.tensor([token for at in batch for token in encoded[at]], device=device)[None]
            hidden = model.deberta.embeddings(input_ids=ids, token_type_ids=torch.zeros_like(ids), mask=torch.ones_like(ids))[0]
            out = model.deberta.encoder.forward_packed(hidden, ends, int(lengths.max()), output_hidden_states=False).last_hidden_state
            rewards[batch] = model.classifier(model.pooler(out[ends[:-1].long()][:, None]))[:, 0].float().cpu().numpy()
        return rewards

    return Way("disentangled-flash, packed", dtype, run, sizes, unit="tokens")


def batches(lengths: Sequence[int], tokens: int) -> list[list[int]]:
    """Which texts go together, the longest first, so that a batch holds at most so many tokens, or one text."""
    made: list[list[int]] = []
    room = 0
    for at in sorted(range(len(lengths)), key=lambda at: -lengths[at]):
        if not made or lengths[at] > room:
            made.append([])
            room = tokens
        made[-1].append(at)
        room -= lengths[at]
    return made


def load(folder: Path, dtype: Any, device: torch.device) -> RewardModel:
    """Load a model for the engine, as its stages do."""
    return reward_models.load(str(folder), format="pair", max_length=LONGEST, dtype=dtype, device=device)


def engine(model: RewardModel) -> Way:
    """This repository's, with a journal on disk, as its stages run it."""

    def run(texts: Sequence[str], _: int) -> np.ndarray:
        with tempfile.TemporaryDirectory() as work, Journal(Path(work) / "journal.jsonl") as journal:
            return scoring.score(model, texts, journal).outputs[:, 0]

    return Way("this engine", model.dtype, run, ours=True)


def _load(folder: Path, dtype: str, device: torch.device) -> tuple[Any, Any]:
    model = transformers.AutoModelForSequenceClassification.from_pretrained(folder, dtype=DTYPES[dtype], local_files_only=True)
    return model.to(device).eval(), transformers.AutoTokenizer.from_pretrained(folder, local_files_only=True)
