"""What a colleague finds in a fresh clone: pulled results that need no run, metrics to diff before any pull, and other remotes."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from conftest import ROOT

ENVIRONMENT = os.environ | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}", "DVC_NO_ANALYTICS": "1"}


def run(folder: Path, *command: str, **environment: str) -> str:
    """Run a command in a folder and give what it printed; a failure shows it all."""
    answer = subprocess.run(command, cwd=folder, env=ENVIRONMENT | environment, capture_output=True, text=True, check=False)
    assert answer.returncode == 0, f"{' '.join(command)}\n{answer.stdout}\n{answer.stderr}"
    return answer.stdout


def running(said: str) -> set[str]:
    """The stages that `dvc repro` ran, by what it printed."""
    return {line.split("'")[1] for line in said.splitlines() if line.startswith("Running stage")}


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fresh clone of the last commit, with a cache of its own."""
    folder = tmp_path_factory.mktemp("clone") / "seal"
    run(ROOT, "git", "clone", "--quiet", str(ROOT), str(folder))
    return folder


def states(clone: Path) -> list[str]:
    return run(clone, "git", "log", "--format=%H", "--", "metrics/summary.json").split()


def test_metrics_of_two_model_choices_can_be_set_side_by_side_before_any_pull(clone: Path) -> None:
    if run(clone, "git", "rev-parse", "--is-shallow-repository").strip() == "true":
        pytest.skip("a shallow clone has no earlier state to set beside the last")
    last, *_, first = states(clone)
    diff = json.loads(run(clone, "dvc", "metrics", "diff", first, last, "--targets", "metrics/summary.json", "--json"))
    changed = diff["diff"]["metrics/summary.json"] if "diff" in diff else diff["metrics/summary.json"]
    assert any(key.startswith("resistance") for key in changed)
    models = [run(clone, "git", "show", f"{state}:params.yaml") for state in (first, last)]
    roles, training = ([yaml.safe_load(text)[block] for text in models] for block in ("roles", "train"))
    assert roles[0] != roles[1] or training[0] != training[1], "the two states do not differ in a model choice"


def test_pulled_results_need_no_run_and_a_model_swap_runs_only_what_depends_on_it(clone: Path) -> None:
    run(clone, "dvc", "pull", "--quiet")
    said = run(clone, "dvc", "repro", "--all-pipelines")
    stages = [name for lock in ("dvc.lock", "dpl/dvc.lock") for name in yaml.safe_load((clone / lock).read_text())["stages"]]
    assert "Running stage" not in said
    assert said.count("didn't change, skipping") == len(stages)
    assert "up to date" in run(clone, "dvc", "status")

    before = json.loads((clone / "metrics" / "summary.json").read_text())
    params = yaml.safe_load((clone / "params.yaml").read_text())
    params["roles"]["aligned"] = params["roles"]["length"]
    (clone / "params.yaml").write_text(yaml.safe_dump(params, sort_keys=False))
    said = run(clone, "dvc", "repro")
    expected = {"compare@aligned", "resistance@aligned", "regimes", "pairwise@aligned-control", "pairwise@aligned-length", "summary"}
    expected |= {"imprint@aligned", "reward-shift", "report"}
    assert running(said) == expected | {"rewrite-compare", "rewrite-table", "robustness"}
    diff = json.loads(run(clone, "dvc", "metrics", "diff", "--targets", "metrics/summary.json", "--json"))
    changed = (diff.get("diff") or diff)["metrics/summary.json"]["resistance.aligned"]
    after = json.loads((clone / "metrics" / "summary.json").read_text())
    assert (changed["old"], changed["new"]) == (before["resistance"]["aligned"], after["resistance"]["aligned"])
    assert after["resistance"]["aligned"] == pytest.approx(1 - after["agreement_length"], abs=1e-6)
    run(clone, "git", "checkout", "--quiet", ".")


def test_another_sentence_encoder_rewords_scores_and_labels_nothing(clone: Path) -> None:
    run(clone, "dvc", "pull", "--quiet")
    params = yaml.safe_load((clone / "params.yaml").read_text())
    params["similarity"]["encoder"] = {"model": "BAAI/bge-m3", "revision": "main"}
    (clone / "params.yaml").write_text(yaml.safe_dump(params, sort_keys=False))
    said = run(clone, "dvc", "repro", "--dry", "--force-downstream")  # as if other similarities came of it, which a dry run cannot know
    assert running(said) == {"similarity", "rewrite-table", "robustness", "summary", "report"}
    run(clone, "git", "checkout", "--quiet", ".")


@pytest.fixture
def s3() -> Iterator[str]:
    """An S3 server on this machine, with a bucket named audit."""
    from boto3 import client
    from moto.moto_server.threaded_moto_server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    host, port = server.get_host_and_port()
    address = f"http://{host}:{port}"
    client("s3", endpoint_url=address, aws_access_key_id="x", aws_secret_access_key="x", region_name="us-east-1").create_bucket(
        Bucket="audit"
    )
    yield address
    server.stop()


def test_the_same_results_travel_through_s3(clone: Path, s3: str, tmp_path: Path) -> None:
    keys = {"AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x", "AWS_DEFAULT_REGION": "us-east-1"}
    run(clone, "dvc", "pull", "--quiet")
    run(clone, "dvc", "remote", "add", "--force", "--default", "shared", "s3://audit/seal")
    run(clone, "dvc", "remote", "modify", "shared", "endpointurl", s3)
    run(clone, "dvc", "push", "--quiet", **keys)
    shutil.rmtree(clone / ".dvc" / "cache")
    shutil.rmtree(clone / "data" / "compare")
    run(clone, "dvc", "pull", "--quiet", **keys)
    assert "up to date" in run(clone, "dvc", "status")
    run(clone, "git", "checkout", "--quiet", ".dvc/config")
