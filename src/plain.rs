//! Types of other crates that vouch for their bytes by `bytemuck` or `zerocopy`.
//!
//! | wrapper | for | feature |
//! |---|---|---|
//! | [`Pod<T>`] | `T: bytemuck::Pod` | `bytemuck` |
//! | [`Plain<T>`] | `T: zerocopy::FromBytes + IntoBytes + Immutable + KnownLayout` | `zerocopy` |
//!
//! Two wrappers, for a type may be both.
//!
//! **What they cannot see:** the fields. And the name of a foreign type is known when the program
//! runs, but not in a constant. So the fingerprint holds size and alignment only: two foreign types
//! that agree on these pass for one another (which is sound, every byte is a value of either, but is
//! not what was meant). A struct around it gives it a name, and its fingerprint has that:
//! `#[derive(Shareable)] struct Position(Pod<glam::Vec3>);`.
#![cfg(any(feature = "bytemuck", feature = "zerocopy"))]

use crate::shareable::{LayoutHash, Shareable};
use core::fmt;

/// Writes a wrapper; which types may be in it, and why that suffices.
macro_rules! wrapper {
    ($(#[$doc:meta])* $name:ident, $text:literal, where T: [$($bound:tt)+]) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
        #[repr(transparent)]
        pub struct $name<T>(pub T);

        impl<T> From<T> for $name<T> {
            fn from(value: T) -> Self {
                Self(value)
            }
        }

        // SAFETY: by the bound every value of the bytes is a value of `T`, and they are all
        // initialized; there is no pointer (not every value of bytes is one) and nothing changes
        // behind `&T`. The fingerprint refuses drop glue, in the build of whoever uses it.
        unsafe impl<T: $($bound)+ + Send + Sync + 'static> Shareable for $name<T> {
            const NAME: u64 = LayoutHash::of_name($text).finish();
            const FINGERPRINT: u64 = {
                assert!(!core::mem::needs_drop::<T>(), "a shared type must not implement Drop");
                LayoutHash::of_type::<Self>().finish()
            };
            const ANY_BITS: bool = true;
            fn describe(out: &mut dyn fmt::Write) -> fmt::Result {
                out.write_str(concat!($text, "<"))?;
                without_paths(core::any::type_name::<T>(), out)?;
                out.write_str(">")
            }
            // SAFETY: relies on nothing that the trait has the caller promise.
            unsafe fn is_valid(_: *const Self) -> bool {
                true
            }
        }
    };
}

#[cfg(feature = "bytemuck")]
wrapper!(
    /// Makes a `bytemuck::Pod` type [`Shareable`]. Its fingerprint knows only size and alignment;
    /// put it into a struct of your own to give it a name.
    Pod,
    "Pod",
    where T: [bytemuck::Pod]
);

#[cfg(feature = "zerocopy")]
wrapper!(
    /// Makes a type [`Shareable`] that `zerocopy` can read from and write as any bytes. Its
    /// fingerprint knows only size and alignment; put it into a struct of your own to give it a name.
    Plain,
    "Plain",
    where T: [zerocopy::FromBytes + zerocopy::IntoBytes + zerocopy::Immutable + zerocopy::KnownLayout]
);

/// Writes `name` without the module paths in it: `a::B<c::D>` as `B<D>`.
fn without_paths(name: &str, out: &mut dyn fmt::Write) -> fmt::Result {
    let mut rest = name;
    while let Some(first) = rest.chars().next() {
        let word = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
        let (piece, behind) = rest.split_at(if word == 0 { first.len_utf8() } else { word });
        rest = match behind.strip_prefix("::") {
            Some(inner) if word > 0 => inner,
            _ => {
                out.write_str(piece)?;
                behind
            }
        };
    }
    Ok(())
}
