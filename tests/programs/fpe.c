/* Raises arithmetic exceptions and prints what their handler is told; "sse" as an argument adds those of SSE. */
#define _GNU_SOURCE
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <ucontext.h>

static volatile sig_atomic_t count;
static volatile double sink;

static void handler(int number, siginfo_t *info, void *context) {
    ucontext_t *state = context;
    uint16_t control;
    uint32_t mxcsr;
    __asm__ volatile("fnstcw %0" : "=m"(control));
    __asm__ volatile("stmxcsr %0" : "=m"(mxcsr));
    /* The handler computes with nothing left over. */
    sink = (double)count / 3 + (double)((long double)count / 7);
    printf("signal %d, code %d, at the instruction: %d, trap %lld, control %#x, mxcsr %#x\n", number, info->si_code,
           info->si_addr == (void *)state->uc_mcontext.gregs[REG_RIP], (long long)state->uc_mcontext.gregs[REG_TRAPNO], control, mxcsr);
    count++;
    if (state->uc_mcontext.gregs[REG_TRAPNO] == 0)
        state->uc_mcontext.gregs[REG_RIP] += 2; /* the length of the division */
    /* Masked from now on. */
    state->uc_mcontext.fpregs->cwd |= 0x3f;
    state->uc_mcontext.fpregs->swd &= ~0x80bf;
    state->uc_mcontext.fpregs->mxcsr = 0x1f80;
}

static void x87(const char *what, uint16_t unmasked, long double a, long double b) {
    uint16_t control = 0x37f & ~unmasked, after;
    printf("x87 %s: ", what);
    fflush(stdout);
    __asm__ volatile("fninit; fldcw %1; fldt %2; fldt %3; fdivrp; fwait; fstp %%st(0); fnstcw %0"
                     : "=m"(after)
                     : "m"(control), "m"(a), "m"(b));
    printf("  went on with %#x\n", after);
    __asm__ volatile("fninit");
}

static void sse(const char *what, uint32_t unmasked, double a, double b) {
    uint32_t control = 0x1f80 & ~(unmasked << 7), after, initial = 0x1f80;
    printf("SSE %s: ", what);
    fflush(stdout);
    __asm__ volatile("ldmxcsr %1; divsd %3, %2; stmxcsr %0; ldmxcsr %4" : "=m"(after) : "m"(control), "x"(a), "x"(b), "m"(initial));
    printf("  went on with %#x\n", after);
}

int main(int argc, char **argv) {
    struct sigaction action = {.sa_sigaction = handler, .sa_flags = SA_SIGINFO};
    sigaction(SIGFPE, &action, 0);
    printf("divided by zero: ");
    fflush(stdout);
    __asm__ volatile("xor %%ecx, %%ecx; xor %%edx, %%edx; mov $1, %%eax; idiv %%ecx" ::: "eax", "ecx", "edx");
    printf("too large a quotient: ");
    fflush(stdout);
    __asm__ volatile("mov $-1, %%ecx; mov $0x80000000, %%eax; cltd; idiv %%ecx" ::: "eax", "ecx", "edx");
    x87("division by zero", 4, 1, 0);
    x87("invalid", 1, 0, 0);
    x87("overflow", 8, 0x1p16000L, 0x1p-16000L);
    x87("underflow", 16, 0x1p-16000L, 0x1p16000L);
    x87("inexact", 32, 1, 3);
    x87("none of these", 0, 1, 0);
    if (argc > 1 && !strcmp(argv[1], "sse")) {
        sse("division by zero", 4, 1, 0);
        sse("invalid", 1, 0, 0);
        sse("overflow", 8, 0x1p1000, 0x1p-1000);
        sse("underflow", 16, 0x1p-1000, 0x1p1000);
        sse("inexact", 32, 1, 3);
        sse("denormal", 2, 0x1p-1070, 3);
        sse("none of these", 0, 1, 0);
    }
    printf("%d signals\n", count);
    return 0;
}
