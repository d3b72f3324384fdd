"""Builds xtape from the tree that this recipe lies in. Its dependencies are those of the system."""
import os

from conan import ConanFile
from conan.tools.cmake import CMake, CMakeDeps, CMakeToolchain, cmake_layout
from conan.tools.files import copy, load


class Xtape(ConanFile):
    name = "xtape"
    description = "Training neural networks on a CPU"
    license = "BSD-3-Clause"
    settings = "os", "compiler", "build_type", "arch"
    options = {"shared": [True, False]}
    default_options = {"shared": False}

    def set_version(self):
        text = load(self, os.path.join(self.recipe_folder, "..", "..", "include", "xtape", "version.hpp"))
        self.version = text.split('kVersion[] = "')[1].split('"')[0]

    def export_sources(self):
        for pattern in ("include/*", "src/*", "cmake/*", "examples/*", "tools/*", "CMakeLists.txt", "LICENSE"):
            copy(self, pattern, os.path.join(self.recipe_folder, "..", ".."), self.export_sources_folder)

    def layout(self):
        cmake_layout(self)

    def generate(self):
        CMakeDeps(self).generate()
        toolchain = CMakeToolchain(self)
        toolchain.variables["XTAPE_BUILD_TESTS"] = False
        toolchain.variables["XTAPE_BUILD_EXAMPLES"] = False
        toolchain.variables["BUILD_SHARED_LIBS"] = bool(self.options.shared)
        toolchain.generate()

    def build(self):
        cmake = CMake(self)
        cmake.configure()
        cmake.build()

    def package(self):
        CMake(self).install()

    def package_info(self):
        # The package's own CMake files name BLAS, zlib and xtensor.
        self.cpp_info.set_property("cmake_find_mode", "none")
        self.cpp_info.builddirs.append(os.path.join("lib", "cmake", "xtape"))
