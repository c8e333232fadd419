#define _GNU_SOURCE
#include "fake_net.h"
#include "importpatch.h"
#include "pagelock.h"

#include <errno.h>
#include <stdarg.h>

struct input script;
static int next_fd;
static int64_t clock_ns;

int script_error(void) {
    static const int errors[] = {EAGAIN, ENOBUFS,     EMSGSIZE, EINVAL,     EIO,          ENETUNREACH,
                                 EPERM,  ENOPROTOOPT, EINTR,    EOPNOTSUPP, ECONNREFUSED, ENOMEM};
    uint32_t which = below(&script, 64);
    return which < sizeof errors / sizeof *errors ? errors[which] : 0;
}

netio_owner *begin_network(const uint8_t *data, size_t size) {
    script = (struct input){data, size};
    clock_ns = 1000000000;
    memset(&netio_counters, 0, sizeof netio_counters);
    netio_install(NETIO_BATCH, NULL);
    netio_install(NETIO_STREAMS, NULL);
    netio_install(NETIO_SHIELD, NULL);
    next_fd = 10;
    netio_owner *owner = netio_owner_new();
    CHECK(owner != NULL);
    return owner;
}

void end_network(netio_owner *owner) { netio_owner_free(owner); }

int64_t network_ns(void) { return clock_ns; }

void pass_ns(int64_t time_ns) { clock_ns += time_ns; }

/* -- system calls that always do what they are asked for */

int fake_socket(int domain, int type, int protocol) { return next_fd++; }

int fake_close(int fd) { return 0; }

int fake_accept4(int fd, struct sockaddr *from, socklen_t *length, int flags) { return next_fd++; }

int fake_setsockopt(int fd, int level, int option, const void *value, socklen_t length) { return 0; }

/* Also how full the socket's buffers are (SO_MEMINFO). */
int fake_getsockopt(int fd, int level, int option, void *value, socklen_t *length) {
    for (size_t at = 0; at + sizeof(int) <= *length; at += sizeof(int)) {
        int each = option == SO_MEMINFO ? (int)below(&script, 3) : 212992;
        memcpy((uint8_t *)value + at, &each, sizeof each);
    }
    return 0;
}

int fake_getsockname(int fd, struct sockaddr *out, socklen_t *length) {
    out->sa_family = AF_INET;
    return 0;
}

int fake_shutdown(int fd, int how) { return 0; }

int fake_ioctl(int fd, unsigned long request, ...) {
    va_list rest;
    va_start(rest, request);
    *va_arg(rest, int *) = (int)number(&script, 2);
    va_end(rest);
    return 0;
}

int fake_clock_gettime(clockid_t clock, struct timespec *out) {
    clock_ns += 1 + (script.left ? *script.at : 0) * 1000;
    out->tv_sec = clock_ns / 1000000000;
    out->tv_nsec = clock_ns % 1000000000;
    return 0;
}

/* -- parts of netio that are not built in */

const char *importpatch_apply(const void *address, const struct import *imports, size_t many) { return NULL; }
void *importpatch_library(const void *address) { return NULL; }
const char *pagelock_install(const void *address) { return NULL; }
