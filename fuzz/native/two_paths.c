/* Two packet paths that are each other's friend, in any order of what their kernels and a hostile friend may do: a
 * path takes every frame that the other makes for well-formed, every packet is counted, and what is written to a TUN
 * is well-formed again, and was sent. */
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
    int room;         /* packets that its carrier takes until it is congested */
    uint64_t carried; /* packets */
};

/* Payloads that may come out, as sums: of each packet or segment that went in. */
struct payloads {
    uint64_t sums[4096];
    size_t many;
    bool all; /* there was room for all of them */
};

static struct input script;
static struct end ends[2];
static uint64_t clock_ms;
static const uint8_t *tun_packet; /* what the kernel gives at the next reads */
static uint32_t tun_times;
static size_t tun_length;
static int tun_error;
static bool
    kernel_lies; /* about where a checksum belongs: no kernel does, and what it leads to is malformed */

static struct payloads sent, came; /* by kernels, and by friends */

static uint64_t sum_of(const uint8_t *data, size_t length) {
    uint64_t sum = length;
    while (length--)
        sum = sum * 1099511628211u + *data++;
    return sum;
}

static bool is_known(const struct payloads *known, uint64_t sum) {
    for (size_t at = 0; at < known->many; at++)
        if (known->sums[at] == sum)
            return true;
    return !known->all;
}

static void know(struct payloads *known, uint64_t sum) {
    if (is_known(known, sum))
        return;
    if (known->many < sizeof known->sums / sizeof *known->sums)
        known->sums[known->many++] = sum;
    else
        known->all = false;
}

/* Where what the packet carries begins: headers change on the way. TCP's is never shorter than its fixed part, whatever
 * it says: the checksum is in there. */
static size_t payload_of(const struct packet *packet) {
    size_t at = packet->transport, stated = 0;
    if (packet->protocol == PROTOCOL_UDP)
        at += UDP_HEADER;
    if (packet->protocol == PROTOCOL_TCP) {
        if (at + 12 < packet->length)
            stated = (size_t)(packet->ip[at + 12] >> 4) * 4;
        at += stated > TCP_HEADER ? stated : TCP_HEADER;
    }
    return at < packet->length ? at : packet->length;
}

static uint64_t payload_sum(const struct packet *packet) {
    size_t at = payload_of(packet);
    return sum_of(packet->ip + at, packet->length - at);
}

static bool is_fragment(const struct packet *packet) {
    return packet->version == 4 && load16(packet->ip + 6) & 0x3fff;
}

static bool is_error(const struct packet *packet) {
    return packet->protocol == PROTOCOL_ICMP || packet->protocol == PROTOCOL_ICMPV6;
}

/* -- the kernel */

ssize_t fake_read(int fd, void *out, size_t room) {
    if (tun_packet == NULL) {
        errno = EAGAIN;
        return -1;
    }
    size_t length = tun_length < room ? tun_length : room;
    memcpy(out, tun_packet, length);
    if (--tun_times == 0)
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
            CHECK(is_known(&came, payload_sum(&piece)));
        }
    } else {
        CHECK(is_error(&plan.packet) || is_known(&came, payload_sum(&plan.packet)));
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

/* Looks at each packet of a frame by itself. Returns how many there are. */
static unsigned look_at(const uint8_t *frame, size_t length, bool honest) {
    unsigned packets = 0;
    for (size_t at = FRAME_VPN, next; at < length; at += next, packets++) {
        struct packet packet;
        const uint8_t *ip = frame + at;
        size_t left = length - at;
        bool whole = left >= (ip[0] >> 4 == 4 ? 20 : 40);
        next = !whole ? left : ip[0] >> 4 == 4 ? load16(ip + 2) : 40u + load16(ip + 4);
        CHECK(!honest || (whole && next <= left && next > 0));
        next = next && next < left ? next : left;
        if (!packet_parse(&packet, (uint8_t *)ip, next, true))
            continue;
        CHECK(!honest || is_fragment(&packet) || is_known(&sent, payload_sum(&packet)));
        know(&came, payload_sum(&packet));
    }
    return packets;
}

static int carry(void *context, uint32_t friend_number, const uint8_t *packet, size_t length) {
    struct end *end = context, *other = end->other;
    CHECK(length > FRAME_VPN && length <= LARGEST_FRAME);
    CHECK(friend_number < end->path->many_friends);
    unsigned packets = look_at(packet, length, !kernel_lies);
    CHECK(kernel_lies || packets == 1 ||
          (packets <= BUNDLE_PACKETS && length - FRAME_VPN <= end->path->friends[friend_number].mtu));
    if (end->room > 0)
        end->room--;
    uint32_t result = below(&script, 64);
    if (result > SENT && result <= SENT_INVALID)
        return (int)result;
    end->carried += packets;
    uint8_t *copy = malloc(length);
    memcpy(copy, packet, length);
    uint64_t malformed = other->path->friends[FRIEND].drops[DROP_MALFORMED], before = counted(other);
    path_inbound(other->path, FRIEND, copy, length);
    CHECK(kernel_lies || other->path->friends[FRIEND].drops[DROP_MALFORMED] == malformed);
    CHECK(counted(other) >= before + packets || (kernel_lies && counted(other) > before));
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
    end->carried = 0;
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

static void know_sent(uint8_t *ip, size_t length, const struct virtio_net_hdr *vnet) {
    struct packet packet;
    if (!packet_parse(&packet, ip, length, vnet->gso_type == 0))
        return;
    size_t at = payload_of(&packet), left = packet.length - at;
    size_t step = vnet->gso_type && vnet->gso_size ? vnet->gso_size : left + 1;
    if (left == 0 || step > left)
        know(&sent, payload_sum(&packet));
    for (; left && step <= packet.length - at && sent.all; at += step, left = packet.length - at)
        know(&sent, sum_of(ip + at, step));
    if (left && vnet->gso_type)
        know(&sent, sum_of(ip + at, left));
}

/* The kernel of `which` sends: a packet, or a super-packet; so often, and with `fit` bytes if that is not 0. */
static void kernel_sends(int which, uint32_t times, size_t fit) {
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
    if (fit) {
        whole = fit;
        length = length < whole ? length : whole;
        vnet.gso_type = 0;
    }
    uint8_t *packet = calloc(1, sizeof vnet + whole + 1);
    memcpy(packet + sizeof vnet, head, length);
    if (fit)
        memset(packet + sizeof vnet + length, 0xa5, whole - length);
    if (mending)
        mend(packet + sizeof vnet, whole, which, whole);
    if (incomplete)
        leave_checksum(&vnet, packet + sizeof vnet, whole);
    memcpy(packet, &vnet, sizeof vnet);
    know_sent(packet + sizeof vnet, whole, &vnet);
    free(head);
    int error;
    tun_packet = packet;
    tun_times = times;
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
    look_at(frame, length, false);
    uint64_t before = counted(&ends[which]);
    path_inbound(ends[which].path, FRIEND, frame, length);
    CHECK(counted(&ends[which]) > before);
    path_inbound(ends[which].path, below(&script, 2) ? STRANGER : MAX_FRIENDS + 7, frame, length);
    free(frame);
}

/* So many empty packets in one frame: sixteen are a bundle, more are none. */
static void friend_sends_many(int which) {
    uint32_t many = 1 + below(&script, 32);
    uint8_t frame[FRAME_VPN + 33 * IPV6_HEADER] = "\310\0\0\206\335";
    for (uint32_t at = 0; at < many; at++) {
        uint8_t *ip = frame + FRAME_VPN + at * IPV6_HEADER;
        ip[6] = 59;
        mend(ip, IPV6_HEADER, !which, IPV6_HEADER);
    }
    size_t length = FRAME_VPN + many * IPV6_HEADER;
    const struct friend_path *friend = &ends[which].path->friends[FRIEND];
    uint64_t before = counted(&ends[which]), malformed = friend->drops[DROP_MALFORMED];
    look_at(frame, length, false);
    path_inbound(ends[which].path, FRIEND, frame, length);
    CHECK(counted(&ends[which]) >= before + (many > BUNDLE_PACKETS ? 1 : many));
    CHECK(friend->drops[DROP_MALFORMED] == malformed + (many > BUNDLE_PACKETS));
}

/* Packets that fill a bundle, or would by a byte more or less. */
static void kernel_sends_many(int which) {
    size_t mtu = ends[which].path->friends[FRIEND].mtu,
           fit = (mtu + below(&script, 3)) / (2 + below(&script, 16));
    kernel_sends(which, 1 + below(&script, 40), fit);
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
    case 8:
        path_flush_inbound(path);
        path_heard(path, FRIEND);
        break;
    case 9: friend_sends(which); break;
    case 10: friend_sends(which); break;
    case 11: kernel_sends_many(which); break;
    case 12: friend_sends_many(which); break;
    default: kernel_sends(which, 1, 0);
    }
    for (int each = 0; each < 2; each++)
        CHECK(kernel_lies || ends[each].path->friends[FRIEND].tx_packets == ends[each].carried);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    script = (struct input){data, size};
    clock_ms = 1000000;
    tun_error = 0;
    kernel_lies = false;
    sent.many = came.many = 0;
    sent.all = came.all = true;
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
