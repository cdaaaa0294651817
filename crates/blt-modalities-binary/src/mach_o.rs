//! Mach-O, one architecture or several (Apple, `mach-o/loader.h` and `mach-o/fat.h`).

use blt_core::Region;
use goblin::mach::constants::cputype::get_arch_name_from_types;
use goblin::mach::{MachO, MultiArch};

use crate::regions::{bytes_at, symbols_without_sizes};

/// The slices of a file for several architectures, each with its own regions.
pub(crate) fn fat_regions(bytes: &[u8]) -> Result<Vec<Region>, String> {
    let slices = MultiArch::new(bytes).map_err(|error| error.to_string())?;
    let mut regions = vec![Region::new("header", 0, 8 + slices.narches as u64 * 20)];
    for slice in slices.iter_arches().map_while(Result::ok) {
        let (start, size) = (u64::from(slice.offset), u64::from(slice.size));
        let name = get_arch_name_from_types(slice.cputype(), slice.cpusubtype()).unwrap_or("unknown");
        let mut region = Region::new("architecture", start, size).named(name);
        if let Some(inner) = bytes_at(bytes, start, size).and_then(|inner| self::regions(inner).ok()) {
            region.children = inner.into_iter().map(|inner| inner.moved(start)).collect();
        }
        regions.push(region);
    }
    Ok(regions)
}

/// Header and load commands, segments, and in them sections with their symbols.
pub(crate) fn regions(bytes: &[u8]) -> Result<Vec<Region>, String> {
    let file = MachO::parse_lossy(bytes, 0).map_err(|error| error.to_string())?;
    let header_bytes = if file.is_64 { 32 } else { 28 };
    let headers = Region::new("header", 0, header_bytes + u64::from(file.header.sizeofcmds));
    let mut sections: Vec<(u64, u64, Region)> = Vec::new(); // address, size
    let mut segments = Vec::new();
    for segment in &file.segments {
        let first = sections.len();
        for (section, _) in segment.sections().unwrap_or_default() {
            // Without a place in the file it is memory to be cleared; it still counts in the symbols' numbering.
            let size = if section.offset == 0 { 0 } else { section.size };
            let region = Region::new("section", u64::from(section.offset), size).named(section.name().unwrap_or(""));
            sections.push((section.addr, size, region));
        }
        segments.push((segment.name().unwrap_or("").to_owned(), segment.fileoff, segment.filesize, first));
    }
    let mut symbols = vec![Vec::new(); sections.len()];
    // The header may claim any number; each has twelve bytes at least.
    let found = file.symbols().take(bytes.len() / 12).filter_map(Result::ok);
    for (name, symbol) in found.filter(|(_, symbol)| !symbol.is_stab()) {
        let Some(index) = symbol.n_sect.checked_sub(1).filter(|index| *index < sections.len()) else { continue };
        let (address, size, section) = &sections[index];
        if let Some(offset) = symbol.n_value.checked_sub(*address).filter(|offset| offset < size) {
            symbols[index].push((section.start + offset, Box::from(name)));
        }
    }
    for ((_, _, section), symbols) in sections.iter_mut().zip(symbols) {
        section.children = symbols_without_sizes(symbols, section.end);
    }
    let mut sections: Vec<Region> = sections.into_iter().map(|(_, _, section)| section).collect();
    let mut regions = Vec::new();
    for (name, start, size, first) in segments.into_iter().rev() {
        let mut segment = Region::new("segment", start, size).named(&name);
        segment.children = sections.split_off(first);
        if start == 0 && size > 0 {
            segment.children.push(headers.clone());
        }
        regions.push(segment);
    }
    if regions.iter().all(|segment| segment.start > 0) {
        regions.push(headers);
    }
    Ok(regions)
}
