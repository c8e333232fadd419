/* Two packet paths that are each other's friend, in any order of what their kernels and a hostile friend may do: a
 * path takes every frame that the other makes for well-formed, every packet is counted, and what is written to a TUN
 * is well-formed again. */
#define _GNU_SOURCE
#include "backlog.h"
#include "cut.h"
#include "input.h"
#include "path.h"

#include <errno.h>
#include <sys/uio.h>

enum { FRIEND = 3, STRANGER = 9, TUN = 5, LARGEST_FRAGMENTED = 65535 };

static const uint8_t ADDRESSES[2][2][16] = {
    {{100, 64, 0, 1}, {0xfd, 0x74, 0x6f, 0x78, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1}},
    {{100, 64, 0, 2}, {0xfd, 0x74, 0x6f, 0x78, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2}},
};

struct end {
    struct path *path;
    struct backlog *backlog;
    struct end *other;
    int room; /* packets that its carrier takes until it is congested */
};

static struct input script;
static struct end ends[2];
static uint64_t clock_ms;
static const uint8_t *tun_packet; /* what the kernel gives at the next read */
static size_t tun_length;
static int tun_error;
static bool
    kernel_lies; /* about where a checksum belongs: no kernel does, and what it leads to is malformed */

/* -- the kernel */

ssize_t fake_read(int fd, void *out, size_t room) {
    if (tun_packet == NULL) {
        errno = EAGAIN;
        return -1;
    }
    size_t length = tun_length < room ? tun_length : room;
    memcpy(out, tun_packet, length);
    tun_packet = NULL;
    return (ssize_t)length;
}

static void check_written(const uint8_t *data, size_t length) {
    struct segmentation plan;
    struct virtio_net_hdr vnet;
    CHECK(length > sizeof vnet);
    memcpy(&vnet, data, sizeof vnet);
    uint8_t *copy = malloc(HEADROOM + length);
    memcpy(copy + HEADROOM, data + sizeof vnet, length - sizeof vnet);
    CHECK(packet_parse(&plan.packet, copy + HEADROOM, length - sizeof vnet, true));
    if (vnet.gso_type) {
        CHECK(cut_plan(&plan, &vnet));
        while (plan.left) {
            struct packet piece = cut_next(&plan);
            CHECK(packet_parse(&piece, piece.ip, piece.length, true));
        }
    }
    free(copy);
}

ssize_t fake_writev(int fd, const struct iovec *parts, int many) {
    uint8_t whole[VNET_HEADER + LARGEST_READ + 1];
    size_t length = 0;
    for (int at = 0; at < many; length += parts[at++].iov_len) {
        CHECK(length + parts[at].iov_len <= sizeof whole);
        memcpy(whole + length, parts[at].iov_base, parts[at].iov_len);
    }
    check_written(whole, length);
    if (tun_error) {
        errno = tun_error;
        return -1;
    }
    return (ssize_t)length;
}

ssize_t fake_write(int fd, const void *data, size_t length) {
    struct iovec part = {(void *)data, length};
    return fake_writev(fd, &part, 1);
}

int fake_clock_gettime(clockid_t clock, struct timespec *out) {
    out->tv_sec = (time_t)(clock_ms / 1000);
    out->tv_nsec = (long)(clock_ms % 1000) * 1000000;
    return 0;
}

ssize_t fake_getrandom(void *out, size_t length, unsigned flags) {
    memset(out, 7, length);
    return (ssize_t)length;
}

/* -- the carrier: straight to the other end */

static uint64_t counted(const struct end *end) {
    const struct friend_path *friend = &end->path->friends[FRIEND];
    uint64_t sum = friend->rx_packets;
    for (int reason = 0; reason < DROP_REASONS; reason++)
        sum += friend->drops[reason];
    return sum;
}

static int carry(void *context, uint32_t friend_number, const uint8_t *packet, size_t length) {
    struct end *end = context, *other = end->other;
    CHECK(length > FRAME_VPN && length <= LARGEST_FRAME);
    CHECK(friend_number < end->path->many_friends);
    if (end->room > 0)
        end->room--;
    uint32_t result = below(&script, 64);
    if (result > SENT && result <= SENT_INVALID)
        return (int)result;
    uint8_t *copy = malloc(length);
    memcpy(copy, packet, length);
    uint64_t malformed = other->path->friends[FRIEND].drops[DROP_MALFORMED], before = counted(other);
    path_inbound(other->path, FRIEND, copy, length);
    CHECK(kernel_lies || other->path->friends[FRIEND].drops[DROP_MALFORMED] == malformed);
    CHECK(counted(other) > before);
    CHECK(memcmp(copy, packet, length) == 0);
    free(copy);
    return SENT;
}

static void flush(void *context) {}

static int congested(void *context) { return ((struct end *)context)->room == 0; }

static void refused(void *owner) {}

/* -- */

static void enter(struct prefixes *table, int which, uint32_t scope, uint32_t value) {
    prefixes_set(table, 4, ADDRESSES[which][0], 32, scope, value);
    prefixes_set(table, 6, ADDRESSES[which][1], 128, scope, value);
}

static void make(int which) {
    struct end *end = &ends[which];
    end->backlog = backlog_new();
    end->other = &ends[!which];
    end->room = -1;
    struct path_settings settings = {
        .tun = TUN,
        .vnet_hdr = true,
        .udp_offload = which,
        .packet_id = 200,
        .frame = FRAME_VPN,
        .mtu = 1368,
        .carrier_port = 33445,
        .carrier = {end, carry, flush, congested},
        .refused = refused,
        .backlog = end->backlog,
    };
    end->path = path_new(&settings);
    CHECK(end->path && end->backlog);
    path_friend(end->path, FRIEND)->online = true;
    path_friend(end->path, STRANGER);
    enter(&end->path->routes, !which, 0, FRIEND);
    enter(&end->path->sources, !which, 0, FRIEND);
    enter(&end->path->sources, which, 0, OURSELVES);
    enter(&end->path->destinations, which, EVERYBODY, ALLOWED);
    struct group mdns = {4, {224, 0, 0, 251}};
    end->path->groups = (struct groups){.list = {mdns}, .many = 1};
    path_friend(end->path, FRIEND)->groups = 1;
}

static void unmake(int which) {
    path_free(ends[which].path);
    CHECK(!backlog_waits(ends[which].backlog));
    free(ends[which].backlog);
}

/* Lengths, addresses and checksums as they should be, so that the packet goes far; what is wrong comes by chance. */
static void mend(uint8_t *ip, size_t length, int from, size_t stated) {
    struct packet packet;
    bool four = ip[0] & 1;
    size_t least = four ? IPV4_HEADER : IPV6_HEADER;
    if (length < least)
        return;
    ip[0] = four ? (uint8_t)(0x40 | ((ip[0] >> 1) % 4 ? 5 : ip[0] >> 4)) : 0x60;
    memcpy(ip + (four ? 12 : 8), ADDRESSES[from][!four], four ? 4 : 16);
    memcpy(ip + (four ? 16 : 24), ADDRESSES[!from][!four], four ? 4 : 16);
    uint8_t *kind = ip + (four ? 9 : 6);
    if (*kind & 0x80)
        *kind = *kind & 1 ? PROTOCOL_TCP : PROTOCOL_UDP;
    if (four) {
        store16(ip + 2, (uint16_t)stated);
        ip[6] &= ip[8] & 0x0f ? 0x40 : 0xff; /* few fragments */
    } else {
        store16(ip + 4, (uint16_t)(stated - IPV6_HEADER));
    }
    if (!packet_parse(&packet, ip, length, false))
        return;
    if (four && (size_t)(ip[0] & 15) * 4 <= length)
        packet_set_ipv4_checksum(ip);
    size_t room = length - packet.transport;
    uint8_t *transport = ip + packet.transport;
    size_t field = packet.protocol == PROTOCOL_TCP ? 16 : 6;
    if ((packet.protocol != PROTOCOL_TCP && packet.protocol != PROTOCOL_UDP) || room < field + 4)
        return;
    if (packet.protocol == PROTOCOL_UDP)
        store16(transport + 4, (uint16_t)room);
    else if (transport[12] & 8)
        transport[12] = 0x50;
    memset(transport + field, 0, 2);
    uint16_t sum = (uint16_t)~csum_fold(
        csum_add(packet_pseudo_sum(&packet, (uint32_t)room), csum_bytes(transport, room)));
    memcpy(transport + field, &sum, 2);
}

/* Says that the checksum is still to be completed, and where. */
static void leave_checksum(struct virtio_net_hdr *vnet, uint8_t *ip, size_t length) {
    struct packet packet;
    bool is_packet = packet_parse(&packet, ip, length, false);
    bool tcp = is_packet && packet.protocol == PROTOCOL_TCP;
    size_t offset = tcp ? 16 : 6;
    vnet->flags = VIRTIO_NET_HDR_F_NEEDS_CSUM;
    if (below(&script, 16) == 0) {
        kernel_lies = true;
        vnet->csum_start = (uint16_t)number(&script, 2);
        vnet->csum_offset = (uint16_t)number(&script, 2);
    } else if (!is_packet || (!tcp && packet.protocol != PROTOCOL_UDP) ||
               packet.transport + offset + 2 > length) {
        vnet->flags = 0;
    } else {
        vnet->csum_start = packet.transport;
        vnet->csum_offset = (uint16_t)offset;
    }
}

/* The kernel of `which` sends: a packet, or a super-packet. */
static void kernel_sends(int which) {
    size_t length, more = below(&script, 4) ? 0 : number(&script, 2);
    uint32_t mending = below(&script, 4);
    struct virtio_net_hdr vnet = {0};
    uint8_t kinds[] = {0, 0,   VIRTIO_NET_HDR_GSO_TCPV4, VIRTIO_NET_HDR_GSO_TCPV6, VIRTIO_NET_HDR_GSO_UDP_L4,
                       3, 0x81};
    vnet.gso_type = kinds[below(&script, sizeof kinds)];
    bool incomplete = below(&script, 2);
    vnet.gso_size = (uint16_t)number(&script, 2);
    uint8_t *head = chunk(&script, number(&script, 1) * 6U, &length);
    size_t whole = length + more < LARGEST_FRAGMENTED ? length + more : LARGEST_FRAGMENTED;
    uint8_t *packet = calloc(1, sizeof vnet + whole + 1);
    memcpy(packet + sizeof vnet, head, length);
    if (mending)
        mend(packet + sizeof vnet, whole, which, whole);
    if (incomplete)
        leave_checksum(&vnet, packet + sizeof vnet, whole);
    memcpy(packet, &vnet, sizeof vnet);
    free(head);
    int error;
    tun_packet = packet;
    tun_length = sizeof vnet + whole;
    path_read_tun(ends[which].path, 256, &error);
    CHECK(error == 0);
    tun_packet = NULL;
    free(packet);
}

/* The friend of `which` sends what it likes: mostly a bundle, of which little is wrong. */
static void friend_sends(int which) {
    size_t length = number(&script, 2) % (LARGEST_FRAME + 1);
    uint8_t *frame = padded(&script, 96, length);
    bool mending = below(&script, 4);
    for (size_t at = FRAME_VPN, next; mending && at < length; at += next) {
        next = below(&script, 2) ? length - at : number(&script, 2) % (length - at) + 1;
        size_t wrong = below(&script, 16) ? 0 : 1;
        mend(frame + at, next, !which, next + wrong);
    }
    if (mending && length > FRAME_VPN)
        memcpy(frame, frame[FRAME_VPN] >> 4 == 4 ? "\310\0\0\10\0" : "\310\0\0\206\335", FRAME_VPN);
    uint64_t before = counted(&ends[which]);
    path_inbound(ends[which].path, FRIEND, frame, length);
    CHECK(counted(&ends[which]) > before);
    path_inbound(ends[which].path, below(&script, 2) ? STRANGER : MAX_FRIENDS + 7, frame, length);
    free(frame);
}

static void set_rules(struct path *path) {
    size_t many = below(&script, 3);
    struct policy_rule *rules = calloc(many + 1, sizeof *rules);
    for (size_t at = 0; at < many; at++) {
        rules[at].here = below(&script, 2);
        rules[at].version = (uint8_t)(2 * below(&script, 4));
        rules[at].version = rules[at].version == 2 ? 0 : rules[at].version;
        rules[at].length = (uint8_t)below(&script, rules[at].version == 4 ? 33 : 129);
        rules[at].address[0] = (uint8_t)number(&script, 1);
        rules[at].protocol = (uint16_t)(below(&script, 2) ? ANY_PROTOCOL : number(&script, 1));
        rules[at].last_port = (uint16_t)number(&script, 2);
    }
    path_set_policy(path, FRIEND, rules, many);
}

static void step(int which) {
    static const int errors[] = {0, 0, EAGAIN, EINVAL, EIO};
    struct end *end = &ends[which];
    struct path *path = end->path;
    switch (below(&script, 16)) {
    case 0: path_set_online(path, FRIEND, below(&script, 4)); break;
    case 1: path_friend(path, FRIEND)->mtu = (uint16_t)(576 + number(&script, 2) % (1368 - 575)); break;
    case 2: path_friend(path, FRIEND)->bundles = below(&script, 4); break;
    case 3: set_rules(path); break;
    case 4: path_set_policy(path, FRIEND, NULL, 0); break;
    case 5: end->room = (int)below(&script, 40) - 1; break;
    case 6: clock_ms += number(&script, 2); break;
    case 7: tun_error = errors[below(&script, sizeof errors / sizeof *errors)]; break;
    case 8: path_flush_inbound(path); break;
    case 9: friend_sends(which); break;
    case 10: friend_sends(which); break;
    default: kernel_sends(which);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    script = (struct input){data, size};
    clock_ms = 1000000;
    tun_error = 0;
    kernel_lies = false;
    make(0);
    make(1);
    while (script.left) {
        uint32_t which = below(&script, 2);
        step((int)which);
    }
    tun_error = 0;
    for (int which = 0; which < 2; which++) {
        ends[which].room = -1;
        path_flush_inbound(ends[which].path);
        path_flush_inbound(ends[!which].path);
        CHECK(!backlog_waits(ends[which].backlog));
    }
    unmake(0);
    unmake(1);
    return 0;
}
