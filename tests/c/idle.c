/*
 * idle DEVICE KEY.pem: children of fork that never use the TPM have no descriptor of DEVICE while their parent has it
 * open, and none that is made after the provider was unloaded has. Twice, in a library context of its own each time.
 */
#include "host.h"

#include <dirent.h>
#include <limits.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

struct child {
    pid_t pid;
    int line;
};

/* How many descriptors of the process lead to the device. */
static int descriptors(pid_t pid, const char *device)
{
    struct stat seen, meant;
    char path[64];
    struct dirent *entry;
    int count = 0;
    DIR *directory;

    snprintf(path, sizeof(path), "/proc/%d/fd", pid);
    directory = opendir(path);
    CHECK(directory != NULL && stat(device, &meant) == 0);
    /* Not by the path: the module may have opened it in a mount of its own. */
    while ((entry = readdir(directory)) != NULL)
        count += fstatat(dirfd(directory), entry->d_name, &seen, 0) == 0 && S_ISCHR(seen.st_mode)
            && seen.st_rdev == meant.st_rdev;
    closedir(directory);
    return count;
}

/* A child that does nothing until its parent hangs up. */
static struct child idle(void)
{
    struct child child;
    char byte = 0;
    int ends[2];

    CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, ends) == 0);
    child.pid = fork();
    CHECK(child.pid >= 0);
    if (child.pid == 0) {
        close(ends[0]);
        if (write(ends[1], &byte, 1) != 1 || read(ends[1], &byte, 1) != 0)
            _exit(1);
        _exit(0);
    }
    close(ends[1]);
    child.line = ends[0];
    /* Its fork has returned. */
    CHECK(read(child.line, &byte, 1) == 1);
    return child;
}

static void end(struct child child)
{
    int status;

    close(child.line);
    CHECK(waitpid(child.pid, &status, 0) == child.pid);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static void sign(OSSL_LIB_CTX *libctx, EVP_PKEY *key)
{
    unsigned char sig[1024];
    size_t len = sizeof(sig);
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();

    CHECK(EVP_DigestSignInit_ex(ctx, NULL, "SHA256", libctx, NULL, key, NULL) == 1);
    CHECK(EVP_DigestSign(ctx, sig, &len, (const unsigned char *)"message", 7) == 1);
    EVP_MD_CTX_free(ctx);
}

static void round_of(const char *device, const char *path)
{
    OSSL_LIB_CTX *libctx = OSSL_LIB_CTX_new();
    struct child before, during, after;
    EVP_PKEY *key;

    CHECK(libctx != NULL && OSSL_LIB_CTX_load_config(libctx, getenv("OPENSSL_CONF")) == 1);
    key = load_key(libctx, path);
    before = idle();
    CHECK(descriptors(before.pid, device) == 0);
    sign(libctx, key);
    CHECK(descriptors(getpid(), device) == 1);
    during = idle();
    CHECK(descriptors(during.pid, device) == 0);
    sign(libctx, key);
    CHECK(descriptors(getpid(), device) == 1);
    EVP_PKEY_free(key);
    OSSL_LIB_CTX_free(libctx);
    after = idle();
    CHECK(descriptors(before.pid, device) == 0);
    CHECK(descriptors(during.pid, device) == 0);
    CHECK(descriptors(after.pid, device) == 0);
    /* The process has it until it ends. */
    CHECK(descriptors(getpid(), device) == 1);
    /* The later ones have inherited the lines of the earlier. */
    end(after);
    end(during);
    end(before);
}

int main(int argc, char **argv)
{
    char device[PATH_MAX];

    CHECK(argc == 3);
    CHECK(realpath(argv[1], device) != NULL);
    alarm(100);
    round_of(device, argv[2]);
    round_of(device, argv[2]);
    return 0;
}
