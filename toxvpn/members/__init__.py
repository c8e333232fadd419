"""Who may come in: requests, grants, invites and the peers that a person has named."""
