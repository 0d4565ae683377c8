/* A setting that a test changes while the process runs. */
#include <stdio.h>
#include <stdlib.h>

/* Returns the number in the file that an environment variable names; 0 without one. */
static long setting(const char *variable) {
    const char *name = getenv(variable);
    FILE *file = name ? fopen(name, "r") : NULL;
    long number = 0;
    if (file) {
        if (fscanf(file, "%ld", &number) != 1) number = 0;
        fclose(file);
    }
    return number;
}
