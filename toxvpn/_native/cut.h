/* Cuts what goes in several packets: a super-packet into segments, an IPv4 packet into fragments.
 *
 * In place: the headers of each piece are written before its payload, over what has been taken already. So
 * `take` must be done with a piece when it returns; it may write as far before it as before the whole. */
#ifndef TOXVPN_CUT_H
#define TOXVPN_CUT_H

#include <linux/virtio_net.h>

#include "packet.h"

#ifndef VIRTIO_NET_HDR_GSO_UDP_L4
#define VIRTIO_NET_HDR_GSO_UDP_L4 5 /* Linux 6.2 */
#endif

enum { LARGEST_HEADERS = 240 }; /* of IP and TCP; IPv6 with more extension headers is not cut */

struct segmentation {
    struct packet packet; /* the super-packet */
    uint16_t headers;     /* bytes up to the payload */
    uint16_t segment;     /* bytes of payload in each but the last */
    bool tcp;
};

/* Of a piece only what a packet is: its bytes, version, addresses, protocol. */
typedef void cut_taker(void *context, const struct packet *piece);

/* Fills the rest of `plan`, whose packet is parsed. False for super-packets of a kind that was not asked for,
 * or that do not add up. */
bool cut_plan(struct segmentation *plan, const struct virtio_net_hdr *vnet);

/* Returns the number of segments, which have whole headers and checksums. */
size_t cut_segments(const struct segmentation *plan, cut_taker *take, void *context);

/* Cuts an IPv4 packet without "don't fragment" for `mtu`, as a router does (RFC 791 §3.2, RFC 1812 §5.2.6).
 * It may be a fragment itself. Returns the number of fragments. */
size_t cut_fragments(const struct packet *whole, uint16_t mtu, cut_taker *take, void *context);

#endif
