r"""Runs the commands of a page of the documentation, as its reader would, and compares what they print.

    with Stage("server", "laptop") as stage:
        walk(ROOT / "docs/tutorial.md", stage)

A stage has a machine for each name: behind a NAT of its own, with systemd, sshd, a user `ann` who may use
sudo and can log in everywhere by her key, and this toxvpn installed. All are on one private Tox network.

What a page has to keep to, for its commands to be run:

- Commands stand in ```` ```console ```` blocks behind a prompt that names the machine: `server$ toxvpn`, or
  `server# …` for root. A plain `$` is the machine of the prompt before, or the stage's first. `\` at the end
  of a line and `<<END` continue a command. What follows, up to the next prompt, is the output a reader sees.
- Output must come as shown, line by line. IDs, keys, addresses, secrets and tokens are examples: the
  machine's own take their place, the same one each time, also in later commands and files. So do names in
  angle brackets: `<ToxID>` in a command is what stood there in an output, or else the ID that another machine
  printed last. Times, rates and dates need to have the form shown; `…` is anything, as a line any lines.
- A command must end with 0, unless the page shows what it says or the next one asks for `$?`. One that
  goes on (`toxvpn`, `toxvpn up`, …) is left running, and ended where its output ends with a line `^C`:
  there, or in a later block that shows the command and `^C` alone. It may print more lines than are shown.
  A login is left again at once (`logout`, by Ctrl-D).
- `cd` and `export` last for the rest of the page. `$EDITOR` changes nothing: what to write into a file stands
  in a block behind `<!-- file server:/etc/toxvpn/config.toml -->`, which readers do not see (in ~: ann's).
- Every other block says what it is (`text`, `toml`, …); a block without a language is an error.
- What no stage can do (installing, virtual machines) is in the table of elsewhere.py, with its script.
"""

from .elsewhere import ELSEWHERE, bare, check_of
from .markdown import Command, File, PageError, steps
from .reader import walk
from .stage import Stage

__all__ = ["ELSEWHERE", "Command", "File", "PageError", "Stage", "bare", "check_of", "steps", "walk"]
