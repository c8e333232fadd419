"""Who may come in: friend requests, the grants that admit a friend, invites, configured and blocked peers."""
