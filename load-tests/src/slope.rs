//! Whether a series grows: the straight line through it by least squares.

/// How much `y` changes for one `x`; `None` without two different `x`.
pub fn slope(points: &[(f64, f64)]) -> Option<f64> {
    let count = points.len() as f64;
    let mean = |of: fn(&(f64, f64)) -> f64| points.iter().map(of).sum::<f64>() / count;
    let (x, y) = (mean(|point| point.0), mean(|point| point.1));
    let spread: f64 = points.iter().map(|point| (point.0 - x).powi(2)).sum();
    let together: f64 = points.iter().map(|point| (point.0 - x) * (point.1 - y)).sum();
    (spread > 0.0).then(|| together / spread)
}

/// What is left after warming up: all but the first third.
pub fn settled<T>(series: &[T]) -> &[T] {
    &series[series.len() / 3..]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_has_its_slope_and_noise_around_it_little() {
        let line: Vec<_> = (0..10).map(|x| (f64::from(x), 3.0 + 2.0 * f64::from(x))).collect();
        assert_eq!(slope(&line), Some(2.0));
        let noisy: Vec<_> = line.iter().map(|(x, _)| (*x, 5.0 + x % 2.0)).collect();
        assert!(slope(&noisy).is_some_and(|slope| slope.abs() < 0.1), "{noisy:?}");
        assert_eq!((slope(&[]), slope(&[(1.0, 2.0)]), slope(&[(1.0, 2.0), (1.0, 3.0)])), (None, None, None));
        assert_eq!(settled(&[1, 2, 3, 4, 5, 6]), [3, 4, 5, 6]);
        assert_eq!(settled(&[1]), [1]);
    }
}
