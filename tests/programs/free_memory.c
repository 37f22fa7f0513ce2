/* A module for Redis: the command MACHINE.FREE answers how many KiB of the machine's memory are free. Redis hands modules their functions by name. */
#include <stddef.h>
#include <sys/sysinfo.h>

typedef int command(void *context, void **arguments, int count);

static int (*reply)(void *context, long long number);

static int machine_free(void *context, void **arguments, int count) {
    struct sysinfo info;
    (void)arguments, (void)count;
    sysinfo(&info);
    return reply(context, (long long)info.freeram * info.mem_unit / 1024);
}

int RedisModule_OnLoad(void *context, void **arguments, int count) {
    int (*get)(const char *name, void *function) = *(int (**)(const char *, void *))context;
    void (*describe)(void *context, const char *name, int version, int interface) = NULL;
    int (*create)(void *context, const char *name, command *handler, const char *flags, int first, int last, int step) = NULL;
    (void)arguments, (void)count;
    get("RedisModule_SetModuleAttribs", &describe);
    get("RedisModule_CreateCommand", &create);
    get("RedisModule_ReplyWithLongLong", &reply);
    if (!describe || !create || !reply)
        return 1;
    describe(context, "machine", 1, 1);
    return create(context, "machine.free", machine_free, "readonly", 0, 0, 0);
}
