"""The checks of a machine with a TPM 2.0."""

import base64
import functools
import os
import time

import machine
import sealing
from client import PLAIN, Client, Key, message, nothing_left, sign_and_verify, signing, verify
from machine import MEMBER, PRODUCT, SCRATCH, STRANGER, Failure, attempt, finish, read, require, run, start, write
from servers import Clients, Nginx, Server, handshake

# The managed device first: what fails there fails everywhere.
DEVICES = ("tpmrm0", "tpm0")

# Of a kernel that encrypts its own sessions.
NULL_NAME = "/sys/class/tpm/tpm0/null_name"

# The key files, by the device they were made on and a name; made by the first checks.
KEYS = {}


def checks(driver, encrypting=False):
    """Names and functions, in their order: keys are made first, and what must be left is looked at last.

    An encrypting kernel is one that encrypts its own sessions."""
    yield "driver_is_bound", functools.partial(driver_is_bound, driver)
    yield "detection_takes_the_resource_manager", detection_takes_the_resource_manager
    yield "doctor", functools.partial(doctor, driver)
    if encrypting:
        yield "a_reset_behind_the_kernels_back", a_reset_behind_the_kernels_back
    clients = {device: Client(device, tcti=f"device:/dev/{device}") for device in DEVICES}

    def on(device, *each):
        for check in each:
            yield f"{device}::{check.__name__}", functools.partial(check, device, clients[device])

    for device in DEVICES:
        yield from on(device, info, keys_by_tpmctl, keys_by_genpkey, certificates)
    for device in DEVICES:
        yield from on(
            device,
            signatures_verify_in_plain_openssl,
            decryption,
            one_command_for_a_further_signature,
            asynchronous_server,
            processes_at_the_same_time,
            ten_keys_in_turn,
            forks_while_threads_sign,
            nginx_with_four_workers_and_reloads,
            killed_while_signing,
            permissions,
        )
        if device == "tpmrm0":
            yield from on(device, idle_forks_have_no_copy, persistent_and_loaded_keys)
            yield from on(device, sealing.ecryptfs, sealing.a_luks_disk, sealing.a_service_of_systemd)
            if not encrypting:
                yield from on(device, trusted_keys)
        if device == "tpm0":
            yield "tpm0::held_by_another_program", held_by_another_program
            yield "tpm0::released_while_we_wait", released_while_we_wait
        yield f"{device}::nothing_is_left_in_the_tpm", nothing_left


def checks_of_keys(driver):
    """On a kernel with trusted keys built in."""
    client = Client("keys", tcti="device:/dev/tpmrm0")
    yield "driver_is_bound", functools.partial(driver_is_bound, driver)
    for check in (trusted_keys, sealing.ecryptfs, sealing.ecryptfs_with_a_trusted_key):
        yield f"tpmrm0::{check.__name__}", functools.partial(check, "tpmrm0", client)
    yield "tpmrm0::nothing_is_left_in_the_tpm", nothing_left


# --- the machine


def driver_is_bound(driver):
    require(machine.driver() == driver, f"the driver is {machine.driver()}, not {driver}")
    require(machine.generation() == "2", f"the kernel says TPM {machine.generation()}")


def detection_takes_the_resource_manager():
    client = Client("detection")
    output = client.tpmctl("info")
    require("device:/dev/tpmrm0" in output, output)
    # A TPM that exists and may not be used is an error, not a reason to look for another.
    client.try_tpmctl("info", user=STRANGER).fails("/dev/tpmrm0", "Permission denied", "group tss")


def doctor(driver):
    """A machine as it is when it is new: nothing is broken, and status 0."""
    output = " ".join(Client("detection").tpmctl("doctor").split())
    for text in (
        "1 firmware ok The firmware announces a TPM",
        f"2 driver ok The driver {driver}",
        "3 device ok /dev/tpmrm0 is tss's and group tss's",
        "6 address ok The TPM is device:/dev/tpmrm0, which was detected",
        "8 self-test ok",
        "9 lockout warning Not locked, and the lockout hierarchy has no authorization value",
        "12 openssl ok OpenSSL loads the provider tpm",
    ):
        require(text in output, f"there is no {text!r} in\n{output}")


def a_reset_behind_the_kernels_back():
    """The kernel's name of the null hierarchy's primary is the TPM's; with another one the TPM would be in doubt."""
    client = Client("detection")
    name = read(NULL_NAME).strip()
    client.tpmctl("srk create")
    try:
        output = " ".join(client.tpmctl("doctor").split())
        require("The TPM was not reset since the kernel started (null_name)." in output, output)
        machine.overlay(NULL_NAME, write("null_name", f"000b{'5a' * 32}\n"))
        try:
            done = client.try_tpmctl("doctor")
            done.fails("The TPM was reset since the kernel started, or is another one", NULL_NAME)
            require(done.status == 11, f"the layer is 11:\n{done}")
        finally:
            run(["umount", NULL_NAME])
        require(read(NULL_NAME).strip() == name, "the kernel's name has changed")
    finally:
        run(["tpm2_evictcontrol", "-T", "device:/dev/tpmrm0", "-C", "o", "-c", "0x81000001"])


def info(device, client):
    output = client.tpmctl("info -a")
    for text in (f"device:/dev/{device}", "2.0", "RSA ECC"):
        require(text in output, f"there is no {text!r} in\n{output}")


# --- keys


def keys_by_tpmctl(device, client):
    for name, options in (
        ("rsa", "--type rsa"),
        ("ec", "--type ec"),
        ("ec-384", "--type ec --curve P-384"),
    ):
        key = Key(f"{device}-{name}", name.split("-")[0])
        client.tpmctl(f"key new {options} -o {key.path}")
        KEYS[device, name] = key.made(client)


def keys_by_genpkey(device, client):
    for name, options in (
        ("rsa-2", "-algorithm RSA -pkeyopt bits:2048"),
        ("ec-2", "-algorithm EC -pkeyopt group:P-256"),
    ):
        key = Key(f"{device}-{name}", name.split("-")[0])
        client.openssl(f"genpkey -propquery provider=tpm {options} -out {key.path}")
        KEYS[device, name] = key.made(client)


def signatures_verify_in_plain_openssl(device, client):
    sign_and_verify(client, KEYS[device, "rsa"])
    pss = "-pkeyopt rsa_padding_mode:pss -pkeyopt rsa_pss_saltlen:digest"
    sign_and_verify(client, KEYS[device, "rsa-2"], pss)
    sign_and_verify(client, KEYS[device, "ec"])
    # A signature by one key is none by another.
    signature = f"{SCRATCH}/{device}-ec.sig"
    try:
        verify(KEYS[device, "ec-2"], signature)
    except Failure:
        return
    raise Failure("the signature of one key was verified with another")


def decryption(device, client):
    key = KEYS[device, "rsa"]
    cipher, plain = f"{SCRATCH}/{device}.cipher", f"{SCRATCH}/{device}.plain"
    padding = "-pkeyopt rsa_padding_mode:oaep -pkeyopt rsa_oaep_md:sha256"
    line = f"openssl pkeyutl -encrypt -pubin -inkey {key.public} -in {message()} -out {cipher} {padding}"
    run(line.split(), PLAIN)
    client.openssl(f"pkeyutl -decrypt -inkey {key.path} -in {cipher} -out {plain} {padding}")
    require(read(plain) == read(message()), "the decrypted text is another one")


def certificates(device, client):
    keys = [key for (made_on, _), key in KEYS.items() if made_on == device]
    require(len(keys) == 5, f"{len(keys)} keys were made on {device}")
    for key in keys:
        key.certify(client)
    for key in keys[:2]:
        run(["openssl", "verify", "-check_ss_sig", "-CAfile", key.certificate, key.certificate], PLAIN)


# --- what it costs


def one_command_for_a_further_signature(device, client):
    for name in ("rsa", "ec"):
        key = KEYS[device, name]
        server = Server(client, key, accepts=3)
        require(server.commands() == [], f"commands before the first handshake: {server.commands()}")
        server.handshake()
        first = server.commands()
        require(first.count(key.command) == 1, f"{name}: the first handshake cost {first}")
        for _ in range(2):
            server.handshake()
        everything = server.end()
        further = everything[len(first) :]
        # The kernel cleans up behind a process; on the bare device each process does, and looks first whether it is its own.
        wanted = [key.command] * 2 + ([] if device == "tpmrm0" else ["TPM2_ReadPublic", "TPM2_FlushContext"])
        require(further == wanted, f"{name}: first {first}, then {further}, not {wanted}")


def persistent_and_loaded_keys(device, client):
    """What a signature takes with a key that the kernel swaps with each command, and with the same key where it need not.
    How fast this machine is says nothing; which of the two is faster, and by how much, is printed for the guide. Each is in
    a process of its own, since the kernel swaps all that a process has loaded, whatever its command is about."""

    def rates(key, results):
        results.append([float(word) for word in run([f"{PRODUCT}/programs/rate", "100", key], client.env).split()])

    print()
    for name, handle in (("rsa", "0x81020001"), ("ec", "0x81020002")):
        path = KEYS[device, name].path
        client.tpmctl(f"key persist {path} {handle}")
        try:
            loaded, kept = [], []
            # In turns, so that whatever else the machine does meets both.
            for _ in range(3):
                rates(path, loaded)
                rates(f"handle:{handle}", kept)
            (file, file_rate), (own, own_rate) = sorted(loaded)[1], sorted(kept)[1]
            print(
                f"    {name}: a key file {file:.0f} us, {file_rate:.1f} per second; persistent {own:.0f} us, "
                f"{own_rate:.1f} per second; the file takes {file / own:.2f} times as long"
            )
            require(file > 0 and own > 0, f"{loaded} {kept}")
        finally:
            client.tpmctl(f"key evict {handle} --yes")


# --- sealed data


def trusted_keys(device, client):
    """The kernel loads what seal --for kernel writes, for the right value, and nothing that was changed or has a policy; and
    what it makes itself is unsealed."""
    client.tpmctl("srk create")
    pin = write("trusted.pin", "4711\n")

    def load(blob, more=""):
        return attempt(["keyctl", "add", "trusted", "loaded", f"load {blob}{more}", "@u"])

    for size, options, more in ((32, "", ""), (128, "", ""), (64, f"--auth file:{pin}", " blobauth=4711")):
        data, sealed = f"{SCRATCH}/trusted.{size}", f"{SCRATCH}/trusted.{size}.blob"
        with open(data, "wb") as file:
            file.write(os.urandom(size))
        client.tpmctl(f"seal -i {data} -o {sealed} --for kernel --parent 0x81000001 {options}")
        blob = read(sealed)
        key = load(blob, more).ok().strip()
        require(run(["keyctl", "pipe", key]).strip() == blob, f"{size}: the kernel has another key")
        run(["keyctl", "unlink", key, "@u"])
        damaged = blob[:-8] + ("1" if blob[-8] == "0" else "0") + blob[-7:]
        require(load(damaged, more).status != 0, f"{size}: the kernel loads what was changed")
        if more:
            require(load(blob).status != 0, "the kernel loads it without its value")
    sealed = f"{SCRATCH}/trusted.policy"
    client.tpmctl(f"seal -i {SCRATCH}/trusted.32 -o {sealed} --pcr 16 --parent 0x81000001")
    body = "".join(line for line in read(sealed).splitlines() if not line.startswith("-----"))
    require(load(base64.b64decode(body).hex()).status != 0, "the kernel loads a file with a policy")
    # Its two kinds of keys, the second one for this TPM alone.
    for size, options in ((32, ""), (64, " migratable=0")):
        key = run(["keyctl", "add", "trusted", "own", f"new {size} keyhandle=0x81000001{options}", "@u"]).strip()
        sealed = write(f"trusted.own.{size}", run(["keyctl", "pipe", key]))
        client.tpmctl(f"unseal -i {sealed} -o {sealed}.clear")
        length = os.path.getsize(f"{sealed}.clear")
        require(length == size, f"the kernel's key has {length} bytes, not {size}")
        run(["keyctl", "unlink", key, "@u"])
    run(["tpm2_evictcontrol", "-T", "device:/dev/tpmrm0", "-C", "o", "-c", "0x81000001"])


# --- servers


def asynchronous_server(device, client):
    server = Server(client, KEYS[device, "ec"], accepts=3, options="-async")
    version = server.handshake()
    require(version == "TLSv1.3", version)
    server.handshake()
    key = KEYS[device, "ec"]
    line = f"openssl s_client -connect 127.0.0.1:{server.port} -servername {key.name} -CAfile {key.certificate}"
    output = run([*line.split(), "-verify_return_error"], PLAIN)
    for text in ("Peer signature type: ECDSA", "Verify return code: 0 (ok)"):
        require(text in output, f"there is no {text!r} in\n{output}")
    server.end()


def owner(device):
    """Who workers of a server are: whom Debian's udev rules give the device."""
    return MEMBER if device == "tpmrm0" else "tss"


def nginx_with_four_workers_and_reloads(device, client):
    machine.need("nginx")
    machine.need("curl")
    keys = [KEYS[device, name] for name in ("rsa", "ec", "rsa-2", "ec-2")]
    nginx = Nginx(client, keys, workers=4, user=owner(device))
    clients = Clients(nginx, 4)
    clients.wait_for(6)
    for _ in range(2):
        nginx.reload()
        clients.wait_for(6)
    total = clients.stop()
    require(total >= 18, f"only {total} handshakes")
    for port, key in nginx.ports[:2]:
        address = f"https://{key.name}:{port}/"
        resolve = f"{key.name}:{port}:127.0.0.1"
        output = run(["curl", "-sS", "--cacert", key.certificate, "--resolve", resolve, address], PLAIN)
        require(output == "served", f"curl got {output!r}")
    nginx.quit()


def ten_keys_in_turn(device, client):
    """More keys than a TPM has slots, in one process, made on either device: they belong to the TPM."""
    keys = list(KEYS.values())
    require(len(keys) == 10, f"there are {len(keys)} keys")
    nginx = Nginx(client, keys, workers=1, user=owner(device))
    for _ in range(2):
        for port, key in nginx.ports:
            try:
                handshake(port, key)
            except OSError as error:
                raise Failure(f"{key.name}: {error}\n{nginx.told()}") from None
    nginx.quit()


# --- several processes


def processes_at_the_same_time(device, client):
    running = []
    for name in ("rsa", "ec", "rsa-2", "ec-2"):
        key, signature = KEYS[device, name], f"{SCRATCH}/same-time-{name}"
        line = ["openssl", *signing(key, signature).split()]
        running.append((key, signature, start(line, client.env)))
    for key, signature, process in running:
        finish(process).ok()
        verify(key, signature)


def forks_while_threads_sign(device, client):
    """Children forked in the middle of operations of four threads sign, free what they inherited and end; four one
    after another, four at once, four that fork a child of their own."""
    keys = [KEYS[device, name].path for name in ("rsa", "ec")]
    done = attempt([f"{PRODUCT}/programs/forks", "300", *keys], client.env, patience=330)
    require("signatures" in done.ok(), f"it says nothing of signatures:\n{done}")
    nothing_left()


def idle_forks_have_no_copy(device, client):
    """A child that never uses the TPM does not keep the resource manager's space of its parent."""
    run([f"{PRODUCT}/programs/idle", f"/dev/{device}", KEYS[device, "ec"].path], client.env)
    nothing_left()


def killed_while_signing(device, client):
    """More often than there are slots, at different moments; the next ones make do with what the dead leave."""
    names = ("rsa", "ec", "rsa-2", "ec-2")
    for name, delay in zip(names, (0.0, 0.07, 0.15, 0.3)):
        key = KEYS[device, name]
        server = Server(client, key)
        server.handshake()
        clients = Clients(server, 2)
        time.sleep(delay)
        server.kill()
        clients.abandon()
        require(key.command in server.commands(), "it was killed before it signed")
    for name in names:
        sign_and_verify(client, KEYS[device, name])
    nothing_left()


# --- who may


def permissions(device, client):
    key = KEYS[device, "ec"]
    directory = f"{SCRATCH}/{device}-users"
    os.mkdir(directory)
    os.chmod(directory, 0o1777)
    # As after a start of the machine: the first to come may be one who may not use the TPM.
    for lock in os.listdir("/run/lock"):
        os.remove(f"/run/lock/{lock}")
    refused = client.try_openssl(signing(key, f"{directory}/stranger.sig"), user=STRANGER)
    refused.fails(f"/dev/{device}", "Permission denied", "group tss")
    sign_and_verify(client, key, user=owner(device), directory=directory)
    if device == "tpm0":
        # Debian gives the bare device to the user tss, not to the group: another way must be told.
        refused = client.try_openssl(signing(key, f"{directory}/member.sig"), user=MEMBER)
        refused.fails("/dev/tpm0", "Permission denied", "device:/dev/tpmrm0")


# --- a device that another program holds


def held_by_another_program():
    hasty = Client("hasty", tcti="device:/dev/tpm0", lock_timeout=2)
    holder = os.open("/dev/tpm0", os.O_RDWR)
    try:
        done = hasty.try_openssl(signing(KEYS["tpm0", "ec"], f"{SCRATCH}/busy.sig"))
        done.fails("TPM busy", "opening /dev/tpm0 failed", "another program has it open", "device:/dev/tpmrm0")
        require(2 <= done.seconds < 25, f"it waited {done.seconds:.1f} s of the 2 it was given")
        # Meanwhile the resource manager serves.
        sign_and_verify(Client("meanwhile", tcti="device:/dev/tpmrm0"), KEYS["tpm0", "ec"])
    finally:
        os.close(holder)


def released_while_we_wait():
    client = Client("patient", tcti="device:/dev/tpm0", lock_timeout=30)
    key = KEYS["tpm0", "ec"]
    signature = f"{SCRATCH}/patient.sig"
    holder = os.open("/dev/tpm0", os.O_RDWR)
    try:
        process = start(["openssl", *signing(key, signature).split()], client.env)
        time.sleep(4)
        require(process.poll() is None, "it did not wait for the device")
    finally:
        os.close(holder)
    finish(process).ok()
    verify(key, signature)
