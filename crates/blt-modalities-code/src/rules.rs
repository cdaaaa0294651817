//! Which nodes of a syntax tree become units, language by language.
//!
//! A path such as `variable_declarator/value` leads from a node to one inside it: every step is a field's name or else
//! the kind of the first such child. Alternatives are divided by `|`.

/// What a node of one kind becomes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rule {
    /// The grammar's name for the node.
    pub(crate) kind: &'static str,
    /// The unit's label.
    pub(crate) label: &'static str,
    /// Where the unit's name is.
    pub(crate) name: Name,
    /// How the unit is divided further.
    pub(crate) shape: Shape,
    /// When the rule holds.
    pub(crate) only: Only,
    /// Content in another language.
    pub(crate) inject: Option<Inject>,
}

/// Where a unit's name is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Name {
    /// It has none.
    None,
    /// At the end of this path.
    Path(&'static str),
    /// At the end of a chain of C declarators.
    Declarator,
}

/// How a node is divided.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Shape {
    /// One unit without parts.
    Whole,
    /// A header up to the node at this path, then members. Without a path there is no header.
    Members(Option<&'static str>),
    /// A signature, and a block from the node at this path on.
    Function(&'static str),
    /// A dress of the one recognised node directly inside it, like decorators: that node's unit becomes so much longer.
    Wrap,
    /// Belongs to the recognised node that follows, like attributes.
    Lead,
    /// No unit; what is in it counts as directly in its parent.
    Through,
    /// A comment: a unit when it begins a line and stands outside of functions.
    Comment,
}

/// When a rule holds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Only {
    /// Always.
    Always,
    /// When there is a node at the path.
    Has(&'static str),
    /// When the node at the path is of one of these kinds.
    Kind(&'static str, &'static [&'static str]),
    /// When the node at the path reads like one of these, upper or lower case.
    Text(&'static str, &'static [&'static str]),
    /// When the node's parent is of one of these kinds, and the node is not all that the root holds.
    Under(&'static [&'static str]),
}

/// Content in another language.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Inject {
    /// Path to the content.
    pub(crate) content: &'static str,
    /// Its language.
    pub(crate) language: InjectLanguage,
}

/// How the language of such content is known.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum InjectLanguage {
    /// By its id.
    Id(&'static str),
    /// It is named at this path.
    Path(&'static str),
}

impl Rule {
    const fn named(self, path: &'static str) -> Self {
        Self { name: Name::Path(path), ..self }
    }

    const fn declared(self) -> Self {
        Self { name: Name::Declarator, ..self }
    }

    const fn only(self, only: Only) -> Self {
        Self { only, ..self }
    }

    const fn inject(self, content: &'static str, language: InjectLanguage) -> Self {
        Self { inject: Some(Inject { content, language }), ..self }
    }
}

const fn rule(kind: &'static str, label: &'static str, shape: Shape) -> Rule {
    Rule { kind, label, name: Name::None, shape, only: Only::Always, inject: None }
}

/// One unit named by its field `name`.
const fn item(kind: &'static str, label: &'static str) -> Rule {
    rule(kind, label, Shape::Whole).named("name")
}

/// A unit named by its field `name`, with members from `body` on.
const fn members(kind: &'static str, label: &'static str, body: &'static str) -> Rule {
    rule(kind, label, Shape::Members(Some(body))).named("name")
}

/// A function named by its field `name`. It becomes a `method` inside a type.
const fn function(kind: &'static str, body: &'static str) -> Rule {
    rule(kind, "function", Shape::Function(body)).named("name")
}

const fn comment(kind: &'static str) -> Rule {
    rule(kind, "comment", Shape::Comment)
}

const fn import(kind: &'static str) -> Rule {
    rule(kind, "import", Shape::Whole)
}

const fn wrap(kind: &'static str) -> Rule {
    rule(kind, "", Shape::Wrap)
}

const fn lead(kind: &'static str) -> Rule {
    rule(kind, "", Shape::Lead)
}

const fn through(kind: &'static str) -> Rule {
    rule(kind, "", Shape::Through)
}

pub(crate) const RUST: &[Rule] = &[
    function("function_item", "body"),
    item("struct_item", "struct"),
    item("enum_item", "enum"),
    item("union_item", "union"),
    item("type_item", "type").only(Only::Under(&["source_file", "declaration_list"])),
    item("macro_definition", "macro"),
    members("trait_item", "trait", "body"),
    members("impl_item", "impl", "body").named("type"),
    members("mod_item", "module", "body").only(Only::Has("body")),
    members("foreign_mod_item", "module", "body").only(Only::Has("body")),
    import("use_declaration"),
    import("extern_crate_declaration"),
    lead("attribute_item"),
    comment("line_comment"),
    comment("block_comment"),
];

pub(crate) const PYTHON: &[Rule] = &[
    function("function_definition", "body"),
    members("class_definition", "class", "body"),
    wrap("decorated_definition"),
    import("import_statement"),
    import("import_from_statement"),
    import("future_import_statement"),
    comment("comment"),
];

const FUNCTION_VALUES: &[&str] = &["arrow_function", "function_expression", "generator_function"];

pub(crate) const JAVASCRIPT: &[Rule] = &[
    function("function_declaration", "body"),
    function("generator_function_declaration", "body"),
    function("method_definition", "body"),
    function("lexical_declaration", "variable_declarator/value/body")
        .named("variable_declarator/name")
        .only(Only::Kind("variable_declarator/value", FUNCTION_VALUES)),
    function("variable_declaration", "variable_declarator/value/body")
        .named("variable_declarator/name")
        .only(Only::Kind("variable_declarator/value", FUNCTION_VALUES)),
    function("expression_statement", "assignment_expression/right/body")
        .named("assignment_expression/left")
        .only(Only::Kind("assignment_expression/right", FUNCTION_VALUES)),
    function("pair", "value/body").named("key").only(Only::Kind("value", FUNCTION_VALUES)),
    members("class_declaration", "class", "body"),
    members("class", "class", "body").only(Only::Has("body")),
    wrap("export_statement"),
    import("import_statement"),
    lead("decorator"),
    comment("comment"),
    // The rest is TypeScript's.
    members("abstract_class_declaration", "class", "body"),
    item("interface_declaration", "interface"),
    item("type_alias_declaration", "type"),
    item("enum_declaration", "enum"),
    item("function_signature", "function"),
    members("internal_module", "module", "body"),
    members("module", "module", "body").only(Only::Has("body")),
    wrap("ambient_declaration"),
];

pub(crate) const GO: &[Rule] = &[
    function("function_declaration", "body"),
    function("method_declaration", "body"),
    wrap("type_declaration"),
    item("type_spec", "struct").only(Only::Kind("type", &["struct_type"])),
    item("type_spec", "interface").only(Only::Kind("type", &["interface_type"])),
    item("type_spec", "type"),
    item("type_alias", "type"),
    import("import_declaration"),
    comment("comment"),
];

pub(crate) const JAVA: &[Rule] = &[
    function("method_declaration", "body"),
    function("constructor_declaration", "body"),
    function("compact_constructor_declaration", "body"),
    members("class_declaration", "class", "body"),
    members("record_declaration", "class", "body"),
    members("interface_declaration", "interface", "body"),
    members("annotation_type_declaration", "interface", "body"),
    members("enum_declaration", "enum", "body"),
    members("module_declaration", "module", "body"),
    import("import_declaration"),
    comment("line_comment"),
    comment("block_comment"),
];

/// C, and what C++ adds.
pub(crate) const C: &[Rule] = &[
    rule("function_definition", "function", Shape::Function("body")).declared(),
    members("struct_specifier", "struct", "body").only(Only::Has("body")),
    item("union_specifier", "union").only(Only::Has("body")),
    item("enum_specifier", "enum").only(Only::Has("body")),
    rule("type_definition", "type", Shape::Whole).declared(),
    item("preproc_function_def", "macro"),
    import("preproc_include"),
    through("preproc_if"),
    through("preproc_ifdef"),
    through("preproc_else"),
    through("preproc_elif"),
    through("linkage_specification"),
    through("declaration_list"),
    comment("comment"),
    // The rest is C++'s.
    members("class_specifier", "class", "body").only(Only::Has("body")),
    members("namespace_definition", "module", "body"),
    item("concept_definition", "type"),
    item("alias_declaration", "type"),
    wrap("template_declaration"),
];

pub(crate) const C_SHARP: &[Rule] = &[
    function("method_declaration", "body"),
    function("constructor_declaration", "body"),
    function("destructor_declaration", "body"),
    function("operator_declaration", "body"),
    function("conversion_operator_declaration", "body"),
    function("local_function_statement", "body"),
    members("class_declaration", "class", "body"),
    members("record_declaration", "class", "body"),
    members("struct_declaration", "struct", "body"),
    members("interface_declaration", "interface", "body"),
    item("enum_declaration", "enum"),
    item("delegate_declaration", "type"),
    members("namespace_declaration", "module", "body"),
    import("using_directive"),
    comment("comment"),
];

pub(crate) const RUBY: &[Rule] = &[
    function("method", "body"),
    function("singleton_method", "body"),
    members("class", "class", "body").only(Only::Has("name")),
    rule("singleton_class", "class", Shape::Members(Some("body"))),
    members("module", "module", "body").only(Only::Has("name")),
    import("call").only(Only::Text("method", &["require", "require_relative"])),
    comment("comment"),
];

pub(crate) const PHP: &[Rule] = &[
    function("function_definition", "body"),
    function("method_declaration", "body"),
    members("class_declaration", "class", "body"),
    members("interface_declaration", "interface", "body"),
    members("trait_declaration", "trait", "body"),
    members("enum_declaration", "enum", "body"),
    members("namespace_definition", "module", "body").only(Only::Has("body")),
    import("namespace_use_declaration"),
    comment("comment"),
    rule("text", "html", Shape::Members(None))
        .inject("", InjectLanguage::Id("html"))
        .only(Only::Under(&["program", "text_interpolation"])),
];

pub(crate) const BASH: &[Rule] = &[function("function_definition", "body"), comment("comment")];

pub(crate) const LUA: &[Rule] = &[
    function("function_declaration", "body"),
    function("variable_declaration", "assignment_statement/expression_list/function_definition/body")
        .named("assignment_statement/variable_list")
        .only(Only::Has("assignment_statement/expression_list/function_definition")),
    function("assignment_statement", "expression_list/function_definition/body")
        .named("variable_list")
        .only(Only::Has("expression_list/function_definition")),
    comment("comment"),
];

pub(crate) const SCALA: &[Rule] = &[
    function("function_definition", "body"),
    members("class_definition", "class", "body"),
    members("object_definition", "class", "body"),
    members("package_object", "module", "body"),
    members("trait_definition", "trait", "body"),
    members("enum_definition", "enum", "body"),
    item("type_definition", "type"),
    import("import_declaration"),
    comment("comment"),
    comment("block_comment"),
];

pub(crate) const SWIFT: &[Rule] = &[
    function("function_declaration", "body"),
    function("init_declaration", "body"),
    function("deinit_declaration", "body"),
    members("class_declaration", "struct", "body").only(Only::Text("declaration_kind", &["struct"])),
    members("class_declaration", "enum", "body").only(Only::Text("declaration_kind", &["enum"])),
    members("class_declaration", "extension", "body").only(Only::Text("declaration_kind", &["extension"])),
    members("class_declaration", "class", "body"),
    members("protocol_declaration", "interface", "body"),
    item("typealias_declaration", "type"),
    import("import_declaration"),
    comment("comment"),
    comment("multiline_comment"),
];

pub(crate) const KOTLIN: &[Rule] = &[
    function("function_declaration", "function_body"),
    function("secondary_constructor", "block"),
    members("class_declaration", "class", "class_body|enum_class_body"),
    members("object_declaration", "class", "class_body"),
    members("companion_object", "class", "class_body"),
    rule("type_alias", "type", Shape::Whole).named("type"),
    import("import"),
    comment("line_comment"),
    comment("block_comment"),
];

pub(crate) const JSON: &[Rule] = &[
    members("pair", "member", "value").named("key"),
    rule("object", "element", Shape::Members(None)).only(Only::Under(&["array", "document"])),
    rule("array", "element", Shape::Members(None)).only(Only::Under(&["array", "document"])),
    comment("comment"),
];

pub(crate) const TOML: &[Rule] = &[
    rule("table", "table", Shape::Whole).named("bare_key|dotted_key|quoted_key"),
    rule("table_array_element", "table", Shape::Whole).named("bare_key|dotted_key|quoted_key"),
    comment("comment"),
];

/// Elements that divide a page; all others belong to the text around them.
const HTML_SECTIONS: &[&str] = &[
    "head", "body", "header", "footer", "main", "nav", "aside", "section", "article", "dialog", "form", "table", "svg",
    "template",
];

pub(crate) const HTML: &[Rule] = &[
    rule("element", "element", Shape::Members(None))
        .named("start_tag/tag_name")
        .only(Only::Text("start_tag/tag_name", HTML_SECTIONS)),
    rule("script_element", "script", Shape::Members(Some("raw_text")))
        .inject("raw_text", InjectLanguage::Id("javascript")),
    rule("style_element", "style", Shape::Members(Some("raw_text"))).inject("raw_text", InjectLanguage::Id("css")),
    comment("comment"),
];

pub(crate) const CSS: &[Rule] = &[
    rule("rule_set", "rule", Shape::Whole).named("selectors"),
    rule("media_statement", "group", Shape::Members(Some("block"))),
    rule("supports_statement", "group", Shape::Members(Some("block"))),
    rule("scope_statement", "group", Shape::Members(Some("block"))),
    rule("at_rule", "rule", Shape::Whole).named("at_keyword"),
    rule("keyframes_statement", "rule", Shape::Whole).named("keyframes_name"),
    import("import_statement"),
    comment("comment"),
    comment("js_comment"),
];

pub(crate) const MARKDOWN: &[Rule] = &[
    rule("section", "section", Shape::Members(None))
        .named("atx_heading/heading_content|setext_heading/heading_content")
        .only(Only::Has("atx_heading|setext_heading")),
    rule("atx_heading", "heading", Shape::Whole),
    rule("setext_heading", "heading", Shape::Whole),
    rule("fenced_code_block", "code_block", Shape::Members(Some("code_fence_content")))
        .named("info_string/language")
        .inject("code_fence_content", InjectLanguage::Path("info_string/language")),
    rule("indented_code_block", "code_block", Shape::Whole),
    rule("pipe_table", "table", Shape::Whole),
    rule("minus_metadata", "metadata", Shape::Members(None)).inject("", InjectLanguage::Id("yaml")),
    rule("plus_metadata", "metadata", Shape::Whole),
];
