//! Which rows calls leave in a store: read from the store itself, so that the baseline commits rows of the
//! same number and size whatever the format on disk becomes.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use redb::{Builder, ReadableDatabase as _, ReadableTableMetadata as _, TableHandle as _};

use super::Fault;

/// The table of the audit log.
const AUDIT: &str = "audit";

/// Rows of one table.
#[derive(Debug, Clone)]
pub struct Rows {
    /// Name of the table.
    pub table: String,
    /// How many a call leaves.
    pub each: usize,
    /// Bytes of key and value, in the mean.
    pub bytes: usize,
}

/// What calls left behind.
#[derive(Debug, Clone)]
pub struct Footprint {
    /// Rows of each table, for each call.
    pub rows: Vec<Rows>,
    /// Bytes of all tables, with what their pages hold beside rows.
    pub kept: u64,
}

impl Footprint {
    /// Reads the store in `folder`, which took `calls` calls and is closed.
    ///
    /// # Errors
    /// When there is no store, or it cannot be read.
    pub fn read(folder: &Path, calls: u64) -> Result<Self, Fault> {
        let database = Builder::new().open_read_only(store_in(folder)?)?;
        let transaction = database.begin_read()?;
        let (mut rows, mut kept) = (Vec::new(), 0);
        for handle in transaction.list_tables()? {
            let table = handle.name().to_owned();
            let open = transaction.open_untyped_table(handle)?;
            let (count, stats) = (open.len()?, open.stats()?);
            kept += stats.stored_bytes() + stats.metadata_bytes() + stats.fragmented_bytes();
            // A table with fewer rows than calls (settings, seeded customers) is not of their making.
            let each = (count + calls / 2) / calls.max(1);
            if each > 0 {
                rows.push(Rows {
                    table,
                    each: usize::try_from(each)?,
                    bytes: usize::try_from(stats.stored_bytes() / count)?,
                });
            }
        }
        Ok(Self { rows, kept })
    }

    /// One record of the log and nothing else.
    ///
    /// # Errors
    /// When the calls left no record.
    pub fn record_alone(&self) -> Result<Self, Fault> {
        let record = self.rows.iter().find(|rows| rows.table == AUDIT).ok_or("the calls left no record")?;
        Ok(Self { rows: vec![Rows { each: 1, ..record.clone() }], kept: 0 })
    }
}

impl fmt::Display for Footprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, rows) in self.rows.iter().enumerate() {
            let between = if place == 0 { "" } else { ", " };
            write!(f, "{between}{} × {} B in {}", rows.each, rows.bytes, rows.table)?;
        }
        Ok(())
    }
}

/// The largest file of a folder is the store.
fn store_in(folder: &Path) -> Result<PathBuf, Fault> {
    let mut largest = None;
    for file in fs::read_dir(folder)? {
        let file = file?;
        largest = largest.max(Some((file.metadata()?.len(), file.path())));
    }
    largest.map(|(_, path)| path).ok_or_else(|| "the data folder is empty".into())
}
