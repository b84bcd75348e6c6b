"""Credentials: docker's config.json, helpers, login and logout."""

from __future__ import annotations

import base64
import json
import os
import stat
from pathlib import Path
from typing import Any

import pytest

from casemate.cli import authentication
from casemate.cli.dockerconfig import DockerConfig
from casemate.errors import InvalidArgument
from unit.cli.conftest import Cli
from unit.cli.fakeengine import FakeEngine

AUTH = base64.b64encode(b"me:se:cret").decode()


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "docker").mkdir()
    return tmp_path / "docker"


def config(home: Path, **content: Any) -> DockerConfig:
    (home / "config.json").write_text(json.dumps(content))
    return DockerConfig(str(home))


def decoded(header: str) -> Any:
    return json.loads(base64.urlsafe_b64decode(header))


@pytest.fixture
def helper(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A credential helper that keeps one secret in a file, and counts its calls."""
    programs = tmp_path / "bin"
    programs.mkdir()
    program = programs / "docker-credential-box"
    program.write_text(
        f"""#!/bin/sh
cd {tmp_path}
echo "$1" >> calls
case $1 in
    get) read -r server; [ -e kept ] && cat kept && exit 0
         echo "credentials not found in native keychain"; exit 1 ;;
    store) cat > kept ;;
    erase) rm -f kept ;;
esac
"""
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    return tmp_path


def test_nobody_is_an_empty_document(home: Path) -> None:
    assert authentication.header(config(home), "reg.lan") == "e30="


@pytest.mark.parametrize(
    ("key", "domain"),
    [
        ("reg.lan:5000", "reg.lan:5000"),
        ("https://reg.lan/v1/", "reg.lan"),
        ("https://index.docker.io/v1/", "docker.io"),
    ],
)
def test_an_entry_is_found_by_its_registry(home: Path, key: str, domain: str) -> None:
    found = decoded(authentication.header(config(home, auths={key: {"auth": AUTH}}), domain))
    assert (found["username"], found["password"]) == ("me", "se:cret")


def test_a_token_is_sent_as_a_token(home: Path) -> None:
    mine = config(home, auths={"r": {"auth": AUTH, "identitytoken": "t"}})
    assert decoded(authentication.header(mine, "r"))["identitytoken"] == "t"


@pytest.mark.parametrize("entry", [{"auth": "!"}, {"auth": "bWU="}, {"auth": 1}, []])
def test_a_broken_entry_is_told_and_nobody_is_asked_for(
    home: Path, entry: Any, capfd: pytest.CaptureFixture[str]
) -> None:
    assert authentication.header(config(home, auths={"r": entry}), "r") == "e30="
    assert entry == [] or "WARNING: going on without credentials" in capfd.readouterr().err


@pytest.mark.parametrize("text", ["[]", "{", '{"auths": [1]}', '{"detachKeys": 1}'])
def test_a_broken_file_is_named(home: Path, text: str) -> None:
    (home / "config.json").write_text(text)
    with pytest.raises(InvalidArgument, match=r"config\.json"):
        broken = DockerConfig(str(home))
        broken.table("auths")
        broken.text("detachKeys")


def test_a_helper_is_asked(home: Path, helper: Path) -> None:
    mine = config(home, credHelpers={"r": "box"})
    assert authentication.header(mine, "r") == "e30="
    (helper / "kept").write_text('{"Username":"me","Secret":"x"}')
    assert decoded(authentication.header(mine, "r")) == {
        "username": "me",
        "password": "x",
        "serveraddress": "r",
    }
    (helper / "kept").write_text('{"Username":"<token>","Secret":"x"}')
    assert decoded(authentication.header(mine, "r"))["identitytoken"] == "x"


@pytest.mark.parametrize("name", ["missing", "../box"])
def test_a_helper_that_cannot_run_is_told(
    home: Path, name: str, capfd: pytest.CaptureFixture[str]
) -> None:
    assert authentication.header(config(home, credsStore=name), "r") == "e30="
    assert "WARNING: going on without credentials for r" in capfd.readouterr().err


def test_login_keeps_credentials_for_their_owner_only(
    cli: Cli, engine: FakeEngine, home: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    config(home, psFormat="x", auths={"other": {"auth": AUTH}}, unknown={"a": [1]})
    engine.answers["POST /auth"] = (200, {"Status": "Login Succeeded"})
    assert cli("login", "-u", "me", "-p", "se:cret", "https://reg.lan/v2/") == 0
    assert engine.requests[0].document == {
        "username": "me",
        "password": "se:cret",
        "serveraddress": "reg.lan",
    }
    seen = capfd.readouterr()
    assert seen.out == "Login Succeeded\n"
    assert "stored unencrypted" in seen.err and "insecure" in seen.err
    path = home / "config.json"
    kept = json.loads(path.read_text())
    assert kept["auths"] == {"other": {"auth": AUTH}, "reg.lan": {"auth": AUTH}}
    assert (kept["psFormat"], kept["unknown"]) == ("x", {"a": [1]})
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert cli("logout", "reg.lan") == 0
    assert json.loads(path.read_text())["auths"] == {"other": {"auth": AUTH}}


def test_login_reads_the_password_from_stdin(
    cli: Cli, engine: FakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    import io

    monkeypatch.setattr("sys.stdin", io.StringIO("pa ss\r\n"))
    engine.answers["POST /auth"] = (200, {"IdentityToken": "tok"})
    assert cli("login", "-u", "me", "--password-stdin") == 0
    assert engine.requests[0].document["password"] == "pa ss"
    kept = json.loads(Path(os.environ["DOCKER_CONFIG"], "config.json").read_text())
    entry = kept["auths"]["https://index.docker.io/v1/"]
    assert entry["identitytoken"] == "tok" and not entry["auth"]


def test_a_login_that_is_refused_keeps_nothing(cli: Cli, engine: FakeEngine, home: Path) -> None:
    engine.answers["POST /auth"] = (401, {"message": "wrong"})
    assert cli("login", "-u", "me", "-p", "x", "r.lan") == 1
    assert not (home / "config.json").exists()


def test_a_helper_keeps_and_forgets(cli: Cli, engine: FakeEngine, home: Path, helper: Path) -> None:
    config(home, credsStore="box")
    engine.answers["POST /auth"] = (200, {"Status": "Login Succeeded"})
    assert cli("login", "-u", "me", "-p", "x", "r.lan") == 0
    assert json.loads((helper / "kept").read_text()) == {
        "ServerURL": "r.lan",
        "Username": "me",
        "Secret": "x",
    }
    assert "x" not in (home / "config.json").read_text().replace("box", "")
    assert cli("logout", "r.lan") == 0
    assert not (helper / "kept").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["-p", "x", "--password-stdin", "-u", "m"], "cannot specify both"),
        (["--password-stdin"], "requires --username"),
        (["-u", "", "-p", "x"], "username is empty"),
        (["-u", "m", "-p", ""], "password is empty"),
        (["-u", "m"], "non TTY device"),
    ],
)
def test_a_login_without_enough_is_refused(
    cli: Cli, words: list[str], message: str, capfd: pytest.CaptureFixture[str]
) -> None:
    assert cli("login", *words, "r.lan") == 1
    assert message in capfd.readouterr().err
