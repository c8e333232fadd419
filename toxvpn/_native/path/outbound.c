/* Outbound: from the TUN into Tox. The stations of a packet, in the order of the functions below:
 *
 *   1. path_read_tun      one read() gives one packet, or one super-packet of up to 64 kB (kernel offload)
 *   2. route              checks it, and finds the friend; a packet to a group is for several (replicate)
 *   3. send_to            answers what cannot be sent with an ICMP error, and holds it (held.c) if it is TCP's
 *   4. finish_headers     of a single packet: lowers the MSS of a SYN, completes a checksum that was left to us
 *   5. dispatch           sends piece by piece while the carrier has room; the rest waits (backlog.c)
 *   6. outgoing_send      takes the next piece: of a super-packet, a segment; fragments it if it is too big
 *   7. send_framed        into a bundle, if it is small; else to the carrier in a frame of its own (bundle.c) */
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "backlog.h"
#include "outgoing.h"

static size_t route(struct path *path, uint8_t *ip, size_t length, const struct virtio_net_hdr *vnet);

static void end_batch(struct path *path) {
    bundle_flush(&path->settings.backlog->bundle);
    path->settings.carrier.flush(path->settings.carrier.context);
}

size_t path_read_tun(struct path *path, size_t budget, int *error) {
    size_t done = 0;
    *error = 0;
    path->wrote = false;
    size_t vnet_length = path->settings.vnet_hdr ? VNET_HEADER : 0;
    uint8_t *ip = path->buffer + HEADROOM + VNET_HEADER;
    while (done < budget) {
        struct virtio_net_hdr vnet = {0};
        ssize_t length = read(path->settings.tun, ip - vnet_length, vnet_length + LARGEST_READ);
        if (length < 0 && errno == EINVAL) { /* a kind that virtio_net_hdr cannot describe: it is lost */
            path_drop(path, OURSELVES, DROP_DEVICE);
            done++;
            continue;
        }
        if (length < (ssize_t)vnet_length) {
            *error = length >= 0 ? EIO : errno == EAGAIN || errno == EINTR ? 0 : errno;
            break;
        }
        memcpy(&vnet, ip - vnet_length, vnet_length);
        /* a packet that is dropped counts too, so that a flood of those ends the turn as well */
        size_t pieces = route(path, ip, (size_t)length - vnet_length, &vnet);
        done += pieces ? pieces : 1;
    }
    if (done)
        end_batch(path);
    backlog_send(path->settings.backlog, &path->settings.carrier);
    path->now_s = 0;
    return done;
}

static bool finish_headers(struct packet *packet, const struct virtio_net_hdr *vnet, uint16_t mtu);
static size_t dispatch(struct path *path, struct outgoing *out);

/* Counts the drop, and answers with an ICMP error where the sender can learn from it. */
static size_t drop_and_answer(struct path *path, const struct packet *packet, uint32_t friend_number,
                              enum drop reason, uint16_t mtu) {
    path_drop(path, friend_number, reason);
    device_answer_error(path, packet, friend_number, reason, mtu);
    return 0;
}

/* The largest packet for this friend. IPv6 must be carried up to 1280 bytes, and senders ignore a "too big"
 * with less (RFC 8200 §5, RFC 8201 §4): a Tox packet has room for that. Where the network under Tox has not,
 * the outer packet is fragmented. */
static size_t largest_for(const struct friend_path *friend, const struct packet *packet) {
    return packet->version == 6 && friend->mtu < IPV6_MIN_MTU ? IPV6_MIN_MTU : friend->mtu;
}

static bool may_be_fragmented(const struct packet *packet) {
    return packet->version == 4 && !(load16(packet->ip + 6) & IPV4_DONT_FRAGMENT);
}

/* Whether it is from an address of this machine's in the network. */
static bool is_ours(const struct path *path, const struct packet *packet) {
    uint32_t owner;
    return prefixes_lookup(&path->sources, packet->version, packet->source, 0, &owner) && owner == OURSELVES;
}

/* Whether Tox itself sends this packet: it may learn a peer's overlay address and try to reach the peer there.
 * Such packets must not travel inside packets of the same kind, and so on: that fills the machine within a
 * second. */
static bool is_from_carrier(const struct path *path, const struct packet *packet) {
    return path->settings.carrier_port != 0 && packet->protocol == PROTOCOL_UDP &&
           packet->transport + 2U <= packet->length &&
           load16(packet->ip + packet->transport) == path->settings.carrier_port && is_ours(path, packet);
}

static size_t replicate(struct path *path, const struct packet *packet, const struct virtio_net_hdr *vnet);
static size_t send_to(struct path *path, struct outgoing *out, const struct virtio_net_hdr *vnet);

static size_t route(struct path *path, uint8_t *ip, size_t length, const struct virtio_net_hdr *vnet) {
    struct outgoing out; /* filled step by step: most of it is a copy of headers, which few packets need */
    struct packet *packet = &out.plan.packet;
    bool super = vnet->gso_type != VIRTIO_NET_HDR_GSO_NONE;
    if (!packet_parse(packet, ip, length, !super) ||
        (path->settings.frame == FRAME_STACK && packet->version != 6) ||
        (super && !cut_plan(&out.plan, vnet))) {
        path_drop(path, OURSELVES, DROP_MALFORMED);
        return 0;
    }
    if (is_from_carrier(path, packet)) {
        path_drop(path, OURSELVES, DROP_LOOP);
        return 0;
    }
    if (packet_is_to_group(packet))
        return replicate(path, packet, vnet);
    if (!prefixes_lookup(&path->routes, packet->version, packet->destination, 0, &out.friend_number))
        return drop_and_answer(path, packet, OURSELVES, DROP_NO_ROUTE, 0);
    return send_to(path, &out, vnet);
}

/* A copy for each friend that takes part in the group; the sending of one overwrites it. Nothing but what this
 * machine sends itself: packets of others, which it may route, stay where they are. */
static size_t replicate(struct path *path, const struct packet *packet, const struct virtio_net_hdr *vnet) {
    if (groups_is_kernels(packet))
        return 0;
    uint32_t bit = is_ours(path, packet) ? groups_bit(&path->groups, packet) : 0;
    uint8_t *copy = bit ? malloc(HEADROOM + packet->length) : NULL;
    if (copy == NULL) {
        path_drop(path, OURSELVES, bit ? DROP_QUEUE_FULL : DROP_NO_ROUTE);
        return 0;
    }
    bool super = vnet->gso_type != VIRTIO_NET_HDR_GSO_NONE;
    size_t pieces = 0;
    for (uint32_t number = 0; number < path->many_friends; number++) {
        const struct friend_path *friend = &path->friends[number];
        if (!(friend->groups & bit) || !friend->online || !groups_may_leave(path, number))
            continue;
        struct outgoing out;
        out.friend_number = number;
        memcpy(copy + HEADROOM, packet->ip, packet->length);
        if (packet_parse(&out.plan.packet, copy + HEADROOM, packet->length, !super) &&
            (!super || cut_plan(&out.plan, vnet)))
            pieces += send_to(path, &out, vnet);
    }
    free(copy);
    return pieces;
}

/* Of a super-packet the first piece; the plan stays as it is. */
static void hold(struct path *path, const struct outgoing *out, bool super) {
    struct friend_path *friend = &path->friends[out->friend_number];
    if (out->plan.packet.protocol != PROTOCOL_TCP)
        return;
    struct segmentation plan = out->plan;
    struct packet first = super ? cut_next(&plan) : plan.packet;
    held_keep(&friend->held, &path->held_bytes, &first, path_now_s(path));
}

static size_t send_to(struct path *path, struct outgoing *out, const struct virtio_net_hdr *vnet) {
    struct packet *packet = &out->plan.packet;
    struct friend_path *friend = &path->friends[out->friend_number];
    bool super = vnet->gso_type != VIRTIO_NET_HDR_GSO_NONE;
    if (!friend->online) {
        drop_and_answer(path, packet, out->friend_number, DROP_OFFLINE, 0);
        if (super || finish_headers(packet, vnet, friend->mtu))
            hold(path, out, super);
        return 0;
    }
    if (!super)
        cut_plan_single(&out->plan);
    size_t largest = largest_for(friend, packet);
    if ((super ? (size_t)out->plan.headers + out->plan.segment : packet->length) > largest &&
        !may_be_fragmented(packet))
        return drop_and_answer(path, packet, out->friend_number, DROP_TOO_BIG, (uint16_t)largest);
    if (!super && !finish_headers(packet, vnet, friend->mtu)) {
        path_drop(path, out->friend_number, DROP_MALFORMED);
        return 0;
    }
    if (friend->policy != NULL)
        policy_outbound(friend->policy, packet, path_now_s(path));
    if (path_now_s(path) - friend->heard_s >= HELD_AFTER_S)
        hold(path, out, super);
    return dispatch(path, out);
}

/* What is sent to one that still says nothing is held once more. */
static void resume(struct path *path, uint32_t friend_number, uint32_t least_s) {
    static const struct virtio_net_hdr complete;
    struct held *held = path->friends[friend_number].held;
    uint8_t *ip = path->buffer + HEADROOM + VNET_HEADER;
    size_t length;
    path->friends[friend_number].held = NULL;
    while ((length = held_take(&held, &path->held_bytes, ip, path_now_s(path), least_s)) > 0) {
        struct outgoing out = {.friend_number = friend_number};
        if (packet_parse(&out.plan.packet, ip, length, true))
            send_to(path, &out, &complete);
    }
    end_batch(path);
}

void path_resume(struct path *path) {
    if (!path->any_is_back)
        return;
    path->any_is_back = false;
    for (uint32_t number = 0; number < path->many_friends; number++)
        if (path->friends[number].is_back) {
            path->friends[number].is_back = false;
            if (path->friends[number].online)
                resume(path, number, path->friends[number].is_unsure ? 0 : HELD_AFTER_S);
            path->friends[number].is_unsure = false;
        }
}

/* It may come too early: a friend that has just started does not know our addresses yet, and a path that is new
 * here may not be so there. */
static void resume_early(struct path *path, uint32_t friend_number) {
    path->friends[friend_number].is_unsure = true;
    resume(path, friend_number, 0);
}

bool path_heard(struct path *path, uint32_t friend_number) {
    struct friend_path *friend = path_friend(path, friend_number);
    if (friend == NULL)
        return false;
    path->now_s = 0;
    if (friend->online && friend->held != NULL && friend->repeated_s != path_now_s(path)) {
        friend->repeated_s = path_now_s(path);
        resume_early(path, friend_number);
    }
    path->now_s = 0;
    return true;
}

bool path_set_online(struct path *path, uint32_t friend_number, bool online) {
    struct friend_path *friend = path_friend(path, friend_number);
    if (friend == NULL)
        return false;
    friend->online = online;
    path->now_s = 0;
    if (online && friend->held != NULL)
        resume_early(path, friend_number);
    path->now_s = 0;
    return true;
}

/* False if the checksum field would be outside the packet. */
static bool finish_headers(struct packet *packet, const struct virtio_net_hdr *vnet, uint16_t mtu) {
    bool incomplete = vnet->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM;
    size_t field = (size_t)vnet->csum_start + vnet->csum_offset;
    packet_clamp_mss(packet, mtu, !incomplete);
    if (!incomplete)
        return true;
    if (field + 2 > packet->length)
        return false;
    /* the field holds the pseudo header's sum, so the sum over all bytes covers that too */
    uint64_t sum = csum_bytes(packet->ip + vnet->csum_start, packet->length - vnet->csum_start);
    uint16_t checksum = (uint16_t)~csum_fold(sum);
    if (checksum == 0 && packet->protocol == PROTOCOL_UDP)
        checksum = 0xffff; /* 0 means that there is no checksum (RFC 768) */
    memcpy(packet->ip + field, &checksum, 2);
    return true;
}

/* Returns how many pieces were sent or put to the backlog. Packets that wait already go first. */
static size_t dispatch(struct path *path, struct outgoing *out) {
    const struct carrier *carrier = &path->settings.carrier;
    size_t pieces = 0;
    if (!backlog_waits(path->settings.backlog))
        for (; out->plan.left && !carrier->congested(carrier->context); pieces++)
            outgoing_send(path, out, false);
    if (out->plan.left) {
        pieces += cut_pieces(&out->plan);
        backlog_put(path->settings.backlog, path, out);
    }
    return pieces;
}

/* The friend that the pieces of a packet are sent to. */
struct recipient {
    struct path *path;
    uint32_t friend_number;
};

static void send_framed(void *context, const struct packet *packet);

void outgoing_send(struct path *path, struct outgoing *out, bool mark) {
    struct packet piece = cut_next(&out->plan);
    struct recipient recipient = {path, out->friend_number};
    const struct friend_path *friend = &path->friends[out->friend_number];
    if (mark)
        packet_mark_congestion(piece.ip);
    if (piece.length > friend->mtu && piece.version == 4)
        cut_fragments(&piece, friend->mtu, send_framed, &recipient);
    else
        send_framed(&recipient, &piece);
}

static void send_framed(void *context, const struct packet *packet) {
    const struct recipient *recipient = context;
    struct path *path = recipient->path;
    bundle_send(&path->settings.backlog->bundle, path, recipient->friend_number, packet);
}

/* -- for backlog.c */

bool outgoing_may_be_marked(const struct outgoing *out) {
    return packet_is_ecn_capable(cut_headers(&out->plan).ip);
}

void outgoing_drop(struct path *path, struct outgoing *out, enum drop reason) {
    path_drop(path, out->friend_number, reason);
    cut_skip(&out->plan);
}
