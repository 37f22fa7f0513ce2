/* Makes a call when it is told so, and not otherwise. */
#include <stdio.h>
#include <sys/syscall.h>
#include <unistd.h>

int main(void) {
    char line[16] = "";
    puts("ready");
    fflush(stdout);
    fgets(line, sizeof(line), stdin);
    printf("heard %s", line);
    if (line[0] == 'y')
        printf("eventfd: %s\n", syscall(SYS_eventfd2, 0, 0) >= 0 ? "works" : "is refused");
    return 0;
}
