//! PE and COFF (Microsoft, PE Format).

use blt_core::Region;
use goblin::pe::header::{CoffHeader, Header};
use goblin::pe::section_table::SectionTable;
use goblin::pe::symbol::IMAGE_SYM_CLASS_FILE;

use crate::regions::symbols_without_sizes;

/// Size of a COFF header and of one symbol in bytes.
const COFF_HEADER_BYTES: u64 = 20;
const SYMBOL_BYTES: u64 = 18;
const SECTION_BYTES: u64 = 40;

/// Headers, sections with their symbols, the symbol table, and certificates of an executable.
pub(crate) fn regions(bytes: &[u8]) -> Result<Vec<Region>, String> {
    let header = Header::parse(bytes).map_err(|error| error.to_string())?;
    let pe = u64::from(header.dos_header.pe_pointer);
    let coff = &header.coff_header;
    let optional_size = u64::from(coff.size_of_optional_header);
    let sections = pe + 4 + COFF_HEADER_BYTES + optional_size;
    let mut regions = vec![
        Region::new("dos header", 0, pe),
        Region::new("header", pe, 4 + COFF_HEADER_BYTES),
        Region::new("optional header", pe + 4 + COFF_HEADER_BYTES, optional_size),
    ];
    if let Some(optional) = &header.optional_header
        && let Some(certificates) = optional.data_directories.get_certificate_table()
    {
        // The one directory whose address is a place in the file.
        let (start, size) = (u64::from(certificates.virtual_address), u64::from(certificates.size));
        regions.push(Region::new("certificates", start, size));
    }
    regions.extend(sections_and_symbols(bytes, coff, sections)?);
    Ok(regions)
}

/// The same for an object file, which begins with the COFF header.
pub(crate) fn object_regions(bytes: &[u8]) -> Result<Vec<Region>, String> {
    let coff = CoffHeader::parse(bytes, &mut 0).map_err(|error| error.to_string())?;
    let sections = COFF_HEADER_BYTES + u64::from(coff.size_of_optional_header);
    let mut regions = vec![Region::new("header", 0, sections)];
    regions.extend(sections_and_symbols(bytes, &coff, sections)?);
    Ok(regions)
}

fn sections_and_symbols(bytes: &[u8], coff: &CoffHeader, start: u64) -> Result<Vec<Region>, String> {
    let count = u64::from(coff.number_of_sections);
    let mut regions = vec![Region::new("section headers", start, count * SECTION_BYTES)];
    let table_start = u64::from(coff.pointer_to_symbol_table);
    let table_size = u64::from(coff.number_of_symbol_table) * SYMBOL_BYTES;
    let is_inside = table_start > 0 && table_start.saturating_add(table_size) <= bytes.len() as u64;
    let mut offset = usize::try_from(start).map_err(|error| error.to_string())?;
    let sections = coff.sections(bytes, &mut offset).map_err(|error| error.to_string())?;
    let mut symbols = vec![Vec::new(); sections.len()];
    if is_inside {
        regions.push(Region::new("symbol table", table_start, table_size));
        collect_symbols(bytes, coff, &sections, &mut symbols);
        let strings = table_start + table_size;
        if let Some(size) = bytes.get(strings as usize..).and_then(|rest| rest.first_chunk::<4>()) {
            regions.push(Region::new("string table", strings, u64::from(u32::from_le_bytes(*size))));
        }
    }
    for (section, symbols) in sections.iter().zip(symbols) {
        let (start, size) = (u64::from(section.pointer_to_raw_data), u64::from(section.size_of_raw_data));
        if start == 0 || size == 0 {
            continue; // nothing of it is in the file
        }
        let name = section.real_name.as_deref().or_else(|| section.name().ok()).unwrap_or_default();
        let mut region = Region::new("section", start, size).named(name);
        region.children = symbols_without_sizes(symbols, start + size);
        regions.push(region);
        if section.number_of_relocations > 0 {
            let size = u64::from(section.number_of_relocations) * 10;
            regions.push(Region::new("relocations", u64::from(section.pointer_to_relocations), size).named(name));
        }
    }
    Ok(regions)
}

/// The symbols of each section, with their places in the file.
fn collect_symbols(bytes: &[u8], coff: &CoffHeader, sections: &[SectionTable], found: &mut [Vec<(u64, Box<str>)>]) {
    let (Ok(Some(symbols)), Ok(Some(strings))) = (coff.symbols(bytes), coff.strings(bytes)) else { return };
    for (_, inline_name, symbol) in symbols.iter() {
        // Sections count from 1; 0 and less are symbols that lie in none. A section's own name is no symbol in it.
        let Some(index) = usize::try_from(symbol.section_number).ok().and_then(|number| number.checked_sub(1)) else {
            continue;
        };
        let Some(section) = sections.get(index).filter(|_| symbol.storage_class != IMAGE_SYM_CLASS_FILE) else {
            continue;
        };
        let name = inline_name.or_else(|| symbol.name(&strings).ok()).unwrap_or_default();
        if name.is_empty() || name.starts_with('.') {
            continue;
        }
        found[index].push((u64::from(section.pointer_to_raw_data) + u64::from(symbol.value), name.into()));
    }
}
