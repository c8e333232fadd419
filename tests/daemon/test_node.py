"""The node of every run: its identity is locked, saved, and released in every case."""

from pathlib import Path

import pytest

from toxvpn.config.options import NodeOptions
from toxvpn.daemon.node import running_node
from toxvpn.errors import ConfigError, ToxvpnError
from toxvpn.members.friends import Grant
from toxvpn.members.friends import load as load_book
from toxvpn.process.lifecycle import Lifecycle
from toxvpn.state.identity import Identity, IdentityInUseError
from toxvpn.testing.fake_tox import FakeNetwork


@pytest.fixture
def options(nodes_file: Path, network: FakeNetwork) -> NodeOptions:
    return NodeOptions(nodes_file=nodes_file)


def free(directory: Path) -> bool:
    """Whether another process could take the identity."""
    Identity.open(directory).close()
    return True


async def test_one_run_at_a_time_has_an_identity(
    options: NodeOptions, tmp_path: Path, lifecycle: Lifecycle
) -> None:
    async with running_node(options, tmp_path, lifecycle) as run:
        with pytest.raises(IdentityInUseError):
            async with running_node(options, tmp_path, lifecycle):
                pass
        run.node.turns.turn()
    assert run.node.closed
    assert free(tmp_path)


async def test_what_was_learnt_is_kept(
    options: NodeOptions, tmp_path: Path, network: FakeNetwork, lifecycle: Lifecycle
) -> None:
    stranger = bytes([7]) * 32
    async with running_node(options, tmp_path, lifecycle) as run:
        own = run.node.tox.public_key
        run.node.accept(stranger)
        run.book.authorise(stranger, Grant.ACCEPT, 1.0)
    async with running_node(options, tmp_path, lifecycle) as run:
        assert run.node.tox.public_key == own
        assert [peer.public_key for peer in run.node] == [stranger]
    assert stranger in load_book(tmp_path)
    assert not network.members


async def test_a_passing_identity_leaves_nothing(
    options: NodeOptions, tmp_path: Path, lifecycle: Lifecycle
) -> None:
    before = set(tmp_path.iterdir())
    async with running_node(options, None, lifecycle) as run:
        own = run.node.tox.public_key
    async with running_node(options, None, lifecycle) as run:
        assert run.node.tox.public_key != own
    assert set(tmp_path.iterdir()) == before


async def test_the_tox_id_is_written_where_it_is_wanted(
    nodes_file: Path, tmp_path: Path, network: FakeNetwork, lifecycle: Lifecycle
) -> None:
    wanted = tmp_path / "id"
    async with running_node(NodeOptions(nodes_file=nodes_file, id_file=wanted), tmp_path, lifecycle) as run:
        assert wanted.read_text() == run.node.tox.address.hex().upper() + "\n"


@pytest.mark.parametrize("what", ["nodes", "id file", "record"])
async def test_a_failure_half_way_lets_go_of_everything(
    what: str, nodes_file: Path, tmp_path: Path, network: FakeNetwork, lifecycle: Lifecycle
) -> None:
    directory = tmp_path / "own"
    id_file = tmp_path / "missing" / "id" if what == "id file" else None
    if what == "nodes":
        nodes_file.write_text("{}")
    if what == "record":
        directory.mkdir()
        directory.joinpath("friends.json").mkdir()
    with pytest.raises(ToxvpnError) as failure:
        async with running_node(NodeOptions(nodes_file=nodes_file, id_file=id_file), directory, lifecycle):
            raise AssertionError("it went on")
    assert len(str(failure.value).splitlines()) == 1
    assert isinstance(failure.value, ConfigError) or what == "id file"
    assert not network.members and free(directory)


async def test_a_run_ends_with_its_lifecycle(options: NodeOptions, lifecycle: Lifecycle) -> None:
    async with running_node(options, None, lifecycle) as run:
        assert run.lifecycle is lifecycle
        assert run.stopping is lifecycle.stopping
