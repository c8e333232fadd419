"""results.md can be read by programs: scripts/plots draws what it says."""

import pytest

from bench.recorded import latest, median, runs

TEXT = """# Results

    vpn.py --runs 2
    2026-11-22 17:36 UTC; 2 x a processor
    against tinc 1.0.36

    One TCP flow, Mbit/s
                         IPv4 ->  IPv4 <-
      ---------  ---------------  -------
      bare link  100 (90-110.5)    200.25
      raw stock                1        -

    idle.py
    2026-11-23 10:00 UTC; 2 x a processor

    An idle pair
              CPU %
      ------  -----
      server   0.25
"""


def test_runs_and_their_tables() -> None:
    vpn, idle = runs(TEXT)
    assert (vpn.bench, vpn.command, vpn.date) == ("vpn", "vpn.py --runs 2", "2026-11-22")
    assert vpn.notes == "against tinc 1.0.36"
    [table] = vpn.tables
    assert table.title == "One TCP flow, Mbit/s"
    assert table.figure("bare link", "IPv4 ->") == 100
    assert table.figure("bare link", "IPv4 <-") == 200.25
    assert table.rows["raw stock"] == ("1", "-")
    assert idle.tables[0].figure("server", "CPU %") == 0.25


def test_what_is_no_figure() -> None:
    with pytest.raises(ValueError, match="does not begin with a figure"):
        median("- ")


@pytest.mark.parametrize(
    ("bench", "title", "row", "column"),
    [
        ("vpn", "One TCP flow", "toxvpn", "IPv4 ->"),
        ("roads", "plain", "fetch 10 MB, s", "fast"),
        ("bloat", "Pings beside one TCP flow", "5 Mbit/s, VPN", "median"),
        ("connect", "Start to first byte", "behind NATs, accelerated", "s"),
    ],
)
def test_what_the_plots_need_is_there(bench: str, title: str, row: str, column: str) -> None:
    _, table = latest(bench, title)
    assert table.figure(row, column) > 0


def test_a_table_that_is_nowhere() -> None:
    with pytest.raises(LookupError, match=r"no table 'Miles' of vpn\.py"):
        latest("vpn", "Miles")
