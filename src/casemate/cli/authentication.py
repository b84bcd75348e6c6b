"""Who we are to a registry: docker's config.json and its credential helpers.

Source: docker/cli, config file reference; docker-credential-helpers README, section Development.
"""

from __future__ import annotations

import binascii

from casemate.cli import jsontext
from casemate.cli.output import err
from casemate.errors import Error, InvalidArgument, Unavailable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from casemate.cli.dockerconfig import DockerConfig

    #: As the API has it: username, password, serveraddress, identitytoken; only what is known.
    Credentials = dict[str, str]

HUB = "https://index.docker.io/v1/"
_HUB_HOSTS = ("docker.io", "index.docker.io")
_TOKEN_USER = "<token>"
_NOT_FOUND = "credentials not found in native keychain"
_HELPER_TIMEOUT_S = 60


def header(config: DockerConfig, domain: str) -> str:
    """Return X-Registry-Auth for a registry; that of nobody when the credentials cannot be had."""
    key = HUB if domain in _HUB_HOSTS else domain
    try:
        credentials = find(config, key)
    except Error as error:
        err(f"WARNING: going on without credentials for {domain}: {error}\n")
        credentials = {}
    return encoded(credentials)


def encoded(credentials: Credentials) -> str:
    """Return credentials as the header takes them: base64url of their JSON."""
    plain = jsontext.dumps(credentials).encode()
    text = binascii.b2a_base64(plain, newline=False).decode("ascii")
    return text.replace("+", "-").replace("/", "_")


def find(config: DockerConfig, key: str) -> Credentials:
    """Return the credentials for the registry ``key``, empty when there are none.

    Raises Unavailable when a helper fails, InvalidArgument for a broken entry.
    """
    helper = helper_for(config, key)
    if helper:
        return _asked(helper, key)
    entries = config.table("auths")
    entry = entries.get(key)
    if entry is None:
        entry = next((e for name, e in entries.items() if host_of(name) == key), None)
    return _entry(config, entry, key) if entry else {}


def store(config: DockerConfig, credentials: Credentials) -> str:
    """Keep credentials by the registry's helper, else in the file; return the file's path if so."""
    key = credentials["serveraddress"]
    token = credentials.get("identitytoken", "")
    helper = helper_for(config, key)
    if helper:
        user = _TOKEN_USER if token else credentials["username"]
        secret = token or credentials["password"]
        _run(
            helper, "store", jsontext.dumps({"ServerURL": key, "Username": user, "Secret": secret})
        )
        entry: dict[str, str] = {}
    else:
        pair = f"{credentials['username']}:{credentials['password']}".encode()
        entry = {"auth": binascii.b2a_base64(pair, newline=False).decode()}
        if token:
            entry = {"auth": "", "identitytoken": token}
    entries = config.table("auths")
    if entries.get(key) != entry:
        config.content["auths"] = {**entries, key: entry}
        config.save()
    return "" if helper else config.path


def erase(config: DockerConfig, key: str) -> None:
    """Forget the credentials for a registry. Raises Unavailable when a helper fails."""
    helper = helper_for(config, key)
    if helper:
        _run(helper, "erase", key)
    entries = config.table("auths")
    if key in entries:
        config.content["auths"] = {name: e for name, e in entries.items() if name != key}
        config.save()


def helper_for(config: DockerConfig, key: str) -> str:
    """Return the name of the helper that keeps the credentials of a registry, "" for the file."""
    return str(config.table("credHelpers").get(key) or config.text("credsStore"))


def host_of(address: str) -> str:
    """Return the host and port of a registry's address, which may be a URL."""
    rest = address.partition("://")[2] or address
    return rest.partition("/")[0]


def _entry(config: DockerConfig, entry: Any, key: str) -> Credentials:
    try:
        found = {
            "username": entry.get("username", ""),
            "password": entry.get("password", ""),
            "serveraddress": key,
            "identitytoken": entry.get("identitytoken", ""),
            "registrytoken": entry.get("registrytoken", ""),
        }
        if entry.get("auth"):
            user, colon, password = binascii.a2b_base64(entry["auth"]).decode().partition(":")
            if not colon or not user:
                raise ValueError
            found |= {"username": user, "password": password.strip("\0")}
    except (AttributeError, TypeError, ValueError):
        raise InvalidArgument(f"{config.path}: the entry for {key} is broken") from None
    return {name: value for name, value in found.items() if value}


def _asked(helper: str, key: str) -> Credentials:
    """Ask a helper. What it says may hold the secret: it is never shown."""
    output = _run(helper, "get", key, absent=_NOT_FOUND)
    if output is None:
        return {}
    try:
        answer = jsontext.loads(output)
        user, secret = str(answer["Username"]), str(answer["Secret"])
    except (ValueError, KeyError, TypeError):
        raise Unavailable(f"credential helper {helper!r} gave no valid answer") from None
    if user == _TOKEN_USER:
        return {"serveraddress": key, "identitytoken": secret}
    return {"username": user, "password": secret, "serveraddress": key}


def _run(helper: str, verb: str, question: str, absent: str | None = None) -> bytes | None:
    """Run a helper and return its output; None when it says ``absent``. Raises Unavailable."""
    import subprocess

    program = f"docker-credential-{helper}"
    if "/" in helper:
        raise InvalidArgument(f"invalid credential helper name {helper!r}")
    try:
        done = subprocess.run(
            [program, verb],
            input=question.encode(),
            capture_output=True,
            timeout=_HELPER_TIMEOUT_S,
            check=False,
        )
    except FileNotFoundError:
        raise Unavailable(f"{program} is not installed") from None
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Unavailable(f"cannot run {program}: {error}") from error
    if done.returncode == 0:
        return done.stdout
    if absent and absent in done.stdout.decode("utf-8", "replace"):
        return None
    raise Unavailable(f"{program} {verb} failed with status {done.returncode}")
