//! Whole outputs per revision.
