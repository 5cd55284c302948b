"""How many times as fast as in fp32 a device multiplies in bf16, by trial: what a processor says of itself can be wrong.

On a CPU the trial is a process of its own: some virtual machines offer instructions for bf16 and then end a process that uses them.
Run as a script, this file is that process. It takes the number of threads, and loads nothing but torch.
"""

import subprocess
import sys
import time
from functools import lru_cache

import torch


@lru_cache
def bf16_speed(device: torch.device, threads: int) -> float:
    """Time in fp32 by time in bf16, on a CPU with so many threads; 0 where bf16 does not work."""
    if device.type != "cpu":
        return measure(device)
    command = [sys.executable, __file__, str(threads)]
    trial = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603, it is this file
    return float(trial.stdout) if trial.returncode == 0 else 0.0


def measure(device: torch.device) -> float:
    """The trial itself: the best of some products of two matrices."""

    def seconds(dtype: torch.dtype) -> float:
        matrix = torch.ones(1024, 1024, dtype=dtype, device=device)
        trials = []
        for _ in range(5):
            start = time.perf_counter()
            (matrix @ matrix)[0, 0].item()
            trials.append(time.perf_counter() - start)
        return min(trials)

    return seconds(torch.float32) / seconds(torch.bfloat16)


if __name__ == "__main__":
    torch.set_num_threads(int(sys.argv[1]))
    print(measure(torch.device("cpu")))
