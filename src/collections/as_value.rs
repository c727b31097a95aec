//! What a pointer has of the value that it leads to.

/// A pointer that is shown, compared and hashed as its value.
macro_rules! as_its_value {
    ($pointer:ident) => {
        impl<T: $crate::Shareable + core::fmt::Debug> core::fmt::Debug for $pointer<T> {
            fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                (**self).fmt(f)
            }
        }

        impl<T: $crate::Shareable + core::fmt::Display> core::fmt::Display for $pointer<T> {
            fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                (**self).fmt(f)
            }
        }

        impl<T: $crate::Shareable + PartialEq> PartialEq for $pointer<T> {
            fn eq(&self, other: &Self) -> bool {
                **self == **other
            }
        }

        impl<T: $crate::Shareable + Eq> Eq for $pointer<T> {}

        impl<T: $crate::Shareable + PartialOrd> PartialOrd for $pointer<T> {
            fn partial_cmp(&self, other: &Self) -> Option<core::cmp::Ordering> {
                (**self).partial_cmp(&**other)
            }
        }

        impl<T: $crate::Shareable + Ord> Ord for $pointer<T> {
            fn cmp(&self, other: &Self) -> core::cmp::Ordering {
                (**self).cmp(&**other)
            }
        }

        impl<T: $crate::Shareable + core::hash::Hash> core::hash::Hash for $pointer<T> {
            fn hash<H: core::hash::Hasher>(&self, state: &mut H) {
                (**self).hash(state);
            }
        }

        impl<T: $crate::Shareable + $crate::collections::HashKey> $crate::collections::HashKey
            for $pointer<T>
        {
            fn hash_key(&self, seed: u64) -> u64 {
                (**self).hash_key(seed)
            }
        }

        impl<T: $crate::Shareable> AsRef<T> for $pointer<T> {
            fn as_ref(&self) -> &T {
                self
            }
        }
    };
}

pub(super) use as_its_value;
