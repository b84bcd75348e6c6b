"""Creates a container: pulls its image when it is missing, keeps the id in ``--cidfile``."""

from __future__ import annotations

import os

from casemate.cli.body.container import container_body
from casemate.cli.engine import path_of
from casemate.cli.failure import Exit
from casemate.cli.output import err
from casemate.errors import InvalidArgument, NotFound, Unavailable, from_os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType
    from typing import Any

    from casemate.cli.arguments import Arguments
    from casemate.cli.session import Session

_PULL = ("always", "missing", "never")
_ELSEWHERE = (
    "'casemate images' lists the images that are here, 'casemate bootstrap debian' makes one"
    " without a registry; a mirror is set in casemate.toml, [registry.mirrors]"
)


def body_of(session: Session, arguments: Arguments) -> dict[str, Any]:
    """Return the body of the create request. Raises BadUsage or InvalidArgument."""
    pull = arguments.text("pull")
    if pull and pull not in _PULL:
        raise InvalidArgument(
            f'invalid pull option: \'{pull}\': must be one of "always", "missing" or "never"'
        )
    proxies = session.config.proxies(session.location.address)
    return container_body(arguments, proxies)


def create(session: Session, arguments: Arguments, body: dict[str, Any]) -> str:
    """Create the container and return its id. Warnings go to standard error."""
    query = path_of(
        "containers",
        "create",
        name=arguments.text("name"),
        platform=platform_of(arguments),
    )
    with IdFile(arguments.text("cidfile")) as file:
        answer = with_image(session, arguments, body, lambda: session.engine.post(query, body))
        for warning in [*(answer.get("Warnings") or []), *_doubts(body)]:
            err(f"WARNING: {warning}\n")
        identifier = str(answer["Id"])
        file.write(identifier)
    return identifier


def with_image(
    session: Session, arguments: Arguments, body: dict[str, Any], request: Callable[[], Any]
) -> Any:
    """Return the answer of ``request``, for which the image is pulled as ``--pull`` says."""
    if arguments.text("pull") == "always":
        _pull(session, arguments, body["Image"])
    try:
        return request()
    except NotFound as error:
        missing = arguments.text("pull") in ("missing", "") and "No such container" not in str(
            error
        )
        if not missing:
            raise
        from casemate.cli.reference import tagged

        try:
            image = tagged(body["Image"])
        except InvalidArgument:
            raise error from None  # an id: nobody has it
        if not arguments.switch("quiet"):
            err(f"Unable to find image '{image.familiar}' locally\n")
    try:
        _pull(session, arguments, body["Image"])
    except Unavailable as error:
        raise Unavailable(error.message, hint=error.hint or _ELSEWHERE) from None
    return request()


def platform_of(arguments: Arguments) -> str:
    """Return the platform that is asked for, "" for the engine's own."""
    asked = arguments.text("platform") or os.environ.get("DOCKER_DEFAULT_PLATFORM", "")
    return asked.lower()


class IdFile:
    """The file of ``--cidfile``: taken before the container is made, gone when that fails."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._descriptor = -1
        self._written = False

    def __enter__(self) -> IdFile:
        if self._path:
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
            try:
                self._descriptor = os.open(self._path, flags, 0o666)
            except FileExistsError:
                raise Exit(
                    125,
                    "container ID file found, make sure the other container isn't running or"
                    f" delete {self._path}",
                ) from None
            except OSError as error:
                raise from_os(error, "failed to create the container ID file") from error
        return self

    def write(self, identifier: str) -> None:
        """Keep the id."""
        if self._descriptor >= 0:
            os.write(self._descriptor, identifier.encode())
            self._written = True

    def __exit__(
        self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None
    ) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            if not self._written:
                os.unlink(self._path)


def _pull(session: Session, arguments: Arguments, image: str) -> None:
    from casemate.cli.output import ERR
    from casemate.cli.pulling import pull
    from casemate.cli.reference import tagged

    quiet = arguments.switch("quiet")
    pull(session, tagged(image), platform_of(arguments), -1 if quiet else ERR)


def _doubts(body: dict[str, Any]) -> list[str]:
    return [
        f"Localhost DNS ({address}) may fail in containers."
        for address in body["HostConfig"]["Dns"]
        if address.startswith("127.") or address == "::1"
    ]
