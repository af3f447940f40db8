//! Behaviour of the whole world, in virtual time.
