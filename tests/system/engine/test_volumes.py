"""Volumes: named ones, those of images, what is in them at first, and when they go."""

from __future__ import annotations

import io
import json
import os
import subprocess
import tarfile
import time
from typing import Any

import pytest

from casemate.errors import Conflict, InvalidArgument, NotFound, Unsupported
from support.engine import RunningEngine, busybox_tar, eventually
from support.files import content, put
from support.images import tar

pytestmark = pytest.mark.root

LISTED = "cd /data && find . | sort && stat -c '%n %a %u %g' . ./sub ./sub/b"
COPIED = ". ./a ./again ./link ./sub ./sub/b . 2775 33 44 ./sub 750 7 8 ./sub/b 640 33 44"


def add(archive: tarfile.TarFile, name: str, data: bytes = b"", **fields: Any) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(data)
    for field, value in {"mode": 0o644, "uid": 33, "gid": 44, **fields}.items():
        setattr(member, field, value)
    archive.addfile(member, io.BytesIO(data))


@pytest.fixture
def image(engine: RunningEngine) -> str:
    """An image with a directory of many kinds of entries, which it says is a volume."""
    buffer = io.BytesIO(busybox_tar())
    with tarfile.open(fileobj=buffer, mode="a") as archive:
        add(archive, "data", type=tarfile.DIRTYPE, mode=0o2775)
        add(archive, "data/a", b"from the image\n")
        add(archive, "data/again", type=tarfile.LNKTYPE, linkname="data/a")
        add(archive, "data/link", type=tarfile.SYMTYPE, linkname="/etc/passwd")
        add(archive, "data/sub", type=tarfile.DIRTYPE, mode=0o750, uid=7, gid=8)
        add(archive, "data/sub/b", b"deep\n", mode=0o640)
        add(archive, "elsewhere", type=tarfile.SYMTYPE, linkname="../../../../etc")
    engine.import_image(buffer.getvalue(), "with-data", "VOLUME /data", 'CMD ["sh"]')
    return "with-data"


def names(engine: RunningEngine, filters: str = "") -> list[str]:
    query = f"?filters={filters}" if filters else ""
    return [v["Name"] for v in engine.client.get(f"/volumes{query}")["Volumes"]]


def create(engine: RunningEngine, name: str, **more: Any) -> dict[str, Any]:
    made: dict[str, Any] = engine.client.post("/volumes/create", {"Name": name, **more})
    return made


# ---- their lives ----


def test_a_volume_is_made_shown_and_removed(engine: RunningEngine) -> None:
    made = create(engine, "one", Labels={"a": "b"})
    assert made == engine.client.get("/volumes/one")
    assert (made["Name"], made["Driver"], made["Scope"]) == ("one", "local", "local")
    assert made["Labels"] == {"a": "b"} and os.path.isdir(made["Mountpoint"])
    assert create(engine, "one")["Labels"] == {"a": "b"}  # it is there already
    engine.client.call("DELETE", "/volumes/one")
    assert names(engine) == [] and not os.path.exists(made["Mountpoint"])
    with pytest.raises(NotFound, match="no such volume"):
        engine.client.call("DELETE", "/volumes/one")
    engine.client.call("DELETE", "/volumes/one?force=1")


@pytest.mark.parametrize("name", ["a", "../x", "a/b", "-x", "a b", "x" * 256, "a\n"])
def test_a_name_that_is_none_is_refused(engine: RunningEngine, name: str) -> None:
    with pytest.raises(InvalidArgument, match="invalid characters for a local volume name"):
        create(engine, name)
    assert os.listdir(f"{engine.root}/volumes") == []


@pytest.mark.parametrize(
    ("more", "kind", "match"),
    [
        ({"Driver": "nfs"}, Unsupported, "volume driver 'nfs'"),
        ({"DriverOpts": {"size": "1g"}}, Unsupported, "option size"),
        ({"DriverOpts": {"bogus": "1"}}, InvalidArgument, "invalid option"),
        ({"DriverOpts": {"type": "tmpfs", "device": "tmpfs"}}, Unsupported, "type 'tmpfs'"),
        ({"DriverOpts": {"o": "bind", "device": "etc"}}, InvalidArgument, "absolute path"),
        ({"DriverOpts": {"o": "bind,uid=5", "device": "/etc"}}, Unsupported, "o='uid=5'"),
    ],
)
def test_what_a_volume_cannot_be_is_refused(
    engine: RunningEngine, more: dict[str, Any], kind: type[Exception], match: str
) -> None:
    with pytest.raises(kind, match=match):
        create(engine, "one", **more)
    assert names(engine) == []


def test_a_volume_that_is_mounted_stays(engine: RunningEngine) -> None:
    id_ = engine.create("busybox", "true", Binds=["kept:/x"])
    with pytest.raises(Conflict, match=rf"volume is in use - \[{id_}\]"):
        engine.client.call("DELETE", "/volumes/kept")
    engine.client.call("DELETE", f"/containers/{id_}?v=1")
    assert names(engine) == ["kept"]  # it has a name: only a removal by name removes it


def test_lists_are_filtered(engine: RunningEngine) -> None:
    create(engine, "red", Labels={"colour": "red"})
    create(engine, "blue", Labels={"colour": "blue"})
    engine.create("busybox", "true", Binds=["blue:/x"])
    assert names(engine) == ["blue", "red"]
    assert names(engine, '{"dangling":["true"]}') == ["red"]
    assert names(engine, '{"dangling":["false"]}') == ["blue"]
    assert names(engine, '{"label":["colour=red"]}') == ["red"]
    assert names(engine, '{"name":["e"],"driver":["local"]}') == ["blue", "red"]
    assert names(engine, '{"driver":["nfs"]}') == []
    for bad in ('{"bogus":["1"]}', '{"dangling":["perhaps"]}'):
        with pytest.raises(InvalidArgument, match="invalid filter"):
            names(engine, bad)


def test_a_prune_spares_names_and_what_is_mounted(engine: RunningEngine) -> None:
    create(engine, "named")
    create(engine, "used")
    nameless = create(engine, "")["Name"]
    id_ = engine.create("busybox", "true", Binds=["used:/x"])
    assert engine.client.post("/volumes/prune")["VolumesDeleted"] == [nameless]
    everything = engine.client.post('/volumes/prune?filters={"all":["true"]}')
    assert everything["VolumesDeleted"] == ["named"] and everything["SpaceReclaimed"] > 0
    engine.client.call("DELETE", f"/containers/{id_}")


def test_events_tell_of_volumes(engine: RunningEngine, image: str) -> None:
    began = f"{time.time():.9f}"
    id_ = engine.create(image, Binds=["told:/x"])
    (nameless,) = (n for n in names(engine) if n != "told")
    engine.client.call("DELETE", f"/containers/{id_}?v=1")
    engine.client.call("DELETE", "/volumes/told")
    path = f'/events?since={began}&until={time.time():.9f}&filters={{"type":["volume"]}}'
    with engine.client.request("GET", path) as reply:
        events = [json.loads(line) for line in reply.lines()]
    told = [(e["Action"], e["Actor"]["ID"]) for e in events]
    assert sorted(told[:2]) == sorted([("create", nameless), ("create", "told")])
    assert told[2:] == [("destroy", nameless), ("destroy", "told")]


# ---- what is in them ----


def test_the_first_content_is_the_images(engine: RunningEngine, image: str) -> None:
    """With owners, modes, links and attributes; later it is whatever the volume holds."""
    said = engine.says(image, "sh", "-c", LISTED, Binds=["vol:/data"])
    assert " ".join(said.split()) == COPIED
    said = engine.says(
        image, "sh", "-c", "cat a; readlink link", Binds=["vol:/data"], WorkingDir="/data"
    )
    assert said == "from the image\n/etc/passwd\n"
    engine.says(image, "sh", "-c", "rm -r /data/*; echo mine > /data/x", Binds=["vol:/data"])
    assert engine.says(image, "ls", "/data", Binds=["vol:/data"]).strip() == "x"
    assert engine.says("busybox", "cat", "/other/x", Binds=["vol:/other:ro"]).strip() == "mine"


def test_nothing_is_copied_where_nobody_wants_it(engine: RunningEngine, image: str) -> None:
    assert engine.says(image, "ls", "/data", Binds=["n1:/data:nocopy"]) == ""
    options = {"NoCopy": True, "Labels": {"a": "b"}}
    spec = {"Type": "volume", "Source": "n2", "Target": "/data", "VolumeOptions": options}
    assert engine.says(image, "ls", "/data", Mounts=[spec]) == ""
    assert engine.client.get("/volumes/n2")["Labels"] == {"a": "b"}


def test_a_volume_at_a_link_gets_what_is_behind_it_in_the_image(
    engine: RunningEngine, image: str
) -> None:
    """A link of an image leads to nothing of the host's (CVE-2022-23648)."""
    said = engine.says(image, "ls", "/elsewhere", Binds=["linked:/elsewhere"])
    assert said.split() == engine.says(image, "ls", "/etc").split()
    assert "shadow" not in said


def test_two_containers_share_one(engine: RunningEngine, image: str) -> None:
    one = engine.run_container(image, "sleep", "1000", Binds=["both:/data"])
    assert engine.exec(one, "sh", "-c", "echo shared > /data/new").code == 0
    assert engine.says(image, "cat", "/b/new", Binds=["both:/b:ro"]).strip() == "shared"
    assert (
        b"Read-only"
        in engine.output(
            _ended(engine, engine.run_container(image, "touch", "/b/x", Binds=["both:/b:ro"]))
        )[1]
    )


def _ended(engine: RunningEngine, id_: str) -> str:
    engine.wait(id_)
    return id_


# ---- those of images, and of others ----


def test_an_images_volume_goes_with_its_container(engine: RunningEngine, image: str) -> None:
    id_ = engine.run_container(image, "true")
    engine.wait(id_)
    (point,) = engine.inspect(id_)["Mounts"]
    assert (point["Type"], point["Destination"], point["RW"]) == ("volume", "/data", True)
    assert names(engine) == [point["Name"]] and len(point["Name"]) == 64
    engine.client.call("DELETE", f"/containers/{id_}?v=1")
    id_ = engine.create(image, "true", AutoRemove=True)
    assert len(names(engine)) == 1
    engine.start_container(id_)
    eventually(lambda: names(engine), lambda now: now == [])


def test_without_v_it_stays(engine: RunningEngine, image: str) -> None:
    id_ = engine.create(image)
    (name,) = names(engine)
    engine.client.call("DELETE", f"/containers/{id_}")
    assert names(engine) == [name]


def test_a_root_that_is_read_only_has_volumes_that_are_not(
    engine: RunningEngine, image: str
) -> None:
    said = engine.says(
        image, "sh", "-c", "touch /data/x && ! touch /x && echo ok", ReadonlyRootfs=True
    )
    assert said.strip() == "ok"


def test_a_sandbox_writes_as_it_is_known_inside(engine: RunningEngine, image: str) -> None:
    host = {"Isolation": "sandbox", "Binds": ["boxed:/data"], "User": "33:44"}
    command = ("sh", "-c", "echo x > /data/new; stat -c '%u %g' /data/new /data/a")
    assert engine.says(image, *command, **host).split() == ["33", "44"] * 2
    data = engine.client.get("/volumes/boxed")["Mountpoint"]
    assert os.stat(f"{data}/new").st_uid == 33


def test_what_another_container_mounts(engine: RunningEngine, image: str) -> None:
    other = engine.create(image, Binds=["named:/n", "/tmp:/host"])
    mine = engine.create("busybox", VolumesFrom=[f"{other}:ro"], Binds=["own:/n"])
    found = {m["Destination"]: m for m in engine.inspect(mine)["Mounts"]}
    assert sorted(found) == ["/data", "/host", "/n"]
    assert [found[p]["RW"] for p in ("/data", "/host", "/n")] == [False, False, True]
    assert found["/n"]["Name"] == "own"
    nameless = found["/data"]["Name"]
    engine.client.call("DELETE", f"/containers/{other}?v=1")
    assert nameless in names(engine)  # somebody mounts it
    engine.client.call("DELETE", f"/containers/{mine}?v=1")
    assert nameless not in names(engine)
    with pytest.raises(NotFound, match="No such container: nobody"):
        engine.create("busybox", VolumesFrom=["nobody"])
    with pytest.raises(InvalidArgument, match="invalid mode"):
        engine.create("busybox", VolumesFrom=["x:rx"])


def test_a_directory_of_the_host_can_be_a_volume(engine: RunningEngine, tmp_path: Any) -> None:
    options = {"type": "none", "o": "bind", "device": str(tmp_path)}
    create(engine, "bound", DriverOpts=options)
    engine.says("busybox", "sh", "-c", "echo x > /v/file", Binds=["bound:/v"])
    assert (tmp_path / "file").read_text() == "x\n"
    tmp_path.chmod(0o777)
    script = "touch /v/new; chmod 4755 /v/new"
    engine.says("busybox", "sh", "-c", script, Binds=["bound:/v"], Isolation="sandbox")
    assert (tmp_path / "new").stat().st_uid >= 1 << 31  # nobody's, as in a bind
    engine.client.call("DELETE", "/volumes/bound")
    assert (tmp_path / "file").exists()  # it is the host's


def test_files_go_in_and_out(engine: RunningEngine, image: str) -> None:
    id_ = engine.create(image, Binds=["files:/data"])
    put(engine, id_, tar({"in": b"there\n"}), "/data")
    assert engine.says(image, "cat", "/data/in", Binds=["files:/data"]).strip() == "there"
    assert content(engine, id_, "/data/in") == b"there\n"


def test_what_is_used_is_told(engine: RunningEngine, image: str) -> None:
    engine.says(
        image, "sh", "-c", "dd if=/dev/zero of=/data/big bs=1M count=2", Binds=["used:/data"]
    )
    found = engine.client.get("/system/df")
    (volume,) = [v for v in found["Volumes"] if v["Name"] == "used"]
    assert volume["UsageData"]["RefCount"] == 0 and volume["UsageData"]["Size"] > 2 << 20
    parts = found["Accounting"]
    assert parts["Volumes"] >= volume["UsageData"]["Size"]
    assert sum(parts.values()) == 2 * parts["Total"]


# ---- what breaks ----


def test_a_container_whose_creation_fails_leaves_no_nameless_volume(
    engine: RunningEngine, image: str
) -> None:
    with pytest.raises(InvalidArgument):
        engine.create(image, Binds=["bad name:/x"])
    assert names(engine) == []


def test_volumes_survive_a_kill_and_what_a_crash_left_is_finished(
    own_engine: RunningEngine,
) -> None:
    engine = own_engine
    engine.says("busybox", "sh", "-c", "echo x > /v/x", Binds=["kept:/v"])
    create(engine, "lost")
    engine.kill()
    top = f"{engine.root}/volumes"
    os.mkdir(f"{top}/empty")  # made, and not written down
    os.makedirs(f"{top}/unknown/_data")
    with open(f"{top}/unknown/_data/precious", "w", encoding="ascii") as file:
        file.write("x")
    os.makedirs(f"{top}/kept/_filling/half")
    os.makedirs(f"{top}/lost/_filled/whole")
    engine.start()
    assert names(engine) == ["kept", "lost", "unknown"]
    assert os.listdir(f"{top}/kept") == ["_data"] and os.listdir(f"{top}/lost") == ["_data"]
    assert os.listdir(f"{top}/lost/_data") == ["whole"]
    assert "volume unknown was not written down" in engine.log()
    id_ = engine.create("busybox", "true", Binds=["lost:/v"])
    subprocess.run(["rm", "-r", f"{top}/lost"], check=True)
    with pytest.raises(Conflict, match="cannot mount volume lost at /v"):
        engine.start_container(id_)
    assert [p for p in engine.fsck() if b"directory is gone" in p]
    assert [p for p in engine.fsck(repair=True) if b"made again" in p]
    assert not engine.fsck()
