"""An image as the API describes it. Source: Docker Engine API v1.47, ImageInspect."""

from __future__ import annotations

from typing import Any

import msgspec

from casemate.engine import images
from casemate.engine.clock import rfc3339
from casemate.engine.engine import Engine
from casemate.image.store import Image


def whole(engine: Engine, image: Image) -> dict[str, Any]:
    """Return the image as inspect shows it."""
    config = image.config
    history = config.history
    return {
        "Id": image.id,
        "RepoTags": [n.familiar for n in image.tags],
        "RepoDigests": [n.familiar for n in image.repo_digests],
        "Parent": "",
        "Comment": history[-1].comment if history else "",
        "Created": config.created,
        "DockerVersion": "",
        "Author": config.author,
        "Config": _run_config(msgspec.to_builtins(config.config)),
        "Architecture": config.architecture,
        "Variant": config.variant,
        "Os": config.os,
        "Size": images.size(engine, image),
        "GraphDriver": {"Name": engine.snapshots.name, "Data": None},
        "RootFS": {"Type": "layers", "Layers": list(image.layers)},
        "Metadata": {"LastTagTime": rfc3339(image.stored_ns)},
    }


def _run_config(found: dict[str, Any]) -> dict[str, Any]:
    """Return a config with the members that Docker's clients expect to be there."""
    defaults: dict[str, Any] = {
        "Hostname": "",
        "Domainname": "",
        "User": "",
        "AttachStdin": False,
        "AttachStdout": False,
        "AttachStderr": False,
        "Tty": False,
        "OpenStdin": False,
        "StdinOnce": False,
        "Env": None,
        "Cmd": None,
        "Image": "",
        "Volumes": None,
        "WorkingDir": "",
        "Entrypoint": None,
        "OnBuild": None,
        "Labels": None,
    }
    return {**defaults, **found}
