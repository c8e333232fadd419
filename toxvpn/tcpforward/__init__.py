"""TCP forwarding: listener -> stream -> road -> peer -> target, and back."""
