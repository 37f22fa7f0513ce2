/* Conditions that hold on every Linux. */
#pragma once
#include <errno.h>
#include <stdio.h>

static int failures;

/* Says a condition that does not hold, and counts it. */
#define CHECK(condition) \
    do { \
        if (!(condition)) { \
            printf("line %d: %s (errno %d)\n", __LINE__, #condition, errno); \
            failures++; \
        } \
    } while (0)
#define FAILS(call, error) CHECK((call) == -1 && errno == (error))

/* An address of any family, as socket calls want it. */
#define NAME(address) (struct sockaddr *)&(address), sizeof(address)
