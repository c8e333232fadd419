"""The five machines as the virtual ones of the Vagrantfile, which must be up."""

import shlex
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .machine import PATIENCE_S, DemoError, Machine, Scene

REPOSITORY = Path(__file__).resolve().parents[1]
MACHINES = ("server", "laptop", "nat-a", "nat-b", "internet")
DIRECTORY = "/var/lib/toxvpn-lab/demo"


class VirtualMachine(Machine):
    """Reached by ssh, as `vagrant ssh` does, over one connection that is kept."""

    def __init__(self, name: str, ssh_config: Path) -> None:
        super().__init__(name, "/vagrant")
        control = ["-oControlMaster=auto", "-oControlPersist=60", f"-oControlPath={ssh_config.parent}/%h-%p"]
        self._ssh = ["ssh", "-F", str(ssh_config), *control, name]
        self.run(f"mkdir -p {DIRECTORY}", directory="/")

    def run(
        self, command: str, *, input: str = "", timeout_s: float = PATIENCE_S, directory: str = DIRECTORY
    ) -> str:
        words = shlex.join(["sudo", "sh", "-c", f"cd {directory} && {{ {command}\n}}"])
        try:
            done = subprocess.run(
                [*self._ssh, words],
                check=False,
                input=input,
                capture_output=True,
                text=True,
                timeout=timeout_s,
            )
        except subprocess.TimeoutExpired:
            raise DemoError(f"{command!r} on {self.name} took over {timeout_s:g} s") from None
        if done.returncode:
            printed = done.stdout + done.stderr
            raise DemoError(f"{command!r} on {self.name} ended with {done.returncode}:\n{printed}")
        return done.stdout


@contextmanager
def virtual() -> Iterator[Scene]:
    with tempfile.TemporaryDirectory() as folder:
        ssh_config = Path(folder, "ssh_config")
        told = subprocess.run(
            ["vagrant", "ssh-config"], cwd=REPOSITORY, check=True, stdout=subprocess.PIPE, text=True
        )
        ssh_config.write_text(told.stdout)
        yield Scene(*(VirtualMachine(name, ssh_config) for name in MACHINES))
