/* Looks names up, one a line; "-i" lists the addresses of the interfaces, "-f FILE" prints a file. */
#include <arpa/inet.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netdb.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

static void print_address(const char *before, const struct sockaddr *address) {
    char text[INET6_ADDRSTRLEN] = "?";
    const void *bytes = address->sa_family == AF_INET ? (void *)&((struct sockaddr_in *)address)->sin_addr
                                                      : (void *)&((struct sockaddr_in6 *)address)->sin6_addr;
    inet_ntop(address->sa_family, bytes, text, sizeof text);
    printf("%s %s\n", before, text);
}

/* Whether an interface has counted a datagram to itself; `struct rtnl_link_stats` begins with packets received and sent, then bytes. */
static const char *counted(const unsigned *counts) {
    if (!counts || counts[0] < 1 || counts[2] < 128)
        return "nothing";
    return counts[0] == counts[1] && counts[2] == counts[3] ? "both ways" : "one way";
}

static int interfaces(void) {
    struct ifaddrs *all;
    struct sockaddr_in self = {.sin_family = AF_INET, .sin_port = htons(9999), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int socket_fd = socket(AF_INET, SOCK_DGRAM, 0);
    char bytes[100] = {0};
    if (sendto(socket_fd, bytes, sizeof bytes, 0, (struct sockaddr *)&self, sizeof self) != sizeof bytes)
        perror("sendto");
    if (getifaddrs(&all) != 0) {
        perror("getifaddrs");
        return 1;
    }
    for (struct ifaddrs *one = all; one; one = one->ifa_next)
        if (one->ifa_addr && (one->ifa_addr->sa_family == AF_INET || one->ifa_addr->sa_family == AF_INET6))
            print_address(one->ifa_name, one->ifa_addr);
        else if (one->ifa_addr && one->ifa_addr->sa_family == AF_PACKET && !strcmp(one->ifa_name, "lo"))
            printf("lo counted %s\n", counted(one->ifa_data));
    printf("%u %u\n", if_nametoindex("lo"), if_nametoindex("eth0"));
    return 0;
}

int main(int argc, char **args) {
    if (argc > 1 && !strcmp(args[1], "-i"))
        return interfaces();
    if (argc > 2 && !strcmp(args[1], "-f")) {
        FILE *file = fopen(args[2], "r");
        int byte;
        if (!file) {
            perror(args[2]);
            return 1;
        }
        while ((byte = getc(file)) != EOF)
            putchar(byte);
        return 0;
    }
    for (int i = 1; i < argc; i++) {
        struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *found;
        int error = getaddrinfo(args[i], NULL, &hints, &found);
        if (error) {
            printf("%s: %s\n", args[i], gai_strerror(error));
            continue;
        }
        for (; found; found = found->ai_next)
            print_address(args[i], found->ai_addr);
    }
    return 0;
}
