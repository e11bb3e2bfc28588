/*
 * sandboxed ERRNO RSA.pem EC.pem PEER.pub: loads the keys, has a filter refuse the system call getrandom with ERRNO from
 * then on, and does everything that a key in the TPM does. Each step may succeed or fail with an OpenSSL error; a line
 * "STEP good" or "STEP refused" says which. Whoever ends the process fails the test.
 */
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <openssl/provider.h>
#include <openssl/rsa.h>
#include <stddef.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "host.h"

static void refuse_getrandom(unsigned int error)
{
    struct sock_filter filter[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_getrandom, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | error),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = { sizeof(filter) / sizeof(filter[0]), filter };

    CHECK(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
    CHECK(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0);
    CHECK(syscall(SYS_getrandom, filter, 1, 0) == -1);
}

static void step(const char *name, int good)
{
    printf("%s %s\n", name, good ? "good" : "refused");
    CHECK(good || ERR_peek_error() != 0);
    ERR_clear_error();
}

static const unsigned char message[] = "some bytes";

static int sign_and_verify(EVP_PKEY *key)
{
    unsigned char sig[512];
    size_t len = sizeof(sig);
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    int good = EVP_DigestSignInit(ctx, NULL, EVP_sha256(), NULL, key) == 1
               && EVP_DigestSign(ctx, sig, &len, message, sizeof(message)) == 1;

    EVP_MD_CTX_free(ctx);
    ctx = EVP_MD_CTX_new();
    good = good && EVP_DigestVerifyInit(ctx, NULL, EVP_sha256(), NULL, key) == 1
           && EVP_DigestVerify(ctx, sig, len, message, sizeof(message)) == 1;
    EVP_MD_CTX_free(ctx);
    return good;
}

static int encrypt_and_decrypt(EVP_PKEY *key, int padding)
{
    unsigned char sealed[512], clear[512];
    size_t sealed_len = sizeof(sealed), len = sizeof(clear);
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new(key, NULL);
    int good = EVP_PKEY_encrypt_init(ctx) == 1 && EVP_PKEY_CTX_set_rsa_padding(ctx, padding) == 1
               && EVP_PKEY_encrypt(ctx, sealed, &sealed_len, message, sizeof(message)) == 1
               && EVP_PKEY_decrypt_init(ctx) == 1 && EVP_PKEY_CTX_set_rsa_padding(ctx, padding) == 1
               && EVP_PKEY_decrypt(ctx, clear, &len, sealed, sealed_len) == 1 && len == sizeof(message);

    EVP_PKEY_CTX_free(ctx);
    return good;
}

static int derive(EVP_PKEY *key, EVP_PKEY *peer)
{
    unsigned char secret[64];
    size_t len = sizeof(secret);
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new(key, NULL);
    int good = EVP_PKEY_derive_init(ctx) == 1 && EVP_PKEY_derive_set_peer(ctx, peer) == 1
               && EVP_PKEY_derive(ctx, secret, &len) == 1;

    EVP_PKEY_CTX_free(ctx);
    return good;
}

static int generate(const char *type)
{
    EVP_PKEY *key = NULL;
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, type, "provider=tpm");
    int good = ctx != NULL && EVP_PKEY_keygen_init(ctx) == 1
               && (strcmp(type, "EC") != 0 || EVP_PKEY_CTX_set_group_name(ctx, "P-256") == 1)
               && EVP_PKEY_generate(ctx, &key) == 1;

    EVP_PKEY_free(key);
    EVP_PKEY_CTX_free(ctx);
    return good;
}

int main(int argc, char **argv)
{
    EVP_PKEY *rsa, *ec, *peer;
    FILE *file;

    CHECK(argc == 5);
    rsa = load_key(NULL, argv[2]);
    ec = load_key(NULL, argv[3]);
    CHECK((file = fopen(argv[4], "r")) != NULL);
    CHECK((peer = PEM_read_PUBKEY(file, NULL, NULL, NULL)) != NULL);
    fclose(file);
    refuse_getrandom((unsigned int)atoi(argv[1]));
    step("sign-rsa", sign_and_verify(rsa));
    step("sign-ec", sign_and_verify(ec));
    step("oaep", encrypt_and_decrypt(rsa, RSA_PKCS1_OAEP_PADDING));
    step("pkcs1", encrypt_and_decrypt(rsa, RSA_PKCS1_PADDING));
    step("derive", derive(ec, peer));
    step("generate-rsa", generate("RSA"));
    step("generate-ec", generate("EC"));
    EVP_PKEY_free(rsa);
    rsa = load_key(NULL, argv[2]);
    step("load", sign_and_verify(rsa));
    EVP_PKEY_free(rsa);
    EVP_PKEY_free(ec);
    EVP_PKEY_free(peer);
    return 0;
}
