/* A disk that a test can slow down: each sync takes the milliseconds in the file that SYNC_TAKES names. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <unistd.h>
#include "setting.h"

static void delay(void) {
    usleep(setting("SYNC_TAKES") * 1000);
}

int fdatasync(int descriptor) {
    static int (*real)(int);
    if (!real) real = dlsym(RTLD_NEXT, "fdatasync");
    delay();
    return real(descriptor);
}

int fsync(int descriptor) {
    static int (*real)(int);
    if (!real) real = dlsym(RTLD_NEXT, "fsync");
    delay();
    return real(descriptor);
}
