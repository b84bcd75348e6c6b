"""Credentials: found for their host, from headers, files and helpers; never shown."""

from __future__ import annotations

import base64
import fcntl
import json
import os
import stat
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from casemate.errors import Error, InvalidArgument, Unauthenticated, Unavailable
from casemate.registry import credentials
from casemate.registry.credential_helper import Helper, HelperPlace
from casemate.registry.credentials import Credentials, DockerKeychain, FixedKeychain

ME = Credentials("me", "se:cret")


def encoded(document: Any, *, url_safe: bool = True, padded: bool = True) -> str:
    encode = base64.urlsafe_b64encode if url_safe else base64.b64encode
    text = encode(json.dumps(document).encode()).decode()
    return text if padded else text.rstrip("=")


def test_secrets_are_not_in_the_representation() -> None:
    assert "cret" not in repr(Credentials("me", "secret", "secret", "secret"))


@pytest.mark.parametrize("url_safe", [True, False])
@pytest.mark.parametrize("padded", [True, False])
def test_the_header_is_for_the_host_of_the_request(url_safe: bool, padded: bool) -> None:
    document = {"username": "me", "password": "se:cret", "serveraddress": "x", "email": None}
    header = encoded(document, url_safe=url_safe, padded=padded)
    keychain = credentials.from_header(header, "registry.example:5000")
    assert keychain.find("registry.example:5000") == ME
    assert keychain.find("registry.example") is None
    assert keychain.find("docker.io") is None


@pytest.mark.parametrize("header", ["", "e30=", "e30", encoded({}), encoded({"auth": ""})])
def test_an_empty_header_holds_nothing(header: str) -> None:
    assert credentials.from_header(header, "docker.io").find("docker.io") is None


def test_the_header_may_hold_a_token_or_the_pair_encoded() -> None:
    pair = base64.b64encode(b"me:se:cret").decode()
    found = credentials.from_header(encoded({"auth": pair}), "x").find("x")
    assert found == ME
    found = credentials.from_header(encoded({"identitytoken": "t"}), "x").find("x")
    assert found == Credentials(identity_token="t")
    found = credentials.from_header(encoded({"registrytoken": "t"}), "x").find("x")
    assert found == Credentials(registry_token="t")


@pytest.mark.parametrize(
    "header",
    ["%%%", encoded([]), encoded("x"), encoded({"username": 5}), "A" * 70_000,
     base64.b64encode(b"\xff\xfe").decode(), encoded({"auth": "%%%"}), encoded({"auth": "bWU="})],
)  # fmt: skip
def test_a_malformed_header_is_refused(header: str) -> None:
    with pytest.raises(InvalidArgument, match="X-Registry-Auth"):
        credentials.from_header(header, "x")


@settings(deadline=None)
@given(st.text(max_size=200))
def test_any_header_is_read_or_refused(header: str) -> None:
    try:
        credentials.from_header(header, "x")
    except InvalidArgument:
        pass


def test_a_build_brings_credentials_for_many_hosts() -> None:
    header = encoded(
        {
            "https://index.docker.io/v1/": {"username": "hub", "password": "p"},
            "registry.example": {"username": "me", "password": "se:cret"},
        }
    )
    keychain = credentials.from_build_header(header)
    assert keychain.find("docker.io") == Credentials("hub", "p")
    assert keychain.find("registry.example") == ME
    assert keychain.find("other.example") is None


def docker_config(tmp_path: Path, document: Any, **place: Any) -> DockerKeychain:
    (tmp_path / "config.json").write_text(json.dumps(document))
    helpers = HelperPlace(str(tmp_path), (str(tmp_path),), **place)
    return DockerKeychain(str(tmp_path / "config.json"), helpers)


PAIR = base64.b64encode(b"me:se:cret").decode()


@pytest.mark.parametrize(
    ("key", "host"),
    [
        ("https://index.docker.io/v1/", "docker.io"),
        ("docker.io", "docker.io"),
        ("registry.example:5000", "registry.example:5000"),
        ("https://registry.example/v2/", "registry.example"),
        ("Registry.Example", "registry.example"),
    ],
)
def test_dockers_file_is_read(tmp_path: Path, key: str, host: str) -> None:
    keychain = docker_config(tmp_path, {"auths": {key: {"auth": PAIR}}, "psFormat": "x"})
    assert keychain.find(host) == ME
    assert keychain.find("other.example") is None


def test_a_missing_file_holds_nothing(tmp_path: Path) -> None:
    place = HelperPlace("/", ())
    assert DockerKeychain(str(tmp_path / "none"), place).find("docker.io") is None


@pytest.mark.parametrize(
    "data", ["", "[]", "{", '{"auths":[]}', '{"auths":{"x":5}}', "x" * (1 << 20)]
)
def test_a_malformed_file_is_refused_by_name(tmp_path: Path, data: str) -> None:
    (tmp_path / "config.json").write_text(data + " ")
    with pytest.raises(InvalidArgument, match=r"config\.json"):
        DockerKeychain(str(tmp_path / "config.json"), HelperPlace("/", ()))


def helper(tmp_path: Path, name: str, script: str) -> None:
    path = tmp_path / f"docker-credential-{name}"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(stat.S_IRWXU)


def test_a_helper_is_asked_for_its_host(tmp_path: Path) -> None:
    helper(
        tmp_path, "own", """read key; echo "{\\"Username\\":\\"$1\\",\\"Secret\\":\\"$key\\"}" """
    )
    helper(tmp_path, "all", """echo '{"Username":"<token>","Secret":"t"}'""")
    keychain = docker_config(
        tmp_path,
        {
            "credsStore": "all",
            "credHelpers": {"registry.example": "own"},
            "auths": {"other.example": {"auth": PAIR}},
        },
    )
    assert keychain.find("registry.example") == Credentials("get", "registry.example")
    assert keychain.find("other.example") == Credentials(identity_token="t")


def test_docker_hub_has_its_old_name_with_helpers(tmp_path: Path) -> None:
    helper(
        tmp_path, "all", """read key; echo "{\\"Username\\":\\"u\\",\\"Secret\\":\\"$key\\"}" """
    )
    keychain = docker_config(tmp_path, {"credsStore": "all"})
    assert keychain.find("docker.io") == Credentials("u", "https://index.docker.io/v1/")


def test_a_helper_that_knows_nothing_means_no_credentials(tmp_path: Path) -> None:
    helper(tmp_path, "all", "echo credentials not found in native keychain; exit 1")
    assert docker_config(tmp_path, {"credsStore": "all"}).find("x") is None
    helper(tmp_path, "all", """echo '{"Username":"","Secret":""}'""")
    assert docker_config(tmp_path, {"credsStore": "all"}).find("x") is None


def test_a_helper_gets_home_and_path_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECRET_OF_OURS", "1")
    helper(tmp_path, "x", "/usr/bin/env > $HOME/seen; ls -l /proc/self/fd > $HOME/open; exit 0")
    leaked = os.open("/dev/null", os.O_RDONLY)
    os.set_inheritable(leaked, True)
    try:
        place = HelperPlace(str(tmp_path), (str(tmp_path), "/usr/bin", "/bin"))
        with pytest.raises(Unauthenticated, match="no valid answer"):
            Helper("x", place).get("server")
    finally:
        os.close(leaked)
    seen = dict(line.split("=", 1) for line in (tmp_path / "seen").read_text().splitlines())
    assert set(seen) - {"PWD", "_", "SHLVL", "OLDPWD"} == {"HOME", "PATH"}
    assert f" {leaked} -> " not in (tmp_path / "open").read_text()


@pytest.mark.parametrize("name", ["", "../x", "a/b", ".hidden", "-x", "x\0", "x" * 65, "a b"])
def test_a_helper_name_that_could_be_a_path_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(InvalidArgument, match="invalid credential helper name"):
        Helper(name, HelperPlace(str(tmp_path), (str(tmp_path),)))


def test_a_helper_that_is_not_there_is_unavailable(tmp_path: Path) -> None:
    (tmp_path / "docker-credential-x").write_text("not executable")
    for place in (HelperPlace("/", (str(tmp_path),)), HelperPlace("/", (".", ""))):
        with pytest.raises(Unavailable, match="not installed"):
            Helper("x", place).get("server")


@pytest.mark.parametrize(
    "script", ["echo nonsense", "head -c 100000 /dev/zero", "exit 3", "echo '[]'"]
)
def test_a_helper_that_answers_nonsense_is_an_error(tmp_path: Path, script: str) -> None:
    helper(tmp_path, "x", script)
    place = HelperPlace(str(tmp_path), (str(tmp_path), "/usr/bin", "/bin"))
    with pytest.raises((Unauthenticated, Unavailable)):
        Helper("x", place).get("server")


@pytest.mark.parametrize(
    "script", ["exec sleep 60", "exec >&-; exec sleep 60", "sleep 60 & sleep 60"]
)
def test_a_helper_that_hangs_is_killed_with_its_children(tmp_path: Path, script: str) -> None:
    # Whoever of its processes lives holds the lock.
    helper(tmp_path, "x", f"exec 9>{tmp_path}/lock; flock -n 9; {script}")
    place = HelperPlace(str(tmp_path), (str(tmp_path), "/usr/bin", "/bin"), timeout_s=0.3)
    begun = time.monotonic()
    with pytest.raises(Error, match=r"did not answer in 0\.3 s"):
        Helper("x", place).get("server")
    with open(tmp_path / "lock", "a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
    assert time.monotonic() - begun < 10


def test_a_secret_in_a_bad_answer_is_not_shown(tmp_path: Path) -> None:
    helper(tmp_path, "x", """echo '{"Username":"u","Secret":"hunter2"'""")
    with pytest.raises(Unauthenticated) as caught:
        Helper("x", HelperPlace(str(tmp_path), (str(tmp_path),))).get("server")
    assert "hunter2" not in str(caught.value)


def test_empty_credentials_are_none() -> None:
    assert FixedKeychain({"x": Credentials()}).find("x") is None
