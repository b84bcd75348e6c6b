"""A registry in the test's own process, on loopback, that can be told to misbehave.

It keeps what it was asked in ``requests``, so that a test can prove which bytes went over the wire
and which headers went to whom.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import socket
import ssl
import threading
import uuid
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple, NoReturn, Self
from urllib.parse import parse_qs, urlsplit

OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OCI_INDEX = "application/vnd.oci.image.index.v1+json"
OCI_CONFIG = "application/vnd.oci.image.config.v1+json"
OCI_LAYER = "application/vnd.oci.image.layer.v1.tar"
TOKEN = "a-token"


def digest_of(data: bytes) -> str:
    return "sha256:" + hashlib.sha256(data).hexdigest()


class Request(NamedTuple):
    method: str
    path: str
    query: dict[str, list[str]]
    headers: dict[str, str]
    body: bytes

    @property
    def range(self) -> str | None:
        return self.headers.get("range")


@dataclass
class Misbehaviour:
    """What to do wrong; the defaults are a good registry."""

    #: Statuses (with headers) to answer the next requests with, whatever they are.
    failures: deque[tuple[int, dict[str, str]]] = field(default_factory=deque)
    #: Close the connection after so many bytes of a blob, so many times (-1: always).
    truncate_at: int = -1
    truncate_times: int = 0
    ignore_range: bool = False
    wrong_range: bool = False
    corrupt: bool = False
    extra_bytes: int = 0
    chunked: bool = False
    content_encoding: str = ""
    content_type: str = ""
    digest_header: str | None = None
    #: Wait for this before the second half of a blob of at least ``hold_from`` bytes.
    hold: threading.Event | None = None
    hold_from: int = 0
    #: "basic" or "bearer"; who may come in.
    auth: str = ""
    users: dict[str, str] = field(default_factory=dict)
    anonymous_tokens: bool = True
    #: Sent as it is instead of a proper challenge.
    challenge: str | None = None
    token_answer: bytes | None = None
    realm: str | None = None
    identity_tokens: set[str] = field(default_factory=set)
    redirect_blobs: str | None = None
    #: What PUT and PATCH do: stop reading after so many bytes, so many times.
    drop_upload_at: int = -1
    drop_upload_times: int = 0
    resumable_uploads: bool = True
    mounts: bool = True
    upload_location: str | None = None
    stored_digest: str | None = None
    page_size: int = 0


class FakeRegistry:
    """Serves until it is closed; blobs and manifests are put into its dictionaries."""

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self.wrong = Misbehaviour()
        self.blobs: dict[tuple[str, str], bytes] = {}
        self.manifests: dict[tuple[str, str], tuple[str, bytes]] = {}
        self.uploads: dict[str, bytearray] = {}
        self.requests: list[Request] = []
        self.valid_tokens = {TOKEN}
        self.errors: list[BaseException] = []
        self.error_text = "told to fail"
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.registry = self
        if tls:
            self._server.socket = tls.wrap_socket(
                self._server.socket, server_side=True, do_handshake_on_connect=False
            )
        self.scheme = "https" if tls else "http"
        self.port: int = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def url(self) -> str:
        return f"{self.scheme}://{self.host}"

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
        assert self.errors == []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def add_blob(self, repository: str, data: bytes) -> str:
        digest = digest_of(data)
        self.blobs[repository, digest] = data
        return digest

    def add_manifest(
        self, repository: str, tag: str, document: Any, media_type: str = OCI_MANIFEST
    ) -> str:
        data = document if isinstance(document, bytes) else json.dumps(document).encode()
        digest = digest_of(data)
        self.manifests[repository, digest] = self.manifests[repository, tag] = media_type, data
        return digest

    def add_image(self, repository: str, tag: str, *layers: bytes) -> str:
        """Add an image of ``layers`` and return the digest of its manifest."""
        config = b'{"architecture":"amd64","os":"linux"}'
        self.add_blob(repository, config)
        for layer in layers:
            self.add_blob(repository, layer)
        document = {
            "schemaVersion": 2,
            "mediaType": OCI_MANIFEST,
            "config": descriptor(config, OCI_CONFIG),
            "layers": [descriptor(layer, OCI_LAYER) for layer in layers],
        }
        return self.add_manifest(repository, tag, document)

    def asked(self, method: str, part: str) -> list[Request]:
        """Return the requests with ``method`` whose path contains ``part``."""
        return [r for r in list(self.requests) if r.method == method and part in r.path]


def descriptor(data: bytes, media_type: str) -> dict[str, Any]:
    return {"mediaType": media_type, "digest": digest_of(data), "size": len(data)}


class _Server(ThreadingHTTPServer):
    registry: FakeRegistry
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, request: Any, client_address: Any) -> None:
        import sys

        error = sys.exc_info()[1]
        # Clients of tests hang up as they like; everything else is a defect of this file.
        if error is not None and not isinstance(error, OSError):
            self.registry.errors.append(error)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server
    query: dict[str, list[str]]

    def log_message(self, format: str, *args: object) -> None:
        pass

    def setup(self) -> None:
        super().setup()
        self.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def dispatch(self) -> None:
        registry, wrong = self.server.registry, self.server.registry.wrong
        target = urlsplit(self.path)
        self.query = parse_qs(target.query)
        headers = {name.lower(): value for name, value in self.headers.items()}
        body = self.body(wrong)
        if body is None:
            return
        registry.requests.append(Request(self.command, target.path, self.query, headers, body))
        if wrong.failures:
            status, more = wrong.failures.popleft()
            return self.error(status, "UNKNOWN", registry.error_text, more)
        if target.path == "/token":
            return self.token(body)
        if not self.authorized():
            return self.challenge()
        for pattern, methods in _ROUTES:
            if match := pattern.fullmatch(target.path):
                if route := methods.get(self.command):
                    return route(self, *match.groups(), body)
                return self.error(405, "UNSUPPORTED", "no such method")
        return self.error(404, "NOT_FOUND", "no such path")

    do_GET = do_HEAD = do_PUT = do_POST = do_PATCH = do_DELETE = dispatch

    # What comes in.

    def body(self, wrong: Misbehaviour) -> bytes | None:
        if self.headers.get("Transfer-Encoding") == "chunked":
            found = bytearray()
            while size := int(self.rfile.readline() or self.hung_up(), 16):
                found += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
            return bytes(found)
        size = int(self.headers.get("Content-Length") or 0)
        if size > wrong.drop_upload_at >= 0 and wrong.drop_upload_times:
            wrong.drop_upload_times -= 1
            part = self.rfile.read(wrong.drop_upload_at)
            self.server.registry.requests.append(
                Request(self.command, urlsplit(self.path).path, {}, {}, part)
            )
            key = urlsplit(self.path).path.rpartition("/")[2]
            if key in self.server.registry.uploads:
                self.server.registry.uploads[key] += part
            self.close_connection = True
            self.connection.shutdown(socket.SHUT_RDWR)
            return None
        data = self.rfile.read(size)
        return data if len(data) == size else self.hung_up()

    def hung_up(self) -> NoReturn:
        raise ConnectionResetError("the client hung up")

    def authorized(self) -> bool:
        wrong, header = self.server.registry.wrong, self.headers.get("Authorization", "")
        if wrong.auth == "basic":
            return self.user(header) is not None
        if wrong.auth == "bearer":
            return header.removeprefix("Bearer ") in self.server.registry.valid_tokens
        return wrong.challenge is None

    def user(self, header: str) -> str | None:
        try:
            pair = base64.b64decode(header.removeprefix("Basic ")).decode()
        except ValueError:
            return None
        name, _, password = pair.partition(":")
        known = self.server.registry.wrong.users
        return name if name in known and known[name] == password else None

    # What goes out.

    def answer(self, status: int, data: bytes = b"", **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        if status != 204:
            self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def error(
        self, status: int, code: str, message: str, headers: dict[str, str] | None = None
    ) -> None:
        data = json.dumps({"errors": [{"code": code, "message": message}]}).encode()
        named = {name.replace("-", "_"): value for name, value in (headers or {}).items()}
        self.answer(status, data, Content_Type="application/json", **named)

    def challenge(self) -> None:
        registry = self.server.registry
        text = registry.wrong.challenge
        if text is None and registry.wrong.auth == "basic":
            text = 'Basic realm="fake"'
        elif text is None:
            match = re.fullmatch(r"/v2/(.+?)/(?:blobs|manifests|tags)/.*", self.path.split("?")[0])
            actions = "pull" if self.command in ("GET", "HEAD") else "pull,push"
            scope = f',scope="repository:{match[1]}:{actions}"' if match else ""
            realm = registry.wrong.realm or f"{registry.url}/token"
            text = f'Bearer realm="{realm}",service="fake"{scope}'
        self.error(401, "UNAUTHORIZED", "authentication required", {"WWW-Authenticate": text})

    def token(self, body: bytes) -> None:
        wrong = self.server.registry.wrong
        if self.command == "POST":
            form = parse_qs(body.decode())
            known = form.get("refresh_token", [""])[0] in wrong.identity_tokens
        else:
            header = self.headers.get("Authorization", "")
            known = self.user(header) is not None if header else wrong.anonymous_tokens
        if not known:
            return self.answer(401, b'{"details":"incorrect username or password"}')
        if wrong.token_answer is not None:
            return self.answer(200, wrong.token_answer)
        found = {"token": TOKEN, "expires_in": 300}
        if "offline_token" in self.query:
            found["refresh_token"] = "an-identity-token"
        return self.answer(200, json.dumps(found).encode())

    # Routes.

    def base(self, _: bytes) -> None:
        self.answer(200, b"{}")

    def get_manifest(self, repository: str, reference: str, _: bytes) -> None:
        registry = self.server.registry
        found = registry.manifests.get((repository, reference))
        if found is None:
            known = any(name == repository for name, _ in registry.manifests)
            code = "MANIFEST_UNKNOWN" if known else "NAME_UNKNOWN"
            return self.error(404, code, code.replace("_", " ").lower())
        media_type, data = found
        shown = registry.wrong.digest_header
        headers = {"Content_Type": registry.wrong.content_type or media_type}
        if shown != "":
            headers["Docker_Content_Digest"] = shown or digest_of(data)
        if registry.wrong.corrupt:
            data = data[:-1] + b" "
        return self.answer(200, data, **headers)

    def put_manifest(self, repository: str, reference: str, body: bytes) -> None:
        registry = self.server.registry
        digest = digest_of(body)
        kind = self.headers.get("Content-Type", "")
        registry.manifests[repository, reference] = registry.manifests[repository, digest] = (
            kind,
            body,
        )
        shown = registry.wrong.stored_digest or digest
        self.answer(
            201, Location=f"/v2/{repository}/manifests/{digest}", Docker_Content_Digest=shown
        )

    def get_tags(self, repository: str, _: bytes) -> None:
        registry = self.server.registry
        names = sorted(
            tag for name, tag in registry.manifests if name == repository and ":" not in tag
        )
        size = registry.wrong.page_size or len(names)
        start = int(self.query.get("last", ["0"])[0])
        page = names[start : start + size]
        headers = {}
        if start + size < len(names):
            headers["Link"] = f'</v2/{repository}/tags/list?last={start + size}>; rel="next"'
        data = json.dumps({"name": repository, "tags": page}).encode()
        self.answer(200, data, Content_Type="application/json", **headers)

    def get_blob(self, repository: str, digest: str, _: bytes) -> None:
        registry, wrong = self.server.registry, self.server.registry.wrong
        data = registry.blobs.get((repository, digest))
        if data is None:
            return self.error(404, "BLOB_UNKNOWN", "blob unknown to registry")
        if wrong.redirect_blobs and self.command == "GET":
            return self.answer(307, Location=wrong.redirect_blobs.format(digest=digest))
        if wrong.corrupt:
            data = bytes([data[0] ^ 1]) + data[1:]
        return self.send_blob(data + bytes(wrong.extra_bytes), wrong)

    def send_blob(self, data: bytes, wrong: Misbehaviour) -> None:
        size, start, status = len(data), 0, 200
        match = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        if match and not wrong.ignore_range:
            start, status = int(match[1]), 206
            if start >= size:
                return self.error(416, "RANGE_INVALID", "no such range")
        self.send_response(status)
        self.send_header("Content-Type", "application/octet-stream")
        if status == 206:
            shown = start + 1 if wrong.wrong_range else start
            self.send_header("Content-Range", f"bytes {shown}-{size - 1}/{size}")
        if wrong.content_encoding:
            self.send_header("Content-Encoding", wrong.content_encoding)
        if wrong.chunked:
            self.send_header("Transfer-Encoding", "chunked")
        else:
            self.send_header("Content-Length", str(size - start))
        self.end_headers()
        if self.command != "HEAD":
            self.send_bytes(data[start:], wrong)
        return None

    def send_bytes(self, data: bytes, wrong: Misbehaviour) -> None:
        if 0 <= wrong.truncate_at < len(data) and wrong.truncate_times:
            wrong.truncate_times -= 1
            self.wfile.write(data[: wrong.truncate_at])
            self.close_connection = True
            self.connection.shutdown(socket.SHUT_WR)
            return
        if wrong.chunked:
            for start in range(0, len(data), 50_000):
                part = data[start : start + 50_000]
                self.wfile.write(b"%x\r\n%b\r\n" % (len(part), part))
            self.wfile.write(b"0\r\n\r\n")
            return
        hold = wrong.hold if len(data) >= wrong.hold_from else None
        half = len(data) // 2 if hold else len(data)
        self.wfile.write(data[:half])
        if hold:
            hold.wait(30)
            self.wfile.write(data[half:])

    def begin_upload(self, repository: str, _: bytes) -> None:
        registry = self.server.registry
        if "mount" in self.query and registry.wrong.mounts:
            digest, source = self.query["mount"][0], self.query["from"][0]
            if data := registry.blobs.get((source, digest)):
                registry.blobs[repository, digest] = data
                return self.answer(201, Location=f"/v2/{repository}/blobs/{digest}")
        key = str(uuid.uuid4())
        registry.uploads[key] = bytearray()
        location = registry.wrong.upload_location or "/v2/{repository}/blobs/uploads/{key}"
        return self.answer(202, Location=location.format(repository=repository, key=key))

    def patch_upload(self, repository: str, key: str, body: bytes) -> None:
        upload = self.server.registry.uploads[key]
        if match := re.fullmatch(r"(\d+)-(\d+)", self.headers.get("Content-Range", "")):
            if int(match[1]) != len(upload):
                return self.error(416, "BLOB_UPLOAD_INVALID", "out of order")
        upload += body
        return self.answer(202, Location=self.path, Range=f"0-{max(0, len(upload) - 1)}")

    def get_upload(self, repository: str, key: str, _: bytes) -> None:
        upload = self.server.registry.uploads.get(key)
        if upload is None or not self.server.registry.wrong.resumable_uploads:
            return self.error(404, "BLOB_UPLOAD_UNKNOWN", "blob upload unknown to registry")
        return self.answer(204, Location=self.path, Range=f"0-{max(0, len(upload) - 1)}")

    def put_upload(self, repository: str, key: str, body: bytes) -> None:
        registry = self.server.registry
        data = bytes(registry.uploads.pop(key) + body)
        digest = self.query["digest"][0]
        if digest_of(data) != digest:
            return self.error(400, "DIGEST_INVALID", "provided digest did not match")
        registry.blobs[repository, digest] = data
        shown = registry.wrong.stored_digest or digest
        return self.answer(
            201, Location=f"/v2/{repository}/blobs/{digest}", Docker_Content_Digest=shown
        )

    def delete_upload(self, repository: str, key: str, _: bytes) -> None:
        self.server.registry.uploads.pop(key, None)
        self.answer(204)


_Route = Callable[..., None]
_ROUTES: list[tuple[re.Pattern[str], dict[str, _Route]]] = [
    (re.compile(r"(?:/prefix)?/v2/"), {"GET": _Handler.base}),
    (re.compile(r"(?:/prefix)?/v2/(.+)/tags/list"), {"GET": _Handler.get_tags}),
    (
        re.compile(r"(?:/prefix)?/v2/(.+)/manifests/([^/]+)"),
        {
            "GET": _Handler.get_manifest,
            "HEAD": _Handler.get_manifest,
            "PUT": _Handler.put_manifest,
        },
    ),
    (re.compile(r"(?:/prefix)?/v2/(.+)/blobs/uploads/"), {"POST": _Handler.begin_upload}),
    (
        re.compile(r"(?:/prefix)?/v2/(.+)/blobs/uploads/([^/]+)"),
        {
            "PATCH": _Handler.patch_upload,
            "GET": _Handler.get_upload,
            "PUT": _Handler.put_upload,
            "DELETE": _Handler.delete_upload,
        },
    ),
    (
        re.compile(r"(?:/prefix)?/v2/(.+)/blobs/([^/]+)"),
        {"GET": _Handler.get_blob, "HEAD": _Handler.get_blob},
    ),
]
