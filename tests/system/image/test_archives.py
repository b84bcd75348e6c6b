"""Images as files: load, save, import, export, commit."""

from __future__ import annotations

import gzip
import io
import json
import os
import random
import shutil
import tarfile
from urllib.parse import quote

import pytest

from casemate.errors import Conflict, InvalidArgument, NotFound
from casemate.http.client import Client
from support.engine import PREFIX, ProgressError, RunningEngine, busybox_tar, eventually
from support.images import (
    OCI_CONFIG,
    OCI_INDEX,
    OCI_LAYER,
    Blob,
    config,
    docker_archive,
    gzipped,
    oci_layout,
    oci_manifest,
    sha256,
    tar,
)
from support.roots import exported

pytestmark = pytest.mark.root

PLAIN = tar({"bin/": "", "said": b"hello"})


# ---- load and save ----


@pytest.mark.parametrize("packed", [False, True])
def test_an_archive_of_docker(clean: RunningEngine, packed: bool) -> None:
    archive = tar(docker_archive({"a/layer.tar": PLAIN}, "test:1"))
    said = clean.load(gzipped(archive) if packed else archive)
    assert said == "Loaded image: test:1\n"
    found = clean.image("test:1")
    assert found["RootFS"]["Layers"] == [sha256(PLAIN)]
    assert exported(clean, clean.create("test:1"))["said"] == b"hello"


def test_an_archive_with_packed_and_shared_layers(clean: RunningEngine) -> None:
    files = docker_archive({"a/layer.tar": PLAIN, "b/layer.tar": tar({"b": b"b"})})
    files["a/layer.tar"] = gzipped(PLAIN)
    files["c/layer.tar"] = "../a/layer.tar"  # type: ignore[assignment]
    manifest = json.loads(files["manifest.json"])
    manifest[0]["Layers"] = ["c/layer.tar", "b/layer.tar"]
    files["manifest.json"] = json.dumps(manifest).encode()
    clean.load(tar(files))
    found = exported(clean, clean.create("test:1"))
    assert (found["said"], found["b"]) == (b"hello", b"b")


def test_a_layout_of_oci(clean: RunningEngine) -> None:
    document = config([PLAIN])
    layer = Blob(f"{OCI_LAYER}+gzip", gzipped(PLAIN))
    manifest = oci_manifest(document, layer)
    named = {"org.opencontainers.image.ref.name": "registry.example/app:3"}
    index = [manifest.descriptor(annotations=named)]
    clean.load(tar(oci_layout(index, manifest, layer, Blob(OCI_CONFIG, document))))
    assert clean.image("registry.example/app:3")["Id"] == sha256(document)


def test_a_layout_with_an_index_of_platforms(clean: RunningEngine) -> None:
    blobs, entries = [], []
    for architecture in ("arm64", "amd64"):
        plain = tar({architecture: b""})
        document = config([plain], architecture=architecture)
        layer = Blob(OCI_LAYER, plain)
        manifest = oci_manifest(document, layer)
        blobs += [layer, manifest, Blob(OCI_CONFIG, document)]
        platform = {"os": "linux", "architecture": architecture}
        entries.append(manifest.descriptor(platform=platform))
    inner = Blob(OCI_INDEX, json.dumps({"schemaVersion": 2, "manifests": entries}).encode())
    said = clean.load(tar(oci_layout([inner.descriptor()], inner, *blobs)))
    assert said.startswith("Loaded image ID: sha256:")
    (image,) = [i for i in clean.client.get("/images/json") if not i["RepoTags"]]
    assert clean.image(image["Id"])["Architecture"] == "amd64"
    clean.client.call("DELETE", f"/images/{image['Id']}")


def test_what_is_saved_is_what_was_loaded(clean: RunningEngine) -> None:
    clean.load(tar(docker_archive({"a": PLAIN, "b": tar({"b": b"b"})}, "one:1")))
    clean.load(tar(docker_archive({"a": PLAIN}, "two:2")))
    ids = [clean.image(name)["Id"] for name in ("one:1", "two:2")]
    saved = clean.save("one:1", "two:2")
    with tarfile.open(fileobj=io.BytesIO(saved)) as archive:
        names = archive.getnames()
    assert len(names) == len(set(names))
    for name in ("one:1", "two:2"):
        clean.client.call("DELETE", f"/images/{name}")
    assert clean.load(saved) == "Loaded image: one:1\nLoaded image: two:2\n"
    assert [clean.image(name)["Id"] for name in ("one:1", "two:2")] == ids
    assert clean.save("one:1", "two:2") == saved
    by_id = clean.save(ids[0])
    assert b'"RepoTags":null' in by_id


def test_saving_what_is_not_there(clean: RunningEngine) -> None:
    with pytest.raises(NotFound, match="No such image: nope"):
        clean.save("nope")
    with pytest.raises(InvalidArgument, match="no image named"):
        clean.save()


def test_a_reader_that_leaves_leaves_nothing(clean: RunningEngine) -> None:
    assert clean.process
    directory = f"/proc/{clean.process.pid}/fd"
    clean.says("busybox", "true")  # from now on there are rooms that wait
    before = len(os.listdir(directory))
    for _ in range(10):
        with clean.client.request("GET", "/images/get?names=busybox") as reply:
            next(reply.chunks())
        id_ = clean.create("busybox", "true")
        with clean.client.request("GET", f"/containers/{id_}/export") as reply:
            next(reply.chunks())
    eventually(lambda: len(os.listdir(directory)), lambda now: now <= before + 6)
    eventually(lambda: os.listdir(f"{clean.root}/content/leases"), lambda found: not found)


@pytest.mark.parametrize("packed", [False, True])
def test_an_archive_that_is_cut_off_is_the_clients_mistake(
    clean: RunningEngine, packed: bool
) -> None:
    archive = tar(docker_archive({"a": PLAIN}, "one:1"))
    cut = gzip.compress(archive)[:-9] if packed else archive[:3000]
    for path in ("/images/load", "/images/create?fromSrc=-&repo=cut"):
        with pytest.raises(InvalidArgument, match="ends"):
            with clean.client.request("POST", path, cut) as reply:
                reply.read()
    assert [image["RepoTags"] for image in clean.client.get("/images/json")] == [["busybox:latest"]]


def test_what_is_being_saved_is_not_pruned(clean: RunningEngine) -> None:
    clean.load(tar(docker_archive({"a": PLAIN + random.Random(1).randbytes(8 << 20)}, "one:1")))
    with clean.client.request("GET", "/images/get?names=one:1") as reply:
        pieces = reply.chunks()
        saved = [next(pieces)]
        other = Client(f"unix://{clean.socket}", PREFIX)
        other.call("DELETE", "/images/one:1")
        other.call("POST", "/images/prune")
        other.close()
        saved += pieces
    assert clean.load(b"".join(saved)) == "Loaded image: one:1\n"


# ---- import, export, commit ----


def test_a_root_becomes_an_image_with_changes(clean: RunningEngine) -> None:
    clean.import_image(
        PLAIN, "test:1", 'CMD ["cat","/said"]', "ENV A=1 B=two", "USER 7:8", "EXPOSE 80/tcp 53/udp",
        "LABEL a=b", "WORKDIR /x", "VOLUME /v", "STOPSIGNAL SIGUSR1", 'ENTRYPOINT ["sh"]',
    )  # fmt: skip
    found = clean.image("test:1")["Config"]
    assert (found["Cmd"], found["Entrypoint"]) == (["cat", "/said"], ["sh"])
    assert (found["Env"], found["User"], found["WorkingDir"]) == (["A=1", "B=two"], "7:8", "/x")
    assert (found["ExposedPorts"], found["Labels"]) == ({"80/tcp": {}, "53/udp": {}}, {"a": "b"})
    assert (found["Volumes"], found["StopSignal"]) == ({"/v": {}}, "SIGUSR1")
    history = clean.client.get("/images/test:1/history")
    assert [line["Size"] for line in history] == [len(PLAIN)]


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ("RUN x", "RUN is not a valid change command"),
        ("EXPOSE 99999", "invalid port"),
        ("ENV", "at least one argument"),
        ("ENV 'A", "ENV"),
        ("VOLUME [1]", "JSON list"),
        ("STOPSIGNAL NOPE", "signal"),
    ],
)
def test_changes_that_are_none(clean: RunningEngine, change: str, match: str) -> None:
    path = f"/images/create?fromSrc=-&repo=test&changes={quote(change)}"
    with pytest.raises((InvalidArgument, ProgressError), match=match):
        clean.progress(path, PLAIN)
    with pytest.raises(NotFound):
        clean.image("test")


def test_a_container_comes_out_and_goes_in_again(clean: RunningEngine) -> None:
    script = "echo new > /new; rm /etc/group; chown 5:6 /new; ln -s /new /link; mkfifo /pipe"
    id_ = clean.run_container("busybox", "sh", "-c", script)
    clean.wait(id_)
    with clean.client.request("GET", f"/containers/{id_}/export") as reply:
        whole = reply.read()
    clean.import_image(whole, "again:1", 'CMD ["sh"]')
    assert clean.says("again:1", "sh", "-c", "cat /link; stat -c %u:%g /new; ls /etc") == (
        "new\n5:6\nhostname\nhosts\nmtab\npasswd\nresolv.conf\n"
    )


def test_a_commit_adds_a_layer(clean: RunningEngine) -> None:
    script = "echo new > /new; rm /etc/group; mkdir -p /a/b; touch /a/b/c; chmod 700 /tmp"
    id_ = clean.run_container("busybox", "sh", "-c", script, Env=["A=1"])
    clean.wait(id_)
    query = f"container={id_}&repo=mine&tag=1&comment=why&author=me"
    changes = "".join(f"&changes={quote(c)}" for c in ("ENV B=2", 'CMD ["ls"]'))
    image = clean.client.post(f"/commit?{query}{changes}")["Id"]
    found = clean.image("mine:1")
    assert (found["Id"], found["Author"], found["Comment"]) == (image, "me", "why")
    base = clean.image("busybox")["RootFS"]["Layers"]
    assert found["RootFS"]["Layers"][:-1] == base
    assert (found["Config"]["Env"], found["Config"]["Cmd"]) == (["A=1", "B=2"], ["ls"])
    script = "cat /new; ls /etc/group; ls /a/b; stat -c %a /tmp; echo $A $B"
    assert clean.says("mine:1", "sh", "-c", f"({script}) 2>&1").splitlines() == [
        *("new", "ls: /etc/group: No such file or directory", "c", "700", "1 2"),
    ]
    assert len(clean.client.get("/images/mine:1/history")) == 2


def test_a_commit_takes_the_config_in_its_body(clean: RunningEngine) -> None:
    id_ = clean.create("busybox", "true")
    body = {"Labels": {"a": "b"}, "Entrypoint": ["echo"], "Env": ["X=1"]}
    clean.client.post(f"/commit?container={id_}&repo=mine", body)
    found = clean.image("mine")["Config"]
    assert (found["Labels"], found["Entrypoint"], found["Cmd"]) == ({"a": "b"}, ["echo"], None)


def test_a_running_container_stands_still_for_its_commit(clean: RunningEngine) -> None:
    script = (
        "i=0; while :; do i=$((i+1));"
        " echo $i > /t; mv /t /a; echo $i > /t; mv /t /b; touch /ready; done"
    )
    id_ = clean.run_container("busybox", "sh", "-c", script)
    eventually(lambda: clean.exec(id_, "test", "-e", "/ready").code, lambda code: code == 0)
    for n in range(3):
        clean.client.post(f"/commit?container={id_}&repo=still&tag={n}")
        a, b = clean.says(f"still:{n}", "cat", "/a", "/b").split()
        assert int(a) - int(b) in (0, 1)
    assert clean.inspect(id_)["State"]["Running"]
    assert clean.exec(id_, "true").code == 0


def test_an_unnamed_commit_can_be_run_and_goes_with_a_prune(clean: RunningEngine) -> None:
    id_ = clean.create("busybox", "true")
    image = clean.client.post(f"/commit?container={id_}&changes={quote('ENV A=1')}")["Id"]
    assert clean.says(image, "sh", "-c", "echo $A") == "1\n"
    deleted = clean.client.post("/images/prune")["ImagesDeleted"]
    assert {"Deleted": image} in deleted


# ---- names ----


def test_names_come_and_go(clean: RunningEngine) -> None:
    clean.import_image(PLAIN, "first:1")
    id_ = clean.image("first:1")["Id"]
    clean.client.post("/images/first:1/tag?repo=second&tag=2")
    clean.client.post(f"/images/{id_[7:19]}/tag?repo=registry.example:5000/third")
    assert sorted(clean.image(id_)["RepoTags"]) == [
        *("first:1", "registry.example:5000/third:latest", "second:2"),
    ]
    with pytest.raises(Conflict, match="referenced in multiple repositories"):
        clean.client.call("DELETE", f"/images/{id_}")
    assert clean.client.call("DELETE", "/images/first:1") == [{"Untagged": "first:1"}]
    assert clean.client.call("DELETE", "/images/registry.example:5000/third") == [
        {"Untagged": "registry.example:5000/third:latest"}
    ]
    gone = clean.client.call("DELETE", "/images/second:2")
    assert gone == [{"Untagged": "second:2"}, {"Deleted": id_}, {"Deleted": sha256(PLAIN)}]
    with pytest.raises(NotFound):
        clean.image(id_)


def test_an_image_in_use_is_kept(clean: RunningEngine) -> None:
    clean.import_image(busybox_tar(), "used:1", "ENV A=1", 'CMD ["sleep","1000"]')
    image = clean.image("used:1")["Id"]
    id_ = clean.create("used:1")
    with pytest.raises(Conflict, match=f"unable to remove repository reference .*{id_[:12]}"):
        clean.client.call("DELETE", "/images/used:1")
    with pytest.raises(Conflict, match=r"must be forced.*stopped container"):
        clean.client.call("DELETE", f"/images/{image}")
    clean.start_container(id_)
    with pytest.raises(Conflict, match=r"cannot be forced.*running container"):
        clean.client.call("DELETE", f"/images/{image}?force=1")
    # Its name can be taken away, as with Docker; the image stays for the container.
    gone = clean.client.call("DELETE", "/images/used:1?force=1")
    assert gone == [{"Untagged": "used:1"}]
    clean.client.post("/containers/prune")
    assert clean.client.post("/images/prune")["ImagesDeleted"] is None
    clean.client.post(f"/containers/{id_}/kill")
    clean.wait(id_)
    clean.start_container(id_)
    clean.client.call("DELETE", f"/containers/{id_}?force=1")


def test_an_image_removed_by_force_leaves_its_stopped_container_whole(
    clean: RunningEngine,
) -> None:
    clean.import_image(busybox_tar(), "gone:1", "ENV A=1")
    id_ = clean.create("gone:1", "sh", "-c", "echo $A")
    clean.client.call("DELETE", "/images/gone:1?force=1")
    clean.start_container(id_)
    assert clean.wait(id_) == 0
    assert clean.output(id_)[0] == b"1\n"
    committed = clean.client.post(f"/commit?container={id_}&repo=saved")["Id"]
    assert clean.says("saved", "sh", "-c", "echo $A") == "1\n"
    assert committed


def test_lists_and_filters(clean: RunningEngine) -> None:
    clean.import_image(PLAIN, "lib/one:1", "LABEL tier=front")
    clean.import_image(tar({"x": b"x"}), "lib/two:2", "LABEL tier=back")
    clean.client.post("/images/lib/two:2/tag?repo=lib/deep/er&tag=3")

    def listed(**filters: list[str]) -> list[str]:
        found = clean.client.get(f"/images/json?filters={quote(json.dumps(filters))}")
        return sorted(t for i in found for t in i["RepoTags"] if not t.startswith("busybox"))

    assert listed(label=["tier=front"]) == ["lib/one:1"]
    assert listed(label=["tier"]) == ["lib/deep/er:3", "lib/one:1", "lib/two:2"]
    assert listed(reference=["lib/*"]) == ["lib/deep/er:3", "lib/one:1", "lib/two:2"]
    assert listed(reference=["lib/*:1"]) == ["lib/one:1"]
    assert listed(reference=["*"]) == []
    assert listed(reference=["lib/*/er"]) == ["lib/deep/er:3", "lib/two:2"]
    assert listed(before=["lib/two:2"]) == ["lib/one:1"]
    assert listed(since=["lib/one:1"]) == ["lib/deep/er:3", "lib/two:2"]
    assert listed(until=["1h"]) == []
    assert listed(dangling=["true"]) == []
    for filters in ({"nope": ["x"]}, {"dangling": ["maybe"]}, {"reference": ["[z-a]"]}):
        with pytest.raises(InvalidArgument):
            listed(**filters)
    pruned = clean.client.post(
        f"/images/prune?filters={quote(json.dumps({'dangling': ['false'], 'until': ['1h']}))}"
    )
    assert pruned["ImagesDeleted"] is None
    assert len(listed()) == 3


def test_prune_of_everything_spares_what_is_used(clean: RunningEngine) -> None:
    clean.import_image(PLAIN, "unused:1")
    clean.create("busybox", "true")
    pruned = clean.client.post(
        f"/images/prune?filters={quote(json.dumps({'dangling': ['false']}))}"
    )
    assert {"Untagged": "unused:1"} in pruned["ImagesDeleted"]
    assert pruned["SpaceReclaimed"] >= len(PLAIN)
    assert clean.image("busybox")


def test_a_repair_names_the_tags_that_go_with_an_image(own_engine: RunningEngine) -> None:
    layer = PLAIN + b"of this image only"
    own_engine.load(tar(docker_archive({"a": layer}, "one:1")))
    own_engine.client.post("/images/one:1/tag?repo=other/name&tag=2")
    lost = own_engine.image("one:1")["RootFS"]["Layers"][0]
    (path,) = {os.path.dirname(p) for p in own_engine.stored() if lost.partition(":")[2] in p}
    shutil.rmtree(own_engine.root + path)
    (problem,) = map(json.loads, own_engine.fsck(repair=True))
    assert problem["Kind"] == "image" and lost in problem["Problem"]
    assert problem["Repair"] == "removed, with one:1, other/name:2: pull it again"
    assert not own_engine.fsck()
