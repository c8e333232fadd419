#include "coalesce.h"
#include "cut.h"

/* What the coalescer does with a packet. */
enum action {
    PASS,  /* write it: it belongs to no flow, so order does not matter */
    FENCE, /* flush all flows between its addresses, as it may be of any of them; then write it */
    BREAK, /* flush its flow, then write it */
    MERGE, /* merge it with its flow */
};

struct candidate {
    const struct packet *packet;
    uint32_t hash;
    uint16_t headers;
    uint16_t payload; /* bytes */
    bool push;        /* TCP: nothing may be appended behind it */
};

static bool valid_checksum(uint64_t sum) { return csum_fold(sum) == 0xffff; }

/* Segments with flags that change a connection's state are not merged. ECE and AE are merged when all have
 * the same: AccECN sets them in every segment (RFC 9768 §3.2.2). CWR is not: cutting a super-packet leaves it
 * in the first segment alone (RFC 3168). */
static enum action classify_tcp(struct candidate *candidate, const uint8_t *tcp, size_t room) {
    if (room < TCP_HEADER)
        return FENCE;
    size_t header = (size_t)(tcp[12] >> 4) * 4;
    if (header < TCP_HEADER || header >= room || (tcp[12] & TCP_RESERVED) ||
        (tcp[13] & ~(TCP_PSH | TCP_ECE)) != TCP_ACK)
        return BREAK;
    candidate->headers = (uint16_t)(candidate->packet->transport + header);
    candidate->push = tcp[13] & TCP_PSH;
    return MERGE;
}

/* A datagram without a checksum is not merged: there is nothing to verify. */
static enum action classify_udp(struct candidate *candidate, const uint8_t *udp, size_t room) {
    if (room < UDP_HEADER)
        return FENCE;
    if (load16(udp + 4) != room || room == UDP_HEADER || load16(udp + 6) == 0)
        return BREAK;
    candidate->headers = (uint16_t)(candidate->packet->transport + UDP_HEADER);
    return MERGE;
}

static uint32_t hash_flow(const struct packet *packet) {
    uint64_t hash = packet->protocol;
    const uint8_t *at = packet->source;
    for (size_t word = 0; word < address_bytes(packet->version) / 2; word++, at += 4)
        hash = (hash ^ load32(at)) * 0x9e3779b97f4a7c15ULL;
    hash = (hash ^ load32(packet->ip + packet->transport)) * 0x9e3779b97f4a7c15ULL;
    return (uint32_t)(hash >> 32);
}

static enum action classify(const struct coalescer *coalescer, struct candidate *candidate) {
    const struct packet *packet = candidate->packet;
    const uint8_t *transport = packet->ip + packet->transport;
    size_t room = packet->length - packet->transport;
    /* packets with options and extension headers are rare and not merged */
    bool plain = packet->transport == (packet->version == 4 ? IPV4_HEADER : IPV6_HEADER);
    bool tcp = packet->protocol == PROTOCOL_TCP;
    if (packet->fragment || !plain || packet->length > COALESCE_LARGEST)
        return FENCE;
    if (!tcp && packet->protocol != PROTOCOL_UDP)
        return PASS;
    enum action action =
        tcp ? classify_tcp(candidate, transport, room) : classify_udp(candidate, transport, room);
    if (action == FENCE)
        return FENCE;
    candidate->hash = hash_flow(packet);
    if (action == MERGE)
        candidate->payload = (uint16_t)(packet->length - candidate->headers);
    return (tcp ? coalescer->tcp : coalescer->udp) ? action : BREAK;
}

static bool same_addresses(const struct flow *flow, const struct packet *packet) {
    return flow->packet.version == packet->version &&
           memcmp(flow->packet.source, packet->source, 2 * address_bytes(packet->version)) == 0;
}

static bool same_flow(const struct flow *flow, const struct packet *packet) {
    return same_addresses(flow, packet) && flow->packet.protocol == packet->protocol &&
           memcmp(flow->packet.ip + packet->transport, packet->ip + packet->transport, 4) == 0;
}

static struct flow *find(struct coalescer *coalescer, uint32_t friend_number,
                         const struct candidate *candidate) {
    unsigned seen = 0;
    for (struct flow *flow = coalescer->flows; seen < coalescer->open; flow++) {
        if (flow->packets == 0)
            continue;
        seen++;
        if (flow->hash == candidate->hash && flow->friend_number == friend_number &&
            same_flow(flow, candidate->packet))
            return flow;
    }
    return NULL;
}

/* Turns the headers of the buffer's first packet into those of the super-packet (virtio specification
 * §5.1.6.2). */
static void finish(struct flow *flow) {
    struct packet *packet = &flow->packet;
    bool tcp = packet->protocol == PROTOCOL_TCP;
    uint16_t offset = tcp ? 16 : 6;
    struct virtio_net_hdr header = {
        .flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
        .gso_type = !tcp                   ? VIRTIO_NET_HDR_GSO_UDP_L4
                    : packet->version == 4 ? VIRTIO_NET_HDR_GSO_TCPV4
                                           : VIRTIO_NET_HDR_GSO_TCPV6,
        .hdr_len = flow->headers,
        .gso_size = flow->segment,
        .csum_start = packet->transport,
        .csum_offset = offset,
    };
    memcpy(flow->buffer, &header, sizeof header);
    size_t transport = packet->length - packet->transport;
    packet_set_length(packet, packet->length);
    if (!tcp)
        store16(packet->ip + packet->transport + 4, (uint16_t)transport);
    uint16_t sum = csum_fold(packet_pseudo_sum(packet, (uint32_t)transport));
    memcpy(packet->ip + packet->transport + offset, &sum, 2);
}

static void flush(struct coalescer *coalescer, struct flow *flow) {
    if (flow->packets == 1) {
        coalescer->pass(coalescer->context, flow->friend_number, flow->packet.ip, flow->packet.length);
    } else {
        finish(flow);
        coalescer->write(coalescer->context, flow->friend_number, flow->buffer,
                         COALESCE_HEADER + flow->packet.length, flow->packets);
    }
    flow->packets = 0;
    coalescer->open--;
}

/* Flushes all flows between the packet's addresses. */
static void flush_between(struct coalescer *coalescer, uint32_t friend_number, const struct packet *packet) {
    unsigned left = coalescer->open;
    for (struct flow *flow = coalescer->flows; left; flow++) {
        if (flow->packets == 0)
            continue;
        left--;
        if (flow->friend_number == friend_number && same_addresses(flow, packet))
            flush(coalescer, flow);
    }
}

static struct flow *free_slot(struct coalescer *coalescer) {
    struct flow *oldest = &coalescer->flows[0];
    for (struct flow *flow = coalescer->flows; flow < coalescer->flows + COALESCE_FLOWS; flow++) {
        if (flow->packets == 0)
            return flow;
        if (flow->last_used < oldest->last_used)
            oldest = flow;
    }
    flush(coalescer, oldest);
    return oldest;
}

/* A super-packet gets IDs in sequence when it is cut again. So the IDs of merged packets must be in sequence,
 * or all the same in packets that must not be fragmented, where the ID has no meaning (RFC 6864). */
static bool id_continues(struct flow *flow, const uint8_t *ip) {
    bool dont_fragment = ip[6] & 0x40;
    uint16_t id = load16(ip + 4);
    if (flow->packets == 1)
        flow->constant_id = dont_fragment && id == (uint16_t)(flow->next_id - 1);
    return flow->constant_id ? id == (uint16_t)(flow->next_id - 1) : id == flow->next_id;
}

/* Whether everything in the IP header but length and checksum is the same, and the ID continues. */
static bool same_ip_header(struct flow *flow, const uint8_t *ip) {
    const uint8_t *ours = flow->packet.ip;
    if (flow->packet.version == 4)
        return memcmp(ours, ip, 2) == 0 && memcmp(ours + 6, ip + 6, 4) == 0 && id_continues(flow, ip);
    return memcmp(ours, ip, 4) == 0 && memcmp(ours + 6, ip + 6, 2) == 0;
}

/* Whether it is the next segment, and everything in the TCP header but sequence number, PSH and checksum is
 * the same. */
static bool tcp_continues(const struct flow *flow, const uint8_t *tcp, uint16_t header) {
    const uint8_t *ours = flow->packet.ip + flow->packet.transport;
    return load32(tcp + 4) == flow->next_sequence && memcmp(ours + 8, tcp + 8, 5) == 0 &&
           ((ours[13] ^ tcp[13]) & ~TCP_PSH) == 0 && memcmp(ours + 14, tcp + 14, 2) == 0 &&
           memcmp(ours + 18, tcp + 18, header - 18U) == 0;
}

static bool may_append(struct flow *flow, const struct candidate *candidate) {
    const struct packet *packet = candidate->packet;
    if (candidate->headers != flow->headers || candidate->payload > flow->segment ||
        flow->packet.length + candidate->payload > COALESCE_LARGEST || !same_ip_header(flow, packet->ip))
        return false;
    if (packet->protocol == PROTOCOL_UDP)
        return flow->packets < COALESCE_DATAGRAMS;
    const uint8_t *tcp = packet->ip + packet->transport;
    return tcp_continues(flow, tcp, (uint16_t)(candidate->headers - packet->transport));
}

/* Copies the payload behind the others. False when a checksum is wrong. */
static bool append(struct flow *flow, const struct candidate *candidate) {
    const struct packet *packet = candidate->packet;
    uint8_t *end = flow->packet.ip + flow->packet.length;
    const uint8_t *transport = packet->ip + packet->transport;
    uint64_t sum = packet_pseudo_sum(packet, (uint32_t)(packet->length - packet->transport));
    sum = csum_add(sum, csum_bytes(transport, (size_t)(candidate->headers - packet->transport)));
    sum = csum_add(sum, csum_copy(end, packet->ip + candidate->headers, candidate->payload));
    if (!valid_checksum(sum) ||
        (packet->version == 4 && !valid_checksum(csum_bytes(packet->ip, IPV4_HEADER))))
        return false;
    flow->packet.length += candidate->payload;
    flow->packets++;
    flow->next_sequence += candidate->payload;
    flow->next_id += !flow->constant_id;
    if (candidate->push)
        flow->packet.ip[packet->transport + 13] |= TCP_PSH;
    return true;
}

/* Begins a super-packet with this packet. False when a checksum is wrong. */
static bool begin(struct flow *flow, uint32_t friend_number, const struct candidate *candidate) {
    const struct packet *packet = candidate->packet;
    uint8_t *ip = flow->buffer + COALESCE_HEADER;
    uint64_t header = csum_copy(ip, packet->ip, packet->transport);
    uint64_t sum = packet_pseudo_sum(packet, (uint32_t)(packet->length - packet->transport));
    sum = csum_add(sum, csum_copy(ip + packet->transport, packet->ip + packet->transport,
                                  packet->length - packet->transport));
    if (!valid_checksum(sum) || (packet->version == 4 && !valid_checksum(header)))
        return false;
    flow->packet = *packet;
    flow->packet.ip = ip;
    flow->packet.source = ip + (packet->source - packet->ip);
    flow->packet.destination = ip + (packet->destination - packet->ip);
    flow->hash = candidate->hash;
    flow->friend_number = friend_number;
    flow->headers = candidate->headers;
    flow->segment = candidate->payload;
    flow->packets = 1;
    flow->next_id = (uint16_t)(load16(ip + 4) + 1);
    if (packet->protocol == PROTOCOL_TCP)
        flow->next_sequence = load32(ip + packet->transport + 4) + candidate->payload;
    return true;
}

void coalesce(struct coalescer *coalescer, uint32_t friend_number, const struct packet *packet) {
    struct candidate candidate = {.packet = packet};
    enum action action = classify(coalescer, &candidate);
    struct flow *flow = action > FENCE ? find(coalescer, friend_number, &candidate) : NULL;
    if (flow && action == MERGE && may_append(flow, &candidate) && append(flow, &candidate)) {
        flow->last_used = ++coalescer->clock;
        if (candidate.push || candidate.payload < flow->segment)
            flush(coalescer, flow);
        return;
    }
    if (flow)
        flush(coalescer, flow);
    if (action == FENCE)
        flush_between(coalescer, friend_number, packet);
    if (action == MERGE && !candidate.push) {
        flow = free_slot(coalescer);
        if (begin(flow, friend_number, &candidate)) {
            flow->last_used = ++coalescer->clock;
            coalescer->open++;
            return;
        }
    }
    coalescer->pass(coalescer->context, friend_number, packet->ip, packet->length);
}

void coalesce_flush(struct coalescer *coalescer) {
    for (struct flow *flow = coalescer->flows; coalescer->open; flow++)
        if (flow->packets)
            flush(coalescer, flow);
}
