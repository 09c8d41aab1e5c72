//! A chain from its genesis on, block after block, with nothing but the blocks: offline verification, and whoever makes a
//! store of them.

use super::{
    Above, ExecutedBlock, ExecutionError, Genesis, Given, Invalid, Parent, RecentIds, check, check_genesis, check_link,
    check_rules, verify_transactions,
};
use crate::formats::block::{Block, Header};
use crate::formats::receipt::Receipt;
use crate::formats::transaction::VerifiedTransaction;
use crate::keys::KeyCache;
use crate::merkle::{self, CompactRange, Node};
use crate::primitives::hash::Hash;
use crate::primitives::time::Time;
use crate::state::participant::CertificatePaths;
use crate::state::tree::{Pages, StateTree};
use crate::state::view::{ReadView, Writes};
use std::sync::Arc;

/// The blocks of a chain that were checked so far.
#[derive(Clone, Debug, Default)]
pub struct History {
    headers: CompactRange,
    last: Option<Parent>,
    /// The tree over the state that the last block left.
    tree: StateTree,
    ids: RecentIds,
}

/// A block that is the next one of a chain, and what it does.
#[derive(Clone, Debug)]
pub struct Checked {
    /// Its header.
    pub header: Header,
    /// The header's hash.
    pub hash: Hash,
    /// Its receipts.
    pub receipts: Vec<Arc<Receipt>>,
    /// What it writes.
    pub writes: Writes,
    /// The tree over the state that it leaves.
    pub tree: StateTree,
    /// Ids of its transactions with the positions of their receipts, in the order of the ids.
    pub ids: Vec<(Hash, u32)>,
    /// The configuration that it begins with, if it is the genesis block.
    pub genesis: Option<Box<Genesis>>,
    /// The ends of its transactions' time windows.
    ends: Vec<(Time, Hash)>,
}

impl History {
    /// No block so far.
    pub fn new() -> Self {
        Self::default()
    }

    /// The last block; `None` before genesis.
    pub const fn last(&self) -> Option<&Parent> {
        self.last.as_ref()
    }

    /// The height that comes next.
    pub const fn next(&self) -> u64 {
        self.headers.size()
    }

    /// Where the next block is executed, above the state of those before; `None` before genesis. `pages` hold what was
    /// left of its tree by [`Self::without_saved`].
    pub fn above<'a>(
        &'a self,
        view: &'a dyn ReadView,
        pages: &'a dyn Pages,
        certificates: &'a dyn CertificatePaths,
    ) -> Option<Above<'a>> {
        let Self { tree, ids, .. } = self;
        Some(Above { parent: self.last.as_ref()?, view, tree, pages, ids, certificates })
    }

    /// Leaves to the pages what they have of the tree over the state.
    pub fn without_saved(&mut self) {
        self.tree = self.tree.without_saved();
    }

    /// Checks the next block above the state of those before, its signatures too. With `receipts` these must be its own.
    /// `seed` must be unpredictable to senders: see [`crate::keys::verify_batch`].
    pub fn check(
        &self,
        block: &Block,
        receipts: Option<&[Receipt]>,
        view: &dyn ReadView,
        pages: &dyn Pages,
        certificates: &dyn CertificatePaths,
        seed: [u8; 32],
    ) -> Result<Checked, ExecutionError> {
        let Some(above) = self.above(view, pages, certificates) else { return Ok(self.first(block, receipts)?) };
        // Before the signatures, which cost the most; of later rules the header may have another form, too.
        check_rules(view)?;
        check_link(above.parent, &block.header)?;
        let keys = &mut KeyCache::default();
        let transactions = verify_transactions(&block.transactions, above.parent.channel, seed, keys)?;
        let end = |one: &VerifiedTransaction| (one.transaction().valid_until, one.id());
        let ends = transactions.iter().map(end).collect();
        let Block { header, batches, seed, seal, .. } = block;
        let given = Given { header, seed: *seed, seal: Some(seal), batches, transactions, receipts };
        let ExecutedBlock { header, hash, receipts, writes, tree, ids, .. } = check(&above, given, keys)?;
        Ok(Checked { header, hash, receipts, writes, tree, ids, genesis: None, ends })
    }

    fn first(&self, block: &Block, receipts: Option<&[Receipt]>) -> Result<Checked, Invalid> {
        if block.header.height != 0 {
            return Err(Invalid::Height { expected: 0, height: block.header.height });
        }
        let genesis = check_genesis(block)?;
        if receipts.is_some_and(|receipts| !receipts.is_empty()) {
            return Err(Invalid::Receipt { index: 0 });
        }
        Ok(Checked {
            header: block.header.clone(),
            hash: genesis.channel,
            receipts: Vec::new(),
            writes: genesis.writes.clone(),
            tree: genesis.tree.clone(),
            ids: Vec::new(),
            genesis: Some(Box::new(genesis)),
            ends: Vec::new(),
        })
    }

    /// As if the last block had named others who may seal the next one.
    #[cfg(test)]
    pub(super) fn set_orderers_root(&mut self, root: Hash) {
        self.last.iter_mut().for_each(|last| last.orderers_root = root);
    }

    /// Takes a checked block as the last one. Gives the nodes of the tree over all headers that it completes.
    pub fn advance(&mut self, checked: &Checked) -> Vec<Node> {
        let nodes = self.headers.append(merkle::leaf_hash(&checked.hash.0));
        self.last = Some(Parent::of(&checked.header, checked.hash, &self.headers));
        self.tree = checked.tree.clone();
        self.ids.take(checked.header.time, checked.ends.iter().copied());
        nodes
    }
}
