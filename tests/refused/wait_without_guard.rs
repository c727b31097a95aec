use sharena::Options;
use sharena::lock::{Condvar, Mutex};

fn main() {
    let segment = Options::new().capacity(1 << 20).create_anonymous().unwrap();
    let pair = segment.construct("pair", (Mutex::new(1), Condvar::new())).unwrap();
    let guard = pair.0.lock().unwrap();
    let other = pair.1.wait(guard).unwrap();
    drop(guard);
    drop(other);
}
