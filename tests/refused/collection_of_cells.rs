use sharena::collections::HashMap;
use std::cell::Cell;

fn main() {
    let _: HashMap<u32, Cell<u32>> = HashMap::new();
}
