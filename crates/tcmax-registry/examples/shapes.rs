//! Things that are chosen by name, with documented options: a catalogue of shapes, asked as a program would ask.
//!
//! ```text
//! cargo run -p tcmax-registry --example shapes
//! ```

#![allow(clippy::print_stdout, reason = "it is what the program is for")]

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tcmax_registry::{Catalogue, OptionSet, Options, Result, Spec, Table, read, require};

/// Options of a ring.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
struct Ring {
    /// Radius of the outer circle, metres, above 0.
    radius: f64,
    /// Radius of the hole, metres.
    hole: f64,
}

impl Default for Ring {
    fn default() -> Self {
        Self { radius: 1.0, hole: 0.5 }
    }
}

impl OptionSet for Ring {
    fn check(&self) -> Result<()> {
        require(self.radius > 0.0, "radius", "must be above 0")?;
        require((0.0..self.radius).contains(&self.hole), "hole", "must be smaller than the radius")
    }
}

/// A shape that can be chosen: what it is called, its options, and its area in square metres.
struct Shape {
    name: &'static str,
    options: Options,
    area: fn(&Table) -> Result<f64>,
}

impl Spec for Shape {
    fn name(&self) -> &'static str {
        self.name
    }
}

static RING: Shape = Shape { name: "ring", options: Options::of::<Ring>(), area: area_of_ring };

fn area_of_ring(options: &Table) -> Result<f64> {
    let Ring { radius, hole } = read(options)?;
    Ok(std::f64::consts::PI * (radius * radius - hole * hole))
}

fn main() -> Result<()> {
    let shapes = Catalogue::new("shape", &[&RING]);
    for shape in shapes.iter() {
        println!("{}", shape.name);
        for option in shape.options.documentation() {
            let default = option.default.unwrap_or_default();
            println!("  {} = {default}    {}", option.name, option.text);
        }
    }
    let asked =
        [("ring", "radius = 2.0"), ("rings", ""), ("ring", "hole = 3.0"), ("ring", "size = 1.0")];
    for (name, options) in asked {
        let table: Table = options.parse().expect("TOML");
        match shapes.get(name).and_then(|shape| (shape.area)(&table)) {
            Ok(area) => println!("{name} with '{options}': {area:.3} square metres"),
            Err(error) => println!("{name} with '{options}': {error}"),
        }
    }
    Ok(())
}
