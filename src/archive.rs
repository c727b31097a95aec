//! Values of any type that [`rkyv`] archives, as named objects that every process reads in place.
//!
//! An archive is what `rkyv` makes of a value: its bytes, with offsets where the value has pointers. So it
//! may hold what no object of [`Shareable`] types can: std's strings, vectors, maps, nested at will. It is
//! read without being unpacked, and never changes.
//!
//! ```
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use rkyv::{Archive, Serialize};
//! use sharena::Options;
//! use std::collections::BTreeMap;
//!
//! #[derive(Archive, Serialize)]
//! struct Book {
//!     title: String,
//!     asks: BTreeMap<String, Vec<f64>>,
//! }
//!
//! let segment = Options::new().capacity(1 << 20).create_anonymous()?;
//! let asks = BTreeMap::from([("XYZ".to_owned(), vec![1.5, 1.75])]);
//! segment.construct_archive("book", &Book { title: "today".into(), asks })?;
//!
//! // Any process:
//! let book = segment.find_archive::<Book>("book")?.ok_or("there is no book")?;
//! assert_eq!(book.title, "today");
//! assert_eq!(book.asks.get("XYZ").unwrap()[1], 1.75);
//! # Ok(())
//! # }
//! ```
//!
//! # What is checked
//! An archive does not say of which type it is. Whoever finds one has all of its bytes checked first (by
//! `bytecheck`; it takes time in proportion to them), so that a file that was damaged, or the archive of
//! another type, is an error, or is read as some value of the type that was asked for: what it means is
//! between the programs. Both must choose the same of `rkyv`'s features for the format.
//!
//! An object of bytes begins at a multiple of 16. Types whose archives need more are refused, at the latest
//! where they are looked for.

use crate::names::error::ObjectError;
use crate::objects::Ref;
use crate::segment::Segment;
use crate::shareable::{LayoutHash, Shareable};
use core::fmt;
use core::marker::PhantomData;
use core::ops::Deref;
use rkyv::Archive;
use rkyv::api::high::{HighSerializer, HighValidator};
use rkyv::bytecheck::CheckBytes;
use rkyv::rancor;
use rkyv::ser::allocator::ArenaHandle;
use rkyv::util::AlignedVec;

/// A byte of an archive. A type of its own, so that nobody finds an archive who looks for bytes, and none
/// who looks for an archive finds bytes.
#[derive(Clone, Copy)]
#[repr(transparent)]
struct Byte(u8);

// SAFETY: a number.
unsafe impl Shareable for Byte {
    const NAME: u64 = LayoutHash::of_name("sharena::archive::Byte").finish();
    const FINGERPRINT: u64 = LayoutHash::of_type::<Self>().finish();
    const ANY_BITS: bool = true;
    fn describe(out: &mut dyn fmt::Write) -> fmt::Result {
        out.write_str("Archive")
    }
    // SAFETY: of the caller nothing is asked, as nothing is looked at.
    unsafe fn is_valid(_: *const Self) -> bool {
        true
    }
}

/// Why an archive was not made or not found.
#[derive(Debug)]
#[non_exhaustive]
pub enum ArchiveError {
    /// As of any object.
    Object(ObjectError),
    /// The value cannot be archived.
    Refused {
        /// The name that it was to have.
        name: String,
        /// What `rkyv` says.
        source: rancor::Error,
    },
    /// The bytes are no value of the type that was asked for.
    Invalid {
        /// The archive's name.
        name: String,
        /// What is wrong with them.
        source: rancor::Error,
    },
}

impl From<ObjectError> for ArchiveError {
    fn from(error: ObjectError) -> Self {
        ArchiveError::Object(error)
    }
}

impl fmt::Display for ArchiveError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ArchiveError::Object(error) => error.fmt(f),
            ArchiveError::Refused { name, source } => {
                write!(f, "{name:?} cannot be archived: {source}")
            }
            ArchiveError::Invalid { name, source } => {
                write!(
                    f,
                    "{name:?} is no archive of the type that was asked for ({source}): ask for the type that \
                     it was made of, by the same version and format features of rkyv, or construct it anew"
                )
            }
        }
    }
}

impl core::error::Error for ArchiveError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            ArchiveError::Object(error) => Some(error),
            ArchiveError::Refused { source, .. } | ArchiveError::Invalid { source, .. } => {
                Some(source)
            }
        }
    }
}

/// A reference to an archive, as [`Ref`] is one to an object; it dereferences to the archived value.
pub struct ArchiveRef<'s, T: Archive> {
    bytes: Ref<'s, [Byte]>,
    archived: PhantomData<&'s T::Archived>,
}

impl<T: Archive> ArchiveRef<'_, T> {
    /// The archive's bytes.
    pub fn as_bytes(this: &Self) -> &[u8] {
        bytes_of(&this.bytes)
    }
}

impl<T: Archive> Deref for ArchiveRef<'_, T> {
    type Target = T::Archived;
    fn deref(&self) -> &T::Archived {
        // SAFETY: the bytes were checked when this was made, and nobody changes those of an object, in a
        // segment that this process vouches for.
        unsafe { rkyv::access_unchecked(bytes_of(&self.bytes)) }
    }
}

impl<T: Archive<Archived: fmt::Debug>> fmt::Debug for ArchiveRef<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

fn bytes_of(bytes: &[Byte]) -> &[u8] {
    // SAFETY: transparent wrappers of as many bytes.
    unsafe { core::slice::from_raw_parts(bytes.as_ptr().cast(), bytes.len()) }
}

/// Archives. All lock-free, and what a death inside leaves, as of other named objects.
impl Segment {
    /// Constructs the archive of `value` as the object `name`.
    ///
    /// It is referred to by who [finds](Self::find_archive) it, and has it checked: what lies deeper in an
    /// archive may need an alignment that only that sees.
    ///
    /// # Errors
    /// [`ArchiveError::Refused`] if `rkyv` cannot archive it, or it needs an alignment of more than 16 bytes;
    /// else as [`construct_slice`](Self::construct_slice).
    pub fn construct_archive<T>(&self, name: &str, value: &T) -> Result<(), ArchiveError>
    where
        T: for<'a> rkyv::Serialize<HighSerializer<AlignedVec, ArenaHandle<'a>, rancor::Error>>,
    {
        self.vouch()?;
        let refused = |source| ArchiveError::Refused { name: name.into(), source };
        if align_of::<T::Archived>() > ALIGN {
            let much = TooMuch { asked: align_of::<T::Archived>() };
            return Err(refused(rancor::Source::new(much)));
        }
        let bytes = rkyv::to_bytes::<rancor::Error>(value).map_err(refused)?;
        self.construct_slice(name, bytes.len(), |i| Byte(bytes[i]))?;
        Ok(())
    }

    /// The archive `name`, checked; `None`: there is no object of this name.
    ///
    /// # Errors
    /// [`ArchiveError::Invalid`] if its bytes are no value of the type; `WrongType` if the object is no
    /// archive; else as [`find_slice`](Self::find_slice).
    pub fn find_archive<T>(&self, name: &str) -> Result<Option<ArchiveRef<'_, T>>, ArchiveError>
    where
        T: Archive<Archived: for<'a> CheckBytes<HighValidator<'a, rancor::Error>>>,
    {
        self.vouch()?;
        let Some(bytes) = self.find_slice::<Byte>(name)? else { return Ok(None) };
        match rkyv::access::<T::Archived, rancor::Error>(bytes_of(&bytes)) {
            Ok(_) => Ok(Some(ArchiveRef { bytes, archived: PhantomData })),
            Err(source) => Err(ArchiveError::Invalid { name: name.into(), source }),
        }
    }

    /// Destroys the archive `name`; false: there is no object of this name.
    ///
    /// # Errors
    /// `WrongType` if the object is no archive; else as [`destroy`](Self::destroy).
    pub fn destroy_archive(&self, name: &str) -> Result<bool, ObjectError> {
        self.destroy::<Byte>(name)
    }
}

/// Of the first byte of each object.
const ALIGN: usize = 16;

#[derive(Debug)]
struct TooMuch {
    asked: usize,
}

impl fmt::Display for TooMuch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "its archive needs an alignment of {} bytes; objects have {ALIGN}", self.asked)
    }
}

impl core::error::Error for TooMuch {}
