/* Where DHT nodes see those whose DHT keys are watched (sightings.h): libtoxcore asks nodes for its friends, and
 * for itself, and the answers name addresses and ports. It keeps them to itself, so they are read here, once they
 * have been decrypted. What a node says is unproven, but it was asked: whoever can forge the source of a datagram could
 * else say it in the name of many. So each answer repeats the number of a request, once, from where that went.
 * Neighbours: hooks.c, boxhook.c, tox/reach/punch.py. */
#ifndef TOXVPN_OVERHEARD_H
#define TOXVPN_OVERHEARD_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "sightings.h"

enum {
    OVERHEARD_MOST = 64,
    OVERHEARD_ASKED = 512,       /* requests that are remembered; libtoxcore takes answers for five seconds */
    OVERHEARD_NUMBER_BYTES = 8,  /* of a request, in its text and in that of the answer */
    OVERHEARD_REQUEST_BYTES = 40 /* the text of a request */
};

struct heard {
    uint8_t key[SIGHTINGS_KEY_BYTES];
    struct sockaddr_in at;          /* where the owner of the key is seen */
    struct sockaddr_storage teller; /* who says so */
};

/* Not taken yet. What comes when there are OVERHEARD_MOST is left out: nodes are asked again. */
struct overheard {
    struct heard *heard; /* NULL: never any */
    size_t count;
    struct asked *asked; /* NULL: nobody yet */
    size_t next;         /* of those, the oldest */
    bool asking;
    uint8_t number[OVERHEARD_NUMBER_BYTES]; /* while asking */
};

/* libtoxcore encrypts a text as long as that of a request. */
void overheard_asking(struct overheard *overheard, const uint8_t *text);
/* It sends a datagram. */
void overheard_sent(struct overheard *overheard, const uint8_t *datagram, size_t length,
                    const struct sockaddr *to);
void overheard_free(struct overheard *overheard);

/* Whether this datagram answers a request for nodes. */
bool overheard_is_answer(const uint8_t *datagram, size_t length);
/* `text` is what such a datagram of `length` bytes held. */
void overheard_note(struct overheard *overheard, struct sightings *watched, const uint8_t *text,
                    size_t text_length, const struct sockaddr_storage *teller);
bool overheard_take(struct overheard *overheard, struct heard *out);

#endif
