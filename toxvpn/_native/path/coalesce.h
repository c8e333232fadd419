/* Merges TCP segments, and equal-sized UDP datagrams, that follow each other in a flow into one super-packet.
 *
 * In: checked inbound packets; out: packets with a virtio_net_hdr for the TUN, through `write`. The kernel
 * then goes through its stack once for dozens of segments. A super-packet can be cut again into the same
 * packets (the checksums of all are verified before). A packet that cannot be merged is passed on as it is,
 * and never overtakes a packet of its flow. Fragments, options and extension headers may hide which flow that
 * is, so such packets overtake nothing between their addresses. */
#ifndef TOXVPN_COALESCE_H
#define TOXVPN_COALESCE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "packet.h"

enum {
    COALESCE_FLOWS = 16,      /* at once; one more flushes the one that was unused for longest */
    COALESCE_LARGEST = 65535, /* bytes of an IP packet */
    COALESCE_DATAGRAMS = 64,  /* UDP_MAX_SEGMENTS of the kernel */
    COALESCE_HEADER = 10,     /* sizeof(struct virtio_net_hdr) */
};

struct flow {
    uint32_t hash; /* of addresses, ports and protocol */
    uint32_t friend_number;
    unsigned packets; /* merged so far; 0: the slot is free */
    uint64_t last_used;
    struct packet packet;   /* the super-packet in `buffer` */
    uint16_t headers;       /* bytes before the payload */
    uint16_t segment;       /* bytes of payload in each packet but the last */
    uint32_t next_sequence; /* TCP */
    uint16_t next_id;       /* IPv4 */
    bool constant_id;
    uint8_t buffer[COALESCE_HEADER + COALESCE_LARGEST + 1];
};

struct coalescer {
    void *context;
    /* writes a packet by itself, unchanged */
    void (*pass)(void *context, uint32_t friend_number, const uint8_t *packet, size_t length);
    /* writes a super-packet of `packets` packets, after its virtio_net_hdr; may change the buffer */
    void (*write)(void *context, uint32_t friend_number, uint8_t *buffer, size_t length, unsigned packets);
    bool tcp, udp; /* what the kernel can cut again; may be cleared between two packets */
    uint64_t clock;
    unsigned open;
    struct flow flows[COALESCE_FLOWS];
};

void coalesce(struct coalescer *coalescer, uint32_t friend_number, const struct packet *packet);
void coalesce_flush(struct coalescer *coalescer);

#endif
