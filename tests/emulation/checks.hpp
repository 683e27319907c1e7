// What the emulation promises, each as a function that returns what is wrong, or nothing.
#pragma once

#include <string>
#include <vector>

namespace emulation_tests {

struct Check {
    const char* name;
    std::string (*run)();  // in the order that is set; restores it if it sets others
};

const std::vector<Check>& checks();

}  // namespace emulation_tests
