//! With which lives of its peers a channel begins (decision 57). Nobody votes before that is on its disk. A peer that was met
//! in one life is never taken for another one, and founders need each other's word that they have met the same: so no two
//! sets of lives are founded, and what a peer has forgotten with its records is nobody's vote.

use super::records::{Item, Out};
use super::wire::{Here, Lives, Said};
use crate::pipeline::ordering::{LifeId, Ticket};
use ledger_classes::keys::Address;
use std::collections::BTreeMap;

pub(super) struct Founding {
    own: Address,
    life: LifeId,
    /// All that order, ascending.
    founders: Vec<Address>,
    /// Those that were met, this peer among them.
    met: BTreeMap<Address, LifeId>,
    /// The record of the last one.
    recorded: Option<Ticket>,
    /// The record of the end of it.
    ended: Option<Ticket>,
    /// Those that have met the same as this peer, by what they said.
    agree: BTreeMap<Address, Lives>,
    founded: Option<Lives>,
}

impl Founding {
    pub(super) fn new(
        own: Address,
        life: LifeId,
        mut founders: Vec<Address>,
        mut met: BTreeMap<Address, LifeId>,
        founded: Option<Lives>,
    ) -> Self {
        founders.sort_unstable();
        met.insert(own, life);
        Self { own, life, founders, met, recorded: None, ended: None, agree: BTreeMap::new(), founded }
    }

    /// Those that the channel is founded with.
    pub(super) fn founded(&self) -> Option<&Lives> {
        self.founded.as_ref()
    }

    fn met(&self) -> Lives {
        self.met.iter().map(|(address, life)| (*address, *life)).collect()
    }

    /// Whether these are of all that order, and of nobody else.
    pub(super) fn is_whole(&self, lives: &Lives) -> bool {
        lives.iter().map(|(address, _)| *address).eq(self.founders.iter().copied())
    }

    /// Parts of a record that stands for all before it.
    pub(super) fn items(&self) -> Vec<Item> {
        let others = self.met.iter().filter(|(address, _)| **address != self.own);
        let met = others.map(|(address, life)| Item::Met(*address, *life));
        met.chain(self.founded.clone().map(Item::Founded)).collect()
    }

    /// Says who this peer is, and whom it has met, to one peer or all others.
    pub(super) fn say(&self, only: Option<Address>, out: &mut Out) {
        let here = Here { life: self.life, met: self.met(), founded: self.founded.clone() };
        let after = self.ended.or(self.recorded);
        let said = Said::Here(here);
        for to in self.founders.iter().filter(|to| **to != self.own && only.is_none_or(|only| only == **to)) {
            out.say(*to, &said, after);
        }
    }

    /// What a founder says of itself: its connection says that it is this one.
    pub(super) fn hears(&mut self, from: Address, here: Here, out: &mut Out) {
        if from == self.own || self.founders.binary_search(&from).is_err() {
            return;
        }
        if self.founded.is_some() {
            if here.founded.is_none() {
                self.say(Some(from), out);
            }
            return;
        }
        let is_mine = |lives: &Lives| lives.contains(&(self.own, self.life));
        if let Some(founded) = &here.founded
            && self.is_whole(founded)
            && !is_mine(founded)
        {
            return out.halt(
                "the channel was founded with another life of this peer, whose ordering records are not here".into(),
            );
        }
        let met = *self.met.entry(from).or_insert_with(|| {
            self.recorded = Some(out.persist(&[Item::Met(from, here.life)]));
            here.life
        });
        if met != here.life {
            tracing::warn!(peer = %from, "a founder of the channel comes with another life: found the channel anew");
            return;
        }
        // Whoever is founded has the word of all, this peer's, too.
        let theirs = here.founded.filter(|founded| self.is_whole(founded) && self.agrees(founded));
        self.agree.insert(from, here.met);
        let mine = self.met();
        let all = self.founders.iter().all(|one| *one == self.own || self.agree.get(one) == Some(&mine));
        if let Some(founded) = theirs.or_else(|| (all && self.is_whole(&mine)).then_some(mine)) {
            self.found(founded, out);
        }
    }

    fn agrees(&self, founded: &Lives) -> bool {
        self.met.iter().all(|met| founded.contains(&(*met.0, *met.1)))
    }

    fn found(&mut self, founded: Lives, out: &mut Out) {
        self.ended = Some(out.persist(&[Item::Founded(founded.clone())]));
        self.founded = Some(founded);
    }

    /// One that orders alone has met all.
    pub(super) fn begin(&mut self, out: &mut Out) {
        if self.founded.is_none() && self.founders.len() == 1 {
            self.found(self.met(), out);
        }
    }
}
