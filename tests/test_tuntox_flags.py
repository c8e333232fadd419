"""docs/tuntox-flags.md leaves nothing out: every flag that tuntox has had, each with a test that exists."""

import ast
import re
from functools import cache
from pathlib import Path

import click
import pytest

from toxvpn.cli.root import root

ROOT = Path(__file__).parents[1]
TABLE = ROOT.joinpath("docs/tuntox-flags.md").read_text()
ROWS = [
    line for line in TABLE.splitlines() if line.startswith("| ") and not line.startswith(("| flag", "| |"))
]

RELEASES = "L:pi:I:C:s:f:W:dqhSF:DU:t:u:b:"
"""What getopt(3) is given in 0.0.10.1 and before it; master adds -z and -V and gives -D an argument."""
MASTER = "L:pi:I:C:s:f:W:dqhSF:D:zU:t:u:b:V"
OLD = "P:"


@pytest.mark.parametrize("flag", sorted(set(RELEASES + MASTER + OLD) - {":"}))
def test_every_flag_is_in_the_table_and_is_ours(flag: str) -> None:
    assert any(re.match(rf"\| `-{flag}\b", row) for row in ROWS)
    ours = {name for option in root.params for name in option.opts}
    assert f"-{flag}" in ours | set(root.context_settings["help_option_names"])


@pytest.mark.parametrize(
    "flag", sorted(re.findall(r"(\w)(?!:)", re.sub(r"\w:", "", MASTER.replace("h", ""))))
)
def test_what_takes_no_argument_there_takes_none_here(flag: str) -> None:
    option = next(option for option in root.params if f"-{flag}" in option.opts)
    assert isinstance(option, click.Option) and (option.is_flag or option.count)


@pytest.mark.parametrize("row", ROWS, ids=[row.split("|")[1].strip() for row in ROWS])
def test_each_row_names_a_test_that_exists(row: str) -> None:
    path, _, name = row.split("|")[-2].strip().strip("`").partition("::")
    assert name in functions(ROOT / path)


@cache
def functions(path: Path) -> set[str]:
    tree = ast.parse(path.read_text())
    return {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}
