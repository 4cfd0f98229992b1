/* SPDX-License-Identifier: Apache-2.0 */
/* A guest in 64 KiB of firmware: counts on its serial port 100 times a second, in hexadecimal, and
 * changes 64 pages of memory each time. Of what comes in there, `r` resets it and `s` shuts it down
 * (through the power management of the PIIX4). as --32, ld -m elf_i386 -Ttext 0 --oformat binary. Needs a
 * CPU without APIC: with one the timer interrupt is masked at reset. */
.code16
.text
.globl _start
_start: cli
 xor %ax,%ax; mov %ax,%ds; mov %ax,%ss; mov $0x7000,%sp
 movw $isr,0x20; movw $0xf000,0x22
 mov $0x11,%al; out %al,$0x20; mov $0x08,%al; out %al,$0x21; mov $0x04,%al; out %al,$0x21
 mov $0x01,%al; out %al,$0x21; mov $0xfe,%al; out %al,$0x21
 mov $0x34,%al; out %al,$0x43; mov $0x9c,%al; out %al,$0x40; mov $0x2e,%al; out %al,$0x40
 movl $0,0x500
 sti
1: hlt
 incl 0x500
 mov 0x500,%edx; mov $8,%cx
2: rol $4,%edx; mov %dl,%al; and $15,%al; add $'0',%al; cmp $'9',%al; jbe 3f; add $7,%al
3: call putc; loop 2b
 mov $10,%al; call putc
 mov $0x1000,%bx
4: mov %bx,%es; incw %es:0; add $0x100,%bx; cmp $0x5000,%bx; jb 4b
 mov $0x3fd,%dx; in %dx,%al; test $1,%al; jz 1b
 mov $0x3f8,%dx; in %dx,%al; cmp $'s',%al; je off; cmp $'r',%al; jne 1b
 mov $0xfe,%al; out %al,$0x64
halt: hlt; jmp halt
off: mov $0x80000b40,%eax; mov $0x601,%ebx; call pci
 mov $0x80000b80,%eax; mov $1,%ebx; call pci
 mov $0x604,%dx; mov $0x2000,%ax; out %ax,%dx
 jmp halt
pci: mov $0xcf8,%dx; out %eax,%dx; mov $0xcfc,%dx; mov %ebx,%eax; out %eax,%dx; ret
putc: push %ax; push %dx; push %cx; mov $0x3fd,%dx; mov $0xff,%cx
5: in %dx,%al; test $0x20,%al; jnz 6f; loop 5b
6: pop %cx; pop %dx; pop %ax; push %dx; mov $0x3f8,%dx; out %al,%dx; pop %dx; ret
isr: push %ax; mov $0x20,%al; out %al,$0x20; pop %ax; iret
.org 0xfff0
 ljmp $0xf000,$_start
.org 0x10000
