"""Images to and from registries: Debian's docker-registry, and one that misbehaves."""

from __future__ import annotations

import base64
import json
import os
import random
import shutil
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import zstandard

from casemate.errors import DataLoss, Error, InvalidArgument, NotFound, Unauthenticated
from casemate.http.client import Client
from support.engine import PREFIX, ProgressError, RunningEngine, busybox_tar, eventually
from support.engines import Start
from support.images import (
    DOCKER_CONFIG,
    DOCKER_LAYER,
    DOCKER_MANIFEST,
    OCI_CONFIG,
    OCI_INDEX,
    OCI_LAYER,
    OCI_MANIFEST,
    Blob,
    config,
    gzipped,
    oci_manifest,
    passwords,
    registry,
    sha256,
    tar,
)
from support.registry import FakeRegistry

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(not shutil.which("docker-registry"), reason="needs docker-registry"),
]

NOISE = random.Random(8)


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with registry(tmp_path_factory.mktemp("hub")) as host:
        yield host


@pytest.fixture
def fake() -> Iterator[FakeRegistry]:
    with FakeRegistry() as server:
        yield server


def layer(name: str, size: int = 10_000) -> bytes:
    return tar({"bin/": "", name: NOISE.randbytes(size)})


def publish(fake: FakeRegistry, tag: str, *layers: Blob, **more: Any) -> str:
    """Put an OCI image with these layers, given uncompressed, into ``fake``."""
    plain = more.pop("plain", [one.data for one in layers])
    document = config(plain, **more)
    for blob in (Blob(OCI_CONFIG, document), *layers):
        fake.add_blob("app", blob.data)
    manifest = oci_manifest(document, *layers)
    return fake.add_manifest("app", tag, manifest.data, OCI_MANIFEST)


# ---- there and back ----


def test_an_image_comes_back_as_it_went(start_engine: Start, hub: str) -> None:
    engine = start_engine()
    engine.import_image(busybox_tar(), f"{hub}/team/box:1", 'CMD ["echo","hello"]')
    before = engine.image(f"{hub}/team/box:1")
    aux = engine.push(f"{hub}/team/box:1")[-1]["aux"]
    assert aux["Tag"] == "1"
    engine.client.call("DELETE", f"/images/{hub}/team/box:1")
    assert engine.client.get("/images/json") == []
    assert engine.stored() == {}
    lines = engine.pull(f"{hub}/team/box:1")
    assert f"Digest: {aux['Digest']}" in [line.get("status") for line in lines]
    after = engine.image(f"{hub}/team/box:1")
    assert (after["Id"], after["RootFS"], after["Config"]) == (
        *(before["Id"], before["RootFS"], before["Config"]),
    )
    assert after["RepoDigests"] == [f"{hub}/team/box@{aux['Digest']}"]
    assert engine.says(f"{hub}/team/box:1") == "hello\n"
    # Another repository does not have it, though the digest is known.
    for verb, path in (("GET", "/json"), ("DELETE", "?force=1")):
        with pytest.raises(NotFound):
            engine.client.call(verb, f"/images/{hub}/foreign@{aux['Digest']}{path}")
    # Known by its digest as well, and pushed again unchanged under another name.
    assert engine.image(f"{hub}/team/box@{aux['Digest']}")["Id"] == before["Id"]
    engine.client.post(f"/images/{hub}/team/box:1/tag?repo={hub}/other/box&tag=2")
    assert engine.push(f"{hub}/other/box:2")[-1]["aux"]["Digest"] == aux["Digest"]
    assert not engine.fsck()


def test_what_is_there_already_is_not_sent_or_fetched_again(start_engine: Start, hub: str) -> None:
    engine = start_engine()
    engine.import_image(layer("x"), f"{hub}/same:1")
    engine.push(f"{hub}/same:1")
    said = {line.get("status") for line in engine.push(f"{hub}/same:1")}
    assert "Layer already exists" in said
    said = {line.get("status") for line in engine.pull(f"{hub}/same:1")}
    assert "Already exists" in said
    assert f"Status: Image is up to date for {hub}/same:1" in said


def test_all_tags_of_a_repository(start_engine: Start, hub: str) -> None:
    engine = start_engine()
    for tag in ("a", "b"):
        engine.import_image(layer(tag), f"{hub}/many:{tag}")
    told = engine.progress(f"/images/{hub}/many/push")
    assert [line["aux"]["Tag"] for line in told if "aux" in line] == ["a", "b"]
    for tag in ("a", "b"):
        engine.client.call("DELETE", f"/images/{hub}/many:{tag}")
    engine.progress(f"/images/create?fromImage={hub}/many")
    tags = [t for image in engine.client.get("/images/json") for t in image["RepoTags"]]
    assert sorted(tags) == [f"{hub}/many:a", f"{hub}/many:b"]


def test_a_tag_that_moved_leaves_an_unnamed_image(start_engine: Start, hub: str) -> None:
    engine, other = start_engine(), start_engine()
    engine.import_image(layer("old"), f"{hub}/moving:1")
    engine.push(f"{hub}/moving:1")
    other.pull(f"{hub}/moving:1")
    old = other.image(f"{hub}/moving:1")["Id"]
    engine.import_image(layer("new"), f"{hub}/moving:1")
    engine.push(f"{hub}/moving:1")
    other.pull(f"{hub}/moving:1")
    found = {image["Id"]: image for image in other.client.get("/images/json")}
    assert found[old]["RepoTags"] == []
    assert len(found) == 2
    pruned = other.client.post("/images/prune")
    assert {"Deleted": old} in pruned["ImagesDeleted"]
    assert pruned["SpaceReclaimed"] > 10_000
    assert not other.fsck()


# ---- forms ----


@pytest.mark.parametrize("form", ["plain", "gzip", "zstd"])
def test_layers_of_every_form(start_engine: Start, fake: FakeRegistry, form: str) -> None:
    plain = tar({"said": form.encode(), "bin/": ""})
    if form == "zstd":
        blob = Blob(f"{OCI_LAYER}+zstd", zstandard.compress(plain))
    else:
        blob = Blob(OCI_LAYER + "+gzip" * (form == "gzip"), plain)
        blob = Blob(blob.media_type, gzipped(plain)) if form == "gzip" else blob
    publish(fake, form, blob, plain=[plain])
    engine = start_engine()
    engine.pull(f"{fake.host}/app:{form}")
    assert engine.image(f"{fake.host}/app:{form}")["RootFS"]["Layers"] == [sha256(plain)]
    with engine.client.request(
        "GET", f"/containers/{engine.create(f'{fake.host}/app:{form}')}/export"
    ) as reply:
        assert form.encode() in reply.read()


def test_manifests_of_docker(start_engine: Start, fake: FakeRegistry) -> None:
    plain = layer("x")
    document = config([plain])
    packed = gzipped(plain)
    for data in (document, packed):
        fake.add_blob("app", data)
    manifest = {
        "schemaVersion": 2,
        "mediaType": DOCKER_MANIFEST,
        "config": Blob(DOCKER_CONFIG, document).descriptor(),
        "layers": [Blob(DOCKER_LAYER, packed).descriptor()],
    }
    digest = fake.add_manifest("app", "1", manifest, DOCKER_MANIFEST)
    engine = start_engine()
    engine.pull(f"{fake.host}/app:1")
    assert engine.image(f"{fake.host}/app:1")["RepoDigests"] == [f"{fake.host}/app@{digest}"]


def test_an_index_offers_platforms(start_engine: Start, fake: FakeRegistry) -> None:
    entries = []
    for architecture in ("s390x", "arm64", "amd64"):
        plain = layer(architecture)
        document = config([plain], architecture=architecture)
        for data in (plain, document):
            fake.add_blob("app", data)
        manifest = oci_manifest(document, Blob(OCI_LAYER, plain))
        fake.add_manifest("app", architecture, manifest.data, OCI_MANIFEST)
        platform = {"os": "linux", "architecture": architecture}
        entries.append(manifest.descriptor(platform=platform))
    index = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": entries}
    digest = fake.add_manifest("app", "all", index, OCI_INDEX)
    engine = start_engine()
    engine.pull(f"{fake.host}/app:all")
    assert engine.image(f"{fake.host}/app:all")["Architecture"] == "amd64"
    assert engine.image(f"{fake.host}/app:all")["RepoDigests"] == [f"{fake.host}/app@{digest}"]
    engine.progress(f"/images/create?fromImage={fake.host}/app&tag=all&platform=linux/arm64")
    assert engine.image(f"{fake.host}/app:all")["Architecture"] == "arm64"
    with pytest.raises(NotFound, match=r"linux/riscv64|no image for"):
        engine.progress(f"/images/create?fromImage={fake.host}/app&tag=all&platform=linux/riscv64")


# ---- who may ----


def test_a_password(start_engine: Start, tmp_path: Path) -> None:
    with registry(tmp_path / "hub", **passwords(tmp_path / "htpasswd")) as host:
        engine = start_engine()
        engine.import_image(layer("x"), f"{host}/mine:1")
        with pytest.raises((Unauthenticated, ProgressError)):
            engine.push(f"{host}/mine:1")
        right = {"username": "bob", "password": "secret", "serveraddress": host}
        header = base64.urlsafe_b64encode(json.dumps(right).encode()).decode()
        engine.push(f"{host}/mine:1", **{"X-Registry-Auth": header})
        engine.client.call("DELETE", f"/images/{host}/mine:1")
        engine.pull(f"{host}/mine:1", **{"X-Registry-Auth": header})
        assert engine.client.post("/auth", right)["Status"] == "Login Succeeded"
        with pytest.raises(Unauthenticated):
            engine.client.post("/auth", {**right, "password": "wrong"})
        with pytest.raises(NotFound, match="pull access denied"):
            engine.pull(f"{host}/mine:1")
        assert "secret" not in engine.log()


# ---- elsewhere ----


def test_a_mirror_is_asked_first(start_engine: Start, fake: FakeRegistry) -> None:
    publish(fake, "1", Blob(OCI_LAYER, layer("x")))
    settings = f'[registry.mirrors]\n"registry.invalid" = ["{fake.url}"]\n'
    engine = start_engine(settings=settings)
    engine.pull("registry.invalid/app:1")
    assert engine.image("registry.invalid/app:1")["RepoTags"] == ["registry.invalid/app:1"]
    assert fake.asked("GET", "/v2/app/manifests/1")


@pytest.mark.parametrize(
    ("settings", "match"),
    [
        ("[nope]", "unknown table 'nope'"),
        ("registry = 5", "registry must be a table"),
        ("[registry]\nnope = 1", "unknown setting 'nope'"),
        ("[", "cannot read the settings"),
        ("\udcff", "cannot read the settings"),
    ],
)
def test_settings_that_are_none_keep_the_engine_from_starting(
    tmp_path: Path, settings: str, match: str
) -> None:
    root = tmp_path / "root"
    root.mkdir()
    (root / "casemate.toml").write_bytes(settings.encode("utf-8", "surrogateescape"))
    engine = RunningEngine(str(tmp_path))
    with pytest.raises(AssertionError, match=match):
        engine.start()
    engine.stop()


# ---- what goes wrong ----


def test_an_interrupted_pull_goes_on_where_it_was(start_engine: Start, fake: FakeRegistry) -> None:
    plain = layer("x", 3_000_000)
    publish(fake, "1", Blob(OCI_LAYER, plain))
    fake.wrong.truncate_at, fake.wrong.truncate_times = 1_000_000, 1
    engine = start_engine()
    engine.pull(f"{fake.host}/app:1")
    assert [r.range for r in fake.asked("GET", sha256(plain))] == [
        None,
        f"bytes=1000000-{len(plain) - 1}",
    ]


def test_a_client_that_leaves_ends_the_pull_and_the_next_one_goes_on(
    start_engine: Start, fake: FakeRegistry
) -> None:
    plain = layer("x", 4_000_000)
    publish(fake, "1", Blob(OCI_LAYER, plain))
    fake.wrong.hold, fake.wrong.hold_from = threading.Event(), 1_000_000
    engine = start_engine()
    client = Client(f"unix://{engine.socket}", PREFIX)
    with client.request("POST", f"/images/create?fromImage={fake.host}/app&tag=1") as reply:
        for line in reply.lines():
            if json.loads(line).get("status") == "Downloading":
                break
    client.close()
    eventually(lambda: _leases(engine), lambda found: found == [])
    fake.wrong.hold.set()
    fake.wrong.hold = None
    engine.pull(f"{fake.host}/app:1")
    asked = fake.asked("GET", sha256(plain))
    assert asked[-1].range is not None
    assert not engine.fsck()


def _leases(engine: RunningEngine) -> list[str]:
    return os.listdir(f"{engine.root}/content/leases")


@pytest.mark.parametrize(
    "wrong", [{"corrupt": True}, {"extra_bytes": 10}, {"truncate_at": 100, "truncate_times": -1}]
)
def test_bytes_that_are_wrong_are_never_an_image(
    start_engine: Start, fake: FakeRegistry, wrong: dict[str, Any]
) -> None:
    publish(fake, "1", Blob(OCI_LAYER, layer("x")))
    for name, value in wrong.items():
        setattr(fake.wrong, name, value)
    engine = start_engine(settings="[registry]\nattempts = 2\n")
    with pytest.raises((ProgressError, Error)):
        engine.pull(f"{fake.host}/app:1")
    assert engine.client.get("/images/json") == []
    assert not engine.fsck()
    engine.client.post("/images/prune")
    assert engine.stored() == {}


def test_a_layer_that_is_not_what_the_config_says(start_engine: Start, fake: FakeRegistry) -> None:
    publish(fake, "1", Blob(OCI_LAYER, layer("x")), plain=[layer("another")])
    engine = start_engine()
    with pytest.raises(ProgressError, match="digest is sha256"):
        engine.pull(f"{fake.host}/app:1")
    assert engine.client.get("/images/json") == []


def test_a_document_that_is_both_manifest_and_index(
    start_engine: Start, fake: FakeRegistry
) -> None:
    """Escape table B.6, CVE-2021-41190."""
    plain = layer("x")
    document = json.loads(oci_manifest(config([plain]), Blob(OCI_LAYER, plain)).data)
    both = {**document, "manifests": []}
    engine = start_engine()
    for number, media_type in enumerate((OCI_MANIFEST, OCI_INDEX, DOCKER_MANIFEST)):
        fake.add_manifest("app", str(number), both, media_type)
        with pytest.raises((InvalidArgument, ProgressError)):
            engine.pull(f"{fake.host}/app:{number}")


def test_the_digest_wins_over_the_tag(start_engine: Start, fake: FakeRegistry) -> None:
    """Escape table B.6: a tag beside a digest is for people."""
    first = publish(fake, "1", Blob(OCI_LAYER, layer("first")))
    publish(fake, "2", Blob(OCI_LAYER, layer("second")))
    engine = start_engine()
    engine.progress(f"/images/create?fromImage={fake.host}/app:2@{first}")
    found = engine.image(f"{fake.host}/app@{first}")
    assert found["RepoDigests"] == [f"{fake.host}/app@{first}"]
    assert found["RepoTags"] == []


def test_what_is_not_there_is_told(start_engine: Start, hub: str) -> None:
    engine = start_engine()
    with pytest.raises(NotFound, match=r"manifest unknown|not found"):
        engine.pull(f"{hub}/nope:1")
    with pytest.raises(NotFound, match="does not exist locally"):
        engine.push(f"{hub}/nope:1")
    for name in ("UPPER", "a//b", f"{hub}/x@sha256:abc", f"{hub}/../x"):
        with pytest.raises((InvalidArgument, NotFound)):
            engine.progress(f"/images/create?fromImage={name}&tag=1")
    with pytest.raises(InvalidArgument, match="digest"):
        engine.progress(f"/images/{hub}/x@sha256:{'0' * 64}/push")


def test_many_pull_the_same_at_the_same_time(start_engine: Start, fake: FakeRegistry) -> None:
    layers = [Blob(OCI_LAYER, layer(f"x{n}", 200_000)) for n in range(6)]
    publish(fake, "1", *layers)
    engine = start_engine()
    failed: list[BaseException] = []

    def pull() -> None:
        client = Client(f"unix://{engine.socket}", PREFIX)
        try:
            path = f"/images/create?fromImage={fake.host}/app&tag=1"
            with client.request("POST", path) as reply:
                assert b"error" not in reply.read()
        except BaseException as error:
            failed.append(error)
        finally:
            client.close()

    threads = [threading.Thread(target=pull) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not failed
    for one in layers:
        assert len(fake.asked("GET", sha256(one.data))) == 1
    assert not engine.fsck()


def test_a_hundred_layers(start_engine: Start, fake: FakeRegistry) -> None:
    layers = [Blob(OCI_LAYER, tar({"bin/": "", f"{n}": str(n).encode()})) for n in range(99)]
    layers.insert(0, Blob(OCI_LAYER, busybox_tar()))
    publish(fake, "1", *layers)
    engine = start_engine()
    engine.pull(f"{fake.host}/app:1")
    assert engine.says(f"{fake.host}/app:1", "sh", "-c", "ls / | grep -c '^[0-9]'") == "99\n"


def test_an_image_that_was_damaged_is_pulled_anew(start_engine: Start, hub: str) -> None:
    engine = start_engine()
    engine.import_image(layer("x"), f"{hub}/frail:1")
    engine.push(f"{hub}/frail:1")
    path = next(p for p in engine.stored() if p.endswith("/tar"))
    subprocess.run(["sed", "-i", "1s/^...../XXXXX/", engine.root + path], check=True)
    problems = [json.loads(line) for line in engine.fsck()]
    assert [p["Kind"] for p in problems] == ["layer"]
    assert all(json.loads(p)["Repair"] for p in engine.fsck(repair=True))
    engine.fsck(repair=True)
    assert not engine.fsck()
    engine.pull(f"{hub}/frail:1")
    assert not engine.fsck()


def test_dataloss_is_not_hidden(start_engine: Start, hub: str) -> None:
    engine = start_engine()
    engine.import_image(layer("x"), f"{hub}/lost:1")
    path = next(p for p in engine.stored() if p.endswith("/tar"))
    with open(engine.root + path, "r+b") as file:
        file.truncate(512)
    with pytest.raises((DataLoss, ProgressError, Error)):
        engine.push(f"{hub}/lost:1")
