"""The engine is started on first use, and told apart from one that cannot start."""

from __future__ import annotations

import os
import sys
import threading
from pathlib import Path

import pytest

from casemate.client import autostart
from casemate.client.place import Place
from casemate.errors import Unavailable
from unit.cli.conftest import Cli

#: Stands in for casemate.daemon: listens, says so, answers one request, ends.
DAEMON = """
import os, socket, sys
root, run, ready = sys.argv[2], sys.argv[4], int(sys.argv[6])
with open(run + "/seen", "w") as seen:
    print(os.getsid(0) == os.getpid(), sys.argv[1:], file=seen)
    print(sorted(int(n) for n in os.listdir("/proc/self/fd")), file=seen)
    print([os.readlink(f"/proc/self/fd/{n}") for n in (0, 1)], file=seen)
sock = socket.socket(socket.AF_UNIX)
sock.bind(run + "/casemate.sock")
sock.listen()
os.write(ready, b"ready\\n")
os.close(ready)
connection, _ = sock.accept()
connection.recv(65536)
connection.sendall(b"HTTP/1.1 200 OK\\r\\nContent-Length: 2\\r\\n\\r\\n[]")
"""


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    monkeypatch.delenv("CASEMATE_HOST")
    return Place(str(tmp_path / "root"), str(tmp_path / "run"))


def use(monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    real = autostart.command

    def instead(place: Place) -> list[str]:
        return [sys.executable, "-c", script, *real(place)[4:]]

    monkeypatch.setattr(autostart, "command", instead)


def test_the_command_line_is_the_daemons(place: Place) -> None:
    assert autostart.command(place) == [
        *(sys.executable, "-P", "-m", "casemate.daemon"),
        *("--root", place.root, "--run", place.run),
        *("--ready-fd", "3"),
    ]


def test_a_command_starts_the_engine_detached_and_clean(
    cli: Cli, place: Place, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    use(monkeypatch, DAEMON)
    leaked = os.open("/dev/null", os.O_RDONLY)
    os.set_inheritable(leaked, True)
    try:
        assert cli("--run", place.run, "--root", place.root, "ps") == 0
    finally:
        os.close(leaked)
    assert capfd.readouterr().out.startswith("CONTAINER ID")
    with open(f"{place.run}/seen") as file:
        where, descriptors, stdio = file.read().split("\n")[:3]
    assert where.startswith(f"True ['--root', '{place.root}'")
    # 0 to 3, the file it is writing and the directory it is listing.
    assert descriptors == "[0, 1, 2, 3, 4, 5]"
    assert stdio == "['/dev/null', '/dev/null']"
    os.wait()


def test_who_is_not_root_is_told_so_first(
    cli: Cli, place: Place, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert cli("--run", place.run, "--root", place.root, "ps") == 1
    first, hint = capfd.readouterr().err.splitlines()
    assert first.startswith("casemate needs root") and "sudo" in hint
    assert not os.path.exists(place.run)


def test_an_engine_that_cannot_start_says_why(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    use(monkeypatch, "import os; os.write(3, b'error: the data root is in use\\n')")
    with pytest.raises(Unavailable, match="cannot start the engine: the data root is in use"):
        autostart.start_engine(place)
    os.wait()


def test_an_engine_that_dies_shows_the_end_of_its_log(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    os.makedirs(place.run)
    with open(f"{place.run}/engine.log", "w") as log:
        log.write("an old line\n")
    use(monkeypatch, "import sys; print(*range(40), sep='\\n', file=sys.stderr); sys.exit(1)")
    with pytest.raises(Unavailable) as caught:
        autostart.start_engine(place)
    lines = str(caught.value).split("\n")
    assert lines[1:] == [f"  {n}" for n in range(28, 40)]
    assert place.run in str(caught.value.hint)
    os.wait()


def test_a_directory_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(Exception, match="cannot start the engine"):
        autostart.start_engine(Place("/x", str(tmp_path / "file" / "run")))


def test_a_large_log_makes_room(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    os.makedirs(place.run)
    with open(f"{place.run}/engine.log", "w") as log:
        log.truncate(2 << 20)
    use(monkeypatch, "import os; os.write(3, b'ready\\n')")
    autostart.start_engine(place)
    assert os.path.getsize(f"{place.run}/engine.log") == 0
    assert os.path.getsize(f"{place.run}/engine.log.1") == 2 << 20
    os.wait()


def test_two_commands_at_once_both_get_their_engine(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    use(monkeypatch, "import os; os.write(3, b'ready\\n')")
    errors: list[BaseException] = []

    def start() -> None:
        try:
            autostart.start_engine(place)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=start) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors
    for _ in threads:
        os.wait()


def test_an_address_that_was_given_is_not_started(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(_: Place) -> None:
        raise AssertionError

    monkeypatch.setattr(autostart, "start_engine", never)
    assert cli("-H", f"unix://{tmp_path}/nobody", "ps") == 1
