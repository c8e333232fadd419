/* Datagrams of a connection that came before libtoxcore knew the peer at that place. A peer sends everything to our
 * new address as soon as we have answered a request of its DHT key from there. libtoxcore here drops it, until that
 * key has answered a request of ours as well. So what it drops is kept, the key is asked (sightings.c), and what was
 * kept is handed out once more after the answer. Neighbour: hooks.c. */
#ifndef TOXVPN_EARLY_H
#define TOXVPN_EARLY_H

#include "sightings.h"

enum { EARLY_MOST = 32, EARLY_LONGEST = 1500 /* bytes */ };

struct early_kept;

struct early {
    const void *out; /* where the last datagram was handed out to; NULL: it needs no look back */
    size_t length;
    struct sockaddr_storage from;
    socklen_t from_length;
    uint64_t opened;         /* boxes opened before it was handed out */
    struct early_kept *kept; /* NULL: none yet */
    size_t next;             /* to be overwritten */
    size_t released;         /* how many wait to be handed out once more */
};

/* A datagram is handed out now. */
void early_note(struct early *early, const void *out, size_t length, const struct sockaddr *from,
                socklen_t from_length);
/* libtoxcore asks for the next: keeps the last one if it was not even tried to be opened. `out`: as libtoxcore now
 * gives it; its loop has one buffer, in which the last datagram still is. */
void early_look_back(struct early *early, struct sightings *sightings, const void *out);
/* Hands out the next of those that may be tried again. Returns the length, -1: there is none. */
ssize_t early_take(struct early *early, void *out, size_t room, struct sockaddr *from,
                   socklen_t *from_length);
void early_free(struct early *early);

#endif
