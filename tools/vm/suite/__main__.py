"""Runs the checks of a guest and reports them on standard output: `suite GUEST [FILTER]`.

The last line begins with "guest result:", so that a guest that did not come to its end is noticed.
"""

import sys
import time
import traceback

import machine
import tpm12
import tpm20

GUESTS = {
    "tis": lambda: tpm20.checks("tpm_tis"),
    "crb": lambda: tpm20.checks("tpm_crb"),
    "hmac": lambda: tpm20.checks("tpm_crb", encrypting=True),
    "tis12": lambda: tpm12.checks("tpm_tis"),
    "trusted": lambda: tpm20.checks_of_keys("tpm_tis"),
}

# Of the output of a failed check.
LAST_LINES = 60


def run(guest, wanted):
    """Runs the checks in their order; returns how many passed and failed."""
    passed = failed = 0
    for name, check in GUESTS[guest]():
        name = f"{guest}::{name}"
        # Most checks use keys that others have made.
        if wanted not in name and "keys_by_" not in name and "certificates" not in name:
            continue
        start = time.monotonic()
        # Before it runs: who reads of a guest that has stopped wants to know where.
        print(f"test {name} ... ", end="", flush=True)
        try:
            check()
        except Exception as error:  # whatever it is, the check has failed and the next one runs
            failed += 1
            told = str(error) if isinstance(error, machine.Failure) else traceback.format_exc()
            print(f"FAILED ({time.monotonic() - start:.1f} s)")
            for line in told.splitlines()[-LAST_LINES:]:
                print(f"    {line}")
        else:
            passed += 1
            print(f"ok ({time.monotonic() - start:.1f} s)")
        finally:
            machine.end_processes()
    return passed, failed


def main():
    guest = sys.argv[1]
    wanted = sys.argv[2] if len(sys.argv) > 2 else ""
    start = time.monotonic()
    machine.prepare()
    passed, failed = run(guest, wanted)
    verdict = "ok" if passed and not failed else "FAILED"
    print(f"guest result: {verdict}. {guest}: {passed} passed; {failed} failed; {time.monotonic() - start:.0f} s")


main()
