//! A transaction from a command's action to its outcome: signed, submitted, and told of.

use super::amounts::Units;
use super::failure::Failure;
use super::output::{Output, clean, fields, pairs, plain, table};
use super::reasons::told_in;
use super::session::{Session, Signing, WaitFor};
use client::api::{JsonEnvelope, Outcome, SubmissionStatus};
use client::submit::{Wait, sign_json, transaction};
use client::window::valid_from;
use ledger_classes::action::Action;
use ledger_classes::action::assets::AccountAct;
use ledger_classes::formats::event::Event;
use ledger_classes::formats::transaction::Envelope;
use ledger_classes::keys::Address;
use ledger_classes::primitives::hash::Hash;
use ledger_classes::primitives::time::Time;
use std::fmt::Write as _;

impl Session {
    /// The channel's id, and from when a transaction on it is valid. A channel that is named is asked for its id anyway
    /// and says its block time with it; one that is given by id is asked only if the caller wants that time.
    async fn valid_from(&self, channel: &str, however_far: bool) -> Result<(Hash, Time), Failure> {
        let now = client::now();
        match Hash::parse(channel) {
            Ok(id) if !however_far => Ok((id, now)),
            _ => {
                let view = self.connection.channel(channel).await?;
                Ok((view.id, valid_from(now, view.time, however_far)?))
            }
        }
    }

    /// Signs `action` as a transaction of its own, submits it and prints the outcome.
    pub(super) async fn act(&self, channel: &str, action: Action, signing: &Signing) -> Result<(), Failure> {
        self.act_all(channel, vec![action], signing).await
    }

    /// The same with several actions, which have an effect together or not at all.
    pub(super) async fn act_all(&self, channel: &str, all: Vec<Action>, signing: &Signing) -> Result<(), Failure> {
        let keys = self.signing_keys(&signing.keys)?;
        let (id, from) = self.valid_from(channel, signing.at_channel_time).await?;
        let mut actions = Vec::with_capacity(all.len() + 1);
        actions.extend(signing.act_for.map(|account| Action::AccountAct(AccountAct { account })));
        actions.extend(all);
        let own: Vec<Address> = keys.iter().map(|key| key.public().address()).chain(signing.act_for).collect();
        if !signing.new && !signing.print {
            self.check_payees(channel, &actions, &own).await?;
        }
        let sender = *own.first().ok_or_else(|| Failure::usage("a key is needed"))?;
        let mut transaction = transaction(id, sender, actions, from, signing.valid_for * 1000)?;
        transaction.fee_max = self.fee_max(channel, signing.fee_max, signing.base_units).await?;
        transaction.memo.clone_from(&signing.memo);
        let envelope = sign_json(&transaction, &keys.iter().collect::<Vec<_>>());
        self.send(channel, &envelope, signing.wait, signing.print).await
    }

    /// Submits an envelope and prints the outcome, or prints the envelope.
    pub(super) async fn send(
        &self,
        channel: &str,
        envelope: &Envelope,
        wait: WaitFor,
        print: bool,
    ) -> Result<(), Failure> {
        if print {
            return Output { json: true }.show(&JsonEnvelope::from(envelope), |_| String::new());
        }
        let wait = match wait {
            WaitFor::Accepted => Wait::Accepted,
            WaitFor::Committed => Wait::Committed,
        };
        let outcome = self.connection.submit(channel, envelope, wait).await;
        let outcome = outcome.map_err(|error| Failure::from(error).after_sending(envelope.id(), channel))?;
        self.show_outcome(channel, &outcome).await?;
        match outcome.receipt {
            Some(receipt) if receipt.code != 0 => Err(Failure::Reported),
            _ => Ok(()),
        }
    }

    /// Prints what became of a transaction.
    pub(super) async fn show_outcome(&self, channel: &str, outcome: &Outcome) -> Result<(), Failure> {
        let (mut units, mut events, mut note) = (Units::default(), Vec::new(), None);
        if let Some(receipt) = outcome.receipt.as_ref().filter(|_| !self.output.json) {
            if !receipt.fee.is_zero() {
                units.learn_fee(self, channel).await;
            }
            for view in &receipt.events {
                let mut event = serde_json::to_value(&view.event).unwrap_or_default();
                units.put_points(self, channel, &mut event).await;
                let kind = event.as_object_mut().and_then(|fields| fields.remove("kind")).unwrap_or_default();
                events.push(vec![plain(&kind), clean(&fields(&event))]);
                if let Event::ChannelApproved { proposal, approvals, needed, .. } = &view.event
                    && approvals < needed
                {
                    note = Some(format!(
                        "\nIt waits: {approvals} of {needed} organizations have approved. Administrators of the others \
                         run: chancery channel approve {channel} {proposal}\n"
                    ));
                }
                if let Event::ParticipantRevoked { issuer: None, serial, .. } = &view.event {
                    let serial = hex::encode(&serial.0);
                    note = Some(format!(
                        "\nNobody was admitted here with the certificate {serial}: nobody's participation has ended, and \
                         whoever comes with it will be refused.\n"
                    ));
                }
                if let Event::ParticipantEnded { identity, .. } = &view.event
                    && receipt.events.iter().all(|view| !matches!(view.event, Event::ParticipantRevoked { .. }))
                {
                    note = Some(format!(
                        "\nNobody was admitted here as {identity}: whoever comes under this name will be refused.\n"
                    ));
                }
            }
        }
        self.output
            .show(outcome, |outcome| outcome_text(outcome, &units, &events) + note.as_deref().unwrap_or_default())
    }
}

/// An outcome in words.
fn outcome_text(outcome: &Outcome, units: &Units, events: &[Vec<String>]) -> String {
    let id = outcome.id.map_or_else(|| "-".into(), |id| id.to_string());
    let Some(receipt) = &outcome.receipt else {
        let status = match outcome.status {
            SubmissionStatus::Accepted => "accepted, waiting for its block",
            SubmissionStatus::Committed => "committed",
            SubmissionStatus::Refused => "refused",
        };
        return pairs(&[("id", id.as_str()), ("status", status)]);
    };
    let place = format!("{}, receipt {}", receipt.height, receipt.index);
    let result = match (receipt.code, receipt.message.as_str()) {
        (0, _) => receipt.result.clone(),
        (code, "") => format!("failed: {} ({code})", clean(&receipt.result)),
        (code, message) => {
            let units = told_in(&receipt.result, message);
            format!("failed: {} ({code}): {}{units}", clean(&receipt.result), clean(message))
        }
    };
    let fee = clean(&units.fee(receipt.fee));
    let mut text = pairs(&[("id", &id), ("block", &place), ("result", &result), ("fee", &fee)]);
    if !events.is_empty() {
        let _ = write!(text, "\n{}", table(&["event", ""], events));
    }
    text
}
