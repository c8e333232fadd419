"""What the how-to pages tell readers to type does what they say, on machines of a private Tox network.

CI walks some of the pages, as each takes up to half a minute; `scripts/check-howto` walks all of them, with
the programs for all of their commands.
"""

import os
import re
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
from neighbours import TAILSCALE
from resolved import start_resolved

from lab import Host, Lab

from .pages import ELSEWHERE, Stage, steps, walk

ROOT = Path(__file__).parents[2]
HOWTO = ROOT / "docs/howto"
NETNS = ROOT / "tests/netns"
CHECK = "scripts/check-howto"
EVERY_PAGE = "TOXVPN_EVERY_PAGE" in os.environ
IN_CI = ("from-cpp-toxvpn", "from-tuntox", "site-to-site")

PROXY = f"systemd-run -q {sys.executable} {ROOT}/lab/proxy.py"
WEB_PAGE = """
mkdir /srv/www
echo the camera >/srv/www/index.html
systemd-run -q python3 -m http.server -d /srv/www"""
NOTES = """
su -l ann -c 'git init -q notes && cd notes && touch README && git add README &&
  git -c user.name=ann -c user.email=ann@box commit -qm first'"""
SERVE = """
toxvpn service install
printf '[server]\\n[peers.caller]\\nid = "{}"\\n' >/etc/toxvpn/config.toml
systemctl start toxvpn"""
CPP = f"""
rm /usr/local/bin/toxvpn
cat >/usr/local/bin/toxvpn <<'END'
#!/bin/sh
{sys.executable} {NETNS}/cpp_peer.py /etc/nodes.json "$2" "$4" | sed -u "s/.*/my id is & and IP is $2/"
END
chmod +x /usr/local/bin/toxvpn"""


def behind_a_firewall(lab: Lab) -> Mapping[str, Host]:
    """`work` gets out to port 443 and to the proxy, which has the address that the page has."""
    company, street, proxy = lab.nat("company"), lab.nat("street"), lab.host("proxy")
    company.namespace.nft(
        "table ip firewall { chain forward { type filter hook forward priority 5\n"
        f'iifname "lan" ip daddr {proxy.ipv4} tcp dport 3128 accept\n'
        'iifname "lan" tcp dport 443 accept\niifname "lan" drop\n}\n}'
    )
    return {"home": street.host("home"), "work": company.host("work"), "proxy": proxy}


def two_sites(lab: Lab) -> Mapping[str, Host]:
    """Two machines behind each of two routers, with the addresses of the page too; and a laptop elsewhere."""
    hosts = {}
    for net, router, names in ((10, "nata", ("gwa", "pc")), (20, "natb", ("gwb", "camera"))):
        nat = lab.nat(router)
        for number, name in enumerate(names, 2):
            hosts[name] = nat.host(name)
            for address in (f"192.168.{net}.{number}/24", f"fd00:{net}::{number}/64"):
                hosts[name].run(["ip", "address", "add", address, "dev", "eth0"])
    return hosts | {"laptop": lab.nat("cafe").host("laptop")}


def behind_a_user(lab: Lab) -> Mapping[str, Host]:
    """`pi` has a LAN, with `nas` on it."""
    pi = lab.site("pi", "10.0.0.0/24", "fd00:10::/64")
    return {"laptop": lab.host("laptop"), "box": lab.host("box"), "pi": pi, "nas": pi.host("nas")}


STAGES = {
    "company-firewall": lambda: Stage(hosts=behind_a_firewall),
    "exit": lambda: Stage("laptop", "box"),
    "from-cpp-toxvpn": lambda: Stage("new", "old"),
    "from-tuntox": lambda: Stage("server", "laptop"),
    "games-and-discovery": lambda: Stage("box", "laptop"),
    "how-fast": lambda: Stage("laptop", "box"),
    "home-server-behind-cgnat": lambda: Stage("server", "laptop", "tablet"),
    "names": lambda: Stage("laptop", "box"),
    "many-machines": lambda: Stage("laptop", "a", "b"),
    "other-vpns": lambda: Stage("laptop", "box"),
    "publish-a-local-server": lambda: Stage("vps", "laptop"),
    "raspberry-pi": lambda: Stage("pi", "laptop"),
    "send-files": lambda: Stage("box", "laptop"),
    "site-to-site": lambda: Stage(hosts=two_sites),
    "ssh-git-rsync-ansible-sshfs": lambda: Stage("laptop", "box", "nas"),
    "tor-and-proxies": lambda: Stage("laptop", "server"),
    "unix-sockets": lambda: Stage("laptop", "box"),
    "without-root": lambda: Stage(hosts=behind_a_user),
    "who-may-reach-what": lambda: Stage("box", "laptop"),
}


def prepare(page: str, stage: Stage) -> None:
    """Make what the page takes to be there."""
    machines = stage.machines
    match page:
        case "company-firewall":
            machines["proxy"].run(f"{PROXY} 3128")
            serve(stage, "home", caller="work")
        case "from-cpp-toxvpn":
            machines["old"].run(CPP)
        case "from-tuntox":
            machines["server"].run("mkdir /etc/tuntox; toxvpn -C /etc/tuntox id")
        case "home-server-behind-cgnat":
            machines["server"].run(f"{WEB_PAGE} --bind 127.0.0.1 8096")
        case "names":
            start_resolved(machines["laptop"].booted)
        case "other-vpns":
            TAILSCALE.on(machines["laptop"].booted.host)
        case "publish-a-local-server":
            machines["laptop"].run(f"{WEB_PAGE} --bind 127.0.0.1 3000")
        case "site-to-site":
            machines["camera"].run(f"{WEB_PAGE} 80")
        case "ssh-git-rsync-ansible-sshfs":
            serve(stage, "box", "nas", caller="laptop")
            machines["box"].run(NOTES)
            machines["laptop"].run("mknod /dev/fuse c 10 229; chmod 666 /dev/fuse")
        case "tor-and-proxies":
            machines["laptop"].run(f"{PROXY} 9050")
            serve(stage, "server", caller="laptop")
        case "unix-sockets":
            machines["box"].run(f"groupadd docker; systemd-run -q {sys.executable} {NETNS}/docker_ping.py")
        case "without-root":
            machines["nas"].run(f"{WEB_PAGE} 80; echo the page of the NAS >/srv/www/index.html")
        case "who-may-reach-what":
            machines["box"].run(f"{WEB_PAGE} 80; echo the page of box >/srv/www/index.html")


def serve(stage: Stage, *servers: str, caller: str) -> None:
    """Serve, and let in ann of `caller`."""
    tox_id = stage.machines[caller].run("su -l ann -c 'toxvpn id'").strip()
    for server in servers:
        stage.machines[server].run(SERVE.format(tox_id))


@pytest.fixture
def programs(monkeypatch: pytest.MonkeyPatch) -> None:
    """What CHECK is for is done here too, where its programs are installed."""
    for pattern in [pattern for pattern, check in ELSEWHERE.items() if check == CHECK]:
        if all(map(shutil.which, re.findall(r"\b(rsync|ansible|sshfs|tcpdump)\b", pattern))):
            monkeypatch.delitem(ELSEWHERE, pattern)


@pytest.mark.parametrize("page", STAGES if EVERY_PAGE else IN_CI)
def test_the_page_is_true(page: str, on_stage: None, programs: None) -> None:
    with STAGES[page]() as stage:
        prepare(page, stage)
        walk(HOWTO / f"{page}.md", stage)


@pytest.mark.parametrize("page", STAGES)
def test_a_page_says_how_to_check_and_how_to_undo_it(page: str) -> None:
    text = HOWTO.joinpath(f"{page}.md").read_text()
    assert steps(HOWTO / f"{page}.md")
    for heading in ("## How to check", "## How to undo it", "## If it does not work"):
        assert heading in text, heading
