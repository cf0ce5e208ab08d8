//! What to send when a batch is refused because one of its members is bad (S8).

/// Cuts `items` into batches of at most `limit`, keeping their order.
#[must_use]
pub fn batches<T: Clone>(items: &[T], limit: usize) -> Vec<Vec<T>> {
    items.chunks(limit).map(<[T]>::to_vec).collect()
}

/// The two halves of a refused batch, or the one bad member it consists of.
///
/// Halving until single members are left finds each bad one in at most 2⌈log₂ n⌉ further calls.
///
/// # Errors
///
/// The member, when there is only one.
pub fn halve<T: Clone>(batch: &[T]) -> Result<[Vec<T>; 2], T> {
    match batch {
        [bad] => Err(bad.clone()),
        _ => {
            let (left, right) = batch.split_at(batch.len() / 2);
            Ok([left.to_vec(), right.to_vec()])
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sends a batch to a cloud that refuses any batch with a bad member; returns (calls, added, parked).
    fn send(batch: &[u32], bad: &[u32]) -> (usize, Vec<u32>, Vec<u32>) {
        let (mut calls, mut added, mut parked) = (0, Vec::new(), Vec::new());
        let mut queue = vec![batch.to_vec()];
        while let Some(batch) = queue.pop() {
            calls += 1;
            if !batch.iter().any(|item| bad.contains(item)) {
                added.extend(batch);
                continue;
            }
            match halve(&batch) {
                Ok(halves) => queue.extend(halves),
                Err(bad) => parked.push(bad),
            }
        }
        added.sort_unstable();
        (calls, added, parked)
    }

    #[test]
    fn one_bad_member_does_not_stop_199() {
        for bad in 0..200 {
            let (calls, added, parked) = send(&(0..200).collect::<Vec<_>>(), &[bad]);
            assert_eq!((added.len(), parked), (199, vec![bad]));
            assert!(calls <= 1 + 2 * 8, "{calls} calls for {bad}");
        }
    }

    #[test]
    fn batches_keep_order_and_limit() {
        assert_eq!(
            batches(&[1, 2, 3, 4, 5], 2),
            vec![vec![1, 2], vec![3, 4], vec![5]]
        );
        assert!(batches::<u8>(&[], 2).is_empty());
    }
}
