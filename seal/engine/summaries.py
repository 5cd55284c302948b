"""From a model's raw outputs for texts to what stands in a table of rewards: the score, and the standard deviation where there is one."""

from typing import Literal, NamedTuple

import numpy as np
import torch

from seal.engine import heads
from seal.engine.heads import Definition, Head

Score = Literal["mean", "quantile"]
"""`mean`: the mean reward. `quantile`: the lower quantile of its distribution, the risk-averse score."""


class Summary(NamedTuple):
    """How outputs are summed up."""

    head: Head = "base"
    score: Score = "mean"
    alpha: float = 0.01
    """Of the quantile."""
    definition: Definition = "exact"
    """Of the quantile of atoms."""

    def figures(self, outputs: np.ndarray) -> np.ndarray:
        """[texts, 1] the score, or of a distributional head [texts, 2] the score and the standard deviation; of [texts, outputs]."""
        raw = torch.from_numpy(outputs).double()
        columns = [self._scores(raw, self.alpha)]
        if self.head != "base":
            columns.append(heads.standard_deviation(self.head, raw))
        return np.asarray(torch.stack(columns, dim=1).float().numpy())

    def bounds(self, outputs: np.ndarray, share: float) -> tuple[np.ndarray, np.ndarray]:
        """Between what the scores, [texts], lie if probabilities are off by a share: equal to them, unless they come in steps.

        The exact quantile of atoms jumps from one to the next where the least rounding takes a cumulative probability past alpha.
        """
        raw = torch.from_numpy(outputs).double()
        stepped = (self.head, self.score, self.definition) == ("categorical", "quantile", "exact")
        alphas = (self.alpha / (1 + share), min(self.alpha * (1 + share), (1 + self.alpha) / 2)) if stepped else (self.alpha, self.alpha)
        lower, upper = (self._scores(raw, alpha).float().numpy() for alpha in alphas)
        return lower, upper

    def _scores(self, raw: torch.Tensor, alpha: float) -> torch.Tensor:
        if self.score == "mean":
            return heads.mean(self.head, raw)
        return heads.quantile(self.head, raw, alpha, self.definition)


REWARD = Summary()
"""Of the head `base`, whose one output is the score."""
