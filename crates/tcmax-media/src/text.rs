//! Text as a vector of word counts.

/// Counts of the words and pairs of neighbouring words of a text, each in the bucket of its hash
/// (FNV-1a), scaled to length 1; zeros for a text without words.
///
/// ```
/// let bag = tcmax_media::bag_of_words("A fine, FINE day", 64);
/// assert_eq!(bag, tcmax_media::bag_of_words("a fine fine day", 64));
/// assert!((bag.iter().map(|x| x * x).sum::<f32>() - 1.0).abs() < 1e-6);
/// ```
pub fn bag_of_words(text: &str, buckets: usize) -> Vec<f32> {
    let lower = text.to_lowercase();
    let words: Vec<&str> =
        lower.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()).collect();
    let mut bag = vec![0f32; buckets.max(1)];
    let mut count = |hash: u64| bag[(hash % buckets.max(1) as u64) as usize] += 1.0;
    for word in &words {
        count(fnv(word.bytes()));
    }
    for pair in words.windows(2) {
        count(fnv(pair[0].bytes().chain([b' ']).chain(pair[1].bytes())));
    }
    let length = bag.iter().map(|x| x * x).sum::<f32>().sqrt();
    if length > 0.0 {
        bag.iter_mut().for_each(|x| *x /= length);
    }
    bag
}

fn fnv(bytes: impl Iterator<Item = u8>) -> u64 {
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}
