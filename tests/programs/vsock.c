/* AF_VSOCK (`vsock(7)`): "alone" prints what needs no peer, the same on Linux; "self" is a program that talks to itself, and says each check that fails; "serve" echoes at port 7; "dial" connects to the host. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <linux/vm_sockets.h>
#include <unistd.h>

#include "check.h"

static struct sockaddr_vm at(unsigned cid, unsigned port) {
    return (struct sockaddr_vm){.svm_family = AF_VSOCK, .svm_cid = cid, .svm_port = port};
}

static void say(const char *what, long result) {
    if (result < 0)
        printf("%s: %s\n", what, strerror(errno));
    else
        printf("%s: %ld\n", what, result);
}

static void say_name(const char *what, int fd) {
    struct sockaddr_vm name = {0};
    socklen_t length = sizeof name;
    int result = getsockname(fd, (struct sockaddr *)&name, &length);
    printf("%s: %d, family %d, cid %d, length %d\n", what, result, name.svm_family, (int)name.svm_cid, length);
}

static void say_size(int fd, int option) {
    uint64_t value = 0;
    socklen_t length = sizeof value;
    int result = getsockopt(fd, AF_VSOCK, option, &value, &length);
    printf("size %d: %d, %llu\n", option, result, (unsigned long long)value);
}

static void alone(void) {
    char byte = 0;
    say("another protocol", socket(AF_VSOCK, SOCK_STREAM, 6));
    say("raw", socket(AF_VSOCK, SOCK_RAW, 0));
    int fd = socket(AF_VSOCK, SOCK_STREAM, 0);
    say_name("unbound", fd);
    struct sockaddr_vm name = at(VMADDR_CID_ANY, 7000);
    socklen_t length = sizeof name;
    say("peer", getpeername(fd, (struct sockaddr *)&name, &length));
    say("listen", listen(fd, 1));
    say("accept", accept(fd, NULL, NULL));
    say("read", read(fd, &byte, 1));
    say("write", send(fd, &byte, 1, MSG_NOSIGNAL));
    say("shutdown", shutdown(fd, SHUT_RDWR));
    name = at(77777, 7000);
    say("bind elsewhere", bind(fd, NAME(name)));
    name = at(VMADDR_CID_ANY, 7000);
    say("short", bind(fd, (struct sockaddr *)&name, 12));
    name.svm_flags = 0x80;
    say("flags", bind(fd, NAME(name)));
    name = at(VMADDR_CID_ANY, 7000);
    name.svm_family = AF_INET;
    say("another family", bind(fd, NAME(name)));
    name = at(VMADDR_CID_ANY, 7000);
    say("bind", bind(fd, NAME(name)));
    say("again", bind(fd, NAME(name)));
    say_name("bound", fd);
    int other = socket(AF_VSOCK, SOCK_STREAM, 0);
    say("taken", bind(other, NAME(name)));
    name = at(VMADDR_CID_ANY, VMADDR_PORT_ANY);
    say("any port", bind(other, NAME(name)));
    say("listen", listen(other, 1));
    say("listen again", listen(other, 5));
    struct pollfd ready = {other, POLLIN | POLLOUT, 0};
    say("poll", poll(&ready, 1, 0));
    fcntl(other, F_SETFL, O_NONBLOCK);
    say("accept", accept(other, NULL, NULL));
    say("connect", connect(other, NAME(name)));
    uint64_t sizes[] = {1000, 10, 1 << 20};
    for (int option = 0; option < 3; option++)
        say_size(fd, option);
    say("set size", setsockopt(fd, AF_VSOCK, SO_VM_SOCKETS_BUFFER_SIZE, sizes, 8));
    say_size(fd, 0);
    say("set size", setsockopt(fd, AF_VSOCK, SO_VM_SOCKETS_BUFFER_SIZE, sizes + 1, 8));
    say_size(fd, 0);
    say("set size", setsockopt(fd, AF_VSOCK, SO_VM_SOCKETS_BUFFER_SIZE, sizes + 2, 8));
    say_size(fd, 0);
    say("set size", setsockopt(fd, AF_VSOCK, SO_VM_SOCKETS_BUFFER_SIZE, sizes, 4));
    say("set most", setsockopt(fd, AF_VSOCK, SO_VM_SOCKETS_BUFFER_MAX_SIZE, sizes + 2, 8));
    say("set least", setsockopt(fd, AF_VSOCK, SO_VM_SOCKETS_BUFFER_MIN_SIZE, sizes, 8));
    for (int option = 0; option < 3; option++)
        say_size(fd, option);
    struct timeval time = {0};
    length = sizeof time;
    say("timeout", getsockopt(fd, AF_VSOCK, SO_VM_SOCKETS_CONNECT_TIMEOUT, &time, &length));
    printf("%ld %ld\n", (long)time.tv_sec, (long)time.tv_usec);
    say("no such option", setsockopt(fd, AF_VSOCK, 99, sizes, 8));
    close(fd);
    close(other);
}

enum { MUCH = 3000000 };

static void *send_much(void *argument) {
    int fd = (intptr_t)argument;
    char bytes[5000];
    long sent = 0;
    while (sent < MUCH) {
        long count = MUCH - sent < (long)sizeof bytes ? MUCH - sent : (long)sizeof bytes;
        for (long i = 0; i < count; i++)
            bytes[i] = (sent + i) % 251;
        CHECK(write(fd, bytes, count) == count);
        sent += count;
    }
    CHECK(shutdown(fd, SHUT_WR) == 0);
    return NULL;
}

static long receive_much(int fd) {
    static char bytes[70000];
    long got = 0, now;
    while ((now = read(fd, bytes, sizeof bytes)) > 0)
        for (long i = 0; i < now; i++, got++)
            if (bytes[i] != (char)(got % 251))
                return -1;
    return got;
}

static void self(void) {
    char bytes[100];
    struct sockaddr_vm name = at(VMADDR_CID_LOCAL, 7);
    int server = socket(AF_VSOCK, SOCK_STREAM | SOCK_CLOEXEC, 0), client = socket(AF_VSOCK, SOCK_STREAM, 0);
    FAILS(connect(client, NAME(name)), ECONNRESET);
    CHECK(bind(server, NAME(name)) == 0 && listen(server, 2) == 0);
    CHECK(connect(client, NAME(name)) == 0);
    FAILS(connect(client, NAME(name)), EISCONN);
    struct sockaddr_vm peer = {0}, own = {0};
    socklen_t length = sizeof peer;
    int accepted = accept4(server, (struct sockaddr *)&peer, &length, SOCK_NONBLOCK);
    CHECK(accepted >= 0 && length == sizeof peer && peer.svm_cid == VMADDR_CID_LOCAL);
    CHECK(getsockname(client, (struct sockaddr *)&own, &length) == 0 && own.svm_port == peer.svm_port);
    CHECK(getpeername(client, (struct sockaddr *)&own, &length) == 0 && own.svm_port == 7 && own.svm_cid == VMADDR_CID_LOCAL);
    CHECK(getsockname(accepted, (struct sockaddr *)&own, &length) == 0 && own.svm_port == 7);

    FAILS(read(accepted, bytes, 1), EAGAIN);
    struct pollfd ready = {accepted, POLLIN | POLLOUT | POLLRDHUP, 0};
    CHECK(poll(&ready, 1, 0) == 1 && ready.revents == POLLOUT);
    CHECK(write(client, "hello", 5) == 5 && write(client, " again", 6) == 6);
    CHECK(poll(&ready, 1, 1000) == 1 && ready.revents == (POLLIN | POLLOUT));
    int count = 0;
    CHECK(ioctl(accepted, FIONREAD, &count) == 0 && count == 11);
    CHECK(recv(accepted, bytes, 100, MSG_PEEK) >= 5 && !memcmp(bytes, "hello", 5));
    CHECK(recv(accepted, bytes, 3, 0) == 3 && recv(accepted, bytes, 8, MSG_WAITALL) == 8 && !memcmp(bytes, "lo again", 8));
    CHECK(send(accepted, "back", 4, 0) == 4 && read(client, bytes, 100) == 4 && !memcmp(bytes, "back", 4));
    FAILS(sendto(client, "x", 1, 0, NAME(name)), EISCONN);
    FAILS(send(client, "x", 1, MSG_OOB), EOPNOTSUPP);

    /* More than there is room for, both ways, and in turns. */
    fcntl(accepted, F_SETFL, 0);
    pthread_t sending;
    pthread_create(&sending, NULL, send_much, (void *)(intptr_t)client);
    CHECK(receive_much(accepted) == MUCH);
    pthread_join(sending, NULL);
    CHECK(poll(&ready, 1, 1000) == 1 && ready.revents == (POLLIN | POLLOUT | POLLRDHUP));
    FAILS(send(client, "x", 1, MSG_NOSIGNAL), EPIPE);
    pthread_create(&sending, NULL, send_much, (void *)(intptr_t)accepted);
    CHECK(receive_much(client) == MUCH);
    pthread_join(sending, NULL);
    close(client);
    ready.events = POLLIN;
    CHECK(poll(&ready, 1, 1000) == 1 && ready.revents & POLLHUP);
    CHECK(read(accepted, bytes, 100) == 0);
    close(accepted);

    /* Without a wait: a full buffer, room again, and an end with bytes before it. */
    client = socket(AF_VSOCK, SOCK_STREAM | SOCK_NONBLOCK, 0);
    FAILS(connect(client, NAME(name)), EINPROGRESS);
    ready = (struct pollfd){client, POLLOUT, 0};
    CHECK(poll(&ready, 1, 1000) == 1 && ready.revents == POLLOUT);
    int error = -1;
    length = sizeof error;
    CHECK(getsockopt(client, SOL_SOCKET, SO_ERROR, &error, &length) == 0 && error == 0);
    accepted = accept(server, NULL, NULL);
    int poller = epoll_create1(0);
    struct epoll_event event = {EPOLLOUT | EPOLLET, {.fd = client}};
    CHECK(epoll_ctl(poller, EPOLL_CTL_ADD, client, &event) == 0 && epoll_wait(poller, &event, 1, 1000) == 1);
    static char page[4096];
    long sent = 0, now;
    while ((now = write(client, page, sizeof page)) > 0)
        sent += now;
    CHECK(now == -1 && errno == EAGAIN && sent >= 65536);
    CHECK(epoll_wait(poller, &event, 1, 0) == 0);
    long got = 0;
    while (got < sent && (now = read(accepted, page, sizeof page)) > 0)
        got += now;
    CHECK(got == sent && epoll_wait(poller, &event, 1, 1000) == 1);
    CHECK(write(client, "last", 4) == 4);
    close(client);
    CHECK(read(accepted, bytes, 100) == 4 && read(accepted, bytes, 100) == 0);
    FAILS(send(accepted, "x", 1, MSG_NOSIGNAL), EPIPE);
    close(accepted);
    close(poller);

    /* As many as the backlog has room for; closing the server ends those that nobody accepted. */
    int many[4];
    for (int i = 0; i < 4; i++) {
        many[i] = socket(AF_VSOCK, SOCK_STREAM, 0);
        int result = connect(many[i], NAME(name));
        CHECK(i < 3 ? result == 0 : result == -1 && errno == ECONNRESET);
    }
    close(server);
    CHECK(read(many[0], bytes, 1) == 0);
    FAILS(connect(many[3], NAME(name)), ECONNRESET);
    for (int i = 0; i < 4; i++)
        close(many[i]);
    struct timeval limit = {0, 100000};
    server = socket(AF_VSOCK, SOCK_STREAM, 0);
    CHECK(bind(server, NAME(name)) == 0 && listen(server, 1) == 0);
    CHECK(setsockopt(server, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit) == 0);
    FAILS(accept(server, NULL, NULL), EAGAIN);
    /* Again and again: nothing is kept. */
    for (int i = 0; i < 2000; i++) {
        client = socket(AF_VSOCK, SOCK_STREAM, 0);
        CHECK(connect(client, NAME(name)) == 0);
        accepted = accept(server, NULL, NULL);
        CHECK(write(client, &i, sizeof i) == sizeof i);
        CHECK(read(accepted, bytes, 100) == sizeof i && !memcmp(bytes, &i, sizeof i));
        close(i % 2 ? client : accepted);
        close(i % 2 ? accepted : client);
    }
    close(server);
    printf("%d failures\n", failures);
}

static void *echo(void *argument) {
    int fd = (intptr_t)argument;
    char bytes[8192];
    long now;
    while ((now = read(fd, bytes, sizeof bytes)) > 0)
        if (write(fd, bytes, now) != now)
            break;
    close(fd);
    return NULL;
}

static void serve(void) {
    struct sockaddr_vm name = at(VMADDR_CID_ANY, 7);
    int server = socket(AF_VSOCK, SOCK_STREAM, 0), fd, device = open("/dev/vsock", O_RDONLY);
    unsigned cid = 0;
    say("cid", ioctl(device, IOCTL_VM_SOCKETS_GET_LOCAL_CID, &cid) < 0 ? -1 : (long)cid);
    CHECK(bind(server, NAME(name)) == 0 && listen(server, 10) == 0);
    signal(SIGPIPE, SIG_IGN);
    puts("ready");
    fflush(stdout);
    while ((fd = accept(server, NULL, NULL)) >= 0) {
        pthread_t thread;
        pthread_create(&thread, NULL, echo, (void *)(intptr_t)fd);
        pthread_detach(thread);
    }
}

static void dial(unsigned port) {
    char bytes[100];
    struct sockaddr_vm name = at(VMADDR_CID_HOST, port);
    int fd = socket(AF_VSOCK, SOCK_STREAM, 0);
    printf("%u ", port);
    if (connect(fd, NAME(name)) != 0) {
        say("connect", -1);
    } else {
        CHECK(write(fd, "hello", 5) == 5);
        long got = recv(fd, bytes, sizeof bytes, MSG_WAITALL);
        printf("read: %.*s\n", (int)(got < 0 ? 0 : got), bytes);
    }
    fflush(stdout);
    close(fd);
}

int main(int count, char **arguments) {
    const char *what = count > 1 ? arguments[1] : "";
    if (!strcmp(what, "alone"))
        alone();
    else if (!strcmp(what, "self"))
        self();
    else if (!strcmp(what, "serve"))
        serve();
    else {
        puts("ready");
        fflush(stdout);
        for (int i = 2; i < count; i++)
            dial(atoi(arguments[i]));
    }
    return 0;
}
