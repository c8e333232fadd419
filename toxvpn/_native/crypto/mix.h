/* What hides a text in a key stream, and shows it again: to[i] = from[i] ^ stream[i] for `length` bytes. `to` may be
 * `from`; none is aligned. A file that defines WIDTH (bytes of a vector), TARGET and NAME gets the function NAME. */
#include <stddef.h>
#include <stdint.h>

TARGET static void NAME(uint8_t *to, const uint8_t *from, const uint8_t *stream, size_t length) {
    typedef uint64_t chunk __attribute__((vector_size(WIDTH), aligned(1), may_alias));
    size_t i = 0;
    for (; i + sizeof(chunk) <= length; i += sizeof(chunk))
        *(chunk *)(to + i) = *(const chunk *)(from + i) ^ *(const chunk *)(stream + i);
    for (; i < length; i++)
        to[i] = from[i] ^ stream[i];
}

#undef NAME
#undef TARGET
#undef WIDTH
