/* What it was told by whoever started it: arguments, variables, its address and its name server. */
#include <arpa/inet.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

extern char **environ;

static void address(int socket, unsigned long what, const char *name) {
    struct ifreq request = {0};
    strcpy(request.ifr_name, "eth0");
    if (ioctl(socket, what, &request) < 0)
        return perror(name);
    struct sockaddr_in *is = (struct sockaddr_in *)&request.ifr_addr;
    printf("%s: %s\n", name, inet_ntoa(is->sin_addr));
}

int main(int argc, char **argv) {
    for (int i = 1; i < argc; i++)
        printf("argument: %s\n", argv[i]);
    for (char **variable = environ; *variable; variable++)
        printf("variable: %s\n", *variable);
    int any = socket(AF_INET, SOCK_DGRAM, 0);
    address(any, SIOCGIFADDR, "address");
    address(any, SIOCGIFNETMASK, "mask");
    char line[256];
    FILE *file = fopen("/etc/resolv.conf", "r");
    while (file && fgets(line, sizeof(line), file))
        printf("resolv.conf: %s", line);
    puts("told");
    return 3;
}
