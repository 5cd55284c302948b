"""Reward models: transformers sequence classifiers, loaded so that nothing in them is left to chance."""

import importlib.metadata
import importlib.util
import json
import logging
import os
import warnings
from collections.abc import Container, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args

import torch
import transformers
from torch import nn

from seal.checkpoints import Checkpoint, locate
from seal.engine import heads, inputs
from seal.engine.bf16_speed import bf16_speed
from seal.engine.heads import Head
from seal.engine.inputs import Format, Input
from seal.engine.packed_models import PackedModel, packed
from seal.engine.packing import Packed
from seal.errors import InputError
from seal.files import fingerprint

Dtype = Literal["fp32", "bf16", "auto"]
"""Of the weights and products; `auto` takes bf16 where the device multiplies at least twice as fast in it. The head is always fp32."""

HEADS = ("score", "classifier", "classification_head", "pooler")
"""What transformers calls the layers between the last hidden state and the reward, in its sequence classifiers."""

ADAPTER = "adapter_config.json"

HEAD = "head.json"
"""File in a model's folder that names the kind of its head: {"head": "categorical", "atoms": 10}. Without it, the head is `base`."""

ENGINE = 4
"""Counts the ways in which batches have been run. A reward's last digits depend on it, and a journal holds those of one way alone."""

transformers.utils.logging.disable_progress_bar()


class RewardModel(NamedTuple):
    """A loaded reward model, ready to score."""

    checkpoint: Checkpoint
    model: Any
    tokenizer: Any
    format: Format
    output: int
    """Which of the model's outputs is the reward, where its head is `base`; else 0, and all of them are read."""
    limit: int | None
    """The largest input in tokens; None where there is none."""
    dtype: Literal["fp32", "bf16"]
    device: torch.device
    base: Checkpoint | None = None
    """What the checkpoint is an adapter of, where it is one."""
    packed: PackedModel | None = None
    """How it runs batches without padding, where it can."""
    head: Head = "base"

    @property
    def width(self) -> int:
        """How many outputs a text gets: of the head `base` the reward alone."""
        return 1 if self.head == "base" else int(self.model.config.num_labels)

    def encode(self, texts: Sequence[str]) -> list[Input]:
        """The tokens of each text, in order."""
        return inputs.encode(self.tokenizer, texts, self.format, self.limit)

    @torch.inference_mode()
    def outputs(self, batch: dict[str, torch.Tensor]) -> torch.Tensor:
        """The outputs of a padded batch, [rows, width], fp32."""
        return self._read(self.model(**batch).logits)

    @torch.inference_mode()
    def packed_outputs(self, batch: Packed) -> torch.Tensor:
        """The outputs of a packed batch, [texts, width], fp32."""
        if self.packed is None:
            raise AssertionError("the model runs padded batches alone")
        return self._read(self.packed.logits(batch))

    def _read(self, logits: torch.Tensor) -> torch.Tensor:
        return logits[:, self.output : self.output + self.width].float()

    def fingerprint(self) -> str:
        """Changes with all that the rewards depend on, down to their last digits."""
        machine = [self.device.type, torch.get_num_threads() if self.device.type == "cpu" else 0]
        weights = [self.checkpoint.fingerprint(), self.base.fingerprint() if self.base else ""]
        return fingerprint(weights, self.format, self.output, self.limit, self.dtype, machine, software(), ENGINE)


def software() -> list[str]:
    """Versions of the packages that the last digits of a reward depend on."""
    versions = [importlib.metadata.version(package) for package in ("torch", "transformers", "peft", "tokenizers")]
    flash = importlib.util.find_spec("disentangled_flash") and torch.cuda.is_available()
    return [*versions, *([importlib.metadata.version("disentangled-flash")] if flash else [])]


def load(
    name: str,
    revision: str = "",
    format: Format = "transcript",
    output: str = "",
    max_length: int = 0,
    dtype: Dtype = "fp32",
    device: torch.device | None = None,
) -> RewardModel:
    """Load a reward model for scoring.

    Parameters
    ----------
    name, revision
        See `checkpoints.locate`. A folder with a PEFT adapter is put on the base model that it names.
    format
        How a text becomes input.
    output
        Label or index of the output that is the reward; needed where the model has several, unless its head is a distributional one.
    max_length
        The largest input in tokens; 0 for no limit but the model's own number of absolute positions.
    dtype, device
        `device` defaults to `SEAL_DEVICE`, else CUDA where there is one, else the CPU.

    Raises
    ------
    InputError
        If the model cannot be found or loaded, brings its own code, lacks weights (which would be drawn at random), has several
        outputs and `output` names none, or its head is none or does not fit its outputs.
    """
    checkpoint = locate(name, revision)
    device = device or default_device()
    base = None
    with quiet():
        if (checkpoint.folder / ADAPTER).is_file():
            model, tokenizer, base = _load_adapter(checkpoint)
        else:
            model, tokenizer = load_classifier(checkpoint)
    if format == "chat" and not getattr(tokenizer, "chat_template", None):
        raise InputError(f"model {name}: format chat, but its tokenizer has no chat template; use format pair or transcript")
    head, atoms = head_of(checkpoint)
    if head == "base":
        which = _output(name, model.config, output)
    else:
        which = 0
        _refuse_unfit(name, model.config, head, atoms, output)
    narrow = prefers_bf16(dtype, device)
    if narrow:
        _to_bf16(model)
    limits = [limit for limit in (max_length, absolute_positions(model)) if limit]
    limit = min(limits, default=None)
    model = model.to(device).eval()
    made = "bf16" if narrow else "fp32"
    return RewardModel(checkpoint, model, tokenizer, format, which, limit, made, device, base, packed(model), head)  # type: ignore[arg-type]


def head_of(checkpoint: Checkpoint) -> tuple[Head, int | None]:
    """The kind of a model's head and, where it is `categorical`, the number of its atoms.

    Raises
    ------
    InputError
        If the file `HEAD` in its folder names none.
    """
    file = checkpoint.folder / HEAD
    if not file.is_file():
        return "base", None
    try:
        named = json.loads(file.read_bytes())
        head = named["head"]
        atoms = int(named["atoms"]) if head == "categorical" else None
        known = head in get_args(Head) and (atoms is None or atoms > 2)
    except (ValueError, KeyError, TypeError, OverflowError):
        known = False
    if not known:
        raise InputError(
            f'model {checkpoint.name}: {HEAD} names no head; expected {{"head": "mean-and-variance"}}, or {{"head": "categorical", '
            '"atoms": 10}, as stages/train.py writes it'
        )
    return head, atoms


def _refuse_unfit(name: str, config: Any, head: Head, atoms: int | None, output: str) -> None:
    if config.num_labels != heads.outputs(head, atoms or 0):
        raise InputError(
            f"model {name}: {HEAD} names the head {head}, which has {heads.outputs(head, atoms or 0)} outputs, and the model has "
            f"{config.num_labels}; restore the file that was trained with it"
        )
    if output:
        raise InputError(f"model {name}: output {output!r}, but all outputs of its head, {head}, are read; leave output out")


def default_device() -> torch.device:
    """Where to run: it comes from the environment, because a device is no reason to run a stage again.

    Raises
    ------
    InputError
        If `SEAL_DEVICE` names none that is here.
    """
    name = os.environ.get("SEAL_DEVICE") or ("cuda" if torch.cuda.is_available() else "cpu")
    try:
        return torch.empty(0, device=name).device
    except (RuntimeError, AssertionError) as error:
        raise InputError(
            f"SEAL_DEVICE is {name}: {_one_line(error)[:80]}; set it to cpu or to a device that is here, or unset it"
        ) from None


def load_classifier(checkpoint: Checkpoint, new_outputs: int | None = None, head: Container[str] | None = None) -> tuple[Any, Any]:
    """Load a sequence classifier and its tokenizer in fp32.

    Parameters
    ----------
    checkpoint
        The folder to load from.
    new_outputs
        Give the model a fresh head with so many outputs, drawn with torch's seed. By default a model whose head is missing is
        refused: transformers would draw it at random and go on.
    head
        Names of the weights that the fresh head gets from elsewhere; those of it that are in neither place are refused, too. By
        default it may be all fresh.

    Raises
    ------
    InputError
        If the folder holds no such model or tokenizer in safe form, the model brings its own code, or its files lack weights.
    """
    options = {} if new_outputs is None else {"num_labels": new_outputs, "ignore_mismatched_sizes": True}
    try:
        _refuse_own_code(checkpoint.folder)
        model, report = transformers.AutoModelForSequenceClassification.from_pretrained(
            checkpoint.folder, output_loading_info=True, dtype=torch.float32, trust_remote_code=False, local_files_only=True, **options
        )
        tokenizer = load_tokenizer(checkpoint.folder)
    except Exception as error:  # transformers raises many kinds for one cause: the files are not a model that it can load
        raise InputError(f"model {checkpoint.name}: {_one_line(error)}; give a transformers sequence classifier in safe form") from error
    absent = sorted(set(report["missing_keys"]) | {key for key, *_ in report["mismatched_keys"]})
    if new_outputs is not None:
        absent = [key for key in absent if not _in_head(key) or (head is not None and key not in head)]
    if absent:
        raise InputError(
            f"model {checkpoint.name}: its files lack the weights {', '.join(absent[:4])}{' …' if len(absent) > 4 else ''}, which would be "
            "drawn at random; give a model with a trained reward head (train one with stages/train.py)"
        )
    return model, tokenizer


def _refuse_own_code(folder: Path) -> None:
    """transformers would leave the code out and run a model of its own on these weights."""
    config = folder / "config.json"
    if config.is_file() and "AutoModelForSequenceClassification" in (json.loads(config.read_bytes()).get("auto_map") or {}):
        raise ValueError("it brings code of its own, which is never run")


def load_tokenizer(folder: Path) -> Any:
    """The tokenizer in a folder. What has to be cut off is cut off the end, whatever side its files name."""
    return transformers.AutoTokenizer.from_pretrained(folder, truncation_side="right", trust_remote_code=False, local_files_only=True)


def _load_adapter(checkpoint: Checkpoint) -> tuple[Any, Any, Checkpoint]:
    import peft

    try:
        config = json.loads((checkpoint.folder / ADAPTER).read_text())
        name, revision = config["base_model_name_or_path"] or "", config.get("revision") or ""
        if not any((checkpoint.folder / file).is_file() for file in ("adapter_model.safetensors", "adapter_model.bin")):
            raise ValueError("its folder lacks adapter_model.safetensors")  # peft would look for it on a hub
        weights = peft.load_peft_weights(str(checkpoint.folder), device="cpu")
    except Exception as error:  # as in load_classifier
        raise InputError(f"model {checkpoint.name}: {_one_line(error)}; give a PEFT adapter that names its base, in safe form") from error
    given = {key.removeprefix("base_model.model."): len(weight) for key, weight in weights.items() if _in_head(key) and ".lora_" not in key}
    outputs = [length for key, length in given.items() if key.endswith("weight") and "pooler" not in key]
    if not outputs:
        raise InputError(f"model {checkpoint.name}: its adapter holds no reward head; train it with the head among modules_to_save")
    # The last layer of a head, which gives the reward, is its smallest.
    try:
        base = locate(name, revision)
    except InputError as error:
        raise InputError(f"model {checkpoint.name}: of its base, which {ADAPTER} in its folder names: {error}") from None
    model, tokenizer = load_classifier(base, new_outputs=min(outputs), head=given)
    adapted = put_adapter(checkpoint, model).merge_and_unload()
    if any((checkpoint.folder / file).is_file() for file in ("tokenizer.json", "tokenizer_config.json")):
        tokenizer = load_tokenizer(checkpoint.folder)
    return adapted, tokenizer, base


def put_adapter(checkpoint: Checkpoint, model: Any, trainable: bool = False) -> Any:
    """Put a PEFT adapter on the model it was made for, all of it.

    Raises
    ------
    InputError
        If it does not fit: a weight without a place would be left out, and a place without a weight keeps a fresh one, both in silence.
    """
    import peft

    try:
        adapted = peft.PeftModel.from_pretrained(model, str(checkpoint.folder), is_trainable=trainable)
        given = set(peft.load_peft_weights(str(checkpoint.folder), device="cpu"))
    except Exception as error:
        raise InputError(f"model {checkpoint.name}: {_one_line(error)}; give an adapter that was made for its base") from error
    unfit = sorted(given ^ set(peft.get_peft_model_state_dict(adapted)))
    if unfit:
        raise InputError(
            f"model {checkpoint.name}: adapter and base do not fit, {', '.join(unfit[:4])}{' …' if len(unfit) > 4 else ''} are only "
            "in one of them; give an adapter that was made for its base"
        )
    return adapted


def _in_head(key: str) -> bool:
    return any(part in HEADS for part in key.split("."))


def _output(name: str, config: Any, output: str) -> int:
    labels = {str(label): int(index) for index, label in config.id2label.items()}
    if output:
        index = labels.get(output, int(output) if output.isdecimal() else -1)
        if index not in labels.values():
            raise InputError(f"model {name}: no output {output!r}; it has {', '.join(labels)}")
        return index
    if config.num_labels != 1:
        raise InputError(f"model {name}: it has {config.num_labels} outputs ({', '.join(labels)}); name the reward among them in `output`")
    return 0


def absolute_positions(model: nn.Module) -> int | None:
    """How many positions a model has embeddings for; None where positions are relative or rotary, and inputs may have any length."""
    for name, module in model.named_modules():
        if isinstance(module, nn.Embedding) and name.rsplit(".", 1)[-1] in ("position_embeddings", "wpe", "embed_positions"):
            offset = getattr(module, "offset", 0) or (module.padding_idx + 1 if module.padding_idx is not None else 0)
            return module.num_embeddings - offset
    return None


def prefers_bf16(dtype: Dtype, device: torch.device) -> bool:
    """Whether `dtype` means bf16 on this device."""
    return dtype == "bf16" or (dtype == "auto" and bf16_speed(device, torch.get_num_threads()) >= 2)


def _to_bf16(model: nn.Module) -> None:
    """All weights but those of the head, which gets its input in fp32. Buffers stay as they are: rotary positions need all their digits."""
    for name, parameter in model.named_parameters():
        if not _in_head(name):
            parameter.data = parameter.data.to(torch.bfloat16)
    for name, module in model.named_modules():
        if name.rsplit(".", 1)[-1] in HEADS:
            module.register_forward_pre_hook(lambda _, args: tuple(arg.float() if torch.is_tensor(arg) else arg for arg in args))


@contextmanager
def quiet() -> Iterator[None]:
    """Keep the load report of transformers and the warnings of peft off the terminal: what matters in them is an error here."""
    log = logging.getLogger("transformers")
    level = log.level
    log.setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module="transformers|peft")
        try:
            yield
        finally:
            log.setLevel(level)


def _one_line(error: Exception) -> str:
    if "weights_only" in str(error):  # torch goes on to say how to run them all the same
        return "its weights are a pickle that holds more than weights, which may be code and is never run"
    return " ".join(str(error).split())[:300] or type(error).__name__
