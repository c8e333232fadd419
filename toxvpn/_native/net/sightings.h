/* From where peers speak: the senders of DHT requests whose keys are watched. A request names its sender in the
 * clear; that it is no lie, libtoxcore finds out when it asks back. The last few others are kept as well: a peer
 * asks before it is connected, and only then tells its key. Neighbours: hooks.c, tox/recovery.py. */
#ifndef TOXVPN_SIGHTINGS_H
#define TOXVPN_SIGHTINGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

enum { SIGHTINGS_KEY_BYTES = 32, SIGHTINGS_MOST = 1024, SIGHTINGS_OTHERS = 32 };

struct sighting {
    uint8_t key[SIGHTINGS_KEY_BYTES];
    struct sockaddr_storage from[2]; /* the last of each family, IPv4 first; AF_UNSPEC: none yet */
    bool fresh[2];                   /* not taken yet */
};

struct sightings {
    struct sighting *watched;
    size_t count;
    size_t fresh;                             /* places of watched keys that are not taken yet */
    struct sighting others[SIGHTINGS_OTHERS]; /* the last askers whose keys are not watched */
    size_t next;                              /* of them, the oldest */
};

bool sightings_watch(struct sightings *sightings, const uint8_t *key); /* false: too many, or no memory */
bool sightings_watched(struct sightings *sightings, const uint8_t *key);
void sightings_forget(struct sightings *sightings, const uint8_t *key);
void sightings_free(struct sightings *sightings);
void sightings_note(struct sightings *sightings, const uint8_t *datagram, size_t length,
                    const struct sockaddr *from);
/* The next place that a watched key speaks from and has not been taken; false: there is none. */
bool sightings_take(struct sightings *sightings, uint8_t *key, struct sockaddr_storage *from);

/* Whether both are the same address and port; `b` is AF_INET or AF_INET6. */
bool sightings_same_place(const struct sockaddr_storage *a, const struct sockaddr *b);

enum { SIGHTINGS_HOST_BYTES = 46 }; /* INET6_ADDRSTRLEN */
/* An address as text, IPv4 also where it comes mapped into IPv6, and the port. Returns the port, 0: it is neither. */
uint16_t sightings_place(const struct sockaddr_storage *at, char *host);

#endif
