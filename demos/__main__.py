"""Show what toxvpn does, step by step: `python3 -m demos [DEMO…]`."""

import argparse
import os
import sys
import time
from contextlib import AbstractContextManager

from . import demonstrations
from .machine import DemoError, Scene
from .steps import say, verdict
from .virtual import virtual


def main() -> int:
    demos = {demo.__name__: demo for demo in demonstrations.DEMOS}
    described = "\n".join(f"  {name:9} {demo.__doc__}" for name, demo in demos.items())
    parser = argparse.ArgumentParser(
        prog="demos",
        description=f"{__doc__}\n\n{described}\n  all       All of them.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("demos", nargs="*", default="all", metavar="DEMO", help="[default: all]")
    parser.add_argument(
        "--vagrant", action="store_true", help="on the machines of `vagrant up`, not in network namespaces"
    )
    chosen = parser.parse_args()
    names = list(demos) if "all" in chosen.demos else chosen.demos
    if unknown := set(names) - set(demos):
        parser.error(
            f"there is no demonstration named {', '.join(unknown)}; there are {', '.join(demos)}, all"
        )
    with virtual() if chosen.vagrant else namespaces() as scene:
        verdicts = {name: show_one(scene, demos[name]) for name in names}
    say()
    for name, word in verdicts.items():
        say(f"{verdict(word)}  {name}")
    return "FAIL" in verdicts.values()


def namespaces() -> AbstractContextManager[Scene]:
    if os.geteuid() != 0:
        sys.exit("network namespaces need root: sudo scripts/demo")
    from .namespaces import namespaces  # needs more than the standard library

    return namespaces()


def show_one(scene: Scene, demo: demonstrations.Demo) -> str:
    began_s = time.monotonic()
    say(f"\n== {demo.__name__}: {demo.__doc__}")
    if absent := demonstrations.missing_programs(scene, demo):
        say(f"{verdict('SKIP')}  not installed: {', '.join(absent)}")
        return "SKIP"
    try:
        demo(scene)
    except DemoError as error:
        say(f"{verdict('FAIL')}  {demo.__name__}: {error}")
        return "FAIL"
    say(f"{verdict('PASS')}  {demo.__name__} ({time.monotonic() - began_s:.0f} s)")
    return "PASS"


if __name__ == "__main__":
    sys.exit(main())
