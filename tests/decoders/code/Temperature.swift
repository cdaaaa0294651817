import Foundation

enum Scale {
    case celsius, fahrenheit
}

struct Temperature {
    let value: Double
    let scale: Scale

    func converted(to other: Scale) -> Temperature {
        guard other != scale else { return self }
        switch other {
        case .celsius: return Temperature(value: (value - 32) / 1.8, scale: other)
        case .fahrenheit: return Temperature(value: value * 1.8 + 32, scale: other)
        }
    }
}

print(Temperature(value: 20, scale: .celsius).converted(to: .fahrenheit).value)
