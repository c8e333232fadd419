"""The version of a program, and its day, by the Debian package that is installed or unpacked aside."""

import gzip
import re
import subprocess
from email.utils import parsedate_to_datetime
from pathlib import Path

NUMBER = re.compile(r"\d+(?:\.\d+)+\S*")


def version(program: str, package: str) -> str:
    """Such as "1.0.36-2.1 of 2024-05-01"; without a changelog beside it, what the program says of itself."""
    return packaged(Path(program), package) or said(program)


def packaged(program: Path, package: str) -> str | None:
    """By the changelog in the tree that the program lies in."""
    root = program.parents[1]
    for documents in (root / "share/doc", root / "usr/share/doc"):
        for name in ("changelog.Debian.gz", "changelog.gz"):  # the latter of a Debian-native package
            changelog = documents / package / name
            if changelog.exists():
                return newest(gzip.decompress(changelog.read_bytes()).decode())
    return None


def newest(changelog: str) -> str | None:
    """The first entry of a deb-changelog(5)."""
    head = re.match(r"\S+ \((?P<version>\S+)\) ", changelog)
    tail = re.search(r"^ -- .*>  (?P<date>.*)$", changelog, re.MULTILINE)
    return f"{head['version']} of {parsedate_to_datetime(tail['date']):%Y-%m-%d}" if head and tail else None


def said(program: str) -> str:
    asked = subprocess.run([program, "--version"], capture_output=True, text=True, check=False)
    found = NUMBER.search(asked.stdout + asked.stderr)
    return found[0] if found else "unknown"
