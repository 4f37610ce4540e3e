/// Real numbers that are read a piece at a time: 4.2 million of them need not lie in memory at once. If they are secret, how long a
/// read takes may depend on how many are read and from where, and on nothing else.
///
/// ```
/// use crypto::sealed_sum::Reals;
///
/// let all = vec![0.5, -1.0, 2.0];
/// let mut last = [0.0; 2];
/// all.read(1, &mut last);
/// assert_eq!((all.count(), last), (3, [-1.0, 2.0]));
/// ```
pub trait Reals: Sync {
    /// How many there are.
    fn count(&self) -> usize;

    /// Fills `piece` with those from number `first` on.
    ///
    /// # Panics
    /// If there are not so many.
    fn read(&self, first: usize, piece: &mut [f64]);
}

impl Reals for [f64] {
    fn count(&self) -> usize {
        self.len()
    }

    fn read(&self, first: usize, piece: &mut [f64]) {
        piece.copy_from_slice(&self[first..][..piece.len()]);
    }
}

impl Reals for Vec<f64> {
    fn count(&self) -> usize {
        self.len()
    }

    fn read(&self, first: usize, piece: &mut [f64]) {
        self.as_slice().read(first, piece);
    }
}

impl<const N: usize> Reals for [f64; N] {
    fn count(&self) -> usize {
        N
    }

    fn read(&self, first: usize, piece: &mut [f64]) {
        self.as_slice().read(first, piece);
    }
}
