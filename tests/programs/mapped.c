/* Writes to files through mappings in the folder that is its first argument. Says what came of it, the same on every Linux; with a second
   argument it looks only at what a run without it has left. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "say.h"

static sigjmp_buf fault;
static void faulted(int number) { siglongjmp(fault, number); }

/* Touches a byte: what it is, or the signal that comes of it. */
static void touch(const char *what, volatile char *at, int write) {
    int number = sigsetjmp(fault, 1);
    if (number) { printf("%s: signal %d\n", what, number); return; }
    if (write) *at = 'W';
    printf("%s: %d\n", what, *at);
}

static void look(void) {
    const char *names[] = {"file", "holes", "busy", "late", "gone"};
    for (unsigned i = 0; i < sizeof names / sizeof *names; i++) {
        struct stat s;
        if (stat(names[i], &s)) { printf("%s: %s\n", names[i], strerrorname_np(errno)); continue; }
        printf("%s: size %lld, sum %08x\n", names[i], (long long)s.st_size, sum(names[i]));
    }
}

static int make(const char *path, int size) {
    int fd = open(path, O_CREAT | O_TRUNC | O_RDWR, 0644);
    char *b = malloc(size);
    for (int i = 0; i < size; i++) b[i] = 'a' + (i / 7 + i / 4096) % 26;
    if (write(fd, b, size) != size) perror(path);
    free(b);
    return fd;
}

static char *map(int fd, int length, int rights, int flags) {
    char *at = mmap(0, length, rights, flags, fd, 0);
    if (at == MAP_FAILED) printf("mmap: %s\n", strerrorname_np(errno));
    return at;
}

static void file(void) {
    char b[64];
    int fd = make("file", 20000);
    char *m = map(fd, 20480, PROT_READ | PROT_WRITE, MAP_SHARED), *other = map(fd, 20000, PROT_READ, MAP_SHARED), *own = map(fd, 20000, PROT_READ | PROT_WRITE, MAP_PRIVATE);
    printf("starts with %.10s, ends with %.3s, behind that %d\n", m, m + 19997, m[20000]);
    memcpy(m + 4090, "through the map", 15);
    TRY(pread(fd, b, 15, 4090));
    printf("read %.15s, seen %.15s, of one's own %.15s\n", b, other + 4090, own + 4090);
    TRY(pwrite(fd, "by a call", 9, 4092));
    printf("seen %.15s, of one's own %.15s\n", other + 4090, own + 4090);
    own[4090] = 'X';
    TRY(pread(fd, b, 1, 4090));
    printf("still %c\n", b[0]);
    TRY(msync(m, 20000, MS_SYNC));
    m[0] = 'S';
    TRY(fsync(fd));
    m[1] = 'T';
    printf("of one's own still %c\n", own[4090]);
    TRY(msync(m, 4096, MS_SYNC | MS_ASYNC));
    TRY(msync(m, 4096, MS_ASYNC));
    TRY(fdatasync(fd));
    m[2] = 'U';
    TRY(pread(fd, b, 3, 0));
    printf("begins with %.3s\n", b);
    /* Cut off and made longer again. */
    m[9000] = 'C';
    TRY(ftruncate(fd, 9001));
    touch("its last byte", m + 9000, 0);
    touch("behind it", m + 9001, 0);
    touch("on the next page", m + 12288, 0);
    touch("far behind it", m + 16384, 1);
    m[9500] = 'B';
    TRY(ftruncate(fd, 14000));
    touch("what stood behind the end", m + 9500, 0);
    touch("a page made new", m + 12288, 1);
    TRY(pread(fd, b, 2, 12287));
    printf("%d %d\n", b[0], b[1]);
    m[13999] = 'E';
    int more = open("file", O_WRONLY | O_APPEND);
    TRY(write(more, "appended", 8));
    close(more);
    printf("appended: %.8s\n", m + 14000);
    TRY(munmap(m, 20480));
    TRY(munmap(own, 20000));
    printf("seen still: %.3s\n", other);
    munmap(other, 20000);
    close(fd);
    fd = open("file", O_RDONLY);
    TRY((long)map(fd, 4096, PROT_READ | PROT_WRITE, MAP_SHARED));
    m = map(fd, 4096, PROT_READ, MAP_SHARED);
    TRY(mprotect(m, 4096, PROT_READ | PROT_WRITE));
    munmap(m, 4096);
    close(fd);
}

static void holes(void) {
    int fd = open("holes", O_CREAT | O_RDWR, 0644);
    TRY(ftruncate(fd, 3000000));
    char *m = map(fd, 3000000, PROT_READ | PROT_WRITE, MAP_SHARED);
    for (int i = 0; i < 3000000; i += 300001) m[i] += i % 100;
    for (int i = 0; i < 64; i++) m[1000000 + i * 4096] = 'p';
    close(fd);
    /* With the descriptor gone, and never synced by us. */
    TRY(munmap(m, 3000000));
    fd = open("gone", O_CREAT | O_RDWR, 0644);
    TRY(ftruncate(fd, 10000));
    m = map(fd, 10000, PROT_READ | PROT_WRITE, MAP_SHARED);
    TRY(unlink("gone"));
    m[5000] = 'g';
    TRY(fsync(fd));
    close(fd);
    m[5001] = 'h';
    printf("nameless: %.2s\n", m + 5000);
    munmap(m, 10000);
}

#define BUSY (64 * 4096)
static volatile int stop;

static void *writes(void *at) {
    volatile unsigned *words = at;
    for (unsigned round = 1; !stop; round++)
        for (int page = 0; page < BUSY / 4096; page++) {
            words[page * 1024] = round;
            words[page * 1024 + 1 + round % 1000]++;
        }
    return 0;
}

/* One thread writes through the mapping while another syncs and writes by calls. */
static void busy(void) {
    int fd = open("busy", O_CREAT | O_RDWR, 0644), wrong = 0;
    if (ftruncate(fd, BUSY)) perror("ftruncate");
    char *m = map(fd, BUSY, PROT_READ | PROT_WRITE, MAP_SHARED);
    pthread_t thread;
    pthread_create(&thread, 0, writes, m);
    for (unsigned i = 0; i < 40; i++) {
        unsigned page = i % 64, place = page * 4096 + 4092, back = 0;
        if (pwrite(fd, &i, 4, place) != 4 || fsync(fd) || pread(fd, &back, 4, place) != 4 || back != i || memcmp(m + place, &i, 4)) wrong++;
    }
    stop = 1;
    pthread_join(thread, 0);
    for (int at = 0; at < BUSY; at += 4096) {
        char b[4096];
        if (pread(fd, b, 4096, at) != 4096 || memcmp(b, m + at, 4096)) wrong++;
    }
    printf("wrong: %d\n", wrong);
    memset(m, 'b', BUSY);
    munmap(m, BUSY);
    close(fd);
}

int main(int argc, char **argv) {
    if (argc < 2 || chdir(argv[1])) return 1;
    if (argc > 2) { look(); return 0; }
    signal(SIGBUS, faulted);
    signal(SIGSEGV, faulted);
    file();
    holes();
    busy();
    /* Left mapped and not synced when the program ends. */
    int fd = make("late", 50000);
    char *m = map(fd, 50000, PROT_READ | PROT_WRITE, MAP_SHARED);
    memset(m + 10000, 'l', 30000);
    look();
    m[0] = 'L';
    fd = make("gone", 50000);
    m = map(fd, 50000, PROT_READ | PROT_WRITE, MAP_SHARED);
    unlink("gone");
    m[20000] = 'G';
    fd = make("gone", 5000);
    m = map(fd, 5000, PROT_READ | PROT_WRITE, MAP_SHARED);
    m[2000] = 'H';
    munmap(m, 5000);
    unlink("gone");
    close(fd);
    fflush(stdout);
    return 0;
}
