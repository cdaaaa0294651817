//! ELF (Tool Interface Standard, Executable and Linking Format, version 1.2).

use blt_core::Region;
use goblin::container::Ctx;
use goblin::elf::section_header::{SHT_DYNSYM, SHT_NOBITS, SHT_SYMTAB, SectionHeader};
use goblin::elf::sym::{STT_FUNC, STT_GNU_IFUNC, STT_OBJECT, Symtab};
use goblin::elf::{Elf, header::ET_REL, header::Header, program_header::ProgramHeader};

use crate::regions::{bytes_at, string_at};

/// Headers, sections and the symbols in them; of a file without sections the segments.
pub(crate) fn regions(bytes: &[u8]) -> Result<Vec<Region>, String> {
    let header = Elf::parse_header(bytes).map_err(|error| error.to_string())?;
    let context = Ctx::new(
        header.container().map_err(|error| error.to_string())?,
        header.endianness().map_err(|error| error.to_string())?,
    );
    let segments = segments(bytes, &header, context);
    let mut regions = vec![Region::new("header", 0, u64::from(header.e_ehsize))];
    if !segments.is_empty() {
        let size = u64::from(header.e_phentsize) * u64::from(header.e_phnum);
        regions.push(Region::new("program headers", header.e_phoff, size));
    }
    let sections = sections(bytes, &header, context);
    if sections.is_empty() {
        let with_bytes = segments.iter().filter(|segment| segment.p_filesz > 0);
        regions.extend(with_bytes.map(|segment| Region::new("segment", segment.p_offset, segment.p_filesz)));
        return Ok(regions);
    }
    let size = u64::from(header.e_shentsize) * sections.len() as u64;
    regions.push(Region::new("section headers", header.e_shoff, size));
    let names = sections.get(usize::from(header.e_shstrndx)).and_then(|table| content(bytes, table)).unwrap_or(&[]);
    let mut symbols = symbols(bytes, &header, &sections, context);
    for (index, section) in sections.iter().enumerate().filter(|(_, section)| section.sh_type != SHT_NOBITS) {
        let name = string_at(names, section.sh_name as u64).unwrap_or_default();
        let mut region = Region::new("section", section.sh_offset, section.sh_size).named(name);
        region.children = std::mem::take(&mut symbols[index]);
        regions.push(region);
    }
    Ok(regions)
}

fn segments(bytes: &[u8], header: &Header, context: Ctx) -> Vec<ProgramHeader> {
    let size = u64::from(header.e_phentsize) * u64::from(header.e_phnum);
    if size == 0 || bytes_at(bytes, header.e_phoff, size).is_none() {
        return Vec::new();
    }
    ProgramHeader::parse(bytes, header.e_phoff as usize, usize::from(header.e_phnum), context).unwrap_or_default()
}

fn sections(bytes: &[u8], header: &Header, context: Ctx) -> Vec<SectionHeader> {
    let size = u64::from(header.e_shentsize);
    if header.e_shoff == 0 || bytes_at(bytes, header.e_shoff, size).is_none() {
        return Vec::new();
    }
    let parse = |count| SectionHeader::parse(bytes, header.e_shoff as usize, count, context).unwrap_or_default();
    // A number that does not fit the header stands in the first section's size.
    let count = match header.e_shnum {
        0 => parse(1).first().map_or(0, |first| first.sh_size),
        count => u64::from(count),
    };
    match count.checked_mul(size).and_then(|size| bytes_at(bytes, header.e_shoff, size)) {
        Some(_) => parse(count as usize),
        None => Vec::new(),
    }
}

fn content<'a>(bytes: &'a [u8], section: &SectionHeader) -> Option<&'a [u8]> {
    bytes_at(bytes, section.sh_offset, section.sh_size)
}

/// The functions and objects of each section, from the symbol table or else the dynamic one.
fn symbols(bytes: &[u8], header: &Header, sections: &[SectionHeader], context: Ctx) -> Vec<Vec<Region>> {
    let mut found = vec![Vec::new(); sections.len()];
    let of_type = |wanted| sections.iter().find(|section| section.sh_type == wanted && section.sh_size > 0);
    let Some(table) = of_type(SHT_SYMTAB).or_else(|| of_type(SHT_DYNSYM)) else { return found };
    let entry = table.sh_entsize.max(1);
    if content(bytes, table).is_none() || entry < goblin::elf::sym::Sym::size(context.container) as u64 {
        return found;
    }
    let count = (table.sh_size / entry) as usize;
    let Ok(table_entries) = Symtab::parse(bytes, table.sh_offset as usize, count, context) else { return found };
    let names = sections.get(table.sh_link as usize).and_then(|names| content(bytes, names)).unwrap_or(&[]);
    for symbol in table_entries.iter().filter(|symbol| symbol.st_size > 0) {
        let label = match symbol.st_type() {
            STT_FUNC | STT_GNU_IFUNC => "function",
            STT_OBJECT => "object",
            _ => continue,
        };
        let Some(section) = sections.get(symbol.st_shndx).filter(|section| section.sh_type != SHT_NOBITS) else {
            continue;
        };
        // In an object file values count from the section, elsewhere they are addresses.
        let address = if header.e_type == ET_REL { 0 } else { section.sh_addr };
        let Some(start) = symbol.st_value.checked_sub(address).and_then(|offset| offset.checked_add(section.sh_offset))
        else {
            continue;
        };
        let name = string_at(names, symbol.st_name as u64).unwrap_or_default();
        found[symbol.st_shndx].push(Region::new(label, start, symbol.st_size).named(name));
    }
    found
}
