"""Runs of the labelling stages as processes of their own, against a server of the tests, and what of them may never be seen.

with Server() as server, Study(folder, server.environment) as study:
    study.create()
    assert study.process(max_cost_usd=1).code == 0
"""

import asyncio
import atexit
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple, Self

import pandas as pd
from batch_server import BatchServer, Body, Call, Refused, body_hash, canned
from conftest import ROOT
from fastapi.requests import Request
from fastapi.responses import Response

from seal import pairs
from seal.features import FEATURES

KEY, IN_TEXT, IN_PROMPT, IN_ANSWER = "sk-wombat", "quokka", "pangolin", "narwhal"
"""Words that stand in the key, in every text, in the prompt and in every invalid answer, to be looked for where they must not be."""

ASKED = ["last_response_is_refusal", "last_response_sentiment", "topics"]
"""The features that are asked for: few, so that requests are short."""
MODEL = "gpt-x"
NEVER_SHOWN = (KEY, IN_TEXT, IN_PROMPT, IN_ANSWER, '"last_response_', "Traceback")

ZYGOTE = """
import gc, json, os, runpy, ssl, sys
stages = sys.argv[1]
sys.path.insert(0, stages)
import taxonomy_create_batch, taxonomy_process_batch, taxonomy_run_control_batch
import ollama, tqdm
from seal.language_models import ollama_chat, openai_batch, openai_chat
import dotenv

# What takes a client long to make: certificates, which nothing here looks at, and parts that are imported late.
ssl.SSLContext.load_verify_locations = lambda *given, **more: None
client = openai_batch.openai.OpenAI(api_key="none", base_url="http://127.0.0.1:9")
client.files.list, client.batches.list, client.chat.completions.with_raw_response, ollama.Client()
openai_batch.Batch.model_rebuild()
gc.freeze()

def become(job):
    for number, name in enumerate(("stdin", "out", "err")):
        os.dup2(os.open(job[name], os.O_RDONLY if number == 0 else os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
    os.chdir(job["folder"])
    os.environ.clear()
    os.environ.update(job["environment"])
    openai_chat.RETRIES, ollama_chat.TRIES = job["retries"], 1 + job["retries"]
    sys.stdin = open(0)
    sys.argv = [job["stage"], *job["flags"]]
    code = 0
    try:
        runpy.run_path(f"{stages}/{job['stage']}", run_name="__main__")
    except SystemExit as end:
        code = end.code
    except BaseException:
        sys.excepthook(*sys.exc_info())
        code = 1
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)

for line in sys.stdin:
    job = json.loads(line)
    if "wait" in job:
        print(os.waitstatus_to_exitcode(os.waitpid(job["wait"], 0)[1]), flush=True)
        continue
    child = os.fork()
    if child == 0:
        become(job)
    print(child, flush=True)
"""
"""Python with all that the stages import; each run of a stage is forked off it, which saves it the seconds of importing."""


@lru_cache(maxsize=1)
def _zygote() -> "subprocess.Popen[str]":
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", ZYGOTE, str(ROOT / "stages")]
    zygote = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment)
    atexit.register(zygote.communicate)  # which closes its stdin, and so it ends
    return zygote


def _tell_zygote(job: Body) -> int:
    zygote = _zygote()
    assert zygote.stdin is not None
    assert zygote.stdout is not None
    zygote.stdin.write(json.dumps(job) + "\n")
    zygote.stdin.flush()
    return int(zygote.stdout.readline())


@dataclass
class Kill:
    """The stage is killed at a call of an endpoint: before the server acts, or after it did and before it answers."""

    endpoint: str
    number: int = 1
    """At the how many-th call."""
    acts: bool = False
    victim: int = 0
    """The process; none is killed as long as it is 0."""


class Server(BatchServer):
    """A server of batches and chat completions whose errors quote all that they can: the key, the request."""

    def __init__(self, answer: Callable[[Body], tuple[Any, ...]] | None = None) -> None:
        super().__init__(answer)
        self.times: list[tuple[str, float]] = []
        self.kill: Kill | None = None
        self.turned_away: set[int] = set()
        """Which of the batches created, counted from 0, fail at validation, beside the next `script.fail_batches`."""
        self.pages: dict[str, Response] = {}
        """What is answered in place of anything else, by endpoint."""

    @property
    def environment(self) -> dict[str, str]:
        return super().environment | {"OPENAI_API_KEY": KEY}

    def error(self, failure: Refused) -> Body:
        content: Body = json.loads(json.dumps(failure.body))
        call = self.calls[-1]
        content["error"]["message"] += f" {call.authorization} {call.body.decode(errors='replace')} {IN_TEXT} {IN_PROMPT}"
        return content

    def take(self, fault: str) -> bool:
        return super().take(fault) or (fault == "fail_batches" and self.created in self.turned_away)

    def gaps(self, endpoint: str) -> list[float]:
        """Seconds between the calls of an endpoint."""
        moments = [moment for name, moment in self.times if name == endpoint]
        return [later - earlier for earlier, later in pairwise(moments)]

    async def _call(self, name: str, request: Request, handler: Callable[[Request], Coroutine[Any, Any, Response]]) -> Response:
        self.times.append((name, time.monotonic()))
        kill = self.kill
        due = False
        if kill is not None and kill.endpoint == name:
            kill.number -= 1
            due = kill.number == 0
        if kill is None or not due:
            if name in self.pages:
                self.calls.append(Call(name, request.headers.get("authorization"), request.url.query, await request.body()))
                return self.pages[name]
            return await super()._call(name, request, handler)
        while not kill.victim:  # it is named as soon as its number is known
            await asyncio.sleep(0.01)
        if not kill.acts:
            _kill(kill.victim)
            return Response(status_code=500)
        response = await super()._call(name, request, handler)
        _kill(kill.victim)
        return response


def _kill(process: int) -> None:
    """Kill -9, and see it dead."""
    os.kill(process, signal.SIGKILL)
    while Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z":
        time.sleep(0.005)


class Ran(NamedTuple):
    """What a run of a stage left."""

    code: int
    out: str
    err: str

    @property
    def line(self) -> str:
        """The one line that tells of a mistake."""
        lines = [line for line in self.err.splitlines() if line.startswith("error: ")]
        assert self.code == 1, self
        assert len(lines) == 1, self
        assert self.err.endswith(f"{lines[0]}\n"), self
        return lines[0]


_manifests: dict[str, str] = {}


class Study:
    """A folder with pairs, a prompt and what the stages make of them.

    When it ends, no word of the texts, the prompt, an answer or the key stands in anything that a run said, nor in the ledgers and side
    files, and the key in no file at all.

    Parameters
    ----------
    environment
        Beside what every run gets.
    number
        Of pairs; each has two texts.
    """

    def __init__(self, folder: Path, environment: dict[str, str], number: int = 4) -> None:
        self.folder = folder
        # Patience is short, so that nothing here waits as long as users do.
        self.environment = {"PATH": os.environ["PATH"], "HOME": str(folder), "OMP_NUM_THREADS": "1", "SEAL_WORK": str(folder / "work")}
        self.environment |= {"SEAL_POLL": "0.01", "SEAL_WAIT": "15", "SEAL_WORKERS": "2", **environment}
        self.retries = 3
        self.options: Body = {}
        """What the control stage is given each time."""
        self.said = ""
        self._processes = 0
        write_pairs(folder / "pairs.parquet", number)
        write_prompt(folder / "prompt.txt")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            self.look_for_leaks()

    def look_for_leaks(self) -> None:
        for word in NEVER_SHOWN:
            assert word not in self.said
        for file in self.folder.rglob("*"):
            if file.is_file() and file.name not in (".env", "pairs.parquet"):
                content = file.read_text()
                assert KEY not in content, file
                if file.name in ("cost.json", "coverage.json") or "openai-batch" in file.parts:
                    assert not [word for word in NEVER_SHOWN if word in content], file

    # Stages

    def have_manifest(self) -> None:
        """As `create`, in less time where the same was created before."""
        files = ("manifest/requests-00000.jsonl", "cost.json")
        if not _manifests:
            assert self.create().code == 0
            _manifests.update({file: (self.folder / file).read_text() for file in files})
        (self.folder / "manifest").mkdir(exist_ok=True)
        for file in files:
            (self.folder / file).write_text(_manifests[file])

    def create(self, **options: Any) -> Ran:
        return self.wait(self.start_create(**options))

    def start_create(self, **options: Any) -> int:
        given = {"pairs": "pairs.parquet", "out": "manifest", "metrics": "cost.json", "prompt": "prompt.txt", "labeler": "openai"}
        given |= {"model": MODEL, "features": ASKED, "prices": f"{MODEL}=1/2"}
        return self._start("taxonomy_create_batch.py", given | options)

    def process(self, **options: Any) -> Ran:
        return self.wait(self.start_process(**options))

    def start_process(self, **options: Any) -> int:
        given = {"manifest": "manifest", "labeler": "openai", "out": "taxonomy.csv", "answers": "answers.jsonl", "invalid": "invalid.csv"}
        given |= {"coverage": "coverage.json", "prices": f"{MODEL}=1/2"}
        return self._start("taxonomy_process_batch.py", {"max_cost_usd": 1, **given, **options})

    def control(self, **options: Any) -> Ran:
        return self.wait(self.start_control(**options))

    def start_control(self, **options: Any) -> int:
        given = {"pairs": "pairs.parquet", "labeler": "openai", "model": MODEL, "prompt": "prompt.txt", "out": "taxonomy.csv"}
        given |= {"answers": "answers.jsonl", "dropped": "invalid.csv", "coverage": "coverage.json", "features": ASKED}
        return self._start(
            "taxonomy_run_control_batch.py", {"max_cost_usd": 1, "prices": f"{MODEL}=1/2", **given, **self.options, **options}
        )

    def _start(self, stage: str, options: Body) -> int:
        self._processes += 1
        files = {name: self.folder / "said" / f"{self._processes}.{name}" for name in ("stdin", "out", "err")}
        files["stdin"].parent.mkdir(exist_ok=True)
        files["stdin"].write_text(options.pop("stdin", ""))
        job = {"stage": stage, "flags": flags(options), "folder": str(self.folder), "environment": self.environment}
        process = _tell_zygote(job | {"retries": self.retries} | {name: str(file) for name, file in files.items()})
        self._files = getattr(self, "_files", {}) | {process: files}
        return process

    def wait(self, process: int) -> Ran:
        """The end of a stage."""
        code = _tell_zygote({"wait": process})
        out, err = (self._files[process][name].read_text() for name in ("out", "err"))
        self.said += out + err
        return Ran(code, out, err)

    # What they wrote

    @property
    def labels(self) -> pd.DataFrame:
        return pd.read_csv(self.folder / "taxonomy.csv")

    @property
    def invalid(self) -> pd.DataFrame:
        return pd.read_csv(self.folder / "invalid.csv", keep_default_na=False)

    @property
    def coverage(self) -> Body:
        content: Body = json.loads((self.folder / "coverage.json").read_text())
        return content

    @property
    def cost(self) -> Body:
        content: Body = json.loads((self.folder / "cost.json").read_text())
        return content

    @property
    def answers(self) -> list[Body]:
        return [json.loads(line) for line in (self.folder / "answers.jsonl").read_text().splitlines()]

    @property
    def manifest(self) -> dict[str, Body]:
        """The bodies of the requests, by custom_id."""
        lines = [line for file in sorted((self.folder / "manifest").iterdir()) for line in file.read_text().splitlines()]
        return {line["custom_id"]: line["body"] for line in map(json.loads, lines)}

    def forget(self) -> None:
        """Lose .work."""
        (self.folder / "work").rename(self.folder / f"work-{self._processes}")


def flags(options: Body) -> list[str]:
    """Options as a command line."""
    words: list[str] = []
    for name, value in options.items():
        if value is not False:
            words.append(f"--{name.replace('_', '-')}")
            words += [] if value is True else [str(each) for each in value] if isinstance(value, list) else [str(value)]
    return words


def assert_all_labelled(study: Study) -> None:
    """Every text of the manifest has the labels that the server gives to it, and to no other."""
    labels = study.labels
    assert (labels["row_id"].astype(str) + "." + labels["preference"]).tolist() == list(study.manifest)
    for (_, row), (custom_id, body) in zip(labels.iterrows(), study.manifest.items(), strict=True):
        assert text_number(*custom_id.split(".")) in row["text"]
        expected = json.loads(canned(body)[0])
        assert {feature: json.loads(row[feature]) if feature == "topics" else row[feature] for feature in ASKED} == expected


def needed(study: Study) -> Counter[str]:
    """Every request of the manifest once, as a server counts them."""
    return Counter(body_hash(body) for body in study.manifest.values())


def text_number(row_id: int | str, preference: str) -> str:
    """The words by which a text is known in a request."""
    return f"{IN_TEXT} {row_id} {preference}"


def write_pairs(path: Path, number: int) -> None:
    """Pairs with the row_ids 0, 1, 2, ..."""
    rows = []
    for row_id in range(number):
        row: Body = {"row_id": row_id, "source": "test", "part": "train", "opening_prompt": f"may I have a {IN_TEXT}?"}
        for preference in pairs.PREFERENCES:
            prompt, response = f"\n\nHuman: may I have a {IN_TEXT}?\n\nAssistant:", f" {text_number(row_id, preference)}."
            row |= {f"{preference}_text": prompt + response, f"{preference}_prompt": prompt, f"{preference}_response": response}
            row |= {f"{preference}_turns": 2}
        rows.append(row)
    pairs.write(path, pd.DataFrame(rows))


def write_prompt(path: Path, words: str = f"Label the {IN_PROMPT}.") -> None:
    """A wording of few tokens."""
    path.write_text("\n".join([words, *(f"- {feature}: so" for feature in FEATURES)]))


class Answering:
    """Canned labels, but for what a test says of a text.

    `says` has, by the words of a text (`text_number`), what is answered to it in place of labels, call after call; the last one stays. An
    answer is content and finish_reason, None for the canned one, seconds after which that comes, or an exception to raise.
    """

    def __init__(self, says: dict[str, list[Any]] | None = None) -> None:
        self.says = says or {}
        self.asked: list[str] = []

    def __call__(self, body: Body) -> tuple[Any, ...]:
        match = re.search(rf"{IN_TEXT} \d+ \w+", str(body["messages"][-1]["content"]))
        known = match[0] if match else ""
        self.asked.append(known)
        script = self.says.get(known)
        if not script:
            return canned(body)
        said = script.pop(0) if len(script) > 1 else script[0]
        if said is None or isinstance(said, float):
            time.sleep(said or 0)
            return canned(body)
        if isinstance(said, Exception):
            raise said
        answer: tuple[Any, ...] = said
        return answer


INVALID = (f"I would rather not say, {IN_ANSWER}.", "stop")
TRUNCATED = (f'{{"last_response_is_refusal": true, "{IN_ANSWER}', "length")
