"""docker-py, unchanged, against the engine: what programs in Python do."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Iterator
from typing import Any

import pytest

from support.engine import RunningEngine
from support.images import tar

docker = pytest.importorskip("docker", reason="needs docker-py: pip install docker")

pytestmark = pytest.mark.root


@pytest.fixture
def client(engine: RunningEngine) -> Iterator[Any]:
    found = docker.DockerClient(base_url=f"unix://{engine.socket}", version="auto")
    yield found
    found.close()


def test_it_finds_a_version_to_speak(client: Any) -> None:
    assert client.ping()
    assert client.api.api_version == "1.47"
    assert client.version()["Platform"]["Name"] == "casemate"
    assert client.info()["OSType"] == "linux"


def test_run_and_its_output(client: Any) -> None:
    assert client.containers.run("busybox", ["echo", "hello"], remove=True) == b"hello\n"
    assert client.containers.list(all=True) == []


def test_a_command_that_fails_is_an_error_with_its_output(client: Any) -> None:
    with pytest.raises(docker.errors.ContainerError) as caught:
        client.containers.run("busybox", ["sh", "-c", "echo why >&2; exit 3"], remove=True)
    assert (caught.value.exit_status, caught.value.stderr) == (3, b"why\n")


def test_a_container_lives(client: Any) -> None:
    container = client.containers.run(
        "busybox", ["sleep", "1000"], detach=True, name="lives", environment={"A": "1"},
        labels={"x": "y"}, mem_limit="64m", cap_drop=["ALL"], tmpfs={"/t": "size=1m"},
    )  # fmt: skip
    assert container.status == "created"
    container.reload()
    assert (container.status, container.name, container.labels) == ("running", "lives", {"x": "y"})
    code, out = container.exec_run(["sh", "-c", "echo $A; exit 5"])
    assert (code, out) == (5, b"1\n")
    code, (out, err) = container.exec_run(["sh", "-c", "echo o; echo e >&2"], demux=True)
    assert (code, out, err) == (0, b"o\n", b"e\n")
    assert client.containers.list(filters={"label": "x=y"}) == [container]
    container.kill("TERM")
    container.stop(timeout=0)
    assert container.wait()["StatusCode"] == 137
    container.start()
    container.reload()
    assert container.status == "running"
    container.remove(force=True)
    with pytest.raises(docker.errors.NotFound):
        client.containers.get("lives")


def test_logs(client: Any) -> None:
    script = "for i in 1 2 3; do echo $i; done"
    container = client.containers.run("busybox", ["sh", "-c", script], detach=True)
    container.wait()
    assert container.logs() == b"1\n2\n3\n"
    assert container.logs(tail=1) == b"3\n"
    assert b"".join(container.logs(stream=True, follow=True)) == b"1\n2\n3\n"
    assert container.logs(timestamps=True).count(b"Z ") == 3


def test_streams_of_a_running_container(client: Any) -> None:
    container = client.containers.create("busybox", ["cat"], stdin_open=True, tty=False)
    sock = container.attach_socket(params={"stdin": 1, "stdout": 1, "stream": 1})
    container.start()
    sock._sock.sendall(b"hello\n")
    assert sock._sock.recv(100) == b"\x01\0\0\0\0\0\0\x06hello\n"
    sock._sock.close()
    sock.close()
    assert container.status == "created"


def test_commit_export_and_import(client: Any) -> None:
    container = client.containers.run("busybox", ["sh", "-c", "echo x > /new"], detach=True)
    container.wait()
    image = container.commit("committed", "1", changes=["ENV A=1"], conf={"Labels": {"a": "b"}})
    assert image.labels == {"a": "b"}
    said = client.containers.run("committed:1", ["sh", "-c", "cat /new; echo $A"], remove=True)
    assert said == b"x\n1\n"
    whole = b"".join(container.export())
    assert "new" in tarfile.open(fileobj=io.BytesIO(whole)).getnames()
    client.images.remove("committed:1")


def test_images(client: Any) -> None:
    (image,) = client.images.list("busybox")
    assert image.tags == ["busybox:latest"]
    assert image.tag("renamed", "2")
    assert client.images.get("renamed:2").id == image.id
    saved = b"".join(client.images.get("renamed:2").save(named="renamed:2"))
    client.images.remove("renamed:2")
    (loaded,) = client.images.load(saved)
    assert loaded.id == image.id
    assert [line["Id"] for line in image.history()] == [image.id]
    client.images.remove("renamed:2")
    made = client.api.import_image(tar({"x": b"1"}), repository="made", changes=['CMD ["x"]'])
    assert json.loads(made)["status"].startswith("sha256:")
    assert client.images.get("made").attrs["Config"]["Cmd"] == ["x"]
    client.images.remove("made")
    assert client.images.prune()["SpaceReclaimed"] >= 0
    with pytest.raises(docker.errors.ImageNotFound):
        client.images.get("made")


def test_networks_events_and_disk(client: Any) -> None:
    assert {n.name for n in client.networks.list()} == {"bridge", "host", "none"}
    assert client.networks.get("bridge").attrs["Driver"] == "bridge"
    assert client.df()["LayersSize"] > 0
    events = client.events(decode=True, filters={"event": "die"})
    client.containers.run("busybox", "true", remove=True)
    assert next(events)["Action"] == "die"
    events.close()


def test_ports(client: Any) -> None:
    container = client.containers.run(
        "busybox", ["sleep", "1000"], detach=True, ports={"80/tcp": ("127.0.0.1", None)}
    )
    container.reload()
    (port,) = container.ports["80/tcp"]
    assert port["HostIp"] == "127.0.0.1" and int(port["HostPort"]) > 0


def test_errors_are_docker_pys_own(client: Any) -> None:
    with pytest.raises(docker.errors.ImageNotFound):
        client.containers.create("nope", "true")
    with pytest.raises(docker.errors.NotFound):
        client.containers.get("nope")
    with pytest.raises(docker.errors.APIError) as caught:
        client.containers.create("busybox", "true", links={"a": "b"})
    assert caught.value.status_code == 501
