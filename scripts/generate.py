"""Writes what follows from command line, keys and docstrings: man page, completions, reference pages.

To be run whenever a flag, a verb, a key, an exit code or a docstring of api/ has changed; a test notices when
it was not.
"""

import re
from pathlib import Path

import keylist
import manual
import pythonapi
import reference

from toxvpn.cli import completion

ROOT = Path(__file__).parent.parent
CONTRIB = ROOT / "contrib"
CONFIGURATION = ROOT / "docs" / "configuration.md"
REFERENCE = ROOT / "docs" / "reference"
COMPLETIONS = {"bash": "toxvpn", "zsh": "_toxvpn", "fish": "toxvpn.fish"}
"""By shell: the name that it looks for."""
BLOCK = re.compile(r"(<!-- (\w+) by scripts/generate -->\n).*?(<!-- end -->)", re.DOTALL)


def generated() -> dict[Path, str]:
    """Every file that is written, or has blocks that are, and its content."""
    made = {CONTRIB / "man" / "toxvpn.1": manual.page()}
    for shell, name in COMPLETIONS.items():
        made[CONTRIB / "completions" / name] = completion.script(shell) + "\n"
    made[CONFIGURATION] = with_blocks(CONFIGURATION.read_text())
    made[REFERENCE / "command-line.md"] = reference.command_line()
    made[REFERENCE / "exit-codes.md"] = reference.exit_codes()
    made[REFERENCE / "python.md"] = pythonapi.python()
    return made


def with_blocks(page: str) -> str:
    blocks = {"example": f"```toml\n{keylist.example()}\n```", "keys": keylist.table()}
    return BLOCK.sub(lambda found: f"{found[1]}{blocks[found[2]]}\n{found[3]}", page)


if __name__ == "__main__":
    for path, content in generated().items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
        print(path.relative_to(ROOT))
