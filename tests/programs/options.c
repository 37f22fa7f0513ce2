/* Sets each option to some values and reads it back: prints what comes of it, the same on Linux. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static void show(int fd, int level, int name, const char *what) {
    int value = -1;
    socklen_t length = sizeof value;
    if (getsockopt(fd, level, name, &value, &length) != 0)
        printf("  %s is %s\n", what, strerror(errno));
    else
        printf("  %s is %d, %d bytes\n", what, length == 1 ? *(unsigned char *)&value : value, (int)length);
}

static void try(int fd, int level, int name, const char *what) {
    static const int values[] = {0, 1, 2, 7, 300, 100000, -1};
    /* The most of this one is a setting of the machine. */
    int count = sizeof values / sizeof *values - (name == SO_RCVLOWAT && level == SOL_SOCKET);
    printf("%s\n", what);
    show(fd, level, name, "at first");
    for (int i = 0; i < count; i++) {
        char given[16];
        int result = setsockopt(fd, level, name, &values[i], sizeof values[i]);
        snprintf(given, sizeof given, "%d", values[i]);
        if (result != 0)
            printf("  %s: %s\n", given, strerror(errno));
        else
            show(fd, level, name, given);
    }
    char byte = 1;
    printf("  a byte: %s\n", setsockopt(fd, level, name, &byte, 1) ? strerror(errno) : "taken");
}

#define TRY(fd, level, name) try(fd, level, name, #name)

/* A mark that has to be reached before there is anything to read. */
static void low_water(void) {
    struct sockaddr_in address = {.sin_family = AF_INET};
    socklen_t length = sizeof address;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int server = socket(AF_INET, SOCK_STREAM, 0), client = socket(AF_INET, SOCK_STREAM, 0), five = 5;
    bind(server, (struct sockaddr *)&address, length);
    getsockname(server, (struct sockaddr *)&address, &length);
    listen(server, 1);
    connect(client, (struct sockaddr *)&address, length);
    int accepted = accept(server, NULL, NULL);
    setsockopt(accepted, SOL_SOCKET, SO_RCVLOWAT, &five, sizeof five);
    struct pollfd ready = {accepted, POLLIN, 0};
    char bytes[9];
    for (int round = 0; round < 2; round++) {
        send(client, "abc", 3, 0);
        printf("ready %d", poll(&ready, 1, 200));
        if (round == 1) {
            send(client, "de", 2, 0);
            printf(", with more %d", poll(&ready, 1, 10000));
        }
        printf(", read %d\n", (int)recv(accepted, bytes, 9, MSG_DONTWAIT));
    }
    send(client, "abc", 3, 0);
    shutdown(client, SHUT_WR);
    printf("at the end ready %d", poll(&ready, 1, 10000));
    printf(", read %d\n", (int)read(accepted, bytes, 9));
}

int main(void) {
    low_water();
    static const int families[] = {AF_INET, AF_INET6};
    for (int i = 0; i < 2; i++)
        for (int type = SOCK_STREAM; type <= SOCK_DGRAM; type++) {
            printf("family %d, type %d\n", families[i], type);
            int fd = socket(families[i], type, 0);
            TRY(fd, SOL_SOCKET, SO_REUSEADDR);
            TRY(fd, SOL_SOCKET, SO_REUSEPORT);
            TRY(fd, SOL_SOCKET, SO_KEEPALIVE);
            TRY(fd, SOL_SOCKET, SO_BROADCAST);
            TRY(fd, SOL_SOCKET, SO_OOBINLINE);
            TRY(fd, SOL_SOCKET, SO_PRIORITY);
            TRY(fd, SOL_SOCKET, SO_RCVLOWAT);
            TRY(fd, SOL_SOCKET, SO_SNDLOWAT);
            TRY(fd, SOL_SOCKET, SO_DONTROUTE);
            TRY(fd, SOL_SOCKET, SO_TIMESTAMP);
            TRY(fd, SOL_SOCKET, SO_TYPE);
            TRY(fd, SOL_SOCKET, SO_PROTOCOL);
            TRY(fd, SOL_SOCKET, SO_DOMAIN);
            TRY(fd, SOL_SOCKET, SO_ERROR);
            TRY(fd, SOL_SOCKET, SO_ACCEPTCONN);
            TRY(fd, SOL_SOCKET, SO_NO_CHECK);
            TRY(fd, SOL_SOCKET, 9999);
            TRY(fd, IPPROTO_IP, IP_TTL);
            TRY(fd, IPPROTO_IP, IP_TOS);
            TRY(fd, IPPROTO_IP, IP_RECVERR);
            TRY(fd, IPPROTO_IP, IP_MTU_DISCOVER);
            TRY(fd, IPPROTO_IP, IP_FREEBIND);
            TRY(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT);
            TRY(fd, IPPROTO_IP, 9999);
            if (families[i] == AF_INET6) {
                TRY(fd, IPPROTO_IPV6, IPV6_V6ONLY);
                TRY(fd, IPPROTO_IPV6, IPV6_UNICAST_HOPS);
                TRY(fd, IPPROTO_IPV6, IPV6_TCLASS);
                TRY(fd, IPPROTO_IPV6, IPV6_RECVERR);
            }
            if (type == SOCK_STREAM) {
                TRY(fd, IPPROTO_TCP, TCP_NODELAY);
                TRY(fd, IPPROTO_TCP, TCP_CORK);
                TRY(fd, IPPROTO_TCP, TCP_QUICKACK);
                TRY(fd, IPPROTO_TCP, TCP_KEEPIDLE);
                TRY(fd, IPPROTO_TCP, TCP_KEEPINTVL);
                TRY(fd, IPPROTO_TCP, TCP_KEEPCNT);
                TRY(fd, IPPROTO_TCP, TCP_SYNCNT);
                TRY(fd, IPPROTO_TCP, TCP_LINGER2);
                TRY(fd, IPPROTO_TCP, TCP_DEFER_ACCEPT);
                TRY(fd, IPPROTO_TCP, TCP_USER_TIMEOUT);
                TRY(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT);
                TRY(fd, IPPROTO_TCP, 9999);
            }
            close(fd);
        }
    return 0;
}
