/*
 * chroot KEY.pem|- JAIL SECRET USER[,nomount] [sign]: a host that reads openssl.cnf, loads a key or none, changes its
 * root to JAIL and becomes USER, and then looks for a way out of there by every descriptor that it has. SECRET is
 * a file outside. Prints "descriptors N" (how many it has that are not its own) and "directories N", and fails
 * if SECRET can be reached. With `nomount` the process may not make mounts, as in a container. With `sign` it
 * signs at the end.
 */
#define _GNU_SOURCE
#include "host.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <linux/capability.h>
#include <linux/openat2.h>
#include <sched.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define UP "../../../../../../../../../../../../../../../.."
#define HIGHEST 256

static int escapes;

static void found(const char *how, int number)
{
    printf("escape: %s by descriptor %d\n", how, number);
    escapes++;
}

/* Whether an open file is the secret. */
static int is_secret(int fd)
{
    char text[8];

    return fd >= 0 && read(fd, text, sizeof(text)) == 6 && memcmp(text, "secret", 6) == 0;
}

static void looks(const char *how, int number, int fd)
{
    if (is_secret(fd))
        found(how, number);
    if (fd >= 0)
        close(fd);
}

/* Up from the descriptor and down to the secret, in every way in which the kernel resolves names. */
static void try_names(int number, const char *secret, const char *prefix)
{
    char path[2 * PATH_MAX];
    struct open_how how = {.flags = O_RDONLY};
    struct stat status;

    snprintf(path, sizeof(path), "%s%s", prefix, secret);
    looks("openat", number, openat(number, path, O_RDONLY));
    looks("openat2", number, syscall(SYS_openat2, number, path, &how, sizeof(how)));
    how.resolve = RESOLVE_NO_MAGICLINKS;
    looks("openat2 without links", number, syscall(SYS_openat2, number, path, &how, sizeof(how)));
    if (fstatat(number, path, &status, 0) == 0)
        found("fstatat", number);
    if (linkat(number, path, AT_FDCWD, "/stolen", 0) == 0)
        found("linkat", number);
    if (symlinkat(secret, number, "stolen") == 0) {
        looks("a link in there", number, openat(number, "stolen", O_RDONLY));
        unlinkat(number, "stolen", 0);
    }
}

static void try_descriptor(int number, const char *secret)
{
    char path[2 * PATH_MAX];
    int here, n;

    try_names(number, secret, UP);
    try_names(number, secret, "..");
    snprintf(path, sizeof(path), "/proc/self/fd/%d/" UP "%s", number, secret);
    looks("/proc/self/fd", number, open(path, O_RDONLY));
    snprintf(path, sizeof(path), "/proc/self/fd/%d", number);
    looks("/proc/self/fd itself", number, open(path, O_RDONLY));
    if (linkat(number, "", AT_FDCWD, "/linked", AT_EMPTY_PATH) == 0)
        looks("linkat of the descriptor", number, open("/linked", O_RDONLY));
    if (linkat(AT_FDCWD, path, AT_FDCWD, "/followed", AT_SYMLINK_FOLLOW) == 0)
        looks("linkat through /proc", number, open("/followed", O_RDONLY));
    here = open("/", O_PATH | O_DIRECTORY);
    CHECK(here >= 0);
    if (fchdir(number) == 0) {
        try_names(AT_FDCWD, secret, UP);
        for (n = 0; n < 32; n++)
            if (chdir("..") != 0)
                break;
        looks("fchdir and chdir", number, open(secret + 1, O_RDONLY));
        if (chroot(".") == 0)
            looks("fchdir and chroot", number, open(secret, O_RDONLY));
        CHECK(fchdir(here) == 0);
    }
    close(here);
}

/* Names in a directory that a descriptor leads to. */
static void list(int number)
{
    int fd = openat(number, ".", O_RDONLY | O_DIRECTORY);
    struct dirent *entry;
    DIR *directory;

    if (fd < 0)
        return;
    directory = fdopendir(fd);
    CHECK(directory != NULL);
    while ((entry = readdir(directory)) != NULL)
        if (entry->d_name[0] != '.')
            printf("sees %s\n", entry->d_name);
    closedir(directory);
}

static void give_up_mounting(void)
{
    struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
    struct __user_cap_data_struct data[2];

    CHECK(syscall(SYS_capget, &header, data) == 0);
    data[0].effective &= ~(1u << CAP_SYS_ADMIN);
    data[0].permitted &= ~(1u << CAP_SYS_ADMIN);
    CHECK(syscall(SYS_capset, &header, data) == 0);
}

static void sign(EVP_PKEY *key)
{
    unsigned char sig[1024];
    size_t len = sizeof(sig);
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();

    CHECK(EVP_DigestSignInit_ex(ctx, NULL, "SHA256", NULL, NULL, key, NULL) == 1);
    CHECK(EVP_DigestSign(ctx, sig, &len, (const unsigned char *)"message", 7) == 1);
    EVP_MD_CTX_free(ctx);
}

int main(int argc, char **argv)
{
    int number, count = 0, directories = 0;
    char before[HIGHEST] = {0};
    EVP_PKEY *key = NULL;
    struct stat status;
    uid_t user;

    CHECK(argc == 5 || argc == 6);
    /* A /proc of its own in the new root: the way through it is tried too. */
    CHECK(unshare(CLONE_NEWNS) == 0);
    CHECK(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0);
    {
        char proc[PATH_MAX];

        snprintf(proc, sizeof(proc), "%s/proc", argv[2]);
        CHECK(mkdir(proc, 0755) == 0 || errno == EEXIST);
        CHECK(mount("proc", proc, "proc", 0, NULL) == 0);
    }
    if (strstr(argv[4], ",nomount") != NULL)
        give_up_mounting();
    for (number = 0; number < HIGHEST; number++)
        before[number] = fstat(number, &status) == 0;
    CHECK(OPENSSL_init_crypto(OPENSSL_INIT_LOAD_CONFIG, NULL) == 1);
    if (strcmp(argv[1], "-") != 0)
        key = load_key(NULL, argv[1]);
    CHECK(chroot(argv[2]) == 0 && chdir("/") == 0);
    user = (uid_t)atoi(argv[4]);
    CHECK(setgroups(0, NULL) == 0 && setgid(user) == 0 && setuid(user) == 0);
    for (number = 3; number < HIGHEST; number++) {
        if (before[number] || fstat(number, &status) != 0)
            continue;
        count++;
        if (S_ISDIR(status.st_mode)) {
            directories++;
            list(number);
        }
        try_descriptor(number, argv[3]);
    }
    printf("descriptors %d\ndirectories %d\n", count, directories);
    fflush(stdout);
    if (argc == 6)
        sign(key);
    EVP_PKEY_free(key);
    return escapes != 0;
}
