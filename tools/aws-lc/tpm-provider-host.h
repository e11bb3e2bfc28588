/*
 * Read by the compiler before every file of AWS-LC (.cargo/config.toml). AWS-LC is built for programs that it belongs
 * to; here it is a guest in somebody else's process, which it must not write into, nor end for what is in its
 * environment: OPENSSL_ia32cap with a capability that the processor lacks makes its constructor print and abort.
 */
#ifndef TPM_PROVIDER_HOST_H
#define TPM_PROVIDER_HOST_H
#ifndef __ASSEMBLER__

/* What the files that ask for _GNU_SOURCE need of it: they come too late, the headers are read here. */
#ifndef _DEFAULT_SOURCE
#define _DEFAULT_SOURCE
#endif

#include <stdio.h>
#include <stdlib.h>

/* The environment belongs to the host and its OpenSSL. */
static inline char *tpm_provider_no_variable(const char *name)
{
    (void)name;
    return NULL;
}
#define getenv tpm_provider_no_variable

/* So do its descriptors: number 2 may be a client's socket. */
static inline int tpm_provider_no_output(FILE *stream, const char *format, ...)
{
    (void)stream;
    (void)format;
    return 0;
}
#define fprintf tpm_provider_no_output
#define perror(text) ((void)(text))
#undef stderr
#define stderr ((FILE *)NULL)

#endif
#endif
