"""The image config: how to run an image, and which layers it is made of.

Source: image-spec v1.1 config.md; Docker image spec v1.2 (Healthcheck, OnBuild, Shell).
Every value here is content that an attacker may have chosen: it is forwarded, and no decision about
the host is derived from it.
"""

from __future__ import annotations

from typing import Any

import msgspec

from casemate.errors import InvalidArgument
from casemate.oci import digest as digests
from casemate.oci.digest import Digest

MAX_BYTES = 8 << 20


class Healthcheck(msgspec.Struct, frozen=True, rename="pascal", omit_defaults=True):
    """How to find out whether the container is well. Times are in nanoseconds."""

    test: tuple[str, ...] = ()
    interval: int = 0
    timeout: int = 0
    retries: int = 0
    start_period: int = 0
    start_interval: int = 0


class RunConfig(msgspec.Struct, frozen=True, rename="pascal", omit_defaults=True):
    """The execution parameters: the ``config`` member of an image config."""

    user: str = ""
    exposed_ports: dict[str, dict[str, Any]] = {}
    env: tuple[str, ...] = ()
    entrypoint: tuple[str, ...] | None = None
    cmd: tuple[str, ...] | None = None
    volumes: dict[str, dict[str, Any]] = {}
    working_dir: str = ""
    labels: dict[str, str] = {}
    stop_signal: str = ""
    healthcheck: Healthcheck | None = None
    on_build: tuple[str, ...] = ()
    shell: tuple[str, ...] = ()
    args_escaped: bool = False


class RootFS(msgspec.Struct, frozen=True):
    """The layers of the image as DiffIDs, base first."""

    type: str
    diff_ids: tuple[Digest, ...]


class History(msgspec.Struct, frozen=True, omit_defaults=True):
    """How one layer came to be; ``empty_layer`` when it changed only the config."""

    created: str = ""
    author: str = ""
    created_by: str = ""
    comment: str = ""
    empty_layer: bool = False


class ImageConfig(msgspec.Struct, frozen=True, omit_defaults=True):
    """An image: platform, execution parameters, layers and history."""

    architecture: str
    os: str
    rootfs: RootFS
    created: str = ""
    author: str = ""
    variant: str = ""
    os_version: str = msgspec.field(default="", name="os.version")
    os_features: tuple[str, ...] = msgspec.field(default=(), name="os.features")
    config: RunConfig = RunConfig()
    history: tuple[History, ...] = ()


def parse(data: bytes, what: str) -> ImageConfig:
    """Decode an image config; ``what`` names it in errors. Raises InvalidArgument."""
    if len(data) > MAX_BYTES:
        raise InvalidArgument(f"{what}: the image config is larger than {MAX_BYTES} bytes")
    try:
        document = msgspec.json.decode(data, type=dict[str, Any])
        config = msgspec.convert(_without_nulls(document), ImageConfig)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise InvalidArgument(f"{what}: invalid image config: {error}") from error
    if config.rootfs.type != "layers":
        raise InvalidArgument(f"{what}: rootfs type is {config.rootfs.type[:80]!r}, not 'layers'")
    for diff_id in config.rootfs.diff_ids:
        digests.parse(diff_id)
    return config


def encode(config: ImageConfig) -> bytes:
    """Return the JSON bytes of ``config``; their digest is the image's id."""
    return msgspec.json.encode(config)


def _without_nulls(value: Any) -> Any:
    # "Any OPTIONAL field MAY also be set to null, which is equivalent to being absent."
    if isinstance(value, dict):
        return {k: _without_nulls(v) for k, v in value.items() if v is not None}
    if isinstance(value, list):
        return [_without_nulls(v) for v in value]
    return value
