"""The checks of a machine with a TPM 1.2."""

import functools
import os
import pwd
import re

import machine
from client import PLAIN, Client, Key, message, sign_and_verify, signing, verify
from machine import SCRATCH, STRANGER, attempt, finish, overlay, read, require, run, start, wait_until, write
from servers import Clients, Nginx, handshake, listening

# tcsd listens here unless its configuration says otherwise.
TCSD_PORT = 30003

GENPKEY = "genpkey -propquery provider=tpm"


def checks(driver):
    """Names and functions, in their order: first the device alone, then with tcsd on it, then alone again."""
    yield "driver_is_bound", functools.partial(driver_is_bound, driver)
    yield "raw::version_and_selftest", version_and_selftest
    yield "raw::doctor_misses_an_owner", doctor_misses_an_owner
    yield "raw::info_names_the_generation", info_names_the_generation
    yield "raw::keys_of_a_tpm_2_are_refused", keys_of_a_tpm_2_are_refused
    yield "tcsd::starts_on_the_device", TCSD.start
    yield "tcsd::version", version
    yield "tcsd::selftest", selftest
    yield "tcsd::ownership", ownership
    yield "tcsd::doctor", doctor_through_tcsd
    yield "tcsd::keys_by_tpmctl_and_genpkey", keys_are_made
    yield "tcsd::certificates", certificates
    yield "tcsd::signatures_verify_in_plain_openssl", signatures_through_tcsd
    yield "tcsd::anybody_may_use_the_keys", anybody_may_use_the_keys
    yield "tcsd::processes_at_the_same_time", processes_at_the_same_time
    yield "tcsd::nginx_with_two_workers_and_reloads", nginx_through_tcsd
    yield "tcsd::holds_the_device", holds_the_device
    yield "tcsd::gives_the_device_back", gives_the_device_back
    yield "raw::signatures_verify_in_plain_openssl", signatures_on_the_device
    yield "raw::processes_at_the_same_time", processes_share_the_device
    yield "raw::nginx_with_two_workers_and_reloads", nginx_on_the_device
    yield "raw::doctor", doctor_on_the_device
    yield "raw::nothing_more_is_left_in_the_tpm", nothing_more_is_left


def driver_is_bound(driver):
    require(machine.driver() == driver, f"the driver is {machine.driver()}, not {driver}")
    require(machine.generation() == "1", f"the kernel says TPM {machine.generation()}")
    # The kernel's resource manager is for TPM 2.0 only, so detection must find the bare device.
    require(os.path.exists("/dev/tpm0"), "there is no /dev/tpm0")
    require(not os.path.exists("/dev/tpmrm0"), "there is a /dev/tpmrm0")


# --- the device alone


def info_names_the_generation():
    output = Client("detection").tpmctl("info")
    for text in ("device:/dev/tpm0", "family               1.2", "Storage root key"):
        require(text in output, f"there is no {text!r} in\n{output}")


def keys_of_a_tpm_2_are_refused():
    client = Client("bare", tcti="device:/dev/tpm0")
    path = f"{SCRATCH}/refused.key"
    client.try_openssl(f"{GENPKEY} -algorithm EC -pkeyopt group:P-256 -out {path}").fails("a TPM 1.2 has RSA keys")
    # Without an owner there is no root key for keys of its own either.
    os.remove(path)
    client.try_tpmctl(f"key new -o {path}").fails("has no owner", "`tpmctl owner take`")
    require(not os.path.exists(path), "a key file was written all the same")


def version_and_selftest():
    """Detection finds the bare device, and tpmctl prints what tpm_version and tpm_selftest print."""
    client = Client("detection")
    output = client.tpmctl("version")
    for text in ("TPM 1.2 Version Info:", "Chip Version:        1.2.", "Spec Level:", "TPM Vendor ID:"):
        require(text in output, f"there is no {text!r} in\n{output}")
    output = client.tpmctl("selftest -l info")
    for text in ("TPM Test Results:", "The self-test succeeded."):
        require(text in output, f"there is no {text!r} in\n{output}")


def doctor(client, status, *texts):
    """tpmctl doctor, whose status is the number of the first layer that fails."""
    done = client.try_tpmctl("doctor")
    require(done.status == status, f"status {status} is expected:\n{done}")
    for text in texts:
        require(text in " ".join(done.output.split()), f"there is no {text!r} in\n{done}")


def doctor_misses_an_owner():
    doctor(
        Client("detection"),
        11,
        "1 firmware ok The firmware announces a TPM",
        "2 driver ok The driver tpm_tis",
        "3 device ok /dev/tpm0 is tss's",
        "4 holder ok Nobody has the TPM open.",
        "5 tcsd warning tcsd does not run.",
        "8 self-test ok",
        "11 root key problem The TPM has no owner",
    )


# --- with tcsd on it


class Tcsd:
    """trousers' daemon, which lives from one check to another."""

    def __init__(self):
        self.process = None
        # Slots for keys when it ended.
        self.left_free = None
        self.log = f"{SCRATCH}/tcsd.log"

    def start(self):
        machine.need("tcsd")
        machine.need("tpm_version")
        tss = pwd.getpwnam("tss")
        state = f"{SCRATCH}/tcsd-state"
        os.mkdir(state)
        os.chmod(state, 0o700)
        os.chown(state, tss.pw_uid, tss.pw_gid)
        overlay("/var/lib/tpm", state)
        # tcsd insists on this owner and mode.
        conf = write("tcsd.conf", f"port = {TCSD_PORT}\n")
        os.chown(conf, 0, tss.pw_gid)
        os.chmod(conf, 0o640)
        with open(self.log, "wb") as output:
            self.process = start(["tcsd", "-f", "-c", conf], output=output, keep=True)
        wait_until("tcsd", self._up, told=lambda: read(self.log))

    def _up(self):
        require(self.process.poll() is None, f"tcsd has ended:\n{read(self.log)}")
        return listening(TCSD_PORT)

    def client(self):
        return Client("through-tcsd", tcti="tcsd")

    def stop(self):
        self.process.terminate()
        self.process.wait(machine.PATIENCE)


TCSD = Tcsd()


def version():
    output = run(["tpm_version"])
    for text in ("TPM 1.2 Version Info", "Spec Level", "TPM Vendor ID"):
        require(text in output, f"there is no {text!r} in\n{output}")


def selftest():
    output = run(["tpm_selftest"])
    require("TPM Test Results" in output, output)


def ownership():
    """Well-known secrets for the owner and for the storage root key. A maker of TPMs puts the endorsement key in."""
    run(["tpm_createek"])
    run(["tpm_takeownership", "-y", "-z"])
    # Only an owned TPM lets its owner see this, and nobody can own it again.
    output = run(["tpm_getpubek", "-z"])
    require("Public Endorsement Key" in output, output)
    done = attempt(["tpm_takeownership", "-y", "-z"])
    done.fails("has been disabled")


def doctor_through_tcsd():
    doctor(
        TCSD.client(),
        0,
        "4 holder ok /dev/tpm0 is open in tcsd",
        f"5 tcsd ok tcsd (process {TCSD.process.pid}) listens at port {TCSD_PORT} as tss.",
        "11 root key ok The TPM has an owner",
        "Nothing is wrong.",
    )


# --- keys

# The key files, by who made them; made by one check for the others.
KEYS = {}


def keys_are_made():
    client = TCSD.client()
    for name, line, run_ in (
        ("tpmctl", "key new --type rsa -o {}", client.tpmctl),
        ("genpkey", f"{GENPKEY} -algorithm RSA -out {{}}", client.openssl),
    ):
        key = Key(name, "tss")
        run_(line.format(key.path))
        KEYS[name] = key.made(client)


def certificates():
    for key in KEYS.values():
        key.certify(TCSD.client())
        run(["openssl", "verify", "-check_ss_sig", "-CAfile", key.certificate, key.certificate], PLAIN)


def decrypts(client, key):
    cipher, plain = f"{SCRATCH}/{client.name}.cipher", f"{SCRATCH}/{client.name}.plain"
    line = f"openssl pkeyutl -encrypt -pubin -inkey {key.public} -in {message()} -out {cipher}"
    run(line.split(), PLAIN)
    client.openssl(f"pkeyutl -decrypt -inkey {key.path} -in {cipher} -out {plain}")
    require(read(plain) == read(message()), "the decrypted text is another one")


def signatures_through_tcsd():
    # The second setting is for machines that have a TPM 2.0 besides.
    for client in (TCSD.client(), Client("of-two", tcti12="tcsd")):
        for key in KEYS.values():
            sign_and_verify(client, key)
    decrypts(TCSD.client(), KEYS["genpkey"])


def anybody_may_use_the_keys():
    """tcsd asks nobody who he is; the device's owner and mode are tcsd's affair."""
    directory = f"{SCRATCH}/stranger"
    os.mkdir(directory)
    os.chmod(directory, 0o1777)
    sign_and_verify(TCSD.client(), KEYS["tpmctl"], user=STRANGER, directory=directory)


def at_the_same_time(client):
    """More processes than tcsd has connections; they wait, and none fails."""
    running = []
    for number in range(12):
        key = KEYS[("tpmctl", "genpkey")[number % 2]]
        signature = f"{SCRATCH}/{client.name}-{number}.sig"
        line = ["openssl", *signing(key, signature).split()]
        running.append((key, signature, start(line, client.env)))
    for key, signature, process in running:
        finish(process).ok()
        verify(key, signature)


def processes_at_the_same_time():
    at_the_same_time(TCSD.client())


def serves(client, user):
    nginx = Nginx(client, list(KEYS.values()), workers=2, user=user)
    clients = Clients(nginx, 4)
    clients.wait_for(8)
    for _ in range(2):
        nginx.reload()
        clients.wait_for(8)
    total = clients.stop()
    require(total >= 24, f"only {total} handshakes")
    for port, key in nginx.ports:
        version = handshake(port, key)
        require(version == "TLSv1.2", version)
    nginx.quit()


def nginx_through_tcsd():
    serves(TCSD.client(), STRANGER)


def holds_the_device():
    """What the product says when it is sent to the bare device while tcsd has it."""
    client = Client("beside-tcsd", tcti="device:/dev/tpm0", lock_timeout=2)
    done = client.try_tpmctl("info")
    done.fails("opening /dev/tpm0 failed", "another program has it open, perhaps tcsd")
    require(done.seconds < 25, f"it waited {done.seconds:.1f} s of the 2 it was given")
    # And tcsd is none the worse for it.
    run(["tpm_version"])


def gives_the_device_back():
    TCSD.stop()
    info_names_the_generation()
    TCSD.left_free = free_slots()


# --- the device alone again, owned


def on_the_device():
    return Client("device", tcti12="device:/dev/tpm0")


def signatures_on_the_device():
    for key in KEYS.values():
        sign_and_verify(on_the_device(), key)
        # With no setting at all, too: tcsd is gone, and there is but one TPM.
        sign_and_verify(Client("detection"), key)
    decrypts(on_the_device(), KEYS["tpmctl"])


def processes_share_the_device():
    at_the_same_time(on_the_device())


def nginx_on_the_device():
    # Whom Debian's udev rules give the device.
    serves(on_the_device(), "tss")


def doctor_on_the_device():
    doctor(Client("detection"), 0, "5 tcsd warning", "11 root key ok The TPM has an owner")


def nothing_more_is_left():
    """tcsd leaves keys in the TPM when several clients load the same one at a time; it flushes them when it
    needs their slots, and not when it ends. What counts here is that nothing was added."""
    # Who must wait too long for the others leaves his keys when he ends; the next one flushes them.
    sign_and_verify(on_the_device(), KEYS["tpmctl"])
    free = free_slots()
    require(free >= TCSD.left_free, f"{free} slots for keys are free; when tcsd ended it were {TCSD.left_free}")


def free_slots():
    output = " ".join(Client("detection").tpmctl("doctor").split())
    found = re.search(r"Free: (\d+) of 20 slots for keys, 16 of 16 sessions", output)
    require(found, f"there is no such number of free slots, or not all sessions are free, in\n{output}")
    return int(found.group(1))
