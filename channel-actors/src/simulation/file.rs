//! A file in memory. Copies share the pages that are alike, so that a disk that a power loss may leave costs what differs.

use std::sync::Arc;

pub(super) const PAGE: usize = 4096;
/// A page. None holds zeros.
pub(super) type Page = Option<Arc<[u8; PAGE]>>;

/// The file. Pages that were never written hold zeros and no memory.
#[derive(Clone, Debug, Default)]
pub(super) struct File {
    length: usize,
    pages: Vec<Page>,
}

impl File {
    pub(super) const fn len(&self) -> usize {
        self.length
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// What is new holds zeros.
    pub(super) fn resize(&mut self, length: usize) {
        self.pages.resize(length.div_ceil(PAGE), None);
        if length < self.length
            && let Some(Some(last)) = self.pages.last_mut()
        {
            let kept = (length - 1) % PAGE + 1;
            Arc::make_mut(last)[kept..].fill(0);
        }
        self.length = length;
    }

    /// Grows, if it is written beyond its end.
    pub(super) fn write(&mut self, offset: usize, data: &[u8]) {
        if self.length < offset + data.len() {
            self.resize(offset + data.len());
        }
        let (mut at, mut left) = (offset, data);
        while !left.is_empty() {
            let (piece, rest) = left.split_at(left.len().min(PAGE - at % PAGE));
            let page = &mut self.pages[at / PAGE];
            if page.is_some() || piece.iter().any(|byte| *byte != 0) {
                let page = Arc::make_mut(page.get_or_insert_with(|| Arc::new([0; PAGE])));
                page[at % PAGE..][..piece.len()].copy_from_slice(piece);
            }
            (at, left) = (at + piece.len(), rest);
        }
    }

    /// Puts whole pages in, which others have, too. Grows, if they are beyond its end.
    pub(super) fn put(&mut self, offset: usize, pages: &[Page]) {
        if self.length < offset + pages.len() * PAGE {
            self.resize(offset + pages.len() * PAGE);
        }
        self.pages[offset / PAGE..][..pages.len()].clone_from_slice(pages);
    }

    /// False if it ends before.
    pub(super) fn read(&self, offset: usize, out: &mut [u8]) -> bool {
        if self.length < offset.saturating_add(out.len()) {
            return false;
        }
        let (mut at, mut left) = (offset, out);
        while !left.is_empty() {
            let (piece, rest) = left.split_at_mut(left.len().min(PAGE - at % PAGE));
            match &self.pages[at / PAGE] {
                Some(page) => piece.copy_from_slice(&page[at % PAGE..][..piece.len()]),
                None => piece.fill(0),
            }
            (at, left) = (at + piece.len(), rest);
        }
        true
    }

    /// Turns a bit. False if there is no such byte.
    pub(super) fn flip(&mut self, place: usize, bit: usize) -> bool {
        let mut byte = [0];
        let there = self.read(place, &mut byte);
        if there {
            self.write(place, &[byte[0] ^ (1 << (bit % 8))]);
        }
        there
    }
}

#[cfg(test)]
mod tests {
    use super::super::Random;
    use super::*;

    #[test]
    fn it_is_what_a_plain_array_would_be_and_copies_stay_as_they_were() {
        let mut random = Random(1);
        let (mut file, mut plain) = (File::default(), Vec::new());
        let mut copies = Vec::new();
        for step in 0..400 {
            let offset = random.below(3 * PAGE);
            let data = vec![u8::try_from(step % 5).expect("small"); random.below(2 * PAGE)];
            match random.below(5) {
                0 => {
                    file.resize(offset);
                    plain.resize(offset, 0);
                }
                1 => copies.push((file.clone(), plain.clone())),
                2 => {
                    let there = file.flip(offset, step);
                    assert_eq!(there, offset < plain.len());
                    plain.get_mut(offset).into_iter().for_each(|byte: &mut u8| *byte ^= 1 << (step % 8));
                }
                3 => {
                    let pages = [None, Some(Arc::new([3; PAGE]))];
                    let offset = offset / PAGE * PAGE;
                    file.put(offset, &pages);
                    plain.resize(plain.len().max(offset + 2 * PAGE), 0);
                    plain[offset..offset + PAGE].fill(0);
                    plain[offset + PAGE..offset + 2 * PAGE].fill(3);
                }
                _ => {
                    file.write(offset, &data);
                    plain.resize(plain.len().max(offset + data.len()), 0);
                    plain[offset..offset + data.len()].copy_from_slice(&data);
                }
            }
        }
        copies.push((file, plain));
        for (file, plain) in copies {
            let mut read = vec![9; plain.len()];
            assert!(file.len() == plain.len() && file.read(0, &mut read));
            assert_eq!(read, plain);
            assert!(!file.read(plain.len(), &mut [0]));
        }
    }
}
