"""The keys that end an attachment to a terminal, as Docker's clients spell them."""

from __future__ import annotations

DEFAULT = "ctrl-p,ctrl-q"
_CONTROLS = {f"ctrl-{chr(code + 96)}": code for code in range(1, 27)} | {
    "ctrl-@": 0,
    "ctrl-[": 27,
    "ctrl-\\": 28,
    "ctrl-]": 29,
    "ctrl-^": 30,
    "ctrl-_": 31,
    "DEL": 127,
}


def detach_keys(text: str) -> bytes:
    """Return the bytes of keys such as ``ctrl-p,ctrl-q``. Raises ValueError."""
    codes = []
    for key in text.split(","):
        if key in _CONTROLS:
            codes.append(_CONTROLS[key])
        elif len(key) == 1 and key.isascii():
            codes.append(ord(key))
        else:
            raise ValueError(f"unknown key '{key}' in '{text}'")
    return bytes(codes)
