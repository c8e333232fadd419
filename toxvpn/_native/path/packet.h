/* A view on one IP packet, checked once; and the unaligned big-endian accesses for reading it. */
#ifndef TOXVPN_PACKET_H
#define TOXVPN_PACKET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "checksum.h"

enum {
    IPV4_HEADER = 20, /* without options */
    IPV6_HEADER = 40,
    TCP_HEADER = 20,
    UDP_HEADER = 8,
    IPV6_MIN_MTU = 1280, /* RFC 8200 §5 */
    IPV4_DONT_FRAGMENT = 0x4000,
    IPV4_MORE_FRAGMENTS = 0x2000,
    PROTOCOL_ICMP = 1,
    PROTOCOL_IGMP = 2,
    PROTOCOL_TCP = 6,
    PROTOCOL_UDP = 17,
    PROTOCOL_ICMPV6 = 58,
    PROTOCOL_UNKNOWN = 255, /* a later fragment, or too many extension headers */
    TCP_FIN = 0x01,
    TCP_SYN = 0x02,
    TCP_RST = 0x04,
    TCP_PSH = 0x08,
    TCP_ACK = 0x10,
    TCP_ECE = 0x40,
    TCP_CWR = 0x80,
    TCP_RESERVED = 0x0e, /* in the byte of the data offset; the bit below is AE (RFC 9768) */
};

struct packet {
    uint8_t *ip;
    size_t length;
    uint16_t transport;       /* where the transport header begins */
    uint8_t version;          /* 4 or 6 */
    uint8_t protocol;         /* of the transport header; PROTOCOL_UNKNOWN when there is none to read */
    bool fragment;            /* also the first one */
    uint16_t fragment_offset; /* bytes; not 0: a later fragment, without a transport header */
    const uint8_t *source, *destination;
};

static inline uint16_t load16(const uint8_t *at) { return (uint16_t)(at[0] << 8 | at[1]); }

static inline uint32_t load32(const uint8_t *at) { return (uint32_t)load16(at) << 16 | load16(at + 2); }

static inline void store16(uint8_t *at, uint16_t value) {
    at[0] = (uint8_t)(value >> 8);
    at[1] = (uint8_t)value;
}

static inline void store32(uint8_t *at, uint32_t value) {
    store16(at, (uint16_t)(value >> 16));
    store16(at + 2, (uint16_t)value);
}

static inline size_t address_bytes(uint8_t version) { return version == 4 ? 4 : 16; }

/* Whether it is for many: multicast, or broadcast to everybody. */
static inline bool packet_is_to_group(const struct packet *packet) {
    if (packet->version == 6)
        return packet->destination[0] == 0xff;
    return packet->destination[0] >> 4 == 14 || load32(packet->destination) == UINT32_MAX;
}

/* Fills `packet` from the `length` bytes at `ip`. False when they are not a well-formed IPv4 or IPv6 packet
 * of exactly that length. With `exact` false the length field is ignored, as it must be for a super-packet.
 * Follows the extension headers of IPv6. */
bool packet_parse(struct packet *packet, uint8_t *ip, size_t length, bool exact);

/* Partial sum of the pseudo header (RFC 9293 §3.1, RFC 8200 §8.1) for a transport part of `length` bytes. */
uint64_t packet_pseudo_sum(const struct packet *packet, uint32_t length);

/* Sets an IPv4 header's checksum. */
void packet_set_ipv4_checksum(uint8_t *ip);

/* Sets the length field, and an IPv4 header's checksum. */
void packet_set_length(const struct packet *packet, size_t length);

/* Whether the packet can be marked with "congestion experienced" instead of being dropped (RFC 3168 §5), and
 * marking it. */
bool packet_is_ecn_capable(const uint8_t *ip);
void packet_mark_congestion(uint8_t *ip);

/* Lowers the MSS that a TCP SYN offers to what fits into `mtu` (MSS clamping, RFC 4459 §3.2.2). `complete`
 * says that the checksum is complete, not a pseudo header's sum to be completed later. */
void packet_clamp_mss(struct packet *packet, uint16_t mtu, bool complete);

#endif
