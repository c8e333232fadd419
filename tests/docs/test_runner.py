"""The runner of pages: what it takes for a command, which output it accepts, and that a wrong page fails."""

from pathlib import Path

import pytest

from .pages import ELSEWHERE, Command, File, PageError, Stage, check_of, steps, walk
from .pages.reader import goes_on
from .pages.shapes import Examples, all_of, some_of, tidy

ID, OTHER = "9BEBD4BC6B35" * 6 + "9BEB", "0123456789AB" * 6 + "CDEF"
PAGE = """
```console
server$ toxvpn id   # its ID
<ToxID>

laptop# cat <<END \\
  | wc -l
one
END
1
$ sleep 9
^C
```

<!-- file server:~/x.toml -->
```toml
key = 1
```

```toml
other = 1
```
"""


def page(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "page.md"
    path.write_text(text)
    return path


def block(*lines: str) -> str:
    return "\n".join(["```console", *lines, "```"])


def test_commands_and_files_are_found_in_order(tmp_path: Path) -> None:
    assert steps(page(tmp_path, PAGE)) == [
        Command("server", False, "toxvpn id   # its ID", ("<ToxID>",), 3),
        Command("laptop", True, "cat <<END | wc -l\none\nEND", ("1",), 6),
        Command("", False, "sleep 9", ("^C",), 11),
        File("server", "~/x.toml", "key = 1\n", 16),
    ]


@pytest.mark.parametrize(
    "text",
    [
        "text\n\n    toxvpn up\n",
        "```\ntoxvpn up\n```",
        "```text\nserver$ toxvpn up\n```",
        "```console\ntoxvpn up\n```",
        "```console\n# toxvpn up\n```",
    ],
)
def test_what_could_be_a_command_must_be_one(tmp_path: Path, text: str) -> None:
    with pytest.raises(PageError, match=r"page\.md:\d"):
        steps(page(tmp_path, text))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("toxvpn", True),
        ("toxvpn   # a server", True),
        ("TOXVPN_SHARED_SECRET=x toxvpn -i <ToxID> -L 2222:localhost:22", True),
        ("sudo toxvpn up --peer <ToxID>", True),
        ("sudo toxvpn invite; sudo toxvpn up", True),
        ("iperf3 -s", True),
        ("toxvpn -i <ToxID> -p", False),
        ("toxvpn -z -F pid", False),
        ("toxvpn -D", False),
        ("sudo toxvpn status", False),
        ("toxvpn peer add <ToxID> --name up", False),
        ("iperf3 -c 10.0.0.1", False),
    ],
)
def test_what_goes_on(text: str, expected: bool) -> None:
    assert goes_on(text) is expected


@pytest.mark.parametrize(
    ("expected", "line"),
    [
        (ID, OTHER),
        (f"toxvpn -i {ID} -L 1:a:1", f"toxvpn -i {OTHER} -L 1:a:1"),
        ("pong from 9BEBD4BC via udp in 0.42 ms", "pong from 01234567 via udp in 12.3 ms"),
        ("toxvpn0 is up: 10.1.2.3, fd74:6f78::1", "toxvpn0 is up: 10.250.0.9, fd74:6f78:2::ff"),
        ("10:31:02  online", "23:59:00 online"),
        ("… is up", "anything at all is up"),
        ("the key is <key>", "the key is abc"),
    ],
)
def test_a_line_of_the_same_form(expected: str, line: str) -> None:
    assert Examples().match(expected, line)


@pytest.mark.parametrize(
    ("expected", "line"),
    [(ID, OTHER[:64]), ("in 0.42 ms", "in vain"), ("via udp", "via tcp-relay"), ("a.b", "aXb"), ("a", "a b")],
)
def test_another_line(expected: str, line: str) -> None:
    assert not Examples().match(expected, line)


def test_an_example_stands_for_one_value() -> None:
    examples = Examples()
    assert examples.match(f"{ID} at 10.0.0.1", f"{OTHER} at 10.7.7.7")
    assert not examples.match(ID, ID)
    assert examples.put_into(f"ping 10.0.0.1; ping 10.0.0.12; toxvpn -i {ID}") == (
        f"ping 10.7.7.7; ping 10.0.0.12; toxvpn -i {OTHER}"
    )


@pytest.mark.parametrize(
    ("expected", "lines", "wrong"),
    [
        (["a", "b"], ["a", "", "b"], None),
        (["a", "b"], ["a", "x", "b"], "b"),
        (["a"], ["a", "b"], "b"),
        (["a", "b"], ["a"], "b"),
        (["a", "…", "d"], ["a", "b", "c", "d"], None),
        (["a", "…"], ["a", "b", "c"], None),
    ],
)
def test_all_lines_are_those_shown(expected: list[str], lines: list[str], wrong: str | None) -> None:
    assert all_of(expected, lines, Examples()) == wrong


def test_some_lines_come_in_the_order_shown() -> None:
    assert some_of(["a", "c"], ["a", "b", "c"], Examples()) is None
    assert some_of(["c", "a"], ["a", "b", "c"], Examples()) == "a"


def test_a_terminal_shows_what_was_written_last() -> None:
    assert tidy("\x1b[1ma\x1b[0m\r\n10 %\r20 %\r\nb  ") == ["a", "20 %", "b"]


def test_elsewhere_is_by_whole_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(ELSEWHERE, r"pipx install .*", "scripts/setup")
    assert check_of("pipx install .     # in a clone") and not check_of("echo pipx install .")


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        (["server$ hostname", "laptop"], "another line"),
        (["server$ false"], "ended with 1"),
        (["server$ toxvpn -L nonsense"], "ended with 2"),
        (["box$ true"], "box"),
    ],
)
def test_a_wrong_page_fails(tmp_path: Path, on_stage: None, lines: list[str], said: str) -> None:
    with Stage("server") as stage, pytest.raises(PageError, match=rf"(?s)page\.md:2.*{said}"):
        walk(page(tmp_path, block(*lines)), stage)


def test_a_right_page_passes(tmp_path: Path, on_stage: None) -> None:
    lines = [
        "server$ cd /tmp; export WORD=here",
        "server$ echo $WORD $PWD; hostname; id -un",
        "here /tmp",
        "server",
        "ann",
        "server# id -un",
        "root",
        "server$ sudo id -un",
        "root",
        "server$ toxvpn peer add nonsense",
        "toxvpn: …",
        "server$ toxvpn",
        "<ToxID>",
        "on the other side: TOXVPN_SHARED_SECRET=<secret> toxvpn -i <ToxID> -L 2222:localhost:22",
        "server$ toxvpn id",
        "<ToxID>",
        "server$ toxvpn",
        "^C",
        "server$ toxvpn status",
        "toxvpn: …",
        "server$ cat ~/note; ls -l ~/note | cut -d' ' -f3",
        "word",
        "ann",
    ]
    note = "<!-- file server:~/note -->\n```text\nword\n```\n"
    with Stage("server") as stage:
        walk(page(tmp_path, note + block(*lines)), stage)
