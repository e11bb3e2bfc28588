"""The checks of a machine with a TPM 1.2."""

import functools
import os
import pwd

import machine
from client import Client
from machine import SCRATCH, attempt, overlay, read, require, run, start, wait_until, write
from servers import listening

# tcsd listens here unless its configuration says otherwise.
TCSD_PORT = 30003


def checks(driver):
    """Names and functions, in their order: first the device alone, then with tcsd on it, then alone again."""
    yield "driver_is_bound", functools.partial(driver_is_bound, driver)
    yield "raw::info_names_the_generation", info_names_the_generation
    yield "raw::keys_of_a_tpm_2_are_refused", keys_of_a_tpm_2_are_refused
    yield "raw::version_and_selftest", raw_version_and_selftest
    yield "raw::doctor_misses_an_owner", doctor_misses_an_owner
    yield "tcsd::starts_on_the_device", TCSD.start
    yield "tcsd::version", version
    yield "tcsd::selftest", selftest
    yield "tcsd::ownership", ownership
    yield "tcsd::doctor", tcsd_doctor
    yield "tcsd::holds_the_device", holds_the_device
    yield "tcsd::gives_the_device_back", gives_the_device_back


def driver_is_bound(driver):
    require(machine.driver() == driver, f"the driver is {machine.driver()}, not {driver}")
    require(machine.generation() == "1", f"the kernel says TPM {machine.generation()}")
    # The kernel's resource manager is for TPM 2.0 only, so detection must find the bare device.
    require(os.path.exists("/dev/tpm0"), "there is no /dev/tpm0")
    require(not os.path.exists("/dev/tpmrm0"), "there is a /dev/tpmrm0")


# --- the device alone


def info_names_the_generation():
    Client("detection").try_tpmctl("info").fails("device:/dev/tpm0", "this is a TPM 1.2")


def keys_of_a_tpm_2_are_refused():
    client = Client("bare", tcti="device:/dev/tpm0")
    path = f"{SCRATCH}/refused.key"
    client.try_tpmctl(f"key new -o {path}").fails("device:/dev/tpm0", "this is a TPM 1.2")
    require(not os.path.exists(path), "a key file was written all the same")
    genpkey = f"genpkey -propquery provider=tpm -algorithm RSA -out {path}"
    client.try_openssl(genpkey).fails("device:/dev/tpm0", "this is a TPM 1.2")


def agrees_with_trousers(client):
    """tpmctl prints what tpm_version and tpm_selftest printed: their users find the fields they know."""
    output = client.tpmctl("version")
    for text in ("TPM 1.2 Version Info:", "Chip Version:        1.2.", "Spec Level:", "TPM Vendor ID:"):
        require(text in output, f"there is no {text!r} in\n{output}")
    output = client.tpmctl("selftest -l info -r")
    for text in ("TPM Test Results:", "succeeded"):
        require(text in output, f"there is no {text!r} in\n{output}")


def raw_version_and_selftest():
    # Detection finds the bare device.
    agrees_with_trousers(Client("detection"))


def doctor(client, status, *texts):
    """tpmctl doctor, whose status is the number of the first layer that fails."""
    done = client.try_tpmctl("doctor")
    require(done.status == status, f"status {status} is expected:\n{done}")
    for text in texts:
        require(text in " ".join(done.output.split()), f"there is no {text!r} in\n{done}")


def doctor_misses_an_owner():
    doctor(Client("detection"), 11, "tpm_tis", "device:/dev/tpm0", "DEBUG")


# --- with tcsd on it


class Tcsd:
    """trousers' daemon, which lives from one check to another."""

    def __init__(self):
        self.process = None
        self.log = f"{SCRATCH}/tcsd.log"
        self.address = f"tcsd:host=127.0.0.1,port={TCSD_PORT}"

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


def tcsd_doctor():
    doctor(Client("through-tcsd", tcti=TCSD.address), 0, "DEBUG")
    doctor(Client("detection"), 0, "DEBUG")


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
