"""Takes the identity for a run, if need be from a shared node that no command uses any more.

In: the directories of the run. Out: the locked identity. Neighbours: share/node.py gives way; node.py takes.
"""

import asyncio
from pathlib import Path

from ..control.giveway import gives_way
from ..state.identity import Identity, IdentityInUseError

ENDING_S = 3.0
"""How long a node that gives way may take to end."""
LOOK_AGAIN_S = 0.05


async def take_identity(directory: Path, runtime: Path) -> Identity:
    """Raises IdentityInUseError, and what `Identity.open` raises."""
    try:
        return Identity.open(directory)
    except IdentityInUseError:
        if not gives_way(runtime):
            raise
    loop = asyncio.get_running_loop()
    given_up_s = loop.time() + ENDING_S
    while True:
        try:
            return Identity.open(directory)
        except IdentityInUseError:
            if loop.time() > given_up_s:
                raise
        await asyncio.sleep(LOOK_AGAIN_S)
