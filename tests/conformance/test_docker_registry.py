"""The registry client against Docker's own registry server, on loopback."""

from __future__ import annotations

import json
import random
import shutil
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest

from casemate.content.store import ContentStore
from casemate.errors import NotFound, Unauthenticated
from casemate.oci import digest as digests
from casemate.oci import media
from casemate.oci import reference as references
from casemate.oci.descriptor import Descriptor
from casemate.oci.manifest import Manifest
from casemate.oci.reference import Reference
from casemate.registry import blobs, manifests, uploads
from casemate.registry.client import Registry
from casemate.registry.config import RegistryConfig, RetryPolicy
from casemate.registry.credentials import Credentials, FixedKeychain
from casemate.registry.download import download
from casemate.registry.login import login

pytestmark = pytest.mark.skipif(
    not shutil.which("docker-registry"), reason="needs the program docker-registry"
)
CONFIG = RegistryConfig(certificates=(), retry=RetryPolicy(base_s=0.01, cap_s=0.05))
DATA = random.Random(6).randbytes(5_000_000)
LAYER = Descriptor(media.OCI_LAYER, digests.of(DATA), len(DATA))
Serve = Callable[..., str]


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Serve]:
    """Return a function that starts a server and returns its ``host:port``."""
    children: list[subprocess.Popen[str]] = []

    def start(**more: object) -> str:
        settings = {
            "version": "0.1",
            "log": {"level": "info", "formatter": "json", "accesslog": {"disabled": True}},
            "storage": {
                "filesystem": {"rootdirectory": str(tmp_path / "data")},
                "delete": {"enabled": True},
            },
            "http": {"addr": "127.0.0.1:0"},
            **more,
        }
        (tmp_path / "config.yml").write_text(json.dumps(settings))
        child = subprocess.Popen(
            ["docker-registry", "serve", str(tmp_path / "config.yml")],
            stderr=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            text=True,
        )
        children.append(child)
        assert child.stderr is not None
        for line in child.stderr:
            if "listening on " in (message := json.loads(line)["msg"]):
                threading.Thread(target=child.stderr.read, daemon=True).start()
                return str(message.removeprefix("listening on "))
        raise AssertionError("docker-registry did not start")

    yield start
    for child in children:
        child.kill()
        child.wait()
        if child.stderr:
            child.stderr.close()


@pytest.fixture
def client() -> Iterator[Registry]:
    with Registry(CONFIG) as registry:
        yield registry


def push_image(client: Registry, reference: Reference, path: Path) -> bytes:
    """Push an image of one layer and return its manifest."""
    path.write_bytes(DATA)
    config = b'{"architecture":"amd64","os":"linux","rootfs":{"type":"layers","diff_ids":[]}}'
    (path.parent / "config").write_bytes(config)
    described = Descriptor(media.OCI_CONFIG, digests.of(config), len(config))
    for blob, source in ((LAYER, path), (described, path.parent / "config")):
        with open(source, "rb") as file:
            assert uploads.push_blob(client, reference, blob, file) == "uploaded"
    document = {
        "schemaVersion": 2,
        "mediaType": media.OCI_MANIFEST,
        "config": described,
        "layers": [LAYER],
    }
    data = msgspec.json.encode(document)
    manifests.push(client, reference, data, media.OCI_MANIFEST)
    return data


def test_an_image_goes_there_and_comes_back(serve: Serve, client: Registry, tmp_path: Path) -> None:
    name = references.parse(f"{serve()}/team/app:1.0")
    data = push_image(client, name, tmp_path / "layer")
    found = manifests.resolve(client, name)
    assert found.data == data
    assert isinstance(found.document, Manifest)
    assert manifests.describe(client, name) == found.descriptor
    assert manifests.tags(client, name) == ["1.0"]
    store = ContentStore(str(tmp_path / "content"))
    with store.lease() as lease:
        for blob in (found.document.config, *found.document.layers):
            download(client, name, blob, store, lease)
    assert store.read(LAYER.digest, len(DATA)) == DATA


def test_a_blob_is_resumed_by_range(serve: Serve, client: Registry, tmp_path: Path) -> None:
    name = references.parse(f"{serve()}/app:1")
    push_image(client, name, tmp_path / "layer")
    found = b"".join(map(bytes, blobs.fetch(client, name, LAYER, 4_000_000)))
    assert found == DATA[4_000_000:]


def test_what_is_there_is_not_sent_and_neighbours_share(
    serve: Serve, client: Registry, tmp_path: Path
) -> None:
    host = serve()
    name = references.parse(f"{host}/base:1")
    push_image(client, name, tmp_path / "layer")
    with open(tmp_path / "layer", "rb") as file:
        assert uploads.push_blob(client, name, LAYER, file) == "exists"
        other = references.parse(f"{host}/app:1")
        assert uploads.push_blob(client, other, LAYER, file, mount_from="base") == "mounted"
        third = references.parse(f"{host}/third:1")
        assert uploads.push_blob(client, third, LAYER, file, mount_from="nobody") == "uploaded"


def test_a_stream_is_pushed(serve: Serve, client: Registry) -> None:
    name = references.parse(f"{serve()}/app:1")
    pieces = (DATA[start : start + 100_000] for start in range(0, len(DATA), 100_000))
    assert uploads.push_stream(client, name, pieces) == (LAYER.digest, len(DATA))
    assert b"".join(map(bytes, blobs.fetch(client, name, LAYER))) == DATA


def test_unknown_things_are_not_found(serve: Serve, client: Registry, tmp_path: Path) -> None:
    host = serve()
    with pytest.raises(NotFound, match="manifest unknown"):
        manifests.resolve(client, references.parse(f"{host}/nothing:1"))
    with pytest.raises(NotFound, match="blob unknown"):
        list(blobs.fetch(client, references.parse(f"{host}/nothing:1"), LAYER))


def test_those_with_the_password_come_in(serve: Serve, tmp_path: Path) -> None:
    # The password is "secret".
    line = "me:$2b$04$asJQvu7fSNLHGMIon8slm.DrQmCJBdcZMjIEqpSyqDBLDPes5mkSa\n"
    (tmp_path / "htpasswd").write_text(line)
    host = serve(auth={"htpasswd": {"realm": "x", "path": str(tmp_path / "htpasswd")}})
    name = references.parse(f"{host}/app:1")
    with Registry(CONFIG, FixedKeychain({host: Credentials("me", "secret")})) as client:
        assert login(client, host) == ""
        push_image(client, name, tmp_path / "layer")
        assert manifests.resolve(client, name)
    with Registry(CONFIG, FixedKeychain({host: Credentials("me", "wrong")})) as client:
        with pytest.raises(Unauthenticated, match="login to"):
            login(client, host)
        with pytest.raises(Unauthenticated, match="pull access denied"):
            manifests.resolve(client, name)
    with Registry(CONFIG) as client, pytest.raises(NotFound, match="may require 'docker login'"):
        manifests.resolve(client, name)


class Cutter(threading.Thread):
    """Passes connections on to ``host``; the first to send more than ``after`` bytes is cut."""

    def __init__(self, host: str, after: int) -> None:
        super().__init__()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._host = host
        self._after = after
        self._lock = threading.Lock()
        self.cuts = 0
        self.place = f"127.0.0.1:{self._listener.getsockname()[1]}"

    def run(self) -> None:
        while True:
            try:
                client = self._listener.accept()[0]
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,)).start()

    def _serve(self, client: socket.socket) -> None:
        address, _, port = self._host.rpartition(":")
        with client, socket.create_connection((address, int(port))) as server:
            back = threading.Thread(target=self._pump, args=(server, client, False))
            back.start()
            self._pump(client, server, True)
            back.join()

    def _pump(self, source: socket.socket, target: socket.socket, counted: bool) -> None:
        passed = 0
        try:
            while piece := source.recv(65536):
                target.sendall(piece)
                passed += len(piece)
                with self._lock:
                    cut = counted and passed > self._after and not self.cuts
                    self.cuts += cut
                if cut:
                    break
        except OSError:
            pass
        for end in (source, target):
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.join()


def test_a_push_survives_a_cut_connection(serve: Serve, client: Registry, tmp_path: Path) -> None:
    cutter = Cutter(serve(), 2_000_000)
    cutter.start()
    try:
        name = references.parse(f"{cutter.place}/app:1")
        push_image(client, name, tmp_path / "layer")
        assert cutter.cuts == 1
        assert b"".join(map(bytes, blobs.fetch(client, name, LAYER))) == DATA
    finally:
        client.close()
        cutter.close()


def test_the_server_serves_as_a_mirror(serve: Serve, client: Registry, tmp_path: Path) -> None:
    from casemate.registry import config

    host = serve()
    push_image(client, references.parse(f"{host}/library/app:1"), tmp_path / "layer")
    mirrors = config.parse({"mirrors": {"docker.io": [f"http://{host}"]}}).mirrors
    with Registry(CONFIG._replace(mirrors=mirrors)) as mirrored:
        name = references.parse("app:1")
        found = manifests.resolve(mirrored, name)
        assert found.document.schema_version == 2
        assert b"".join(map(bytes, blobs.fetch(mirrored, name, LAYER))) == DATA


@pytest.mark.skipif(not shutil.which("skopeo"), reason="needs the program skopeo")
def test_another_client_reads_what_we_push_and_writes_what_we_read(
    serve: Serve, client: Registry, tmp_path: Path
) -> None:
    host = serve()
    name = references.parse(f"{host}/ours:1")
    data = push_image(client, name, tmp_path / "layer")
    theirs = f"docker://{host}/theirs:1"
    command = ["skopeo", "copy", "--quiet", "--preserve-digests", "--insecure-policy"]
    plain = ["--src-tls-verify=false", "--dest-tls-verify=false"]
    subprocess.run([*command, *plain, f"docker://{name}", theirs], check=True)
    other = references.parse(f"{host}/theirs:1")
    assert manifests.resolve(client, other).data == data
    assert b"".join(map(bytes, blobs.fetch(client, other, LAYER))) == DATA
