"""Fixtures of the tests in real network namespaces.

Everything here is marked `netns`, and `real`. Without root, namespaces or tox-bootstrapd it is skipped, and
fails with CI=true.
"""

from collections.abc import Generator, Iterator
from pathlib import Path

import pytest

from lab import Lab
from lab.require import require

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.is_relative_to(HERE):
            item.add_marker("netns")
            item.add_marker("real")


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


FAILED = pytest.StashKey[bool]()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    item.stash[FAILED] = report.failed or item.stash.get(FAILED, False)
    return report


@pytest.fixture(autouse=True)
def _another_network_after_a_failure(request: pytest.FixtureRequest) -> Iterator[None]:
    """Make a new network after a failure: what it left behind must not meet another test, or a second try."""
    request.node.stash[FAILED] = False
    yield
    if request.node.stash[FAILED] and "_shared_network" in request.fixturenames:
        shared = request._get_active_fixturedef("_shared_network")
        shared.finish(request)  # type: ignore[arg-type]  # with all that depends on it
