"""The node: one toxcore handle, its loop, its identity, its peers."""
