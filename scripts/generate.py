"""Writes what follows from the definition of the command line: man page and completion scripts.

To be run whenever a flag, a verb or an exit code has changed; a test notices when it was not.
"""

from pathlib import Path

import manual

from toxvpn.cli import completion

CONTRIB = Path(__file__).parent.parent / "contrib"
COMPLETIONS = {"bash": "toxvpn", "zsh": "_toxvpn", "fish": "toxvpn.fish"}
"""By shell: the name that it looks for."""


def generated() -> dict[Path, str]:
    """Every file below contrib/, and its content."""
    made = {CONTRIB / "man" / "toxvpn.1": manual.page()}
    for shell, name in COMPLETIONS.items():
        made[CONTRIB / "completions" / name] = completion.script(shell) + "\n"
    return made


if __name__ == "__main__":
    for path, content in generated().items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
        print(path.relative_to(CONTRIB.parent))
