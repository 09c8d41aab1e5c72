//! Leaves of transactions, with vectors for other languages.
#![allow(clippy::unwrap_used)]

use crate::execution::test_support::signer;
use crate::formats::transaction::*;

/// An envelope of each encoding, with none, one and two signatures.
fn envelopes() -> [Envelope; 3] {
    let json = br#"{"channel":"00","note":"any bytes"}"#.to_vec();
    [
        Envelope { encoding: Encoding::Genesis, payload: Vec::new(), signatures: Vec::new() },
        Envelope::sign(Encoding::Json, json, &[&signer(1)]),
        Envelope::sign(Encoding::Binary, vec![7; 300], &[&signer(1), &signer(2)]),
    ]
}

#[test]
fn the_vectors_of_leaves_are_those_of_the_file() {
    let line = |envelope: Envelope| {
        let encoded = codec::encode(&envelope);
        let (id, envelope) = (id_of(&encoded).unwrap(), hex::encode(&encoded));
        format!("{{\"envelope\":\"{envelope}\",\"id\":\"{id}\",\"leaf\":\"{}\"}}\n", leaf(&id, &encoded))
    };
    let made: String = envelopes().map(line).concat();
    let golden = include_str!("../../../../docs/formats/transaction-leaf.jsonl");
    assert!(golden == made, "docs/formats/transaction-leaf.jsonl should read:\n{made}");
}

#[test]
fn an_id_is_read_of_an_encoded_envelope_without_decoding_it() {
    for envelope in envelopes() {
        let encoded = codec::encode(&envelope);
        assert_eq!(id_of(&encoded), Some(envelope.id()));
        let payload = 9 + envelope.payload.len();
        assert_eq!(id_of(&encoded[..payload]), Some(envelope.id()), "what follows the payload is no part of it");
        for short in [0, 1, 8, payload.saturating_sub(1)].into_iter().filter(|short| *short < payload) {
            assert_eq!(id_of(&encoded[..short]), None, "{short} bytes");
        }
    }
    assert_eq!(id_of(&[&[1][..], &[0xff; 8]].concat()), None, "a length beyond any memory");
}
