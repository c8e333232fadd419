#include "bundle.h"
#include "path.h"

/* -- out */

static const enum drop REFUSALS[] = {
    [SENT_OFFLINE] = DROP_OFFLINE,
    [SENT_QUEUE_FULL] = DROP_QUEUE_FULL,
    [SENT_NOT_FOUND] = DROP_NO_ROUTE,
    [SENT_INVALID] = DROP_TOO_BIG,
};

static void write_frame(const struct path *path, uint8_t *frame, uint8_t version) {
    frame[0] = path->settings.packet_id;
    if (path->settings.frame == FRAME_VPN) {
        store16(frame + 1, 0);
        store16(frame + 3, version == 4 ? ETHERTYPE_IPV4 : ETHERTYPE_IPV6);
    }
}

static void carry(struct path *path, uint32_t friend_number, const uint8_t *frame, size_t length,
                  unsigned packets) {
    const struct carrier *carrier = &path->settings.carrier;
    struct friend_path *friend = &path->friends[friend_number];
    int result = carrier->send(carrier->context, friend_number, frame, length);
    if (result == SENT) {
        friend->tx_packets += packets;
        friend->tx_bytes += length - path->settings.frame;
        return;
    }
    while (packets--)
        path_drop(path, friend_number, REFUSALS[result]);
}

void bundle_flush(struct bundle *bundle) {
    if (bundle->packets == 0)
        return;
    write_frame(bundle->path, bundle->bytes, bundle->version);
    carry(bundle->path, bundle->friend_number, bundle->bytes, bundle->length, bundle->packets);
    bundle->packets = 0;
}

static void begin(struct bundle *bundle, struct path *path, uint32_t friend_number, uint8_t version) {
    bundle->path = path;
    bundle->friend_number = friend_number;
    bundle->version = version;
    bundle->length = path->settings.frame;
}

static void append(struct bundle *bundle, const struct packet *packet) {
    memcpy(bundle->bytes + bundle->length, packet->ip, packet->length);
    bundle->length += packet->length;
    bundle->packets++;
}

void bundle_send(struct bundle *bundle, struct path *path, uint32_t friend_number,
                 const struct packet *packet) {
    const struct friend_path *friend = &path->friends[friend_number];
    size_t frame = path->settings.frame;
    bool small = friend->bundles && packet->length <= friend->mtu / 2;
    bool same = bundle->packets && bundle->path == path && bundle->friend_number == friend_number;
    bool joins = small && same && bundle->packets < BUNDLE_PACKETS && bundle->version == packet->version &&
                 bundle->length + packet->length <= frame + friend->mtu;
    if (!joins && (small || same))
        bundle_flush(bundle);
    if (small) {
        if (!joins)
            begin(bundle, path, friend_number, packet->version);
        append(bundle, packet);
    } else {
        write_frame(path, packet->ip - frame, packet->version);
        carry(path, friend_number, packet->ip - frame, frame + packet->length, 1);
    }
}

/* -- in */

size_t bundle_next_untrusted(const uint8_t *ip, size_t left, uint8_t version) {
    size_t length, least = version == 4 ? IPV4_HEADER : IPV6_HEADER;
    if (left < least || ip[0] >> 4 != version)
        return 0;
    length = version == 4 ? load16(ip + 2) : load16(ip + 4) + least;
    return length >= least && length <= left ? length : 0;
}

bool bundle_adds_up_untrusted(const uint8_t *ip, size_t length, uint8_t version) {
    size_t next;
    for (unsigned packets = 0; length; packets++, ip += next, length -= next)
        if (packets == BUNDLE_PACKETS || (next = bundle_next_untrusted(ip, length, version)) == 0)
            return false;
    return true;
}
