/* Faults in the way that its argument says. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int main(int argc, char **argv) {
    const char *how = argc > 1 ? argv[1] : "";
    printf("about to fault: %s\n", how);
    fflush(stdout);
    if (!strcmp(how, "null"))
        *(volatile int *)0 = 1;
    if (!strcmp(how, "text"))
        *(volatile char *)&main = 1;
    if (!strcmp(how, "stack"))
        ((void (*)(void))memcpy((char[16]){0}, "\xc3", 1))();
    if (!strcmp(how, "invalid"))
        __asm__ volatile("ud2");
    if (!strcmp(how, "divide"))
        __asm__ volatile("xor %%ecx, %%ecx; div %%ecx" ::: "eax", "ecx", "edx");
    if (!strcmp(how, "privileged"))
        __asm__ volatile("cli");
    if (!strcmp(how, "kernel"))
        *(volatile char *)0xffffffff80100000 = 1;
    if (!strcmp(how, "abort"))
        abort();
    if (!strcmp(how, "jump")) /* to an address of the kernel, in ring 0 */
        ((void (*)(void *))strtoull(argv[2], 0, 0))((void *)1);
    if (!strcmp(how, "overflow")) /* the same, at the very end of the first thread's kernel stack */
        __asm__ volatile("mov %0, %%rsp; mov $1, %%edi; jmp *%1" ::"r"(0xffffc00000001008), "r"(strtoull(argv[2], 0, 0)));
    return 0;
}
