/* Clocks and timers in every way that a program meets them. */
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/timerfd.h>
#include <sys/times.h>
#include <time.h>
#include <unistd.h>

static void say(const char *what, int ok) {
    printf("%s: %s\n", what, ok ? "ok" : "WRONG");
    fflush(stdout);
}

static int64_t now(clockid_t clock) {
    struct timespec t = {0, 0};
    clock_gettime(clock, &t);
    return t.tv_sec * 1000000000L + t.tv_nsec;
}

static int64_t asked(clockid_t clock) { /* the system call */
    struct timespec t = {0, 0};
    syscall(SYS_clock_gettime, clock, &t);
    return t.tv_sec * 1000000000L + t.tv_nsec;
}

static volatile sig_atomic_t count, value, spun;
static void counting(int signal) {
    (void)signal;
    count++;
}
static void telling(int signal, siginfo_t *info, void *context) {
    (void)signal;
    (void)context;
    count++;
    value = info->si_code == SI_TIMER ? info->si_value.sival_int : -1;
}

static void burn(int64_t nanoseconds) {
    int64_t start = now(CLOCK_MONOTONIC);
    while (now(CLOCK_MONOTONIC) - start < nanoseconds)
        spun++;
}

int main(void) {
    const int64_t ms = 1000000;
    say("vDSO", getauxval(AT_SYSINFO_EHDR) != 0);
    int64_t a = asked(CLOCK_MONOTONIC), b = now(CLOCK_MONOTONIC), c = asked(CLOCK_MONOTONIC);
    say("both ways agree", a <= b && b <= c && c - a < 1000 * ms);
    a = asked(CLOCK_REALTIME), b = now(CLOCK_REALTIME), c = asked(CLOCK_REALTIME);
    say("on the time of day too", a <= b && b <= c && c - a < 1000 * ms && a > 1600000000L * 1000 * ms);
    struct timeval tv;
    gettimeofday(&tv, 0);
    say("gettimeofday", labs(tv.tv_sec * 1000000000L + tv.tv_usec * 1000 - now(CLOCK_REALTIME)) < 500 * ms);
    say("time", labs(time(0) - now(CLOCK_REALTIME) / 1000000000L) <= 1);
    struct timespec t;
    say("no such clock", clock_gettime(77, &t) == -1 && errno == EINVAL);

    a = now(CLOCK_MONOTONIC);
    usleep(30000);
    b = now(CLOCK_MONOTONIC) - a;
    say("sleep", b >= 30 * ms && b < 3000 * ms);
    int64_t cpu = now(CLOCK_PROCESS_CPUTIME_ID);
    usleep(100000);
    cpu = now(CLOCK_PROCESS_CPUTIME_ID) - cpu;
    say("sleep takes no processor time", cpu >= 0 && cpu < 50 * ms);
    cpu = now(CLOCK_THREAD_CPUTIME_ID);
    burn(30 * ms);
    cpu = now(CLOCK_THREAD_CPUTIME_ID) - cpu;
    say("work does", cpu > 10 * ms);
    clockid_t own;
    say("a thread's clock", pthread_getcpuclockid(pthread_self(), &own) == 0 && now(own) > 0);
    struct rusage usage;
    struct tms tms;
    say("getrusage", getrusage(RUSAGE_SELF, &usage) == 0 && usage.ru_utime.tv_sec + usage.ru_utime.tv_usec > 0 && usage.ru_maxrss > 0);
    say("times", times(&tms) != (clock_t)-1 && tms.tms_utime > 0);

    int fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC);
    struct itimerspec spec = {{0, 10 * ms}, {0, 20 * ms}}, left;
    a = now(CLOCK_MONOTONIC);
    say("timerfd", fd >= 0 && timerfd_settime(fd, 0, &spec, 0) == 0);
    uint64_t times = 0;
    say("first time", read(fd, &times, 8) == 8 && times >= 1 && now(CLOCK_MONOTONIC) - a >= 20 * ms);
    usleep(55000);
    say("times since", read(fd, &times, 8) == 8 && times >= 4);
    say("timerfd_gettime", timerfd_gettime(fd, &left) == 0 && left.it_interval.tv_nsec == 10 * ms && left.it_value.tv_nsec > 0 && left.it_value.tv_nsec <= 10 * ms);
    struct timespec soon;
    clock_gettime(CLOCK_REALTIME, &soon);
    soon.tv_nsec += 200 * ms;
    soon.tv_sec += soon.tv_nsec / 1000000000;
    soon.tv_nsec %= 1000000000;
    int fd2 = timerfd_create(CLOCK_REALTIME, TFD_NONBLOCK);
    struct itimerspec absolute = {{0, 0}, soon};
    timerfd_settime(fd2, TFD_TIMER_ABSTIME, &absolute, 0);
    say("not yet", read(fd2, &times, 8) == -1 && errno == EAGAIN);
    usleep(250000);
    say("absolute", read(fd2, &times, 8) == 8 && times == 1);
    close(fd);
    close(fd2);

    signal(SIGALRM, counting);
    struct itimerval it = {{0, 10000}, {0, 10000}}, old;
    setitimer(ITIMER_REAL, &it, 0);
    while (count < 3)
        pause();
    say("setitimer", count >= 3);
    int before = count;
    burn(50 * ms);
    say("while it computes", count > before);
    say("getitimer", getitimer(ITIMER_REAL, &old) == 0 && old.it_interval.tv_usec == 10000);
    memset(&it, 0, sizeof it);
    setitimer(ITIMER_REAL, &it, 0);
    count = 0;
    usleep(30000);
    say("unset", count == 0);
    say("alarm", alarm(10) == 0 && alarm(0) == 10);
    signal(SIGPROF, counting);
    it.it_value.tv_usec = 100000;
    setitimer(ITIMER_PROF, &it, 0);
    usleep(50000);
    before = count;
    burn(400 * ms);
    say("ITIMER_PROF counts processor time", before == 0 && count == 1);

    struct sigaction action = {.sa_sigaction = telling, .sa_flags = SA_SIGINFO};
    sigaction(SIGRTMIN, &action, 0);
    struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGRTMIN, .sigev_value.sival_int = 77};
    timer_t timer;
    count = 0;
    say("timer_create", timer_create(CLOCK_MONOTONIC, &event, &timer) == 0);
    struct itimerspec once = {{0, 0}, {0, 10 * ms}};
    timer_settime(timer, 0, &once, 0);
    struct timespec second = {1, 0}, rest;
    say("its signal", nanosleep(&second, &rest) == -1 && errno == EINTR && count == 1 && value == 77);
    say("it is over", timer_gettime(timer, &left) == 0 && left.it_value.tv_nsec == 0);
    say("timer_delete", timer_delete(timer) == 0 && syscall(SYS_timer_delete, 5) == -1 && errno == EINVAL);
    printf("the end\n");
    return 0;
}
