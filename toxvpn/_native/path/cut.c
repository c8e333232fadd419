#include "cut.h"

enum {
    OPTION_END = 0,
    OPTION_NO_OPERATION = 1,
    OPTION_IN_EVERY_FRAGMENT = 0x80,
};

bool cut_plan(struct segmentation *plan, const struct virtio_net_hdr *vnet) {
    const struct packet *packet = &plan->packet;
    size_t room = packet->length - packet->transport;
    uint8_t kind = vnet->gso_type & (uint8_t)~VIRTIO_NET_HDR_GSO_ECN;
    size_t header;
    plan->tcp = kind == (packet->version == 4 ? VIRTIO_NET_HDR_GSO_TCPV4 : VIRTIO_NET_HDR_GSO_TCPV6);
    if (plan->tcp && packet->protocol == PROTOCOL_TCP && room >= TCP_HEADER)
        header = (size_t)(packet->ip[packet->transport + 12] >> 4) * 4;
    else if (kind == VIRTIO_NET_HDR_GSO_UDP_L4 && packet->protocol == PROTOCOL_UDP)
        header = UDP_HEADER;
    else
        return false;
    plan->headers = (uint16_t)(packet->transport + header);
    plan->segment = vnet->gso_size;
    if (header >= room || header < (plan->tcp ? TCP_HEADER : UDP_HEADER) || plan->segment == 0 ||
        packet->fragment || plan->headers > LARGEST_HEADERS)
        return false;
    plan->ip = packet->ip;
    plan->offset = 0;
    plan->left = packet->length - plan->headers;
    memcpy(plan->first_headers, packet->ip, plan->headers);
    return true;
}

void cut_plan_single(struct segmentation *plan) {
    plan->headers = 0;
    plan->ip = plan->packet.ip;
    plan->offset = 0;
    plan->left = plan->packet.length;
}

static size_t next_payload(const struct segmentation *plan) {
    return plan->headers && plan->left > plan->segment ? plan->segment : plan->left;
}

size_t cut_pieces(const struct segmentation *plan) {
    return plan->headers ? (plan->left + plan->segment - 1) / plan->segment : plan->left > 0;
}

size_t cut_bytes(const struct segmentation *plan) { return cut_pieces(plan) * plan->headers + plan->left; }

size_t cut_next_bytes(const struct segmentation *plan) { return plan->headers + next_payload(plan); }

void cut_skip(struct segmentation *plan) {
    size_t payload = next_payload(plan);
    plan->ip += payload;
    plan->offset += payload;
    plan->left -= payload;
}

/* A view on a piece of the packet; its addresses stand at the same offsets. */
static struct packet piece_of(const struct packet *packet, uint8_t *ip, size_t length) {
    struct packet piece = *packet;
    piece.ip = ip;
    piece.length = length;
    piece.source = ip + (packet->source - packet->ip);
    piece.destination = ip + (packet->destination - packet->ip);
    return piece;
}

struct packet cut_headers(const struct segmentation *plan) {
    if (plan->headers)
        return piece_of(&plan->packet, (uint8_t *)plan->first_headers, plan->headers);
    return piece_of(&plan->packet, plan->ip, plan->left);
}

/* Writes the transport header of a segment that begins `offset` bytes into the payload. */
static void write_transport_header(const struct packet *segment, bool tcp, size_t offset, bool last) {
    uint8_t *transport = segment->ip + segment->transport;
    size_t room = segment->length - segment->transport;
    uint8_t *checksum = transport + (tcp ? 16 : 6);
    if (tcp) {
        store32(transport + 4, load32(transport + 4) + (uint32_t)offset);
        if (offset)
            transport[13] &= (uint8_t)~TCP_CWR;
        if (!last)
            transport[13] &= (uint8_t)~(TCP_PSH | TCP_FIN);
    } else {
        store16(transport + 4, (uint16_t)room);
    }
    memset(checksum, 0, 2);
    uint64_t pseudo = packet_pseudo_sum(segment, (uint32_t)room);
    uint16_t sum = (uint16_t)~csum_fold(csum_add(pseudo, csum_bytes(transport, room)));
    if (sum == 0 && !tcp)
        sum = 0xffff; /* 0 means that there is no checksum (RFC 768) */
    memcpy(checksum, &sum, 2);
}

struct packet cut_next(struct segmentation *plan) {
    struct packet piece = piece_of(&plan->packet, plan->ip, cut_next_bytes(plan));
    size_t offset = plan->offset;
    cut_skip(plan);
    if (plan->headers == 0)
        return piece;
    memcpy(piece.ip, plan->first_headers, plan->headers);
    if (piece.version == 4)
        store16(piece.ip + 4, (uint16_t)(load16(piece.ip + 4) + offset / plan->segment));
    packet_set_length(&piece, piece.length);
    write_transport_header(&piece, plan->tcp, offset, plan->left == 0);
    return piece;
}

/* Later fragments keep only the options that are copied into every one (RFC 791 §3.1); no-ops replace the
 * others, as in Linux. */
static void blank_options(uint8_t *header, size_t length) {
    for (size_t at = IPV4_HEADER; at < length && header[at] != OPTION_END;) {
        size_t size = header[at] == OPTION_NO_OPERATION ? 1 : at + 1 < length ? header[at + 1] : 0;
        if (size == 0 || at + size > length)
            return;
        if (!(header[at] & OPTION_IN_EVERY_FRAGMENT))
            memset(header + at, OPTION_NO_OPERATION, size);
        at += size;
    }
}

size_t cut_fragments(const struct packet *packet, uint16_t mtu, cut_taker *take, void *context) {
    uint8_t header[60];
    size_t bytes = (size_t)(packet->ip[0] & 15) * 4, payload = packet->length - bytes, many = 0;
    size_t room = (size_t)(mtu - bytes) & ~(size_t)7; /* offsets count in 8 bytes */
    uint16_t place = load16(packet->ip + 6);
    memcpy(header, packet->ip, bytes);
    for (size_t at = 0; at < payload; at += room, many++) {
        bool last = payload - at <= mtu - bytes;
        struct packet piece = piece_of(packet, packet->ip + at, bytes + (last ? payload - at : room));
        memcpy(piece.ip, header, bytes);
        store16(piece.ip + 6, (uint16_t)((place + at / 8) | (last ? 0 : IPV4_MORE_FRAGMENTS)));
        packet_set_length(&piece, piece.length);
        take(context, &piece);
        if (last)
            return many + 1;
        if (at == 0)
            blank_options(header, bytes);
    }
    return many;
}
