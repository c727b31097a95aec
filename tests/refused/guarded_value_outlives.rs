use sharena::Options;
use sharena::lock::Mutex;

fn main() {
    let segment = Options::new().capacity(1 << 20).create_anonymous().unwrap();
    let mutex = segment.construct("m", Mutex::new(1)).unwrap();
    let mut guard = mutex.lock().unwrap();
    let value = &mut *guard;
    drop(guard);
    *value = 2;
}
