"""TLS contexts: the system's roots, and what a host's directory adds to them.

Source: Docker, "Verify repository client with certificates".
"""

from __future__ import annotations

import os
import ssl
from collections.abc import Iterable

from casemate.errors import InvalidArgument, from_os
from casemate.registry.sockets import TimedTlsSocket


def context(directories: Iterable[str], netloc: str, *, verify: bool) -> ssl.SSLContext:
    """Return the context for the host ``netloc``, read from ``<directory>/<netloc>/``.

    ``*.crt`` are more roots, ``*.cert`` with the ``*.key`` of the same name identify us. Raises
    InvalidArgument for a file that cannot be used: a forgotten key is not a reason to go without.
    """
    if verify:
        made = ssl.create_default_context(ssl.Purpose.SERVER_AUTH)
    else:
        # Without the system's roots, which take 40 ms to read.
        made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        made.check_hostname = False
        made.verify_mode = ssl.CERT_NONE
    made.sslsocket_class = TimedTlsSocket
    for path in directories:
        _load(made, os.path.join(path, netloc))
    return made


def has_directory(directories: Iterable[str], netloc: str) -> bool:
    """Return whether one of ``directories`` says something about ``netloc``."""
    return any(os.path.isdir(os.path.join(path, netloc)) for path in directories)


def has_roots(directories: Iterable[str], netloc: str) -> bool:
    """Return whether a directory adds roots for ``netloc``."""
    return any(
        name.endswith(".crt") for path in directories for name in _names(os.path.join(path, netloc))
    )


def _names(directory: str) -> list[str]:
    try:
        return sorted(os.listdir(directory))
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise from_os(error, "cannot read the certificates") from error


def _load(made: ssl.SSLContext, directory: str) -> None:
    names = _names(directory)
    for name in names:
        path = os.path.join(directory, name)
        stem, extension = os.path.splitext(path)
        try:
            if extension == ".crt":
                made.load_verify_locations(cafile=path)
            elif extension == ".cert":
                if f"{os.path.basename(stem)}.key" not in names:
                    raise InvalidArgument(f"certificate {path} has no key {stem}.key")
                made.load_cert_chain(path, f"{stem}.key", password=_no_password)
            elif extension == ".key" and f"{os.path.basename(stem)}.cert" not in names:
                raise InvalidArgument(f"key {path} has no certificate {stem}.cert")
        except ssl.SSLError as error:
            raise InvalidArgument(f"cannot use {path}: {error.reason or error}") from error
        except OSError as error:
            raise from_os(error, f"cannot read {path}") from error


def _no_password() -> str:
    """Answer OpenSSL's question, which would otherwise be put to the terminal."""
    return ""
