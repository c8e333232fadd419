/* The first sector of a disk: reads the program behind it, switches the processor to 64 bits and its widest registers
 * on, and calls start(). Intel SDM volume 3, sections 2.5, 4.5 and 9.8.5. */
#define PROGRAM 0x10000
#define READ_AT_ONCE 64 /* sectors of 512 bytes */
#define STACK 0x90000
#define TABLES 0x1000 /* three pages, for one of 2 MiB */

    .section .boot, "ax"
    .code16
    .globl _start
_start:
    ljmp $0, $1f
1:  xorw %ax, %ax
    movw %ax, %ds
    movw %ax, %es
    movw %ax, %ss
    movw $0x7000, %sp
    movw $reads, %cx
next:
    movw $packet, %si
    movb $0x42, %ah /* the BIOS reads by sector number, from the disk that dl still says */
    int $0x13
    jc halt
    addw $READ_AT_ONCE * 512 / 16, segment
    addl $READ_AT_ONCE, sector
    loop next

    cli
    movl $TABLES, %edi
    movl %edi, %cr3
    xorl %eax, %eax
    movw $3 * 1024, %cx
    rep stosl
    movl $TABLES + 0x1003, TABLES
    movl $TABLES + 0x2003, TABLES + 0x1000
    movl $0x83, TABLES + 0x2000
    movl $0x40620, %eax /* PAE, OSFXSR, OSXMMEXCPT, OSXSAVE */
    movl %eax, %cr4
    movl $0xc0000080, %ecx /* EFER */
    rdmsr
    orl $0x100, %eax /* LME */
    wrmsr
    lgdt descriptors
    movl $0x80000013, %eax /* PG, ET, MP, PE */
    movl %eax, %cr0
    ljmp $8, $long
halt:
    hlt
    jmp halt

    .code64
long:
    xorl %ecx, %ecx
    xgetbv
    orl $0xe7, %eax /* x87, SSE, AVX, and three for AVX-512 */
    xsetbv
    movl $STACK, %esp
    call start
    jmp halt

    .balign 8
table:
    .quad 0, 0x00209a0000000000 /* 64-bit code */
descriptors:
    .word . - table - 1
    .long table
packet:
    .byte 16, 0
    .word READ_AT_ONCE, 0
segment:
    .word PROGRAM / 16
sector:
    .quad 1
    .org 510
    .word 0xaa55

    .section .note.GNU-stack, "", @progbits
