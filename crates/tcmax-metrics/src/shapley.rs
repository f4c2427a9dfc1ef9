//! Shapley values (Shapley 1953): what each modality contributes to the value of all together.
//!
//! With players m = 1, ..., M and the value v(S) of a coalition S, say the accuracy with these modalities
//! present,
//!
//! ```text
//! phi_m = sum over S without m of |S|! (M - |S| - 1)! / M! (v(S + m) - v(S)),
//! ```
//!
//! which is the mean gain of m over all orders in which the players can join. The values sum to
//! v(all) - v(none).

use crate::error::{Error, Result, require_length};

/// The largest number of players: v is needed for 2^M coalitions.
pub const MOST_PLAYERS: usize = 12;

/// All coalitions of M players, as who takes part. Coalition i has player m where bit m of i is set: the
/// first is empty, the last has all.
///
/// # Errors
/// Without players, or with more than [`MOST_PLAYERS`].
pub fn coalitions(players: usize) -> Result<Vec<Vec<bool>>> {
    if !(1..=MOST_PLAYERS).contains(&players) {
        let (value, wanted) = (players as f64, "from 1 to 12");
        return Err(Error::BadParameter { name: "the number of players", value, wanted });
    }
    let members = |coalition: usize| (0..players).map(|m| coalition >> m & 1 == 1).collect();
    Ok((0..1 << players).map(members).collect())
}

/// The Shapley values (M,) of a set function, which is called once for each of the 2^M coalitions.
///
/// ```
/// use tcmax_metrics::shapley;
///
/// // Accuracy by chance 0.1, from sound 0.7, from the picture 0.8, from both 0.9.
/// let accuracy = |present: &[bool]| match present {
///     [true, true] => 0.9,
///     [true, false] => 0.7,
///     [false, true] => 0.8,
///     _ => 0.1,
/// };
/// let [sound, picture] = shapley(2, accuracy)?[..] else { unreachable!() };
/// assert!((sound - 0.35).abs() < 1e-12 && (picture - 0.45).abs() < 1e-12);
/// # Ok::<(), tcmax_metrics::Error>(())
/// ```
///
/// # Errors
/// As [`coalitions`]; a value of NaN makes the players NaN that it concerns.
pub fn shapley(players: usize, value: impl FnMut(&[bool]) -> f64) -> Result<Vec<f64>> {
    let coalitions = coalitions(players)?;
    let values: Vec<f64> = coalitions.iter().map(Vec::as_slice).map(value).collect();
    shapley_of_values(players, &values)
}

/// The Shapley values (M,) from the values of all coalitions (2^M,), in the order of [`coalitions`]: for
/// values whose computation can fail.
///
/// # Errors
/// As [`coalitions`], and when there is not one value per coalition.
pub fn shapley_of_values(players: usize, values: &[f64]) -> Result<Vec<f64>> {
    let coalitions = coalitions(players)?;
    let why = || format!("one per coalition of {players} players");
    require_length("values of coalitions", values.len(), coalitions.len(), why)?;
    // weights[s] = s! (M - s - 1)! / M!
    let mut weights = vec![1.0 / players as f64];
    for size in 1..players {
        weights.push(weights[size - 1] * size as f64 / (players - size) as f64);
    }
    let value_of = |player: usize| {
        let without = (0..values.len()).filter(|coalition| coalition >> player & 1 == 0);
        let gains = without.map(|coalition| {
            let gain = values[coalition | 1 << player] - values[coalition];
            weights[coalition.count_ones() as usize] * gain
        });
        gains.sum()
    };
    Ok((0..players).map(value_of).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// By definition: the mean gain over all orders.
    fn by_orders(players: usize, values: &[f64]) -> Vec<f64> {
        fn visit(left: &mut Vec<usize>, joined: usize, values: &[f64], sums: &mut [f64]) -> f64 {
            let mut orders = 0.0;
            for index in 0..left.len() {
                let player = left.remove(index);
                let with = joined | 1 << player;
                let below = visit(left, with, values, sums);
                sums[player] += below * (values[with] - values[joined]);
                orders += below;
                left.insert(index, player);
            }
            if left.is_empty() { 1.0 } else { orders }
        }
        let mut sums = vec![0.0; players];
        let orders = visit(&mut (0..players).collect(), 0, values, &mut sums);
        sums.into_iter().map(|sum| sum / orders).collect()
    }

    proptest! {
        #[test]
        fn values_are_mean_gains_and_sum_to_the_whole(
            (players, values) in (1usize..=6).prop_flat_map(|players| {
                (Just(players), prop::collection::vec(-1.0..1.0, 1 << players))
            })
        ) {
            let found = shapley_of_values(players, &values).unwrap();
            let sum: f64 = found.iter().sum();
            prop_assert!((sum - (values[values.len() - 1] - values[0])).abs() < 1e-12);
            for (found, wanted) in found.iter().zip(by_orders(players, &values)) {
                prop_assert!((found - wanted).abs() < 1e-12);
            }
        }
    }

    #[test]
    fn a_sum_gives_each_player_its_term() {
        let terms: Vec<f64> = (0..MOST_PLAYERS).map(|m| m as f64 - 3.5).collect();
        let value = |present: &[bool]| {
            present.iter().zip(&terms).map(|(is, term)| if *is { *term } else { 0.0 }).sum()
        };
        let found = shapley(MOST_PLAYERS, value).unwrap();
        for (found, term) in found.iter().zip(&terms) {
            assert!((found - term).abs() < 1e-12);
        }
    }

    #[test]
    fn too_many_players_and_too_few_values() {
        let error = shapley(13, |_| 0.0).unwrap_err().to_string();
        assert_eq!(error, "the number of players is 13; it must be from 1 to 12");
        assert!(shapley(0, |_| 0.0).is_err());
        let error = shapley_of_values(2, &[0.0; 3]).unwrap_err().to_string();
        let wanted =
            "values of coalitions: got 3 values, wanted 4 (one per coalition of 2 players)";
        assert_eq!(error, wanted);
    }
}
