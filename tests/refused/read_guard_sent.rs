use sharena::Options;
use sharena::lock::RwLock;

fn main() {
    let segment = Options::new().capacity(1 << 20).create_anonymous().unwrap();
    let lock = segment.construct("m", RwLock::new(1)).unwrap();
    let guard = lock.read().unwrap();
    std::thread::scope(|scope| {
        scope.spawn(move || drop(guard));
    });
}
