"""The tuntox road: streams as lossless Tox packets."""
