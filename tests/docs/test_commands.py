"""What README and tutorial tell readers to type does what they say, on machines of a private Tox network."""

import re
from pathlib import Path

import pytest

from .pages import ELSEWHERE, Stage, walk

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "docs/tutorial.md"]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_page_is_true(page: Path, on_stage: None) -> None:
    with Stage("server", "laptop") as stage:
        walk(page, stage)


def test_what_is_run_elsewhere_is_on_a_page_and_its_check_exists() -> None:
    text = "".join(page.read_text() for page in [*PAGES, *(ROOT / "docs").rglob("*.md")])
    unused = [pattern for pattern in ELSEWHERE if not re.search(rf"[$#] +{pattern}", text)]
    assert not unused, "on no page (any more): remove it from the table"
    assert all((ROOT / check).exists() for check in ELSEWHERE.values())
