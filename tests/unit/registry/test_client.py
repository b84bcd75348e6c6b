"""Hosts and what is said of them."""

from __future__ import annotations

import pytest

from casemate.errors import (
    Conflict,
    DataLoss,
    Error,
    InvalidArgument,
    NotFound,
    PermissionDenied,
    Unauthenticated,
    Unavailable,
    Unsupported,
)
from casemate.registry.client import Registry
from casemate.registry.failures import Refused
from casemate.registry.urls import Origin

HOST = Origin("https", "registry.example", 443)


@pytest.mark.parametrize(
    ("domain", "base"),
    [
        ("docker.io", "https://registry-1.docker.io/v2/"),
        ("ghcr.io", "https://ghcr.io/v2/"),
        ("registry.example:5000", "https://registry.example:5000/v2/"),
        ("registry.example:80", "https://registry.example:80/v2/"),
        ("[2001:db8::1]:5000", "https://[2001:db8::1]:5000/v2/"),
    ],
)
def test_a_domain_is_served_by_its_host_in_tls(client: Registry, domain: str, base: str) -> None:
    assert str(client.upstream(domain).url("")) == base


@pytest.mark.parametrize(
    ("status", "anonymous", "kind"),
    [
        (400, False, InvalidArgument),
        (401, True, NotFound),
        (401, False, Unauthenticated),
        (403, True, NotFound),
        (403, False, PermissionDenied),
        (404, False, NotFound),
        (405, False, Unsupported),
        (409, False, Conflict),
        (416, False, DataLoss),
        (418, False, InvalidArgument),
        (429, False, Unavailable),
        (500, False, Unavailable),
        (302, False, InvalidArgument),
    ],
)
def test_a_status_has_its_class(status: int, anonymous: bool, kind: type[Error]) -> None:
    error = Refused(HOST, status, b"", anonymous=anonymous).explain("pull", "app")
    assert type(error) is kind
    assert "app" in error.message


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (
            b'{"errors":[{"code":"DENIED","message":"requested access is denied","detail":[1]}]}',
            "denied: requested access is denied",
        ),
        (b'{"errors":[{"code":"MANIFEST_UNKNOWN"}]}', "manifest unknown"),
        (b'{"errors":[{"message":"only words"}]}', "only words"),
        (b'{"details":"incorrect username or password"}', "incorrect username or password"),
        (b'{"message":"no such thing"}', "no such thing"),
        (b"<html>a page</html>", "not found (status 404)"),
        (b'{"errors":[]}', "not found (status 404)"),
        (b'{"errors":"x"}', "not found (status 404)"),
        (b"[" * 50_000, "not found (status 404)"),
        (b"\xff", "not found (status 404)"),
    ],
)
def test_what_a_registry_says_is_passed_on(body: bytes, text: str) -> None:
    assert text in Refused(HOST, 404, body, anonymous=False).explain("pull", "app").message


def test_dockers_words_for_what_one_may_not_see() -> None:
    body = b'{"errors":[{"code":"DENIED","message":"requested access to the resource is denied"}]}'
    error = Refused(HOST, 401, body, anonymous=True).explain("pull", "secret/app")
    assert error.message == (
        "pull access denied for secret/app, repository does not exist or may require"
        " 'docker login': denied: requested access to the resource is denied"
    )
    assert error.hint == "run: casemate login registry.example"
    hub = Refused(Origin("https", "registry-1.docker.io", 443), 401, body, anonymous=True)
    assert hub.explain("pull", "app").hint == "run: casemate login docker.io"
