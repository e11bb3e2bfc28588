"""A program that goes on while things change: pkcs11_steps.py MODULE STEP...

    token LABEL          opens a session with this token
    login PIN            logs in
    sign                 signs something with the private key of a curve that is there
    !COMMAND             runs a command of the shell

What goes wrong is printed, and the next step follows.
"""

import subprocess
import sys

import PyKCS11


def find(library, label):
    slots = library.getSlotList(tokenPresent=True)
    return next(slot for slot in slots if library.getTokenInfo(slot).label.strip() == label)


def main(module, *steps):
    library = PyKCS11.PyKCS11Lib()
    library.load(module)
    session = None
    for step in steps:
        word, _, rest = step.partition(" ")
        try:
            if step.startswith("!"):
                subprocess.run(step[1:], shell=True, check=True, stdout=subprocess.DEVNULL)
            elif word == "token":
                session = library.openSession(find(library, rest))
            elif word == "login":
                session.login(rest)
                print("logged in")
            else:
                key = session.findObjects([(PyKCS11.CKA_CLASS, PyKCS11.CKO_PRIVATE_KEY)])[0]
                session.sign(key, b"a message", PyKCS11.Mechanism(PyKCS11.CKM_ECDSA_SHA256))
                print("signed")
        except PyKCS11.PyKCS11Error as error:
            print(str(error).split(" ")[0])
        sys.stdout.flush()


if __name__ == "__main__":
    main(*sys.argv[1:])
