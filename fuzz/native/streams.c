/* TCP connections of libtoxcore over a network that takes and gives any part of what it is asked for: bytes leave and
 * arrive in order and once, whatever connections share; a connection with an error fails, and no other. */
#define _GNU_SOURCE
#include "fake_net.h"

#include <errno.h>
#include <sys/ioctl.h>

enum { CONNECTIONS = 3, FIRST_FD = 10, LARGEST = 2050 };

/* Byte n of each direction of each connection is known from n. */
struct connection {
    uint64_t written, left, came, read;
    bool broken, ended;
};

static struct connection connections[CONNECTIONS];
static bool network_is_good;

static struct connection *of(int fd) {
    CHECK(fd >= FIRST_FD && fd < FIRST_FD + CONNECTIONS);
    return &connections[fd - FIRST_FD];
}

static uint8_t byte_at(uint64_t n) { return (uint8_t)(n * 167 + n / 251); }

/* -- the kernel */

ssize_t fake_send(int fd, const void *data, size_t length, int flags) {
    struct connection *connection = of(fd);
    int error = network_is_good ? 0 : script_error();
    size_t taken = network_is_good || below(&script, 2) ? length : number(&script, 2) % (length + 1);
    CHECK(length > 0);
    if (error || taken == 0) {
        errno = error ? error : EAGAIN;
        connection->broken |= error && error != EAGAIN && error != EINTR;
        return -1;
    }
    for (size_t at = 0; at < taken; at++)
        CHECK(((const uint8_t *)data)[at] == byte_at(connection->left + at));
    connection->left += taken;
    return (ssize_t)taken;
}

ssize_t fake_recv(int fd, void *out, size_t room, int flags) {
    struct connection *connection = of(fd);
    int error = script_error();
    size_t length = number(&script, 2) % (room + 1);
    if (script.left == 0 || connection->ended || error) {
        errno = error ? error : EAGAIN;
        return connection->ended ? 0 : -1;
    }
    connection->ended |= length == 0 && room > 0;
    for (size_t at = 0; at < length; at++)
        ((uint8_t *)out)[at] = byte_at(connection->came + at);
    connection->came += length;
    return (ssize_t)length;
}

ssize_t fake_sendmsg(int fd, const struct msghdr *message, int flags) { return 0; }
ssize_t fake_recvmsg(int fd, struct msghdr *message, int flags) { return -1; }
ssize_t fake_sendto(int fd, const void *data, size_t length, int flags, const struct sockaddr *to,
                    socklen_t room) {
    return (ssize_t)length;
}
ssize_t fake_recvfrom(int fd, void *out, size_t room, int flags, struct sockaddr *from, socklen_t *length) {
    return -1;
}

/* -- libtoxcore */

static void write_one(int fd) {
    struct connection *connection = of(fd);
    uint8_t data[LARGEST];
    size_t length = number(&script, 2) % LARGEST + 1;
    bool was_broken = connection->broken;
    for (size_t at = 0; at < length; at++)
        data[at] = byte_at(connection->written + at);
    ssize_t sent = netio_hook_send(fd, data, length, 0);
    CHECK(sent < 0 || (size_t)sent == length);
    CHECK(!was_broken || sent < 0);
    if (sent > 0)
        connection->written += (uint64_t)sent;
}

static void read_one(int fd) {
    struct connection *connection = of(fd);
    int there = -1;
    netio_hook_ioctl(fd, FIONREAD, &there);
    CHECK(there >= 0 && (uint64_t)there == connection->came - connection->read);
    size_t room = number(&script, 2) % LARGEST;
    if (room > (size_t)there)
        room = (size_t)there;
    if (room == 0)
        return;
    uint8_t *out = malloc(room);
    ssize_t length = netio_hook_recv(fd, out, room, 0);
    CHECK(length == (ssize_t)room);
    for (size_t at = 0; at < room; at++)
        CHECK(out[at] == byte_at(connection->read + at));
    connection->read += room;
    free(out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    netio_owner *owner = begin_network(data, size);
    memset(connections, 0, sizeof connections);
    network_is_good = false;
    netio_owner *previous = netio_enter(owner);
    for (int number = 0; number < CONNECTIONS; number++)
        CHECK(netio_hook_socket(AF_INET, SOCK_STREAM, 0) == FIRST_FD + number);
    while (script.left) {
        int fd = FIRST_FD + (int)below(&script, CONNECTIONS);
        switch (below(&script, 8)) {
        case 0: netio_flush(owner); break;
        case 1:
            netio_leave(owner, previous);
            previous = netio_enter(owner);
            break;
        case 2:
        case 3:
        case 4: read_one(fd); break;
        default: write_one(fd);
        }
    }
    network_is_good = true;
    netio_flush(owner);
    for (int number = 0; number < CONNECTIONS; number++)
        CHECK(connections[number].broken || connections[number].left == connections[number].written);
    netio_leave(owner, previous);
    for (int number = 0; number < CONNECTIONS; number++)
        netio_hook_close(FIRST_FD + number);
    end_network(owner);
    return 0;
}
