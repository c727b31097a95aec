//! A key and its value, as they lie in a map.

use crate::shareable::{LayoutHash, Shareable};
use crate::trace::map::Tracer;
use core::fmt;
use core::mem::offset_of;

#[repr(C)]
pub(crate) struct Pair<K, V> {
    pub key: K,
    pub value: V,
}

// SAFETY: its parts, each Shareable, at the offsets that the fingerprint names.
unsafe impl<K: Shareable, V: Shareable> Shareable for Pair<K, V> {
    const NAME: u64 = LayoutHash::of_name("Pair").parameter::<K>().parameter::<V>().finish();
    const FINGERPRINT: u64 = LayoutHash::of_type::<Self>()
        .field("key", offset_of!(Self, key), K::FINGERPRINT)
        .field("value", offset_of!(Self, value), V::FINGERPRINT)
        .finish();
    const ANY_BITS: bool = K::ANY_BITS && V::ANY_BITS;
    const HAS_BLOCKS: bool = K::HAS_BLOCKS || V::HAS_BLOCKS;
    const HAS_LOCKS: bool = K::HAS_LOCKS || V::HAS_LOCKS;
    fn describe(out: &mut dyn fmt::Write) -> fmt::Result {
        K::describe(out)?;
        out.write_str(", ")?;
        V::describe(out)
    }
    // SAFETY: the trait's: `at` is aligned, and valid for reads of the type's bytes.
    unsafe fn is_valid(at: *const Self) -> bool {
        // SAFETY: the caller vouches for the whole, each part is within and aligned in it.
        unsafe { K::is_valid(&raw const (*at).key) && V::is_valid(&raw const (*at).value) }
    }
    fn trace(map: &mut Tracer) {
        map.field(offset_of!(Self, key), K::trace);
        map.field(offset_of!(Self, value), V::trace);
    }
}
