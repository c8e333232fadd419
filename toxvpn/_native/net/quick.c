#include "quick.h"
#include "boxhook.h"
#include "kernel.h"

#include <string.h>

enum {
    LEAST_NUMBER = 16,      /* smaller ones are for the relay itself */
    LENGTH_AND_TAG = 2 + 16 /* what a relay's packet has besides its text */
};

static bool for_friend(const struct boxhook_sealed *text, size_t length) {
    return text->length && length == text->length + LENGTH_AND_TAG && text->first >= LEAST_NUMBER;
}

/* The same packet again, for the next relay: the number differs, the rest does not. */
static bool is_same(const struct roll *roll, const struct standing *standing,
                    const struct boxhook_sealed *text) {
    if (roll->length != text->length || memcmp(roll->tail, text->last, QUICK_TAIL) != 0)
        return false;
    for (size_t i = 0; i < roll->count; i++)
        if (roll->refusals[i].by == standing) /* it has been round */
            return false;
    return true;
}

static void settle(struct roll *roll, bool passed_over) {
    const int64_t until_ns = passed_over ? netio_now_ns() + QUICK_HOLDS_S * INT64_C(1000000000) : 0;
    for (size_t i = 0; i < roll->count; i++) {
        const struct refusal *each = &roll->refusals[i];
        each->by->passed_over_ns[each->friend] = each->by->quick ? 0 : until_ns;
        each->by->carries[each->friend] = passed_over && each->by->quick;
    }
    roll->count = 0;
}

static void end_packet(struct roll *roll) {
    if (!roll->offered && !roll->calling) /* no quick relay is left for that friend */
        settle(roll, false);
    roll->count = 0;
    roll->offered = false;
}

static bool is_passed_over(const struct standing *standing, uint8_t friend) {
    const int64_t until_ns = standing->passed_over_ns[friend];
    return until_ns && netio_now_ns() < until_ns;
}

static void next_packet(struct roll *roll, const struct boxhook_sealed *text) {
    end_packet(roll);
    roll->length = text->length;
    memcpy(roll->tail, text->last, QUICK_TAIL);
}

bool quick_refuses(struct roll *roll, struct standing *standing, size_t length) {
    const struct boxhook_sealed text = boxhook_sealed;
    boxhook_sealed.length = 0; /* what is not encrypted now was, when it was first sent */
    if (!for_friend(&text, length))
        return false;
    if (!is_same(roll, standing, &text))
        next_packet(roll, &text);
    if (!roll->calling) {
        roll->offered |= standing->carries[text.first];
        if (!is_passed_over(standing, text.first))
            return false;
    }
    if (roll->count < QUICK_RELAYS)
        roll->refusals[roll->count++] = (struct refusal){standing, text.first};
    return true;
}

void quick_begin_call(struct roll *roll) {
    end_packet(roll);
    roll->calling = true;
}

bool quick_end_call(struct roll *roll) {
    bool any = false;
    for (size_t i = 0; i < roll->count; i++)
        any |= roll->refusals[i].by->quick;
    settle(roll, any);
    roll->calling = false;
    return any;
}

void quick_forget(struct roll *roll, const struct standing *standing) {
    for (size_t i = 0; i < roll->count; i++)
        if (roll->refusals[i].by == standing)
            roll->count = 0;
}
