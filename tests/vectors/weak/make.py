#!/usr/bin/env python3
"""Makes requests.jsonl (for `sealane cert verify --batch`) and expected.tsv: places where libraries
for certificates are known to be weak, a case each, with the verdict that RFC 5280 asks for.

  make.py FOLDER

Needs python3-cryptography >= 44. Keys are derived from numbers and signatures are deterministic, so the
same version makes the same bytes. The requests are meant for --profile rfc5280 and --profile strict. In
expected.tsv: id, then for either profile the answers that are right: good, or reasons of a refusal.
"""
import base64, datetime, hashlib, ipaddress, json, os, sys
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtensionOID as E, ExtendedKeyUsageOID as KP, ObjectIdentifier as OID

UTC = datetime.timezone.utc
START, END = datetime.datetime(2026, 1, 1, tzinfo=UTC), datetime.datetime(2036, 1, 1, tzinfo=UTC)
NOW = datetime.datetime(2026, 11, 23, 12, tzinfo=UTC)
DAY, SECOND = datetime.timedelta(days=1), datetime.timedelta(seconds=1)
PRIVATE = OID("1.3.6.1.4.1.55738.1")  # an extension that nobody knows
DNS, MAIL, IP, URI = x509.DNSName, x509.RFC822Name, x509.IPAddress, x509.UniformResourceIdentifier
def DN(text): return x509.DirectoryName(x509.Name.from_rfc4514_string(text))
def net(text): return IP(ipaddress.ip_network(text))
def addr(text): return IP(ipaddress.ip_address(text))

# ---- DER, where the builder refuses what is wrong on purpose -------------------------------------
def tlv(tag, *parts):
    body = b"".join(parts)
    n = len(body)
    size = bytes([n]) if n < 128 else bytes([128 + (n.bit_length() + 7) // 8]) + n.to_bytes((n.bit_length() + 7) // 8, "big")
    return bytes([tag]) + size + body

def split(der):
    """The elements of a constructed value, each with its header."""
    def head(b):
        n, at = b[1], 2
        if n & 128:
            at, n = 2 + (n & 127), int.from_bytes(b[2:2 + (n & 127)], "big")
        return at, n
    at, n = head(der)
    out, rest = [], der[at:at + n]
    while rest:
        a, k = head(rest)
        out.append(rest[:a + k])
        rest = rest[a + k:]
    return out

def raw(oid, der): return x509.UnrecognizedExtension(oid, der)
def names(*v): return tlv(0x30, *(tlv(tag, value) for tag, value in v))
def raw_san(*v): return raw(E.SUBJECT_ALTERNATIVE_NAME, names(*v))
def raw_nc(permitted=None, excluded=None):
    def trees(tag, v): return tlv(tag, *(tlv(0x30, tlv(t, b)) for t, b in v)) if v is not None else b""
    return raw(E.NAME_CONSTRAINTS, tlv(0x30, trees(0xa0, permitted), trees(0xa1, excluded)))
def nc(permitted=None, excluded=None): return x509.NameConstraints(permitted, excluded)
def san(*v): return x509.SubjectAlternativeName(list(v))

# ---- certificates -----------------------------------------------------------------------------------
def key_of(number): return ec.derive_private_key(int.from_bytes(hashlib.sha256(b"weak %d" % number).digest(), "big") >> 1, ec.SECP256R1())
USAGES = "digital_signature content_commitment key_encipherment data_encipherment key_agreement key_cert_sign crl_sign encipher_only decipher_only".split()
def usage(*set_): return x509.KeyUsage(**{u: u in set_ for u in USAGES})

class Cert:
    def __init__(self, cert_der, key, subject):
        self.der, self.key, self.subject = cert_der, key, subject
    @property
    def x(self): return x509.load_der_x509_certificate(self.der)

counter = 1000
def make(subject, key, by=None, ca=False, start=START, end=END, serial=None, issuer=None, md=hashes.SHA256(), sign_key=None, pathlen=None, **ext):
    """ext: name of an extension -> None (left out), a value, or (value, critical)."""
    global counter
    counter += 1
    name = subject if isinstance(subject, x509.Name) else x509.Name.from_rfc4514_string(subject)
    k = key_of(key) if isinstance(key, int) else key
    signer = sign_key or (by.key if by else k)
    b = (x509.CertificateBuilder().subject_name(name).public_key(k.public_key()).serial_number(counter if serial is None else serial)
         .issuer_name(issuer if issuer is not None else by.subject if by else name).not_valid_before(start).not_valid_after(end))
    base = {}
    if ca:
        base["bc"] = (x509.BasicConstraints(True, pathlen), True)
        base["ku"] = (usage("key_cert_sign", "crl_sign"), True)
        base["ski"] = (x509.SubjectKeyIdentifier.from_public_key(k.public_key()), False)
    else:
        base["ku"] = (usage("digital_signature"), True)
        base["san"] = (san(DNS("gw.lab.example")), False)
    if by or ca:
        base["aki"] = (x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), False)
    for n, v in ext.items():
        base[n] = v if isinstance(v, tuple) or v is None else (v, False)
    for v in base.values():
        if v is not None:
            b = b.add_extension(*v)
    return Cert(b.sign(signer, md, ecdsa_deterministic=True).public_bytes(serialization.Encoding.DER), k, name)

def resign(c, by, edit, outer=None):
    """c with its tbsCertificate's elements edited and signed anew by by's key."""
    tbs, alg, _ = split(c.der)
    parts = split(tbs)
    edit(parts)
    tbs = tlv(0x30, *parts)
    sig = (by.key).sign(tbs, ec.ECDSA(hashes.SHA256(), deterministic_signing=True))
    return Cert(tlv(0x30, tbs, outer or alg, tlv(0x03, b"\0" + sig)), c.key, c.subject)

def root(subject="CN=root", key=1, **kw): return make(subject, key, None, True, **kw)
def sub(by, subject="CN=sub", key=2, **kw): return make(subject, key, by, True, **kw)
def leaf(by, subject="CN=gw", key=3, **kw): return make(subject, key, by, False, **kw)

def crl(by, revoked=(), number=(1, False), start=NOW - DAY, end=NOW + DAY, key=None, issuer=None, exts=(), entry=()):
    b = x509.CertificateRevocationListBuilder().issuer_name(issuer or by.subject).last_update(start).next_update(end)
    for serial, when in revoked:
        e = x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(when)
        for v in entry:
            e = e.add_extension(*v)
        b = b.add_revoked_certificate(e.build())
    k = key or by.key
    b = b.add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(by.key.public_key()), False)
    if number:
        b = b.add_extension(x509.CRLNumber(number[0]), number[1])
    for v in exts:
        b = b.add_extension(*v)
    return b.sign(k, hashes.SHA256(), ecdsa_deterministic=True).public_bytes(serialization.Encoding.DER)

# ---- cases -------------------------------------------------------------------------------------------
requests, expected = [], []
def b64(der): return base64.b64encode(der).decode()
def case(id_, anchors, intermediates, end, want, strict=None, at=NOW, **more):
    """want: "good", or the reasons of a refusal; strict: the same in profile strict when it differs."""
    r = {"id": id_, "leaf": b64(end.der), "anchors": [b64(c.der) for c in anchors], "no_fetch": True,
         "time": at if isinstance(at, str) else int(at.timestamp())}
    if intermediates:
        r["intermediates"] = [b64(c.der) for c in intermediates]
    r.update({k: [b64(c) for c in v] if k == "crls" else v for k, v in more.items()})
    requests.append(json.dumps(r, separators=(",", ":")))
    expected.append((id_, want, strict or want))

R = root()
S = sub(R)
L = leaf(S)
case("plain/three", [R], [S], L, "good", name="dns:gw.lab.example")
case("plain/direct", [R], [], leaf(R), "good")
case("plain/junk-leaf", [R], [], Cert(b"\x30\x03\x02\x01\x05", None, None), "CERT_MALFORMED")
case("plain/trailing-byte", [R], [], Cert(leaf(R).der + b"\0", None, None), "CERT_MALFORMED")
case("plain/leaf-altered", [R], [S], Cert(L.der[:-3] + bytes([L.der[-3] ^ 1]) + L.der[-2:], None, None), "CERT_SIGNATURE CERT_UNKNOWN_CA CERT_MALFORMED")

# authorityKeyIdentifier, subjectKeyIdentifier (4.2.1.1, 4.2.1.2): duties of the issuer
case("aki/leaf-without", [R], [S], leaf(S, aki=None), "good", "CERT_INVALID")
case("aki/intermediate-without", [R], [sub(R, aki=None)], L, "good", "CERT_INVALID")
case("aki/self-signed-root-without", [root(aki=None)], [S], L, "good")
case("aki/critical", [R], [S], leaf(S, aki=(x509.AuthorityKeyIdentifier.from_issuer_public_key(S.key.public_key()), True)), "good", "CERT_INVALID")
case("aki/names-another-key", [R], [S], leaf(S, aki=x509.AuthorityKeyIdentifier(b"\1" * 20, None, None)), "good CERT_INVALID", "CERT_INVALID CERT_UNKNOWN_CA")
case("ski/root-without", [root(ski=None)], [S], L, "good", "CERT_INVALID")
case("ski/intermediate-without", [R], [sub(R, ski=None)], L, "good", "CERT_INVALID")
case("ski/critical", [root(ski=(x509.SubjectKeyIdentifier.from_public_key(key_of(1).public_key()), True))], [S], L, "good", "CERT_INVALID")

# names of certificates
case("names/ca-empty-subject", [root(x509.Name([]))], [], leaf(root(x509.Name([]))), "CERT_INVALID CERT_MALFORMED")
E0 = sub(R, x509.Name([]))
case("names/intermediate-empty-subject", [R], [E0], leaf(E0), "CERT_INVALID CERT_UNKNOWN_CA CERT_MALFORMED")
case("names/leaf-empty-issuer", [R], [], leaf(R, issuer=x509.Name([])), "CERT_INVALID CERT_UNKNOWN_CA CERT_MALFORMED")
case("names/empty-subject-san-not-critical", [R], [S], leaf(S, x509.Name([])), "CERT_INVALID", name="dns:gw.lab.example")
case("names/empty-subject-san-critical", [R], [S], leaf(S, x509.Name([]), san=(san(DNS("gw.lab.example")), True)), "good", name="dns:gw.lab.example")
case("names/empty-subject-no-san", [R], [S], leaf(S, x509.Name([]), san=None), "CERT_INVALID")
case("san/malformed", [R], [S], leaf(S, san=(raw(E.SUBJECT_ALTERNATIVE_NAME, b"gw.lab.example"), False)), "CERT_INVALID CERT_MALFORMED")
case("san/empty", [R], [S], leaf(S, san=(raw(E.SUBJECT_ALTERNATIVE_NAME, tlv(0x30)), False)), "CERT_INVALID CERT_MALFORMED")
case("san/critical-beside-subject", [R], [S], leaf(S, san=(san(DNS("gw.lab.example")), True)), "good", "CERT_INVALID")
case("san/other-name", [R], [S], L, "ID_NOT_IN_CERT", name="dns:other.lab.example")
case("san/wildcard-is-no-name", [R], [S], leaf(S, san=san(DNS("*.lab.example"))), "ID_NOT_IN_CERT", name="dns:gw.lab.example")
case("san/common-name-is-no-name", [R], [S], leaf(S, "CN=gw.lab.example", san=None), "ID_NOT_IN_CERT", "CERT_INVALID", name="dns:gw.lab.example")
case("san/nul-in-name", [R], [S], leaf(S, san=(raw_san((0x82, b"gw.lab.example\0.evil.example")), False)), "ID_NOT_IN_CERT CERT_INVALID CERT_MALFORMED", name="dns:gw.lab.example")
case("san/address", [R], [S], leaf(S, san=san(addr("192.0.2.7"), addr("2001:db8::7"))), "good", name="ip:2001:db8::7")
case("san/address-as-dns", [R], [S], leaf(S, san=san(DNS("192.0.2.7"))), "ID_NOT_IN_CERT", name="ip:192.0.2.7")

# serial numbers (4.1.2.2), version, duplicates, algorithms
def serial(der): return resign(leaf(S), S, lambda p: p.__setitem__(1, tlv(2, der)))
case("serial/zero", [R], [S], serial(b"\0"), "good CERT_INVALID", "CERT_INVALID CERT_MALFORMED")
case("serial/negative", [R], [S], serial(b"\x81\1"), "good CERT_INVALID", "CERT_INVALID CERT_MALFORMED")
case("serial/22-octets", [R], [S], serial(b"\1" * 22), "good CERT_INVALID", "CERT_INVALID CERT_MALFORMED")
case("serial/20-octets", [R], [S], serial(b"\1" * 20), "good")
def duplicate(parts):
    v = split(split(parts[-1])[0])
    one = next(e for e in v if b"\x55\x1d\x11" in e)
    parts[-1] = tlv(0xa3, tlv(0x30, *(v + [one])))
case("extensions/duplicate", [R], [S], resign(L, S, duplicate), "CERT_INVALID CERT_MALFORMED")
case("extensions/version-1-with-extensions", [R], [S], resign(L, S, lambda p: p.pop(0)), "CERT_INVALID CERT_MALFORMED", "CERT_INVALID CERT_MALFORMED")
case("algorithm/outer-differs", [R], [S], resign(L, S, lambda p: None, tlv(0x30, bytes.fromhex("06082a8648ce3d040303"))), "CERT_SIGNATURE CERT_INVALID CERT_MALFORMED CERT_UNKNOWN_CA")
case("algorithm/sha1", [R], [S], resign(L, S, lambda p: p.__setitem__(2, tlv(0x30, bytes.fromhex("06072a8648ce3d0401"))), tlv(0x30, bytes.fromhex("06072a8648ce3d0401"))), "CERT_WEAK CERT_SIGNATURE")

# basicConstraints, keyUsage (4.2.1.3, 4.2.1.9)
def three(s, want, strict=None, name="basic", **kw): case(name, [R], [s], leaf(s), want, strict, **kw)
three(sub(R, bc=(x509.BasicConstraints(False, None), True)), "CERT_NOT_CA", name="ca/bit-not-set")
three(sub(R, bc=None), "CERT_NOT_CA", name="ca/no-basic-constraints")
case("ca/root-no-basic-constraints", [root(bc=None)], [], leaf(root(bc=None)), "CERT_NOT_CA good", "CERT_NOT_CA")
N = root(bc=(x509.BasicConstraints(True, None), False))
case("ca/root-basic-constraints-not-critical", [N], [], leaf(N), "good", "CERT_INVALID")
N = root(ku=(usage("digital_signature"), True))
case("ca/root-without-keycertsign", [N], [], leaf(N), "CERT_KEY_USAGE")
three(sub(R, ku=(usage("digital_signature"), True)), "CERT_KEY_USAGE", name="ca/intermediate-without-keycertsign")
three(sub(R, ku=None), "good", "CERT_INVALID CERT_KEY_USAGE", name="ca/intermediate-without-key-usage")
case("leaf/keycertsign-without-ca", [R], [S], leaf(S, bc=(x509.BasicConstraints(False, None), True), ku=(usage("digital_signature", "key_cert_sign"), True)), "CERT_INVALID CERT_KEY_USAGE", eku="none")
case("leaf/no-key-usage", [R], [S], leaf(S, ku=None), "good")
case("leaf/wrong-key-usage", [R], [S], leaf(S, ku=(usage("key_encipherment"), True)), "CERT_KEY_USAGE")
case("leaf/pathlen-without-ca", [R], [S], resign(leaf(S, bc=(raw(E.BASIC_CONSTRAINTS, bytes.fromhex("3003020100")), True)), S, lambda p: None), "CERT_INVALID CERT_MALFORMED")
case("leaf/is-a-ca", [R], [], S, "good", eku="none")
case("leaf/is-the-anchor", [R], [], R, "good CERT_UNKNOWN_CA", eku="none")
case("root/swapped-with-intermediate", [S], [R], L, "good")
case("root/untrusted", [root("CN=elsewhere", 9)], [R, S], L, "CERT_UNKNOWN_CA")
case("root/same-name-other-key", [root(key=9)], [S], L, "CERT_UNKNOWN_CA CERT_SIGNATURE", "CERT_UNKNOWN_CA CERT_SIGNATURE CERT_INVALID")

# critical extensions (4.2)
unknown = dict(own=(raw(PRIVATE, b"\5\0"), True))
case("critical/leaf", [R], [S], leaf(S, **unknown), "CERT_CRITICAL_EXTENSION")
three(sub(R, **unknown), "CERT_CRITICAL_EXTENSION", name="critical/intermediate")
U = root(**unknown)
case("critical/root", [U], [], leaf(U), "CERT_CRITICAL_EXTENSION")
case("critical/not-critical-is-ignored", [R], [S], leaf(S, own=(raw(PRIVATE, b"\5\0"), False)), "good")
case("critical/aia", [R], [S], leaf(S, aia=(x509.AuthorityInformationAccess([x509.AccessDescription(x509.oid.AuthorityInformationAccessOID.CA_ISSUERS, URI("http://ca.example/s.cer"))]), True)), "CERT_INVALID CERT_CRITICAL_EXTENSION good", "CERT_INVALID CERT_CRITICAL_EXTENSION")

# path length (4.2.1.9, 6.1.4 (l))
def chain(*lens, depth=None):
    out, by = [], R
    for i, n in enumerate(lens):
        by = sub(by, f"CN=sub {i}", 20 + i, pathlen=n)
        out.append(by)
    return out
for name, lens, want in (("0", (0,), "good"), ("1", (1,), "good"), ("0-0", (0, 0), "CERT_PATH_LENGTH"), ("1-2", (1, 2), "good"), ("1-0-0", (1, 0, 0), "CERT_PATH_LENGTH"), ("none-none-none", (None,) * 3, "good")):
    c = chain(*lens)
    case(f"pathlen/{name}", [R], c, leaf(c[-1]), want)
c = chain(0, 0)
case("pathlen/last-is-a-ca", [R], c[:1], c[1], "good", eku="none")
a = sub(R, "CN=a", 30, pathlen=1)
a2 = make("CN=a", 31, a, True, pathlen=1)
a3 = make("CN=b", 32, a2, True, pathlen=0)
case("pathlen/self-issued-not-counted", [R], [a, a2, a3], leaf(a3), "good")
case("depth/self-issued-not-counted", [R], [a, a2, a3], leaf(a3), "good", max_depth=2)
case("depth/one-too-many", [R], [a, a2, a3], leaf(a3), "CERT_PATH_LENGTH CERT_BUDGET", max_depth=1)
case("depth/zero", [R], [S], L, "CERT_PATH_LENGTH CERT_BUDGET", max_depth=0)
case("depth/zero-direct", [R], [], leaf(R), "good", max_depth=0)
P0 = root(pathlen=0)
S0 = sub(P0)
case("pathlen/of-the-root-counts", [P0], [S0, sub(S0, "CN=t", 5)], leaf(sub(S0, "CN=t", 5)), "CERT_PATH_LENGTH")

# validity (4.1.2.5): both ends belong to it
short = dict(start=datetime.datetime(2026, 3, 1, tzinfo=UTC), end=datetime.datetime(2026, 4, 1, tzinfo=UTC))
for name, at, want in (("not-before-exact", short["start"], "good"), ("not-before-less-one", short["start"] - SECOND, "CERT_NOT_YET_VALID"), ("not-after-exact", short["end"], "good"), ("not-after-plus-one", short["end"] + SECOND, "CERT_EXPIRED")):
    case(f"validity/leaf-{name}", [R], [S], leaf(S, **short), want, at=at)
    V = sub(R, **short)
    case(f"validity/intermediate-{name}", [R], [V], leaf(V), want, at=at)
V = root(**short)
case("validity/root-expired", [V], [S], L, "CERT_EXPIRED")
case("validity/not-before-fraction", [R], [S], leaf(S, **short), "CERT_NOT_YET_VALID", at="2026-02-28T23:59:59.999Z")
case("validity/not-after-fraction", [R], [S], leaf(S, **short), "good", at="2026-04-01T00:00:00.005Z")
case("validity/year-9999", [R], [S], leaf(S, end=datetime.datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)), "good", at=datetime.datetime(2036, 1, 1, tzinfo=UTC))

# extended key usage (4.2.1.12)
def eku(*v): return x509.ExtendedKeyUsage(list(v))
IKE = OID("1.3.6.1.5.5.7.3.17")
case("eku/ike", [R], [S], leaf(S, eku=eku(IKE)), "good")
case("eku/any", [R], [S], leaf(S, eku=eku(KP.ANY_EXTENDED_KEY_USAGE)), "good")
case("eku/server-is-not-ike", [R], [S], leaf(S, eku=eku(KP.SERVER_AUTH)), "CERT_EKU")
case("eku/server-asked", [R], [S], leaf(S, eku=eku(KP.SERVER_AUTH)), "good", eku="1.3.6.1.5.5.7.3.1")
case("eku/client-where-server-asked", [R], [S], leaf(S, eku=eku(KP.CLIENT_AUTH)), "CERT_EKU", eku="1.3.6.1.5.5.7.3.1")
case("eku/absent-where-server-asked", [R], [S], L, "good", eku="serverAuth")
case("eku/none-looks-away", [R], [S], leaf(S, eku=eku(KP.CODE_SIGNING)), "good", eku="none")
case("eku/empty", [R], [S], leaf(S, eku=raw(E.EXTENDED_KEY_USAGE, tlv(0x30))), "CERT_EKU CERT_INVALID CERT_MALFORMED")
case("eku/empty-none", [R], [S], leaf(S, eku=raw(E.EXTENDED_KEY_USAGE, tlv(0x30))), "CERT_EKU CERT_INVALID CERT_MALFORMED", eku="none")

# policies (4.2.1.4, 4.2.1.11)
P1, P2 = OID("1.3.6.1.4.1.55738.2.1"), OID("1.3.6.1.4.1.55738.2.2")
def pol(*v): return x509.CertificatePolicies([x509.PolicyInformation(p, None) for p in v])
def need(n): return x509.PolicyConstraints(n, None)
# PKITS has such CAs in paths that are valid
three(sub(R, pc=(need(3), False)), "good", "CERT_INVALID", name="policy/constraints-not-critical")
s = sub(R, pc=(need(0), True))
case("policy/required-and-absent", [R], [s], leaf(s), "CERT_POLICY")
s = sub(R, pc=(need(0), True), cp=pol(P1))
case("policy/required-and-there", [R], [s], leaf(s, cp=pol(P1)), "good")
case("policy/required-other", [R], [s], leaf(s, cp=pol(P2)), "CERT_POLICY")
case("policy/not-the-users", [R], [s], leaf(s, cp=pol(P1)), "CERT_POLICY", policy=[P2.dotted_string])
case("policy/the-users", [R], [s], leaf(s, cp=pol(P1)), "good", policy=[P1.dotted_string, P2.dotted_string])
s = sub(R, cp=pol(P1))
case("policy/explicit-by-the-user", [R], [s], leaf(s, cp=pol(P2)), "CERT_POLICY", explicit_policy=True)
case("policy/not-required-is-not-refused", [R], [s], leaf(s, cp=pol(P2)), "good", policy=[P1.dotted_string])
ANY = OID("2.5.29.32.0")
s = sub(R, cp=pol(ANY))
case("policy/any-in-a-ca", [R], [s], leaf(s, cp=pol(P1)), "good", explicit_policy=True)
case("policy/any-inhibited", [R], [s], leaf(s, cp=pol(P1)), "CERT_POLICY", explicit_policy=True, inhibit_any=True)
def mapping(*pairs): return raw(E.POLICY_MAPPINGS, tlv(0x30, *(tlv(0x30, a, b) for a, b in pairs)))
def oid_der(o): return tlv(6, *[split(x509.CertificatePolicies([x509.PolicyInformation(o, None)]).public_bytes())[0][2:][2:]])
s = sub(R, cp=pol(P1), pm=(mapping((oid_der(P1), oid_der(P2))), True))
case("policy/mapped", [R], [s], leaf(s, cp=pol(P2)), "good", explicit_policy=True, policy=[P1.dotted_string])
case("policy/mapping-inhibited", [R], [s], leaf(s, cp=pol(P2)), "CERT_POLICY", explicit_policy=True, inhibit_mapping=True)
s = sub(R, cp=pol(ANY), pm=(mapping((oid_der(ANY), oid_der(P2))), True))
case("policy/mapping-of-any", [R], [s], leaf(s, cp=pol(P2)), "CERT_POLICY CERT_INVALID", explicit_policy=True)
case("policy/duplicate", [R], [S], leaf(S, cp=raw(E.CERTIFICATE_POLICIES, tlv(0x30, *split(pol(P1).public_bytes()) * 2))), "CERT_POLICY CERT_INVALID CERT_MALFORMED")

# name constraints (4.2.1.10)
def constrained(c, critical=True, on="root", **kw):
    if on == "root":
        r = root(nc=(c, critical), **kw)
        return [r], [], r
    s = sub(R, nc=(c, critical), **kw)
    return [R], [s], s
def ncase(name, c, sans, want, strict=None, subject="CN=gw", critical=True, san_critical=False, **more):
    if sans is None and not more:
        strict = "CERT_INVALID"  # the strict profile wants a subjectAltName
    for on in ("root", "intermediate"):
        anchors, inter, by = constrained(c, critical, on)
        v = None if sans is None else (sans if not isinstance(sans, list) else san(*sans), san_critical)
        case(f"nc/{name}-{on}", anchors, inter, leaf(by, subject, san=v), want, strict, **more)
NC = "CERT_NAME_CONSTRAINTS"
ncase("dns-permitted", nc([DNS("lab.example")]), [DNS("lab.example")], "good")
ncase("dns-permitted-below", nc([DNS("lab.example")]), [DNS("a.b.LAB.example")], "good")
ncase("dns-not-permitted", nc([DNS("lab.example")]), [DNS("not-lab.example")], NC)
ncase("dns-excluded", nc(None, [DNS("lab.example")]), [DNS("lab.example")], NC)
ncase("dns-second-excluded", nc(None, [DNS("x.lab.example")]), [DNS("lab.example"), DNS("x.lab.example")], NC)
ncase("dns-excluded-wins", nc([DNS("lab.example")], [DNS("lab.example")]), [DNS("lab.example")], NC)
ncase("dns-wildcard-under-permitted", nc([DNS("lab.example")]), [DNS("*.lab.example")], "good")
ncase("dns-wildcard-not-permitted", nc([DNS("a.lab.example")]), [DNS("*.lab.example")], NC)
ncase("dns-wildcard-meets-excluded", nc(None, [DNS("a.lab.example")]), [DNS("*.lab.example")], NC)
ncase("dns-constraint-leading-dot", raw_nc([(0x82, b".lab.example")]), [DNS("a.lab.example")], NC + " CERT_INVALID")
ncase("dns-constraint-leading-dot-excluded", raw_nc(None, [(0x82, b".lab.example")]), [DNS("other.example")], NC + " CERT_INVALID good")
ncase("dns-constraint-wildcard", raw_nc([(0x82, b"*.lab.example")]), [DNS("a.lab.example")], NC + " CERT_INVALID")
ncase("dns-name-leading-dot", nc([DNS("lab.example")]), raw_san((0x82, b".lab.example"), (0x82, b"a.lab.example")), NC + " CERT_INVALID")
ncase("dns-name-empty-label", nc([DNS("lab.example")]), raw_san((0x82, b"a..lab.example")), NC + " CERT_INVALID")
ncase("dns-name-nul", nc(None, [DNS("evil.example")]), raw_san((0x82, b"evil.example\0.lab.example")), NC + " CERT_INVALID CERT_MALFORMED")
ncase("dns-empty-constraint-permits-all", raw_nc([(0x82, b"")]), [DNS("a.lab.example")], "good")
ncase("dns-empty-constraint-excludes-all", raw_nc(None, [(0x82, b"")]), [DNS("a.lab.example")], NC)
ncase("not-critical", nc([DNS("lab.example")]), [DNS("gw.lab.example")], "good", "CERT_INVALID good", critical=False)
ncase("not-critical-still-counts", nc([DNS("lab.example")]), [DNS("other.example")], NC, NC + " CERT_INVALID", critical=False)
ncase("empty-extension", raw_nc(), [DNS("lab.example")], NC + " CERT_INVALID CERT_MALFORMED")
ncase("ip-permitted", nc([net("192.0.2.0/24")]), [addr("192.0.2.1")], "good")
ncase("ip-not-permitted", nc([net("192.0.2.0/24")]), [addr("192.0.3.1")], NC)
ncase("ip-excluded", nc(None, [net("192.0.2.0/24")]), [addr("192.0.2.1")], NC)
ncase("ip6-permitted", nc([net("2001:db8::/32")]), [addr("2001:db8::1")], "good")
ncase("ip6-excluded", nc(None, [net("::1/128")]), [addr("::1")], NC)
ncase("ip-permitted-of-the-other-family", nc([net("192.0.2.0/24")]), [addr("2001:db8::1")], NC)
ncase("ip-constraint-without-mask", raw_nc([(0x87, b"\x7f\0\0\1")]), [addr("127.0.0.1")], NC + " CERT_INVALID")
ncase("ip-constraint-mask-with-gap", raw_nc([(0x87, b"\xc0\0\2\0\xff\0\xff\0")]), [addr("192.0.2.1")], NC + " CERT_INVALID")
ncase("ip-name-with-mask", nc([net("192.0.2.0/24")]), raw_san((0x87, b"\xc0\0\2\0\xff\xff\xff\0"), (0x87, b"\xc0\0\2\1")), NC + " CERT_INVALID")
ncase("dn-permitted", nc([DN("O=Lab")]), [DN("CN=gw,O=Lab")], "good", subject="CN=gw,O=Lab")
ncase("dn-not-permitted", nc([DN("O=Lab")]), [DN("CN=gw,O=Other")], NC, subject="CN=gw,O=Other")
ncase("dn-excluded", nc(None, [DN("O=Lab")]), None, NC, subject="CN=gw,O=Lab")
ncase("dn-case-is-folded", nc([DN("O=Lab")]), None, "good", subject="CN=gw,O=LAB")
ncase("dn-subject-not-permitted", nc([DN("O=Lab")]), [DN("CN=gw,O=Lab")], NC, subject="CN=gw,O=Other")
ncase("dn-san-not-permitted", nc([DN("O=Lab")]), [DN("CN=gw,O=Other")], NC, subject="CN=gw,O=Lab")
ncase("mail-mailbox", nc([MAIL("a@lab.example")]), [MAIL("a@lab.example")], "good")
ncase("mail-host", nc([MAIL("lab.example")]), [MAIL("b@lab.example")], "good")
ncase("mail-host-is-not-below", nc([MAIL("lab.example")]), [MAIL("b@x.lab.example")], NC)
ncase("mail-domain", raw_nc([(0x81, b".lab.example")]), [MAIL("b@x.lab.example")], "good")
ncase("mail-domain-is-not-the-host", raw_nc([(0x81, b".lab.example")]), [MAIL("b@lab.example")], NC)
ncase("mail-other-mailbox", nc([MAIL("a@lab.example")]), [MAIL("b@lab.example")], NC)
ncase("mail-local-part-keeps-case", nc([MAIL("a@lab.example")]), [MAIL("A@lab.example")], NC)
ncase("mail-in-subject", nc([MAIL("lab.example")]), None, NC, subject="1.2.840.113549.1.9.1=a@other.example")
ncase("mail-constraint-malformed", raw_nc([(0x81, b"a@b@lab.example")]), [MAIL("a@lab.example")], NC + " CERT_INVALID")
ncase("mail-name-malformed", nc([MAIL("lab.example")]), raw_san((0x81, b"a@lab.example"), (0x81, b"a@b@lab.example")), NC + " CERT_INVALID")
ncase("uri-permitted", nc([URI("lab.example")]), [URI("http://lab.example/x")], "good")
ncase("uri-domain", raw_nc([(0x86, b".lab.example")]), [URI("ldap://a.lab.example:389/x")], "good")
ncase("uri-host-is-not-below", nc([URI("lab.example")]), [URI("http://a.lab.example/")], NC)
ncase("uri-not-permitted", nc([URI("lab.example")]), [URI("http://other.example/lab.example")], NC)
ncase("uri-userinfo-is-not-the-host", nc([URI("lab.example")]), [URI("http://lab.example@other.example/")], NC)
ncase("uri-without-host", nc([URI("lab.example")]), [URI("urn:lab.example")], NC)
ncase("other-form-is-free-permitted", nc([net("192.0.2.0/24")]), [DNS("lab.example")], "good")
ncase("other-form-is-free-excluded", nc(None, [net("192.0.2.0/24")]), [DNS("lab.example")], "good")
OTHER = x509.OtherName(OID("1.3.6.1.4.1.55738.3"), b"\5\0")
ncase("othername-excluded", nc([DNS("lab.example")], [OTHER]), [DNS("lab.example"), OTHER], NC)
ncase("othername-not-there", nc([DNS("lab.example")], [OTHER]), [DNS("lab.example")], "good")
ncase("minimum", raw(E.NAME_CONSTRAINTS, tlv(0x30, tlv(0xa0, tlv(0x30, tlv(0x82, b"lab.example"), tlv(0x80, b"\1"))))), [DNS("lab.example")], NC + " CERT_INVALID CERT_MALFORMED")
# RFC 5280 constrains no host name in a commonName; treating it as one is the careful choice
ncase("common-name-like-a-host", nc([DNS("lab.example")]), None, "good " + NC, subject="CN=other.example", eku="none")
for critical in (True, False):
    case(f"nc/in-end-entity-{'critical' if critical else 'not-critical'}", [R], [S], leaf(S, nc=(nc([DNS("lab.example")]), critical)), NC + " CERT_INVALID")
def below(permit1, permit2, name, want, case_name):
    s1 = sub(R, "CN=s1", 40, nc=(permit1, True))
    s2 = sub(s1, "CN=s2", 41, nc=(permit2, True))
    case(case_name, [R], [s1, s2], leaf(s2, san=san(DNS(name))), want)
A, B = DNS("a.example"), DNS("b.example")
below(nc([A, B]), nc([B]), "a.example", NC, "nc/narrowed-below")
below(nc([B]), nc([A, B]), "a.example", NC, "nc/not-widened-below")
below(nc([A, B]), nc([B]), "b.example", "good", "nc/narrowed-and-inside")
below(nc([DNS("example")]), nc(None, [A]), "b.example", "good", "nc/excluded-below-and-outside")
s1 = sub(R, "CN=s1", 40, nc=(nc([A], [B]), True))
s2 = sub(s1, "CN=s2", 41, san=san(B))
case("nc/name-of-an-intermediate", [R], [s1, s2], leaf(s2, san=san(A)), NC)
r = root("CN=b.example", san=san(B), nc=(nc([A]), True))
s1 = make("CN=b.example", 42, r, True, san=san(B))
case("nc/self-issued-intermediate-is-free", [r], [s1], leaf(s1, san=san(A)), "good")
s1 = sub(R, "CN=x", 43, nc=(nc([A]), True))
case("nc/self-issued-leaf-is-not", [R], [s1], make("CN=x", 44, s1, san=san(B)), NC)
twin = dict(subject="CN=twin", key=45)
bad, good = sub(sub(R, "CN=s1", 40, nc=(nc(None, [B]), True)), san=san(B), **twin), sub(root("CN=r2", 46), san=san(DNS("c.example")), **twin)
case("nc/another-path-is-free", [R, root("CN=r2", 46)], [sub(R, "CN=s1", 40, nc=(nc(None, [B]), True)), bad, good], leaf(bad, san=san(DNS("d.example"))), "good")

# many names, many candidates: an answer within the budget, and no wrong accept
many = [DNS(f"t{i}.test") for i in range(512)]
m = root(nc=(nc(many, [DNS(f"x{i}.test") for i in range(512)]), True))
case("work/names-times-constraints", [m], [], leaf(m, x509.Name([]), san=(san(*many), True)), "good CERT_BUDGET CERT_NAME_CONSTRAINTS")
m = root(nc=(nc(None, [DNS(f"x{i}.test") for i in range(512)]), True))
case("work/names-times-excluded", [m], [], leaf(m, san=san(*(many + [DNS("x511.test")]))), "CERT_BUDGET CERT_NAME_CONSTRAINTS")
same = [make("CN=same", 50, R if i == 60 else make("CN=nobody", 51, None, True), True, serial=7000 + i) for i in range(100)]
case("work/100-same-name-same-key", [R], same, leaf(same[0]), "good")
dead = [c for i, c in enumerate(same) if i != 60]
case("work/99-same-name-same-key-dead", [R], dead, leaf(same[0]), "CERT_UNKNOWN_CA CERT_BUDGET")
keys = [make("CN=same", 100 + i, R, True) for i in range(60)]
case("work/60-same-name-other-keys", [R], keys, leaf(keys[59], aki=None), "good", "CERT_INVALID CERT_BUDGET")
ring = [make("CN=ring", 50, make("CN=ring", 50, None, True), True, serial=8000 + i) for i in range(20)]
case("work/self-issued-ring", [R], ring, leaf(ring[0]), "CERT_UNKNOWN_CA CERT_BUDGET CERT_PATH_LENGTH")

# more than one chain
r2 = root("CN=root two", 60)
expired = make("CN=root", 1, r2, True, end=NOW - DAY)
case("chains/expired-cross-certificate", [R, r2], [expired], leaf(R), "good")
case("chains/expired-cross-certificate-first", [r2, R], [expired, S], L, "good")
case("chains/only-the-cross-certificate", [r2], [make("CN=root", 1, r2, True), S], L, "good")
case("chains/only-the-expired-one", [r2], [expired, S], L, "CERT_EXPIRED")
for name, kw, why in (("expired", dict(end=NOW - DAY), "CERT_EXPIRED"), ("no-ca", dict(bc=(x509.BasicConstraints(False, None), True)), "CERT_NOT_CA"), ("critical", unknown, "CERT_CRITICAL_EXTENSION"), ("constrained", dict(nc=(nc([A]), True)), NC), ("no-keycertsign", dict(ku=(usage("digital_signature"), True)), "CERT_KEY_USAGE"), ("pathlen", dict(pathlen=0), "good")):
    bad = sub(R, **kw)
    for order in ((bad, S), (S, bad)):
        case(f"chains/beside-{name}-{'first' if order[0] is bad else 'last'}", [R], list(order), leaf(S), "good")
    case(f"chains/only-{name}", [R], [bad], leaf(bad), why)
c1 = make("CN=c1", 70, Cert(b"", key_of(71), x509.Name.from_rfc4514_string("CN=c2")), True)
c2 = make("CN=c2", 71, c1, True)
case("chains/cycle", [R], [c1, c2], leaf(c1), "CERT_UNKNOWN_CA")
case("chains/cycle-with-a-way-out", [R], [c1, c2, make("CN=c2", 71, R, True)], leaf(c1), "good")
case("chains/cycle-deep", [R], [c1, c2], leaf(c1), "CERT_UNKNOWN_CA CERT_BUDGET CERT_PATH_LENGTH", max_depth=255)
s1, s2 = make("CN=same ca", 72, Cert(b"", key_of(73), x509.Name.from_rfc4514_string("CN=same ca")), True), make("CN=same ca", 73, Cert(b"", key_of(72), x509.Name.from_rfc4514_string("CN=same ca")), True)
case("chains/cycle-one-name", [R], [s1, s2], leaf(s1), "CERT_UNKNOWN_CA CERT_BUDGET")

# CRLs (5.2, 5.3, 6.3.3)
def ccase(name, lists, want, r=R, end=None, **more): case(f"crl/{name}", [r], [], end or leaf(r, serial=99), want, crls=lists, **more)
REV, BAD = "REVOKED", "REVOCATION_INVALID REVOCATION_NONE REVOCATION_UNAVAILABLE"
elsewhere = ((12345, NOW - DAY),)
mine = ((99, NOW - DAY),)
ccase("good", [crl(R)], "good")
ccase("revoked", [crl(R, mine)], REV)
ccase("another-serial", [crl(R, elsewhere)], "good")
ccase("large", [crl(R, [(10 ** 6 + i, NOW - DAY) for i in range(1000)])], "good")
ccase("no-number", [crl(R, elsewhere, None)], BAD)
ccase("number-critical", [crl(R, elsewhere, (5, True))], BAD)
ccase("not-yet", [crl(R, start=NOW + DAY, end=NOW + 9 * DAY)], BAD)
ccase("stale", [crl(R, start=NOW - 9 * DAY, end=NOW - 2 * DAY)], "REVOCATION_STALE")
ccase("stale-within-grace", [crl(R, start=NOW - 9 * DAY, end=NOW - DAY / 2)], "good", revocation="grace")
ccase("stale-past-grace", [crl(R, start=NOW - 9 * DAY, end=NOW - 2 * DAY)], "REVOCATION_STALE", revocation="grace")
ccase("stale-but-revoked", [crl(R, mine, start=NOW - 9 * DAY, end=NOW - DAY / 2)], REV, revocation="grace")
ccase("next-update-exact", [crl(R, start=NOW - DAY, end=NOW)], "good")
ccase("revocation-date-in-future", [crl(R, ((99, NOW + DAY),))], REV)
ccase("revocation-date-before-certificate", [crl(R, ((99, START - DAY),))], REV)
ccase("wrong-key", [crl(R, elsewhere, key=key_of(9))], BAD)
other = root("CN=other", 80)
ccase("of-another-ca", [crl(R), crl(other, mine)], "good")
ccase("only-of-another-ca", [crl(other)], BAD)
ccase("unknown-critical-extension", [crl(R, elsewhere, exts=((raw(PRIVATE, b"\5\0"), True),))], BAD)
ccase("unknown-extension", [crl(R, elsewhere, exts=((raw(PRIVATE, b"\5\0"), False),))], "good")
ccase("entry-unknown-critical", [crl(R, mine, entry=((raw(PRIVATE, b"\5\0"), True),))], BAD + " " + REV)
ccase("entry-unknown", [crl(R, mine, entry=((raw(PRIVATE, b"\5\0"), False),))], REV)
no_ku = root(ku=None)
case("crl/issuer-without-key-usage", [no_ku], [], leaf(no_ku, serial=99), "good", "good CERT_INVALID CERT_KEY_USAGE", crls=[crl(no_ku, elsewhere)])
no_sign = root(ku=(usage("key_cert_sign"), True))
case("crl/issuer-without-crlsign", [no_sign], [], leaf(no_sign, serial=99), BAD, crls=[crl(no_sign, elsewhere)])
ccase("nothing-at-hand", [], "REVOCATION_NONE", revocation="require")
ccase("nothing-at-hand-off", [], "good")
case("crl/intermediate-revoked", [R], [sub(R, serial=55)], leaf(S), REV, crls=[crl(R, ((55, NOW - DAY),)), crl(S)])
case("crl/intermediate-unknown", [R], [S], leaf(S), "REVOCATION_NONE REVOCATION_INVALID", crls=[crl(S)])
def idp(**kw):
    base = dict(full_name=None, relative_name=None, only_contains_user_certs=False, only_contains_ca_certs=False, only_some_reasons=None, indirect_crl=False, only_contains_attribute_certs=False)
    base.update(kw)
    return (x509.IssuingDistributionPoint(**base), True)
ccase("idp-only-ca-certificates", [crl(R, exts=(idp(only_contains_ca_certs=True),))], BAD)
ccase("idp-only-user-certificates", [crl(R, exts=(idp(only_contains_user_certs=True),))], "good")
ccase("idp-only-attribute-certificates", [crl(R, exts=(idp(only_contains_attribute_certs=True),))], BAD)
ccase("idp-some-reasons-is-not-enough", [crl(R, exts=(idp(only_some_reasons=frozenset([x509.ReasonFlags.key_compromise])),))], BAD)
ccase("idp-some-reasons-revokes", [crl(R, mine, exts=(idp(only_some_reasons=frozenset([x509.ReasonFlags.key_compromise])),), entry=((x509.CRLReason(x509.ReasonFlags.key_compromise), False),))], REV)
rest = frozenset(f for f in x509.ReasonFlags if f not in (x509.ReasonFlags.unspecified, x509.ReasonFlags.remove_from_crl, x509.ReasonFlags.key_compromise))
ccase("idp-reasons-add-up", [crl(R, exts=(idp(only_some_reasons=frozenset([x509.ReasonFlags.key_compromise])),)), crl(R, number=(2, False), exts=(idp(only_some_reasons=rest),))], "good")
ccase("idp-of-another-point", [crl(R, exts=(idp(full_name=[URI("http://crl.example/b.crl")]),))], BAD, end=leaf(R, serial=99, dp=x509.CRLDistributionPoints([x509.DistributionPoint([URI("http://crl.example/a.crl")], None, None, None)])))
ccase("idp-of-its-point", [crl(R, exts=(idp(full_name=[URI("http://crl.example/a.crl")]),))], "good", end=leaf(R, serial=99, dp=x509.CRLDistributionPoints([x509.DistributionPoint([URI("http://crl.example/a.crl")], None, None, None)])))
delta = crl(R, mine, (3, False), exts=((x509.DeltaCRLIndicator(1), True),))
ccase("delta-revokes", [crl(R), delta], REV)
ccase("delta-alone", [crl(R, number=(3, False), exts=((x509.DeltaCRLIndicator(1), True),))], BAD)
ccase("delta-removes", [crl(R, mine, entry=((x509.CRLReason(x509.ReasonFlags.certificate_hold), False),)), crl(R, mine, (3, False), exts=((x509.DeltaCRLIndicator(1), True),), entry=((x509.CRLReason(x509.ReasonFlags.remove_from_crl), False),))], "good")

folder = sys.argv[1]
with open(os.path.join(folder, "requests.jsonl"), "w") as f:
    f.write("".join(r + "\n" for r in requests))
with open(os.path.join(folder, "expected.tsv"), "w") as f:
    f.write("".join("\t".join(e) + "\n" for e in expected))
print(len(requests), "requests", file=sys.stderr)
