//! Ways to choose some of many, in lexicographic order.

/// Every way to choose `chosen` of `0..of`, each ascending, in lexicographic order (Python's `itertools.combinations`).
pub(crate) fn combinations(of: usize, chosen: usize) -> Vec<Vec<usize>> {
    let mut all = Vec::new();
    if chosen > of {
        return all;
    }
    let mut current: Vec<usize> = (0..chosen).collect();
    loop {
        all.push(current.clone());
        // The last place that can still move up moves by one; those after it follow closely.
        let Some(place) = (0..chosen).rev().find(|&place| current[place] < of - chosen + place) else { return all };
        current[place] += 1;
        for next in place + 1..chosen {
            current[next] = current[next - 1] + 1;
        }
    }
}

/// How many ways there are; `None` where the number is past `u64`.
pub(crate) fn combination_count(of: usize, chosen: usize) -> Option<u64> {
    if chosen > of {
        return Some(0);
    }
    // Each product is divisible: it is C(of, step + 1) * (step + 1).
    (0..chosen.min(of - chosen)).try_fold(1_u64, |count, step| {
        let product = u128::from(count) * (of - step) as u128 / (step as u128 + 1);
        u64::try_from(product).ok()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_of_five_are_ten_in_order() {
        let all = combinations(5, 3);
        assert_eq!(all.len() as u64, combination_count(5, 3).unwrap());
        assert_eq!((&all[0], &all[1], &all[9]), (&vec![0, 1, 2], &vec![0, 1, 3], &vec![2, 3, 4]));
        assert!(all.is_sorted());
        assert_eq!(combinations(3, 0), vec![Vec::<usize>::new()]);
        assert!(combinations(2, 3).is_empty());
    }

    #[test]
    fn a_number_past_u64_is_told() {
        assert_eq!(combination_count(10, 2), Some(45));
        assert_eq!(combination_count(16, 8), Some(12_870));
        assert_eq!(combination_count(400, 200), None);
    }
}
