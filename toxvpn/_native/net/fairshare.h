/* Who gets a UDP socket's attention when more comes in than can be worked off: nobody more than the others.
 *
 * Whatever the kernel's receive buffer has no room for, it drops, whoever sent it: a flood of one source is then the
 * loss of all. So while there is more to receive than a turn takes, the processor time that is spent on datagrams is
 * counted by the address they came from, and the one that has had most of it has only a part of the buffer: what
 * it sends beyond that is dropped unread. Who does not compete with anybody has nearly all of it.
 *
 * Time counts, and not datagrams, because a stranger's first one makes libtoxcore compute a key, for as long as
 * fifty of a friend's take. All that is not data of a connection counts for one source, strangers: their
 * addresses may be forged. Sans-IO. Neighbour: recvbatch.c. */
#ifndef TOXVPN_FAIRSHARE_H
#define TOXVPN_FAIRSHARE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

enum {
    FAIRSHARE_SOURCES = 16,    /* the busiest ones; the others are not counted */
    FAIRSHARE_CONNECTED = 0x1b /* NET_PACKET_CRYPTO_DATA: the first byte of data of a connection */
};

struct fairshare {
    struct fairshare_source {
        uint8_t
            address[8];   /* IPv4, the network of an IPv6 address (who has one has all of it), or strangers */
        int64_t spent_ns; /* 0: unused */
    } sources[FAIRSHARE_SOURCES];
    int64_t spent_ns; /* of all, now and then halved */
};

/* So much time was spent on datagrams from there that begin with `kind`. */
void fairshare_spent(struct fairshare *share, const struct sockaddr_storage *from, uint8_t kind,
                     int64_t spent_ns);
/* How many eighths of the buffer may be in use before such datagrams are dropped; 8: all of it. */
unsigned fairshare_eighths(const struct fairshare *share, const struct sockaddr_storage *from, uint8_t kind);

#endif
