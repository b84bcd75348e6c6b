"""The table of verbs and states."""

from __future__ import annotations

import itertools

import pytest

from casemate.engine.model import Config, HostConfig
from casemate.engine.records import Fixed, Record, State, Status
from casemate.engine.states import REACHED, REFUSED, STATUSES, VERBS, Verb, allow
from casemate.errors import Conflict

RECORD = Record(
    "a1" * 32, "web", 0, Fixed(Config(), HostConfig(), None, None, (), ("true",)), State()
)


@pytest.mark.parametrize(("verb", "status"), list(itertools.product(VERBS, STATUSES)))
def test_a_verb_is_allowed_reached_or_refused(verb: Verb, status: Status) -> None:
    if status in REFUSED.get(verb, {}):
        with pytest.raises(Conflict) as caught:
            allow(verb, RECORD, status)
        assert "{" not in caught.value.message
    else:
        assert allow(verb, RECORD, status) == (status not in REACHED.get(verb, ()))


def test_what_always_works() -> None:
    assert all(allow(verb, RECORD, "running") for verb in VERBS if verb not in
               ("start", "unpause", "remove"))  # fmt: skip
    for status in STATUSES:
        assert allow("wait", RECORD, status) and allow("rename", RECORD, status)
