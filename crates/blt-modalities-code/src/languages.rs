//! The languages that are told apart.

/// A language of programs or of other text with a grammar.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Language {
    /// Its id in hints and options, like `c-sharp`.
    pub id: &'static str,
    /// What people call it, like `C#`.
    pub name: &'static str,
    /// Its media type.
    pub media_type: &'static str,
    /// Ends of its files' names after the last dot, in lower case. One that several languages have is decided by content.
    pub extensions: &'static [&'static str],
    /// Whole names of its files, in lower case.
    pub file_names: &'static [&'static str],
    /// Programs that a first line `#!` names for it, without a version.
    pub shebangs: &'static [&'static str],
}

/// All languages that are told apart, whether or not their grammar is in this build.
#[rustfmt::skip]
pub const LANGUAGES: &[Language] = &[
    new("ada", "Ada", "text/x-ada").ends(&["adb", "ads"]),
    new("asm", "Assembly", "text/x-asm").ends(&["asm", "s", "nasm"]),
    new("awk", "AWK", "text/x-awk").ends(&["awk"]).runs(&["awk", "gawk", "mawk", "nawk"]),
    new("bash", "Shell", "application/x-sh").ends(&["sh", "bash", "zsh", "ksh", "bats", "ebuild", "command"])
        .named(&[".bashrc", ".bash_profile", ".bash_aliases", ".bash_logout", ".profile", ".zshrc", ".zshenv", ".zprofile", "pkgbuild", "apkbuild"])
        .runs(&["sh", "bash", "zsh", "ksh", "dash", "ash", "bats"]),
    new("batch", "Batch", "application/x-bat").ends(&["bat", "cmd"]),
    new("c", "C", "text/x-c").ends(&["c", "h"]).runs(&["tcc"]),
    new("c-sharp", "C#", "text/x-csharp").ends(&["cs", "csx"]),
    new("clojure", "Clojure", "text/x-clojure").ends(&["clj", "cljs", "cljc", "edn"]).runs(&["clojure", "bb"]),
    new("cmake", "CMake", "text/x-cmake").ends(&["cmake"]).named(&["cmakelists.txt"]),
    new("cpp", "C++", "text/x-c++").ends(&["cpp", "cc", "cxx", "c++", "hpp", "hh", "hxx", "h++", "h", "ipp", "tpp", "inl", "ino", "cu", "cuh"]),
    new("css", "CSS", "text/css").ends(&["css"]),
    new("cython", "Cython", "text/x-cython").ends(&["pyx", "pxd", "pxi"]),
    new("d", "D", "text/x-d").ends(&["d", "di"]).runs(&["rdmd"]),
    new("dart", "Dart", "text/x-dart").ends(&["dart"]).runs(&["dart"]),
    new("diff", "Diff", "text/x-diff").ends(&["diff", "patch"]),
    new("dockerfile", "Dockerfile", "text/x-dockerfile").ends(&["dockerfile"]).named(&["dockerfile", "containerfile"]),
    new("elixir", "Elixir", "text/x-elixir").ends(&["ex", "exs"]).runs(&["elixir"]),
    new("elm", "Elm", "text/x-elm").ends(&["elm"]),
    new("emacs-lisp", "Emacs Lisp", "text/x-emacs-lisp").ends(&["el"]).named(&[".emacs"]),
    new("erlang", "Erlang", "text/x-erlang").ends(&["erl", "hrl"]).runs(&["escript"]),
    new("f-sharp", "F#", "text/x-fsharp").ends(&["fs", "fsi", "fsx"]),
    new("fortran", "Fortran", "text/x-fortran").ends(&["f", "for", "f77", "f90", "f95", "f03", "f08"]),
    new("glsl", "GLSL", "text/x-glsl").ends(&["glsl", "vert", "frag", "geom", "comp", "fs"]),
    new("go", "Go", "text/x-go").ends(&["go"]),
    new("graphql", "GraphQL", "application/graphql").ends(&["graphql", "gql"]),
    new("groovy", "Groovy", "text/x-groovy").ends(&["groovy", "gradle", "gvy"]).named(&["jenkinsfile"]).runs(&["groovy"]),
    new("haskell", "Haskell", "text/x-haskell").ends(&["hs", "lhs", "hsc"]).runs(&["runhaskell", "runghc", "stack"]),
    new("hcl", "HCL", "text/x-hcl").ends(&["hcl", "tf", "tfvars"]),
    new("html", "HTML", "text/html").ends(&["html", "htm", "xhtml"]),
    new("ini", "INI", "text/x-ini").ends(&["ini", "cfg", "editorconfig"]).named(&[".editorconfig", ".gitconfig", ".gitmodules", ".npmrc"]),
    new("java", "Java", "text/x-java").ends(&["java"]),
    new("javascript", "JavaScript", "text/javascript").ends(&["js", "mjs", "cjs", "jsx", "es6"]).named(&["jakefile"]).runs(&["node", "nodejs", "qjs"]),
    new("json", "JSON", "application/json")
        .ends(&["json", "jsonc", "json5", "geojson", "topojson", "webmanifest", "jsonld", "har", "ipynb", "avsc", "tfstate", "importmap"])
        .named(&[".babelrc", ".eslintrc", ".jshintrc", ".prettierrc", "composer.lock", "pipfile.lock", "flake.lock", ".watchmanconfig"]),
    new("julia", "Julia", "text/x-julia").ends(&["jl"]).runs(&["julia"]),
    new("kotlin", "Kotlin", "text/x-kotlin").ends(&["kt", "kts", "ktm"]).runs(&["kotlin"]),
    new("latex", "LaTeX", "text/x-tex").ends(&["tex", "sty", "cls", "ltx", "bib"]),
    new("less", "Less", "text/x-less").ends(&["less"]),
    new("lisp", "Common Lisp", "text/x-common-lisp").ends(&["lisp", "lsp", "asd"]).runs(&["sbcl", "clisp"]),
    new("lua", "Lua", "text/x-lua").ends(&["lua", "rockspec"]).runs(&["lua", "luajit", "texlua"]),
    new("makefile", "Makefile", "text/x-makefile").ends(&["mk", "mak", "make"]).named(&["makefile", "gnumakefile", "makefile.am", "makefile.in", "kbuild"]).runs(&["make"]),
    new("markdown", "Markdown", "text/markdown").ends(&["md", "markdown", "mdown", "mkd", "mdwn", "mkdn", "rmd", "qmd"]),
    new("matlab", "MATLAB", "text/x-matlab").ends(&["m"]).runs(&["octave"]),
    new("meson", "Meson", "text/x-meson").named(&["meson.build", "meson_options.txt"]),
    new("nim", "Nim", "text/x-nim").ends(&["nim", "nims", "nimble"]).runs(&["nim"]),
    new("nix", "Nix", "text/x-nix").ends(&["nix"]),
    new("objective-c", "Objective-C", "text/x-objective-c").ends(&["m", "mm", "h"]),
    new("ocaml", "OCaml", "text/x-ocaml").ends(&["ml", "mli", "mll", "mly"]).runs(&["ocaml"]),
    new("pascal", "Pascal", "text/x-pascal").ends(&["pas", "dpr", "lpr", "pp"]),
    new("perl", "Perl", "text/x-perl").ends(&["pl", "pm", "t", "pod"]).runs(&["perl"]),
    new("php", "PHP", "text/x-php").ends(&["php", "php3", "php4", "php5", "php7", "phtml", "phpt"]).runs(&["php"]),
    new("powershell", "PowerShell", "text/x-powershell").ends(&["ps1", "psm1", "psd1"]).runs(&["pwsh"]),
    new("prolog", "Prolog", "text/x-prolog").ends(&["pl", "pro", "prolog"]).runs(&["swipl"]),
    new("protobuf", "Protocol Buffers", "text/x-protobuf").ends(&["proto"]),
    new("python", "Python", "text/x-python").ends(&["py", "pyi", "pyw", "py3", "bzl"])
        .named(&["sconstruct", "sconscript", "wscript", "snakefile", "build.bazel", "workspace.bazel"])
        .runs(&["python", "pypy"]),
    new("r", "R", "text/x-r").ends(&["r"]).named(&[".rprofile"]).runs(&["rscript", "littler"]),
    new("restructured-text", "reStructuredText", "text/x-rst").ends(&["rst", "rest"]),
    new("ruby", "Ruby", "text/x-ruby").ends(&["rb", "rake", "gemspec", "ru", "podspec", "rbw", "jbuilder"])
        .named(&["gemfile", "rakefile", "vagrantfile", "podfile", "guardfile", "capfile", "fastfile", "brewfile", ".irbrc"])
        .runs(&["ruby", "jruby", "rake"]),
    new("rust", "Rust", "text/x-rust").ends(&["rs"]).runs(&["rust-script"]),
    new("scala", "Scala", "text/x-scala").ends(&["scala", "sc", "sbt"]).runs(&["scala"]),
    new("scheme", "Scheme", "text/x-scheme").ends(&["scm", "ss", "rkt", "sld"]).runs(&["guile", "racket"]),
    new("scss", "SCSS", "text/x-scss").ends(&["scss", "sass"]),
    new("solidity", "Solidity", "text/x-solidity").ends(&["sol"]),
    new("sql", "SQL", "application/sql").ends(&["sql", "ddl", "dml"]),
    new("svelte", "Svelte", "text/x-svelte").ends(&["svelte"]),
    new("swift", "Swift", "text/x-swift").ends(&["swift"]).runs(&["swift"]),
    new("tcl", "Tcl", "text/x-tcl").ends(&["tcl", "tm"]).runs(&["tclsh", "wish", "expect"]),
    new("toml", "TOML", "application/toml").ends(&["toml"]).named(&["cargo.lock", "poetry.lock", "uv.lock", "pipfile", "gopkg.lock", "pdm.lock"]),
    new("tsx", "TSX", "text/x-tsx").ends(&["tsx"]),
    new("typescript", "TypeScript", "text/x-typescript").ends(&["ts", "mts", "cts"]).runs(&["deno", "ts-node", "bun", "tsx"]),
    new("verilog", "Verilog", "text/x-verilog").ends(&["v", "vh", "sv", "svh"]),
    new("vhdl", "VHDL", "text/x-vhdl").ends(&["vhd", "vhdl"]),
    new("vim", "Vim script", "text/x-vim").ends(&["vim"]).named(&[".vimrc", "_vimrc", ".gvimrc"]),
    new("visual-basic", "Visual Basic", "text/x-vb").ends(&["vb", "vbs", "bas"]),
    new("vue", "Vue", "text/x-vue").ends(&["vue"]),
    new("wgsl", "WGSL", "text/x-wgsl").ends(&["wgsl"]),
    new("yaml", "YAML", "application/yaml").ends(&["yaml", "yml"]).named(&[".clang-format", ".clang-tidy", ".clangd", "pubspec.lock", "podfile.lock", "citation.cff"]),
    new("zig", "Zig", "text/x-zig").ends(&["zig", "zon"]),
];

/// The language with this id.
pub fn language(id: &str) -> Option<&'static Language> {
    LANGUAGES.iter().find(|language| language.id == id)
}

/// The id of the language that people mean by `name`, as after the fence of a code block: an id, a name, an extension,
/// or a program that runs it, in upper or lower case.
pub fn language_by_name(name: &str) -> Option<&'static str> {
    let name = name.to_ascii_lowercase();
    let found = |is_it: &dyn Fn(&Language) -> bool| LANGUAGES.iter().find(|language| is_it(language));
    found(&|language| language.id == name || language.name.eq_ignore_ascii_case(&name))
        .or_else(|| found(&|language| language.extensions.contains(&name.as_str())))
        .or_else(|| found(&|language| language.shebangs.contains(&name.as_str())))
        .map(|language| language.id)
}

const fn new(id: &'static str, name: &'static str, media_type: &'static str) -> Language {
    Language { id, name, media_type, extensions: &[], file_names: &[], shebangs: &[] }
}

impl Language {
    const fn ends(self, extensions: &'static [&'static str]) -> Self {
        Self { extensions, ..self }
    }

    const fn named(self, file_names: &'static [&'static str]) -> Self {
        Self { file_names, ..self }
    }

    const fn runs(self, shebangs: &'static [&'static str]) -> Self {
        Self { shebangs, ..self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_in_order_and_every_grammar_is_in_it() {
        assert!(LANGUAGES.is_sorted_by_key(|language| language.id));
        for grammar in crate::grammar::GRAMMARS {
            assert!(language(grammar.id).is_some(), "{}", grammar.id);
        }
        let lower = |texts: &[&str]| texts.iter().all(|text| *text == text.to_ascii_lowercase());
        for language in LANGUAGES {
            assert!(lower(language.extensions) && lower(language.file_names) && lower(language.shebangs));
        }
    }

    #[test]
    fn names_people_use() {
        for (name, id) in [("rs", "rust"), ("C++", "cpp"), ("sh", "bash"), ("console", ""), ("JS", "javascript")] {
            assert_eq!(language_by_name(name).unwrap_or_default(), id);
        }
    }
}
