"""Unix sockets at the ends of forwards: their paths, the files of our listeners, and targets that are one."""
