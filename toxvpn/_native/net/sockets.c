/* Which sockets are an owner's, from the call that makes one to the one that closes it, and how they are set. */
#define _GNU_SOURCE
#include "owner.h"
#include "recvbatch.h"
#include "sendbatch.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <unistd.h>

struct entry *by_fd[DESCRIPTORS];

void entry_forget(struct entry *entry) {
    struct entry **link = &entry->owner->entries;
    while (*link != entry)
        link = &(*link)->next;
    *link = entry->next;
    entry->owner->version++;
    entry->owner->doors -= entry->door;
    entry->owner->receiving = NULL;
    by_fd[entry->fd] = NULL;
    sendbatch_free(entry->out);
    recvbatch_free(entry->in);
    streambuf_free(entry->stream);
    quick_forget(&entry->owner->roll, entry->standing);
    free(entry->standing);
    free(entry);
}

/* A door is ours to close. */
void entry_remove(struct entry *entry) {
    const int door = entry->door ? entry->fd : -1;
    entry_forget(entry);
    if (door >= 0)
        close(door);
}

/* A router fragments a datagram that is too large for its next link, or drops it; if the ICMP error about
 * that is lost as well, the sender never learns. So fragments are allowed, except for datagrams that probe
 * how much a path carries. An IPv6 router never fragments; our own kernel does, once it knows. */
static void allow_fragments(int fd, bool allowed) {
    const int ipv4 = allowed ? IP_PMTUDISC_DONT : IP_PMTUDISC_PROBE;
    const int ipv6 = allowed ? IPV6_PMTUDISC_WANT : IPV6_PMTUDISC_PROBE;
    setsockopt(fd, IPPROTO_IP, IP_MTU_DISCOVER, &ipv4, sizeof ipv4); /* an IPv6 socket has both */
    setsockopt(fd, IPPROTO_IPV6, IPV6_MTU_DISCOVER, &ipv6, sizeof ipv6);
}

/* A datagram is sent with the setting of the time when it came: none waits while the setting changes. */
bool netio_allow_fragments(netio_owner *owner, bool allowed) {
    bool had_room = true;
    netio_flush(owner);
    if (!allowed && netio_congested(owner))
        return false;
    owner->whole = !allowed;
    for (struct entry *entry = owner->entries; entry; entry = entry->next) {
        if (entry->datagram)
            allow_fragments(entry->fd, allowed);
        if (entry->out && !sendbatch_may_wait(entry->out, allowed))
            had_room = false;
    }
    return had_room;
}

struct entry *entry_adopt(netio_owner *owner, int fd, enum socket_kind kind) {
    const bool datagram = kind == DATAGRAM;
    if (!owner || fd < 0 || fd >= DESCRIPTORS)
        return NULL;
    if (by_fd[fd]) /* closed without our hook */
        entry_forget(by_fd[fd]);
    struct entry *entry = calloc(1, sizeof *entry);
    if (!entry)
        return NULL;
    entry->owner = owner;
    entry->fd = fd;
    entry->datagram = datagram;
    if (datagram)
        allow_fragments(fd, true);
    if (datagram && owner->batching) {
        entry->out = sendbatch_new(fd, owner->segmentation);
        entry->in = recvbatch_new(fd);
    }
    if (kind == STREAM && owner->streaming)
        entry->stream = streambuf_new(fd, &owner->room);
    entry->next = owner->entries;
    owner->entries = entry;
    owner->version++;
    by_fd[fd] = entry;
    return entry;
}

/* Nagle's algorithm holds a packet to a relay back until the one before is acknowledged, which the other side
 * delays by up to 40 ms. Accepted sockets inherit this. */
static void send_at_once(int fd) {
    const int on = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
}

/* A connection begins with a receive buffer of 64 KB. A relay drops what it has no room for, so a pause of some
 * milliseconds here would cost packets. SO_RCVLOWAT makes the buffer large, and leaves it to the kernel to make it
 * larger still, which SO_RCVBUF would not. Accepted sockets inherit this. */
static void receive_much(int fd) {
    const int much = 1 << 20, at_once = 1;
    setsockopt(fd, SOL_SOCKET, SO_RCVLOWAT, &much, sizeof much);
    setsockopt(fd, SOL_SOCKET, SO_RCVLOWAT, &at_once, sizeof at_once);
}

/* Before the socket is bound or connected, which looks up a route. Accepted sockets inherit this. */
static void set_mark(int fd) {
    if (current && current->mark)
        setsockopt(fd, SOL_SOCKET, SO_MARK, &current->mark, sizeof current->mark);
}

/* SOCK_CLOEXEC: programs that ours starts must not inherit libtoxcore's sockets. */
int netio_hook_socket(int domain, int type, int protocol) {
    int fd = socket(domain, type | SOCK_CLOEXEC, protocol);
    bool internet = domain == AF_INET || domain == AF_INET6;
    type &= ~(SOCK_NONBLOCK | SOCK_CLOEXEC);
    enum socket_kind kind = internet && type == SOCK_DGRAM    ? DATAGRAM
                            : internet && type == SOCK_STREAM ? STREAM
                                                              : OTHER;
    entry_adopt(current, fd, kind);
    if (internet && fd >= 0)
        set_mark(fd);
    if (kind == STREAM && fd >= 0) {
        send_at_once(fd);
        receive_much(fd);
    }
    return fd;
}

bool netio_know_twin(netio_owner *owner, const char *ipv4, const char *ipv6) {
    return twins_add(&owner->twins, ipv4, ipv6);
}

bool netio_set_nat64(netio_owner *owner, const char *prefix) { return nat64_set(&owner->nat64, prefix); }

/* The relay's other address, or the one that the network's NAT64 has for it. Returns its length, 0: there is none. */
static socklen_t instead_of(const netio_owner *owner, const struct sockaddr *to,
                            struct sockaddr_storage *out) {
    const socklen_t twin_length = twins_other(&owner->twins, to, out);
    if (twin_length)
        return twin_length;
    return nat64_outside(&owner->nat64, to, (void *)out) ? sizeof(struct sockaddr_in6) : 0;
}

/* libtoxcore keeps its descriptor, which is of a socket of the other family from then on. */
static bool connect_instead(int fd, const struct sockaddr_storage *to, socklen_t length) {
    int fresh = socket(to->ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fresh < 0)
        return false;
    set_mark(fresh);
    send_at_once(fresh);
    receive_much(fresh);
    bool begun = connect(fresh, (const struct sockaddr *)to, length) == 0 || errno == EINPROGRESS;
    begun = begun && dup3(fresh, fd, O_CLOEXEC) == fd;
    close(fresh);
    return begun;
}

static bool is_loopback(const struct sockaddr *to) {
    const struct sockaddr_in *ipv4 = (const void *)to;
    const struct sockaddr_in6 *ipv6 = (const void *)to;
    return to->sa_family == AF_INET
               ? ntohl(ipv4->sin_addr.s_addr) >> 24 == IN_LOOPBACKNET
               : to->sa_family == AF_INET6 && (IN6_IS_ADDR_LOOPBACK(&ipv6->sin6_addr) ||
                                               (IN6_IS_ADDR_V4MAPPED(&ipv6->sin6_addr) &&
                                                ipv6->sin6_addr.s6_addr[12] == IN_LOOPBACKNET));
}

static bool listens_at(int fd, in_port_t port) {
    int listens = 0;
    struct sockaddr_in6 own = {0}; /* the port is at the same place for either family */
    socklen_t size = sizeof listens, length = sizeof own;
    return getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &size) == 0 && listens &&
           getsockname(fd, (struct sockaddr *)&own, &length) == 0 && own.sin6_port == port;
}

/* Whether that is where this node is a relay itself. */
static bool is_own_relay(const netio_owner *owner, const struct sockaddr *to) {
    for (const struct entry *entry = is_loopback(to) ? owner->entries : NULL; entry; entry = entry->next)
        if (!entry->datagram && listens_at(entry->fd, ((const struct sockaddr_in *)to)->sin_port))
            return true;
    return false;
}

int netio_hook_connect(int fd, const struct sockaddr *to, socklen_t length) {
    int result = connect(fd, to, length), error = errno;
    bool no_way = result != 0 && (error == ENETUNREACH || error == EHOSTUNREACH || error == EADDRNOTAVAIL);
    struct entry *entry = find(fd);
    struct sockaddr_storage other;
    if (entry)
        entry->own_relay = is_own_relay(entry->owner, to);
    socklen_t other_length = no_way && entry && !entry->datagram ? instead_of(entry->owner, to, &other) : 0;
    bool begun = other_length && connect_instead(fd, &other, other_length);
    errno = begun ? EINPROGRESS : error;
    return result;
}

int netio_hook_accept(int fd, struct sockaddr *from, socklen_t *from_length) {
    int accepted = accept4(fd, from, from_length, SOCK_CLOEXEC);
    struct entry *entry = entry_adopt(current, accepted, STREAM);
    if (entry)
        entry->own_relay = true;
    return accepted;
}

int netio_hook_close(int fd) {
    struct entry *entry = find(fd);
    if (entry) {
        entry_flush(entry);
        entry_forget(entry);
    }
    return close(fd);
}
