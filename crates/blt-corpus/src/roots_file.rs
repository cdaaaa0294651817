//! Index files: the cap tree, its partitions and the cell directory of a sphere, as safetensors.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use blt_sphere::{CapTree, CellDirectory, PartitionRule, Partitions, Places, Rows, TreeNode, TreeOptions, TreeParts};

use crate::error::ReadError;
use crate::file::ArrayFile;
use crate::hash::sha256_of_arrays;
use crate::placed::Placed;
use crate::write::{Array, write_arrays};

/// The `format` entry of the metadata.
pub const ROOTS_FORMAT: &str = "blt_roots_v1";

/// How an index is built.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RootsOptions {
    /// The tree.
    pub tree: TreeOptions,
    /// Number of partitions, if the tree has as many nodes.
    pub n_partitions: usize,
    /// Nodes are not cut into partitions of less.
    pub min_partition: u32,
}

impl Default for RootsOptions {
    fn default() -> Self {
        Self { tree: TreeOptions::default(), n_partitions: 256, min_partition: 1 }
    }
}

impl RootsOptions {
    /// Every option by name.
    pub fn settings(&self) -> BTreeMap<String, String> {
        [
            ("partition_rule", rule_name(self.tree.partition).to_owned()),
            ("leaf_size", self.tree.leaf_size.to_string()),
            ("partitions", self.n_partitions.to_string()),
            ("min_partition", self.min_partition.to_string()),
        ]
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value))
        .collect()
    }

    fn from_metadata(metadata: &BTreeMap<String, String>) -> Option<Self> {
        let number = |key: &str| metadata.get(key)?.parse::<u32>().ok();
        let partition = rule_named(metadata.get("partition_rule")?)?;
        Some(Self {
            tree: TreeOptions { partition, leaf_size: number("leaf_size")? },
            n_partitions: number("partitions")? as usize,
            min_partition: number("min_partition")?,
        })
    }
}

/// The name of a rule on the command line.
pub fn rule_name(rule: PartitionRule) -> &'static str {
    match rule {
        PartitionRule::Caps => "caps",
        PartitionRule::MaxCut => "maxcut",
        PartitionRule::Axis => "axis",
        PartitionRule::Hybrid => "hybrid",
    }
}

fn rule_named(name: &str) -> Option<PartitionRule> {
    [PartitionRule::Caps, PartitionRule::MaxCut, PartitionRule::Axis, PartitionRule::Hybrid]
        .into_iter()
        .find(|&rule| rule_name(rule) == name)
}

/// An index over the patches of a sphere.
#[derive(Debug)]
pub struct Roots<'a> {
    /// The tree.
    pub tree: CapTree<'a>,
    /// Its partitions, their bytes counted.
    pub partitions: Partitions,
    /// How it was built.
    pub options: RootsOptions,
}

impl<'a> Roots<'a> {
    /// Builds the index of `rows`, which lie where `placed` says.
    pub fn build(rows: Rows<'a>, placed: &Placed, options: RootsOptions) -> Self {
        let tree = CapTree::build(rows, placed.places(), options.tree);
        Self::with_partitions(tree, placed, options)
    }

    fn with_partitions(tree: CapTree<'a>, placed: &Placed, options: RootsOptions) -> Self {
        let mut partitions = tree.partitions(placed.places(), options.n_partitions, options.min_partition);
        for (patch, partition) in partitions.of_patches(&tree).into_iter().enumerate() {
            if let Some(partition) = partition {
                partitions.count_bytes(partition, placed.patch_bytes(patch));
            }
        }
        Self { tree, partitions, options }
    }

    /// The partition of each patch, -1 for those without a direction.
    pub fn partition_of_patches(&self) -> Vec<i32> {
        let of = self.partitions.of_patches(&self.tree);
        of.into_iter().map(|partition| partition.map_or(-1, |partition| partition as i32)).collect()
    }

    /// Writes the index at `path`, whole or not at all. `sphere_sha256` says which sphere it is of. Gives back the hash of its
    /// arrays.
    ///
    /// # Errors
    ///
    /// Fails when the file cannot be written.
    pub fn write(&self, path: &Path, places: Places<'_>, sphere_sha256: &str) -> io::Result<String> {
        let parts = self.tree.parts();
        let nodes = &parts.nodes;
        let (m, dim) = (nodes.len(), parts.dim);
        let ids = |values: &mut dyn Iterator<Item = Option<u32>>| -> Vec<i32> {
            values.map(|id| id.map_or(-1, |id| id as i32)).collect()
        };
        let pairs = |values: &mut dyn Iterator<Item = [f64; 2]>| -> Vec<f64> { values.flatten().collect() };
        let parent = ids(&mut nodes.iter().map(|node| node.parent));
        let children = ids(&mut nodes.iter().flat_map(|node| {
            let [left, right] = node.children.map_or([None; 2], |children| children.map(Some));
            [left, right]
        }));
        let first = ids(&mut nodes.iter().map(|node| Some(node.first)));
        let len = ids(&mut nodes.iter().map(|node| Some(node.len)));
        let zone = ids(&mut nodes.iter().map(|node| node.zone.map(u32::from)));
        let cap_angle: Vec<f64> = nodes.iter().map(|node| node.cap_angle).collect();
        let radius = pairs(&mut nodes.iter().map(|node| node.radius));
        let prominence = pairs(&mut nodes.iter().map(|node| node.prominence));
        let order = ids(&mut parts.order.iter().copied().map(Some));
        let left_out = ids(&mut parts.left_out.iter().copied().map(Some));

        let partitions = &self.partitions.partitions;
        let k = partitions.len();
        let partition_node = ids(&mut partitions.iter().map(|partition| Some(partition.node)));
        let partition_mean: Vec<f64> = partitions.iter().map(|partition| partition.prominence_mean).collect();
        let partition_sd: Vec<f64> = partitions.iter().map(|partition| partition.prominence_sd).collect();
        let partition_direction: Vec<f64> = partitions
            .iter()
            .flat_map(|partition| partition.direction.map_or([f64::NAN; 2], |(theta, phi)| [theta, phi]))
            .collect();
        let byte_counts: Vec<i64> =
            partitions.iter().flat_map(|partition| partition.byte_counts.iter().map(|&count| count as i64)).collect();
        let partition_of_patches = self.partition_of_patches();

        let directory = CellDirectory::build(places, None);
        let cells = directory.cells();
        let cell_key: Vec<i64> = cells.iter().map(|cell| cell.key.cast_signed()).collect();
        let cell_first = ids(&mut cells.iter().map(|cell| Some(cell.first)));
        let cell_len = ids(&mut cells.iter().map(|cell| Some(cell.len)));
        let cell_sum: Vec<f64> = cells.iter().map(|cell| cell.prominence_sum).collect();
        let cell_prominence = pairs(&mut cells.iter().map(|cell| cell.prominence));
        let cell_radius = pairs(&mut cells.iter().map(|cell| cell.radius));
        let cell_patches = ids(&mut directory.patches().iter().copied().map(Some));

        let arrays = [
            Array::i32("node_parent", &parent),
            Array::i32("node_children", &children).shaped(&[m, 2]),
            Array::i32("node_first", &first),
            Array::i32("node_len", &len),
            Array::i32("node_zone", &zone),
            Array::f64("node_cap_angle", &[m], &cap_angle),
            Array::f64("node_radius", &[m, 2], &radius),
            Array::f64("node_prominence", &[m, 2], &prominence),
            Array::f32("centroids", &[m, dim], &parts.centroids),
            Array::i32("order", &order),
            Array::i32("left_out", &left_out),
            Array::i32("partition_node", &partition_node),
            Array::f64("partition_prominence_mean", &[k], &partition_mean),
            Array::f64("partition_prominence_sd", &[k], &partition_sd),
            Array::f64("partition_direction", &[k, 2], &partition_direction),
            Array::i64("partition_byte_counts", &byte_counts).shaped(&[k, 256]),
            Array::i32("partition_id", &partition_of_patches),
            Array::i64("cell_key", &cell_key),
            Array::i32("cell_first", &cell_first),
            Array::i32("cell_len", &cell_len),
            Array::f64("cell_prominence_sum", &[cells.len()], &cell_sum),
            Array::f64("cell_prominence", &[cells.len(), 2], &cell_prominence),
            Array::f64("cell_radius", &[cells.len(), 2], &cell_radius),
            Array::i32("cell_patches", &cell_patches),
        ];
        let sha256 = sha256_of_arrays(&arrays)?;
        let mut metadata = self.options.settings();
        let mut put = |key: &str, value: String| metadata.insert(key.to_owned(), value);
        put("format", ROOTS_FORMAT.to_owned());
        put("embed_dim", dim.to_string());
        put("fingerprint", parts.fingerprint.to_string());
        put("cell_order", directory.order().to_string());
        put("sphere_sha256", sphere_sha256.to_owned());
        put("sha256", sha256.clone());
        write_arrays(path, &arrays, &metadata)?;
        Ok(sha256)
    }

    /// Opens the index at `path`, of `rows` that lie where `placed` says. It has to be of the sphere with the hash
    /// `sphere_sha256`.
    ///
    /// # Errors
    ///
    /// Fails when the file is malformed, or the index of something else.
    pub fn open(path: &Path, rows: Rows<'a>, placed: &Placed, sphere_sha256: Option<&str>) -> Result<Self, ReadError> {
        let file = ArrayFile::open(path)?;
        let metadata = file.metadata();
        if metadata.get("format").map(String::as_str) != Some(ROOTS_FORMAT) {
            return Err(file.wrong("it is no index").hinted("make one with `blt-cli sphere index`"));
        }
        if sphere_sha256.is_none() || metadata.get("sphere_sha256").map(String::as_str) != sphere_sha256 {
            return Err(stale(&file));
        }
        let options = RootsOptions::from_metadata(metadata).ok_or_else(|| file.wrong("its metadata are incomplete"))?;
        let tree = CapTree::from_parts(rows, parts(&file, options.tree)?)
            .map_err(|error| file.wrong(error.to_string()).hinted("build it anew with `blt-cli sphere index`"))?;
        Ok(Self::with_partitions(tree, placed, options))
    }
}

fn stale(file: &ArrayFile) -> ReadError {
    file.wrong("it is the index of another sphere").hinted("build it anew with `blt-cli sphere index`")
}

fn parts(file: &ArrayFile, options: TreeOptions) -> Result<TreeParts, ReadError> {
    let wrong = |name: &str| file.wrong(format!("its `{name}` are malformed"));
    let ids = |name: &str| -> Result<Vec<Option<u32>>, ReadError> {
        let id = |id| if id == -1 { Some(None) } else { u32::try_from(id).ok().map(Some) };
        file.integers(name)?.into_iter().map(id).collect::<Option<_>>().ok_or_else(|| wrong(name))
    };
    let present = |name: &str| ids(name)?.into_iter().collect::<Option<Vec<u32>>>().ok_or_else(|| wrong(name));
    let parent = ids("node_parent")?;
    let m = parent.len();
    let sized = |name: &str, len: usize, expected: usize| if len == expected { Ok(()) } else { Err(wrong(name)) };
    let (children, zone) = (ids("node_children")?, ids("node_zone")?);
    let (first, len) = (present("node_first")?, present("node_len")?);
    let cap_angle = file.doubles("node_cap_angle")?;
    let (radius, prominence) = (file.doubles("node_radius")?, file.doubles("node_prominence")?);
    for (name, found, expected) in [
        ("node_children", children.len(), 2 * m),
        ("node_zone", zone.len(), m),
        ("node_first", first.len(), m),
        ("node_len", len.len(), m),
        ("node_cap_angle", cap_angle.len(), m),
        ("node_radius", radius.len(), 2 * m),
        ("node_prominence", prominence.len(), 2 * m),
    ] {
        sized(name, found, expected)?;
    }
    let nodes = (0..m).map(|i| {
        Some(TreeNode {
            parent: parent[i],
            children: match (children[2 * i], children[2 * i + 1]) {
                (Some(left), Some(right)) => Some([left, right]),
                (None, None) => None,
                _ => return None,
            },
            first: first[i],
            len: len[i],
            cap_angle: cap_angle[i],
            radius: [radius[2 * i], radius[2 * i + 1]],
            prominence: [prominence[2 * i], prominence[2 * i + 1]],
            zone: zone[i].map(u8::try_from).transpose().ok()?,
        })
    });
    let metadata = |key: &str| file.metadata().get(key).and_then(|value| value.parse::<u64>().ok());
    let (Some(dim), Some(fingerprint)) = (metadata("embed_dim"), metadata("fingerprint")) else {
        return Err(file.wrong("its metadata are incomplete"));
    };
    Ok(TreeParts {
        dim: usize::try_from(dim).map_err(|_| wrong("embed_dim"))?,
        options,
        nodes: nodes.collect::<Option<_>>().ok_or_else(|| wrong("node_children"))?,
        centroids: file.floats("centroids")?,
        order: present("order")?,
        left_out: present("left_out")?,
        fingerprint,
    })
}
