// SPDX-License-Identifier: Apache-2.0
//! Calling any export by name, with arguments and results as text.

use crate::err::{Failure, Result};
use crate::state::State;
use wasmtime::component::{
    Component, Func as ComponentFunc, Instance as ComponentInstance, Val as ComponentVal,
    types::ComponentItem,
};
use wasmtime::{AsContextMut, Func, Instance, Module, ModuleExport, Val, ValType};

pub enum Called {
    Results(String),
    Trapped(wasmtime::Error),
}

fn no_such_export(name: &str, have: &[String]) -> Failure {
    let text = if have.is_empty() {
        format!("it exports no function '{name}', and no other")
    } else {
        format!("it exports no function '{name}'; it has: {}", have.join(", "))
    };
    Failure::new(libc::ENOENT, c"NoSuchExport", text)
}

/// An export of a module that is called by name, and what must run before it.
pub struct ModuleFunction {
    name: String,
    index: ModuleExport,
    initializer: Option<ModuleExport>,
}

fn func_of(
    store: impl AsContextMut,
    instance: &Instance,
    index: Option<&ModuleExport>,
) -> Option<Func> {
    instance.get_module_export(store, index?)?.into_func()
}

impl ModuleFunction {
    pub fn find(module: &Module, name: &str) -> Result<Self> {
        let index = module.get_export_index(name).ok_or_else(|| no_such_function(module, name))?;
        let initializer = match name {
            "_initialize" => None,
            _ => module.get_export_index("_initialize"),
        };
        Ok(Self { name: name.to_string(), index, initializer })
    }

    /// Calls it; a reactor is initialised before (WASI 0.1, application ABI).
    pub async fn call(
        &self,
        mut store: impl AsContextMut<Data = State>,
        instance: &Instance,
        args: &[String],
    ) -> Result<Called> {
        if let Some(init) = func_of(&mut store, instance, self.initializer.as_ref())
            && let Called::Trapped(e) = call_module(&mut store, init, &[]).await?
        {
            return Ok(Called::Trapped(e));
        }
        let func = func_of(&mut store, instance, Some(&self.index))
            .ok_or_else(|| no_such_function(instance.module(store.as_context()), &self.name))?;
        call_module(&mut store, func, args).await
    }
}

/// Tells what functions there are.
fn no_such_function(module: &Module, name: &str) -> Failure {
    let functions: Vec<_> = module
        .exports()
        .filter(|e| e.ty().func().is_some())
        .map(|e| e.name().to_string())
        .collect();
    no_such_export(name, &functions)
}

pub async fn call_module(
    mut store: impl AsContextMut<Data = State>,
    func: Func,
    args: &[String],
) -> Result<Called> {
    if args.is_empty()
        && let Ok(plain) = func.typed::<(), ()>(&store)
    {
        return Ok(match plain.call_async(&mut store, ()).await {
            Ok(()) => Called::Results(String::new()),
            Err(e) => Called::Trapped(e),
        });
    }
    let ty = func.ty(&store);
    let params = module_params(&ty.params().collect::<Vec<_>>(), args)?;
    let mut results = vec![Val::I32(0); ty.results().len()];
    Ok(match func.call_async(&mut store, &params, &mut results).await {
        Ok(()) => Called::Results(results.iter().map(|v| module_text(v) + "\n").collect()),
        Err(e) => Called::Trapped(e),
    })
}

fn count_matters(types: usize, args: usize) -> Result<()> {
    if types == args {
        return Ok(());
    }
    let plural = if types == 1 { "" } else { "s" };
    Err(Failure::argument(format!("it takes {types} argument{plural}, not {args}")))
}

fn module_params(types: &[ValType], args: &[String]) -> Result<Vec<Val>> {
    count_matters(types.len(), args.len())?;
    let parse = |(n, (ty, text)): (usize, (&ValType, &String))| {
        let parsed = match ty {
            ValType::I32 => text
                .parse::<i32>()
                .ok()
                .or_else(|| text.parse::<u32>().ok().map(|v| v as i32))
                .map(Val::I32),
            ValType::I64 => text
                .parse::<i64>()
                .ok()
                .or_else(|| text.parse::<u64>().ok().map(|v| v as i64))
                .map(Val::I64),
            ValType::F32 => text.parse::<f32>().ok().map(|v| Val::F32(v.to_bits())),
            ValType::F64 => text.parse::<f64>().ok().map(|v| Val::F64(v.to_bits())),
            _ => None,
        };
        parsed.ok_or_else(|| {
            Failure::argument(format!("argument {} '{text}' is not a value of type {ty}", n + 1))
        })
    };
    types.iter().zip(args).enumerate().map(parse).collect()
}

fn module_text(v: &Val) -> String {
    match v {
        Val::I32(v) => v.to_string(),
        Val::I64(v) => v.to_string(),
        Val::F32(v) => f32::from_bits(*v).to_string(),
        Val::F64(v) => f64::from_bits(*v).to_string(),
        other => format!("{other:?}"),
    }
}

/// A function of a component: at the top level, or inside an exported interface.
pub struct ComponentExport {
    interface: Option<String>,
    function: String,
}

/// Finds `name`: a top-level function, `interface#function`, or a function that only one exported
/// interface has.
pub fn find_component(component: &Component, name: &str) -> Result<ComponentExport> {
    let engine = component.engine();
    let mut have = Vec::new();
    let mut found = Vec::new();
    for (export, item) in component.component_type().exports(engine) {
        match item.ty {
            ComponentItem::ComponentFunc(_) => {
                if export == name {
                    return Ok(ComponentExport { interface: None, function: name.to_string() });
                }
                have.push(export.to_string());
            }
            ComponentItem::ComponentInstance(instance) => {
                for (function, member) in instance.exports(engine) {
                    if !matches!(member.ty, ComponentItem::ComponentFunc(_)) {
                        continue;
                    }
                    let path = format!("{export}#{function}");
                    if path == name || function == name {
                        found.push(ComponentExport {
                            interface: Some(export.to_string()),
                            function: function.to_string(),
                        });
                    }
                    have.push(path);
                }
            }
            _ => {}
        }
    }
    match found.len() {
        1 => Ok(found.remove(0)),
        0 => Err(no_such_export(name, &have)),
        _ => Err(Failure::argument(format!(
            "several interfaces export '{name}'; name one of: {}",
            have.join(", ")
        ))),
    }
}

impl ComponentExport {
    pub fn get(
        &self,
        mut store: impl AsContextMut<Data = State>,
        instance: &ComponentInstance,
    ) -> Option<ComponentFunc> {
        let parent = match &self.interface {
            Some(name) => Some(instance.get_export_index(&mut store, None, name)?),
            None => None,
        };
        let index = instance.get_export_index(&mut store, parent.as_ref(), &self.function)?;
        instance.get_func(&mut store, index)
    }
}

pub async fn call_component(
    mut store: impl AsContextMut<Data = State>,
    func: ComponentFunc,
    args: &[String],
) -> Result<Called> {
    let ty = func.ty(&store);
    let types: Vec<_> = ty.params().collect();
    count_matters(types.len(), args.len())?;
    let mut params = Vec::new();
    for ((name, ty), text) in types.iter().zip(args) {
        params.push(ComponentVal::from_wave(ty, text).map_err(|e| {
            Failure::argument(format!("argument '{name}': '{text}' does not fit its type: {e:#}"))
        })?);
    }
    let mut results = vec![ComponentVal::Bool(false); ty.results().len()];
    if let Err(e) = func.call_async(&mut store, &params, &mut results).await {
        return Ok(Called::Trapped(e));
    }
    let text = |v: &ComponentVal| v.to_wave().unwrap_or_else(|_| format!("{v:?}")) + "\n";
    Ok(Called::Results(results.iter().map(text).collect()))
}
