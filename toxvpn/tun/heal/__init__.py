"""Notices what other programs change in our network, and puts it back."""
