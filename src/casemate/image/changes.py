"""Changes to an image's config, as ``commit --change`` and ``import --change`` take them.

They are Dockerfile instructions that need no build: CMD, ENTRYPOINT, ENV, EXPOSE, LABEL, ONBUILD,
STOPSIGNAL, USER, VOLUME and WORKDIR. Source: docker container commit, option --change.
"""

from __future__ import annotations

import posixpath
import re
import shlex
from collections.abc import Callable, Iterable
from typing import Any

import msgspec

from casemate.errors import InvalidArgument
from casemate.oci.image import RunConfig

_PORT = re.compile(r"([0-9]{1,5})(?:-([0-9]{1,5}))?(?:/(tcp|udp|sctp))?", re.IGNORECASE)


def apply(config: RunConfig, changes: Iterable[str]) -> RunConfig:
    """Return ``config`` after ``changes``, one instruction each. Raises InvalidArgument."""
    for change in changes:
        for line in change.splitlines():
            if line.strip() and not line.lstrip().startswith("#"):
                config = _apply(config, line.strip())
    return config


def _apply(config: RunConfig, line: str) -> RunConfig:
    keyword, _, rest = line.partition(" ")
    instruction = _INSTRUCTIONS.get(keyword.upper())
    if instruction is None:
        raise InvalidArgument(
            f"{keyword[:40].upper()} is not a valid change command",
            hint=f"one of {', '.join(sorted(_INSTRUCTIONS))}",
        )
    if not rest.strip():
        raise InvalidArgument(f"{keyword.upper()} requires at least one argument")
    return instruction(config, rest.strip())


def _command(text: str) -> tuple[str, ...]:
    """Return the exec form when ``text`` is one, else the shell form."""
    if text.startswith("["):
        try:
            return tuple(msgspec.json.decode(text.encode(), type=list[str]))
        except msgspec.DecodeError:
            pass  # not JSON: Docker takes it for the shell form as well
    return ("/bin/sh", "-c", text)


def _words(text: str, instruction: str) -> list[str]:
    try:
        return shlex.split(text)
    except ValueError as error:
        raise InvalidArgument(f"{instruction}: {error}: {text[:80]!r}") from error


def _pairs(text: str, instruction: str) -> dict[str, str]:
    words = _words(text, instruction)
    if "=" not in words[0]:
        # The old form: one name, and the rest of the line is its value.
        name, _, value = text.partition(" ")
        return {name: value.strip()}
    pairs: dict[str, str] = {}
    for word in words:
        name, separator, value = word.partition("=")
        if not separator or not name:
            raise InvalidArgument(f"{instruction}: {word[:80]!r} is not NAME=VALUE")
        pairs[name] = value
    return pairs


def _list(text: str, instruction: str) -> list[str]:
    if text.startswith("["):
        try:
            return msgspec.json.decode(text.encode(), type=list[str])
        except msgspec.DecodeError as error:
            raise InvalidArgument(
                f"{instruction}: not a JSON list of strings: {text[:80]!r}"
            ) from error
    return _words(text, instruction)


def _cmd(config: RunConfig, text: str) -> RunConfig:
    return msgspec.structs.replace(config, cmd=_command(text))


def _entrypoint(config: RunConfig, text: str) -> RunConfig:
    return msgspec.structs.replace(config, entrypoint=_command(text))


def _env(config: RunConfig, text: str) -> RunConfig:
    values = dict(entry.partition("=")[::2] for entry in config.env)
    values.update(_pairs(text, "ENV"))
    return msgspec.structs.replace(config, env=tuple(f"{k}={v}" for k, v in values.items()))


def _expose(config: RunConfig, text: str) -> RunConfig:
    ports: dict[str, dict[str, Any]] = dict(config.exposed_ports)
    for word in _words(text, "EXPOSE"):
        match = _PORT.fullmatch(word)
        first, last = (int(match[1]), int(match[2] or match[1])) if match else (0, 0)
        if not match or not 0 < first <= last < 65536:
            raise InvalidArgument(f"EXPOSE: invalid port {word[:80]!r}")
        protocol = (match[3] or "tcp").lower()
        ports.update({f"{port}/{protocol}": {} for port in range(first, last + 1)})
    return msgspec.structs.replace(config, exposed_ports=ports)


def _label(config: RunConfig, text: str) -> RunConfig:
    return msgspec.structs.replace(config, labels={**config.labels, **_pairs(text, "LABEL")})


def _onbuild(config: RunConfig, text: str) -> RunConfig:
    return msgspec.structs.replace(config, on_build=(*config.on_build, text))


def _stopsignal(config: RunConfig, text: str) -> RunConfig:
    return msgspec.structs.replace(config, stop_signal=text)


def _user(config: RunConfig, text: str) -> RunConfig:
    return msgspec.structs.replace(config, user=text)


def _volume(config: RunConfig, text: str) -> RunConfig:
    volumes = {**config.volumes, **{path: {} for path in _list(text, "VOLUME")}}
    return msgspec.structs.replace(config, volumes=volumes)


def _workdir(config: RunConfig, text: str) -> RunConfig:
    path = posixpath.normpath(posixpath.join("/", config.working_dir or "/", text))
    return msgspec.structs.replace(config, working_dir=path)


_INSTRUCTIONS: dict[str, Callable[[RunConfig, str], RunConfig]] = {
    "CMD": _cmd,
    "ENTRYPOINT": _entrypoint,
    "ENV": _env,
    "EXPOSE": _expose,
    "LABEL": _label,
    "ONBUILD": _onbuild,
    "STOPSIGNAL": _stopsignal,
    "USER": _user,
    "VOLUME": _volume,
    "WORKDIR": _workdir,
}
