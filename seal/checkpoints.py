"""From the name of a model in the params to the folder that holds it."""

import importlib
import os
from pathlib import Path
from typing import NamedTuple

from seal.errors import InputError
from seal.files import folder_fingerprint

PACKAGE = "package:"
"""Prefix of a model that lies in an installed Python package, in the folder that its `get_model_path()` names."""

_ROOT_FILES = (".json", ".safetensors", ".bin", ".model", ".txt", ".jinja")


class Checkpoint(NamedTuple):
    """A model's files in a local folder."""

    name: str
    """As the params name it."""
    folder: Path
    revision: str
    """The commit of a hub model; empty for any other."""

    def fingerprint(self) -> str:
        """Changes when the model does."""
        return self.revision or folder_fingerprint(self.folder)


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
        except (ImportError, AttributeError):
            raise InputError(f"model {name}: no installed package {module} with a get_model_path(); install it") from None
        return Checkpoint(name, folder, "")
    if Path(name).is_dir():
        return Checkpoint(name, Path(name), "")
    if name.count("/") != 1 or name.startswith((".", "/", "data/")):
        raise InputError(f"model {name}: no such folder; name an existing folder, a hub id (owner/name) or {PACKAGE}<module>")
    if not revision:
        raise InputError(f"model {name}: a hub model without a revision; name a commit in `revision`, or main")
    return _from_hub(name, revision)


def _from_hub(name: str, revision: str) -> Checkpoint:
    import huggingface_hub
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OfflineModeIsEnabled

    try:
        try:
            siblings = huggingface_hub.HfApi().model_info(name, revision=revision).siblings or []
            files = [file.rfilename for file in siblings if _wanted(file.rfilename)]
            if any(file.endswith(".safetensors") for file in files):
                files = [file for file in files if not file.endswith(".bin")]
            folder = huggingface_hub.snapshot_download(name, revision=revision, allow_patterns=files)
        except (OSError, OfflineModeIsEnabled) as error:
            if isinstance(error, HfHubHTTPError):
                raise
            folder = huggingface_hub.snapshot_download(name, revision=revision, local_files_only=True)
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        hub = os.environ.get("HF_ENDPOINT", "the hub")
        raise InputError(
            f"model {name}, revision {revision}: {hub} does not give it, nor is it in the local cache ({reason}); "
            "check the name, the revision and the connection"
        ) from error
    return Checkpoint(name, Path(folder), Path(folder).name)


def _wanted(file: str) -> bool:
    return "/" not in file and file.endswith(_ROOT_FILES) and not file.startswith(("training_args", "optimizer", "scheduler"))
