"""How fast does the scoring engine score, beside what others do and beside what the machine can do at most?

    python benchmarks/scoring.py --data ../shared/data/hh_rlhf

Reads every `*.jsonl.gz` in the folder (columns `chosen` and `rejected`), prints tables in Markdown, writes nothing. `--quick` takes
less than two minutes and is for a look; its figures are rough.

ways
    Each model is scored in several ways, one after another, in rounds; the order turns from round to round, so that what else the machine
    does meets all of them. Each model and number of threads has a process of its own, held to as many cores as it has threads.
time
    On the clock, or with --busy what the processor spent on this program, for a machine that others use: a program that waits for its
    turn looks slow otherwise. That holds for one thread alone.
tokens/s
    Real tokens, over all texts, by the time from texts to rewards, tokenisation included: the median of the rounds, the least and the
    most. Padding counts for nothing, and where a shared prompt is computed once it still counts twice.
times SEAL
    The median of the rounds' ratios to SEAL's way.
of the limit
    Operations that the real tokens need (scoring_flops.py), by time, as a share of what the matrix products of one layer alone reach, in
    the same dtype, measured in the same rounds, at the number of rows that suits the machine best.
prompts once
    The same for a causal model, with what both texts of a pair begin with counted once: the useful work of a way, whether it shares or not.
off by
    The largest difference to SEAL's way in fp32, in standard deviations of its rewards.
where its time goes
    Of one run more of this engine, under torch's profiler: shares of time on the clock, or on CUDA of the device's time.
memory and time
    A process of its own for each number of texts: what it holds once model and texts are loaded, and the most it ever held.
"""

import argparse
import importlib.metadata
import multiprocessing
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import scoring_flops
import scoring_models
from scoring_models import FOLDERS, Pair

COMPARED = ("deberta", "minilm", "causal")
PARTS = {
    "matrix products": ("addmm", "mm"),
    "attention": ("scaled_dot_product", "baddbmm", "bmm", "softmax", "varlen_attn"),
    "norms, activations, sums": ("layer_norm", "gelu", "silu", "add", "mul", "mean", "pow", "rsqrt"),
    "copies": ("copy", "cat", "index", "index_select", "embedding"),
}
"""What the engine's time goes to, by the names of torch's operations."""

FLAGS = ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "avx512_fp16", "amx_tile", "amx_int8", "amx_bf16")


class Plan(NamedTuple):
    """How much is measured."""

    models: list[str]
    pairs: int
    rounds: int
    threads: list[int]
    texts: list[int]
    """Numbers of texts, to see how time and memory grow."""
    sizes: dict[str, tuple[int, ...]]
    """Texts in a batch that the peers try, by device."""
    tokens: dict[str, tuple[int, ...]]
    """Tokens in a batch that packing peers try."""
    rows: dict[str, tuple[int, ...]]
    """Tokens at once that the limit is measured at."""
    seconds: float
    """For each measurement of the limit."""
    limit: int | None
    """Rows of the data that are read."""
    whole_models: bool
    """Whether to see what the compared models take of memory, too."""
    busy: bool = False
    """Whether time is the processor's own, rather than that on the clock."""


FULL = Plan(
    models=list(COMPARED),
    pairs=48,
    rounds=5,
    threads=[1, 2],
    texts=[1000, 4000, 16000],
    sizes={"cpu": (1, 8, 16, 32), "cuda": (8, 32, 64, 128)},
    tokens={"cpu": (512, 1024, 2048, 4096), "cuda": (8192, 32768)},
    rows={"cpu": (256, 512, 1024, 2048, 4096), "cuda": (8192, 32768)},
    seconds=1.0,
    limit=None,
    whole_models=True,
)
QUICK = FULL._replace(
    pairs=3,
    rounds=2,
    threads=[1],
    texts=[500, 1000],
    sizes={"cpu": (1, 8), "cuda": (8, 64)},
    tokens={"cpu": (1024,), "cuda": (8192,)},
    rows={"cpu": (1024,), "cuda": (8192,)},
    seconds=0.2,
    limit=800,
    whole_models=False,
)


class Line(NamedTuple):
    """What was measured of one way."""

    name: str
    dtype: str
    size: str
    rates: list[float]
    """Tokens a second, by round."""
    ratios: list[float]
    """To SEAL's way, by round."""
    shares: list[float]
    """Of the limit, by round."""
    shares_once: list[float]
    """The same, what pairs begin with counted once; empty for an encoder, in which nothing can be shared."""
    off: float
    ours: bool


class Measured(NamedTuple):
    """What was measured of one model with one number of threads."""

    lines: list[Line]
    limits: dict[str, tuple[float, int]]
    """By dtype: operations a second, and the rows at once."""
    notes: list[str]


def compare(name: str, folder: Path, pairs: Sequence[Pair], plan: Plan) -> Measured:
    """Score the pairs in all ways, in rounds."""
    import gc

    import numpy as np
    import scoring_ways
    import torch
    import transformers

    from seal.engine import reward_models
    from seal.engine.inputs import split_pair

    clock = time.process_time if plan.busy else time.perf_counter
    device = reward_models.default_device()
    config = transformers.AutoConfig.from_pretrained(folder)
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    texts = [pair.chosen for pair in pairs] + [pair.rejected for pair in pairs]  # as stages/compare.py and RewardBench take them
    ids = [tokenizer(*split_pair(text))["input_ids"] for text in texts]
    tokens = sum(map(len, ids))
    if max(map(len, ids)) > scoring_models.LONGEST:
        raise AssertionError("the tokenizer is not the one that the texts were shortened by, and ways would read different tokens")
    operations = sum(scoring_flops.of_text(config, len(each)) for each in ids)
    causal = name == "causal"
    once = scoring_flops.of_pairs_once(config, list(zip(ids[: len(pairs)], ids[len(pairs) :], strict=True))) if causal else 0

    ways, notes = _ways(name, folder, device, plan)
    few = texts[::2]
    sizes = [_fastest(way, few, clock) for way in ways]  # which also warms each way up
    dtypes = list(dict.fromkeys(way.dtype for way in ways))
    limits = {dtype: _best_rows(config, scoring_ways.DTYPES[dtype], device, plan, clock) for dtype in dtypes}

    seconds: list[list[float]] = [[] for _ in ways]
    rates: dict[str, list[float]] = {dtype: [] for dtype in dtypes}
    rewards = [np.empty(0)] * len(ways)
    for turn in range(plan.rounds):
        for step in range(len(ways)):
            which = (turn + step) % len(ways)
            gc.collect()
            start = clock()
            rewards[which] = np.asarray(ways[which].run(texts, sizes[which]), dtype=np.float64)
            if device.type == "cuda":
                torch.cuda.synchronize()
            seconds[which].append(clock() - start)
            _say(f"{name}, round {turn + 1}: {ways[which].name} {ways[which].dtype}: {tokens / seconds[which][-1]:.0f} tokens/s")
        for dtype in dtypes:
            run, cost = scoring_flops.layer_products(config, scoring_ways.DTYPES[dtype], device, limits[dtype])
            rates[dtype].append(scoring_flops.rate(run, cost, plan.seconds, clock))

    for way in (way for way in ways if way.ours):
        parts = ", ".join(f"{part} {share:.0%}" for part, share in where_time_goes(way, texts).items())
        notes.append(f"Where this engine's time goes, {way.dtype}: {parts}.")
    spread = rewards[0].std()
    lines = [
        Line(
            way.name,
            way.dtype,
            f"{size} {way.unit}" if way.unit else "",
            [tokens / each for each in took],
            [seal / each for seal, each in zip(seconds[0], took, strict=True)],
            [operations / each / rate for each, rate in zip(took, rates[way.dtype], strict=True)],
            [once / each / rate for each, rate in zip(took, rates[way.dtype], strict=True)] if causal else [],
            float(np.abs(found - rewards[0]).max() / spread),
            way.ours,
        )
        for way, size, took, found in zip(ways, sizes, seconds, rewards, strict=True)
    ]
    return Measured(lines, {dtype: (statistics.median(rates[dtype]), limits[dtype]) for dtype in dtypes}, notes)


def where_time_goes(way: Any, texts: Sequence[str]) -> dict[str, float]:
    """Shares of the time of one run, by `PARTS`; what is left is torch's other operations, and on a CPU Python, tokens and journal."""
    import torch
    from torch.profiler import ProfilerActivity, profile

    cuda = torch.cuda.is_available()
    with profile(activities=[ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if cuda else [])]) as profiled:
        start = time.perf_counter()
        way.run(texts, 0)
        took = 1e6 * (time.perf_counter() - start)
    operations = [each for each in profiled.key_averages() if "::" in each.key]  # the others are kernels, whose time is theirs, too
    whole = sum(each.self_device_time_total for each in operations) if cuda else took
    shares = dict.fromkeys(PARTS, 0.0)
    for each in operations:
        name = each.key.partition("::")[2].replace("native_", "").strip("_")
        for part, names in PARTS.items():
            if any(f"{name}_".startswith(f"{known}_") for known in names):
                shares[part] += (each.self_device_time_total if cuda else each.self_cpu_time_total) / whole
    return shares | {"the rest": 1 - sum(shares.values())}


def _ways(name: str, folder: Path, device: Any, plan: Plan) -> tuple[list[Any], list[str]]:
    """All ways, SEAL's in fp32 first; peers in the dtypes that the engine is measured in."""
    import typing

    import scoring_ways

    from seal.engine import reward_models

    notes: list[str] = []
    ours = [scoring_ways.engine(scoring_ways.load(folder, dtype, device)) for dtype in ("fp32", "auto")]
    if ours[1].dtype == "fp32":
        notes.append("`auto` took fp32 here, a trial having shown bf16 to be less than twice as fast: its line would be that of fp32.")
        del ours[1]
    narrow = ["bf16", "fp16"] if device.type == "cuda" else [way.dtype for way in ours[1:]]
    more = [dtype for dtype in narrow if dtype != ours[-1].dtype and dtype in typing.get_args(reward_models.Dtype)]
    ours += [scoring_ways.engine(scoring_ways.load(folder, dtype, device)) for dtype in more]
    notes += [f"This engine knows no {dtype}." for dtype in narrow if dtype not in {way.dtype for way in ours}]
    ways = []
    sizes = plan.sizes[device.type]
    for dtype in ("fp32", *narrow):
        ways += [scoring_ways.seal_loop(folder, dtype, device), scoring_ways.padded(folder, dtype, device)]
        ways += [scoring_ways.cross_encoder(folder, dtype, device, sizes), scoring_ways.pipeline(folder, dtype, device, sizes)]
        if name == "deberta":
            ways.append(scoring_ways.disentangled_flash(folder, dtype, device, plan.tokens[device.type]))
        ways += [way for way in ours if way.dtype == dtype]
    return ways, notes


def _fastest(way: Any, texts: Sequence[str], clock: Callable[[], float]) -> int:
    """The size at which a way is fastest, by one run each, after one that is not timed."""
    way.run(texts[:2], way.sizes[0])
    took = {}
    for size in way.sizes if len(way.sizes) > 1 else ():
        start = clock()
        way.run(texts, size)
        took[size] = clock() - start
        _say(f"{way.name} {way.dtype}, {size} {way.unit} in a batch: {took[size]:.2f} s")
    return min(took, key=lambda size: took[size]) if took else way.sizes[0]


def _best_rows(config: Any, dtype: Any, device: Any, plan: Plan, clock: Callable[[], float]) -> int:
    found = {
        rows: scoring_flops.rate(*scoring_flops.layer_products(config, dtype, device, rows), 0.0, clock) for rows in plan.rows[device.type]
    }
    return max(found, key=lambda rows: found[rows])


class Held(NamedTuple):
    """Of one process that scores texts."""

    model: str
    texts: int
    load_seconds: float
    seconds: float
    loaded: float
    """Bytes that it held once model and texts were there."""
    peak: float


def memory(name: str, folder: Path, texts: Sequence[str]) -> Held:
    """Score texts in this process, which must have done nothing before."""
    start = time.perf_counter()
    import gc

    import scoring_ways

    from seal.engine import reward_models

    model = scoring_ways.load(folder, "fp32", reward_models.default_device())
    loading = time.perf_counter() - start
    for parameter in model.model.parameters():
        parameter.detach().sum()  # weights come from disk when they are first read
    gc.collect()
    loaded = _status("VmRSS")
    start = time.perf_counter()
    scoring_ways.engine(model).run(texts, 0)
    took = time.perf_counter() - start
    _say(f"{len(texts)} texts: {took:.1f} s")
    return Held(name, len(texts), loading, took, loaded, _status("VmHWM"))


def _status(field: str) -> float:
    """Bytes, of this process alone; what `getrusage` tells can be its parent's."""
    with open("/proc/self/status") as stream:
        return next(float(line.split()[1]) * 1024 for line in stream if line.startswith(f"{field}:"))


def machine() -> str:
    """What the figures hold for."""
    import torch

    about: dict[str, str] = {}
    with open("/proc/cpuinfo") as stream:
        for line in stream:
            key, _, value = line.partition(":")
            about.setdefault(key.strip(), value.strip())
    flags = [flag for flag in FLAGS if flag in about.get("flags", "").split()]
    versions = [f"{package} {importlib.metadata.version(package)}" for package in ("torch", "transformers", "sentence-transformers")]
    cores = f"{os.cpu_count()} cores of {about.get('model name', 'an unknown model')} (model {about.get('model', '?')})"
    parts = [cores, " ".join(flags) or "no flags known", f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30:.0f} GiB"]
    if torch.cuda.is_available():
        parts.append(torch.cuda.get_device_name())
    return "; ".join([*parts, ", ".join(versions), f"load before the run {os.getloadavg()[0]:.1f}"])


def _process(threads: int) -> ProcessPoolExecutor:
    """A fresh process with so many threads and cores."""
    return ProcessPoolExecutor(1, multiprocessing.get_context("spawn"), _confine, (threads,))


def _confine(threads: int) -> None:
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])
    os.environ |= {"OMP_NUM_THREADS": str(threads), "RAYON_NUM_THREADS": str(threads), "HF_HUB_OFFLINE": "1"}
    os.environ |= {"TOKENIZERS_PARALLELISM": "true" if threads > 1 else "false", "TRANSFORMERS_VERBOSITY": "error"}
    os.environ |= {"TQDM_DISABLE": "1"}


def _prepare(data: list[Path], plan: Plan, folder: Path) -> tuple[str, scoring_models.Transcripts, str]:
    """What a process of its own has to find out: the machine, the texts, the kind of device. Models are built."""
    from seal.engine import reward_models

    device = reward_models.default_device().type
    for name in [*plan.models, "small"]:
        scoring_models.build(name, folder / name, device)
    return machine(), scoring_models.read(data, plan.limit), device


def _say(what: str) -> None:
    print(what, file=sys.stderr, flush=True)


def table(measured: Measured) -> list[str]:
    """In Markdown."""
    once = bool(measured.lines[0].shares_once)
    head = [
        "way",
        "dtype",
        "batch",
        "tokens/s",
        "least to most",
        "times SEAL",
        "of the limit",
        *(["prompts once"] if once else []),
        "off by",
    ]
    rows = [
        [
            f"**{line.name}**" if line.ours else line.name,
            line.dtype,
            line.size,
            f"{statistics.median(line.rates):,.0f}",
            f"{min(line.rates):,.0f} to {max(line.rates):,.0f}",
            f"{statistics.median(line.ratios):.2f}",
            f"{statistics.median(line.shares):.0%}",
            *([f"{statistics.median(line.shares_once):.0%}"] if once else []),
            f"{line.off:.1e}",
        ]
        for line in measured.lines
    ]
    return [f"| {' | '.join(row)} |" for row in [head, ["---"] * len(head), *rows]]


def below(measured: Measured) -> list[str]:
    """What goes below the table: the limit, the engine against the fastest other way in the same dtype, and notes."""
    limits = [f"{dtype} {rate / 1e9:,.0f} GFLOP/s at {rows} rows" for dtype, (rate, rows) in measured.limits.items()]
    found = [f"- The limit, matrix products alone: {', '.join(limits)}."]
    for line in (line for line in measured.lines if line.ours):
        others = [other for other in measured.lines if not other.ours and other.dtype == line.dtype]
        best = max(others, key=lambda other: statistics.median(other.rates))
        ratio = statistics.median(mine / other for mine, other in zip(line.rates, best.rates, strict=True))
        found.append(f"- {line.name}, {line.dtype}: {ratio:.2f} times the fastest other way in that dtype ({best.name}).")
    return found + [f"- {note}" for note in measured.notes]


def memory_table(held: Sequence[Held]) -> list[str]:
    """In Markdown."""
    rows = [
        [
            each.model,
            f"{each.texts:,}",
            f"{each.load_seconds:.1f}",
            f"{each.seconds:.1f}",
            f"{1000 * each.seconds / each.texts:.2f}",
            *(f"{size / 1e6:,.0f}" for size in (each.loaded, each.peak, each.peak - each.loaded)),
        ]
        for each in held
    ]
    head = ["model", "texts", "load, s", "scoring, s", "s for 1,000 texts", "model and texts, MB", "peak, MB", "beyond, MB"]
    return [f"| {' | '.join(row)} |" for row in [head, ["---"] * len(head), *rows]]


def arguments() -> tuple[list[Path], Plan]:
    """The files of pairs, and the plan."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False)
    parser.add_argument("--data", type=Path, required=True, help="folder with pairs as *.jsonl.gz, columns chosen and rejected")
    parser.add_argument("--quick", action="store_true", help="a rough look in less than two minutes")
    parser.add_argument("--models", nargs="*", choices=COMPARED, help="only these (default: all)")
    parser.add_argument("--threads", nargs="+", type=int, help="numbers of threads (default: 1 and 2; with --quick: 1)")
    parser.add_argument("--rounds", type=int, help="default: 5; with --quick: 2")
    parser.add_argument("--pairs", type=int, help="so many pairs of all lengths for each way and round (default: 48; with --quick: 3)")
    parser.add_argument("--texts", nargs="*", type=int, help="numbers of texts for memory and time (default: 1000 4000 16000)")
    parser.add_argument("--busy", action="store_true", help="measure processor time, for a machine that others use; needs --threads 1")
    given = vars(parser.parse_args())
    data, plan = sorted(given.pop("data").glob("*.jsonl.gz")), QUICK if given.pop("quick") else FULL
    if not data:
        parser.error("--data: no *.jsonl.gz in this folder; name one that holds pairs")
    plan = plan._replace(**{key: value for key, value in given.items() if value is not None})
    if min([plan.rounds, plan.pairs, *plan.threads, *plan.texts]) < 1:
        parser.error("--threads, --rounds, --pairs and --texts are 1 or more")
    if plan.busy and plan.threads != [1]:
        parser.error("--busy goes with --threads 1: of several threads the processor's time does not tell how long they took together")
    cores = len(os.sched_getaffinity(0))
    if max(plan.threads) > cores:
        parser.error(f"--threads {max(plan.threads)}, and there are {cores} cores")
    return data, plan


def main() -> None:
    data, plan = arguments()
    with tempfile.TemporaryDirectory() as work:
        folder = Path(work)
        with _process(1) as process:
            description, found, device = process.submit(_prepare, data, plan, folder).result()
        if plan.busy and device != "cpu":
            raise SystemExit(f"--busy measures what a CPU does, and the device is {device}; leave it out, or set SEAL_DEVICE=cpu")
        if len(found.pairs) < plan.pairs:
            raise SystemExit(f"--pairs {plan.pairs}, and the files hold {len(found.pairs)} that can be used")
        pairs = scoring_models.spread_out(found.pairs, plan.pairs)
        average = sum(pair.tokens for pair in pairs) / 2 / len(pairs)
        print(f"{description}; {plan.rounds} rounds; {'processor time' if plan.busy else 'time on the clock'}.\n")
        print(
            f"{2 * len(pairs)} texts of {average:.0f} tokens on average, from {len(found.pairs)} pairs; {found.shortened} of their texts "
            f"lost old turns to the {scoring_models.LONGEST} tokens, {found.left_out} pairs left out."
        )
        for threads in plan.threads:
            with _process(threads) as process:
                for name in plan.models:
                    measured = process.submit(compare, name, folder / name, pairs, plan).result()
                    print(f"\n{FOLDERS[name].format(**scoring_models.LAYERS[device])}; threads: {threads}\n")
                    print("\n".join([*table(measured), "", *below(measured)]), flush=True)
        threads = max(plan.threads)
        held = []
        for name, texts in [
            *((name, [text for pair in pairs for text in pair[:2]]) for name in plan.models if plan.whole_models),
            *(("small", scoring_models.many(found.pairs, wanted)) for wanted in plan.texts),
        ]:
            with _process(threads) as process:
                held.append(process.submit(memory, name, folder / name, texts).result())
        print(f"\nTime on the clock and memory of this engine in fp32; threads: {threads}; small: {FOLDERS['small']}\n")
        print("\n".join(memory_table(held)))


if __name__ == "__main__":
    main()
