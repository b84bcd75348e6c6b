"""``--security-opt``."""

from __future__ import annotations

from casemate.cli import jsontext
from casemate.errors import InvalidArgument, from_os

_MAX_PROFILE_BYTES = 4 << 20
_BUILT_IN_PROFILES = ("builtin", "unconfined")
_SYSTEM_PATHS = "systempaths=unconfined"


def security_options(texts: list[str]) -> tuple[list[str], bool]:
    """Return the options for the engine, and whether the system paths are to be unmasked.

    A seccomp profile is sent as its content. Raises InvalidArgument.
    """
    found = []
    for text in texts:
        name, separator, value = text.partition("=")
        if not separator and name != "no-new-privileges":
            name, separator, value = text.partition(":")
        if name != "no-new-privileges" and not value:
            raise InvalidArgument(f'invalid --security-opt: "{text}"')
        if name == "seccomp" and value not in _BUILT_IN_PROFILES:
            found.append(f"seccomp={_profile(value)}")
        elif text != _SYSTEM_PATHS:
            found.append(text)
    return found, _SYSTEM_PATHS in texts


def _profile(path: str) -> str:
    try:
        with open(path, "rb") as file:
            data = file.read(_MAX_PROFILE_BYTES + 1)
    except OSError as error:
        raise from_os(error, "cannot read the seccomp profile") from error
    if len(data) > _MAX_PROFILE_BYTES:
        raise InvalidArgument(f"seccomp profile {path}: larger than {_MAX_PROFILE_BYTES} bytes")
    try:
        return jsontext.dumps(jsontext.loads(data))
    except ValueError as error:
        raise InvalidArgument(f"seccomp profile {path}: {error}") from None
