/* The first process of the Linux guest: mounts what the kernel has, brings the network up, runs the program of /etc/app (one argument a
 * line), prints its end and leaves. What a kernel lacks is passed over, so that one init does for all of them. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <net/route.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static struct sockaddr address(const char *text) {
    struct sockaddr_in in = {.sin_family = AF_INET};
    struct sockaddr plain;
    inet_pton(AF_INET, text, &in.sin_addr);
    memcpy(&plain, &in, sizeof plain);
    return plain;
}

static void up(int control, const char *name, const char *own, const char *mask) {
    struct ifreq request = {0};
    strcpy(request.ifr_name, name);
    request.ifr_addr = address(own);
    if (ioctl(control, SIOCSIFADDR, &request) < 0) return;
    request.ifr_netmask = address(mask);
    ioctl(control, SIOCSIFNETMASK, &request);
    ioctl(control, SIOCGIFFLAGS, &request);
    request.ifr_flags |= IFF_UP | IFF_RUNNING;
    ioctl(control, SIOCSIFFLAGS, &request);
}

static void network(void) {
    int control = socket(AF_INET, SOCK_DGRAM, 0);
    if (control < 0) return;
    up(control, "lo", "127.0.0.1", "255.0.0.0");
    up(control, "eth0", "10.0.2.15", "255.255.255.0");
    struct rtentry route = {.rt_flags = RTF_UP | RTF_GATEWAY};
    route.rt_dst = address("0.0.0.0");
    route.rt_genmask = address("0.0.0.0");
    route.rt_gateway = address("10.0.2.2");
    ioctl(control, SIOCADDRT, &route);
    close(control);
}

int main(void) {
    static const char *folders[] = {"/dev", "/proc", "/tmp", "/run", "/var", "/var/log", "/var/lib"};
    for (unsigned i = 0; i < sizeof folders / sizeof *folders; i++) mkdir(folders[i], 0755);
    mount("dev", "/dev", "devtmpfs", 0, NULL);
    mount("proc", "/proc", "proc", 0, NULL);
    mount("tmp", "/tmp", "tmpfs", 0, NULL);
    network();
    struct rlimit files = {65536, 65536};
    setrlimit(RLIMIT_NOFILE, &files);

    static char text[4096];
    int app = open("/etc/app", O_RDONLY);
    long length = app < 0 ? 0 : read(app, text, sizeof text - 1);
    char *arguments[64];
    int count = 0;
    for (char *at = text; at < text + length && count < 63; at += strlen(at) + 1) {
        arguments[count++] = at;
        at[strcspn(at, "\n")] = 0;
    }
    arguments[count] = NULL;
    char *environment[] = {"HOME=/", "PATH=/bin:/usr/bin", NULL};
    pid_t program = vfork();
    if (program == 0) {
        if (count) execve(arguments[0], arguments, environment);
        _exit(127);
    }
    int status = 0;
    pid_t ended;
    while ((ended = wait(&status)) != program && (ended > 0 || errno == EINTR)) {}
    printf("EXIT %d\n", WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status));
    fflush(stdout);
    reboot(RB_AUTOBOOT);
    for (;;) pause();
}
