"""pyroute2 is loaded by halves, and whole for who asks for the rest."""

import subprocess

from toxvpn.interpreter import command_line

COUNT = "len([name for name in sys.modules if name.startswith('pyroute2')])"


def printed(code: str) -> list[str]:
    done = subprocess.run(command_line(code, []), stdout=subprocess.PIPE, text=True, check=True)
    return done.stdout.split()


def test_half_of_its_modules_do() -> None:
    ours, all_of_it = printed(
        f"from toxvpn.tun.host.pyroute import IPRoute; IPRoute().close(); print({COUNT}); "
        f"from pyroute2 import NDB; print({COUNT})"
    )
    assert int(ours) < 100
    assert int(all_of_it) > 150


def test_it_is_the_same_for_who_uses_it_beside_us() -> None:
    code = "from toxvpn.tun.host import pyroute; import pyroute2; "
    same = "print(pyroute2.IPRoute is pyroute.IPRoute, pyroute2.NetlinkError is pyroute.NetlinkError)"
    assert printed(code + same) == ["True", "True"]
    assert printed(f"import pyroute2; {code}{same}") == ["True", "True"], "loaded before us"
    assert printed(code + "print(pyroute2.netlink.exceptions.__name__)") == ["pyroute2.netlink.exceptions"]


def test_a_name_that_it_does_not_have_is_an_error() -> None:
    code = "from toxvpn.tun.host import pyroute; import pyroute2; print(hasattr(pyroute2, 'nothing'))"
    assert printed(code) == ["False"]
