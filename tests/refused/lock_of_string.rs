use sharena::lock::Mutex;

fn main() {
    let _ = Mutex::new(String::new());
}
