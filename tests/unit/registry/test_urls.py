"""URLs: parsed once, strictly, and shown without what may be secret."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from casemate.errors import InvalidArgument
from casemate.registry import urls
from casemate.registry.urls import Origin, Url


@pytest.mark.parametrize(
    ("text", "origin", "target"),
    [
        ("https://example.com", ("https", "example.com", 443), "/"),
        ("http://Example.COM:80/a?b=c#d", ("http", "example.com", 80), "/a?b=c"),
        ("https://[::1]:5000/v2/", ("https", "::1", 5000), "/v2/"),
        ("https://my_host.lan./x", ("https", "my_host.lan.", 443), "/x"),
    ],
)
def test_urls_are_taken_apart(text: str, origin: tuple[str, str, int], target: str) -> None:
    assert urls.parse(text, "x") == Url(Origin(*origin), target)


@pytest.mark.parametrize(
    "text",
    ["", "example.com", "ftp://x/", "https://", "https://a b/", "https://u:p@x/", "https://@x/",
     "https://x:y/", "https://x:70000/", "https://x/\r\nHost: y", "https://x/\x00", "https://ä/",
     "https://..", "https://-x/", "https://[::1", "https://[v1.x]/", "https://x/" + "a" * 9000,
     "https://x\\@y/"],
)  # fmt: skip
def test_what_is_no_url_is_refused(text: str) -> None:
    with pytest.raises(InvalidArgument):
        urls.parse(text, "the realm")


@settings(deadline=None)
@given(st.text(max_size=100) | st.text("htps:/.[]@?#%\\ab1", max_size=40))
def test_any_text_is_a_safe_url_or_refused(text: str) -> None:
    try:
        found = urls.parse(text, "x")
    except InvalidArgument:
        return
    assert found.origin.scheme in ("http", "https")
    assert found.target.startswith("/")
    assert "/" not in found.origin.netloc
    assert not set(found.target + found.origin.netloc) & set(" \r\n\t\0@"[:5])
    assert urls.parse(f"{found.origin}{found.target}", "x") == found


def test_a_query_is_added_to_what_is_there() -> None:
    url = urls.parse("https://x/upload?state=a%2Fb", "x")
    assert url.with_query([("digest", "sha256:ab")]).target == (
        "/upload?state=a%2Fb&digest=sha256:ab"
    )
    assert url.with_query([]) is url
    assert urls.parse("https://x/", "x").with_query([("a", "b c&d")]).target == "/?a=b+c%26d"


def test_a_location_is_joined() -> None:
    base = urls.parse("https://x:5000/v2/a/blobs/uploads/?mount=b", "x")
    assert urls.join(base, "/v2/c?d=e", "x").target == "/v2/c?d=e"
    assert urls.join(base, "https://y/z", "x").origin.host == "y"
    assert urls.join(base, "../f", "x").target == "/v2/a/blobs/f"
    for evil in ("", "javascript:1", "https://a@b/", "/a b", "http://[x"):
        with pytest.raises(InvalidArgument):
            urls.join(base, evil, "x")


def test_a_query_is_not_shown() -> None:
    assert str(urls.parse("https://x/a?X-Amz-Signature=secret", "x")) == "https://x/a?…"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("localhost", ("localhost", None)),
        ("localhost:5000", ("localhost", 5000)),
        ("x:443", ("x", 443)),
        ("[::1]", ("::1", None)),
        ("[::1]:5000", ("::1", 5000)),
    ],
)
def test_hosts_are_split(text: str, expected: tuple[str, int | None]) -> None:
    assert urls.split_host(text, "x") == expected


@pytest.mark.parametrize("text", ["", "x/y", "x?y", "x:", "x#y", "u@x", "x:1:2", "a b"])
def test_what_is_no_host_is_refused(text: str) -> None:
    with pytest.raises(InvalidArgument):
        urls.split_host(text, "x")
