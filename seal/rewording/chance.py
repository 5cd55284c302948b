"""What is reworded how: dice that fall the same way for the same seed, turn and position, on every machine."""

import hashlib

CHOICES = ("use", "which one", "order", "swap", "dative", "write out", "contract")
"""What is left to the dice."""

_NUMBER = {choice: number for number, choice in enumerate(CHOICES)}
_MASK = (1 << 64) - 1


class Chance:
    """The dice of one turn. `always` loads them, so that whatever can be reworded is."""

    def __init__(self, seed: int, turn: str, number: int, always: bool = False) -> None:
        digest = hashlib.blake2b(f"{seed} {number} {turn}".encode("utf-8", "replace"), digest_size=8).digest()
        self._base = int.from_bytes(digest, "big")
        self.always = always
        self.spared = False
        """Whether a place has been left as it was that could have been reworded."""

    def roll(self, what: str, position: int) -> int:
        """An evenly spread whole number of 64 bits (the finaliser of splitmix64) for one choice at one position."""
        mixed = (self._base + (position * len(CHOICES) + _NUMBER[what]) * 0x9E3779B97F4A7C15) & _MASK
        mixed = ((mixed ^ (mixed >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
        mixed = ((mixed ^ (mixed >> 27)) * 0x94D049BB133111EB) & _MASK
        return mixed ^ (mixed >> 31)

    def happens(self, what: str, position: int, percent: int) -> bool:
        """Whether something that should befall so many percent of the places befalls this one."""
        if self.always or self.roll(what, position) % 100 < percent:
            return True
        self.spared = True
        return False
