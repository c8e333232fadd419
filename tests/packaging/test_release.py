"""scripts/release: what keeps a commit from being a release, and which steps run."""

import importlib.util
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
HEAD, OTHER = "a" * 40, "b" * 40
GOOD = {
    "toxvpn/__init__.py": '"""Doc."""\n\n__version__ = "1.2.3"\n',
    "CHANGELOG.md": "# Changes\n\n## 1.2.3 — 2026-12-01\n\n- this\n\n## 1.2.2 — unreleased\n",
    "debian/changelog": "toxvpn (1.2.3-1) unstable; urgency=medium\n\n  * this\n",
}


def load() -> ModuleType:
    spec = importlib.util.spec_from_file_location("release", REPOSITORY / "scripts/release.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["release"] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


release = load()
Step = release.Step


def problems(tags: dict[str, str] | None = None, changes: tuple[str, ...] = (), **files: str) -> str:
    named = {name: files.get(Path(name).parts[0].partition(".")[0], text) for name, text in GOOD.items()}
    return "; ".join(release.problems_of_version(named, tags or {}, HEAD, changes))


def test_all_agree() -> None:
    assert problems() == ""
    assert problems({"v1.2.3": HEAD, "v1.2.2": OTHER}) == ""


def test_a_heading_that_says_unreleased_is_refused() -> None:
    assert "replace 'unreleased' by the day" in problems(CHANGELOG="## 1.2.3 — unreleased\n")
    assert "replace '' by the day" in problems(CHANGELOG="## 1.2.3\n")


def test_another_version_somewhere_is_refused() -> None:
    assert "'1.2.4 — 2026-12-01', and the package is 1.2.3" in problems(CHANGELOG="## 1.2.4 — 2026-12-01\n")
    assert "and the package is 1.2.3" in problems(debian="toxvpn (1.2.30-1) unstable; urgency=low\n")
    assert "has no __version__" in problems(toxvpn="version = 1\n")


def test_the_debian_version_may_have_an_epoch_and_a_revision() -> None:
    for version in ("1.2.3", "1.2.3-1", "2:1.2.3-1~bpo12+1"):
        assert problems(debian=f"toxvpn ({version}) unstable; urgency=low\n") == ""


def test_an_unreleased_debian_changelog_is_refused() -> None:
    assert "name the suite" in problems(debian="toxvpn (1.2.3-1) UNRELEASED; urgency=low\n")
    assert "begins with ''" in problems(debian="")


def test_a_tag_elsewhere_is_refused() -> None:
    assert "v1.2.3 is on another commit" in problems({"v1.2.3": OTHER})


def test_changed_files_are_refused_and_named() -> None:
    assert problems(changes=("README.md", "new")) == "not everything is committed: README.md, new"


def test_steps_are_chosen_by_name() -> None:
    left = [step.name for step in release.chosen([], ["test", "vagrant-lab"])]
    assert left[:2] == ["version", "check-crypto"] and "vagrant-lab" not in left
    assert [step.name for step in release.chosen(["deb", "version"], [])] == ["version", "deb"]
    with pytest.raises(SystemExit, match="no step 'dep'; the steps are version, test"):
        release.chosen([], ["dep"])


def test_every_step_is_run_but_for_those_that_lack_what_an_earlier_one_makes(
    capsys: pytest.CaptureFixture[str],
) -> None:
    ran: list[str] = []

    def run(step: object) -> bool:
        ran.append(step.name)  # type: ignore[attr-defined]
        return ran[-1] != "a"

    results = release.run_all([Step("a", ""), Step("b", "", needs=("a",)), Step("c", "")], run)
    assert ran == ["a", "c"]
    assert [word for word, _ in results.values()] == ["FAIL", "NOT RUN", "PASS"]
    assert "NOT RUN  b" in capsys.readouterr().out


def test_a_step_whose_maker_was_left_out_takes_what_is_there() -> None:
    assert release.run_all([Step("b", "", needs=("a",))], lambda _: True)["b"][0] == "PASS"


def script(clone: Path, text: str) -> None:
    (clone / "scripts").mkdir()
    (clone / "scripts/a").write_text(f"#!/bin/sh\n{text}\n")
    (clone / "scripts/a").chmod(0o755)


def test_a_script_has_a_log_and_the_end_of_it_is_shown_when_it_fails(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    script(tmp_path, "for n in $(seq 99); do echo line $n; done; exit 3")
    assert not release.run_script(Step("a", ""), tmp_path, tmp_path)
    shown = capsys.readouterr().out
    assert "exit code 3" in shown
    assert "line 99" in shown
    assert "line 50" not in shown
    assert "line 50\n" in (tmp_path / "a.log").read_text()


def test_a_script_runs_in_the_clone_where_skipped_tests_are_failures(tmp_path: Path) -> None:
    script(tmp_path, 'test "$CI" = true && test -e scripts/a')
    assert release.run_script(Step("a", ""), tmp_path, tmp_path)


def test_a_missing_script_fails(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert not release.run_script(Step("a", ""), tmp_path, tmp_path)
    assert "there is no scripts/a" in capsys.readouterr().out


def test_checksums_are_those_of_sha256sum(tmp_path: Path) -> None:
    (tmp_path / "toxvpn.whl").write_bytes(b"wheel")
    assert release.checksums(tmp_path)[0].endswith("  toxvpn.whl")
    release.checksums(tmp_path)  # its own file is not one of them
    subprocess.run(
        ["sha256sum", "--check", "--strict", "SHA256SUMS"], cwd=tmp_path, check=True, capture_output=True
    )
    assert (tmp_path / "SHA256SUMS").read_text().count("\n") == 1


def all_steps(word: str = "PASS") -> dict[str, tuple[str, float]]:
    return {step.name: (word, 1.0) for step in release.STEPS}


def test_the_commands_to_publish_are_shown_only_when_all_steps_passed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert release.report(all_steps(), tmp_path, "1.2.3")
    assert "git tag --sign v1.2.3" in capsys.readouterr().out
    assert not release.report(all_steps() | {"docs": ("FAIL", 1.0)}, tmp_path, "1.2.3")
    assert "twine" not in capsys.readouterr().out
    assert release.report({"docs": ("PASS", 1.0)}, tmp_path, "1.2.3")
    shown = capsys.readouterr().out
    assert "left out: version, test" in shown
    assert "twine" not in shown


def test_the_workflows_are_clean_under_zizmor() -> None:
    """It looks for rights that are too wide, actions that are not pinned, and what strangers could inject."""
    if not (REPOSITORY / ".github").exists():
        pytest.skip("not a clone")
    zizmor = Path(sys.executable).with_name("zizmor")
    command = [str(zizmor), "--offline", "--no-progress", ".github/workflows"]
    found = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True)
    assert found.returncode == 0, found.stdout + found.stderr
