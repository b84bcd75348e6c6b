"""What a template sees while it runs: the value at the dot, its variables, its functions."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any


class Scope:
    """The state of one rendering."""

    __slots__ = ("_pieces", "_variables", "dot", "functions")

    def __init__(self, value: Any, functions: Mapping[str, Callable[..., Any]]) -> None:
        self.dot = value
        self.functions = functions
        self._variables: list[tuple[str, Any]] = [("$", value)]
        self._pieces: list[str] = []

    def write(self, text: str) -> None:
        """Append to the result."""
        self._pieces.append(text)

    def text(self) -> str:
        """Return the result so far."""
        return "".join(self._pieces)

    def mark(self) -> int:
        """Return a mark to go back to with ``forget``."""
        return len(self._variables)

    def forget(self, mark: int) -> None:
        """Drop the variables that were declared since ``mark``."""
        del self._variables[mark:]

    def declare(self, name: str, value: Any) -> None:
        """Make a variable."""
        self._variables.append((name, value))

    def assign(self, name: str, value: Any) -> None:
        """Give a variable another value; the grammar knows that it exists."""
        for index in range(len(self._variables) - 1, -1, -1):
            if self._variables[index][0] == name:
                self._variables[index] = (name, value)
                return

    def variable(self, name: str) -> Any:
        """Return the value of a variable; the grammar knows that it exists."""
        return next(value for key, value in reversed(self._variables) if key == name)
