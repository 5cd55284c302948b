"""Where a model is looked for: a folder or an installed package. (Models of a hub are tested with the hub.)"""

import shutil
from pathlib import Path

import pytest

from seal import checkpoints
from seal.checkpoints import Checkpoint
from seal.errors import InputError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "model"
    made.mkdir()
    (made / "config.json").write_text("{}")
    (made / "weights.bin").write_bytes(b"\0\1\2")
    return made


def test_a_folder_is_taken_as_it_is(folder: Path) -> None:
    assert checkpoints.locate(str(folder)) == Checkpoint(str(folder), folder, "")


def test_a_folder_is_never_looked_for_on_a_hub(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder.parent / "owner").mkdir()
    folder.rename(folder.parent / "owner" / "name")
    monkeypatch.chdir(folder.parent)
    assert checkpoints.locate("owner/name").folder == Path("owner/name")


def test_a_package_names_its_own_folder(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "some_weights.py").write_text(f"def get_model_path():\n    return {str(folder)!r}\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert checkpoints.locate("package:some_weights") == Checkpoint("package:some_weights", folder, "")


@pytest.mark.parametrize("name", ["package:no_such_package_anywhere", "package:json", "package:", "package:.relative"])
def test_a_package_that_is_missing_or_holds_no_model_is_told(name: str) -> None:
    with pytest.raises(InputError, match=r"^model package:.*: no installed package .* with a get_model_path\(\); install it$"):
        checkpoints.locate(name)


@pytest.mark.parametrize("name", ["data/train/absent", "./owner/name", "/no/such/folder", "../name", "three/parts/here", "name", ""])
def test_a_folder_that_does_not_exist_is_told(name: str) -> None:
    with pytest.raises(InputError, match=r"^model .*: no such folder; name an existing folder, a hub id \(owner/name\) or package:"):
        checkpoints.locate(name)


def test_a_hub_model_needs_a_revision() -> None:
    with pytest.raises(InputError, match=r"^model owner/name: a hub model without a revision"):
        checkpoints.locate("owner/name")


def test_the_same_files_have_the_same_fingerprint_wherever_they_lie(folder: Path, tmp_path: Path) -> None:
    copy = tmp_path / "elsewhere"
    shutil.copytree(folder, copy)
    assert checkpoints.locate(str(copy)).fingerprint() == checkpoints.locate(str(folder)).fingerprint()


def test_any_change_to_the_files_changes_the_fingerprint(folder: Path) -> None:
    seen = {Checkpoint("model", folder, "").fingerprint()}
    (folder / "weights.bin").write_bytes(b"\0\1\3")
    seen.add(Checkpoint("model", folder, "").fingerprint())
    (folder / "weights.bin").rename(folder / "other.bin")
    seen.add(Checkpoint("model", folder, "").fingerprint())
    (folder / "below").mkdir()
    (folder / "below" / "more.json").write_text("{}")
    seen.add(Checkpoint("model", folder, "").fingerprint())
    assert len(seen) == 4


def test_what_python_leaves_in_a_package_is_no_change(folder: Path) -> None:
    before = Checkpoint("model", folder, "").fingerprint()
    (folder / "__pycache__").mkdir()
    (folder / "__pycache__" / "module.pyc").write_bytes(b"\0")
    assert Checkpoint("model", folder, "").fingerprint() == before


def test_a_commit_is_the_fingerprint_of_a_hub_model(folder: Path) -> None:
    assert Checkpoint("owner/name", folder, "0123abcd").fingerprint() == "0123abcd"
