"""A real systemd as process 1 of a container on a host of the lab: to run the units that are shipped.

Its root is this machine's, with everything that it writes in memory; its network is the host's. Only the
journal is started beside it.
"""

import contextlib
import json
import subprocess
import sys
from pathlib import Path

import toxvpn
from lab import Host, LabError, wait_until

SYSTEMD = "/lib/systemd/systemd"
NEEDED = (SYSTEMD, "systemctl", "journalctl", "unshare", "nsenter", "pivot_root")
BOOTING_S = 20.0
REPOSITORY = Path(toxvpn.__file__).parents[1]
SHOWN = sorted({REPOSITORY, Path(sys.prefix), Path(sys.base_prefix)} - {Path("/usr")})
"""Programs that run inside may be on other file systems, and in directories closed to other users."""

# A cgroup of our own, into which systemd is put; it is removed when all is over.
OUTSIDE = r"""
set -eu
mount --make-rprivate /
mkdir -p "$WORK/cgroup"
mount -t cgroup2 none "$WORK/cgroup"
group="$WORK/cgroup/toxvpn-test-$$"
mkdir "$group"
leave() {
  trap - EXIT TERM
  kill -KILL "$inside" 2>/dev/null || true
  wait "$inside" 2>/dev/null || true
  for _ in 1 2 3 4 5 6 7 8 9 10; do  # those that systemd had started die a moment after it
    find "$group" -depth -type d -exec rmdir {} + 2>/dev/null && break
    sleep 0.1
  done
}
sh -c 'echo $$ >"$0/cgroup.procs" &&
  exec unshare --mount --pid --cgroup --fork --kill-child sh -c "$INSIDE"' \
  "$group" &
inside=$!
trap leave EXIT
trap 'exit 0' TERM
wait "$inside"
"""

INSIDE = r"""
set -eu
mount -t tmpfs none "$WORK"
mkdir "$WORK/upper" "$WORK/work" "$WORK/root"
r="$WORK/root"
mount -t overlay overlay -o "lowerdir=/,upperdir=$WORK/upper,workdir=$WORK/work" "$r"
mount -t proc proc "$r/proc"
mount -t sysfs sysfs "$r/sys"
mount -t cgroup2 cgroup2 "$r/sys/fs/cgroup"
for place in dev run tmp; do mount -t tmpfs -o mode=755 none "$r/$place"; done
chmod 1777 "$r/tmp"
mkdir "$r/dev/net" "$r/dev/pts" "$r/dev/shm"
for device in null zero full random urandom tty net/tun; do
  touch "$r/dev/$device"
  mount --bind "/dev/$device" "$r/dev/$device"
done
mount -t devpts -o newinstance,ptmxmode=0666 devpts "$r/dev/pts"
ln -s pts/ptmx "$r/dev/ptmx"
mount -t tmpfs none "$r/dev/shm"
for place in $SHOWN; do
  mkdir -p "$r$place"
  above="$place"
  while above=$(dirname "$above") && [ "$above" != / ]; do chmod o+x "$r$above"; done
done
for place in $SHOWN; do mount --bind -o ro "$place" "$r$place"; done
rm -rf "$r"/etc/systemd/system/* "$r"/lib/systemd/system/*.wants "$r/var/lib/toxvpn" "$r/etc/toxvpn"
mkdir "$r/lib/systemd/system/sysinit.target.wants"
for unit in systemd-journald.service systemd-journald.socket systemd-journald-dev-log.socket; do
  ln -s "../$unit" "$r/lib/systemd/system/sysinit.target.wants/"
done
cd "$r"
mkdir -p .old
pivot_root . .old
umount -l /.old
mount --make-rshared /
exec env -i "TOXVPN_LAB=$TOXVPN_LAB" container=lab PATH=/usr/sbin:/usr/bin:/sbin:/bin \
  "$SYSTEMD" --system --unit=basic.target --show-status=no
"""


class Booted:
    """`run` and files are inside. It ends with the lab, or by `close`."""

    def __init__(self, host: Host) -> None:
        self.host = host
        work = host.directory / "booted"
        work.mkdir()
        environment = {
            "WORK": str(work), "INSIDE": INSIDE, "SYSTEMD": SYSTEMD, "SHOWN": " ".join(map(str, SHOWN))
        }  # fmt: skip
        self._log = host.directory / "booted.log"
        with self._log.open("wb") as log:
            argv = ["unshare", "--mount", "--ipc", "--uts", "sh", "-c", OUTSIDE]
            self._process = host.popen(argv, env=environment, stdout=log, stderr=log)
        self._pid = wait_until(self._find_systemd, "systemd", BOOTING_S)
        self.root = Path(f"/proc/{self._pid}/root")
        self.enter = ["nsenter", "-t", str(self._pid), "-m", "-p", "-i", "-u", "-C", "-r", "-w"]
        """The words before a command line that runs it inside, if it is started on the host."""
        wait_until(self._is_up, "basic.target", BOOTING_S)

    def close(self) -> None:
        self.host.stop(self._process)

    def run(
        self, *argv: str, check: bool = True, timeout_s: float = 30.0
    ) -> subprocess.CompletedProcess[str]:
        """Raises LabError as Host.run does."""
        return self.host.run([*self.enter, *argv], check=check, timeout_s=timeout_s)

    def start(self, unit: str) -> None:
        """Start a unit. Raises LabError with the unit's messages when it does not get ready."""
        if self.systemctl("start", unit, check=False).returncode:
            raise LabError(
                f"{unit} did not start:\n" + self.run("journalctl", "-o", "cat", "-u", unit).stdout
            )

    def systemctl(self, *words: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        return self.run("systemctl", "--no-pager", *words, check=check)

    def property(self, unit: str, name: str) -> str:
        return self.systemctl("show", "-p", name, "--value", unit).stdout.strip()

    def journal(self, unit: str) -> list[dict[str, str]]:
        """The unit's own records, oldest first; PRIORITY and MESSAGE among their fields."""
        output = self.run("journalctl", "-o", "json", f"_SYSTEMD_UNIT={unit}").stdout
        return [json.loads(line) for line in output.splitlines()]

    def messages(self, unit: str) -> str:
        return "\n".join(record["MESSAGE"] for record in self.journal(unit))

    def main_pid(self, unit: str) -> int:
        """The main process, as it is numbered outside. Raises LabError when it does not run."""
        inside = self.property(unit, "MainPID")
        for status in Path("/proc").glob("[0-9]*/status"):
            try:
                line = next(line for line in status.read_text().splitlines() if line.startswith("NSpid:"))
            except (OSError, StopIteration):
                continue
            if line.split()[-1] == inside and self._is_inside(status.parent):
                return int(status.parent.name)
        raise LabError(f"{unit} does not run:\n{self.messages(unit)}")

    def _is_inside(self, process: Path) -> bool:
        try:
            return process.joinpath("ns/pid").readlink() == Path(f"/proc/{self._pid}/ns/pid").readlink()
        except OSError:
            return False

    def _find_systemd(self) -> int | None:
        """The grandchild of what was started, once it is systemd."""
        if self._process.poll() is not None:
            raise LabError(f"systemd ended with {self._process.returncode}:\n{self._log.read_text()}")
        found = [self._process.pid]
        with contextlib.suppress(OSError):
            while found:
                pid = found.pop()
                if Path(f"/proc/{pid}/comm").read_text().strip() == "systemd":
                    return pid
                found += map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split())
        return None

    def _is_up(self) -> bool:
        if not self.root.joinpath("run/systemd/private").exists():
            return False
        return self.systemctl("is-active", "basic.target", check=False).stdout.strip() == "active"
