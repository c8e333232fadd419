"""Raw lossy packets: libtoxcore as it comes against libtoxcore on toxvpn's network (goal: 5 times).

Two hosts, one veth, one process each. Each way of running is a connected pair of its own; they take turns
in sending as fast as they can for a few seconds. What counts is what the other side received and decrypted.
"""

from lab import Lab

from .harness import OURS, STOCK, arguments, progress, ratio, spread, table
from .raw_pair import RawPair

SIZE = 1372


def main() -> None:
    given = arguments(__doc__, runs=5, seconds=2.0)
    with Lab() as lab:
        near, far = lab.host("near", internet=False), lab.host("far", internet=False)
        link = lab.link(near, far)
        pairs = {
            name: RawPair(near, far, link.b_ipv4, how) for name, how in (("stock", STOCK), ("ours", OURS))
        }
        for name, pair in pairs.items():
            pair.wait_direct()
            progress(f"{name} is connected")
        rates: dict[str, list[float]] = {name: [] for name in pairs}
        for _ in range(given.runs):
            for name, pair in pairs.items():
                rates[name].append(pair.blast(SIZE, given.seconds) / 1e3)
                progress(f"{name}: {rates[name][-1]:.0f} kpps")
    table(
        f"Lossy packets of {SIZE} bytes, received, median of {given.runs} runs of {given.seconds:g} s",
        ["", "kpps", "MB/s", "ratio"],
        [
            [
                name,
                spread(kpps, ".0f"),
                spread([k * SIZE / 1e3 for k in kpps], ".0f"),
                ratio(kpps, rates["stock"]),
            ]
            for name, kpps in rates.items()
        ],
    )


if __name__ == "__main__":
    main()
