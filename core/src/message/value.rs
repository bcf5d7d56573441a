//! How single values stand in messages.

use std::borrow::Cow;
use std::marker::PhantomData;
use std::{fmt, io};

use base64::Engine as _;
use base64::display::Base64Display;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Error, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use zeroize::Zeroizing;

use crate::operation::Version;
use crate::secret::{Secret, SecretBytes};
use crate::store::Key;

/// LIMIT: the largest whole number that every language reads exactly (RFC 8259 §6).
pub(super) const INTEGER_MAX: u64 = (1 << 53) - 1;

/// A key, as base64url.
impl Serialize for Key {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Base64(self.as_bytes()).serialize(serializer)
    }
}

/// A key, as base64url.
impl<'de> Deserialize<'de> for Key {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let bytes = deserializer.deserialize_str(Base64Visitor)?;
        Self::from_bytes(bytes).map_err(Error::custom)
    }
}

/// A version, as a decimal text: stores count by their own lights, some in nanoseconds, and a number of JSON ends at 2^53.
impl Serialize for Version {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

/// A version, as a decimal text in its shortest form.
impl<'de> Deserialize<'de> for Version {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <Cow<'de, str>>::deserialize(deserializer)?;
        let version = text.parse().ok().filter(|number: &u64| number.to_string() == text);
        version.map(Self).ok_or_else(|| Error::custom("not a decimal number below 2^64"))
    }
}

/// Bytes to be written as base64url.
pub(super) struct Base64<'a>(pub(super) &'a [u8]);

impl Serialize for Base64<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&Base64Display::new(self.0, &URL_SAFE_NO_PAD))
    }
}

/// A stored value, read from base64url.
pub(super) struct Value(pub(super) Vec<u8>);

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(Base64Visitor).map(Self)
    }
}

/// A body, read from base64url.
pub(super) struct Bytes(pub(super) SecretBytes);

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(Base64Visitor).map(|bytes| Self(SecretBytes::new(bytes)))
    }
}

struct Base64Visitor;

impl Visitor<'_> for Base64Visitor {
    type Value = Vec<u8>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("base64url without padding")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Vec<u8>, E> {
        // The reader refuses bits behind the last byte, so a value has one text.
        URL_SAFE_NO_PAD.decode(text).map_err(|_| E::custom("not base64url without padding"))
    }
}

/// A body, read from text: its UTF-8 bytes.
pub(super) struct Text(pub(super) SecretBytes);

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TextVisitor;
        impl Visitor<'_> for TextVisitor {
            type Value = Text;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text")
            }

            fn visit_str<E>(self, text: &str) -> Result<Text, E> {
                Ok(Text(SecretBytes::new(text.as_bytes().to_vec())))
            }
        }
        deserializer.deserialize_str(TextVisitor)
    }
}

/// A struct that is read from an object and from nothing else: by itself, `serde` takes a list of its members as well.
pub(super) struct Object<T>(pub(super) T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ObjectVisitor<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for ObjectVisitor<T> {
            type Value = Object<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, members: A) -> Result<Object<T>, A::Error> {
                T::deserialize(MapAccessDeserializer::new(members)).map(Object)
            }
        }
        deserializer.deserialize_map(ObjectVisitor(PhantomData))
    }
}

/// A secret to be written in the open: in effects and outcomes, where it is the point of the message.
pub(super) struct Exposed<'a>(pub(super) &'a Secret);

impl Serialize for Exposed<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.0.expose())
    }
}

/// Writes a message.
pub(super) fn write(message: &impl Serialize) -> SecretBytes {
    let mut sink = Sink(Zeroizing::new(Vec::with_capacity(1024)));
    // INVARIANT: messages are plain structs with text names, and the sink takes all that is written.
    let _ = serde_json::to_writer(&mut sink, message);
    SecretBytes::new(std::mem::take(&mut sink.0))
}

/// Bytes that leave no copy of themselves behind when they need more room.
struct Sink(Zeroizing<Vec<u8>>);

impl io::Write for Sink {
    fn write(&mut self, part: &[u8]) -> io::Result<usize> {
        let needed = self.0.len().saturating_add(part.len());
        if needed > self.0.capacity() {
            let mut roomier = Zeroizing::new(Vec::with_capacity(needed.saturating_mul(2)));
            roomier.extend_from_slice(&self.0);
            self.0 = roomier;
        }
        self.0.extend_from_slice(part);
        Ok(part.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
