"""The made-up worlds of distributional preference learning: what is true in them, models trained on them, and the stage."""

import json
import math
import re
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

import dpl_synthetic as stage
import numpy as np
import pandas as pd
import pytest
import torch
from conftest import ROOT
from scipy import integrate, stats
from torch import Tensor

from seal.engine import heads
from seal.errors import InputError
from seal.synthetic import environments as worlds
from seal.synthetic import figures, learned, piecewise, training
from seal.synthetic.training import MODELS, Settings

SMALL = Settings(steps=6, batch=128, hidden=32, atoms=5)


def benchmark() -> Any:
    import importlib.util

    spec = importlib.util.spec_from_file_location("made_up_worlds", ROOT / "benchmarks" / "made_up_worlds.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def seeded(seed: int = 1) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def column(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)[:, None]


# --- what is true ---


def test_1d_by_hand() -> None:
    exact = worlds.truth("1d", column(0.25, 0.75, 0.8, 1.0))
    # Below 0.8: all lower states, and the tenth of states that draw 0. Above: with chance 1/2 all below 0.8, that tenth, and half of the
    # states between 0.8 and the state; else half of the tenth.
    assert exact.borda_count.tolist() == pytest.approx([0.35, 0.85, (0.9 + 0.05) / 2, (1.0 + 0.05) / 2])
    assert exact.expected_utility.tolist() == pytest.approx([0.25, 0.75, 0.8, 1.0])
    assert exact.standard_deviation.tolist() == pytest.approx([0, 0, 0.8, 1.0])
    assert exact.hidden.tolist() == [False, False, True, True]


def test_the_chance_of_a_choice_in_1d_by_hand() -> None:
    first = column(0.2, 0.3, 0.9, 0.3, 0.9, 0.95, 0.5)
    second = column(0.3, 0.2, 0.3, 0.9, 0.95, 0.9, 0.5)
    assert worlds.first_is_chosen("1d", first, second).tolist() == pytest.approx([0, 1, 0.5, 0.5, 0.5, 0.75, 1])


def test_2d_by_hand() -> None:
    exact = worlds.truth("2d", torch.tensor([[0.0, 0.5], [0.5, 0.5], [0.0, 1.0], [1.0, 0.0]], dtype=torch.float64))
    assert exact.expected_utility.tolist() == pytest.approx([0.5, 0.5, 1, 0])
    thirds = torch.tensor([[x / 7, 1 / 3] for x in range(7)], dtype=torch.float64)
    assert len(set(worlds.truth("2d", thirds).expected_utility.tolist())) == 1  # equal ones stay equal, so that ranks tie
    assert exact.standard_deviation.tolist() == pytest.approx([0, 0.5 / 0.75 * math.sqrt(0.25 * 0.75), 0, 0])
    # At (0, 1) the utility is 1 for sure: 1/4 of states draw 0, and the others are below 1 where y < 1 / (1 + x).
    assert float(exact.borda_count[2]) == pytest.approx(1 / 4 + (math.log(2) + 1 / 2) / 2)


@pytest.mark.parametrize("environment", worlds.ENVIRONMENTS)
def test_borda_counts_are_what_draws_give(environment: worlds.Environment) -> None:
    random, draws = seeded(), 200_000
    states = torch.rand(20, worlds.DIMENSIONS[environment], generator=random, dtype=torch.float64) * 0.4 + 0.6  # where values exceed 1, too
    states = torch.cat([states, torch.rand(20, worlds.DIMENSIONS[environment], generator=random, dtype=torch.float64)])
    exact = worlds.truth(environment, states)
    others = worlds.utility(environment, torch.rand(draws, states.shape[1], generator=random, dtype=torch.float64), random)
    for place, state in enumerate(states):
        own = worlds.utility(environment, state.expand(draws, -1), random)
        beaten = (own > others).double() + (own == others).double() / 2
        assert float(exact.borda_count[place]) == pytest.approx(float(beaten.mean()), abs=5 * 0.5 / math.sqrt(draws))
        error = float(exact.standard_deviation[place]) / math.sqrt(draws)
        assert float(exact.expected_utility[place]) == pytest.approx(float(own.mean()), abs=5 * error + 1e-9)


def test_2d_borda_counts_are_what_quadrature_gives() -> None:
    states = torch.tensor([[0.3, 0.4], [0.9, 0.7], [0.95, 0.98], [0.05, 0.9]], dtype=torch.float64)
    for (x, y), found in zip(states.tolist(), worlds.truth("2d", states).borda_count.tolist(), strict=True):
        value = y / (1 - x * y)

        def edge(other: float, value: float = value) -> float:
            return min(1.0, value / (1 + value * other))

        below, _ = integrate.dblquad(lambda b, a: 1 - a * b, 0, 1, 0, edge, epsabs=1e-10)
        assert found == pytest.approx((1 - x * y) * (1 / 4 + below) + x * y / 8, abs=1e-8)


@pytest.mark.parametrize("environment", worlds.ENVIRONMENTS)
def test_the_bound_is_that_of_one_who_knows_all_but_the_draws(environment: worlds.Environment) -> None:
    random, draws = seeded(), 1_000_000
    first, second = torch.rand(2, draws, worlds.DIMENSIONS[environment], generator=random, dtype=torch.float64)
    chosen = worlds.prefer(environment, first, second, random).double()
    known = worlds.first_is_chosen(environment, first, second)
    assert float(chosen.mean()) == pytest.approx(float(known.mean()), abs=0.0025)
    right = torch.where(known == 0.5, 0.5, ((known > 0.5) == (chosen > 0.5)).double())
    probability = torch.where(chosen > 0.5, known, 1 - known)
    assert float(probability.min()) > 0  # what is sure is what happens
    bound = worlds.bayes_bound(environment)
    assert bound.nll == pytest.approx(-float(probability.log().mean()), abs=0.0025)
    assert bound.accuracy == pytest.approx(float(right.mean()), abs=0.0025)
    assert learned.bound_of_pairs(environment) == pytest.approx(bound, abs=5e-4)


def test_the_bound_of_1d_is_the_published_one_and_that_of_2d_does_not_hang_on_its_nodes() -> None:
    assert worlds.bayes_bound("1d") == pytest.approx((0.2469, 0.825), abs=5e-5)
    assert worlds.bayes_bound("2d") == pytest.approx(worlds.bayes_bound("2d", nodes=500), abs=1e-5)


# --- runs ---


def test_runs_have_what_all_rows_have() -> None:
    random = seeded()
    states = torch.rand(300, generator=random, dtype=torch.float64).sort().values
    weight, bias = torch.rand(2, 8, generator=random, dtype=torch.float64) * 2 - 1
    ends = torch.tensor([0, 299])
    runs = piecewise.bend(states, ends, states[ends, None] * weight + bias)
    known = piecewise.interpolate(states[ends, None] * weight + bias, runs).relu()
    assert len(runs.rows) < 20  # two rows at each of the eight units' zeros, and the ends
    every = piecewise.between(states, runs.rows, torch.arange(300))
    whole = (states[:, None] * weight + bias).relu()
    torch.testing.assert_close(piecewise.interpolate(known, every), whole)
    counts, products = piecewise.counted(states, runs.rows)
    torch.testing.assert_close((counts * known).sum(0), whole.sum(0))
    torch.testing.assert_close((known * (products @ known)).sum(0), (whole**2).sum(0))
    slopes = torch.rand(300, 8, generator=random, dtype=torch.float64)
    torch.testing.assert_close((piecewise.gather(slopes, every, len(known)) * known).sum(), (slopes * whole).sum())


def test_equal_states_and_a_batch_of_few_do_no_harm() -> None:
    states = torch.tensor([[0.5], [0.5], [0.5], [0.5]], dtype=torch.float64)
    for model in MODELS:
        each = training.network(model, 1, SMALL, seeded(), torch.float64)
        losses = training.step([each], states, torch.tensor([True, False]))
        assert losses.isfinite().all()
        assert each.parameters.grad is not None
        assert each.parameters.grad.isfinite().all()


# --- training ---


@pytest.mark.parametrize("environment", worlds.ENVIRONMENTS)
def test_training_together_is_training_one_by_one_the_plain_way(environment: worlds.Environment) -> None:
    plain = benchmark()
    dimensions, prefer = worlds.DIMENSIONS[environment], partial(worlds.prefer, environment)
    networks = [training.network(model, dimensions, SMALL, seeded(), torch.float64) for model in MODELS]
    modules = [plain.plain_module(each) for each in networks]
    losses = torch.stack(list(training.train(networks, dimensions, prefer, SMALL, seeded(2))))
    for place, (each, module) in enumerate(zip(networks, modules, strict=True)):
        alone = torch.stack(list(plain.train_plain(each.model, module, dimensions, prefer, SMALL, seeded(2))))
        torch.testing.assert_close(losses[:, place], alone, rtol=0, atol=1e-9)
        module.eval()
        states = torch.rand(50, dimensions, generator=seeded(3), dtype=torch.float64)
        expected = training.to_head(each.model.head, module(states)).detach()
        torch.testing.assert_close(training.evaluate(each, states), expected, rtol=1e-5, atol=1e-5)


def test_fp32_and_bf16_stay_near_the_plain_way() -> None:
    plain = benchmark()
    prefer = partial(worlds.prefer, "1d")
    for dtype, tolerance in (("fp32", 1e-5), ("bf16", 0.02)):
        settings = SMALL._replace(dtype=dtype)  # type: ignore[arg-type]
        for model in MODELS:
            each = training.network(model, 1, settings, seeded())
            module = plain.plain_module(each)
            losses = torch.stack(list(training.train([each], 1, prefer, settings, seeded(2))))[:, 0]
            alone = torch.stack(list(plain.train_plain(model, module, 1, prefer, settings, seeded(2))))
            torch.testing.assert_close(losses, alone, rtol=0, atol=tolerance)


def test_a_standard_deviation_is_the_exponential_of_its_output_less_2() -> None:
    raw = torch.tensor([[0.5, 2.0], [0.5, -3.0], [0.5, 12.0], [0.5, 1000.0]], dtype=torch.float64)
    outputs = training.to_head("mean-and-variance", raw)
    found = heads.standard_deviation("mean-and-variance", outputs).tolist()
    assert found == pytest.approx([1, math.exp(-5), math.exp(10), math.exp(30)])
    assert heads.mean("mean-and-variance", outputs).tolist() == [0.5] * 4


def test_a_short_training_learns_and_its_standard_deviation_finds_hidden_context() -> None:
    settings = Settings(steps=120, batch=512, hidden=64, atoms=10, learning_rate=0.005)
    random = seeded(0)
    networks = [training.network(model, 1, settings, random) for model in MODELS]
    losses = torch.stack(list(training.train(networks, 1, partial(worlds.prefer, "1d"), settings, random)))
    assert (losses[-20:].mean(0) < losses[:5].mean(0) - 0.05).all()
    for each in networks[1:]:
        figures = learned.state_figures("1d", each.model, training.evaluate(each, learned.grid("1d").float()))
        assert figures["standard_deviation"]["auc_of_hidden"] > 0.95


# --- figures ---


def test_a_model_that_knows_all_but_the_draws_meets_the_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    bound = learned.bound_of_pairs("1d")
    first, second = learned.held_out_pairs("1d")
    known = worlds.first_is_chosen("1d", first.double(), second.double())
    answers = iter([known.log(), (1 - known).log()])
    monkeypatch.setattr(heads, "log_probability", lambda *_: next(answers).clamp(min=-1e6))
    each = training.network(MODELS[0], 1, SMALL, seeded())
    assert learned.choice_figures("1d", each) == pytest.approx(bound._asdict())


def test_a_model_that_knows_nothing_is_right_half_of_the_time() -> None:
    each = training.network(MODELS[0], 2, SMALL, seeded())
    each.parameters.zero_()
    assert learned.choice_figures("2d", each) == pytest.approx({"nll": math.log(2), "accuracy": 0.5})


def test_figures_of_states_are_scipys() -> None:
    outputs = torch.randn(500, 2, generator=seeded(), dtype=torch.float64)
    figures = learned.state_figures("1d", MODELS[1], outputs)
    a = (np.arange(500) + 0.5) / 500
    borda, mean = np.where(a < 0.8, 0.1 + a, 0.275 + 0.25 * a), outputs[:, 0].numpy()
    std = np.maximum(np.log1p(np.exp(outputs[:, 1].numpy())), heads.SMALLEST_STD)
    assert figures["pearson_with_borda_count"] == pytest.approx(stats.pearsonr(mean, borda).statistic)
    assert figures["spearman_with_borda_count"] == pytest.approx(stats.spearmanr(mean, borda).statistic)
    assert figures["pearson_with_expected_utility"] == pytest.approx(stats.pearsonr(mean, a).statistic)
    assert figures["r2"] == pytest.approx(mean.var() / (mean.var() + (std**2).mean()))
    parts = figures["standard_deviation"]
    assert parts["hidden_mean"] == pytest.approx(std[400:].mean())
    assert parts["not_hidden_median"] == pytest.approx(np.median(std[:400]))
    u = stats.mannwhitneyu(std[400:], std[:400]).statistic
    assert parts["auc_of_hidden"] == pytest.approx(u / (100 * 400))


def test_an_area_counts_ties_half() -> None:
    assert learned.auc(np.array([1.0, 2.0]), np.array([0.0, 1.0])) == (1 + 0.5 + 1 + 1) / 4


def test_over_seeds_by_hand() -> None:
    found = learned.over_seeds({"0": {"a": 1.0, "b": {"c": 2.0}, "d": None}, "1": {"a": 3.0, "b": {"c": 2.0}, "d": None}})
    assert found == {"a": 2.0, "a_spread": math.sqrt(2), "b": {"c": 2.0, "c_spread": 0.0}, "d": None}
    assert learned.over_seeds({"0": {"a": 1.0}}) == {"a": 1.0, "a_spread": None}


# --- the stage ---


def arguments(folder: Path, **more: Any) -> stage.Arguments:
    given: dict[str, Any] = {"seeds": [0, 3], "steps": 3, "batch": 16, "hidden": 8}
    names = {"out": "states.csv", "metrics": "metrics.json", "figure_1d": "1d.svg", "figure_2d": "2d.svg"}
    return stage.Arguments(**{**{name: str(folder / file) for name, file in names.items()}, **given, **more})


def written(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def test_the_stage_writes_the_same_bytes_again_and_goes_on_where_it_was_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(learned, "PAIRS", 64)
    stage.main(arguments(tmp_path / "first"))
    first = written(tmp_path / "first")
    assert sorted(first) == ["1d.svg", "2d.svg", "metrics.json", "states.csv"]

    monkeypatch.setenv("SEAL_WORK", str(tmp_path / "other"))
    real, done = stage.trained, []

    def killed(environment: Any, settings: Any, seed: int) -> Any:
        if len(done) == 3:
            raise KeyboardInterrupt
        done.append((environment, seed))
        return real(environment, settings, seed)

    monkeypatch.setattr(stage, "trained", killed)
    with pytest.raises(KeyboardInterrupt):
        stage.main(arguments(tmp_path / "second"))
    assert done == [("1d", 0), ("1d", 3), ("2d", 0)]
    done.clear()
    stage.main(arguments(tmp_path / "second"))
    assert done == [("2d", 3)]
    assert written(tmp_path / "second") == first
    assert not list((tmp_path / "other" / "dpl-synthetic").iterdir())


def test_table_and_metrics_hold_every_model_seed_and_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(learned, "PAIRS", 64)
    monkeypatch.setattr(learned, "STATES", {"1d": 10, "2d": 3})
    stage.main(arguments(tmp_path, figure_1d="", figure_2d=""))
    table = pd.read_csv(tmp_path / "states.csv")
    names = ["base", "mean-and-variance", "mean-and-variance-released-link", "categorical"]
    assert table.groupby(["environment", "model", "seed"]).size().to_dict() == {
        (environment, name, seed): states for environment, states in (("1d", 10), ("2d", 9)) for name in names for seed in (0, 3)
    }
    assert table[table["environment"] == "1d"]["x"].head(10).tolist() == pytest.approx([0.05 + 0.1 * step for step in range(10)])
    assert (table["y"].isna() == (table["environment"] == "1d")).all()
    assert (table["std"].isna() == (table["model"] == "base")).all()
    figures = json.loads((tmp_path / "metrics.json").read_text())
    for environment in ("1d", "2d"):
        assert list(figures[environment]["models"]) == names
        for name in names:
            model = figures[environment]["models"][name]
            seeds = [model["by_seed"][seed]["nll"] for seed in ("0", "3")]
            assert model["nll"] == pytest.approx(np.mean(seeds), rel=1e-5)
            assert model["nll"] > figures[environment]["bayes_bound_of_held_out_pairs"]["nll"]
        assert figures[environment]["models"]["base"]["standard_deviation"] is None
        assert "no distribution" in figures[environment]["models"]["base"]["standard_deviation_reason"]


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"steps": 0}, "steps is 0; expected 1 or more"),
        ({"layers": 1}, "layers is 1; expected 2 or more"),
        ({"atoms": 1}, "atoms is 1"),
        ({"last_learning_rate": 0.1}, "last-learning-rate 0.1"),
        ({"seeds": [1, 1]}, "seeds are 1 1; expected different"),
        ({"seeds": [0, 2**32]}, "seeds are 0 4294967296; expected different numbers of 0 or more, below 2**32"),
        ({"seeds": [-1]}, "seeds are -1; expected"),
        ({"learning_rate": 1e30, "last_learning_rate": 1e30}, "lower learning-rate"),
    ],
)
def test_mistakes_are_told(tmp_path: Path, given: dict[str, Any], told: str) -> None:
    with pytest.raises(InputError, match=re.escape(told)):
        stage.main(arguments(tmp_path, environment="1d", **given))
    assert not list(tmp_path.glob("*.*"))


def test_help_answers_without_torch() -> None:
    code = "import sys; sys.path.insert(0, 'stages'); import dpl_synthetic; print({'torch', 'matplotlib', 'pandas'} & set(sys.modules))"
    result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert "torch" not in result.stdout


def test_drawings_name_no_machine_and_survive_flat_values() -> None:
    flat = np.zeros(9)
    for svg in (figures.curves(np.linspace(0, 1, 9), {"truth": flat}, {"base": (flat, flat)}), figures.maps(3, {"flat": flat})):
        assert set(re.findall(r"font-family: ([^;\"]*)", svg)) == {"sans-serif"}
        assert not re.search(r"<dc:date|Matplotlib v|/home|/usr", svg)
