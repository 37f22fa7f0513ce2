/* Files in every way that a program meets them. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

static void say(const char *what, int ok) {
    printf("%s: %s\n", what, ok ? "ok" : "WRONG");
    fflush(stdout);
}

static int same(struct timespec a, struct timespec b) {
    return a.tv_sec == b.tv_sec && a.tv_nsec == b.tv_nsec;
}
static int later(struct timespec a, struct timespec b) {
    return a.tv_sec > b.tv_sec || (a.tv_sec == b.tv_sec && a.tv_nsec >= b.tv_nsec);
}

static void times(void) {
    struct stat was, is;
    int fd = open("times", O_RDWR | O_CREAT | O_TRUNC, 0644);
    write(fd, "text", 4);
    struct timespec set[2] = { { 1000, 5 }, { 2000, 6 } };
    futimens(fd, set);
    fstat(fd, &was);
    say("times are set apart", same(was.st_atim, set[0]) && same(was.st_mtim, set[1]) && was.st_ctim.tv_sec > 2000);
    set[0].tv_nsec = UTIME_OMIT;
    set[1].tv_sec = 3000;
    utimensat(AT_FDCWD, "times", set, 0);
    stat("times", &is);
    say("one left as it is", same(is.st_atim, was.st_atim) && is.st_mtim.tv_sec == 3000);
    chmod("times", 0600);
    stat("times", &was);
    say("attributes change the third only", same(is.st_mtim, was.st_mtim) && later(was.st_ctim, is.st_ctim));
    link("times", "times2");
    stat("times", &is);
    say("so does a name", is.st_nlink == 2 && same(is.st_mtim, was.st_mtim) && later(is.st_ctim, was.st_ctim));
    char byte;
    pread(fd, &byte, 1, 0);
    stat("times", &is);
    say("reading", is.st_atim.tv_sec > 3000 && is.st_mtim.tv_sec == 3000);
    pwrite(fd, "T", 1, 0);
    stat("times", &is);
    say("writing", is.st_mtim.tv_sec > 3000);
    /* struct statx, which not every libc has: the times are at 0x40, 0x60 (changed) and 0x70 (modified). */
    long long x[32];
    say("statx", syscall(SYS_statx, AT_FDCWD, "times", 0, 0x7ff, x) == 0 && x[8] == is.st_atim.tv_sec && (int)x[15] == is.st_mtim.tv_nsec && (int)x[13] == is.st_ctim.tv_nsec);
    unlink("times");
    unlink("times2");
    close(fd);
}

/* Not every libc has these two. */
static ssize_t read_at(int fd, const struct iovec *parts, int count, long offset, int flags) {
    return syscall(SYS_preadv2, fd, parts, (long)count, offset, 0L, flags);
}
static ssize_t write_at(int fd, const struct iovec *parts, int count, long offset, int flags) {
    return syscall(SYS_pwritev2, fd, parts, (long)count, offset, 0L, flags);
}
enum { DSYNC = 2, SYNC = 4 };

static void vectors(void) {
    int fd = open("vectors", O_RDWR | O_CREAT | O_TRUNC, 0644);
    struct iovec out[3] = { { "abc", 3 }, { "", 0 }, { "defg", 4 } };
    say("pwritev", pwritev(fd, out, 3, 10) == 7 && lseek(fd, 0, SEEK_CUR) == 0 && lseek(fd, 0, SEEK_END) == 17);
    char a[5] = "", b[5] = "";
    struct iovec in[2] = { { a, 4 }, { b, 4 } };
    say("preadv", preadv(fd, in, 2, 10) == 7 && !strcmp(a, "abcd") && !strcmp(b, "efg"));
    say("preadv at the end", preadv(fd, in, 2, 17) == 0);
    say("preadv before the start", preadv(fd, in, 2, -1) == -1 && errno == EINVAL);
    lseek(fd, 15, SEEK_SET);
    say("preadv2 where the file is", read_at(fd, in, 2, -1, 0) == 2 && lseek(fd, 0, SEEK_CUR) == 17);
    say("pwritev2", write_at(fd, out, 1, 0, SYNC) == 3 && write_at(fd, out, 1, -1, DSYNC) == 3 && lseek(fd, 0, SEEK_CUR) == 20);
    say("unknown flags", read_at(fd, in, 2, 0, 1 << 20) == -1 && errno == EOPNOTSUPP);
    int ends[2];
    pipe(ends);
    say("pipes have no positions", preadv(ends[0], in, 2, 0) == -1 && errno == ESPIPE && pwritev(ends[1], out, 1, 0) == -1 && errno == ESPIPE);
    struct iovec negative = { a, -1 };
    say("a negative length", readv(fd, &negative, 1) == -1 && errno == EINVAL);
    off_t offset = -2;
    say("sendfile from before the start", sendfile(ends[1], fd, &offset, 1) == -1 && errno == EINVAL);
    int size = fcntl(ends[1], F_GETPIPE_SZ);
    say("a pipe's size", size == 65536 && fcntl(ends[0], F_SETPIPE_SZ, 100000) == 131072 && fcntl(ends[1], F_GETPIPE_SZ) == 131072);
    say("of what is no pipe", fcntl(fd, F_GETPIPE_SZ) == -1 && errno == EBADF);
    close(ends[0]);
    close(ends[1]);
    close(fd);
    unlink("vectors");
}

static void holes(void) {
    int fd = open("holes", O_RDWR | O_CREAT | O_TRUNC, 0644);
    pwrite(fd, "x", 1, 1 << 20);
    ftruncate(fd, 4 << 20);
    say("SEEK_DATA", lseek(fd, 0, SEEK_DATA) == 1 << 20 && lseek(fd, (1 << 20) + 5, SEEK_DATA) == (1 << 20) + 5);
    off_t hole = lseek(fd, 1 << 20, SEEK_HOLE);
    say("SEEK_HOLE", lseek(fd, 7, SEEK_HOLE) == 7 && hole > 1 << 20 && hole <= (1 << 20) + 65536);
    say("no more data", lseek(fd, 2 << 20, SEEK_DATA) == -1 && errno == ENXIO);
    say("behind the end", lseek(fd, 4 << 20, SEEK_HOLE) == -1 && errno == ENXIO);
    close(fd);
    unlink("holes");
}

static void nameless(void) {
    int fd = syscall(SYS_memfd_create, "name", 1);
    struct stat is;
    say("memfd_create", fd >= 0 && fcntl(fd, F_GETFD) == FD_CLOEXEC && ftruncate(fd, 8192) == 0 && fstat(fd, &is) == 0 && is.st_size == 8192 && is.st_nlink == 0);
    char *shared = mmap(0, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0), text[64] = "", link[64];
    strcpy(shared + 4096, "shared");
    say("its pages", pread(fd, text, 7, 4096) == 7 && !strcmp(text, "shared"));
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, text, sizeof text);
    say("what it is called", length > 0 && !memcmp(text, "/memfd:name (deleted)", length));
    say("its flags", syscall(SYS_memfd_create, "name", 1 << 20) == -1 && errno == EINVAL);
    close(fd);
}

static void *writes(void *nothing) {
    (void)nothing;
    int fd = open("fifo", O_WRONLY);
    write(fd, "through a name", 14);
    close(fd);
    return 0;
}

static void named_pipe(void) {
    say("mkfifo", mkfifo("fifo", 0600) == 0);
    say("nobody reads", open("fifo", O_WRONLY | O_NONBLOCK) == -1 && errno == ENXIO);
    int fd = open("fifo", O_RDONLY | O_NONBLOCK);
    char text[20] = "";
    say("nobody writes", fd >= 0 && read(fd, text, 20) == 0);
    close(fd);
    pthread_t thread;
    pthread_create(&thread, 0, writes, 0);
    fd = open("fifo", O_RDONLY);
    ssize_t got = read(fd, text, 20);
    pthread_join(thread, 0);
    say("open waits for the other side", got == 14 && !strcmp(text, "through a name") && read(fd, text, 20) == 0);
    close(fd);
    fd = open("fifo", O_RDWR);
    say("both ends", write(fd, "again", 5) == 5 && read(fd, text, 20) == 5 && !memcmp(text, "again", 5));
    close(fd);
    fd = open("fifo", O_RDONLY | O_NONBLOCK);
    say("nothing is kept", read(fd, text, 20) == 0);
    close(fd);
    unlink("fifo");
}

static void spliced(void) {
    int ends[2], out = open("spliced", O_RDWR | O_CREAT | O_TRUNC, 0644);
    pipe(ends);
    char text[20] = "";
    off_t at = 3;
    pwrite(out, "0123456789", 10, 0);
    say("a file into a pipe", splice(out, &at, ends[1], 0, 4, 0) == 4 && at == 7 && lseek(out, 0, SEEK_CUR) == 0 && read(ends[0], text, 20) == 4 && !strcmp(text, "3456"));
    write(ends[1], "abcdef", 6);
    say("a pipe into a file", splice(ends[0], 0, out, 0, 4, 0) == 4 && lseek(out, 0, SEEK_CUR) == 4 && pread(out, text, 6, 0) == 6 && !memcmp(text, "abcd45", 6));
    at = 8;
    say("at a place", splice(ends[0], 0, out, &at, 100, 0) == 2 && at == 10 && pread(out, text, 10, 0) == 10 && !memcmp(text, "abcd4567ef", 10));
    say("nothing there", splice(ends[0], 0, out, 0, 4, SPLICE_F_NONBLOCK) == -1 && errno == EAGAIN);
    int more[2], sockets[2];
    pipe(more);
    write(ends[1], "through", 7);
    say("pipe to pipe", splice(ends[0], 0, more[1], 0, 100, 0) == 7 && read(more[0], text, 20) == 7 && !memcmp(text, "through", 7));
    socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, sockets);
    size_t sent = 0, got = 0;
    char block[5000], back[5000];
    /* Until the socket is full: nothing of what it did not take is lost. */
    for (int i = 0;; i++) {
        for (int j = 0; j < 5000; j++)
            block[j] = (sent + j) % 251;
        write(ends[1], block, sizeof block);
        sent += sizeof block;
        ssize_t done = splice(ends[0], 0, sockets[0], 0, sizeof block, SPLICE_F_NONBLOCK);
        if (done < (ssize_t)sizeof block || i == 10000)
            break;
    }
    int whole = 1;
    while (got < sent) {
        ssize_t length = recv(sockets[1], back, sizeof back, 0);
        if (length <= 0 && splice(ends[0], 0, sockets[0], 0, sizeof block, SPLICE_F_NONBLOCK) <= 0)
            break;
        for (ssize_t j = 0; j < length; j++)
            whole &= (unsigned char)back[j] == (got + j) % 251;
        got += length > 0 ? length : 0;
    }
    say("a pipe into a full socket", whole && got == sent);
    say("no pipe", splice(out, 0, sockets[0], 0, 4, 0) == -1 && errno == EINVAL);
    at = 0;
    say("a pipe's place", splice(ends[0], &at, out, 0, 4, 0) == -1 && errno == ESPIPE);
    unlink("spliced");
}

enum { STREAM = 600000 };

static unsigned char byte_at(int place) { return (unsigned)place * 2654435761u >> 24; }

/* Writes all, in pieces of many lengths. */
static void *feed(void *end) {
    static unsigned char piece[70000];
    for (int sent = 0, round = 0; sent < STREAM; round++) {
        int length = (int[]){ 1, 4096, 5000, 17, 70000, 3 }[round % 6];
        if (length > STREAM - sent) length = STREAM - sent;
        for (int i = 0; i < length; i++) piece[i] = byte_at(sent + i);
        for (int done = 0; done < length;) {
            int more = write(*(int *)end, piece + done, length - done);
            if (more <= 0) return (void *)1;
            done += more;
        }
        sent += length;
    }
    close(*(int *)end);
    return 0;
}

static void pipes(void) {
    static unsigned char piece[9000];
    int ends[2];
    pipe(ends);
    pthread_t feeder;
    pthread_create(&feeder, 0, feed, &ends[1]);
    int got = 0, wrong = 0, more;
    for (int round = 0; (more = read(ends[0], piece, 1 + round * 977 % 9000)) > 0; round++) {
        for (int i = 0; i < more; i++) wrong += piece[i] != byte_at(got + i);
        got += more;
    }
    void *failed;
    pthread_join(feeder, &failed);
    say("a pipe keeps bytes and order", got == STREAM && !wrong && !failed && more == 0);
    close(ends[0]);

    pipe2(ends, O_NONBLOCK);
    char *bad = mmap(0, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), text[10] = "";
    munmap(bad + 4096, 4096);
    say("bytes that nobody can take stay", write(ends[1], "abcdef", 6) == 6 && read(ends[0], bad + 4096, 6) == -1 && errno == EFAULT && read(ends[0], text, 10) == 6 && !strcmp(text, "abcdef"));
    say("bytes that are not there", write(ends[1], bad + 4096, 6) == -1 && errno == EFAULT && read(ends[0], text, 10) == -1 && errno == EAGAIN);
    int full = 0;
    while ((more = write(ends[1], piece, 4096)) > 0) full += more;
    say("a full pipe", full == 65536 && errno == EAGAIN && write(ends[1], piece, 1) == -1);
    say("has room for what is whole", read(ends[0], piece, 4095) == 4095 && write(ends[1], piece, 4096) == -1 && errno == EAGAIN && read(ends[0], piece, 1) == 1 && write(ends[1], piece, 4096) == 4096);
    close(ends[0]);
    close(ends[1]);
    munmap(bad, 4096);
}

static void groups(void) {
    gid_t set[3] = { 7, 8, 9 }, got[3] = { 0 };
    say("setgroups", setgroups(3, set) == 0 && getgroups(0, 0) == 3 && getgroups(3, got) == 3 && got[0] == 7 && got[2] == 9);
    say("too little room", getgroups(2, got) == -1 && errno == EINVAL);
    say("none", setgroups(0, 0) == 0 && getgroups(0, 0) == 0);
}

int main(void) {
    chdir("/tmp");
    times();
    vectors();
    holes();
    nameless();
    named_pipe();
    spliced();
    pipes();
    groups();
    symlink("nowhere", "dangling");
    char list[10];
    say("attributes of a link itself", syscall(SYS_llistxattr, "dangling", list, sizeof list) >= 0 && syscall(SYS_listxattr, "dangling", list, sizeof list) == -1 && errno == ENOENT);
    unlink("dangling");
    printf("the end\n");
    return 0;
}
