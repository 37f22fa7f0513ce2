//! Squarified treemaps: areas in proportion to amounts, as near to squares as they get.

use ratatui::layout::Rect;

/// Lays out `amounts` (descending, none zero) in `area`. A terminal cell counts as twice as high as wide.
///
/// Every cell of `area` belongs to exactly one rectangle; an amount too small for a cell gets an empty one.
pub fn squarify(amounts: &[u64], area: Rect) -> Vec<Rect> {
    let mut out = vec![Rect::new(area.x, area.y, 0, 0); amounts.len()];
    let mut left = area;
    let mut total: u128 = amounts.iter().map(|&a| u128::from(a)).sum();
    let mut start = 0;
    while start < amounts.len() && !left.is_empty() && total > 0 {
        let (w, h) = (f64::from(left.width), f64::from(left.height) * 2.0);
        let side = w.min(h);
        let scale = w * h / total as f64;
        let worst = |row: &[u64]| {
            let sum: f64 = row.iter().map(|&a| a as f64 * scale).sum();
            let thick = sum / side;
            row.iter()
                .map(|&a| {
                    let long = a as f64 * scale / thick;
                    (long / thick).max(thick / long)
                })
                .fold(0.0, f64::max)
        };
        let mut end = start + 1;
        while end < amounts.len() && worst(&amounts[start..=end]) <= worst(&amounts[start..end]) {
            end += 1;
        }
        let sum: u128 = amounts[start..end].iter().map(|&a| u128::from(a)).sum();
        let wide = w >= h;
        let extent = if wide { left.width } else { left.height };
        let thick = if end == amounts.len() {
            extent
        } else {
            ((f64::from(extent) * sum as f64 / total as f64).round() as u16).clamp(1, extent)
        };
        let strip = if wide { Rect { width: thick, ..left } } else { Rect { height: thick, ..left } };
        split(&amounts[start..end], strip, !wide, &mut out[start..end]);
        left = if wide {
            Rect { x: left.x + thick, width: left.width - thick, ..left }
        } else {
            Rect { y: left.y + thick, height: left.height - thick, ..left }
        };
        total -= sum;
        start = end;
    }
    out
}

/// Cuts a strip across, in proportion; rounding errors do not add up.
fn split(amounts: &[u64], strip: Rect, across: bool, out: &mut [Rect]) {
    let total: u128 = amounts.iter().map(|&a| u128::from(a)).sum();
    let length = if across { strip.width } else { strip.height };
    let (mut sum, mut from) = (0u128, 0u16);
    for (amount, rect) in amounts.iter().zip(out) {
        sum += u128::from(*amount);
        let to = (f64::from(length) * sum as f64 / total as f64).round() as u16;
        *rect = if across {
            Rect { x: strip.x + from, width: to - from, ..strip }
        } else {
            Rect { y: strip.y + from, height: to - from, ..strip }
        };
        from = to;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_cell_is_covered_once() {
        for (w, h) in [(40, 12), (80, 20), (7, 30), (1, 1), (3, 1)] {
            let area = Rect::new(2, 3, w, h);
            let rects = squarify(&[600, 300, 200, 90, 30, 10, 4, 1, 1], area);
            let mut seen = vec![0; usize::from(w) * usize::from(h)];
            for r in &rects {
                for y in r.top()..r.bottom() {
                    for x in r.left()..r.right() {
                        seen[usize::from(y - 3) * usize::from(w) + usize::from(x - 2)] += 1;
                    }
                }
            }
            assert!(seen.iter().all(|&n| n == 1), "{w}x{h}: {seen:?}");
        }
    }

    #[test]
    fn areas_follow_amounts() {
        let rects = squarify(&[500, 250, 250], Rect::new(0, 0, 80, 20));
        assert_eq!(rects[0].area(), 800);
        assert_eq!(rects[1].area(), 400);
        assert!(squarify(&[], Rect::new(0, 0, 8, 2)).is_empty());
        assert!(squarify(&[1], Rect::new(0, 0, 0, 0))[0].is_empty());
    }
}
