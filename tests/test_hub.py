"""The recipe of the paper's set-up, unchanged, against servers on this machine: a hub with tiny models and data under the real names, and
an OpenAI and an Ollama API with canned answers."""

import gzip
import hashlib
import json
import math
import os
import re
import shutil
import socket
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
import pytest
import yaml
from batch_server import BatchServer, Body, canned
from conftest import ROOT, assert_one_line
from hub_server import Hub
from ollama_server import OllamaServer
from rewriting import Scripted, in_other_words

from seal.features import FEATURES

DATA = "Anthropic/hh-rlhf"
DATA_COMMIT = "09be8c5bbc57cb3887f3a9732ad6aa7ec602a1fa"
MODELS = {
    "control": "OpenAssistant/reward-model-deberta-v3-large",
    "aligned": "OpenAssistant/reward-model-deberta-v3-large-v2",
    "base": "OpenAssistant/reward-model-deberta-v3-base",
    "electra": "OpenAssistant/reward-model-electra-large-discriminator",
}
ROLES = [*MODELS, "length"]
ENCODER = "BAAI/bge-m3"
CONTROL_LABELER, REWRITER = "gemma:7b-instruct-fp16", "mistral:7b-instruct-fp16"
REWRITE_STAGES = ["rewrite", "rewrite-compare", "rewrite-create-batch", "rewrite-process-batch"]
REWRITE_STAGES += ["similarity", "rewrite-table", "robustness"]
LABELS_OF_VERSIONS = {f"last_response_is_{name}" for name in ("helpful", "harmless", "coherent", "eloquent")} | {"last_response_sentiment"}

THINGS = ["bicycle", "tent", "violin", "camera", "kite", "telescope", "canoe", "typewriter", "globe", "compass", "hammock", "lantern"]
TRAINED = 5  # of the things; the others are in the test split
FOLDERS = {
    "harmless-base": (
        "May I take the {} that stands in the hall without asking?",
        "Better ask first. Somebody may be looking for that {}, and a note under the door takes a minute.",
        "Who would miss a {}? Take it.",
    ),
    "helpful-base": (
        "How do I look after a {} in winter?",
        "Keep it dry, wipe it once a week, and put the {} where the frost does not reach it.",
        "A {} looks after itself.",
    ),
    "helpful-online": (
        "What should I check before I buy a used {}?",
        "Ask how old it is, try every moving part, and compare the price with that of a new {}.",
        "Nothing much, just pay. It's a {}.",
    ),
    "helpful-rejection-sampled": (
        "How do I explain a {} to a child of five?",
        "Begin with what the child knows, hold up the {}, and let the questions come.",
        "Children don't care for a {}, so I wouldn't.",
    ),
}
"""By folder of the data set: the question, the answer that was chosen and the one that was not."""


def pairs_of(folder: str, train: bool) -> list[dict[str, str]]:
    question, chosen, rejected = FOLDERS[folder]
    rows = []
    for number, thing in enumerate(THINGS):
        if (number < TRAINED) != train:
            continue
        prompt = "\n\nHuman: Hello there!\n\nAssistant: Hello! What is it about?" if number % 3 == 0 else ""
        prompt += f"\n\nHuman: {question.format(thing)}\n\nAssistant: "
        rows.append({"chosen": prompt + chosen.format(thing), "rejected": prompt + rejected.format(thing)})
    return rows


TRAIN_PAIRS = [pair for folder in FOLDERS for pair in pairs_of(folder, train=True)]


def commit_of(name: str) -> str:
    return hashlib.sha1(name.encode()).hexdigest()


def write_data_set(folder: Path) -> None:
    """The official layout; the red team's attempts lie beside the pairs there, and are none."""
    contents = {f"{name}/{split}": pairs_of(name, split == "train") for name in FOLDERS for split in ("train", "test")}
    contents["red-team-attempts/red_team_attempts"] = [{"transcript": "\n\nHuman: Hi\n\nAssistant: Hi", "rating": 0.0}]
    for name, rows in contents.items():
        file = folder / f"{name}.jsonl.gz"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(gzip.compress("".join(json.dumps(row) + "\n" for row in rows).encode(), mtime=0))
    (folder / "README.md").write_text("---\nlicense: mit\ntags:\n- human-feedback\n---\n# Pairs\n")


def write_models(folder: Path) -> None:
    """Tiny classifiers with random weights, with the kinds of files that such repositories hold."""
    import sentencepiece
    import torch
    import transformers
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors, trainers

    texts = [text for pair in TRAIN_PAIRS for text in pair.values()]
    special = ["[PAD]", "[CLS]", "[SEP]", "[UNK]", "[MASK]"]
    for seed, (role, name) in enumerate(MODELS.items()):
        place = folder / name
        place.mkdir(parents=True)
        torch.manual_seed(seed)
        sizes: dict[str, Any] = {"num_hidden_layers": 2, "num_attention_heads": 2, "hidden_size": 16, "intermediate_size": 32}
        sizes |= {"num_labels": 1, "pad_token_id": 0, "initializer_range": 0.3, "vocab_size": 400}
        model: Any
        if role == "electra":
            model = transformers.ElectraForSequenceClassification(transformers.ElectraConfig(embedding_size=16, **sizes))
            tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
            tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
            tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
            tokenizer.train_from_iterator(texts, trainers.WordPieceTrainer(vocab_size=300, special_tokens=special))
            tokenizer.post_processor = processors.BertProcessing(("[SEP]", 2), ("[CLS]", 1))
            transformers.ElectraTokenizerFast(tokenizer_object=tokenizer).save_pretrained(place)
        else:
            attention = {"relative_attention": True, "position_buckets": 32, "pos_att_type": ["p2c", "c2p"], "norm_rel_ebd": "layer_norm"}
            attention |= {"position_biased_input": False, "max_position_embeddings": 64, "share_att_key": True, "type_vocab_size": 0}
            model = transformers.DebertaV2ForSequenceClassification(transformers.DebertaV2Config(**sizes, **attention))
            sentencepiece.SentencePieceTrainer.train(
                sentence_iterator=iter(texts),
                model_prefix=str(place / "spm"),
                vocab_size=200,
                hard_vocab_limit=False,
                minloglevel=2,
                **{f"{name}_id": number for number, name in enumerate(("pad", "bos", "eos", "unk"))},
                **{f"{name}_piece": piece for name, piece in zip(("pad", "bos", "eos", "unk"), special[:4], strict=True)},
            )
            (place / "spm.vocab").unlink()
            (place / "tokenizer_config.json").write_text('{"tokenizer_class": "DebertaV2Tokenizer", "do_lower_case": false}')
            if role == "aligned":  # the tokenizer in its fast form as well, as some of them come
                transformers.AutoTokenizer.from_pretrained(place).save_pretrained(place)
        if role in ("control", "aligned"):
            torch.save(model.state_dict(), place / "pytorch_model.bin")
        if role != "control":
            model.save_pretrained(place)  # safetensors, which go before pickled weights where both are there
        model.config.save_pretrained(place)
        (place / "README.md").write_text(f"# {name}\n")
        (place / "training_args.bin").write_bytes(b"no weights")
        (place / "checkpoint-1").mkdir()
        (place / "checkpoint-1" / "config.json").write_text("{}")


def write_encoder(folder: Path) -> None:
    """A tiny sentence encoder with random weights in the layout of BAAI/bge-m3: pickled weights alone, the first token's state as the
    embedding, a last layer that has no folder, and much that is none of the encoder's."""
    import torch
    import transformers

    texts = [text for pair in TRAIN_PAIRS for text in pair.values()]
    words = sorted({word for text in texts for word in re.findall(r"\w+", text)})
    characters = [chr(code) for code in range(33, 127)]
    pieces = [(special, 0.0) for special in ("<s>", "<pad>", "</s>", "<unk>")]
    pieces += [(piece, -8.0) for piece in ("▁", *characters)] + [(f"▁{word}", -4.0) for word in words] + [("<mask>", 0.0)]
    tokenizer = transformers.XLMRobertaTokenizer(vocab=pieces, model_max_length=8192)
    sizes: dict[str, Any] = {"num_hidden_layers": 2, "num_attention_heads": 2, "hidden_size": 16, "intermediate_size": 32}
    sizes |= {"vocab_size": len(tokenizer), "max_position_embeddings": 8194, "type_vocab_size": 1, "initializer_range": 0.3}
    sizes |= {"bos_token_id": 0, "pad_token_id": 1, "eos_token_id": 2}
    torch.manual_seed(0)
    model: Any = transformers.XLMRobertaModel(transformers.XLMRobertaConfig(architectures=["XLMRobertaModel"], **sizes))
    folder.mkdir(parents=True)
    tokenizer.save_pretrained(folder)
    model.config.save_pretrained(folder)
    torch.save(model.state_dict(), folder / "pytorch_model.bin")
    layers = [("", "Transformer"), ("1_Pooling", "Pooling"), ("2_Normalize", "Normalize")]
    contents = {
        "modules.json": [
            {"idx": number, "name": str(number), "path": path, "type": f"sentence_transformers.models.{kind}"}
            for number, (path, kind) in enumerate(layers)
        ],
        "sentence_bert_config.json": {"max_seq_length": 8192, "do_lower_case": False},
        "config_sentence_transformers.json": {"__version__": {"sentence_transformers": "2.2.2"}},
        "1_Pooling/config.json": {"word_embedding_dimension": 16, "pooling_mode_cls_token": True, "pooling_mode_mean_tokens": False},
        "onnx/config.json": {},
    }
    for name, content in contents.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(json.dumps(content))
    for name in ("colbert_linear.pt", "sparse_linear.pt", "onnx/model.onnx", "imgs/bm25.jpg", "long.jpg", "README.md"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(b"none of the encoder's")


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    folder = tmp_path_factory.mktemp("hub")
    write_data_set(folder / DATA)
    write_models(folder)
    write_encoder(folder / ENCODER)
    with Hub() as server:
        server.add("datasets", DATA, DATA_COMMIT, folder / DATA)
        for name in (*MODELS.values(), ENCODER):
            server.add("models", name, commit_of(name), folder / name)
        yield server


WATCH = """
import os, sys

def watch(event, arguments):
    if event == "socket.getaddrinfo":
        place = arguments[:2]
    elif event == "socket.connect" and isinstance(arguments[1], tuple):
        place = arguments[1][:2]
    else:
        return
    with open(os.environ["CONNECTIONS"], "a") as log:
        print(*place, sep=":", file=log)

sys.addaudithook(watch)
"""
"""A sitecustomize module: every Python that starts with it on its path notes where it connects to, and what names it looks up."""


class Machine(NamedTuple):
    """A home of its own, and the environment of a user who reaches the hub and nothing else."""

    home: Path
    environment: dict[str, str]

    def run(self, *command: str | Path, folder: Path = ROOT, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(word) for word in command],
            cwd=folder,
            env=self.environment | environment,
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
        )

    def prepare(self, out: Path, *flags: str, **environment: str) -> subprocess.CompletedProcess[str]:
        files = ["--out", out / "pairs.parquet", "--rejects", out / "rejects.csv", "--counts", out / "counts.json"]
        return self.run(sys.executable, ROOT / "stages" / "prepare.py", "--source", "hub", *flags, *files, folder=out, **environment)

    def locate(self, *model: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """What a stage does with a model's name, without the seconds that torch takes to load."""
        script = "import command_line, sys; from seal.checkpoints import locate; print(locate(*sys.argv[1:]).folder)"
        path = os.pathsep.join([self.environment["PYTHONPATH"], str(ROOT / "stages")])
        return self.run(sys.executable, "-c", script, *model, PYTHONPATH=path, **environment)


def new_machine(home: Path, endpoint: str) -> Machine:
    home.mkdir()
    (home / "sitecustomize.py").write_text(WATCH)
    cleared = ("HF_", "HUGGING", "SEAL_", "TRANSFORMERS_")
    environment = {key: value for key, value in os.environ.items() if not key.startswith(cleared) and not key.lower().endswith("_proxy")}
    nowhere = "http://127.0.0.1:9"  # the discard port: nobody listens there
    environment |= {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",  # dvc runs the first python there
        "PYTHONPATH": str(home),
        "HOME": str(home),
        "HF_HOME": str(home / "huggingface"),
        "HF_ENDPOINT": endpoint,
        "DVC_SITE_CACHE_DIR": str(home / "dvc"),
        "CONNECTIONS": str(home / "connections"),
        "NO_PROXY": "127.0.0.1",
        **dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"), nowhere),
    }
    return Machine(home, environment)


@pytest.fixture
def machine(hub: Hub, tmp_path: Path) -> Machine:
    return new_machine(tmp_path / "home", hub.url)


@pytest.fixture
def dead() -> Iterator[str]:
    """The address of a server that is down: the port is taken, and nobody listens."""
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{nobody.getsockname()[1]}"


class Run(NamedTuple):
    """The pipeline, run twice, what the hub was asked each time, and where it all connected to."""

    folder: Path
    machine: Machine
    first: subprocess.CompletedProcess[str]
    second: subprocess.CompletedProcess[str]
    first_requests: Counter[str]
    second_requests: Counter[str]
    connections: set[str]
    openai: BatchServer
    ollama: OllamaServer
    labels_asked: list[Body]
    """What the labeler was asked, in the order of its answers."""
    rewriter: Scripted


@pytest.fixture(scope="module")
def audit(hub: Hub, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    """A copy of what git tracks, the recipe laid over params.yaml, and `dvc repro`."""
    labels_asked: list[Body] = []
    rewriter = Scripted()

    def label(body: Body) -> tuple[str, str]:
        labels_asked.append(body)
        return canned(body)

    def reword_or_label(body: Body) -> tuple[str, str]:
        return rewriter(body) if body["model"] == REWRITER else canned(body)

    with BatchServer(label) as openai, OllamaServer(reword_or_label, (CONTROL_LABELER, REWRITER)) as ollama:
        place = tmp_path_factory.mktemp("audit")
        machine = new_machine(place / "home", hub.url)
        machine.environment.update(openai.environment | ollama.environment | {"OLLAMA_API_HOST": ollama.url, "SEAL_POLL": "0.1"})
        folder = copy_of_what_git_tracks(place / "seal")
        hub.requests.clear()
        first = machine.run("dvc", "repro", folder=folder)
        first_requests = Counter(hub.requests)
        hub.requests.clear()
        second = machine.run("dvc", "repro", folder=folder)
        connections = set((machine.home / "connections").read_text().splitlines())
        requests = first_requests, Counter(hub.requests)
        yield Run(folder, machine, first, second, *requests, connections, openai, ollama, labels_asked, rewriter)


def copy_of_what_git_tracks(folder: Path) -> Path:
    for name in subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split("\0"):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
    subprocess.run(["git", "init", "--quiet"], cwd=folder, check=True)
    shutil.copy(folder / "recipes" / "hh-rlhf.yaml", folder / "params.yaml")
    return folder


def read_json(file: Path) -> Any:
    return json.loads(file.read_text())


def test_every_stage_of_the_unchanged_recipe_runs_once_and_then_not_again(audit: Run) -> None:
    assert audit.first.returncode == 0, audit.first.stdout + audit.first.stderr
    ran = re.findall(r"Running stage '(.+)'", audit.first.stdout)
    assert {"prepare", "regimes", "labelers", "summary"} <= set(ran)
    assert {f"{stage}@{role}" for stage in ("compare", "resistance") for role in ROLES} <= set(ran)
    assert sum(name.startswith("pairwise@") for name in ran) == math.comb(len(ROLES), 2)
    assert set(REWRITE_STAGES) <= set(ran)
    assert audit.second.returncode == 0
    assert "Running stage" not in audit.second.stdout
    assert sorted(re.findall(r"Stage '(.+)' didn't change, skipping", audit.second.stdout)) == sorted(ran)
    assert not audit.second_requests


def test_no_row_is_lost_between_the_hub_and_the_scores(audit: Run) -> None:
    counts = read_json(audit.folder / "data" / "prepare" / "counts.json")
    assert (counts["rows"], counts["pairs"], counts["rejects"]) == (len(TRAIN_PAIRS), len(TRAIN_PAIRS), 0)
    pairs = pd.read_parquet(audit.folder / "data" / "prepare" / "pairs.parquet")
    assert list(pairs["row_id"]) == list(range(len(TRAIN_PAIRS)))
    assert pairs[["chosen_text", "rejected_text"]].to_dict("records") == [
        {f"{side}_text": text for side, text in pair.items()} for pair in TRAIN_PAIRS
    ]
    for role in ROLES:
        check = read_json(audit.folder / "data" / "compare" / f"{role}.json")
        assert check["pairs"] == check["pairs_scored"] == len(TRAIN_PAIRS)
        assert len(pd.read_csv(audit.folder / "data" / "compare" / f"{role}.csv")) == len(TRAIN_PAIRS)


def test_every_role_has_metrics(audit: Run) -> None:
    metrics = audit.folder / "metrics"
    for role in ROLES:
        figures = read_json(metrics / "resistance" / f"{role}.json")["all"]
        scores = pd.read_csv(audit.folder / "data" / "compare" / f"{role}.csv")
        agreement = (scores["chosen_score"] > scores["rejected_score"]).mean()
        assert figures["resistance"] == pytest.approx(1 - agreement, abs=1e-5)
    names = yaml.safe_load((audit.folder / "params.yaml").read_text())["pairwise"]
    assert {file.stem for file in (metrics / "pairwise").glob("*.json")} >= set(names)
    assert read_json(metrics / "summary.json")["pairs"] == len(TRAIN_PAIRS)


def test_side_files_name_the_commit_that_main_stood_for(audit: Run) -> None:
    for role, name in MODELS.items():
        check = read_json(audit.folder / "data" / "compare" / f"{role}.json")
        assert (check["model"], check["revision"]) == (name, commit_of(name))
    assert read_json(audit.folder / "data" / "prepare" / "counts.json")["revision"] == DATA_COMMIT


@pytest.mark.parametrize("role", MODELS)
def test_rewards_are_those_of_the_model_under_that_name(audit: Run, hub: Hub, role: str) -> None:
    import torch
    import transformers

    folder = hub.repositories["models", MODELS[role]].folder
    model = transformers.AutoModelForSequenceClassification.from_pretrained(folder).eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    scores = pd.read_csv(audit.folder / "data" / "compare" / f"{role}.csv")
    for row in (0, len(TRAIN_PAIRS) - 1):
        for side, text in TRAIN_PAIRS[row].items():
            prompt, marker, response = text.rpartition("Assistant:")
            with torch.inference_mode():
                reward = model(**tokenizer(prompt, marker + response, return_tensors="pt")).logits.item()
            assert scores[f"{side}_score"][row] == pytest.approx(reward, abs=1e-4)


def test_only_the_files_of_the_model_are_fetched_and_pickled_weights_only_where_there_are_no_others(audit: Run) -> None:
    fetched = {request.partition(" /")[2] for request in audit.first_requests if "/resolve/" in request}
    for role, name in MODELS.items():
        files = {path.rpartition("/")[2] for path in fetched if path.startswith(f"{name}/resolve/")}
        assert ("pytorch_model.bin" in files, "model.safetensors" in files) == (role == "control", role != "control")
        assert not files & {"training_args.bin", "README.md"}
        assert not any("checkpoint-1" in path for path in fetched)


def texts_of(table: pd.DataFrame) -> Counter[str]:
    """Each text of a table of pairs or versions, by the name that its request has."""
    return Counter(f"{row_id}.{side}" for row_id in table["row_id"] for side in ("chosen", "rejected"))


def features_asked(body: Body) -> set[str]:
    """The features that the instructions of a labelling request name, each on a line of its own."""
    return {feature for feature in FEATURES if f"\n- {feature}: " in body["messages"][0]["content"]}


def test_every_text_is_labelled_once_through_the_batch_api_and_again_by_the_control(audit: Run) -> None:
    pairs, versions = (pd.read_parquet(audit.folder / "data" / name) for name in ("prepare/pairs.parquet", "rewrite/versions.parquet"))
    assert audit.openai.answered.custom_ids == texts_of(pairs) + texts_of(versions)
    assert set(audit.openai.answered.bodies.values()) == set(audit.ollama.answered.bodies.values()) == {1}
    for table, asked in (
        ("taxonomy-output/taxonomy.csv", pairs),
        ("taxonomy-control/ollama.csv", pairs),
        ("rewrite/taxonomy-output/taxonomy.csv", versions),
    ):
        labels = pd.read_csv(audit.folder / "data" / table)
        assert Counter(f"{row}.{side}" for row, side in zip(labels["row_id"], labels["preference"], strict=True)) == texts_of(asked)
    assert read_json(audit.folder / "metrics" / "labelers.json")["labeler"]["model"] == "gpt-4-turbo"


def test_versions_are_labelled_with_five_features_only(audit: Run) -> None:
    versions = pd.read_parquet(audit.folder / "data" / "rewrite" / "versions.parquet")
    asked = Counter(frozenset(features_asked(body)) for body in audit.labels_asked)
    assert asked == {frozenset(FEATURES): 2 * len(TRAIN_PAIRS), frozenset(LABELS_OF_VERSIONS): 2 * len(versions)}
    labels = pd.read_csv(audit.folder / "data" / "rewrite" / "taxonomy-output" / "taxonomy.csv")
    assert set(labels.columns[labels.notna().any()]) == {"row_id", "preference", "text"} | LABELS_OF_VERSIONS


def test_every_text_is_reworded_twice_as_in_the_paper(audit: Run) -> None:
    asked = audit.rewriter.asked
    assert len(asked) == 2 * 2 * len(TRAIN_PAIRS)
    assert {(body["model"], body["temperature"]) for body in asked} == {("mistral:7b-instruct-fp16", 0.1)}
    versions = pd.read_parquet(audit.folder / "data" / "rewrite" / "versions.parquet")
    for version in ("rewritten", "second"):
        expected = [
            {side: re.sub(r"(?<=: ).+", lambda turn: in_other_words(turn[0], version), text) for side, text in pair.items()}  # noqa: B023
            for pair in TRAIN_PAIRS
        ]
        found = versions[versions["version"] == version].sort_values("pair_row_id")
        assert found["pair_row_id"].tolist() == list(range(len(TRAIN_PAIRS)))
        assert found[["chosen_text", "rejected_text"]].set_axis(["chosen", "rejected"], axis=1).to_dict("records") == expected
    assert versions["version"].value_counts().to_dict() == dict.fromkeys(("original", "rewritten", "second", "trivial"), len(TRAIN_PAIRS))


def test_robustness_is_that_of_all_pairs_and_names_the_models_it_was_measured_with(audit: Run) -> None:
    figures = read_json(audit.folder / "metrics" / "robustness.json")
    assert (figures["rewriting"]["rewriter"], figures["rewriting"]["model"]) == ("ollama", REWRITER)
    assert (figures["rewriting"]["pairs_drawn"], figures["rewriting"]["pairs_rewritten"]) == (len(TRAIN_PAIRS), len(TRAIN_PAIRS))
    assert (figures["similarity"]["model"], figures["similarity"]["revision"]) == (ENCODER, commit_of(ENCODER))
    table = pd.read_csv(audit.folder / "data" / "rewrite" / "rewrite.csv")
    for role in ("control", "aligned"):
        scores = pd.read_csv(audit.folder / "data" / "compare" / f"{role}.csv")
        for side in ("chosen", "rejected"):
            assert table[f"original_{side}_score_rm_{role}"].tolist() == pytest.approx(scores[f"{side}_score"].tolist(), abs=1e-4)
        agrees = {of: table[f"{of}_chosen_score_rm_{role}"] > table[f"{of}_rejected_score_rm_{role}"] for of in ("original", "rewritten")}
        measured = figures["rewritten"]["all"]
        assert measured["pairs"] == len(TRAIN_PAIRS)
        became = (agrees["original"] & ~agrees["rewritten"]).mean()
        assert measured[role]["became_misaligned"]["share"] == pytest.approx(became, abs=1e-5)


def test_similarity_is_that_of_the_encoder_under_that_name(audit: Run, hub: Hub) -> None:
    import torch
    import transformers

    folder = hub.repositories["models", ENCODER].folder
    model = transformers.AutoModel.from_pretrained(folder).eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    table = pd.read_csv(audit.folder / "data" / "rewrite" / "rewrite.csv")
    for row in (0, len(TRAIN_PAIRS) - 1):
        for side in ("chosen", "rejected"):
            with torch.inference_mode():
                first, second = (
                    model(**tokenizer(table[f"{version}_{side}_text"][row], return_tensors="pt")).last_hidden_state[0, 0]
                    for version in ("original", "rewritten")
                )
            cosine = torch.nn.functional.cosine_similarity(first, second, dim=0).item()
            assert table[f"original_to_rewritten_{side}_vector_cos_sim"][row] == pytest.approx(cosine, abs=1e-5)


def test_only_the_files_of_the_encoder_are_fetched(audit: Run) -> None:
    prefix = f"/{ENCODER}/resolve/{commit_of(ENCODER)}/"
    fetched = {request.partition(prefix)[2] for request in audit.first_requests if prefix in request}
    assert {"pytorch_model.bin", "modules.json", "1_Pooling/config.json", "tokenizer.json"} <= fetched
    assert not {path for path in fetched if path.startswith(("onnx", "colbert", "sparse", "imgs", "long", "README"))}


def test_nothing_is_paid_for_twice_where_stages_are_made_to_run_again(audit: Run) -> None:
    paid = [dict(server.answered.bodies) for server in (audit.openai, audit.ollama)]
    outs = [audit.folder / "data" / "rewrite" / out for out in ("versions.parquet", "taxonomy-output/taxonomy.csv")]
    before = [out.read_bytes() for out in outs]
    stages = ["rewrite", "rewrite-process-batch"]
    answer = audit.machine.run("dvc", "repro", "--force", "--single-item", *stages, folder=audit.folder)
    assert answer.returncode == 0, answer.stdout + answer.stderr
    assert re.findall(r"Running stage '(.+)'", answer.stdout) == stages
    assert [dict(server.answered.bodies) for server in (audit.openai, audit.ollama)] == paid
    assert [out.read_bytes() for out in outs] == before


def test_nothing_goes_anywhere_but_to_the_servers(audit: Run, hub: Hub) -> None:
    servers = {address.partition("://")[2].partition("/")[0] for address in (audit.openai.base_url, audit.ollama.url)}
    assert audit.connections == set(hub.hosts) | servers


def test_a_limit_beyond_the_data_takes_all_and_says_so(machine: Machine, tmp_path: Path) -> None:
    answer = machine.prepare(tmp_path, "--name", DATA, "--revision", DATA_COMMIT, "--limit", "1000")
    assert answer.returncode == 0, answer.stderr
    assert f"limit 1000 is beyond the {len(TRAIN_PAIRS)} rows there are: all of them are taken" in answer.stderr
    assert len(pd.read_parquet(tmp_path / "pairs.parquet")) == len(TRAIN_PAIRS)


def test_a_data_dir_a_split_and_a_limit_narrow_the_data_down(machine: Machine, tmp_path: Path) -> None:
    answer = machine.prepare(
        tmp_path, "--name", DATA, "--revision", "main", "--data-dir", "helpful-online", "--split", "test", "--limit", "1"
    )
    assert answer.returncode == 0, answer.stderr
    (pair,) = pd.read_parquet(tmp_path / "pairs.parquet").to_dict("records")
    assert {side: pair[f"{side}_text"] for side in ("chosen", "rejected")} == pairs_of("helpful-online", train=False)[0]
    assert pair["source"] == f"{DATA}/helpful-online"
    assert read_json(tmp_path / "counts.json")["revision"] == DATA_COMMIT


def test_mistakes_in_naming_the_data_are_told_in_one_line(machine: Machine, tmp_path: Path) -> None:
    assert_one_line(machine.prepare(tmp_path, "--name", DATA), DATA, "without a revision")
    assert_one_line(machine.prepare(tmp_path, "--name", "Anthropic/none", "--revision", "main"), "Anthropic/none", "main")
    assert_one_line(machine.prepare(tmp_path, "--name", DATA, "--revision", "main", "--split", "none"), DATA, "none")
    assert not list(tmp_path.glob("*.parquet"))


def test_mistakes_in_naming_a_model_are_told_in_one_line(machine: Machine) -> None:
    model = MODELS["base"]
    assert_one_line(machine.locate(model), model, "without a revision", "main")
    assert_one_line(machine.locate(model, "none"), model, "revision none")
    assert_one_line(machine.locate("OpenAssistant/none", "main"), "OpenAssistant/none", "check the name")


def test_a_hub_that_is_out_of_reach_is_told_in_one_line(machine: Machine, tmp_path: Path, dead: str) -> None:
    assert_one_line(machine.locate(MODELS["base"], "main", HF_ENDPOINT=dead), MODELS["base"], dead, "connection")
    assert_one_line(machine.prepare(tmp_path, "--name", DATA, "--revision", "main", HF_ENDPOINT=dead), DATA, dead, "connection")
    assert not (tmp_path / "pairs.parquet").exists()


def test_what_was_fetched_once_is_found_again_without_a_connection(audit: Run, tmp_path: Path, dead: str) -> None:
    def located(role: str, revision: str, **environment: str) -> Path:
        answer = audit.machine.locate(MODELS[role], revision, **environment)
        assert answer.returncode == 0, answer.stderr
        return Path(answer.stdout.strip())

    for role, revision, weights in (
        ("control", "main", "pytorch_model.bin"),
        ("aligned", commit_of(MODELS["aligned"]), "model.safetensors"),
    ):
        folder = located(role, revision, HF_HUB_OFFLINE="1")
        assert folder.name == commit_of(MODELS[role])
        assert (folder / weights).is_file()
    assert located("base", "main", HF_ENDPOINT=dead).name == commit_of(MODELS["base"])
    answer = audit.machine.prepare(tmp_path, "--name", DATA, "--revision", DATA_COMMIT, HF_HUB_OFFLINE="1")
    assert answer.returncode == 0, answer.stderr
    assert (tmp_path / "pairs.parquet").read_bytes() == (audit.folder / "data" / "prepare" / "pairs.parquet").read_bytes()


def test_a_cache_of_another_commit_is_not_taken_for_the_one_asked_for(audit: Run, tmp_path: Path) -> None:
    other = "0" * 40
    assert_one_line(audit.machine.prepare(tmp_path, "--name", DATA, "--revision", other, HF_HUB_OFFLINE="1"), other, DATA_COMMIT)
    assert_one_line(audit.machine.locate(MODELS["base"], other, HF_HUB_OFFLINE="1"), MODELS["base"], other)
