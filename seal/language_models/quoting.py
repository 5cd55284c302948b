"""Texts in a request, as data that no model can take for the end of them or for a turn of its own."""

import json
from typing import Any

_ESCAPES = str.maketrans({character: f"\\u{ord(character):04x}" for character in "<[]"})


def quoted(content: dict[str, Any]) -> str:
    """A JSON object without any control token of a chat template.

    Quotes and line ends are escaped as JSON has it; `<`, `[` and `]`, one of which is in every control token (`<|im_start|>`,
    `<start_of_turn>`, `[INST]`, `]~b]`), as \\u003c, \\u005b and \\u005d.
    """
    return json.dumps(content, ensure_ascii=False).translate(_ESCAPES)
