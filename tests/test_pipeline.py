"""Each dvc.yaml against the scripts it runs, the params files it takes, and the lock and metrics that are committed."""

import ast
import hashlib
import importlib
import itertools
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import ROOT
from dvc.parsing import DataResolver
from dvc.repo import Repo

import command_line

WRITTEN_TO_GIT = ("metrics/", "plots/")
DEAR = {"prepare", "train", "compare", "taxonomy-process-batch", "taxonomy-run-control-batch"} | {
    "rewrite",
    "rewrite-compare",
    "rewrite-process-batch",
    "similarity",
    "rewrite-table",  # not dear itself, but its tables hold texts, which are too large for git
    "report",  # likewise
}
NEEDED = {"control", "aligned", "length"}
PARAMS = [ROOT / "params.yaml", *sorted((ROOT / "recipes").glob("*.yaml"))]
SECOND = ROOT / "dpl" / "params.yaml"
PIPELINES = [ROOT / "dvc.yaml", SECOND.with_name("dvc.yaml")]


def named(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def resolved(params: Path, folder: Path) -> dict[str, dict[str, Any]]:
    """The stages of the main dvc.yaml under a params file, or of the second one, expanded by DVC itself."""
    with Repo.init(str(folder), no_scm=True, force=True) as repo:
        place = folder / "dpl" if params == SECOND else folder
        place.mkdir(exist_ok=True)
        (folder / "params.yaml").write_bytes((ROOT / "params.yaml").read_bytes())
        (place / "params.yaml").write_bytes(params.read_bytes())
        pipeline = yaml.safe_load((ROOT / place.relative_to(folder) / "dvc.yaml").read_text())
        return DataResolver(repo, str(place), pipeline).resolve()["stages"]


@pytest.fixture(scope="module", params=PARAMS, ids=named)
def stages(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """Of the main pipeline."""
    return resolved(request.param, tmp_path_factory.mktemp("pipeline"))


@pytest.fixture(scope="module", params=[*PARAMS, SECOND], ids=named)
def every_stage(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """Of the main pipeline, or of the second."""
    return resolved(request.param, tmp_path_factory.mktemp("pipeline"))


def script_of(stage: dict[str, Any]) -> tuple[Path, list[str]]:
    python, script, *flags = shlex.split(stage["cmd"])
    assert python == "python"
    return ROOT / script, flags


def script_flags(stage: dict[str, Any]) -> set[str]:
    """All flags that a stage's script takes, given or not."""
    return set(importlib.import_module(script_of(stage)[0].stem).Arguments.__dataclass_fields__)


def modules_of(script: Path) -> set[Path]:
    """A script and every module of stages/ and seal/ that it imports, directly or through another; of a package, all modules."""
    found: set[Path] = set()
    waiting = [script]
    while waiting:
        file = waiting.pop()
        if file not in found:
            found.add(file)
            waiting += imports_of(file)
    return found


def imports_of(file: Path) -> Iterator[Path]:
    for node in ast.walk(ast.parse(file.read_text())):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        for name in names:
            candidates = [ROOT / "stages" / f"{name}.py"] if "." not in name else []
            place = ROOT / name.replace(".", "/")
            for candidate in [*candidates, place.with_suffix(".py"), place / "__init__.py"]:
                if candidate.is_file() and candidate != ROOT / "seal" / "__init__.py":  # which holds no code
                    yield candidate


def as_dependency(module: Path) -> str:
    """A package is one dependency, its folder."""
    path = module.relative_to(ROOT)
    return (path if len(path.parts) == 2 else path.parent).as_posix()


def paths(entries: list[Any]) -> list[str]:
    return [entry if isinstance(entry, str) else next(iter(entry)) for entry in entries]


def outputs(stage: dict[str, Any]) -> list[str]:
    return [path for kind in ("outs", "metrics", "plots") for path in paths(stage.get(kind, []))]


def test_every_command_line_is_one_that_its_script_takes(every_stage: dict[str, dict[str, Any]]) -> None:
    for stage in every_stage.values():
        script, flags = script_of(stage)
        module = importlib.import_module(script.stem)
        for run in command_line.runs(flags):
            command_line.parser(module.Arguments, module.__doc__).parse_args(run)


def test_every_path_on_a_command_line_is_a_dependency_or_an_output(every_stage: dict[str, dict[str, Any]]) -> None:
    for name, stage in every_stage.items():
        _, flags = script_of(stage)
        known = {*paths(stage["deps"]), *outputs(stage)}
        files = [flag.rpartition("=")[2] for flag in flags]  # a table may stand behind its model's name
        used = {file for file in files if file.startswith(("data/", "metrics/", "plots/"))}
        assert used <= known, f"{name}: {used - known}"


def test_every_stage_depends_on_the_code_it_runs_and_on_no_other(every_stage: dict[str, dict[str, Any]]) -> None:
    for name, stage in every_stage.items():
        code = {path for path in paths(stage["deps"]) if path.startswith(("stages/", "seal/"))}
        imported = {as_dependency(path) for path in modules_of(script_of(stage)[0])}
        if "seal/rules" in imported:
            imported.add("seal/lexicons")  # which it reads
        assert code == imported, f"{name}: missing {imported - code}, needless {code - imported}"


def test_the_report_reads_all_metrics_and_all_plots_but_the_baseline_s(stages: dict[str, dict[str, Any]]) -> None:
    """Roles beyond these three are the user's to add, as to any stage that reads all of them. Trainings may all be taken out."""
    read = set(paths(stages["report"]["deps"]))
    known = {name: stage for name, stage in stages.items() if set(name.partition("@")[2].split("-")) <= {"", *NEEDED}}
    for name, stage in known.items():
        assert set(paths(stage.get("metrics", []))) <= read, name
        if not name.endswith("@length") and not name.startswith("train@"):
            assert set(paths(stage.get("plots", []))) <= read, name


def test_every_stage_says_what_it_does(every_stage: dict[str, dict[str, Any]]) -> None:
    assert all(stage.get("desc") for stage in every_stage.values())


def test_dear_stages_write_cached_outputs_and_cheap_ones_metrics_for_git(stages: dict[str, dict[str, Any]]) -> None:
    for name, stage in stages.items():
        kinds = {kind for kind in ("outs", "metrics", "plots") if stage.get(kind)}
        if name.endswith("create-batch"):  # cheap, and its requests are too large for git
            assert kinds == {"outs", "metrics"}
        elif name.startswith("train@"):  # what is drawn of it is cached, too: without the model nothing can make it again
            assert (kinds, paths(stage["plots"])) == ({"outs", "plots"}, [f"data/train/{name.split('@')[1]}.csv"])
            continue
        elif name.startswith("resistance@"):  # cheap, and the pairs to read are the user's texts
            assert (kinds, paths(stage["outs"])) == ({"outs", "metrics", "plots"}, [f"data/most-resistant/{name.split('@')[1]}.csv"])
        else:
            assert kinds == {"outs"} if name.split("@")[0] in DEAR else "outs" not in kinds and "metrics" in kinds, name
        for entry in [*stage.get("metrics", []), *stage.get("plots", [])]:
            assert next(iter(entry.values()))["cache"] is False, name


@pytest.mark.parametrize("file", PARAMS, ids=named)
def test_params_name_the_roles_the_audit_needs_and_set_all_of_them_against_each_other(file: Path) -> None:
    params = yaml.safe_load(file.read_text())
    assert params["roles"].keys() >= NEEDED
    sets = [frozenset((item["first"], item["second"])) for item in params["pairwise"].values()]
    assert sorted(map(sorted, sets)) == sorted(map(sorted, itertools.combinations(params["roles"], 2)))


@pytest.mark.parametrize("file", PARAMS, ids=named)
def test_a_hub_model_has_a_revision_and_a_local_one_is_a_dependency(file: Path) -> None:
    for role, entry in yaml.safe_load(file.read_text())["roles"].items():
        model = entry["reward-model"]["model"]
        if model.startswith("data/"):
            assert entry["after"] == model, role
        elif "/" in model:
            assert entry["reward-model"]["revision"], role


def test_the_default_params_are_the_sample_recipe() -> None:
    assert yaml.safe_load((ROOT / "params.yaml").read_text()) == yaml.safe_load((ROOT / "recipes" / "sample.yaml").read_text())


AFTER = {
    "taxonomy-process-batch": ("taxonomy",),
    "taxonomy-run-control-batch": ("taxonomy-control",),
    "rewrite": ("rewrite",),
    "rewrite-process-batch": ("rewrite", "labels"),
}
"""The block of params whose `after` names a file of known answers or finished outputs, by the stage that takes such files."""


def test_every_stage_that_takes_known_answers_depends_on_a_file_of_its_own(tmp_path: Path) -> None:
    params = yaml.safe_load((ROOT / "params.yaml").read_text())
    for name, keys in AFTER.items():
        block = params
        for key in keys:
            block = block[key]
        block["after"] = f"data/mine/{name}.jsonl"
    edited = tmp_path / "edited.yaml"
    edited.write_text(yaml.safe_dump(params))
    stages = resolved(edited, tmp_path)
    taking = {name for name, stage in stages.items() if "known_answers" in script_flags(stage) and not name.endswith("create-batch")}
    assert taking == AFTER.keys()
    for name, stage in stages.items():
        mine = {path for path in paths(stage["deps"]) if path.startswith("data/mine/")}
        assert mine == ({f"data/mine/{name}.jsonl"} if name in AFTER else set()), name


@pytest.mark.parametrize("pipeline", PIPELINES, ids=named)
def test_lock_and_pipeline_name_the_same_stages(pipeline: Path, tmp_path: Path) -> None:
    lock = yaml.safe_load(pipeline.with_suffix(".lock").read_text())["stages"]
    assert lock.keys() == resolved(pipeline.with_name("params.yaml"), tmp_path).keys()


def test_stages_of_the_second_pipeline_run_where_those_of_the_main_one_do(tmp_path: Path) -> None:
    for name, stage in resolved(SECOND, tmp_path).items():
        assert stage["wdir"] == "..", name


def test_committed_metrics_are_those_that_the_locks_name() -> None:
    locks = [yaml.safe_load(pipeline.with_suffix(".lock").read_text())["stages"] for pipeline in PIPELINES]
    outs = [out for lock in locks for stage in lock.values() for out in stage["outs"]]
    locked = {out["path"]: out["md5"] for out in outs if out["path"].startswith(WRITTEN_TO_GIT)}
    tracked = subprocess.run(["git", "ls-files", *WRITTEN_TO_GIT], cwd=ROOT, check=True, capture_output=True, text=True).stdout.split()
    assert sorted(tracked) == sorted(locked), "a metrics file that no stage writes is left over, or one is not committed"
    for path, md5 in locked.items():
        assert hashlib.md5((ROOT / path).read_bytes()).hexdigest() == md5, path
