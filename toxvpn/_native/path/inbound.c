/* Inbound: out of Tox, to the TUN. The stations of a packet, in the order of the functions below:
 *
 *   1. path_inbound          gets it from Tox; the peer chose every byte of it
 *   2. unframe_untrusted     takes the frame off, and checks that IP packets fill the rest: one, or a bundle (bundle.c)
 *   3. allowed_untrusted     checks that this friend may use that source, and reach that destination (policy.c)
 *   4. accept_packet         counts it, lowers the MSS of a SYN, hands it to coalesce(), which merges it with
 *                            others of its flow or writes it to the TUN (device.c)
 *   5. path_flush_inbound    at the end of a batch, writes what coalesce() held back */
#include "backlog.h"
#include "path.h"

static size_t unframe_untrusted(const struct path *path, const uint8_t *frame, size_t length);
static bool allowed_untrusted(struct path *path, uint32_t friend_number, const struct packet *packet);
static void accept_packet(struct path *path, uint32_t friend_number, struct packet *packet);

/* It is a bundle of one packet or several; one that does not add up is dropped as a whole. */
void path_inbound(void *context, uint32_t friend_number, const uint8_t *frame, size_t length) {
    struct path *path = context;
    struct packet packet;
    size_t at = unframe_untrusted(path, frame, length), next;
    if (at == 0)
        path_drop(path, friend_number, DROP_MALFORMED);
    for (; at && at < length; at += next) {
        next = bundle_next_untrusted(frame + at, length - at, frame[at] >> 4);
        if (!packet_parse(&packet, (uint8_t *)frame + at, next, true))
            path_drop(path, friend_number, DROP_MALFORMED);
        else if (allowed_untrusted(path, friend_number, &packet))
            accept_packet(path, friend_number, &packet);
    }
}

/* Where the first packet begins; 0 for a malformed frame, which includes an EtherType that contradicts the packets'
 * IP version. */
static size_t unframe_untrusted(const struct path *path, const uint8_t *frame, size_t length) {
    size_t header = path->settings.frame;
    if (length <= header)
        return 0;
    uint8_t version = frame[header] >> 4;
    if (header == FRAME_STACK
            ? version != 6
            : load16(frame + 1) != 0 || load16(frame + 3) != (version == 4 ? ETHERTYPE_IPV4 : ETHERTYPE_IPV6))
        return 0;
    return bundle_adds_up_untrusted(frame + header, length - header, version) ? header : 0;
}

static uint32_t destination_in(const struct path *path, uint32_t scope, const struct packet *packet) {
    uint32_t may = FORBIDDEN;
    prefixes_lookup(&path->destinations, packet->version, packet->destination, scope, &may);
    return may;
}

static uint32_t destination_of(const struct path *path, uint32_t friend_number, const struct packet *packet) {
    uint32_t may = destination_in(path, EVERYBODY, packet);
    return may == FORBIDDEN ? destination_in(path, friend_number, packet) : may;
}

/* Cryptokey routing, as in WireGuard: the longest prefix that covers a source address decides whose it is. */
static bool allowed_untrusted(struct path *path, uint32_t friend_number, const struct packet *packet) {
    uint32_t owner = OURSELVES, may = ALLOWED;
    if (friend_number >= path->many_friends ||
        !prefixes_lookup(&path->sources, packet->version, packet->source, 0, &owner) ||
        owner != friend_number) {
        path_drop(path, friend_number, DROP_SOURCE);
        return false;
    }
    if (packet_is_to_group(packet)) {
        if (!groups_may_arrive_untrusted(path, friend_number, packet))
            return false;
    } else if ((may = destination_of(path, friend_number, packet)) == FORBIDDEN) {
        path_drop(path, friend_number, DROP_DESTINATION);
        return false;
    }
    struct policy *policy = path->friends[friend_number].policy;
    if (policy != NULL && may == ALLOWED && !policy_inbound(policy, packet, path_now_s(path))) {
        path_drop(path, friend_number, DROP_POLICY);
        return false;
    }
    return true;
}

static void accept_packet(struct path *path, uint32_t friend_number, struct packet *packet) {
    struct friend_path *friend = &path->friends[friend_number];
    friend->rx_packets++;
    friend->rx_bytes += packet->length;
    uint32_t now_s = path_now_s(path);
    if (friend->held != NULL && now_s - friend->heard_s >= HELD_AFTER_S)
        friend->is_back = path->any_is_back = true;
    friend->heard_s = now_s;
    uint8_t *tcp = packet->ip + packet->transport;
    bool syn =
        packet->protocol == PROTOCOL_TCP && packet->transport + 14U <= packet->length && (tcp[13] & TCP_SYN);
    if (!syn || packet->length > LARGEST_READ) {
        coalesce(&path->coalescer, friend_number, packet);
        return;
    }
    /* toxcore owns the packet: the MSS is lowered in a copy */
    uint8_t *copy = path->buffer + HEADROOM + VNET_HEADER;
    memcpy(copy, packet->ip, packet->length);
    packet_parse(packet, copy, packet->length, true);
    packet_clamp_mss(packet, friend->mtu, true);
    coalesce(&path->coalescer, friend_number, packet);
}

/* Also reads what the kernel answered. A pong or an acknowledgement is there as soon as write() returns; the
 * event loop would come to it only after all that it does first after a wake-up. */
void path_flush_inbound(void *context) {
    struct path *path = context;
    int error; /* ignored: the next read of the device meets it again */
    coalesce_flush(&path->coalescer);
    path_resume(path);
    path->now_s = 0;
    if (path->wrote)
        path_read_tun(path, ANSWERS, &error);
    backlog_send(path->settings.backlog, &path->settings.carrier);
}
