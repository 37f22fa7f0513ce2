/* Signals in every way that a program meets them. Each line of output is one matter; "ok" says that it went as on Linux. */
#define _GNU_SOURCE
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

static void say(const char *what, int ok) {
    printf("%s: %s\n", what, ok ? "ok" : "WRONG");
    fflush(stdout);
}

static volatile sig_atomic_t count, last, code;
static volatile uintptr_t address;
static sigjmp_buf back;

static void counting(int signal) {
    count++;
    last = signal;
}

static void telling(int signal, siginfo_t *info, void *context) {
    (void)context;
    count++;
    last = signal;
    code = info->si_code;
    address = (uintptr_t)info->si_addr;
}

static void jumping(int signal, siginfo_t *info, void *context) {
    telling(signal, info, context);
    siglongjmp(back, 1);
}

static void skipping(int signal, siginfo_t *info, void *context) {
    telling(signal, info, context);
    ((ucontext_t *)context)->uc_mcontext.gregs[REG_RIP] += 2; /* over ud2 */
}

static void set(int signal, void (*handler)(int, siginfo_t *, void *), int flags) {
    struct sigaction action = {.sa_sigaction = handler, .sa_flags = SA_SIGINFO | flags};
    sigaction(signal, &action, 0);
}

static void clobbering(int signal) { /* leaves other values in the vector registers */
    (void)signal;
    __asm__ volatile("xorps %%xmm0, %%xmm0; xorps %%xmm7, %%xmm7; xorps %%xmm15, %%xmm15; fninit" ::: "xmm0", "xmm7", "xmm15");
    count++;
}

static volatile int on_stack;
static char alternate[65536];
static void where(int signal) {
    (void)signal;
    char here;
    on_stack = &here > alternate && &here < alternate + sizeof alternate;
    stack_t now;
    sigaltstack(0, &now);
    if (on_stack && !(now.ss_flags & SS_ONSTACK))
        on_stack = 0;
}

static volatile int depth, deepest, calls;
static void nesting(int signal) {
    if (++depth > deepest)
        deepest = depth;
    if (++calls < 3)
        raise(signal);
    depth--;
}

static int overflow(int n) {
    volatile char big[4096];
    big[0] = (char)n;
    return overflow(n + 1) + big[0];
}

static pthread_t main_thread;
static void *sender(void *delay) {
    usleep((useconds_t)(uintptr_t)delay);
    pthread_kill(main_thread, SIGUSR1);
    return 0;
}

static void *spinner(void *stop) {
    while (!*(volatile int *)stop)
        ;
    return 0;
}

static void *waiter(void *result) {
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    int got = 0;
    sigwait(&set, &got);
    *(int *)result = got;
    return 0;
}

static volatile pid_t noted;

static void noting(int signal) {
    (void)signal;
    noted = syscall(SYS_gettid);
}

/* Sends the process a signal while the first thread waits, and is busy then for a while. */
static void *busy(void *unused) {
    usleep(20000);
    kill(getpid(), SIGUSR2);
    for (volatile int i = 0; i < 1000000; i++) {}
    return unused;
}

int main(void) {
    main_thread = pthread_self();
    sigset_t set_usr1, old, pending;
    sigemptyset(&set_usr1);
    sigaddset(&set_usr1, SIGUSR1);

    signal(SIGUSR1, counting);
    raise(SIGUSR1);
    say("raise", count == 1 && last == SIGUSR1);
    kill(getpid(), SIGUSR1);
    say("kill", count == 2);

    sigprocmask(SIG_BLOCK, &set_usr1, &old);
    raise(SIGUSR1);
    kill(getpid(), SIGUSR1);
    sigpending(&pending);
    say("blocked", count == 2 && sigismember(&pending, SIGUSR1));
    sigset_t none;
    sigemptyset(&none);
    int result = sigsuspend(&none);
    sigpending(&pending);
    say("sigsuspend", result == -1 && errno == EINTR && count == 3 && sigismember(&pending, SIGUSR1));
    sigprocmask(SIG_SETMASK, 0, &pending);
    say("mask after sigsuspend", sigismember(&pending, SIGUSR1));
    sigprocmask(SIG_SETMASK, &old, 0);
    say("delivered once unblocked", count == 4);

    signal(SIGUSR2, SIG_IGN);
    say("ignored", raise(SIGUSR2) == 0);
    say("nobody", kill(4242, 0) == -1 && errno == ESRCH && kill(getpid(), 0) == 0);
    say("no such signal", kill(getpid(), 65) == -1 && errno == EINVAL);

    double kept = 1.5;
    signal(SIGUSR1, clobbering);
    __asm__ volatile("movsd %1, %%xmm7; mov $39, %%eax; " : "=m"(kept) : "m"(kept) : "xmm7", "rax");
    double a = 3.25, b = 0;
    __asm__ volatile("movsd %1, %%xmm7\n movl %2, %%edi\n movl %3, %%esi\n movl $200, %%eax\n syscall\n movsd %%xmm7, %0"
                     : "=m"(b)
                     : "m"(a), "r"((int)syscall(SYS_gettid)), "i"(SIGUSR1)
                     : "rax", "rcx", "r11", "rdi", "rsi", "xmm7", "memory");
    say("vector registers", b == a);

    set(SIGSEGV, jumping, 0);
    if (!sigsetjmp(back, 1))
        *(volatile int *)0x1234 = 1;
    say("SIGSEGV, nothing mapped", last == SIGSEGV && code == SEGV_MAPERR && address == 0x1234);
    void *page = mmap(0, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (!sigsetjmp(back, 1))
        *(volatile int *)page = 1;
    say("SIGSEGV, no right", last == SIGSEGV && code == SEGV_ACCERR && address == (uintptr_t)page);
    if (!sigsetjmp(back, 1))
        __asm__ volatile("int $0x81");
    say("SIGSEGV, privileged", last == SIGSEGV && code == SI_KERNEL);
    set(SIGFPE, jumping, 0);
    if (!sigsetjmp(back, 1))
        __asm__ volatile("xor %%ecx, %%ecx; div %%ecx" ::: "eax", "ecx", "edx");
    say("SIGFPE", last == SIGFPE && code == FPE_INTDIV);
    set(SIGILL, skipping, 0);
    last = 0;
    __asm__ volatile("ud2");
    say("SIGILL, skipped by its handler", last == SIGILL && code == ILL_ILLOPN);
    set(SIGTRAP, telling, 0);
    __asm__ volatile("int3");
    say("SIGTRAP", last == SIGTRAP);

    stack_t stack = {.ss_sp = alternate, .ss_size = sizeof alternate};
    say("sigaltstack", sigaltstack(&stack, 0) == 0);
    struct sigaction action = {.sa_handler = where, .sa_flags = SA_ONSTACK};
    sigaction(SIGUSR1, &action, 0);
    raise(SIGUSR1);
    say("alternate stack", on_stack);
    action.sa_flags = 0;
    sigaction(SIGUSR1, &action, 0);
    raise(SIGUSR1);
    say("own stack", !on_stack);
    set(SIGSEGV, jumping, SA_ONSTACK);
    last = 0;
    if (!sigsetjmp(back, 1))
        overflow(0);
    say("stack overflow caught", last == SIGSEGV);

    action = (struct sigaction){.sa_handler = nesting, .sa_flags = SA_NODEFER};
    sigaction(SIGUSR1, &action, 0);
    raise(SIGUSR1);
    say("SA_NODEFER nests", deepest == 3);
    depth = deepest = calls = 0;
    action.sa_flags = 0;
    sigaction(SIGUSR1, &action, 0);
    raise(SIGUSR1);
    say("without it, not", deepest == 1 && calls == 3);
    action = (struct sigaction){.sa_handler = counting, .sa_flags = SA_RESETHAND};
    sigaction(SIGUSR1, &action, 0);
    raise(SIGUSR1);
    sigaction(SIGUSR1, 0, &action);
    say("SA_RESETHAND", action.sa_handler == SIG_DFL);

    /* A call that waits: ended by a signal, or begun anew. */
    pthread_t thread;
    signal(SIGUSR1, counting); /* SA_RESTART */
    siginterrupt(SIGUSR1, 1);
    pthread_create(&thread, 0, sender, (void *)20000);
    struct timespec long_time = {5, 0}, left = {0, 0};
    result = nanosleep(&long_time, &left);
    pthread_join(thread, 0);
    say("nanosleep interrupted", result == -1 && errno == EINTR && left.tv_sec == 4);
    static int word;
    pthread_create(&thread, 0, sender, (void *)20000);
    result = syscall(SYS_futex, &word, 0, 0, 0);
    pthread_join(thread, 0);
    say("futex interrupted", result == -1 && errno == EINTR);
    siginterrupt(SIGUSR1, 0);
    count = 0;
    pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
    pthread_cond_t condition = PTHREAD_COND_INITIALIZER;
    struct timespec soon;
    clock_gettime(CLOCK_REALTIME, &soon);
    soon.tv_nsec += 60000000;
    soon.tv_sec += soon.tv_nsec / 1000000000;
    soon.tv_nsec %= 1000000000;
    pthread_create(&thread, 0, sender, (void *)20000);
    pthread_mutex_lock(&mutex);
    result = pthread_cond_timedwait(&condition, &mutex, &soon);
    pthread_mutex_unlock(&mutex);
    pthread_join(thread, 0);
    say("condition goes on after a signal", result == ETIMEDOUT && count == 1);

    /* Queued signals keep their order and values. */
    sigset_t set_rt;
    sigemptyset(&set_rt);
    sigaddset(&set_rt, SIGRTMIN + 3);
    sigaddset(&set_rt, SIGUSR2);
    sigprocmask(SIG_BLOCK, &set_rt, 0);
    for (int i = 1; i <= 3; i++)
        sigqueue(getpid(), SIGRTMIN + 3, (union sigval){.sival_int = i * 11});
    siginfo_t info;
    int ordered = 1;
    for (int i = 1; i <= 3; i++) {
        int got = sigwaitinfo(&set_rt, &info);
        ordered &= got == SIGRTMIN + 3 && info.si_value.sival_int == i * 11 && info.si_code == SI_QUEUE;
    }
    say("queued values", ordered);
    struct timespec moment = {0, 20000000};
    result = sigtimedwait(&set_rt, &info, &moment);
    say("sigtimedwait runs out", result == -1 && errno == EAGAIN);

    /* The process' signals go to whoever does not block them. */
    sigset_t all;
    sigfillset(&all);
    int got = 0;
    sigprocmask(SIG_BLOCK, &all, 0);
    pthread_create(&thread, 0, waiter, &got);
    usleep(10000);
    kill(getpid(), SIGTERM);
    pthread_join(thread, 0);
    sigprocmask(SIG_SETMASK, &old, 0);
    say("sigwait in a thread", got == SIGTERM);

    /* When several do not, to the first thread, whose wait ends, and not to the one that runs. */
    action = (struct sigaction){.sa_handler = noting};
    sigaction(SIGUSR2, &action, 0);
    pthread_create(&thread, 0, busy, 0);
    result = poll(0, 0, 10000);
    say("poll of the first thread interrupted", result == -1 && errno == EINTR);
    pthread_join(thread, 0);
    say("the first thread is asked first", noted == getpid());

    /* A thread that never calls the kernel is reached as well. */
    static volatile int stop;
    count = 0;
    pthread_create(&thread, 0, spinner, (void *)&stop);
    usleep(10000);
    pthread_kill(thread, SIGUSR1);
    for (int i = 0; i < 100 && !count; i++)
        usleep(1000);
    stop = 1;
    pthread_join(thread, 0);
    say("spinning thread interrupted", count == 1);

    say("SIGKILL cannot be handled", signal(SIGKILL, counting) == SIG_ERR && errno == EINVAL);
    printf("the end\n");
    fflush(stdout);
    signal(SIGTERM, SIG_DFL);
    kill(getpid(), SIGTERM);
    return 1;
}
