"""Numbers from the environment."""

import math

import pytest

from seal.errors import InputError
from seal.language_models.environment import number


@pytest.mark.parametrize(("written", "expected"), [(None, 5), ("", 5), ("0", 0), ("2.5", 2.5), ("inf", math.inf)])
def test_a_number_is_read_and_what_is_not_set_is_the_default(monkeypatch: pytest.MonkeyPatch, written: str | None, expected: float) -> None:
    monkeypatch.delenv("SEAL_WAIT", raising=False)
    if written is not None:
        monkeypatch.setenv("SEAL_WAIT", written)
    assert number("SEAL_WAIT", 5) == expected


@pytest.mark.parametrize("written", ["1h", "-1", "nan", "ten"])
def test_what_is_no_number_is_told_by_name(monkeypatch: pytest.MonkeyPatch, written: str) -> None:
    monkeypatch.setenv("SEAL_WAIT", written)
    with pytest.raises(InputError, match=f"SEAL_WAIT is '{written}' in the environment"):
        number("SEAL_WAIT", 5)
