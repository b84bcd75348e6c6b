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
    outcomes: list[Error | None] = [Internal("the request was not made") for _ in names]
    done = [_thread.allocate_lock() for _ in names]
    for lock in done:
        lock.acquire()  # until the request is done
    todo = list(range(len(names)))[::-1]

    def work() -> None:
        engine = session.another_engine()
        while todo:
            try:
                index = todo.pop()
            except IndexError:
                break  # another thread was faster
            try:
                request(engine, names[index])
                outcomes[index] = None
            except Error as error:
                outcomes[index] = error
            finally:
                done[index].release()
        engine.finish()

    if len(names) == 1:
        work()
    else:
        for _ in range(min(_MOST, len(names))):
            _thread.start_new_thread(work, ())
    errors = []
    for index, name in enumerate(names):
        done[index].acquire()
        outcome = outcomes[index]
        if outcome is None:
            out(f"{name}\n")
        elif isinstance(outcome, tolerated):
            err(f"{outcome}\n")
        else:
            errors.append(outcome)
    if errors:
        raise joined(errors)
    return 0
