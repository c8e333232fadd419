/* The clock that libtoxcore reads: an owner's can run faster, or be put forward. */
#define _GNU_SOURCE
#include "kernel.h"
#include "owner.h"

enum {
    FASTEST = 100,      /* more than 4 gains nothing; 100 keeps the arithmetic far from overflow */
    LONGEST_STEP_S = 1, /* toxcore's shortest time-outs are some seconds */
    LONGEST_JUMP_S = 60,
};

static int64_t own_ns(const netio_owner *owner, int64_t real_ns) {
    int64_t elapsed = real_ns - owner->real_ns;
    return owner->own_ns + (owner->rate == 1.0 ? elapsed : (int64_t)((double)elapsed * owner->rate));
}

void netio_set_clock_rate(netio_owner *owner, double rate) {
    if (!(rate > 0 && rate <= FASTEST))
        return;
    int64_t now = netio_now_ns();
    owner->own_ns = own_ns(owner, now);
    owner->real_ns = now;
    owner->rate = rate;
}

/* What the owner's clock shows now. */
static int64_t shown_ns(const netio_owner *owner) {
    int64_t now = own_ns(owner, netio_now_ns());
    return now > owner->stepped_ns ? now : owner->stepped_ns;
}

void netio_step_clock(netio_owner *owner, double step_s) {
    if (!(step_s > 0 && step_s <= LONGEST_STEP_S))
        return;
    int64_t stepped_ns = own_ns(owner, netio_now_ns()) + (int64_t)(step_s * 1e9);
    if (stepped_ns > owner->stepped_ns)
        owner->stepped_ns = stepped_ns;
}

void netio_jump_clock(netio_owner *owner, double jump_s) {
    if (!(jump_s > 0 && jump_s <= LONGEST_JUMP_S))
        return;
    netio_set_clock_rate(owner, owner->rate);
    owner->own_ns += (int64_t)(jump_s * 1e9);
}

double netio_passed_s(netio_owner *owner) {
    struct timespec time;
    netio_kernel.clock_gettime(CLOCK_BOOTTIME, &time);
    int64_t now = time.tv_sec * INT64_C(1000000000) + time.tv_nsec;
    int64_t before = owner->passed_ns ? owner->passed_ns : now;
    owner->passed_ns = now;
    return (double)(now - before) / 1e9;
}

int netio_hook_clock_gettime(clockid_t clock, struct timespec *out) {
    if (clock != CLOCK_MONOTONIC || !current)
        return netio_kernel.clock_gettime(clock, out);
    int64_t now = shown_ns(current);
    out->tv_sec = now / 1000000000;
    out->tv_nsec = now % 1000000000;
    return 0;
}
