"""The network and clock under libtoxcore."""
