//! From bytes to a syntax tree, and from the tree to the pieces that become units.

use std::collections::HashMap;
use std::ops::{ControlFlow, Range};
use std::time::Instant;

use tree_sitter::{Node, ParseOptions, Parser, Tree};

use crate::grammar::{Ready, at, grammar};
use crate::language_by_name;
use crate::rules::{InjectLanguage, Name, Only, Rule, Shape};
use crate::yaml;

/// A recognised stretch of the source, and those inside it in order.
#[derive(Debug)]
pub(crate) struct Piece {
    pub(crate) label: &'static str,
    pub(crate) name: Option<Box<str>>,
    pub(crate) range: Range<usize>,
    /// Where its body begins, if it has one.
    pub(crate) body: Option<usize>,
    /// Whether the body is a unit of its own.
    pub(crate) is_function: bool,
    /// Label of what lies between the pieces inside.
    pub(crate) rest: &'static str,
    pub(crate) children: Vec<Piece>,
}

/// Why there are no pieces.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Failure {
    /// No grammar for the language is compiled in.
    NoGrammar,
    /// The deadline came first.
    Timeout,
    /// There are more than allowed.
    TooMany,
}

/// Finds the pieces of a source, and of sources inside it.
#[derive(Debug)]
pub(crate) struct Finder {
    grammars: HashMap<&'static str, Ready>,
    deadline: Instant,
    n_pieces: usize,
    max_pieces: usize,
}

/// How often a source may lie inside another: a fenced page, its script.
const MAX_INJECTIONS: usize = 3;
/// Nothing is looked for in nodes shorter than this, in bytes.
const MIN_SEARCHED: usize = 16;
/// A name is cut to so many bytes.
const MAX_NAME: usize = 120;
/// A comment may lie so deep below the node whose unit it would divide: in its body.
const COMMENT_DEPTH: usize = 2;

/// Labels of pieces whose functions are methods.
const TYPES: &[&str] = &["class", "struct", "enum", "interface", "trait", "impl", "extension"];

/// A piece whose node has been entered and not left.
struct Open {
    piece: Piece,
    /// Depth of its node in the tree; none for the root, which is never left.
    depth: Option<usize>,
    /// Depth from which that of comments counts.
    base: usize,
    /// Level of its unit, from 1; 0 for the root.
    level: usize,
    /// The node that it dresses.
    wrapped: Option<usize>,
    /// Where attributes begin that wait for the node they belong to, and their depth.
    lead: Option<(usize, usize)>,
    /// What it holds in another language.
    inject: Option<(&'static str, Range<usize>)>,
}

impl Finder {
    pub(crate) fn new(deadline: Instant, max_pieces: usize) -> Self {
        Self { grammars: HashMap::new(), deadline, n_pieces: 0, max_pieces }
    }

    /// The whole of `bytes` as a piece, with those inside it.
    pub(crate) fn find(&mut self, id: &str, bytes: &[u8]) -> Result<Piece, Failure> {
        self.find_inside(id, bytes, 0..bytes.len(), 0, 0)
    }

    /// The pieces of `bytes[range]`, which lies below a unit of level `level` and in so many other sources.
    fn find_inside(
        &mut self,
        id: &str,
        bytes: &[u8],
        range: Range<usize>,
        level: usize,
        n_outer: usize,
    ) -> Result<Piece, Failure> {
        if id == "yaml" {
            let root = yaml::find(bytes, range);
            self.n_pieces += root.children.len();
            return if self.n_pieces > self.max_pieces { Err(Failure::TooMany) } else { Ok(root) };
        }
        let grammar = grammar(id).ok_or(Failure::NoGrammar)?;
        let ready = self.grammars.remove(grammar.id).unwrap_or_else(|| Ready::new(grammar));
        let found = match parse(&ready, &bytes[range.clone()], self.deadline) {
            Some(tree) => self.walk(&ready, &tree, bytes, range, level, n_outer),
            None => Err(Failure::Timeout),
        };
        self.grammars.insert(grammar.id, ready);
        found
    }

    fn walk(
        &mut self,
        ready: &Ready,
        tree: &Tree,
        bytes: &[u8],
        range: Range<usize>,
        level: usize,
        n_outer: usize,
    ) -> Result<Piece, Failure> {
        let source = Source { ready, bytes: &bytes[range.clone()], offset: range.start, level };
        let mut cursor = tree.walk();
        // Kinds of the nodes around the cursor; a node's own parent is dear to find.
        let mut kinds: Vec<u16> = Vec::new();
        let mut open = vec![source.root(range)];
        loop {
            let node = cursor.node();
            if source.visit(node, &kinds, &mut open) && node.byte_range().len() >= MIN_SEARCHED {
                kinds.push(node.kind_id());
                if cursor.goto_first_child() {
                    continue;
                }
                kinds.pop();
            }
            loop {
                if open.last().is_some_and(|last| last.depth == Some(kinds.len())) {
                    self.close(&mut open, bytes, n_outer)?;
                }
                if cursor.goto_next_sibling() {
                    break;
                }
                if !cursor.goto_parent() {
                    return Ok(open.swap_remove(0).piece);
                }
                kinds.pop();
            }
        }
    }

    /// Hands the innermost open piece to the one around it.
    fn close(&mut self, open: &mut Vec<Open>, bytes: &[u8], n_outer: usize) -> Result<(), Failure> {
        let Some(Open { mut piece, level, inject, .. }) = open.pop() else { return Ok(()) };
        self.n_pieces += 1;
        if self.n_pieces > self.max_pieces {
            return Err(Failure::TooMany);
        }
        if let Some((id, range)) = inject.filter(|_| n_outer < MAX_INJECTIONS) {
            match self.find_inside(id, bytes, range, level, n_outer + 1) {
                Ok(inner) => {
                    piece.rest = inner.rest;
                    piece.children = inner.children;
                }
                Err(Failure::NoGrammar) => {}
                Err(failure) => return Err(failure),
            }
        }
        if let Some(around) = open.last_mut() {
            around.piece.children.push(piece);
        }
        Ok(())
    }
}

/// A tree's text and what is known of its place.
struct Source<'a> {
    ready: &'a Ready,
    bytes: &'a [u8],
    /// Of its first byte in the file.
    offset: usize,
    /// Of the unit around it.
    level: usize,
}

impl Source<'_> {
    fn root(&self, range: Range<usize>) -> Open {
        let rest = self.ready.grammar.rest;
        let piece =
            Piece { label: rest, name: None, range, body: None, is_function: false, rest, children: Vec::new() };
        Open { piece, depth: None, base: 0, level: self.level, wrapped: None, lead: None, inject: None }
    }

    /// Opens a piece if the node is one; whether to look inside.
    fn visit(&self, node: Node<'_>, kinds: &[u16], open: &mut Vec<Open>) -> bool {
        let depth = kinds.len();
        let Some(around) = open.last_mut() else { return false };
        let lead = around.lead.take().filter(|(_, lead_depth)| *lead_depth == depth).map(|(start, _)| start);
        if around.wrapped == Some(node.id()) {
            around.base = depth;
            return true;
        }
        let Some(rule) = self.ready.rule(node, kinds.last().copied(), self.bytes) else { return true };
        if node.byte_range().is_empty() {
            return true;
        }
        match rule.shape {
            Shape::Lead => {
                around.lead = Some((lead.unwrap_or(node.start_byte()), depth));
                false
            }
            Shape::Through => {
                around.base = around.base.max(depth);
                true
            }
            Shape::Comment => {
                let stands_alone = !around.piece.is_function
                    && depth <= around.base + COMMENT_DEPTH
                    && begins_line(self.bytes, node.start_byte());
                if stands_alone {
                    self.open(node, None, rule, lead, depth, open);
                }
                false
            }
            Shape::Wrap => match self.ready.wrapped(node, self.bytes) {
                Some((inner, rule)) => self.open(node, Some(inner), rule, lead, depth, open),
                None => true,
            },
            Shape::Whole | Shape::Members(_) | Shape::Function(_) => {
                // What is alone in the root divides nothing.
                let is_alone = matches!(rule.only, Only::Under(_)) && depth == 1 && self.is_alone(node);
                if is_alone { true } else { self.open(node, None, rule, lead, depth, open) }
            }
        }
    }

    /// Opens a piece unless it would lie too deep; whether to look inside.
    fn open(
        &self,
        node: Node<'_>,
        wrapped: Option<Node<'_>>,
        rule: &'static Rule,
        lead: Option<usize>,
        depth: usize,
        open: &mut Vec<Open>,
    ) -> bool {
        let Some(around) = open.last() else { return false };
        // A function's members lie in its block.
        let level = around.level + if around.piece.is_function { 2 } else { 1 };
        let max_levels = (self.level + self.ready.grammar.max_levels).min(MAX_LEVELS);
        if level > max_levels {
            return false;
        }
        let dressed = wrapped.unwrap_or(node);
        let (body, is_function) = match rule.shape {
            Shape::Function(path) => (at(dressed, path), true),
            Shape::Members(Some(path)) => (at(dressed, path), false),
            _ => (None, false),
        };
        let label = match rule.label {
            "function" if TYPES.contains(&around.piece.label) => "method",
            label => label,
        };
        let piece = Piece {
            label,
            name: self.name(dressed, rule.name),
            range: self.offset + lead.unwrap_or(node.start_byte())..self.offset + node.end_byte(),
            body: body.map(|body| self.offset + body.start_byte()),
            is_function,
            rest: self.ready.grammar.rest,
            children: Vec::new(),
        };
        let inject = self.injected(dressed, rule);
        let look_inside = rule.shape != Shape::Whole && inject.is_none();
        let wrapped = wrapped.map(|node| node.id());
        open.push(Open { piece, depth: Some(depth), base: depth, level, wrapped, lead: None, inject });
        look_inside && rule.shape != Shape::Comment
    }

    fn injected(&self, node: Node<'_>, rule: &Rule) -> Option<(&'static str, Range<usize>)> {
        let inject = rule.inject?;
        let content = at(node, inject.content)?;
        // A quoted or indented fence has the marks of what is around it in every line.
        let mut cursor = content.walk();
        let is_marked = |part: Node<'_>| part.kind() == "block_continuation" && !part.byte_range().is_empty();
        if content.named_children(&mut cursor).any(is_marked) {
            return None;
        }
        let id = match inject.language {
            InjectLanguage::Id(id) => id,
            InjectLanguage::Path(path) => language_by_name(&self.text(at(node, path)?)?)?,
        };
        Some((id, self.offset + content.start_byte()..self.offset + content.end_byte()))
    }

    fn name(&self, node: Node<'_>, name: Name) -> Option<Box<str>> {
        match name {
            Name::None => None,
            Name::Path(path) => self.text(at(node, path)?),
            Name::Declarator => {
                let mut node = node.child_by_field_name("declarator")?;
                while let Some(inner) = node.child_by_field_name("declarator") {
                    node = inner;
                }
                self.text(node)
            }
        }
    }

    /// The first line of a node, without quotes, if it is UTF-8.
    fn text(&self, node: Node<'_>) -> Option<Box<str>> {
        let line =
            self.bytes.get(node.byte_range())?.trim_ascii().split(|byte| matches!(byte, b'\n' | b'\r')).next()?;
        let text = str::from_utf8(line).ok()?.trim_matches(['"', '\'', '`']).trim();
        let text = &text[..text.floor_char_boundary(MAX_NAME)];
        (!text.is_empty()).then(|| text.into())
    }

    fn is_alone(&self, node: Node<'_>) -> bool {
        let outside = |range: Range<usize>| self.bytes.get(range).is_none_or(|bytes| bytes.trim_ascii().is_empty());
        outside(0..node.start_byte()) && outside(node.end_byte()..self.bytes.len())
    }
}

/// Most levels of units, those of sources inside sources included.
const MAX_LEVELS: usize = 12;

/// The syntax tree of `bytes`, unless the deadline comes first.
pub(crate) fn parse(ready: &Ready, bytes: &[u8], deadline: Instant) -> Option<Tree> {
    let mut parser = Parser::new();
    parser.set_language(&ready.language).ok()?;
    let mut progress = |_: &tree_sitter::ParseState| {
        if Instant::now() < deadline { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    };
    let options = ParseOptions::new().progress_callback(&mut progress);
    parser.parse_with_options(&mut |at, _| bytes.get(at..).unwrap_or_default(), None, Some(options))
}

fn begins_line(bytes: &[u8], offset: usize) -> bool {
    let before = bytes[..offset].iter().rev().find(|byte| !matches!(byte, b' ' | b'\t'));
    before.is_none_or(|byte| matches!(byte, b'\n' | b'\r'))
}
