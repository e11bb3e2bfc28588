"""The guest: its users, its devices, and programs that run in it."""

import grp
import os
import pwd
import shutil
import signal
import subprocess
import time

PRODUCT = "/run/product"
TPMCTL = f"{PRODUCT}/tpmctl"
SCRATCH = "/tmp/scratch"

# Users that the guest has beside the host's: one in group tss, one in no group of the TPM's.
MEMBER = "vm-member"
STRANGER = "vm-stranger"

# Emulated processors are slow; a program that hangs must end long before the guest does.
PATIENCE = 120


class Failure(Exception):
    """A check has failed; the text says what was expected and what came."""


def require(condition, text):
    if not condition:
        raise Failure(text)


def prepare():
    """Users, and the owners and modes that the udev rules of Debian's package tpm-udev give the devices."""
    os.umask(0o022)
    os.mkdir(SCRATCH)
    os.chmod(SCRATCH, 0o755)
    add_users()
    tss = pwd.getpwnam("tss").pw_uid
    for device, group in (("/dev/tpm0", 0), ("/dev/tpmrm0", grp.getgrnam("tss").gr_gid)):
        if os.path.exists(device):
            os.chown(device, tss, group)
            os.chmod(device, 0o660)


def add_users():
    """Puts files of the guest's own over the host's lists of users and groups."""
    users, groups = read("/etc/passwd"), read("/etc/group")
    if not any(line.startswith("tss:") for line in groups.splitlines()):
        groups += "tss:x:60000:\n"
    if not any(line.startswith("tss:") for line in users.splitlines()):
        gid = next(line.split(":")[2] for line in groups.splitlines() if line.startswith("tss:"))
        users += f"tss:x:60000:{gid}::/var/lib/tpm:/bin/false\n"
    for number, name in enumerate((MEMBER, STRANGER), 60001):
        users += f"{name}:x:{number}:{number}::/tmp:/bin/false\n"
        groups += f"{name}:x:{number}:\n"
    groups = "".join(
        line + ("," if line.split(":")[3] else "") + MEMBER + "\n" if line.startswith("tss:") else line + "\n"
        for line in groups.splitlines()
    )
    for name, text in (("passwd", users), ("group", groups)):
        overlay(f"/etc/{name}", write(f"{name}", text))


def overlay(target, source):
    """Binds `source` over a file or directory of the read-only root."""
    run(["mount", "--bind", source, target])


def read(path):
    with open(path, encoding="utf-8", errors="replace") as file:
        return file.read()


def write(name, text):
    """Writes a file in the scratch directory; returns its path."""
    path = f"{SCRATCH}/{name}"
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)
    return path


def identity(user):
    """What subprocess needs to become `user` with all the user's groups."""
    if user is None:
        return {}
    entry = pwd.getpwnam(user)
    groups = os.getgrouplist(user, entry.pw_gid)
    return {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": groups}


class Done:
    """A program that has ended."""

    def __init__(self, line, status, output, seconds):
        self.line, self.status, self.output, self.seconds = line, status, output, seconds

    def __str__(self):
        return f"$ {' '.join(self.line)}\n(status {self.status}, {self.seconds:.1f} s)\n{self.output}"

    def ok(self):
        require(self.status == 0, f"this must succeed:\n{self}")
        return self.output

    def fails(self, *texts):
        """Asserts that it has failed and said each of the texts, wherever lines are broken."""
        require(self.status not in (0, None) and self.status > 0, f"this must fail:\n{self}")
        for text in texts:
            require(text in self.output or text in " ".join(self.output.split()), f"this must say {text!r}:\n{self}")
        return self.output


def start(line, env=None, user=None, output=subprocess.PIPE, keep=False):
    """Starts a program in the background. It ends with the check, whatever becomes of that, unless it is to be kept."""
    process = subprocess.Popen(
        line,
        env={**os.environ, **(env or {})},
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT,
        cwd=SCRATCH,
        start_new_session=True,
        **identity(user),
    )
    process.started = time.monotonic()
    if not keep:
        PROCESSES.append(process)
    return process


# What the running check has started.
PROCESSES = []


def finish(process, patience=PATIENCE):
    """Waits for a program that was started."""
    try:
        output, _ = process.communicate(timeout=patience)
    except subprocess.TimeoutExpired:
        kill_group(process)
        output, _ = process.communicate()
        text = (output or b"").decode(errors="replace")
        raise Failure(f"{' '.join(process.args)} did not end within {patience} s:\n{text}") from None
    seconds = time.monotonic() - process.started
    return Done(process.args, process.returncode, (output or b"").decode(errors="replace"), seconds)


def attempt(line, env=None, user=None, patience=PATIENCE):
    """Runs a program to its end, whichever it is."""
    return finish(start(line, env, user), patience)


def run(line, env=None, user=None):
    """Runs a program that must succeed; returns what it printed."""
    return attempt(line, env, user).ok()


def kill_group(process):
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass


def end_processes():
    """Ends what a check has left running."""
    while PROCESSES:
        process = PROCESSES.pop()
        kill_group(process)
        process.wait()


def wait_until(what, condition, patience=PATIENCE, told=lambda: ""):
    end = time.monotonic() + patience
    while not condition():
        require(time.monotonic() < end, f"waited {patience} s for {what}\n{told()}")
        time.sleep(0.05)


def need(program):
    require(shutil.which(program), f"there is no {program} on this machine: tools/setup vm installs it")


def driver():
    """The name of the kernel driver that the TPM is bound to."""
    return os.path.basename(os.readlink("/sys/class/tpm/tpm0/device/driver"))


def generation():
    return read("/sys/class/tpm/tpm0/tpm_version_major").strip()
