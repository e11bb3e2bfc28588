"""What a program in Python does with the key `tpm`: pykcs11.py MODULE TOKEN PIN-FILE|- OPERATION...

    list                 says what there is
    sign HASH            signs `message` into `sig`, with a digest by the token
    pss HASH             the same with RSASSA-PSS
    decrypt              decrypts `secret` into `opened`, RSA-OAEP
    derive               agrees with the point in `peer`, into `agreed`
"""

import sys

import PyKCS11
from PyKCS11 import LowLevel as low


def read(name):
    with open(name, "rb") as file:
        return file.read()


def write(name, data):
    with open(name, "wb") as file:
        file.write(bytes(data))


def of_class(session, kind):
    found = session.findObjects([(PyKCS11.CKA_CLASS, kind), (PyKCS11.CKA_LABEL, "tpm")])
    assert len(found) == 1, found
    return found[0]


def mechanism(name):
    return PyKCS11.Mechanism(getattr(PyKCS11, "CKM_" + name))


def main(module, token, pin_file, *operations):
    library = PyKCS11.PyKCS11Lib()
    library.load(module)
    slots = library.getSlotList(tokenPresent=True)
    slot = next(slot for slot in slots if library.getTokenInfo(slot).label.strip() == token)
    session = library.openSession(slot, PyKCS11.CKF_SERIAL_SESSION)
    if pin_file != "-":
        try:
            session.login(read(pin_file).decode())
        except PyKCS11.PyKCS11Error as error:
            sys.exit(f"login: {error}")
    words = list(operations)
    while words:
        what = words.pop(0)
        if what == "list":
            for kind in (PyKCS11.CKO_PRIVATE_KEY, PyKCS11.CKO_PUBLIC_KEY, PyKCS11.CKO_CERTIFICATE):
                shown = of_class(session, kind).to_dict()
                print(shown["CKA_CLASS"], shown["CKA_LABEL"], bytes(shown["CKA_ID"]).hex())
            continue
        key = of_class(session, PyKCS11.CKO_PRIVATE_KEY)
        is_rsa = session.getAttributeValue(key, [PyKCS11.CKA_KEY_TYPE]) == [PyKCS11.CKK_RSA]
        if what == "sign":
            name = words.pop(0) + "_RSA_PKCS" if is_rsa else "ECDSA_" + words.pop(0)
            write("sig", session.sign(key, read("message"), mechanism(name)))
        elif what == "pss":
            digest = words.pop(0)
            length = int(digest[3:]) // 8
            pss = PyKCS11.RSA_PSS_Mechanism(
                getattr(PyKCS11, f"CKM_{digest}_RSA_PKCS_PSS"),
                getattr(PyKCS11, "CKM_" + digest),
                getattr(PyKCS11, "CKG_MGF1_" + digest),
                length,
            )
            write("sig", session.sign(key, read("message"), pss))
        elif what == "decrypt":
            oaep = PyKCS11.RSAOAEPMechanism(PyKCS11.CKM_SHA256, PyKCS11.CKG_MGF1_SHA256)
            write("opened", session.decrypt(key, read("secret"), oaep))
        elif what == "derive":
            ecdh = PyKCS11.ECDH1_DERIVE_Mechanism(read("peer"))
            template = [
                (PyKCS11.CKA_CLASS, PyKCS11.CKO_SECRET_KEY),
                (PyKCS11.CKA_KEY_TYPE, PyKCS11.CKK_GENERIC_SECRET),
                (PyKCS11.CKA_SENSITIVE, PyKCS11.CK_FALSE),
                (PyKCS11.CKA_EXTRACTABLE, PyKCS11.CK_TRUE),
                (PyKCS11.CKA_VALUE_LEN, 32),
            ]
            agreed = session.deriveKey(key, template, ecdh)
            write("agreed", session.getAttributeValue(agreed, [PyKCS11.CKA_VALUE])[0])
        else:
            raise SystemExit(f"{what}?")
    session.closeSession()
    del library
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
