"""Coverage-guided fuzzing of all that reads bytes of others: `scripts/fuzz` runs it, README.md explains.

target.py   what a target is, and what it takes from its input
targets/    the targets in Python, one file for each kind of input
native/     the targets in C
corpus.py   the inputs that are kept in corpus/
run.py      one run of one target
single.py   the process of a target in Python
"""
