"""A start that is made from what containers have in common is the one made for the container."""

from __future__ import annotations

import asyncio
import dataclasses
import subprocess
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from casemate.composition import Setup, compose, settings_of
from casemate.engine import names
from casemate.engine.bundle import make_bundle
from casemate.engine.engine import Engine
from casemate.engine.kept import Kept
from casemate.engine.likeness import start_of
from casemate.engine.model import CreateRequest, config_of
from casemate.engine.paths import Paths
from casemate.engine.records import Fixed, Record, State
from casemate.errors import Error
from casemate.snapshot.mounts import RootMount
from casemate.spec.identity import Identity
from casemate.walls.resources import limits

pytestmark = pytest.mark.root


@dataclasses.dataclass
class Parts:
    """An engine that serves nobody."""

    engine: Engine


@pytest.fixture
def parts(disk: Path) -> Iterator[Parts]:
    loop = asyncio.new_event_loop()

    async def made() -> Engine:
        paths = Paths(f"{disk}/root", f"{disk}/run")
        return compose(Setup(settings_of(paths, {}, warm_rooms=0)))

    engine = loop.run_until_complete(made())
    yield Parts(engine)
    loop.run_until_complete(engine.close())
    loop.close()
    subprocess.run(["umount", "-R", f"{disk}/run/layers"], check=False, capture_output=True)


_WORDS = st.sampled_from(("a", "b/c", "x y", "é", "0123456789ab"))
_HOST = st.fixed_dictionaries(
    {},
    optional={
        "NetworkMode": st.sampled_from(("none", "bridge", "host")),
        "Isolation": st.sampled_from(("", "default", "process", "sandbox")),
        "Memory": st.sampled_from((0, 64 << 20)),
        "PidsLimit": st.sampled_from((None, -1, 20)),
        "Init": st.booleans(),
        "AutoRemove": st.booleans(),
        "Privileged": st.booleans(),
        "ReadonlyRootfs": st.booleans(),
        "CapAdd": st.lists(st.sampled_from(("NET_ADMIN", "SYS_TIME")), max_size=2),
        "SecurityOpt": st.lists(
            st.sampled_from(("no-new-privileges", "seccomp=unconfined", "landlock=default")),
            max_size=2,
            unique=True,
        ),
        "ShmSize": st.sampled_from((0, 1 << 20)),
        "UTSMode": st.sampled_from(("", "host")),
        "IpcMode": st.sampled_from(("", "none", "host", "shareable")),
        "Tmpfs": st.sampled_from(({}, {"/t": "size=1m"})),
        "Sysctls": st.sampled_from(({}, {"net.ipv4.ip_forward": "1"})),
        "OomScoreAdj": st.sampled_from((0, 100)),
    },
)
_CONFIG = st.fixed_dictionaries(
    {"Cmd": st.lists(_WORDS, min_size=1, max_size=3)},
    optional={
        "Env": st.lists(st.sampled_from(("A=1", "HOSTNAME=x", "PATH=/p", "HOME=/h")), max_size=3),
        "Hostname": st.sampled_from(("", "name")),
        "WorkingDir": st.sampled_from(("", "/tmp")),
        "Tty": st.booleans(),
        "OpenStdin": st.booleans(),
        "Labels": st.dictionaries(_WORDS, _WORDS, max_size=2),
    },
)


def record_of(asked: dict[str, object]) -> Record:
    request = msgspec.convert(asked, CreateRequest)
    config = config_of(request)
    args = tuple(config.cmd or ())
    fixed = Fixed(config, request.host_config, None, None, (), args)
    return Record(names.new_id(), "name", 0, fixed, State())


def root_of(record: Record) -> RootMount:
    top = f"/snapshots/{record.id}"
    return RootMount(("/lower",), f"{top}/upper", f"{top}/work")


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(host=_HOST, config=_CONFIG, uid=st.sampled_from((0, 1000)))
def test_all_that_differs_is_the_containers_own(
    parts: Parts, host: dict[str, object], config: dict[str, object], uid: int
) -> None:
    engine, identity = parts.engine, Identity(uid=uid)
    for _ in range(2):  # the second is made from what the first one has left
        record = record_of({**config, "HostConfig": host})
        try:
            bundle = make_bundle(engine, record, root_of(record), identity, {})
        except Error as error:
            with pytest.raises(type(error)):
                start_of(engine, record, root_of(record), identity, {})
            return
        start = start_of(engine, record, root_of(record), identity, {})
        assert start.file == bundle.plan.start_file()
        assert start.limits == limits(bundle.spec.linux.resources)
        assert [s.op for s in start.plan.inside] == [s.op for s in bundle.plan.inside]
        for part in ("ahead", "registers", "namespaces"):
            assert getattr(start.plan, part) == getattr(bundle.plan, part)


def test_nothing_of_the_program_stays(parts: Parts) -> None:
    secret = "s3cret-9f27"
    record = record_of(
        {
            "Cmd": ["sh", "-c", secret],
            "Env": [f"PASSWORD={secret}"],
            "Labels": {"x": secret},
            "HostConfig": {"NetworkMode": "none"},
        }
    )
    kept: Kept[object, object] = Kept(8)
    parts.engine.likenesses = kept  # type: ignore[assignment]
    start = start_of(parts.engine, record, root_of(record), Identity(), {})
    assert secret.encode() in start.file
    assert secret not in repr(kept._values) and record.id not in repr(kept._values)


def test_what_was_not_used_for_longest_is_made_again() -> None:
    made: list[int] = []
    kept: Kept[int, int] = Kept(2)

    def get(key: int) -> None:
        kept.get(key, lambda: made.append(key) or key)  # type: ignore[func-returns-value]

    for key in (1, 2, 1, 3, 1, 2):
        get(key)
    assert made == [1, 2, 3, 2]
