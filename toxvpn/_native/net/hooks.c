/* The functions that libtoxcore calls in place of the C library's. Between netio_enter() and netio_leave(),
 * the sockets that it makes become the owner's, its monotonic clock is the owner's, and what it sends is
 * gathered. At other times, and on descriptors that are not known here, every hook is the plain call. Nothing
 * here touches Python, and no packet costs an allocation.
 *
 * The steps of an inbound datagram: netio_hook_recvfrom() has recvbatch.c receive many at a time and hands
 * out one after the other; when there are no more, nothing_received() flushes what toxcore's callbacks
 * gathered. Those of an outbound one: netio_hook_sendto() puts it into a batch (sendbatch.c), which
 * netio_leave() or netio_flush() sends. TCP connections are read and written through streambuf.c. */
#define _GNU_SOURCE
#include "hooks.h"
#include "boxhook.h"
#include "detour.h"
#include "doors.h"
#include "early.h"
#include "importpatch.h"
#include "introduce.h"
#include "kernel.h"
#include "overheard.h"
#include "pagelock.h"
#include "recvbatch.h"
#include "scratch.h"
#include "sendbatch.h"
#include "shield.h"
#include "sightings.h"
#include "streambuf.h"
#include "twins.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

enum {
    DESCRIPTORS = 65536, /* hooks ignore larger descriptors; the kernel gives out the lowest free one */
    FASTEST = 100,       /* more than 4 gains nothing; 100 keeps the arithmetic far from overflow */
    LONGEST_STEP_S = 1,  /* toxcore's shortest time-outs are some seconds */
    LONGEST_JUMP_S = 60,
    TURN = 512, /* datagrams received per turn: about 2 ms of work, then others get their turn */
};

struct entry {
    netio_owner *owner;
    struct entry *next;
    int fd;
    bool datagram;
    struct sendbatch *out;    /* NULL: not batched */
    struct recvbatch *in;     /* NULL: not batched */
    struct streambuf *stream; /* NULL: not a stream, or used plainly */
    bool door;
    struct sockaddr_storage beyond; /* a door: the address that it is for */
};

struct netio_owner {
    struct entry *entries;
    uint32_t version;
    bool batching;
    bool streaming;
    bool segmentation;
    bool turn_cut;
    uint32_t turns; /* how many have begun */
    uint32_t mark;  /* 0: none */
    unsigned turn;
    netio_flush_inbound *flush_inbound;
    void *flush_context;
    double rate;
    int64_t real_ns, own_ns;        /* when the rate was last changed, on both clocks */
    int64_t stepped_ns;             /* the clock shows this until its own time is later */
    int64_t passed_ns;              /* CLOCK_BOOTTIME at the last netio_passed_s */
    struct sockaddr_storage source; /* of the datagram that was handed out last */
    socklen_t source_length;        /* 0: there are no more */
    struct sightings sightings;
    struct detours *detours; /* NULL: none yet */
    struct inject *inbox;    /* NULL: nothing yet */
    bool whole;              /* routers may not fragment what is sent now */
    struct overheard overheard;
    unsigned doors;
    struct entry *receiving; /* where the last datagram came in, while there are doors */
    struct early early;
    struct streamroom room;
    struct twins twins;
    uint32_t answers; /* of nodes that were asked for others, as far as it seems */
};

static int queued(int fd) {
    int bytes;
    return ioctl(fd, SIOCOUTQ, &bytes) == 0 ? bytes : -1;
}

/* The beginning of the kernel's struct tcp_info (linux/tcp.h), as far as Linux 5.4 has it: older headers do not. */
struct connection_info {
    uint8_t state;
    uint8_t others[227];
    uint32_t announced;
};

/* What the other side has announced, less what is under way. */
static int64_t window(int fd) {
    struct connection_info info;
    socklen_t length = sizeof info;
    if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &length) < 0 || length < sizeof info ||
        (info.state != TCP_ESTABLISHED && info.state != TCP_CLOSE_WAIT))
        return INT64_MAX;
    const int under_way = queued(fd);
    return under_way < 0 ? INT64_MAX : (int64_t)info.announced - under_way;
}

struct netio_kernel netio_kernel = {sendmsg, recvmsg, clock_gettime, queued, send, recv, window};
struct netio_counters netio_counters;

static _Thread_local netio_owner *current;
static struct entry *by_fd[DESCRIPTORS];
static bool batch_installed;
static bool streams_installed;
static bool shield_up;
static bool detours_up;
static bool overhears;

/* -- the owner ---------------------------------------------------------------------------------- */

static int64_t own_ns(const netio_owner *owner, int64_t real_ns) {
    int64_t elapsed = real_ns - owner->real_ns;
    return owner->own_ns + (owner->rate == 1.0 ? elapsed : (int64_t)((double)elapsed * owner->rate));
}

netio_owner *netio_owner_new(void) {
    netio_owner *owner = calloc(1, sizeof *owner);
    if (owner) {
        owner->batching = batch_installed;
        owner->streaming = streams_installed;
        owner->segmentation = true;
        owner->rate = 1.0;
        owner->real_ns = owner->own_ns = netio_now_ns();
    }
    return owner;
}

static struct entry *find(int fd) { return fd >= 0 && fd < DESCRIPTORS ? by_fd[fd] : NULL; }

static void forget(struct entry *entry) {
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
    free(entry);
}

/* A door is ours to close. */
static void remove_entry(struct entry *entry) {
    const int door = entry->door ? entry->fd : -1;
    forget(entry);
    if (door >= 0)
        close(door);
}

void netio_owner_free(netio_owner *owner) {
    if (!owner)
        return;
    if (current == owner) {
        current = NULL;
        scratch_end();
    }
    while (owner->entries)
        remove_entry(owner->entries);
    sightings_free(&owner->sightings);
    detours_free(owner->detours);
    inject_free(owner->inbox);
    overheard_free(&owner->overheard);
    early_free(&owner->early);
    streamroom_free(&owner->room);
    twins_free(&owner->twins);
    free(owner);
}

netio_owner *netio_enter(netio_owner *owner) {
    netio_owner *previous = current;
    if (owner && owner != previous) {
        owner->turn = 0;
        owner->turn_cut = false;
        owner->turns += 1 + (owner->turns == UINT32_MAX); /* never 0 */
    }
    current = owner;
    scratch_begin();
    return previous;
}

void netio_leave(netio_owner *owner, netio_owner *previous) {
    if (previous != owner) /* of nested pairs, the outermost one flushes */
        netio_flush(owner);
    current = previous;
    if (!current)
        scratch_end();
}

static void flush(struct entry *entry) {
    if (entry->out)
        sendbatch_flush(entry->out);
    if (entry->stream)
        streambuf_flush(entry->stream);
}

void netio_flush(netio_owner *owner) {
    for (struct entry *entry = owner ? owner->entries : NULL; entry; entry = entry->next)
        flush(entry);
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

void netio_on_flush_inbound(netio_owner *owner, netio_flush_inbound *call, void *context) {
    owner->flush_inbound = call;
    owner->flush_context = context;
}

bool netio_congested(const netio_owner *owner) {
    for (const struct entry *entry = owner->entries; entry; entry = entry->next)
        if (entry->out && sendbatch_blocked(entry->out))
            return true;
    return false;
}

bool netio_streams_held(const netio_owner *owner) {
    for (const struct entry *entry = owner->entries; entry; entry = entry->next)
        if (entry->stream && streambuf_held(entry->stream))
            return true;
    return false;
}

bool netio_receive_pending(const netio_owner *owner) {
    if (owner->turn_cut || inject_left(owner->inbox))
        return true;
    for (const struct entry *entry = owner->entries; entry; entry = entry->next)
        if (entry->in && recvbatch_left(entry->in))
            return true;
    return false;
}

void netio_set_batching(netio_owner *owner, bool batching) { owner->batching = batching; }

void netio_set_streaming(netio_owner *owner, bool streaming) { owner->streaming = streaming; }

void netio_set_segmentation(netio_owner *owner, bool segmentation) { owner->segmentation = segmentation; }

void netio_set_mark(netio_owner *owner, uint32_t mark) { owner->mark = mark; }

void netio_set_clock_rate(netio_owner *owner, double rate) {
    if (!(rate > 0 && rate <= FASTEST))
        return;
    int64_t now = netio_now_ns();
    owner->own_ns = own_ns(owner, now);
    owner->real_ns = now;
    owner->rate = rate;
}

/* What the owner's clock shows now. */
static int64_t shown_ns(const netio_owner *owner) {
    int64_t now = own_ns(owner, netio_now_ns());
    return now > owner->stepped_ns ? now : owner->stepped_ns;
}

void netio_step_clock(netio_owner *owner, double step_s) {
    if (!(step_s > 0 && step_s <= LONGEST_STEP_S))
        return;
    int64_t stepped_ns = own_ns(owner, netio_now_ns()) + (int64_t)(step_s * 1e9);
    if (stepped_ns > owner->stepped_ns)
        owner->stepped_ns = stepped_ns;
}

void netio_jump_clock(netio_owner *owner, double jump_s) {
    if (!(jump_s > 0 && jump_s <= LONGEST_JUMP_S))
        return;
    netio_set_clock_rate(owner, owner->rate);
    owner->own_ns += (int64_t)(jump_s * 1e9);
}

double netio_passed_s(netio_owner *owner) {
    struct timespec time;
    netio_kernel.clock_gettime(CLOCK_BOOTTIME, &time);
    int64_t now = time.tv_sec * INT64_C(1000000000) + time.tv_nsec;
    int64_t before = owner->passed_ns ? owner->passed_ns : now;
    owner->passed_ns = now;
    return (double)(now - before) / 1e9;
}

socklen_t netio_source(const netio_owner *owner, struct sockaddr_storage *out) {
    *out = owner->source;
    return owner->source_length;
}

struct sightings *netio_sightings(netio_owner *owner) { return &owner->sightings; }

struct detours *netio_detours(netio_owner *owner, bool make) {
    if (!owner->detours && make && detours_up)
        owner->detours = detours_new();
    return owner->detours;
}

struct inject **netio_inbox(netio_owner *owner) { return &owner->inbox; }

static void asking(const uint8_t *text) {
    if (current)
        overheard_asking(&current->overheard, text);
}

void netio_overhear(void) {
    overhears = true;
    boxhook_on_sealing(OVERHEARD_REQUEST_BYTES, asking);
}

struct overheard *netio_overheard(netio_owner *owner) { return &owner->overheard; }

uint32_t netio_sockets_version(const netio_owner *owner) { return owner->version; }

size_t netio_sockets(const netio_owner *owner, netio_socket *out, size_t room) {
    size_t count = 0;
    for (const struct entry *entry = owner->entries; entry; entry = entry->next, count++)
        if (count < room)
            out[count] = (netio_socket){entry->fd, entry->datagram};
    return count;
}

/* -- sockets ------------------------------------------------------------------------------------ */

enum kind { DATAGRAM, STREAM, OTHER };

static struct entry *adopt(netio_owner *owner, int fd, enum kind kind) {
    const bool datagram = kind == DATAGRAM;
    if (!owner || fd < 0 || fd >= DESCRIPTORS)
        return NULL;
    if (by_fd[fd]) /* closed without our hook */
        forget(by_fd[fd]);
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
    enum kind kind = internet && type == SOCK_DGRAM    ? DATAGRAM
                     : internet && type == SOCK_STREAM ? STREAM
                                                       : OTHER;
    adopt(current, fd, kind);
    if (internet && fd >= 0)
        set_mark(fd);
    if (kind == STREAM && fd >= 0) {
        send_at_once(fd);
        receive_much(fd);
    }
    return fd;
}

uint32_t netio_answers(const netio_owner *owner) { return owner->answers; }

bool netio_know_twin(netio_owner *owner, const char *ipv4, const char *ipv6) {
    return twins_add(&owner->twins, ipv4, ipv6);
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

int netio_hook_connect(int fd, const struct sockaddr *to, socklen_t length) {
    int result = connect(fd, to, length), error = errno;
    bool no_way = result != 0 && (error == ENETUNREACH || error == EHOSTUNREACH || error == EADDRNOTAVAIL);
    struct entry *entry = no_way ? find(fd) : NULL;
    struct sockaddr_storage twin;
    socklen_t twin_length = entry && !entry->datagram ? twins_other(&entry->owner->twins, to, &twin) : 0;
    bool begun = twin_length && connect_instead(fd, &twin, twin_length);
    errno = begun ? EINPROGRESS : error;
    return result;
}

int netio_hook_accept(int fd, struct sockaddr *from, socklen_t *from_length) {
    int accepted = accept4(fd, from, from_length, SOCK_CLOEXEC);
    adopt(current, accepted, STREAM);
    return accepted;
}

int netio_hook_close(int fd) {
    struct entry *entry = find(fd);
    if (entry) {
        flush(entry);
        forget(entry);
    }
    return close(fd);
}

/* -- doors -------------------------------------------------------------------------------------- */

static struct entry *door_to(const netio_owner *owner, const struct sockaddr *to) {
    for (struct entry *entry = owner->doors && to ? owner->entries : NULL; entry; entry = entry->next)
        if (entry->door && sightings_same_place(&entry->beyond, to))
            return entry;
    return NULL;
}

bool netio_open_door(netio_owner *owner, int fd, const char *host, unsigned short port) {
    struct sockaddr_storage beyond;
    if (!owner->batching || !doors_address(fd, host, port, &beyond) ||
        door_to(owner, (struct sockaddr *)&beyond))
        return false;
    struct entry *entry = adopt(owner, fd, DATAGRAM);
    if (!entry)
        return false;
    doors_buffers(fd);
    if (entry->out)
        sendbatch_start_room(entry->out);
    entry->door = true;
    entry->beyond = beyond;
    owner->doors++;
    return true;
}

void netio_close_door(netio_owner *owner, int fd) {
    struct entry *entry = find(fd);
    if (!entry || !entry->door || entry->owner != owner)
        return;
    flush(entry);
    remove_entry(entry);
}

/* -- datagrams ---------------------------------------------------------------------------------- */

ssize_t netio_hook_sendto(int fd, const void *data, size_t length, int flags, const struct sockaddr *to,
                          socklen_t to_length) {
    struct entry *entry = find(fd);
    struct detours *detours = entry ? entry->owner->detours : NULL;
    const int detour = detour_slot(detours, to, to_length);
    if (entry)
        overheard_sent(&entry->owner->overheard, data, length, to);
    if (detour >= 0) {
        const int64_t now_ns = netio_now_ns();
        const struct sockaddr_in6 *straight = detour_straight(detours, (unsigned)detour, now_ns);
        if (!straight)
            return detour_send(detours, (unsigned)detour, data, length, entry->owner->whole, now_ns);
        to = (const void *)straight;
        to_length = sizeof *straight;
    }
    struct entry *door = entry ? door_to(entry->owner, to) : NULL;
    if (door)
        entry = door;
    if (!entry || !entry->out)
        return sendto(door ? door->fd : fd, data, length, flags, to, to_length);
    ssize_t sent = sendbatch_put(entry->out, data, length, flags, to, to_length);
    if (sent >= 0 && entry->owner != current) /* outside a turn nothing else would flush it */
        sendbatch_flush(entry->out);
    return sent;
}

/* libtoxcore asks for a receive buffer of 2 MB; net.core.rmem_max, 208 KB by default, cuts that down, and a
 * pause of some milliseconds then costs 3 % of 100 000 datagrams a second. With privileges the request is
 * granted in full. The send buffer it asks for is the most that sendroom.c may use. */
int netio_hook_setsockopt(int fd, int level, int option, const void *value, socklen_t length) {
    const struct entry *entry = find(fd);
    if (entry && entry->datagram && level == SOL_SOCKET && option == SO_RCVBUF &&
        setsockopt(fd, level, SO_RCVBUFFORCE, value, length) == 0)
        return 0;
    int result = setsockopt(fd, level, option, value, length);
    if (entry && entry->out && level == SOL_SOCKET && option == SO_SNDBUF)
        sendbatch_start_room(entry->out);
    return result;
}

/* There is nothing more to receive now. If a turn has received anything, it is flushed here, before
 * libtoxcore goes on to all its other work. */
static ssize_t nothing_received(netio_owner *owner, int error) {
    if (owner == current && owner->flush_inbound && owner->turn > 0)
        owner->flush_inbound(owner->flush_context);
    owner->source_length = 0;
    boxhook_next_text = NULL;
    errno = error;
    return -1;
}

/* Whether the current turn has received enough. Asked only when every received datagram was handed out. */
static bool turn_over(netio_owner *owner, struct recvbatch *in) {
    if (owner->turn < TURN)
        return false;
    if (in)
        recvbatch_turn_over(in);
    netio_counters.turns_cut += !owner->turn_cut;
    owner->turn_cut = true;
    return true;
}

/* The length that libtoxcore sees: 0 for a datagram that would crash it, as it ignores an empty one. A flood
 * of those costs what it would without a shield, and ends a turn as others do. */
static ssize_t shielded(const void *data, ssize_t length) {
    if (!shield_up || length < 0 || !shield_refuses(data, (size_t)length))
        return length;
    netio_counters.shielded++;
    return 0;
}

static void note_source(netio_owner *owner, const struct sockaddr *from, const socklen_t *length) {
    owner->source_length = from && length && *length <= sizeof owner->source ? *length : 0;
    if (owner->source_length)
        memcpy(&owner->source, from, owner->source_length);
}

/* What came another way. The address of a detour is not where the peer is, so nobody is to note it. */
static ssize_t received_aside(netio_owner *owner, void *out, size_t room, struct sockaddr *from,
                              socklen_t *from_length) {
    owner->turn++;
    boxhook_next_text = NULL;
    ssize_t length = inject_take(owner->inbox, out, room, from, from_length);
    if (detour_slot(owner->detours, from, from_length ? *from_length : 0) >= 0)
        owner->source_length = 0;
    else
        note_source(owner, from, from_length);
    return shielded(out, length);
}

/* The text of an answer that libtoxcore has just opened. */
static void heard(const uint8_t *text, size_t length) {
    if (current)
        overheard_note(&current->overheard, &current->sightings, text, length, &current->source);
}

static void note(netio_owner *owner, const uint8_t *datagram, size_t length, const struct sockaddr *from) {
    sightings_note(&owner->sightings, datagram, length, from);
    owner->answers += overheard_is_answer(datagram, length);
    const bool answer = overhears && owner->sightings.count && overheard_is_answer(datagram, length);
    boxhook_next_text = answer ? heard : NULL;
}

static ssize_t take(struct entry *entry, void *out, size_t room, int flags, struct sockaddr *from,
                    socklen_t *from_length) {
    if (!entry->in)
        netio_counters.receive_calls++;
    return entry->in ? recvbatch_take(entry->in, out, room, flags, from, from_length)
                     : recvfrom(entry->fd, out, room, flags, from, from_length);
}

/* After `entry`, in turns: libtoxcore's own socket, and the doors. */
static struct entry *next_source(struct entry *own, struct entry *entry) {
    for (struct entry *next = entry == own ? own->owner->entries : entry->next; next; next = next->next)
        if (next->door)
            return next;
    return own;
}

/* As `take`, from the socket that has more, then from the next one, until none has. Through a door comes only who
 * it is for: others are as if they had sent nothing, but count for the turn. */
static ssize_t take_in_turns(struct entry *own, void *out, size_t room, int flags, struct sockaddr *from,
                             socklen_t *from_length) {
    netio_owner *owner = own->owner;
    struct entry *first = owner->receiving ? owner->receiving : own, *entry = first;
    const socklen_t address_room = *from_length;
    do {
        *from_length = address_room;
        ssize_t length = take(entry, out, room, flags, from, from_length);
        bool more = !entry->in || recvbatch_left(entry->in);
        owner->receiving = length >= 0 && more ? entry : next_source(own, entry);
        if (length >= 0)
            return entry->door && !sightings_same_place(&entry->beyond, from) ? 0 : length;
        entry = owner->receiving;
    } while (entry != first);
    return -1;
}

ssize_t netio_hook_recvfrom(int fd, void *out, size_t room, int flags, struct sockaddr *from,
                            socklen_t *from_length) {
    struct entry *entry = find(fd);
    if (!entry || !entry->datagram || !entry->owner->batching || (flags & ~MSG_DONTWAIT))
        return shielded(out, recvfrom(fd, out, room, flags, from, from_length));
    early_look_back(&entry->owner->early, &entry->owner->sightings, out);
    if (inject_left(entry->owner->inbox))
        return received_aside(entry->owner, out, room, from, from_length);
    ssize_t again = early_take(&entry->owner->early, out, room, from, from_length);
    if (again >= 0) {
        note_source(entry->owner, from, from_length);
        return shielded(out, again);
    }
    const bool in_turns = entry->owner->doors && from && from_length;
    const struct entry *last = in_turns && entry->owner->receiving ? entry->owner->receiving : entry;
    bool left = last->in && recvbatch_left(last->in);
    if (!left && entry->owner == current && turn_over(current, last->in))
        return nothing_received(current, EAGAIN);
    ssize_t length = in_turns ? take_in_turns(entry, out, room, flags, from, from_length)
                              : take(entry, out, room, flags, from, from_length);
    if (length < 0)
        return nothing_received(entry->owner, errno);
    netio_counters.received++;
    entry->owner->turn++;
    note_source(entry->owner, from, from_length);
    note(entry->owner, out, (size_t)length, from);
    early_note(&entry->owner->early, out, (size_t)length, from, from_length ? *from_length : 0);
    return shielded(out, length);
}

/* -- streams ------------------------------------------------------------------------------------- */

ssize_t netio_hook_send(int fd, const void *data, size_t length, int flags) {
    struct entry *entry = find(fd);
    if (!entry || !entry->stream)
        return send(fd, data, length, flags);
    ssize_t taken = streambuf_write(entry->stream, data, length);
    if (entry->owner != current) /* outside a turn nothing else would flush it */
        streambuf_flush(entry->stream);
    return taken;
}

ssize_t netio_hook_recv(int fd, void *out, size_t room, int flags) {
    struct entry *entry = find(fd);
    return entry && entry->stream ? streambuf_read(entry->stream, out, room, flags)
                                  : recv(fd, out, room, flags);
}

/* libtoxcore asks so before it reads. */
static int readable(struct entry *entry) {
    netio_owner *owner = entry->owner;
    bool cut = false;
    size_t bytes = streambuf_readable(entry->stream, owner == current ? owner->turns : 0, &cut);
    netio_counters.turns_cut += cut && !owner->turn_cut;
    owner->turn_cut |= cut;
    return (int)bytes;
}

int netio_hook_ioctl(int fd, unsigned long request, ...) {
    struct entry *entry = find(fd);
    va_list rest;
    va_start(rest, request);
    void *argument = va_arg(rest, void *);
    va_end(rest);
    if (!entry || !entry->stream || request != FIONREAD)
        return ioctl(fd, request, argument);
    *(int *)argument = readable(entry);
    return 0;
}

/* -- clock -------------------------------------------------------------------------------------- */

int netio_hook_clock_gettime(clockid_t clock, struct timespec *out) {
    if (clock != CLOCK_MONOTONIC || !current)
        return netio_kernel.clock_gettime(clock, out);
    int64_t now = shown_ns(current);
    out->tv_sec = now / 1000000000;
    out->tv_nsec = now % 1000000000;
    return 0;
}

/* -- installation ------------------------------------------------------------------------------- */

static bool kernel_can_batch(void) {
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    struct sendbatch *out = sendbatch_new(fd, true);
    struct recvbatch *in = recvbatch_new(fd);
    bool can = out || in;
    sendbatch_free(out);
    recvbatch_free(in);
    if (fd >= 0)
        close(fd);
    return can;
}

const char *netio_install(enum netio_hook_group group, const void *address) {
    static const struct import sockets[] = {{"socket", netio_hook_socket},
                                            {"accept", netio_hook_accept},
                                            {"connect", netio_hook_connect},
                                            {"close", netio_hook_close}};
    static const struct import batch[] = {{"sendto", netio_hook_sendto},
                                          {"recvfrom", netio_hook_recvfrom},
                                          {"setsockopt", netio_hook_setsockopt}};
    static const struct import streams[] = {
        {"send", netio_hook_send}, {"recv", netio_hook_recv}, {"ioctl", netio_hook_ioctl}};
    static const struct import shield[] = {{"recvfrom", netio_hook_recvfrom}};
    static const struct import clock[] = {{"clock_gettime", netio_hook_clock_gettime}};
    const char *why = NULL;

    switch (group) {
    case NETIO_SOCKETS: return importpatch_apply(address, sockets, 4);
    case NETIO_BATCH:
        why = kernel_can_batch() ? importpatch_apply(address, batch, 3)
                                 : "this kernel cannot batch UDP datagrams (UDP_SEGMENT, UDP_GRO)";
        batch_installed = !why;
        return why;
    case NETIO_STREAMS:
        why = importpatch_apply(address, streams, 3);
        streams_installed = !why;
        return why;
    case NETIO_SHIELD:
        why = importpatch_apply(address, shield, 1);
        shield_up = !why;
        return why;
    case NETIO_CLOCK: return importpatch_apply(address, clock, 1);
    case NETIO_PAGE_LOCK: return pagelock_install(address);
    case NETIO_SCRATCH: return scratch_install(address);
    case NETIO_CRYPTO: return boxhook_install(address);
    case NETIO_REUNION: return introduce_install(address);
    case NETIO_DETOUR: detours_up = batch_installed; return detours_up ? NULL : "needs the batch";
    }
    return "no such group of hooks";
}
