"""Versions and their days come from the Debian package that a program lies in, or from the program."""

import gzip
from pathlib import Path

import pytest

from bench.versions import version

CHANGELOG = """tinc (1.0.36-2.1) unstable; urgency=medium

  * Non-maintainer upload 9.9.9

 -- Somebody <somebody@example.org>  Wed, 01 May 2024 23:30:00 -0500

tinc (1.0.36-2) unstable; urgency=low

 -- Somebody <somebody@example.org>  Sun, 22 Nov 2020 20:29:31 +0000
"""


def put_program(directory: Path) -> str:
    directory.mkdir(parents=True)
    program = directory / "tincd"
    program.write_text("#!/bin/sh\necho tinc version 1.0.35 of today\n")
    program.chmod(0o755)
    return str(program)


@pytest.mark.parametrize(("programs", "documents"), [("usr/sbin", "usr/share/doc"), ("bin", "usr/share/doc")])
def test_the_newest_entry_of_the_changelog_counts(tmp_path: Path, programs: str, documents: str) -> None:
    program = put_program(tmp_path / programs)
    about = tmp_path / documents / "tinc"
    about.mkdir(parents=True)
    about.joinpath("changelog.Debian.gz").write_bytes(gzip.compress(CHANGELOG.encode()))
    assert version(program, "tinc") == "1.0.36-2.1 of 2024-05-01"


def test_without_a_changelog_the_program_is_asked(tmp_path: Path) -> None:
    assert version(put_program(tmp_path / "bin"), "tinc") == "1.0.35"


def test_a_program_that_tells_none() -> None:
    assert version("/bin/true", "no-such-package").startswith(("unknown", "8", "9"))
