/* IPv6 and large datagrams. Alone: against itself, the same on Linux. With an address and a port: says a line to whoever listens there. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "check.h"

static struct sockaddr_in6 six(const char *text, int port) {
    struct sockaddr_in6 address = {.sin6_family = AF_INET6, .sin6_port = htons(port)};
    CHECK(inet_pton(AF_INET6, text, &address.sin6_addr) == 1);
    return address;
}

static int port_of(int fd) {
    struct sockaddr_in6 address;
    socklen_t length = sizeof address;
    CHECK(getsockname(fd, (struct sockaddr *)&address, &length) == 0);
    return ntohs(address.sin6_port);
}

/* A connection to a listener, from a name; prints how the two see each other. */
static void meet(int server, struct sockaddr *to, socklen_t length) {
    char bytes[9], text[INET6_ADDRSTRLEN];
    struct sockaddr_storage name;
    socklen_t room = sizeof name;
    int client = socket(to->sa_family, SOCK_STREAM, 0);
    CHECK(connect(client, to, length) == 0);
    int accepted = accept(server, (struct sockaddr *)&name, &room);
    CHECK(accepted >= 0 && name.ss_family == AF_INET6 && room == sizeof(struct sockaddr_in6));
    printf("from %s\n", inet_ntop(AF_INET6, &((struct sockaddr_in6 *)&name)->sin6_addr, text, sizeof text));
    CHECK(write(client, "hello", 5) == 5 && read(accepted, bytes, 9) == 5 && !memcmp(bytes, "hello", 5));
    CHECK(write(accepted, "you", 3) == 3 && read(client, bytes, 9) == 3);
    close(client);
    CHECK(read(accepted, bytes, 9) == 0);
    close(accepted);
}

static void streams(void) {
    int one = 1, server = socket(AF_INET6, SOCK_STREAM, 0), other = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in6 any = six("::", 0), loop = six("::1", 0), mapped = six("::ffff:127.0.0.1", 0);
    struct sockaddr_in four = {.sin_family = AF_INET};
    four.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    CHECK(bind(server, NAME(any)) == 0 && listen(server, 5) == 0);
    int port = port_of(server);
    loop.sin6_port = mapped.sin6_port = four.sin_port = htons(port);
    meet(server, NAME(loop));
    meet(server, NAME(four));
    meet(server, NAME(mapped));
    FAILS(bind(other, NAME(four)), EADDRINUSE);
    close(server);

    server = socket(AF_INET6, SOCK_STREAM, 0);
    CHECK(setsockopt(server, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one) == 0);
    CHECK(setsockopt(server, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof one) == 0);
    any.sin6_port = htons(port);
    CHECK(bind(server, NAME(any)) == 0 && listen(server, 5) == 0);
    meet(server, NAME(loop));
    int client = socket(AF_INET, SOCK_STREAM, 0);
    FAILS(connect(client, NAME(four)), ECONNREFUSED);
    close(client);
    client = socket(AF_INET6, SOCK_STREAM, 0);
    CHECK(setsockopt(client, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof one) == 0);
    FAILS(connect(client, NAME(mapped)), ENETUNREACH);
    close(client);
    CHECK(setsockopt(other, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one) == 0);
    CHECK(bind(other, NAME(four)) == 0);
    close(other);
    close(server);
    client = socket(AF_INET6, SOCK_STREAM, 0);
    FAILS(connect(client, NAME(loop)), ECONNREFUSED);
    close(client);
    client = socket(AF_INET6, SOCK_STREAM, 0);
    struct sockaddr_in6 local = six("fe80::1", 9), foreign = six("2001:db8::1", 9), short_name = loop;
    FAILS(connect(client, NAME(local)), EINVAL);
    FAILS(connect(client, (struct sockaddr *)&short_name, 20), EINVAL);
    FAILS(bind(client, NAME(foreign)), EADDRNOTAVAIL);
    close(client);
}

static void datagrams(const char *text, int largest) {
    static char out[65536], in[65536];
    struct sockaddr_in6 address = six(text, 0), from;
    socklen_t length = sizeof from;
    int server = socket(AF_INET6, SOCK_DGRAM, 0), client = socket(AF_INET6, SOCK_DGRAM, 0);
    CHECK(bind(server, NAME(address)) == 0);
    address.sin6_port = htons(port_of(server));
    for (int i = 0; i < largest; i++)
        out[i] = i * 7 + i / 251;
    int sizes[] = {0, 1, 1452, 1453, 3000, 20000, largest};
    for (unsigned i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        CHECK(sendto(client, out, sizes[i], 0, NAME(address)) == sizes[i]);
        CHECK(recvfrom(server, in, sizeof in, 0, (struct sockaddr *)&from, &length) == sizes[i]);
        CHECK(!memcmp(in, out, sizes[i]) && length == sizeof from && ntohs(from.sin6_port) == port_of(client));
    }
    FAILS(sendto(client, out, 65528, 0, NAME(address)), EMSGSIZE);
    /* Nobody there: whoever is connected is told. */
    CHECK(connect(client, NAME(address)) == 0);
    close(server);
    CHECK(send(client, "x", 1, 0) == 1);
    struct pollfd told = {client, POLLIN, 0};
    CHECK(poll(&told, 1, 5000) == 1);
    FAILS(recv(client, in, 9, 0), ECONNREFUSED);
    close(client);
}

/* Where datagrams arrived, and from where answers go. */
static void information(const char *text) {
    int one = 1, server = socket(AF_INET6, SOCK_DGRAM, 0), client = socket(AF_INET6, SOCK_DGRAM, 0), seen = 0;
    struct sockaddr_in6 address = six("::", 0), from;
    char bytes[9], answer[99];
    union {
        char bytes[256];
        struct cmsghdr align;
    } control = {0};
    CHECK(setsockopt(server, IPPROTO_IPV6, IPV6_RECVPKTINFO, &one, sizeof one) == 0);
    CHECK(setsockopt(server, IPPROTO_IPV6, IPV6_RECVHOPLIMIT, &one, sizeof one) == 0);
    CHECK(setsockopt(server, IPPROTO_IP, IP_PKTINFO, &one, sizeof one) == 0);
    CHECK(setsockopt(server, IPPROTO_IP, IP_RECVTTL, &one, sizeof one) == 0);
    CHECK(bind(server, NAME(address)) == 0);
    int port = port_of(server);
    address = six(text, port);
    CHECK(sendto(client, "x", 1, 0, NAME(address)) == 1);
    struct iovec part = {bytes, sizeof bytes};
    struct msghdr message = {.msg_name = &from, .msg_namelen = sizeof from, .msg_iov = &part, .msg_iovlen = 1};
    message.msg_control = control.bytes;
    message.msg_controllen = sizeof control;
    CHECK(recvmsg(server, &message, 0) == 1 && !(message.msg_flags & MSG_CTRUNC));
    for (struct cmsghdr *one_of = CMSG_FIRSTHDR(&message); one_of; one_of = CMSG_NXTHDR(&message, one_of)) {
        void *data = CMSG_DATA(one_of);
        if (one_of->cmsg_level == IPPROTO_IPV6 && one_of->cmsg_type == IPV6_PKTINFO) {
            struct in6_pktinfo *info = data;
            CHECK(info->ipi6_ifindex == 1 && !memcmp(&info->ipi6_addr, &address.sin6_addr, 16));
            seen |= 1;
        }
        if (one_of->cmsg_level == IPPROTO_IP && one_of->cmsg_type == IP_PKTINFO) {
            struct in_pktinfo *info = data;
            CHECK(info->ipi_ifindex == 1 && info->ipi_addr.s_addr == htonl(INADDR_LOOPBACK));
            seen |= 2;
        }
        if (one_of->cmsg_type == (one_of->cmsg_level == IPPROTO_IP ? IP_TTL : IPV6_HOPLIMIT) && one_of->cmsg_len == CMSG_LEN(4)) {
            CHECK(*(int *)data == 64);
            seen |= 4;
        }
    }
    printf("%s: %d\n", text, seen);
    /* The answer goes back with the same control messages but the hop limit: from there. */
    struct cmsghdr *first = CMSG_FIRSTHDR(&message);
    message.msg_controllen = first ? CMSG_SPACE(first->cmsg_len - CMSG_LEN(0)) : 0;
    part = (struct iovec){"yes", 3};
    CHECK(sendmsg(server, &message, 0) == 3);
    socklen_t length = sizeof from;
    CHECK(recvfrom(client, answer, sizeof answer, 0, (struct sockaddr *)&from, &length) == 3);
    CHECK(!memcmp(&from.sin6_addr, &address.sin6_addr, 16) && ntohs(from.sin6_port) == port);
    /* Too little room is said. */
    CHECK(sendto(client, "x", 1, 0, NAME(address)) == 1);
    message.msg_controllen = 8;
    part = (struct iovec){bytes, sizeof bytes};
    CHECK(recvmsg(server, &message, 0) == 1 && message.msg_flags & MSG_CTRUNC);
    close(client);
    close(server);
}

/* The class of traffic and the hops of a datagram, for a socket and for one message; and control messages cut short. */
static void classes(const char *text, int level) {
    int is_6 = level == IPPROTO_IPV6, family = is_6 ? AF_INET6 : AF_INET, one = 1, value = 0x68, other = 7;
    int class_option = is_6 ? IPV6_TCLASS : IP_TOS, hops_option = is_6 ? IPV6_HOPLIMIT : IP_TTL;
    int server = socket(family, SOCK_DGRAM, 0), client = socket(family, SOCK_DGRAM, 0);
    struct sockaddr_storage address = {.ss_family = family};
    socklen_t length = sizeof address;
    CHECK(inet_pton(family, text, is_6 ? (void *)&((struct sockaddr_in6 *)&address)->sin6_addr : &((struct sockaddr_in *)&address)->sin_addr) == 1);
    CHECK(bind(server, (struct sockaddr *)&address, is_6 ? sizeof(struct sockaddr_in6) : sizeof(struct sockaddr_in)) == 0);
    CHECK(getsockname(server, (struct sockaddr *)&address, &length) == 0);
    CHECK(connect(client, (struct sockaddr *)&address, length) == 0);
    CHECK(setsockopt(server, level, is_6 ? IPV6_RECVTCLASS : IP_RECVTOS, &one, sizeof one) == 0);
    CHECK(setsockopt(server, level, is_6 ? IPV6_RECVHOPLIMIT : IP_RECVTTL, &one, sizeof one) == 0);
    CHECK(setsockopt(client, level, class_option, &value, sizeof value) == 0);
    length = sizeof one;
    CHECK(getsockopt(client, level, class_option, &one, &length) == 0 && one == value);
    if (is_6) {
        value = 256;
        FAILS(setsockopt(client, level, IPV6_TCLASS, &value, sizeof value), EINVAL);
    }
    union {
        char bytes[256];
        struct cmsghdr align;
    } control = {0};
    char bytes[9];
    struct iovec part = {"x", 1};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = control.bytes};
    int rooms[] = {0, 8, CMSG_SPACE(4) + 8, CMSG_SPACE(4) + CMSG_LEN(0), CMSG_SPACE(4) * 2, CMSG_SPACE(4) * 2};
    for (unsigned round = 0; round < sizeof rooms / sizeof *rooms; round++) {
        /* In the last round the message itself says what it is to be. */
        int chosen = round + 1 == sizeof rooms / sizeof *rooms, seen_class = -1, seen_hops = -1;
        message.msg_controllen = 0;
        if (chosen) {
            message.msg_controllen = CMSG_SPACE(4) * 2;
            struct cmsghdr *first = CMSG_FIRSTHDR(&message), *second = (struct cmsghdr *)(control.bytes + CMSG_SPACE(4));
            *first = (struct cmsghdr){.cmsg_len = CMSG_LEN(5), .cmsg_level = level, .cmsg_type = class_option};
            *second = (struct cmsghdr){.cmsg_len = CMSG_LEN(4), .cmsg_level = level, .cmsg_type = hops_option};
            memcpy(CMSG_DATA(first), &other, sizeof other);
            memcpy(CMSG_DATA(second), &other, sizeof other);
            FAILS(sendmsg(client, &message, 0), EINVAL);
            first->cmsg_len = CMSG_LEN(4);
            int many = 256;
            memcpy(CMSG_DATA(second), &many, sizeof many);
            FAILS(sendmsg(client, &message, 0), EINVAL);
            memcpy(CMSG_DATA(second), &other, sizeof other);
        }
        part = (struct iovec){"x", 1};
        CHECK(sendmsg(client, &message, 0) == 1);
        part = (struct iovec){bytes, sizeof bytes};
        memset(control.bytes, 0, sizeof control);
        message.msg_controllen = rooms[round];
        CHECK(recvmsg(server, &message, 0) == 1);
        printf("%s: of %d bytes %d%s:", text, rooms[round], (int)message.msg_controllen, message.msg_flags & MSG_CTRUNC ? " cut" : "");
        for (struct cmsghdr *one_of = CMSG_FIRSTHDR(&message); one_of; one_of = CMSG_NXTHDR(&message, one_of)) {
            printf(" %d", (int)(one_of->cmsg_len - CMSG_LEN(0)));
            if (one_of->cmsg_type == class_option && one_of->cmsg_len > CMSG_LEN(0))
                seen_class = *(unsigned char *)CMSG_DATA(one_of);
            if (one_of->cmsg_type == hops_option && one_of->cmsg_len == CMSG_LEN(4))
                seen_hops = *(int *)CMSG_DATA(one_of);
        }
        printf(", class %d, hops %d\n", seen_class, seen_hops);
    }
    close(client);
    close(server);
}

/* Says a line over TCP, or a datagram of so many bytes, and reads the same back. */
static int outside(char **args) {
    static char out[65536], in[65536];
    struct addrinfo hints = {.ai_socktype = args[3] ? SOCK_DGRAM : SOCK_STREAM}, *found;
    int size = args[3] ? atoi(args[3]) : 6, done = 0, count;
    if (getaddrinfo(args[1], args[2], &hints, &found) != 0)
        return 10;
    int fd = socket(found->ai_family, found->ai_socktype, 0);
    for (int i = 0; i < size; i++)
        out[i] = 'a' + i % 26;
    /* An address may take a moment to come. */
    for (int tries = 0; connect(fd, found->ai_addr, found->ai_addrlen) != 0; tries++) {
        if (tries == 100 || (errno != ENETUNREACH && errno != EADDRNOTAVAIL)) {
            perror("connect");
            return 11;
        }
        usleep(100000);
    }
    if (write(fd, out, size) != size) {
        perror("write");
        return 12;
    }
    while (done < size && (count = read(fd, in + done, sizeof in - done)) > 0)
        done += count;
    if (done != size || memcmp(in, out, size))
        return 13;
    printf("%d bytes back\n", done);
    return 0;
}

int main(int argc, char **args) {
    setbuf(stdout, NULL);
    if (argc > 2)
        return outside(args);
    streams();
    datagrams("::1", 65527);
    datagrams("::ffff:127.0.0.1", 65507);
    information("::1");
    information("::ffff:127.0.0.1");
    classes("::1", IPPROTO_IPV6);
    classes("127.0.0.1", IPPROTO_IP);
    printf("%d failures\n", failures);
    return failures != 0;
}
