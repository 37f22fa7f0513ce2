/* Does what its peers at port 7 say, a line for each word of theirs, and says on the console what came of it. A thread for each connection; with a backlog as argument, one connection after the other. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static int port_of(int fd) {
    struct sockaddr_in6 peer = {0};
    socklen_t length = sizeof peer;
    getpeername(fd, (struct sockaddr *)&peer, &length);
    return ntohs(peer.sin6_port);
}

static void say(int port, const char *word, long result) {
    if (result < 0)
        printf("%d %s: %s\n", port, word, strerror(errno));
    else
        printf("%d %s: %ld\n", port, word, result);
    fflush(stdout);
}

static int option(int fd, int level, int name, int value) {
    return setsockopt(fd, level, name, &value, sizeof value);
}

/* Bytes that tell where they stand. */
static long send_pattern(int fd, long count) {
    long sent = 0;
    while (sent < count) {
        char bytes[4096];
        long now = count - sent < (long)sizeof bytes ? count - sent : (long)sizeof bytes;
        for (long i = 0; i < now; i++)
            bytes[i] = 'a' + (sent + i) % 26;
        if (send(fd, bytes, now, MSG_NOSIGNAL) != now)
            return -1;
        sent += now;
    }
    return sent;
}

/* A socket at a port of ours, for both versions of IP. */
static int at_port(int port) {
    struct sockaddr_in6 own = {.sin6_family = AF_INET6, .sin6_port = htons(port)};
    int fd = socket(AF_INET6, SOCK_STREAM, 0);
    return bind(fd, (struct sockaddr *)&own, sizeof own) == 0 ? fd : -1;
}

/* A connection to a port of the peer's, from a port of ours. */
static long dial(int fd, int from, int to) {
    struct sockaddr_in6 peer;
    socklen_t length = sizeof peer;
    getpeername(fd, (struct sockaddr *)&peer, &length);
    peer.sin6_port = htons(to);
    int out = at_port(from);
    return connect(out, (struct sockaddr *)&peer, length) == 0 ? send_pattern(out, 5) : -1;
}

/* Whether the connection goes on. */
static int obey(int fd, int port, const char *line) {
    char word[16] = "", bytes[4096];
    int a = 0, b = 0, c = 0;
    sscanf(line, "%15s %d %d %d", word, &a, &b, &c);
    if (!strcmp(word, "keep")) {
        option(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
        option(fd, IPPROTO_TCP, TCP_KEEPIDLE, a);
        option(fd, IPPROTO_TCP, TCP_KEEPINTVL, b);
        option(fd, IPPROTO_TCP, TCP_KEEPCNT, c);
    } else if (!strcmp(word, "limit")) {
        option(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, a);
    } else if (!strcmp(word, "sleep")) {
        usleep(a * 1000);
    } else if (!strcmp(word, "send")) {
        say(port, word, send_pattern(fd, a));
    } else if (!strcmp(word, "urgent")) {
        say(port, word, send(fd, "abcX", 4, MSG_OOB));
    } else if (!strcmp(word, "special")) {
        say(port, word, recv(fd, bytes, 1, MSG_OOB) == 1 ? bytes[0] : -1);
    } else if (!strcmp(word, "take")) {
        long got = 0, now = 1;
        while (got < a && (now = read(fd, bytes, a - got < (int)sizeof bytes ? a - got : (int)sizeof bytes)) > 0)
            for (long i = 0; i < now; i++, got++)
                if (bytes[i] != 'a' + got % 26)
                    return say(port, "differs", got), 0;
        say(port, word, now < 0 ? now : got);
    } else if (!strcmp(word, "dial")) {
        say(b, word, dial(fd, a, b));
    } else if (!strcmp(word, "close")) {
        struct linger linger = {1, a};
        setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof linger);
        say(port, word, close(fd));
        return 0;
    } else {
        say(port, line, 0);
    }
    return 1;
}

static void *serve(void *argument) {
    int fd = (intptr_t)argument, port = port_of(fd), at = 0;
    char line[64];
    ssize_t got;
    while ((got = read(fd, line + at, 1)) == 1)
        if (line[at] == '\n') {
            line[at] = 0;
            at = 0;
            if (!obey(fd, port, line))
                return NULL;
        } else if (at < 62) {
            at++;
        }
    say(port, "read", got);
    close(fd);
    return NULL;
}

int main(int count, char **arguments) {
    int server = at_port(7), fd;
    if (server < 0 || listen(server, count > 1 ? atoi(arguments[1]) : 128) != 0) {
        perror("listen");
        return 1;
    }
    puts("ready");
    fflush(stdout);
    while ((fd = accept(server, NULL, NULL)) >= 0) {
        pthread_t thread;
        if (count > 1) {
            serve((void *)(intptr_t)fd);
            continue;
        }
        pthread_create(&thread, NULL, serve, (void *)(intptr_t)fd);
        pthread_detach(thread);
    }
    perror("accept");
    return 1;
}
