"""Authorization: what is asked for is answered once, to the host it is for, and to nobody else."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from urllib.parse import parse_qs

import pytest

from casemate.errors import (
    Error,
    InvalidArgument,
    NotFound,
    PermissionDenied,
    Unauthenticated,
    Unavailable,
)
from casemate.oci.descriptor import Descriptor
from casemate.oci.digest import Digest
from casemate.oci.reference import Reference
from casemate.registry import blobs, manifests, uploads
from casemate.registry.auth import merged
from casemate.registry.credentials import Credentials, FixedKeychain, Keychain
from casemate.registry.login import login
from support.registry import OCI_LAYER, TOKEN, FakeRegistry

from .conftest import Connect

Name = Callable[[str], Reference]
ME = Credentials("me", "secret")


@pytest.fixture
def mine(fake: FakeRegistry) -> Keychain:
    fake.wrong.users = {"me": "secret"}
    return FixedKeychain({fake.host: ME})


def authorizations(fake: FakeRegistry) -> list[str | None]:
    return [r.headers.get("authorization") for r in fake.requests if r.path != "/token"]


def test_nothing_is_said_before_it_is_asked_for(
    fake: FakeRegistry, connect: Connect, mine: Keychain, name: Name
) -> None:
    fake.add_image("app", "1", b"x")
    manifests.resolve(connect(mine), name("app:1"))
    assert authorizations(fake) == [None]


def test_basic_is_answered_and_then_said_at_once(
    fake: FakeRegistry, connect: Connect, mine: Keychain, name: Name
) -> None:
    fake.wrong.auth = "basic"
    fake.add_image("app", "1", b"x")
    client = connect(mine)
    for _ in range(2):
        manifests.resolve(client, name("app:1"))
    assert authorizations(fake) == [None, "Basic bWU6c2VjcmV0", "Basic bWU6c2VjcmV0"]


def test_a_token_is_asked_for_with_the_scope_and_used_again(
    fake: FakeRegistry, connect: Connect, mine: Keychain, name: Name
) -> None:
    fake.wrong.auth = "bearer"
    digest = fake.add_image("team/app", "1", b"x")
    client = connect(mine)
    for reference in (name("team/app:1"), name(f"team/app@{digest}")):
        manifests.resolve(client, reference)
    (asked,) = fake.asked("GET", "/token")
    assert asked.query["service"] == ["fake"]
    assert asked.query["scope"] == ["repository:team/app:pull"]
    assert asked.headers["authorization"] == "Basic bWU6c2VjcmV0"
    assert authorizations(fake) == [None, f"Bearer {TOKEN}", f"Bearer {TOKEN}"]


def test_without_a_name_the_token_is_asked_for_without(
    fake: FakeRegistry, connect: Connect, name: Name
) -> None:
    fake.wrong.auth = "bearer"
    fake.add_image("app", "1", b"x")
    manifests.resolve(connect(), name("app:1"))
    assert "authorization" not in fake.asked("GET", "/token")[0].headers


def test_an_identity_token_is_sent_by_post(
    fake: FakeRegistry, connect: Connect, name: Name
) -> None:
    fake.wrong.auth, fake.wrong.identity_tokens = "bearer", {"long-lived"}
    fake.add_image("app", "1", b"x")
    keychain = FixedKeychain({fake.host: Credentials(identity_token="long-lived")})
    manifests.resolve(connect(keychain), name("app:1"))
    (asked,) = fake.asked("POST", "/token")
    form = parse_qs(asked.body.decode())
    assert form["grant_type"] == ["refresh_token"]
    assert form["refresh_token"] == ["long-lived"]
    assert form["scope"] == ["repository:app:pull"]
    assert asked.query == {}


def test_a_registry_token_is_the_bearer_token(
    fake: FakeRegistry, connect: Connect, name: Name
) -> None:
    fake.wrong.auth = "bearer"
    fake.valid_tokens = {"given"}
    fake.add_image("app", "1", b"x")
    keychain = FixedKeychain({fake.host: Credentials(registry_token="given")})
    manifests.resolve(connect(keychain), name("app:1"))
    assert fake.asked("GET", "/token") == []


def test_many_threads_need_one_token(fake: FakeRegistry, connect: Connect, name: Name) -> None:
    fake.wrong.auth = "bearer"
    fake.add_image("app", "1", b"x")
    client = connect()
    threads = [
        threading.Thread(target=manifests.resolve, args=(client, name("app:1"))) for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert len(fake.asked("GET", "/token")) == 1


def test_a_token_that_is_no_longer_good_is_renewed_once(
    fake: FakeRegistry, connect: Connect, name: Name
) -> None:
    fake.wrong.auth = "bearer"
    fake.wrong.token_answer = b'{"token":"first"}'
    fake.valid_tokens = {"first"}
    fake.add_image("app", "1", b"x")
    client = connect()
    manifests.resolve(client, name("app:1"))
    fake.wrong.token_answer = b'{"access_token":"second","expires_in":1}'
    fake.valid_tokens = {"second"}
    manifests.resolve(client, name("app:1"))
    assert authorizations(fake)[-1] == "Bearer second"
    fake.valid_tokens = set()
    with pytest.raises(NotFound, match="pull access denied"):
        manifests.resolve(client, name("app:1"))
    assert len(fake.asked("GET", "/token")) == 3


def test_a_push_asks_for_push_and_a_mount_for_the_neighbour(
    fake: FakeRegistry, connect: Connect, mine: Keychain, name: Name, tmp_path: Path
) -> None:
    fake.wrong.auth = "bearer"
    data = b"layer"
    (tmp_path / "layer").write_bytes(data)
    digest = Digest(fake.add_blob("base", data))
    blob = Descriptor(OCI_LAYER, digest, len(data))
    with open(tmp_path / "layer", "rb") as file:
        uploads.push_blob(connect(mine), name("app"), blob, file, mount_from="base")
    scopes = fake.asked("GET", "/token")[0].query["scope"]
    assert scopes == ["repository:app:pull,push", "repository:base:pull"]


def test_scopes_on_one_resource_are_merged() -> None:
    assert merged(["repository:a:pull", "repository:a:push,pull", "registry:catalog:*"]) == (
        "registry:catalog:*",
        "repository:a:pull,push",
    )


def test_wrong_credentials_are_unauthenticated(
    fake: FakeRegistry, connect: Connect, name: Name
) -> None:
    keychain = FixedKeychain({fake.host: Credentials("me", "wrong")})
    for scheme in ("basic", "bearer"):
        fake.wrong.auth = scheme
        with pytest.raises(Unauthenticated, match="pull access denied"):
            manifests.resolve(connect(keychain), name("app:1"))


@pytest.mark.parametrize("scheme", ["basic", "bearer"])
def test_those_without_credentials_are_told_as_docker_does(
    fake: FakeRegistry, connect: Connect, name: Name, scheme: str
) -> None:
    fake.wrong.auth, fake.wrong.anonymous_tokens = scheme, False
    with pytest.raises(
        NotFound,
        match=r"pull access denied for .*/app, repository does not exist or may require"
        " 'docker login'",
    ) as caught:
        manifests.resolve(connect(), name("app:1"))
    assert caught.value.hint == f"run: casemate login {fake.host}"


def test_a_forbidden_repository_is_permission_denied(
    fake: FakeRegistry, connect: Connect, mine: Keychain, name: Name
) -> None:
    fake.wrong.failures.append((403, {}))
    with pytest.raises(PermissionDenied, match="pull access denied"):
        manifests.resolve(connect(mine), name("app:1"))


def test_credentials_of_another_host_are_not_used(
    fake: FakeRegistry, connect: Connect, name: Name
) -> None:
    fake.wrong.auth, fake.wrong.users = "basic", {"me": "secret"}
    with pytest.raises(NotFound):
        manifests.resolve(connect(FixedKeychain({"other.example": ME})), name("app:1"))
    assert authorizations(fake) == [None]


@pytest.mark.parametrize("scheme", ["basic", "bearer"])
def test_credentials_do_not_follow_a_redirect_to_another_host(
    fake: FakeRegistry,
    other: FakeRegistry,
    connect: Connect,
    mine: Keychain,
    name: Name,
    scheme: str,
) -> None:
    fake.wrong.auth = scheme
    data = b"a layer"
    blob = Descriptor(OCI_LAYER, Digest(fake.add_blob("app", data)), len(data))
    other.add_blob("storage", data)
    fake.wrong.redirect_blobs = f"{other.url}/v2/storage/blobs/{{digest}}"
    assert b"".join(map(bytes, blobs.fetch(connect(mine), name("app"), blob))) == data
    assert authorizations(fake)[-1]
    assert authorizations(other) == [None]


def test_a_host_we_were_sent_to_is_not_answered(
    fake: FakeRegistry, other: FakeRegistry, connect: Connect, mine: Keychain, name: Name
) -> None:
    blob = Descriptor(OCI_LAYER, Digest(fake.add_blob("app", b"x")), 1)
    fake.wrong.redirect_blobs = f"{other.url}/v2/storage/blobs/{{digest}}"
    for challenge in ('Basic realm="x"', f'Bearer realm="{other.url}/token"'):
        other.wrong.challenge = challenge
        with pytest.raises(Unauthenticated):
            list(blobs.fetch(connect(mine), name("app"), blob))
    assert authorizations(other) == [None, None]
    assert other.asked("GET", "/token") == []


@pytest.mark.parametrize(
    ("realm", "kind"),
    [
        ("http://evil.example/token", PermissionDenied),
        ("ftp://127.0.0.1/token", InvalidArgument),
        ("http://me:secret@127.0.0.1/token", InvalidArgument),
        ("/token", InvalidArgument),
        ("", InvalidArgument),
    ],
)
def test_a_realm_where_no_password_should_go_gets_none(
    fake: FakeRegistry,
    connect: Connect,
    mine: Keychain,
    name: Name,
    realm: str,
    kind: type[Error],
) -> None:
    fake.wrong.auth, fake.wrong.realm = "bearer", realm
    fake.wrong.challenge = f'Bearer realm="{realm}",service="x"'
    with pytest.raises(kind):
        manifests.resolve(connect(mine), name("app:1"))


@pytest.mark.parametrize(
    "challenge",
    [
        "",
        ",,,",
        "Bearer",
        "Bearer realm",
        'Bearer realm="unclosed',
        'Bearer realm="a", realm="b"',
        "Digest " + ",".join(f'a{n}="x"' for n in range(99)),
        ",".join(["Basic"] * 99),
        "x" * 20_000,
        "Basic realm=\x01",
        "\xff\xfe",
    ],
)
def test_a_hostile_challenge_is_an_error_and_no_more(
    fake: FakeRegistry, connect: Connect, mine: Keychain, name: Name, challenge: str
) -> None:
    fake.wrong.auth, fake.wrong.challenge = "bearer", challenge
    with pytest.raises((InvalidArgument, Unauthenticated)):
        manifests.resolve(connect(mine), name("app:1"))
    assert authorizations(fake) in ([None], [None, "Basic bWU6c2VjcmV0"])


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"null",
        b"[]",
        b"{}",
        b'{"token":""}',
        b'{"token":5}',
        b'{"token":"a\\r\\nX-Evil: 1"}',
        b'{"token":"with space"}',
        b'{"token":"\\u00e4"}',
        b'{"token":"x","expires_in":"soon"}',
        b'{"token":"' + b"x" * 200_000 + b'"}',
    ],
)
def test_a_hostile_token_is_refused_and_not_shown(
    fake: FakeRegistry, connect: Connect, mine: Keychain, name: Name, answer: bytes
) -> None:
    fake.wrong.auth, fake.wrong.token_answer = "bearer", answer
    with pytest.raises((InvalidArgument, Unauthenticated)) as caught:
        manifests.resolve(connect(mine), name("app:1"))
    assert "Evil" not in str(caught.value)
    assert authorizations(fake) == [None]


def test_a_busy_token_service_is_asked_again(
    fake: FakeRegistry, connect: Connect, name: Name
) -> None:
    fake.wrong.auth = "bearer"
    fake.add_image("app", "1", b"x")
    challenge = f'Bearer realm="{fake.url}/token",service="fake"'
    fake.wrong.failures.extend([(401, {"WWW-Authenticate": challenge}), (503, {}), (429, {})])
    assert manifests.resolve(connect(), name("app:1"))
    fake.wrong.failures.extend([(401, {"WWW-Authenticate": challenge}), *[(503, {})] * 9])
    with pytest.raises(Unavailable):
        manifests.resolve(connect(), name("app:1"))


def test_a_login_brings_an_identity_token_where_there_are_any(
    fake: FakeRegistry, connect: Connect, mine: Keychain
) -> None:
    assert login(connect(mine), fake.host) == ""
    fake.wrong.auth = "basic"
    assert login(connect(mine), fake.host) == ""
    fake.wrong.auth = "bearer"
    assert login(connect(mine), fake.host) == "an-identity-token"
    (asked,) = fake.asked("GET", "/token")
    assert (asked.query["offline_token"], asked.query["account"]) == (["true"], ["me"])


@pytest.mark.parametrize("scheme", ["basic", "bearer"])
def test_a_login_with_a_wrong_password_fails(
    fake: FakeRegistry, connect: Connect, scheme: str
) -> None:
    fake.wrong.auth = scheme
    keychain = FixedKeychain({fake.host: Credentials("me", "wrong")})
    with pytest.raises(Unauthenticated, match=r"login to .* failed"):
        login(connect(keychain), fake.host)


def test_what_a_registry_writes_cannot_steer_a_terminal(
    fake: FakeRegistry, connect: Connect, name: Name
) -> None:
    fake.wrong.failures.append((404, {}))
    fake.error_text = "\x1b]0;evil\x07" + "x" * 5000
    with pytest.raises(NotFound) as caught:
        manifests.resolve(connect(), name("app:1"))
    assert "\x1b" not in str(caught.value)
    assert "evil" in str(caught.value)
    assert len(str(caught.value)) < 600
