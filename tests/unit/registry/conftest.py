from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from casemate.content.store import ContentStore
from casemate.oci import reference as references
from casemate.oci.reference import Reference
from casemate.registry.client import Registry
from casemate.registry.config import RegistryConfig, RetryPolicy, Timeouts
from casemate.registry.credentials import ANONYMOUS, Keychain
from support.registry import FakeRegistry

QUICK = RegistryConfig(
    certificates=(),
    retry=RetryPolicy(attempts=3, base_s=0.001, cap_s=0.002, total_s=5),
    timeouts=Timeouts(connect_s=5, answer_s=5, stall_s=5, commit_s=5),
)

Connect = Callable[..., Registry]


@pytest.fixture
def fake() -> Iterator[FakeRegistry]:
    with FakeRegistry() as registry:
        yield registry


@pytest.fixture
def other() -> Iterator[FakeRegistry]:
    with FakeRegistry() as registry:
        yield registry


@pytest.fixture
def connect() -> Iterator[Connect]:
    opened: list[Registry] = []

    def make(keychain: Keychain = ANONYMOUS, config: RegistryConfig = QUICK) -> Registry:
        opened.append(Registry(config, keychain))
        return opened[-1]

    yield make
    for registry in opened:
        registry.close()


@pytest.fixture
def client(connect: Connect) -> Registry:
    return connect()


@pytest.fixture
def name(fake: FakeRegistry) -> Callable[[str], Reference]:
    return lambda text: references.parse(f"{fake.host}/{text}")


@pytest.fixture
def store(tmp_path_factory: pytest.TempPathFactory) -> ContentStore:
    return ContentStore(str(tmp_path_factory.mktemp("content") / "store"))
