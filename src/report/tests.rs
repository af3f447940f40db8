//! Screens as people see them, and what holds for all of them.
