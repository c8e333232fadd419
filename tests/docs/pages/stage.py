"""The machines that a page is about: behind NATs, with systemd, sshd, and a user who may use sudo."""

import contextlib
import shlex
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from booted import Booted

from lab import Host, Lab
from toxvpn.tox.bootstrap import BUILT_IN

from .terminal import Terminal

USER = "ann"
TOXVPN = Path(sys.executable).with_name("toxvpn")
KEY_TYPE = "ed25519"

# The nodes that toxvpn knows by itself are those of this network, as elsewhere they are the real one's.
# Who logs in to a machine for the first time is taken to answer ssh's question with yes.
SETUP = f"""
set -eu
hostname "$NAME"
echo "127.0.1.1 $NAME" >>/etc/hosts
mount --bind /etc/nodes.json {BUILT_IN}
ln -sf {TOXVPN} /usr/local/bin/toxvpn
useradd -m -s /bin/bash -p '*' {USER}
echo '{USER} ALL=(ALL) NOPASSWD: ALL' >/etc/sudoers.d/{USER}
rm -f /etc/ssh/ssh_host_*
ssh-keygen -q -t {KEY_TYPE} -N '' -f /etc/ssh/ssh_host_{KEY_TYPE}_key
printf 'StrictHostKeyChecking accept-new\nLogLevel ERROR\n' >/etc/ssh/ssh_config.d/stage.conf
install -d -m 700 -o {USER} -g {USER} /home/{USER}/.ssh
ssh-keygen -q -t {KEY_TYPE} -N '' -C {USER}@$NAME -f /home/{USER}/.ssh/id_{KEY_TYPE}
chown -R {USER}: /home/{USER}/.ssh
: >/etc/motd
rm -rf /etc/update-motd.d /root/.ssh
systemctl start ssh
"""

# Runs a command, and keeps what `cd` and `export` have changed.
SHELL = """
[ ! -e ~/.stage ] || . ~/.stage
eval "$1"
code=$?
{ export -p; printf 'cd %q\\n(exit %d)\\n' "$PWD" $code; } >~/.stage
exit $code
"""


class Machine:
    """A booted host of the lab. `user` and root each have their own shell."""

    def __init__(self, lab: Lab, host: Host) -> None:
        self.name = host.name
        self.booted = Booted(host)
        self.root = self.booted.root
        self.root.joinpath("etc/nodes.json").write_text(lab.nodes_json.read_text())
        self.run(f"NAME={self.name}\n{SETUP}")

    def run(self, script: str) -> str:
        """What a script for sh prints as root. Raises LabError when it fails."""
        return self.booted.run("sh", "-c", script).stdout

    def type(self, command: str, *, as_root: bool) -> Terminal:
        """Start a command in a terminal of its own."""
        account = "root" if as_root else USER
        variables = ["NO_COLOR=1", "TERM=xterm", "EDITOR=true", "PAGER=cat", "LANG=C.UTF-8"]
        shell = shlex.join(["env", *variables, "bash", "-c", SHELL, "bash", command])
        become = ["setsid", "--ctty", "--wait", "su", "-l", account, "--session-command", shell]
        return Terminal(self.booted.host, [*self.booted.enter, *become])

    def write(self, path: str, content: str) -> None:
        """Write a file, in the user's home if the path begins with ~."""
        where = self.root / path.replace("~", f"/home/{USER}", 1).lstrip("/")
        where.parent.mkdir(parents=True, exist_ok=True)
        where.write_text(content)
        if path.startswith("~"):
            self.run(f"chown -R {USER}: /home/{USER}")


class Stage:
    """A context manager. `hosts` makes the machines' hosts in the lab; by default each is behind a NAT."""

    def __init__(self, *names: str, hosts: Callable[[Lab], Mapping[str, Host]] | None = None) -> None:
        self.lab = Lab()
        self.machines: dict[str, Machine] = {}
        self._hosts = hosts or (lambda lab: {name: lab.nat(f"nat{name[:8]}").host(name) for name in names})

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as stack:
            stack.enter_context(self.lab)
            self.lab.bootstrap()
            for name, host in self._hosts(self.lab).items():
                self.machines[name] = Machine(self.lab, host)
            self._make_keys_known()
            stack.pop_all()
        return self

    def _make_keys_known(self) -> None:
        ssh = f"home/{USER}/.ssh"
        keys = [(machine.root / ssh / f"id_{KEY_TYPE}.pub").read_text() for machine in self.machines.values()]
        for machine in self.machines.values():
            machine.write("~/.ssh/authorized_keys", "".join(keys))

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.lab.close()
