/* What libtoxcore writes to a TCP connection and reads from it, in few system calls. Neighbour: streamhooks.c.
 *
 * libtoxcore sends each packet to a relay by a call, and receives one by four: how much is there, two bytes of
 * length, how much is there, the packet. Here packets are gathered until the end of the turn, and as much is
 * received at once as the kernel has.
 *
 * A packet is given to the kernel only when the other side has taken on to receive all of it. A stock relay reads
 * whole packets only. If its receive buffer were full with a part of one behind, it would wait for the rest, and its
 * kernel, which frees memory for what was read in large pieces, would not let the rest in: for ever. */
#ifndef TOXVPN_STREAMBUF_H
#define TOXVPN_STREAMBUF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct streambuf;

/* What the streams of one owner share: one of them at a time has what it received in it, zeroed before use. */
struct streamroom {
    uint8_t *data;
    struct streambuf *holder;
};

void streamroom_free(struct streamroom *room);

struct streambuf *streambuf_new(int fd, struct streamroom *room); /* NULL: out of memory, use it plainly */
void streambuf_free(struct streambuf *stream);                    /* NULL is fine */

/* As FIONREAD: how many bytes can be read. Asks the kernel unless a whole packet is here, or it has said in this
 * turn that it has no more. `turn` is the turn's number, 0 outside of turns. Sets `cut` when there may be more, but
 * the turn has had enough of this stream. */
size_t streambuf_readable(struct streambuf *stream, uint32_t turn, bool *cut);
/* As recv(2) of what streambuf_readable() has said; with nothing of that left, recv(2) itself. */
ssize_t streambuf_read(struct streambuf *stream, void *out, size_t room, int flags);

/* As send(2) without flags; success also means "kept for the next flush". All is taken or nothing, EAGAIN when no
 * more may wait. */
ssize_t streambuf_write(struct streambuf *stream, const void *data, size_t length);
void streambuf_flush(struct streambuf *stream);
/* Whether packets wait that the other side has no room for, about which the kernel does not wake anybody. */
bool streambuf_held(const struct streambuf *stream);
#endif
