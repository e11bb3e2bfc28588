"""OpenSSL with the provider on one of the TPM's devices, and OpenSSL without it."""

import os

from machine import PRODUCT, SCRATCH, TPMCTL, Failure, attempt, read, require, run, write

# Programs that check what the TPM has made know nothing of the provider.
PLAIN = {"OPENSSL_CONF": "/dev/null"}

MESSAGE = b"signed in a guest\n"


class Client:
    """The sample configuration with `settings` in the provider's section."""

    def __init__(self, name, **settings):
        self.name = name
        text = read(f"{PRODUCT}/openssl.cnf")
        lines = "".join(f"{setting.replace('_', '-')} = {value}\n" for setting, value in settings.items())
        sample = "[tpm_sect]\nactivate = 1\n"
        require(sample in text, "conf/openssl.cnf has no section [tpm_sect]")
        path = write(f"openssl-{name}.cnf", text.replace(sample, sample + lines))
        self.env = {"OPENSSL_CONF": path, "OPENSSL_MODULES": f"{PRODUCT}/ossl-modules"}

    def openssl(self, line, user=None, **env):
        return run(["openssl", *line.split()], {**self.env, **env}, user)

    def try_openssl(self, line, user=None, **env):
        return attempt(["openssl", *line.split()], {**self.env, **env}, user)

    def tpmctl(self, line):
        return run([TPMCTL, *line.split()], self.env)

    def try_tpmctl(self, line, user=None):
        return attempt([TPMCTL, *line.split()], self.env, user)


class Key:
    """A key file in the scratch directory, and its public half as plain OpenSSL reads it.

    The kinds are rsa and ec, in a TPM 2.0, and tss, in a TPM 1.2."""

    def __init__(self, name, kind="ec"):
        self.name = name
        self.label = "TSS KEY BLOB" if kind == "tss" else "TSS2 PRIVATE KEY"
        # What a server with such a key is told, in nginx' words: conf/nginx-tpm12.conf has the reason.
        self.directives = (
            "ssl_protocols TLSv1.2; ssl_conf_command SignatureAlgorithms RSA+SHA256:RSA+SHA384:RSA+SHA512;"
            if kind == "tss"
            else ""
        )
        # What OpenSSL asks of the key in a TLS handshake: the padding of an RSA key without a scheme is made
        # in software, so that every padding is possible.
        self.command = "TPM2_Sign" if kind == "ec" else "TPM2_RSA_Decrypt"
        self.path = f"{SCRATCH}/{name}.key"
        self.public = f"{SCRATCH}/{name}.pub"
        self.certificate = f"{SCRATCH}/{name}.crt"

    def made(self, client):
        """Asserts that the file is a TPM's, and writes the public half."""
        require(f"-----BEGIN {self.label}-----" in read(self.path), f"{self.path} is no key of a TPM")
        # Made by root; users of the guest read it as a service reads its own.
        os.chmod(self.path, 0o644)
        client.openssl(f"pkey -in {self.path} -pubout -out {self.public}")
        return self

    def certify(self, client):
        """A self-signed certificate, which costs a signature."""
        client.openssl(
            f"req -x509 -key {self.path} -subj /CN={self.name} -addext subjectAltName=DNS:{self.name}"
            f" -days 30 -out {self.certificate}"
        )
        return self


def message():
    path = f"{SCRATCH}/message"
    if not os.path.exists(path):
        with open(path, "wb") as file:
            file.write(MESSAGE)
    return path


def signing(key, signature, options=""):
    """The arguments of `openssl` that sign the message."""
    return f"pkeyutl -sign -rawin -digest sha256 -inkey {key.path} -in {message()} -out {signature} {options}"


def verify(key, signature, options=""):
    """Plain OpenSSL finds the signature right."""
    line = f"openssl pkeyutl -verify -rawin -digest sha256 -pubin -inkey {key.public} -sigfile {signature} {options}"
    run([*line.split(), "-in", message()], PLAIN)


def sign_and_verify(client, key, options="", user=None, directory=SCRATCH):
    signature = f"{directory}/{key.name}.sig"
    client.openssl(signing(key, signature, options), user)
    verify(key, signature, options)


def left_in_tpm():
    """Handles of transient objects and of sessions, as the bare device shows them."""
    found = []
    for kind in ("handles-transient", "handles-loaded-session", "handles-saved-session"):
        output = run(["tpm2_getcap", "-T", "device:/dev/tpm0", kind])
        found += [f"{kind}: {line.strip('- ')}" for line in output.splitlines() if "0x" in line]
    return found


def nothing_left():
    # That the tool lists what there is: the hierarchies are always there.
    output = run(["tpm2_getcap", "-T", "device:/dev/tpm0", "handles-permanent"])
    require("0x40000001" in output.lower(), f"tpm2_getcap does not list handles:\n{output}")
    found = left_in_tpm()
    if found:
        raise Failure("the TPM still holds " + ", ".join(found))
