"""Builds, tests and checks a release in a clean clone, and stops before the upload: scripts/release -h.

A step is a script of the clone, with a log file of its own. All steps run, though an earlier one failed, but
for those that need what it makes. At the end stand the times, the files of dist/ with their checksums, and
the commands that a person types to publish them.
"""

import argparse
import contextlib
import hashlib
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

SOURCE = Path(__file__).resolve().parents[1]
LAST_LINES = 15
UNRELEASED = "unreleased"


@dataclass(frozen=True)
class Step:
    name: str
    what: str
    needs: tuple[str, ...] = ()  # steps that make what it takes


STEPS = (
    Step("version", "tag, CHANGELOG, package and debian/changelog agree, and nothing is uncommitted"),
    Step("test", "style, types and every test"),
    Step("check-crypto", "encryption for other processors too, and nothing decided by secrets"),
    Step("docs", "the site, without warnings"),
    Step("check-howto", "the how-to pages, walked as a reader would"),
    Step("check-install", "the tutorial's installation from source, in bare Debians"),
    Step("wheels", "wheels and source distribution, into dist/"),
    Step("check-wheels", "the wheels in bare Debians", needs=("wheels",)),
    Step("deb", "the Debian package, into dist/"),
    Step("check-deb", "install, upgrade, remove, purge", needs=("deb",)),
    Step("container", "the image, and its use on two hosts", needs=("wheels",)),
    Step("vagrant-lab", "the demos on virtual machines"),
)


# the version


def version_of_package(text: str) -> str:
    found = re.search(r'^__version__ = "([^"]+)"$', text, re.MULTILINE)
    return found[1] if found else ""


def problems_of_version(
    files: Mapping[str, str], tags: Mapping[str, str], head: str, changes: Sequence[str]
) -> list[str]:
    """What keeps this commit from being a release. `tags`: their commits; `changes`: files."""
    version = version_of_package(files["toxvpn/__init__.py"])
    if not version:
        return ["toxvpn/__init__.py has no __version__"]
    problems = [
        *problems_of_changelog(files["CHANGELOG.md"], version),
        *problems_of_debian(files["debian/changelog"], version),
    ]
    if tags.get(f"v{version}", head) != head:
        problems.append(f"the tag v{version} is on another commit: raise the version")
    if changes:
        problems.append(f"not everything is committed: {', '.join(changes)}")
    return problems


def problems_of_changelog(text: str, version: str) -> list[str]:
    heading = next((line[3:] for line in text.splitlines() if line.startswith("## ")), "")
    found, _, date = heading.partition(" — ")
    if found != version:
        return [f"CHANGELOG.md begins with {heading!r}, and the package is {version}"]
    if not re.fullmatch(r"\d{4}-\d\d-\d\d", date):
        return [f"CHANGELOG.md says {heading!r}: replace {date!r} by the day of the release, as 2026-01-31"]
    return []


def problems_of_debian(text: str, version: str) -> list[str]:
    found = re.match(r"\S+ \((?:\d+:)?([^)]+?)(?:-[^-)]+)?\) (\S+);", text)
    if not found or found[1] != version:
        return [f"debian/changelog begins with {text.partition(chr(10))[0]!r}, and the package is {version}"]
    if found[2].lower() == UNRELEASED:
        return [f"debian/changelog says {found[2]}: name the suite, as `dch --release` does"]
    return []


def check_version(clone: Path) -> list[str]:
    """The same, of a clone. The tree that it was cloned from has to be clean."""
    names = ("toxvpn/__init__.py", "CHANGELOG.md", "debian/changelog")
    files = {name: (clone / name).read_text() if (clone / name).exists() else "" for name in names}
    form = "--format=%(refname:short) %(*objectname)%(objectname)"  # of a signed tag: its commit, and itself
    lines = (line.split() for line in git("for-each-ref", form, "refs/tags").splitlines())
    tags = {name: commit[:40] for name, commit in lines}
    changes = [git("diff", "--name-only", "HEAD"), git("ls-files", "--others", "--exclude-standard")]
    return problems_of_version(files, tags, git("rev-parse", "HEAD"), "\n".join(changes).split())


def git(*words: str, place: Path = SOURCE) -> str:
    return subprocess.run(
        ["git", "-C", place, *words], check=True, stdout=subprocess.PIPE, text=True
    ).stdout.strip()


# the steps


def chosen(only: Sequence[str], skip: Sequence[str]) -> list[Step]:
    names = [step.name for step in STEPS]
    for name in (*only, *skip):
        if name not in names:
            raise SystemExit(f"release: there is no step {name!r}; the steps are {', '.join(names)}")
    return [step for step in STEPS if (not only or step.name in only) and step.name not in skip]


def run_all(steps: Sequence[Step], run: Callable[[Step], bool]) -> dict[str, tuple[str, float]]:
    """Runs them in their order and prints a line for each; the word and the seconds of each."""
    results: dict[str, tuple[str, float]] = {}
    for step in steps:
        lost = [name for name in step.needs if results.get(name, ("PASS",))[0] != "PASS"]
        print(f"....  {step.name}: {step.what}", flush=True)
        began_s = time.monotonic()
        word = "NOT RUN" if lost else "PASS" if run(step) else "FAIL"
        results[step.name] = word, time.monotonic() - began_s
        print(f"{word}  {step.name} {results[step.name][1]:.0f} s", flush=True)
    return results


def run_script(step: Step, clone: Path, logs: Path) -> bool:
    """Runs its script in a process group of its own, which ends with us."""
    path = logs / f"{step.name}.log"
    with path.open("wb") as log:
        try:
            process = subprocess.Popen(
                [f"scripts/{step.name}"],
                cwd=clone,
                env={**os.environ, "CI": "true"},  # a skipped test is a failure
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        except FileNotFoundError:
            print(f"      there is no scripts/{step.name}")
            return False
        try:
            code = process.wait()
        except BaseException:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGTERM)
            process.wait()
            raise
    if code:
        print(f"      exit code {code}; the end of {path}:")
        for line in path.read_text(errors="replace").splitlines()[-LAST_LINES:]:
            print(f"      {line}")
    return code == 0


def fresh_clone(place: Path) -> Path:
    """A clone of the committed HEAD; one of the same commit is kept, with what was built in it."""
    clone, head = place / "clone", git("rev-parse", "HEAD")
    if not (clone / ".git").exists() or git("rev-parse", "HEAD", place=clone) != head:
        shutil.rmtree(clone, ignore_errors=True)
        subprocess.run(["git", "clone", "--quiet", "--no-hardlinks", SOURCE, clone], check=True)
        subprocess.run(["git", "-C", clone, "checkout", "--quiet", "--detach", head], check=True)
    return clone


# the end


def checksums(dist: Path) -> list[str]:
    """Writes SHA256SUMS; a line for each file of dist/, with its size."""
    files = sorted(path for path in dist.glob("*") if path.is_file() and path.name != "SHA256SUMS")
    sums = {path: hashlib.sha256(path.read_bytes()).hexdigest() for path in files}
    if files:
        (dist / "SHA256SUMS").write_text("".join(f"{digest}  {path.name}\n" for path, digest in sums.items()))
    return [f"{path.stat().st_size / 1e6:6.1f} MB  {digest}  {path.name}" for path, digest in sums.items()]


def commands(version: str, dist: Path) -> list[str]:
    """What a person types then."""
    return [
        f"git tag --sign v{version} --message 'toxvpn {version}' && git push origin v{version}",
        f"gpg --armor --detach-sign {dist}/SHA256SUMS",
        f"twine upload {dist}/*.whl {dist}/*.tar.gz",
        f"podman push localhost/toxvpn docker://REGISTRY/toxvpn:{version}",
        "and attach dist/ to the release of the tag",
    ]


def report(results: Mapping[str, tuple[str, float]], dist: Path, version: str) -> bool:
    print("\nstep          result   time")
    for name, (word, seconds) in results.items():
        print(f"{name:13} {word:7} {seconds:5.0f} s")
    print("", *checksums(dist), sep="\n")
    failed = [name for name, (word, _) in results.items() if word != "PASS"]
    left_out = [step.name for step in STEPS if step.name not in results]
    if left_out:
        print(f"\nleft out: {', '.join(left_out)}")
    if failed:
        print(f"\nrelease: FAIL: {', '.join(failed)}")
    elif left_out:
        print("\nrelease: PASS as far as it went; all steps have to pass before anything is published")
    else:
        print(f"\nrelease: PASS. Nothing is published yet; to publish toxvpn {version}:\n")
        print("\n".join(f"    {line}" for line in commands(version, dist)))
    return not failed


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/release", description=__doc__.partition("\n")[0])
    parser.add_argument("--only", action="append", default=[], metavar="STEP", help="this step; repeatable")
    parser.add_argument("--skip", action="append", default=[], metavar="STEP", help="all but it; repeatable")
    parser.add_argument("--work", type=Path, metavar="DIR", help="for clone and logs; build/release")
    parser.epilog = "steps: " + ", ".join(step.name for step in STEPS)
    arguments = parser.parse_args()
    steps = chosen(arguments.only, arguments.skip)
    place = (arguments.work or SOURCE / "build/release").resolve()
    place.mkdir(parents=True, exist_ok=True)
    clone = fresh_clone(place)
    print(f"release: {git('rev-parse', '--short', 'HEAD')} in {clone}; logs in {place}")

    def run(step: Step) -> bool:
        if step.name != "version":
            return run_script(step, clone, place)
        problems = check_version(clone)
        print("".join(f"      {problem}\n" for problem in problems), end="")
        return not problems

    results = run_all(steps, run)
    version = version_of_package((clone / "toxvpn/__init__.py").read_text())
    return 0 if report(results, clone / "dist", version) else 1


if __name__ == "__main__":
    sys.exit(main())
