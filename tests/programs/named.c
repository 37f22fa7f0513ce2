/* Memory and semaphores with names (/dev/shm), and threads with theirs (/proc/self/task). */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static void say(const char *what, int ok) {
    printf("%s: %s\n", what, ok ? "ok" : "WRONG");
    fflush(stdout);
}

static void memory(void) {
    struct stat is;
    int one = shm_open("/named-memory", O_CREAT | O_EXCL | O_RDWR, 0600);
    say("made", one >= 0 && ftruncate(one, 10000) == 0 && fstat(one, &is) == 0 && is.st_size == 10000 && (is.st_mode & 07777) == 0600);
    int two = shm_open("/named-memory", O_RDWR, 0);
    char *a = mmap(0, 10000, PROT_READ | PROT_WRITE, MAP_SHARED, one, 0), *b = mmap(0, 10000, PROT_READ | PROT_WRITE, MAP_SHARED, two, 0);
    strcpy(a + 5000, "shared");
    say("shared", a != MAP_FAILED && b != MAP_FAILED && !strcmp(b + 5000, "shared"));
    say("made once", shm_open("/named-memory", O_CREAT | O_EXCL | O_RDWR, 0600) == -1 && errno == EEXIST);
    say("a file", stat("/dev/shm/named-memory", &is) == 0 && S_ISREG(is.st_mode) && stat("/dev/shm", &is) == 0 && (is.st_mode & 07777) == 01777);
    say("removed", shm_unlink("/named-memory") == 0 && shm_open("/named-memory", O_RDWR, 0) == -1 && errno == ENOENT && !strcmp(b + 5000, "shared"));
}

static sem_t *semaphore;

static void *posts(void *nothing) {
    (void)nothing;
    sem_post(semaphore);
    return 0;
}

static void semaphores(void) {
    int value;
    semaphore = sem_open("/named-semaphore", O_CREAT | O_EXCL, 0600, 1);
    say("a semaphore", semaphore != SEM_FAILED && sem_getvalue(semaphore, &value) == 0 && value == 1);
    say("the same", sem_open("/named-semaphore", 0) == semaphore && sem_wait(semaphore) == 0 && sem_trywait(semaphore) == -1 && errno == EAGAIN);
    struct timespec soon;
    clock_gettime(CLOCK_REALTIME, &soon);
    say("in vain", sem_timedwait(semaphore, &soon) == -1 && errno == ETIMEDOUT);
    pthread_t thread;
    pthread_create(&thread, 0, posts, 0);
    say("posted", sem_wait(semaphore) == 0 && pthread_join(thread, 0) == 0);
    say("removed", sem_unlink("/named-semaphore") == 0 && sem_open("/named-semaphore", 0) == SEM_FAILED && errno == ENOENT);
}

static int wait_on[2];
static volatile pid_t tid;

static void *waits(void *nothing) {
    char byte;
    (void)nothing;
    prctl(PR_SET_NAME, "waiter");
    __atomic_store_n(&tid, syscall(SYS_gettid), __ATOMIC_SEQ_CST);
    sem_post(semaphore);
    return read(wait_on[0], &byte, 1) == 1 ? 0 : (void *)1;
}

static int contains(const char *path, const char *text) {
    char all[4096] = "";
    int fd = open(path, O_RDONLY);
    ssize_t length = read(fd, all, sizeof all - 1);
    close(fd);
    return length > 0 && strstr(all, text) != 0;
}

static int entries(const char *path) {
    DIR *list = opendir(path);
    int count = 0;
    if (!list)
        return -1;
    for (struct dirent *entry; (entry = readdir(list));)
        count += entry->d_name[0] != '.';
    closedir(list);
    return count;
}

static void threads(void) {
    char path[64], name[32];
    sem_t here;
    sem_init(&here, 0, 0);
    semaphore = &here;
    pthread_t thread;
    pipe(wait_on);
    say("one thread", entries("/proc/self/task") == 1);
    pthread_create(&thread, 0, waits, 0);
    sem_wait(&here);
    say("two threads", entries("/proc/self/task") == 2 && entries("/proc/thread-self") > 5);
    snprintf(path, sizeof path, "/proc/self/task/%d/comm", tid);
    say("its name", contains(path, "waiter\n"));
    int fd = open(path, O_RDWR);
    say("another, given by us", write(fd, "a-very-long-name-indeed", 23) == 23 && close(fd) == 0 && contains(path, "a-very-long-nam\n"));
    snprintf(path, sizeof path, "/proc/self/task/%d/stat", tid);
    snprintf(name, sizeof name, "%d (a-very-long-nam) ", tid);
    say("its stat", contains(path, name));
    snprintf(path, sizeof path, "/proc/self/task/%d/status", tid);
    snprintf(name, sizeof name, "\nPid:\t%d\n", tid);
    say("its status", contains(path, name) && contains(path, "\nTgid:\t") && contains(path, "\nThreads:\t2\n") && contains(path, "Name:\ta-very-long-nam\n"));
    say("not ours", contains("/proc/thread-self/stat", " R ") && !contains("/proc/self/comm", "a-very"));
    say("the process' name", (fd = open("/proc/self/comm", O_WRONLY)) >= 0 && write(fd, "process", 7) == 7 && close(fd) == 0 && prctl(PR_GET_NAME, name) == 0 && !strcmp(name, "process"));
    say("no such thread", open("/proc/self/task/9999999/comm", O_RDONLY) == -1 && errno == ENOENT && open("/proc/self/task/x", O_RDONLY) == -1 && errno == ENOENT);
    void *result;
    say("it goes on", write(wait_on[1], "x", 1) == 1 && pthread_join(thread, &result) == 0 && !result);
    for (int tries = 0; entries("/proc/self/task") > 1 && tries < 1000; tries++)
        sched_yield();
    say("one thread again", entries("/proc/self/task") == 1);
}

int main(void) {
    memory();
    semaphores();
    threads();
    printf("the end\n");
    return 0;
}
