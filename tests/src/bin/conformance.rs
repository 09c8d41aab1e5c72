//! Judges vectors from standard input with the ledger's own code. See `docs/conformance.md`.

use clap::{Parser, Subcommand};
use std::io::{self, BufWriter, Write as _};
use std::num::NonZeroUsize;
use std::process::ExitCode;
use std::time::SystemTime;
use tests::conformance::{chain, json, merkle, sig, state, x509};

/// Judges vectors with the ledger's own code: JSON lines on standard input, answers on standard output.
#[derive(Debug, Parser)]
#[command(name = "conformance")]
struct Arguments {
    #[command(subcommand)]
    vectors: Vectors,
}

#[derive(Debug, Subcommand)]
enum Vectors {
    /// Signatures: {"id","scheme","key","message","signature"}, in hex.
    Sig {
        /// Shuffle the vectors and verify this many at once, as a verifier shard does.
        #[arg(long, value_name = "N")]
        batch: Option<NonZeroUsize>,
        /// Chooses the order and the coefficients of batches.
        #[arg(long, value_name = "S", default_value_t = 0, requires = "batch")]
        seed: u64,
        /// Judge by the stricter rules of seals.
        #[arg(long, conflicts_with = "batch")]
        seal: bool,
    },
    /// A channel's blocks, as `chancery block export` writes them: a line for each height, up to the first that is refused.
    Chain,
    /// JSON texts: {"id","kind","text"}, or "hex" for bytes that are no text; a kind is "payload" or "document".
    Json,
    /// Merkle proofs of RFC 9162: {"id","kind",…}, hashes in base64.
    Merkle,
    /// What keys have in a state: {"id","root","key","value","proof"}, in hex; no value says that the key is absent.
    State {
        /// Write such vectors, each with its verdict, and read none.
        #[arg(long)]
        vectors: bool,
    },
    /// Certificate paths: one x509-limbo document in, one result document out.
    X509 {
        /// Accept RSA signatures with SHA-2 as well, which the ledger does not.
        #[arg(long)]
        rsa: bool,
        /// Let rustls-webpki judge without our checks, to see what it alone would admit.
        #[arg(long)]
        library: bool,
    },
}

fn run(vectors: &Vectors) -> io::Result<()> {
    let (input, mut output) = (io::stdin().lock(), BufWriter::new(io::stdout().lock()));
    match vectors {
        Vectors::Sig { seal: true, .. } => sig::run_seals(input, &mut output)?,
        Vectors::Sig { batch, seed, .. } => {
            let batches = batch.map(|items| sig::Batches { items, seed: *seed });
            sig::run(input, &mut output, batches)?;
        }
        Vectors::Chain => chain::run(input, &mut output)?,
        Vectors::Json => json::run(input, &mut output)?,
        Vectors::Merkle => merkle::run(input, &mut output)?,
        Vectors::State { vectors: true } => output.write_all(state::vectors().as_bytes())?,
        Vectors::State { vectors: false } => state::run(input, &mut output)?,
        Vectors::X509 { rsa, library } => {
            let judge = if *library { x509::Judge::Library } else { x509::Judge::Chancery };
            x509::run(input, &mut output, *rsa, judge, SystemTime::now())?;
        }
    }
    output.flush()
}

fn main() -> ExitCode {
    match run(&Arguments::parse().vectors) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(io::stderr(), "conformance: {error}");
            ExitCode::FAILURE
        }
    }
}
