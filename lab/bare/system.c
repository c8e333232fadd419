/* What a C program without arguments takes of a system, on a bare x86: start() runs its main(), what that prints goes out of
 * the serial port, behind it "exit" and the code, and the emulator ends. */
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

enum { COM1 = 0x3f8, LINE_CONTROL = COM1 + 3, LINE_STATUS = COM1 + 5, BOCHS_SHUTDOWN = 0x8900 };

int main(void);

static void out(uint16_t port, uint8_t byte) { __asm__ volatile("outb %0, %1" : : "a"(byte), "Nd"(port)); }

static uint8_t in(uint16_t port) {
    uint8_t byte;
    __asm__ volatile("inb %1, %0" : "=a"(byte) : "Nd"(port));
    return byte;
}

static void wait_for(uint8_t status) {
    while (!(in(LINE_STATUS) & status))
        continue;
}

static void put(char c) {
    wait_for(0x20); /* room for a byte */
    out(COM1, (uint8_t)c);
}

static void put_number(size_t number) {
    if (number > 9)
        put_number(number / 10);
    put((char)('0' + number % 10));
}

/* %s and %zu. */
int printf(const char *format, ...) {
    va_list values;
    va_start(values, format);
    for (; *format; format++) {
        if (strncmp(format, "%zu", 3) == 0) {
            put_number(va_arg(values, size_t));
            format += 2;
        } else if (strncmp(format, "%s", 2) == 0) {
            for (const char *text = va_arg(values, const char *); *text; text++)
                put(*text);
            format++;
        } else {
            put(*format);
        }
    }
    va_end(values);
    return 0;
}

void start(void) {
    out(LINE_CONTROL, 3); /* bytes of 8 bits */
    printf("exit %zu\n", (size_t)main());
    wait_for(0x40); /* all is out */
    for (const char *text = "Shutdown"; *text; text++)
        out(BOCHS_SHUTDOWN, (uint8_t)*text);
}

int strncmp(const char *a, const char *b, size_t length) {
    for (; length && *a == *b && *a; length--, a++, b++)
        continue;
    return length ? (unsigned char)*a - (unsigned char)*b : 0;
}

int memcmp(const void *a, const void *b, size_t length) {
    const uint8_t *left = a, *right = b;
    for (; length && *left == *right; length--, left++, right++)
        continue;
    return length ? *left - *right : 0;
}

void *memcpy(void *restrict to, const void *restrict from, size_t length) {
    void *start_of_it = to;
    __asm__ volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(length) : : "memory");
    return start_of_it;
}

void *memset(void *to, int byte, size_t length) {
    void *start_of_it = to;
    __asm__ volatile("rep stosb" : "+D"(to), "+c"(length) : "a"(byte) : "memory");
    return start_of_it;
}

void explicit_bzero(void *to, size_t length) { memset(to, 0, length); }
