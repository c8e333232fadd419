/* A token bucket: so many at once, then so many per second. */
#ifndef TOXVPN_BUDGET_H
#define TOXVPN_BUDGET_H

#include <stdbool.h>
#include <stdint.h>
#include <time.h>

/* All zero: full. */
struct budget {
    double tokens;
    uint64_t at_ms;
};

/* Whether one more is within the budget now. */
static inline bool budget_take(struct budget *budget, unsigned per_second, unsigned at_once) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    uint64_t now_ms = (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
    budget->tokens += (double)(now_ms - budget->at_ms) * per_second / 1000;
    if (budget->tokens > at_once || budget->at_ms == 0)
        budget->tokens = at_once;
    budget->at_ms = now_ms;
    if (budget->tokens < 1)
        return false;
    budget->tokens -= 1;
    return true;
}

#endif
