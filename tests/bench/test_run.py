"""One file has what every bench printed; a bench that runs again replaces its own part of it."""

import sys
from pathlib import Path

import pytest

from bench import run
from bench.recorded import blocks, runs

IDLE = "idle.py\n2026-11-26 10:00 UTC; 2 x one\n\nIdle\n        CPU %\n  ----  -----\n  near   0.25"
CONNECT = (
    "connect.py --runs 2\n2026-11-26 11:00 UTC; 2 x one\nnotes\n\nStart\n        s\n  ---  --\n  any   3"
)


def test_a_page_can_be_read_again() -> None:
    text = run.page({"idle": f"\n{IDLE}\n\n", "connect": CONNECT})
    assert blocks(text) == {"connect": CONNECT, "idle": IDLE}
    assert [found.command for found in runs(text)] == ["connect.py --runs 2", "idle.py"]
    assert text.index("## connect") < text.index("## idle")
    assert run.page(blocks(text)) == text
    assert not any(line != line.rstrip() for line in text.splitlines())


def test_prose_between_blocks_is_no_part_of_them() -> None:
    text = run.page({"idle": IDLE}) + "\nSaid of it.\n\n    an example\n"
    assert blocks(text) == {"idle": IDLE}


def test_every_bench_is_there() -> None:
    for name in run.BENCHES:
        assert Path(run.__file__).with_name(f"{name}.py").exists()


def test_only_names_benches() -> None:
    assert run.chosen("idle, vpn") == ["vpn", "idle"]
    assert run.chosen("") == list(run.BENCHES)
    with pytest.raises(SystemExit, match="there is no vnp; there are vpn, "):
        run.chosen("vnp")


@pytest.fixture
def main(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> Path:
    """The benches are programs that print their second argument, or fail."""
    benches = {"idle": (f"'{IDLE}'", ""), "connect": (f"'{CONNECT}'", ""), "vpn": ("", "")}
    script = "import sys; print(sys.argv[1])"
    monkeypatch.setattr(run, "BENCHES", benches)
    monkeypatch.setattr(run, "module", lambda name, *words: [sys.executable, "-c", script, *words])
    monkeypatch.setattr("os.geteuid", lambda: 0)
    return tmp_path / "made" / "results.md"


def test_all_run_and_those_that_fail_are_named(main: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["run.py", "--file", str(main)])
    with pytest.raises(SystemExit, match="failed: vpn"):
        run.main()
    assert blocks(main.read_text()) == {"idle": IDLE, "connect": CONNECT}


def test_one_that_runs_again_leaves_the_others(main: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    main.parent.mkdir()
    main.write_text(
        run.page({"idle": IDLE.replace("0.25", "0.75"), "vpn": CONNECT.replace("connect", "vpn")})
    )
    monkeypatch.setattr(sys, "argv", ["run.py", "--file", str(main), "--only", "idle"])
    run.main()
    assert blocks(main.read_text()) == {"idle": IDLE, "vpn": CONNECT.replace("connect", "vpn")}
