"""Do intervals of coefficients hold the truth where a labeler errs? Naive least squares beside the one corrected by gold, on planted truth.

    python benchmarks/imprint_coverage.py --runs 300

Plants coefficients of six features, has a labeler err, gives gold of a random part of the pairs, and prints for each feature how many of
the intervals of level 0.95 hold the planted coefficient, and the mean bias of the estimates. Nothing is read or written.

random errors
    The labeler finds a true feature with a chance of 0.80 to 0.90 and takes its absence for what it is with a chance of 0.90 to 0.97.
errors by length
    The same on a text of middle length; it misses more in long texts, and long texts earn more reward.
few gold pairs
    As random errors, with as many pairs, opening prompts and gold pairs as the embedded sample has.

Pairs share opening prompts, and with them a taste for the first feature, so that pairs are not independent of each other.
"""

import argparse
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from scipy import special

from seal import regression
from seal.rectified import rectified

TRUTH = np.array([1.0, 0.5, -0.8, 0.2, 0.0, 0.0])
SHARES = np.array([0.5, 0.3, 0.2, 0.4, 0.3, 0.15])
"""Of the texts that have each feature."""
SENSITIVITY = np.array([0.80, 0.85, 0.90, 0.82, 0.88, 0.84])
SPECIFICITY = np.array([0.90, 0.95, 0.97, 0.92, 0.94, 0.96])


class Setup(NamedTuple):
    """What is planted."""

    pairs: int
    prompts: int
    gold: int
    """How many pairs have gold, on average."""
    by_length: bool


SETUPS = {
    "random errors": Setup(20_000, 12_000, 800, by_length=False),
    "errors by length": Setup(20_000, 12_000, 800, by_length=True),
    "few gold pairs": Setup(450, 178, 112, by_length=False),
}


class Planted(NamedTuple):
    """Features of the pairs, chosen less rejected, and what they earn."""

    labels: np.ndarray
    """[pairs, 6] by the labeler."""
    gold: np.ndarray
    """[pairs, 6]"""
    margins: np.ndarray
    """[pairs]"""
    known: np.ndarray
    """[pairs] whether there is gold."""
    prompts: np.ndarray
    """[pairs]"""


def planted(setup: Setup, seed: int) -> Planted:
    """Draw pairs with true features, labels and margins."""
    random = np.random.default_rng(seed)
    features = random.random((2, setup.pairs, len(TRUTH))) < SHARES
    length = random.normal(size=(2, setup.pairs))
    missed = special.logit(1 - SENSITIVITY) + (1.0 * length[..., None] if setup.by_length else 0.0)
    invented = special.logit(1 - SPECIFICITY)
    labels = np.where(
        features, random.random(features.shape) >= special.expit(missed), random.random(features.shape) < special.expit(invented)
    )
    prompts = random.integers(setup.prompts, size=setup.pairs)
    taste = random.normal(scale=0.5, size=setup.prompts)[prompts]
    gold = features[0].astype(float) - features[1]
    margins = gold @ TRUTH + taste * gold[:, 0] + random.normal(size=setup.pairs)
    if setup.by_length:
        margins += 0.5 * (length[0] - length[1])
    known = random.random(setup.pairs) < setup.gold / setup.pairs
    return Planted(labels[0].astype(float) - labels[1], gold, margins, known, prompts)


def estimates(data: Planted, probability: float) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Coefficients, their errors and how many errors wide half an interval is, [6] each: naive, then corrected."""
    naive = regression.ols(data.labels, data.margins)
    degrees = regression.own_degrees(regression.clusters_moved(data.labels != 0, data.prompts))
    half = special.stdtrit(degrees, 0.975)
    yield naive.estimates, np.sqrt(np.diag(regression.clustered(naive, data.prompts))), half
    corrected = rectified(data.labels, data.gold, data.margins, data.known, probability, data.prompts)
    if corrected is None:
        raise ValueError("the pairs with gold leave coefficients open")
    yield corrected.estimates, np.sqrt(np.diag(corrected.covariance)), special.stdtrit(corrected.degrees, 0.975)


class Outcome(NamedTuple):
    """Of the naive estimator and of the corrected one, [2, 6]."""

    coverage: np.ndarray
    bias: np.ndarray
    width: np.ndarray
    """Mean width of the intervals."""


def repeated(setup: Setup, runs: int) -> Outcome:
    """Plant and estimate anew, so many times."""
    found = np.empty((runs, 2, 3, len(TRUTH)))
    for run in range(runs):
        for way, (estimate, error, half) in enumerate(estimates(planted(setup, run), setup.gold / setup.pairs)):
            found[run, way] = np.abs(estimate - TRUTH) <= half * error, estimate - TRUTH, 2 * half * error
    coverage, bias, width = np.moveaxis(found.mean(axis=0), 1, 0)
    return Outcome(coverage, bias, width)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False)
    parser.add_argument("--runs", type=int, default=300)
    runs = parser.parse_args().runs
    print(f"{runs} runs; Monte Carlo error of a coverage of 0.95: {np.sqrt(0.95 * 0.05 / runs):.4f}")
    for name, setup in SETUPS.items():
        outcome = repeated(setup, runs)
        print(f"\n{name}: {setup.pairs} pairs, {setup.prompts} opening prompts, gold of {setup.gold}")
        print("            coefficient " + "".join(f"{value:9.2f}" for value in TRUTH) + "   pooled")
        for way, estimator in enumerate(("naive", "corrected")):
            for figure, values in outcome._asdict().items():
                pooled = np.abs(values[way]).max() if figure == "bias" else values[way].mean()
                print(f"{estimator:>11} {figure:>11} " + "".join(f"{value:9.4f}" for value in values[way]) + f"{pooled:9.4f}")
        print("(pooled: mean over the features; of bias, its greatest size)")


if __name__ == "__main__":
    main()
