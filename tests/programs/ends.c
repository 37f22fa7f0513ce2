/* How a program ends when somebody outside wants it to. */
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static volatile sig_atomic_t caught;

static void catching(int signal) {
    caught = signal;
}

int main(int argc, char **argv) {
    const char *how = argc > 1 ? argv[1] : "default";
    int signals[] = {SIGTERM, SIGINT, SIGHUP};
    for (int i = 0; i < 3; i++) {
        struct sigaction action = {.sa_handler = !strcmp(how, "handler") ? catching : !strcmp(how, "deaf") ? SIG_IGN : SIG_DFL};
        sigaction(signals[i], &action, 0);
    }
    printf("ready\n");
    fflush(stdout);
    if (!strcmp(how, "busy"))
        for (;;)
            ;
    while (!caught)
        pause();
    printf("caught %d\n", caught);
    return 3;
}
