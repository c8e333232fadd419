"""A soak: mixed traffic over everything that toxvpn carries, with random faults from a seed, and checks.

    sudo .venv/bin/python -m bench.soak --minutes 60 --seed 7
    sudo .venv/bin/python -m bench.soak --seed 7 --first 12 --rounds 1      # only its twelfth round again

Two machines, `box` on the Internet and `laptop` behind a NAT, each with a `toxvpn run` that does all that a
configuration can say, towards the other, and a client that keeps to the tuntox road. In each round, traffic
(`work.py`, over the ways of `ways.py`) meets faults (`faults.py`); then every way has to work again, whatever
was under way has to end, and what the programs hold is compared with what they held before (`health.py`).
A round's traffic and faults follow from the seed and its number alone.
"""
