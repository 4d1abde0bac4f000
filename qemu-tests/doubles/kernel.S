# SPDX-License-Identifier: Apache-2.0
# A "kernel" for boot loader scenarios, entered in 32-bit mode with the boot parameters in ESI (x86 boot protocol): it prints its command
# line on the first serial port and resets the machine, so that a start takes no longer than the boot loader itself.
    .code32
    mov 0x228(%esi), %ebx       # cmd_line_ptr
next:
    mov (%ebx), %al
    test %al, %al
    jz end
    call put
    inc %ebx
    jmp next
end:
    mov $10, %al
    call put
    mov $0xcf9, %dx             # reset control register
    mov $6, %al
    out %al, %dx
stop:
    hlt
    jmp stop
put:
    mov %al, %cl
    mov $0x3fd, %dx             # line status: transmitter empty
wait:
    in %dx, %al
    test $0x20, %al
    jz wait
    mov $0x3f8, %dx
    mov %cl, %al
    out %al, %dx
    ret
