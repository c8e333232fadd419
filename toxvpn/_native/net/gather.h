/* Reads the UDP datagrams that wait in a socket. Consecutive ones of one flow and one length make a batch, laid
 * end to end as sendmsg(2) takes it with UDP_SEGMENT; the last may be shorter. The kernel joins only those that
 * came as one (UDP_GRO); here it is every datagram. */
#ifndef TOXVPN_GATHER_H
#define TOXVPN_GATHER_H

#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

enum {
    GATHER_BYTES = 65000,   /* of a batch: with its headers it must fit into 65535 */
    GATHER_DATAGRAMS = 64,  /* of a batch: UDP_MAX_SEGMENTS of Linux up to 6.8 */
    GATHER_LARGEST = 65535, /* what one call of the kernel's gives */
    GATHER_BUFFER = GATHER_BYTES + GATHER_LARGEST,
    GATHER_BATCHES = 64, /* at once */
    GATHER_CONTROL = 20, /* bytes of struct in6_pktinfo, or less */
};

struct gathered {
    size_t start, length; /* bytes, in the buffer */
    size_t segment;       /* bytes of each datagram; 0: one that is empty */
    size_t many;          /* datagrams */
    struct sockaddr_storage from;
    /* the control data from which an answer would have the right source; its length is 0 where not asked for */
    int level, type;
    size_t control_length;
    uint8_t control[GATHER_CONTROL];
};

/* Fills `batches`, of which there are GATHER_BATCHES, and returns how many there are. `buffer` has
 * GATHER_BUFFER bytes. `error` is that of the read that ended it, EAGAIN when nothing is left; 0: there may
 * be more. */
size_t gather(int fd, uint8_t *buffer, struct gathered *batches, int *error);

#endif
