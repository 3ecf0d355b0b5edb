/* Preloaded into a server that offers no choice of address, so that it listens on loopback and nowhere else. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <netinet/in.h>
#include <sys/socket.h>

int bind(int descriptor, const struct sockaddr *address, socklen_t length)
{
    static int (*next)(int, const struct sockaddr *, socklen_t);
    struct sockaddr_in changed;

    if (!next)
        next = (int (*)(int, const struct sockaddr *, socklen_t))dlsym(RTLD_NEXT, "bind");
    if (address->sa_family != AF_INET)
        return next(descriptor, address, length);
    changed = *(const struct sockaddr_in *)address;
    if (changed.sin_addr.s_addr == htonl(INADDR_ANY))
        changed.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return next(descriptor, (const struct sockaddr *)&changed, sizeof changed);
}
