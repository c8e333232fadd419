#define _GNU_SOURCE
#include "kernel.h"

#include <linux/sockios.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/ioctl.h>

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

/* What the other side has announced, or a half or less of that, less what is under way. */
static int64_t window(int fd, unsigned part) {
    struct connection_info info;
    socklen_t length = sizeof info;
    if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &length) < 0 || length < sizeof info ||
        (info.state != TCP_ESTABLISHED && info.state != TCP_CLOSE_WAIT))
        return INT64_MAX;
    const int under_way = queued(fd);
    return under_way < 0 ? INT64_MAX : (int64_t)(info.announced / part) - under_way;
}

struct netio_kernel netio_kernel = {sendmsg, recvmsg, clock_gettime, queued, send, recv, window};
struct netio_counters netio_counters;
