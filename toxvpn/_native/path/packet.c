#include "packet.h"

enum {
    HOP_BY_HOP = 0,
    ROUTING = 43,
    FRAGMENT = 44,
    AUTHENTICATION = 51,
    DESTINATION_OPTIONS = 60,
    MAX_EXTENSIONS = 8, /* real packets have one or two; a longer chain is only good for wasting our time */
};

static bool parse_ipv4(struct packet *packet, bool exact) {
    const uint8_t *ip = packet->ip;
    if (packet->length < IPV4_HEADER)
        return false;
    size_t header = (size_t)(ip[0] & 15) * 4, total = load16(ip + 2);
    if (header < IPV4_HEADER || header > packet->length || (exact && total != packet->length))
        return false;
    uint16_t fragment = load16(ip + 6);
    packet->source = ip + 12;
    packet->destination = ip + 16;
    packet->transport = (uint16_t)header;
    packet->fragment = (fragment & 0x3fff) != 0;
    packet->fragment_offset = (uint16_t)(fragment << 3);
    packet->protocol = packet->fragment_offset ? PROTOCOL_UNKNOWN : ip[9];
    return true;
}

static bool is_extension(uint8_t kind) {
    return kind == HOP_BY_HOP || kind == ROUTING || kind == FRAGMENT || kind == AUTHENTICATION ||
           kind == DESTINATION_OPTIONS;
}

/* RFC 8200 §4, RFC 4302 §2.2 */
static size_t extension_length(uint8_t kind, const uint8_t *at) {
    if (kind == FRAGMENT)
        return 8;
    return kind == AUTHENTICATION ? ((size_t)at[1] + 2) * 4 : ((size_t)at[1] + 1) * 8;
}

static bool parse_ipv6(struct packet *packet, bool exact) {
    const uint8_t *ip = packet->ip;
    if (packet->length < IPV6_HEADER || (exact && load16(ip + 4) + (size_t)IPV6_HEADER != packet->length))
        return false;
    packet->source = ip + 8;
    packet->destination = ip + 24;
    uint8_t kind = ip[6];
    size_t at = IPV6_HEADER;
    for (int seen = 0; is_extension(kind); seen++) {
        if (at + 8 > packet->length)
            return false;
        size_t length = extension_length(kind, ip + at);
        if (at + length > packet->length)
            return false;
        if (kind == FRAGMENT) {
            packet->fragment = true;
            packet->fragment_offset = load16(ip + at + 2) & 0xfff8;
        }
        kind = ip[at];
        at += length;
        if (packet->fragment_offset || seen == MAX_EXTENSIONS) {
            kind = PROTOCOL_UNKNOWN;
            break;
        }
    }
    packet->transport = (uint16_t)at;
    packet->protocol = kind;
    return true;
}

bool packet_parse(struct packet *packet, uint8_t *ip, size_t length, bool exact) {
    *packet = (struct packet){.ip = ip, .length = length};
    if (length == 0)
        return false;
    packet->version = ip[0] >> 4;
    if (packet->version == 4)
        return parse_ipv4(packet, exact);
    return packet->version == 6 && parse_ipv6(packet, exact);
}

uint64_t packet_pseudo_sum(const struct packet *packet, uint32_t length) {
    uint8_t rest[8] = {0};
    store32(rest, length);
    rest[7] = packet->protocol;
    /* source and destination follow each other in both headers */
    uint64_t addresses = csum_bytes(packet->source, 2 * address_bytes(packet->version));
    return csum_add(addresses, csum_load(rest));
}

void packet_set_ipv4_checksum(uint8_t *ip) {
    memset(ip + 10, 0, 2);
    uint16_t sum = (uint16_t)~csum_fold(csum_bytes(ip, (size_t)(ip[0] & 15) * 4));
    memcpy(ip + 10, &sum, 2);
}

void packet_set_length(const struct packet *packet, size_t length) {
    if (packet->version == 4) {
        store16(packet->ip + 2, (uint16_t)length);
        packet_set_ipv4_checksum(packet->ip);
    } else {
        store16(packet->ip + 4, (uint16_t)(length - IPV6_HEADER));
    }
}

bool packet_is_ecn_capable(const uint8_t *ip) { return (ip[0] >> 4 == 4 ? ip[1] : ip[1] >> 4) & 3; }

void packet_mark_congestion(uint8_t *ip) {
    if (ip[0] >> 4 == 4) {
        ip[1] |= 3;
        packet_set_ipv4_checksum(ip);
    } else {
        ip[1] |= 3 << 4;
    }
}

/* RFC 1624: a checksum for data of which one 16-bit value changed, at an even or odd offset. */
static void update_checksum(uint8_t *field, uint16_t before, uint16_t after, bool odd) {
    if (odd) {
        before = (uint16_t)(before << 8 | before >> 8);
        after = (uint16_t)(after << 8 | after >> 8);
    }
    uint32_t sum = (uint16_t)~load16(field) + (uint32_t)(uint16_t)~before + after;
    sum = (sum & 0xffff) + (sum >> 16);
    sum = (sum & 0xffff) + (sum >> 16);
    store16(field, (uint16_t)~sum);
}

void packet_clamp_mss(struct packet *packet, uint16_t mtu, bool complete) {
    uint8_t *tcp = packet->ip + packet->transport;
    size_t room = packet->length - packet->transport;
    if (packet->protocol != PROTOCOL_TCP || packet->fragment || room < TCP_HEADER || !(tcp[13] & TCP_SYN))
        return;
    size_t header = (size_t)(tcp[12] >> 4) * 4;
    uint16_t largest = (uint16_t)(mtu - (packet->version == 4 ? IPV4_HEADER : IPV6_HEADER) - TCP_HEADER);
    if (header > room)
        return;
    for (size_t at = TCP_HEADER; at < header && tcp[at] != 0;) {
        if (tcp[at] == 1) { /* no operation: the only option without a length */
            at++;
            continue;
        }
        if (at + 2 > header || tcp[at + 1] < 2 || at + tcp[at + 1] > header)
            return;
        if (tcp[at] == 2 && tcp[at + 1] == 4) {
            uint16_t offered = load16(tcp + at + 2);
            if (offered > largest) {
                store16(tcp + at + 2, largest);
                if (complete)
                    update_checksum(tcp + 16, offered, largest, at & 1);
            }
            return;
        }
        at += tcp[at + 1];
    }
}
