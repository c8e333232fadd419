"""The code on the page "From Python" is that of the examples, which tests/netns/test_python.py runs."""

import re
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[2] / "docs"
PAGE = DOCS.joinpath("python.md").read_text()
BLOCKS = re.findall(r"^```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
EXAMPLES = {path.name: path.read_text() for path in DOCS.joinpath("examples").glob("*.py")}


def bare(text: str) -> str:
    """Without indentation: a block may be from inside a function."""
    return "\n".join(line.strip() for line in text.splitlines())


@pytest.mark.parametrize("block", BLOCKS)
def test_a_block_is_part_of_an_example(block: str) -> None:
    assert any(bare(block) in bare(example) for example in EXAMPLES.values())


def test_each_example_is_on_the_page() -> None:
    assert BLOCKS
    assert all(f"(examples/{name})" in PAGE for name in EXAMPLES)
