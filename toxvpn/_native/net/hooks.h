/* Functions that libtoxcore calls instead of the C library's, and the owner (a Tox handle) it calls them for.
 * install.c puts them in place; they are in sockets.c, hooks.c (datagrams), streamhooks.c and clock.c, and the owner is
 * in owner.c. Neighbours: sendbatch.c and recvbatch.c batch datagrams, streambuf.c the packets of TCP connections,
 * pagelock.c decides about memory. netio.pxd documents the owner's functions. */
#ifndef TOXVPN_HOOKS_H
#define TOXVPN_HOOKS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <time.h>

typedef struct netio_owner netio_owner;

typedef struct {
    int fd;
    bool datagram;
} netio_socket;

typedef void netio_flush_inbound(void *context);

enum netio_hook_group {
    NETIO_SOCKETS,
    NETIO_BATCH,
    NETIO_STREAMS,
    NETIO_SHIELD,
    NETIO_CLOCK,
    NETIO_PAGE_LOCK,
    NETIO_SCRATCH,
    NETIO_CRYPTO,
    NETIO_REUNION,
    NETIO_DETOUR,
};

/* Puts one group of hooks into the libtoxcore that contains `address`. Returns NULL, or why that is not
 * possible. */
const char *netio_install(enum netio_hook_group group, const void *address);

netio_owner *netio_owner_new(void);
void netio_owner_free(netio_owner *owner);
netio_owner *netio_enter(netio_owner *owner);
void netio_leave(netio_owner *owner, netio_owner *previous);
void netio_flush(netio_owner *owner);
bool netio_allow_fragments(netio_owner *owner, bool allowed);
void netio_on_flush_inbound(netio_owner *owner, netio_flush_inbound *call, void *context);
bool netio_congested(const netio_owner *owner);
/* Whether packets wait for the other side of a TCP connection, of which nothing wakes: flush again soon. */
bool netio_streams_held(const netio_owner *owner);
bool netio_receive_pending(const netio_owner *owner);
/* Batching is on where its hooks are in force; a test can choose. */
void netio_set_batching(netio_owner *owner, bool batching);
void netio_set_streaming(netio_owner *owner, bool streaming); /* the same for TCP connections */
void netio_set_segmentation(netio_owner *owner, bool segmentation);
void netio_set_mark(netio_owner *owner, uint32_t mark);
void netio_set_clock_rate(netio_owner *owner, double rate);
void netio_step_clock(netio_owner *owner, double step_s);
void netio_jump_clock(netio_owner *owner, double jump_s);
/* Seconds since the last call, also those in which the machine slept; 0 the first time. */
double netio_passed_s(netio_owner *owner);
/* Where the datagram came from that libtoxcore is handling now; the length is 0 when there is none. */
socklen_t netio_source(const netio_owner *owner, struct sockaddr_storage *out);
struct sightings *netio_sightings(netio_owner *owner);
/* NULL: there are none, and none were to be made, or that is not possible here. */
struct detours *netio_detours(netio_owner *owner, bool make);
struct inject **netio_inbox(netio_owner *owner);
/* What DHT nodes say of keys that are watched (overheard.h), from now on; boxhook.c must be installed. */
void netio_overhear(void);
struct overheard *netio_overheard(netio_owner *owner);
/* Opens a door (doors.h): `fd` is a bound UDP socket, which is the owner's from then on. False: nothing has changed. */
bool netio_open_door(netio_owner *owner, int fd, const char *host, unsigned short port);
void netio_close_door(netio_owner *owner, int fd);
/* How many datagrams came in that seem to answer a request for nodes, and packets of others' relays. */
uint32_t netio_answers(const netio_owner *owner);
/* A node has both addresses (twins.h). False: it is not kept. */
bool netio_know_twin(netio_owner *owner, const char *ipv4, const char *ipv6);
/* By which the network translates to IPv4 (nat64.h). False: it is no prefix. */
bool netio_set_nat64(netio_owner *owner, const char *prefix);
/* Among relays (quick.h): which connections lead to quick ones, and which do not. */
void netio_rank_relay(netio_owner *owner, int fd, bool quick);
/* What libtoxcore sends between the two leaves no more. Whether there is a quick relay for who it was sent to. */
void netio_begin_call(netio_owner *owner);
bool netio_end_call(netio_owner *owner);
struct announced *netio_announced(netio_owner *owner);
/* Sends the announcements of late once more (announced.h). Returns how many datagrams. */
size_t netio_announce_again(netio_owner *owner);
uint32_t netio_sockets_version(const netio_owner *owner);
size_t netio_sockets(const netio_owner *owner, netio_socket *out, size_t room);

/* The hooks themselves, each with the interface of the function that it replaces. */
int netio_hook_socket(int domain, int type, int protocol);
int netio_hook_accept(int fd, struct sockaddr *from, socklen_t *from_length);
int netio_hook_connect(int fd, const struct sockaddr *to, socklen_t length);
int netio_hook_close(int fd);
ssize_t netio_hook_sendto(int fd, const void *data, size_t length, int flags, const struct sockaddr *to,
                          socklen_t to_length);
ssize_t netio_hook_recvfrom(int fd, void *out, size_t room, int flags, struct sockaddr *from,
                            socklen_t *from_length);
int netio_hook_setsockopt(int fd, int level, int option, const void *value, socklen_t length);
ssize_t netio_hook_send(int fd, const void *data, size_t length, int flags);
ssize_t netio_hook_recv(int fd, void *out, size_t room, int flags);
int netio_hook_ioctl(int fd, unsigned long request, ...);
int netio_hook_clock_gettime(clockid_t clock, struct timespec *out);

#endif
