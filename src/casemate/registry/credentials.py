"""Who we are to which registry: from a request's header, or from Docker's config.json.

Credentials are bound to the host they are for. Source: docker/cli config file format; Docker Engine
API, section Authentication.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from types import MappingProxyType
from typing import Protocol, TypeVar

import msgspec

from casemate.errors import InvalidArgument, Unauthenticated, from_os
from casemate.oci.reference import DEFAULT_DOMAIN
from casemate.registry.credential_helper import Helper, HelperPlace

T = TypeVar("T")

#: How Docker Hub is named where credentials are kept.
HUB_KEY = "https://index.docker.io/v1/"
_HUB_HOSTS = frozenset({"docker.io", "index.docker.io", "registry-1.docker.io"})
_MAX_HEADER = 64 << 10
_MAX_FILE = 1 << 20


class Credentials(msgspec.Struct, frozen=True):
    """One way to be recognised. An identity token is a refresh token for the token service, a
    registry token is the bearer token itself."""

    username: str = ""
    password: str = ""
    identity_token: str = ""
    registry_token: str = ""

    def __repr__(self) -> str:
        return f"Credentials({self.username!r}, …)"

    def __bool__(self) -> bool:
        return bool(self.username or self.identity_token or self.registry_token)


class Keychain(Protocol):
    """Finds the credentials for a host."""

    def find(self, host: str) -> Credentials | None:
        """Return the credentials for ``host[:port]``, a reference's domain; None if there are none.

        Raises Unauthenticated when they exist and cannot be had.
        """


class FixedKeychain:
    """Credentials that are at hand, by host."""

    def __init__(self, by_host: Mapping[str, Credentials] = MappingProxyType({})) -> None:
        self._by_host = {host_of(key): value for key, value in by_host.items() if value}

    def find(self, host: str) -> Credentials | None:
        """Return the credentials for ``host``."""
        return self._by_host.get(host_of(host))


#: For those who have no credentials.
ANONYMOUS = FixedKeychain()


class _AuthConfig(msgspec.Struct, frozen=True):
    auth: str = ""
    username: str = ""
    password: str = ""
    identitytoken: str = ""
    registrytoken: str = ""

    def credentials(self, what: str) -> Credentials:
        username, password = self.username, self.password
        if self.auth:
            raw = _decoded(self.auth, what)
            username, colon, password = raw.partition(":")
            if not colon:
                raise InvalidArgument(f"{what}: 'auth' is not the base64 of USER:PASSWORD")
            # Docker pads with NUL what was encoded by its oldest versions.
            password = password.rstrip("\0")
        return Credentials(username, password, self.identitytoken, self.registrytoken)


class _DockerConfig(msgspec.Struct, frozen=True, rename="camel"):
    auths: dict[str, _AuthConfig] = {}
    cred_helpers: dict[str, str] = {}
    creds_store: str = ""


def from_header(header: str, domain: str) -> FixedKeychain:
    """Read X-Registry-Auth: credentials for the registry ``domain`` that the request is about."""
    what = "X-Registry-Auth"
    found = _convert(_decoded_json(header, what), dict[str, object], what)
    present = {key: value for key, value in found.items() if value is not None}
    entry = _convert(msgspec.json.encode(present), _AuthConfig, what)
    return FixedKeychain({domain: entry.credentials(what)})


def from_build_header(header: str) -> FixedKeychain:
    """Read X-Registry-Config: credentials by host, for the base images of a build."""
    what = "X-Registry-Config"
    found = _convert(_decoded_json(header, what), dict[str, _AuthConfig], what)
    return FixedKeychain({host: entry.credentials(what) for host, entry in found.items()})


class DockerKeychain:
    """The credentials that ``docker login`` keeps in, or by, the file config.json at ``path``."""

    def __init__(self, path: str, helpers: HelperPlace) -> None:
        """Read ``path``; a missing file holds no credentials. Raises InvalidArgument."""
        self._path = path
        self._helpers = helpers
        try:
            with open(path, "rb") as file:
                data = file.read(_MAX_FILE + 1)
        except FileNotFoundError:
            data = b"{}"
        except OSError as error:
            raise from_os(error, "cannot read docker's config.json") from error
        if len(data) > _MAX_FILE:
            raise InvalidArgument(f"{path}: larger than {_MAX_FILE} bytes")
        self._config = _convert(data, _DockerConfig, path)

    def find(self, host: str) -> Credentials | None:
        """Ask the host's helper, else the common store, else the file itself."""
        key = HUB_KEY if host == DEFAULT_DOMAIN else host
        name = self._config.cred_helpers.get(key) or self._config.cred_helpers.get(host)
        if name := name or self._config.creds_store:
            return self._ask(name, key)
        for candidate in (key, host):
            if entry := self._config.auths.get(candidate):
                return entry.credentials(self._path) or None
        for candidate, entry in self._config.auths.items():
            if host_of(candidate) == host_of(host):
                return entry.credentials(self._path) or None
        return None

    def _ask(self, name: str, key: str) -> Credentials | None:
        answer = Helper(name, self._helpers).get(key)
        if answer is None or not answer.secret:
            return None
        if answer.username == "<token>":
            return Credentials(identity_token=answer.secret)
        if not answer.username:
            raise Unauthenticated(f"credential helper {name!r} gave no user name for {key}")
        return Credentials(answer.username, answer.secret)


def host_of(key: str) -> str:
    """Return the host of a key, which may be a whole URL, as old versions kept it."""
    host = key.partition("://")[2] or key
    host = host.partition("/")[0].lower()
    return DEFAULT_DOMAIN if host in _HUB_HOSTS else host


def _decoded(text: str, what: str) -> str:
    plain = text.strip().replace("-", "+").replace("_", "/").rstrip("=")
    try:
        return base64.b64decode(plain + "=" * (-len(plain) % 4), validate=True).decode()
    except (binascii.Error, UnicodeDecodeError, ValueError) as error:
        raise InvalidArgument(f"{what}: not base64 of UTF-8 text") from error


def _decoded_json(header: str, what: str) -> bytes:
    if len(header) > _MAX_HEADER:
        raise InvalidArgument(f"{what}: longer than {_MAX_HEADER} bytes")
    return _decoded(header, what).encode() or b"{}"


def _convert(data: bytes, kind: type[T], what: str) -> T:
    try:
        return msgspec.json.decode(data, type=kind)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise InvalidArgument(f"{what}: {error}") from error
