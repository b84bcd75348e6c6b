"""Pushing blobs: spared where it can be, continued where it may be, begun anew otherwise."""

from __future__ import annotations

import io
import os
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

import pytest

from casemate.errors import DataLoss, Error, InvalidArgument, PermissionDenied, Unavailable
from casemate.oci.descriptor import Descriptor
from casemate.oci.digest import Digest
from casemate.oci.reference import Reference
from casemate.registry import uploads
from casemate.registry.client import Registry
from support.registry import OCI_LAYER, FakeRegistry, digest_of

Name = Callable[[str], Reference]
DATA = random.Random(5).randbytes(4_000_000)
BLOB = Descriptor(OCI_LAYER, Digest(digest_of(DATA)), len(DATA))


@pytest.fixture
def file(tmp_path: Path) -> Iterator[BinaryIO]:
    (tmp_path / "blob").write_bytes(DATA)
    with open(tmp_path / "blob", "rb") as opened:
        yield opened


def methods(fake: FakeRegistry) -> list[str]:
    return [request.method for request in fake.requests]


def test_a_blob_is_uploaded_in_one_request(
    fake: FakeRegistry, client: Registry, name: Name, file: BinaryIO
) -> None:
    seen: list[tuple[str, int, int]] = []
    outcome = uploads.push_blob(client, name("app"), BLOB, file, progress=lambda *a: seen.append(a))
    assert outcome == "uploaded"
    assert fake.blobs["app", BLOB.digest] == DATA
    assert methods(fake) == ["HEAD", "POST", "PUT"]
    assert seen[-1] == (BLOB.digest, len(DATA), len(DATA))


def test_a_blob_that_is_there_is_not_sent(
    fake: FakeRegistry, client: Registry, name: Name, file: BinaryIO
) -> None:
    fake.add_blob("app", DATA)
    assert uploads.push_blob(client, name("app"), BLOB, file) == "exists"
    assert methods(fake) == ["HEAD"]


def test_a_blob_can_be_asked_for_without_its_bytes(
    fake: FakeRegistry, client: Registry, name: Name
) -> None:
    assert not uploads.exists(client, name("app"), BLOB)
    fake.add_blob("app", DATA)
    assert uploads.exists(client, name("app"), BLOB)
    assert not uploads.exists(client, name("app"), Descriptor(OCI_LAYER, BLOB.digest, 1))
    fake.wrong.failures.append((403, {}))
    with pytest.raises(Error, match="push access denied"):
        uploads.exists(client, name("app"), BLOB)


def test_a_neighbours_blob_is_mounted(
    fake: FakeRegistry, client: Registry, name: Name, file: BinaryIO
) -> None:
    fake.add_blob("base", DATA)
    outcome = uploads.push_blob(client, name("app"), BLOB, file, mount_from="base")
    assert outcome == "mounted"
    assert fake.blobs["app", BLOB.digest] == DATA
    assert methods(fake) == ["HEAD", "POST"]
    assert fake.requests[1].query == {"mount": [BLOB.digest], "from": ["base"]}


@pytest.mark.parametrize("mounts", [True, False])
def test_what_cannot_be_mounted_is_uploaded(
    fake: FakeRegistry, client: Registry, name: Name, file: BinaryIO, mounts: bool
) -> None:
    fake.wrong.mounts = mounts
    assert uploads.push_blob(client, name("app"), BLOB, file, mount_from="base") == "uploaded"
    assert methods(fake) == ["HEAD", "POST", "PUT"]


def test_a_broken_upload_is_continued_where_the_registry_says(
    fake: FakeRegistry, client: Registry, name: Name, file: BinaryIO
) -> None:
    fake.wrong.drop_upload_at, fake.wrong.drop_upload_times = 1_500_000, 1
    assert uploads.push_blob(client, name("app"), BLOB, file) == "uploaded"
    assert fake.blobs["app", BLOB.digest] == DATA
    assert methods(fake) == ["HEAD", "POST", "PUT", "GET", "PATCH", "PUT"]
    assert fake.requests[4].headers["content-range"] == "1500000-3999999"
    assert [len(r.body) for r in fake.requests[4:]] == [2_500_000, 0]


def test_a_broken_upload_is_begun_anew_where_the_registry_has_forgotten(
    fake: FakeRegistry, client: Registry, name: Name, file: BinaryIO
) -> None:
    fake.wrong.drop_upload_at, fake.wrong.drop_upload_times = 1_500_000, 1
    fake.wrong.resumable_uploads = False
    assert uploads.push_blob(client, name("app"), BLOB, file) == "uploaded"
    assert methods(fake) == ["HEAD", "POST", "PUT", "GET", "POST", "PUT"]
    assert fake.blobs["app", BLOB.digest] == DATA


def test_an_upload_that_always_breaks_is_given_up(
    fake: FakeRegistry, client: Registry, name: Name, file: BinaryIO
) -> None:
    fake.wrong.drop_upload_at, fake.wrong.drop_upload_times = 0, -1
    with pytest.raises(Unavailable):
        uploads.push_blob(client, name("app"), BLOB, file)
    assert methods(fake).count("PUT") == 3


def test_a_file_of_another_size_is_refused_unasked(
    fake: FakeRegistry, client: Registry, name: Name, tmp_path: Path
) -> None:
    (tmp_path / "short").write_bytes(DATA[:-1])
    with open(tmp_path / "short", "rb") as file, pytest.raises(DataLoss, match="3999999 bytes"):
        uploads.push_blob(client, name("app"), BLOB, file)
    assert fake.requests == []


def test_a_file_that_shrinks_is_an_error_and_the_upload_is_cancelled(
    fake: FakeRegistry, client: Registry, name: Name, tmp_path: Path
) -> None:
    (tmp_path / "short").write_bytes(DATA)

    def shrink(digest: str, done: int, total: int) -> None:
        os.truncate(tmp_path / "short", 3_999_999)

    with open(tmp_path / "short", "rb") as file, pytest.raises(DataLoss, match="ends at 3999999"):
        uploads.push_blob(client, name("app"), BLOB, file, progress=shrink)
    assert fake.blobs == {}
    assert fake.uploads == {}


def test_bytes_that_are_not_the_digests_are_refused_by_the_registry(
    fake: FakeRegistry, client: Registry, name: Name, tmp_path: Path
) -> None:
    (tmp_path / "other").write_bytes(bytes(len(DATA)))
    with open(tmp_path / "other", "rb") as file, pytest.raises(InvalidArgument, match="digest"):
        uploads.push_blob(client, name("app"), BLOB, file)


def test_a_registry_that_stored_something_else_is_found_out(
    fake: FakeRegistry, client: Registry, name: Name, file: BinaryIO
) -> None:
    fake.wrong.stored_digest = digest_of(b"?")
    with pytest.raises(DataLoss, match="stored blob"):
        uploads.push_blob(client, name("app"), BLOB, file)


def test_an_empty_blob_can_be_pushed(
    fake: FakeRegistry, client: Registry, name: Name, tmp_path: Path
) -> None:
    (tmp_path / "empty").write_bytes(b"")
    blob = Descriptor(OCI_LAYER, Digest(digest_of(b"")), 0)
    with open(tmp_path / "empty", "rb") as file:
        assert uploads.push_blob(client, name("app"), blob, file) == "uploaded"
    assert fake.blobs["app", blob.digest] == b""


def test_a_location_elsewhere_gets_the_bytes_and_no_credentials(
    fake: FakeRegistry, other: FakeRegistry, connect: object, name: Name, file: BinaryIO
) -> None:
    from casemate.registry.credentials import Credentials, FixedKeychain

    fake.wrong.auth, fake.wrong.users = "basic", {"me": "secret"}
    other.uploads["storage"] = bytearray()
    fake.wrong.upload_location = f"{other.url}/v2/x/blobs/uploads/storage?signature=1"
    keychain = FixedKeychain({fake.host: Credentials("me", "secret")})
    uploads.push_blob(connect(keychain), name("app"), BLOB, file)  # type: ignore[operator]
    assert other.blobs["x", BLOB.digest] == DATA
    assert other.requests[-1].query["signature"] == ["1"]
    assert "authorization" not in other.requests[-1].headers


@pytest.mark.parametrize("location", ["http://evil.example/x", "ftp://x/", "http://a@127.0.0.1/"])
def test_a_location_where_nobody_should_go_gets_nothing(
    fake: FakeRegistry, client: Registry, name: Name, file: BinaryIO, location: str
) -> None:
    fake.wrong.upload_location = location
    with pytest.raises((PermissionDenied, InvalidArgument)):
        uploads.push_blob(client, name("app"), BLOB, file)


def test_a_stream_is_pushed_and_its_digest_told(
    fake: FakeRegistry, client: Registry, name: Name
) -> None:
    pieces = (DATA[start : start + 333_333] for start in range(0, len(DATA), 333_333))
    found = uploads.push_stream(client, name("app"), pieces)
    assert found == (BLOB.digest, len(DATA))
    assert fake.blobs["app", BLOB.digest] == DATA
    assert methods(fake) == ["POST", "PATCH", "PUT"]
    assert fake.requests[1].headers["transfer-encoding"] == "chunked"


def test_a_stream_that_fails_is_cancelled(fake: FakeRegistry, client: Registry, name: Name) -> None:
    def pieces() -> Iterator[bytes]:
        yield b"x"
        raise RuntimeError("no more")

    with pytest.raises(RuntimeError):
        uploads.push_stream(client, name("app"), pieces())
    assert fake.uploads == {}
    assert methods(fake)[-1] == "DELETE"


def test_a_stream_whose_connection_breaks_is_unavailable(
    fake: FakeRegistry, client: Registry, name: Name
) -> None:
    fake.wrong.failures.extend([(202, {"Location": "/v2/app/blobs/uploads/x"}), (500, {})])
    with pytest.raises(Error):
        uploads.push_stream(client, name("app"), io.BytesIO(DATA))


def test_a_refused_push_says_so(
    fake: FakeRegistry, client: Registry, name: Name, file: BinaryIO
) -> None:
    fake.wrong.failures.extend([(404, {}), (403, {})])
    with pytest.raises(Error, match="push access denied for"):
        uploads.push_blob(client, name("app"), BLOB, file)
