/* Threads, locks, and what a process may ask about itself. */
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* linux/futex.h, linux/membarrier.h: musl comes without */
#define FUTEX_WAIT 0
#define FUTEX_WAKE 1
#define FUTEX_WAKE_OP 5
#define ADD_AND_IF_EQUAL(operand, compared) (1 << 28 | (operand) << 12 | (compared))
#define MEMBARRIER_CMD_QUERY 0
#define MEMBARRIER_CMD_GLOBAL 1

static void say(const char *what, int ok) {
    printf("%s: %s\n", what, ok ? "ok" : "WRONG");
    fflush(stdout);
}

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER, robust;
static pthread_cond_t condition = PTHREAD_COND_INITIALIZER;
static long total;
static int turn;

static void *adding(void *n) {
    for (int i = 0; i < 1000; i++) {
        pthread_mutex_lock(&mutex);
        total += (intptr_t)n;
        pthread_mutex_unlock(&mutex);
        if (i % 100 == 0)
            sched_yield();
    }
    return n;
}

static void *playing(void *side) {
    for (int i = 0; i < 500; i++) {
        pthread_mutex_lock(&mutex);
        while (turn != (int)(intptr_t)side)
            pthread_cond_wait(&condition, &mutex);
        turn = !turn;
        pthread_cond_broadcast(&condition);
        pthread_mutex_unlock(&mutex);
    }
    return 0;
}

static void *dying(void *unused) {
    (void)unused;
    pthread_mutex_lock(&robust);
    return 0;
}

static volatile int flag, seen;
static void *spinning(void *unused) {
    (void)unused;
    while (!flag)
        ;
    seen = 1;
    return 0;
}

static volatile double sums[4];
static void *computing(void *n) { /* in vector registers, across many turns */
    double sum = 0;
    for (int i = 1; i < 3000000; i++)
        sum += (double)((intptr_t)n + 1) / i;
    sums[(intptr_t)n] = sum;
    return 0;
}

static uint32_t words[2];
static void *waking(void *unused) {
    (void)unused;
    usleep(10000);
    /* words[1] += 5, wake one of words[0], and one of words[1] if it was 7 */
    syscall(SYS_futex, &words[0], FUTEX_WAKE_OP, 1, 1, &words[1], ADD_AND_IF_EQUAL(5, 7));
    return 0;
}

int main(void) {
    pthread_t threads[64];
    for (intptr_t i = 0; i < 64; i++)
        if (pthread_create(&threads[i], 0, adding, (void *)i))
            say("pthread_create", 0);
    int joined = 1;
    for (intptr_t i = 0; i < 64; i++) {
        void *result;
        joined &= pthread_join(threads[i], &result) == 0 && result == (void *)i;
    }
    say("64 threads add up", joined && total == 64L * 63 / 2 * 1000);
    pthread_create(&threads[0], 0, playing, (void *)0);
    playing((void *)1);
    pthread_join(threads[0], 0);
    say("turn about", turn == 0);

    for (intptr_t i = 0; i < 4; i++)
        pthread_create(&threads[i], 0, computing, (void *)i);
    for (intptr_t i = 0; i < 4; i++)
        pthread_join(threads[i], 0);
    say("sums in vector registers", sums[1] > 1.999 * sums[0] && sums[1] < 2.001 * sums[0] && sums[3] > 3.999 * sums[0] && sums[3] < 4.001 * sums[0]);

    pthread_create(&threads[0], 0, spinning, 0);
    pthread_create(&threads[1], 0, spinning, 0);
    usleep(20000);
    flag = 1;
    pthread_join(threads[0], 0);
    pthread_join(threads[1], 0);
    say("spinning threads take turns", seen);

    pthread_mutexattr_t attribute;
    pthread_mutexattr_init(&attribute);
    pthread_mutexattr_setrobust(&attribute, PTHREAD_MUTEX_ROBUST);
    pthread_mutex_init(&robust, &attribute);
    pthread_create(&threads[0], 0, dying, 0);
    pthread_join(threads[0], 0);
    say("robust mutex", pthread_mutex_lock(&robust) == EOWNERDEAD && pthread_mutex_consistent(&robust) == 0 && pthread_mutex_unlock(&robust) == 0);
    struct timespec soon;
    clock_gettime(CLOCK_REALTIME, &soon);
    soon.tv_nsec += 20000000;
    soon.tv_sec += soon.tv_nsec / 1000000000;
    soon.tv_nsec %= 1000000000;
    pthread_mutex_lock(&mutex);
    say("timed lock", pthread_mutex_timedlock(&mutex, &soon) == ETIMEDOUT);
    pthread_mutex_unlock(&mutex);
    words[1] = 7;
    pthread_create(&threads[0], 0, waking, 0);
    say("FUTEX_WAKE_OP", syscall(SYS_futex, &words[0], FUTEX_WAIT, 0, 0, 0, 0) == 0 && words[1] == 12);
    pthread_join(threads[0], 0);
    say("futex value", syscall(SYS_futex, &words[0], FUTEX_WAIT, 9, 0, 0, 0) == -1 && errno == EAGAIN);
    say("futex alignment", syscall(SYS_futex, (char *)words + 1, FUTEX_WAKE, 1, 0, 0, 0) == -1 && errno == EINVAL);

    char name[16] = "";
    say("names", prctl(PR_SET_NAME, "a long name for a thread") == 0 && prctl(PR_GET_NAME, name) == 0 && !strcmp(name, "a long name for"));
    say("no new privileges", prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 && prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1);
    say("prctl unknown", prctl(4711, 0, 0, 0, 0) == -1 && errno == EINVAL);
    say("membarrier", syscall(SYS_membarrier, MEMBARRIER_CMD_QUERY, 0, 0) > 0 && syscall(SYS_membarrier, MEMBARRIER_CMD_GLOBAL, 0, 0) == 0);
    say("one processor", sysconf(_SC_NPROCESSORS_ONLN) >= 1 && sched_getcpu() >= 0);
    say("scheduler", syscall(SYS_sched_getscheduler, 0) == SCHED_OTHER && sched_get_priority_max(SCHED_FIFO) == 99);
    errno = 0;
    say("nice", getpriority(PRIO_PROCESS, 0) == 0 && errno == 0 && setpriority(PRIO_PROCESS, 0, 5) == 0 && getpriority(PRIO_PROCESS, 0) == 5);
    say("no children", wait(0) == -1 && errno == ECHILD);
    void *head;
    size_t length;
    say("robust list", syscall(SYS_get_robust_list, 0, &head, &length) == 0 && length == 24);
    say("clone's flags", syscall(SYS_clone, 0x10000 /* CLONE_THREAD alone */, 0, 0, 0, 0) == -1 && errno == EINVAL);
    printf("the end\n");
    return 0;
}
