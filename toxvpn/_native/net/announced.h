/* Announcements of this node, of late. A node that keeps one keeps also the way by which it came, back to the address that
 * we had then, and libtoxcore renews one that seems stable after two minutes only: for so long, after a move, nobody
 * who is not a friend yet reaches us. Here the same datagrams are kept, to be sent once more from the new address; nodes take
 * them as repeated ones. Neighbours: hooks.c, boxhook.c, tox/reach/recovery.py. */
#ifndef TOXVPN_ANNOUNCED_H
#define TOXVPN_ANNOUNCED_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

enum {
    ANNOUNCED_TEXT_BYTES = 104, /* of a request, before it is encrypted */
    ANNOUNCED_MOST = 48,        /* libtoxcore announces itself to 12 nodes */
    ANNOUNCED_LONGEST = 512,    /* bytes, of the datagram that is made of it */
    ANNOUNCED_KEPT_S = 150,     /* each is renewed within 120 s; nodes take one for at least 300 s */
};

struct announcement {
    int fd;
    int64_t sent_ns; /* 0: none */
    socklen_t to_length;
    struct sockaddr_storage to;
    size_t length;
    uint8_t datagram[ANNOUNCED_LONGEST];
};

struct announced {
    bool making;              /* the next request is one */
    size_t next;              /* the oldest */
    struct announcement *all; /* NULL: none yet */
};

/* libtoxcore encrypts a text of that length: perhaps an announcement, or a search for a friend. */
void announced_making(struct announced *announced, const uint8_t *text);
/* It sends a datagram. */
void announced_sent(struct announced *announced, int fd, const void *datagram, size_t length,
                    const struct sockaddr *to, socklen_t to_length);
/* The next one after `at`, of those that are young enough; NULL: there are no more. Begin with NULL. */
const struct announcement *announced_next(const struct announced *announced, const struct announcement *at,
                                          int64_t now_ns);
void announced_free(struct announced *announced);

#endif
