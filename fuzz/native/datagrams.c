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

static uint32_t accepted, last_left;
static bool network_is_good;

/* What came in, in order: of each datagram its length, its first byte and its sender's port. */
static struct {
    size_t length;
    uint8_t first;
    uint16_t port;
} came[MOST];
static size_t came_many, handed_out;
static uint64_t unfair;

static struct sockaddr_in place(uint16_t port) {
    return (struct sockaddr_in){.sin_family = AF_INET, .sin_port = port, .sin_addr = {port & 3}};
}

/* -- the kernel: sending */

/* Datagrams of four bytes and more begin with their number. */
static void note_left(const uint8_t *data, size_t length) {
    uint32_t serial;
    if (length < sizeof serial)
        return;
    memcpy(&serial, data, sizeof serial);
    CHECK(serial > last_left && serial <= accepted + 1);
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
    for (size_t at = 0; at < length; at += segment ? segment : length)
        note_left(data + at, segment && length - at > segment ? segment : length - at);
    return (ssize_t)length;
}

ssize_t fake_sendto(int fd, const void *data, size_t length, int flags, const struct sockaddr *to,
                    socklen_t room) {
    struct iovec piece = {(void *)data, length};
    struct msghdr message = {.msg_iov = &piece, .msg_iovlen = 1};
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
    for (uint32_t at = 0; (at < length || length == 0) && came_many < MOST; at += step, came_many++) {
        came[came_many].length = length - at < step ? length - at : step;
        came[came_many].first = length ? into[at] : 0;
        came[came_many].port = from.sin_port;
        if (length == 0) {
            came_many++;
            break;
        }
    }
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
    uint8_t data[LARGEST] = {0};
    size_t length = below(&script, 4) ? 1200 : number(&script, 2) % (LARGEST + 1);
    uint32_t serial = accepted + 1;
    struct sockaddr_in to = place((uint16_t)below(&script, 3));
    memcpy(data, &serial, sizeof serial);
    accepted = serial; /* it may leave at once */
    ssize_t sent = netio_hook_sendto(fd, data, length, 0, (struct sockaddr *)&to, sizeof to);
    CHECK(sent < 0 || (size_t)sent == length);
    if (sent < 0) {
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
        CHECK(expected == 0 || out[0] == came[handed_out].first);
        CHECK(from.sin_port == came[handed_out].port);
        handed_out++;
    }
    free(out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    netio_owner *owner = begin_network(data, size);
    accepted = last_left = 0;
    came_many = handed_out = 0;
    unfair = 0;
    network_is_good = false;
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
        case 2: netio_allow_fragments(owner, below(&script, 2)); break;
        case 3:
        case 4: receive_one(fd); break;
        default: send_one(fd);
        }
    network_is_good = true;
    netio_allow_fragments(owner, true);
    netio_flush(owner);
    CHECK(!netio_congested(owner));
    netio_leave(owner, previous);
    netio_hook_close(fd);
    end_network(owner);
    return 0;
}
