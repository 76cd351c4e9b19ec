//! A few swaps of each kind under mixed traffic; `tests/swaps` does it a hundred times.

use std::time::Duration;

use cutover_tests::swaps::{Extent, Figures, WAYS, node, swap};
use cutover_tests::world::World;

#[test]
fn under_mixed_traffic() {
    let world = World::new();
    let (node, mut gate) = node(&world);
    println!("{}", Figures::heading());
    for way in WAYS {
        let figures = swap(&node, way, Extent { swaps: 3, within: Duration::from_secs(120) });
        println!("{}", figures.row());
        assert_eq!(figures.broken_promise(), None);
        assert!(figures.tally.requests > 100 && figures.swaps > 0, "{figures:?}");
        assert!(figures.tally.parted > 0, "a socket that lasts meets every swap: {figures:?}");
        match way {
            "blue-green" => assert!(figures.dark.abs() < f64::EPSILON, "{}", figures.row()),
            "hold" => assert!(figures.held > 0, "{}", figures.row()),
            _ => assert!(figures.tally.refused > 0, "{}", figures.row()),
        }
    }
    assert_eq!(gate.end(), Some(0));
}
