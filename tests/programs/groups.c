/* Joins a group of each version of IP, says what it hears there, and leaves: "heard BYTES" twice. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static int listener(int family, struct sockaddr *address, socklen_t length) {
    int fd = socket(family, SOCK_DGRAM, 0);
    if (bind(fd, address, length) != 0)
        perror("bind");
    return fd;
}

static void hear(int fd) {
    char bytes[100];
    ssize_t got = recv(fd, bytes, sizeof bytes - 1, 0);
    bytes[got > 0 ? got : 0] = 0;
    printf("heard %s\n", bytes);
}

int main(void) {
    struct sockaddr_in four = {.sin_family = AF_INET, .sin_port = htons(5000)};
    struct sockaddr_in6 six = {.sin6_family = AF_INET6, .sin6_port = htons(5001)};
    struct ip_mreq group = {.imr_multiaddr.s_addr = inet_addr("239.1.2.3")};
    struct ipv6_mreq group6 = {.ipv6mr_interface = 0};
    int first = listener(AF_INET, (struct sockaddr *)&four, sizeof four);
    int second = listener(AF_INET6, (struct sockaddr *)&six, sizeof six);
    setbuf(stdout, NULL);
    inet_pton(AF_INET6, "ff15::42", &group6.ipv6mr_multiaddr);
    if (setsockopt(first, IPPROTO_IP, IP_ADD_MEMBERSHIP, &group, sizeof group) != 0 ||
        setsockopt(second, IPPROTO_IPV6, IPV6_JOIN_GROUP, &group6, sizeof group6) != 0) {
        perror("join");
        return 1;
    }
    if (setsockopt(first, IPPROTO_IP, IP_ADD_MEMBERSHIP, &group, sizeof group) == 0 || errno != EADDRINUSE)
        perror("join again");
    /* Itself, which is in the group. */
    four.sin_addr = group.imr_multiaddr;
    if (sendto(first, "itself", 6, 0, (struct sockaddr *)&four, sizeof four) != 6)
        perror("sendto");
    hear(first);
    puts("ready");
    hear(first);
    hear(second);
    close(first);
    close(second);
    return 0;
}
