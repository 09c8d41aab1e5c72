//! Times from sending to the answer, each with the number of transactions that it stands for.

use std::time::Duration;

/// Collected times.
#[derive(Clone, Debug, Default)]
pub struct Latencies(Vec<(Duration, u64)>);

impl Latencies {
    /// Adds one answer for `transactions`.
    pub fn add(&mut self, time: Duration, transactions: u64) {
        if transactions > 0 {
            self.0.push((time, transactions));
        }
    }

    /// Adds all of `other`.
    pub fn merge(&mut self, other: Self) {
        self.0.extend(other.0);
    }

    /// The smallest time within which the given share of all transactions was answered, for each of `shares` in
    /// percent; `None` without any transaction.
    pub fn percentiles<const N: usize>(&self, shares: [f64; N]) -> Option<[Duration; N]> {
        let mut sorted = self.0.clone();
        sorted.sort_unstable();
        let total: u64 = sorted.iter().map(|(_, transactions)| transactions).sum();
        let longest = sorted.last()?.0;
        Some(shares.map(|share| {
            let mut before = 0;
            let within = sorted.iter().find(|(_, transactions)| {
                before += transactions;
                before as f64 >= total as f64 * share / 100.0
            });
            within.map_or(longest, |(time, _)| *time)
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_weigh_answers_by_their_transactions() {
        let ms = Duration::from_millis;
        let mut latencies = Latencies::default();
        assert_eq!(latencies.percentiles([50.0]), None);
        for (time, transactions) in [(30, 1), (10, 98), (20, 1), (99, 0)] {
            latencies.add(ms(time), transactions);
        }
        assert_eq!(
            latencies.percentiles([0.0, 50.0, 98.0, 98.5, 99.0, 99.9, 100.0]),
            Some([ms(10), ms(10), ms(10), ms(20), ms(20), ms(30), ms(30)])
        );
    }
}
