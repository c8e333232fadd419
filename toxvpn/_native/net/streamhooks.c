/* The functions that libtoxcore calls for its TCP connections, which are read and written through streambuf.c. */
#define _GNU_SOURCE
#include "boxhook.h"
#include "kernel.h"
#include "owner.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/ioctl.h>

ssize_t netio_hook_send(int fd, const void *data, size_t length, int flags) {
    struct entry *entry = find(fd);
    if (!entry || !entry->stream)
        return send(fd, data, length, flags);
    if (entry->standing && quick_refuses(&entry->owner->roll, entry->standing, length)) {
        errno = EAGAIN;
        return -1;
    }
    ssize_t taken = streambuf_write(entry->stream, data, length);
    if (entry->owner != current) /* outside a turn nothing else would flush it */
        streambuf_flush(entry->stream);
    return taken;
}

/* A packet's length is read by itself, and only from a relay that has proved to be one: no portal gets so far. Who is there
 * at our own relay, as we are, tells nothing of the network. */
ssize_t netio_hook_recv(int fd, void *out, size_t room, int flags) {
    struct entry *entry = find(fd);
    if (!entry || !entry->stream)
        return recv(fd, out, room, flags);
    ssize_t length = streambuf_read(entry->stream, out, room, flags);
    entry->owner->answers += !entry->own_relay && room == sizeof(uint16_t) && length == (ssize_t)room;
    return length;
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

void netio_rank_relay(netio_owner *owner, int fd, bool quick) {
    struct entry *entry = find(fd);
    if (!entry || entry->owner != owner || !entry->stream)
        return;
    if (!entry->standing && !(entry->standing = calloc(1, sizeof *entry->standing)))
        return;
    entry->standing->quick = quick;
    boxhook_sealed.wanted = true;
}

void netio_begin_call(netio_owner *owner) { quick_begin_call(&owner->roll); }

bool netio_end_call(netio_owner *owner) { return quick_end_call(&owner->roll); }
