/* Options of sockets, and closing that lingers: prints what comes of them, the same on Linux. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static long check(const char *what, long result) {
    if (result < 0)
        printf("%s: %s\n", what, strerror(errno));
    else
        printf("%s: %ld\n", what, result);
    return result;
}

static int set(int fd, int level, int name, int value) {
    return setsockopt(fd, level, name, &value, sizeof value);
}

static int get(int fd, int level, int name) {
    int value = -1;
    socklen_t length = sizeof value;
    return getsockopt(fd, level, name, &value, &length) == 0 ? value : -1;
}

static void buffers(int family, int type, const char *what) {
    static const int sizes[] = {0, 1, 1000, 5000, 100000, 1 << 20, 1 << 30, -1};
    int fd = socket(family, type, 0);
    printf("%s\n", what);
    for (unsigned i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        check("set", set(fd, SOL_SOCKET, SO_RCVBUF, sizes[i]) | set(fd, SOL_SOCKET, SO_SNDBUF, sizes[i]));
        /* How much may be had at most is a setting of the machine. */
        if (sizes[i] >= 0 && sizes[i] <= 100000)
            printf("%d: %d %d\n", sizes[i], get(fd, SOL_SOCKET, SO_RCVBUF), get(fd, SOL_SOCKET, SO_SNDBUF));
    }
    char byte = 0;
    check("short", setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &byte, 1));
    close(fd);
}

static void linger_option(int type) {
    int fd = socket(AF_INET, type, 0);
    static const struct linger values[] = {{0, 0}, {1, 7}, {0, 9}, {1, 0}, {5, 300}};
    for (unsigned i = 0; i < sizeof values / sizeof *values; i++) {
        struct linger linger = {-1, -1};
        socklen_t length = sizeof linger;
        check("linger", setsockopt(fd, SOL_SOCKET, SO_LINGER, &values[i], sizeof *values));
        getsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, &length);
        printf("%d %d\n", linger.l_onoff, linger.l_linger);
    }
    check("half of it", setsockopt(fd, SOL_SOCKET, SO_LINGER, values, sizeof(int)));
    close(fd);
}

/* Two ends of a connection; little room at the receiving one. */
static void connected(int ends[2]) {
    struct sockaddr_in address = {.sin_family = AF_INET};
    socklen_t length = sizeof address;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int server = socket(AF_INET, SOCK_STREAM, 0);
    set(server, SOL_SOCKET, SO_RCVBUF, 8192);
    bind(server, (struct sockaddr *)&address, length);
    getsockname(server, (struct sockaddr *)&address, &length);
    listen(server, 1);
    ends[0] = socket(AF_INET, SOCK_STREAM, 0);
    set(ends[0], SOL_SOCKET, SO_SNDBUF, 32768);
    check("connect", connect(ends[0], (struct sockaddr *)&address, length));
    ends[1] = accept(server, NULL, NULL);
    close(server);
}

static long since(const struct timespec *start) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (now.tv_sec - start->tv_sec) * 1000 + (now.tv_nsec - start->tv_nsec) / 1000000;
}

/* Closes, and says whether that took at least so many milliseconds. */
static void closes(const char *what, int fd, long least) {
    struct timespec start;
    clock_gettime(CLOCK_MONOTONIC, &start);
    int result = close(fd);
    printf("%s: %d%s\n", what, result, since(&start) >= least ? ", after some time" : ", at once");
}

static void lingers(int fd, int seconds) {
    struct linger linger = {1, seconds};
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof linger);
}

/* As much as goes in without a wait. */
static long fill(int fd) {
    static char bytes[4096];
    long sent = 0, now;
    int flags = fcntl(fd, F_GETFL);
    fcntl(fd, F_SETFL, flags | O_NONBLOCK);
    /* The other end's kernel takes some, too. */
    for (int quiet = 0; quiet < 20;)
        if ((now = write(fd, bytes, sizeof bytes)) > 0)
            sent += now, quiet = 0;
        else
            quiet++, usleep(1000);
    return sent;
}

static long drain(int fd) {
    char bytes[4096];
    long got = 0, now;
    while ((now = read(fd, bytes, sizeof bytes)) > 0)
        got += now;
    return now < 0 ? now : got;
}

static void nothing(int number) {
    (void)number;
}

static void lingering(void) {
    int ends[2];
    connected(ends);
    lingers(ends[0], 100);
    check("write", write(ends[0], "hello", 5));
    closes("acknowledged without being read", ends[0], 10000);
    check("all", drain(ends[1]));
    close(ends[1]);

    connected(ends);
    lingers(ends[0], 1);
    long sent = fill(ends[0]);
    /* Although the socket is one that does not wait. */
    closes("without room", ends[0], 900);
    printf("all: %d\n", drain(ends[1]) == sent);
    close(ends[1]);

    connected(ends);
    lingers(ends[0], 3);
    fill(ends[0]);
    int twin = dup(ends[0]);
    closes("not the last", ends[0], 2900);
    closes("the last", twin, 2900);
    close(ends[1]);

    connected(ends);
    lingers(ends[0], 60);
    fill(ends[0]);
    struct sigaction action = {.sa_handler = nothing};
    struct itimerval timer = {.it_value = {.tv_usec = 200000}};
    sigaction(SIGALRM, &action, NULL);
    setitimer(ITIMER_REAL, &timer, NULL);
    closes("with a signal", ends[0], 30000);
    close(ends[1]);

    connected(ends);
    lingers(ends[0], 0);
    check("write", write(ends[0], "hello", 5));
    closes("without lingering", ends[0], 10000);
    struct pollfd ready = {ends[1], POLLIN | POLLRDHUP, 0};
    check("poll", poll(&ready, 1, 10000));
    printf("%x\n", ready.revents);
    check("read", drain(ends[1]));
    check("read", drain(ends[1]));
    close(ends[1]);

    connected(ends);
    lingers(ends[0], 100);
    check("write", write(ends[1], "hello", 5));
    ready = (struct pollfd){ends[0], POLLIN, 0};
    check("poll", poll(&ready, 1, 10000));
    closes("with something unread", ends[0], 10000);
    check("read", drain(ends[1]));
    close(ends[1]);

    connected(ends);
    lingers(ends[0], 1);
    fill(ends[0]);
    int other = open("/dev/null", O_RDWR);
    struct timespec start;
    clock_gettime(CLOCK_MONOTONIC, &start);
    check("dup2", dup2(other, ends[0]) == ends[0]);
    printf("%s\n", since(&start) >= 900 ? "lingered" : "did not linger");
    close(ends[1]);
    /* The end of a program does not linger (`socket(7)`). */
    connected(ends);
    lingers(ends[0], 100000);
    fill(ends[0]);
}

int main(void) {
    buffers(AF_INET, SOCK_STREAM, "TCP");
    buffers(AF_INET6, SOCK_DGRAM, "UDP");
    buffers(AF_UNIX, SOCK_STREAM, "local");
    linger_option(SOCK_STREAM);
    linger_option(SOCK_DGRAM);
    lingering();
    fflush(stdout);
    return 0;
}
