/* Cuts a super-packet into segments, and an IPv4 packet into fragments.
 *
 * In place: the headers of each piece are written before its payload, over bytes that were taken before. So a
 * caller must be done with a piece before it takes the next. It may write as many bytes before each piece as
 * before the packet itself. */
#ifndef TOXVPN_CUT_H
#define TOXVPN_CUT_H

#include <linux/virtio_net.h>

#include "packet.h"

#ifndef VIRTIO_NET_HDR_GSO_UDP_L4
#define VIRTIO_NET_HDR_GSO_UDP_L4 5 /* Linux 6.2 */
#endif

enum { LARGEST_HEADERS = 240 }; /* bytes of IP and TCP; IPv6 with more extension headers is not cut */

/* A super-packet to be sent in segments, or a single packet, which is one piece. */
struct segmentation {
    struct packet packet; /* its pieces are written over it */
    uint16_t headers;     /* bytes before the payload of a super-packet; 0: it is a single packet */
    uint16_t segment;     /* bytes of payload in each piece but the last */
    bool tcp;
    uint8_t *ip;         /* where the next piece begins */
    size_t offset, left; /* bytes taken, and bytes left, without headers */
    uint8_t first_headers[LARGEST_HEADERS];
};

/* Takes a piece, of which only the bytes, version, addresses and protocol are filled in. */
typedef void cut_taker(void *context, const struct packet *piece);

/* Plans the cutting of a super-packet; `plan->packet` is parsed already. False for a kind that the TUN was
 * not opened for, and for one whose lengths contradict each other. */
bool cut_plan(struct segmentation *plan, const struct virtio_net_hdr *vnet);

/* Plans the sending of a single packet. */
void cut_plan_single(struct segmentation *plan);

/* The packet, to look at its headers: of a super-packet only those, as they were before the first piece. */
struct packet cut_headers(const struct segmentation *plan);

/* The number of pieces left, the bytes of all of them, and those of the next. */
size_t cut_pieces(const struct segmentation *plan);
size_t cut_bytes(const struct segmentation *plan);
size_t cut_next_bytes(const struct segmentation *plan);

/* Takes the next piece, with its headers and checksums, or skips it. There must be one. */
struct packet cut_next(struct segmentation *plan);
void cut_skip(struct segmentation *plan);

/* Fragments an IPv4 packet without "don't fragment" for `mtu`, as a router does (RFC 791 §3.2, RFC 1812
 * §5.2.6). The packet may be a fragment itself. Returns the number of fragments. */
size_t cut_fragments(const struct packet *packet, uint16_t mtu, cut_taker *take, void *context);

#endif
