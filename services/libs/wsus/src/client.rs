//! The downstream end.
