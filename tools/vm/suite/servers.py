"""TLS servers with keys of the TPM, and clients of theirs."""

import os
import re
import signal
import socket
import ssl
import threading

from machine import SCRATCH, Failure, finish, kill_group, read, require, start, wait_until, write

# What nginx' error log must not have.
COMPLAINTS = re.compile(r"\[(warn|error|crit|alert|emerg)\]|exited on signal")

_ports = iter(range(4000, 5000))


def handshake(port, key):
    """A full TLS handshake with a server that must prove it has `key`."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(key.certificate)
    with socket.create_connection(("127.0.0.1", port), timeout=60) as plain:
        with context.wrap_socket(plain, server_hostname=key.name) as tls:
            require(not tls.session_reused, "a resumed session needs no key")
            return tls.version()


def listening(port):
    """Whether the port is open, without a connection that the server would see."""
    wanted = f":{port:04X} "
    return any(f" 0100007F{wanted}" in line or f" 00000000{wanted}" in line or f"0000{wanted}" in line
               for name in ("tcp", "tcp6")
               for line in read(f"/proc/net/{name}").splitlines() if " 0A " in line)


class Server:
    """`openssl s_server` with one key and the log of its TPM commands."""

    def __init__(self, client, key, accepts=None, options=""):
        self.port = next(_ports)
        self.key = key
        self.ports = [(self.port, key)]
        line = f"openssl s_server -accept {self.port} -cert {key.certificate} -key {key.path} -www -quiet {options}"
        if accepts:
            line += f" -naccept {accepts}"
        self.log = f"{SCRATCH}/s_server-{self.port}.log"
        with open(self.log, "wb") as output:
            self.process = start(line.split(), {**client.env, "TPM_LOG": "trace"}, output=output)
        wait_until(f"s_server on port {self.port}", self._up, told=lambda: read(self.log))

    def _up(self):
        require(self.process.poll() is None, f"s_server has ended:\n{read(self.log)}")
        return listening(self.port)

    def handshake(self):
        try:
            return handshake(self.port, self.key)
        except OSError as error:
            raise Failure(f"handshake failed: {error}\n{read(self.log)}") from None

    def commands(self):
        """The TPM commands so far, by name."""
        return re.findall(r"trace: (TPM2_\w+) \[", read(self.log))

    def end(self):
        """Waits until it has served its last connection; returns all the commands."""
        done = finish(self.process)
        require(done.status == 0, f"s_server ended with {done.status}:\n{read(self.log)}")
        return self.commands()

    def kill(self):
        kill_group(self.process)
        self.process.wait()


class Nginx:
    """nginx with a server block for each key."""

    def __init__(self, client, keys, workers, user):
        self.ports = [(next(_ports), key) for key in keys]
        self.directory = f"{SCRATCH}/nginx-{self.ports[0][0]}"
        os.mkdir(self.directory)
        self.error_log = f"{self.directory}/error.log"
        conf = write(f"nginx-{self.ports[0][0]}.conf", self._text(workers, user))
        line = ["nginx", "-p", self.directory, "-c", conf, "-e", self.error_log]
        with open(f"{self.directory}/output", "wb") as output:
            self.process = start(line, client.env, output=output)
        self.workers_wanted = workers
        wait_until("nginx", self._up, told=self.told)

    def _text(self, workers, user):
        temporary = "".join(
            f"{kind}_temp_path {self.directory}/{kind};\n" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        )
        blocks = "".join(
            f"server {{ listen 127.0.0.1:{port} ssl; ssl_certificate {key.certificate};"
            f" ssl_certificate_key {key.path}; {key.directives} location / {{ return 200 served; }} }}\n"
            for port, key in self.ports
        )
        return (
            f"daemon off;\nuser {user};\nworker_processes {workers};\npid {self.directory}/pid;\n"
            f"error_log {self.error_log} info;\nevents {{ worker_connections 256; }}\n"
            f"http {{\naccess_log off;\nssl_session_cache off;\nssl_session_tickets off;\n"
            f"ssl_protocols TLSv1.2 TLSv1.3;\n{temporary}{blocks}}}\n"
        )

    def told(self):
        return read(f"{self.directory}/output") + (read(self.error_log) if os.path.exists(self.error_log) else "")

    def _up(self):
        require(self.process.poll() is None, f"nginx has ended:\n{self.told()}")
        return all(listening(port) for port, _ in self.ports) and len(self.workers()) == self.workers_wanted

    def workers(self):
        pid = self.process.pid
        return set(read(f"/proc/{pid}/task/{pid}/children").split())

    def reload(self):
        """HUP; returns when all workers are new ones."""
        before = self.workers()
        self.process.send_signal(signal.SIGHUP)
        wait_until(
            "nginx's new workers",
            lambda: len(self.workers()) == self.workers_wanted and not self.workers() & before,
            told=self.told,
        )

    def content(self):
        """Asserts that the error log has no complaint."""
        found = [line for line in read(self.error_log).splitlines() if COMPLAINTS.search(line)]
        require(not found, "nginx complains:\n" + "\n".join(found))

    def quit(self):
        self.process.send_signal(signal.SIGQUIT)
        done = finish(self.process)
        require(done.status == 0, f"nginx ended with {done.status}:\n{self.told()}")
        self.content()


class Clients:
    """Clients that shake hands with a server's ports in turn until they are told to stop."""

    def __init__(self, server, count):
        self.server = server
        self.failures = []
        self.served = [0] * count
        self.over = threading.Event()
        self.threads = [threading.Thread(target=self._work, args=(number,), daemon=True) for number in range(count)]
        for thread in self.threads:
            thread.start()

    def _work(self, number):
        turn = number
        while not self.over.is_set():
            port, key = self.server.ports[turn % len(self.server.ports)]
            try:
                handshake(port, key)
            except (OSError, Failure) as error:
                self.failures.append(f"{key.name}: {error}")
                return
            self.served[number] += 1
            turn += 1

    def total(self):
        return sum(self.served)

    def wait_for(self, more):
        """Waits until they have made that many handshakes more, or failed."""
        wanted = self.total() + more
        wait_until(f"{more} handshakes", lambda: self.failures or self.total() >= wanted)

    def abandon(self):
        """Stops them, whatever has become of their server."""
        self.over.set()
        for thread in self.threads:
            thread.join(60)
            require(not thread.is_alive(), "a client hangs")

    def stop(self):
        """Stops them; returns how many handshakes they made, all of them good."""
        self.abandon()
        require(not self.failures, "handshakes failed:\n" + "\n".join(self.failures + [self.server.told()]))
        return self.total()
