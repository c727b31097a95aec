use sharena::Options;
use sharena::lock::Mutex;

fn main() {
    let segment = Options::new().capacity(1 << 20).create_anonymous().unwrap();
    let mutex = segment.construct("m", Mutex::new(1)).unwrap();
    let guard = mutex.lock().unwrap();
    drop(mutex);
    drop(guard);
}
