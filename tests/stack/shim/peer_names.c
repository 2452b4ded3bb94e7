/*
 * Names whose servers fail: NAME.peer.test is 127.0.0.1, unless the file NAME.peer.test in the folder PORTCULLIS_PEER_NAMES
 * says "hang", for as long as it does, or "fail".
 *
 * Preloaded by the tests of peers (Linux only). What asks the system for addresses hangs in getaddrinfo, as with a name
 * server that never answers; the true one gives up after some ten seconds, this one does not.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SUFFIX ".peer.test"

static char fault_of(const char *name) {
    char path[4096];
    const char *folder = getenv("PORTCULLIS_PEER_NAMES");
    snprintf(path, sizeof path, "%s/%s", folder ? folder : "", name);
    FILE *file = fopen(path, "r");
    if (!file) return 0;
    int first = fgetc(file);
    fclose(file);
    return first == EOF ? 0 : (char)first;
}

int getaddrinfo(const char *name, const char *service, const struct addrinfo *hints, struct addrinfo **found) {
    static int (*next)(const char *, const char *, const struct addrinfo *, struct addrinfo **);
    if (!next) next = (int (*)(const char *, const char *, const struct addrinfo *, struct addrinfo **))dlsym(RTLD_NEXT, "getaddrinfo");
    size_t length = name ? strlen(name) : 0;
    if (length <= strlen(SUFFIX) || strcmp(name + length - strlen(SUFFIX), SUFFIX) != 0)
        return next(name, service, hints, found);
    while (fault_of(name) == 'h') usleep(50000);
    if (fault_of(name) == 'f') return EAI_NONAME;
    return next("127.0.0.1", service, hints, found);
}
