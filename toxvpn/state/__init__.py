"""What is on disk: files, the identity and secrets, and the places where they are."""
