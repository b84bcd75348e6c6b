"""A container's changes become an image."""

from __future__ import annotations

import contextlib

from casemate.engine import images, merge, states
from casemate.engine.clock import now_ns, rfc3339
from casemate.engine.create import attributes
from casemate.engine.engine import Engine
from casemate.engine.model import Config, arguments
from casemate.engine.records import Record
from casemate.engine.threads import in_thread
from casemate.errors import NotFound
from casemate.image import create as creating
from casemate.image.create import Origin
from casemate.image.store import Image
from casemate.layer import diff
from casemate.oci import image as configs
from casemate.oci.image import ImageConfig, RunConfig
from casemate.oci.reference import Reference


async def commit(
    engine: Engine,
    record: Record,
    *,
    name: Reference | None,
    changes: list[str],
    config: Config | None = None,
    author: str = "",
    comment: str = "",
    pause: bool = True,
) -> Image:
    """Make an image of the container's image and what the container wrote over it.

    ``config`` and ``changes`` say what shall be otherwise than in the container's own config. With
    ``pause`` the container stands still meanwhile, so that its files fit together.
    """
    asked = _config(images.changed(_run_config(config or Config()), changes))
    live = engine.live(record.id)
    async with live.lock:
        record = engine.current(record)
        states.allow("commit", record, engine.status(record))
        parent = _parent(engine, record)
        run = _run_config(merge.merged(asked, _run_config(record.fixed.config)))
        at = now_ns()
        origin = Origin(rfc3339(at), at, author, comment, " ".join(record.fixed.args))
        upper = engine.snapshots.mounts(record.id).upper
        assert upper
        frozen = pause and record.state.status == "running"
        cgroup = engine.cgroup(record.state.cgroup) if frozen else None
        try:
            if cgroup:
                with contextlib.suppress(NotFound):  # it has just ended: nothing changes any more
                    await in_thread(cgroup.freeze)
            image = await in_thread(
                lambda: creating.commit(
                    engine.images,
                    parent,
                    diff.archive(upper, f"the changes of container {record.name}"),
                    run,
                    name=name,
                    origin=origin,
                )
            )
        finally:
            if cgroup:
                with contextlib.suppress(NotFound):  # it was killed meanwhile
                    await in_thread(cgroup.thaw)
    detail = {**attributes(record), "comment": comment, "imageID": image.id}
    engine.events.publish("container", "commit", record.id, detail)
    return image


def _parent(engine: Engine, record: Record) -> ImageConfig:
    """Return the config of the container's image, which is kept as long as the container."""
    assert record.fixed.image
    data = engine.content.read(record.fixed.image, configs.MAX_BYTES)
    return configs.parse(data, f"image {record.fixed.image}")


def _config(run: RunConfig) -> Config:
    """Return what an image says of its containers as a container's config."""
    return Config(
        user=run.user,
        exposed_ports=dict(run.exposed_ports) or None,
        env=list(run.env),
        entrypoint=None if run.entrypoint is None else list(run.entrypoint),
        cmd=None if run.cmd is None else list(run.cmd),
        volumes=dict(run.volumes) or None,
        working_dir=run.working_dir,
        labels=dict(run.labels),
        stop_signal=run.stop_signal,
        healthcheck=run.healthcheck,
        on_build=list(run.on_build) or None,
        shell=list(run.shell) or None,
    )


def _run_config(config: Config) -> RunConfig:
    """Return what of the container's config belongs into an image."""
    entrypoint, cmd = arguments(config.entrypoint), arguments(config.cmd)
    return RunConfig(
        user=config.user,
        exposed_ports=config.exposed_ports or {},
        env=tuple(config.env or ()),
        entrypoint=None if entrypoint is None else tuple(entrypoint),
        cmd=None if cmd is None else tuple(cmd),
        volumes=config.volumes or {},
        working_dir=config.working_dir,
        labels=config.labels or {},
        stop_signal=config.stop_signal,
        healthcheck=config.healthcheck,
        on_build=tuple(config.on_build or ()),
        shell=tuple(config.shell or ()),
    )
