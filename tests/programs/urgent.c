/* Urgent bytes of TCP (MSG_OOB): prints what comes of them, the same on Linux. */
#define _GNU_SOURCE
#include "say.h"
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/select.h>
#include <sys/socket.h>

static int in, out;

/* Two ends of a new connection. */
static void fresh(int family) {
    struct sockaddr_storage name = {.ss_family = family};
    socklen_t length = family == AF_INET ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6);
    struct linger linger = {1, 0};
    int on = 1, listener = socket(family, SOCK_STREAM, 0);
    if (in) {
        setsockopt(out, SOL_SOCKET, SO_LINGER, &linger, sizeof linger);
        close(out);
        close(in);
    }
    if (family == AF_INET)
        ((struct sockaddr_in *)&name)->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    else
        ((struct sockaddr_in6 *)&name)->sin6_addr = in6addr_loopback;
    bind(listener, (void *)&name, length);
    listen(listener, 1);
    getsockname(listener, (void *)&name, &length);
    out = socket(family, SOCK_STREAM, 0);
    if (connect(out, (void *)&name, length))
        perror("connect");
    /* What is sent is there at once. */
    setsockopt(out, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    in = accept(listener, 0, 0);
    close(listener);
}

/* Waits until so many bytes are there to be told of, or an urgent one. */
static void wait_for(int events) {
    struct pollfd one = {in, events, 0};
    poll(&one, 1, 10000);
}

/* What is to be seen from outside. */
static void look(void) {
    struct pollfd one = {in, POLLIN | POLLPRI | POLLRDBAND, 0};
    int mark = -1, count = -1;
    fd_set special;
    struct timeval now = {0, 0};
    struct epoll_event event = {EPOLLIN | EPOLLPRI, {0}};
    int instance = epoll_create1(0);
    poll(&one, 1, 0);
    FD_ZERO(&special);
    FD_SET(in, &special);
    int selected = select(in + 1, 0, 0, &special, &now);
    epoll_ctl(instance, EPOLL_CTL_ADD, in, &event);
    event.events = 0;
    epoll_wait(instance, &event, 1, 0);
    close(instance);
    if (ioctl(in, SIOCATMARK, &mark) || ioctl(in, FIONREAD, &count))
        printf("%s ", name_of(errno));
    printf("poll %x epoll %x select %d, %s, %d to read, sockatmark %d\n", one.revents, event.events, selected, mark ? "at the mark" : "not at the mark", count, sockatmark(in));
}

static void take(size_t length, int flags) {
    char bytes[100] = "";
    struct iovec part = {bytes, length};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
    ssize_t got = recvmsg(in, &message, flags | MSG_DONTWAIT);
    if (got < 0)
        printf("take %zu %x: %s\n", length, flags, name_of(errno));
    else
        printf("take %zu %x: %zd \"%.*s\" flags %x\n", length, flags, got, (int)got, bytes, message.msg_flags);
}

static void over(int family) {
    int on = 1;
    printf("one in the middle\n");
    fresh(family);
    take(1, MSG_OOB);
    TRY(send(out, "abcX", 4, MSG_OOB));
    TRY(send(out, "def", 3, 0));
    wait_for(POLLPRI);
    wait_for(POLLIN);
    look();
    take(99, MSG_PEEK);
    take(2, 0);
    look();
    take(1, MSG_OOB | MSG_PEEK);
    take(0, MSG_OOB | MSG_PEEK);
    take(1, MSG_OOB);
    look();
    take(1, MSG_OOB);
    take(99, 0);
    look();
    take(99, MSG_PEEK);
    take(99, 0);
    look();
    take(1, MSG_OOB);

    printf("alone\n");
    fresh(family);
    TRY(send(out, "X", 1, MSG_OOB));
    wait_for(POLLPRI);
    look();
    take(9, 0);
    look();
    take(1, MSG_OOB);
    TRY(send(out, "Y", 1, MSG_OOB));
    wait_for(POLLPRI);
    take(9, MSG_OOB);
    look();
    TRY(send(out, "z", 1, 0));
    wait_for(POLLIN);
    look();
    take(9, 0);
    look();

    printf("passed over\n");
    fresh(family);
    TRY(send(out, "abX", 3, MSG_OOB));
    TRY(send(out, "cd", 2, 0));
    wait_for(POLLPRI);
    take(2, 0);
    take(1, 0);
    take(1, MSG_OOB);
    look();
    take(5, 0);

    printf("one after the other\n");
    fresh(family);
    TRY(send(out, "aX", 2, MSG_OOB));
    wait_for(POLLPRI);
    TRY(send(out, "bY", 2, MSG_OOB));
    for (int count = 0; count != 3;)
        ioctl(in, FIONREAD, &count);
    look();
    take(1, MSG_OOB);
    take(9, 0);
    take(9, 0);
    look();

    printf("among the others\n");
    fresh(family);
    TRY(setsockopt(in, SOL_SOCKET, SO_OOBINLINE, &on, sizeof on));
    TRY(send(out, "abX", 3, MSG_OOB));
    TRY(send(out, "cd", 2, 0));
    wait_for(POLLPRI);
    for (int count = 0; count != 5;)
        ioctl(in, FIONREAD, &count);
    look();
    take(1, MSG_OOB);
    take(9, MSG_PEEK);
    take(9, 0);
    look();
    take(2, 0);
    look();
    take(9, 0);

    printf("nothing\n");
    TRY(send(out, "", 0, MSG_OOB));
    TRY(shutdown(out, SHUT_WR));
    wait_for(POLLIN);
    take(9, 0);
    take(1, MSG_OOB);
    TRY(send(out, "x", 1, MSG_OOB | MSG_NOSIGNAL));

    printf("before the end\n");
    fresh(family);
    TRY(send(out, "aX", 2, MSG_OOB));
    TRY(shutdown(out, SHUT_WR));
    for (int count = 0; count != POLLRDHUP;) {
        struct pollfd one = {in, POLLRDHUP, 0};
        poll(&one, 1, -1);
        count = one.revents;
    }
    look();
    take(9, 0);
    take(1, MSG_OOB);
    look();
    take(9, 0);
    take(1, MSG_OOB);
}

int main(void) {
    over(AF_INET);
    over(AF_INET6);
    int plain = socket(AF_INET, SOCK_STREAM, 0), datagrams = socket(AF_INET, SOCK_DGRAM, 0), mark = -1;
    TRY(recv(plain, &mark, 1, MSG_OOB));
    TRY(ioctl(plain, SIOCATMARK, &mark));
    TRY(ioctl(datagrams, SIOCATMARK, &mark));
    TRY(recv(datagrams, &mark, 1, MSG_OOB | MSG_DONTWAIT));
    TRY(send(datagrams, &mark, 1, MSG_OOB));
    return 0;
}
