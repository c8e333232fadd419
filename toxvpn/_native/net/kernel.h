/* The system calls of netio, as pointers so that a test can replace them, and what netio counts. */
#ifndef TOXVPN_KERNEL_H
#define TOXVPN_KERNEL_H

#include <stdint.h>
#include <sys/socket.h>
#include <time.h>

struct netio_kernel {
    ssize_t (*sendmsg)(int, const struct msghdr *, int);
    ssize_t (*recvmsg)(int, struct msghdr *, int);
    int (*clock_gettime)(clockid_t, struct timespec *);
    int (*queued)(int fd); /* bytes of a socket that are not sent yet (SIOCOUTQ), -1: unknown */
    ssize_t (*send)(int, const void *, size_t, int);
    ssize_t (*recv)(int, void *, size_t, int);
    /* How many bytes the other side of a connection takes until this part of its window is full; much, if unknown. */
    int64_t (*window)(int fd, unsigned part);
};

/* Counted for the process since it started. Drops are of datagrams that had been accepted for sending. */
struct netio_counters {
    uint64_t sent; /* datagrams the kernel took */
    uint64_t send_calls;
    uint64_t segmented;         /* calls that carried several datagrams */
    uint64_t segmented_refused; /* such calls refused; their datagrams were sent one by one */
    uint64_t deferred;          /* datagrams that waited for room in the kernel */
    uint64_t refused;           /* sendto calls answered EAGAIN: no more datagrams could wait */
    uint64_t dropped_unreachable;
    uint64_t dropped_denied;
    uint64_t dropped_too_long;
    uint64_t dropped_other;
    uint64_t received; /* datagrams handed to libtoxcore */
    uint64_t shielded; /* of these, handed out empty as they would crash this libtoxcore (shield.h) */
    uint64_t receive_calls;
    uint64_t truncated;   /* received datagrams longer than the buffer (never seen) */
    uint64_t unfair;      /* datagrams dropped because their source had more than its share (fairshare.h) */
    uint64_t turns_cut;   /* turns ended early so that others get theirs */
    uint64_t stream_sent; /* bytes of TCP connections to relays and clients that the kernel took */
    uint64_t stream_send_calls;
    uint64_t stream_refused;  /* send calls answered EAGAIN: no more bytes could wait */
    uint64_t stream_received; /* bytes of such connections */
    uint64_t stream_receive_calls;
};

extern struct netio_kernel netio_kernel;
extern struct netio_counters netio_counters;

/* The real CLOCK_MONOTONIC. */
static inline int64_t netio_now_ns(void) {
    struct timespec now;
    netio_kernel.clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * INT64_C(1000000000) + now.tv_nsec;
}

#endif
