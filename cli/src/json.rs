//! The answers as JSON. All sizes are bytes.

use serde_json::{Value, json};
use sharena::{
    Finding, Listed, Looked, ObjectInfo, ParticipantStats, Recovered, Report, Stats, Sum,
};
use std::time::UNIX_EPOCH;

pub fn list(listed: &[Listed]) -> Value {
    let row = |one: &Listed| json!({ "name": one.name, "capacity": one.capacity, "committed": one.committed, "problem": one.problem });
    listed.iter().map(row).collect()
}

pub fn objects(objects: &[ObjectInfo]) -> Value {
    let row = |one: &ObjectInfo| {
        json!({
            "name": one.name,
            "unique": one.unique,
            "type": one.type_name,
            "fingerprint": format!("{:016x}", one.fingerprint),
            "count": one.count,
            "bytes": one.bytes,
            "offset": one.offset,
        })
    };
    objects.iter().map(row).collect()
}

fn sum(sum: Sum) -> Value {
    json!({ "count": sum.count, "bytes": sum.bytes })
}

fn participant(one: &ParticipantStats) -> Value {
    let attached_at = one.attached_at.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    json!({
        "slot": one.slot,
        "pid": one.pid,
        "liveness": one.liveness.to_string(),
        "is_self": one.is_self,
        "attached_at": attached_at,
        "lanes": one.lanes,
        "slabs": one.slabs,
        "private": one.private,
    })
}

pub fn recovered(recovered: &Recovered) -> Value {
    json!({
        "processes": recovered.processes,
        "lanes": recovered.lanes,
        "slabs": recovered.slabs,
        "blocks": recovered.blocks,
        "bytes": recovered.bytes,
        "units": recovered.units,
        "undone": recovered.undone,
        "finished": recovered.finished,
        "pending": recovered.pending,
    })
}

pub fn stats(stats: &Stats) -> Value {
    let classes = stats.classes.iter().map(|class| {
        json!({
            "block": class.block,
            "leases": class.leases,
            "slabs": class.slabs,
            "free": class.blocks.free,
            "private": class.blocks.private,
            "published": class.blocks.published,
            "parts": class.blocks.parts,
            "raw": class.blocks.raw,
            "limbo": class.blocks.limbo,
            "unknown": class.blocks.unknown,
        })
    });
    json!({
        "capacity": stats.capacity,
        "total": stats.total,
        "free": stats.free,
        "used": stats.used,
        "committed": stats.committed,
        "units": {
            "free": stats.units.free,
            "decommitted": stats.units.decommitted,
            "untouched": stats.units.untouched,
            "slabs": stats.units.slabs,
            "runs": stats.units.runs,
            "other": stats.units.other,
        },
        "classes": classes.collect::<Value>(),
        "orphan_slabs": stats.orphan_slabs,
        "runs": {
            "private": sum(stats.runs.private),
            "published": sum(stats.runs.published),
            "parts": sum(stats.runs.parts),
            "raw": sum(stats.runs.raw),
            "limbo": sum(stats.runs.limbo),
        },
        "participants": stats.participants.iter().map(participant).collect::<Value>(),
        "lanes": stats.lanes,
        "names": {
            "slots": stats.names.slots,
            "entries": stats.names.entries,
            "objects": stats.names.objects,
            "types": stats.names.types,
            "arrays": stats.names.arrays,
        },
    })
}

fn finding(one: &Finding) -> Value {
    json!({
        "severity": one.severity.to_string(),
        "kind": one.kind.name(),
        "place": one.place.to_string(),
        "text": one.text,
    })
}

pub fn report(report: &Report) -> Value {
    let Looked {
        units,
        slabs,
        blocks,
        runs,
        participants,
        lanes,
        arrays,
        names,
        objects,
        parts,
        unnamed,
        shared,
        ..
    } = report.looked;
    json!({
        "clean": report.is_clean(),
        "findings": report.findings.iter().map(finding).collect::<Value>(),
        "notes": report.notes.iter().map(finding).collect::<Value>(),
        "omitted": report.omitted,
        "other_lanes": report.others,
        "looked": {
            "units": units,
            "slabs": slabs,
            "blocks": blocks,
            "runs": runs,
            "participants": participants,
            "lanes": lanes,
            "arrays": arrays,
            "names": names,
            "objects": objects,
            "parts": parts,
            "unnamed": unnamed,
            "shared": shared,
        },
    })
}
