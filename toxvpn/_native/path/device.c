/* Writes to the TUN: packets from peers, and our own ICMP errors (RFC 792, RFC 1191, RFC 4443). */
#include <errno.h>
#include <sys/uio.h>
#include <unistd.h>

#include "cut.h"
#include "path.h"

enum {
    ICMP_UNREACHABLE = 3, /* with these codes: */
    ICMP_NET = 0,
    ICMP_HOST = 1,
    ICMP_FRAGMENTATION_NEEDED = 4,
    ICMPV6_UNREACHABLE = 1, /* with these codes: */
    ICMPV6_NO_ROUTE = 0,
    ICMPV6_ADDRESS = 3,
    ICMPV6_TOO_BIG = 2,
    ICMP_HEADER = 8,
    LARGEST_ERROR_IPV4 = 576,  /* RFC 1812 §4.3.2.3 */
    LARGEST_ERROR_IPV6 = 1280, /* RFC 4443 §2.4 c */
    ERRORS_AT_ONCE = 50,
    ERRORS_PER_SECOND = 100,
};

/* The TUN takes a packet or refuses it at once. Waiting for room would delay the packets of every other
 * friend. */
static bool is_full(int error) { return error == EAGAIN || error == ENOBUFS || error == ENOMEM; }

static bool written(struct path *path, uint32_t friend_number, ssize_t result, unsigned packets) {
    if (result >= 0)
        return path->wrote = true;
    enum drop reason = is_full(errno) ? DROP_QUEUE_FULL : DROP_DEVICE;
    while (packets--)
        path_drop(path, friend_number, reason);
    return false;
}

static bool write_one(struct path *path, uint32_t friend_number, const uint8_t *packet, size_t length) {
    struct virtio_net_hdr vnet = {0};
    struct iovec parts[2] = {{&vnet, sizeof vnet}, {(void *)packet, length}};
    int skip = path->settings.vnet_hdr ? 0 : 1;
    return written(path, friend_number, writev(path->settings.tun, parts + skip, 2 - skip), 1);
}

void device_write(struct path *path, uint32_t friend_number, const uint8_t *packet, size_t length) {
    write_one(path, friend_number, packet, length);
}

void device_write_super(struct path *path, uint32_t friend_number, uint8_t *buffer, size_t length,
                        unsigned packets) {
    struct segmentation plan;
    unsigned taken = 0;
    struct virtio_net_hdr vnet;
    ssize_t result = write(path->settings.tun, buffer, length);
    memcpy(&vnet, buffer, sizeof vnet);
    if (result >= 0 || is_full(errno) ||
        !packet_parse(&plan.packet, buffer + VNET_HEADER, length - VNET_HEADER, true) ||
        !cut_plan(&plan, &vnet)) {
        written(path, friend_number, result, packets);
        return;
    }
    while (plan.left) {
        struct packet single = cut_next(&plan);
        taken += write_one(path, friend_number, single.ip, single.length);
    }
    bool *merges = plan.tcp ? &path->coalescer.tcp : &path->coalescer.udp;
    if (taken && *merges) { /* if it took none, the device is down or gone */
        *merges = false;
        path->settings.refused(path->settings.owner);
    }
}

static bool is_unicast(uint8_t version, const uint8_t *address) {
    static const uint8_t unspecified[16];
    if (memcmp(address, unspecified, address_bytes(version)) == 0)
        return false;
    return version == 4 ? address[0] < 224 : address[0] != 0xff;
}

/* No errors about ICMP errors, multicast and later fragments (RFC 1122 §3.2.2, RFC 4443 §2.4 e). */
static bool may_be_answered(const struct packet *packet) {
    if (!is_unicast(packet->version, packet->source) || !is_unicast(packet->version, packet->destination))
        return false;
    if (packet->version == 4 && packet->protocol == PROTOCOL_UNKNOWN)
        return false;
    if (packet->transport >= packet->length)
        return true;
    uint8_t type = packet->ip[packet->transport];
    if (packet->protocol == PROTOCOL_ICMP)
        return type == 8; /* echo request */
    return packet->protocol != PROTOCOL_ICMPV6 || type >= 128;
}

/* Addresses it from the destination of `packet` to its source. Returns the length of the header. */
static size_t write_error_ip_header(uint8_t *ip, const struct packet *packet, size_t length) {
    if (packet->version == 4) {
        const uint8_t header[IPV4_HEADER] = {0x45, 0, 0, 0, 0, 0, 0x40, 0, 64, PROTOCOL_ICMP};
        memcpy(ip, header, sizeof header);
        memcpy(ip + 12, packet->destination, 4);
        memcpy(ip + 16, packet->source, 4);
        store16(ip + 2, (uint16_t)length);
        packet_set_ipv4_checksum(ip);
        return IPV4_HEADER;
    }
    const uint8_t header[8] = {0x60, 0, 0, 0, 0, 0, PROTOCOL_ICMPV6, 64};
    memcpy(ip, header, sizeof header);
    store16(ip + 4, (uint16_t)(length - IPV6_HEADER));
    memcpy(ip + 8, packet->destination, 16);
    memcpy(ip + 24, packet->source, 16);
    return IPV6_HEADER;
}

static void write_error_icmp_header(uint8_t *icmp, uint8_t version, enum drop reason, uint16_t mtu) {
    memset(icmp, 0, ICMP_HEADER);
    if (version == 4) {
        icmp[0] = ICMP_UNREACHABLE;
        icmp[1] = mtu ? ICMP_FRAGMENTATION_NEEDED : reason == DROP_NO_ROUTE ? ICMP_NET : ICMP_HOST;
        store16(icmp + 6, mtu); /* RFC 1191 §4 */
    } else {
        icmp[0] = mtu ? ICMPV6_TOO_BIG : ICMPV6_UNREACHABLE;
        icmp[1] = mtu || reason == DROP_NO_ROUTE ? ICMPV6_NO_ROUTE : ICMPV6_ADDRESS;
        store32(icmp + 4, mtu);
    }
}

void device_answer_error(struct path *path, const struct packet *packet, uint32_t friend_number,
                         enum drop reason, uint16_t mtu) {
    struct budget *budget =
        friend_number < path->many_friends ? &path->friends[friend_number].errors : &path->errors;
    uint8_t answer[LARGEST_ERROR_IPV6];
    size_t headers = (packet->version == 4 ? IPV4_HEADER : IPV6_HEADER) + ICMP_HEADER;
    size_t room = (packet->version == 4 ? LARGEST_ERROR_IPV4 : LARGEST_ERROR_IPV6) - headers;
    size_t quoted = packet->length < room ? packet->length : room;
    size_t length = headers + quoted;
    if (!may_be_answered(packet) || !budget_take(budget, ERRORS_PER_SECOND, ERRORS_AT_ONCE))
        return;
    size_t at = write_error_ip_header(answer, packet, length);
    write_error_icmp_header(answer + at, packet->version, reason, mtu);
    memcpy(answer + headers, packet->ip, quoted);
    uint64_t sum = csum_bytes(answer + at, length - at);
    if (packet->version == 6) {
        struct packet reply = {.version = 6, .protocol = PROTOCOL_ICMPV6, .source = answer + 8};
        sum = csum_add(sum, packet_pseudo_sum(&reply, (uint32_t)(length - at)));
    }
    uint16_t checksum = (uint16_t)~csum_fold(sum);
    memcpy(answer + at + 2, &checksum, 2);
    device_write(path, OURSELVES, answer, length);
}
