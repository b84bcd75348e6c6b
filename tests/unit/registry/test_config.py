"""Settings and proxies: every mistake is named; plain HTTP is for those that were listed."""

from __future__ import annotations

import tomllib

import pytest

from casemate.errors import InvalidArgument, PermissionDenied, Unsupported
from casemate.registry import config, proxy
from casemate.registry.config import RegistryConfig
from casemate.registry.proxy import Proxy
from casemate.registry.urls import Origin

TOML = """
insecure = ["registry.lan:5000", "Plain.lan", "10.0.0.0/8", "[fd00::1]:5000"]
certificates = ["/etc/certs.d"]
attempts = 7
[mirrors]
"docker.io" = ["https://mirror.lan/a", "http://10.1.2.3:5000"]
"*" = ["https://all.lan"]
"""


def test_a_table_is_read() -> None:
    found = config.parse(tomllib.loads(TOML))
    assert found.retry.attempts == 7
    assert found.certificates == ("/etc/certs.d",)
    assert [str(url) for url in found.mirrors["docker.io"]] == [
        "https://mirror.lan/a",
        "http://10.1.2.3:5000/",
    ]
    assert set(found.mirrors) == {"docker.io", "*"}


def test_an_empty_table_is_the_default() -> None:
    assert config.parse({}) == RegistryConfig()


@pytest.mark.parametrize(
    ("host", "port", "plain"),
    [
        ("registry.lan", 5000, True),
        ("registry.lan", 5001, False),
        ("registry.lan", None, False),
        ("plain.lan", None, True),
        ("plain.lan", 1234, True),
        ("10.200.3.4", 5000, True),
        ("11.0.0.1", 5000, False),
        ("fd00::1", 5000, True),
        ("fd00::1", 5001, False),
        ("localhost", None, True),
        ("127.8.8.8", None, True),
        ("::1", 5000, True),
        ("localhost.evil.example", None, False),
        ("127.0.0.1.evil.example", None, False),
        ("docker.io", None, False),
    ],
)
def test_who_may_speak_without_tls(host: str, port: int | None, plain: bool) -> None:
    assert config.parse(tomllib.loads(TOML)).may_be_plain(host, port) is plain


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"mirors": {}}, "unknown setting 'mirors'"),
        ({"insecure": "x"}, "registry.insecure: must be a list"),
        ({"insecure": [1]}, "registry.insecure: must be a list"),
        ({"insecure": ["http://x"]}, "registry.insecure"),
        ({"insecure": ["10.0.0.1/8"]}, "invalid network"),
        ({"certificates": ["certs"]}, "not an absolute path"),
        ({"attempts": 0}, "from 1 to 20"),
        ({"attempts": True}, "from 1 to 20"),
        ({"mirrors": []}, "registry.mirrors: must be a table"),
        ({"mirrors": {"docker.io": "https://x"}}, "must be a list"),
        ({"mirrors": {"docker.io": ["x"]}}, "must begin with https://"),
        ({"mirrors": {"docker.io": ["https://x/?a"]}}, "cannot have a query"),
        ({"mirrors": {"docker.io": ["http://x"]}}, "without TLS"),
        ({"mirrors": {"docker.io": ["https://u@x"]}}, "user name"),
        ({"mirrors": {"a/b": ["https://x"]}}, "HOST"),
        ({"mirrors": {"docker.io": ["https://x"] * 17}}, "more than 16"),
    ],
)
def test_mistakes_are_named(table: dict[str, object], message: str) -> None:
    with pytest.raises(InvalidArgument, match=message):
        config.parse(table)


@pytest.mark.parametrize(
    ("source", "target", "allowed"),
    [
        ("https://a", "https://b", True),
        ("https://a", "http://b", False),
        ("https://a", "http://registry.lan:5000", False),
        ("http://registry.lan:5000", "http://plain.lan", True),
        ("http://registry.lan:5000", "http://b", False),
        ("https://a", "https://127.0.0.1", False),
        ("https://a", "https://localhost:8443", False),
        ("http://127.0.0.1:5000", "http://127.0.0.1:5001", True),
        ("http://127.0.0.1:5000", "https://b", True),
    ],
)
def test_where_an_answer_may_lead(source: str, target: str, allowed: bool) -> None:
    from casemate.registry import urls

    found = config.parse(tomllib.loads(TOML))
    origins = urls.parse(source, "x").origin, urls.parse(target, "x").origin
    if allowed:
        found.check_step(*origins, "a redirect")
        return
    with pytest.raises(PermissionDenied):
        found.check_step(*origins, "a redirect")


ENVIRONMENT = {
    "HTTPS_PROXY": "http://me:p%40ss@proxy.lan:3128",
    "http_proxy": "proxy.lan",
    "NO_PROXY": "internal.lan, .dot.lan,10.0.0.0/8,192.168.1.1,port.lan:8080,*.star.lan",
}


def test_proxies_come_from_the_environment() -> None:
    found = proxy.from_environment(ENVIRONMENT)
    assert found.https == Proxy("proxy.lan", 3128, "Basic bWU6cEBzcw==")
    assert found.http == Proxy("proxy.lan", 80)
    assert proxy.from_environment({}) == proxy.DIRECT


@pytest.mark.parametrize(
    ("host", "port", "proxied"),
    [
        ("example.com", 443, True),
        ("internal.lan", 443, False),
        ("a.internal.lan", 443, False),
        ("notinternal.lan", 443, True),
        ("dot.lan", 443, True),
        ("a.dot.lan", 443, False),
        ("a.star.lan", 443, False),
        ("star.lan", 443, True),
        ("10.9.8.7", 443, False),
        ("11.9.8.7", 443, True),
        ("192.168.1.1", 443, False),
        ("port.lan", 8080, False),
        ("port.lan", 443, True),
        ("localhost", 443, False),
        ("127.0.0.1", 443, False),
        ("::1", 443, False),
    ],
)
def test_who_is_reached_through_a_proxy(host: str, port: int, proxied: bool) -> None:
    found = proxy.from_environment(ENVIRONMENT)
    assert (found.serving(Origin("https", host, port)) is not None) is proxied


def test_a_star_exempts_everything() -> None:
    found = proxy.from_environment({"HTTPS_PROXY": "x", "NO_PROXY": "*"})
    assert found.serving(Origin("https", "example.com", 443)) is None


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        ("socks5://x", Unsupported),
        ("https://x", Unsupported),
        ("http://", InvalidArgument),
        ("http://a b", InvalidArgument),
        ("http://x:y", InvalidArgument),
    ],
)
def test_a_proxy_that_cannot_be_used_is_an_error(value: str, kind: type[Exception]) -> None:
    with pytest.raises(kind):
        proxy.from_environment({"HTTPS_PROXY": value})
