"""Batches on many devices or machines: Ray Data, with a pool of actors that hold one model each.

    the plan, in this process ─► a queue ─► the reader ─► the pool ─► back to this process, in whichever order they are done

The batches are planned and journalled here, just as without Ray; what differs is where each is run. `RAY_ADDRESS` names a cluster.
Without it Ray runs on this machine for the time of the run, and listens on 127.0.0.1 alone.
"""

import importlib.util
import itertools
import logging
import os
import queue
import secrets
import socket
import tempfile
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

import seal
from seal.engine.inputs import Input
from seal.engine.reward_models import RewardModel
from seal.engine.scoring import RunBatches, in_process
from seal.errors import InputError

Load = Callable[..., RewardModel]
"""Loads the model of a run; takes other values of `revision`, `dtype` and `device` than the run's by name."""

STARTS = 4
"""How often, on average, an actor may be started. Ray starts one anew that died with its machine, and for ever one that each time dies of
too little memory."""

OBJECT_STORE = 256 * 2**20
"""Bytes for the batches under way in a Ray of our own, which are small; Ray would take a third of the memory."""


def engine(load: Load) -> RunBatches:
    """What `SEAL_ENGINE` says: `local`, the default, or `ray`. It comes from the environment, as it is no reason to run a stage again.

    Raises
    ------
    InputError
        If there is no such engine, or Ray is not installed.
    """
    name = os.environ.get("SEAL_ENGINE") or "local"
    if name not in ("local", "ray"):
        raise InputError(f"SEAL_ENGINE is {name}; set it to local or ray, or unset it")
    if name == "local":
        return in_process
    if importlib.util.find_spec("ray") is None:
        raise InputError("SEAL_ENGINE is ray, and the package ray is not installed; run pip install 'ray[data]', or unset it")
    return partial(run_batches, load)


def run_batches(load: Load, reward_model: RewardModel, batches: Iterator[list[Input]]) -> Generator[tuple[int, np.ndarray], None, None]:
    """Run batches on a pool of actors. What Ray is there is used; else it is started, and stopped at the end.

    Parameters
    ----------
    load
        Loads the model on an actor's device.
    reward_model
        The model as it is loaded here.
    batches
        The batches, which are asked for in a thread of its own, and few more than are run at once.

    Yields
    ------
    The place of each batch among them and its outputs, [texts, outputs], in whichever order they are done.

    Raises
    ------
    InputError
        If the cluster does not answer or is too small, an actor's model is not the one here, or a text does not fit into memory.
    """
    first = next(batches, None)
    if first is None:
        return
    with _ray(torch.get_num_threads()):
        yield from _through_the_pool(load, reward_model, itertools.chain([first], batches))


def pool_size(nodes: Sequence[float], threads: int) -> int:
    """How many models there is room for on nodes of so many CPUs, where each takes as many as it has threads.

    One CPU is left to the reader. Without it the pool would wait for batches, and the reader for the pool to give up a CPU.
    """
    size = sum(int(cpus // threads) for cpus in nodes)
    return size if any(cpus % threads >= 1 for cpus in nodes) else size - 1


@contextmanager
def _ray(threads: int) -> Iterator[None]:
    """The Ray that is there, the cluster at `RAY_ADDRESS`, or one of our own."""
    address = os.environ.get("RAY_ADDRESS") or "local"
    if address == "local":
        # Read when ray is imported, and by each of its processes. Despite its name the first one decides, on any system, whether
        # Ray listens on 127.0.0.1 or on all interfaces. The token, which is this run's alone, keeps other users of the machine out.
        os.environ.setdefault("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")
        os.environ.setdefault("RAY_AUTH_MODE", "token")
        os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))
        os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
        os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # what later versions do, and a warning less
    import ray

    if ray.is_initialized():
        yield
        return
    quiet = {"include_dashboard": False, "log_to_driver": False, "logging_level": "error"}
    if address != "local":
        try:
            ray.init(address, runtime_env={"py_modules": [str(Path(seal.__file__).parent)]}, **quiet)
        except (ConnectionError, ValueError, RuntimeError) as error:
            raise InputError(f"RAY_ADDRESS is {address}: {' '.join(str(error).split())[:200]}; start the cluster, or unset it") from None
        try:
            yield
        finally:
            ray.shutdown()
        return
    # Not below TMPDIR: the path of a socket may have no more than 107 bytes.
    with tempfile.TemporaryDirectory(prefix="seal-", dir=os.environ.get("RAY_TMPDIR") or "/tmp", ignore_cleanup_errors=True) as folder:  # noqa: S108
        cpus = max(os.cpu_count() or 1, threads + 1)
        own = {"_node_ip_address": "127.0.0.1", "_temp_dir": folder, "object_store_memory": OBJECT_STORE}
        ray.init("local", num_cpus=cpus, **own, **quiet)
        try:
            yield
        finally:
            ray.shutdown()


def _through_the_pool(
    load: Load, reward_model: RewardModel, batches: Iterator[list[Input]]
) -> Generator[tuple[int, np.ndarray], None, None]:
    from ray.data import ActorPoolStrategy, DataContext, from_items
    from ray.util.queue import Queue

    logging.getLogger("ray.data").setLevel(logging.ERROR)
    size, resources = _pool(reward_model)
    waiting, starts = (Queue(maxsize=each * size, actor_options={"num_cpus": 0}) for each in (2, STARTS))

    def feed() -> None:
        try:
            for number, batch in enumerate(batches):
                waiting.put(_row(number, batch))
        finally:
            waiting.put(None)

    alike = {"revision": reward_model.checkpoint.revision, "dtype": reward_model.dtype, "device": torch.device(reward_model.device.type)}
    scorer = {
        "load": partial(load, **alike),
        "fingerprint": reward_model.fingerprint(),
        "threads": torch.get_num_threads(),
        "folder": str(Path.cwd()),
        "starts": starts,
    }
    context = DataContext()
    context.enable_progress_bars = context.print_on_execution_start = False
    context.target_max_block_size = 1  # each batch goes on, and comes back, by itself
    with DataContext.current(context):
        # With a batch size for the pool Ray Data does not fuse it with the reader, which would leave all to one actor.
        pool = {
            "batch_size": 1,
            "batch_format": "pyarrow",
            "fn_constructor_kwargs": scorer,
            "compute": ActorPoolStrategy(size=size),
            **resources,
        }
        done = from_items([0]).flat_map(_read, fn_args=[waiting], num_cpus=1).map_batches(_Scorer, **pool)
    with ThreadPoolExecutor(max_workers=1) as background:
        fed = background.submit(feed)
        try:
            for table in done.iter_batches(batch_size=None, batch_format="pyarrow", prefetch_batches=0):
                for row in table.to_pylist():
                    if row["mistake"]:
                        raise InputError(row["mistake"])
                    yield row["number"], np.frombuffer(row["outputs"], dtype=np.float32).reshape(row["shape"])
            fed.result()
        finally:
            waiting.shutdown(force=True)  # or a feeder that waits for room in it would wait for ever
            starts.shutdown(force=True)


def _pool(reward_model: RewardModel) -> tuple[int, dict[str, int]]:
    """How many actors to have, and what each takes."""
    import ray

    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    kind, threads = reward_model.device.type, torch.get_num_threads()
    if kind == "cuda":
        size = int(sum(node.get("GPU", 0) for node in nodes))
        if size < 1:
            raise InputError("the model runs on CUDA here, and Ray's nodes have no GPU; set SEAL_DEVICE=cpu, or add nodes with a GPU")
        return size, {"num_cpus": 0, "num_gpus": 1}
    if kind != "cpu":
        raise InputError(f"SEAL_ENGINE is ray, and the model runs on {kind}; set SEAL_DEVICE to cpu or cuda, or SEAL_ENGINE=local")
    cpus = [node.get("CPU", 0) for node in nodes]
    size = pool_size(cpus, threads)
    if size < 1:
        raise InputError(
            f"Ray's nodes have {', '.join(f'{number:g}' for number in cpus)} CPUs, and none has room for a model of {threads} threads with "
            "one CPU left for the reader; set OMP_NUM_THREADS lower, or add nodes"
        )
    return size, {"num_cpus": threads}


def _row(number: int, batch: Sequence[Input]) -> dict[str, Any]:
    """A batch as a row of Ray Data."""
    row = {"number": number, "lengths": np.array([len(item.ids) for item in batch], dtype=np.int32).tobytes()}
    row["ids"] = np.concatenate([np.asarray(item.ids, dtype=np.int32) for item in batch]).tobytes()
    types = [np.asarray(item.types, dtype=np.int32) for item in batch if item.types is not None]
    return row | ({"types": np.concatenate(types).tobytes()} if types else {})


def _batch(row: dict[str, Any]) -> list[Input]:
    """The way back; what was left out of the texts is counted where they are read."""
    ends = np.cumsum(np.frombuffer(row["lengths"], dtype=np.int32))[:-1]
    ids = np.split(np.frombuffer(row["ids"], dtype=np.int32), ends)
    types = np.split(np.frombuffer(row["types"], dtype=np.int32), ends) if "types" in row else itertools.repeat(None)
    return [Input(tokens, kinds, 0, 0) for tokens, kinds in zip(ids, types, strict=False)]


def _read(_: dict[str, Any], waiting: Any) -> Iterator[dict[str, Any]]:
    """The reader: rows as they are put into the queue."""
    while (row := waiting.get()) is not None:
        yield row


class _Scorer:
    """An actor of the pool. A mistake of the user's goes back as a row: Ray would wrap it, or start the actor anew."""

    def __init__(self, load: Load, fingerprint: str, threads: int, folder: str, starts: Any) -> None:
        self._mistake = ""
        torch.set_num_threads(threads)  # Ray has a choice of its own, and bytes depend on it
        if Path(folder).is_dir():
            os.chdir(folder)  # which relative paths of models are meant from
        try:
            _count(starts)
            self._model = load()
            if self._model.fingerprint() != fingerprint:
                raise InputError("its model is another than here, by its files, device or versions of packages; make the nodes alike")
        except InputError as error:
            self._mistake = f"Ray's node {socket.gethostname()}: {error}"

    def __call__(self, table: Any) -> Any:
        """From a table of one batch to one of its outputs; of pyarrow, for numpy takes the zeros at the end of bytes for padding."""
        import pyarrow

        (row,) = table.to_pylist()
        outputs = np.empty(0, dtype=np.float32)
        mistake = self._mistake
        if not mistake:
            try:
                ((_, outputs),) = in_process(self._model, iter([_batch(row)]))
            except InputError as error:
                mistake = str(error)
        answer = {"number": row["number"], "shape": list(outputs.shape), "outputs": outputs.tobytes(), "mistake": mistake}
        return pyarrow.Table.from_pylist([answer])


def _count(starts: Any) -> None:
    """Count the start of an actor."""
    try:
        starts.put_nowait(None)
    except queue.Full:
        raise InputError(
            "actors die again and again, which they do where memory does not suffice for the model; have fewer of them by a higher "
            "OMP_NUM_THREADS, or set dtype bf16 or max-length"
        ) from None
