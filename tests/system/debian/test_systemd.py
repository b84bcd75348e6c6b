"""systemd as Debian ships it: boots, runs services, stops in order, reboots."""

from __future__ import annotations

import contextlib
import http.client
import time
from typing import Any

import pytest

from support.engine import Executed, RunningEngine, eventually
from support.lives import reaches, restarts, status

pytestmark = [pytest.mark.root, pytest.mark.slow, pytest.mark.timeout(600)]

SYSTEM = {"SecurityOpt": ["system=systemd"]}
SANDBOX = {**SYSTEM, "Isolation": "sandbox", "NetworkMode": "bridge"}
PORT = {"PortBindings": {"80/tcp": [{"HostIp": "127.0.0.1", "HostPort": ""}]}}
#: The one service that cannot do without a user namespace of its own, unless told to.
_DROP_IN = """mkdir -p /etc/systemd/system/redis-server.service.d
printf '[Service]\\nPrivateUsers=no\\n' > /etc/systemd/system/redis-server.service.d/users.conf
exec /sbin/init
"""


def boot(engine: RunningEngine, **host: Any) -> str:
    """Start a system and wait until its boot is over."""
    id_ = engine.run_container("systemd", "sh", "-c", _DROP_IN, **host)
    assert booted(engine, id_) == "running", failed(engine, id_)
    return id_


def booted(engine: RunningEngine, id_: str) -> str:
    """Return in which state the boot has ended."""

    def state() -> str:
        return engine.exec(id_, "systemctl", "is-system-running").out.decode().strip()

    return eventually(state, lambda said: said in ("running", "degraded"))


def failed(engine: RunningEngine, id_: str) -> str:
    units = engine.exec(id_, "systemctl", "--failed", "--no-pager").out
    return (units + engine.exec(id_, "journalctl", "-b", "--no-pager").out).decode()


def done(engine: RunningEngine, id_: str, *command: str) -> str:
    """Run a command that must succeed and return what it says."""
    found: Executed = engine.exec(id_, *command)
    assert found.code == 0, found
    return found.out.decode()


def page(engine: RunningEngine, id_: str) -> str:
    """Return what the web server inside says through the published port."""
    (binding,) = engine.inspect(id_)["NetworkSettings"]["Ports"]["80/tcp"]
    connection = http.client.HTTPConnection("127.0.0.1", int(binding["HostPort"]), timeout=10)
    with contextlib.closing(connection):
        connection.request("GET", "/")
        return connection.getresponse().read().decode()


@pytest.mark.parametrize("host", [SYSTEM, SANDBOX], ids=["container", "sandbox"])
def test_it_boots_with_all_its_services_and_stops_in_order(
    debian: RunningEngine, host: dict[str, Any]
) -> None:
    id_ = boot(debian, **host, **PORT)
    assert "Welcome to nginx" in page(debian, id_)
    assert done(debian, id_, "redis-cli", "ping") == "PONG\n"
    done(debian, id_, "pg_isready")
    assert "Started" in done(debian, id_, "journalctl", "--no-pager", "-u", "nginx")
    since = time.monotonic()
    debian.client.post(f"/containers/{id_}/stop")
    assert time.monotonic() - since < 30
    assert debian.inspect(id_)["State"]["ExitCode"] == 130
    debian.start_container(id_)
    assert booted(debian, id_) == "running"
    journal = done(debian, id_, "journalctl", "--no-pager", "-o", "cat")
    stopped = [f"Stopped {name}" in journal for name in ("nginx", "redis", "postgresql@15")]
    assert all(stopped), journal
    assert "Welcome to nginx" in page(debian, id_)


def test_a_service_has_a_cgroup_that_ends_with_it(debian: RunningEngine) -> None:
    id_ = boot(debian, **SYSTEM)
    script = "sleep 1000 & sleep 1001 & wait"
    done(debian, id_, "systemd-run", "--unit=mine", "sh", "-c", script)
    listed = done(debian, id_, "systemd-cgls", "--no-pager", "-u", "mine.service")
    assert "sleep 1000" in listed and "sleep 1001" in listed
    done(debian, id_, "systemctl", "stop", "mine")
    assert debian.exec(id_, "pgrep", "sleep").code != 0
    # What is run from outside is with the init, not with any service.
    assert done(debian, id_, "cat", "/proc/self/cgroup").endswith("0::/init.scope\n")


def test_it_reboots_and_shuts_itself_down(debian: RunningEngine) -> None:
    id_ = boot(debian, **SYSTEM)
    own = done(debian, id_, "cat", "/etc/machine-id").strip()
    assert own == id_[:32]
    debian.exec(id_, "systemctl", "reboot")
    restarts(debian, id_, 1)
    reaches(debian, id_, "running")
    assert booted(debian, id_) == "running"
    assert done(debian, id_, "cat", "/etc/machine-id").strip() == own
    debian.exec(id_, "poweroff")
    assert debian.wait(id_) == 130
    assert status(debian, id_) == "exited"
    debian.client.post(f"/containers/{id_}/restart")
    assert booted(debian, id_) == "running"


def test_with_a_terminal_it_has_a_console(debian: RunningEngine) -> None:
    id_ = boot(debian, Tty=True, **SYSTEM)

    def said() -> bytes:
        with debian.client.request("GET", f"/containers/{id_}/logs?stdout=1") as reply:
            return reply.read()

    # What comes before the prompt, which is no whole line.
    told = eventually(said, lambda text: text.rstrip().endswith(f"{id_[:12]} console".encode()))
    assert b"Reached target" in told


def test_limits_hold_for_all_of_it(debian: RunningEngine) -> None:
    id_ = boot(debian, Memory=512 << 20, PidsLimit=200, **SYSTEM)
    stats = debian.client.get(f"/containers/{id_}/stats?stream=0&one-shot=1")
    assert 0 < stats["memory_stats"]["usage"] <= 512 << 20 == stats["memory_stats"]["limit"]
    assert stats["pids_stats"]["limit"] == 200
    listed = debian.client.get(f"/containers/{id_}/top?ps_args=-eo%20pid,comm")["Processes"]
    assert {"systemd", "nginx", "redis-server"} <= {line[-1] for line in listed}
    assert stats["pids_stats"]["current"] >= len(listed) - 1
    debian.client.post(f"/containers/{id_}/pause")
    debian.client.post(f"/containers/{id_}/unpause")
    done(debian, id_, "redis-cli", "ping")
