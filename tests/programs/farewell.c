/* Answers one connection with a lot, and ends without waiting for anything. */
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

int main(int count, char **arguments) {
    size_t length = count > 1 ? strtoul(arguments[1], NULL, 10) : 0;
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(7)};
    int server = socket(AF_INET, SOCK_STREAM, 0), size = length;
    char *bytes = malloc(length);
    if (!bytes || setsockopt(server, SOL_SOCKET, SO_SNDBUF, &size, sizeof size)
        || bind(server, (struct sockaddr *)&address, sizeof address) || listen(server, 1)) {
        perror("farewell");
        return 1;
    }
    puts("ready");
    fflush(stdout);
    int client = accept(server, NULL, NULL);
    for (size_t i = 0; i < length; i++)
        bytes[i] = 'a' + i % 26;
    for (size_t sent = 0; sent < length;) {
        ssize_t some = write(client, bytes + sent, length - sent);
        if (some <= 0) {
            perror("write");
            return 1;
        }
        sent += some;
    }
    return 0;
}
