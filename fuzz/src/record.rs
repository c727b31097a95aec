//! What the script of an input is made of: records of one size, so that bytes that a fuzzer inserts,
//! drops or copies from another input stay records.

/// Bytes of a record.
pub const BYTES: usize = 16;

/// One step of a script; what each field means depends on `tag`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Record {
    /// What it is: below [`ACT`] a change of the image, else an operation on the segment.
    pub tag: u8,
    /// Which area, or which operation.
    pub what: u8,
    /// Which word of the area, or how many bytes, or which name.
    pub index: u16,
    /// How many times what stands there is followed as an offset.
    pub hops: u8,
    /// How many words behind the offset that was followed.
    pub behind: u8,
    /// What is done there.
    pub kind: u8,
    /// A small number.
    pub small: u8,
    /// A large one.
    pub large: u64,
}

/// From this tag on a record is an operation.
pub const ACT: u8 = 0xa0;

impl Record {
    /// The records in `bytes`; what is left over at the end is no record.
    pub fn all(bytes: &[u8]) -> impl Iterator<Item = Record> {
        bytes.chunks_exact(BYTES).map(|bytes| Record {
            tag: bytes[0],
            what: bytes[1],
            index: u16::from_le_bytes([bytes[2], bytes[3]]),
            hops: bytes[4],
            behind: bytes[5],
            kind: bytes[6],
            small: bytes[7],
            large: u64::from_le_bytes(bytes[8..].try_into().expect("eight bytes")),
        })
    }

    /// As it is read.
    pub fn bytes(self) -> [u8; BYTES] {
        let Record { tag, what, index, hops, behind, kind, small, large } = self;
        let mut bytes = [tag, what, 0, 0, hops, behind, kind, small, 0, 0, 0, 0, 0, 0, 0, 0];
        bytes[2..4].copy_from_slice(&index.to_le_bytes());
        bytes[8..].copy_from_slice(&large.to_le_bytes());
        bytes
    }

    /// Whether it is an operation.
    pub fn is_act(self) -> bool {
        self.tag >= ACT
    }
}
