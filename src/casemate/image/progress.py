"""What happens to each layer while an image comes or goes, told to whoever shows it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple


class Report(NamedTuple):
    """One line of progress, as Docker's clients understand it. ``id`` names the layer; ``stream``
    tells that the text is to be shown as it is; ``aux`` is for programs.
    """

    status: str
    id: str = ""
    done: int = 0
    total: int = 0
    stream: bool = False
    aux: Mapping[str, Any] | None = None


#: Called from any thread, often: must be quick.
Tell = Callable[[Report], None]


def ignore(_: Report) -> None:
    """Tell nobody."""
