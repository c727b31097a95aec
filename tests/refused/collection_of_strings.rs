use sharena::collections::Vec;

fn main() {
    let _: Vec<std::string::String> = Vec::new();
}
