"""The matrix of revocation: every kind of status times everything that can be wrong with it times every
mode, each cell one `sealane cert verify` against real servers. Started by revocation_matrix.test.

    revocation_matrix.py SEALANE FOLDER ADDRESS NGINX_PORT RUDE_PORT OCSP_PORT LDAP_PORT make|run

make: writes keys, certificates, CRLs and responses; run: asks and compares. The keys are made anew each
time, by python3-cryptography: an encoder that is not ours.
"""
import concurrent.futures, datetime, http.server, json, os, pickle, socketserver, subprocess, sys, threading, time
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, utils
from cryptography.x509 import ocsp
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

SEALANE, D, ADDRESS = sys.argv[1:4]
NGINX, RUDE, OCSP, LDAP = (int(p) for p in sys.argv[4:8])
NOW = datetime.datetime.utcnow().replace(microsecond=0)
HOUR, DAY = datetime.timedelta(hours=1), datetime.timedelta(days=1)
SHA256 = hashes.SHA256()
MODES = ("require", "grace", "off")
CONDITIONS = ("good", "revoked", "unknown", "expired", "not yet valid", "wrong signer", "wrong issuer",
              "truncated", "404", "timeout", "slow drip", "endless body", "redirect loop",
              "redirect to a denied address", "1 million entries")
KINDS = ("CRL", "CRL over LDAP", "delta", "indirect", "OCSP direct", "OCSP delegated",
         "stapled in IKE")
# What only a server that answers something can be: no meaning for a response handed over, or for LDAP.
HTTP_ONLY = CONDITIONS[8:14]


def slug(text):
    return text.lower().replace(" ", "-")


def meaningful(kind, condition):
    if kind == "stapled in IKE":
        return condition not in HTTP_ONLY
    if kind == "CRL over LDAP":
        return condition not in HTTP_ONLY[1:]
    return True


# ---- expected: reason code under require and under grace; off is always OK ------------------------
def expected(kind, condition, mode):
    if mode == "off" or condition == "good":
        return "OK"
    if condition == "revoked":
        return "REVOKED"
    if kind == "delta":
        return "OK"  # a delta that does not count leaves the complete list, which is fresh
    if condition == "1 million entries":
        # A CRL of that size is read; an OCSP response of that size is not.
        if "CRL" in kind or kind == "indirect":
            return "OK"
        if mode == "grace" and kind != "stapled in IKE":
            return "OK"
        return "REVOCATION_INVALID" if kind == "stapled in IKE" else "REVOCATION_UNAVAILABLE"
    if condition == "unknown" and ("OCSP" in kind or "IKE" in kind):
        return "REVOCATION_UNKNOWN"  # an answer, and no grace covers it
    if mode == "grace" and (kind != "stapled in IKE" or condition == "expired"):
        return "OK"  # recorded as grace
    if condition == "expired":
        return "REVOCATION_STALE"
    if condition in HTTP_ONLY or (kind == "CRL over LDAP" and condition == "truncated"):
        return "REVOCATION_UNAVAILABLE"  # an LDAP value that is not one DER structure is no value
    return "REVOCATION_INVALID"


# ---- certificates ---------------------------------------------------------------------------------
def name(cn):
    return x509.Name([x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Matrix"),
                      x509.NameAttribute(NameOID.COMMON_NAME, cn)])


def uri(text):
    return x509.UniformResourceIdentifier(text)


class Ca:
    def __init__(self, cn, parent=None, ca=True, usage="cert crl", extra=()):
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.name = name(cn)
        parent = parent or self
        self.cert = build(self.name, self.key, parent, ca=ca, usage=usage, extra=extra)


def build(subject, key, issuer, ca=False, usage="sign", extra=()):
    b = (x509.CertificateBuilder().subject_name(subject).issuer_name(issuer.name)
         .public_key(key.public_key()).serial_number(x509.random_serial_number())
         .not_valid_before(NOW - DAY).not_valid_after(NOW + 30 * DAY)
         .add_extension(x509.BasicConstraints(ca, None), True)
         .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False)
         .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer.key.public_key()), False)
         .add_extension(x509.KeyUsage("sign" in usage, False, False, False, False, "cert" in usage,
                                      "crl" in usage, False, False), True))
    for e in extra:
        b = b.add_extension(e, False)
    return b.sign(issuer.key, SHA256)


def pem(cert):
    return cert.public_bytes(serialization.Encoding.PEM)


def der(thing):
    return thing.public_bytes(serialization.Encoding.DER)


def write(path, data):
    path = os.path.join(D, path)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as f:
        f.write(data)
    return path


# ---- lists and responses --------------------------------------------------------------------------
def times(condition):
    if condition == "expired":
        return NOW - 3 * HOUR, NOW - 2 * HOUR
    if condition == "not yet valid":
        return NOW + 2 * HOUR, NOW + 5 * HOUR
    return NOW - HOUR, NOW + 5 * HOUR


def crl(issuer, signer, condition, revoked=(), number=7, extra=(), certificate_issuer=None):
    this, following = times(condition)
    b = (x509.CertificateRevocationListBuilder().issuer_name(issuer).last_update(this)
         .next_update(following).add_extension(x509.CRLNumber(number), False)
         .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), False))
    for e, critical in extra:
        b = b.add_extension(e, critical)
    for serial in revoked:
        r = x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(NOW - 2 * HOUR)
        if certificate_issuer:
            r = r.add_extension(x509.CertificateIssuer([x509.DirectoryName(certificate_issuer)]), True)
        b = b.add_revoked_certificate(r.build())
    return der(b.sign(signer, SHA256))


def tlv(tag, body):
    n = len(body)
    if n < 128:
        return bytes([tag, n]) + body
    size = n.to_bytes((n.bit_length() + 7) // 8, "big")
    return bytes([tag, 0x80 | len(size)]) + size + body


def million(issuer_name, key, indirect):
    """A CRL of 1 million entries, put together by hand: the library would need minutes."""
    when = tlv(0x17, NOW.strftime("%y%m%d%H%M%SZ").encode())
    entry = b"\x30\x21\x02\x10" + b"\x11" * 8
    entries = b"".join(entry + i.to_bytes(8, "big") + when for i in range(1_000_000))
    oid = lambda last: bytes([0x06, 0x03, 0x55, 0x1d, last])
    exts = tlv(0x30, oid(20) + tlv(4, b"\x02\x01\x07"))
    if indirect:  # issuingDistributionPoint, critical: indirectCRL [4] TRUE
        exts += tlv(0x30, oid(28) + b"\x01\x01\xff" + tlv(4, b"\x30\x03\x84\x01\xff"))
    alg = bytes.fromhex("300a06082a8648ce3d040302")
    tbs = tlv(0x30, b"\x02\x01\x01" + alg + issuer_name.public_bytes() +
              tlv(0x17, (NOW - HOUR).strftime("%y%m%d%H%M%SZ").encode()) +
              tlv(0x17, (NOW + 5 * HOUR).strftime("%y%m%d%H%M%SZ").encode()) +
              tlv(0x30, entries) + tlv(0xa0, tlv(0x30, exts)))
    return tlv(0x30, tbs + alg + tlv(3, b"\0" + key.sign(tbs, ec.ECDSA(SHA256))))


def response(leaf, issuer, signer_cert, signer_key, condition):
    this, following = times(condition)
    status = {"revoked": ocsp.OCSPCertStatus.REVOKED,
              "unknown": ocsp.OCSPCertStatus.UNKNOWN}.get(condition, ocsp.OCSPCertStatus.GOOD)
    gone = NOW - 2 * HOUR if condition == "revoked" else None
    b = (ocsp.OCSPResponseBuilder()
         .add_response(leaf, issuer, hashes.SHA1(), status, this, following, gone, None)
         .responder_id(ocsp.OCSPResponderEncoding.HASH, signer_cert))
    if signer_cert is not issuer:
        b = b.certificates([signer_cert])
    return der(b.sign(signer_key, SHA256))


# ---- make -----------------------------------------------------------------------------------------
def make():
    root, other = Ca("Root"), Ca("Other CA")
    issuing = Ca("Issuing CA", root)
    lists = Ca("CRL Issuer", root, ca=False, usage="crl")
    nocheck = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.3.6.1.5.5.7.48.1.5"), b"\x05\x00")
    signing = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.OCSP_SIGNING])
    delegate = Ca("Responder", issuing, ca=False, usage="sign", extra=(signing, nocheck))
    foreign = Ca("Foreign Responder", other, ca=False, usage="sign", extra=(signing, nocheck))
    for n, c in (("root", root), ("issuing", issuing), ("lists", lists), ("delegate", delegate)):
        write(f"{n}.pem", pem(c.cert))
        write(f"{n}.key", c.key.private_bytes(serialization.Encoding.PEM,
                                              serialization.PrivateFormat.PKCS8,
                                              serialization.NoEncryption()))
    write("root.crl", crl(root.name, root.key, "good"))
    big = million(issuing.name, issuing.key, False)
    big_indirect = million(lists.name, lists.key, True)
    index, ldif, cells = [], [], []
    for kind in KINDS:
        for condition in CONDITIONS:
            if not meaningful(kind, condition):
                continue
            at = f"{slug(kind)}/{slug(condition)}"
            web = condition not in ("timeout", "slow drip", "endless body")
            url = f"http://{ADDRESS}:{NGINX if web else RUDE}/{at}"
            extra, points = [], None
            if kind == "CRL":
                points = [x509.DistributionPoint([uri(url)], None, None, None)]
            elif kind == "CRL over LDAP":
                dn = f"cn={slug(condition)},dc=lab"
                points = [x509.DistributionPoint(
                    [uri(f"ldap://{ADDRESS}:{LDAP}/{dn}?certificateRevocationList;binary")],
                    None, None, None)]
            elif kind == "delta":
                base = f"http://{ADDRESS}:{NGINX}/delta/base"
                points = [x509.DistributionPoint([uri(base)], None, None, None)]
                extra.append(x509.FreshestCRL([x509.DistributionPoint([uri(url)], None, None, None)]))
            elif kind == "indirect":
                points = [x509.DistributionPoint([uri(url)], None, None,
                                                 [x509.DirectoryName(lists.name)])]
            elif kind in ("OCSP direct", "OCSP delegated"):
                real = condition in ("good", "revoked", "unknown")
                port = NGINX if condition in ("404", "redirect loop", "redirect to a denied address") else RUDE
                url = f"http://{ADDRESS}:{port}/{at}"
                if real:  # `openssl ocsp` takes what follows the first slash for the request
                    url = f"http://{ADDRESS}:{OCSP + (kind == 'OCSP delegated')}"
                extra.append(x509.AuthorityInformationAccess([x509.AccessDescription(
                    x509.oid.AuthorityInformationAccessOID.OCSP, uri(url))]))
            if points:
                extra.append(x509.CRLDistributionPoints(points))
            extra.append(x509.SubjectAlternativeName([x509.DNSName("gw.matrix.example")]))
            leaf = build(name(f"{kind}, {condition}"), ec.generate_private_key(ec.SECP256R1()), issuing,
                         extra=extra)
            write(f"leaf/{at}.pem", pem(leaf))
            revoked = [leaf.serial_number] if condition == "revoked" else []
            signer, issuer_name = issuing.key, issuing.name
            more, number, subject_issuer = [], 7, None
            if kind == "delta":
                more.append((x509.DeltaCRLIndicator(7), True))
                number = 8
            if kind == "indirect":
                signer, issuer_name, subject_issuer = lists.key, lists.name, issuing.name
                more.append((x509.IssuingDistributionPoint(None, None, False, False, None, True, False), True))
            if condition == "unknown":  # a list whose scope leaves the certificate out
                more = [(e, c) for e, c in more if not isinstance(e, x509.IssuingDistributionPoint)]
                elsewhere = [uri("http://other.example/list")] if kind == "indirect" else None
                more.append((x509.IssuingDistributionPoint(elsewhere, None, False, not elsewhere, None,
                                                           bool(elsewhere), False), True))
            if condition == "wrong signer":
                signer = other.key
            if condition == "wrong issuer":
                signer, issuer_name = other.key, other.name
            if kind.startswith("CRL") or kind in ("delta", "indirect"):
                if condition == "1 million entries" and kind != "delta":
                    data = big_indirect if kind == "indirect" else big
                else:
                    data = crl(issuer_name, signer, condition, revoked, number, more, subject_issuer)
                if condition == "truncated":
                    data = data[:-20]
                if kind == "CRL over LDAP":
                    import base64
                    if condition != "404":
                        write(f"ldap/{slug(condition)}.crl", data)
                        ldif.append(f"dn: cn={slug(condition)},dc=lab\nobjectClass: device\n"
                                    f"objectClass: pkiCA\ncn: {slug(condition)}\n"
                                    f"certificateRevocationList;binary:< file://{D}/ldap/{slug(condition)}.crl\n")
                elif web and condition not in HTTP_ONLY:
                    write(f"www/{at}", data)
            else:
                who = delegate if kind == "OCSP delegated" else issuing
                target_issuer, for_leaf = issuing.cert, leaf
                if condition == "wrong signer":
                    who = foreign
                if condition == "wrong issuer":
                    for_leaf, target_issuer = root.cert, root.cert  # speaks of another certificate
                data = response(for_leaf, target_issuer, who.cert, who.key, condition)
                if condition == "truncated":
                    data = data[:-20]
                if condition == "1 million entries":
                    data += b"\0" * 1_000_000
                write(f"rude/{at}", data)
                if kind in ("OCSP direct", "OCSP delegated") and condition in ("good", "revoked"):
                    gone = NOW.strftime("%y%m%d%H%M%SZ") if condition == "revoked" else ""
                    index.append("\t".join(("R" if gone else "V",
                                            (NOW + 30 * DAY).strftime("%y%m%d%H%M%SZ"), gone,
                                            f"{leaf.serial_number:X}".zfill(40), "unknown",
                                            f"/O=Matrix/CN={kind} {condition}")))
            cells.append((kind, condition, at))
    write("www/delta/base", crl(issuing.name, issuing.key, "good"))
    write("index.txt", ("\n".join(index) + "\n").encode())
    write("data.ldif", ("dn: dc=lab\nobjectClass: domain\ndc: lab\n\n" + "\n".join(ldif)).encode())
    write("cells", pickle.dumps(cells))


# ---- the rude server, and the address that must never be reached ----------------------------------
class Rude(http.server.BaseHTTPRequestHandler):
    def log_message(self, *_):
        pass

    def do_POST(self):
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.do_GET()

    def do_GET(self):
        path = self.path.rstrip("/")
        known = next((at for _, _, at in CELLS if path.startswith("/" + at)), None)
        try:
            if path.endswith("timeout") or known and known.endswith("/timeout"):
                time.sleep(30)
                return
            self.send_response(200)
            if known and known.endswith("/slow-drip"):
                self.send_header("Content-Length", "100000")
                self.end_headers()
                for _ in range(60):
                    self.wfile.write(b"0")
                    self.wfile.flush()
                    time.sleep(0.5)
            elif known and known.endswith("/endless-body"):
                self.end_headers()
                for _ in range(100_000):  # 6 GB unless the other side ends it
                    self.wfile.write(b"0" * 65536)
            else:
                with open(os.path.join(D, "rude", known or "none"), "rb") as f:
                    body = f.read()
                self.send_header("Content-Type", "application/ocsp-response")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)
        except OSError:
            pass


class Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
    daemon_threads = True
    request_queue_size = 128


class Denied(http.server.BaseHTTPRequestHandler):
    reached = 0

    def log_message(self, *_):
        pass

    def do_GET(self):
        Denied.reached += 1
        self.send_error(500)

    do_POST = do_GET


# ---- run ------------------------------------------------------------------------------------------
def ask(cell):
    (kind, condition, at), mode = cell
    command = [SEALANE, "cert", "verify", "--anchor", f"{D}/root.pem", "--intermediate", f"{D}/issuing.pem",
               "--intermediate", f"{D}/lists.pem", "--crl", f"{D}/root.crl", "--revocation", mode,
               "--id", "dns:gw.matrix.example", "--json"]
    if kind == "stapled in IKE":
        command += ["--ocsp", f"{D}/rude/{at}"]
    begun = time.monotonic()
    done = subprocess.run(command + [f"{D}/leaf/{at}.pem"], capture_output=True, timeout=60, check=False)
    took = time.monotonic() - begun
    try:
        answer = json.loads(done.stdout)
    except ValueError:
        answer = {"reason": f"no JSON, exit {done.returncode}", "text": done.stderr.decode()[-300:]}
    return kind, condition, mode, answer, done.returncode, took


def run():
    threading.Thread(target=Server((ADDRESS, RUDE), Rude).serve_forever, daemon=True).start()
    threading.Thread(target=Server(("127.0.0.1", 8099), Denied).serve_forever, daemon=True).start()
    bad = 0
    with concurrent.futures.ThreadPoolExecutor(12) as pool:
        rows = list(pool.map(ask, [(c, m) for c in CELLS for m in MODES]))
    slowest = max(rows, key=lambda r: r[5])
    for kind, condition, mode, answer, code, took in rows:
        want = expected(kind, condition, mode)
        good = answer["reason"] == want and code == (0 if want == "OK" else 1)
        if good and mode == "grace" and want == "OK" and expected(kind, condition, "require") != "OK":
            good = any(r.get("status") == "grace" for r in answer.get("revocation", []))  # is recorded
        bad += not good
        print(f"{'PASS' if good else 'FAIL'} {kind:16} {condition:30} {mode:8} expected {want}, "
              f"seen {answer['reason']} ({took:.1f} s)" + ("" if good else f": {answer.get('text')}"))
    print(f"{'FAIL' if Denied.reached else 'PASS'} the denied address was reached {Denied.reached} times")
    late = slowest[5] > 15
    print(f"{'FAIL' if late else 'PASS'} the slowest of {len(rows)} took {slowest[5]:.1f} s ({slowest[0]}, {slowest[1]})")
    return 1 if bad or Denied.reached or late else 0


if sys.argv[8] == "make":
    make()
else:
    with open(os.path.join(D, "cells"), "rb") as kept:
        CELLS = pickle.load(kept)
    sys.exit(run())
