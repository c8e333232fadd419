"""debian/: in step with the program, and complete. scripts/check-deb proves that the package works."""

import re
import tomllib
from pathlib import Path

import toxvpn

REPOSITORY = Path(__file__).parents[2]
DEBIAN = REPOSITORY / "debian"
DEBIANS_NAMES = {"netifaces2": "netifaces"}
"""Of requirements that Debian has under another name (debian/rules)."""
IN_DEBIAN_12 = {
    "click": "8.1.3",
    "dnspython": "2.3.0",
    "jeepney": "0.8.0",
    "netifaces": "0.11.0",
    "platformdirs": "2.6.0",
    "prometheus-client": "0.16.0",
    "pyroute2": "0.7.2",
    "rich": "13.3.1",
    "segno": "1.4.1",
}


def version(text: str) -> tuple[int, ...]:
    return tuple(map(int, text.split(".")))


def test_the_package_has_the_programs_version() -> None:
    first = DEBIAN.joinpath("changelog").read_text().splitlines()[0]
    assert re.fullmatch(r"toxvpn-py \((.+)\) [a-z]+; urgency=[a-z]+", first)
    assert f"({toxvpn.__version__})" in first


def test_what_is_named_is_there() -> None:
    named = set(re.findall(r"contrib/\S+", DEBIAN.joinpath("rules").read_text()))
    for name in ("docs", "examples", "install"):
        lines = DEBIAN.joinpath(f"toxvpn-py.{name}").read_text().splitlines()
        named |= {line.split()[0] for line in lines}
    assert len(named) > 5
    for name in named:
        assert REPOSITORY.joinpath(name).exists(), name
    for link in filter(Path.is_symlink, DEBIAN.iterdir()):
        assert link.resolve(strict=True).is_relative_to(REPOSITORY / "toxvpn")


def test_debian_has_what_the_program_needs() -> None:
    """Bounds that Debian 12 does not meet would make a package that cannot be installed."""
    project = tomllib.loads(REPOSITORY.joinpath("pyproject.toml").read_text())["project"]
    for requirement in project["dependencies"]:
        name, least = requirement.split(">=")
        if name not in DEBIANS_NAMES:
            assert version(least) <= version(IN_DEBIAN_12[name]), requirement
        else:
            assert DEBIANS_NAMES[name] in IN_DEBIAN_12


def test_scripts_of_the_maintainer_end_at_the_first_failure() -> None:
    for name in ("postinst", "prerm", "postrm"):
        text = DEBIAN.joinpath(f"toxvpn-py.{name}").read_text()
        assert text.startswith("#!/bin/sh\nset -e\n") and "\n#DEBHELPER#\n" in text
