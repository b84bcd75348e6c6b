"""Mirrors: asked first, believed only by digest, told nothing, and left when they fail."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest

from casemate.content.store import ContentStore
from casemate.errors import DataLoss, NotFound
from casemate.oci.descriptor import Descriptor
from casemate.oci.digest import Digest
from casemate.oci.reference import Reference
from casemate.registry import blobs, config, manifests
from casemate.registry.config import RegistryConfig
from casemate.registry.credentials import Credentials, FixedKeychain
from casemate.registry.download import download
from support.registry import OCI_LAYER, FakeRegistry

from .conftest import QUICK, Connect

Name = Callable[[str], Reference]
DATA = random.Random(4).randbytes(500_000)


def mirrored(host: str, *urls: str) -> RegistryConfig:
    return QUICK._replace(mirrors=config.parse({"mirrors": {host: list(urls)}}).mirrors)


@pytest.fixture
def blob(fake: FakeRegistry) -> Descriptor:
    return Descriptor(OCI_LAYER, Digest(fake.add_blob("app", DATA)), len(DATA))


@pytest.mark.parametrize("any_host", [True, False])
def test_a_mirror_is_asked_first_and_told_which_host_is_meant(
    fake: FakeRegistry, other: FakeRegistry, connect: Connect, name: Name, any_host: bool
) -> None:
    digest = other.add_image("app", "1", b"x")
    client = connect(config=mirrored("*" if any_host else fake.host, other.url))
    assert manifests.resolve(client, name("app:1")).descriptor.digest == digest
    assert fake.requests == []
    assert other.requests[0].query["ns"] == [fake.host]


def test_a_mirror_may_live_below_a_path(
    fake: FakeRegistry, other: FakeRegistry, connect: Connect, name: Name
) -> None:
    other.add_image("app", "1", b"x")
    client = connect(config=mirrored("*", f"{other.url}/prefix/"))
    manifests.resolve(client, name("app:1"))
    assert other.requests[0].path == "/prefix/v2/app/manifests/1"


def test_what_a_mirror_has_not_comes_from_the_host_itself(
    fake: FakeRegistry, other: FakeRegistry, connect: Connect, name: Name, blob: Descriptor
) -> None:
    fake.add_image("app", "1", b"x")
    other.add_image("app", "2", b"y")
    client = connect(config=mirrored(fake.host, other.url))
    assert manifests.resolve(client, name("app:1"))
    assert b"".join(map(bytes, blobs.fetch(client, name("app:1"), blob))) == DATA
    # It was asked both times: a mirror that answers "not found" is not down.
    assert len(other.requests) == 2


def test_a_mirror_of_another_host_is_not_asked(
    fake: FakeRegistry, other: FakeRegistry, connect: Connect, name: Name
) -> None:
    fake.add_image("app", "1", b"x")
    manifests.resolve(connect(config=mirrored("docker.io", other.url)), name("app:1"))
    assert other.requests == []


def test_a_host_of_its_own_entry_has_no_part_in_the_common_one(
    fake: FakeRegistry, other: FakeRegistry, connect: Connect, name: Name
) -> None:
    fake.add_image("app", "1", b"x")
    table = {"mirrors": {"*": [other.url], fake.host: []}}
    client = connect(config=QUICK._replace(mirrors=config.parse(table).mirrors))
    manifests.resolve(client, name("app:1"))
    assert other.requests == []


def test_a_mirror_that_is_down_is_asked_once(
    fake: FakeRegistry, connect: Connect, name: Name, blob: Descriptor
) -> None:
    with FakeRegistry() as gone:
        url = gone.url
    fake.add_image("app", "1", b"x")
    client = connect(config=mirrored(fake.host, url))
    manifests.resolve(client, name("app:1"))
    assert [session.is_mirror for session in client.sources(fake.host)] == [False]
    assert b"".join(map(bytes, blobs.fetch(client, name("app:1"), blob))) == DATA


def test_a_mirror_gets_none_of_the_hosts_credentials(
    fake: FakeRegistry, other: FakeRegistry, connect: Connect, name: Name
) -> None:
    fake.add_image("app", "1", b"x")
    other.add_image("app", "1", b"x")
    for scheme in ("basic", "bearer"):
        other.wrong.auth = fake.wrong.auth = scheme
        other.wrong.anonymous_tokens = False
        fake.wrong.users = {"me": "secret"}
        keychain = FixedKeychain({fake.host: Credentials("me", "secret")})
        manifests.resolve(connect(keychain, mirrored(fake.host, other.url)), name("app:1"))
    assert other.requests
    assert not any("authorization" in request.headers for request in other.requests)
    assert any("authorization" in request.headers for request in fake.requests)


def test_a_mirror_that_asks_for_the_hosts_token_gets_none(
    fake: FakeRegistry, other: FakeRegistry, connect: Connect, name: Name
) -> None:
    fake.add_image("app", "1", b"x")
    fake.wrong.auth, fake.wrong.users = "bearer", {"me": "secret"}
    other.wrong.challenge = f'Bearer realm="{fake.url}/token",service="fake"'
    keychain = FixedKeychain({fake.host: Credentials("me", "secret")})
    manifests.resolve(connect(keychain, mirrored(fake.host, other.url)), name("app:1"))
    tokens = fake.asked("GET", "/token")
    # The mirror's token was asked for without a name, the host's own with it.
    assert ["authorization" in request.headers for request in tokens] == [False, True]


def test_a_lying_mirror_is_passed_over_for_documents(
    fake: FakeRegistry, other: FakeRegistry, connect: Connect, name: Name
) -> None:
    digest = fake.add_image("app", "1", b"x")
    other.manifests["app", digest] = fake.manifests["app", "1"][0], b'{"schemaVersion":2}'
    other.wrong.digest_header = ""
    client = connect(config=mirrored(fake.host, other.url))
    found = manifests.resolve(client, name(f"app@{digest}"))
    assert found.data == fake.manifests["app", "1"][1]


def test_wrong_bytes_of_a_mirror_are_replaced_by_the_hosts(
    fake: FakeRegistry,
    other: FakeRegistry,
    connect: Connect,
    name: Name,
    blob: Descriptor,
    store: ContentStore,
) -> None:
    other.add_blob("app", DATA)
    other.wrong.corrupt = True
    client = connect(config=mirrored(fake.host, other.url))
    with store.lease() as lease:
        download(client, name("app"), blob, store, lease)
    assert store.verify(blob.digest) == len(DATA)
    assert len(other.requests) == 1
    assert fake.asked("GET", "/blobs/")[0].range is None


def test_a_mirror_that_breaks_off_is_continued_by_the_host(
    fake: FakeRegistry, other: FakeRegistry, connect: Connect, name: Name, blob: Descriptor
) -> None:
    other.add_blob("app", DATA)
    other.wrong.truncate_at, other.wrong.truncate_times = 100_000, -1
    client = connect(config=mirrored(fake.host, other.url))
    assert b"".join(map(bytes, blobs.fetch(client, name("app"), blob))) == DATA
    assert fake.asked("GET", "/blobs/")[0].range == "bytes=200000-499999"


def test_a_mirror_of_another_length_is_passed_over(
    fake: FakeRegistry, other: FakeRegistry, connect: Connect, name: Name, blob: Descriptor
) -> None:
    other.blobs["app", blob.digest] = DATA + b"!"
    client = connect(config=mirrored(fake.host, other.url))
    assert b"".join(map(bytes, blobs.fetch(client, name("app"), blob))) == DATA


def test_the_error_is_that_of_the_host_itself(
    fake: FakeRegistry, other: FakeRegistry, connect: Connect, name: Name, blob: Descriptor
) -> None:
    fake.wrong.corrupt = True
    other.wrong.failures.extend([(500, {})] * 9)
    client = connect(config=mirrored(fake.host, other.url))
    with pytest.raises(NotFound):
        manifests.resolve(client, name("nothing:1"))
    with pytest.raises(DataLoss):
        fake.add_image("app", "1", b"x")
        manifests.resolve(client, name("app:1"))
