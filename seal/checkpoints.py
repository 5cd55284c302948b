"""From the name of a model in the params to the folder that holds it."""

import importlib
import importlib.util
import os
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from seal.errors import InputError
from seal.files import folder_fingerprint

PACKAGE = "package:"
"""Prefix of a model that lies in an installed Python package, in the folder that its `get_model_path()` names."""

_FILES = ["*.json", "*.safetensors", "*.model", "*.txt", "*.jinja"]
_PICKLED = ["*.bin"]
_NOT_THE_MODEL = ["*/*", "training_args*", "optimizer*", "scheduler*"]


@dataclass(frozen=True)
class Checkpoint:
    """A model's files in a local folder."""

    name: str
    """As the params name it."""
    folder: Path
    revision: str
    """The commit of a hub model; empty for any other."""

    def fingerprint(self) -> str:
        """Changes when the model does."""
        return self.revision or self._files

    @cached_property
    def _files(self) -> str:
        return folder_fingerprint(self.folder)  # which reads all weights, so once is enough


def locate(name: str, revision: str = "") -> Checkpoint:
    """Find a model: `package:<module>`, an existing folder, or an id on the hub, whose files are fetched.

    Raises
    ------
    InputError
        If there is no such package, folder or hub model, or a hub model has no revision.
    """
    if name.startswith(PACKAGE):
        module = name.removeprefix(PACKAGE)
        try:
            folder = Path(importlib.import_module(module).get_model_path())
        except (ImportError, AttributeError, TypeError, ValueError):
            raise InputError(f"model {name}: no installed package {module} with a get_model_path(); install it") from None
        return Checkpoint(name, folder, "")
    if name and Path(name).is_dir():
        return Checkpoint(name, Path(name), "")
    if name.count("/") != 1 or name.startswith((".", "/", "data/")):
        raise InputError(f"model {name}: no such folder; name an existing folder, a hub id (owner/name) or {PACKAGE}<module>")
    if not revision:
        raise InputError(f"model {name}: a hub model without a revision; name a commit in `revision`, or main")
    return _from_hub(name, revision)


def package_folders(name: str) -> list[Path]:
    """The folders of the installed package that `package:<module>` names; none where there is no such package.

    It is not imported: it may need a runtime of its own that isn't here, and only its files are wanted.
    """
    try:
        found = importlib.util.find_spec(name.removeprefix(PACKAGE))
    except (ImportError, AttributeError, TypeError, ValueError):  # of a dotted name, what stands before the dot is imported
        return []
    return [Path(folder) for folder in (found.submodule_search_locations or [])] if found else []


def _from_hub(name: str, revision: str) -> Checkpoint:
    """Fetch what is not in the local cache yet. Without a connection the cache is enough, if it holds the whole model."""
    import huggingface_hub

    def fetch(files: list[str]) -> Path:
        return Path(huggingface_hub.snapshot_download(name, revision=commit, allow_patterns=files, ignore_patterns=_NOT_THE_MODEL))

    try:
        commit = huggingface_hub.HfApi().resolve_revision(name, revision=revision).resolved
        folder = fetch(_FILES)
        if not any(folder.glob("*.safetensors")):
            folder = fetch(_PICKLED)
    except Exception as error:  # the client raises many kinds for one cause: the model could not be had
        reason = str(error).splitlines()[0] if str(error) else ""
        hub = os.environ.get("HF_ENDPOINT", "the hub")
        raise InputError(
            f"model {name}, revision {revision}: {hub} does not give it, nor is it whole in the local cache "
            f"({type(error).__name__}: {reason}); check the name, the revision and the connection"
        ) from error
    return Checkpoint(name, folder, commit)
