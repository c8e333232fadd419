/* An owner's life, what it is told, and what it tells. */
#define _GNU_SOURCE
#include "owner.h"
#include "detour.h"
#include "inject.h"
#include "kernel.h"
#include "recvbatch.h"
#include "scratch.h"
#include "sendbatch.h"

#include <stdlib.h>

_Thread_local netio_owner *current;

netio_owner *netio_owner_new(void) {
    netio_owner *owner = calloc(1, sizeof *owner);
    if (owner) {
        owner->batching = netio_installed.batch;
        owner->streaming = netio_installed.streams;
        owner->segmentation = true;
        owner->rate = 1.0;
        owner->real_ns = owner->own_ns = netio_now_ns();
    }
    return owner;
}

void netio_owner_free(netio_owner *owner) {
    if (!owner)
        return;
    if (current == owner) {
        current = NULL;
        scratch_end();
    }
    while (owner->entries)
        entry_remove(owner->entries);
    sightings_free(&owner->sightings);
    detours_free(owner->detours);
    inject_free(owner->inbox);
    overheard_free(&owner->overheard);
    early_free(&owner->early);
    streamroom_free(&owner->room);
    twins_free(&owner->twins);
    announced_free(&owner->announced);
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

void entry_flush(struct entry *entry) {
    if (entry->out)
        sendbatch_flush(entry->out);
    if (entry->stream)
        streambuf_flush(entry->stream);
}

void netio_flush(netio_owner *owner) {
    for (struct entry *entry = owner ? owner->entries : NULL; entry; entry = entry->next)
        entry_flush(entry);
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

socklen_t netio_source(const netio_owner *owner, struct sockaddr_storage *out) {
    *out = owner->source;
    return owner->source_length;
}

struct sightings *netio_sightings(netio_owner *owner) { return &owner->sightings; }

struct detours *netio_detours(netio_owner *owner, bool make) {
    if (!owner->detours && make && netio_installed.detours)
        owner->detours = detours_new();
    return owner->detours;
}

struct inject **netio_inbox(netio_owner *owner) { return &owner->inbox; }

struct overheard *netio_overheard(netio_owner *owner) { return &owner->overheard; }

uint32_t netio_answers(const netio_owner *owner) { return owner->answers; }

uint32_t netio_sockets_version(const netio_owner *owner) { return owner->version; }

size_t netio_sockets(const netio_owner *owner, netio_socket *out, size_t room) {
    size_t count = 0;
    for (const struct entry *entry = owner->entries; entry; entry = entry->next, count++)
        if (count < room)
            out[count] = (netio_socket){entry->fd, entry->datagram};
    return count;
}
