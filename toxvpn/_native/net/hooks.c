/* The functions that libtoxcore calls for its UDP sockets. Between netio_enter() and netio_leave(), the sockets
 * that it makes become the owner's, its monotonic clock is the owner's, and what it sends is gathered. At other
 * times, and on descriptors that are not known here, every hook is the plain call. Nothing here, nor in the
 * other files behind hooks.h, touches Python, and no packet costs an allocation.
 *
 * The steps of an inbound datagram: netio_hook_recvfrom() has recvbatch.c receive many at a time and hands
 * out one after the other; when there are no more, nothing_received() flushes what toxcore's callbacks
 * gathered. Those of an outbound one: netio_hook_sendto() puts it into a batch (sendbatch.c), which
 * netio_leave() or netio_flush() sends. */
#define _GNU_SOURCE
#include "boxhook.h"
#include "detour.h"
#include "doors.h"
#include "inject.h"
#include "kernel.h"
#include "owner.h"
#include "recvbatch.h"
#include "sendbatch.h"
#include "shield.h"

#include <errno.h>
#include <netinet/in.h>
#include <string.h>

enum {
    TURN = 512, /* datagrams received per turn: about 2 ms of work, then others get their turn */
};

static bool overhears;

static void asking(const uint8_t *text) {
    if (current)
        overheard_asking(&current->overheard, text);
}

static void announcing(const uint8_t *text) {
    if (current)
        announced_making(&current->announced, text);
}

void netio_overhear(void) {
    overhears = true;
    boxhook_on_sealing(ANNOUNCED_TEXT_BYTES, announcing);
    boxhook_on_sealing(OVERHEARD_REQUEST_BYTES, asking);
}

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
    struct entry *entry = entry_adopt(owner, fd, DATAGRAM);
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
    entry_flush(entry);
    entry_remove(entry);
}

ssize_t netio_hook_sendto(int fd, const void *data, size_t length, int flags, const struct sockaddr *to,
                          socklen_t to_length) {
    struct entry *entry = find(fd);
    if (entry && entry->owner->roll.calling)
        return (ssize_t)length;
    struct detours *detours = entry ? entry->owner->detours : NULL;
    const int detour = detour_slot(detours, to, to_length);
    if (entry) {
        overheard_sent(&entry->owner->overheard, data, length, to);
        announced_sent(&entry->owner->announced, fd, data, length, to, to_length);
    }
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
    struct sockaddr_in6 outside;
    if (entry && entry->owner->batching && nat64_outside(&entry->owner->nat64, to, &outside)) {
        to = (const void *)&outside;
        to_length = sizeof outside;
    }
    if (!entry || !entry->out)
        return sendto(door ? door->fd : fd, data, length, flags, to, to_length);
    ssize_t sent = sendbatch_put(entry->out, data, length, flags, to, to_length);
    if (sent >= 0 && entry->owner != current) /* outside a turn nothing else would flush it */
        sendbatch_flush(entry->out);
    return sent;
}

struct announced *netio_announced(netio_owner *owner) { return &owner->announced; }

size_t netio_announce_again(netio_owner *owner) {
    const int64_t now_ns = netio_now_ns();
    size_t count = 0;
    owner->announced.making = false;
    for (const struct announcement *one = NULL; (one = announced_next(&owner->announced, one, now_ns));) {
        const struct entry *entry = find(one->fd);
        if (entry && entry->owner == owner && entry->datagram)
            count += netio_hook_sendto(one->fd, one->datagram, one->length, 0, (const void *)&one->to,
                                       one->to_length) > 0;
    }
    return count;
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

/* Whether the current turn has received enough. Asked only when every received datagram was handed out. While there are
 * doors, the next one in turns may well be empty when another socket is full. */
static bool turn_over(netio_owner *owner) {
    if (owner->turn < TURN)
        return false;
    for (struct entry *entry = owner->entries; entry; entry = entry->next)
        if (entry->in)
            recvbatch_turn_over(entry->in);
    netio_counters.turns_cut += !owner->turn_cut;
    owner->turn_cut = true;
    return true;
}

/* The length that libtoxcore sees: 0 for a datagram that would crash it, as it ignores an empty one. A flood
 * of those costs what it would without a shield, and ends a turn as others do. */
static ssize_t shielded(const void *data, ssize_t length) {
    if (!netio_installed.shield || length < 0 || !shield_refuses(data, (size_t)length))
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
    ssize_t length = entry->in ? recvbatch_take(entry->in, out, room, flags, from, from_length)
                               : recvfrom(entry->fd, out, room, flags, from, from_length);
    if (length >= 0 && from_length)
        nat64_inside(&entry->owner->nat64, from);
    return length;
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
    if (!left && entry->owner == current && turn_over(current))
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
