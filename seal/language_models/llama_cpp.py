"""Language models in the GGUF format, run in this process by llama.cpp."""

import os
from pathlib import Path
from typing import Any

from seal.checkpoints import PACKAGE, package_folders
from seal.errors import InputError
from seal.files import file_hash
from seal.language_models.answers import Answer, Engine, Unanswered
from seal.language_models.batch_files import Body
from seal.language_models.environment import whole_number


def engine(model: str, context_tokens: int) -> Engine:
    """Load a model.

    Parameters
    ----------
    model
        A .gguf file, or `package:<module>` for the one that lies in an installed Python package.
    context_tokens
        Room for a request and its answer together, as `attempts.check_limits` allows it.

    Raises
    ------
    InputError
        If there is no such file, llama.cpp cannot load it, or `SEAL_THREADS` is no whole number.
    """
    import xllamacpp

    path = locate(model)
    parameters = xllamacpp.CommonParams()
    parameters.model.path = str(path)
    parameters.n_ctx = context_tokens
    parameters.n_parallel = 1
    parameters.cache_ram_mib = parameters.n_ctx_checkpoints = 0  # see `same_start`
    parameters.cpuparams.n_threads = parameters.cpuparams_batch.n_threads = _threads()
    # It opens a port of its own, on 127.0.0.1; nothing that is not needed shall answer there.
    parameters.hostnames = ["127.0.0.1"]
    parameters.ui = parameters.endpoint_slots = parameters.endpoint_props = False
    parameters.verbosity = -1
    try:
        server = xllamacpp.Server(parameters)
    except (RuntimeError, ValueError) as error:
        raise InputError(f"model {model}: llama.cpp cannot load {path} ({error}); is it a whole GGUF file?") from None

    instructions: list[dict[str, str]] = []

    def complete(body: Body) -> dict[str, Any]:
        try:
            completion: dict[str, Any] = server.handle_chat_completions(body)
        except (RuntimeError, ValueError) as error:
            raise InputError(f"model {model}: llama.cpp cannot put the request to it ({error}); take another model") from None
        return completion

    def same_start(messages: list[dict[str, str]]) -> None:
        """Leave the instructions, and nothing else, in the model's memory, worked out in the same way each time.

        What it remembers of the last request is used for the next as far as both begin alike, which saves the work on the instructions.
        But how much was remembered shows in the last digits of a sum, and so, now and then, in an answer: a text's labels would depend
        on the text before it.
        """
        nonlocal instructions
        known, instructions = instructions == messages[:-1], messages[:-1]
        complete({"messages": [*instructions, {"role": "user", "content": "-"}], "max_tokens": 1, "temperature": 0, "cache_prompt": known})

    def ask(body: Body) -> Answer:
        same_start(body["messages"])
        completion = complete({key: value for key, value in body.items() if key != "model"})
        if "error" in completion:
            kind = str(completion["error"].get("type", "error"))
            raise Unanswered("longer than the context" if kind == "exceed_context_size_error" else kind.replace("_", " "))
        choice, usage = completion["choices"][0], completion["usage"]
        return Answer(choice["message"]["content"] or "", choice["finish_reason"], usage["prompt_tokens"], usage["completion_tokens"])

    return Engine(ask)


def _threads() -> int:
    """`SEAL_THREADS`, or half the logical processors: threads that wait for each other on one core are slower than one alone."""
    return whole_number("SEAL_THREADS", (os.cpu_count() or 1) // 2)


def identity(model: str) -> str:
    """What the answers depend on beside the request: the file."""
    return f"llama-cpp {file_hash(locate(model))}"


def locate(model: str) -> Path:
    """The GGUF file of a model.

    Raises
    ------
    InputError
        If there is none, or a package holds several.
    """
    if not model.startswith(PACKAGE):
        if not Path(model).is_file():
            raise InputError(f"model {model}: no such file; name a .gguf file or {PACKAGE}<module>")
        return Path(model)
    files = [path for folder in package_folders(model) for path in sorted(folder.glob("*.gguf"))]
    if len(files) != 1:
        raise InputError(f"model {model}: {len(files)} .gguf files in an installed package of this name, expected one; name the file")
    return files[0]
