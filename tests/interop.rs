//! Keys of other tools in ours, and ours in theirs.
