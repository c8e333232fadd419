"""The other direction (`-R`): the server listens, and the client connects to the targets."""
