/// Makes inputs out of other inputs; the same start gives the same inputs.
pub struct Mutator {
    state: u64,
    words: &'static [&'static str],
}

/// Bytes that mean something to one parser or another.
const BYTES: &[u8] = b"\0\t\n\r \"#%&'+,-./0:;<=>?@AZ[\\]_`az{|}~\x7f\x80\xc3\xe2\xff";

impl Mutator {
    /// Starts at `seed`, with the words of a target.
    pub fn new(seed: u64, words: &'static [&'static str]) -> Self {
        Self {
            state: seed | 1,
            words,
        }
    }

    /// One to four changes of `input`; `other` is a second input to take pieces from.
    pub fn mutate(&mut self, input: &[u8], other: &[u8], bytes_max: usize) -> Vec<u8> {
        let mut bytes = input.to_vec();
        for _ in 0..=self.below(4) {
            self.change(&mut bytes, other);
        }
        bytes.truncate(bytes_max);
        bytes
    }

    /// A number below `end`, which is not 0.
    pub fn below(&mut self, end: usize) -> usize {
        // xorshift64: enough to spread, and the same everywhere.
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        usize::try_from(self.state % end as u64).unwrap()
    }

    fn change(&mut self, bytes: &mut Vec<u8>, other: &[u8]) {
        let at = self.below(bytes.len() + 1);
        let until = at + self.below(bytes.len() - at + 1).min(64);
        match self.below(9) {
            0 if at < bytes.len() => bytes[at] ^= 1 << self.below(8),
            1 if at < bytes.len() => bytes[at] = BYTES[self.below(BYTES.len())],
            2 => bytes.insert(at, BYTES[self.below(BYTES.len())]),
            3 => drop(bytes.drain(at..until)),
            4 => {
                let piece = bytes[at..until].to_vec();
                let to = self.below(bytes.len() + 1);
                bytes.splice(to..to, piece);
            }
            5 if !other.is_empty() => {
                let from = self.below(other.len());
                let piece = &other[from..(from + 1 + self.below(32)).min(other.len())];
                bytes.splice(at..until, piece.iter().copied());
            }
            6 if !self.words.is_empty() => {
                let word = self.words[self.below(self.words.len())];
                let until = if self.below(2) == 0 { at } else { until };
                bytes.splice(at..until, word.bytes());
            }
            7 => bytes[at..until].iter_mut().for_each(|byte| {
                if byte.is_ascii_alphabetic() {
                    *byte ^= 0x20;
                }
            }),
            _ => {
                let encoded: Vec<u8> = bytes[at..until.min(at + 3)]
                    .iter()
                    .flat_map(|byte| format!("%{byte:02x}").into_bytes())
                    .collect();
                bytes.splice(at..until.min(at + 3), encoded);
            }
        }
    }
}
