import math

import numpy as np
import pytest
import torch
from scipy import stats

from seal.engine import heads

HEADS = ("base", "mean-and-variance", "categorical")
DISTRIBUTIONAL = ("mean-and-variance", "categorical")


def _random(pairs: int, width: int, seed: int = 0, scale: float = 2.0) -> tuple[torch.Tensor, torch.Tensor]:
    random = np.random.default_rng(seed)
    return torch.from_numpy(random.normal(0, scale, (pairs, width))), torch.from_numpy(random.normal(0, scale, (pairs, width)))


def _softplus(s: torch.Tensor) -> np.ndarray:
    return np.logaddexp(0, s.numpy())


def _softmax(logits: np.ndarray) -> np.ndarray:
    weights = np.exp(logits - logits.max())
    return weights / weights.sum()


def test_outputs_of_each_head() -> None:
    assert [heads.outputs(head, 7) for head in HEADS] == [1, 2, 7]


def test_base_is_that_of_bradley_and_terry() -> None:
    better, worse = _random(50, 1)
    got = heads.log_probability("base", better, worse)
    np.testing.assert_allclose(got, stats.logistic.logcdf(better.numpy() - worse.numpy())[:, 0], rtol=1e-12)
    assert torch.equal(heads.mean("base", better), better[:, 0])
    assert torch.equal(heads.quantile("base", better, 0.01), better[:, 0])
    assert not heads.standard_deviation("base", better).any()


def test_mean_and_variance_is_the_chance_that_one_normal_draw_beats_another() -> None:
    better, worse = _random(50, 2)
    spread = np.sqrt(_softplus(better[:, 1]) ** 2 + _softplus(worse[:, 1]) ** 2)
    expected = stats.norm.logcdf((better[:, 0] - worse[:, 0]).numpy() / spread)
    np.testing.assert_allclose(heads.log_probability("mean-and-variance", better, worse), expected, rtol=1e-10)
    assert heads.loss("mean-and-variance", better, worse).item() == pytest.approx(-expected.mean(), rel=1e-10)


def test_the_released_link_is_a_logistic_with_slope_root_two_pi() -> None:
    better, worse = _random(50, 2)
    spread = np.sqrt(_softplus(better[:, 1]) ** 2 + _softplus(worse[:, 1]) ** 2)
    expected = stats.logistic.logcdf(math.sqrt(2 * math.pi) * (better[:, 0] - worse[:, 0]).numpy() / spread)
    np.testing.assert_allclose(heads.log_probability("mean-and-variance", better, worse, "released"), expected, rtol=1e-10)
    assert heads.loss("mean-and-variance", better, worse, "released").item() == pytest.approx(-expected.mean(), rel=1e-10)


@pytest.mark.parametrize("atoms", [2, 3, 10])
def test_categorical_is_the_sum_over_pairs_of_atoms_with_half_a_tie(atoms: int) -> None:
    better, worse = _random(30, atoms)
    expected = []
    for one, other in zip(better.numpy(), worse.numpy(), strict=True):
        p, q = _softmax(one), _softmax(other)
        expected.append(math.log(sum(p[i] * q[j] * (1 if i > j else 0.5 if i == j else 0) for i in range(atoms) for j in range(atoms))))
    np.testing.assert_allclose(heads.log_probability("categorical", better, worse), expected, rtol=1e-10)


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("link", ["normal", "released"])
def test_one_of_two_texts_is_chosen(head: str, link: str) -> None:
    better, worse = _random(20, heads.outputs(head, 6))
    one, other = heads.log_probability(head, better, worse, link), heads.log_probability(head, worse, better, link)
    np.testing.assert_allclose(one.exp() + other.exp(), 1.0, rtol=1e-12)
    np.testing.assert_allclose(heads.log_probability(head, better, better, link).exp(), 0.5, rtol=1e-12)
    assert (one <= 0).all()


def test_the_entropy_bonus_is_of_the_mean_distribution_of_all_texts() -> None:
    better, worse = _random(8, 5)
    mean = np.mean([_softmax(logits) for logits in np.concatenate([better.numpy(), worse.numpy()])], axis=0)
    plain = heads.loss("categorical", better, worse)
    rewarded = heads.loss("categorical", better, worse, entropy_bonus=0.3)
    assert (plain - rewarded).item() == pytest.approx(0.3 * stats.entropy(mean), rel=1e-10)
    # By hand: each text is sure, and together they use two atoms alike.
    sure = torch.tensor([[800.0, 0.0, 0.0]]).double(), torch.tensor([[0.0, 0.0, 800.0]]).double()
    assert (heads.loss("categorical", *sure) - heads.loss("categorical", *sure, entropy_bonus=1.0)).item() == pytest.approx(math.log(2))


def test_the_entropy_bonus_is_for_atoms_alone() -> None:
    for head in ("base", "mean-and-variance"):
        better, worse = _random(4, heads.outputs(head, 0))
        assert torch.equal(heads.loss(head, better, worse, entropy_bonus=5.0), heads.loss(head, better, worse))


# by hand: the log-likelihood of the wrong order is minus the gap for a base reward and for two sure atoms, and -z²/2 - log(z sqrt(2 pi))
# for two normal distributions, whose derivative is z; a floor of 0.001 keeps z below 1,000 / (0.001 sqrt(2))
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("gap", [1000.0, -1000.0])
@pytest.mark.parametrize("bonus", [0.0, 0.1])
def test_categorical_is_sound_for_logits_a_thousand_apart(dtype: torch.dtype, gap: float, bonus: float) -> None:
    better = torch.zeros(2, 10, dtype=dtype)
    worse = torch.zeros(2, 10, dtype=dtype)
    better[0, 0], worse[0, 9] = gap, gap
    better[1, 9], worse[1, 0] = gap, gap
    better.requires_grad_()
    worse.requires_grad_()
    loss = heads.loss("categorical", better, worse, entropy_bonus=bonus)
    loss.backward()
    assert torch.isfinite(loss)
    assert torch.isfinite(better.grad).all()
    assert torch.isfinite(worse.grad).all()


@pytest.mark.parametrize("head", ["base", "categorical"])
def test_a_sure_mistake_costs_its_gap_and_its_gradient_does_not_vanish(head: str) -> None:
    width = heads.outputs(head, 2)
    better, worse = torch.zeros(1, width), torch.zeros(1, width)
    better[0, 0], worse[0, -1] = (-1000.0, 0.0) if width == 1 else (1000.0, 1000.0)
    better.requires_grad_()
    loss = heads.loss(head, better, worse)
    loss.backward()
    assert loss.item() == pytest.approx(1000.0, abs=1.0)
    assert better.grad[0, 0].item() == pytest.approx(-1.0 if width == 1 else 0.5, abs=1e-3)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("s", [-1e4, -1000.0, -20.0, 0.0, 1000.0])
@pytest.mark.parametrize("gap", [1000.0, -1000.0, 1e-3, 0.0])
@pytest.mark.parametrize("link", ["normal", "released"])
def test_mean_and_variance_is_sound_for_large_gaps_and_vanishing_deviations(dtype: torch.dtype, s: float, gap: float, link: str) -> None:
    better = torch.tensor([[gap, s]], dtype=dtype, requires_grad=True)
    worse = torch.tensor([[0.0, s]], dtype=dtype, requires_grad=True)
    loss = heads.loss("mean-and-variance", better, worse, link)
    loss.backward()
    assert torch.isfinite(loss)
    assert torch.isfinite(better.grad).all()
    assert torch.isfinite(worse.grad).all()
    spread = math.sqrt(2) * max(np.logaddexp(0, s), heads.SMALLEST_STD)
    if link == "normal":
        assert loss.item() == pytest.approx(-stats.norm.logcdf(gap / spread), rel=1e-3)
        slope = -math.exp(stats.norm.logpdf(gap / spread) - stats.norm.logcdf(gap / spread)) if gap / spread > -10 else gap / spread
        assert better.grad[0, 0].item() == pytest.approx(slope / spread, rel=1e-2, abs=1e-30)


def test_the_gradient_of_the_lower_tail_is_right_where_torch_loses_it() -> None:
    z = torch.tensor([-1e6, -1e4, -1000.0, -50.0, -5.0, -1.5, -1.0, -0.5, 0.0, 3.0, 40.0], requires_grad=True)
    value = heads._log_ndtr(z)
    value.sum().backward()
    exact = z.detach().double().numpy()
    ratio = np.where(exact < -1000, -exact, np.exp(stats.norm.logpdf(exact) - stats.norm.logcdf(exact)))
    np.testing.assert_allclose(value.detach(), stats.norm.logcdf(exact), rtol=3e-6, atol=1e-37)
    np.testing.assert_allclose(z.grad, ratio, rtol=1e-5, atol=1e-37)


def test_a_deviation_at_the_floor_can_grow_again() -> None:
    better = torch.tensor([[0.0, -12.0]], requires_grad=True)
    worse = torch.tensor([[0.01, -12.0]], requires_grad=True)
    assert heads.standard_deviation("mean-and-variance", better).item() == pytest.approx(heads.SMALLEST_STD)
    heads.loss("mean-and-variance", better, worse).backward()
    assert better.grad[0, 1] < 0
    assert worse.grad[0, 1] < 0


def test_gradients_are_those_of_finite_differences() -> None:
    for head in HEADS:
        better, worse = (side.requires_grad_() for side in _random(3, heads.outputs(head, 4)))
        for link in ("normal", "released"):
            assert torch.autograd.gradcheck(lambda a, b: heads.loss(head, a, b, link, 0.1), (better, worse))  # noqa: B023 - called at once


@pytest.mark.parametrize("alpha", [0.001, 0.01, 0.3, 0.5, 0.9])
def test_moments_and_quantile_of_mean_and_variance(alpha: float) -> None:
    outputs, _ = _random(20, 2)
    std = _softplus(outputs[:, 1])
    np.testing.assert_allclose(heads.mean("mean-and-variance", outputs), outputs[:, 0])
    np.testing.assert_allclose(heads.standard_deviation("mean-and-variance", outputs), std, rtol=1e-12)
    for definition in ("exact", "released"):
        got = heads.quantile("mean-and-variance", outputs, alpha, definition)
        np.testing.assert_allclose(got, stats.norm.ppf(alpha, outputs[:, 0].numpy(), std), rtol=1e-10)


def test_moments_of_atoms() -> None:
    logits, _ = _random(20, 5)
    for row, outputs in enumerate(logits.numpy()):
        atoms = stats.rv_discrete(values=(range(5), _softmax(outputs)))
        assert heads.mean("categorical", logits)[row].item() == pytest.approx(atoms.mean() / 4, rel=1e-10)
        assert heads.standard_deviation("categorical", logits)[row].item() == pytest.approx(atoms.std() / 4, rel=1e-10)


def test_quantiles_of_atoms_by_hand() -> None:
    logits = torch.log(torch.tensor([[0.005, 0.005, 0.19, 0.8], [0.25, 0.25, 0.25, 0.25]], dtype=torch.float64))
    # cumulative: .005, .01, .2, 1 and .25, .5, .75, 1; atoms at 0, 1/3, 2/3, 1; buckets of 1/4
    for alpha, exact, released in (
        (0.001, [0, 0], [0.001 / 0.005 / 4, 0.001 / 0.25 / 4]),
        (0.1, [2 / 3, 0], [(2 + 0.09 / 0.19) / 4, 0.1 / 0.25 / 4]),
        (0.3, [1, 1 / 3], [(3 + 0.1 / 0.8) / 4, (1 + 0.05 / 0.25) / 4]),
        (0.99, [1, 1], [(3 + 0.79 / 0.8) / 4, (3 + 0.24 / 0.25) / 4]),
    ):
        np.testing.assert_allclose(heads.quantile("categorical", logits, alpha), exact, rtol=1e-12)
        np.testing.assert_allclose(heads.quantile("categorical", logits, alpha, "released"), released, rtol=1e-9)
    for atoms, alpha, atom in ((20, 0.5, 9), (10, 0.8, 7), (10, 0.3, 2)):  # cumulative sums that rounding leaves below alpha
        for dtype in (torch.float32, torch.float64):
            even = heads.quantile("categorical", torch.zeros(1, atoms, dtype=dtype), alpha).item()
            assert even == pytest.approx(atom / (atoms - 1))
    uniform = torch.zeros(1, 8)
    assert heads.quantile("categorical", uniform, 0.25).item() == pytest.approx(1 / 7)  # two atoms hold it exactly
    assert heads.quantile("categorical", uniform, 0.25, "released").item() == pytest.approx(0.25)


def test_quantiles_of_atoms_are_those_of_their_distribution() -> None:
    logits, _ = _random(40, 10)
    for alpha in (0.002, 0.05, 0.4, 0.77):
        for row, outputs in enumerate(logits.numpy()):
            p = _softmax(outputs)
            exact = stats.rv_discrete(values=(range(10), p)).ppf(alpha) / 9
            spread = stats.rv_histogram((p, np.linspace(0, 1, 11)), density=False).ppf(alpha)
            assert heads.quantile("categorical", logits, alpha)[row].item() == pytest.approx(exact, abs=1e-9)
            assert heads.quantile("categorical", logits, alpha, "released")[row].item() == pytest.approx(spread, rel=1e-8)


@pytest.mark.parametrize("definition", ["exact", "released"])
def test_a_quantile_stays_on_the_support_where_rounding_keeps_the_sum_below_alpha(definition: str) -> None:
    logits, _ = _random(200, 10)
    got = heads.quantile("categorical", logits.float(), 1 - 1e-9, definition)
    assert torch.isfinite(got).all()
    assert (got <= 1).all()
    assert (got > 0.5).all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("head", HEADS)
def test_the_dtype_is_kept(head: str, dtype: torch.dtype) -> None:
    better, worse = (side.to(dtype) for side in _random(3, heads.outputs(head, 4)))
    for made in (
        heads.loss(head, better, worse, entropy_bonus=0.1),
        heads.log_probability(head, better, worse),
        heads.mean(head, better),
        heads.standard_deviation(head, better),
        heads.quantile(head, better, 0.01),
        heads.quantile(head, better, 0.01, "released"),
    ):
        assert made.dtype == dtype


def test_any_shape_of_texts_goes() -> None:
    for head in DISTRIBUTIONAL:
        outputs = torch.randn(2, 3, heads.outputs(head, 4))
        for made in (heads.mean(head, outputs), heads.standard_deviation(head, outputs), heads.quantile(head, outputs, 0.1)):
            assert made.shape == (2, 3)


# --- planted truth ---


def _fitted_r2(link: str, members: torch.Tensor, chance: torch.Tensor, texts: int) -> float:
    """Share of explained variance of means and standard deviations that are free parameters, fitted to the chances of choices."""
    outputs = torch.zeros(texts, 2, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS([outputs], max_iter=120, history_size=20, line_search_fn="strong_wolfe", tolerance_change=1e-12)

    def cost() -> torch.Tensor:
        optimizer.zero_grad()
        better, worse = outputs[members[0]], outputs[members[1]]
        either = (heads.log_probability("mean-and-variance", *sides, link) for sides in ((better, worse), (worse, better)))
        loss = -sum(weight * log for weight, log in zip((chance, 1 - chance), either, strict=True)).mean()
        loss.backward()
        return loss

    optimizer.step(cost)
    mean, std = (figure("mean-and-variance", outputs.detach()).numpy() for figure in (heads.mean, heads.standard_deviation))
    return float(mean.var() / (mean.var() + (std**2).mean()))


@pytest.mark.parametrize("true", [0.5, 0.6, 0.7, 0.85])
def test_hidden_context_is_recovered_and_the_released_link_sees_too_much_of_it(true: float) -> None:
    """Choices whose chance is exactly that of normal rewards with standard deviations of their own, at a planted share of variance."""
    random = np.random.default_rng(int(100 * true))
    texts, pairs = 50, 1000
    mean = stats.norm.ppf((np.arange(texts) + 0.5) / texts)
    std = random.uniform(0.5, 1.5, texts)
    std *= math.sqrt(mean.var() * (1 / true - 1) / (std**2).mean())
    members = np.stack([random.integers(texts, size=pairs), random.integers(texts, size=pairs)])
    members = members[:, members[0] != members[1]]
    one, other = members
    chance = torch.from_numpy(stats.norm.cdf((mean[one] - mean[other]) / np.hypot(std[one], std[other])))
    places = torch.from_numpy(members)
    assert _fitted_r2("normal", places, chance, texts) == pytest.approx(true, abs=0.02)
    assert 0.1 <= true - _fitted_r2("released", places, chance, texts) <= 0.2
