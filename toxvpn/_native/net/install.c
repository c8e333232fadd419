/* Puts the hooks in place, a group at a time. */
#define _GNU_SOURCE
#include "boxhook.h"
#include "importpatch.h"
#include "introduce.h"
#include "owner.h"
#include "pagelock.h"
#include "recvbatch.h"
#include "scratch.h"
#include "sendbatch.h"

#include <unistd.h>

struct netio_installed netio_installed;

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
        netio_installed.batch = !why;
        return why;
    case NETIO_STREAMS:
        why = importpatch_apply(address, streams, 3);
        netio_installed.streams = !why;
        return why;
    case NETIO_SHIELD:
        why = importpatch_apply(address, shield, 1);
        netio_installed.shield = !why;
        return why;
    case NETIO_CLOCK: return importpatch_apply(address, clock, 1);
    case NETIO_PAGE_LOCK: return pagelock_install(address);
    case NETIO_SCRATCH: return scratch_install(address);
    case NETIO_CRYPTO: return boxhook_install(address);
    case NETIO_REUNION: return introduce_install(address);
    case NETIO_DETOUR:
        netio_installed.detours = netio_installed.batch;
        return netio_installed.detours ? NULL : "needs the batch";
    }
    return "no such group of hooks";
}
