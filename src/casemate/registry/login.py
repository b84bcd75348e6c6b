"""Whether credentials are good: what ``docker login`` asks before it keeps them."""

from __future__ import annotations

from casemate.errors import Unauthenticated
from casemate.registry.client import Registry
from casemate.registry.exchange import Call
from casemate.registry.failures import MAX_BODY, Refused


def login(registry: Registry, domain: str) -> str:
    """Log in to ``domain`` with the credentials of ``registry``; return an identity token or "".

    The token is to be kept in the place of the password. Raises Unauthenticated when the registry
    refuses, Unavailable when it cannot be asked.
    """
    session = registry.upstream(domain)
    try:
        session.document(Call("GET", session.url("")), (), (200,), MAX_BODY)
    except Refused as refused:
        if refused.status in (401, 403):
            raise Unauthenticated(f"login to {domain} failed: {refused.text}") from refused
        raise refused.explain("log in to", domain) from refused
    return session.authorizer.identity_token
