//! The search index: which customers have which n-grams in their names. A query of three or more characters
//! is answered by intersecting the lists of its trigrams; one of one or two characters has a list of its
//! own, as single characters and pairs are indexed too. A trigram that stands in a name several times is on
//! as many lists, so a query that repeats itself is not mistaken for one that does not. What is left is
//! compared with the name itself.
//!
//! Lists are cut into blocks of 4096 neighbouring numbers ([`Block`]), one row each, keyed by gram and
//! block. That is what makes searching fast among a million customers:
//!
//! * a rare gram next to common ones: the intersection *leaps*. Each gram is asked for its first block at or
//!   after the largest block seen, so a gram with one row costs one look-up in each of the others;
//! * a common query: rows come in the order of numbers and reading ends at the limit, so most blocks are
//!   never read;
//! * common grams that never meet: the gram that rules a block out is asked first in the next
//!   ([`Candidates`]), so that a block costs about two short reads, whatever the length of the query. This is
//!   the one case that grows with the number of customers: a tenth of a millisecond a million.

mod block;

use redb::{AccessGuard, Range, ReadOnlyTable, ReadableTable, Table, TableDefinition};

pub(super) use self::block::Block;
use crate::pipeline::port::Unavailable;

/// What [`Gram::key`] makes of a gram and the number of a block.
pub(super) type PostingKey = (u64, u64);

/// One row per gram and block in which it occurs.
pub(super) const TABLE: TableDefinition<PostingKey, &'static [u8]> = TableDefinition::new("desk_grams");

/// Changes held in memory before they are written: 48 MB, and enough that an import touches a block
/// about once.
const MANY: usize = 1 << 21;

/// Rows read in passing before a cursor descends from the root again: a descent costs about as much.
const NEARBY: u32 = 4;

/// Occurrences of one trigram in one name that are told apart.
const MOST_COUNTED: usize = 16;

/// Makes text comparable without letter case: each character to lower, to upper, to lower case, each of
/// which may give several. Lower case alone would keep `ß` from `SS`, and `ς` from `σ`, which share an
/// upper case only; `ẞ` needs the first step to become `ß`. It works character by character, without
/// regard to neighbours or language, so the fold of a part is a part of the fold: the index needs that.
/// Accents and compositions stay as they are.
pub(in crate::store) fn fold(text: &str) -> String {
    if text.is_ascii() {
        return text.to_ascii_lowercase();
    }
    text.chars().flat_map(char::to_lowercase).flat_map(char::to_uppercase).flat_map(char::to_lowercase).collect()
}

/// Changes of the index that are not written yet.
#[derive(Default)]
pub(super) struct Changes {
    changes: Vec<Change>,
}

struct Change {
    gram: Gram,
    place: u64,
    has: bool,
}

impl Changes {
    /// Notes that the customer has the grams of `folded`.
    pub(super) fn add(&mut self, id: i64, folded: &str) {
        self.note(id, folded, true);
    }

    /// Notes that the customer no longer has the grams of `folded`.
    pub(super) fn remove(&mut self, id: i64, folded: &str) {
        self.note(id, folded, false);
    }

    fn note(&mut self, id: i64, folded: &str, has: bool) {
        let place = block::place(id);
        for (symbols, times) in counted(folded) {
            self.changes.extend((0..times).map(|nth| Change { gram: Gram { symbols, nth }, place, has }));
        }
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }

    /// Whether it is time to write them.
    pub(super) const fn are_many(&self) -> bool {
        self.changes.len() >= MANY
    }

    /// Writes every block that changed, once, in the order of the table.
    pub(super) fn write(&mut self, table: &mut Table<'_, PostingKey, &'static [u8]>) -> Result<(), Unavailable> {
        // The order of equal changes is kept, so the last word about a gram of a customer is the one that holds.
        self.changes.sort_by_key(|change| (change.gram, change.place));
        for group in self.changes.chunk_by(|a, b| a.gram == b.gram && block::of(a.place) == block::of(b.place)) {
            let Some(first) = group.first() else { continue };
            let key = first.gram.key(block::of(first.place));
            let mut block = match table.get(key).map_err(Unavailable::new)? {
                Some(bytes) => Block::decode(bytes.value())?,
                None => Block::EMPTY,
            };
            for change in group {
                block.set(change.place, change.has);
            }
            if block.is_empty() {
                table.remove(key).map_err(Unavailable::new)?;
            } else {
                table.insert(key, block.encode().as_slice()).map_err(Unavailable::new)?;
            }
        }
        self.changes.clear();
        Ok(())
    }
}

/// The blocks in which all grams of a query meet, in order. A customer in one may still lack the query.
pub(super) struct Candidates<'t> {
    cursors: Vec<Cursor<'t>>,
    next: u64,
}

/// Customers in one block.
pub(super) struct Meeting {
    number: u64,
    block: Block,
}

impl Meeting {
    /// Their numbers, in order.
    pub(super) fn ids(&self) -> impl Iterator<Item = i64> {
        self.block.ids(self.number)
    }
}

impl<'t> Candidates<'t> {
    /// Prepares to look for `folded`, which must not be empty.
    pub(super) fn new(table: &'t ReadOnlyTable<PostingKey, &'static [u8]>, folded: &str) -> Self {
        let cursors =
            query_grams(folded).into_iter().map(|gram| Cursor { table, gram, range: None, here: None }).collect();
        Self { cursors, next: 0 }
    }

    /// The next block, if there is one.
    pub(super) fn next_block(&mut self) -> Result<Option<Meeting>, Unavailable> {
        if self.cursors.is_empty() {
            return Ok(None);
        }
        'block: loop {
            let mut block = Block::FULL;
            for (turn, cursor) in self.cursors.iter_mut().enumerate() {
                let Some(&(number, ref postings)) = cursor.seek(self.next)? else { return Ok(None) };
                if number == self.next && block.keep(&Block::decode(postings.value())?) {
                    continue;
                }
                self.next = number.max(self.next + 1);
                // What ruled this block out may well rule out the next.
                if let Some(front) = self.cursors.get_mut(..=turn) {
                    front.rotate_right(1);
                }
                continue 'block;
            }
            let number = self.next;
            self.next += 1;
            return Ok(Some(Meeting { number, block }));
        }
    }
}

type Postings = AccessGuard<'static, &'static [u8]>;

/// Reads the blocks of one gram in order.
struct Cursor<'t> {
    table: &'t ReadOnlyTable<PostingKey, &'static [u8]>,
    gram: Gram,
    range: Option<Range<'static, PostingKey, &'static [u8]>>,
    here: Option<(u64, Postings)>,
}

impl Cursor<'_> {
    /// The first block at or after `target`, which never goes down.
    fn seek(&mut self, target: u64) -> Result<Option<&(u64, Postings)>, Unavailable> {
        if target > block::LAST {
            return Ok(None);
        }
        let mut steps = 0;
        while self.here.as_ref().is_none_or(|(number, _)| *number < target) {
            let range = match &mut self.range {
                Some(range) if steps < NEARBY => range,
                slot => {
                    let rest = self.gram.key(target)..=self.gram.key(block::LAST);
                    slot.insert(self.table.range(rest).map_err(Unavailable::new)?)
                }
            };
            steps += 1;
            let Some(row) = range.next() else { return Ok(None) };
            let (key, postings) = row.map_err(Unavailable::new)?;
            self.here = Some((key.value().1 & block::LAST, postings));
        }
        Ok(self.here.as_ref())
    }
}

/// One to three neighbouring characters, and which of their occurrences in a name, from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Gram {
    symbols: u64,
    nth: u8,
}

impl Gram {
    /// Sorts by characters, occurrence, block. Numbers of blocks leave the upper 12 bits free.
    fn key(self, block: u64) -> PostingKey {
        (self.symbols, (u64::from(self.nth) << block::LAST.count_ones()) | block)
    }
}

/// Packs one to three characters into 63 bits, 21 each, the first on top. A missing character is 0 and
/// every other is one more than its code point, so grams of different lengths differ.
const fn pack(first: u64, second: u64, third: u64) -> u64 {
    (first << 42) | (second << 21) | third
}

const fn is_trigram(symbols: u64) -> bool {
    symbols & ((1 << 21) - 1) != 0
}

/// All runs of one to three characters with how often each counts. Only trigrams count more than once, as
/// only they are asked for together with others.
fn counted(folded: &str) -> Vec<(u64, u8)> {
    let mut grams = Vec::with_capacity(3 * folded.len());
    let (mut before, mut last) = (0, 0);
    for symbol in folded.chars() {
        let symbol = u64::from(u32::from(symbol)) + 1;
        grams.push(pack(symbol, 0, 0));
        if last != 0 {
            grams.push(pack(last, symbol, 0));
        }
        if before != 0 {
            grams.push(pack(before, last, symbol));
        }
        (before, last) = (last, symbol);
    }
    grams.sort_unstable();
    let runs = grams.chunk_by(|a, b| a == b);
    runs.filter_map(|run| {
        let symbols = *run.first()?;
        let times = if is_trigram(symbols) { run.len().min(MOST_COUNTED) } else { 1 };
        Some((symbols, u8::try_from(times).ok()?))
    })
    .collect()
}

/// The grams that decide a query: the last occurrence of each of its trigrams, or all of it when it is
/// shorter.
fn query_grams(folded: &str) -> Vec<Gram> {
    let longest = folded.chars().count();
    let mut grams: Vec<Gram> =
        counted(folded).into_iter().map(|(symbols, times)| Gram { symbols, nth: times.saturating_sub(1) }).collect();
    grams.retain(|gram| match longest {
        0 | 1 => true,
        2 => gram.symbols & (((1 << 21) - 1) << 21) != 0,
        _ => is_trigram(gram.symbols),
    });
    grams
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letter_case_is_set_aside_in_the_sense_of_unicode() {
        for (one, other) in [
            ("STRASSE", "straße"),
            ("STRAẞE", "straße"),
            ("ΣΊΣΥΦΟΣ", "σίσυφος"),
            ("ÅNGSTRÖM", "ångström"),
            ("\u{212a}elvin", "Kelvin"),
            ("ﬁn", "FIN"),
            ("ДОБРО", "добро"),
        ] {
            assert_eq!(fold(one), fold(other), "{one} {other}");
        }
        assert_ne!(fold("resume"), fold("résumé"));
    }

    #[test]
    fn every_character_folds_to_what_folds_to_itself() {
        for symbol in (0..=0x0010_ffff).filter_map(char::from_u32) {
            let once = fold(symbol.encode_utf8(&mut [0; 4]));
            assert_eq!(fold(&once), once, "{symbol:?}");
        }
    }

    #[test]
    fn a_query_is_decided_by_its_longest_grams() {
        let (a, b, c) = (0x62, 0x63, 0x64);
        let decided_by =
            |query: &str| query_grams(query).into_iter().map(|gram| (gram.symbols, gram.nth)).collect::<Vec<_>>();
        assert_eq!(decided_by(""), vec![]);
        assert_eq!(decided_by("a"), [(pack(a, 0, 0), 0)]);
        assert_eq!(decided_by("ab"), [(pack(a, b, 0), 0)]);
        assert_eq!(decided_by("abc"), [(pack(a, b, c), 0)]);
        assert_eq!(decided_by("aaaaaa"), [(pack(a, a, a), 3)]);
        assert_eq!(decided_by(&"a".repeat(200)), [(pack(a, a, a), 15)]);
        assert_eq!(decided_by("abcab").len(), 3);
    }

    #[test]
    fn a_name_is_on_a_list_for_each_occurrence_of_a_trigram() {
        let (a, b) = (0x62, 0x63);
        assert_eq!(
            counted("aaaab"),
            [
                (pack(a, 0, 0), 1),
                (pack(a, a, 0), 1),
                (pack(a, a, a), 2),
                (pack(a, a, b), 1),
                (pack(a, b, 0), 1),
                (pack(b, 0, 0), 1),
            ]
        );
    }
}
