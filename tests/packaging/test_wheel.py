"""The recipe of the wheels: where the sources come from, and that the source distribution has all of it."""

import hashlib
import importlib.util
import re
import subprocess
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
RECIPE = ROOT / "packaging/wheel"
NOT_SHIPPED = {".gitignore", ".git-blame-ignore-revs"}
"""Files, beside those of .ci and .github, that only the repository needs."""
SHIPPED_ANYWAY = {"LICENSE", "README.md", "pyproject.toml", "setup.py", "MANIFEST.in"}
"""What setuptools adds by itself."""


@pytest.fixture(scope="module")
def sources() -> Any:
    """packaging/wheel/sources.py, which no package holds."""
    spec = importlib.util.spec_from_file_location("wheel_sources", RECIPE / "sources.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_each_source_is_pinned_and_in_two_places(sources: Any) -> None:
    for name, source in sources.pinned().items():
        assert re.fullmatch("[0-9a-f]{64}", source["sha256"]), name
        pool, snapshot = source["urls"]
        assert pool.endswith(f"/{source['file']}"), name
        assert re.fullmatch(r"https://snapshot\.debian\.org/file/[0-9a-f]{40}", snapshot), name


def test_each_patch_is_there_and_complete(sources: Any) -> None:
    """scripts/wheels applies them, to the line; this sees one that an editor broke."""
    own = [patch for source in sources.pinned().values() for patch in source["patches"] if "/" not in patch]
    assert sorted(own) == sorted(path.name for path in RECIPE.glob("*.patch"))
    for name in own:
        for old, new, hunk in re.findall(
            r"^@@ -\d+,(\d+) \+\d+,(\d+) @@.*\n((?:[ +-].*\n)+)", (RECIPE / name).read_text(), re.MULTILINE
        ):
            signs = [line[0] for line in hunk.splitlines()]
            assert (len(signs) - signs.count("+"), len(signs) - signs.count("-")) == (int(old), int(new))


def test_the_library_says_what_its_patch_fixes() -> None:
    """toxvpn/_native/toxcore.pyx looks for this, flaws.py knows the name."""
    patch = (RECIPE / "GHSA-42vg-9mg3-399f.patch").read_text()
    assert '+const char tox_patched_flaws[] = "GHSA-42vg-9mg3-399f";' in patch


def test_the_next_place_is_tried_and_another_file_is_refused(sources: Any, tmp_path: Path) -> None:
    there = tmp_path / "there"
    there.write_bytes(b"the source")
    source = {
        "file": "a.tar.xz",
        "sha256": hashlib.sha256(b"the source").hexdigest(),
        "urls": [(tmp_path / "gone").as_uri(), there.as_uri()],
    }
    assert sources.fetch(source, tmp_path / "kept").read_bytes() == b"the source"
    there.write_bytes(b"another")
    with pytest.raises(SystemExit, match=r"SHA-256 .*; it was removed"):
        sources.fetch(source, tmp_path / "anew")
    assert not (tmp_path / "anew/a.tar.xz").exists()
    with pytest.raises(SystemExit, match="could not be fetched"):
        sources.fetch(source | {"urls": source["urls"][:1]}, tmp_path / "nowhere")


def test_the_source_distribution_has_every_file() -> None:
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True)
    if listed.returncode != 0:
        pytest.skip("not a clone")
    files = [path for path in listed.stdout.splitlines() if not path.startswith((".ci/", ".github/"))]
    rules = [line.split() for line in (ROOT / "MANIFEST.in").read_text().splitlines() if line[:1] not in "#"]
    left = {path for path in files if not taken(path, rules)} - SHIPPED_ANYWAY - NOT_SHIPPED
    assert not left, "MANIFEST.in leaves these out"


def taken(path: str, rules: list[list[str]]) -> bool:
    """Whether a rule of MANIFEST.in includes `path`; its exclusions are about no file of the repository."""
    return any(
        (verb == "graft" and path.startswith(f"{given[0]}/"))
        or (verb == "include" and path in given)
        or (
            verb == "recursive-include"
            and path.startswith(f"{given[0]}/")
            and any(fnmatch(Path(path).name, pattern) for pattern in given[1:])
        )
        for verb, *given in rules
    )
