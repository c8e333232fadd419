/* With UDP_GRO (udp(7)) one recvmsg returns consecutive datagrams of one sender laid end to end, all of the
 * size that a control message gives; the last may be smaller. Where the kernel joins none, recvmmsg would
 * save 0.1 µs of 0.7 µs a datagram (measured): not worth its code. */
#define _GNU_SOURCE
#include "recvbatch.h"
#include "fairshare.h"
#include "kernel.h"
#include "sieve.h"

#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#ifndef UDP_GRO
#define UDP_GRO 104
#endif

enum {
    MOST_DROPPED = 16
}; /* system calls for each that hands something out: a flood must not stop the turn */

struct recvbatch {
    int fd;
    bool overloaded; /* a turn left a quarter of the kernel's buffer full, and it was not empty since */
    int64_t
        handed_out_ns; /* while time is counted: when the present datagrams were received; 0: in an earlier turn */
    struct fairshare share;
    struct sieve sieve;
    uint32_t lost;                         /* by the kernel, when that was last looked at */
    size_t whole, length, offset, segment; /* of `whole` bytes, those up to `length` are received in one */
    uint8_t kind;                          /* of these: how each of them begins, as far as it matters */
    struct sockaddr_storage from;
    socklen_t from_length;
    uint8_t data[65536]; /* the most that the kernel joins together */
};

struct recvbatch *recvbatch_new(int fd) {
    int on = 1;
    struct recvbatch *batch = calloc(1, sizeof *batch);
    if (batch && setsockopt(fd, IPPROTO_UDP, UDP_GRO, &on, sizeof on) != 0) {
        free(batch);
        return NULL;
    }
    if (batch)
        batch->fd = fd;
    return batch;
}

void recvbatch_free(struct recvbatch *batch) { free(batch); }

bool recvbatch_left(const struct recvbatch *batch) { return batch->offset < batch->length; }

/* The size of each datagram in a message of `total` bytes. */
static size_t segment_size(struct msghdr *message, size_t total) {
    for (struct cmsghdr *header = CMSG_FIRSTHDR(message); header; header = CMSG_NXTHDR(message, header)) {
        if (header->cmsg_level == IPPROTO_UDP && header->cmsg_type == UDP_GRO) {
            int size;
            memcpy(&size, CMSG_DATA(header), sizeof size);
            return size > 0 ? (size_t)size : total;
        }
    }
    return total;
}

static bool look(int fd, uint32_t memory[SK_MEMINFO_VARS]) {
    socklen_t length = SK_MEMINFO_VARS * sizeof *memory;
    return getsockopt(fd, SOL_SOCKET, SO_MEMINFO, memory, &length) == 0;
}

/* Whether more than so many eighths of the kernel's buffer are in use. */
static bool fuller(int fd, unsigned eighths) {
    uint32_t memory[SK_MEMINFO_VARS] = {0};
    return look(fd, memory) &&
           memory[SK_MEMINFO_RMEM_ALLOC] > memory[SK_MEMINFO_RCVBUF] / 8 * (uint64_t)eighths;
}

/* Whether the datagrams that were just received are to be dropped, so that others get their share. */
static bool too_many(struct recvbatch *batch) {
    if (!batch->overloaded)
        return false;
    const unsigned eighths = fairshare_eighths(&batch->share, &batch->from, batch->kind);
    return eighths < 8 && fuller(batch->fd, eighths);
}

static void drop(struct recvbatch *batch) {
    const size_t segment = batch->segment ? batch->segment : 1, length = batch->length - batch->offset;
    netio_counters.unfair += length ? (length + segment - 1) / segment : 1;
    batch->offset = batch->length;
}

/* The processor time that this thread has used. */
static int64_t used_ns(void) {
    struct timespec used;
    netio_kernel.clock_gettime(CLOCK_THREAD_CPUTIME_ID, &used);
    return used.tv_sec * INT64_C(1000000000) + used.tv_nsec;
}

static bool counts_time(const struct recvbatch *batch) { return batch->overloaded || batch->sieve.halvings; }

/* What was used since the last datagrams were received was spent on those. */
static void account(struct recvbatch *batch) {
    if (counts_time(batch) && batch->handed_out_ns) {
        const int64_t spent_ns = used_ns() - batch->handed_out_ns;
        fairshare_spent(&batch->share, &batch->from, batch->kind, spent_ns);
        if (batch->kind != FAIRSHARE_CONNECTED)
            sieve_spent(&batch->sieve, spent_ns);
    }
    batch->handed_out_ns = 0;
}

/* What came joined to data of a connection has passed the kernel's filter unseen. Behind other datagrams of strangers it has
 * drawn its lot with them. */
static bool slipped_in(struct recvbatch *batch) {
    return batch->offset && batch->data[0] == FAIRSHARE_CONNECTED && batch->kind != FAIRSHARE_CONNECTED &&
           !sieve_admits(&batch->sieve);
}

/* `dropped`: how many parts for the sake of others since something was handed out. */
static bool is_dropped(struct recvbatch *batch, unsigned *dropped) {
    const bool slipped = slipped_in(batch); /* no system call of its own: it does not count */
    if (!slipped && (*dropped == MOST_DROPPED || !too_many(batch)))
        return false;
    *dropped += !slipped;
    drop(batch);
    return true;
}

/* What the kernel has dropped since, joined datagrams as one, counts as unfair only while there is a filter. */
static void count_lost(struct recvbatch *batch, bool filtered) {
    uint32_t memory[SK_MEMINFO_VARS] = {0};
    if (!look(batch->fd, memory))
        return;
    netio_counters.unfair += filtered ? memory[SK_MEMINFO_DROPS] - batch->lost : 0;
    batch->lost = memory[SK_MEMINFO_DROPS];
}

static void adapt_sieve(struct recvbatch *batch) {
    const unsigned before = batch->sieve.halvings;
    if (!counts_time(batch) || !sieve_due(&batch->sieve, netio_now_ns()))
        return;
    count_lost(batch, before > 0);
    if (sieve_next(&batch->sieve, netio_now_ns(), used_ns()) && !sieve_attach(&batch->sieve, batch->fd))
        batch->sieve.halvings = before;
}

/* Receives the next datagrams. False with errno set, as recvmsg(2). */
static bool receive_any(struct recvbatch *batch, int flags) {
    struct iovec piece = {batch->data, sizeof batch->data};
    union {
        struct cmsghdr aligned;
        char bytes[CMSG_SPACE(sizeof(int))];
    } control;
    struct msghdr message = {.msg_name = &batch->from,
                             .msg_namelen = sizeof batch->from,
                             .msg_iov = &piece,
                             .msg_iovlen = 1,
                             .msg_control = control.bytes,
                             .msg_controllen = sizeof control.bytes};
    netio_counters.receive_calls++;
    ssize_t length = netio_kernel.recvmsg(batch->fd, &message, flags);
    if (length < 0)
        return false;
    netio_counters.truncated += (message.msg_flags & MSG_TRUNC) != 0;
    batch->from_length = message.msg_namelen;
    batch->offset = batch->length = 0;
    batch->whole = (size_t)length;
    batch->segment = segment_size(&message, (size_t)length);
    return true;
}

/* While time is counted, what was joined is taken apart again: data of connections, and what only came with it. */
static void begin_part(struct recvbatch *batch) {
    batch->kind = batch->whole ? batch->data[batch->offset] : 0;
    size_t end = batch->whole;
    if (counts_time(batch))
        for (end = batch->offset + batch->segment; end < batch->whole; end += batch->segment)
            if ((batch->data[end] == FAIRSHARE_CONNECTED) != (batch->kind == FAIRSHARE_CONNECTED))
                break;
    batch->length = end < batch->whole ? end : batch->whole;
}

static bool receive_part(struct recvbatch *batch, int flags) {
    if (batch->offset == batch->whole && !receive_any(batch, flags))
        return false;
    begin_part(batch);
    return true;
}

static bool receive(struct recvbatch *batch, int flags) {
    account(batch);
    adapt_sieve(batch);
    unsigned dropped = 0;
    do {
        if (!receive_part(batch, flags))
            return batch->overloaded = false;
    } while (is_dropped(batch, &dropped));
    if (counts_time(batch))
        batch->handed_out_ns = used_ns();
    return true;
}

void recvbatch_turn_over(struct recvbatch *batch) {
    account(batch);
    const bool overloaded = fuller(batch->fd, 2);
    batch->overloaded = batch->overloaded || overloaded;
    batch->sieve.overloaded = batch->sieve.overloaded || overloaded;
}

static void hand_out_address(const struct recvbatch *batch, struct sockaddr *from, socklen_t *from_length) {
    if (!from || !from_length)
        return;
    socklen_t length = *from_length < batch->from_length ? *from_length : batch->from_length;
    memcpy(from, &batch->from, length);
    *from_length = batch->from_length;
}

ssize_t recvbatch_take(struct recvbatch *batch, void *out, size_t room, int flags, struct sockaddr *from,
                       socklen_t *from_length) {
    if (!recvbatch_left(batch) && !receive(batch, flags))
        return -1;
    size_t length = batch->length - batch->offset; /* 0 for an empty datagram */
    if (length > batch->segment)
        length = batch->segment;
    size_t taken = length < room ? length : room;
    memcpy(out, batch->data + batch->offset, taken);
    batch->offset += length;
    hand_out_address(batch, from, from_length);
    return (ssize_t)taken;
}
