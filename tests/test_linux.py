"""System calls through ctypes: what they do to a process of their own, and that a failure is an OSError."""

import errno
import json
import os
import subprocess
import sys

import pytest

from toxvpn import linux

PROGRAM = """
import json
from pathlib import Path
from toxvpn import linux

linux.set_process_name("toxvpn-test")
linux.no_new_privileges()
linux.keep_only([linux.Capability.NET_ADMIN])
status = Path("/proc/self/status").read_text()
print(json.dumps([linux.permitted(), dict(line.split(":", 1) for line in status.splitlines())]))
"""


def test_a_process_names_and_restricts_itself() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], stdout=subprocess.PIPE, check=True)
    permitted, status = json.loads(done.stdout)
    assert status["Name"].strip() == "toxvpn-test"
    assert status["NoNewPrivs"].strip() == "1"
    assert int(status["CapPrm"], 16) == int(status["CapEff"], 16) == permitted
    assert permitted == (1 << linux.Capability.NET_ADMIN if os.geteuid() == 0 else 0)


def test_a_failure_is_an_error_with_its_number() -> None:
    with pytest.raises(OSError) as failure:
        linux.unshare(-1)
    assert failure.value.errno == errno.EINVAL
