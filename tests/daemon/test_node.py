"""What every run has: locked, saved, and let go of in every case."""

from pathlib import Path

import pytest

from toxvpn.config.options import NodeOptions
from toxvpn.daemon.node import base
from toxvpn.errors import ConfigError, ToxvpnError
from toxvpn.members.grants import Grant
from toxvpn.members.grants import load as load_book
from toxvpn.process.life import LIFE, Life
from toxvpn.process.notify import Notifier
from toxvpn.state.identity import Identity, IdentityInUseError
from toxvpn.testing.fake_tox import FakeNetwork


@pytest.fixture
def options(nodes_file: Path, network: FakeNetwork) -> NodeOptions:
    return NodeOptions(nodes_file=nodes_file)


def free(directory: Path) -> bool:
    """Whether another process could take the identity."""
    Identity.open(directory).close()
    return True


async def test_one_run_at_a_time_has_an_identity(options: NodeOptions, tmp_path: Path) -> None:
    async with base(options, tmp_path) as run:
        with pytest.raises(IdentityInUseError):
            async with base(options, tmp_path):
                pass
        run.node.turn()
    assert run.node.closed
    assert free(tmp_path)


async def test_what_was_learnt_is_kept(options: NodeOptions, tmp_path: Path, network: FakeNetwork) -> None:
    stranger = bytes([7]) * 32
    async with base(options, tmp_path) as run:
        own = run.node.tox.public_key
        run.node.accept(stranger)
        run.book.authorise(stranger, Grant.ACCEPT, 1.0)
    async with base(options, tmp_path) as run:
        assert run.node.tox.public_key == own
        assert [peer.public_key for peer in run.node] == [stranger]
    assert stranger in load_book(tmp_path)
    assert not network.members


async def test_a_passing_identity_leaves_nothing(options: NodeOptions, tmp_path: Path) -> None:
    before = set(tmp_path.iterdir())
    async with base(options, None) as run:
        own = run.node.tox.public_key
    async with base(options, None) as run:
        assert run.node.tox.public_key != own
    assert set(tmp_path.iterdir()) == before


async def test_the_tox_id_is_written_where_it_is_wanted(
    nodes_file: Path, tmp_path: Path, network: FakeNetwork
) -> None:
    wanted = tmp_path / "id"
    async with base(NodeOptions(nodes_file=nodes_file, id_file=wanted), tmp_path) as run:
        assert wanted.read_text() == run.node.tox.address.hex().upper() + "\n"


@pytest.mark.parametrize("what", ["nodes", "id file", "record"])
async def test_a_failure_half_way_lets_go_of_everything(
    what: str, nodes_file: Path, tmp_path: Path, network: FakeNetwork
) -> None:
    directory = tmp_path / "own"
    id_file = tmp_path / "missing" / "id" if what == "id file" else None
    if what == "nodes":
        nodes_file.write_text("{}")
    if what == "record":
        directory.mkdir()
        directory.joinpath("friends.json").mkdir()
    with pytest.raises(ToxvpnError) as failure:
        async with base(NodeOptions(nodes_file=nodes_file, id_file=id_file), directory):
            raise AssertionError("it went on")
    assert len(str(failure.value).splitlines()) == 1
    assert isinstance(failure.value, ConfigError) or what == "id file"
    assert not network.members and free(directory)


async def test_a_run_belongs_to_the_life_around_it(options: NodeOptions) -> None:
    life = Life(Notifier({}))
    token = LIFE.set(life)
    async with base(options, None) as run:
        assert run.life is life
        assert run.stopping is life.stopping
    LIFE.reset(token)
    async with base(options, None) as run:
        assert run.life is not life
