/* Datagrams of one size to one destination are laid end to end and sent by one sendmsg with UDP_SEGMENT
 * (udp(7)): the kernel cuts them apart again, late, often in the network card. A smaller datagram may be the
 * last of a batch. Datagrams of every size are gathered, because the hooks flush at the end of each turn
 * anyway. The order of a socket's datagrams is always kept.
 *
 * The steps of a datagram (the functions stand in the opposite order):
 *
 *   1. sendbatch_put     appends it to the open batch, or begins a new one; a full batch is flushed at once
 *   2. sendbatch_flush   sends the batches one after the other, until the kernel has no room
 *   3. send_batch        sends a batch by one call, or its datagrams one by one where that is refused
 *   4. transmit          calls sendmsg
 *
 * When the kernel has no room (EAGAIN), batches wait here: at most BATCHES of them, each of at most SEGMENTS
 * datagrams and BATCH_BYTES bytes; then sendto answers EAGAIN as a plain socket does. Once that has happened,
 * batches are smaller on a slow link, and so is what the kernel may queue (sendroom.h). */
#define _GNU_SOURCE
#include "sendbatch.h"
#include "kernel.h"
#include "sendroom.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#ifndef UDP_SEGMENT
#define UDP_SEGMENT 103
#endif

enum {
    SEGMENTS = 64,       /* UDP_MAX_SEGMENTS of Linux before 6.9; later ones take 128 */
    BATCH_BYTES = 65487, /* 65535 less an IPv6 and a UDP header: the most one call can carry */
    BATCHES = 8,         /* half a megabyte waits at most; more would only add delay */
    REFUSALS = 32,
    ANY_SIZE = 1,
    REFUSAL_S = 60, /* then the path's MTU may have grown again; trying once a minute costs nothing */
};

struct destination {
    struct sockaddr_storage address;
    socklen_t length;
};

struct batch {
    struct destination to;
    unsigned count;
    unsigned sent;  /* how many of them have been sent or dropped one by one */
    size_t segment; /* size of each datagram; the last may be smaller */
    size_t length;
    bool closed;
    bool one_by_one;
    uint8_t data[BATCH_BYTES];
};

/* A destination to which segments of this size or larger cannot be sent in batches: the path's MTU is
 * smaller, or the device cannot do it at all. */
struct refusal {
    struct destination to;
    size_t segment;
    time_t until;
};

struct sendbatch {
    int fd;
    struct sendroom room;
    size_t kernel_limit;  /* SO_SNDBUF as it was last set */
    bool segmentation;    /* several datagrams a call; off once the kernel says that it cannot */
    bool may_wait;        /* what the kernel has no room for waits here; else it is dropped */
    bool dropped;         /* something was, since `may_wait` was last set */
    bool blocked;         /* the kernel had no room at the last try */
    unsigned first, used; /* a ring of batches; at most one is in use while not blocked */
    unsigned next_refusal;
    struct refusal refusals[REFUSALS];
    struct batch batches[BATCHES];
};

struct sendbatch *sendbatch_new(int fd, bool segmentation) {
    int value = 0;
    socklen_t length = sizeof value;
    /* Ask first: a kernel without UDP_SEGMENT would ignore the control message and send one huge datagram. */
    if (getsockopt(fd, IPPROTO_UDP, UDP_SEGMENT, &value, &length) != 0)
        return NULL;
    struct sendbatch *batch = calloc(1, sizeof *batch);
    if (batch) {
        batch->fd = fd;
        batch->segmentation = segmentation;
        batch->may_wait = true;
        sendbatch_start_room(batch);
    }
    return batch;
}

/* -- how much the kernel may queue */

static void set_kernel_limit(struct sendbatch *batch) {
    size_t limit = batch->room.limit, before = batch->kernel_limit;
    if (limit < before + before / 8 && limit > before - before / 8)
        return;
    int value = (int)(limit / 2); /* the kernel doubles it, for its overhead */
    setsockopt(batch->fd, SOL_SOCKET, SO_SNDBUF, &value, sizeof value);
    batch->kernel_limit = limit;
}

void sendbatch_start_room(struct sendbatch *batch) {
    int ceiling = 0;
    socklen_t length = sizeof ceiling;
    getsockopt(batch->fd, SOL_SOCKET, SO_SNDBUF, &ceiling, &length);
    sendroom_start(&batch->room, (size_t)ceiling);
    batch->kernel_limit = (size_t)ceiling;
    set_kernel_limit(batch);
}

/* Measures how much is queued in the kernel, and passes it to a function of sendroom.h. */
static void measure(struct sendbatch *batch, void (*report)(struct sendroom *, size_t, int64_t)) {
    int queued = netio_kernel.queued(batch->fd);
    if (queued < 0)
        return;
    report(&batch->room, (size_t)queued, netio_now_ns());
    set_kernel_limit(batch);
}

void sendbatch_free(struct sendbatch *batch) { free(batch); }

bool sendbatch_blocked(const struct sendbatch *batch) { return batch->blocked; }

bool sendbatch_may_wait(struct sendbatch *batch, bool may_wait) {
    bool dropped = batch->dropped;
    batch->may_wait = may_wait;
    batch->dropped = false;
    return !dropped;
}

static bool same(const struct destination *one, const void *address, socklen_t length) {
    return one->length == length && memcmp(&one->address, address, length) == 0;
}

static time_t now_s(void) { return netio_now_ns() / 1000000000; }

static bool refuses(const struct sendbatch *batch, const struct batch *open) {
    for (unsigned i = 0; i < REFUSALS; i++) {
        const struct refusal *refusal = &batch->refusals[i];
        if (refusal->segment && open->segment >= refusal->segment &&
            same(&refusal->to, &open->to.address, open->to.length))
            return now_s() < refusal->until;
    }
    return false;
}

static void remember_refusal(struct sendbatch *batch, const struct batch *open, size_t segment) {
    struct refusal *refusal = NULL;
    for (unsigned i = 0; i < REFUSALS && !refusal; i++)
        if (same(&batch->refusals[i].to, &open->to.address, open->to.length))
            refusal = &batch->refusals[i];
    if (!refusal)
        refusal = &batch->refusals[batch->next_refusal++ % REFUSALS];
    *refusal = (struct refusal){open->to, segment, now_s() + REFUSAL_S};
}

/* Whether the kernel is out of room for now, rather than refusing this datagram. */
static bool no_room(int error) {
    return error == EAGAIN || error == EWOULDBLOCK || error == ENOBUFS || error == ENOMEM;
}

static void count_dropped(int error, unsigned datagrams) {
    switch (error) {
    case ENETUNREACH:
    case EHOSTUNREACH:
    case ENETDOWN:
    case EHOSTDOWN:
    case EADDRNOTAVAIL: netio_counters.dropped_unreachable += datagrams; break;
    case EPERM:
    case EACCES: netio_counters.dropped_denied += datagrams; break;
    case EMSGSIZE: netio_counters.dropped_too_long += datagrams; break;
    default: netio_counters.dropped_other += datagrams;
    }
}

/* Returns 0, or the errno of sendmsg. With `segment` 0 the data is a single datagram. */
static int transmit(int fd, struct destination *to, const uint8_t *data, size_t length, size_t segment) {
    struct iovec piece = {(void *)data, length};
    union {
        struct cmsghdr aligned;
        char bytes[CMSG_SPACE(sizeof(uint16_t))];
    } control = {0};
    struct msghdr message = {
        .msg_name = &to->address, .msg_namelen = to->length, .msg_iov = &piece, .msg_iovlen = 1};
    if (segment) {
        uint16_t size = (uint16_t)segment;
        message.msg_control = control.bytes;
        message.msg_controllen = sizeof control.bytes;
        struct cmsghdr *header = CMSG_FIRSTHDR(&message);
        header->cmsg_level = IPPROTO_UDP;
        header->cmsg_type = UDP_SEGMENT;
        header->cmsg_len = CMSG_LEN(sizeof size);
        memcpy(CMSG_DATA(header), &size, sizeof size);
    }
    for (;;) {
        netio_counters.send_calls++;
        if (netio_kernel.sendmsg(fd, &message, 0) >= 0) /* UDP sends all or nothing */
            return 0;
        if (errno != EINTR)
            return errno;
    }
}

/* Sends or drops each datagram by itself. False when the kernel runs out of room. */
static bool send_one_by_one(struct sendbatch *batch, struct batch *open) {
    while (open->sent < open->count) {
        size_t offset = open->sent * open->segment;
        size_t length = open->length - offset < open->segment ? open->length - offset : open->segment;
        int error = transmit(batch->fd, &open->to, open->data + offset, length, 0);
        if (error && no_room(error))
            return false;
        if (error)
            count_dropped(error, 1);
        else
            netio_counters.sent++;
        open->sent++;
    }
    return true;
}

/* Sends or drops the batch. False when the kernel runs out of room. */
static bool send_batch(struct sendbatch *batch, struct batch *open) {
    /* a batch that was begun one by one is finished so: nothing may be sent twice */
    if (open->sent || open->one_by_one || open->count == 1 || !batch->segmentation || refuses(batch, open))
        return send_one_by_one(batch, open);
    int error = transmit(batch->fd, &open->to, open->data, open->length, open->segment);
    switch (error) {
    case 0:
        netio_counters.segmented++;
        netio_counters.sent += open->count;
        return true;
    case EAGAIN: return false;
    case EMSGSIZE:
    case EINVAL: /* larger than the path's MTU: single datagrams get fragmented */
        remember_refusal(batch, open, open->segment);
        break;
    case EIO: /* the device has no checksum offload, or is an IPsec tunnel (udp(7)) */
        remember_refusal(batch, open, ANY_SIZE);
        break;
    case EOPNOTSUPP:
    case ENOPROTOOPT: batch->segmentation = false; break;
    case ENOBUFS:
    case ENOMEM: break; /* less at a time may fit */
    default: count_dropped(error, open->count); return true;
    }
    netio_counters.segmented_refused++;
    open->one_by_one = true;
    return send_one_by_one(batch, open);
}

static void wait_for_room(struct sendbatch *batch, const struct batch *head) {
    if (!batch->blocked)
        netio_counters.deferred += head->count - head->sent;
    batch->blocked = true;
    measure(batch, sendroom_refused);
}

void sendbatch_flush(struct sendbatch *batch) {
    while (batch->used) {
        struct batch *head = &batch->batches[batch->first];
        if (batch->room.measured)
            measure(batch, sendroom_before_send);
        if (!send_batch(batch, head)) {
            if (batch->may_wait) {
                wait_for_room(batch, head);
                return;
            }
            batch->dropped = true;
        } else if (sendroom_sent(&batch->room, head->length, netio_now_ns())) {
            measure(batch, sendroom_after_send);
        }
        batch->first = (batch->first + 1) % BATCHES;
        batch->used--;
    }
    batch->blocked = false;
    batch->first = 0; /* use the same memory again: it is in the cache */
}

static struct batch *last(struct sendbatch *batch) {
    return batch->used ? &batch->batches[(batch->first + batch->used - 1) % BATCHES] : NULL;
}

/* Whether the batch takes no more datagrams of its size. */
static bool full(const struct sendbatch *batch, const struct batch *open) {
    size_t length = open->length + open->segment;
    return open->count == SEGMENTS || length > BATCH_BYTES || length > sendroom_batch_bytes(&batch->room);
}

static bool fits(const struct batch *open, size_t length, const struct sockaddr *to, socklen_t to_length) {
    return open && !open->closed && length && length <= open->segment && same(&open->to, to, to_length);
}

static void append(const struct sendbatch *batch, struct batch *open, const void *data, size_t length) {
    memcpy(open->data + open->length, data, length);
    open->length += length;
    open->count++;
    open->closed = length < open->segment || full(batch, open);
}

/* A batch to fill; NULL when all of them are waiting. */
static struct batch *begin(struct sendbatch *batch) {
    if (!batch->blocked || batch->used == BATCHES)
        sendbatch_flush(batch);
    if (batch->used == BATCHES)
        return NULL;
    batch->used++;
    return last(batch);
}

/* Sends what cannot be gathered after all that is; EAGAIN when that has to wait. */
static ssize_t send_directly(struct sendbatch *batch, const void *data, size_t length, int flags,
                             const struct sockaddr *to, socklen_t to_length) {
    sendbatch_flush(batch);
    if (batch->used) {
        netio_counters.refused++;
        errno = EAGAIN;
        return -1;
    }
    netio_counters.send_calls++;
    ssize_t sent = sendto(batch->fd, data, length, flags, to, to_length);
    netio_counters.sent += sent >= 0;
    return sent;
}

ssize_t sendbatch_put(struct sendbatch *batch, const void *data, size_t length, int flags,
                      const struct sockaddr *to, socklen_t to_length) {
    if (flags || !to || to_length > sizeof(struct sockaddr_storage) || length > BATCH_BYTES)
        return send_directly(batch, data, length, flags, to, to_length);
    struct batch *open = last(batch);
    if (!fits(open, length, to, to_length)) {
        open = begin(batch);
        if (!open) {
            netio_counters.refused++;
            errno = EAGAIN;
            return -1;
        }
        open->count = open->sent = 0;
        open->length = 0;
        open->segment = length;
        open->one_by_one = false;
        open->to.length = to_length;
        memcpy(&open->to.address, to, to_length);
    }
    append(batch, open, data, length);
    netio_counters.deferred += batch->blocked;
    if (open->closed && length == open->segment && !batch->blocked)
        sendbatch_flush(batch);
    return (ssize_t)length;
}
