/* What a program is told when memory runs out in the kernel, and that all goes on when there is some again. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

static char bytes[65536];
static int told, wrong;

/* Whether a call did what it should, or said that there is no memory. */
static int heed(const char *what, long result) {
    if (result >= 0) return 1;
    if (errno != ENOMEM && errno != ENOSPC && errno != EIO && errno != ENFILE && errno != ENOBUFS) {
        printf("%s: %s\n", what, strerror(errno));
        wrong++;
    }
    told++;
    return 0;
}

static void fill(void) {
    int fd = open("/tmp/fill", O_WRONLY | O_CREAT | O_APPEND, 0644);
    for (unsigned size = sizeof bytes; size >= 512; size /= 2)
        while (write(fd, bytes, size) == (ssize_t)size) ;
    close(fd);
}

static void disk(const char *folder, int count) {
    char name[100], other[100];
    for (int i = 0; i < count; i++) {
        snprintf(name, sizeof name, "%s/file-with-a-name-%d", folder, i);
        snprintf(other, sizeof other, "%s/another-%d", folder, i);
        int fd = open(name, O_RDWR | O_CREAT, 0644);
        if (!heed("open", fd)) continue;
        heed("write", write(fd, bytes, sizeof bytes));
        heed("pread", pread(fd, bytes, 4096, 0));
        heed("fsync", fsync(fd));
        close(fd);
        struct stat stat_;
        heed("stat", stat(name, &stat_));
        heed("rename", rename(name, other));
        if (i % 2) heed("unlink", unlink(other));
    }
}

/* What it needs itself it has before: all that it can write to, and some of its stack. */
static void have_own(void) {
    static char maps[16384];
    int fd = open("/proc/self/maps", O_RDONLY);
    read(fd, maps, sizeof maps - 1);
    close(fd);
    for (char *line = strtok(maps, "\n"); line; line = strtok(0, "\n")) {
        unsigned long start, end;
        char rights[5];
        if (sscanf(line, "%lx-%lx %4s", &start, &end, rights) == 3 && rights[1] == 'w' && end - start < 1 << 20)
            mlock((void *)start, end - start);
    }
    volatile char stack[32768];
    for (unsigned i = 0; i < sizeof stack; i += 512) stack[i] = 1;
}

int main(int argc, char **argv) {
    const char *folder = argc > 1 ? argv[1] : "/data";
    setvbuf(stdout, 0, _IONBF, 0);
    for (unsigned i = 0; i < sizeof bytes; i++) bytes[i] = i;
    have_own();
    disk(folder, 2);
    fill();
    int fd = open("/tmp/fill", O_WRONLY);
    ftruncate(fd, lseek(fd, 0, SEEK_END) - 128 * 1024);
    close(fd);
    disk(folder, 300);
    /* Files, descriptors and watches without end. */
    char name[100];
    int made = 0;
    for (int i = 0; i < 200000; i++) {
        snprintf(name, sizeof name, "/tmp/a-file-with-a-rather-long-name-%d", i);
        if (!heed("mknod", mknod(name, S_IFREG | 0600, 0))) break;
        made++;
    }
    struct rlimit limit = { 100000, 100000 };
    setrlimit(RLIMIT_NOFILE, &limit);
    int watching = epoll_create1(0);
    for (int i = 0; i < 90000; i++) {
        int fd = i % 3 ? eventfd(0, 0) : socket(AF_UNIX, SOCK_STREAM, 0);
        if (!heed("a descriptor", fd)) break;
        struct epoll_event event = { EPOLLIN, { 0 } };
        if (watching >= 0) heed("epoll_ctl", epoll_ctl(watching, EPOLL_CTL_ADD, fd, &event));
    }
    disk(folder, 20);
    printf("%s, %s\n", told > 2 ? "told" : "not told", wrong ? "wrongly" : "rightly");
    closefrom(3);
    for (int i = 0; i < made; i++) {
        snprintf(name, sizeof name, "/tmp/a-file-with-a-rather-long-name-%d", i);
        unlink(name);
    }
    unlink("/tmp/fill");
    told = 0;
    disk(folder, 20);
    printf("%s\n", told ? "for good" : "all goes on");
    return 0;
}
