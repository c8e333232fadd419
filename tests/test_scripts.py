"""Every shell script in the repository is clean under shellcheck."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]
FOLDERS = (".ci", "contrib", "debian", "lab", "packaging", "scripts")
INTERPRETERS = (b"#!/bin/sh", b"#!/bin/bash", b"#!/usr/bin/env bash", b"#!/usr/bin/env sh")


def shell_scripts() -> list[Path]:
    files = (path for folder in FOLDERS for path in REPOSITORY.joinpath(folder).rglob("*") if path.is_file())
    return sorted(path for path in files if path.read_bytes().startswith(INTERPRETERS))


@pytest.mark.skipif(
    not shutil.which("shellcheck") and os.environ.get("CI") != "true", reason="shellcheck is not installed"
)
def test_shell_scripts_are_clean_under_shellcheck() -> None:
    scripts = shell_scripts()
    assert REPOSITORY / "scripts/setup" in scripts
    found = subprocess.run(["shellcheck", "--format=gcc", *scripts], capture_output=True, text=True)
    assert found.returncode == 0, found.stdout + found.stderr
