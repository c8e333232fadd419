/* How many of the datagrams of strangers the kernel lets into a socket while there are too many of them.
 *
 * What is dropped in the process has been received first, by a system call for each, and has had room in the kernel's
 * buffer, where everybody else's datagrams wait behind it: a flood costs most where it is refused latest. So once
 * strangers take more than a quarter of the time, a filter of the kernel's (socket(7), SO_ATTACH_FILTER) keeps out
 * all of theirs but a random one in two, four, eight and so on, before they take any room; data of connections it lets
 * pass. As soon as there is time for twice as many, there are twice as many.
 *
 * Where the kernel takes no filter, there is none, and fairshare.h does what it can. One for each socket.
 * Neighbour: recvbatch.c. */
#ifndef TOXVPN_SIEVE_H
#define TOXVPN_SIEVE_H

#include <stdbool.h>
#include <stdint.h>

struct sieve {
    unsigned halvings; /* one of 2^halvings datagrams passes; 0: no filter */
    int64_t began_ns;  /* of the present period */
    int64_t used_ns;   /* the processor time of this thread at that time */
    int64_t spent_ns;  /* on strangers since */
    bool overloaded;   /* more came in than was worked off, at some time since */
    unsigned unseen;   /* how many parts of datagrams of strangers the filter could not see */
};

/* So much processor time was spent on a datagram of a stranger. */
void sieve_spent(struct sieve *sieve, int64_t spent_ns);
/* Whether a new period is to begin: `sieve_next` is worth its system call. */
bool sieve_due(const struct sieve *sieve, int64_t now_ns);
/* Ends a period and begins the next. Returns whether `halvings` has changed. `used_ns` is the processor time that this
 * thread has used until now. */
bool sieve_next(struct sieve *sieve, int64_t now_ns, int64_t used_ns);
/* Whether to let one in that the kernel's filter could not see: as many as it lets in of others. */
bool sieve_admits(struct sieve *sieve);
/* Puts it in force. False: this kernel takes no filter. */
bool sieve_attach(const struct sieve *sieve, int fd);

#endif
