"""The targets in C: which files each is made of, and how it is built."""

import subprocess
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
NATIVE = ROOT / "toxvpn" / "_native"
FOLDER = ROOT / "build" / "fuzz-native"
FLAGS = (
    *("-g", "-O1", "-Wall", "-Wno-unused-function", "-fno-omit-frame-pointer"),
    *("-fsanitize=fuzzer,address,undefined", "-fno-sanitize-recover=undefined"),
    *(f"-I{NATIVE / room}" for room in (".", "net", "path", "crypto")),
)

CRYPTO = ("crypto/*.c",)
HOOKS = ("net/[!ip]*.c", "net/in*.c")
"""Without what changes a library's imports (importpatch.c, pagelock.c), which fake_net.c stands in for."""
NET = (*HOOKS, *CRYPTO)
PATH = ("path/*.c",)

ON_THE_NET = (
    "socket close accept4 setsockopt getsockopt getsockname shutdown ioctl clock_gettime "
    "send recv sendto recvfrom sendmsg recvmsg"
)
"""The system calls that fake_net.c, or the target itself, has in place of the kernel's."""
ON_A_DEVICE = "read write writev clock_gettime getrandom"

PROGRAMS: dict[str, tuple[tuple[str, ...], str]] = {
    "boxes": (("crypto/[!bc]*.c", "crypto/box.c"), ""),
    "datagrams": (NET, ON_THE_NET),
    "streams": (NET, ON_THE_NET),
    "arrivals": (HOOKS, ON_THE_NET),
    "gathered": (("net/gather.c",), "recvmsg"),
    "detours": (("net/detour.c", "net/inject.c"), "getrandom"),
    "two_paths": (PATH, ON_A_DEVICE),
}
"""For each its files beside its own, and the system calls that it plays."""


def built(name: str) -> Path:
    """The program, built again where it is older than its parts. Raises `subprocess.CalledProcessError`."""
    program = FOLDER / name
    patterns, calls = PROGRAMS[name]
    files = [HERE / f"{name}.c", *(path for pattern in patterns for path in sorted(NATIVE.glob(pattern)))]
    if calls is ON_THE_NET:
        files.append(HERE / "fake_net.c")
    headers = [*NATIVE.rglob("*.h"), *HERE.glob("*.h")]
    newest = max(path.stat().st_mtime for path in (*files, *headers))
    if program.exists() and program.stat().st_mtime > newest:
        return program
    FOLDER.mkdir(parents=True, exist_ok=True)
    fakes = [f"-D{call}=fake_{call}" for call in calls.split()]
    subprocess.run(["clang", *FLAGS, *fakes, *files, "-lm", "-o", program], check=True)
    return program
