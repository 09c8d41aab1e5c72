//! Whether the authorities' index and the records on a channel agree.

use super::directory::Directory;
use crate::cli::{
    failure::Failure,
    output::{Output, pairs},
    session::{Global, Session, with_session},
};
use ca::office::{
    audit_trail::{RecordedLine, read_index},
    database::DatabaseError,
};
use clap::Args;
use client::query::Paging;
use ledger_classes::execution::audit::CERTIFICATE;
use ledger_classes::primitives::hash::Hash;
use serde::Deserialize;
use serde_json::Value;

/// Records of one page.
const PAGE: u32 = 200;

/// Compare the authorities' index with what a channel has recorded of it
#[derive(Args, Debug)]
#[command(after_help = "\
Each record vouches for every line of ca/index.jsonl up to its own. The first line that is not what was recorded is
named, and the exit code is 1. Acts that are not recorded yet are counted; a serving peer posts them within seconds.

Example:
  $ chancery ca audit --dir peer-1 --profile peer-1/profiles/admin")]
pub(super) struct Audit {
    /// Channel, by name or by id
    #[arg(long, short, default_value = "main")]
    channel: String,
}

impl From<DatabaseError> for Failure {
    fn from(error: DatabaseError) -> Self {
        super::directory::folder_failure(&error, &error)
    }
}

impl Audit {
    pub(super) fn run(self, directory: &Directory, global: &Global, output: Output) -> Result<(), Failure> {
        // A folder that is not there is the caller's mistake, also where no peer answers.
        read_index(&directory.path()?.join("ca"))?;
        // The records first: an act that is posted meanwhile is in the index that is read after them.
        let mut records = Vec::new();
        with_session(global, async |session| {
            records = self.records(session).await?;
            Ok(())
        })?;
        let index = read_index(&directory.path()?.join("ca"))?;
        let agreed = index.compare(&records).map_err(|error| Failure::refused(error.to_string()))?;
        output.show(&agreed, |agreed| {
            pairs(&[
                ("lines", agreed.lines.to_string()),
                ("records", agreed.records.to_string()),
                ("agree up to line", agreed.vouched.to_string()),
                ("acts not recorded yet", agreed.waiting.to_string()),
            ])
        })
    }

    async fn records(&self, session: &Session) -> Result<Vec<RecordedLine>, Failure> {
        let (mut records, mut after) = (Vec::new(), None::<String>);
        loop {
            let part = Paging { after: after.as_deref(), limit: Some(PAGE) };
            let page = session.connection.logs(&self.channel, Some(CERTIFICATE), part).await?;
            // What cannot be read is no peer's of this program: it vouches for nothing and keeps nobody from comparing.
            records.extend(page.items.into_iter().filter_map(line));
            match page.next {
                Some(next) => after = Some(next),
                None => return Ok(records),
            }
        }
    }
}

/// What a record says of its line; nothing if it is not of this form.
fn line(record: Value) -> Option<RecordedLine> {
    #[derive(Deserialize)]
    struct Record {
        digest: Hash,
        body: String,
    }
    let record: Record = ledger_classes::primitives::json::from_value(record).ok()?;
    let line: RecordedLine = ledger_classes::primitives::json::from_str(&record.body).ok()?;
    Some(RecordedLine { digest: record.digest, ..line })
}
