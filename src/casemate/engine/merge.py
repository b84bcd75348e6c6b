"""The request and the image's defaults become one config. Source: docker run reference."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from casemate.engine.model import Config, arguments
from casemate.errors import InvalidArgument
from casemate.oci.image import Healthcheck, RunConfig
from casemate.spec import environment


def merged(config: Config, image: RunConfig) -> Config:
    """Return ``config`` with what it leaves open taken from ``image``."""
    entrypoint, cmd = arguments(config.entrypoint), arguments(config.cmd)
    if entrypoint is None:
        # The user's command is given to the image's entrypoint; the image's own only if unasked.
        if cmd is None:
            cmd = _list(image.cmd)
        entrypoint = _list(image.entrypoint)
    elif entrypoint in ([], [""]):
        entrypoint = None
    return msgspec.structs.replace(
        config,
        user=config.user or image.user,
        env=list(environment.merged(image.env, tuple(config.env or ()))),
        entrypoint=entrypoint,
        cmd=cmd,
        working_dir=config.working_dir or image.working_dir,
        exposed_ports=_union(image.exposed_ports, config.exposed_ports) or None,
        labels=_union(image.labels, config.labels),
        volumes=_paths(_union(image.volumes, config.volumes)) or None,
        stop_signal=config.stop_signal or image.stop_signal,
        healthcheck=_health(config.healthcheck, image.healthcheck),
        on_build=list(image.on_build) or None,
        shell=config.shell or _list(image.shell or None),
    )


def command(config: Config) -> tuple[str, ...]:
    """Return the whole command of a merged config. Raises InvalidArgument when there is none."""
    args = (*(arguments(config.entrypoint) or ()), *(arguments(config.cmd) or ()))
    if not args or not args[0]:
        raise InvalidArgument("no command specified", hint="name one after the image")
    for arg in args:
        if "\0" in arg:
            raise InvalidArgument("invalid command: an argument has a NUL")
    return args


def _list(value: tuple[str, ...] | None) -> list[str] | None:
    return None if value is None else list(value)


def _paths(volumes: dict[str, Any]) -> dict[str, Any]:
    for path in volumes:
        if "\0" in path:
            raise InvalidArgument(f"invalid volume {path[:80]!r}: it has a NUL")
    return volumes


def _health(asked: Healthcheck | None, image: Healthcheck | None) -> Healthcheck | None:
    """Return ``asked`` with what it leaves open taken from the image's."""
    if asked is None or image is None:
        return asked or image
    fields = Healthcheck.__struct_fields__
    return Healthcheck(**{f: getattr(asked, f) or getattr(image, f) for f in fields})


def _union(below: Mapping[str, Any], above: Mapping[str, Any] | None) -> dict[str, Any]:
    return {**below, **(above or {})}
