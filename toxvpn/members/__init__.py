"""Admission of peers: friend requests, grants of friends, invites, configured and blocked peers."""
