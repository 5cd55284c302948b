"""The circular histograms: which pairs each bar holds, and what the drawing says."""

import math
import re
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from conftest import ROOT

from seal import polar
from seal.polar import Rose

QUADRANTS = {"both_positive": 0.5, "only_chosen_positive": 0.25, "both_negative": 0.125, "only_rejected_positive": None}
BAR, MEAN = "#0072b2", "#d55e00"


def texts(svg: str) -> list[str]:
    return [element.text or "" for element in ElementTree.fromstring(svg.encode()).iter("{http://www.w3.org/2000/svg}text")]


def points(svg: str, colour: str) -> list[list[tuple[float, float]]]:
    """The corners of every shape or line of a colour."""
    found = []
    for path in ElementTree.fromstring(svg.encode()).iter("{http://www.w3.org/2000/svg}path"):
        if re.search(rf"(fill|stroke): {colour}", path.get("style") or ""):
            found.append([(float(x), float(y)) for x, y in re.findall(r"[ML] (\S+) (\S+)", path.get("d") or "")])
    return found


def test_directions_by_hand() -> None:
    rewards = np.array([[1, 0], [1, 1], [0, 2], [-3, 0], [-1, -1], [0, -1], [0, 0], [-3, -0.0]], dtype=float)
    assert polar.directions(rewards).tolist() == pytest.approx([0, 45, 90, 180, -135, -90, math.nan, 180], nan_ok=True)


def test_between_the_diagonals_the_chosen_text_has_the_larger_reward() -> None:
    rewards = np.random.default_rng(1).normal(size=(500, 2))
    angles = polar.directions(rewards)
    assert ((angles > -135) & (angles < 45)).tolist() == (rewards[:, 0] > rewards[:, 1]).tolist()


def test_shares_by_hand() -> None:
    found = polar.shares(np.array([-180, 180, 179.9, 0, 9.99, -0.001, 44.9999999999999, 45, math.nan]))
    expected = {0: 2 / 8, 35: 1 / 8, 18: 2 / 8, 17: 1 / 8, 22: 2 / 8}  # 180 degrees are -180; 40 to 50 degrees are bin 22
    assert {number: share for number, share in enumerate(found) if share} == pytest.approx(expected)


def test_shares_are_those_of_numpy() -> None:
    angles = np.random.default_rng(2).uniform(-180, 180, 3000)
    expected, _ = np.histogram(angles, np.linspace(-180, 180, 37))
    assert polar.shares(angles) == pytest.approx(expected / 3000)


def test_a_bar_of_four_times_the_pairs_is_twice_as_long() -> None:
    svg = polar.theta_rose(Rose("all", np.array([5.0, 95, 95, 95, 95]), None, None), [])
    lengths = sorted(max(math.dist(bar[0], corner) for corner in bar) for bar in points(svg, BAR))[-2:]
    assert lengths[1] / lengths[0] == pytest.approx(2, rel=1e-3)


@pytest.mark.parametrize(("mean", "across", "down"), [(0, 1, 0), (90, 0, -1), (-45, math.sqrt(0.5), math.sqrt(0.5))])
def test_the_line_points_to_the_circular_mean_and_is_as_long_as_the_resultant(mean: float, across: float, down: float) -> None:
    angles = np.array([5.0, 15, 25])
    ways = []
    for length in (1, 0.25):
        ((start, end),) = points(polar.theta_rose(Rose("all", angles, mean, length), []), MEAN)
        ways.append((end[0] - start[0], end[1] - start[1]))
    rim = 140 / 2  # points, of the panel
    assert ways[0] == pytest.approx((across * rim, down * rim), abs=0.01)
    assert ways[1] == pytest.approx((across * rim / 4, down * rim / 4), abs=0.01)


def test_the_rose_names_groups_counts_and_means() -> None:
    some = Rose("got aligned", np.array([1.0, math.nan, 3]), -12.6, 0.987)
    words = texts(polar.theta_rose(Rose("all pairs", np.arange(1200.0) % 90, 44.4, 0.9), [some, Rose("resists", np.array([]), None, None)]))
    for expected in ("all pairs", "n = 1,200", "mean 44°, length 0.90", "got aligned", "n = 2, 1 without angle", "mean −13°, length 0.99"):  # noqa: RUF001
        assert expected in words
    assert words[words.index("resists") + 1] == "n = 0"
    assert sum("mean" in word for word in words) == 3  # of two panels, and in what is said of the line


def test_directions_of_rewards_name_roles_quadrants_and_the_diagonal() -> None:
    rewards = {"control": np.array([[1.0, 1], [0, 0]]), "aligned": np.array([[-2.0, 1]])}
    svg = polar.reward_directions(rewards, {"control": QUADRANTS, "aligned": dict.fromkeys(QUADRANTS)})
    words = texts(svg)
    assert [word for word in words if word in rewards] == ["control", "aligned"]
    assert words[words.index("control") + 1] == "n = 1, 1 without angle"
    assert {"50%", "25%", "12%"} <= set(words)
    assert words.count("chosen") == words.count("rejected") == 2
    dashed = [path for path in svg.split("<path ") if "stroke-dasharray" in path]
    assert len(dashed) == 2


@pytest.mark.parametrize("pairs", [0, 1])
def test_no_pair_or_one_is_drawn_too(pairs: int) -> None:
    rewards = np.ones((pairs, 2))
    assert f"n = {pairs}" in texts(polar.reward_directions({"aligned": rewards}, {"aligned": QUADRANTS}))
    assert f"n = {pairs}" in texts(polar.theta_rose(Rose("all", np.zeros(pairs), 0.0 if pairs else None, 1.0 if pairs else None), []))


def drawings() -> list[str]:
    random = np.random.default_rng(3)
    roles = {role: random.normal(size=(50, 2)) for role in ("control", "aligned")}
    rose = Rose("all pairs", random.uniform(-180, 180, 50), 30.0, 0.5)
    return [polar.reward_directions(roles, dict.fromkeys(roles, QUADRANTS)), polar.theta_rose(rose, [rose] * 4)]


@pytest.mark.parametrize("svg", drawings(), ids=["reward_directions", "theta_rose"])
def test_a_page_can_colour_the_drawing_and_no_machine_shows_in_it(svg: str) -> None:
    # White, the paper, lies under black words wherever the drawing is shown by itself; a page with colours of its own takes it away.
    assert set(re.findall(r"#[0-9a-fA-F]{3,8}\b", svg)) - {"#000000", "#ffffff", BAR, MEAN, "#808080"} == set()
    assert 'style="fill: #ffffff"' in svg[: svg.index('<g id="axes_1">')]
    assert '<g id="figure_1" fill="#000000"' in svg  # for words, which have no colour of their own
    assert not re.search(r"<text [^>]*fill", svg)
    assert set(re.findall(r"font-family: ([^;\"]*)", svg)) == {"sans-serif"}
    assert "<style" not in svg  # which would reach other drawings of a page
    assert not re.search(r"<dc:date|Matplotlib v|/home|/usr", svg)
    assert "\r" not in svg


def test_the_same_values_have_the_same_bytes_whatever_the_user_set_for_other_figures(tmp_path: Path) -> None:
    (tmp_path / "matplotlibrc").write_text("font.size: 30\nsvg.fonttype: path\naxes.facecolor: red\n")
    program = "import sys; sys.path[:0] = sys.argv[1:]; import test_polar; sys.stdout.write('|'.join(test_polar.drawings()))"
    command = [sys.executable, "-c", program, str(ROOT), str(ROOT / "tests"), str(ROOT / "stages")]
    environment = {"MPLCONFIGDIR": str(tmp_path / "config"), "PYTHONHASHSEED": "7", "PYTHONIOENCODING": "utf-8"}
    result = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, check=True)
    assert result.stdout.decode() == "|".join(drawings())
