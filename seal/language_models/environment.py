"""Numbers from environment variables, for what must not make a stage run again: waiting, workers, threads."""

import os

from seal.errors import InputError


def number(name: str, default: float) -> float:
    """The value of a variable, or the default where it is empty or not set.

    Raises
    ------
    InputError
        If it is no number from 0 up.
    """
    written = os.environ.get(name) or str(default)
    try:
        value = float(written)
    except ValueError:
        value = -1.0
    if not value >= 0:  # NaN is not
        raise InputError(f"{name} is {written!r} in the environment; expected a number from 0 up")
    return value


def whole_number(name: str, default: int) -> int:
    """As `number`, for what is counted: at least 1.

    Raises
    ------
    InputError
        If it is no whole number.
    """
    value = number(name, default)
    if not value.is_integer():
        raise InputError(f"{name} is {value:g} in the environment; expected a whole number")
    return max(1, int(value))
