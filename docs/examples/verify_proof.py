"""Checks a proof of a transaction, or of what a key has in the state, trusting nobody but the channel's id.

    pip install cryptography
    python3 verify_proof.py --channel-id ID proof.json

`proof.json` is what `GET /v1/channels/{c}/transactions/{id}/proof` answers and `chancery tx proof` writes, or what
`GET /v1/channels/{c}/state/{key}/proof` answers. Ends with 0
and a summary if the proof holds, with 1 and the reason if it does not. Without --channel-id it says only that the parts
belong together: compare the channel's id that it prints with one from a source that you trust.

The formats are those of docs/formats: block.md (blocks, receipts, paths, proofs), configuration.md (who orders),
transaction.md (envelopes). Ed25519 signatures of transactions follow ZIP 215, which no common Python library does, so its
few lines are here, and those of seals the strict rules of block.md; P-256 is checked by `cryptography`. Anything unexpected
is a refusal.
"""
import argparse, hashlib, json, sys


class Refused(Exception):
    """Why the proof does not hold."""


def need(holds, reason):
    if not holds:
        raise Refused(reason)


# Bytes: integers are little-endian and of fixed width, lengths are u64.

class Reader:
    def __init__(self, data, what):
        self.data, self.at, self.what = data, 0, what

    def take(self, count):
        need(count <= len(self.data) - self.at, f"{self.what} is cut off")
        self.at += count
        return self.data[self.at - count:self.at]

    def number(self, width):
        return int.from_bytes(self.take(width), "little")

    u8 = lambda self: self.number(1)
    u16 = lambda self: self.number(2)
    u32 = lambda self: self.number(4)
    u64 = lambda self: self.number(8)
    u128 = lambda self: self.number(16)
    hash = lambda self: self.take(32)
    bytes = lambda self: self.take(self.u64())

    def time(self):
        millis = self.u64()
        need(millis < 253402300800000, f"a time of {self.what} is after the year 9999")
        return millis

    def text(self):
        try:
            return self.bytes().decode()
        except UnicodeDecodeError:
            raise Refused(f"a text of {self.what} is not UTF-8")

    def choice(self, names):
        number = self.u32()
        need(number < len(names), f"unknown choice in {self.what}")
        return names[number]

    def option(self, read):
        there = self.u8()
        need(there < 2, f"neither there nor absent in {self.what}")
        return read() if there else None

    def list(self, read):
        count = self.u64()
        # Every item has a byte at least, so a count beyond the bytes is a lie.
        need(count <= len(self.data) - self.at, f"{self.what} is cut off")
        return [read() for _ in range(count)]

    def key(self):
        scheme = self.u8()
        need(scheme in (1, 2), f"unknown signature scheme in {self.what}")
        key = self.take(32 if scheme == 1 else 65)
        need(scheme == 1 or key[0] == 4, f"a compressed P-256 key in {self.what}")
        return scheme, key

    def end(self, value):
        need(self.at == len(self.data), f"bytes behind the end of {self.what}")
        return value


def read_header(data, what="the header"):
    r = Reader(data, what)
    header = {
        "version": r.u16(), "channel": r.hash(), "height": r.u64(), "previous": r.hash(), "time": r.time(),
        "transaction_root": r.hash(), "receipt_root": r.hash(), "batch_root": r.hash(), "writes_root": r.hash(),
        "state_root": r.hash(), "history_root": r.hash(), "orderers_root": r.hash(),
        "config_height": r.u64(), "proposer": r.take(20), "transactions": r.u32(), "receipts": r.u32(), "batches": r.u32(),
    }
    need(header["version"] == 1, f"{what} is of an unknown version")
    header["hash"] = tagged("chancery/header/1", data)
    header["id"] = header["hash"] if header["height"] == 0 else header["channel"]
    return r.end(header)


def read_seal(r):
    if r.choice(["genesis", "quorum"]) == "genesis":
        return None
    return {"place": r.u64(), "signatures": r.list(lambda: (r.key(), r.take(64)))}


def read_envelope(data):
    r = Reader(data, "the transaction")
    envelope = {"encoding": r.u8(), "payload": r.bytes(), "signatures": r.list(lambda: (r.key(), r.take(64)))}
    need(envelope["encoding"] in (0, 1, 2), "unknown payload encoding")
    message = b"chancery/tx/1\0" + bytes([envelope["encoding"]]) + envelope["payload"]
    return r.end(envelope | {"message": message, "id": hashlib.sha256(message).digest()})


def read_receipt(data):
    r = Reader(data, "the receipt")
    receipt = {
        "version": r.u8(), "id": r.hash(), "height": r.u64(), "index": r.u32(), "code": r.u16(),
        "fee": r.u128(), "events": r.u32(), "events_root": r.hash(), "detail": r.option(r.hash),
    }
    need(receipt["version"] == 1, "the receipt is of an unknown version")
    return r.end(receipt)


def read_orderers(r):
    """Who may seal."""
    start = r.at
    orderers = {
        "engine": r.choice(["solo", "raft", "bft"]),
        "peers": r.list(lambda: {"identity": r.text(), "key": r.key(), "weight": r.u32()}), "threshold": r.u64(),
    }
    check_orderers(orderers)
    return orderers | {"root": tagged("chancery/orderers/1", r.data[start:r.at])}


def check_orderers(orderers):
    """They could seal a block, each counts once, and no two blocks of one height could be final."""
    peers, all_of_them = orderers["peers"], sum(peer["weight"] for peer in orderers["peers"])
    need(1 <= len(peers) <= 128 and (orderers["engine"] != "solo" or len(peers) == 1), "orderers are as many as may be")
    need(len({peer["key"] for peer in peers}) == len({peer["identity"] for peer in peers}) == len(peers), "orderers are distinct")
    need(all(1 <= peer["weight"] <= 1_000_000_000 for peer in peers), "an orderer's weight")
    least = {"solo": all_of_them, "raft": all_of_them // 2 + 1, "bft": all_of_them * 2 // 3 + 1}[orderers["engine"]]
    need(least <= orderers["threshold"] <= all_of_them, "a threshold with which one block of a height is final")


# Hashes and trees.

def tagged(tag, data):
    return hashlib.sha256(tag.encode() + b"\0" + data).digest()


def leaf_hash(data):
    return hashlib.sha256(b"\0" + data).digest()


def blinded_leaf_hash(blinding, data):
    """What hides the hash comes before the bytes: who sees the hash alone cannot try what it is of."""
    need(len(blinding) == 32, "a blinding has 32 bytes")
    return leaf_hash(blinding + data)


def node_hash(left, right):
    return hashlib.sha256(b"\1" + left + right).digest()


def check_path(root, size, index, leaf, path, what):
    """RFC 9162 §2.1.3.2."""
    need(index < size, f"{what} lies outside of its tree")
    node, last, value = index, size - 1, leaf
    for sibling in path:
        need(last > 0, f"the path of {what} is too long")
        if node & 1 or node == last:
            value = node_hash(sibling, value)
            while not node & 1 and node:
                node, last = node >> 1, last >> 1
        else:
            value = node_hash(value, sibling)
        node, last = node >> 1, last >> 1
    need(last == 0 and value == root, f"the path of {what} does not lead to its root")


# Signatures. Ed25519 as ZIP 215 has it: encodings of A and R need not be canonical, s must be, and the equation is
# multiplied by the cofactor. One library's other rules would refuse what the ledger took, or take what it refused.

P, L = 2**255 - 19, 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, -1, P) % P
ROOT_OF_MINUS_ONE = pow(2, (P - 1) // 4, P)


def decode_point(data):
    number = int.from_bytes(data, "little")
    sign, y = number >> 255, (number & (2**255 - 1)) % P
    u, v = (y * y - 1) % P, (D * y * y + 1) % P
    x = u * pow(v, 3, P) * pow(u * pow(v, 7, P), (P - 5) // 8, P) % P
    if v * x * x % P != u:
        x = x * ROOT_OF_MINUS_ONE % P
    if v * x * x % P != u:
        return None
    x = -x % P if x & 1 != sign else x
    return x, y, 1, x * y % P


def add(a, b):
    (x1, y1, z1, t1), (x2, y2, z2, t2) = a, b
    e, f = (y1 - x1) * (y2 - x2) % P, (y1 + x1) * (y2 + x2) % P
    c, d = 2 * D * t1 * t2 % P, 2 * z1 * z2 % P
    e, g, h, f = f - e, d + c, f + e, d - c
    return e * f % P, g * h % P, f * g % P, e * h % P


def multiply(scalar, point):
    result = (0, 1, 1, 0)
    for bit in bin(scalar)[2:]:
        result = add(result, result)
        result = add(result, point) if bit == "1" else result
    return result


BASE = decode_point((4 * pow(5, -1, P) % P).to_bytes(32, "little"))


def ed25519_zip215(key, message, signature):
    s = int.from_bytes(signature[32:], "little")
    a, r = decode_point(key), decode_point(signature[:32])
    if s >= L or a is None or r is None:
        return False
    k = int.from_bytes(hashlib.sha512(signature[:32] + key + message).digest(), "little") % L
    minus = lambda point: (-point[0] % P, point[1], point[2], -point[3] % P)
    x, y, z, _ = multiply(8, add(multiply(s, BASE), add(minus(r), minus(multiply(k, a)))))
    return x == 0 and y == z


def multiple(point, of_what):
    """Whether a multiple of a point is the neutral one."""
    x, y, z, _ = multiply(of_what, point)
    return x % P == 0 and (y - z) % P == 0


def encode_point(point):
    x, y, z, _ = point
    x, y = x * pow(z, -1, P) % P, y * pow(z, -1, P) % P
    return (y | (x & 1) << 255).to_bytes(32, "little")


def ed25519_strict(key, message, signature):
    """As seals have it: canonical key of prime order, canonical R not of small order, s below the order, no cofactor."""
    s = int.from_bytes(signature[32:], "little")
    a, r = decode_point(key), decode_point(signature[:32])
    if s >= L or a is None or r is None or encode_point(a) != key or encode_point(r) != signature[:32]:
        return False
    if multiple(a, 8) or not multiple(a, L) or multiple(r, 8):
        return False
    k = int.from_bytes(hashlib.sha512(signature[:32] + key + message).digest(), "little") % L
    return encode_point(add(r, multiply(k, a))) == encode_point(multiply(s, BASE))


P256_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551


def p256(key, message, signature):
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec, utils
    r, s = (int.from_bytes(half, "big") for half in (signature[:32], signature[32:]))
    try:
        public = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), key)
        public.verify(utils.encode_dss_signature(r, s), message, ec.ECDSA(hashes.SHA256()))
        return True
    except (InvalidSignature, ValueError):
        return False


def is_signed(key, message, signature):
    scheme, public = key
    return (ed25519_zip215 if scheme == 1 else p256)(public, message, signature)


def is_sealed(key, message, signature):
    """The stricter rules of seals, on which all libraries agree: of P-256 the smaller of the two forms of s."""
    scheme, public = key
    if scheme == 1:
        return ed25519_strict(public, message, signature)
    return int.from_bytes(signature[32:], "big") <= P256_ORDER // 2 and p256(public, message, signature)


def address(key):
    scheme, public = key
    return tagged("chancery/address/1", bytes([scheme]) + public)[:20]


# Addresses as text: the case of the digits is the checksum of EIP-55, over Keccak-256.

def keccak256(data):
    mask, rate, state = 2**64 - 1, 136, [0] * 25
    turn = lambda value, by: (value << by | value >> (64 - by)) & mask if by else value
    padded = bytearray(data) + b"\1" + bytes(-(len(data) + 1) % rate)
    padded[-1] |= 0x80
    for start in range(0, len(padded), rate):
        for lane in range(rate // 8):
            state[lane] ^= int.from_bytes(padded[start + 8 * lane:start + 8 * lane + 8], "little")
        register = 1
        for _ in range(24):
            column = [state[x] ^ state[x + 5] ^ state[x + 10] ^ state[x + 15] ^ state[x + 20] for x in range(5)]
            state = [state[i] ^ column[(i - 1) % 5] ^ turn(column[(i + 1) % 5], 1) for i in range(25)]
            x, y, moved = 1, 0, state[1]
            for step in range(24):
                x, y = y, (2 * x + 3 * y) % 5
                moved, state[x + 5 * y] = state[x + 5 * y], turn(moved, (step + 1) * (step + 2) // 2 % 64)
            for row in range(0, 25, 5):
                old = state[row:row + 5]
                state[row:row + 5] = [old[x] ^ (~old[(x + 1) % 5] & mask & old[(x + 2) % 5]) for x in range(5)]
            for bit in range(7):
                state[0] ^= (register & 1) << ((1 << bit) - 1)
                register = register << 1 ^ (0x171 if register & 0x80 else 0)
    return b"".join(lane.to_bytes(8, "little") for lane in state[:4])


def address_text(raw):
    digits = raw.hex()
    check = keccak256(digits.encode()).hex()
    return "0x" + "".join(d.upper() if int(c, 16) >= 8 else d for d, c in zip(digits, check))


# The proof.

def json_strict(text):
    def unique(pairs):
        need(len({name for name, _ in pairs}) == len(pairs), "a name comes twice in an object")
        return dict(pairs)

    try:
        return json.loads(text, object_pairs_hook=unique)
    except ValueError as error:
        raise Refused(f"not JSON: {error}")


def fields(value, names, optional=()):
    need(isinstance(value, dict), "an object is expected")
    need(set(names) <= value.keys() <= {*names, *optional}, f"an object has {', '.join([*names, *optional])}")
    return [value.get(name) for name in [*names, *optional]]


def unhex(value):
    hexadecimal = isinstance(value, str) and len(value) % 2 == 0 and set(value) <= set("0123456789abcdef")
    need(hexadecimal, "lower-case hex is expected")
    return bytes.fromhex(value)


def hashes_of(value):
    need(isinstance(value, list), "a path is a list")
    path = [unhex(item) for item in value]
    need(len(path) <= 64 and all(len(item) == 32 for item in path), "a path is of at most 64 hashes")
    return path


def place(value):
    need(type(value) is int and 0 <= value < 2**32, "a position is a number")
    return value


def transaction_leaf(id, envelope):
    return leaf_hash(id + tagged("chancery/envelope/1", envelope))


def check_sealed(channel, trusted, data, seal):
    """A header and its seal. `trusted` has the heights of blocks with those who may seal the blocks after them."""
    header = read_header(data)
    need(header["id"] == channel, f"the header is of channel {header['id'].hex()}")
    r = Reader(seal, "the seal")
    seal = r.end(read_seal(r))
    if header["height"] == 0:
        need(seal is None, "a sealed genesis block")
        return header
    need(seal is not None, "a block without a seal")
    place = max(at for at, (height, _) in enumerate(trusted) if height < header["height"])
    orderers, following = trusted[place][1], trusted[place + 1] if place + 1 < len(trusted) else None
    if following is not None:
        names = following[1] if header["height"] == following[0] else orderers
        need(header["orderers_root"] == names["root"], "the header names others to seal than the proof's links")
    check_seal(header, seal, orderers)
    return header


def check_seal(header, seal, orderers):
    keys = [peer["key"] for peer in orderers["peers"]]
    need(header["proposer"] in [address(key) for key in keys], "the proposer does not order")
    need(orderers["engine"] != "solo" or seal["place"] == 0, "one peer orders alone, and the seal names a term or round")
    need(all(key in keys for key, _ in seal["signatures"]), "a seal's key is no orderer's")
    places = [keys.index(key) for key, _ in seal["signatures"]]
    need(all(a < b for a, b in zip(places, places[1:])), "a seal's signatures are not in order, each once")
    weight = sum(orderers["peers"][at]["weight"] for at in places)
    need(weight >= orderers["threshold"], "too few have sealed")
    message = b"chancery/seal/1\0" + header["hash"] + seal["place"].to_bytes(8, "little")
    need(all(is_sealed(key, message, signature) for key, signature in seal["signatures"]), "a seal's signature does not verify")


def check_evidence(channel, trusted, evidence):
    header, seal, receipt, transaction, event, detail = fields(
        evidence, ["header", "seal", "receipt"], ["transaction", "event", "detail"])
    header = check_sealed(channel, trusted, unhex(header), unhex(seal))

    head, blinding, path = fields(receipt, ["head", "blinding", "path"])
    head = unhex(head)
    receipt = read_receipt(head)
    need(receipt["height"] == header["height"], "the receipt is of another height")
    leaf = blinded_leaf_hash(unhex(blinding), head)
    check_path(header["receipt_root"], header["receipts"], receipt["index"], leaf, hashes_of(path), "the receipt")

    envelope = None
    if transaction is not None:
        data, index, path = fields(transaction, ["envelope", "index", "path"])
        data = unhex(data)
        envelope = read_envelope(data)
        leaf = transaction_leaf(envelope["id"], data)
        check_path(header["transaction_root"], header["transactions"], place(index), leaf, hashes_of(path), "the transaction")
        need(envelope["id"] == receipt["id"], "the receipt is of another transaction")
        for key, signature in envelope["signatures"]:
            need(is_signed(key, envelope["message"], signature), f"the signature of {address_text(address(key))} does not verify")
    if event is not None:
        data, index, blinding, path = fields(event, ["event", "index", "blinding", "path"])
        event = unhex(data)
        leaf = blinded_leaf_hash(unhex(blinding), event)
        check_path(receipt["events_root"], receipt["events"], place(index), leaf, hashes_of(path), "the event")
    if detail is not None:
        data, blinding = fields(detail, ["detail", "blinding"])
        detail = unhex(data)
        need(blinded_leaf_hash(unhex(blinding), detail) == receipt["detail"], "the detail is not the receipt's")
        need(2 <= len(detail) <= 1024, "a detail has its number and at most 1,024 bytes")
    return header, receipt, envelope, event, detail


def check_state(channel, trusted, state):
    """What a key has in the state that a block leaves: docs/formats/state-tree.md."""
    header, seal, key, value, path = fields(state, ["header", "seal", "key", "value", "path"])
    header = check_sealed(channel, trusted, unhex(header), unhex(seal))
    key, value = unhex(key), None if value is None else unhex(value)
    check_state_path(header["state_root"], key, value, unhex(path))
    return header, key, value


def check_state_path(root, key, value, data):
    place = (key[:1] or b"\0") + tagged("chancery/state-key/1", key)[1:]
    bit = lambda way, depth: way[depth // 8] >> 7 - depth % 8 & 1
    leaf = lambda way, digest: hashlib.sha256(b"\2" + way + digest).digest()
    r = Reader(data, "the key's path")
    blinding, parts = r.hash(), [r.hash() for _ in range(4)]
    steps = [(r.u8(), r.hash()) for _ in range(r.u16())]
    need(all(a[0] < b[0] for a, b in zip(steps, steps[1:])), "the bits of a key's path do not ascend")
    need(all(any(beside) for _, beside in steps), "nothing stands beside a key's path")
    need(all(depth >= 4 for depth, _ in steps), "a key's path begins above the part where it stands")
    other = r.option(lambda: (r.hash(), r.hash()))
    r.end(None)
    if value is not None:
        need(other is None, "the path leads to another key")
        reached = leaf(place, hashlib.sha256(value).digest())
    elif other is not None:
        need(other[0] != place, "the path leads to the key that is said to be absent")
        need(other[0][0] >> 4 == place[0] >> 4, "the path leads to another part of the state")
        need(all(bit(other[0], depth) == bit(place, depth) for depth, _ in steps), "the path does not lead to where the key would be")
        reached = leaf(*other)
    else:
        need(not steps, "the path leads nowhere")
        reached = bytes(32)
    for depth, beside in reversed(steps):
        left, right = (beside, reached) if bit(place, depth) else (reached, beside)
        reached = hashlib.sha256(b"\3" + bytes([depth]) + left + right).digest()
    leaf = blinded_leaf_hash(blinding, reached)
    check_path(root, 16, place[0] >> 4, leaf, parts, "the part of the state where the key stands")


def check_trust(trust):
    """From genesis on: who may seal changes only with a block that those before have sealed."""
    genesis, links = fields(trust, ["genesis", "links"])
    need(isinstance(links, list) and len(links) <= 8192, "links are a list")
    header, orderers = fields(genesis, ["header", "orderers"])
    header = read_header(unhex(header), "the genesis header")
    need(header["height"] == 0 and not any(header["channel"]), "not a genesis header")
    channel, trusted = header["hash"], [(0, orderers_of(header, orderers))]
    for link in links:
        header, seal, orderers = fields(link, ["header", "seal", "orderers"])
        data = unhex(header)
        need(read_header(data)["height"] > trusted[-1][0], "a link does not follow the one before it")
        header = check_sealed(channel, trusted, data, unhex(seal))
        need(header["orderers_root"] != trusted[-1][1]["root"], "a link is no change of who seals")
        trusted.append((header["height"], orderers_of(header, orderers)))
    return channel, trusted


def orderers_of(header, record):
    """Those that a header names for the block after it."""
    r = Reader(unhex(record), "the record of the orderers")
    orderers = r.end(read_orderers(r))
    need(orderers["root"] == header["orderers_root"], "the orderers are not those that their header names")
    return orderers


def verify(text, known=None):
    """Checks a proof and says what it proves. `known` is the channel's id, 64 hex digits."""
    document = json_strict(text)
    if isinstance(document, dict) and "state" in document:
        (version, trust, state), evidence, later = fields(document, ["version", "trust", "state"]), None, None
    else:
        version, trust, evidence, later = fields(document, ["version", "trust", "evidence"], ["later"])
    need(type(version) is int and version == 1, "unknown proof version")
    channel, trusted = check_trust(trust)
    need(known is None or channel.hex() == known, f"the proof is about channel {channel.hex()}")
    if evidence is None:
        header, key, value = check_state(channel, trusted, state)
        return {
            "channel": channel.hex(), "height": header["height"], "block": header["hash"].hex(),
            "key": key.hex(), "value": None if value is None else value.hex(),
        }
    header, receipt, envelope, event, detail = check_evidence(channel, trusted, evidence)
    proven = {
        "channel": channel.hex(), "height": header["height"],
        "block": header["hash"].hex(), "index": receipt["index"], "id": receipt["id"].hex(), "code": receipt["code"],
        "fee": str(receipt["fee"]),
        "signers": [address_text(address(key)) for key, _ in envelope["signatures"]] if envelope else [],
    }
    if envelope and envelope["encoding"] == 2:
        proven["transaction"] = json_strict(envelope["payload"].decode())
    if event is not None:
        proven["event"] = event.hex()
    if detail is not None:
        # docs/formats/refusal-details.txt names the number, refusals.md the arguments that follow.
        proven["detail"] = {"number": int.from_bytes(detail[:2], "little"), "arguments": detail[2:].hex()}
    if later is not None:
        data, seal, path = fields(later, ["header", "seal", "path"])
        later = check_sealed(channel, trusted, unhex(data), unhex(seal))
        need(later["height"] > header["height"], "the later header is none of this channel")
        check_path(later["history_root"], later["height"], header["height"], leaf_hash(header["hash"]), hashes_of(path),
                   "the header in the later one's history")
        proven["later"] = {"height": later["height"], "hash": later["hash"].hex()}
    return proven


def main():
    arguments = argparse.ArgumentParser(description="Checks a proof of a transaction.")
    arguments.add_argument("proof", help="file with the proof's JSON")
    arguments.add_argument("--channel-id", help="the channel's id, from a source that you trust")
    given = arguments.parse_args()
    try:
        with open(given.proof, encoding="utf-8") as file:
            text = file.read()
    except (OSError, UnicodeDecodeError) as error:
        sys.exit(f"{given.proof} cannot be read: {error}")
    try:
        print(json.dumps(verify(text, given.channel_id), indent=2))
    except Refused as reason:
        sys.exit(f"the proof does not hold: {reason}")


if __name__ == "__main__":
    main()
