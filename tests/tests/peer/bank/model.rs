//! Checks a history of transfers and reads against a bank that fits on a page. Promise 3, one order, seen from outside:
//!
//! - every result code is the one that the bank gives when it does the committed transfers in their order;
//! - what moved is what was asked for, and units are neither made nor lost at any height;
//! - each read shows the bank as it was at the height that the read names;
//! - whatever was begun after an answer came is behind what that answer told of, by whichever client.
//!
//! The last one is strict serializability (Herlihy and Wing 1990, with one object): since heights and indexes name the
//! order, it is checked in one pass over the moments at which requests began and ended.

use std::collections::BTreeMap;

/// A transaction's place: block, and index in it.
pub(super) type Place = (u64, u32);
/// A moment: a number that only grows, drawn from one counter by all clients.
pub(super) type Moment = u64;
/// An account, from 0.
pub(super) type Account = usize;
/// Says which transfer.
pub(super) type Id = [u8; 32];

/// What moves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Transfer {
    pub(super) from: Account,
    pub(super) to: Account,
    pub(super) amount: u128,
}

/// A transfer as the blocks hold it.
#[derive(Clone, Debug)]
pub(super) struct Committed {
    pub(super) id: Id,
    pub(super) place: Place,
    pub(super) asked: Transfer,
    pub(super) code: u16,
    /// By its events.
    pub(super) moved: Vec<Transfer>,
}

/// A transfer as a client posted it.
#[derive(Clone, Debug)]
pub(super) struct Write {
    pub(super) id: Id,
    pub(super) began: Moment,
    /// When the answer came, and the place and code in it; nothing if no answer came.
    pub(super) told: Option<(Moment, Place, u16)>,
}

/// What a client read of one account.
#[derive(Clone, Debug)]
pub(super) struct Read {
    pub(super) began: Moment,
    pub(super) ended: Moment,
    pub(super) account: Account,
    pub(super) height: u64,
    pub(super) owned: u128,
}

/// Everything that clients did, and what the ledger holds then.
#[derive(Clone, Debug, Default)]
pub(super) struct History {
    /// What accounts owned before the first transfer.
    pub(super) accounts: Vec<u128>,
    /// In the order of the blocks.
    pub(super) committed: Vec<Committed>,
    pub(super) writes: Vec<Write>,
    pub(super) reads: Vec<Read>,
}

/// What is wrong with a history.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// Blocks hold a transfer twice, or places do not grow.
    Order(Place),
    /// The bank gives another code.
    Code { place: Place, code: u16, expected: u16 },
    /// Something else moved than what was asked for.
    Moved(Place),
    /// An acknowledged transfer is not there, or with another receipt.
    Acknowledged(Id),
    /// A read shows what was not so at the height that it names.
    Balance { account: Account, height: u64, owned: u128, expected: u128 },
    /// A transfer that was posted after an answer is not behind what that answer told of.
    Late { place: Place, told: Place },
    /// A read that began after an answer is of a time before it.
    Stale { height: u64, told: u64 },
}

const DONE: u16 = 0;
const INSUFFICIENT: u16 = 203;

/// The first fault of a history, if it has one.
pub(super) fn check(history: &History) -> Result<(), Fault> {
    check_order(history)?;
    check_balances(history)?;
    check_time(history)
}

fn check_order(history: &History) -> Result<(), Fault> {
    let mut places = BTreeMap::new();
    let mut last = None;
    for one in &history.committed {
        if last >= Some(one.place) || places.insert(one.id, one).is_some() {
            return Err(Fault::Order(one.place));
        }
        last = Some(one.place);
    }
    for write in &history.writes {
        let Some((_, place, code)) = write.told else { continue };
        if places.get(&write.id).is_none_or(|held| (held.place, held.code) != (place, code)) {
            return Err(Fault::Acknowledged(write.id));
        }
    }
    Ok(())
}

fn check_balances(history: &History) -> Result<(), Fault> {
    let mut reads: Vec<&Read> = history.reads.iter().collect();
    reads.sort_by_key(|read| read.height);
    let mut reads = reads.into_iter().peekable();
    let mut bank = history.accounts.clone();
    for one in &history.committed {
        while let Some(read) = reads.next_if(|read| read.height < one.place.0) {
            check_read(&bank, read)?;
        }
        let Transfer { from, to, amount } = one.asked;
        let expected = if bank[from] >= amount { DONE } else { INSUFFICIENT };
        if one.code != expected {
            return Err(Fault::Code { place: one.place, code: one.code, expected });
        }
        let moves = if expected == DONE { vec![one.asked] } else { Vec::new() };
        if one.moved != moves {
            return Err(Fault::Moved(one.place));
        }
        if expected == DONE {
            bank[from] -= amount;
            bank[to] += amount;
        }
    }
    reads.try_for_each(|read| check_read(&bank, read))
}

fn check_read(bank: &[u128], read: &Read) -> Result<(), Fault> {
    let Read { account, height, owned, .. } = *read;
    let expected = bank[account];
    if owned == expected { Ok(()) } else { Err(Fault::Balance { account, height, owned, expected }) }
}

/// What happens at a moment. Requests that end at a moment come before those that begin there: moments differ.
enum Step {
    Ends(Place),
    BeginsWrite(Place),
    BeginsRead(u64),
}

fn check_time(history: &History) -> Result<(), Fault> {
    let places: BTreeMap<Id, Place> = history.committed.iter().map(|one| (one.id, one.place)).collect();
    let mut steps = Vec::new();
    for write in &history.writes {
        // One without an answer may be there as well, and then it was not before it was posted.
        steps.extend(places.get(&write.id).map(|place| (write.began, Step::BeginsWrite(*place))));
        steps.extend(write.told.map(|(ended, place, _)| (ended, Step::Ends(place))));
    }
    for read in &history.reads {
        steps.push((read.began, Step::BeginsRead(read.height)));
        // It has seen the whole block.
        steps.push((read.ended, Step::Ends((read.height, u32::MAX))));
    }
    steps.sort_by_key(|(moment, _)| *moment);
    let mut told: Option<Place> = None;
    for (_, step) in steps {
        match (step, told) {
            (Step::Ends(place), _) => told = told.max(Some(place)),
            (Step::BeginsWrite(place), Some(told)) if place <= told => return Err(Fault::Late { place, told }),
            (Step::BeginsRead(height), Some((told, _))) if height < told => return Err(Fault::Stale { height, told }),
            _ => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn transfer(from: Account, to: Account, amount: u128) -> Transfer {
        Transfer { from, to, amount }
    }

    /// Accounts of 10, 0 and 0. Client 1 posts `[1]` (0 to 1: 10, done), then `[2]` (0 to 2: 1, refused); client 2
    /// posts `[3]` (1 to 2: 4, done), which is never answered. Reads before, between and behind.
    fn sound() -> History {
        let committed = |id, place, asked, code| {
            let moved = if code == DONE { vec![asked] } else { Vec::new() };
            Committed { id: [id; 32], place, asked, code, moved }
        };
        let write = |id, began, told| Write { id: [id; 32], began, told };
        let read = |began, ended, account, height, owned| Read { began, ended, account, height, owned };
        History {
            accounts: vec![10, 0, 0],
            committed: vec![
                committed(1, (5, 0), transfer(0, 1, 10), DONE),
                committed(2, (6, 0), transfer(0, 2, 1), INSUFFICIENT),
                committed(3, (6, 1), transfer(1, 2, 4), DONE),
            ],
            writes: vec![
                write(1, 2, Some((4, (5, 0), DONE))),
                write(2, 5, Some((8, (6, 0), INSUFFICIENT))),
                write(3, 6, None),
                write(4, 20, None),
            ],
            reads: vec![read(0, 1, 0, 4, 10), read(3, 7, 1, 5, 10), read(9, 10, 1, 6, 6), read(11, 12, 2, 9, 4)],
        }
    }

    fn fault(change: impl Fn(&mut History)) -> Option<Fault> {
        let mut history = sound();
        change(&mut history);
        check(&history).err()
    }

    #[test]
    fn a_sound_history_has_no_fault() {
        assert_eq!(fault(|_| {}), None);
        // Which of two that overlap comes first is free.
        assert_eq!(fault(|history| history.reads[1].began = 1), None);
        assert_eq!(fault(|history| history.writes[2].told = Some((30, (6, 1), DONE))), None);
    }

    #[test]
    fn a_swapped_order_is_found() {
        let swapped = |history: &mut History| {
            history.committed.swap(0, 1);
            history.committed[0].place = (5, 0);
            history.committed[1].place = (6, 0);
        };
        // As the clients were told another place,
        assert_eq!(fault(swapped), Some(Fault::Acknowledged([1; 32])));
        // and if they were told these places, because the first one would have been paid.
        let told = |history: &mut History| {
            swapped(history);
            history.writes[0].told = Some((4, (6, 0), DONE));
            history.writes[1].told = Some((8, (5, 0), INSUFFICIENT));
        };
        assert_eq!(fault(told), Some(Fault::Code { place: (5, 0), code: INSUFFICIENT, expected: DONE }));
        // If all balances allow either order, real time does not.
        let rich = |history: &mut History| {
            told(history);
            history.accounts = vec![100, 0, 0];
            history.reads.clear();
            history.committed[0].code = DONE;
            history.committed[0].moved = vec![transfer(0, 2, 1)];
            history.writes[1].told = Some((8, (5, 0), DONE));
        };
        assert_eq!(fault(rich), Some(Fault::Late { place: (5, 0), told: (6, 0) }));
    }

    #[test]
    fn each_broken_promise_is_found() {
        type Change = fn(&mut History);
        let rows: [(Change, Fault); 14] = [
            (|history| history.committed[1].place = (5, 0), Fault::Order((5, 0))),
            (|history| history.committed[2].id = [1; 32], Fault::Order((6, 1))),
            (|history| drop(history.committed.remove(0)), Fault::Acknowledged([1; 32])),
            (|history| history.writes[0].told = Some((4, (5, 1), DONE)), Fault::Acknowledged([1; 32])),
            (|history| history.writes[1].told = Some((8, (6, 0), DONE)), Fault::Acknowledged([2; 32])),
            (|history| history.committed[2].code = 1, Fault::Code { place: (6, 1), code: 1, expected: DONE }),
            (|history| history.committed[1].moved = vec![transfer(0, 2, 1)], Fault::Moved((6, 0))),
            (|history| history.committed[0].moved[0].amount = 9, Fault::Moved((5, 0))),
            (|history| history.committed[2].moved.clear(), Fault::Moved((6, 1))),
            (|history| history.reads[2].owned = 10, Fault::Balance { account: 1, height: 6, owned: 10, expected: 6 }),
            // A read of half a block, and one of what never was.
            (|history| history.reads[3].owned = 0, Fault::Balance { account: 2, height: 9, owned: 0, expected: 4 }),
            // A read that began after the answer to the first transfer, of a time before it.
            (
                |history| history.reads.push(Read { began: 5, ended: 6, account: 0, height: 4, owned: 10 }),
                Fault::Stale { height: 4, told: 5 },
            ),
            // A client whose reads go back.
            (
                |history| history.reads.push(Read { began: 13, ended: 14, account: 2, height: 8, owned: 4 }),
                Fault::Stale { height: 8, told: 9 },
            ),
            // A transfer that was posted after a read had seen its block, though it was never answered.
            (|history| history.writes[2].began = 11, Fault::Late { place: (6, 1), told: (6, u32::MAX) }),
        ];
        for (place, (change, expected)) in rows.into_iter().enumerate() {
            assert_eq!(fault(change), Some(expected), "row {place}");
        }
    }
}
