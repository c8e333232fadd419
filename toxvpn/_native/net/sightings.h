/* From where peers speak: the senders of DHT requests whose keys are watched. A request names its sender in the
 * clear; that it is no lie, libtoxcore finds out when it asks back. The last few others are kept as well: a peer
 * asks before it is connected, and tells its key only then; where it sends before that, it has to be asked.
 * Neighbours: hooks.c, early.c, tox/reach/recovery.py. */
#ifndef TOXVPN_SIGHTINGS_H
#define TOXVPN_SIGHTINGS_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

enum { SIGHTINGS_KEY_BYTES = 32, SIGHTINGS_MOST = 1024, SIGHTINGS_OTHERS = 32 };

struct sighting {
    uint8_t key[SIGHTINGS_KEY_BYTES];
    struct sockaddr_storage from[2]; /* the last of each family, IPv4 first; AF_UNSPEC: none yet */
    bool fresh[2];                   /* not taken since it was noted; counts once the key is watched */
    bool doubted[2];                 /* to be taken in any case */
    int64_t doubted_ns;
};

struct sightings {
    struct sighting *watched;
    size_t count;
    struct sighting others[SIGHTINGS_OTHERS]; /* the last askers whose keys are not watched */
    size_t next;                              /* of them, the oldest */
    bool any;                                 /* whether there may be one to take */
};

bool sightings_watch(struct sightings *sightings, const uint8_t *key); /* false: too many, or no memory */
bool sightings_watched(struct sightings *sightings, const uint8_t *key);
void sightings_forget(struct sightings *sightings, const uint8_t *key);
void sightings_free(struct sightings *sightings);
void sightings_note(struct sightings *sightings, const uint8_t *datagram, size_t length,
                    const struct sockaddr *from);
/* libtoxcore knows no peer at that place: whether a key spoke from there. It is then told again, not too often. */
bool sightings_doubt(struct sightings *sightings, const struct sockaddr *from);
/* The next place to be told of: where a watched key speaks from, or what is doubted. false: there is none. */
bool sightings_take(struct sightings *sightings, uint8_t *key, struct sockaddr_storage *from);

/* Whether both are the same address and port; `b` is AF_INET or AF_INET6. */
bool sightings_same_place(const struct sockaddr_storage *a, const struct sockaddr *b);

enum { SIGHTINGS_HOST_BYTES = 46 }; /* INET6_ADDRSTRLEN */
/* An address as text, IPv4 also where it comes mapped into IPv6, and the port. Returns the port, 0: it is neither. */
uint16_t sightings_place(const struct sockaddr_storage *at, char *host);
/* The other way round, as a socket for both families has it: IPv4 mapped. False: the text is no address. */
bool sightings_at(const char *host, uint16_t port, struct sockaddr_in6 *out);

#endif
