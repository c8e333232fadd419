#include "sieve.h"
#include "fairshare.h"

#include <linux/filter.h>
#include <netinet/udp.h>
#include <stddef.h>
#include <sys/socket.h>

enum {
    PERIOD_NS = 50 * 1000 * 1000,
    MOST_HALVINGS = 12,
    QUARTER = 4, /* of the time may be spent on strangers */
};

void sieve_spent(struct sieve *sieve, int64_t spent_ns) { sieve->spent_ns += spent_ns; }

bool sieve_due(const struct sieve *sieve, int64_t now_ns) {
    return (sieve->halvings || sieve->overloaded) && now_ns - sieve->began_ns >= PERIOD_NS;
}

/* How often the time that strangers took has to be halved until it is a quarter of all of it at most. */
static unsigned too_much(int64_t spent_ns, int64_t all_ns) {
    unsigned halvings = 0;
    for (; spent_ns > all_ns / QUARTER; spent_ns /= 2)
        halvings++;
    return halvings;
}

/* On a machine that others use as well, a quarter of what this thread gets may be little of the time that passes. What
 * is connected may be too fast for as long as it likes: strangers are let in for all that. */
static unsigned better(const struct sieve *sieve, int64_t passed_ns, int64_t used_ns) {
    const int64_t all_ns = sieve->overloaded ? used_ns : passed_ns;
    if (all_ns < 0) /* the period began in another thread */
        return sieve->halvings;
    const unsigned more = too_much(sieve->spent_ns, all_ns);
    if (more)
        return sieve->halvings + more < MOST_HALVINGS ? sieve->halvings + more : MOST_HALVINGS;
    const bool room = !too_much(2 * sieve->spent_ns, all_ns);
    return sieve->halvings - (sieve->halvings && room);
}

bool sieve_next(struct sieve *sieve, int64_t now_ns, int64_t used_ns) {
    const unsigned before = sieve->halvings;
    sieve->halvings = better(sieve, now_ns - sieve->began_ns, used_ns - sieve->used_ns);
    sieve->began_ns = now_ns;
    sieve->used_ns = used_ns;
    sieve->spent_ns = 0;
    sieve->overloaded = false;
    return sieve->halvings != before;
}

bool sieve_admits(struct sieve *sieve) { return (sieve->unseen++ & ((1U << sieve->halvings) - 1)) == 0; }

/* What the program sees of a datagram begins with its UDP header. */
bool sieve_attach(const struct sieve *sieve, int fd) {
    const int none = 0;
    struct sock_filter program[] = {
        BPF_STMT(BPF_LD | BPF_B | BPF_ABS, sizeof(struct udphdr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, FAIRSHARE_CONNECTED, 3, 0),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, (uint32_t)(SKF_AD_OFF + SKF_AD_RANDOM)),
        BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, (1U << sieve->halvings) - 1, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, 0),
        BPF_STMT(BPF_RET | BPF_K, UINT32_MAX),
    };
    const struct sock_fprog filter = {sizeof program / sizeof *program, program};
    if (sieve->halvings)
        return setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &filter, sizeof filter) == 0;
    return setsockopt(fd, SOL_SOCKET, SO_DETACH_FILTER, &none, sizeof none) == 0;
}
