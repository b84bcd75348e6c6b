"""Documents: found by tag or digest, verified, refused when they pretend."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from casemate.errors import DataLoss, InvalidArgument, NotFound, Unavailable, Unsupported
from casemate.oci import platform
from casemate.oci.manifest import MAX_BYTES, Manifest
from casemate.oci.reference import Reference
from casemate.registry import manifests
from casemate.registry.client import Registry
from support.registry import (
    OCI_INDEX,
    OCI_LAYER,
    OCI_MANIFEST,
    FakeRegistry,
    descriptor,
    digest_of,
)

Name = Callable[[str], Reference]


def test_a_tag_resolves_to_descriptor_and_bytes(
    fake: FakeRegistry, client: Registry, name: Name
) -> None:
    digest = fake.add_image("team/app", "1.0", b"layer")
    found = manifests.resolve(client, name("team/app:1.0"))
    assert found.descriptor.digest == digest == digest_of(found.data)
    assert found.descriptor.media_type == OCI_MANIFEST
    assert found.descriptor.size == len(found.data)
    assert isinstance(found.document, Manifest)
    assert found.document.layers[0].digest == digest_of(b"layer")


def test_a_digest_decides_whatever_the_tag(
    fake: FakeRegistry, client: Registry, name: Name
) -> None:
    old = fake.add_image("app", "1", b"old")
    new = fake.add_image("app", "1", b"new")
    assert manifests.resolve(client, name("app:1")).descriptor.digest == new
    assert manifests.resolve(client, name(f"app:1@{old}")).descriptor.digest == old
    assert fake.asked("GET", f"manifests/{old}")


def test_other_bytes_than_the_digest_asked_for_are_refused(
    fake: FakeRegistry, client: Registry, name: Name
) -> None:
    digest = fake.add_image("app", "1", b"x")
    fake.wrong.corrupt = True
    fake.wrong.digest_header = ""
    with pytest.raises(DataLoss, match=f"instead of {digest}"):
        manifests.resolve(client, name(f"app@{digest}"))


def test_a_digest_header_that_the_bytes_belie_is_refused(
    fake: FakeRegistry, client: Registry, name: Name
) -> None:
    fake.add_image("app", "1", b"x")
    fake.wrong.digest_header = digest_of(b"something else")
    with pytest.raises(DataLoss):
        manifests.resolve(client, name("app:1"))


@pytest.mark.parametrize("header", ["sha256:../../etc", "md5:00", "sha256:" + "A" * 64])
def test_a_digest_header_outside_the_grammar_is_refused(
    fake: FakeRegistry, client: Registry, name: Name, header: str
) -> None:
    fake.add_image("app", "1", b"x")
    fake.wrong.digest_header = header
    for ask in (manifests.resolve, manifests.describe):
        with pytest.raises(InvalidArgument, match="invalid digest"):
            ask(client, name("app:1"))


def test_no_digest_header_is_no_hindrance(fake: FakeRegistry, client: Registry, name: Name) -> None:
    digest = fake.add_image("app", "1", b"x")
    fake.wrong.digest_header = ""
    assert manifests.resolve(client, name("app:1")).descriptor.digest == digest
    assert manifests.describe(client, name("app:1")).digest == digest


def test_describing_costs_a_head_request(fake: FakeRegistry, client: Registry, name: Name) -> None:
    digest = fake.add_image("app", "1", b"x")
    found = manifests.describe(client, name("app:1"))
    assert (found.digest, found.media_type) == (digest, OCI_MANIFEST)
    assert found.size == len(fake.manifests["app", "1"][1])
    assert [r.method for r in fake.asked("GET", "manifests")] == []


def index(fake: FakeRegistry, *entries: tuple[str, str]) -> dict[str, object]:
    listed = []
    for architecture, tag in entries:
        media_type, data = fake.manifests["app", tag]
        entry = descriptor(data, media_type)
        entry["platform"] = {"os": "linux", "architecture": architecture}
        listed.append(entry)
    return {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": listed}


def test_a_platform_follows_the_index(fake: FakeRegistry, client: Registry, name: Name) -> None:
    fake.add_image("app", "amd", b"amd")
    digest = fake.add_image("app", "arm", b"arm")
    whole = fake.add_manifest(
        "app", "1", index(fake, ("amd64", "amd"), ("arm64", "arm")), OCI_INDEX
    )
    assert manifests.resolve(client, name("app:1")).descriptor.digest == whole
    found = manifests.resolve(client, name("app:1"), platform.parse("linux/arm64"))
    assert found.descriptor.digest == digest


def test_a_platform_that_is_not_offered_is_not_found(
    fake: FakeRegistry, client: Registry, name: Name
) -> None:
    fake.add_image("app", "amd", b"amd")
    fake.add_manifest("app", "1", index(fake, ("amd64", "amd")), OCI_INDEX)
    with pytest.raises(NotFound, match="no matching manifest for linux/s390x"):
        manifests.resolve(client, name("app:1"), platform.parse("linux/s390x"))


def test_an_entry_of_the_wrong_size_is_refused(
    fake: FakeRegistry, client: Registry, name: Name
) -> None:
    fake.add_image("app", "amd", b"amd")
    for change in (-1, 1):
        document = index(fake, ("amd64", "amd"))
        document["manifests"][0]["size"] += change  # type: ignore[index]
        fake.add_manifest("app", "1", document, OCI_INDEX)
        with pytest.raises((DataLoss, InvalidArgument)):
            manifests.resolve(client, name("app:1"), platform.parse("linux/amd64"))


def test_an_entry_of_enormous_size_is_not_even_asked_for(
    fake: FakeRegistry, client: Registry, name: Name
) -> None:
    digest = fake.add_image("app", "amd", b"amd")
    document = index(fake, ("amd64", "amd"))
    document["manifests"][0]["size"] = 1 << 60  # type: ignore[index]
    fake.add_manifest("app", "1", document, OCI_INDEX)
    with pytest.raises(InvalidArgument, match="larger than"):
        manifests.resolve(client, name("app:1"), platform.parse("linux/amd64"))
    assert not fake.asked("GET", digest)


def test_an_ambiguous_document_is_refused(fake: FakeRegistry, client: Registry, name: Name) -> None:
    document = {"schemaVersion": 2, "config": {}, "layers": [], "manifests": []}
    for media_type in (OCI_MANIFEST, OCI_INDEX):
        fake.add_manifest("app", "1", document, media_type)
        with pytest.raises(InvalidArgument, match="ambiguous"):
            manifests.resolve(client, name("app:1"))


@pytest.mark.parametrize("served_as", [OCI_INDEX, "application/json", "text/html"])
def test_a_document_served_as_something_else_is_refused(
    fake: FakeRegistry, client: Registry, name: Name, served_as: str
) -> None:
    fake.add_image("app", "1", b"x")
    fake.wrong.content_type = served_as
    with pytest.raises(InvalidArgument, match="served as"):
        manifests.resolve(client, name("app:1"))


def test_parameters_of_the_content_type_are_ignored(
    fake: FakeRegistry, client: Registry, name: Name
) -> None:
    fake.add_image("app", "1", b"x")
    fake.wrong.content_type = OCI_MANIFEST + "; charset=utf-8"
    assert manifests.resolve(client, name("app:1")).descriptor.media_type == OCI_MANIFEST


def test_an_oversize_manifest_is_refused_unread(
    fake: FakeRegistry, client: Registry, name: Name
) -> None:
    fake.add_manifest("app", "1", b" " * (MAX_BYTES + 1))
    with pytest.raises(InvalidArgument, match="more than"):
        manifests.resolve(client, name("app:1"))


@pytest.mark.parametrize("data", [b"", b"[]", b"\xff", b"[" * 100_000, b'{"schemaVersion":1}'])
def test_nonsense_is_refused(fake: FakeRegistry, client: Registry, name: Name, data: bytes) -> None:
    fake.add_manifest("app", "1", data)
    with pytest.raises((InvalidArgument, Unsupported)):
        manifests.resolve(client, name("app:1"))


def test_an_unknown_tag_is_not_found(fake: FakeRegistry, client: Registry, name: Name) -> None:
    fake.add_image("app", "1", b"x")
    with pytest.raises(NotFound, match=r"manifest for .*/app:2 not found: manifest unknown"):
        manifests.resolve(client, name("app:2"))


def test_an_unknown_repository_is_not_found(client: Registry, name: Name) -> None:
    with pytest.raises(NotFound, match="name unknown"):
        manifests.resolve(client, name("nothing:here"))


def test_a_pushed_document_can_be_pulled(fake: FakeRegistry, client: Registry, name: Name) -> None:
    fake.add_image("app", "1", b"x")
    data = fake.manifests["app", "1"][1]
    digest = manifests.push(client, name("copy:2"), data, OCI_MANIFEST)
    assert digest == digest_of(data)
    assert fake.manifests["copy", "2"] == (OCI_MANIFEST, data)
    assert manifests.resolve(client, name("copy:2")).data == data


def test_a_document_without_tag_is_pushed_by_its_digest(
    fake: FakeRegistry, client: Registry, name: Name
) -> None:
    data = b'{"schemaVersion":2}'
    manifests.push(client, name(f"app@{digest_of(data)}"), data, OCI_INDEX)
    assert fake.asked("PUT", f"/v2/app/manifests/{digest_of(data)}")
    with pytest.raises(InvalidArgument, match="has digest"):
        manifests.push(client, name(f"app@{digest_of(b'')}"), data, OCI_INDEX)


def test_a_registry_that_stored_something_else_is_found_out(
    fake: FakeRegistry, client: Registry, name: Name
) -> None:
    fake.wrong.stored_digest = digest_of(b"something else")
    with pytest.raises(DataLoss, match="stored"):
        manifests.push(client, name("app:1"), b"{}", OCI_MANIFEST)


def test_tags_are_read_page_by_page(fake: FakeRegistry, client: Registry, name: Name) -> None:
    for number in range(5):
        fake.add_image("app", f"v{number}", b"x")
    fake.wrong.page_size = 2
    assert manifests.tags(client, name("app")) == ["v0", "v1", "v2", "v3", "v4"]
    assert len(fake.asked("GET", "tags/list")) == 3


def test_a_busy_registry_is_asked_again(fake: FakeRegistry, client: Registry, name: Name) -> None:
    fake.add_image("app", "1", b"x")
    fake.wrong.failures.extend([(503, {}), (429, {"Retry-After": "0"})])
    assert manifests.resolve(client, name("app:1"))
    assert len(fake.asked("GET", "manifests")) == 3


def test_a_registry_that_stays_busy_is_unavailable(
    fake: FakeRegistry, client: Registry, name: Name
) -> None:
    fake.wrong.failures.extend([(503, {})] * 9)
    with pytest.raises(Unavailable, match="told to fail"):
        manifests.resolve(client, name("app:1"))
    assert len(fake.asked("GET", "manifests")) == 3


def test_too_long_a_wait_is_not_waited(fake: FakeRegistry, client: Registry, name: Name) -> None:
    fake.wrong.failures.append((429, {"Retry-After": "3600"}))
    with pytest.raises(Unavailable) as caught:
        manifests.resolve(client, name("app:1"))
    assert caught.value.hint
    assert len(fake.asked("GET", "manifests")) == 1


def test_a_layer_type_is_no_manifest(fake: FakeRegistry, client: Registry, name: Name) -> None:
    fake.add_manifest("app", "1", b'{"schemaVersion":2}', OCI_LAYER)
    with pytest.raises(Unsupported):
        manifests.resolve(client, name("app:1"))
