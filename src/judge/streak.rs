//! So many in a row: when looks that agree are enough, either way.

/// Counts looks of the same kind in a row: `rise` good ones make it up, `fall` bad ones down.
#[derive(Clone, Copy, Debug)]
pub struct Streak {
    rise: u32,
    fall: u32,
    good: u32,
    bad: u32,
}

/// What the last looks say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Enough good looks in a row.
    Up,
    /// Enough bad looks in a row.
    Down,
    /// Neither.
    Undecided,
}

impl Streak {
    /// Needs `rise` good looks in a row for up and `fall` bad ones for down; at least one each.
    pub const fn new(rise: u32, fall: u32) -> Self {
        Self {
            rise: if rise == 0 { 1 } else { rise },
            fall: if fall == 0 { 1 } else { fall },
            good: 0,
            bad: 0,
        }
    }

    /// Adds a look.
    pub const fn add(&mut self, good: bool) -> State {
        if good {
            self.good += 1;
            self.bad = 0;
        } else {
            self.bad += 1;
            self.good = 0;
        }
        if self.good >= self.rise {
            State::Up
        } else if self.bad >= self.fall {
            State::Down
        } else {
            State::Undecided
        }
    }

    /// How many good ones in a row there are.
    pub const fn good(&self) -> u32 {
        self.good
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_bad_look_begins_the_count_anew() {
        let mut streak = Streak::new(3, 2);
        let looks = [true, true, false, true, true, true, false, false];
        let states: Vec<_> = looks.iter().map(|good| streak.add(*good)).collect();
        assert_eq!(states[..5], [State::Undecided; 5]);
        assert_eq!(states[5..], [State::Up, State::Undecided, State::Down]);
    }
}
