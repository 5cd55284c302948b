"""Reward models small enough for a test: real architectures with random weights, and a tokenizer of the architecture's own kind.

The weights are spread wide, so that rewards differ clearly from text to text and move when a position, a token type or the mask does.
"""

import random
from pathlib import Path
from typing import Any

import torch
import transformers
from tokenizers import Tokenizer, models, pre_tokenizers, processors

ARCHITECTURES = ("bert", "deberta-v2", "electra", "gpt2", "llama")
ENCODERS = ARCHITECTURES[:3]
END = "<|endoftext|>"

WORDS = (  # noqa: SIM905, as a list they would fill a page
    "a about after all and answer any are as ask at bake bank bread but by call can case cat cheap child city cold day do dog door down "
    "each early eat egg even find fish for friend from garden get give go good hand happy have help her here hill hope horse house how "
    "i idea if in is it job just keep key kind know late law lead learn let lie light like list live long look make man many map may me "
    "mind money month more most move music my name need never new next night no not now of off old on one open or other out over own "
    "paint paper park part pay people place plan play please quick quiet rain read right river road room run said salt say sea see send "
    "shop short sing sister sleep slow small snow so some song soon speak start stay still stone story street such sugar sun table take "
    "talk tall tea tell thank that the then there they thing think this time to today town train tree true try turn two under up us very "
    "wait walk want warm water way we well what when where which while who why will wind with word work would write year yes you young"
).split()

CHAT_TEMPLATE = (
    "{% if messages[0]['role'] == 'assistant' %}{{ raise_exception('The human must speak first') }}{% endif %}"
    "{% for message in messages %}<|{{ message['role'] }}|>{{ message['content'] }}" + END + "{% endfor %}"
)


def build(
    architecture: str,
    folder: Path,
    *,
    seed: int = 0,
    outputs: int = 1,
    pad: bool = True,
    chat_template: str | None = None,
    safe: bool = True,
    **config: Any,
) -> Path:
    """Save a sequence classifier and its tokenizer to a folder.

    Parameters
    ----------
    architecture
        One of `ARCHITECTURES`. ELECTRA and BERT have 512 absolute positions, GPT-2 1024; DeBERTa-v2 is set up as v3, with relative
        positions alone, and Llama's are rotary.
    folder
        Where to save; made if need be.
    seed
        Of the weights.
    outputs
        How many outputs the head has.
    pad
        Whether a causal model has a padding token; it is the token that ends a text, as is the custom.
    chat_template
        The tokenizer's, where it is to have one.
    safe
        Save as safetensors; else as `pytorch_model.bin`.
    config
        More settings of the architecture's config.
    """
    reader = tokenizer(architecture, pad=pad, chat_template=chat_template)
    if architecture not in ENCODERS:
        config = {"bos_token_id": reader.bos_token_id, "eos_token_id": reader.eos_token_id, **config}
    model = classifier(architecture, len(reader), seed=seed, num_labels=outputs, pad_token_id=reader.pad_token_id, **config)
    folder.mkdir(parents=True, exist_ok=True)
    reader.save_pretrained(folder)
    model.save_pretrained(folder)
    if not safe:
        torch.save(model.state_dict(), folder / "pytorch_model.bin")
        (folder / "model.safetensors").unlink()
    return folder


def tokenizer(architecture: str, *, pad: bool = True, chat_template: str | None = None) -> Any:
    """A tokenizer of the architecture's own kind."""
    made = _encoder_tokenizer(architecture) if architecture in ENCODERS else _causal_tokenizer(architecture, pad)
    made.chat_template = chat_template
    return made


def classifier(architecture: str, vocabulary: int, *, seed: int = 0, **config: Any) -> Any:
    """A sequence classifier with random weights."""
    made = _config(architecture, vocabulary, config)
    generator = torch.Generator().manual_seed(seed)
    model = transformers.AutoModelForSequenceClassification.from_config(made).eval()
    with torch.no_grad():
        for name, parameter in sorted(model.named_parameters()):
            noise = torch.randn(parameter.shape, generator=generator)
            if "norm" in name.lower() or ".ln_" in name:
                parameter.add_(0.1 * noise)
            elif parameter.dim() == 1:
                parameter.copy_(0.2 * noise)
            elif "embed" in name or "wte" in name or "wpe" in name:
                parameter.copy_(noise)
            else:
                inputs = parameter.shape[0 if architecture == "gpt2" and "score" not in name else 1]
                parameter.copy_(1.5 * noise / inputs**0.5)
    return model


def transcript(turns: int = 2, words: int = 12, seed: int = 0) -> str:
    """A conversation of random words that ends with the assistant's turn, in the form of the HH data."""
    draw = random.Random(f"{turns} {words} {seed}")
    text = ""
    for turn in range(turns):
        role = "Assistant" if (turns - turn) % 2 else "Human"
        text += f"\n\n{role}: {' '.join(draw.choices(WORDS, k=draw.randint(max(1, words // 2), words)))}."
    return text


def _config(architecture: str, vocabulary: int, more: dict[str, Any]) -> Any:
    small: dict[str, Any] = {"vocab_size": vocabulary}
    layers = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 48}
    if architecture in ("bert", "electra"):
        small |= layers | {"max_position_embeddings": 512}
        small |= {"embedding_size": 16} if architecture == "electra" else {}
    elif architecture == "deberta-v2":
        small |= layers | {
            "relative_attention": True,
            "position_biased_input": False,
            "pos_att_type": ["p2c", "c2p"],
            "position_buckets": 16,
            "norm_rel_ebd": "layer_norm",
            "share_att_key": True,
            "layer_norm_eps": 1e-7,
            "max_position_embeddings": 512,
            "type_vocab_size": 0,
            "pooler_hidden_act": "gelu",
        }
    elif architecture == "gpt2":
        small |= {"n_embd": 32, "n_layer": 2, "n_head": 2, "n_positions": 1024}
    else:
        small |= layers | {"num_key_value_heads": 1, "max_position_embeddings": 512}
    kind = transformers.CONFIG_MAPPING[architecture]
    return kind(**{**small, **more})


def _encoder_tokenizer(architecture: str) -> Any:
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    characters = [chr(code) for code in range(33, 127)]
    if architecture == "deberta-v2":
        pieces = [(token, 0.0) for token in special]
        pieces += [(character, -8.0) for character in ["▁", *characters]]
        pieces += [(f"▁{word}", -4.0) for word in (*WORDS, "Human", "Assistant") if len(word) > 1]
        return transformers.DebertaV2Tokenizer(vocab=pieces)
    tokens = [*special, *characters, *(f"##{character}" for character in characters)]
    tokens += [word for word in (*WORDS, "human", "assistant") if len(word) > 1]
    vocabulary = {token: number for number, token in enumerate(tokens)}
    kind = transformers.BertTokenizer if architecture == "bert" else transformers.ElectraTokenizer
    return kind(vocab=vocabulary)


def _causal_tokenizer(architecture: str, pad: bool) -> Any:
    """Byte-level pieces. Llama's puts a token of its own before each text, as the third generation's does."""
    tokens = sorted(pre_tokenizers.ByteLevel.alphabet())
    merges = []
    for word in (*WORDS, "Human", "Assistant"):
        piece = "Ġ"
        for letter in word:
            if piece + letter not in tokens:
                tokens.append(piece + letter)
                merges.append((piece, letter))
            piece += letter
    vocabulary = {token: number for number, token in enumerate([*tokens, END])}
    options = {"bos_token": END, "eos_token": END, "pad_token": END if pad else None}
    if architecture == "gpt2":
        return transformers.GPT2Tokenizer(vocab=vocabulary, merges=merges, **options)
    backend = Tokenizer(models.BPE(vocab=vocabulary, merges=merges))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.post_processor = processors.TemplateProcessing(single=f"{END} $A", pair=f"{END} $A $B", special_tokens=[(END, len(tokens))])
    return transformers.PreTrainedTokenizerFast(tokenizer_object=backend, model_input_names=["input_ids", "attention_mask"], **options)
