/* Datagrams of one size to one destination are laid end to end and sent by one sendmsg with
   UDP_SEGMENT (udp(7)): the kernel cuts them apart again, late, often in the network card. A smaller
   datagram may be the last of a batch. Everything is gathered, whatever its size, because the hooks
   flush at the end of each turn anyway. The order of a socket's datagrams is kept without exception.

   When the kernel takes no more (EAGAIN), batches wait here: at most BATCHES of them, each at most
   SEGMENTS datagrams and BATCH_BYTES bytes; then sendto answers EAGAIN as a plain socket does. Once that
   has happened, batches are smaller on a slow link, and so is what the kernel may hold (sendroom.h). */
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
    BATCHES = 8,         /* half a megabyte waiting: beyond the kernel's own buffer, more is delay */
    REFUSALS = 32,
    ANY_SIZE = 1,
    REFUSAL_S = 60, /* a path's MTU may recover; trying once a minute costs nothing */
};

struct destination {
    struct sockaddr_storage address;
    socklen_t length;
};

struct batch {
    struct destination to;
    unsigned count;
    unsigned sent;  /* of count, those already gone one by one */
    size_t segment; /* size of each datagram, but the last may be smaller */
    size_t length;
    bool closed;
    bool one_by_one;
    uint8_t data[BATCH_BYTES];
};

/* This path does not carry segments this large unfragmented (its MTU is smaller), or none at all. */
struct refusal {
    struct destination to;
    size_t segment;
    time_t until;
};

struct sendbatch {
    int fd;
    struct sendroom room;
    size_t kernel_limit; /* as it was last set */
    bool segmentation;   /* wanted, and the kernel has not said yet that it cannot */
    bool impatient;      /* what there is no room for is dropped */
    bool dropped;        /* since it is impatient */
    bool blocked;
    unsigned first, used; /* ring of batches; unblocked, at most one is in use */
    unsigned next_refusal;
    struct refusal refusals[REFUSALS];
    struct batch batches[BATCHES];
};

struct sendbatch *sendbatch_new(int fd, bool segmentation) {
    int value = 0;
    socklen_t length = sizeof value;
    /* A kernel without it would ignore the control message and send one huge datagram: ask first. */
    if (getsockopt(fd, IPPROTO_UDP, UDP_SEGMENT, &value, &length) != 0)
        return NULL;
    struct sendbatch *batch = calloc(1, sizeof *batch);
    if (batch) {
        batch->fd = fd;
        batch->segmentation = segmentation;
        sendbatch_start_room(batch);
    }
    return batch;
}

/* -- how much may stand in the kernel -- */

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

static void look(struct sendbatch *batch, void (*tell)(struct sendroom *, size_t, int64_t)) {
    int standing = netio_kernel.standing(batch->fd);
    if (standing < 0)
        return;
    tell(&batch->room, (size_t)standing, netio_now_ns());
    set_kernel_limit(batch);
}

void sendbatch_free(struct sendbatch *batch) { free(batch); }

bool sendbatch_blocked(const struct sendbatch *batch) { return batch->blocked; }

bool sendbatch_may_wait(struct sendbatch *batch, bool may_wait) {
    bool dropped = batch->dropped;
    batch->impatient = !may_wait;
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

/* The kernel is out of room for now, as opposed to refusing this datagram. */
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

/* Zero, or the errno of one sendmsg; `segment` 0 sends a single datagram. */
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

/* True once every datagram of the batch has met its fate, each its own. */
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

/* True once the batch is over: sent, or refused for good. */
static bool send_batch(struct sendbatch *batch, struct batch *open) {
    /* once begun one by one, it ends so: what is gone already may not go again */
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
    case EINVAL: /* larger than the path's MTU: single ones get fragmented */
        remember_refusal(batch, open, open->segment);
        break;
    case EIO: /* the device that leads there has no checksum offload, or it is an IPsec tunnel (udp(7)) */
        remember_refusal(batch, open, ANY_SIZE);
        break;
    case EOPNOTSUPP:
    case ENOPROTOOPT: /* the kernel cannot */ batch->segmentation = false; break;
    case ENOBUFS:
    case ENOMEM: /* less at a time may fit */ break;
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
    look(batch, sendroom_refused);
}

void sendbatch_flush(struct sendbatch *batch) {
    while (batch->used) {
        struct batch *head = &batch->batches[batch->first];
        if (batch->room.looking)
            look(batch, sendroom_before);
        if (!send_batch(batch, head)) {
            if (!batch->impatient) {
                wait_for_room(batch, head);
                return;
            }
            batch->dropped = true;
        } else if (sendroom_sent(&batch->room, head->length, netio_now_ns())) {
            look(batch, sendroom_after);
        }
        batch->first = (batch->first + 1) % BATCHES;
        batch->used--;
    }
    batch->blocked = false;
    batch->first = 0; /* the same memory again: it is in the cache */
}

static struct batch *last(struct sendbatch *batch) {
    return batch->used ? &batch->batches[(batch->first + batch->used - 1) % BATCHES] : NULL;
}

/* Whether the batch takes no more datagrams of its size. */
static bool full(const struct sendbatch *batch, const struct batch *open) {
    size_t length = open->length + open->segment;
    return open->count == SEGMENTS || length > BATCH_BYTES || length > sendroom_piece(&batch->room);
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

/* A place for a batch to begin; NULL when all are waiting. */
static struct batch *begin(struct sendbatch *batch) {
    if (!batch->blocked || batch->used == BATCHES)
        sendbatch_flush(batch);
    if (batch->used == BATCHES)
        return NULL;
    batch->used++;
    return last(batch);
}

/* What cannot be gathered goes after what is, or not at all for now. */
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
