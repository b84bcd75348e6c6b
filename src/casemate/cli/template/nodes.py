"""What a template consists of. ``render`` writes text, ``value`` returns a value."""

from __future__ import annotations

from casemate.cli.template.failure import TemplateError, UnknownField
from casemate.cli.template.values import Nothing, absent, kind_of, null, text_of, truth

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from casemate.cli.template.scope import Scope


class Place:
    """Where something stands in a template, for messages."""

    __slots__ = ("_position", "_source", "_text")

    def __init__(self, text: str, position: int, source: str) -> None:
        self._text = text
        self._position = position
        self._source = source

    def error(self, reason: str, kind: type[TemplateError] = TemplateError) -> TemplateError:
        """Return the error that something failed here."""
        before = self._text[: self._position]
        line, column = before.count("\n") + 1, len(before) - before.rfind("\n") - 1
        return kind(f'template: :{line}:{column}: executing "" at <{self._source}>: {reason}')


class Node:
    """A part of a template that writes text."""

    __slots__ = ()

    def render(self, scope: Scope) -> None:
        """Write the text of this part."""
        raise NotImplementedError


class Term:
    """A part of an action that has a value. ``arguments`` are for what can be called."""

    __slots__ = ("place",)

    def __init__(self, place: Place) -> None:
        self.place = place

    def value(self, scope: Scope, arguments: list[Any]) -> Any:
        """Return the value. Raises TemplateError."""
        raise NotImplementedError

    def uncallable(self, arguments: list[Any]) -> None:
        """Raise TemplateError when there are arguments."""
        if arguments:
            raise self.place.error("can't give argument to non-function")


class Literal(Term):
    """A constant."""

    __slots__ = ("constant",)

    def __init__(self, place: Place, constant: Any) -> None:
        super().__init__(place)
        self.constant = constant

    def value(self, scope: Scope, arguments: list[Any]) -> Any:
        self.uncallable(arguments)
        return self.constant


class Dot(Term):
    """The value that the template is about at this point."""

    __slots__ = ()

    def value(self, scope: Scope, arguments: list[Any]) -> Any:
        self.uncallable(arguments)
        return scope.dot


class Variable(Term):
    """``$name``."""

    __slots__ = ("name",)

    def __init__(self, place: Place, name: str) -> None:
        super().__init__(place)
        self.name = name

    def value(self, scope: Scope, arguments: list[Any]) -> Any:
        self.uncallable(arguments)
        return scope.variable(self.name)


class Fields(Term):
    """``.A.B`` behind a term."""

    __slots__ = ("_names", "_owner")

    def __init__(self, place: Place, owner: Term, names: list[str]) -> None:
        super().__init__(place)
        self._owner = owner
        self._names = names

    def value(self, scope: Scope, arguments: list[Any]) -> Any:
        found = self._owner.value(scope, [])
        for name in self._names:
            found = self._field(found, name)
        if callable(found):
            return _called(self.place, found, arguments)
        if arguments:
            raise self.place.error(f"{self._names[-1]} is not a method but has arguments")
        return found

    def _field(self, owner: Any, name: str) -> Any:
        if isinstance(owner, dict):
            if name not in owner:
                return absent(name, owner)
            found = owner[name]
            return null(name) if found is None else found
        if owner is None or isinstance(owner, Nothing):
            raise self.place.error(f"nil pointer evaluating .{name}")
        if not hasattr(owner, "field"):
            raise self.place.error(f"can't evaluate field {name} in type {kind_of(owner)}")
        try:
            return owner.field(name)
        except KeyError:
            raise self.place.error(f"there is no field {name}", UnknownField) from None


class Call(Term):
    """A function by its name."""

    __slots__ = ("_name",)

    def __init__(self, place: Place, name: str) -> None:
        super().__init__(place)
        self._name = name

    def value(self, scope: Scope, arguments: list[Any]) -> Any:
        return _called(self.place, scope.functions[self._name], arguments)


class Choice(Term):
    """``and`` and ``or``: the first argument that decides, else the last one."""

    __slots__ = ("_stop", "operands")

    def __init__(self, place: Place, name: str) -> None:
        super().__init__(place)
        self._stop = name == "or"
        self.operands: list[Term] = []

    def value(self, scope: Scope, arguments: list[Any]) -> Any:
        found: Any = None
        for operand in self.operands:
            found = operand.value(scope, [])
            if truth(found) == self._stop:
                return found
        if arguments:
            return arguments[-1]
        if not self.operands:
            raise self.place.error("wrong number of args: want at least 1 got 0")
        return found


class Command(Term):
    """A term with the terms that are its arguments."""

    __slots__ = ("_first", "_operands")

    def __init__(self, first: Term, operands: list[Term]) -> None:
        super().__init__(first.place)
        self._first = first
        self._operands = operands

    def value(self, scope: Scope, arguments: list[Any]) -> Any:
        if isinstance(self._first, Choice):
            return self._first.value(scope, arguments)
        values = [operand.value(scope, []) for operand in self._operands]
        return self._first.value(scope, values + arguments)


class Pipe(Term):
    """Commands, each of which gets the value of the one before as its last argument.

    ``names`` are the variables that the value is for; they are new when ``declares``.
    """

    __slots__ = ("_commands", "declares", "names")

    def __init__(
        self, place: Place, commands: list[Command], names: list[str], declares: bool
    ) -> None:
        super().__init__(place)
        self._commands = commands
        self.names = names
        self.declares = declares

    def value(self, scope: Scope, arguments: list[Any]) -> Any:
        self.uncallable(arguments)
        passed: list[Any] = []
        for command in self._commands:
            passed = [command.value(scope, passed)]
        return passed[0]

    def bind(self, scope: Scope, values: list[Any]) -> None:
        """Give ``values`` to the variables."""
        for name, value in zip(self.names, values, strict=False):
            (scope.declare if self.declares else scope.assign)(name, value)


class Text(Node):
    """Text between actions."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def render(self, scope: Scope) -> None:
        scope.write(self._text)


class Show(Node):
    """``{{pipe}}``: its value as text, or into variables."""

    __slots__ = ("_pipe",)

    def __init__(self, pipe: Pipe) -> None:
        self._pipe = pipe

    def render(self, scope: Scope) -> None:
        value = self._pipe.value(scope, [])
        if self._pipe.names:
            self._pipe.bind(scope, [value])
        elif isinstance(value, Nothing) and value.shown is None:
            raise self._pipe.place.error(f'map has no entry for key "{value.name}"', UnknownField)
        else:
            scope.write(text_of(value))


class Branch(Node):
    """``if`` and ``with``: the latter moves the dot."""

    __slots__ = ("_body", "_moves", "_otherwise", "_pipe")

    def __init__(self, pipe: Pipe, body: list[Node], otherwise: list[Node], moves: bool) -> None:
        self._pipe = pipe
        self._body = body
        self._otherwise = otherwise
        self._moves = moves

    def render(self, scope: Scope) -> None:
        mark, dot = scope.mark(), scope.dot
        value = self._pipe.value(scope, [])
        self._pipe.bind(scope, [value])
        chosen = self._body if truth(value) else self._otherwise
        if self._moves and chosen is self._body:
            scope.dot = value
        for node in chosen:
            node.render(scope)
        scope.dot = dot
        scope.forget(mark)


class Range(Node):
    """``range`` over a list, an object in the order of its keys, or a number."""

    __slots__ = ("_body", "_otherwise", "_pipe")

    def __init__(self, pipe: Pipe, body: list[Node], otherwise: list[Node]) -> None:
        self._pipe = pipe
        self._body = body
        self._otherwise = otherwise

    def render(self, scope: Scope) -> None:
        mark, dot = scope.mark(), scope.dot
        pairs = self._pairs(self._pipe.value(scope, []))
        for key, value in pairs:
            two = len(self._pipe.names) > 1
            self._pipe.bind(scope, [key, value] if two else [value])
            scope.dot = value
            for node in self._body:
                node.render(scope)
            scope.forget(mark)
        scope.dot = dot
        if not pairs:
            for node in self._otherwise:
                node.render(scope)
        scope.forget(mark)

    def _pairs(self, value: Any) -> list[tuple[Any, Any]]:
        if value is None or isinstance(value, Nothing):
            return []
        if isinstance(value, dict):
            return sorted(value.items())
        if isinstance(value, (list, tuple)):
            return list(enumerate(value))
        if isinstance(value, int) and not isinstance(value, bool) and value <= 1 << 16:
            return [(number, number) for number in range(value)]
        raise self._pipe.place.error(f"range can't iterate over {text_of(value)[:80]}")


def _called(place: Place, function: Any, arguments: list[Any]) -> Any:
    try:
        return function(*arguments)
    except TypeError:
        raise place.error("wrong number or type of arguments") from None
    except (ValueError, OverflowError) as error:
        raise place.error(str(error)) from None
