"""State on disk: files, the identity and secrets, and the directories they are in."""
