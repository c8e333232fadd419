#define _GNU_SOURCE
#include "streambuf.h"
#include "kernel.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

enum {
    LARGEST_PACKET = 2 + 2048, /* its length, and the most that libtoxcore puts into one */
    ROOM_BYTES = 256 << 10,
    TURN_BYTES = 512 << 10,    /* about 2 ms of work, then others get their turn */
    FULL_BYTES = 64 << 10,     /* sent at once: the most that the kernel puts into one packet of its own */
    WAITING_BYTES = 128 << 10, /* a turn of a relay's packets; more would only add delay */
    SMALLEST_BYTES = 4 << 10,
    SMALL_PACKET_BYTES = 512, /* a kernel counts about as much for whatever it receives */
    FIRST_PACKETS = 64,
};

/* Bytes from `start` on; `data` is NULL when there are none. */
struct bytes {
    uint8_t *data;
    size_t start, length, room;
};

/* The lengths of packets in a row. */
struct packets {
    uint32_t *lengths;
    size_t start, count, room;
};

struct streambuf {
    int fd;
    int error; /* of the kernel, for what was taken already: the next write fails with it */
    uint32_t turn;
    size_t turn_bytes; /* received in this turn */
    bool drained;      /* in this turn the kernel had no more */
    struct streamroom *shared;
    struct bytes in; /* in the shared room, or set aside */
    struct bytes out;
    struct packets waiting; /* in `out`; the first one may be sent in part */
    int64_t room;           /* the other side has taken on to receive at least so many bytes more */
    bool held;              /* more waits, but the other side has no room for the next packet */
};

static void release(struct bytes *bytes) {
    free(bytes->data);
    *bytes = (struct bytes){0};
}

/* -- in ------------------------------------------------------------------------------------------ */

/* Sets aside what the stream that has the shared room has left there: less than a packet, as libtoxcore reads
 * one connection until nothing is left. Without memory the stream ends, as a gap would end it. */
static void set_aside(struct streambuf *stream) {
    struct bytes *in = &stream->in;
    uint8_t *copy = in->length ? malloc(in->length) : NULL;
    if (copy)
        memcpy(copy, in->data + in->start, in->length);
    else if (in->length)
        shutdown(stream->fd, SHUT_RDWR);
    *in = (struct bytes){copy, 0, copy ? in->length : 0, in->length};
    stream->shared->holder = NULL;
}

/* Moves what the stream has to the beginning of the shared room. False: out of memory. */
static bool take_room(struct streambuf *stream) {
    struct streamroom *shared = stream->shared;
    struct bytes *in = &stream->in;
    if (!shared->data && !(shared->data = malloc(ROOM_BYTES)))
        return false;
    if (shared->holder && shared->holder != stream)
        set_aside(shared->holder);
    if (in->length)
        memmove(shared->data, in->data + in->start, in->length);
    if (shared->holder != stream)
        free(in->data);
    *in = (struct bytes){shared->data, 0, in->length, ROOM_BYTES};
    shared->holder = stream;
    return true;
}

static void receive(struct streambuf *stream) {
    struct bytes *in = &stream->in;
    if (!take_room(stream))
        return;
    size_t room = in->room - in->length;
    netio_counters.stream_receive_calls++;
    ssize_t length = netio_kernel.recv(stream->fd, in->data + in->length, room, MSG_DONTWAIT);
    stream->drained = length < (ssize_t)room;
    if (length <= 0)
        return;
    netio_counters.stream_received += (uint64_t)length;
    in->length += (size_t)length;
    stream->turn_bytes += (size_t)length;
}

size_t streambuf_readable(struct streambuf *stream, uint32_t turn, bool *cut) {
    if (turn == 0 || turn != stream->turn) {
        stream->turn = turn;
        stream->turn_bytes = 0;
        stream->drained = false;
    }
    if (stream->in.length >= LARGEST_PACKET || stream->drained)
        return stream->in.length;
    if (stream->turn_bytes >= TURN_BYTES)
        *cut = true;
    else
        receive(stream);
    return stream->in.length;
}

ssize_t streambuf_read(struct streambuf *stream, void *out, size_t room, int flags) {
    struct bytes *in = &stream->in;
    if (in->length == 0)
        return netio_kernel.recv(stream->fd, out, room, flags);
    size_t length = in->length < room ? in->length : room;
    memcpy(out, in->data + in->start, length);
    in->start += length;
    in->length -= length;
    return (ssize_t)length;
}

/* -- out ----------------------------------------------------------------------------------------- */

static bool note_packet(struct packets *packets, size_t length) {
    if (packets->start + packets->count == packets->room) {
        size_t room = packets->count < packets->room / 2 ? packets->room : 2 * packets->room + FIRST_PACKETS;
        uint32_t *lengths = realloc(packets->lengths, room * sizeof *lengths);
        if (!lengths)
            return false;
        memmove(lengths, lengths + packets->start, packets->count * sizeof *lengths);
        *packets = (struct packets){lengths, 0, packets->count, room};
    }
    packets->lengths[packets->start + packets->count++] = (uint32_t)length;
    return true;
}

static void packets_sent(struct packets *packets, size_t bytes) {
    while (bytes) {
        uint32_t *first = &packets->lengths[packets->start];
        uint32_t part = bytes < *first ? (uint32_t)bytes : *first;
        *first -= part;
        bytes -= part;
        if (*first == 0) {
            packets->start++;
            packets->count--;
        }
    }
}

/* How many bytes the packets have that fit into the room as a whole, from the first one on. */
static size_t fitting(const struct packets *packets, int64_t room) {
    size_t bytes = 0;
    for (size_t i = packets->start; i < packets->start + packets->count; i++) {
        if ((int64_t)(bytes + packets->lengths[i]) > room)
            break;
        bytes += packets->lengths[i];
    }
    return bytes;
}

/* Many small packets take more of the other side's memory than of the window that it has announced, so that
 * its kernel has to drop some; what is sent again is cut anywhere. A quarter of the window hardly gets there. */
static bool small_packets(const struct streambuf *stream) {
    return stream->out.length < stream->waiting.count * SMALL_PACKET_BYTES;
}

/* A packet that is larger than a quarter goes alone, when all before it has arrived: a window may stay that small. */
static size_t alone(const struct streambuf *stream) {
    const size_t first = stream->waiting.lengths[stream->waiting.start];
    return netio_kernel.queued(stream->fd) == 0 && (int64_t)first <= netio_kernel.window(stream->fd, 1)
               ? first
               : 0;
}

/* How much may be sent now: all that waits, or the packets that the other side has room for. */
static size_t sendable(struct streambuf *stream) {
    const bool small = small_packets(stream);
    if (small || (int64_t)stream->out.length > stream->room)
        stream->room = netio_kernel.window(stream->fd, small ? 4 : 1);
    if ((int64_t)stream->out.length <= stream->room)
        return stream->out.length;
    const size_t bytes = fitting(&stream->waiting, stream->room);
    return bytes || !small ? bytes : alone(stream);
}

void streambuf_flush(struct streambuf *stream) {
    struct bytes *out = &stream->out;
    size_t length;
    stream->held = false;
    while (out->length) {
        stream->held = (length = sendable(stream)) == 0;
        if (stream->held)
            return;
        netio_counters.stream_send_calls++;
        ssize_t sent =
            netio_kernel.send(stream->fd, out->data + out->start, length, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (sent < 0 && errno == EINTR)
            continue;
        if (sent < 0 && errno == EAGAIN)
            return;
        if (sent < 0) { /* the connection is no more */
            stream->error = errno;
            break;
        }
        netio_counters.stream_sent += (uint64_t)sent;
        out->start += (size_t)sent;
        out->length -= (size_t)sent;
        stream->room -= sent;
        packets_sent(&stream->waiting, (size_t)sent);
    }
    release(out);
    stream->waiting.start = stream->waiting.count = 0;
}

bool streambuf_held(const struct streambuf *stream) { return stream->held; }

/* Makes room for `length` more bytes. */
static bool grow(struct bytes *out, size_t length) {
    if (out->start + out->length + length <= out->room)
        return true;
    if (out->start)
        memmove(out->data, out->data + out->start, out->length);
    out->start = 0;
    size_t room = out->room ? out->room : SMALLEST_BYTES;
    while (room < out->length + length)
        room *= 2;
    uint8_t *data = room > out->room ? realloc(out->data, room) : out->data;
    if (!data)
        return false;
    out->data = data;
    out->room = room;
    return true;
}

ssize_t streambuf_write(struct streambuf *stream, const void *data, size_t length) {
    struct bytes *out = &stream->out;
    if (out->length >= FULL_BYTES)
        streambuf_flush(stream);
    if (stream->error) { /* also of just now: after what is lost, nothing may follow */
        errno = stream->error;
        return -1;
    }
    if (out->length + length > WAITING_BYTES || !grow(out, length) ||
        !note_packet(&stream->waiting, length)) {
        netio_counters.stream_refused++;
        errno = EAGAIN;
        return -1;
    }
    memcpy(out->data + out->start + out->length, data, length);
    out->length += length;
    return (ssize_t)length;
}

/* -- */

void streamroom_free(struct streamroom *room) { free(room->data); }

struct streambuf *streambuf_new(int fd, struct streamroom *room) {
    struct streambuf *stream = calloc(1, sizeof *stream);
    if (stream) {
        stream->fd = fd;
        stream->shared = room;
    }
    return stream;
}

void streambuf_free(struct streambuf *stream) {
    if (!stream)
        return;
    if (stream->shared->holder == stream)
        stream->shared->holder = NULL;
    else
        free(stream->in.data);
    free(stream->out.data);
    free(stream->waiting.lengths);
    free(stream);
}
