//! Faults on purpose: which messages are lost and which are overtaken.

/// What happens to a message.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fate {
    /// It is sent.
    Send,
    /// It is lost.
    Lose,
    /// It is sent behind the next one that is sent.
    HoldBack,
}

/// Decides the fate of each message, in order, from a seed.
#[derive(Clone, Debug)]
pub struct Impairer {
    loss: f64,
    reorder: f64,
    is_holding: bool,
    random: fastrand::Rng,
}

impl Impairer {
    /// `loss` and `reorder` are parts of all messages, 0 to below 1.
    pub fn new(loss: f64, reorder: f64, seed: u64) -> Impairer {
        Impairer { loss, reorder, is_holding: false, random: fastrand::Rng::with_seed(seed) }
    }

    /// The fate of the next message. One that was held back is sent behind the next [`Fate::Send`], and no other is held meanwhile.
    pub fn fate(&mut self) -> Fate {
        let (lose, hold) = (self.random.f64() < self.loss, self.random.f64() < self.reorder);
        match (lose, hold && !self.is_holding) {
            (true, _) => Fate::Lose,
            (false, true) => {
                self.is_holding = true;
                Fate::HoldBack
            }
            (false, false) => {
                self.is_holding = false;
                Fate::Send
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fates_come_from_the_seed_in_the_parts_asked_for() {
        let fates = |seed| {
            let mut impairer = Impairer::new(0.1, 0.2, seed);
            (0..10_000).map(|_| impairer.fate()).collect::<Vec<_>>()
        };
        assert_eq!(fates(1), fates(1));
        assert_ne!(fates(1), fates(2));
        let count = |fate| fates(3).into_iter().filter(|other| *other == fate).count();
        assert!((900..1_100).contains(&count(Fate::Lose)), "{}", count(Fate::Lose));
        // Of the nine tenths that are left a fifth, less those that fall on a place that holds one.
        assert!((1_400..1_800).contains(&count(Fate::HoldBack)), "{}", count(Fate::HoldBack));
        let mut untouched = Impairer::new(0.0, 0.0, 1);
        assert!((0..1_000).all(|_| untouched.fate() == Fate::Send));
    }
}
