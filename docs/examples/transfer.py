"""Signs a transfer with an ordinary Ed25519 library and prints it as `curl` posts it.

    pip install cryptography
    python3 transfer.py CHANNEL_ID SEED_HEX ASSET TO AMOUNT > transfer.json
    curl --cacert ca.pem --cert cert.pem --key key.pem -H 'Content-Type: application/json' \
         --data @transfer.json https://127.0.0.1:7100/v1/channels/main/transactions

Many go one by one on one long request, POST /v1/channels/main/submissions (docs/formats/submissions.md): for each a line
{"number": N, "transaction": WHAT IS PRINTED}, answered by a line with the same number once it is committed.
"""
import datetime, hashlib, json, secrets, sys
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

channel, seed, asset, to, amount = sys.argv[1:]
key = Ed25519PrivateKey.from_private_bytes(bytes.fromhex(seed))
public = key.public_key().public_bytes_raw()
sender = "0x" + hashlib.sha256(b"chancery/address/1\0" + bytes([1]) + public).hexdigest()[:40]
until = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(minutes=5)
payload = json.dumps({
    "channel": channel,
    "nonce": str(secrets.randbits(64)),
    "valid_until": until.strftime("%Y-%m-%dT%H:%M:%SZ"),
    "fee_max": "0",
    "actions": [{"type": "asset.transfer", "asset": asset, "to": to, "amount": amount}],
    "sender": sender,
})
message = b"chancery/tx/1\0" + bytes([2]) + payload.encode()
print(json.dumps({
    "payload": payload,
    "signatures": [{
        "scheme": "ed25519",
        "key": public.hex(),
        "signature": key.sign(message).hex(),
    }],
}))
