/* Inbound: out of Tox, to the TUN. The stations of a packet, in the order of the functions below:
 *
 *   1. path_inbound        takes the frame off; everything in the packet was chosen by the peer
 *   2. allowed_untrusted   may this friend use that source, and reach that destination?
 *   3. coalesce()          merges it with others of its flow, or passes it through
 *   4. path_flush_inbound  at the end of a batch, writes what was held back */
#include "backlog.h"
#include "path.h"

static bool unframe_untrusted(const struct path *path, struct packet *packet, const uint8_t *frame,
                              size_t length);
static bool allowed_untrusted(struct path *path, uint32_t friend_number, const struct packet *packet);
static void inbound(struct path *path, uint32_t friend_number, struct packet *packet);

void path_inbound(void *context, uint32_t friend_number, const uint8_t *frame, size_t length) {
    struct path *path = context;
    struct packet packet;
    if (!unframe_untrusted(path, &packet, frame, length))
        path_drop(path, friend_number, DROP_MALFORMED);
    else if (allowed_untrusted(path, friend_number, &packet))
        inbound(path, friend_number, &packet);
}

/* An EtherType that contradicts the packet is as malformed as a length that does. */
static bool unframe_untrusted(const struct path *path, struct packet *packet, const uint8_t *frame,
                              size_t length) {
    size_t header = path->settings.frame;
    if (length <= header || !packet_parse(packet, (uint8_t *)frame + header, length - header, true))
        return false;
    if (header == FRAME_STACK)
        return packet->version == 6;
    return load16(frame + 1) == 0 &&
           load16(frame + 3) == (packet->version == 4 ? ETHERTYPE_IPV4 : ETHERTYPE_IPV6);
}

/* Cryptokey routing: the longest prefix decides whose a source address is, whatever else a friend may use. */
static bool allowed_untrusted(struct path *path, uint32_t friend_number, const struct packet *packet) {
    uint32_t owner = OURSELVES, unused;
    if (friend_number >= path->many_friends ||
        !prefixes_lookup(&path->sources, packet->version, packet->source, 0, &owner) ||
        owner != friend_number) {
        path_drop(path, friend_number, DROP_SOURCE);
        return false;
    }
    if (!prefixes_lookup(&path->destinations, packet->version, packet->destination, EVERYBODY, &unused) &&
        !prefixes_lookup(&path->destinations, packet->version, packet->destination, friend_number, &unused)) {
        path_drop(path, friend_number, DROP_DESTINATION);
        return false;
    }
    return true;
}

static void inbound(struct path *path, uint32_t friend_number, struct packet *packet) {
    struct friend_path *friend = &path->friends[friend_number];
    friend->rx_packets++;
    friend->rx_bytes += packet->length;
    uint8_t *tcp = packet->ip + packet->transport;
    bool syn =
        packet->protocol == PROTOCOL_TCP && packet->transport + 14U <= packet->length && (tcp[13] & TCP_SYN);
    if (!syn || packet->length > LARGEST_READ) {
        coalesce(&path->coalescer, friend_number, packet);
        return;
    }
    /* what arrived is not ours to change: the MSS is lowered in a copy */
    uint8_t *copy = path->buffer + HEADROOM + VNET_HEADER;
    memcpy(copy, packet->ip, packet->length);
    packet_parse(packet, copy, packet->length, true);
    packet_clamp_mss(packet, friend->mtu, true);
    coalesce(&path->coalescer, friend_number, packet);
}

/* A pong or an acknowledgement is there as soon as write() returns; later, a processor that has slept would
 * get round to it only after all that comes after a wake-up. */
void path_flush_inbound(void *context) {
    struct path *path = context;
    int error; /* whoever reads the device next meets it again */
    coalesce_flush(&path->coalescer);
    if (path->wrote)
        path_read_tun(path, ANSWERS, &error);
    backlog_send(path->settings.backlog, &path->settings.carrier);
}
