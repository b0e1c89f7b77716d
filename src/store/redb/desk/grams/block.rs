//! Which of 4096 neighbouring customers have a gram: the unit in which the index is read and written. In
//! memory it is a bitmap; on disk it is whichever is shorter, the bitmap or the list of its members, so a
//! common gram costs one bit a customer and a rare one two bytes.

use crate::pipeline::port::Unavailable;

/// Version of the form on disk.
const VERSION: u8 = 1;
const WORDS: usize = 64;
const BITMAP: usize = WORDS * 8;
/// Bits of a place that say where in its block it is.
const BITS: u32 = 12;

/// The number of the last block there can be.
pub(super) const LAST: u64 = u64::MAX >> BITS;

/// The place of a customer: numbers in their order, shifted so that the smallest is 0.
pub(super) const fn place(id: i64) -> u64 {
    id.cast_unsigned() ^ (1 << 63)
}

/// The block of a place.
pub(super) const fn of(place: u64) -> u64 {
    place >> BITS
}

/// A set of places in one block.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(in super::super) struct Block([u64; WORDS]);

impl Block {
    pub(super) const EMPTY: Self = Self([0; WORDS]);
    pub(super) const FULL: Self = Self([u64::MAX; WORDS]);

    pub(super) fn set(&mut self, place: u64, has: bool) {
        let offset = place & ((1 << BITS) - 1);
        let word = usize::try_from(offset / 64).ok().and_then(|word| self.0.get_mut(word));
        if let Some(word) = word {
            let bit = 1 << (offset % 64);
            if has { *word |= bit } else { *word &= !bit }
        }
    }

    /// Keeps what is in both; whether there is anything.
    pub(super) fn keep(&mut self, other: &Self) -> bool {
        let mut any = 0;
        for (mine, theirs) in self.0.iter_mut().zip(&other.0) {
            *mine &= theirs;
            any |= *mine;
        }
        any != 0
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.iter().all(|word| *word == 0)
    }

    /// The customers of this set, if it is the block of this number, in order.
    pub(super) fn ids(&self, number: u64) -> impl Iterator<Item = i64> {
        self.offsets().map(move |offset| (((number << BITS) | u64::from(offset)) ^ (1 << 63)).cast_signed())
    }

    fn offsets(&self) -> impl Iterator<Item = u16> {
        (0_u16..).step_by(64).zip(self.0).flat_map(|(base, mut word)| {
            std::iter::from_fn(move || {
                let bit = u16::try_from(word.trailing_zeros()).ok().filter(|_| word != 0)?;
                word &= word - 1;
                Some(base + bit)
            })
        })
    }

    fn len(&self) -> usize {
        self.0.iter().map(|word| word.count_ones() as usize).sum()
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        let list = self.len() * 2;
        let mut bytes = Vec::with_capacity(1 + list.min(BITMAP));
        bytes.push(VERSION);
        if list < BITMAP {
            bytes.extend(self.offsets().flat_map(u16::to_le_bytes));
        } else {
            bytes.extend(self.0.iter().flat_map(|word| word.to_le_bytes()));
        }
        bytes
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Self, Unavailable> {
        let broken = |what: &str| Unavailable::new(format!("a block of the search index {what}"));
        let body = match bytes.split_first() {
            Some((&VERSION, body)) => body,
            Some((version, _)) => return Err(broken(&format!("has format {version}; this program reads {VERSION}"))),
            None => return Err(broken("is empty")),
        };
        let mut block = Self::EMPTY;
        // A list as long as the bitmap is never written.
        if body.len() == BITMAP {
            for (word, bytes) in block.0.iter_mut().zip(body.as_chunks().0) {
                *word = u64::from_le_bytes(*bytes);
            }
            return Ok(block);
        }
        let (offsets, []) = body.as_chunks() else { return Err(broken("ends inside a number")) };
        for offset in offsets {
            let offset = u64::from(u16::from_le_bytes(*offset));
            if of(offset) != 0 {
                return Err(broken("names a place outside of it"));
            }
            block.set(offset, true);
        }
        Ok(block)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block(offsets: impl IntoIterator<Item = u64>) -> Block {
        let mut block = Block::EMPTY;
        for offset in offsets {
            block.set(offset, true);
        }
        block
    }

    #[test]
    fn sparse_blocks_are_lists_and_dense_ones_bitmaps() {
        assert_eq!(block([1, 4095]).encode(), [1, 1, 0, 0xff, 0x0f]);
        assert_eq!(block(0..255).encode().len(), 511);
        assert_eq!(block(0..256).encode().len(), 513);
        assert_eq!(Block::FULL.encode().len(), 513);
    }

    #[test]
    fn a_block_reads_back_what_it_wrote() {
        for count in [0, 1, 255, 256, 257, 4096] {
            let block = block((0..count).map(|n| n * 4099 % 4096));
            assert_eq!(block.len(), usize::try_from(count).unwrap());
            assert_eq!(Block::decode(&block.encode()), Ok(block));
        }
    }

    #[test]
    fn a_broken_block_is_refused() {
        for (bytes, why) in [
            (&[][..], "is empty"),
            (&[2, 0, 0], "has format 2; this program reads 1"),
            (&[1, 0], "ends inside a number"),
            (&[1, 0, 0x10], "names a place outside of it"),
        ] {
            assert_eq!(Block::decode(bytes), Err(Unavailable::new(format!("a block of the search index {why}"))));
        }
    }

    #[test]
    fn numbers_keep_their_order_as_places() {
        let ids = [i64::MIN, -4097, -1, 0, 1, 4096, i64::MAX];
        assert!(ids.map(place).is_sorted());
        for id in ids {
            let set = block([place(id)]);
            assert_eq!(set.ids(of(place(id))).collect::<Vec<_>>(), [id]);
        }
    }
}
