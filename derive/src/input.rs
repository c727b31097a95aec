//! The type as the expansion needs it, and what is refused.

use super::attributes::{Repr, Shareable};
use proc_macro2::Ident;
use quote::ToTokens;
use syn::visit::{self, Visit};
use syn::{
    Data, DataEnum, DeriveInput, Error, Expr, Fields, Generics, Member, Path, Result, Type,
    TypePath, WherePredicate, parse_quote,
};

/// A type that can be shared if its fields can.
pub struct Input<'a> {
    pub ident: &'a Ident,
    /// With the bounds that the implementation needs.
    pub generics: Generics,
    pub name: String,
    /// Where the crate `sharena` is.
    pub krate: Path,
    pub body: Body<'a>,
}

pub enum Body<'a> {
    Struct(Vec<Field<'a>>),
    /// The tag's type, and the variants.
    Enum(Ident, Vec<Variant<'a>>),
}

pub struct Variant<'a> {
    pub ident: &'a Ident,
    pub name: String,
    /// The number as the source gives it; else one more than the one before.
    pub number: Option<&'a Expr>,
    pub fields: Vec<Field<'a>>,
}

pub struct Field<'a> {
    pub name: String,
    pub member: Member,
    pub ty: &'a Type,
}

impl<'a> Input<'a> {
    /// Errors stand where the source must change, and say how.
    pub fn new(source: &'a DeriveInput) -> Result<Self> {
        let attribute = Shareable::read(&source.attrs, true)?;
        let repr = Repr::read(&source.attrs)?;
        if let Some(lifetime) = source.generics.lifetimes().next() {
            let text = "a shared type has no lifetimes: it must not hold references, which mean \
                        something in one process only";
            return Err(Error::new_spanned(&lifetime.lifetime, text));
        }
        if let Some(span) = repr.packed {
            let text = "a packed type cannot be shared: its fields are not aligned, so nobody may \
                        refer to them (order the fields by size instead)";
            return Err(Error::new(span, text));
        }
        let body = match &source.data {
            Data::Struct(data) => Body::Struct(fields(&data.fields)?),
            Data::Enum(data) => enumeration(&source.ident, data, repr)?,
            Data::Union(data) => {
                let text = "a union cannot be shared: nothing says which of its fields is the \
                            valid one (use an enum with `#[repr(u8)]`)";
                return Err(Error::new_spanned(data.union_token, text));
            }
        };
        let krate = attribute.krate.clone().unwrap_or_else(|| parse_quote!(::sharena));
        let generics = bounded(&source.generics, &body, &krate);
        let name = attribute.name_or(&source.ident);
        Ok(Self { ident: &source.ident, generics, name, krate, body })
    }
}

fn fields(source: &Fields) -> Result<Vec<Field<'_>>> {
    let read = |(member, field): (Member, &'_ syn::Field)| {
        let attribute = Shareable::read(&field.attrs, false)?;
        let name = match &member {
            Member::Named(ident) => attribute.name_or(ident),
            Member::Unnamed(index) => attribute.name.unwrap_or_else(|| index.index.to_string()),
        };
        Ok((name, member))
    };
    source
        .members()
        .zip(source)
        .map(|pair| {
            let ty = &pair.1.ty;
            read(pair).map(|(name, member)| Field { name, member, ty })
        })
        .collect()
}

fn enumeration<'a>(ident: &Ident, data: &'a DataEnum, repr: Repr) -> Result<Body<'a>> {
    if data.variants.is_empty() {
        let text = "an enum without variants has no value that could be shared";
        return Err(Error::new_spanned(ident, text));
    }
    if let Some(span) = repr.other {
        let text = "this does not fix an enum's layout on all targets: write a tag of fixed width \
                    alone, such as `#[repr(u8)]`";
        return Err(Error::new(span, text));
    }
    let Some(tag) = repr.tag else {
        let text = "a shared enum needs a tag of fixed width, for else the compiler chooses its \
                    layout anew for every program: add `#[repr(u8)]` (or u16, u32, u64, i8, i16, \
                    i32, i64)";
        return Err(Error::new_spanned(ident, text));
    };
    let variants = data.variants.iter().map(|variant| {
        Ok(Variant {
            ident: &variant.ident,
            name: Shareable::read(&variant.attrs, false)?.name_or(&variant.ident),
            number: variant.discriminant.as_ref().map(|(_, number)| number),
            fields: fields(&variant.fields)?,
        })
    });
    Ok(Body::Enum(tag, variants.collect::<Result<_>>()?))
}

/// Adds `T: Shareable` for each type parameter, and the same for each field that is, or holds, an
/// associated type of one.
///
/// Not for each field: `next: Option<Offset<Node<T>>>` as a bound of `Node<T>` would ask for itself.
/// The implementation names the fields' types, so each is proved there, from the parameters.
fn bounded(source: &Generics, body: &Body<'_>, krate: &Path) -> Generics {
    let mut generics = source.clone();
    let parameters: Vec<Ident> = source.type_params().map(|p| p.ident.clone()).collect();
    let mut bounds: Vec<WherePredicate> = Vec::new();
    for parameter in &parameters {
        bounds.push(parse_quote!(#parameter: #krate::Shareable));
    }
    let all: Vec<&Field<'_>> = match body {
        Body::Struct(fields) => fields.iter().collect(),
        Body::Enum(_, variants) => variants.iter().flat_map(|v| &v.fields).collect(),
    };
    let mut seen = Vec::new();
    for field in all {
        let mut search = Projections { parameters: &parameters, found: false };
        search.visit_type(field.ty);
        let text = field.ty.to_token_stream().to_string();
        if search.found && !seen.contains(&text) {
            seen.push(text);
            let ty = field.ty;
            bounds.push(parse_quote!(#ty: #krate::Shareable));
        }
    }
    if !bounds.is_empty() {
        generics.make_where_clause().predicates.extend(bounds);
    }
    generics
}

/// Looks for `T::Item`, `<T as Trait>::Item`.
struct Projections<'a> {
    parameters: &'a [Ident],
    found: bool,
}

impl<'ast> Visit<'ast> for Projections<'_> {
    fn visit_type_path(&mut self, path: &'ast TypePath) {
        let first = path.path.segments.first().map(|segment| &segment.ident);
        let of_parameter = first.is_some_and(|ident| self.parameters.contains(ident));
        if path.qself.is_some() || of_parameter && path.path.segments.len() > 1 {
            self.found |= !self.parameters.is_empty();
        }
        visit::visit_type_path(self, path);
    }
}
