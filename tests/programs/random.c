/* Prints 32 bytes of /dev/hwrng, and whether random numbers differ. */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

int main(void) {
    unsigned char bytes[32], others[32];
    struct stat stat;
    int fd = open("/dev/hwrng", O_RDONLY);
    if (fd < 0 || fstat(fd, &stat) != 0) {
        perror("/dev/hwrng");
        return 1;
    }
    printf("device %#lx, %zd bytes:", (long)stat.st_rdev, read(fd, bytes, sizeof bytes));
    for (unsigned i = 0; i < sizeof bytes; i++)
        printf(" %02x", bytes[i]);
    /* More than the device gives at once: what it takes longer for is waited for. */
    char many[3000];
    printf("\n%zd bytes\n", read(fd, many, sizeof many));
    if (getrandom(bytes, sizeof bytes, 0) != sizeof bytes || getrandom(others, sizeof others, 0) != sizeof others)
        perror("getrandom");
    printf("they %s\n", memcmp(bytes, others, sizeof bytes) ? "differ" : "are EQUAL");
    return 0;
}
