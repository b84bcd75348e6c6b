"""``login``: authenticate to a registry and keep the credentials."""

from __future__ import annotations

import sys

from casemate.cli import authentication
from casemate.cli.failure import Exit
from casemate.cli.options import SWITCH, Command, Option
from casemate.cli.output import err, is_terminal, out
from casemate.errors import Error

TYPE_CHECKING = False
if TYPE_CHECKING:
    from casemate.cli.arguments import Arguments
    from casemate.cli.authentication import Credentials
    from casemate.cli.session import Session


def _run(session: Session, arguments: Arguments) -> int:
    _check(arguments)
    user, password = arguments.text("username").strip(), arguments.text("password")
    if password:
        err("WARNING! Using --password via the CLI is insecure. Use --password-stdin.\n")
    if arguments.switch("password-stdin"):
        password = sys.stdin.read().removesuffix("\n").removesuffix("\r")
    server = arguments.rest[0] if arguments.rest else ""
    hub = server in ("", "docker.io")
    key = authentication.HUB if hub else authentication.host_of(server)
    known: Credentials = {}
    if not user and not password:
        known = authentication.find(session.config, key)
        if known.get("username") and known.get("password") and _again(session, known):
            return 0
    if not (user and password) and not is_terminal(0):
        raise Exit(1, "Error: Cannot perform an interactive login from a non TTY device")
    user = user or _ask_user(known.get("username", ""))
    password = password or _ask_password()
    _log_in(session, {"username": user, "password": password, "serveraddress": key})
    return 0


def _check(arguments: Arguments) -> None:
    if arguments.given("password-stdin"):
        if arguments.given("password"):
            raise Exit(
                1, "conflicting options: cannot specify both --password and --password-stdin"
            )
        if not arguments.given("username"):
            raise Exit(1, "the --password-stdin option requires --username to be set")
    for name in ("username", "password"):
        if arguments.given(name) and not arguments.text(name):
            raise Exit(1, f"{name} is empty")


def _again(session: Session, known: Credentials) -> bool:
    """Try the credentials that are kept; return whether they are still good."""
    err(f"Authenticating with existing credentials... [Username: {known['username']}]\n")
    err("To login with a different account, run 'casemate logout' followed by 'casemate login'\n")
    try:
        _log_in(session, known)
    except Error as error:
        err(f"Login did not succeed, error: {error}\n")
        return False
    return True


def _log_in(session: Session, credentials: Credentials) -> None:
    answer = session.engine.post("/auth", credentials)
    token = answer.get("IdentityToken")
    if token:
        credentials = credentials | {"identitytoken": str(token), "password": ""}
    path = authentication.store(session.config, credentials)
    if path and not token:
        err(
            f"\nWARNING! Your credentials are stored unencrypted in '{path}'.\n"
            "Configure a credential helper (credsStore in that file) to remove this warning.\n\n"
        )
    out(f"{answer.get('Status') or 'Login Succeeded'}\n")


def _ask_user(known: str) -> str:
    out(f"Username ({known}): " if known else "Username: ")
    user = sys.stdin.readline().strip() or known
    if not user:
        raise Exit(1, "Error: Non-null Username Required")
    return user


def _ask_password() -> str:
    from casemate.cli.terminal import QuietTerminal

    out("Password: ")
    with QuietTerminal():
        password = sys.stdin.readline().rstrip("\r\n")
    out("\n")
    if not password:
        raise Exit(1, "Error: Password Required")
    return password


COMMAND = Command(
    "[OPTIONS] [SERVER]",
    _run,
    (
        Option("password", "string", "Password or access token", short="p"),
        Option("password-stdin", SWITCH, "Take the password or access token from stdin"),
        Option("username", "string", "Username", short="u"),
    ),
    most=1,
    about="Authenticate to a registry.\nDefaults to Docker Hub if no server is specified.",
    examples=("casemate login -u me --password-stdin registry.lan:5000 < token",),
    suggest="registries",
    suggest_up_to=1,
)
