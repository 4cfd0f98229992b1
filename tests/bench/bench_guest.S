/* SPDX-License-Identifier: Apache-2.0 */
/* The counter guest with a past: fills its memory (MIB of it) with pages that are not empty, then
 * counts 100 times a second and changes DIRTY pages each time, in turns those of the first SET MiB.
 * as --32 --defsym MIB=1024 --defsym DIRTY=0 --defsym SET=1024 */
.code16
.text
.globl _start
_start: cli
 xor %ax,%ax; mov %ax,%ds; mov %ax,%ss; mov $0x7000,%sp
 movw $isr,0x20; movw $0xf000,0x22
 in $0x92,%al; or $2,%al; out %al,$0x92
 lgdtl %cs:gdtr                        /* flat data in %fs, kept over the way back to real mode */
 mov %cr0,%eax; or $1,%al; mov %eax,%cr0
 jmp 1f
1: mov $8,%bx; mov %bx,%fs
 and $0xfe,%al; mov %eax,%cr0
 ljmp $0xf000,$2f
2: mov $0x200000,%edi
3: mov %edi,%fs:(%edi)
 add $0x1000,%edi
 cmp $(MIB*0x100000),%edi
 jb 3b
 mov $0x11,%al; out %al,$0x20; mov $0x08,%al; out %al,$0x21; mov $0x04,%al; out %al,$0x21
 mov $0x01,%al; out %al,$0x21; mov $0xfe,%al; out %al,$0x21
 mov $0x34,%al; out %al,$0x43; mov $0x9c,%al; out %al,$0x40; mov $0x2e,%al; out %al,$0x40
 movl $0,0x500
 mov $0x200000,%edi
 sti
1: hlt
 incl 0x500
 mov 0x500,%edx; mov $8,%cx
2: rol $4,%edx; mov %dl,%al; and $15,%al; add $'0',%al; cmp $'9',%al; jbe 3f; add $7,%al
3: call putc; loop 2b
 mov $10,%al; call putc
 mov $DIRTY,%cx
 jcxz 1b
4: incl %fs:(%edi)
 add $0x1000,%edi
 cmp $(SET*0x100000),%edi
 jb 5f
 mov $0x200000,%edi
5: loop 4b
 jmp 1b
putc: push %ax; push %dx; push %cx; mov $0x3fd,%dx; mov $0xff,%cx
5: in %dx,%al; test $0x20,%al; jnz 6f; loop 5b
6: pop %cx; pop %dx; pop %ax; push %dx; mov $0x3f8,%dx; out %al,%dx; pop %dx; ret
isr: push %ax; mov $0x20,%al; out %al,$0x20; pop %ax; iret
.balign 8
gdt: .quad 0
 .quad 0x00cf92000000ffff
gdtr: .word 15
 .long gdt+0xf0000
.org 0xfff0
 ljmp $0xf000,$_start
.org 0x10000
