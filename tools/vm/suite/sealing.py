"""What docs/sealing.md says people do with sealed secrets, line by line as it is written there."""

import glob
import os
import re
import shutil
import signal

import machine
from machine import PRODUCT, SCRATCH, TPMCTL, Failure, attempt, read, require, run, start

# Where the page's files are; nothing of this machine's own is in there.
STORE = "/var/lib/tpm-provider"


def blocks(heading, kind="sh"):
    """The page's blocks of a kind below a heading."""
    page = read(f"{PRODUCT}/sealing.md")
    _, _, section = page.partition(f"\n## {heading}\n")
    section, _, _ = section.partition("\n## ")
    found = re.findall(rf"```{kind}\n(.*?)```", section, re.DOTALL)
    require(found, f"docs/sealing.md has no lines below {heading!r}")
    return found


def shell(client, lines):
    """Runs lines as somebody would type them, up to the first that fails. There is no udev here."""
    script = f"set -euo pipefail\n{lines}"
    return attempt(["bash", "-c", script], {**client.env, "DM_DISABLE_UDEV": "1"})


class Writable:
    """Directories that are read-only in a guest, empty and for the time being."""

    def __init__(self, *directories):
        self.directories = directories

    def __enter__(self):
        for directory in self.directories:
            run(["mount", "-t", "tmpfs", "tmpfs", directory])
        # As `make install` does.
        shutil.copy(TPMCTL, "/usr/local/bin/tpmctl")
        if "/var/lib" in self.directories:
            os.mkdir(STORE)

    def __exit__(self, *_):
        for directory in reversed(self.directories):
            attempt(["umount", "-l", directory])


def a_luks_disk(device, client):
    """A disk is opened by the TPM, again after it was shut, and by nothing else."""
    make, use = blocks("A disk")
    machine.need("cryptsetup")
    image = f"{SCRATCH}/disk.img"
    with open(image, "wb") as file:
        file.truncate(64 << 20)
    loop = run(["losetup", "-f", "--show", image]).strip()
    os.symlink(loop, "/dev/sdb1")
    with Writable("/usr/local/bin", "/var/lib"):
        try:
            shell(client, make).ok()
            require(not os.path.exists("/run/disk.key"), "the key is still there")
            shell(client, use).ok()
            with open("/mnt/file", "w", encoding="utf-8") as file:
                file.write("in clear\n")
            run(["umount", "/mnt"])
            run(["cryptsetup", "close", "data"], {"DM_DISABLE_UDEV": "1"})
            with open(image, "rb") as file:
                require(b"in clear" not in file.read(), "what is on the disk is not encrypted")
            shell(client, use).ok()
            require(read("/mnt/file") == "in clear\n", "the file is another one")
            run(["umount", "/mnt"])
            run(["cryptsetup", "close", "data"], {"DM_DISABLE_UDEV": "1"})
            # Another state of the machine.
            run(["tpm2_pcrextend", "-T", f"device:/dev/{device}", f"7:sha256={'5a' * 32}"])
            shell(client, use).fails("sha256:7")
            require(not os.path.exists("/dev/mapper/data"), "the disk is open")
        finally:
            attempt(["umount", "/mnt"])
            attempt(["cryptsetup", "close", "data"], {"DM_DISABLE_UDEV": "1"})
            attempt(["losetup", "-d", loop])
            os.remove("/dev/sdb1")


def ecryptfs(device, client):
    """A secret for eCryptfs' encrypted key comes out of the TPM into the kernel as a key of the type user."""
    first, again, *_ = blocks("eCryptfs")
    with Writable("/usr/local/bin", "/var/lib", "/srv"):
        mounts_and_mounts_again(client, first, again)


def ecryptfs_with_a_trusted_key(device, client):
    """The kernel itself has the TPM unseal it; another TPM, which a cleared one is, does not."""
    *_, first, again = blocks("eCryptfs")
    with Writable("/usr/local/bin", "/var/lib", "/srv"):
        mounts_and_mounts_again(client, first, again)
        unseal, load, mount = again.splitlines()
        blob = read(f"{STORE}/kmk.blob")
        for at in (len(blob) // 2, len(blob) - 2):
            machine.write("kmk.damaged", blob[:at] + ("1" if blob[at] == "0" else "0") + blob[at + 1 :])
            damaged = unseal.replace(f"{STORE}/kmk.blob", f"{SCRATCH}/kmk.damaged")
            require(damaged != unseal, f"the file's name is not in {unseal!r}")
            require(shell(client, damaged).status != 0, f"the kernel loads it with digit {at} changed")
        shell(client, unseal).ok()
        run(["keyctl", "clear", "@u"])
        run(["tpm2_clear", "-T", f"device:/dev/{device}", "-c", "l"])
        require(shell(client, unseal).status != 0, "the kernel loads it without a parent")
        client.tpmctl("srk create")
        require(shell(client, unseal).status != 0, "another TPM unseals it")
        require(shell(client, load).status != 0, "the kernel decrypts its key without the secret")
        require(shell(client, mount).status != 0, "eCryptfs mounts without its key")
        # Nothing is wrong with this TPM: what is sealed for it loads.
        data = machine.write("kmk", "k" * 32)
        client.tpmctl(f"seal -i {data} -o {STORE}/kmk.blob -f --for kernel --parent 0x81000001")
        shell(client, unseal).ok()
        run(["keyctl", "clear", "@u"])
        run(["tpm2_evictcontrol", "-T", f"device:/dev/{device}", "-C", "o", "-c", "0x81000001"])


def mounts_and_mounts_again(client, first, again):
    """The page's lines of the first time, and those of after a start, which all keys were forgotten by. Without the secret
    nothing mounts."""
    unseal, load, mount = again.splitlines()
    try:
        shell(client, first).ok()
        require(not os.path.exists("/run/kmk"), "the secret is still there")
        with open("/mnt/file", "w", encoding="utf-8") as file:
            file.write("in clear\n")
        run(["umount", "/mnt"])
        require(os.listdir("/srv") == ["file"], f"below is {os.listdir('/srv')}")
        require("in clear" not in read("/srv/file"), "what is below is not encrypted")
        run(["keyctl", "clear", "@u"])
        require(shell(client, mount).status != 0, "eCryptfs mounts without its key")
        require(shell(client, load).status != 0, "the kernel decrypts its key without the secret")
        shell(client, f"{unseal}\n{load}\n{mount}").ok()
        require(read("/mnt/file") == "in clear\n", "the file is another one")
    finally:
        attempt(["umount", "/mnt"])
        attempt(["keyctl", "clear", "@u"])


def a_service_of_systemd(device, client):
    """systemd gives a service what the TPM unseals, and no secret is in a file."""
    (seal,) = blocks("A service of systemd")
    units = blocks("A service of systemd", "ini")
    names = ("token.socket", "token@.service", "app.service")
    require(len(units) == len(names), f"there are {len(units)} units")
    with Writable("/usr/local/bin", "/var/lib", "/etc/systemd/system"):
        nothing_else()
        for name, text in zip(names, units):
            with open(f"/etc/systemd/system/{name}", "w", encoding="utf-8") as file:
                file.write(text)
        with open(f"{SCRATCH}/token", "wb") as file:
            file.write(os.urandom(24))
        shell(client, seal).ok()
        digest = run(["sha256sum", f"{SCRATCH}/token"]).split()[0]
        saw = app_saw()
        require(saw == digest, f"the service has seen {saw or 'nothing'}, not {digest}:\n{told()}")
        # Without what was sealed the service has nothing.
        os.remove(f"{STORE}/token.sealed")
        saw = app_saw()
        require(saw in ("", EMPTY), f"the service has seen {saw}")


def nothing_else():
    """Of what systemd starts with any machine, it starts nothing here, where it would clean directories."""
    for wants in glob.glob("/lib/systemd/system/*.target.wants/*"):
        unit = f"/etc/systemd/system/{os.path.basename(wants)}"
        if not wants.endswith(".target") and not os.path.lexists(unit):
            os.symlink("/dev/null", unit)


# The digest of nothing.
EMPTY = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


def app_saw():
    """What the page's service has seen, under a systemd of its own that starts nothing but what it needs."""
    result = f"{STORE}/app.saw"
    if os.path.exists(result):
        os.remove(result)
    if not os.path.ismount("/sys/fs/cgroup"):
        run(["mount", "-t", "cgroup2", "cgroup2", "/sys/fs/cgroup"])
    namespaces = "unshare --fork --pid --mount --propagation shared --mount-proc --kill-child"
    line = f"{namespaces} /lib/systemd/systemd --system --unit=app.service"
    # All that it says.
    with open("/proc/sys/kernel/printk_devkmsg", "w", encoding="utf-8") as setting:
        setting.write("on\n")
    process = start(
        [*line.split(), "--log-target=kmsg", "--show-status=no"],
        {"container": "unshare", "OPENSSL_CONF": "/etc/ssl/openssl.cnf"},
    )
    try:
        machine.wait_until("the service", lambda: has_ended(result), told=told)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
        shutil.rmtree("/run/systemd", ignore_errors=True)
    return read(result).split()[0] if os.path.exists(result) else ""


def told():
    """What systemd has said."""
    return "\n".join(run(["dmesg"]).splitlines()[-40:])


def has_ended(result):
    return (os.path.exists(result) and read(result)) or "app.service: Failed with result" in told()
