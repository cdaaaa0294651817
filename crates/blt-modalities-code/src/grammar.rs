//! The compiled-in grammars, and the rules looked up by node.

use tree_sitter::{Language, Node};

use crate::rules::{self, Only, Rule, Shape};

/// A grammar and what its nodes become.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Grammar {
    /// The language's id.
    pub(crate) id: &'static str,
    /// Label of what lies between the recognised nodes.
    pub(crate) rest: &'static str,
    /// How deep units may lie in units.
    pub(crate) max_levels: usize,
    language: fn() -> Language,
    rules: &'static [Rule],
}

/// Every grammar of this build.
pub(crate) const GRAMMARS: &[Grammar] = &[
    #[cfg(feature = "rust")]
    program("rust", || tree_sitter_rust::LANGUAGE.into(), rules::RUST),
    #[cfg(feature = "python")]
    program("python", || tree_sitter_python::LANGUAGE.into(), rules::PYTHON),
    #[cfg(feature = "javascript")]
    program("javascript", || tree_sitter_javascript::LANGUAGE.into(), rules::JAVASCRIPT),
    #[cfg(feature = "typescript")]
    program("typescript", || tree_sitter_typescript::LANGUAGE_TYPESCRIPT.into(), rules::JAVASCRIPT),
    #[cfg(feature = "typescript")]
    program("tsx", || tree_sitter_typescript::LANGUAGE_TSX.into(), rules::JAVASCRIPT),
    #[cfg(feature = "go")]
    program("go", || tree_sitter_go::LANGUAGE.into(), rules::GO),
    #[cfg(feature = "java")]
    program("java", || tree_sitter_java::LANGUAGE.into(), rules::JAVA),
    #[cfg(feature = "c")]
    program("c", || tree_sitter_c::LANGUAGE.into(), rules::C),
    #[cfg(feature = "cpp")]
    program("cpp", || tree_sitter_cpp::LANGUAGE.into(), rules::C),
    #[cfg(feature = "c-sharp")]
    program("c-sharp", || tree_sitter_c_sharp::LANGUAGE.into(), rules::C_SHARP),
    #[cfg(feature = "ruby")]
    program("ruby", || tree_sitter_ruby::LANGUAGE.into(), rules::RUBY),
    #[cfg(feature = "php")]
    program("php", || tree_sitter_php::LANGUAGE_PHP.into(), rules::PHP),
    #[cfg(feature = "bash")]
    program("bash", || tree_sitter_bash::LANGUAGE.into(), rules::BASH),
    #[cfg(feature = "lua")]
    program("lua", || tree_sitter_lua::LANGUAGE.into(), rules::LUA),
    #[cfg(feature = "scala")]
    program("scala", || tree_sitter_scala::LANGUAGE.into(), rules::SCALA),
    #[cfg(feature = "swift")]
    program("swift", || tree_sitter_swift::LANGUAGE.into(), rules::SWIFT),
    #[cfg(feature = "kotlin")]
    program("kotlin", || tree_sitter_kotlin_ng::LANGUAGE.into(), rules::KOTLIN),
    #[cfg(feature = "css")]
    program("css", || tree_sitter_css::LANGUAGE.into(), rules::CSS),
    #[cfg(feature = "json")]
    Grammar { max_levels: 2, ..program("json", || tree_sitter_json::LANGUAGE.into(), rules::JSON) },
    #[cfg(feature = "toml")]
    Grammar { max_levels: 1, ..program("toml", || tree_sitter_toml_ng::LANGUAGE.into(), rules::TOML) },
    #[cfg(feature = "html")]
    Grammar { rest: "text", ..program("html", || tree_sitter_html::LANGUAGE.into(), rules::HTML) },
    #[cfg(feature = "markdown")]
    Grammar { rest: "text", ..program("markdown", || tree_sitter_md::LANGUAGE.into(), rules::MARKDOWN) },
];

/// A class, its method, that one's block, a function there, its block, and as much again.
const PROGRAM_LEVELS: usize = 8;

const fn program(id: &'static str, language: fn() -> Language, rules: &'static [Rule]) -> Grammar {
    Grammar { id, rest: "code", max_levels: PROGRAM_LEVELS, language, rules }
}

/// The grammar of the language `id`, if it is compiled in.
pub(crate) fn grammar(id: &str) -> Option<&'static Grammar> {
    GRAMMARS.iter().find(|grammar| grammar.id == id)
}

/// A grammar made ready: its tables, and its rules by the number of the node's kind.
#[derive(Debug)]
pub(crate) struct Ready {
    pub(crate) grammar: &'static Grammar,
    pub(crate) language: Language,
    by_kind: Vec<&'static [Rule]>,
}

impl Ready {
    pub(crate) fn new(grammar: &'static Grammar) -> Self {
        let language = (grammar.language)();
        let by_kind = (0..=u16::MAX)
            .take(language.node_kind_count())
            .map(|kind| match language.node_kind_for_id(kind) {
                Some(name) if language.node_kind_is_named(kind) => rules_for(grammar.rules, name),
                _ => &[],
            })
            .collect();
        Self { grammar, language, by_kind }
    }

    /// The rule that holds for `node`, of `bytes`, whose parent is of kind `parent`.
    pub(crate) fn rule(&self, node: Node<'_>, parent: Option<u16>, bytes: &[u8]) -> Option<&'static Rule> {
        let rules = self.by_kind.get(usize::from(node.kind_id()))?;
        rules.iter().find(|rule| self.holds(rule, node, parent, bytes))
    }

    fn holds(&self, rule: &Rule, node: Node<'_>, parent: Option<u16>, bytes: &[u8]) -> bool {
        match rule.only {
            Only::Always => true,
            Only::Has(path) => at(node, path).is_some(),
            Only::Kind(path, kinds) => at(node, path).is_some_and(|found| kinds.contains(&found.kind())),
            Only::Text(path, texts) => at(node, path).is_some_and(|found| {
                let text = bytes.get(found.byte_range()).unwrap_or_default();
                texts.iter().any(|one| one.as_bytes().eq_ignore_ascii_case(text))
            }),
            Only::Under(kinds) => {
                let parent = parent.and_then(|kind| self.language.node_kind_for_id(kind));
                parent.is_some_and(|parent| kinds.contains(&parent))
            }
        }
    }

    /// The node that `node` dresses, and its rule: the only one directly inside it that has a rule of its own.
    pub(crate) fn wrapped<'tree>(&self, node: Node<'tree>, bytes: &[u8]) -> Option<(Node<'tree>, &'static Rule)> {
        let mut outer = node;
        // Dresses over dresses, such as `export declare class`.
        for _ in 0..4 {
            let mut cursor = outer.walk();
            let mut inner = outer.named_children(&mut cursor).filter_map(|child| {
                let rule = self.rule(child, Some(outer.kind_id()), bytes)?;
                (!matches!(rule.shape, Shape::Comment | Shape::Lead | Shape::Through)).then_some((child, rule))
            });
            let only = inner.next()?;
            if inner.next().is_some() {
                return None;
            }
            if only.1.shape != Shape::Wrap {
                return Some(only);
            }
            outer = only.0;
        }
        None
    }
}

/// The node at the end of `path` from `node`; `node` itself for an empty path.
pub(crate) fn at<'tree>(node: Node<'tree>, path: &str) -> Option<Node<'tree>> {
    path.split('|').find_map(|path| {
        path.split('/').filter(|step| !step.is_empty()).try_fold(node, |node, step| {
            node.child_by_field_name(step).or_else(|| {
                let mut cursor = node.walk();
                node.named_children(&mut cursor).find(|child| child.kind() == step)
            })
        })
    })
}

/// The run of rules for one kind; they stand together in the tables.
fn rules_for(rules: &'static [Rule], kind: &str) -> &'static [Rule] {
    let Some(first) = rules.iter().position(|rule| rule.kind == kind) else { return &[] };
    let n_rules = rules[first..].iter().take_while(|rule| rule.kind == kind).count();
    &rules[first..first + n_rules]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_grammar_loads_and_its_rules_stand_together() {
        for grammar in GRAMMARS {
            let ready = Ready::new(grammar);
            tree_sitter::Parser::new().set_language(&ready.language).unwrap();
            for rule in grammar.rules {
                let n_all = grammar.rules.iter().filter(|other| other.kind == rule.kind).count();
                assert_eq!(rules_for(grammar.rules, rule.kind).len(), n_all, "{} {}", grammar.id, rule.kind);
            }
        }
    }

    /// Some tables serve two grammars, so a rule must match in one of those that use it.
    #[cfg(feature = "all")]
    #[test]
    fn every_rule_names_a_kind_of_some_grammar() {
        for grammar in GRAMMARS {
            for rule in grammar.rules {
                let mut users = GRAMMARS.iter().filter(|other| std::ptr::eq(other.rules, grammar.rules));
                let known = users.any(|user| (user.language)().id_for_node_kind(rule.kind, true) != 0);
                assert!(known, "{} has no `{}`", grammar.id, rule.kind);
            }
        }
    }
}
