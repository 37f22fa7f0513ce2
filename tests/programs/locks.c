/* Locks on parts of files: of the process, of open file descriptions, and of whole files. Says what came of each. */
#define _GNU_SOURCE
#include "say.h"
#include <limits.h>
#include <pthread.h>
#include <stdint.h>
#include <sys/file.h>
#include <sys/syscall.h>

static long lock(int fd, int command, int kind, int whence, long start, long length) {
    struct flock lock = { .l_type = kind, .l_whence = whence, .l_start = start, .l_len = length };
    return fcntl(fd, command, &lock);
}
#define OFD(fd, kind, start, length) lock(fd, F_OFD_SETLK, kind, SEEK_SET, start, length)
#define OWN(fd, kind, start, length) lock(fd, F_SETLK, kind, SEEK_SET, start, length)

/* Says who is in the way. */
static void ask(const char *what, int fd, int command, int kind, long start, long length) {
    struct flock lock = { .l_type = kind, .l_whence = SEEK_SET, .l_start = start, .l_len = length };
    if (fcntl(fd, command, &lock)) {
        printf("%s: %s\n", what, name_of(errno));
        return;
    }
    const char *found = lock.l_type == F_UNLCK ? "none" : lock.l_type == F_RDLCK ? "shared" : "exclusive";
    const char *whose = lock.l_pid == getpid() ? "the process" : lock.l_pid == -1 ? "a description" : "nobody";
    printf("%s: %s, %ld and %ld from %d, %s\n", what, found, (long)lock.l_start, (long)lock.l_len, lock.l_whence, whose);
}

/* Every stretch that another description finds locked, one byte after the other. */
static void map(const char *what, int fd, long end) {
    printf("%s: ", what);
    for (long at = 0; at < end; at++) {
        struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = at, .l_len = 1 };
        fcntl(fd, F_OFD_GETLK, &lock);
        putchar(lock.l_type == F_UNLCK ? '.' : lock.l_type == F_RDLCK ? 'r' : 'w');
    }
    putchar('\n');
}

static int waits, ready[2];
static void *wait_for(void *of) {
    int fd = (int)(intptr_t)of;
    write(ready[1], "x", 1);
    long got = lock(fd, F_OFD_SETLKW, F_WRLCK, SEEK_SET, 0, 10);
    __atomic_store_n(&waits, got == 0 ? 1 : -1, __ATOMIC_SEQ_CST);
    return 0;
}
static void *wait_as_process(void *of) {
    int fd = (int)(intptr_t)of;
    write(ready[1], "x", 1);
    long got = lock(fd, F_SETLKW, F_WRLCK, SEEK_SET, 5, 1);
    __atomic_store_n(&waits, got == 0 ? 1 : -1, __ATOMIC_SEQ_CST);
    return 0;
}

/* A lock that is waited for comes when the other goes, however it goes. */
static void waiting(int a, int b, const char *path) {
    pthread_t thread;
    char c;
    pipe(ready);
    for (int way = 0; way < 4; way++) {
        int other = way == 2 ? open(path, O_RDWR) : a;
        TRY(OFD(other, F_WRLCK, 0, 0));
        waits = 0;
        pthread_create(&thread, 0, way == 3 ? wait_as_process : wait_for, (void *)(intptr_t)b);
        read(ready[0], &c, 1);
        usleep(20000);
        printf("waits: %d\n", __atomic_load_n(&waits, __ATOMIC_SEQ_CST));
        if (way == 0) { TRY(OFD(other, F_UNLCK, 0, 0)); }
        if (way == 1 || way == 3) { TRY(OFD(other, F_WRLCK, 20, 5)); TRY(OFD(other, F_UNLCK, 0, 20)); }
        if (way == 2) close(other);
        pthread_join(thread, 0);
        printf("waits no more: %d\n", waits);
        TRY(OFD(a, F_UNLCK, 0, 0));
        TRY(OFD(b, F_UNLCK, 0, 0));
        TRY(OWN(b, F_UNLCK, 0, 0));
    }
}

int main(int argc, char **argv) {
    setvbuf(stdout, 0, _IOLBF, 0);
    if (argc > 1 && chdir(argv[1])) return 2;
    const char *path = "locked";
    int a = open(path, O_RDWR | O_CREAT, 0644), b = open(path, O_RDWR), c = open(path, O_RDWR);
    int reads = open(path, O_RDONLY), writes = open(path, O_WRONLY), other = open("other", O_RDWR | O_CREAT, 0644);
    write(a, "0123456789", 10);

    /* Two descriptions, and one under two descriptors. */
    TRY(OFD(a, F_WRLCK, 0, 10));
    TRY(OFD(b, F_WRLCK, 0, 10));
    TRY(OFD(b, F_RDLCK, 9, 5));
    TRY(OFD(b, F_WRLCK, 10, 5));
    TRY(OFD(dup(a), F_WRLCK, 5, 1));
    TRY(OFD(other, F_WRLCK, 0, 10));
    ask("b asks", b, F_OFD_GETLK, F_RDLCK, 3, 1);
    ask("a asks", a, F_OFD_GETLK, F_RDLCK, 3, 1);
    ask("a asks behind", a, F_OFD_GETLK, F_RDLCK, 3, 0);
    ask("c asks", c, F_OFD_GETLK, F_WRLCK, 0, 0);
    ask("the process asks", c, F_GETLK, F_RDLCK, 0, 0);
    ask("in another file", other, F_GETLK, F_WRLCK, 0, 0);
    TRY(OFD(a, F_UNLCK, 0, 0));
    TRY(OFD(b, F_UNLCK, 0, 0));
    ask("nothing is left", c, F_OFD_GETLK, F_WRLCK, 0, 0);

    /* Shared ones, and from one kind to the other. */
    TRY(OFD(a, F_RDLCK, 0, 10));
    TRY(OFD(b, F_RDLCK, 5, 10));
    TRY(OFD(a, F_WRLCK, 0, 5));
    TRY(OFD(a, F_WRLCK, 0, 6));
    map("a and b", c, 18);
    TRY(OFD(b, F_UNLCK, 0, 0));
    TRY(OFD(a, F_WRLCK, 0, 6));
    TRY(OFD(a, F_RDLCK, 2, 2));
    map("in parts", c, 18);
    TRY(OFD(a, F_UNLCK, 3, 4));
    map("with a hole", c, 18);
    TRY(OFD(a, F_WRLCK, 3, 4));
    ask("the first", c, F_OFD_GETLK, F_WRLCK, 0, 0);
    ask("the third", c, F_OFD_GETLK, F_WRLCK, 3, 0);
    TRY(OFD(a, F_WRLCK, 0, 0));
    ask("all one", c, F_OFD_GETLK, F_WRLCK, 7, 1);
    TRY(OFD(a, F_UNLCK, 4, 2));
    ask("to the end", c, F_OFD_GETLK, F_WRLCK, 6, 1);
    TRY(OFD(a, F_UNLCK, 0, 0));

    /* The process, which is one, and descriptions. */
    TRY(OWN(a, F_WRLCK, 0, 10));
    TRY(OWN(b, F_WRLCK, 5, 10));
    ask("the process asks", c, F_GETLK, F_WRLCK, 0, 0);
    ask("a description asks", a, F_OFD_GETLK, F_RDLCK, 0, 0);
    TRY(OFD(a, F_RDLCK, 14, 1));
    TRY(OFD(a, F_RDLCK, 15, 1));
    TRY(OWN(a, F_RDLCK, 15, 1));
    TRY(OWN(a, F_WRLCK, 15, 1));
    ask("in the way of the process", c, F_GETLK, F_WRLCK, 0, 0);
    /* Whoever closes any descriptor of the file has no locks there any more. */
    close(open("other", O_RDONLY));
    ask("after closing another file", b, F_OFD_GETLK, F_WRLCK, 0, 5);
    close(open(path, O_RDONLY));
    ask("after closing", b, F_OFD_GETLK, F_WRLCK, 0, 5);
    ask("the description's stays", b, F_OFD_GETLK, F_WRLCK, 0, 0);
    TRY(OWN(b, F_WRLCK, 0, 5));
    TRY(dup2(other, dup(b)) >= 0);
    ask("after dup2", a, F_OFD_GETLK, F_WRLCK, 0, 5);
    /* A description's go with its last descriptor. */
    int again = open(path, O_RDWR), twice = dup(again);
    TRY(OFD(again, F_WRLCK, 100, 1));
    close(again);
    ask("one descriptor is left", b, F_OFD_GETLK, F_WRLCK, 100, 1);
    close(twice);
    ask("none is left", b, F_OFD_GETLK, F_WRLCK, 100, 1);
    TRY(OFD(a, F_UNLCK, 0, 0));

    /* Locks on the whole file are another matter. */
    TRY(flock(a, LOCK_EX | LOCK_NB));
    TRY(OFD(b, F_WRLCK, 0, 0));
    TRY(flock(c, LOCK_SH | LOCK_NB));
    TRY(OFD(b, F_UNLCK, 0, 0));
    TRY(flock(a, LOCK_UN));

    /* Where a range begins and ends. */
    lseek(a, 4, SEEK_SET);
    TRY(lock(a, F_OFD_SETLK, F_WRLCK, SEEK_CUR, 1, 2));
    TRY(lock(a, F_OFD_SETLK, F_RDLCK, SEEK_END, -1, 3));
    TRY(lock(a, F_OFD_SETLK, F_WRLCK, SEEK_SET, 4, -3));
    map("from somewhere", c, 18);
    TRY(OFD(a, F_UNLCK, 0, 0));
    TRY(OFD(a, F_WRLCK, -1, 1));
    TRY(OFD(a, F_WRLCK, 3, -4));
    TRY(OFD(a, F_WRLCK, 3, -3));
    TRY(OFD(a, F_WRLCK, LONG_MAX, 1));
    ask("the last byte", c, F_OFD_GETLK, F_WRLCK, LONG_MAX, 0);
    TRY(OFD(a, F_WRLCK, LONG_MAX, 2));
    TRY(lock(a, F_OFD_SETLK, F_WRLCK, SEEK_CUR, LONG_MAX, 1));
    TRY(lock(a, F_OFD_SETLK, F_WRLCK, 7, 0, 1));
    TRY(lock(a, F_OFD_SETLK, 7, SEEK_SET, 0, 1));
    TRY(lock(a, F_GETLK, F_UNLCK, SEEK_SET, 0, 1));
    TRY(OFD(a, F_UNLCK, 0, 0));

    /* What may not be asked. */
    TRY(OFD(reads, F_WRLCK, 0, 1));
    TRY(OFD(writes, F_RDLCK, 0, 1));
    TRY(OWN(reads, F_WRLCK, 0, 1));
    TRY(OFD(reads, F_RDLCK, 0, 1));
    TRY(OFD(writes, F_WRLCK, 0, 1));
    TRY(OFD(writes, F_WRLCK, 1, 1));
    ask("one that cannot write", reads, F_OFD_GETLK, F_WRLCK, 0, 0);
    struct flock named = { .l_type = F_WRLCK, .l_len = 1, .l_pid = 7 };
    TRY(fcntl(a, F_OFD_SETLK, &named));
    TRY(fcntl(a, F_OFD_GETLK, &named));
    TRY(fcntl(a, F_SETLK, &named));
    TRY(syscall(SYS_fcntl, a, F_OFD_SETLK, 8));
    int place = open(path, O_PATH);
    TRY(OFD(place, F_RDLCK, 0, 1));
    TRY(OFD(1000, F_RDLCK, 0, 1));
    TRY(OFD(reads, F_UNLCK, 0, 0));
    TRY(OFD(writes, F_UNLCK, 0, 0));
    TRY(OWN(a, F_UNLCK, 0, 0));

    waiting(a, b, path);
    return 0;
}
