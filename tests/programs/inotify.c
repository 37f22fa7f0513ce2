/* Watches files and directories below its argument, and prints every event that comes of what it does to them. */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <unistd.h>

static int fd;
static void *volatile nowhere = (void *)8;

static const char *names[] = {"ACCESS",     "MODIFY",   "ATTRIB",   "CLOSE_WRITE", "CLOSE_NOWRITE", "OPEN", "MOVED_FROM", "MOVED_TO",
                              "CREATE",     "DELETE",   "DELETE_SELF", "MOVE_SELF", "12",           "UNMOUNT", "Q_OVERFLOW", "IGNORED"};

/* Which of the cookies seen so far this is: renames of others, anywhere, take some. */
static int number_of(uint32_t cookie) {
    static uint32_t seen[64];
    static int count;
    for (int i = 0; i < count; i++)
        if (seen[i] == cookie)
            return i;
    seen[count] = cookie;
    return count++;
}

static void show(const char *bytes, ssize_t count) {
    for (ssize_t at = 0; at < count;) {
        const struct inotify_event *event = (const void *)(bytes + at);
        printf("  %d", event->wd);
        for (int bit = 0; bit < 16; bit++)
            if (event->mask & 1u << bit)
                printf(" %s", names[bit]);
        if (event->mask & ~0x4000ffffu)
            printf(" %#x", event->mask);
        if (event->mask & IN_ISDIR)
            printf(" ISDIR");
        if (event->cookie)
            printf(" cookie %d", number_of(event->cookie));
        if (event->len)
            printf(" \"%s\" (%u)", event->name, event->len);
        printf("\n");
        at += sizeof *event + event->len;
    }
}

/* Prints what has happened. */
static void events(const char *what) {
    static char bytes[65536] __attribute__((aligned(8)));
    int waiting = -1;
    ioctl(fd, FIONREAD, &waiting);
    ssize_t count = read(fd, bytes, sizeof bytes);
    printf("%s: %d %s\n", what, waiting, count < 0 ? strerror(errno) : count == waiting ? "bytes" : "DIFFERENT");
    show(bytes, count);
}

#define SAY(call)                                                                                                                   \
    do {                                                                                                                            \
        errno = 0;                                                                                                                  \
        long result = (long)(call);                                                                                                 \
        printf("%s: %ld%s%s\n", #call, result, result < 0 ? " " : "", result < 0 ? strerror(errno) : "");                    \
    } while (0)

static void put(const char *path, const char *text) {
    int file = open(path, O_WRONLY | O_CREAT | O_APPEND, 0644);
    if (write(file, text, strlen(text)) < 0)
        perror(path);
    close(file);
}

static void *late(void *path) {
    usleep(20000);
    mkdir(path, 0755);
    return 0;
}

static void mistakes(void) {
    int other = open("plain", O_RDONLY | O_CREAT, 0644);
    SAY(inotify_init1(1));
    SAY(inotify_add_watch(fd, "plain", 0));
    SAY(inotify_add_watch(-1, "plain", IN_OPEN));
    SAY(inotify_add_watch(other, "plain", IN_OPEN));
    SAY(inotify_add_watch(fd, "missing", IN_OPEN));
    SAY(inotify_add_watch(fd, "", IN_OPEN));
    SAY(inotify_add_watch(fd, NULL, IN_OPEN));
    SAY(inotify_add_watch(fd, "plain", IN_OPEN | IN_ONLYDIR));
    SAY(inotify_add_watch(fd, "plain", IN_OPEN | IN_MASK_ADD | IN_MASK_CREATE));
    SAY(inotify_rm_watch(fd, 7));
    SAY(inotify_rm_watch(other, 1));
    SAY(inotify_rm_watch(-1, 1));
    SAY(write(fd, "x", 1));
    SAY(read(fd, names, 0));
    close(other);
    unlink("plain");
    events("mistakes");
}

static void directory(void) {
    char buffer[64];
    mkdir("d", 0755);
    SAY(inotify_add_watch(fd, "d", IN_ALL_EVENTS));
    SAY(inotify_add_watch(fd, "d", IN_ALL_EVENTS | IN_MASK_CREATE));
    put("d/file", "one");
    events("a new file");
    put("d/file", "two");
    events("more of it");
    int file = open("d/file", O_RDWR);
    SAY(read(file, buffer, 2));
    SAY(pread(file, buffer, 2, 1));
    SAY(read(file, buffer, 9));
    SAY(read(file, buffer, 9));
    struct iovec parts[] = {{buffer, 2}, {buffer + 2, 2}};
    SAY(pwritev(file, parts, 2, 3));
    SAY(ftruncate(file, 3));
    SAY(fchmod(file, 0600));
    SAY(fchown(file, -1, -1));
    SAY(fchown(file, getuid(), -1));
    SAY(futimens(file, NULL));
    SAY(futimens(file, (struct timespec[]){{1, 0}, {0, UTIME_OMIT}}));
    SAY(futimens(file, (struct timespec[]){{0, UTIME_OMIT}, {1, 0}}));
    int copy = dup(file);
    close(file);
    events("an open file");
    close(copy);
    events("closed");
    /* Which comes first of the opening and the emptying is not the same in all versions of Linux. */
    inotify_add_watch(fd, "d", IN_MODIFY);
    close(open("d/file", O_WRONLY | O_TRUNC));
    inotify_add_watch(fd, "d", IN_ALL_EVENTS);
    events("emptied");
    close(open("d/file", O_RDONLY));
    SAY(truncate("d/file", 100));
    SAY(chmod("d/file", 0644));
    SAY(access("d/file", R_OK));
    events("by its path");
    SAY(mkdir("d/sub", 0755));
    SAY(symlink("file", "d/link"));
    SAY(mkfifo("d/fifo", 0644));
    SAY(link("d/file", "d/other"));
    events("made");
    int unix_socket = socket(AF_UNIX, SOCK_STREAM, 0);
    struct sockaddr_un address = {AF_UNIX, "d/socket"};
    SAY(bind(unix_socket, (void *)&address, sizeof address));
    close(unix_socket);
    DIR *list = opendir("d");
    while (readdir(list))
        ;
    closedir(list);
    list = opendir("d/sub");
    while (readdir(list))
        ;
    closedir(list);
    events("listed");
    SAY(rename("d/file", "d/renamed"));
    SAY(rename("d/renamed", "d/other"));
    SAY(rename("d/sub", "d/moved"));
    SAY(rename("d/moved", "moved"));
    SAY(rename("moved", "d/back"));
    SAY(rename("d/other", "outside"));
    events("moved");
    SAY(unlink("d/link"));
    SAY(unlink("d/fifo"));
    SAY(unlink("d/socket"));
    SAY(rmdir("d/back"));
    SAY(unlink("d/renamed"));
    SAY(unlink("outside"));
    events("removed");
    SAY(rmdir("d"));
    events("the directory itself");
    SAY(inotify_rm_watch(fd, 1));
}

static void nodes(void) {
    put("f", "x");
    mkdir("d", 0755);
    SAY(inotify_add_watch(fd, "f", IN_ALL_EVENTS));
    SAY(inotify_add_watch(fd, "d", IN_ALL_EVENTS));
    put("f", "y");
    SAY(link("f", "g"));
    SAY(unlink("f"));
    events("one name of two");
    SAY(rename("g", "d/h"));
    put("d/h", "z");
    events("in a directory that is watched too");
    int file = open("d/h", O_RDONLY);
    SAY(unlink("d/h"));
    events("removed while open");
    char byte;
    SAY(read(file, &byte, 1));
    events("without a name");
    close(file);
    events("closed at last");
    put("f", "x");
    put("g", "x");
    SAY(inotify_add_watch(fd, "f", IN_ALL_EVENTS));
    SAY(inotify_add_watch(fd, "g", IN_ALL_EVENTS));
    SAY(rename("f", "g"));
    events("replaced");
    SAY(inotify_add_watch(fd, "g", IN_ALL_EVENTS | IN_MASK_CREATE));
    SAY(inotify_rm_watch(fd, 4));
    events("not watched any more");
    put("g", "quiet");
    SAY(inotify_rm_watch(fd, 2));
    rmdir("d");
    unlink("g");
    events("the rest");
}

static void flags(void) {
    put("f", "x");
    symlink("f", "l");
    mkdir("d", 0755);
    SAY(inotify_add_watch(fd, "l", IN_OPEN));
    SAY(inotify_add_watch(fd, "l", IN_ALL_EVENTS | IN_DONT_FOLLOW));
    close(open("l", O_RDONLY));
    events("through a link");
    unlink("l");
    events("the link");
    SAY(inotify_add_watch(fd, "f", IN_ATTRIB | IN_MASK_ADD));
    chmod("f", 0600);
    close(open("f", O_RDONLY));
    events("added");
    SAY(inotify_add_watch(fd, "f", IN_CLOSE));
    chmod("f", 0644);
    close(open("f", O_RDONLY));
    events("replaced");
    SAY(inotify_add_watch(fd, "f", IN_OPEN | IN_ONESHOT));
    put("f", "x");
    put("f", "x");
    events("once");
    SAY(inotify_add_watch(fd, "d", IN_ALL_EVENTS | IN_EXCL_UNLINK | IN_ONLYDIR));
    put("d/x", "x");
    int file = open("d/x", O_RDWR);
    unlink("d/x");
    events("unlinked");
    SAY(write(file, "more", 4));
    close(file);
    events("not told of");
    SAY(inotify_add_watch(fd, "d", IN_MODIFY | IN_CLOSE));
    put("d/x", "x");
    file = open("d/x", O_RDWR);
    unlink("d/x");
    SAY(write(file, "more", 4));
    close(file);
    events("told of");
    put("d/x", "x");
    file = open("d/x", O_RDWR);
    rename("d/x", "d/y");
    SAY(write(file, "more", 4));
    close(file);
    events("under another name");
    SAY(inotify_add_watch(fd, "d", IN_DELETE_SELF | IN_DELETE));
    unlink("d/y");
    rmdir("d");
    unlink("f");
    events("the end");
}

static void queue(void) {
    char bytes[256] __attribute__((aligned(8)));
    mkdir("d", 0755);
    SAY(inotify_add_watch(fd, "d", IN_MODIFY | IN_CREATE | IN_DELETE));
    int file = open("d/a", O_WRONLY | O_CREAT, 0644);
    for (int i = 0; i < 5; i++)
        if (write(file, "x", 1) != 1)
            perror("write");
    close(file);
    put("d/a-name-of-more-than-sixteen-bytes", "");
    int waiting;
    SAY(ioctl(fd, FIONREAD, &waiting));
    printf("%d bytes\n", waiting);
    SAY(read(fd, bytes, 15));
    SAY(read(fd, bytes, 31));
    ssize_t count = read(fd, bytes, 70);
    printf("%zd bytes\n", count);
    show(bytes, count);
    SAY(read(fd, bytes, 48));
    count = read(fd, bytes, 64);
    printf("%zd bytes\n", count);
    show(bytes, count);
    SAY(read(fd, bytes, 64));
    unlink("d/a");
    SAY(read(fd, nowhere, 64));
    SAY(read(fd, bytes, 64));
    struct pollfd poll_it = {fd, POLLIN | POLLOUT, 0};
    SAY(poll(&poll_it, 1, 0));
    int epoll = epoll_create1(0);
    struct epoll_event event = {EPOLLIN | EPOLLET, {.u32 = 5}};
    SAY(epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event));
    SAY(epoll_wait(epoll, &event, 1, 0));
    unlink("d/a-name-of-more-than-sixteen-bytes");
    SAY(poll(&poll_it, 1, 0));
    printf("%#x\n", poll_it.revents);
    SAY(epoll_wait(epoll, &event, 1, 0));
    SAY(epoll_wait(epoll, &event, 1, 0));
    events("polled");
    /* A thread that waits is woken. */
    pthread_t thread;
    fcntl(fd, F_SETFL, 0);
    pthread_create(&thread, 0, late, "d/late");
    count = read(fd, bytes, sizeof bytes);
    show(bytes, count);
    pthread_join(thread, 0);
    fcntl(fd, F_SETFL, O_NONBLOCK);
    /* Two instances are told of the same. */
    int mine = fd;
    fd = inotify_init();
    fcntl(fd, F_SETFL, O_NONBLOCK);
    SAY(inotify_add_watch(fd, ".", IN_ALL_EVENTS));
    SAY(inotify_add_watch(fd, "d", IN_ALL_EVENTS));
    rename("d", "e");
    rename("e", "d");
    rmdir("d/late");
    events("the other");
    close(fd);
    fd = mine;
    events("and this one");
    rmdir("d");
    events("gone");
    SAY(fcntl(inotify_init1(IN_CLOEXEC | IN_NONBLOCK), F_GETFD));
}

/* More than the queue holds: changes that are not equal to the last, until one says that others were lost. */
static void overflow(void) {
    static char bytes[1 << 20] __attribute__((aligned(8)));
    long limit = 0;
    FILE *file = fopen("/proc/sys/fs/inotify/max_queued_events", "r");
    if (!file || fscanf(file, "%ld", &limit) != 1)
        perror("limit");
    fclose(file);
    put("f", "x");
    SAY(inotify_add_watch(fd, "f", IN_OPEN | IN_CLOSE));
    for (long i = 0; i < limit / 2 + 5; i++)
        close(open("f", O_RDONLY));
    long total = 0;
    struct inotify_event last = {0};
    for (ssize_t count; (count = read(fd, bytes, sizeof bytes)) > 0;) {
        total += count;
        memcpy(&last, bytes + count - sizeof last, sizeof last);
    }
    printf("one more than the limit: %d\n", total == (limit + 1) * (long)sizeof last);
    show((char *)&last, sizeof last);
    unlink("f");
    events("afterwards");
}

int main(int argc, char **argv) {
    if (argc > 1 && chdir(argv[1]))
        return 1;
    void (*parts[])(void) = {mistakes, directory, nodes, flags, queue, overflow};
    for (unsigned i = 0; i < sizeof parts / sizeof *parts; i++) {
        fd = inotify_init1(IN_NONBLOCK);
        printf("-- %u\n", i);
        parts[i]();
        fflush(stdout);
        close(fd);
    }
    printf("the end\n");
    return 0;
}
