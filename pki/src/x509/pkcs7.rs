//! Certificates in PKCS#7: the degenerate `SignedData` without content and signers that EST answers with
//! (RFC 7030 §4.1.3, RFC 5652 §5.1). Only written, never read.

/// `id-signedData` (RFC 5652 §5.1).
const SIGNED_DATA: [u8; 11] = [0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x07, 0x02];
/// An `EncapsulatedContentInfo` of type `id-data` (RFC 5652 §4) without content.
const NO_CONTENT: [u8; 13] = [0x30, 0x0b, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x07, 0x01];
/// `CMSVersion` 1: only X.509 certificates, no attributes (RFC 5652 §5.1).
const VERSION_1: [u8; 3] = [0x02, 0x01, 0x01];
const EMPTY_SET: [u8; 2] = [0x31, 0x00];

/// DER of a certs-only message that carries these certificates.
pub fn certs_only(certificates: &[Vec<u8>]) -> Vec<u8> {
    // X.690 §11.6: the members of a SET OF are in ascending order of their encodings.
    let mut sorted: Vec<&[u8]> = certificates.iter().map(Vec::as_slice).collect();
    sorted.sort_unstable();
    let certificates = tagged(0xa0, &sorted.concat());
    let signed_data = [&VERSION_1[..], &EMPTY_SET, &NO_CONTENT, &certificates, &EMPTY_SET].concat();
    let explicit = tagged(0xa0, &tagged(0x30, &signed_data));
    tagged(0x30, &[&SIGNED_DATA[..], &explicit].concat())
}

/// Tag, shortest length (X.690 §10.1), content.
fn tagged(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = content.len().to_be_bytes();
    let significant = &length[length.iter().position(|byte| *byte != 0).unwrap_or(length.len() - 1)..];
    let mut out = Vec::with_capacity(content.len() + 10);
    out.push(tag);
    match significant {
        [short @ 0..=0x7f] => out.push(*short),
        // A length has at most eight octets here.
        long => {
            out.push(0x80 | long.len() as u8);
            out.extend_from_slice(long);
        }
    }
    out.extend_from_slice(content);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_the_shortest() {
        for (length, head) in [
            (0, &[4, 0][..]),
            (127, &[4, 127]),
            (128, &[4, 0x81, 128]),
            (255, &[4, 0x81, 255]),
            (256, &[4, 0x82, 1, 0]),
            (70_000, &[4, 0x83, 1, 0x11, 0x70]),
        ] {
            let out = tagged(4, &vec![7; length]);
            assert_eq!((&out[..head.len()], out.len()), (head, head.len() + length));
        }
    }
}
