//! Builds the way to Boost.Interprocess, if its headers are there.

#[path = "../build.rs"]
mod compiler;

fn main() {
    compiler::main();
    println!("cargo::rustc-check-cfg=cfg(has_boost)");
    println!("cargo::rerun-if-changed=boost");
    #[cfg(feature = "peers")]
    boost();
}

#[cfg(feature = "peers")]
fn boost() {
    let Some(header) = header() else {
        // So that the next build looks again once they are there.
        println!("cargo::rerun-if-changed=/usr/include");
        return;
    };
    println!("cargo::rerun-if-changed={header}");
    println!("cargo::rustc-cfg=has_boost");
    // As its users build it, whatever the profile of the benchmarks.
    let mut build = cc::Build::new();
    build.cpp(true).file("boost/boost.cpp").define("NDEBUG", None).opt_level(3).debug(false);
    build.warnings(false).compile("sharena_boost");
    // Where the C library is older, it has shared memory apart.
    println!("cargo::rustc-link-lib=rt");
}

/// Where the compiler finds it, if it does.
#[cfg(feature = "peers")]
fn header() -> Option<String> {
    const HEADER: &str = "boost/interprocess/managed_shared_memory.hpp\"";
    let mut build = cc::Build::new();
    build.cpp(true).file("boost/headers.cpp").cargo_metadata(false).cargo_warnings(false);
    let expanded = build.try_expand().ok()?;
    let expanded = String::from_utf8_lossy(&expanded);
    // The preprocessor says of each part which file it is of: `# 1 "FILE"`.
    let of = expanded.lines().find(|it| it.starts_with('#') && it.contains(HEADER))?;
    of.split('"').nth(1).map(str::to_owned)
}
