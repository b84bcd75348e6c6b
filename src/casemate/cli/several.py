"""One request for each of several objects: names are printed as they succeed, errors at the end."""

from __future__ import annotations

import _thread

from casemate.cli.failure import joined
from casemate.cli.output import err, out
from casemate.errors import Error, Internal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from casemate.cli.engine import Engine
    from casemate.cli.session import Session

#: Requests that are under way at the same time.
_MOST = 50


def in_turn(names: list[str], request: Callable[[str], object]) -> int:
    """Do ``request`` for one name after the other. Raises Exit with all errors."""
    errors: list[Error] = []
    for name in names:
        try:
            request(name)
        except Error as error:
            errors.append(error)
        else:
            out(f"{name}\n")
    if errors:
        raise joined(errors)
    return 0


class _Task:
    """One name, and what came of it when ``done`` is free."""

    __slots__ = ("done", "name", "outcome")

    def __init__(self, name: str) -> None:
        self.name = name
        self.outcome: Error | None = Internal("the request was not made")
        self.done = _thread.allocate_lock()
        self.done.acquire()


def at_once(
    session: Session,
    names: list[str],
    request: Callable[[Engine, str], object],
    tolerated: tuple[type[Error], ...] = (),
) -> int:
    """Do ``request`` for all names at the same time, since stopping takes its time.

    Names are printed in their order. Raises Exit with all errors, but those of the ``tolerated``
    classes are only told.
    """
    tasks = [_Task(name) for name in names]
    todo = tasks[::-1]
    if len(tasks) == 1:
        _work(session.another_engine(), todo, request)
    else:
        for _ in range(min(_MOST, len(tasks))):
            _thread.start_new_thread(_work, (session.another_engine(), todo, request))
    errors = []
    for task in tasks:
        task.done.acquire()
        if task.outcome is None:
            out(f"{task.name}\n")
        elif isinstance(task.outcome, tolerated):
            err(f"{task.outcome}\n")
        else:
            errors.append(task.outcome)
    if errors:
        raise joined(errors)
    return 0


def _work(engine: Engine, todo: list[_Task], request: Callable[[Engine, str], object]) -> None:
    """Do tasks from the end of ``todo`` until none is left."""
    while todo:
        try:
            task = todo.pop()
        except IndexError:
            break  # another thread was faster
        try:
            request(engine, task.name)
            task.outcome = None
        except Error as error:
            task.outcome = error
        finally:
            task.done.release()
    engine.finish()
