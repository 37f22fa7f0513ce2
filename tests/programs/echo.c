/* Echoes what comes to port 7 over TCP and UDP, for any number of peers at once, and over IPv6 too where it is there. "memory" is answered with the free memory in KiB, a datagram "busy" keeps the kernel busy for a while, "quit" ends it. */
#define _GNU_SOURCE
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/sysinfo.h>
#include <unistd.h>

enum { ROOM = 65536, BUSY = 16 << 20 };

struct peer {
    int fd;
    size_t start, end;
    char bytes[ROOM];
};

static int poller, datagrams;

static void watch(struct peer *peer, int operation) {
    struct epoll_event event = {peer->start < peer->end ? EPOLLOUT : EPOLLIN, {.ptr = peer}};
    epoll_ctl(poller, operation, peer->fd, &event);
}

static void leave(struct peer *peer) {
    close(peer->fd);
    free(peer);
}

static void serve(struct peer *peer) {
    if (peer->start == peer->end) {
        ssize_t got = read(peer->fd, peer->bytes, ROOM);
        if (got <= 0) {
            leave(peer);
            return;
        }
        peer->start = 0;
        peer->end = got;
        if (got == 4 && !memcmp(peer->bytes, "quit", 4))
            exit(5);
        if (got == 6 && !memcmp(peer->bytes, "memory", 6)) {
            struct sysinfo info;
            sysinfo(&info);
            peer->end = sprintf(peer->bytes, "%lu", info.freeram * info.mem_unit / 1024);
        }
    }
    ssize_t sent = write(peer->fd, peer->bytes + peer->start, peer->end - peer->start);
    if (sent < 0 && errno != EAGAIN) {
        leave(peer);
        return;
    }
    if (sent > 0)
        peer->start += sent;
    watch(peer, EPOLL_CTL_MOD);
}

/* A socket of a type at the port, for both versions of IP if there are two. */
static int at_port(int type) {
    struct sockaddr_in6 six = {.sin6_family = AF_INET6, .sin6_port = htons(7)};
    struct sockaddr_in four = {.sin_family = AF_INET, .sin_port = htons(7)};
    int fd = socket(AF_INET6, type | SOCK_NONBLOCK, 0);
    if (fd >= 0)
        return bind(fd, (struct sockaddr *)&six, sizeof six) == 0 ? fd : -1;
    fd = socket(AF_INET, type | SOCK_NONBLOCK, 0);
    return bind(fd, (struct sockaddr *)&four, sizeof four) == 0 ? fd : -1;
}

static void echo_datagrams(void) {
    static char bytes[ROOM];
    struct sockaddr_storage from;
    socklen_t length = sizeof from;
    ssize_t got;
    while ((got = recvfrom(datagrams, bytes, ROOM, 0, (struct sockaddr *)&from, &length)) >= 0) {
        if (got == 4 && !memcmp(bytes, "busy", 4)) {
            char *many = malloc(BUSY);
            getrandom(many, BUSY, 0);
            free(many);
        }
        sendto(datagrams, bytes, got, 0, (struct sockaddr *)&from, length);
        length = sizeof from;
    }
}

int main(void) {
    int server = at_port(SOCK_STREAM);
    if (server < 0 || listen(server, 1024) != 0) {
        perror("listen");
        return 1;
    }
    poller = epoll_create1(0);
    struct epoll_event event = {EPOLLIN, {.ptr = NULL}}, events[64];
    epoll_ctl(poller, EPOLL_CTL_ADD, server, &event);
    datagrams = at_port(SOCK_DGRAM);
    event.data.ptr = &datagrams;
    if (datagrams >= 0)
        epoll_ctl(poller, EPOLL_CTL_ADD, datagrams, &event);
    puts("ready");
    fflush(stdout);
    for (;;) {
        int count = epoll_wait(poller, events, 64, -1);
        for (int i = 0; i < count; i++) {
            if (events[i].data.ptr == &datagrams) {
                echo_datagrams();
                continue;
            }
            if (events[i].data.ptr) {
                serve(events[i].data.ptr);
                continue;
            }
            int fd;
            while ((fd = accept4(server, NULL, NULL, SOCK_NONBLOCK)) >= 0) {
                struct peer *peer = malloc(sizeof *peer);
                peer->fd = fd;
                peer->start = peer->end = 0;
                watch(peer, EPOLL_CTL_ADD);
            }
        }
    }
}
