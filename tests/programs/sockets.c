/* The socket interface against itself, over loopback and local sockets. Says each check that fails; prints the same on Linux. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <netinet/tcp.h>
#include <unistd.h>

#include "check.h"

static struct sockaddr_in loopback(int port) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return address;
}

static void pairs(void) {
    char bytes[100];
    int pair[2];
    CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
    CHECK(write(pair[0], "abc", 3) == 3);
    CHECK(write(pair[0], "def", 3) == 3);
    CHECK(read(pair[1], bytes, 100) == 6 && !memcmp(bytes, "abcdef", 6));
    CHECK(send(pair[0], "x", 1, MSG_DONTWAIT) == 1);
    CHECK(recv(pair[1], bytes, 9, MSG_PEEK) == 1);
    CHECK(recv(pair[1], bytes, 9, 0) == 1);
    FAILS(recv(pair[1], bytes, 9, MSG_DONTWAIT), EAGAIN);
    close(pair[0]);
    CHECK(read(pair[1], bytes, 9) == 0);
    FAILS(send(pair[1], "x", 1, MSG_NOSIGNAL), EPIPE);
    close(pair[1]);

    CHECK(socketpair(AF_UNIX, SOCK_DGRAM, 0, pair) == 0);
    struct sockaddr_un nobody;
    socklen_t nobody_length = sizeof nobody;
    char one_byte;
    CHECK(write(pair[0], "x", 1) == 1 && recvfrom(pair[1], &one_byte, 1, 0, (struct sockaddr *)&nobody, &nobody_length) == 1 && nobody_length == 0);
    CHECK(write(pair[0], "12345", 5) == 5);
    CHECK(write(pair[0], "6", 1) == 1);
    CHECK(recv(pair[1], bytes, 2, MSG_TRUNC) == 5);
    CHECK(read(pair[1], bytes, 9) == 1);
    close(pair[0]);
    close(pair[1]);
    FAILS(socketpair(AF_INET, SOCK_STREAM, 0, pair), EOPNOTSUPP);
}

static void passing(void) {
    int pair[2], ends[2], passed = -1;
    char bytes[9];
    CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0 && pipe(ends) == 0);
    union {
        char bytes[CMSG_SPACE(sizeof(int))];
        struct cmsghdr align;
    } control = {0};
    struct iovec part = {"m", 1};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
    message.msg_control = control.bytes;
    message.msg_controllen = sizeof control.bytes;
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof(int));
    memcpy(CMSG_DATA(header), &ends[1], sizeof(int));
    CHECK(sendmsg(pair[0], &message, 0) == 1);
    close(ends[1]);

    memset(&control, 0, sizeof control);
    part = (struct iovec){bytes, sizeof bytes};
    message.msg_controllen = sizeof control.bytes;
    CHECK(recvmsg(pair[1], &message, 0) == 1);
    header = CMSG_FIRSTHDR(&message);
    CHECK(header && header->cmsg_type == SCM_RIGHTS);
    if (header)
        memcpy(&passed, CMSG_DATA(header), sizeof(int));
    CHECK(write(passed, "hey", 3) == 3);
    CHECK(read(ends[0], bytes, 9) == 3);
    close(passed);
    CHECK(read(ends[0], bytes, 9) == 0);
    close(ends[0]);
    close(pair[0]);
    close(pair[1]);
}

static void names(void) {
    char bytes[9];
    struct sockaddr_un path = {.sun_family = AF_UNIX, .sun_path = "/tmp/sockets.test"};
    unlink(path.sun_path);
    int server = socket(AF_UNIX, SOCK_STREAM, 0), client = socket(AF_UNIX, SOCK_STREAM, 0);
    FAILS(connect(client, NAME(path)), ENOENT);
    CHECK(bind(server, NAME(path)) == 0);
    FAILS(connect(client, NAME(path)), ECONNREFUSED);
    CHECK(listen(server, 1) == 0);
    CHECK(connect(client, NAME(path)) == 0);
    int accepted = accept(server, NULL, NULL);
    CHECK(write(client, "path", 4) == 4 && read(accepted, bytes, 9) == 4);
    close(accepted);
    close(client);
    close(server);
    client = socket(AF_UNIX, SOCK_STREAM, 0);
    FAILS(connect(client, NAME(path)), ECONNREFUSED);
    close(client);
    CHECK(unlink(path.sun_path) == 0);

    struct sockaddr_un abstract = {.sun_family = AF_UNIX, .sun_path = "\0name"};
    server = socket(AF_UNIX, SOCK_SEQPACKET, 0);
    client = socket(AF_UNIX, SOCK_SEQPACKET, 0);
    CHECK(bind(server, (struct sockaddr *)&abstract, 7) == 0 && listen(server, 1) == 0);
    CHECK(connect(client, (struct sockaddr *)&abstract, 7) == 0);
    accepted = accept(server, NULL, NULL);
    CHECK(write(client, "one", 3) == 3 && write(client, "two", 3) == 3);
    CHECK(read(accepted, bytes, 2) == 2);
    CHECK(read(accepted, bytes, 9) == 3 && !memcmp(bytes, "two", 3));
    struct pollfd ready = {client, POLLIN | POLLOUT, 0};
    CHECK(poll(&ready, 1, 0) == 1 && ready.revents == POLLOUT);
    close(accepted);
    CHECK(poll(&ready, 1, 0) == 1 && ready.revents & POLLHUP);
    close(client);
    close(server);
}

static void streams(void) {
    static char bytes[70000];
    struct sockaddr_in address = loopback(0), peer, nobody = loopback(1);
    socklen_t length = sizeof address;
    int server = socket(AF_INET, SOCK_STREAM, 0), number = 9;
    CHECK(bind(server, NAME(address)) == 0 && listen(server, 5) == 0);
    CHECK(getsockname(server, (struct sockaddr *)&address, &length) == 0 && address.sin_port != 0);

    int client = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    FAILS(connect(client, NAME(address)), EINPROGRESS);
    struct pollfd ready = {client, POLLOUT, 0};
    CHECK(poll(&ready, 1, 1000) == 1);
    length = sizeof number;
    CHECK(getsockopt(client, SOL_SOCKET, SO_ERROR, &number, &length) == 0 && number == 0);
    CHECK(connect(client, NAME(address)) == 0);
    FAILS(connect(client, NAME(address)), EISCONN);
    length = sizeof peer;
    int accepted = accept4(server, (struct sockaddr *)&peer, &length, SOCK_CLOEXEC);
    CHECK(accepted >= 0 && peer.sin_addr.s_addr == htonl(INADDR_LOOPBACK));
    FAILS(read(client, bytes, 5), EAGAIN);
    CHECK(write(accepted, "hello", 5) == 5);
    CHECK(ioctl(client, FIONREAD, &number) == 0 && number == 5);
    CHECK(read(client, bytes, 9) == 5);

    /* Filled until nothing fits, then drained. */
    ssize_t moved;
    size_t sent = 0, got = 0;
    while ((moved = write(client, bytes, sizeof bytes)) > 0)
        sent += moved;
    CHECK(errno == EAGAIN && poll(&ready, 1, 0) == 0);
    while (got < sent && (moved = read(accepted, bytes, sizeof bytes)) > 0)
        got += moved;
    CHECK(got == sent && poll(&ready, 1, 1000) == 1);

    CHECK(shutdown(client, SHUT_WR) == 0 && read(accepted, bytes, 9) == 0);
    CHECK(write(accepted, "bye", 3) == 3);
    ready.events = POLLIN;
    CHECK(poll(&ready, 1, 1000) == 1 && read(client, bytes, 9) == 3);
    FAILS(send(client, "x", 1, MSG_NOSIGNAL), EPIPE);
    close(accepted);
    CHECK(poll(&ready, 1, 1000) == 1 && read(client, bytes, 9) == 0);
    close(client);

    client = socket(AF_INET, SOCK_STREAM, 0);
    FAILS(connect(client, NAME(nobody)), ECONNREFUSED);
    close(client);

    /* No lingering: the peer is reset. */
    client = socket(AF_INET, SOCK_STREAM, 0);
    CHECK(connect(client, NAME(address)) == 0);
    accepted = accept(server, NULL, NULL);
    struct linger none = {1, 0};
    CHECK(setsockopt(accepted, SOL_SOCKET, SO_LINGER, &none, sizeof none) == 0);
    close(accepted);
    FAILS(read(client, bytes, 9), ECONNRESET);
    CHECK(read(client, bytes, 9) == 0);
    close(client);

    int second = socket(AF_INET, SOCK_STREAM, 0);
    FAILS(bind(second, NAME(address)), EADDRINUSE);
    peer = address;
    peer.sin_addr.s_addr = htonl(0x08080808);
    FAILS(bind(second, NAME(peer)), EADDRNOTAVAIL);
    close(second);

    client = socket(AF_INET, SOCK_STREAM, 0);
    FAILS(read(client, bytes, 1), ENOTCONN);
    length = sizeof peer;
    FAILS(getpeername(client, (struct sockaddr *)&peer, &length), ENOTCONN);
    FAILS(send(client, "x", 1, MSG_NOSIGNAL), EPIPE);
    struct timeval short_time = {0, 50000};
    CHECK(setsockopt(client, SOL_SOCKET, SO_RCVTIMEO, &short_time, sizeof short_time) == 0);
    CHECK(connect(client, NAME(address)) == 0);
    FAILS(read(client, bytes, 1), EAGAIN);
    close(client);

    int on = 1;
    length = sizeof number;
    CHECK(setsockopt(server, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) == 0);
    CHECK(getsockopt(server, IPPROTO_TCP, TCP_NODELAY, &number, &length) == 0 && number == 1);
    CHECK(getsockopt(server, SOL_SOCKET, SO_ACCEPTCONN, &number, &length) == 0 && number == 1);
    FAILS(socket(99, SOCK_STREAM, 0), EAFNOSUPPORT);
    length = sizeof peer;
    FAILS(getsockname(1, (struct sockaddr *)&peer, &length), ENOTSOCK);
    close(server);
}

static void datagrams(void) {
    char bytes[2][9];
    struct sockaddr_in address = loopback(5353), nobody = loopback(5354), peer;
    socklen_t length = sizeof peer;
    int server = socket(AF_INET, SOCK_DGRAM, 0), client = socket(AF_INET, SOCK_DGRAM, 0);
    CHECK(bind(server, NAME(address)) == 0);
    CHECK(sendto(client, "ping", 4, 0, NAME(address)) == 4);
    CHECK(recvfrom(server, bytes, 9, 0, (struct sockaddr *)&peer, &length) == 4);
    CHECK(sendto(server, "pong", 4, 0, NAME(peer)) == 4 && recv(client, bytes, 9, 0) == 4);
    CHECK(sendto(client, "", 0, 0, NAME(address)) == 0 && recv(server, bytes, 9, 0) == 0);
    FAILS(send(client, "x", 1, 0), EDESTADDRREQ);
    CHECK(connect(client, NAME(nobody)) == 0 && send(client, "x", 1, 0) == 1);
    FAILS(recv(client, bytes, 9, 0), ECONNREFUSED);

    struct iovec out[2] = {{"aa", 2}, {"bbb", 3}}, in[2] = {{bytes[0], 9}, {bytes[1], 9}};
    struct mmsghdr messages[2] = {{{0}}};
    for (int i = 0; i < 2; i++)
        messages[i].msg_hdr = (struct msghdr){.msg_name = &address, .msg_namelen = sizeof address, .msg_iov = &out[i], .msg_iovlen = 1};
    int other = socket(AF_INET, SOCK_DGRAM, 0);
    CHECK(sendmmsg(other, messages, 2, 0) == 2 && messages[1].msg_len == 3);
    for (int i = 0; i < 2; i++)
        messages[i].msg_hdr = (struct msghdr){.msg_iov = &in[i], .msg_iovlen = 1};
    CHECK(recvmmsg(server, messages, 2, MSG_WAITFORONE, NULL) == 2 && messages[1].msg_len == 3);
    close(server);
    close(client);
    close(other);
}

enum { CLIENTS = 4, ROUNDS = 500 };
static struct sockaddr_in busy;

static void *dial(void *unused) {
    for (int round = 0; round < ROUNDS; round++) {
        char bytes[64];
        int client = socket(AF_INET, SOCK_STREAM, 0), got = 0, count;
        if (connect(client, NAME(busy)) != 0 || write(client, "0123456789", 10) != 10) {
            printf("round %d: errno %d\n", round, errno);
            break;
        }
        while (got < 10 && (count = read(client, bytes, sizeof bytes)) > 0)
            got += count;
        if (got != 10)
            printf("round %d: %d bytes\n", round, got);
        close(client);
    }
    return unused;
}

static void many(void) {
    busy = loopback(0);
    socklen_t length = sizeof busy;
    int server = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), poller = epoll_create1(0), done = 0;
    CHECK(bind(server, NAME(busy)) == 0 && listen(server, 128) == 0);
    getsockname(server, (struct sockaddr *)&busy, &length);
    struct epoll_event event = {EPOLLIN, {.fd = server}}, events[32];
    epoll_ctl(poller, EPOLL_CTL_ADD, server, &event);
    pthread_t clients[CLIENTS];
    for (int i = 0; i < CLIENTS; i++)
        pthread_create(&clients[i], NULL, dial, NULL);
    while (done < CLIENTS * ROUNDS) {
        int count = epoll_wait(poller, events, 32, 5000);
        CHECK(count > 0);
        if (count <= 0)
            break;
        for (int i = 0; i < count; i++) {
            int from = events[i].data.fd, accepted, got;
            char bytes[64];
            if (from == server) {
                while ((accepted = accept4(server, NULL, NULL, SOCK_NONBLOCK)) >= 0) {
                    event = (struct epoll_event){EPOLLIN | EPOLLET, {.fd = accepted}};
                    epoll_ctl(poller, EPOLL_CTL_ADD, accepted, &event);
                }
                continue;
            }
            while ((got = read(from, bytes, sizeof bytes)) > 0)
                CHECK(write(from, bytes, got) == got);
            if (got == 0) {
                close(from);
                done++;
            }
        }
    }
    for (int i = 0; i < CLIENTS; i++)
        pthread_join(clients[i], NULL);
    printf("%d connections\n", done);
    close(server);
    close(poller);
}

/* A connection that was refused, to a socket that does not wait: told once, and then the socket is as new. */
static void refused(void) {
    struct sockaddr_in address = loopback(0);
    socklen_t length = sizeof address;
    int bound = socket(AF_INET, SOCK_STREAM, 0), client = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), error = 0;
    CHECK(bind(bound, NAME(address)) == 0);
    getsockname(bound, (struct sockaddr *)&address, &length);
    for (int round = 0; round < 2; round++) {
        FAILS(connect(client, NAME(address)), EINPROGRESS);
        struct pollfd one = {.fd = client, .events = POLLOUT};
        CHECK(poll(&one, 1, -1) == 1);
        FAILS(connect(client, NAME(address)), ECONNREFUSED);
    }
    FAILS(connect(client, NAME(address)), EINPROGRESS);
    struct pollfd one = {.fd = client, .events = POLLOUT};
    CHECK(poll(&one, 1, -1) == 1);
    length = sizeof error;
    CHECK(getsockopt(client, SOL_SOCKET, SO_ERROR, &error, &length) == 0 && error == ECONNREFUSED);
    FAILS(connect(client, NAME(address)), ECONNABORTED);
    CHECK(listen(bound, 1) == 0);
    FAILS(connect(client, NAME(address)), EINPROGRESS);
    CHECK(poll(&one, 1, -1) == 1);
    CHECK(connect(client, NAME(address)) == 0);
    FAILS(connect(client, NAME(address)), EISCONN);
    close(client);
    close(bound);
}

/* A port that is bound is nobody's to connect from: a connection to it from itself would be made. */
static void alone(void) {
    struct sockaddr_in address = loopback(0);
    socklen_t length = sizeof address;
    int bound = socket(AF_INET, SOCK_STREAM, 0), met = 0;
    CHECK(bind(bound, NAME(address)) == 0);
    getsockname(bound, (struct sockaddr *)&address, &length);
    for (int round = 0; round < 30000; round++) {
        int client = socket(AF_INET, SOCK_STREAM, 0);
        met += connect(client, NAME(address)) != -1 || errno != ECONNREFUSED;
        close(client);
    }
    CHECK(met == 0);
    close(bound);
}

/* What can be had at all. */
static void kinds(void) {
    static const int kinds[][2] = {{AF_INET, SOCK_STREAM}, {AF_INET, SOCK_DGRAM}, {AF_UNIX, SOCK_STREAM}};
    for (int i = 0; i < 3; i++)
        printf("%d %d: %s\n", kinds[i][0], kinds[i][1], socket(kinds[i][0], kinds[i][1], 0) < 0 ? strerror(errno) : "there");
    int pair[2];
    printf("pair: %s\n", socketpair(AF_UNIX, SOCK_STREAM, 0, pair) < 0 ? strerror(errno) : "there");
}

int main(int count, char **arguments) {
    if (count > 1 && !strcmp(arguments[1], "kinds")) {
        kinds();
        return 0;
    }
    pairs();
    passing();
    names();
    streams();
    datagrams();
    many();
    refused();
    alone();
    printf("%d failures\n", failures);
    return failures != 0;
}
