"""Records the main job, ssh to a server behind a NAT, as docs/media/forward.cast and docs/media/forward.svg.

Programs, output and times are real: three terminals on hosts of the lab, and a private Tox network. Typing is
done here, and a wait in which nothing happens is cut to LONGEST_S.
"""

import os
import pwd
import shutil
import sys
from pathlib import Path

from lab import Host, Lab, apps

from .castsvg import Frame, cast, svg, without_long_waits
from .terminals import USER, Stage, Terminal

ROOT = Path(__file__).parent.parent
MEDIA = ROOT / "docs" / "media"
COLUMNS = 104
LONGEST_S = 2.0
READ_S = 2.0
FILE_MB = 200
FILMS = Path("/tmp/films")  # where the server keeps them
TITLE = "toxvpn: ssh to a server behind a NAT, through a forward"


def main() -> None:
    if os.geteuid() != 0:
        sys.exit("scripts/record makes network namespaces and needs root: sudo scripts/record")
    FILMS.mkdir()
    try:
        frames = without_long_waits(recorded(), LONGEST_S)
    finally:
        shutil.rmtree(FILMS)
    MEDIA.joinpath("forward.cast").write_text(cast(frames, COLUMNS, TITLE))
    MEDIA.joinpath("forward.svg").write_text(svg(frames, COLUMNS, TITLE))
    size = MEDIA.joinpath("forward.svg").stat().st_size
    print(f"docs/media/forward.svg: {len(frames)} frames, {frames[-1].at_s:.0f} s, {size / 1e3:.0f} kB")


def recorded() -> list[Frame]:
    with Lab() as lab:
        lab.bootstrap()
        server = lab.nat("office").host("server")
        laptop = lab.nat("home").host("laptop")
        sshd = apps.sshd(server)
        homes = {host: home(lab, host, sshd) for host in (server, laptop)}
        return record(server, laptop, homes)


def home(lab: Lab, host: Host, sshd: apps.Sshd) -> Path:
    """A home for USER: how to find the lab's Tox network, and a key that the server's sshd takes."""
    directory = host.directory / "home"
    config = directory / ".config" / "toxvpn"
    config.mkdir(parents=True)
    config.joinpath("config.toml").write_text(f'[node]\nnodes_file = "{lab.nodes_json}"\n')
    shutil.copy(sshd.client_key, directory / "key")
    directory.joinpath("ssh_config").write_text(
        f"IdentityFile {directory}/key\nUserKnownHostsFile {sshd.known_hosts}\nStrictHostKeyChecking yes\n"
    )
    directory.joinpath("bashrc").write_text(
        f"PATH={Path(sys.executable).parent}:$PATH\n"
        f"alias ssh='ssh -F ~/ssh_config' scp='scp -F ~/ssh_config'\n"
        f"PS1='\\[\\e[1;32m\\]{host.name}$\\[\\e[0m\\] '\n"
    )
    with directory.joinpath("film.mkv").open("wb") as film:
        film.truncate(FILE_MB << 20)
    account = pwd.getpwnam(USER)
    for path in (directory, *directory.rglob("*")):
        os.chown(path, account.pw_uid, account.pw_gid)
    return directory


def record(server: Host, laptop: Host, homes: dict[Host, Path]) -> list[Frame]:
    serving = Terminal(server, "server, behind a NAT", homes[server], 8, COLUMNS)
    calling = Terminal(laptop, "laptop, behind another NAT", homes[laptop], 7, COLUMNS)
    working = Terminal(laptop, "laptop, another terminal", homes[laptop], 6, COLUMNS)
    stage = Stage([serving, calling, working])
    for terminal in (serving, calling, working):
        stage.wait(terminal, r"\$")
    stage.frames.clear()
    stage.look(0.5)

    stage.type(serving, "toxvpn")
    command = stage.wait(serving, r"on the other side: (TOXVPN_SHARED_SECRET=\S+ toxvpn -i \S+)")[1]
    stage.wait(serving, r"Tox network: udp")
    stage.look(READ_S)

    stage.type(calling, f"{command} -L 2222:localhost:22", paste=True)
    stage.wait(calling, r"listening: ")
    stage.type(working, "ssh -p 2222 root@localhost ip -brief -4 address")
    stage.wait(working, r"192\.168\.\S+")
    stage.look(READ_S)
    stage.type(working, "scp -P 2222 film.mkv root@localhost:/tmp/films")
    stage.wait(working, r"100%[^\n]*\n")
    stage.look(1.0)
    return stage.frames


if __name__ == "__main__":
    main()
