"""The `rules` rewriter: a transcript in other words, by rules and word lists, with no language model.

It changes vocabulary and the order of words and clauses, never what is said: names, numbers, negations, quotations, code and addresses
stay as they are, and so do refusals, insults and threats. Rules are few and safe rather than many and daring.
"""

import hashlib
from importlib.resources import files

from seal.rewording.chance import Chance
from seal.rewording.clauses import reorder
from seal.rewording.contractions import contract
from seal.rewording.language import is_english
from seal.rewording.substitution import substitute
from seal.rewording.tokens import Sentence, split
from seal.rewording.word_order import swap
from seal.transcripts import Turn, parse, render


def reword(text: str, seed: int) -> str:
    """A transcript with every turn reworded that has anything to reword. The same text and seed give the same words.

    Raises
    ------
    NotATranscript
        If the text does not read as one.
    """
    turns = parse(text)
    dice = [Chance(seed, turn.content, number) for number, turn in enumerate(turns)]
    reworded = _turns(turns, dice)
    if reworded == turns and any(chance.spared for chance in dice):  # rather all that can be reworded than nothing
        reworded = _turns(turns, [Chance(seed, turn.content, number, always=True) for number, turn in enumerate(turns)])
    return render(reworded)


def _turns(turns: list[Turn], dice: list[Chance]) -> list[Turn]:
    return [Turn(turn.role, _turn(turn.content, chance)) for turn, chance in zip(turns, dice, strict=True)]


def _turn(turn: str, chance: Chance) -> str:
    """One turn, sentence by sentence."""
    sentences, rest = split(turn)
    if not is_english(sentences):
        return turn
    apostrophe = "\u2019" if "\u2019" in turn else "'"
    small_i = any("i" in sentence.words for sentence in sentences)
    position = 0
    parts = []
    for sentence in sentences:
        parts.append(_sentence(sentence, chance, position, apostrophe, small_i).text())
        position += len(sentence.keys)
    return "".join(parts) + rest


def _sentence(sentence: Sentence, chance: Chance, position: int, apostrophe: str, small_i: bool) -> Sentence:
    moved = reorder(sentence, chance, position)
    swap(moved, chance, position)
    said = substitute(moved, chance, position, small_i, apostrophe)
    contract(said, chance, position, apostrophe)
    return said


def identity() -> str:
    """A fingerprint of what the rewriter is made of: its code, its tables and the module that reads transcripts."""
    root = files("seal")
    parts = [file for file in (root / "rewording").iterdir() if file.name.endswith(".py")]
    parts += [file for file in (root / "rewording" / "tables").iterdir() if file.name.endswith(".txt")]
    parts.append(root / "transcripts.py")
    digest = hashlib.sha256()
    for file in sorted(parts, key=lambda file: file.name):
        content = file.read_bytes()
        digest.update(f"{file.name} {len(content)}\n".encode() + content)
    return digest.hexdigest()
