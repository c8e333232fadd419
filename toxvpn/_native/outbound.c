/* Outbound: from the TUN into Tox. The stations of a packet, in the order of the functions below:
 *
 *   1. path_read_tun   one read() is one packet, or one super-packet of up to 64 kB (kernel offload)
 *   2. outbound        checks it, finds the friend, answers what cannot go with an ICMP error
 *   3. send_whole      a packet as it is: completes the checksum where the kernel left that to us
 *   4. send_segments   a super-packet: cut in place, each segment's headers written before its payload,
 *                      over the payload of the segment that is sent already
 *   5. send_framed     puts the frame before the packet and hands it to the carrier */
#include <errno.h>
#include <unistd.h>

#include "path.h"

#ifndef VIRTIO_NET_HDR_GSO_UDP_L4
#define VIRTIO_NET_HDR_GSO_UDP_L4 5 /* Linux 6.2 */
#endif

struct segmentation {
    struct packet packet;
    uint32_t friend_number;
    uint16_t headers; /* bytes up to the payload */
    uint16_t segment; /* bytes of payload in each but the last */
    bool tcp;
};

static size_t outbound(struct path *path, uint8_t *ip, size_t length, const struct virtio_net_hdr *vnet);

size_t path_read_tun(struct path *path, size_t budget, int *error) {
    size_t sent = 0;
    *error = 0;
    path->wrote = false;
    size_t vnet_length = path->settings.vnet_hdr ? VNET_HEADER : 0;
    uint8_t *ip = path->buffer + HEADROOM + VNET_HEADER;
    while (sent < budget && !path->settings.carrier.congested(path->settings.carrier.context)) {
        struct virtio_net_hdr vnet = {0};
        ssize_t length = read(path->settings.tun, ip - vnet_length, vnet_length + LARGEST_READ);
        if (length < (ssize_t)vnet_length) {
            *error = length >= 0 ? EIO : errno == EAGAIN || errno == EINTR ? 0 : errno;
            break;
        }
        memcpy(&vnet, ip - vnet_length, vnet_length);
        /* a packet that is dropped counts too, so that a flood of those ends the turn as well */
        size_t handed = outbound(path, ip, (size_t)length - vnet_length, &vnet);
        sent += handed ? handed : 1;
    }
    if (sent)
        path->settings.carrier.flush(path->settings.carrier.context);
    return sent;
}

static size_t send_whole(struct path *path, struct packet *packet, uint32_t friend_number,
                         const struct virtio_net_hdr *vnet);
static size_t send_segments(struct path *path, struct segmentation *plan);
static bool plan_segments(struct segmentation *plan, const struct virtio_net_hdr *vnet);

/* Drops are counted here, and answered where the sender can learn from it. */
static size_t outbound_drop(struct path *path, const struct packet *packet, uint32_t friend_number,
                            enum drop reason, uint16_t mtu) {
    path_drop(path, friend_number, reason);
    device_answer_error(path, packet, reason, mtu);
    return 0;
}

/* A peer's address on the network may get around as one where Tox reaches it. What Tox sends there must not
 * travel inside what Tox sends there, and so on: that fills the machine within a second. */
static bool is_carriers_own(const struct path *path, const struct packet *packet) {
    uint32_t owner;
    return path->settings.carrier_port != 0 && packet->protocol == PROTOCOL_UDP &&
           packet->transport + 2U <= packet->length &&
           load16(packet->ip + packet->transport) == path->settings.carrier_port &&
           prefixes_lookup(&path->sources, packet->version, packet->source, 0, &owner) && owner == OURSELVES;
}

static size_t outbound(struct path *path, uint8_t *ip, size_t length, const struct virtio_net_hdr *vnet) {
    struct segmentation plan = {0};
    struct packet *packet = &plan.packet;
    bool super = vnet->gso_type != VIRTIO_NET_HDR_GSO_NONE;
    uint32_t friend_number = OURSELVES;
    if (!packet_parse(packet, ip, length, !super) ||
        (path->settings.frame == FRAME_STACK && packet->version != 6) ||
        (super && !plan_segments(&plan, vnet))) {
        path_drop(path, OURSELVES, DROP_MALFORMED);
        return 0;
    }
    if (is_carriers_own(path, packet)) {
        path_drop(path, OURSELVES, DROP_LOOP);
        return 0;
    }
    if (!prefixes_lookup(&path->routes, packet->version, packet->destination, 0, &friend_number))
        return outbound_drop(path, packet, OURSELVES, DROP_NO_ROUTE, 0);
    struct friend_path *friend = &path->friends[friend_number];
    if (!friend->online)
        return outbound_drop(path, packet, friend_number, DROP_OFFLINE, 0);
    if ((super ? (size_t)plan.headers + plan.segment : length) > friend->mtu)
        return outbound_drop(path, packet, friend_number, DROP_TOO_BIG, friend->mtu);
    if (!super)
        return send_whole(path, packet, friend_number, vnet);
    plan.friend_number = friend_number;
    return send_segments(path, &plan);
}

static size_t send_framed(struct path *path, const struct packet *packet, uint32_t friend_number,
                          uint8_t *ip, size_t length);

static size_t send_whole(struct path *path, struct packet *packet, uint32_t friend_number,
                         const struct virtio_net_hdr *vnet) {
    bool incomplete = vnet->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM;
    size_t field = (size_t)vnet->csum_start + vnet->csum_offset;
    packet_clamp_mss(packet, path->friends[friend_number].mtu, !incomplete);
    if (incomplete) {
        if (field + 2 > packet->length) {
            path_drop(path, friend_number, DROP_MALFORMED);
            return 0;
        }
        /* the field holds the pseudo header's sum, so the sum over everything is the whole one */
        uint64_t sum = csum_bytes(packet->ip + vnet->csum_start, packet->length - vnet->csum_start);
        uint16_t checksum = (uint16_t)~csum_fold(sum);
        if (checksum == 0 && packet->protocol == PROTOCOL_UDP)
            checksum = 0xffff; /* 0 would say that there is none (RFC 768) */
        memcpy(packet->ip + field, &checksum, 2);
    }
    return send_framed(path, packet, friend_number, packet->ip, packet->length);
}

/* False for super-packets of a kind that was not asked for, or that do not add up. */
static bool plan_segments(struct segmentation *plan, const struct virtio_net_hdr *vnet) {
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
    /* the headers of a segment are written before its payload, and the frame before those */
    return header < room && header >= (plan->tcp ? TCP_HEADER : UDP_HEADER) && plan->segment > 0 &&
           !packet->fragment && plan->headers + FRAME_VPN <= HEADROOM;
}

/* The transport header of the segment at `ip`, which begins `offset` bytes into the payload. */
static void write_transport_header(const struct segmentation *plan, uint8_t *ip, size_t length, size_t offset,
                                   bool last) {
    uint8_t *transport = ip + plan->packet.transport;
    size_t room = length - plan->packet.transport;
    uint8_t *checksum = transport + (plan->tcp ? 16 : 6);
    if (plan->tcp) {
        store32(transport + 4, load32(transport + 4) + (uint32_t)offset);
        if (offset)
            transport[13] &= (uint8_t)~TCP_CWR;
        if (!last)
            transport[13] &= (uint8_t)~(TCP_PSH | TCP_FIN);
    } else {
        store16(transport + 4, (uint16_t)room);
    }
    memset(checksum, 0, 2);
    struct packet segment = plan->packet;
    segment.source = ip + (plan->packet.version == 4 ? 12 : 8);
    uint64_t pseudo = packet_pseudo_sum(&segment, (uint32_t)room);
    uint16_t sum = (uint16_t)~csum_fold(csum_add(pseudo, csum_bytes(transport, room)));
    if (sum == 0 && !plan->tcp)
        sum = 0xffff;
    memcpy(checksum, &sum, 2);
}

static size_t send_segments(struct path *path, struct segmentation *plan) {
    uint8_t headers[HEADROOM];
    size_t sent = 0, payload = plan->packet.length - plan->headers;
    memcpy(headers, plan->packet.ip, plan->headers);
    for (size_t offset = 0; offset < payload; offset += plan->segment, sent++) {
        bool last = payload - offset <= plan->segment;
        size_t length = plan->headers + (last ? payload - offset : plan->segment);
        struct packet segment = plan->packet;
        segment.ip = plan->packet.ip + offset;
        memcpy(segment.ip, headers, plan->headers);
        if (segment.version == 4)
            store16(segment.ip + 4, (uint16_t)(load16(headers + 4) + sent));
        packet_set_length(&segment, length);
        write_transport_header(plan, segment.ip, length, offset, last);
        send_framed(path, &segment, plan->friend_number, segment.ip, length);
    }
    return sent;
}

static const enum drop REFUSALS[] = {
    [SENT_OFFLINE] = DROP_OFFLINE,
    [SENT_QUEUE_FULL] = DROP_QUEUE_FULL,
    [SENT_NOT_FOUND] = DROP_NO_ROUTE,
    [SENT_INVALID] = DROP_TOO_BIG,
};

/* There are at least FRAME_VPN bytes of ours before `ip`. Returns 1. */
static size_t send_framed(struct path *path, const struct packet *packet, uint32_t friend_number,
                          uint8_t *ip, size_t length) {
    struct friend_path *friend = &path->friends[friend_number];
    uint8_t *frame = ip - path->settings.frame;
    frame[0] = path->settings.packet_id;
    if (path->settings.frame == FRAME_VPN) {
        store16(frame + 1, 0);
        store16(frame + 3, packet->version == 4 ? ETHERTYPE_IPV4 : ETHERTYPE_IPV6);
    }
    const struct carrier *carrier = &path->settings.carrier;
    int result = carrier->send(carrier->context, friend_number, frame, path->settings.frame + length);
    if (result == SENT) {
        friend->tx_packets++;
        friend->tx_bytes += length;
    } else {
        path_drop(path, friend_number, REFUSALS[result]);
    }
    return 1;
}
