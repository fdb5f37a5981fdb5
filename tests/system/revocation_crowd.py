"""A crowd of peers whose CA's distribution point and responder are dead, and a few of another CA whose
servers live: started by revocation_crowd.test.

    revocation_crowd.py make FOLDER PEERS             certificates of both CAs, the live CA's CRL
    revocation_crowd.py dead ADDRESS LOG              accepts on ports 80 and 81, never answers
    revocation_crowd.py ask FOLDER SOCKET PEERS       all of them ask; prints one JSON object
"""
import datetime, json, os, socket, sys, threading, time
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import AuthorityInformationAccessOID, NameOID

NOW = datetime.datetime.utcnow().replace(microsecond=0)
DAY = datetime.timedelta(days=1)


def build(cn, key, issuer, issuer_key, ca, extra=()):
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, cn)])
    b = (x509.CertificateBuilder().subject_name(subject).issuer_name(issuer or subject)
         .public_key(key.public_key()).serial_number(x509.random_serial_number())
         .not_valid_before(NOW - DAY).not_valid_after(NOW + 30 * DAY)
         .add_extension(x509.BasicConstraints(ca, None), True))
    for e in extra:
        b = b.add_extension(e, False)
    return b.sign(issuer_key, hashes.SHA256())


def put(folder, name, data):
    with open(os.path.join(folder, name), "wb") as f:
        f.write(data)


def make(folder, peers):
    pem = serialization.Encoding.PEM
    for ca, count in (("dead", peers), ("live", 40)):
        key = ec.generate_private_key(ec.SECP256R1())
        root = build(f"{ca} CA", key, None, key, True)
        put(folder, f"{ca}.pem", root.public_bytes(pem))
        where = "192.0.2.66" if ca == "dead" else "192.0.2.1:8080"
        point = x509.CRLDistributionPoints([x509.DistributionPoint(
            [x509.UniformResourceIdentifier(f"http://{where}/list.crl")], None, None, None)])
        responder = x509.AuthorityInformationAccess([x509.AccessDescription(
            AuthorityInformationAccessOID.OCSP, x509.UniformResourceIdentifier(f"http://{where}:81/"))])
        for i in range(count):
            leaf_key = ec.generate_private_key(ec.SECP256R1())
            leaf = build(f"{ca}-{i}", leaf_key, root.subject, key, False,
                         [x509.SubjectAlternativeName([x509.DNSName(f"{ca}-{i}.lab")]), point] +
                         ([responder] if ca == "dead" else []))
            put(folder, f"{ca}-{i}.pem", leaf.public_bytes(pem))
        if ca == "live":
            crl = (x509.CertificateRevocationListBuilder().issuer_name(root.subject)
                   .last_update(NOW).next_update(NOW + DAY).add_extension(x509.CRLNumber(1), False)
                   .sign(key, hashes.SHA256()))
            os.makedirs(os.path.join(folder, "www"), exist_ok=True)
            put(folder, "www/list.crl", crl.public_bytes(serialization.Encoding.DER))
            put(folder, "live.key", leaf_key.private_bytes(pem, serialization.PrivateFormat.PKCS8,
                                                           serialization.NoEncryption()))
            put(folder, "own.pem", leaf.public_bytes(pem))


def dead(address, log):
    kept = []

    def accept(port):
        s = socket.socket()
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        s.bind((address, port))
        s.listen(1024)
        while True:
            kept.append(s.accept()[0])  # never answered, never closed
            with open(log, "a") as f:
                f.write(f"{time.time()} {port}\n")

    for port in (80, 81):
        threading.Thread(target=accept, args=(port,)).start()


def ask(folder, path, peers):
    """60 connections: the control socket takes 64, and each carries one question at a time."""
    def line(ca, i):
        with open(os.path.join(folder, f"{ca}-{i}.pem")) as f:
            return json.dumps({"verb": "policy.test", "args": {
                "connection": ca, "cert": f.read(), "id": f"dns:{ca}-{i}.lab"}}) + "\n"

    def one(f, text):
        begun = time.monotonic()
        f.write(text)
        f.flush()
        answer = json.loads(f.readline())
        return answer.get("data", answer).get("reason", answer["rc"]), time.monotonic() - begun

    def connect():
        s = socket.socket(socket.AF_UNIX)
        s.settimeout(60)
        s.connect(path)
        return s.makefile("rw")

    crowd, others, stop = [], [], threading.Event()
    queue = [line("dead", i) for i in range(peers)]

    def worker():
        f = connect()
        while queue:
            try:
                text = queue.pop()
            except IndexError:
                break
            crowd.append(one(f, text))

    def other():
        f = connect()
        i = 0
        while not stop.is_set() or i < 40:
            others.append(one(f, line("live", i % 40)))
            i += 1
            time.sleep(0.01)

    calm_file = connect()
    calm = [one(calm_file, line("live", i)) for i in range(40)]
    threads = [threading.Thread(target=worker) for _ in range(60)]
    watcher = threading.Thread(target=other)
    begun = time.monotonic()
    for t in threads + [watcher]:
        t.start()
    for t in threads:
        t.join()
    took = time.monotonic() - begun
    stop.set()
    watcher.join()

    def at(values, part):
        values = sorted(values)
        return round(1000 * values[min(len(values) - 1, int(part * len(values)))], 1)

    reasons = {}
    for reason, _ in crowd:
        reasons[reason] = reasons.get(reason, 0) + 1
    print(json.dumps({"crowd": len(crowd), "reasons": reasons, "took_s": round(took, 2),
                      "crowd_longest_ms": at([t for _, t in crowd], 1),
                      "others": len(others), "others_bad": sum(r != "AUTH_NOT_ASKED" for r, _ in others + calm),
                      "calm_median_ms": at([t for _, t in calm], .5), "others_median_ms": at([t for _, t in others], .5),
                      "others_p99_ms": at([t for _, t in others], .99)}))


if sys.argv[1] == "make":
    make(sys.argv[2], int(sys.argv[3]))
elif sys.argv[1] == "dead":
    dead(sys.argv[2], sys.argv[3])
else:
    ask(sys.argv[2], sys.argv[3], int(sys.argv[4]))
