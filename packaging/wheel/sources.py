"""Fetches, checks, unpacks and patches the sources of the bundled libraries (sources.toml)."""

import hashlib
import shutil
import subprocess
import tomllib
import urllib.request
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
FETCH_TIMEOUT_S = 60


def pinned() -> dict[str, Any]:
    return tomllib.loads((HERE / "sources.toml").read_text())


def fetch(source: dict[str, Any], folder: Path) -> Path:
    """The archive of `source` in `folder`, from the first place that has it; its hash is right."""
    archive = folder / str(source["file"])
    folder.mkdir(parents=True, exist_ok=True)
    refused = []
    for url in () if archive.exists() else source["urls"]:
        try:
            with urllib.request.urlopen(url, timeout=FETCH_TIMEOUT_S) as response:
                archive.write_bytes(response.read())
            break
        except OSError as error:
            refused.append(f"{url}: {error}")
    if not archive.exists():
        raise SystemExit("\n".join([f"{archive.name} could not be fetched; put it into {folder}", *refused]))
    found = hashlib.sha256(archive.read_bytes()).hexdigest()
    if found != source["sha256"]:
        archive.unlink()
        raise SystemExit(f"{archive.name} has the SHA-256 {found}, not {source['sha256']}; it was removed")
    return archive


def unpack(archive: Path, folder: Path) -> Path:
    """Unpack into `folder`, made anew; returns the one folder in it."""
    shutil.rmtree(folder, ignore_errors=True)
    shutil.unpack_archive(archive, folder)
    (only,) = folder.iterdir()
    return only


def prepare(archives: Path, work: Path) -> dict[str, Path]:
    """The patched source trees, by name."""
    sources = pinned()
    trees = {name: unpack(fetch(source, archives), work / name) for name, source in sources.items()}
    for name, source in sources.items():
        for patch in source["patches"]:
            debian = patch.startswith("debian/")
            file = trees[f"{name}-debian"].parent / patch if debian else HERE / patch
            subprocess.run(["patch", "-s", "-p1", "-F0", "-i", file], cwd=trees[name], check=True)
    return trees
