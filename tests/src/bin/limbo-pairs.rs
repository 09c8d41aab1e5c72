//! Writes `tests/fixtures/limbo/pairs.json`: `cargo run -p tests --bin limbo-pairs > tests/fixtures/limbo/pairs.json`.

use std::io::{self, Write as _};

fn main() -> io::Result<()> {
    let mut output = io::stdout().lock();
    serde_json::to_writer_pretty(&mut output, &tests::limbo_pairs::document())?;
    output.write_all(b"\n")
}
