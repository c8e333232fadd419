"""Fixtures of the tests in real network namespaces.

Everything here is marked `netns`. Without root, namespaces or tox-bootstrapd it is skipped, and fails with
CI=true.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest
from lab import Lab
from lab.require import require

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.is_relative_to(HERE):
            item.add_marker("netns")


@pytest.fixture(autouse=True, scope="session")
def _prerequisites() -> None:
    require()


@pytest.fixture
def lab() -> Iterator[Lab]:
    """An empty lab of the test's own."""
    with Lab() as lab:
        yield lab


@pytest.fixture(scope="module")
def _shared_network() -> Iterator[Lab]:
    with Lab() as lab:
        lab.bootstrap()
        yield lab


@pytest.fixture
def tox_network(_shared_network: Lab) -> Iterator[Lab]:
    """A lab with 8 bootstrap nodes that tests share; the hosts a test makes in it go when the test ends."""
    before = set(_shared_network.hosts)
    yield _shared_network
    for name in set(_shared_network.hosts) - before:
        _shared_network.remove(_shared_network.hosts[name])
