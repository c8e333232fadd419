"""Prints, for a script that runs them, the commands of pages that no stage can run, a line each.

PYTHONPATH=.:tests/netns python -m tests.docs.commands_of scripts/check-install docs/tutorial.md
"""

import sys
from collections.abc import Iterator
from pathlib import Path

from .pages import Command, bare, check_of, steps


def commands_of(check: str, page: Path) -> Iterator[str]:
    for step in steps(page):
        if isinstance(step, Command) and check_of(step.text) == check:
            yield bare(step.text)


if __name__ == "__main__":
    script, *pages = sys.argv[1:]
    found = [text for page in pages for text in commands_of(script, Path(page))]
    sys.stdout.writelines(f"{text}\n" for text in dict.fromkeys(found))
