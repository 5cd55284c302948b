"""Reward models in torch, from texts to rewards. Whatever runs torch in this project imports something of this package.

What tanh, exp, sqrt and their like run on is chosen by the first call of any of them in a process, and the library that torch has them
from, oneMKL 2024.2, chooses without a lock (https://github.com/pytorch/pytorch/issues/188792). Where threads that share a tensor make
that call at once, one may run its share on a kernel of low accuracy: in one run of some hundred, half of the first batch got rewards that
were off by 5e-5. So the first call is made here, where there is one thread.
"""

import torch

torch.zeros(1).tanh()
