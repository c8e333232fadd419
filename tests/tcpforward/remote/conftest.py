from collections.abc import AsyncIterator

import pytest

from toxvpn.testing.remote_pair import RemotePair


@pytest.fixture
async def pair(no_descriptor_is_left: None) -> AsyncIterator[RemotePair]:
    """Its server lets the client listen anywhere."""
    async with RemotePair("*:*") as made:
        yield made
