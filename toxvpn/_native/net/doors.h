/* Doors: more UDP sockets of a handle, each for one address. What libtoxcore sends to that address leaves by its
 * door, and what comes in from there is received as if on libtoxcore's own socket. So a peer is reached whose
 * router lets in only the port that this one socket got. Neighbours: hooks.c, tox/reach/punch.py, which finds it. */
#ifndef TOXVPN_DOORS_H
#define TOXVPN_DOORS_H

#include <stdbool.h>
#include <sys/socket.h>

/* The address as the socket's family writes it; false when it has none. */
bool doors_address(int fd, const char *host, unsigned short port, struct sockaddr_storage *out);
/* Buffers as large as libtoxcore asks for its own socket, as far as the kernel grants them. */
void doors_buffers(int fd);

#endif
