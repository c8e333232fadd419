"""The container's files: linted, and with no more rights than an example needs."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
COMPOSE = REPOSITORY / "contrib/compose"
EXAMPLES = sorted(path.parent.name for path in COMPOSE.glob("*/compose.yaml"))


def settings(example: str) -> str:
    """The compose file without its comments."""
    return re.sub(r"(?m)^\s*#.*$|\s+#.*$", "", (COMPOSE / example / "compose.yaml").read_text())


def test_the_containerfile_is_clean_under_hadolint() -> None:
    hadolint = Path(sys.executable).with_name("hadolint")
    found = subprocess.run([hadolint, "Containerfile"], cwd=REPOSITORY, capture_output=True, text=True)
    assert found.returncode == 0, found.stdout + found.stderr


def test_the_image_has_an_ordinary_user() -> None:
    [user] = re.findall(r"(?m)^USER (.*)$", (REPOSITORY / "Containerfile").read_text())
    assert int(user) > 0


@pytest.mark.parametrize("example", EXAMPLES)
def test_an_example_gives_up_what_it_does_not_name(example: str) -> None:
    for line in ("read_only: true", "cap_drop: [ALL]", 'security_opt: ["no-new-privileges:true"]'):
        assert f"    {line}\n" in settings(example)


@pytest.mark.parametrize("example", EXAMPLES)
def test_root_a_device_and_capabilities_are_for_the_vpn_alone(example: str) -> None:
    for key in ("user", "devices", "cap_add"):
        assert (f"    {key}: " in settings(example)) == (example == "vpn")


@pytest.mark.parametrize("example", EXAMPLES)
def test_a_secret_is_a_file_and_not_in_the_environment(example: str) -> None:
    assert "SECRET" not in settings(example)
    assert "environment:" not in settings(example)
