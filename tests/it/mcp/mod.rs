//! `/mcp`, spoken by hand: what a test sends is exactly what it says, good or bad.

mod approvals;
