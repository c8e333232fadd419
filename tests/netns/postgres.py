"""A PostgreSQL of a test's own on a host of the lab: Debian's, as an ordinary user."""

from pathlib import Path

from forwards import USER, private_directory

from lab import Host
from lab.apps import wait_listening
from lab.require import require

PORT = 5432
SETTINGS = {"listen_addresses": "127.0.0.1", "unix_socket_directories": "", "fsync": "off"}


def postgres(host: Host) -> None:
    """Start it on 127.0.0.1; it trusts who connects as user postgres."""
    programs = newest()
    require(*map(str, programs.values()))
    directory = private_directory(host, "postgres")
    made = [programs["initdb"], "-D", directory, "-U", "postgres", "-A", "trust", "--no-locale", "--no-sync"]
    host.run([*map(str, made)], user=USER)
    settings = [f"--{name}={value}" for name, value in SETTINGS.items()]
    argv = [str(programs["postgres"]), "-D", str(directory), *settings]
    with host.directory.joinpath("postgres.log").open("wb") as log:
        process = host.popen(argv, user=USER, stderr=log)
    wait_listening(process, PORT)


def newest() -> dict[str, Path]:
    """The programs by their names, of which Debian has a directory for each version."""
    versions = Path("/usr/lib/postgresql").glob("*/bin")
    found = max(versions, default=Path(), key=lambda each: int(each.parent.name))
    return {name: found / name for name in ("initdb", "postgres")}
