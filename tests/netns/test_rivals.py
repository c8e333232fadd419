"""The benches find out which kinds of interface the kernel makes, before they count on one."""

from bench.rivals import RIVALS, available, kind_of, makes
from lab import Lab


def test_what_the_kernel_makes(lab: Lab) -> None:
    host = lab.host("near", internet=False)
    assert makes(host, "veth")
    assert makes(host, "bridge")  # the one before has left nothing behind
    assert not makes(host, "no-such-kind")
    host.run(["ip", "link", "add", "dev", "one", "type", "bridge"])
    assert kind_of(host, "one") == "bridge"
    assert kind_of(host, "lo") == "None"


def test_who_needs_such_an_interface_runs_only_with_it(lab: Lab) -> None:
    host = lab.host("near", internet=False)
    needed = {name: rival.kinds for name, rival in RIVALS.items() if rival.kinds}
    assert needed.keys() == {"wireguard", "openvpn-dco"}
    for name in available(host, list(needed)):
        assert any(makes(host, kind) for kind in needed[name])
