//! A segment's file with its holes and zeros left out.
//!
//! Encoded: the file's size, 8 bytes; then for each part the number of its first word, 4 bytes, how
//! many words it has, 2 bytes, and the words. All little-endian.

/// Bytes of a word.
pub const WORD: usize = 8;
/// Zero words in a row that are written rather than begin another part.
const GAP: usize = 1;

/// A file's size and what is not zero in it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sparse {
    /// Bytes of the file.
    pub size: u64,
    /// Where each part begins, a multiple of eight, and its bytes, whole words.
    pub parts: Vec<(u64, Vec<u8>)>,
}

impl Sparse {
    /// A file of `size` bytes of which `extents` may be other than zero, each from a multiple of
    /// eight on.
    pub fn of(size: u64, extents: impl IntoIterator<Item = (u64, Vec<u8>)>) -> Sparse {
        let mut parts: Vec<(u64, Vec<u8>)> = Vec::new();
        for (start, mut bytes) in extents {
            bytes.resize(bytes.len().next_multiple_of(WORD), 0);
            for (number, word) in bytes.chunks_exact(WORD).enumerate() {
                if word.iter().all(|byte| *byte == 0) {
                    continue;
                }
                let at = start + (number * WORD) as u64;
                match parts.last_mut() {
                    Some((from, part))
                        if at - (*from + part.len() as u64) <= (GAP * WORD) as u64 =>
                    {
                        part.resize((at - *from) as usize, 0);
                        part.extend_from_slice(word);
                    }
                    _ => parts.push((at, word.to_vec())),
                }
            }
        }
        Sparse { size, parts }
    }

    /// As said above.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = self.size.to_le_bytes().to_vec();
        for (at, bytes) in &self.parts {
            let words = usize::from(u16::MAX);
            for (number, piece) in bytes.chunks(WORD * words).enumerate() {
                let first = at / WORD as u64 + (number * words) as u64;
                out.extend((first as u32).to_le_bytes());
                out.extend(((piece.len() / WORD) as u16).to_le_bytes());
                out.extend_from_slice(piece);
            }
        }
        out
    }

    /// Of any bytes: what makes no sense at the end is left out.
    pub fn decode(mut bytes: &[u8]) -> Sparse {
        let Some(size) = bytes.split_off(..8) else { return Sparse::default() };
        let size = u64::from_le_bytes(size.try_into().expect("eight bytes"));
        let mut parts = Vec::new();
        while let Some(number) = bytes.split_off(..4)
            && let Some(words) = bytes.split_off(..2)
        {
            let number = u32::from_le_bytes(number.try_into().expect("four bytes"));
            let words = usize::from(u16::from_le_bytes(words.try_into().expect("two bytes")));
            let words = words.min(bytes.len() / WORD);
            let part = bytes.split_off(..words * WORD).expect("no more than there are");
            parts.push((u64::from(number) * WORD as u64, part.to_vec()));
        }
        Sparse { size, parts }
    }
}

#[cfg(test)]
mod tests {
    use super::Sparse;

    #[test]
    fn a_file_comes_back_as_it_went() {
        let mut bytes = vec![0u8; 4096];
        for at in [0, 9, 100, 116, 4095] {
            bytes[at] = at as u8 | 1;
        }
        let sparse = Sparse::of(1 << 20, [(8192, bytes.clone()), (1 << 19, vec![7; 600_000])]);
        assert_eq!(Sparse::decode(&sparse.encode()), {
            // A part of more words than a count can say is two.
            let mut parts = sparse.parts.clone();
            let long = parts.pop().unwrap();
            let (first, second) = long.1.split_at(8 * usize::from(u16::MAX));
            parts.push((long.0, first.to_vec()));
            parts.push((long.0 + first.len() as u64, second.to_vec()));
            Sparse { size: 1 << 20, parts }
        });
        let mut back = vec![0u8; 4096];
        for (at, part) in sparse.parts.iter().filter(|(at, _)| *at < 1 << 19) {
            let at = (*at - 8192) as usize;
            back[at..at + part.len()].copy_from_slice(part);
        }
        assert_eq!(back, bytes);
        for end in 0..100 {
            Sparse::decode(&sparse.encode()[..end]);
        }
    }
}
