//! Areas of simple shapes.

/// A shape in the plane.
pub enum Shape {
    Circle { radius: f64 },
    Square { side: f64 },
}

impl Shape {
    /// Its area.
    pub fn area(&self) -> f64 {
        match self {
            Shape::Circle { radius } => std::f64::consts::PI * radius * radius,
            Shape::Square { side } => side * side,
        }
    }
}

fn main() {
    let shapes = [Shape::Circle { radius: 1.5 }, Shape::Square { side: 2.0 }];
    println!("{:.3}", shapes.iter().map(Shape::area).sum::<f64>());
}
