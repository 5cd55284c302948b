"""From raw outputs to scores: each head's mean, quantile and standard deviation, and how far rounding may take them."""

from pathlib import Path

import numpy as np
import pytest
import tiny_models
from scipy import special, stats

from seal import parity
from seal.engine import reward_models, scoring
from seal.engine.reward_models import HEAD
from seal.engine.summaries import REWARD, Summary
from seal.errors import InputError
from seal.journal import Journal

OUTPUTS = np.random.default_rng(1).normal(0, 1.5, (30, 6)).astype(np.float32)
ATOMS = np.linspace(0, 1, 6)


def test_a_reward_is_its_own_score_to_the_last_bit() -> None:
    assert (REWARD.figures(OUTPUTS[:, :1]) == OUTPUTS[:, :1]).all()
    assert REWARD.figures(OUTPUTS[:, :1]).dtype == np.float32


def test_figures_of_a_normal_distribution() -> None:
    std = np.logaddexp(0, OUTPUTS[:, 1].astype(float))
    found = Summary("mean-and-variance").figures(OUTPUTS[:, :2])
    assert (found[:, 0] == OUTPUTS[:, 0]).all()
    np.testing.assert_allclose(found[:, 1], std, rtol=1e-6)
    averse = Summary("mean-and-variance", "quantile", 0.05).figures(OUTPUTS[:, :2])
    np.testing.assert_allclose(averse[:, 0], stats.norm.ppf(0.05, OUTPUTS[:, 0], std), rtol=1e-5, atol=1e-6)
    assert (averse[:, 1] == found[:, 1]).all()


def test_figures_of_atoms() -> None:
    p = special.softmax(OUTPUTS.astype(float), axis=1)
    mean = p @ ATOMS
    found = Summary("categorical").figures(OUTPUTS)
    np.testing.assert_allclose(found[:, 0], mean, rtol=1e-6)
    np.testing.assert_allclose(found[:, 1], np.sqrt((p * (ATOMS - mean[:, None]) ** 2).sum(1)), rtol=1e-6)
    lowest = ATOMS[(np.cumsum(p, axis=1) >= 0.05).argmax(1)]
    np.testing.assert_allclose(Summary("categorical", "quantile", 0.05).figures(OUTPUTS)[:, 0], lowest, rtol=1e-6)
    buckets = [stats.rv_histogram((row, np.linspace(0, 1, 7)), density=False).ppf(0.05) for row in p]
    np.testing.assert_allclose(Summary("categorical", "quantile", 0.05, "released").figures(OUTPUTS)[:, 0], buckets, rtol=1e-6)


@pytest.mark.parametrize(
    "summary",
    [REWARD, Summary("mean-and-variance", "quantile"), Summary("categorical"), Summary("categorical", "quantile", 0.01, "released")],
)
def test_smooth_scores_have_no_room(summary: Summary) -> None:
    lower, upper = summary.bounds(OUTPUTS, 0.05)
    assert (lower == upper).all()
    assert (lower == summary.figures(OUTPUTS)[:, 0]).all()


def test_a_quantile_that_steps_may_take_the_step_that_rounding_decides() -> None:
    close = np.log(np.array([[0.0999, 0.4001, 0.5], [0.1001, 0.3999, 0.5], [0.3, 0.3, 0.4], [0.01, 0.59, 0.4]])).astype(np.float32)
    summary = Summary("categorical", "quantile", 0.1)
    assert summary.figures(close)[:, 0].tolist() == [0.5, 0.0, 0.0, 0.5]
    lower, upper = summary.bounds(close, 0.05)
    assert (lower.tolist(), upper.tolist()) == ([0.0, 0.0, 0.0, 0.5], [0.5, 0.5, 0.0, 0.5])
    lower, upper = summary.bounds(close, 1e-4)
    assert (lower.tolist(), upper.tolist()) == ([0.5, 0.0, 0.0, 0.5], [0.5, 0.0, 0.0, 0.5])


@pytest.mark.parametrize("dtype", ["fp32", "bf16"])
@pytest.mark.parametrize("definition", ["exact", "released"])
def test_parity_holds_the_scores_that_are_written_to_the_model(tmp_path: Path, dtype: str, definition: str) -> None:
    folder = tiny_models.build("gpt2", tmp_path / "model", outputs=8)
    (folder / HEAD).write_text('{"head": "categorical", "atoms": 8}')
    texts = [tiny_models.transcript(2, 16, seed) for seed in range(40)]
    model, exact = (reward_models.load(str(folder), dtype=each) for each in (dtype, "fp32"))  # type: ignore[arg-type]
    with Journal(tmp_path / "journal.jsonl") as journal:
        outputs = scoring.score(model, texts, journal).outputs
    assert outputs.shape == (40, 8)
    summary = Summary("categorical", "quantile", 0.05, definition)  # type: ignore[arg-type]
    found = parity.check(exact, dtype, texts, summary.figures(outputs)[:, 0], summary=summary)
    assert found.texts == 32
    assert found.reward_std > 0.05
    with pytest.raises(InputError, match="parity check failed"):
        parity.check(exact, dtype, texts, Summary("categorical").figures(outputs)[:, 0], summary=summary)
