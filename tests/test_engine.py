"""The kernels of torch's elementwise functions are chosen before threads call any."""

import platform
import subprocess
import sys

import pytest
import torch

CHOSEN = """
import ctypes, sys, torch

detect = ctypes.cast(ctypes.CDLL(torch.__path__[0] + "/lib/libtorch_cpu.so").mkl_vml_serv_cpu_detect, ctypes.c_void_p).value
if ctypes.string_at(detect, 2) != bytes([0x8B, 0x05]):
    sys.exit("it begins otherwise")
kind = ctypes.c_int32.from_address(detect + 6 + ctypes.c_int32.from_address(detect + 2).value)
before = kind.value
import seal.engine
print(before, kind.value)
"""
"""Prints the number by which MKL chooses, which is -1 till its first call. The function that finds it out begins by loading it: two bytes
of instruction, and four that tell how far behind them it lies."""


@pytest.mark.skipif(platform.machine() != "x86_64" or not sys.platform.startswith("linux"), reason="MKL's code is read as on x86-64 Linux")
@pytest.mark.skipif(not torch.backends.mkl.is_available(), reason="this torch has its functions from another library than MKL")
def test_kernels_are_chosen_as_the_engine_is_imported() -> None:
    done = subprocess.run([sys.executable, "-c", CHOSEN], capture_output=True, text=True, check=False)
    if "it begins otherwise" in done.stderr or "undefined symbol" in done.stderr:
        pytest.skip("this release of MKL keeps its choice elsewhere")
    assert done.returncode == 0, done.stderr
    before, after = map(int, done.stdout.split())
    assert before == -1 < after
