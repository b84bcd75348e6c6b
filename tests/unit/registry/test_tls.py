"""TLS: verified against the system and the host's directory; plain HTTP only where it is listed."""

from __future__ import annotations

import shutil
import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from casemate.errors import InvalidArgument, PermissionDenied, Unavailable
from casemate.oci import reference as references
from casemate.registry import manifests
from casemate.registry.config import RegistryConfig, parse
from casemate.registry.hosts import HostSet
from casemate.registry.proxy import Proxies, Proxy
from casemate.registry.urls import Origin
from support.registry import FakeRegistry

from .conftest import QUICK, Connect

pytestmark = pytest.mark.skipif(not shutil.which("openssl"), reason="needs the program openssl")


class Authority(NamedTuple):
    """Where the certificates of the tests are."""

    root: Path

    def server(self, *, ask_client: bool = False) -> ssl.SSLContext:
        made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        made.load_cert_chain(self.root / "server.cert", self.root / "server.key")
        if ask_client:
            made.verify_mode = ssl.CERT_REQUIRED
            made.load_verify_locations(self.root / "ca.crt")
        return made

    def directory(self, parent: Path, netloc: str, *names: str) -> RegistryConfig:
        """Return settings whose certificates for ``netloc`` are the files ``names``."""
        (parent / netloc).mkdir(parents=True)
        for name in names:
            shutil.copy(self.root / name, parent / netloc / name)
        return QUICK._replace(certificates=(str(parent),))


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    root = tmp_path_factory.mktemp("authority")

    def openssl(*arguments: str) -> None:
        subprocess.run(["openssl", *arguments], cwd=root, check=True, capture_output=True)

    curve = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")
    openssl(
        "req", "-x509", *curve, "-keyout", "ca.key", "-out", "ca.crt", "-subj", "/CN=Test Root",
        "-days", "2", "-addext", "keyUsage=critical,keyCertSign",
    )  # fmt: skip
    (root / "names").write_text("subjectAltName=IP:127.0.0.1,DNS:localhost\n")
    for name in ("server", "client"):
        openssl(
            "req", *curve, "-keyout", f"{name}.key", "-out", f"{name}.csr", "-subj", f"/CN={name}"
        )
        openssl(
            "x509", "-req", "-in", f"{name}.csr", "-CA", "ca.crt", "-CAkey", "ca.key",
            "-CAcreateserial", "-out", f"{name}.cert", "-days", "2", "-extfile", "names",
        )  # fmt: skip
    return Authority(root)


@pytest.fixture
def secure(authority: Authority) -> Iterator[FakeRegistry]:
    with FakeRegistry(authority.server()) as registry:
        registry.add_image("app", "1", b"x")
        yield registry


def strangers(config: RegistryConfig, monkeypatch: pytest.MonkeyPatch) -> RegistryConfig:
    """Return ``config`` where this machine is a host like any other."""
    for module in ("config", "proxy"):
        monkeypatch.setattr(f"casemate.registry.{module}.is_loopback", lambda host: False)
    return config


def test_an_unknown_authority_is_refused(
    secure: FakeRegistry, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = connect(config=strangers(QUICK, monkeypatch))
    with pytest.raises(Unavailable, match="certificate cannot be verified") as caught:
        manifests.resolve(client, references.parse(f"{secure.host}/app:1"))
    assert caught.value.hint == (
        f"put its authority into /etc/casemate/certs.d/{secure.host}/ca.crt"
    )
    assert secure.requests == []


def test_the_authority_in_the_hosts_directory_is_believed(
    secure: FakeRegistry,
    connect: Connect,
    authority: Authority,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    config = authority.directory(tmp_path, secure.host, "ca.crt")
    client = connect(config=strangers(config, monkeypatch))
    assert manifests.resolve(client, references.parse(f"{secure.host}/app:1"))


def test_the_authority_of_another_host_is_not_believed(
    secure: FakeRegistry,
    connect: Connect,
    authority: Authority,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    config = authority.directory(tmp_path, "127.0.0.1:1", "ca.crt")
    shutil.copy(authority.root / "ca.crt", tmp_path / "ca.crt")
    client = connect(config=strangers(config, monkeypatch))
    with pytest.raises(Unavailable, match="cannot be verified"):
        manifests.resolve(client, references.parse(f"{secure.host}/app:1"))


def test_a_certificate_for_another_name_is_refused(
    secure: FakeRegistry,
    connect: Connect,
    authority: Authority,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    host = f"127.0.0.2:{secure.port}"
    config = authority.directory(tmp_path, host, "ca.crt")
    client = connect(config=strangers(config, monkeypatch))
    # The server listens on 127.0.0.1 only.
    monkeypatch.setattr(
        socket, "create_connection",
        lambda address, timeout, real=socket.create_connection: real(
            ("127.0.0.1", address[1]), timeout
        ),
    )  # fmt: skip
    with pytest.raises(Unavailable, match="cannot be verified"):
        manifests.resolve(client, references.parse(f"{host}/app:1"))


def test_a_client_certificate_is_shown(
    connect: Connect, authority: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with FakeRegistry(authority.server(ask_client=True)) as strict:
        strict.add_image("app", "1", b"x")
        names = ("ca.crt", "client.cert", "client.key")
        config = authority.directory(tmp_path, strict.host, *names)
        client = connect(config=strangers(config, monkeypatch))
        assert manifests.resolve(client, references.parse(f"{strict.host}/app:1"))
        client.close()
    with FakeRegistry(authority.server(ask_client=True)) as strict:
        config = authority.directory(tmp_path, strict.host, "ca.crt")
        client = connect(config=strangers(config, monkeypatch))
        with pytest.raises(Unavailable):
            manifests.resolve(client, references.parse(f"{strict.host}/app:1"))


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (("client.cert",), "has no key"),
        (("client.key",), "has no certificate"),
    ],
)
def test_half_a_client_certificate_is_an_error(
    secure: FakeRegistry,
    connect: Connect,
    authority: Authority,
    tmp_path: Path,
    names: tuple[str, ...],
    message: str,
) -> None:
    config = authority.directory(tmp_path, secure.host, *names)
    with pytest.raises(InvalidArgument, match=message):
        manifests.resolve(connect(config=config), references.parse(f"{secure.host}/app:1"))


def test_a_broken_authority_is_an_error(
    secure: FakeRegistry, connect: Connect, tmp_path: Path
) -> None:
    (tmp_path / secure.host).mkdir()
    (tmp_path / secure.host / "ca.crt").write_text("nonsense")
    config = QUICK._replace(certificates=(str(tmp_path),))
    with pytest.raises(InvalidArgument, match=r"cannot use .*ca\.crt"):
        manifests.resolve(connect(config=config), references.parse(f"{secure.host}/app:1"))


def test_loopback_may_have_a_certificate_that_nobody_signed(
    secure: FakeRegistry, connect: Connect
) -> None:
    assert manifests.resolve(connect(), references.parse(f"{secure.host}/app:1"))


def test_loopback_with_an_authority_of_its_own_is_verified(
    secure: FakeRegistry, connect: Connect, authority: Authority, tmp_path: Path
) -> None:
    config = authority.directory(tmp_path, secure.host, "ca.crt")
    assert manifests.resolve(connect(config=config), references.parse(f"{secure.host}/app:1"))
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", "/dev/null",
         "-out", str(tmp_path / secure.host / "ca.crt"), "-subj", "/CN=Other", "-days", "2"],
        check=True, capture_output=True,
    )  # fmt: skip
    with pytest.raises(Unavailable, match="cannot be verified"):
        manifests.resolve(connect(config=config), references.parse(f"{secure.host}/app:1"))


def test_a_host_without_tls_is_never_fallen_back_for(
    fake: FakeRegistry, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake.add_image("app", "1", b"x")
    client = connect(config=strangers(QUICK, monkeypatch))
    with pytest.raises(Unavailable) as caught:
        manifests.resolve(client, references.parse(f"{fake.host}/app:1"))
    assert "registry.insecure" in (caught.value.hint or "")
    assert fake.requests == []


def test_a_host_that_refuses_tls_is_never_fallen_back_for(
    connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A peer that resets the handshake must not see a plain request afterwards."""
    listener = socket.create_server(("127.0.0.1", 0))
    first_bytes: list[bytes] = []

    def refuse() -> None:
        while True:
            try:
                connection = listener.accept()[0]
            except OSError:
                return
            first_bytes.append(connection.recv(1))
            connection.close()

    thread = threading.Thread(target=refuse)
    thread.start()
    try:
        client = connect(config=strangers(QUICK, monkeypatch))
        host = f"127.0.0.1:{listener.getsockname()[1]}"
        with pytest.raises(Unavailable):
            manifests.resolve(client, references.parse(f"{host}/app:1"))
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join()
    # 0x16 begins a TLS handshake record.
    assert set(first_bytes) == {b"\x16"}


def test_a_listed_host_may_be_without_tls(
    fake: FakeRegistry, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake.add_image("app", "1", b"x")
    config = QUICK._replace(insecure=HostSet(frozenset({fake.host})))
    client = connect(config=strangers(config, monkeypatch))
    assert manifests.resolve(client, references.parse(f"{fake.host}/app:1"))


def test_a_listed_host_may_have_a_certificate_that_nobody_signed(
    secure: FakeRegistry, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = QUICK._replace(insecure=parse({"insecure": ["127.0.0.0/8"]}).insecure)
    client = connect(config=strangers(config, monkeypatch))
    assert manifests.resolve(client, references.parse(f"{secure.host}/app:1"))


def test_a_redirect_from_tls_to_plain_is_refused(
    secure: FakeRegistry, fake: FakeRegistry, connect: Connect
) -> None:
    from casemate.oci.descriptor import Descriptor
    from casemate.oci.digest import Digest
    from casemate.registry import blobs

    blob = Descriptor("x", Digest(secure.add_blob("app", b"x")), 1)
    secure.wrong.redirect_blobs = f"{fake.url}/v2/app/blobs/{{digest}}"
    with pytest.raises(PermissionDenied, match="without TLS"):
        list(blobs.fetch(connect(), references.parse(f"{secure.host}/app"), blob))
    assert fake.requests == []


def test_an_upload_through_tls_arrives(
    secure: FakeRegistry, connect: Connect, tmp_path: Path
) -> None:
    from casemate.oci.descriptor import Descriptor
    from casemate.oci.digest import Digest
    from casemate.registry import uploads
    from support.registry import digest_of

    data = bytes(range(256)) * 4000
    (tmp_path / "blob").write_bytes(data)
    blob = Descriptor("x", Digest(digest_of(data)), len(data))
    with open(tmp_path / "blob", "rb") as file:
        uploads.push_blob(connect(), references.parse(f"{secure.host}/app"), blob, file)
    assert secure.blobs["app", blob.digest] == data


def test_an_abort_ends_a_read_in_tls(secure: FakeRegistry, connect: Connect) -> None:
    from casemate.errors import Aborted
    from casemate.oci.descriptor import Descriptor
    from casemate.oci.digest import Digest
    from casemate.registry import blobs

    data = bytes(range(256)) * 8000
    blob = Descriptor("x", Digest(secure.add_blob("app", data)), len(data))
    secure.wrong.hold = threading.Event()
    client = connect()
    pieces = blobs.fetch(client, references.parse(f"{secure.host}/app"), blob)
    found = bytes(next(pieces))
    ended: list[BaseException] = []

    def run() -> None:
        nonlocal found
        try:
            for piece in pieces:
                found += piece
        except Aborted as error:
            ended.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    client.abort()
    thread.join(5)
    secure.wrong.hold.set()
    assert ended
    # Nothing that was not decrypted has been handed out as content.
    assert data.startswith(found)


class ProxyServer(threading.Thread):
    """Answers CONNECT by joining the two connections; notes what it was told."""

    def __init__(self, answer: bytes = b"HTTP/1.1 200 OK\r\n\r\n") -> None:
        super().__init__()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._answer = answer
        self.heads: list[bytes] = []
        self.port: int = self._listener.getsockname()[1]

    def run(self) -> None:
        while True:
            try:
                client = self._listener.accept()[0]
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,)).start()

    def _serve(self, client: socket.socket) -> None:
        with client:
            head = b""
            while not head.endswith(b"\r\n\r\n"):
                piece = client.recv(1)
                if not piece:
                    return
                head += piece
            self.heads.append(head)
            client.sendall(self._answer)
            if not head.startswith(b"CONNECT") or b" 200 " not in self._answer:
                return
            host, _, port = head.split()[1].decode().rpartition(":")
            with socket.create_connection((host, int(port))) as server:
                back = threading.Thread(target=_pump, args=(server, client))
                back.start()
                _pump(client, server)
                back.join()

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.join()


def _pump(source: socket.socket, target: socket.socket) -> None:
    try:
        while piece := source.recv(65536):
            target.sendall(piece)
        target.shutdown(socket.SHUT_WR)
    except OSError:
        pass


def proxied(config: RegistryConfig, port: int) -> RegistryConfig:
    proxy = Proxy("127.0.0.1", port, "Basic eDp5")
    return config._replace(proxies=Proxies(proxy, proxy))


def test_tls_goes_through_the_proxy_unread(
    secure: FakeRegistry,
    connect: Connect,
    authority: Authority,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    proxy = ProxyServer()
    proxy.start()
    config = authority.directory(tmp_path, secure.host, "ca.crt")
    client = connect(config=proxied(strangers(config, monkeypatch), proxy.port))
    assert manifests.resolve(client, references.parse(f"{secure.host}/app:1"))
    client.close()
    proxy.close()
    (head,) = proxy.heads
    assert head.startswith(f"CONNECT {secure.host} HTTP/1.1\r\n".encode())
    assert b"Proxy-Authorization: Basic eDp5\r\n" in head
    assert "proxy-authorization" not in secure.requests[0].headers


def test_plain_requests_name_their_host_to_the_proxy(
    fake: FakeRegistry, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    body = b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
    proxy = ProxyServer(body)
    proxy.start()
    config = QUICK._replace(insecure=HostSet(frozenset({"registry.lan"})))
    client = connect(config=proxied(strangers(config, monkeypatch), proxy.port))
    with pytest.raises(Exception, match="not found"):
        manifests.resolve(client, references.parse("registry.lan/app:1"))
    proxy.close()
    assert proxy.heads[-1].startswith(b"GET http://registry.lan/v2/app/manifests/1 HTTP/1.1\r\n")
    assert b"Proxy-Authorization: Basic eDp5" in proxy.heads[-1]


@pytest.mark.parametrize(
    "answer", [b"HTTP/1.1 407 No\r\n\r\n", b"nonsense\r\n\r\n", b"", b"x" * 20_000]
)
def test_a_proxy_that_refuses_is_named(
    connect: Connect, monkeypatch: pytest.MonkeyPatch, answer: bytes
) -> None:
    proxy = ProxyServer(answer)
    proxy.start()
    client = connect(config=proxied(strangers(QUICK, monkeypatch), proxy.port))
    with pytest.raises(Unavailable, match=r"the proxy 127\.0\.0\.1"):
        manifests.resolve(client, references.parse("registry.example/app:1"))
    proxy.close()


def test_a_host_that_must_speak_tls_is_not_probed() -> None:
    from casemate.registry.dial import Dialer

    found = Dialer(QUICK).find_scheme("registry.invalid", None)
    assert found == Origin("https", "registry.invalid", 443)
