// Runs every check of the CUDA emulation in every order, without Python: `make sanitize` builds it with sanitizers.
#include <cstdio>

#include "cuda/emulation/launch.hpp"
#include "tests/emulation/checks.hpp"

int main() {
    using namespace sparsefast::emulation;
    int failures = 0;
    for (Order order : {Order::forward, Order::reversed, Order::shuffled}) {
        set_order(order, 3);
        for (const emulation_tests::Check& check : emulation_tests::checks()) {
            const std::string wrong = check.run();
            if (wrong.empty()) continue;
            ++failures;
            std::printf("FAILED %s, %s: %s\n", check.name, order_name(order), wrong.c_str());
        }
    }
    std::printf("emulation: %zu checks in three orders, %d failures\n", emulation_tests::checks().size(), failures);
    return failures != 0;
}
