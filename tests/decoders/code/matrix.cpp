#include <array>
#include <iostream>

namespace example {

template <typename T, std::size_t N>
class Matrix {
public:
    T &at(std::size_t row, std::size_t column) { return cells_[row * N + column]; }

    T trace() const {
        T sum{};
        for (std::size_t i = 0; i < N; ++i) sum += cells_[i * N + i];
        return sum;
    }

private:
    std::array<T, N * N> cells_{};
};

}  // namespace example

int main() {
    example::Matrix<double, 2> matrix;
    matrix.at(0, 0) = 1.5;
    matrix.at(1, 1) = 2.5;
    std::cout << matrix.trace() << '\n';
}
