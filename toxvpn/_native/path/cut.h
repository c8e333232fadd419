/* Cuts what goes in several packets: a super-packet into segments, an IPv4 packet into fragments.
 *
 * In place: the headers of each piece are written before its payload, over what has been taken already. So
 * whoever takes a piece must be done with it before the next; it may write as far before it as before the
 * whole. */
#ifndef TOXVPN_CUT_H
#define TOXVPN_CUT_H

#include <linux/virtio_net.h>

#include "packet.h"

#ifndef VIRTIO_NET_HDR_GSO_UDP_L4
#define VIRTIO_NET_HDR_GSO_UDP_L4 5 /* Linux 6.2 */
#endif

enum { LARGEST_HEADERS = 240 }; /* of IP and TCP; IPv6 with more extension headers is not cut */

/* A super-packet that goes in segments, or a packet that goes as it is: one piece. */
struct segmentation {
    struct packet packet; /* the whole; its pieces are written over it */
    uint16_t headers;     /* bytes up to the payload of a super-packet; 0: it is none */
    uint16_t segment;     /* bytes of payload in each piece but the last */
    bool tcp;
    uint8_t *ip;       /* where the next piece begins */
    size_t gone, left; /* bytes, without headers */
    uint8_t first_headers[LARGEST_HEADERS];
};

/* Of a piece only what a packet is: its bytes, version, addresses, protocol. */
typedef void cut_taker(void *context, const struct packet *piece);

/* Fills the rest of `plan`, whose packet is parsed. False for super-packets of a kind that was not asked for,
 * or that do not add up. */
bool cut_plan(struct segmentation *plan, const struct virtio_net_hdr *vnet);

/* The same for a packet that is none. */
void cut_plan_whole(struct segmentation *plan);

/* What it is, to look at: of a super-packet its headers alone, as they were before the first piece. */
struct packet cut_headers(const struct segmentation *plan);

/* How many pieces are left, with how many bytes, and how many the next has. */
size_t cut_pieces(const struct segmentation *plan);
size_t cut_bytes(const struct segmentation *plan);
size_t cut_next_bytes(const struct segmentation *plan);

/* The next piece, with whole headers and checksums. There must be one, which can also be left out. */
struct packet cut_next(struct segmentation *plan);
void cut_skip(struct segmentation *plan);

/* Cuts an IPv4 packet without "don't fragment" for `mtu`, as a router does (RFC 791 §3.2, RFC 1812 §5.2.6).
 * It may be a fragment itself. Returns the number of fragments. */
size_t cut_fragments(const struct packet *whole, uint16_t mtu, cut_taker *take, void *context);

#endif
