"""The whole lab of virtual machines, from nothing to nothing: scripts/vagrant-lab."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TextIO

REPOSITORY = Path(__file__).resolve().parents[1]
LOG = REPOSITORY / "build/vagrant-lab.log"


class Stamped:
    """Runs commands and tells what they print: lines with the seconds since the start; logged too."""

    def __init__(self, log: TextIO) -> None:
        self._log = log
        self._began_s = time.monotonic()

    def tell(self, text: str) -> None:
        line = f"{time.monotonic() - self._began_s:6.0f} s  {text}\n"
        for out in (sys.stdout, self._log):
            out.write(line)
            out.flush()

    def run(self, *argv: str) -> bool:
        """Run a command to its end; true if it succeeded. An interrupt is passed on, and the end awaited."""
        self.tell(f"$ {' '.join(argv)}")
        process = subprocess.Popen(
            argv, cwd=REPOSITORY, text=True, errors="replace", start_new_session=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        assert process.stdout is not None
        try:
            self._tell_all(process)
        except (KeyboardInterrupt, SystemExit):
            self.tell("interrupted")
            os.killpg(process.pid, signal.SIGINT)
            self._tell_all(process)
            raise
        finally:
            process.stdout.close()
        return process.returncode == 0

    def _tell_all(self, process: "subprocess.Popen[str]") -> None:
        assert process.stdout is not None
        for line in process.stdout:
            if "Progress:" not in line:
                self.tell(line.rstrip())
        process.wait()


def main() -> int:
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: sys.exit(1))
    LOG.parent.mkdir(exist_ok=True)
    with LOG.open("w") as log:
        stamped = Stamped(log)
        passed = False
        try:
            passed = stamped.run("vagrant", "up") and stamped.run(
                "python3", "-u", "-m", "demos", "--vagrant", *sys.argv[1:]
            )
        except KeyboardInterrupt:
            pass
        finally:
            removed = stamped.run("vagrant", "destroy", "--force")
        stamped.tell(f"{'PASS' if passed and removed else 'FAIL'}  vagrant-lab")
    return not (passed and removed)


if __name__ == "__main__":
    sys.exit(main())
