"""Bodies that are bytes: Schemathesis makes none of these by itself."""

import schemathesis
from hypothesis import strategies

BINARY = (
    "application/ocsp-request",
    "application/pkcs10",
    "application/pkix-crl",
    "application/vnd.chancery.batch",
    "application/x-pem-file",
)

for media_type in BINARY:
    schemathesis.openapi.media_type(media_type, strategies.binary(max_size=64))


@schemathesis.serializer(*BINARY)
def as_they_are(context, value):
    return {"data": value if isinstance(value, bytes) else str(value).encode()}
