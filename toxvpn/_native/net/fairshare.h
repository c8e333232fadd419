/* Who gets a UDP socket's attention when more comes in than can be worked off: nobody more than the others.
 *
 * Whatever the kernel's receive buffer has no room for, it drops, whoever sent it: a flood of one source is then the
 * loss of all. So while the buffer is half full, the time that is spent on datagrams is counted by the address they
 * came from, and those of the address that has had the most are dropped unread, as long as others want a share.
 * Counting time and not datagrams makes it fair whatever they cost: a stranger's first one makes libtoxcore
 * compute a key, for as long as fifty of a friend's take. Sans-IO. Neighbour: recvbatch.c. */
#ifndef TOXVPN_FAIRSHARE_H
#define TOXVPN_FAIRSHARE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

enum { FAIRSHARE_SOURCES = 16 }; /* the busiest ones; the others are not counted */

struct fairshare {
    struct fairshare_source {
        uint8_t address[8]; /* IPv4, or the network of an IPv6 address: who has one has all of it */
        int64_t spent_ns;   /* 0: unused */
    } sources[FAIRSHARE_SOURCES];
    int64_t spent_ns; /* together, since it was last halved */
};

/* So much time was spent on datagrams from there. */
void fairshare_spent(struct fairshare *share, const struct sockaddr_storage *from, int64_t spent_ns);
/* Whether that source has had more than any other, and there is another. */
bool fairshare_exceeded(const struct fairshare *share, const struct sockaddr_storage *from);

#endif
