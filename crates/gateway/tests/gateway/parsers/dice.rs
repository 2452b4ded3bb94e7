use base::Random as _;
use testkit::SeededRandom;

/// The choices of one message: the same for the same seed and number.
pub struct Dice {
    random: SeededRandom,
    drawn: [u8; 32],
    at: usize,
}

impl Dice {
    pub fn new(seed: u64, number: u64) -> Self {
        let mixed = seed.rotate_left(32) ^ number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        Self {
            random: SeededRandom::new(mixed),
            drawn: [0; 32],
            at: 32,
        }
    }

    /// A number below `end`, which is at most 65,536.
    pub fn below(&mut self, end: usize) -> usize {
        if self.at >= 32 {
            self.random.fill(&mut self.drawn);
            self.at = 0;
        }
        let pair = [self.drawn[self.at], self.drawn[self.at + 1]];
        self.at += 2;
        usize::from(u16::from_le_bytes(pair)) % end
    }

    /// Whether something happens that happens once in `times`.
    pub fn once_in(&mut self, times: usize) -> bool {
        self.below(times) == 0
    }

    pub fn one_of<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len())]
    }
}
