"""A file that appears whole or not at all."""

from __future__ import annotations

import os
import stat

from casemate.errors import Error, from_os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import TracebackType


class NewFile:
    """Writes ``path``: with a regular file or nothing there it is replaced in one step.

    What is not a regular file (a pipe, /dev/null) is written to as it is. Use as a context: an
    exception inside leaves everything as it was. Raises the Error that fits.
    """

    def __init__(self, path: str, mode: int = 0o600) -> None:
        self._path = path
        self._partial = f"{path}.{os.getpid()}.partial"
        self._mode = mode
        self._descriptor = -1
        self._replace = True

    def __enter__(self) -> NewFile:
        flags = os.O_WRONLY | os.O_CLOEXEC
        try:
            self._replace = not _is_special(self._path)
            if self._replace:
                flags |= os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
                self._descriptor = os.open(self._partial, flags, self._mode)
            else:
                self._descriptor = os.open(self._path, flags)
        except OSError as error:
            raise self._failure(error) from error
        return self

    def write(self, data: bytes | memoryview) -> None:
        """Append ``data``."""
        view = memoryview(data)
        try:
            while view:
                view = view[os.write(self._descriptor, view) :]
        except OSError as error:
            raise self._failure(error) from error

    def _failure(self, error: OSError) -> Error:
        """Return the error by the file's own name, not the one it has until it is whole."""
        return from_os(OSError(error.errno, error.strerror), f"cannot write {self._path}")

    def __exit__(
        self, kind: type[BaseException] | None, _: BaseException | None, __: TracebackType | None
    ) -> None:
        kept = False
        try:
            if kind is None and self._replace:
                os.fsync(self._descriptor)
                os.rename(self._partial, self._path)
                kept = True
        except OSError as error:
            raise self._failure(error) from error
        finally:
            os.close(self._descriptor)
            if self._replace and not kept:
                os.unlink(self._partial)


def _is_special(path: str) -> bool:
    try:
        return not stat.S_ISREG(os.stat(path).st_mode)
    except FileNotFoundError:
        return False
