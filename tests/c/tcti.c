/* What tpm2-tss takes for its default way to a TPM (libtss2-tcti-default.so): a swtpm at the address in TEST_SWTPM,
 * since programs like openconnect let nobody say where their TPM is. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

uint32_t Tss2_Tcti_Swtpm_Init(void *context, size_t *size, const char *conf);

/* TSS2_TCTI_INFO of tss2_tcti.h, version 2 of the interface. */
struct info {
    uint32_t version;
    const char *name, *description, *config_help;
    uint32_t (*init)(void *context, size_t *size, const char *conf);
};

static uint32_t init(void *context, size_t *size, const char *conf)
{
    (void)conf;
    return Tss2_Tcti_Swtpm_Init(context, size, getenv("TEST_SWTPM"));
}

static const struct info INFO = {2, "test", "a swtpm", "TEST_SWTPM=host=HOST,port=PORT", init};

const struct info *Tss2_Tcti_Info(void);
const struct info *Tss2_Tcti_Info(void)
{
    return &INFO;
}
