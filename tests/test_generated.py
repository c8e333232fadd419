"""The files that scripts/generate writes from the command line are up to date, complete, and work."""

import os
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from toxvpn import errors
from toxvpn.cli import completion, verbs
from toxvpn.config.model import SECTIONS

ROOT = Path(__file__).parent.parent
CONFIGURATION = ROOT / "docs" / "configuration.md"
PAGE = ROOT / "contrib" / "man" / "toxvpn.1"
COMPLETIONS = ROOT / "contrib" / "completions"


@pytest.fixture
def generate(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """scripts/generate.py"""
    monkeypatch.syspath_prepend(ROOT / "scripts")
    import generate  # type: ignore[import-not-found]

    module: ModuleType = generate
    return module


def test_every_file_is_what_the_program_says_today(generate: ModuleType) -> None:
    old = [path for path, content in generate.generated().items() if path.read_text() != content]
    assert not old, "run scripts/generate"


def test_every_key_is_documented() -> None:
    page, manual = CONFIGURATION.read_text(), PAGE.read_text()
    for section in SECTIONS:
        for name in section.keys:
            assert f"| `{section.name}.{name}` |" in page and f"\\fB{section.name}.{name}\\fR" in manual


def test_the_man_page_has_every_verb_exit_code_and_variable() -> None:
    page = PAGE.read_text()
    for verb in verbs.VERBS:
        assert re.search(rf"^\.SS toxvpn {verb}\b", page, re.MULTILINE), verb
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type)]
    for code in {getattr(kind, "exit_code", 1) for kind in kinds}:
        assert re.search(rf"^\\fB{code}\\fR$", page, re.MULTILINE), code
    sources = "".join(
        path.read_text() for kind in ("*.py", "*.pyx") for path in (ROOT / "toxvpn").rglob(kind)
    )
    for variable in set(re.findall(r"(?<![A-Z_])TOXVPN_[A-Z_]+", sources)):
        assert variable in page, variable


def test_the_man_page_is_sound_roff() -> None:
    for line in PAGE.read_text().splitlines():
        assert line == line.rstrip() and line
        assert not re.match(r"'|\.(?!TH|SH|SS|TP|PP|br|nf|fi|\\\")", line), line
        assert "-" not in line.replace("\\-", ""), line  # a bare one becomes a hyphen, which cannot be pasted


@pytest.mark.parametrize("shell", completion.SHELLS)
def test_the_package_brings_each_shell_its_script(shell: str, generate: ModuleType) -> None:
    script = (COMPLETIONS / generate.COMPLETIONS[shell]).read_text()
    assert f"_TOXVPN_COMPLETE={shell}_complete" in script


def completed(*words: str) -> list[str]:
    """What bash offers for the last word, with the script of the package."""
    where = f"COMP_WORDS=({' '.join(words)}) COMP_CWORD={len(words) - 1}"
    offers = 'printf "%s\\n" "${COMPREPLY[@]}"'
    ran = subprocess.run(
        ["bash", "-c", f'source "{COMPLETIONS}/toxvpn"; {where}; _toxvpn_completion toxvpn; {offers}'],
        env={**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert ran.stderr == ""
    return ran.stdout.split()


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        (("toxvpn", "sta"), ["status"]),
        (("toxvpn", "--roa"), ["--road"]),
        (("toxvpn", "--road", "fa"), ["fast"]),
        (("toxvpn", "-C", "/tmp", "doctor", "--tar"), ["--target"]),
        (("toxvpn", "completion", "f"), ["fish"]),
    ],
)
def test_bash_completes(words: tuple[str, ...], offered: list[str]) -> None:
    assert completed(*words) == offered
