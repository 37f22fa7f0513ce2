// Streams, exceptions and destructors of a static C++ program.
#include <iostream>
#include <map>
#include <stdexcept>
#include <string>

struct Last {
    ~Last() { std::cout << "destroyed last" << std::endl; }
} last;

int main() {
    std::map<std::string, int> numbers{{"one", 1}, {"two", 2}};
    try {
        numbers.at("three");
    } catch (const std::out_of_range &) {
        std::cout << "hello from C++, exception caught" << std::endl;
    }
    return numbers["one"] + numbers["two"];
}
