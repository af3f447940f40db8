//! Words of the file that serde reads by themselves: keys and variants.
//!
//! Owns: recording which of them is unknown, at its own place. Must not: know any of them.

use serde::{
    Deserializer, de,
    de::{DeserializeSeed, Visitor},
    forward_to_deserialize_any,
};

use super::{At, Entry, Failures, Fault, Path, Position};

/// A key, or a variant without content.
#[derive(Clone, Copy)]
pub(super) struct Word<'a> {
    pub(super) text: &'a str,
    pub(super) at: Position,
    pub(super) path: Path<'a>,
    pub(super) failures: &'a Failures,
}

/// A variant of an enum written as a map with one key.
pub(super) struct Variant<'a> {
    pub(super) owner: At<'a>,
    pub(super) entry: &'a Entry,
}

impl<'a> Word<'a> {
    /// Returns the key of an entry of `owner`.
    pub(super) fn of(entry: &'a Entry, owner: &At<'a>) -> Self {
        Word {
            text: &entry.key,
            at: entry.at,
            path: owner.path,
            failures: owner.failures,
        }
    }
}

impl Variant<'_> {
    fn content(&self) -> At<'_> {
        At {
            node: &self.entry.node,
            path: Path::Key(&self.owner.path, &self.entry.key),
            failures: self.owner.failures,
        }
    }
}

// === impl Deserializer, EnumAccess for Word ===

impl<'de> Deserializer<'de> for Word<'_> {
    type Error = Fault;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        self.failures.forget();
        visitor
            .visit_str(self.text)
            .map_err(|fault| self.failures.record(self.at, &self.path, fault))
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fault> {
        visitor.visit_enum(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Fault> {
        visitor.visit_newtype_struct(self)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option
        unit unit_struct seq tuple tuple_struct map struct identifier ignored_any
    }
}

impl<'de> de::EnumAccess<'de> for Word<'_> {
    type Error = Fault;
    type Variant = Self;

    fn variant_seed<V: DeserializeSeed<'de>>(self, seed: V) -> Result<(V::Value, Self), Fault> {
        seed.deserialize(self).map(|variant| (variant, self))
    }
}

impl<'de> de::VariantAccess<'de> for Word<'_> {
    type Error = Fault;

    fn unit_variant(self) -> Result<(), Fault> {
        Ok(())
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, _: T) -> Result<T::Value, Fault> {
        Err(self.bare())
    }

    fn tuple_variant<V: Visitor<'de>>(self, _: usize, _: V) -> Result<V::Value, Fault> {
        Err(self.bare())
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        _: &'static [&'static str],
        _: V,
    ) -> Result<V::Value, Fault> {
        Err(self.bare())
    }
}

impl Word<'_> {
    fn bare(&self) -> Fault {
        let fault = Fault::Other(format!(
            "'{0}' needs options: write {0}: {{ … }}",
            self.text
        ));
        self.failures.record(self.at, &self.path, fault)
    }
}

// === impl EnumAccess, VariantAccess for Variant ===

impl<'de> de::EnumAccess<'de> for Variant<'_> {
    type Error = Fault;
    type Variant = Self;

    fn variant_seed<V: DeserializeSeed<'de>>(self, seed: V) -> Result<(V::Value, Self), Fault> {
        let variant = seed.deserialize(Word::of(self.entry, &self.owner))?;
        Ok((variant, self))
    }
}

impl<'de> de::VariantAccess<'de> for Variant<'_> {
    type Error = Fault;

    fn unit_variant(self) -> Result<(), Fault> {
        de::Deserialize::deserialize(self.content())
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, Fault> {
        let content = self.content();
        seed.deserialize(content)
            .map_err(|fault| content.fail(fault))
    }

    fn tuple_variant<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, Fault> {
        self.content().deserialize_any(visitor)
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fault> {
        self.content().deserialize_struct("", fields, visitor)
    }
}
