"""What README and tutorial tell readers to type does what they say, on machines of a private Tox network."""

from pathlib import Path

import pytest

from .pages import ELSEWHERE, Command, Stage, check_of, steps, walk

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "docs/tutorial.md"]
HOWTO = sorted((ROOT / "docs/howto").glob("*.md"))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_page_is_true(page: Path, on_stage: None) -> None:
    with Stage("server", "laptop") as stage:
        walk(page, stage)


def test_what_is_run_elsewhere_is_on_a_page_and_its_check_exists() -> None:
    pages = [*PAGES, *HOWTO]
    commands = [step.text for page in pages for step in steps(page) if isinstance(step, Command)]
    used = {
        pattern for pattern in ELSEWHERE if any(check_of(text) == ELSEWHERE[pattern] for text in commands)
    }
    assert used == set(ELSEWHERE), "on no page (any more): remove it from the table"
    assert all((ROOT / check).exists() for check in ELSEWHERE.values())
