use super::Round;
use super::mask::{ChunkBuffers, MaskKey, RingSecret, unmask_chunk};
use super::parameters::NOISE_BOUND;

/// What an opening goes by, whichever secret is tried.
pub(super) struct Opening<'a> {
    pub round: Round<'a>,
    mask_key: MaskKey,
    /// 32 |U|: bounds each coefficient of the summed secret and of the summed noise.
    pub noise_limit: u32,
}

impl<'a> Opening<'a> {
    /// For the sum over so many contributors.
    pub fn new(round: Round<'a>, contributors: usize) -> Self {
        Self {
            round,
            mask_key: MaskKey::new(round.header_hash),
            noise_limit: NOISE_BOUND * contributors as u32,
        }
    }

    /// The messages of one chunk, which replace the mask, and its largest noise, or nothing if a noise or a message is
    /// out of its range.
    pub fn unmask(
        &self,
        secret: &RingSecret,
        chunk: usize,
        bytes: &[u8],
        buffers: &mut ChunkBuffers,
    ) -> Option<u32> {
        let mask = &mut buffers.mask;
        self.round.ring.mask(&self.mask_key, chunk, secret, mask);
        let unmasked = unmask_chunk(bytes, mask);
        let fits = unmasked.messages_fit && unmasked.largest_noise <= u64::from(self.noise_limit);
        fits.then_some(unmasked.largest_noise as u32)
    }
}
