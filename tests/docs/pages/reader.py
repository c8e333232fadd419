"""Does what a page says, step by step, and compares."""

import re
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from lab import LabError
from toxvpn.cli.verbs import VERBS

from .elsewhere import check_of
from .markdown import INTERRUPT, Command, File, PageError, steps
from .shapes import ANYTHING, EXAMPLES, Examples, all_of, some_of, tidy
from .stage import Machine, Stage
from .terminal import CTRL_C, POLL_S, Terminal

ENDING_S = 60.0
READY_S = 45.0
SETTLED_S = 0.7
"""A program that goes on is taken to be ready when it has printed something, and then nothing for so long."""
GOING_ON = {"up", "run", "receive"}
ENDS_AT_ONCE = {"--once", "-p", "-P", "-W", "-V", "-h", "--help", "--version", "-z"}
OTHERS_GOING_ON = r"iperf3 (.* )?-s|python3 -m http\.server|journalctl .*-f|tcpdump"
PLACEHOLDER = re.compile(r"<[^<>\n]{1,40}>")


def goes_on(text: str) -> bool:
    """Whether a command runs until it is ended."""
    last = re.split(r"\s*(?:;|&&|\|)\s*", re.sub(r"\s#.*", "", text))[-1]
    bare = re.sub(r"^((sudo|\w+=('[^']*'|\S*))\s+)*", "", last)
    words = bare.split()
    if words[:1] != ["toxvpn"]:
        return bool(re.match(OTHERS_GOING_ON, bare))
    verb = next((word for word in words[1:] if word in VERBS), None)
    backgrounds = words[-1] == "-D" or bool(ENDS_AT_ONCE.intersection(words))
    return not backgrounds and (verb is None or verb in GOING_ON)


@dataclass
class Walk:
    """One pass over a page."""

    stage: Stage
    examples: Examples = field(default_factory=Examples)
    running: dict[tuple[str, str], Terminal] = field(default_factory=dict)
    printed: list[tuple[str, str]] = field(default_factory=list)
    """What each machine has printed, in order."""

    def do(self, step: Command | File, next_text: str) -> None:
        machine = self.stage.machines[step.host]
        if isinstance(step, File):
            machine.write(step.path, self.examples.put_into(step.content))
        elif step.expected == (INTERRUPT,) and (step.host, step.text) in self.running:
            self._interrupt(self.running.pop((step.host, step.text)))
        elif check_of(step.text) is None:
            self._run(machine, step, next_text)

    def _run(self, machine: Machine, step: Command, next_text: str) -> None:
        terminal = machine.type(self._filled(step), as_root=step.as_root)
        try:
            if step.interrupted or goes_on(step.text):
                self._until_ready(terminal, step)
                self.running[step.host, step.text] = terminal
                if step.interrupted:
                    self._interrupt(self.running.pop((step.host, step.text)))
            else:
                self._until_ended(terminal, step, next_text)
        finally:
            self.printed.append((step.host, terminal.output))

    def _until_ended(self, terminal: Terminal, step: Command, next_text: str) -> None:
        code = terminal.end(ENDING_S)
        shown = any(line.strip() != ANYTHING for line in step.expected)
        if code and not (shown or "$?" in next_text):
            raise LabError(f"it ended with {code}, and printed:\n{terminal.output}")
        if step.expected and (wrong := all_of(step.expected, tidy(terminal.output), self.examples)):
            raise LabError(f"{wrong!r} is another line than it printed:\n{terminal.output}")

    def _until_ready(self, terminal: Terminal, step: Command) -> None:
        expected = [line for line in step.expected if line != INTERRUPT]
        deadline = time.monotonic() + READY_S
        while True:
            before = dict(self.examples.known)
            missing = some_of(expected, tidy(terminal.output), self.examples)
            if missing is None and terminal.output and (expected or terminal.quiet_s > SETTLED_S):
                return
            self.examples.known = before
            if terminal.ended or time.monotonic() > deadline:
                how = f"ended with {terminal.end(1)}" if terminal.ended else "goes on"
                raise LabError(f"{missing!r} is not in what it printed; it {how}:\n{terminal.output}")
            time.sleep(POLL_S)

    def _interrupt(self, terminal: Terminal) -> None:
        terminal.type(CTRL_C)
        terminal.end(ENDING_S)

    def _filled(self, step: Command) -> str:
        """The command with this run's values, also for names of what another machine has printed."""
        text = self.examples.put_into(step.text)
        for name in PLACEHOLDER.findall(text):
            if value := self._last_of_others(step.host, name):
                text = text.replace(name, value)
        return text

    def _last_of_others(self, host: str, name: str) -> str | None:
        kind = "token" if re.search("token|invite", name) else "secret" if "ecret" in name else "id"
        found = [
            value
            for other, output in [*self.printed, *self._being_printed()]
            if other != host
            for value in re.findall(EXAMPLES[kind], output)
        ]
        return found[-1] if found else None

    def _being_printed(self) -> list[tuple[str, str]]:
        return [(host, terminal.output) for (host, _), terminal in self.running.items()]


def walk(page: Path, stage: Stage) -> None:
    """Raises PageError, naming the line of the page, when something is not as it says."""
    walked = Walk(stage)
    todo = named(steps(page), next(iter(stage.machines)))
    for step, following in zip(todo, [*todo[1:], None], strict=False):
        next_text = following.text if isinstance(following, Command) else ""
        try:
            walked.do(step, next_text)
        except (LabError, KeyError) as error:
            what = step.text if isinstance(step, Command) else step.path
            raise PageError(f"{page}:{step.line}: {step.host}$ {what}\n{error}") from None


def named(todo: Sequence[Command | File], first: str) -> list[Command | File]:
    """With the machine of the one before where a prompt names none."""
    found: list[Command | File] = []
    for step in todo:
        host = step.host or (found[-1].host if found else first)
        found.append(
            File(host, step.path, step.content, step.line)
            if isinstance(step, File)
            else Command(host, step.as_root, step.text, step.expected, step.line)
        )
    return found
