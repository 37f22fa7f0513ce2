/* How fast files are written, read and synced in the folder that is the first argument. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + t.tv_nsec / 1e9;
}

static void fail(const char *what) {
    perror(what);
    exit(1);
}

int main(int argc, char **argv) {
    static char b[65536];
    const int mib = 32, syncs = 200, small = 4000;
    if (argc < 2 || chdir(argv[1])) fail("folder");
    int fd = open("transfer", O_CREAT | O_RDWR | O_TRUNC, 0600);
    if (fd < 0) fail("open");

    double start = now();
    for (int i = 0; i < mib * 16; i++)
        if (write(fd, b, sizeof b) != sizeof b) fail("write");
    if (fsync(fd)) fail("fsync");
    printf("write and sync, by 64 KiB: %.1f MiB/s\n", mib / (now() - start));

    lseek(fd, 0, SEEK_SET);
    start = now();
    while (read(fd, b, sizeof b) > 0) {}
    printf("read, by 64 KiB: %.1f MiB/s\n", mib / (now() - start));

    start = now();
    for (int i = 0; i < small; i++)
        if (pread(fd, b, 4096, i % 256 * 4096L) != 4096) fail("pread");
    printf("read 4 KiB of a file just read: %.1f us\n", (now() - start) / small * 1e6);

    start = now();
    for (int i = 0; i < syncs; i++) {
        if (pwrite(fd, b, 4096, i * 4096L) != 4096) fail("pwrite");
        if (fdatasync(fd)) fail("fdatasync");
    }
    printf("write 4 KiB and sync: %.1f us\n", (now() - start) / syncs * 1e6);
    unlink("transfer");
    return 0;
}
