"""What a command gets: how it was called, the engine, and docker's config."""

from __future__ import annotations

import os

from casemate.cli.failure import Exit
from casemate.cli.usage import PROGRAM
from casemate.client.place import locate
from casemate.errors import Error

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import TracebackType

    from casemate.cli.arguments import Arguments
    from casemate.cli.dockerconfig import DockerConfig
    from casemate.cli.engine import Engine
    from casemate.client.place import Location


class Session:
    """One call of the program: ``path`` is the command's, such as ``container ls``.

    Use as a context: connections that were kept are closed at its end.
    """

    def __init__(self, path: str, options: Arguments) -> None:
        self.path = path
        self._options = options
        self._engine: Engine | None = None
        self._extensions: Engine | None = None
        self._config: DockerConfig | None = None

    def __enter__(self) -> Session:
        return self

    def __exit__(
        self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None
    ) -> None:
        for engine in (self._engine, self._extensions):
            if engine:
                engine.finish()

    @property
    def name(self) -> str:
        """The command as it was called: ``casemate container ls``."""
        return f"{PROGRAM} {self.path}"

    @property
    def location(self) -> Location:
        """Where the engine is. Raises Exit for options that contradict each other."""
        hosts = self._options.items("host")
        run, root = self._options.text("run"), self._options.text("root")
        try:
            return locate(hosts[-1] if hosts else "", run, root, os.environ)
        except Error as error:
            raise Exit(1, error.message, hint=error.hint) from None

    @property
    def engine(self) -> Engine:
        """The engine; nothing is sent yet."""
        if self._engine is None:
            self._engine = self.another_engine()
        return self._engine

    def another_engine(self) -> Engine:
        """Return a client with connections of its own, for another thread."""
        from casemate.cli.engine import Engine

        return Engine(self.location)

    @property
    def extensions(self) -> Engine:
        """The engine again, for what Docker's API does not have: paths are without its version."""
        if self._extensions is None:
            from casemate.cli.engine import Engine

            self._extensions = Engine(self.location, prefix="/casemate")
        return self._extensions

    @property
    def config(self) -> DockerConfig:
        """Docker's config.json. Raises InvalidArgument when it is broken."""
        if self._config is None:
            from casemate.cli.dockerconfig import DockerConfig, config_directory

            directory = config_directory(self._options.text("config"), os.environ)
            self._config = DockerConfig(directory)
        return self._config
