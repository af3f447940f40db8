//! The serde side of [`At`]: how each kind of node meets each kind of visitor.
//!
//! Owns: the conversion rules. Must not: word errors (that is `read`).

use std::slice;

use serde::{
    Deserializer, de,
    de::{DeserializeSeed, Visitor},
    forward_to_deserialize_any,
};
use serde_json::Number;

use super::{
    At, Entry, Fault, Node, Path, Value,
    read::is_ambiguous,
    variant::{Variant, Word},
};

impl<'de> Deserializer<'de> for At<'_> {
    type Error = Fault;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        self.tracked(|at| match &at.node.value {
            Value::Null => visitor.visit_unit(),
            Value::Bool(value, _) => visitor.visit_bool(*value),
            Value::Number(_, text) if is_ambiguous(text) => Err(Fault::Other(format!(
                "'{text}' can be read as decimal and as octal: drop the leading zero, or quote it"
            ))),
            Value::Number(number, _) => visit_number(number, visitor),
            Value::Text(text) => visitor.visit_str(text),
            Value::List(items) => visitor.visit_seq(Items {
                owner: at,
                next: 0,
                nodes: items,
            }),
            Value::Map(entries) => visitor.visit_map(Entries {
                owner: at,
                rest: entries.iter(),
                value: None,
            }),
        })
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        match &self.node.value {
            Value::Bool(_, text) | Value::Number(_, text) => {
                self.tracked(|_| visitor.visit_str(text))
            }
            Value::Null | Value::Text(_) | Value::List(_) | Value::Map(_) => {
                self.deserialize_any(visitor)
            }
        }
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        self.deserialize_str(visitor)
    }

    fn deserialize_identifier<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        self.deserialize_str(visitor)
    }

    /// A key without a value is never taken for an absent key: `steps:` with every item commented
    /// out must not mean the default steps.
    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        self.tracked(|at| match &at.node.value {
            Value::Null => Err(Fault::Other(
                "no value is given: write one, or remove the key".to_owned(),
            )),
            Value::Bool(..)
            | Value::Number(..)
            | Value::Text(_)
            | Value::List(_)
            | Value::Map(_) => visitor.visit_some(at),
        })
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Fault> {
        self.tracked(|at| visitor.visit_newtype_struct(at))
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fault> {
        self.tracked(|at| match &at.node.value {
            Value::Text(text) | Value::Bool(_, text) | Value::Number(_, text) => visitor
                .visit_enum(Word {
                    text,
                    at: at.node.at,
                    path: at.path,
                    failures: at.failures,
                }),
            Value::Map(entries) if entries.len() == 1 => visitor.visit_enum(Variant {
                owner: at,
                entry: &entries[0],
            }),
            Value::Null | Value::List(_) | Value::Map(_) => at.deserialize_any(visitor),
        })
    }

    /// A list is no struct: serde would take its items as the fields in order.
    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fault> {
        if let Value::List(_) = &self.node.value {
            let unexpected = de::Unexpected::Seq;
            return self.tracked(|_| Err(de::Error::invalid_type(unexpected, &"a map")));
        }
        self.deserialize_any(visitor)
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        visitor.visit_unit()
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char bytes byte_buf unit unit_struct
        seq tuple tuple_struct map
    }
}

fn visit_number<'de, V: Visitor<'de>>(number: &Number, visitor: V) -> Result<V::Value, Fault> {
    match (number.as_u64(), number.as_i64(), number.as_f64()) {
        (Some(number), _, _) => visitor.visit_u64(number),
        (None, Some(number), _) => visitor.visit_i64(number),
        (None, None, Some(number)) => visitor.visit_f64(number),
        (None, None, None) => Err(Fault::Other(format!("'{number}' is not a finite number"))),
    }
}

/// The items of a list.
struct Items<'a> {
    owner: At<'a>,
    next: usize,
    nodes: &'a [Node],
}

impl<'de> de::SeqAccess<'de> for Items<'_> {
    type Error = Fault;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, Fault> {
        let index = self.next;
        let Some(node) = self.nodes.get(index) else {
            return Ok(None);
        };
        self.next += 1;
        let item = At {
            node,
            path: Path::Item(&self.owner.path, index),
            failures: self.owner.failures,
        };
        seed.deserialize(item)
            .map(Some)
            .map_err(|fault| item.fail(fault))
    }

    fn size_hint(&self) -> Option<usize> {
        self.nodes.len().checked_sub(self.next)
    }
}

/// The entries of a map.
struct Entries<'a> {
    owner: At<'a>,
    rest: slice::Iter<'a, Entry>,
    value: Option<&'a Entry>,
}

impl<'de> de::MapAccess<'de> for Entries<'_> {
    type Error = Fault;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, Fault> {
        self.value = self.rest.next();
        let Some(entry) = self.value else {
            return Ok(None);
        };
        seed.deserialize(Word::of(entry, &self.owner)).map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Fault> {
        let entry = self
            .value
            .take()
            .ok_or_else(|| Fault::Other("a value without a key".to_owned()))?;
        let value = At {
            node: &entry.node,
            path: Path::Key(&self.owner.path, &entry.key),
            failures: self.owner.failures,
        };
        seed.deserialize(value).map_err(|fault| value.fail(fault))
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.rest.len())
    }
}
