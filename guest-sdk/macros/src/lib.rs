//! The macro of `swap-hook` that exports the phases that a hook implements, and no others.

use proc_macro::{Delimiter, TokenStream, TokenTree};

/// The trait's methods: one for each phase.
const PHASES: [&str; 6] = ["pre_start", "health", "pre_swap", "post_swap", "rollback", "finish"];

/// Exports the phases that an `impl Hook for …` has. As arguments, the grants that the hook can't do without:
/// `#[export(needs = "exec:db http:hooks.slack.com:443")]`; swap then refuses it before anything is touched where
/// they are not granted.
#[proc_macro_attribute]
pub fn export(arguments: TokenStream, item: TokenStream) -> TokenStream {
    match expand(arguments, item.clone()) {
        Ok(exports) => item.into_iter().chain(exports).collect(),
        Err(message) => format!("compile_error!({message:?});").parse().expect("an error is Rust"),
    }
}

fn expand(arguments: TokenStream, item: TokenStream) -> Result<TokenStream, String> {
    let tokens: Vec<TokenTree> = item.into_iter().collect();
    let (Some(TokenTree::Group(body)), Some(position)) =
        (tokens.last(), tokens.iter().position(|token| is_word(token, "for")))
    else {
        return Err("`export` stands before `impl Hook for …`".into());
    };
    let name: TokenStream = tokens[position + 1..tokens.len() - 1].iter().cloned().collect();
    let phases = methods(body.stream());
    if phases.is_empty() {
        return Err("a hook implements at least one phase".into());
    }
    let needs = match needs(arguments)? {
        Some(needs) => needs,
        None => String::new(),
    };
    let exports = format!("::swap_hook::__export!({name}; {}; {needs});", phases.join(" "));
    exports.parse().map_err(|_| format!("`{name}` can't be exported"))
}

/// Returns the phases among the methods of an `impl` block.
fn methods(body: TokenStream) -> Vec<String> {
    let tokens: Vec<TokenTree> = body.into_iter().collect();
    let names = tokens.windows(2).filter(|pair| is_word(&pair[0], "fn")).map(|pair| pair[1].to_string());
    names.filter(|name| PHASES.contains(&name.as_str())).collect()
}

/// Reads `needs = "…"`.
fn needs(arguments: TokenStream) -> Result<Option<String>, String> {
    let tokens: Vec<TokenTree> = arguments.into_iter().collect();
    match &tokens[..] {
        [] => Ok(None),
        [word, _, TokenTree::Literal(grants)] if is_word(word, "needs") => Ok(Some(grants.to_string())),
        [TokenTree::Group(group)] if group.delimiter() == Delimiter::None => needs(group.stream()),
        _ => Err("`export` takes `needs = \"GRANT …\"` and nothing else".into()),
    }
}

fn is_word(token: &TokenTree, word: &str) -> bool {
    matches!(token, TokenTree::Ident(ident) if ident.to_string() == word)
}
