from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from .transfers import Receiver


@pytest.fixture
def receive(tmp_path: Path) -> Iterator[Callable[[], Receiver]]:
    """Starts to receive into tmp_path/into."""
    into = tmp_path / "into"
    into.mkdir()
    started: list[Receiver] = []

    def start() -> Receiver:
        started.append(Receiver(into))
        return started[-1]

    yield start
    for each in started:
        each.close()
