"""What the pages tell readers to type that no stage can do, and the script that does it instead."""

import re

PIPX = "sudo PIPX_HOME=/opt/pipx PIPX_BIN_DIR=/usr/local/bin pipx"
ELSEWHERE = {
    r"scripts/(demo|test)": ".ci/run",
    "sudo apt install gcc python3-dev libtoxcore-dev pipx": "scripts/check-install",
    rf"{PIPX} (install \.|uninstall toxvpn)": "scripts/check-install",
    # a Pi's, with a wheel that takes minutes to make
    r"sudo apt install python3-venv .*": "scripts/check-wheels",
    r"sudo /opt/toxvpn/bin/pip install .*": "scripts/check-wheels",
    # programs that scripts/setup does not install
    r"rsync .*": "scripts/check-howto",
    r"ansible .*": "scripts/check-howto",
    r"sshfs .*": "scripts/check-howto",
    r"(sudo )?tcpdump .*": "scripts/check-howto",
}
"""A pattern of whole commands, and the script that runs them."""


def check_of(command: str) -> str | None:
    """The script that runs this command, if no stage does."""
    return next((check for pattern, check in ELSEWHERE.items() if re.fullmatch(pattern, bare(command))), None)


def bare(command: str) -> str:
    return re.sub(r"\s+#.*$", "", command)
