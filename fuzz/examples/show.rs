//! What a file of a corpus does: its script, step by step, then the target itself.
fn main() {
    let mut args = std::env::args().skip(1);
    let target = args.next().expect("a target's name");
    let path = args.next().expect("a file");
    let data = std::fs::read(path).expect("a file");
    if ["mutated", "recovery"].contains(&target.as_str()) {
        let bases = sharena_fuzz::image::all();
        println!("{} mode {:#x}", bases[usize::from(data[0]) % bases.len()].name, data[1]);
        let mut image = sharena_fuzz::image::Image::of(&bases[usize::from(data[0]) % bases.len()]);
        for mut record in sharena_fuzz::record::Record::all(&data[2..]) {
            if target == "recovery" && !record.is_act() {
                record = sharena_fuzz::targets::in_what_recovery_reads(record);
            }
            println!("{record:x?}");
            if !record.is_act() {
                let at = sharena_fuzz::mutation::place(&image, &record);
                let old = image.get(at);
                sharena_fuzz::mutation::apply(&mut image, &record);
                println!("   {at:#x}: {old:#x} -> {:#x}", image.get(at));
            }
        }
        let file = sharena_fuzz::file::File::of_image(&image);
        let segment = sharena::Options::new().recover_at_open(false).open_fd(file.descriptor());
        match segment.map(|segment| segment.check()) {
            Ok(Ok(report)) => println!("at first, without recovery: {report}"),
            refused => println!("at first: {refused:?}"),
        }
    }
    if target == "hostile"
        && let Some((mode, sparse, acts)) = sharena_fuzz::targets::hostile_file(&data)
    {
        println!("mode {mode:#x}, {} bytes", sparse.size);
        let file = sharena_fuzz::file::File::of(&sparse);
        let segment =
            sharena::Options::new().recover_at_open(mode & 2 == 0).open_fd(file.descriptor());
        match segment.map(|segment| segment.check()) {
            Ok(Ok(report)) => println!("at first: {report}"),
            refused => println!("at first: {refused:?}"),
        }
        acts.iter().for_each(|record| println!("{record:x?}"));
    }
    let found = sharena_fuzz::targets::ALL.iter().find(|found| found.name == target);
    (found.expect("a target's name").run)(&data);
}
