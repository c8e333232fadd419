/* A UDP socket of libtoxcore over a network that refuses, joins and forges: what was accepted for sending leaves
 * once and in order, or is counted as dropped; what came is handed out once, in order, from where it came, or is
 * counted as unfair. */
#define _GNU_SOURCE
#include "fake_net.h"
#include "shield.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/udp.h>

#ifndef UDP_SEGMENT
#define UDP_SEGMENT 103
#endif
#ifndef UDP_GRO
#define UDP_GRO 104
#endif

enum { MOST = 4096, LARGEST = 2048 };

static uint32_t accepted, left_many, last_left;
static bool network_is_good, lost_as_asked;

/* What was to be sent, by its number. */
static struct {
    size_t length;
    uint16_t port;
} sent[MOST];

/* What came in, in order. */
static struct {
    size_t length;
    const uint8_t *data;
    uint16_t port;
} came[MOST];
static uint8_t came_bytes[1 << 20], *came_end;
static size_t came_many, handed_out;
static uint64_t unfair;

static struct sockaddr_in place(uint16_t port) {
    return (struct sockaddr_in){.sin_family = AF_INET, .sin_port = port, .sin_addr = {port & 3}};
}

/* -- the kernel: sending */

/* Datagrams of four bytes and more begin with their number; the rest follows from it. */
static uint8_t byte_at(uint32_t serial, size_t at) { return (uint8_t)(serial * 31 + at * 7 + at / 256); }

static void fill(uint8_t *data, size_t length, uint32_t serial) {
    for (size_t at = 0; at < length; at++)
        data[at] = at < sizeof serial ? ((uint8_t *)&serial)[at] : byte_at(serial, at);
}

static void note_left(const uint8_t *data, size_t length, uint16_t port) {
    uint32_t serial;
    left_many++;
    if (length < sizeof serial)
        return;
    memcpy(&serial, data, sizeof serial);
    CHECK(serial > last_left && serial <= accepted);
    CHECK(length == sent[serial].length && port == sent[serial].port);
    for (size_t at = sizeof serial; at < length; at++)
        CHECK(data[at] == byte_at(serial, at));
    last_left = serial;
}

static size_t segment_of(const struct msghdr *message) {
    uint16_t size;
    struct cmsghdr *header = CMSG_FIRSTHDR(message);
    if (header == NULL)
        return 0;
    CHECK(header->cmsg_type == UDP_SEGMENT);
    memcpy(&size, CMSG_DATA(header), sizeof size);
    return size;
}

ssize_t fake_sendmsg(int fd, const struct msghdr *message, int flags) {
    const uint8_t *data = message->msg_iov->iov_base;
    size_t length = message->msg_iov->iov_len, segment = segment_of(message);
    int error = network_is_good ? 0 : script_error();
    if (error) {
        errno = error;
        return -1;
    }
    CHECK(segment == 0 || (length > segment && length <= 64 * segment));
    uint16_t port = ((const struct sockaddr_in *)message->msg_name)->sin_port;
    size_t at = 0;
    do {
        size_t step = segment && length - at > segment ? segment : length - at;
        note_left(data + at, step, port);
        at += step;
    } while (at < length);
    return (ssize_t)length;
}

ssize_t fake_sendto(int fd, const void *data, size_t length, int flags, const struct sockaddr *to,
                    socklen_t room) {
    struct iovec piece = {(void *)data, length};
    struct msghdr message = {.msg_name = (void *)to, .msg_iov = &piece, .msg_iovlen = 1};
    return fake_sendmsg(fd, &message, flags);
}

/* -- the kernel: receiving */

ssize_t fake_recvmsg(int fd, struct msghdr *message, int flags) {
    int error = script_error();
    uint32_t length = number(&script, 2), size = number(&script, 2);
    if (error || script.left == 0) {
        errno = error ? error : EAGAIN;
        return -1;
    }
    uint8_t *into = message->msg_iov->iov_base;
    CHECK(message->msg_iov->iov_len == 65536);
    memset(into, (int)number(&script, 1), length);
    for (uint32_t at = 0; at < length; at += 97)
        into[at] = (uint8_t)number(&script, 1);
    struct sockaddr_in from = place((uint16_t)number(&script, 1));
    memcpy(message->msg_name, &from, sizeof from);
    message->msg_namelen = sizeof from;
    struct cmsghdr *header = CMSG_FIRSTHDR(message);
    bool joined = size & 1;
    int gro = (int)(size >> 1) - 16; /* what the kernel would never say, too */
    message->msg_controllen = 0;
    if (joined) {
        header->cmsg_level = IPPROTO_UDP;
        header->cmsg_type = UDP_GRO;
        header->cmsg_len = CMSG_LEN(sizeof gro);
        memcpy(CMSG_DATA(header), &gro, sizeof gro);
        message->msg_controllen = CMSG_SPACE(sizeof gro);
    }
    uint32_t step = joined && gro > 0 ? (uint32_t)gro : length;
    CHECK(came_end + length <= came_bytes + sizeof came_bytes);
    memcpy(came_end, into, length);
    for (uint32_t at = 0; (at < length || length == 0) && came_many < MOST; at += step, came_many++) {
        came[came_many].length = length - at < step ? length - at : step;
        came[came_many].data = came_end + at;
        came[came_many].port = from.sin_port;
        if (length == 0) {
            came_many++;
            break;
        }
    }
    came_end += length;
    return (ssize_t)length;
}

ssize_t fake_recvfrom(int fd, void *out, size_t room, int flags, struct sockaddr *from, socklen_t *length) {
    errno = EAGAIN;
    return -1;
}

ssize_t fake_send(int fd, const void *data, size_t length, int flags) { return (ssize_t)length; }
ssize_t fake_recv(int fd, void *out, size_t room, int flags) { return 0; }

/* -- libtoxcore */

static void send_one(int fd) {
    uint8_t data[LARGEST];
    size_t length = below(&script, 4) ? 1200 : number(&script, 2) % (LARGEST + 1);
    uint32_t serial = accepted + 1;
    struct sockaddr_in to = place((uint16_t)below(&script, 3));
    CHECK(serial < MOST);
    fill(data, length, serial);
    sent[serial].length = length;
    sent[serial].port = to.sin_port;
    accepted = serial; /* it may leave at once */
    ssize_t result = netio_hook_sendto(fd, data, length, 0, (struct sockaddr *)&to, sizeof to);
    CHECK(result < 0 || (size_t)result == length);
    if (result < 0) {
        CHECK(last_left < serial);
        accepted--;
    }
}

static void receive_one(int fd) {
    size_t room = below(&script, 8) ? LARGEST : number(&script, 1);
    uint8_t *out = malloc(room ? room : 1);
    struct sockaddr_in from;
    socklen_t from_length = sizeof from;
    ssize_t length = netio_hook_recvfrom(fd, out, room, 0, (struct sockaddr *)&from, &from_length);
    handed_out += netio_counters.unfair - unfair;
    unfair = netio_counters.unfair;
    CHECK(handed_out <= came_many);
    if (length >= 0) {
        CHECK(handed_out < came_many);
        size_t whole = came[handed_out].length, expected = whole < room ? whole : room;
        if (expected && shield_refuses(out, expected))
            expected = 0;
        CHECK((size_t)length == expected);
        CHECK(memcmp(out, came[handed_out].data, expected) == 0);
        CHECK(from.sin_port == came[handed_out].port);
        handed_out++;
    }
    free(out);
}

/* Datagrams that must not be cut do not wait; libtoxcore's owner is told when there was no room for some. A link may
 * also be left alone until what was learnt of it is forgotten. */
static void change(netio_owner *owner, uint32_t how) {
    if (how >= 14)
        pass_ns((int64_t)below(&script, 100) * 1000000000);
    else
        lost_as_asked |= !netio_allow_fragments(owner, how & 1);
}

static uint64_t dropped(void) {
    const struct netio_counters *all = &netio_counters;
    return all->dropped_unreachable + all->dropped_denied + all->dropped_too_long + all->dropped_other;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    netio_owner *owner = begin_network(data, size);
    accepted = left_many = last_left = 0;
    came_end = came_bytes;
    came_many = handed_out = 0;
    unfair = 0;
    network_is_good = lost_as_asked = false;
    netio_set_segmentation(owner, below(&script, 4) != 0);
    netio_owner *previous = netio_enter(owner);
    int fd = netio_hook_socket(AF_INET, SOCK_DGRAM, 0);
    while (script.left && came_many < MOST - 2048)
        switch (below(&script, 8)) {
        case 0: netio_flush(owner); break;
        case 1:
            netio_leave(owner, previous);
            previous = netio_enter(owner);
            break;
        case 2: change(owner, below(&script, 16)); break;
        case 3:
        case 4: receive_one(fd); break;
        default: send_one(fd);
        }
    network_is_good = true;
    lost_as_asked |= !netio_allow_fragments(owner, true);
    netio_flush(owner);
    CHECK(!netio_congested(owner));
    CHECK(left_many + dropped() == accepted || (lost_as_asked && left_many + dropped() < accepted));
    netio_leave(owner, previous);
    netio_hook_close(fd);
    end_network(owner);
    return 0;
}
