"""A real SMTP server (aiosmtpd) for the tests: says its port, then each mail that it took as a line of JSON.

Arguments: starttls, tls or none; the certificate and its key. With TLS it wants `deploy` and the password in
MAIL_PASSWORD. It knows nobody called `nobody`, and takes no mail with the word POISON."""

import asyncio
import email
import email.policy
import json
import logging
import os
import ssl
import sys

from aiosmtpd.smtp import SMTP, AuthResult


class Handler:
    async def handle_RCPT(self, server, session, envelope, address, options):
        if address.startswith("nobody"):
            return "550 5.1.1 no such user here"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server, session, envelope):
        raw = envelope.content
        if b"POISON" in raw:
            return "554 5.7.1 not this"
        mail = email.message_from_bytes(raw, policy=email.policy.default)
        part = lambda kind: mail.get_body((kind,)).get_content().replace("\r\n", "\n")
        print(
            json.dumps(
                {
                    "from": envelope.mail_from,
                    "to": envelope.rcpt_tos,
                    "login": bool(session.authenticated),
                    "encrypted": session.ssl is not None or mode == "tls",
                    "headers": [[name, str(value)] for name, value in mail.items()],
                    "plain": part("plain"),
                    "html": part("html"),
                    "raw": raw.decode("utf-8", "replace"),
                }
            ),
            flush=True,
        )
        return "250 OK"


def login(server, session, envelope, mechanism, data):
    right = data.login == b"deploy" and data.password == os.environ["MAIL_PASSWORD"].encode()
    if right:
        return AuthResult(success=True)
    said = f"535 5.7.8 wrong password {data.password.decode()}"
    return AuthResult(success=False, handled=False, message=said)


def session():
    secure = {"authenticator": login, "auth_required": True}
    kinds = {
        "starttls": {**secure, "tls_context": context, "require_starttls": True},
        "tls": {**secure, "auth_require_tls": False},
        "none": {},
    }
    return SMTP(Handler(), hostname="mail.test", loop=loop, **kinds[mode])


# A handshake that a client breaks off is what some tests are for.
logging.disable()
mode, certificate, key = sys.argv[1:]
context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
context.load_cert_chain(certificate, key)
loop = asyncio.new_event_loop()
asyncio.set_event_loop(loop)
started = loop.create_server(session, "127.0.0.1", 0, ssl=context if mode == "tls" else None)
server = loop.run_until_complete(started)
print(server.sockets[0].getsockname()[1], flush=True)
loop.run_forever()
