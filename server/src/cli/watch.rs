//! `chancery watch`: a subscription to standard output, one JSON event a line.

use super::failure::Failure;
use super::session::Session;
use clap::Args;
use client::subscribe::{Filter, Start};
use client::verify::EventVerifier;
use ledger_classes::hash::Hash;
use ledger_classes::rights::Class;

/// Print a channel's events as they happen, one JSON event a line
#[derive(Args, Debug)]
#[command(after_help = "\
Each line is a CloudEvent; its `id` is the cursor. Goes on over lost connections without losing or repeating an event,
and after a restart with --from and the last cursor. Ends with ctrl-C, after --count events, or when the peer ends the
subscription.

Example:
  $ chancery watch trade --from 1 --class assets
  $ chancery watch trade --from 812.0.3 --proof")]
pub(super) struct Watch {
    /// Channel, by name or by id
    channel: String,
    /// Where to begin: a height, or the cursor (height.index.event) of the last event seen; from now on if absent
    #[arg(long, value_name = "HEIGHT")]
    from: Option<Start>,
    /// One class only: assets, contracts, apps or logs
    #[arg(long)]
    class: Option<Class>,
    /// One topic only
    #[arg(long)]
    topic: Option<String>,
    /// Ask for evidence with each event, and check it before printing
    #[arg(long)]
    proof: bool,
    /// The channel's id, from a source that you trust; the peer's word if absent
    #[arg(long, value_name = "HEX", requires = "proof")]
    channel_id: Option<Hash>,
    /// End after this many events
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,
}

impl Watch {
    pub(super) async fn run(self, session: &Session) -> Result<(), Failure> {
        tokio::select! {
            ended = self.events(session) => ended,
            // Without a signal handler ctrl-C ends the process anyway.
            Ok(()) = tokio::signal::ctrl_c() => Ok(()),
        }
    }

    async fn events(&self, session: &Session) -> Result<(), Failure> {
        let mut verifier = match self.proof {
            false => None,
            true => {
                let id = match self.channel_id {
                    Some(id) => id,
                    None => session.channel_id(&self.channel).await?,
                };
                Some(EventVerifier::open(&session.connection, &self.channel, id).await?)
            }
        };
        let filter = Filter {
            start: self.from.unwrap_or_default(),
            class: self.class,
            topic: self.topic.clone(),
            proof: self.proof,
        };
        let mut subscription = session.connection.subscribe(&self.channel, filter);
        let mut left = self.count.unwrap_or(u64::MAX);
        while left > 0
            && let Some(delivery) = subscription.next().await
        {
            let delivery = delivery?;
            if let Some(verifier) = &mut verifier {
                verifier.verify(&delivery).await?;
            }
            session.output.line(&delivery.event)?;
            left -= 1;
        }
        Ok(())
    }
}
